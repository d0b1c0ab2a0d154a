"""What the original harness made of JMeter's results, by the same tools: tables, filtered and merged results, charts.

::

    filtered.jtl        the plan's steps alone, without the warm-up (FilterResults)
    aggregate.csv       the aggregate report of those
    synthesis.csv       the synthesis report of those
    dashboard/          JMeter's HTML dashboard of everything that was sent, warm-up included
    perfmon.csv, .png   the server's processes over time, drawn by PerfMon's reporter

and of several runs, in the folder above theirs::

    merged.jtl          the filtered results of all in one, each label with its run's name (MergeResults)
    merged.csv          the aggregate report of those
    dashboard/          JMeter's HTML dashboard of those

Each tool is a start of Java, some 4 s; as many run at a time as there are processors. The plugins leave out messages
and URLs, and MergeResults counts time from 1999: ``results.jtl`` is what was measured.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from servemark.engines.jmeter.elements import property_text
from servemark.environments.commands import finish
from servemark.environments.jmeter import JMeterHome
from servemark.environments.variables import locale_for
from servemark.errors import RecordingError

FILTERED, MERGED, DASHBOARD = "filtered.jtl", "merged.jtl", "dashboard"
Words = Sequence[str | Path]
_TIMEOUT_S = 600.0
_HEAP_MIB = 512
#: Up to this size Java spends more on compiling than on the work: 1.2 s of processor time for a table of 80 samples
#: instead of 2.5 s.
_SMALL_BYTES = 16 << 20
_FOR_SMALL = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
#: More inputs than these MergeResults ignores, without a word.
_MOST_MERGED = 4


@dataclass(frozen=True)
class MergedRun:
    """Results to merge: the JTL, and what is put before its labels."""

    results: Path
    prefix: str


def write_reports(
    home: JMeterHome, results: Path, folder: Path, *, labels: Sequence[str], warmup_s: float, resources: Path | None
) -> None:
    """Make every report of one run's `results` in `folder`; of results without a sample there is none.

    `labels` are the plan's steps, `resources` a JTL of PerfMon's with the server's processes, if they were sampled.

    Raises:
        RecordingError: a tool failed; the others were run to their end.
    """
    if not _has_samples(results):
        return
    filtered = folder / FILTERED

    def tables() -> None:
        filter_results(home, results, filtered, labels=labels, warmup_s=warmup_s)
        if _has_samples(filtered):
            _at_once(
                lambda: _report(home, filtered, folder / "aggregate.csv", "AggregateReport"),
                lambda: _report(home, filtered, folder / "synthesis.csv", "SynthesisReport"),
            )

    jobs = [tables, lambda: write_dashboard(home, results, folder / DASHBOARD)]
    if resources is not None and _has_samples(resources):
        jobs.append(lambda: draw_resources(home, resources, folder))
    _at_once(*jobs)


def filter_results(home: JMeterHome, results: Path, filtered: Path, *, labels: Sequence[str], warmup_s: float) -> None:
    """Write those of `results` to `filtered` that carry one of `labels` and began after the warm-up."""
    with tempfile.TemporaryDirectory(prefix="servemark-jmeter-") as scratch:
        # The tool's own offset counts from a whole second before the first sample.
        measured = _without_warm_up(results, Path(scratch) / "measured.jtl", warmup_s) if warmup_s else results
        if not _has_samples(measured):
            shutil.copyfile(measured, filtered)
            return
        words = ["--tool", "FilterResults", "--input-file", str(measured.absolute()), "--output-file", filtered.name]
        _run_tool(home, [*words, "--include-labels", ",".join(labels)], results, filtered)


def _without_warm_up(results: Path, measured: Path, warmup_s: float) -> Path:
    """Copy the samples of `results` that began `warmup_s` after the first one, or later, to `measured`."""
    with results.open(newline="", encoding="utf-8", errors="replace") as lines:
        header, *samples = csv.reader(line.replace("\0", "") for line in lines)
    whole = [sample for sample in samples if len(sample) == len(header)]
    at = header.index("timeStamp")
    began_ms = min((int(sample[at]) for sample in whole), default=0) + round(warmup_s * 1000)
    with measured.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(header)
        rows.writerows(sample for sample in whole if int(sample[at]) >= began_ms)
    return measured


def merge_results(home: JMeterHome, runs: Sequence[MergedRun], folder: Path) -> None:
    """Write ``merged.jtl`` with the results of all `runs`, its aggregate report and its dashboard, into `folder`.

    Results without a sample are left out; of fewer than two there is nothing to merge.

    Raises:
        RecordingError: a tool failed.
    """
    runs = [run for run in runs if _has_samples(run.results)]
    if len(runs) < 2:
        return
    merged = folder / MERGED
    with tempfile.TemporaryDirectory(prefix="servemark-jmeter-") as scratch:
        while len(runs) > _MOST_MERGED:
            part = Path(scratch) / f"{len(runs)}.jtl"
            _merge(home, runs[:_MOST_MERGED], part)
            runs = [MergedRun(part, ""), *runs[_MOST_MERGED:]]
        _merge(home, runs, merged)
    _at_once(
        lambda: _report(home, merged, folder / "merged.csv", "AggregateReport"),
        lambda: write_dashboard(home, merged, folder / DASHBOARD),
    )


def _merge(home: JMeterHome, runs: Sequence[MergedRun], merged: Path) -> None:
    lines: list[str] = []
    for number, run in enumerate(runs, 1):
        settings = {
            "inputJtl": str(run.results.absolute()),
            "prefixLabel": run.prefix,
            "includeLabels": "",
            "includeLabelRegex": "false",
            "excludeLabels": "",
            "excludeLabelRegex": "false",
            "startOffset": "",
            "endOffset": "",
        }
        lines += [f"{name}{number}={property_text(value)}\n" for name, value in settings.items()]
    with tempfile.TemporaryDirectory(prefix="servemark-jmeter-") as scratch:
        recipe = Path(scratch) / "merge.properties"
        recipe.write_text("".join(lines), encoding="ascii")
        _report(home, recipe, merged, "MergeResults")


def write_dashboard(home: JMeterHome, results: Path, folder: Path) -> None:
    """JMeter's HTML dashboard of `results`, in place of what `folder` holds."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="servemark-jmeter-") as scratch:
        words: list[str | Path] = ["-jar", home.launcher, "-g", results.absolute(), "-o", folder.absolute()]
        # Its own intermediate files would otherwise lie in the working directory.
        words += ["-j", f"{scratch}/log", f"-Jjmeter.reportgenerator.temp_dir={scratch}/temp"]
        _run_java(home, words, [folder / "index.html"], Path(scratch), results)


