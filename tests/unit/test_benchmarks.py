"""Benchmarks declare their points; nothing is executed."""

from __future__ import annotations

from servemark.benchmarks import Ask, catalogue
from servemark.workload.scenario import Request


def _points(name, **ask):
    benchmark = catalogue()[name]
    defaults = {parameter.key: parameter.default for parameter in benchmark.parameters}
    return benchmark.points(Ask(**{**ask, "parameters": defaults | ask.get("parameters", {})}))


def test_every_benchmark_sends_its_step_under_its_load():
    request = Request("GET", "/x")
    for benchmark in catalogue().values():
        for point in _points(benchmark.name):
            (group,) = benchmark.plan(point, (request,)).groups
            assert [step.name for step in group.scenario.steps] == [benchmark.step]
            assert group.load == point.load


def test_a_server_of_ours_has_room_for_twice_the_users():
    (point,) = _points("throughput", threads=80)
    assert point.server.job_queue_size == 160
    (point,) = _points("latency")
    assert point.server.job_queue_size == 100


def test_length_is_loops_or_a_duration_or_adapts():
    assert _points("latency", loops=3)[0].load.warmup_s == 0
    assert _points("latency", duration_s=3.0)[0].load.longest_s == 5.0
    assert _points("latency")[0].load.until.successes == 400


def test_concurrent_inference_has_a_point_for_each_number_of_threads_on_one_server():
    points = _points("concurrent_inference")
    assert [point.load.users for point in points] == [1, 4, 7, 10, 13]
    assert [point.values for point in points] == [{"threads": n} for n in (1, 4, 7, 10, 13)]
    assert len({point.server for point in points}) == 1


def test_batching_tries_each_size_with_each_delay_but_a_batch_of_one_once():
    points = _points("batching", parameters={"batch_size": (1, 4), "max_batch_delay": (10, 50)})
    assert [(p.model.batch_size, p.model.max_batch_delay_ms) for p in points] == [(1, 10), (4, 10), (4, 50)]
    assert len({point.server for point in points}) == 1


def test_batching_fills_two_batches_a_worker():
    points = _points("batching", parameters={"batch_size": (2, 8), "workers": (1, 3)})
    assert {point.load.users for point in points} == {48}
    assert [point.values["workers"] for point in points] == [1, 1, 1, 1, 3, 3, 3, 3]
