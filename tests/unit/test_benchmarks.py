"""Benchmarks declare their points; nothing is executed."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from servemark.benchmarks import catalogue
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.servers import LoadedModel
from servemark.servers.mms.dialect import DIALECT
from servemark.workload.inputs import Input
from servemark.workload.plan import headline_step

TEXT = Input(b"x", "text/plain", "test")


def _points(name, **ask):
    benchmark = catalogue()[name]
    defaults = {parameter.key: parameter.default for parameter in benchmark.parameters}
    asked = {**ask, "parameters": defaults | ask.get("parameters", {})}
    return tuple(benchmark.points(RunRequest.of(name, **asked)))


def _plan(name, models=("m",), **ask):
    *_, point = _points(name, **ask)
    served = [LoadedModel(model, None, (TEXT,), f"{model}.mar", 1.0, 1.0) for model in models]
    return point, point.plan(DIALECT, tuple(served))


@pytest.mark.parametrize("name", ["latency", "throughput", "concurrent_inference", "batching"])
def test_inference_benchmarks_repeat_one_prediction_under_their_load(name):
    point, plan = _plan(name)
    (group,) = plan.groups
    assert [(step.name, step.requests[0].path) for step in group.scenario.steps] == [("predict", "/predictions/m")]
    assert group.load == point.load


@pytest.mark.parametrize("name", catalogue())
def test_the_headline_is_the_step_that_reports_put_first(name):
    models = {"ping": (), "http": (), "multiple_models": ("a", "b", "c")}.get(name, ("m",))
    more = {"url": "http://h/"} if name == "http" else {}
    _, plan = _plan(name, models=models, **more)
    assert headline_step(plan.groups) == plan.groups[0].scenario.steps[0].name


def test_ping_needs_no_model():
    _, plan = _plan("ping", models=())
    assert [step.requests[0].path for group in plan.groups for step in group.scenario.steps] == ["/ping"]
    assert catalogue()["ping"].models(RunRequest("ping")) == ()


def test_load_registers_each_name_once_at_the_same_time_and_leaves_all_to_be_removed():
    point, plan = _plan("load", parameters={"count": 3}, workers=2)
    assert plan.registers == ("m-1", "m-2", "m-3")
    assert [group.load.users * group.load.loops for group in plan.groups] == [1, 1, 1]
    assert plan.exact_requests == 3
    for name, group in zip(plan.registers, plan.groups, strict=True):
        (step,) = group.scenario.steps
        assert (step.name, step.api, step.expect_status) == ("register", "management", 200)
        (request,) = step.requests
        assert request.method == "POST"
        query = parse_qs(urlsplit(request.path).query)
        assert query == {
            "url": ["m.mar"],
            "model_name": [name],
            "initial_workers": ["2"],
            "synchronous": ["true"],
        }
    assert point.server.most_workers == 3 * 2 + 2


def test_scaling_goes_up_and_down_and_reads_back_what_really_happened():
    point, plan = _plan("repeated_scale_calls", parameters={"scale_up_workers": 5, "scale_down_workers": 2})
    (group,) = plan.groups
    steps = group.scenario.steps
    assert [step.name for step in steps] == ["scale_up", "read_up", "scale_down", "read_down"]
    assert [parse_qs(urlsplit(step.requests[0].path).query).get("min_worker") for step in steps[::2]] == [["5"], ["2"]]
    assert [step.until.times for step in steps[1::2]] == [5, 2]
    assert {step.expect_status for step in steps} == {200}
    assert group.load.users == 1
    assert plan.exact_requests is None
    assert point.server.preload_model
    assert point.server.most_workers == 5
    assert point.model.workers == 2


def test_predictions_beside_the_scaling_are_measured_alone_first():
    alone, scaling = _points("repeated_scale_calls", parameters={"background_threads": 3})
    assert alone.load.users == 3
    assert alone.values
    assert not scaling.values
    _, plan = _plan("repeated_scale_calls", parameters={"background_threads": 3})
    assert [(group.load.users, group.background) for group in plan.groups] == [(1, False), (3, True)]


def test_scaling_that_would_not_scale_is_refused():
    with pytest.raises(UsageError, match="scale_up_workers 2 is not more than scale_down_workers 2"):
        _points("repeated_scale_calls", parameters={"scale_up_workers": 2, "scale_down_workers": 2})


def test_several_models_are_sent_each_its_own_requests_by_weight():
    models = ("a", "b")
    _, plan = _plan("multiple_models", models=models, parameters={"models": models, "weights": (3, 1)})
    (group,) = plan.groups
    assert [(step.name, step.requests[0].path) for step in group.scenario.steps] == [
        ("predict a", "/predictions/a"),
        ("predict b", "/predictions/b"),
    ]
    assert group.scenario.weights == (3, 1)
    with pytest.raises(UsageError, match="2 weights for 3 models"):
        _points("multiple_models", parameters={"weights": (3, 1)})


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