def draw_resources(home: JMeterHome, resources: Path, folder: Path) -> None:
    """A table and a chart of the samples in `resources`, which are in PerfMon's format, by its reporter."""
    table, chart = folder / "perfmon.csv", folder / "perfmon.png"
    words: Words = ["--tool", "Reporter", "--input-jtl", resources.absolute(), "--plugin-type", "PerfMon"]
    _run_tool(home, [*words, "--generate-csv", table.name, "--generate-png", chart.name], resources, table, chart)


def _report(home: JMeterHome, source: Path, output: Path, plugin: str) -> None:
    words: Words = ["--tool", "Reporter", "--generate-csv", output.name, "--input-jtl", source.absolute()]
    _run_tool(home, [*words, "--plugin-type", plugin], source, output)


def _run_tool(home: JMeterHome, words: Words, source: Path, *outputs: Path) -> None:
    """Run one of the plugins' tools on `source`: it writes `outputs` by their names where it runs; moved when whole."""
    with tempfile.TemporaryDirectory(prefix="servemark-jmeter-") as scratch:
        made = [Path(scratch) / output.name for output in outputs]
        _run_java(home, ["-jar", home.command_runner, *words], made, Path(scratch), source)
        for output, one in zip(outputs, made, strict=True):
            shutil.move(one, output)


def _run_java(home: JMeterHome, words: Words, outputs: Sequence[Path], scratch: Path, source: Path) -> None:
    """Run one tool on `source` in `scratch`.

    It succeeded when its output is there: it warns of much that does not matter.
    """
    settings = [f"-Xmx{_HEAP_MIB}m", "-Djava.awt.headless=true", f"-Djava.util.prefs.userRoot={scratch}"]
    settings += _FOR_SMALL if source.stat().st_size <= _SMALL_BYTES else ()
    inside: Words = ["sh", "-c", 'cd "$0" && exec "$@"', scratch]
    paths = Path("".join(map(str, [scratch, *words])))
    finished = finish([*inside, home.java, *settings, *words], timeout_s=_TIMEOUT_S, environ=locale_for(paths))
    missing = [output.name for output in outputs if not output.exists()]
    if finished.status != 0 or missing:
        raise RecordingError(
            "JMeter's tools could not make a report",
            cause=f"{', '.join(missing) or outputs[0].name}: exit {finished.status}",
            next_step="what was measured is in the records and in results.jtl",
            detail=finished.tail,
        )


def _at_once(*jobs: Callable[[], None]) -> None:
    """Run all `jobs`, as many at a time as there are processors; raises the first error when all have ended."""
    with ThreadPoolExecutor(max_workers=max(1, os.cpu_count() or 1)) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result()


def _has_samples(results: Path) -> bool:
    """Whether there is a line after the header."""
    try:
        with results.open("rb") as lines:
            return bool(lines.readline() and lines.readline())
    except FileNotFoundError:
        return False
