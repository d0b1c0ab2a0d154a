"""What the body of a success must be: the same as the first, a text found in it, a value in its JSON."""

from __future__ import annotations

import itertools
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from loadgen_servers import MS, Ran, Serve, plan_for, read_request, run_plan, serving

import servemark
from servemark import _loadgen
from servemark.verdict import exit_status
from servemark.workload.engine_plan import EngineExpect, EnginePlan, EngineUntil

Body = Callable[[int, bytes], bytes]
SAME = EngineExpect("same", "")


def saying(body: Body, *, status: str = "200 OK", chunked: bool = False) -> Serve:
    """Answer the n-th request, of all connections, with ``body(n, request)``."""
    numbers, lock = itertools.count(), threading.Lock()

    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            with lock:
                said = body(next(numbers), request)
            framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(said)
            if chunked:
                half = len(said) // 2
                pieces = [said[:half], said[half:], b""]
                said = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
            connection.sendall(b"HTTP/1.1 %s\r\n%s\r\n\r\n%s" % (status.encode(), framing, said))

    return serve


def expecting(plan: EnginePlan, expect: EngineExpect, **changes: object) -> EnginePlan:
    return replace(plan, steps=tuple(replace(step, expect=expect, **changes) for step in plan.steps))


def message(ran: Ran) -> str:
    (example,) = ran.outcome.examples
    assert (example.kind, example.status) == ("application", 200)
    return example.message


@pytest.mark.parametrize("chunked", [False, True])
def test_every_answer_is_that_of_the_first(tmp_path: Path, chunked: bool) -> None:
    def body(number: int, _: bytes) -> bytes:
        return b'{"class": "dog"}' if number % 10 == 9 else b'{"class": "cat"}'

    with serving(saying(body, chunked=chunked)) as server:
        ran = run_plan(expecting(plan_for(server.port, users=4, threads=2, loops=25), SAME), tmp_path / "r")
        assert server.accepted == 4, "a wrong answer is an answer"
    assert Counter(ran.kinds) == {"ok": 90, "application": 10}
    assert 'after 11 bytes: "dog\\"}" instead of "cat\\"}" (16 and 16 bytes)' in message(ran)
    assert ran.outcome.examples[0].body == b'{"class": "dog"}'


def test_each_input_has_a_first_answer_of_its_own(tmp_path: Path) -> None:
    wires = tuple(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(20))
    with serving(saying(lambda _, request: request)) as server:
        plan = plan_for(server.port, users=4, threads=2, loops=100, wires=wires)
        ran = run_plan(expecting(plan, SAME), tmp_path / "r")
    assert set(ran.kinds) == {"ok"}
    assert len(set(ran.rows["input"].tolist())) == 20


def test_a_long_answer_is_compared_to_its_end(tmp_path: Path) -> None:
    def body(number: int, _: bytes) -> bytes:
        return bytes(3_000_000) + (b"x" if number == 3 else b"y")

    with serving(saying(body)) as server:
        ran = run_plan(expecting(plan_for(server.port, loops=6), SAME), tmp_path / "r")
    assert ran.kinds == ["ok"] * 3 + ["application"] + ["ok"] * 2
    assert "(3000001 and 3000001 bytes)" in message(ran)


def test_an_expression_is_found(tmp_path: Path) -> None:
    with serving(saying(lambda number, _: b"\xff tabby, tabby cat" if number % 2 else b"tiger")) as server:
        ran = run_plan(expecting(plan_for(server.port, loops=10), EngineExpect("regex", r"tabby,?\s")), tmp_path / "r")
    assert ran.kinds == ["application", "ok"] * 5
    assert r'"tabby,?\\s" is not found in the body of 5 bytes, which begins with "tiger"' in message(ran)


def test_a_value_is_in_the_json(tmp_path: Path) -> None:
    bodies = [b'{"predictions": [{"class": "cat"}]}', b'{"predictions": []}', b"oops"]
    with serving(saying(lambda number, _: bodies[number % 3])) as server:
        expect = EngineExpect("json", "predictions.0.class")
        ran = run_plan(expecting(plan_for(server.port, loops=9), expect), tmp_path / "r")
    assert ran.kinds == ["ok", "application", "application"] * 3
    assert message(ran) == "the body is JSON, but has no predictions.0"


