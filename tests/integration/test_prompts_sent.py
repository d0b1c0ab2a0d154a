"""A server with OpenAI's API, from the command to what it was asked: which model and prompts, and what is refused."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from loadgen_servers import Serve, Server, serving

from servemark import cli, open_records

from ..validity import status_but_for_the_machine

pytestmark = pytest.mark.seconds

STREAM = (
    b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
    b"data: [DONE]\n\n"
)
ONE, TWO = ["one"], ["one", "two"]


def answer(status: str, content_type: str, body: bytes) -> bytes:
    """An answer with its length."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def openai(
    models: list[str], asked: list[tuple[str, Any]], refusal: bytes = b"", looks: list[str] | None = None
) -> Serve:
    """A server that has these models, and notes what it was asked; with `refusal` that is its answer to prompts.

    `looks` gets a word each time that its models are asked for.
    """
    listed = json.dumps({"data": [{"id": name} for name in models]}).encode()

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            while first := lines.readline():
                length = 0
                while (field := lines.readline()) != b"\r\n":
                    if field.lower().startswith(b"content-length:"):
                        length = int(field.partition(b":")[2])
                method, path, _ = first.decode().split()
                body = lines.read(length)
                if path == "/v1/models":
                    if looks is not None:
                        looks.append(method)
                    connection.sendall(answer("200 OK", "application/json", listed))
                elif method == "POST" and path.startswith("/v1/"):
                    asked.append((path, json.loads(body)))
                    connection.sendall(refusal or answer("200 OK", "text/event-stream", STREAM))
                elif method == "OPTIONS" and path == "/v1/chat/completions":
                    connection.sendall(answer("405 Method Not Allowed", "text/plain", b"no"))
                else:
                    connection.sendall(answer("404 Not Found", "text/plain", b"no"))

    return serve


def run(server: Server, folder: Path, words: str) -> tuple[int, Any]:
    """The exit status of ``servemark run latency``, however busy the machine was, and its result, if there is one."""
    command = ["run", "latency", "--server", f"http://127.0.0.1:{server.port}", "-o", str(folder), "--no-history"]
    status = cli.main([*command, *words.split()])
    file = folder / "result.json"
    result = json.loads(file.read_text()) if file.exists() else None
    return status_but_for_the_machine(status, result), result


def test_each_prompt_is_asked_once_of_the_only_model(tmp_path):
    asked: list[tuple[str, Any]] = []
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(f'"prompt {number}"\n' for number in range(11)))
    with serving(openai(ONE, asked)) as server:
        status, result = run(
            server, tmp_path / "out", f"--dialect openai --prompts {prompts} -l 10 --output-tokens 5 --ignore-eos"
        )
    assert status == 0
    assert {path for path, _ in asked} == {"/v1/chat/completions"}
    first = asked[0][1]
    assert (first["model"], first["max_tokens"], first["ignore_eos"], first["min_tokens"]) == ("one", 5, True, 5)
    assert (first["stream"], first["stream_options"]) == (True, {"include_usage": True})
    texts = [body["messages"][0]["content"] for _, body in asked]
    assert sorted(texts) == sorted(f"prompt {number}" for number in range(11))
    (step,) = result["benchmarks"][0]["steps"]
    assert step["tokens"]["output_tokens"]["count"] == 10


