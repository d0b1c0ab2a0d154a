"""Whole runs against an endpoint that streams tokens, from the command to the written result and what is printed."""

from __future__ import annotations

import json
import re
import socket
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import tokenizers
from loadgen_servers import OK, STREAM_HEAD, Serve, Server, answering, chunk, hang_up, saying, serving

import servemark
from servemark import cli, open_records
from servemark.engines.native.answers import load_tokenizer
from servemark.event_files import bodies_path
from servemark.result import from_json, schema_text, to_json
from servemark.stats.evidence import Window
from servemark.stats.timeline import timeline_of
from servemark.stats.token_timeline import TOKEN_TIMES, token_timelines
from servemark.units import ns_from_s

from ..validity import status_but_for_the_machine

pytestmark = pytest.mark.seconds


def sent(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """A chunk of OpenAI's API, as one event in one chunk of the body."""
    data = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}
    return chunk(b"data: " + json.dumps(data).encode() + b"\n\n")


#: One answer a connection.
HEAD = STREAM_HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
ROLE = sent({"role": "assistant", "content": ""})
TOKENS = [sent({"content": f" word{number}"}) for number in range(4)]
USAGE = chunk(b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n')
DONE = chunk(b"data: [DONE]\n\n")
END = b"0\r\n\r\n"
WHOLE = (HEAD + ROLE, *TOKENS, sent({}, "length") + USAGE + DONE + END)


def saying_once(*pieces: bytes) -> Serve:
    """A server that says these, 20 ms apart, on each connection, and closes it."""
    return saying(*pieces, then=hang_up)


def answering_bodies(*pieces: bytes) -> Serve:
    """The same, where requests have a body."""

    def serve(connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            # Of a client that looks whether there is a server there is no line at all.
            head = list(takewhile(lambda line: line != b"\r\n", lines))
            if not head:
                return
            (length,) = (int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length:"))
            lines.read(length)
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.02)
        connection.close()

    return serve


def run_http(server: Server, folder: Path, words: str) -> tuple[int, dict[str, Any]]:
    """The exit status of ``servemark run http --tokens openai``, however busy the machine was, and its result."""
    url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
    command = ["run", "http", "--url", url, "-o", str(folder), "--tokens", "openai", "--no-history"]
    status = cli.main([*command, *words.split()])
    result = json.loads((folder / "result.json").read_text())
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(result)
    assert to_json(from_json(result)) == result
    return status_but_for_the_machine(status, result), result


def step_of(result: dict[str, Any]) -> dict[str, Any]:
    (step,) = result["benchmarks"][0]["steps"]
    found: dict[str, Any] = step
    return found


def test_a_run_over_tokens_reports_them_and_says_who_counted(tmp_path, capsys):
    with serving(saying_once(*WHOLE)) as server:
        status, result = run_http(server, tmp_path / "out", "-t 2 -l 5 --slo first_token.p50<30s")
    assert status == 0
    tokens = step_of(result)["tokens"]
    assert (tokens["answers"], tokens["streams"], tokens["events"]) == (10, 10, 40)
    output = tokens["output_tokens"]
    assert (output["count"], output["source"], output["per_event"]) == (40, "usage", 1.0)
    assert output["per_request"] == {"mean": 4.0, "min": 4, "p50": 4, "max": 4}
    start_s, end_s = result["benchmarks"][0]["runs"][0]["window_s"]
    assert output["per_s"]["value"] == pytest.approx(40 / (end_s - start_s))
    assert tokens["finish_reasons"] == {"length": 10}
    assert tokens["first_token_ms"]["min"] >= step_of(result)["events"]["time_to_first_event_ms"]["min"]
    assert tokens["between_content_ms"]["count"] == 30
    assert step_of(result)["goodput_per_s"]["value"] == pytest.approx(10 / (end_s - start_s))
    printed = capsys.readouterr().out
    assert "tokens         40 in 10 answers, 4 each, 1.00 an event, by usage\n" in printed
    for label in ("token rate", "first token", "per token", "content gaps", "longest gap", "finish reasons"):
        assert f"\n{label:15}" in printed
    assert "inter-token" not in printed
    path = tmp_path / "out" / "records" / "http.bin"
    assert set(open_records(path)["usage_tokens"]) == {4}
    assert not bodies_path(path).exists()


def test_goodput_is_of_answers_within_all_limits(tmp_path):
    with serving(saying_once(*WHOLE)) as server:
        slo = "first_token.p50<1us,time_per_output_token.p50<30s,between_content.p50<30s"
        status, result = run_http(server, tmp_path / "out", f"-t 1 -l 20 --slo {slo}")
    assert status == 1
    assert step_of(result)["goodput_per_s"]["value"] == 0
    outcomes = [one["outcome"] for one in result["benchmarks"][0]["verdicts"] if "objective" in one]
    assert outcomes[0] == "missed"
    assert "missed" not in outcomes[1:], "so few may be undecided, where they depend on each other for long"


def test_answers_that_fail_within_a_200_are_application_errors(tmp_path, capsys):
    error = chunk(b'event: error\ndata: {"error": {"message": "out of memory"}}\n\n')
    with serving(saying_once(HEAD + ROLE, TOKENS[0], error + END)) as server:
        status, result = run_http(server, tmp_path / "out", "-t 1 -l 3")
    assert status == 4
    assert step_of(result)["errors"] == {"application": 3}
    (example,) = step_of(result)["error_examples"]
    assert example["message"] == "the answer says that it failed: out of memory"
    assert "3 application; first at" in capsys.readouterr().out


def test_a_stream_that_breaks_off_without_a_reason_is_no_success(tmp_path):
    with serving(saying_once(HEAD + ROLE, *TOKENS, END)) as server:
        status, result = run_http(server, tmp_path / "out", "-t 1 -l 2 --max-errors 100%")
    assert status == 0
    assert step_of(result)["errors"] == {"application": 2}
    assert step_of(result)["error_examples"][0]["message"] == (
        "the stream ended after 4 events with content without a finish reason and without its end mark"
    )


def test_a_usage_of_no_token_beside_content_is_said_and_counts_for_nothing(tmp_path, capsys):
    none = chunk(b'data: {"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}\n\n')
    with serving(saying_once(HEAD + ROLE, *TOKENS, sent({}, "stop") + none + DONE + END)) as server:
        _, result = run_http(server, tmp_path / "out", "-t 1 -l 2")
    tokens = step_of(result)["tokens"]
    assert (tokens["output_tokens"]["source"], tokens["usage_of_none"]) == ("none", 2)
    printed = " ".join(capsys.readouterr().out.split())
    assert "not counted (no usage, no --tokenizer): 8 events with content in 2 answers" in printed
    assert "2 with content and a usage of 0 tokens, which is taken for none" in printed


def test_an_answer_that_came_whole_where_a_stream_was_asked_for_is_told(tmp_path, capsys):
    body = tmp_path / "body.json"
    body.write_text('{"stream": true}')
    whole = b'{"choices":[{"message":{"content":"a b"},"finish_reason":"stop"}],"usage":{"completion_tokens":2}}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    with serving(answering_bodies(head, whole)) as server:
        status, result = run_http(server, tmp_path / "out", f"-t 1 -l 2 --body-file {body}")
    assert (status, step_of(result)["tokens"]["not_streamed"]) == (0, 2)
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 whole, where a stream was asked for: they have no times of tokens" in printed


def test_bodies_stay_where_events_are_recorded(tmp_path):
    with serving(saying_once(*WHOLE)) as server:
        run_http(server, tmp_path / "out", "-t 1 -l 1 --record-events")
    path = tmp_path / "out" / "records" / "http.bin"
    assert b'" word3"' in bodies_path(path).read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--slo first_token.p99<1s", "needs --tokens"),
        ("--tokenizer pyproject.toml", "--tokenizer needs --tokens"),
        ("--tokens openai --engine jmeter", "do not go together"),
        ("--tokens morse", "morse"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_sent(tmp_path, capsys, words, said):
    with serving(answering(OK)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        status = cli.main(["run", "http", "--url", url, "-o", str(tmp_path / "out"), *words.split()])
        assert server.accepted == 0
    assert status == 2
    assert said in capsys.readouterr().err


def test_a_tokenizers_file_is_read_once_and_again_where_it_has_changed(tmp_path, monkeypatch):
    file, reads = tmp_path / "tokenizer.json", []
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.save(str(file))

    class Noting:
        @staticmethod
        def from_file(path: str) -> tokenizers.Tokenizer:
            reads.append(path)
            return tokenizer

    monkeypatch.setattr(tokenizers, "Tokenizer", Noting)
    for _ in range(3):
        load_tokenizer(file)
    assert len(reads) == 1
    file.write_text(file.read_text() + " ")
    load_tokenizer(file)
    assert len(reads) == 2


def test_a_tokenizer_counts_whole_texts_where_the_server_counts_nothing(tmp_path, capsys):
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.save(str(tmp_path / "tokenizer.json"))
    untold = (HEAD + ROLE, *TOKENS, sent({}, "stop") + DONE + END)
    words = f"-t 1 -l 3 --tokenizer {tmp_path / 'tokenizer.json'}"
    with serving(saying_once(*untold)) as server:
        _, result = run_http(server, tmp_path / "untold", words)
    output = step_of(result)["tokens"]["output_tokens"]
    assert (output["count"], output["source"]) == (12, "tokenizer")
    other = chunk(b'data: {"choices":[],"usage":{"completion_tokens":5}}\n\n')
    with serving(saying_once(*untold[:-1], sent({}, "stop") + other + DONE + END)) as server:
        _, result = run_http(server, tmp_path / "told", words)
    output = step_of(result)["tokens"]["output_tokens"]
    assert (output["count"], output["source"]) == (15, "usage")
    assert output["by_usage_and_tokenizer"] == [15, 12]
    assert "disagreement   usage says 15 tokens, the tokenizer 12 in the same answers\n" in capsys.readouterr().out


@pytest.fixture(scope="module")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run whose answers have 4 tokens, where every other request asks for 6; its folder and its result."""
    folder = tmp_path_factory.mktemp("short")
    bodies = folder / "bodies.jsonl"
    bodies.write_text('{"max_tokens": 6}\n{"max_completion_tokens": 4}\n')
    with serving(answering_bodies(*WHOLE)) as server:
        status, result = run_http(server, folder / "out", f"-t 2 -l 15 --body-file {bodies}")
    assert status == 0
    return folder / "out", result


def test_answers_that_are_shorter_than_was_asked_for_are_counted_by_their_reason(short_run):
    folder, result = short_run
    rows = open_records(folder / "records" / "http.bin")
    asked = rows["asked_tokens"]
    assert set(asked) == {4, 6}
    tokens = step_of(result)["tokens"]
    assert tokens["asked"] == 30
    assert tokens["short"] == {"length": int((asked == 6).sum())}


def test_parquet_has_the_tokens_of_each_request(short_run, tmp_path):
    folder, result = short_run
    path = tmp_path / "requests.parquet"
    assert cli.main(["report", str(folder), "--format", "parquet", "-o", str(path)]) == 0
    table = pd.read_parquet(path)
    tokens = step_of(result)["tokens"]
    assert set(table["tokens"]) == {4}
    assert set(table["finish"]) == {"length"}
    assert (table["tokens"] < table["asked_tokens"]).sum() == tokens["short"]["length"]
    for name, column in (
        ("first_token_ms", "first_token_ns"),
        ("time_per_output_token_ms", "time_per_output_token_ns"),
        ("longest_gap_ms", "longest_gap_ns"),
    ):
        assert table[column].max() / 1e6 == pytest.approx(tokens[name]["max"])
    assert table["counted_tokens"].isna().all()


def test_python_has_the_tokens_of_each_request(short_run):
    folder, result = short_run
    known = servemark.Result.load(folder)
    rows, frame = known.records(), known.to_pandas()
    tokens = step_of(result)["tokens"]
    assert set(rows["tokens"]) == {4}
    assert rows["first_token_ns"].max() / 1e6 == pytest.approx(tokens["first_token_ms"]["max"])
    assert rows["time_per_output_token_ns"].max() / 1e6 == pytest.approx(tokens["time_per_output_token_ms"]["max"])
    assert set(rows["prompt_tokens"]) == {3}
    assert frame["first_token_ns"].tolist() == rows["first_token_ns"].tolist()


def test_the_page_has_charts_and_tables_of_tokens(short_run):
    folder, result = short_run
    text = (folder / "report.html").read_text()
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    tokens = step_of(result)["tokens"]
    times = [tokens[f"{name}_ms"] for name in ("first_token", "time_per_output_token", "longest_gap", "tail")]
    names = ("p50", "p90", "p95", "p99", "p99_9")
    has_interval = any(one[name]["ci95"] for one in times for name in names if one["p50"]["value"] >= 0.1)
    assert ("Times of tokens by percentile" in titles) is has_interval
    assert titles[-4:] == [
        "First token over time",
        "Time per output token over time",
        "Tokens a second over time",
        "Why answers ended",
    ]
    short = step_of(result)["tokens"]["short"]["length"]
    assert f'<th scope="row">length</th><td>{30 - short}</td><td>{short}</td>' in text
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th><td>request</td>', text)
    assert rows[-6:] == ["first token", "per output token", "longest gap", "tail", "between content", "length"]


def test_hgrm_and_metrics_have_the_times_of_tokens(short_run, tmp_path):
    folder, result = short_run
    short = step_of(result)["tokens"]["short"]["length"]
    assert cli.main(["report", str(folder), "--format", "hgrm", "-o", str(tmp_path / "hgrm")]) == 0
    written = sorted(path.name.removeprefix("http-request-") for path in (tmp_path / "hgrm").iterdir())
    times = ["first_token", "longest_gap", "response", "service", "tail", "time_per_output_token"]
    assert written == [f"{name}.hgrm" for name in times]
    metrics = tmp_path / "metrics.prom"
    assert cli.main(["report", str(folder), "--format", "openmetrics", "-o", str(metrics)]) == 0
    lines = metrics.read_text().splitlines()
    assert any(line.startswith("servemark_tokens{") and line.endswith(" 120") for line in lines)
    assert any(line.endswith(f'finish_reason="length"}} {short}') for line in lines if "short_answers" in line)
    assert any('latency="between_content",statistic="p99"' in line for line in lines)


def test_what_is_drawn_adds_up_to_what_is_reported(short_run):
    folder, result = short_run
    run = result["benchmarks"][0]["runs"][0]
    file = open_records(folder / "records" / "http.bin")
    window = Window(*(ns_from_s(time_s) for time_s in run["window_s"]))
    (found,) = token_timelines([file], window, timeline_of([file], window, 24)).values()
    assert found.tokens.sum() == 120
    assert {name: times.distribution.count for name, times in found.times.items()} == dict.fromkeys(TOKEN_TIMES, 30)
    tokens = step_of(result)["tokens"]
    for name in ("first_token", "time_per_output_token", "longest_gap"):
        drawn = float(found.times[name].distribution.quantiles_ms(np.array([0.5]))[0])
        assert drawn == pytest.approx(tokens[f"{name}_ms"]["p50"]["value"], rel=0.002)