def test_expressions_and_json_are_looked_for_in_256_kib(tmp_path: Path) -> None:
    long = b'{"a": "%s"}' % (b"x" * 300_000)
    for expect, kind, words in [
        (EngineExpect("regex", '"a"'), "ok", ""),
        (EngineExpect("regex", '"}$'), "application", "in the first 256 KiB of the body's 300009 bytes"),
        (EngineExpect("regex", "x$"), "application", "in the first 256 KiB of the body's 300009 bytes"),
        (EngineExpect("json", "a"), "application", "the body has 300009 bytes, and JSON is read up to 256 KiB"),
        (EngineExpect("not_json", "b"), "application", "the body has 300009 bytes, and JSON is read up to 256 KiB"),
        (EngineExpect("not_json_if_whole", "b"), "ok", ""),
    ]:
        with serving(saying(lambda *_: long)) as server:
            ran = run_plan(expecting(plan_for(server.port, loops=2), expect), tmp_path / "r")
        assert ran.kinds == [kind] * 2
        if kind == "ok":
            assert not ran.outcome.examples
        else:
            assert words in message(ran)


def test_only_successes_are_looked_at(tmp_path: Path) -> None:
    expect = EngineExpect("regex", "fine")
    with serving(saying(lambda *_: b"busy", status="503 Busy")) as server:
        ran = run_plan(expecting(plan_for(server.port, loops=1), expect), tmp_path / "refused")
        assert ran.kinds == ["http_status"]
        ran = run_plan(expecting(plan_for(server.port, loops=1), expect, expect_status=503), tmp_path / "wrong")
        assert ran.kinds == ["application"]
        ran = run_plan(
            expecting(plan_for(server.port, loops=1), EngineExpect("regex", "b"), expect_status=503), tmp_path / "r"
        )
        assert ran.kinds == ["ok"]


def test_a_step_that_is_repeated_is_still_repeated(tmp_path: Path) -> None:
    until = EngineUntil(b"READY", 1, interval_ns=MS, limit_ns=5_000 * MS)
    bodies = [b"[1]", b"[2]", b'["READY"]']
    with serving(saying(lambda number, _: bodies[min(number, 2)])) as server:
        plan = expecting(plan_for(server.port, loops=1), EngineExpect("json", "0"), until=until)
        ran = run_plan(plan, tmp_path / "r")
    assert ran.kinds == ["ok"] * 3


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        (EngineExpect("regex", "("), "unclosed group"),
        (EngineExpect("regex", "(?=look)"), "look-around"),
        (EngineExpect("json", "a..b"), "a key between its dots is empty"),
        (EngineExpect("same", "x"), "takes nothing"),
    ],
)
def test_what_cannot_be_expected_is_refused(tmp_path: Path, expect: EngineExpect, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _loadgen.check_expect(expect)
    with pytest.raises(ValueError, match=words):
        _loadgen.start(expecting(plan_for(1, loops=1), expect), str(tmp_path / "r"))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(("expect", "wrong"), [("same", 10), ("json:0.x", 40)])
def test_wrong_answers_are_errors_of_the_result(tmp_path: Path, expect: str, wrong: int) -> None:
    def body(number: int, _: bytes) -> bytes:
        return b'[{"class": "dog"}]' if number % 4 == 3 else b'[{"class": "cat"}]'

    def run(max_errors_share: float) -> servemark.Result:
        with serving(saying(body)) as server:
            return servemark.run(
                "http",
                url=f"http://127.0.0.1:{server.port}/",
                threads=2,
                loops=20,
                expect=expect,
                output=tmp_path / str(max_errors_share),
                max_errors_share=max_errors_share,
            )

    if wrong == 40:
        assert exit_status(run(1.0), allow_invalid=True) == 0, "all of them may fail"
        result = run(0.99)
        (example,) = result.benchmarks[0].steps[0].error_examples
        assert example.message == "the body is JSON, but has no 0.x"
        assert exit_status(result, allow_invalid=True) == 4, "every request failed"
        return
    result = run(0.3)
    (step,) = result.benchmarks[0].steps
    assert step.errors == {"application": wrong}
    assert (step.requests, step.succeeded) == (40, 40 - wrong)
    assert exit_status(result, allow_invalid=True) == 0
    (example,) = step.error_examples
    assert (example.kind, example.body) == ("application", '[{"class": "dog"}]')
    assert exit_status(run(0.2), allow_invalid=True) == 1