def test_a_server_that_is_found_out_is_asked_what_one_is_whose_dialect_is_named(tmp_path):
    asked: list[tuple[str, Any]] = []
    with serving(openai(ONE, asked)) as server:
        statuses = [run(server, tmp_path / name, f"--dialect {name} -l 1")[0] for name in ("openai", "auto")]
    assert statuses == [0, 0]
    first, second = asked[: len(asked) // 2], asked[len(asked) // 2 :]
    assert first == second
    assert (len(first[0][1]["messages"][0]["content"].split()), first[0][1]["max_tokens"]) == (128, 64)


def test_the_list_of_models_is_asked_for_once(tmp_path):
    looks: list[str] = []
    with serving(openai(ONE, [], looks=looks)) as server:
        status, _ = run(server, tmp_path / "out", "--dialect openai -l 1 --prompt-tokens 4")
    assert (status, looks) == (0, ["GET"])


def test_of_many_models_some_are_named(tmp_path, capsys):
    models = [f"m{number}" for number in range(30)]
    with serving(openai(models, [])) as server:
        status, _ = run(server, tmp_path / "out", "--dialect openai -l 1 --prompt-tokens 4 -m other")
    assert status == 2
    said = "the server has no model 'other': it has m0, m1, m2, m3, m4, m5, m6, m7 and 22 more; give -m one of these"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("dialect", ["--dialect openai", ""], ids=["named", "found out"])
def test_a_trace_with_lengths_is_sent_in_its_order_with_prompts_as_long(tmp_path, dialect):
    asked: list[tuple[str, Any]] = []
    lengths = [(5, 3), (700, 1), (100, 9), (7, 2)]
    trace = tmp_path / "trace.jsonl"
    lines = [
        {"timestamp": 100 * place, "input_length": one, "output_length": other, "hash_ids": [0, place]}
        for place, (one, other) in enumerate(lengths)
    ]
    trace.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with serving(openai(ONE, asked)) as server:
        status, result = run(server, tmp_path / "out", f"{dialect} --arrival trace:{trace}:timestamp -l 3")
    assert status == 0
    bodies = [body for _, body in asked[1:]]
    said = [(len(body["messages"][0]["content"].split()), body["max_tokens"]) for body in bodies]
    assert sorted(said) == sorted(lengths[:3]), "a connection may be quicker than the one before it"
    rows = open_records(tmp_path / "out" / "records" / "latency.bin")
    assert dict(zip(rows["user"].tolist(), rows["input"].tolist(), strict=True)) == {0: 0, 1: 1, 2: 2}
    (step,) = result["benchmarks"][0]["steps"]
    assert (step["tokens"]["asked"], step["tokens"]["short"]) == (3, {"length": 2})
    prompts = result["benchmarks"][0]["runs"][0]["prompts"]
    assert prompts == {"count": 3, "shared": 1, "repeated": 0, "characters": 64, "seed": 0, "run": 0}


def test_each_trial_asks_prompts_that_no_trial_before_it_asked_and_two_results_ask_the_same(tmp_path):
    asked: list[tuple[str, Any]] = []
    words = "--dialect openai -l 3 --trials 3 --prompt-tokens 20 --output-tokens 1 --seed 4"
    with serving(openai(ONE, asked)) as server:
        _, result = run(server, tmp_path / "one", words)
        again = len(asked)
        _, other = run(server, tmp_path / "other", words)
    texts = [body["messages"][0]["content"] for _, body in asked]
    assert len(set(texts[:again])) == again
    runs = result["benchmarks"][0]["runs"]
    drawn = [(one["prompts"]["seed"], one["prompts"]["run"]) for one in runs if not one.get("repeat_of")]
    assert drawn == [(4, 0), (5, 0), (6, 0)]
    checksums = {one["benchmarks"][0]["options"]["input_sha256"] for one in (result, other)}
    assert len(checksums) == 1
    assert set(texts[again:]) & set(texts[:again])


def test_neither_of_two_that_are_compared_asks_what_the_other_did(tmp_path):
    asked: list[tuple[str, Any]] = []
    with serving(openai(ONE, asked)) as server:
        side = f"latency --server 127.0.0.1:{server.port} --dialect openai -l 2 --prompt-tokens 20 --output-tokens 1"
        cli.main(["ab", "-o", str(tmp_path / "out"), "--blocks", "1", "--seed", "4", side, "--", side])
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    drawn = [
        (one["prompts"]["seed"], one["prompts"]["run"])
        for benchmark in result["benchmarks"]
        for one in benchmark["runs"]
        if not one.get("repeat_of")
    ]
    assert drawn == [(4, 0), (5, 0), (4, 1), (5, 1)]
    assert "inputs" not in result["comparison"]["benchmarks"][0]["told"]
    texts = [body["messages"][0]["content"] for _, body in asked]
    measured = [text for text in texts if not text.startswith("1 ")]  # of which no pool has the first
    assert len(measured) >= 8
    assert len(set(measured)) == len(measured)


@pytest.mark.parametrize(("dialect", "looks"), [("--dialect openai", False), ("", True)], ids=["named", "found out"])
def test_a_line_of_a_trace_without_its_lengths_is_said_and_nothing_is_asked(tmp_path, capsys, dialect, looks):
    asked: list[tuple[str, Any]] = []
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n0,5,1\n1,many,1\n")
    with serving(openai(ONE, asked)) as server:
        status, _ = run(server, tmp_path / "out", f"{dialect} --arrival trace:{trace}:TIMESTAMP")
        assert (status, asked, server.accepted > 0) == (2, [], looks)
    assert "line 3: contexttokens is 'many'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("models", "words", "said"),
    [
        (TWO, "--prompt-tokens 8", "the server has one, two; give -m one of these"),
        (TWO, "--prompt-tokens 8 -m three", "one, two"),
        (TWO, "--prompt-tokens 8 -m one -w 2", "workers and batches are not changed"),
        (ONE, "--prompt-tokens 8 --shared-prefix 8", "leaves nothing"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_line_and_nothing_is_asked(tmp_path, capsys, models, words, said):
    asked: list[tuple[str, Any]] = []
    with serving(openai(models, asked)) as server:
        status, _ = run(server, tmp_path / "out", f"--dialect openai -l 1 {words}")
    assert (status, asked) == (2, [])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error


def test_more_answers_than_records_may_be_kept_are_refused_where_their_tokens_are_read(tmp_path, capsys):
    asked: list[tuple[str, Any]] = []
    with serving(openai(ONE, asked)) as server:
        status, _ = run(server, tmp_path / "out", "-t 2 -l 1 --generators 2 --max-records 1")
    assert (status, len(asked)) == (2, 1), "one prompt is asked before the measurement"
    said = capsys.readouterr().err
    assert "2 requests are more than --max-records 1: reading tokens needs the record of each" in said


def test_a_prompt_that_the_server_refuses_is_told_in_its_words(tmp_path, capsys):
    words = b'{"error": {"message": "maximum context length is 4096 tokens"}}'
    with serving(openai(ONE, [], answer("400 Bad Request", "application/json", words))) as server:
        status, _ = run(server, tmp_path / "out", "--dialect openai -l 1 --prompt-tokens 9000")
    assert status == 4
    assert "maximum context length is 4096 tokens" in capsys.readouterr().err


def test_prompts_are_for_servers_that_take_them(tmp_path, capsys):
    with serving(openai(ONE, [])) as server:
        command = ["run", "latency", "-l", "1", "--prompt-tokens", "8", "-o", str(tmp_path / "out")]
        assert cli.main(command) == 2
        assert "prompts need --server" in capsys.readouterr().err
        assert server.accepted == 0
