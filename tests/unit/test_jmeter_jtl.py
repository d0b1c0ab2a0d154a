"""JMeter's results as records: whole, cut off, with failures of every kind."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from servemark.engines.jmeter.jtl import JtlRecords, convert
from servemark.engines.jmeter.plan import WrittenPlan
from servemark.engines.jmeter.progress import SampleCounter
from servemark.errors import RecordingError
from servemark.records import RecordFile, open_records
from servemark.workload.load import ClosedLoad
from servemark.workload.plan import Group
from servemark.workload.scenario import Request, Scenario, Step

T0 = 1_795_367_396_831
MS = 1_000_000
HEADER = (
    "timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,failureMessage,bytes,sentBytes,"
    "grpThreads,allThreads,URL,Latency,IdleTime,Connect\n"
)


def _group(users: int, *names: str, expect_status: int | None = None) -> Group:
    steps = tuple(Step(name, (Request("GET", "/"),), expect_status=expect_status) for name in names)
    return Group(Scenario(steps), ClosedLoad(users=users, loops=1))


PLAN = WrittenPlan(Path("plan.jmx"), (_group(2, "predict", "check"), _group(3, "predict")), {})


def _line(
    start_ms: int = 0,
    elapsed: int = 20,
    *,
    label: str = "predict",
    code: str = "200",
    message: str = "OK",
    thread: str = "group 1: 2 users 1-1",
    success: bool = True,
    latency: int = 19,
    connect: int = 0,
) -> str:
    quoted = '"' + message.replace('"', '""') + '"' if any(c in message for c in '",\n') else message
    flag = "true" if success else "false"
    return (
        f"{T0 + start_ms},{elapsed},{label},{code},{quoted},{thread},text,{flag},,68,161,2,5,http://h/,"
        f"{latency},0,{connect}\n"
    )


def _failed(exception: str, message: str, **more: Any) -> str:
    code = f"Non HTTP response code: {exception}"
    return _line(code=code, message=f"Non HTTP response message: {message}", success=False, latency=0, **more)


def _convert(
    tmp_path: Path,
    text: str | bytes,
    *,
    plan: WrittenPlan = PLAN,
    warmup_ns: int = 0,
    stopped_unix_ms: int | None = None,
    failures: str = "",
) -> tuple[JtlRecords, RecordFile, Any]:
    jtl = tmp_path / "results.jtl"
    jtl.write_bytes(text.encode() if isinstance(text, str) else text)
    if failures:
        (tmp_path / "failures.xml").write_text(failures)
    path = tmp_path / "records.bin"
    converted = convert(
        jtl,
        plan,
        path,
        warmup_ns=warmup_ns,
        stopped_unix_ms=stopped_unix_ms,
        kept_bodies=tmp_path / "failures.xml",
    )
    file = open_records(path)
    return converted, file, np.array(file.memmap())


def test_a_sample_is_a_record(tmp_path: Path) -> None:
    text = HEADER + _line(100, 25, connect=3, latency=20) + _line(0, 30, thread="group 2: 3 users 2-3")
    converted, file, rows = _convert(tmp_path, text)
    assert file.step_names == ("predict", "check", "predict")
    assert file.started_unix_ns == T0 * MS
    assert (converted.records, converted.records_by_group, converted.started_unix_ms) == (2, (1, 1), T0)
    assert (converted.last_scheduled_ns, converted.last_end_ns) == (100 * MS, 125 * MS)
    first, second = rows
    assert first["seq"] == 1
    assert first["scheduled"] == 100 * MS
    assert first["ready"] == first["sent"] == 103 * MS
    assert first["first_byte"] == 120 * MS
    assert first["end"] == 125 * MS
    assert (first["connect_us"], first["tls_us"]) == (3000, 0)
    assert (first["bytes_received"], first["bytes_sent"], first["status"], first["kind"]) == (68, 161, 200, 0)
    assert (first["group"], first["step"], first["user"]) == (0, 0, 0)
    assert (second["seq"], second["group"], second["step"], second["user"]) == (0, 1, 2, 4)


def test_a_users_first_request_opened_its_connection(tmp_path: Path) -> None:
    text = HEADER + _line(0) + _line(30) + _line(60, connect=2)
    _, file, rows = _convert(tmp_path, text)
    assert [bool(flags & file.flags["opened"]) for flags in rows["flags"]] == [True, False, True]


def test_records_of_the_warm_up_are_marked(tmp_path: Path) -> None:
    text = HEADER + "".join(_line(start) for start in (0, 999, 1000, 1500))
    _, file, rows = _convert(tmp_path, text, warmup_ns=1000 * MS)
    assert file.warmup_ns == 1000 * MS
    assert [bool(flags & file.flags["warmup"]) for flags in rows["flags"]] == [True, True, False, False]


@pytest.mark.parametrize(
    ("exception", "message", "kind", "sent"),
    [
        ("org.apache.http.conn.HttpHostConnectException", "Connection refused", "connect", False),
        ("java.net.UnknownHostException", "nohost", "connect", False),
        ("org.apache.http.conn.ConnectTimeoutException", "connect timed out", "timeout", False),
        ("java.net.SocketTimeoutException", "Read timed out", "timeout", True),
        ("javax.net.ssl.SSLHandshakeException", "Received fatal alert", "tls", False),
        ("javax.net.ssl.SSLException", "Connection reset", "reset", True),
        ("java.net.SocketException", "Connection reset", "reset", True),
        ("org.apache.http.NoHttpResponseException", "h:80 failed to respond", "closed_early", True),
        ("org.apache.http.ConnectionClosedException", "Premature end", "closed_early", True),
        ("org.apache.http.client.ClientProtocolException", "", "protocol", True),
        ("org.apache.http.impl.execchain.RequestAbortedException", "Request aborted", "cancelled", True),
    ],
)
def test_an_exception_has_its_kind(exception: str, message: str, kind: str, sent: bool, tmp_path: Path) -> None:
    converted, file, (row,) = _convert(tmp_path, HEADER + _failed(exception, message))
    assert file.error_kinds[row["kind"]] == kind
    assert (row["sent"] >= 0, row["ready"] >= 0) == (sent, sent)
    assert (row["first_byte"], row["status"], row["bytes_received"]) == (-1, 0, 0)
    assert row["end"] == 20 * MS
    (example,) = converted.examples[0]
    assert (example.kind, example.message) == (kind, message or "ClientProtocolException")


def test_a_socket_that_was_closed_by_our_stop_is_cancelled(tmp_path: Path) -> None:
    text = HEADER + _failed("java.net.SocketException", "Socket closed")
    _, file, (row,) = _convert(tmp_path, text, stopped_unix_ms=T0 + 10)
    assert file.error_kinds[row["kind"]] == "cancelled"
    _, file, (row,) = _convert(tmp_path, text, stopped_unix_ms=T0 + 21)
    assert file.error_kinds[row["kind"]] == "reset"


def test_every_status_but_2xx_fails_and_has_an_example_with_its_body(tmp_path: Path) -> None:
    text = HEADER + _line(0, code="503", success=False) + _line(50, code="503", success=False)
    text += _line(100, code="302", success=False)
    failures = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<testResults version="1.2">\n'
        '<httpSample lb="predict" rc="503" tn="group 2: 3 users 2-1"><responseData>another group</responseData>'
        '</httpSample>\n<httpSample lb="predict" rc="503" tn="group 1: 2 users 1-1">'
        '<responseData class="java.lang.String">queue &lt;full&gt;'
        "</responseData></httpSample>\n"
        '<httpSample lb="predict" rc="503" tn="group 1: 2 users 1-1"><responseData>second</responseData></httpSample>\n'
        '<httpSample lb="predict" rc="302"><respon'
    )
    converted, file, rows = _convert(tmp_path, text, failures=failures)
    assert [file.error_kinds[kind] for kind in rows["kind"]] == ["http_status"] * 3
    assert list(rows["status"]) == [503, 503, 302]
    first, second = converted.examples[0]
    assert (first.kind, first.body, first.at_s) == ("http_status:503", "queue <full>", 0.02)
    assert (second.kind, second.body) == ("http_status:302", "")


@pytest.mark.parametrize(
    ("code", "expected", "kind", "message"),
    [
        ("210", 200, "unexpected_status", "status 210, not 200"),
        ("404", 200, "http_status", "Said"),
        ("503", 404, "http_status", "Said"),
        ("200", 404, "unexpected_status", "status 200, not 404"),
        ("404", 404, "application", "the body, \n says no"),
        ("200", None, "application", "the body, \n says no"),
    ],
)
def test_a_failure_is_of_the_native_engines_kind(
    code: str, expected: int | None, kind: str, message: str, tmp_path: Path
) -> None:
    plan = WrittenPlan(Path("plan.jmx"), (_group(2, "predict", expect_status=expected),), {})
    said = '"the body, \n says no"'
    text = HEADER + _line(code=code, message="Said", success=False).replace(",false,", f",false,{said}")
    converted, file, (row,) = _convert(tmp_path, text, plan=plan)
    assert (file.error_kinds[row["kind"]], row["status"]) == (kind, int(code))
    (example,) = converted.examples[0]
    assert (example.kind, example.message) == (kind if kind == "application" else f"{kind}:{code}", message)


def test_a_status_that_is_expected_is_a_success(tmp_path: Path) -> None:
    plan = WrittenPlan(Path("plan.jmx"), (_group(2, "predict", expect_status=404),), {})
    converted, _, (row,) = _convert(tmp_path, HEADER + _line(code="404"), plan=plan)
    assert (row["kind"], row["status"], converted.examples) == (0, 404, {})


def test_steps_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """By their groups, and in one scenario by the number that the plan has JMeter tell."""
    plan = WrittenPlan(
        Path("plan.jmx"), (_group(1, "register"), _group(1, "register"), _group(1, "remove", "remove")), {}
    )
    assert plan.variables == ("step_number",)
    lines = [
        _line(0, label="register", thread="group 2: 1 user 2-1").rstrip("\n") + ",null\n",
        _line(1, label="register", thread="group 1: 1 user 1-1").rstrip("\n") + ",null\n",
        _line(2, label="remove", thread="group 3: 1 user 3-1", code="404", success=False).rstrip("\n") + ",3\n",
        _line(3, label="remove", thread="group 3: 1 user 3-1").rstrip("\n") + ",2\n",
    ]
    failures = (
        '<testResults><httpSample lb="remove" rc="404" tn="group 3: 1 user 3-1" step_number="2"><responseData>not this'
        '</responseData></httpSample><httpSample lb="remove" rc="404" tn="group 3: 1 user 3-1" step_number="3">'
        "<responseData>this</responseData></httpSample></testResults>"
    )
    header = HEADER.rstrip("\n") + ',"step_number"\n'
    converted, _, rows = _convert(tmp_path, header + "".join(lines), plan=plan, failures=failures)
    assert rows["step"].tolist() == [1, 0, 3, 2]
    assert converted.records_by_group == (1, 1, 2)
    assert [(step, found[0].body) for step, found in converted.examples.items()] == [(3, "this")]


def test_messages_may_hold_newlines_commas_and_quotes(tmp_path: Path) -> None:
    message = 'Connect to "h",\nport 1\n failed'
    text = HEADER + _failed("java.net.ConnectException", message) + _line(30)
    converted, _, rows = _convert(tmp_path, text)
    assert len(rows) == 2
    assert converted.examples[0][0].message == message


@pytest.mark.parametrize("cut", range(1, len(_line(50))))
def test_a_last_line_that_was_cut_off_is_left_out(cut: int, tmp_path: Path) -> None:
    converted, _, _ = _convert(tmp_path, HEADER + _line(0) + _line(50)[:-cut])
    assert converted.records == 1


def test_a_last_line_that_was_cut_inside_a_message_is_left_out(tmp_path: Path) -> None:
    whole = _failed("java.net.ConnectException", "one\ntwo\nthree")
    for cut in range(1, len(whole)):
        converted, _, _ = _convert(tmp_path, HEADER + _line(0) + whole[:-cut])
        assert converted.records == 1, whole[:-cut]


@pytest.mark.parametrize("text", ["", HEADER, HEADER[:20], HEADER[:-1]])
def test_results_without_a_sample_are_no_records(text: str, tmp_path: Path) -> None:
    converted, file, _ = _convert(tmp_path, text)
    assert converted.records == file.rows == 0
    assert converted.examples == {}


def test_missing_results_are_no_records(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    converted = convert(missing, PLAN, tmp_path / "r.bin", warmup_ns=0, stopped_unix_ms=None, kept_bodies=missing)
    assert converted.records == open_records(tmp_path / "r.bin").rows == 0


def test_columns_that_may_be_missing(tmp_path: Path) -> None:
    header = "timeStamp,elapsed,label,responseCode,threadName,success\n"
    _, _, (row,) = _convert(tmp_path, header + f"{T0},7,predict,200,g 1-2,true\n")
    assert (row["sent"], row["first_byte"], row["end"], row["bytes_sent"]) == (0, 0, 7 * MS, 0)
    assert row["user"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timeStamp,elapsed,label\n1,2,3\n", "has no column responseCode, threadName, success"),
        (HEADER + _line(label="other"), "no step 'other'"),
        (HEADER + _line(thread="group 9: 2 users 9-1"), "no user"),
        (HEADER + _line(thread="main"), "no user 'main'"),
        (HEADER + _line().replace(",20,", ",x,", 1), "invalid literal"),
    ],
)
def test_results_of_something_else_are_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=said):
        _convert(tmp_path, text)


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    text = (HEADER + _line(0, message="MESSAGE") + _line(30)).encode().replace(b"MESSAGE", b"\xff\x00\xfe")
    assert _convert(tmp_path, text)[0].records == 2


def test_the_input_that_was_sent_is_known_by_its_variable(tmp_path: Path) -> None:
    plan = WrittenPlan(Path("plan.jmx"), (_group(2, "predict"),), {0: "input_0"})
    header = HEADER.rstrip("\n") + ',"input_0"\n'
    _, _, rows = _convert(
        tmp_path, header + _line().rstrip("\n") + ",4\n" + _line(30).rstrip("\n") + ",null\n", plan=plan
    )
    assert list(rows["input"]) == [4, 0]


def test_progress_is_counted_as_the_file_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.jtl"
    counter = SampleCounter(path, 40 * MS, PLAN.groups)
    counter.look()
    assert counter.counts(5).elapsed_ns == 5
    lines = HEADER + _line(0) + _failed("java.net.SocketException", "one\ntwo", start_ms=30) + _line(50)
    for size in range(len(lines) + 1):
        path.write_text(lines[:size])
        counter.look()
    counts = counter.counts(5)
    assert (counts.scheduled, counts.succeeded, counts.failed, counts.measured_succeeded) == (3, 2, 1, 1)
    monkeypatch.setattr(time, "time_ns", lambda: (T0 + 70) * MS)
    assert counter.counts(5).elapsed_ns == 70 * MS, "since the first sample began"
    monkeypatch.setattr(time, "time_ns", lambda: (T0 - 70) * MS)
    assert counter.counts(5).elapsed_ns == 0, "the clock was set back"


def test_of_the_successes_those_of_the_headline_are_measured(tmp_path: Path) -> None:
    front, back = _group(2, 'say "a, b"', "check"), replace(_group(3, 'say "a, b"'), background=True)
    label = '"say ""a, b"""'
    lines = [_line(label=label), _line(label=label, thread="group 1: 2 users 1-2", code='"2,00"'), _line(label="check")]
    lines += [_line(label=label, thread='"group 2: background, 3 users 2-1"'), _line(label=label, success=False)]
    path = tmp_path / "results.jtl"
    path.write_text(HEADER + "".join(lines))
    for groups in ((front, back), (back, front)):
        counter = SampleCounter(path, 0, groups)
        counter.look()
        counts = counter.counts(0)
        assert (counts.scheduled, counts.succeeded, counts.failed) == (5, 4, 1)
        assert counts.measured_succeeded == (2 if groups[0] is front else 1)
