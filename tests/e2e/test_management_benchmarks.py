"""Benchmarks of the management API, and of several models, against real servers."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path

import numpy as np
import pytest

from servemark import open_records
from servemark.servers import ModelSettings, ServerSettings
from servemark.servers.mms.archives import ServeRequest
from servemark.servers.mms.managed import ManagedLauncher
from servemark.zoo.catalogue import find

pytestmark = pytest.mark.slow

_SCALING_STEPS = ("scale_up", "read_up", "scale_down", "read_down")


def test_load_registers_the_model_many_times_at_once_and_removes_all_of_them(command):
    run = command.run("load -m noop --options count 6")
    assert run.status == 0, run.stderr
    assert (run.step["name"], run.step["requests"], run.step["succeeded"]) == ("register", 6, 6)
    found = run.benchmark["analysis"]["registrations"]
    assert list(found["models"]) == [f"noop-v1.0-{n}" for n in range(1, 7)]
    times = [one["response_s"] for one in found["models"].values()]
    assert found["total_s"] < sum(times), "they ran at the same time"
    assert found["removal_failures"] == {}
    telemetry = run.benchmark["runs"][0]["telemetry"]
    assert 0 < telemetry["server_memory_before_mib"] < telemetry["server_memory_after_mib"]
    rows = open_records(run.records).memmap()
    assert sorted(rows["step"]) == list(range(6))
    assert rows["scheduled"].max() < rows["end"].min(), "all were under way before the first was done"
    for part in ("6 of 6 registered", "each, in s", "removed", "server memory"):
        assert part in run.stdout
    assert max(map(len, run.stdout.splitlines()[:-2])) <= 80


def test_what_cannot_be_registered_is_told_one_by_one_and_the_rest_is_removed(command):
    with (
        ManagedLauncher(ServeRequest((find("noop"),))).serve(ServerSettings()) as server,
        server.serve_models(ModelSettings(workers=1)) as (noop,),
    ):
        target = server.addresses["inference"].authority
        server.management.register(noop.url, model_name="noop-v1.0-2", initial_workers=1)
        run = command.run(f"load -m noop --mms {target} --options count 3")
        assert run.status == 2
        assert "the server has a model noop-v1.0-2 already" in run.error_line
        server.management.unregister("noop-v1.0-2")
        run = command.run(f"load -m noop --mms {target} --options count 3 --timeout 0.01")
        assert run.status == 4
        errors = {one["error"] for one in run.benchmark["analysis"]["registrations"]["models"].values()}
        assert errors == {"timeout"}
        assert [model.name for model in server.management.list_models()] == ["noop-v1.0"]
        for _ in range(3):
            run = command.run(f"load -m noop --mms {target} --options count 3")
            if run.status == 0:
                break
            # The server takes away what it unpacked for those that were given up, while it unpacks it anew for these.
            (step,) = run.benchmark["steps"]
            assert set(step["errors"]) == {"http_status:500"}
            assert step["error_examples"][0]["message"].startswith("Failed to save model")
        assert run.status == 0, run.stderr
        assert [model.name for model in server.management.list_models()] == ["noop-v1.0"]
        assert run.benchmark["runs"][0]["telemetry"]["server_memory_after_mib"] is None


def test_scaling_is_read_back_and_reported_up_and_down_apart(command):
    run = command.run("repeated_scale_calls -m noop -l 3 --options scale_up_workers 5 scale_down_workers 2")
    assert run.status == 0, run.stderr
    names = {step["name"]: step for step in run.benchmark["steps"]}
    assert tuple(names) == _SCALING_STEPS
    assert names["scale_up"]["succeeded"] == names["scale_down"]["succeeded"] == 3
    assert all(step["errors"] == {} for step in names.values())
    parameters = {"scale_up_workers": 5, "scale_down_workers": 2, "background_threads": 0}
    assert run.benchmark["options"]["parameters"] == parameters
    scaling = run.benchmark["analysis"]["scaling"]
    for direction in ("up", "down"):
        calls = scaling[direction]
        assert (calls["calls"], calls["failed"], calls["unfinished"]) == (3, 0, 0)
        assert calls["settled_ms"] == _settled_ms(run.records, direction)
    assert scaling["background"] is None
    (one,) = run.benchmark["runs"]
    assert one["server"]["read_back"]["workers"] == 2
    assert run.result["server"]["preload_model"] is True
    assert run.result["server"]["config"]["preload_model"] == "true"
    assert "preload_model" in run.stdout
    assert "up p50" in run.stdout
    assert max(map(len, run.stdout.splitlines()[:-2])) <= 80


def _settled_ms(records: Path, direction: str) -> dict[str, float]:
    """From each call to the end of the last reading that followed it, by hand."""
    file = open_records(records)
    rows = np.sort(file.memmap(), order="scheduled")
    call, read = (file.step_names.index(f"{what}_{direction}") for what in ("scale", "read"))
    of_both = [row for row in rows if row["step"] in (call, read)]
    took_ms = []
    for number, row in enumerate(of_both):
        if row["step"] == call:
            follows = itertools.takewhile(lambda later: later["step"] == read, of_both[number + 1 :])
            took_ms.append((list(follows)[-1]["end"] - row["scheduled"]) / 1e6)
    took_ms.sort()
    return {"p50": took_ms[len(took_ms) // 2], "p99": took_ms[-1], "min": took_ms[0], "max": took_ms[-1]}


def test_predictions_beside_the_scaling_are_compared_with_those_before(command):
    line = "repeated_scale_calls -m noop -l 5 --max-errors 100% --options scale_up_workers 4 background_threads 2"
    run = command.run(line)
    assert run.status == 0, run.stderr
    assert run.benchmark["options"]["threads"] == 1, "who scales, not who predicts meanwhile"
    found = run.benchmark["analysis"]["scaling"]["background"]
    assert found["users"] == 2
    assert found["alone"]["requests"] > 0
    assert found["alone"]["failed"] == 0
    during = found["while_scaling"]
    assert 0 < during["requests"] <= next(s["requests"] for s in run.benchmark["steps"] if s["name"] == "predict")
    alone, scaled = (open_records(run.folder / one["records"]) for one in run.benchmark["runs"])
    own = np.isin(scaled.memmap()["step"], [scaled.step_names.index(name) for name in _SCALING_STEPS])
    calls, predictions = scaled.memmap()[own], scaled.memmap()[~own]
    # One user scales without a pause, so that from the first call to the last answer one is always under way.
    meanwhile = (predictions["end"] > calls["scheduled"].min()) & (predictions["scheduled"] < calls["end"].max())
    assert during["requests"] == meanwhile.sum()
    usual_ns = [row["end"] - row["sent"] for row in alone.memmap() if row["scheduled"] >= alone.warmup_ns]
    took_ns = [row["end"] - row["sent"] for row in predictions[meanwhile] if row["kind"] == 0]
    assert during["failed"] == meanwhile.sum() - len(took_ns)
    assert during["slowed"] == sum(one > sorted(usual_ns)[-1 - len(usual_ns) // 100] for one in took_ns)
    assert "while scaling" in run.stdout
    assert "slower than the p99 alone" in run.stdout.replace("\n" + " " * 15, " ")


def test_scaling_to_as_many_workers_as_would_not_fit_is_refused_before_the_server_starts(command):
    run = command.run("repeated_scale_calls --options scale_up_workers 100000 scale_down_workers 10")
    assert run.status == 4
    assert "100000 workers would not fit in memory" in run.error_line
    assert "ask for at most" in run.error_line
    assert "starting Multi Model Server" not in run.stderr


def test_the_originals_hundred_workers_of_resnet_are_scaled_as_it_wrote_it(command):
    run = command.run("repeated_scale_calls --options scale_up_workers 100 scale_down_workers 10 -l 1")
    assert run.status == 0, run.stderr
    assert run.benchmark["model"] == "resnet-18"
    assert run.benchmark["analysis"]["scaling"]["up"]["calls"] == 1
    assert run.benchmark["analysis"]["scaling"]["up"]["failed"] == 0
    after_mib = run.benchmark["runs"][0]["telemetry"]["server_memory_after_mib"]
    assert after_mib < 100 * 100, "the workers share the model"


def test_a_model_that_was_on_the_server_before_is_not_scaled(command):
    with (
        ManagedLauncher(ServeRequest((find("noop"),))).serve(ServerSettings()) as server,
        server.serve_models(ModelSettings(workers=1)),
    ):
        run = command.run(f"repeated_scale_calls -m noop --mms {server.addresses['inference'].authority}")
        assert run.status == 2
        assert "was on the server before, so it is not scaled" in run.error_line
        assert server.management.describe("noop-v1.0").ready_workers == 1


def test_ctrl_c_while_scaling_keeps_what_was_measured(command):
    with command.started("repeated_scale_calls -m noop --duration 30 --options scale_up_workers 3") as started:
        started.wait_until_measuring()
        started.interrupt(signal.SIGINT)
        run = started.end()
    assert run.status == 130
    assert run.result["partial"] is True


def test_several_models_get_each_its_own_input_in_the_shares_that_were_asked_for(command):
    run = command.run("multiple_models -w 1 -t 2 -l 30 --options weights 1,1,4")
    assert run.status == 0, run.stderr
    steps = {step["name"]: step for step in run.benchmark["steps"]}
    assert list(steps) == ["predict resnet-18", "predict squeezenet_v1.1", "predict lstm_ptb"]
    assert all(step["errors"] == {} for step in steps.values()), "each was sent what it takes"
    assert sum(step["requests"] for step in steps.values()) == 60
    assert steps["predict lstm_ptb"]["requests"] > 20
    assert set(run.benchmark["runs"][0]["server"]["read_back"]) == {"resnet-18", "squeezenet_v1.1", "lstm_ptb"}
    assert "/s in all" in run.stdout
    originals = command.run("multiple_models -w 1 -t 2 -l 30 --options models noop,lstm,resnet weights 1,1,4")
    names = [step["name"] for step in originals.benchmark["steps"]]
    assert names == ["predict noop-v1.0", "predict lstm_ptb", "predict resnet-18"]
    drawn = [step["requests"] for step in originals.benchmark["steps"]]
    assert drawn == [step["requests"] for step in steps.values()], "the seed says whose turn it is, not the model"
