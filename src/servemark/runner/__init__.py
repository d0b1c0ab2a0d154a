"""The runner: executes benchmarks, from their points to the written result. It alone executes.

``measuring`` reads as the data line of the design: benchmark -> point -> launcher -> plan -> engine -> records ->
summary and certificate -> verdict -> result -> reports. Here is what is around it: one invocation, with one benchmark
or a suite of them; in ``pair`` two that are measured in turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from servemark.engines import Job
from servemark.errors import ServemarkError, UsageError
from servemark.options import GROUPS, RunRequest
from servemark.options.table import in_python
from servemark.report.extras import check_extra
from servemark.report.in_python import Result as ResultInPython
from servemark.result import Result
from servemark.runner.afterwards import draw, remember, send_metrics
from servemark.runner.baseline import Baseline
from servemark.runner.entry import Entry
from servemark.runner.invocation import begun_result, failing, merge
from servemark.runner.launching import Launchers, check_clusters, engine_of
from servemark.runner.listener import Listener as Listener
from servemark.runner.measuring import measure_benchmark
from servemark.runner.redaction import Redaction
from servemark.runner.result_on_disk import ResultOnDisk
from servemark.runner.suite import placed


@dataclass(frozen=True)
class WrittenResult:
    """A result and where it was written."""

    result: Result
    folder: Path


def run(benchmark: str, **options: Any) -> ResultInPython:
    """Run a benchmark and return its result; `options` are those of the groups of ``servemark.options``.

    Paths may be strings, one input or header be given alone, and times have units. `parameters` are the benchmark's
    own, by key. The result directory is written as by the command line.

    Raises:
        ServemarkError: it could not be run, or the server failed; see ``servemark.errors``.
        TypeError: there is no such option; names the one that is meant.
    """
    try:
        written = perform((RunRequest.of(benchmark, **options),), Listener())
    except UsageError as error:
        raise in_python(error, GROUPS) from error
    return ResultInPython.of(written.result, written.folder)


def perform(
    requests: Sequence[RunRequest], listener: Listener, suite: str | None = None, *, resume: Path | None = None
) -> WrittenResult:
    """Execute `requests`, one after the other, and write their result; whatever happens, what was measured is saved.

    Where the result goes, its command, seed and engine are those of the first. Of a `suite` one that fails does not
    stop the others: what failed is in the result. `resume` is the folder of its result, of which only what is missing
    is run. A partial result is returned when Ctrl-C ended the measurement.

    Raises:
        ServemarkError: something failed, and it was no suite; the partial result has been written.
        KeyboardInterrupt: interrupted before anything was measured.
    """
    first, baseline = requests[0], Baseline.of(requests)
    if first.output.otlp is not None:
        check_extra("otlp", "--otlp")
    check_clusters(requests)
    entries = [Entry.of(request) for request in requests]
    if baseline:
        baseline.check_asked(entries)
    redaction = Redaction(header for entry in entries for header in entry.request.secret_headers)
    listener = redaction.listener(listener)
    for remark in dict.fromkeys(entry.remark for entry in entries if entry.remark):
        listener.note(remark)
    entries = placed(entries) if suite else entries
    written = begun_result(requests, entries, redaction, suite, resume)
    missing = _missing(entries, written, listener) if suite else entries
    launchers, jobs = Launchers(listener), list[Job]()
    if not missing:
        written.folder.release()
        return WrittenResult(written.result, written.folder.path)
    held = ExitStack()
    try:
        with failing(written, None, listener):
            if resume:
                written.folder.forget_reports()
            # So that one that is killed leaves no older result, but one that says partial.
            written.folder.write(written.result)
            engine = engine_of(first.generator.engine, listener)
            held.callback(engine.close)
            written.versions(engine)
            if suite:
                missing = _fitting(missing, suite, launchers, written, listener)
                if not missing:
                    written.nothing_more()
        for entry in missing:
            if suite:
                where = f"benchmark {entry.place + 1} of {len(entries)}: {entry.title}"
                listener.note(where)
                listener.place(0, where)
                entry = replace(entry, last=entry is missing[-1])
            with failing(written, entry, listener, goes_on=suite is not None):
                jobs += measure_benchmark(entry, launchers, engine, written, listener)
                benchmark = written.benchmark(entry)
                if suite and benchmark is not None:
                    listener.measured(benchmark)
            if written.interrupted:
                break
        # With the servers gone: it takes seconds, and nobody waits for what it says.
        merge(engine, jobs, written.folder, listener)
        if baseline and not written.interrupted:
            baseline.judge(written)
    except KeyboardInterrupt:
        if not written.result.benchmarks:
            raise
    finally:
        held.close()
    if written.interrupted:
        listener.note("interrupted")
    written.folder.become_latest()
    if not first.output.no_report:
        draw(written.result, written.folder, listener)
    if not first.output.no_history:
        remember(written.result, written.folder.path, listener)
    if first.output.otlp is not None:
        send_metrics(written.result, written.folder.path, first.output.otlp, listener)
    written.folder.release()
    return WrittenResult(written.result, written.folder.path)


def _missing(entries: Sequence[Entry], written: ResultOnDisk, listener: Listener) -> list[Entry]:
    """The entries of a suite that are to be run; of the others it is said."""
    suite = written.result.suite
    assert suite
    missing = [entry for entry in entries if suite.entries[entry.place].status != "done"]
    if len(missing) < len(entries):
        places = {entry.place for entry in missing}
        done = ", ".join(entry.title for entry in entries if entry.place not in places)
        listener.note(f"measured before: {done}" + ("" if missing else "; nothing is missing"))
    return missing


def _fitting(
    entries: list[Entry], suite: str, launchers: Launchers, written: ResultOnDisk, listener: Listener
) -> list[Entry]:
    """The entries for which this machine has the memory, or all of them by force; all are said, with what they take."""
    from servemark.forecast import forecast_of, format_range_s

    fitting, lines = [], []
    least_s = most_s = 0.0
    for entry in entries:
        try:
            forecast = forecast_of(launchers.of(entry), entry.points)
        except ServemarkError as error:  # which will end that benchmark, and no other
            lines.append(f"  {entry.title}: {error}")
            fitting.append(entry)
            continue
        if forecast.refusal and not entry.request.output.force:
            lines.append(f"  {entry.title}: skipped: {forecast.refusal} (--force tries it)")
            written.skip(entry, str(forecast.refusal))
            continue
        lines.append(f"  {entry.title}: {forecast.line}")
        fitting.append(entry)
        least_s, most_s = least_s + forecast.least_s, most_s + forecast.most_s
    number = f"{len(fitting)} of {len(entries)} benchmarks, {format_range_s(least_s, most_s)}"
    for line in (f"suite {suite}: {number}", *lines):
        listener.note(line)
    return fitting
