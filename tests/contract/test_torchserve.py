"""TorchServe, with a stand-in for torch: a Multi Model Server's benchmarks, its own lists, counts and tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from servemark.environments.model_servers import server_environment
from servemark.servers import ModelSettings, Server, ServerSettings
from servemark.servers.http.connection import send_once
from servemark.servers.http.finding import find_server
from servemark.servers.http.trust import Trust
from servemark.servers.own_process import OwnProcess, started_process
from servemark.servers.torchserve.own import how_to_start, ports_for

from .kinds import Command, started

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def torchserve() -> Iterator[Server]:
    with started("torchserve", "noop") as server:
        yield server


@pytest.fixture
def command(torchserve: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(torchserve, tmp_path, capsys)


def test_it_is_told_from_the_server_that_it_came_of(torchserve: Server) -> None:
    address = torchserve.addresses["inference"]
    found = find_server(f"{address.host}:{address.port}", trust=Trust(), progress=print)
    assert found.dialect.name == "torchserve"
    assert (torchserve.product, torchserve.version) == ("TorchServe", "0.12.0")


def test_a_model_of_the_zoo_is_offered_to_it_and_removed(command: Command) -> None:
    status, said, result = command.run("latency -m noop -l 30 -w 1")
    assert status == 0, said
    (benchmark,) = result["benchmarks"]
    assert (benchmark["model"], benchmark["steps"][0]["succeeded"]) == ("noop-v1.0", 30)
    assert benchmark["runs"][0]["server"]["read_back"]["workers"] == 1


def test_its_calls_load_scale_and_batch(command: Command) -> None:
    status, said, result = command.run("load -m noop --options count 2")
    assert status == 0, said
    assert result["benchmarks"][0]["steps"][0]["succeeded"] == 2
    line = "repeated_scale_calls -m noop --options scale_up_workers 2 scale_down_workers 1 -l 1"
    status, said, result = command.run(line)
    assert status == 0, said
    assert result["benchmarks"][0]["analysis"]["scaling"]["up"]["failed"] == 0
    line = "batching -m noop --options batch_size 4 max_batch_delay 5 workers 1 -t 8 -l 20"
    status, said, result = command.run(line)
    assert status == 0, said
    assert result["benchmarks"][0]["runs"][0]["server"]["read_back"]["batch_size"] == 4


def test_what_it_counts_is_beside_what_we_measure(torchserve: Server) -> None:
    with torchserve.serve_models(ModelSettings(workers=1)) as (model,):
        before = torchserve.inside()[model.name]
        send_once(torchserve.addresses["inference"], torchserve.dialect.prediction(model.name, model.inputs[0]), 10)
        after = torchserve.inside()[model.name]
    assert after.requests - before.requests == 1
    assert 0 < after.infer_ns - before.infer_ns < 10**10


def test_one_that_wants_tokens_is_measured_with_them_and_says_so_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def keys_of(process: OwnProcess) -> Path:
        return process.instance.root / "key_file.json"

    environment = server_environment("torchserve", print)
    start = partial(how_to_start, environment, ServerSettings(), asks_for_tokens=True)
    with started_process(lambda: ports_for(None), start, lambda process: keys_of(process).exists()) as process:
        keys = keys_of(process)
        command = Command(f"http://127.0.0.1:{process.ports[0]}", tmp_path, capsys)
        status, said, _ = command.run("latency -m noop -w 1 -l 5")
        assert (status, "wants a token" in said, "--token-file" in said) == (2, True, True), said
        status, said, result = command.run(f"latency -m noop -w 1 -l 5 -v --token-file {keys}")
        assert status == 0, said
        assert result["benchmarks"][0]["steps"][0]["succeeded"] == 5
        secrets = [one["key"] for one in json.loads(keys.read_text()).values()]
        written = said + "".join(file.read_text() for file in tmp_path.rglob("*.json"))
        assert [secret for secret in secrets if secret in written] == []


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("latency -m other", 2, "neither the server nor the zoo has a model 'other'"),
        ("latency -m noop --input-data zeros", 2, "--input-data makes no sense with a TorchServe"),
        ("latency -m noop --dialect oip", 4, "it answers as a TorchServe does: give --dialect torchserve"),
        ("latency -m noop --dialect mms", 4, "it answers as a TorchServe does: give --dialect torchserve"),
    ],
)
def test_what_cannot_be_is_one_line(command: Command, line: str, status: int, said: str) -> None:
    ended, words, _ = command.run(line)
    assert (ended, said in words) == (status, True), words
