"""Points on demand: each is chosen when those before it have been measured, and has the server that it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from servemark.benchmarks import Point, catalogue
from servemark.benchmarks.trials import asked_points
from servemark.options import RunRequest
from servemark.report.directory import ResultDirectory
from servemark.result import Certificate, RunResult, Telemetry, answering
from servemark.runner.entry import Entry
from servemark.runner.measuring import _announced
from servemark.runner.point_servers import PointServers
from servemark.runner.redaction import Redaction
from servemark.servers import ModelSettings, ServerSettings
from servemark.servers.mms.dialect import DIALECT

from .results import CLOSED


def _run(point: Point, *, valid: bool, trial: int = 1) -> RunResult:
    return RunResult(
        trial=trial,
        point=dict(point.values),
        server={},
        load=CLOSED,
        window_s=(0.0, 1.0),
        warmup_s=0.0,
        certificate=Certificate(valid=valid, checks=()),
        steps=(),
        telemetry=Telemetry(),
        records="",
    )


def _measured(name: str, invalid: set[tuple[int, ...]], *, still: bool = False) -> list[dict[str, int]]:
    """The values of the points that a benchmark asks for when those of `invalid` are, `still` or only at first."""
    benchmark = catalogue()[name]
    defaults = {parameter.key: parameter.default for parameter in benchmark.parameters}
    points = asked_points(benchmark, RunRequest.of(name, parameters=defaults))
    runs: list[RunResult] = []
    asked, point = [], next(points, None)
    while point is not None:
        asked.append(dict(point.values))
        seen = sum(dict(run.point) == point.values for run in runs)
        bad = tuple(point.values.values()) in invalid and (still or not seen)
        runs.append(_run(point, valid=not bad, trial=seen + 1))
        try:
            point = points.send(SimpleNamespace(runs=tuple(runs)))
        except StopIteration:
            point = None
    return asked


@pytest.mark.parametrize("still", [False, True])
def test_an_invalid_point_of_several_is_measured_once_more_when_all_have_been(still: bool) -> None:
    threads = [{"threads": number} for number in (1, 4, 7, 10, 13)]
    assert _measured("concurrent_inference", set()) == threads
    asked = _measured("concurrent_inference", {(4,), (13,)}, still=still)
    assert asked == [*threads, {"threads": 4}, {"threads": 13}]
    *shapes, again = _measured("batching", {(4, 50)}, still=still)
    assert again == {"batch_size": 4, "max_batch_delay_ms": 50}
    assert again in shapes


def test_a_point_that_becomes_invalid_by_what_another_shows_once_more_is_repeated_too() -> None:
    """The best of the points answers for how busy the server was; which one that is can change."""
    request = RunRequest.of("concurrent_inference", parameters={"threads": (1, 4)})
    points = asked_points(catalogue()["concurrent_inference"], request)
    first, second = next(points), points.send(_known((1, True)))
    again = points.send(_known((1, True), (4, False)))
    assert (again.values, again.repeats) == (second.values, True)
    again = points.send(_known((1, False), (4, False), (4, True)))
    assert (again.values, again.repeats) == (first.values, True)
    with pytest.raises(StopIteration):
        points.send(_known((1, False), (4, False), (4, False), (1, False)))


def _known(*executions: tuple[int, bool]) -> SimpleNamespace:
    """That points of so many threads were measured, each valid or not."""
    runs = [_run(SimpleNamespace(values={"threads": threads}), valid=valid) for threads, valid in executions]  # type: ignore[arg-type]
    return SimpleNamespace(runs=tuple(runs))


@pytest.mark.parametrize("name", sorted({*catalogue()} - {"concurrent_inference", "batching", "http"}))
def test_the_points_of_other_benchmarks_are_fixed_whatever_they_show(name: str) -> None:
    benchmark = catalogue()[name]
    asked = RunRequest.of(name, parameters={parameter.key: parameter.default for parameter in benchmark.parameters})
    assert len(_measured(name, {()})) == len(tuple(benchmark.points(asked))) == 1


def test_of_several_trials_of_a_point_the_last_one_answers() -> None:
    one, four = ({"threads": number} for number in (1, 4))
    runs = [replace(_run_of(values), trial=trial) for values, trial in ((one, 1), (four, 1), (one, 2))]
    assert answering(runs) == {2: runs[2], 1: runs[1]}
    assert list(answering(runs)) == [2, 1], "in the order in which the points were measured first"
    assert answering(()) == {}


def _run_of(values: Mapping[str, int]) -> RunResult:
    return _run(SimpleNamespace(values=values), valid=True)  # type: ignore[arg-type]


class _Launcher:
    """Starts servers that are none, and tells what is started and stopped, loaded and removed."""

    def __init__(self, *, fails_on: int | None = None) -> None:
        self.happened: list[str] = []
        self.fails_on = fails_on

    def worker_memory(self, settings: ServerSettings) -> dict[str, object]:
        return {}

    @contextmanager
    def serve(self, settings: ServerSettings) -> Iterator[SimpleNamespace]:
        self.happened.append(f"start {settings.job_queue_size}")

        @contextmanager
        def serve_models(model: ModelSettings) -> Iterator[tuple[()]]:
            if model.batch_size == self.fails_on:
                raise RuntimeError("cannot be loaded")
            self.happened.append(f"load {model.batch_size}")
            yield ()
            self.happened.append(f"remove {model.batch_size}")

        try:
            yield SimpleNamespace(dialect=DIALECT, serve_models=serve_models, save_logs=lambda _: None)
        finally:
            self.happened.append("stop")


def _served(tmp_path: Path, launcher: _Launcher, points: list[Point]) -> list[str]:
    entry = replace(Entry.of(RunRequest.of("batching")), points=tuple(points))
    written = SimpleNamespace(redaction=Redaction(()), logs_of=lambda _: ResultDirectory(tmp_path).server_logs)
    with PointServers(entry, launcher, written, print) as servers:  # type: ignore[arg-type]
        for point in points:
            servers.of(point)
    return launcher.happened


@pytest.fixture
def point() -> Point:
    return Entry.of(RunRequest.of("batching")).points[0]


def _asking(point: Point, batch_size: int, queue: int = 100, **more: bool) -> Point:
    return replace(point, server=ServerSettings(job_queue_size=queue), model=ModelSettings(1, batch_size), **more)


def test_points_that_ask_the_same_share_a_server_and_its_models(tmp_path: Path, point: Point) -> None:
    points = [_asking(point, 1), _asking(point, 1), _asking(point, 2), _asking(point, 2, 200)]
    happened = _served(tmp_path, _Launcher(), points)
    assert happened == [
        *("start 100", "load 1", "remove 1", "load 2", "remove 2", "stop"),
        *("start 200", "load 2", "remove 2", "stop"),
    ]


def test_a_point_can_ask_for_a_fresh_server(tmp_path: Path, point: Point) -> None:
    happened = _served(tmp_path, _Launcher(), [_asking(point, 1), _asking(point, 1, fresh_server=True)])
    assert happened == ["start 100", "load 1", "remove 1", "stop"] * 2


def test_whatever_fails_the_server_is_stopped(tmp_path: Path, point: Point) -> None:
    launcher = _Launcher(fails_on=2)
    with pytest.raises(RuntimeError, match="cannot be loaded"):
        _served(tmp_path, launcher, [_asking(point, 1), _asking(point, 2)])
    assert launcher.happened == ["start 100", "load 1", "remove 1", "stop"]


def test_what_is_measured_is_said_with_its_place_and_that_it_is_so_once_more(point: Point) -> None:
    values, entry = {"batch_size": 1, "max_batch_delay_ms": 10}, Entry.of(RunRequest.of("batching"))
    assert dict(point.values) == values
    assert _announced(point, 1, entry, 1) == "point 1 of 7: batch_size 1, max_batch_delay_ms 10"
    assert _announced(point, 8, entry, 1) == "point 8: batch_size 1, max_batch_delay_ms 10"
    again = "once more, since it was INVALID: batch_size 1, max_batch_delay_ms 10"
    assert _announced(replace(point, repeats=True), 8, entry, 1) == again
    assert _announced(replace(point, trial=2), 8, entry, 3) == "trial 2 of 3: batch_size 1, max_batch_delay_ms 10"
    assert _announced(replace(point, values={}), 1, entry, 3) == "trial 1 of 3"
    search = Entry.of(RunRequest.of("latency", slo="p99<50ms", by="rate"))
    assert _announced(search.points[0], 1, search, 1) == "probe 1: rate 1"
    assert _announced(replace(point, fresh_server=True, values={"rate": 4.5}), 9, search, 1) == (
        "probe 9: rate 4.5 on a server started afresh"
    )
