"""What of the runs of a benchmark can be drawn: what happened over time, as their records have it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from servemark.errors import RecordingError
from servemark.printable import printable
from servemark.records import RecordFile
from servemark.report.html.over_time import Drawn, Mark
from servemark.report.recorded import opened_records
from servemark.report.words import counted
from servemark.result import BenchmarkResult, RunResult
from servemark.stats.absences import absences
from servemark.stats.evidence import Window
from servemark.stats.timeline import Timeline, timeline_of
from servemark.stats.token_timeline import token_timelines
from servemark.units import NS_PER_S, ns_from_s

#: Parts of the time of a run: at most, at least, and else so many that each has as many requests.
_MOST_PARTS, _LEAST_PARTS, _REQUESTS_A_PART = 120, 24, 25
#: Parts of the time of all runs of a page together, so that it stays small.
_MOST_PARTS_OF_PAGE = 480
#: Runs of a benchmark whose time is drawn, and of a page.
_MOST_RUNS, _MOST_RUNS_OF_PAGE = 12, 24
_FULL = f"the page has room for {_MOST_RUNS_OF_PAGE}"
#: Steps that change the server.
_CHANGES = {"scale_up": "scaled up", "scale_down": "scaled down"}
_MOST_MARKS = 200
#: The kind of failure where nobody is there.
_CONNECT = "connect"


class Room:
    """How many more runs the page has room for, of the `runs` of each benchmark, and how finely their time is cut."""

    def __init__(self, runs: Sequence[int]) -> None:
        self._runs = _MOST_RUNS_OF_PAGE
        self._benchmarks = sum(map(bool, runs))
        drawn = min(max(sum(runs), 1), _MOST_RUNS_OF_PAGE)
        self.parts = min(max(_MOST_PARTS_OF_PAGE // drawn, _LEAST_PARTS), _MOST_PARTS)

    def for_runs(self, runs: int) -> int:
        """How many of so many runs, those of the next benchmark, may be drawn: each that follows has room for one."""
        self._benchmarks -= bool(runs)
        return min(runs, _MOST_RUNS, self._runs, max(self._runs - self._benchmarks, 1))

    def take(self, runs: int) -> None:
        """Have room for so many fewer."""
        self._runs -= runs


def drawn_of(
    benchmark: BenchmarkResult, raw: BenchmarkResult, folder: Path, room: Room, charts: str
) -> tuple[list[Drawn], list[str]]:
    """What can be drawn of the runs that answer, and what is to be said of those that cannot.

    `charts` says what is made of it.
    """
    drawn, notes = [], []
    places = list(benchmark.answering)
    shown = places[: room.for_runs(len(places))]
    for place in shown:
        run, raw_run = benchmark.runs[place], raw.runs[place]
        try:
            files = opened_records(raw_run, folder)
            requests = sum(file.rows for file in files)
            if requests:
                parts = min(max(requests // _REQUESTS_A_PART, _LEAST_PARTS), room.parts)
                window = _window(run)
                timeline = timeline_of(files, window, parts)
                tokens = {printable(name): one for name, one in token_timelines(files, window, timeline).items()}
                drawn.append(Drawn(run, _named(timeline), tuple(_marks(run, files, timeline)), tokens))
        except RecordingError as error:
            notes.append(printable(f"Not drawn: {charts}: {error}"))
    room.take(len(drawn))
    if len(places) > len(shown):
        of_all = f"Of {counted(len(places), 'run')} the time of"
        notes.append(f"{of_all} the first {len(shown)} is drawn." if shown else f"{of_all} none is drawn: {_FULL}.")
    return drawn, notes


def _window(run: RunResult) -> Window:
    return Window(*(ns_from_s(time_s) for time_s in run.window_s))


def _named(timeline: Timeline) -> Timeline:
    """With names that can be shown, as in the summary."""
    return replace(timeline, steps=tuple(replace(step, name=printable(step.name)) for step in timeline.steps))


def _marks(run: RunResult, files: Sequence[RecordFile], timeline: Timeline) -> list[Mark]:
    """What happened to the server, in order: as the records say what was done to it and when it was away, and as its
    log says.
    """
    found = [*_changes(files), *(Mark(one.at_s, one.what) for one in run.incidents)]
    if any(_CONNECT in step.failed for step in timeline.steps):  # of nearly all runs the records need no second look
        found += _away(files)
    return sorted(found, key=lambda mark: mark.at_s)[:_MOST_MARKS]


def _changes(files: Sequence[RecordFile]) -> Iterator[Mark]:
    for file in files:
        for number, name in enumerate(file.step_names):
            if name in _CHANGES:
                succeeded = (np.asarray(file["step"]) == number) & (np.asarray(file["kind"]) == 0)
                times = file["end"][succeeded][:_MOST_MARKS]
                yield from (Mark(time / NS_PER_S, _CHANGES[name]) for time in times.tolist())


def _away(files: Sequence[RecordFile]) -> Iterator[Mark]:
    """When nobody was there to connect to any more, and when somebody answered again."""
    parts = [rows["end"][rows["kind"] == file.error_kinds.index(_CONNECT)] for file in files for rows in file.chunks()]
    answered = (rows["end"][rows["status"] > 0] for file in files for rows in file.chunks())
    for since_ns, until_ns in absences(np.concatenate(parts), answered):
        yield Mark(since_ns / NS_PER_S, "no longer there")
        if until_ns is not None:
            yield Mark(until_ns / NS_PER_S, "there again")
