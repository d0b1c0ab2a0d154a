"""Triton out of its wheel: known, described, asked, told how to serve, and its own counts beside ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tokenizers

from servemark.servers import ModelSettings, Server, ServerSettings
from servemark.servers.http.connection import send_once
from servemark.servers.http.finding import find_server
from servemark.servers.http.trust import Trust
from servemark.servers.oip.asked import TensorsAsked, TensorShape
from servemark.servers.oip.calls import OipCalls
from servemark.servers.running import RunningLauncher

from .kinds import Command, started

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def triton() -> Iterator[Server]:
    with started("triton") as server:
        yield server


@pytest.fixture
def command(triton: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(triton, tmp_path, capsys)


@pytest.fixture(scope="module")
def calls(triton: Server) -> Iterator[OipCalls]:
    with OipCalls(triton.addresses["inference"]) as calls:
        yield calls


def test_it_is_known_by_what_it_answers_and_is_ours_by_its_process(triton: Server) -> None:
    address = triton.addresses["inference"]
    found = find_server(f"{address.host}:{address.port}", trust=Trust(), progress=print)
    assert found.dialect.name == "oip"
    assert (triton.product, triton.version, triton.launcher) == ("Triton Inference Server", "2.51.0", "managed")
    assert triton.memory_bytes() > 10 * 2**20
    assert triton.facts["models"] == ["broken", "echo", "failing", "linear", "moody", "tokens"]


@pytest.mark.parametrize("form", ["json", "binary"])
def test_a_model_is_asked_with_what_it_is_described_to_take(command: Command, form: str) -> None:
    status, said, result = command.run(f"latency -m linear -l 30 -t 2 --tensors {form}")
    assert status == 0, said
    benchmark, (run,) = result["benchmarks"][0], result["benchmarks"][0]["runs"]
    assert (benchmark["steps"][0]["succeeded"], benchmark["options"]["input_count"]) == (60, 8)
    assert run["server"]["read_back"]["workers"] == 2
    assert run["server"]["requested"] == {"call": "infer", "tensors": "random x FP32 [1,4]", "written_as": form}
    (inside,) = run["inside"]
    assert (inside["model"], inside["requests"], inside["failed"]) == ("linear", 60, 0)
    parts_ms = [inside[name] for name in ("queue_ms", "input_ms", "infer_ms", "output_ms")]
    assert 0 < sum(parts_ms) < benchmark["steps"][0]["service_ms"]["mean"]["value"]
    assert "in the server queue" in said


@pytest.mark.parametrize("parameters", [{}, {"binary_data": True}, {"classification": 2}])
def test_a_request_of_the_users_is_answered_in_the_form_in_which_it_asks(
    command: Command, tmp_path: Path, parameters: dict[str, object]
) -> None:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
    asked = {"inputs": [tensor], "outputs": [{"name": "y", "parameters": parameters}]}
    file = tmp_path / "request.json"
    file.write_text(json.dumps(asked))
    status, said, result = command.run(f"latency -m linear -i {file} -l 3")
    assert status == 0, said
    assert result["benchmarks"][0]["steps"][0]["succeeded"] == 3


def test_every_data_type_comes_back_as_it_was_sent(triton: Server) -> None:
    names = [f"{kind}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64)]
    names += ["bool", "fp16", "fp32", "fp64", "bytes"]
    shapes = tuple(TensorShape(name, (3,)) for name in names)
    asked = RunningLauncher(triton.addresses["inference"].url, ("echo",), tensors=TensorsAsked(shapes=shapes))
    with asked.serve(ServerSettings()) as server, server.serve_models(ModelSettings(None)) as (model,):
        assert len(model.inputs) == 8
        assert dict(model.inputs[0].headers).keys() == {"Inference-Header-Content-Length"}


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        (
            "latency -m linaer",
            2,
            "the server has no model 'linaer': it has broken, echo, failing, linear, moody, tokens; give -m",
        ),
        ("latency", 2, "the model is not named: the server has broken, echo, failing, linear, moody, tokens"),
        ("latency -m echo --tensors json --shape fp16:3", 2, "cannot be written as JSON"),
        ("latency -m linear --shape x:4", 2, "--shape x: [4] does not fit the input x FP32 [-1,4] of linear"),
        ("latency -m linear --management-port 9", 2, "its calls go to the same port"),
        ("latency -m linear --dialect mms", 4, "answers as a server of the Open Inference Protocol does"),
        ("load -m linear", 2, "it has no call that loads a model under another name"),
        ("batching -m echo --options batch_size 1,4", 2, "the model echo takes no batches: its max_batch_size is 0"),
        ("latency -m tokens", 4, "it answers with a stream: give --call generate_stream (HTTP end point doesn't"),
        ("latency -m tokens --call generate", 4, "it answered with an error"),
        ("latency -m failing --call generate_stream", 4, "it answered with an error: no more words"),
        ("latency -m linear --prompt-tokens 8", 2, "takes no prompts"),
        ("latency -m linear --prompt-tokens 8", 2, "say with --call generate_stream that it is to generate"),
    ],
)
def test_what_cannot_be_is_one_line(command: Command, line: str, status: int, said: str) -> None:
    ended, words, result = command.run(line)
    assert (ended, said in words) == (status, True), words
    assert result.get("benchmarks", [{"runs": []}])[0]["runs"] == [], "nothing was measured"


def test_an_error_within_a_200_is_an_application_error(command: Command) -> None:
    status, said, result = command.run("latency -m moody --call generate --input-data zeros -l 20 --max-errors 60%")
    (step,) = result["benchmarks"][0]["steps"]
    assert (status, step["errors"]) == (0, {"application": 10}), said


def test_a_stream_is_one_of_events_and_of_what_they_hold(command: Command) -> None:
    status, said, result = command.run("latency -m tokens --call generate_stream -l 3")
    (step,) = result["benchmarks"][0]["steps"]
    assert (status, step["events"]["count"]) == (0, 30), said
    assert (step["tokens"]["streams"], step["tokens"]["events"]) == (3, 30)
    assert "first token" in said
    assert "end mark" not in said


def test_prompts_are_asked_of_what_generates_each_once_and_others_in_each_run(command: Command, tmp_path: Path) -> None:
    line = "latency -m tokens --call generate_stream --prompt-tokens 30 --output-tokens 4 -l 5 --trials 2 --seed 3"
    status, said, result = command.run(line)
    (benchmark,) = result["benchmarks"]
    assert (status, benchmark["steps"][0]["tokens"]["events"]) == (0, 20), said
    prompts = [(one["prompts"]["seed"], one["prompts"]["run"]) for one in benchmark["runs"] if not one.get("repeat_of")]
    assert prompts == [(3, 0), (4, 0)]
    assert {one["prompts"]["shared"] for one in benchmark["runs"]} == {0}
    file = tmp_path / "prompts.jsonl"
    of_triton = '{"text_input": "in its words", "parameters": {"max_tokens": 4}}'
    file.write_text(f'"asked first"\n{{"prompt": "four words of it", "output_tokens": 4}}\n{of_triton}\n')
    status, said, result = command.run(f"latency -m tokens --call generate_stream --prompts {file} -l 3")
    assert (status, result["benchmarks"][0]["steps"][0]["tokens"]["events"]) == (0, 12), said


def test_answers_that_come_whole_are_read_for_their_tokens_as_streams_are(command: Command, tmp_path: Path) -> None:
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "words.json"))
    line = f"latency -m tokens --call generate --prompt-tokens 30 --output-tokens 1 --tokenizer {tmp_path}/words.json"
    status, said, result = command.run(f"{line} -l 3")
    (benchmark,) = result["benchmarks"]
    output = benchmark["steps"][0]["tokens"]["output_tokens"]
    assert (status, output["count"], output["source"]) == (0, 3, "tokenizer"), said
    assert benchmark["runs"][0]["prompts"]["count"] == 3


def test_an_error_in_the_middle_of_a_stream_is_an_application_error(command: Command) -> None:
    status, said, result = command.run(
        "latency -m broken --call generate_stream --input-data zeros -l 5 --max-errors 60%"
    )
    (step,) = result["benchmarks"][0]["steps"]
    assert (status, step["errors"], step["succeeded"]) == (0, {"application": 3}, 2), said
    assert "the answer says that it failed: out of words" in said


def test_scaling_is_read_back_and_undone(command: Command, calls: OipCalls) -> None:
    line = "repeated_scale_calls -m linear --options scale_up_workers 3 scale_down_workers 1 -l 1"
    status, said, result = command.run(line)
    assert status == 0, said
    scaling = result["benchmarks"][0]["analysis"]["scaling"]
    assert [(scaling[way]["calls"], scaling[way]["failed"]) for way in ("up", "down")] == [(1, 0), (1, 0)]
    assert [group["count"] for group in calls.config("linear")["instance_group"]] == [2]


def test_batches_are_those_that_were_asked_for(command: Command, calls: OipCalls) -> None:
    line = "batching -m linear --options batch_size 1,4 max_batch_delay 5 -t 8 -l 20"
    status, said, result = command.run(line)
    assert status == 0, said
    by_size = {run["server"]["read_back"]["batch_size"]: run["inside"][0] for run in result["benchmarks"][0]["runs"]}
    in_each = {size: inside["requests"] / inside["executions"] for size, inside in by_size.items()}
    assert in_each.keys() == {1, 4}
    assert in_each[1] == 1
    assert 1.5 < in_each[4] <= 4
    assert "dynamic_batching" not in calls.config("linear")


def test_a_model_is_gone_when_it_says_so(calls: OipCalls) -> None:
    calls.unload("moody")
    assert (calls.state("moody"), "moody" in calls.models()) == ("UNAVAILABLE", False)
    calls.load("moody")
    assert calls.state("moody") == "READY"


def test_values_of_a_file_are_computed_with(triton: Server, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps({"data": [{"x": [1, 2, 3, 4]}]}))
    tensors = TensorsAsked(data=str(file), form="json")
    asked = RunningLauncher(triton.addresses["inference"].url, ("linear",), tensors=tensors)
    with asked.serve(ServerSettings()) as server, server.serve_models(ModelSettings(None)) as (model,):
        request = server.dialect.prediction("linear", model.inputs[0])
        answer = server.dialect.decode(send_once(server.addresses["inference"], request, 10).body)
    assert answer["outputs"][0]["data"] == [60.0, 70.0, 80.0]
