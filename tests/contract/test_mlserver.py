"""MLServer: the same protocol, with models that it may not describe, streams of its own, and no way to change them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from servemark.servers import Server

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


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("latency -m linear", 2, "the server does not say which inputs linear has; give --shape NAME:FP32:1,4"),
        ("latency -m other", 2, "the server has no model 'other': it has linear, tokens"),
        ("batching -m linear", 2, "batching makes no sense with a MLServer: it has no call that sets how a model"),
        ("repeated_scale_calls -m linear", 2, "it has no call that changes a model's workers"),
        ("load -m linear", 2, "it has no call that loads a model under another name"),
        ("latency -m linear -w 2 --shape x:FP32:1,4", 2, "how linear is served cannot be changed"),
        ("latency -m linear --shape x:FP32:1,5", 4, "the model linear failed on the input"),
    ],
)
def test_what_cannot_be_is_one_line(command: Command, line: str, status: int, said: str) -> None:
    ended, words, result = command.run(line)
    assert (ended, said in words) == (status, True), words
    assert result.get("benchmarks", [{"runs": []}])[0]["runs"] == [], "nothing was measured"
