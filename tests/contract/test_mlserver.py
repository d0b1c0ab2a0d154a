"""MLServer: the same protocol, with models that it may not describe, streams of its own, and no way to change them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from servemark.servers import ModelSettings, Server

from ..processes import command_line, runs
from .kinds import Command, started

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mlserver() -> Iterator[Server]:
    with started("mlserver") as server:
        yield server


@pytest.fixture
def command(mlserver: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(mlserver, tmp_path, capsys)


def test_a_model_that_is_not_described_is_asked_with_shape_and_type(mlserver: Server, command: Command) -> None:
    assert (mlserver.product, mlserver.version) == ("MLServer", "1.7.1")
    assert mlserver.addresses["inference"].url != "http://127.0.0.1:8080", "the user's settings have another port"
    status, said, result = command.run("latency -m linear -l 30 --shape x:FP32:2,4")
    assert status == 0, said
    (benchmark,) = result["benchmarks"]
    assert benchmark["runs"][0]["server"]["requested"]["tensors"] == "random x FP32 [2,4]"
    assert benchmark["steps"][0]["succeeded"] == 30
    assert "inside" not in benchmark["runs"][0], "it counts nothing that could be asked for"


def test_a_stream_is_one_of_events(command: Command) -> None:
    status, said, result = command.run("latency -m tokens --call infer_stream --tensors json -l 2")
    (step,) = result["benchmarks"][0]["steps"]
    assert (status, step["events"]["count"]) == (0, 20), said
    assert step["tokens"]["events"] == 20


def test_a_stream_that_fails_is_broken_off(command: Command) -> None:
    line = "latency -m broken --call infer_stream --input-data zeros --tensors json -l 5 --max-errors 60%"
    status, said, result = command.run(line)
    (step,) = result["benchmarks"][0]["steps"]
    assert (status, step["errors"], step["succeeded"]) == (0, {"closed_early": 3}, 2), said


def test_workers_of_one_that_we_start_are_processes_and_gone_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with started("mlserver", "linear", workers=2, shapes="x:FP32:1,4") as server:
        assert server.pid is not None
        leader = psutil.Process(server.pid)
        with server.serve_models(ModelSettings(2)) as (model,):
            assert (model.requested["workers"], model.read_back) == (2, {"workers": 2})
            assert server.read_back() == {"linear": {"workers": 2}}
        status, said, result = Command(server, tmp_path, capsys).run("latency -m linear -l 20 -t 4 --shape x:FP32:1,4")
        assert (status, result["benchmarks"][0]["steps"][0]["succeeded"]) == (0, 80), said
        processes = leader.children(recursive=True)
        predicting = [one for one in processes if "spawn_main" in command_line(one)]
        assert len(predicting) == 2
    assert not [one for one in (leader, *processes) if runs(one.pid)]


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("latency -m linear", 2, "the server does not say which inputs linear has; give --shape NAME:FP32:1,4"),
        ("latency -m other", 2, "the server has no model 'other': it has broken, linear, tokens"),
        ("batching -m linear", 2, "batching makes no sense with a MLServer: it has no call that sets how a model"),
        ("repeated_scale_calls -m linear", 2, "it has no call that changes a model's workers"),
        ("load -m linear", 2, "it has no call that loads a model under another name"),
        ("latency -m linear -w 2 --shape x:FP32:1,4", 2, "how linear is served cannot be changed"),
        (
            "latency -m tokens --call generate_stream",
            2,
            "a MLServer: it has no such call; give --call infer_stream",
        ),
        ("latency -m linear --shape x:FP32:1,5", 4, "or give what it takes with --shape or --input-data, or a whole"),
    ],
)
def test_what_cannot_be_is_one_line(command: Command, line: str, status: int, said: str) -> None:
    ended, words, result = command.run(line)
    assert (ended, said in words) == (status, True), words
    assert result.get("benchmarks", [{"runs": []}])[0]["runs"] == [], "nothing was measured"
