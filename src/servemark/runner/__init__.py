"""The runner: executes benchmarks, from their points to the written result. It alone executes.

``measuring`` reads as the data line of the design: benchmark -> point -> launcher -> plan -> engine -> records ->
summary and certificate -> verdict -> result -> reports. Here are one benchmark or a suite of them, in ``pair`` two that
are measured in turns, and in ``invocation`` what is around both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from servemark.engines import Engine, Job
from servemark.errors import ServemarkError, UsageError
from servemark.options import GROUPS, RunRequest
from servemark.options.table import in_python
from servemark.report.in_python import Result as ResultInPython
from servemark.runner.baseline import Baseline
from servemark.runner.entry import Entry
from servemark.runner.invocation import Invocation, check_outside, failing
from servemark.runner.invocation import WrittenResult as WrittenResult
from servemark.runner.listener import Listener as Listener
from servemark.runner.measuring import measure_benchmark
from servemark.runner.suite import placed


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
    baseline = Baseline.of(requests)
    check_outside(requests)
    entries = [Entry.of(request) for request in requests]
    if baseline:
        baseline.check_asked(entries)
    if suite:
        entries = placed(entries)
    invocation = Invocation(entries, listener, suite, resume)
    missing = _missing(entries, invocation) if suite else entries
    if not missing:
        return invocation.as_it_is()

    def judge() -> None:
        if baseline:
            baseline.judge(invocation.written)

    return invocation.perform(partial(_measure, invocation, missing, len(entries), suite), judge)


def _measure(
    invocation: Invocation, missing: Sequence[Entry], count: int, suite: str | None, engine: Engine, jobs: list[Job]
) -> None:
    """Measure those that are `missing` of `count` entries, and add what the engine was asked for to `jobs`."""
    written, listener = invocation.written, invocation.listener
    if suite:
        with failing(written, None, listener):
            missing = _fitting(missing, suite, invocation)
            if not missing:
                written.nothing_more()
    for entry in missing:
        if suite:
            where = f"benchmark {entry.place + 1} of {count}: {entry.title}"
            listener.note(where)
            listener.place(0, where)
        asked = replace(entry, last=entry is missing[-1]) if suite else entry
        with failing(written, asked, listener, goes_on=suite is not None):
            jobs += measure_benchmark(asked, invocation.launchers, engine, written, listener)
            benchmark = written.benchmark(asked)
            if suite and benchmark is not None:
                listener.measured(benchmark)
        if written.interrupted:
            break


def _missing(entries: Sequence[Entry], invocation: Invocation) -> list[Entry]:
    """The entries of a suite that are to be run; of the others it is said."""
    suite = invocation.written.result.suite
    assert suite
    missing = [entry for entry in entries if suite.entries[entry.place].status != "done"]
    if len(missing) < len(entries):
        places = {entry.place for entry in missing}
        done = ", ".join(entry.title for entry in entries if entry.place not in places)
        invocation.listener.note(f"measured before: {done}" + ("" if missing else "; nothing is missing"))
    return missing


def _fitting(entries: Sequence[Entry], suite: str, invocation: Invocation) -> list[Entry]:
    """The entries for which this machine has the memory, or all of them by force; all are said, with what they take."""
    from servemark.forecast import forecast_of, format_range_s

    fitting, lines = [], []
    least_s = most_s = 0.0
    for entry in entries:
        try:
            forecast = forecast_of(invocation.launchers.of(entry), entry.points)
        except ServemarkError as error:  # which will end that benchmark, and no other
            lines.append(f"  {entry.title}: {error}")
            fitting.append(entry)
            continue
        if forecast.refusal and not entry.request.output.force:
            lines.append(f"  {entry.title}: skipped: {forecast.refusal} (--force tries it)")
            invocation.written.skip(entry, str(forecast.refusal))
            continue
        lines.append(f"  {entry.title}: {forecast.line}")
        fitting.append(entry)
        least_s, most_s = least_s + forecast.least_s, most_s + forecast.most_s
    number = f"{len(fitting)} of {len(entries)} benchmarks, {format_range_s(least_s, most_s)}"
    for line in (f"suite {suite}: {number}", *lines):
        invocation.listener.note(line)
    return fitting
