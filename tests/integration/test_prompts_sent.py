"""A server with OpenAI's API, from the command to what it was asked: which model and prompts, and what is refused."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from loadgen_servers import Serve, Server, serving

from servemark import cli

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


def openai(models: list[str], asked: list[tuple[str, Any]], refusal: bytes = b"") -> Serve:
    """A server that has these models, and notes what it was asked; with `refusal` that is its answer to prompts."""
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
                    connection.sendall(answer("200 OK", "application/json", listed))
                elif method == "POST" and path.startswith("/v1/"):
                    asked.append((path, json.loads(body)))
                    connection.sendall(refusal or answer("200 OK", "text/event-stream", STREAM))
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


@pytest.mark.parametrize(
    ("models", "words", "said"),
    [
        (TWO, "--prompt-tokens 8", "name it with -m"),
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
