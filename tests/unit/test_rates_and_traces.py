"""Rates, arrival processes and traces as people write them, and every way in which they cannot be used."""

from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path

import pytest

from servemark.errors import UsageError
from servemark.units import NS_PER_MS, NS_PER_S
from servemark.workload.load import ADAPTIVE, Arrivals, RateSegment
from servemark.workload.open_loop import arrivals_of, open_load, parse_arrival
from servemark.workload.rates import format_rate, parse_rate
from servemark.workload.trace import read_trace, unit_remark

DATA = Path(__file__).parent / "data" / "traces"


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        ("200", [(200, 200, None)]),
        ("0.5", [(0.5, 0.5, None)]),
        ("1e3", [(1000, 1000, None)]),
        ("100..2000/60s", [(100, 2000, 60)]),
        ("50..0.25/1.5s", [(50, 0.25, 1.5)]),
        ("100,200,400/20s", [(100, 100, 20), (200, 200, 20), (400, 400, 20)]),
        ("7/3s", [(7, 7, 3)]),
        ("7/500ms", [(7, 7, 0.5)]),
        ("1..2/1m30s", [(1, 2, 90)]),
        ("1,2/1h", [(1, 1, 3600), (2, 2, 3600)]),
    ],
)
def test_a_rate_is_a_number_a_ramp_or_steps(text, profile):
    assert parse_rate(text) == tuple(RateSegment(*segment) for segment in profile)
    assert parse_rate(format_rate(parse_rate(text))) == parse_rate(text)


BAD_RATES = [
    ("0", "0 is not above 0"),
    ("-5", "-5 is not above 0"),
    ("nan", "'nan' is not a number"),
    ("inf", "inf is not between 0.001 and 10,000,000 requests a second"),
    ("1e300", "1e300 is not between"),
    ("1e-9", "1e-9 is not between"),
    ("fast", "'fast' is not a number; give requests a second, as in 200, 100..2000/60s (a ramp)"),
    ("", "'' is not a number"),
    ("1_000", "'1_000' is not a number"),
    ("1,000", "steps need a time each; give --rate 1,000/20s, or 1000 if that is one number"),
    ("100,200", "steps need a time each"),
    ("100,,200/5s", "'' is not a number"),
    ("100,0/5s", "0 is not above 0"),
    ("200/s", "a rate is in requests a second already; give --rate 200"),
    ("200/60", "the time 60 has no unit; say 60s"),
    ("200/", "'' is not a time"),
    ("200/1x", "'1x' is not a time; as in /60s, /500ms or /1m"),
    ("200/0s", "the time 0s is not above 0"),
    ("200/-1s", "the time -1s is not above 0"),
    ("200/nans", "'nans' is not a time"),
    ("200/1000h", "the time 1000h is not above 0 and at most 1,000,000 s"),
    ("1,2,3/400000s", "3 times 400000 s is more than 1,000,000 s"),
    ("100..2000", "a ramp needs the time that it takes; give --rate 100..2000/60s"),
    ("100..2000/60", "the time 60 has no unit; say 60s"),
    ("0..100/5s", "0 is not above 0"),
    ("100..0/5s", "0 is not above 0"),
    ("100../5s", "'' is not a number"),
    ("..100/5s", "'' is not a number"),
    ("1..2..3/5s", "a ramp goes from one rate to one other; as in 100..2000/60s"),
    ("100..200,300/5s", "'200,300' is not a number"),
]


@pytest.mark.parametrize(("text", "message"), BAD_RATES, ids=[text or "empty" for text, _ in BAD_RATES])
def test_a_rate_that_cannot_be_is_named_with_what_is_wrong(text, message):
    with pytest.raises(UsageError) as error:
        parse_rate(text)
    assert str(error.value).startswith(f"--rate {text}".strip())
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "process"),
    [
        (None, ("constant", 1.0)),
        ("constant", ("constant", 1.0)),
        ("poisson", ("poisson", 1.0)),
        ("gamma:2", ("gamma", 2.0)),
        ("gamma:0.25", ("gamma", 0.25)),
        ("trace:a:b.txt", ("trace", 1.0)),
    ],
)
def test_requests_arrive_by_a_process(text, process):
    assert parse_arrival(text) == process


BAD_ARRIVALS = [
    ("", "there is no such process; choose from constant, poisson, gamma:CV and trace:FILE"),
    ("uniform", "there is no such process"),
    ("Poisson", "there is no such process"),
    ("poisson:2", "poisson takes no value"),
    ("constant:", "constant takes no value"),
    ("gamma", "gamma needs its coefficient of variation; as in gamma:2"),
    ("gamma:", "gamma needs its coefficient of variation"),
    ("gamma:x", "'x' is not a coefficient of variation from 0.001 to 100; as in gamma:2; poisson has 1, constant 0"),
    ("gamma:0", "'0' is not a coefficient of variation"),
    ("gamma:-1", "'-1' is not a coefficient of variation"),
    ("gamma:nan", "'nan' is not a coefficient of variation"),
    ("gamma:inf", "'inf' is not a coefficient of variation"),
    ("gamma:1000", "'1000' is not a coefficient of variation"),
    ("trace", "which file?; as in trace:times.txt"),
    ("trace:", "which file?"),
]


@pytest.mark.parametrize(("text", "message"), BAD_ARRIVALS, ids=[text or "empty" for text, _ in BAD_ARRIVALS])
def test_a_process_that_cannot_be_is_named_with_what_is_wrong(text, message):
    with pytest.raises(UsageError) as error:
        parse_arrival(text)
    assert message in str(error.value)


@pytest.fixture
def trace(tmp_path):
    def write(content: str | bytes) -> str:
        path = tmp_path / "times.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def test_a_trace_is_one_time_a_line_and_counts_from_the_first(trace):
    content = "# recorded on Monday\n\n1700000000.000000001\r\n 1700000000.25 # two at once\n1700000000.25\n1700000003"
    name = trace(content)
    times_ns, origin = read_trace(name)
    assert times_ns == (0, 249_999_999, 249_999_999, 2_999_999_999), "exact to the nanosecond"
    assert origin.file == name
    assert origin.sha256 == hashlib.sha256(content.encode()).hexdigest()


@pytest.mark.parametrize("content", ["5", "\ufeff0\n1e-3\n", "0\n0.001\n"])
def test_a_trace_may_be_short_and_come_from_any_editor(trace, content):
    assert read_trace(trace(content))[0] in {(0,), (0, NS_PER_MS)}


BAD_TRACES = [
    ("", "it holds no time; one time in seconds a line, rising"),
    ("# nothing\n\n", "it holds no time"),
    ("0\n2\n1\n", "line 3: '1' comes before the time above it; sort it"),
    ("0\nsoon\n", "line 2: 'soon' is not a number of seconds"),
    ("0\n\n1,5\n", "line 3: '1,5' is not a number of seconds"),
    ("nan\n", "line 1: 'nan' is not a number of seconds"),
    ("0\nInfinity\n", "line 2: 'Infinity' is not a number of seconds"),
    ("-1\n0\n", "line 1: '-1' is negative; times count from the first: add a constant to all"),
    ("0\n1700000000000\n", "line 2: '1700000000000' is too large for a time in seconds; all times have one unit"),
    ("1e999999999999\n", "is too large for a time in nanoseconds"),
    ("0\n1e8\n", "line 2: '1e8' is more than a year after the first; cut it"),
    ("2023-02-30 00:00:00\n", "line 1: '2023-02-30 00:00:00' is not a number of seconds, nor a date and time"),
    ("at,tokens\n1,2\n", "it is a table; choose one of at, tokens, as in trace:"),
    ("5,ChatGPT,472\n", "it is a table; choose one of its 3 columns by its number, as in trace:"),
    ('{"timestamp": 1, "n": 2}\n', "it is JSON; choose one of timestamp, n, as in trace:"),
    ('{"a": 1}\n[2]\n', "it is JSON; choose one of a"),
    (b"\xff\xfe0", "write it in UTF-8"),
    (b"\x00\xff\x1b[31m\n", "line 1: '\\x00\\xff\\x1b[31m' is not a number of seconds"),
    ("x" * 100_000, f"line 1: '{'x' * 40}' is not a number of seconds"),
]


@pytest.mark.parametrize(("content", "message"), BAD_TRACES, ids=range(len(BAD_TRACES)))
def test_a_trace_that_cannot_be_is_named_with_its_line(trace, content, message):
    name = trace(content)
    with pytest.raises(UsageError) as error:
        read_trace(name)
    assert str(error.value).startswith(f"cannot use the trace {name}: ")
    assert message in str(error.value)


PUBLIC = [
    ("azure-2023.csv:TIMESTAMP", "s", (0, 4_314_579_000, 4_542_377_000, 60_319_410_000)),
    ("azure-2024.csv:timestamp", "s", (0, 7_405_000, 500_000_000)),
    ("burstgpt.csv:Timestamp", "s", (0, 40 * NS_PER_S, 113 * NS_PER_S, 5_270_393 * NS_PER_S)),
    ("burstgpt.csv:1", "s", (0, 40 * NS_PER_S, 113 * NS_PER_S, 5_270_393 * NS_PER_S)),
    ("mooncake.jsonl:timestamp", "ms", (0, 0, 3052 * NS_PER_MS, 6104 * NS_PER_MS)),
    ("bailian.jsonl:timestamp", "s", (0, 0, 61_114_000_000)),
    ("bailian.jsonl:timestamp:ms", "ms", (0, 0, 61_114_000)),
    ("mooncake.jsonl:timestamp:us", "us", (0, 0, 3_052_000, 6_104_000)),
    ("mooncake.jsonl:input_length:ns", None, "line 3: '7234' comes before the time above it"),
]


@pytest.mark.parametrize(("name", "unit", "times_ns"), PUBLIC, ids=[name for name, *_ in PUBLIC])
def test_the_column_of_a_public_trace_is_chosen_behind_its_file(name, unit, times_ns):
    path = DATA / name
    if unit is None:
        with pytest.raises(UsageError, match=times_ns):
            read_trace(str(path))
        return
    found, origin = read_trace(str(path))
    assert found == times_ns
    file, column, *_ = name.split(":")
    assert (origin.file, origin.column, origin.unit) == (str(DATA / file), column, unit)
    assert read_trace(origin.name) == (found, origin), "what is in the result can be given again"
    assert origin.sha256 == hashlib.sha256((DATA / file).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("content", "column", "times_s"),
    [
        ("1,x\n2,y\n", "1", (0, 1)),
        ("id;at\n7;1,\n8;3.5\n", "at:ms", None),
        ("id;at\n7;1\n8;3.5\n", "at", (0, 2.5)),
        ("id\tat\n7\t1\n\n8\t3\n", "at", (0, 2)),
        ('# made by hand\n"a, b","at"\n"x, y","1"\n"z","2"\n', "at", (0, 1)),
        ("at\n1\n2\n", "at", (0, 1)),
        ("\ufeffat,b\r\n1,2\r\n4,2\r\n", "AT", (0, 3)),
        ("id,at\n1,500\n2,1500\n", "at:ms", (0, 1)),
        ('{"at": "2023-11-16T18:15:46Z"}\n\n{"at": "2023-11-16T18:15:46.5+00:00"}\n', "at", (0, 0.5)),
        ('{"at": 1.25}\n{"at": 2.5}\n', "at", (0, 1.25)),
    ],
)
def test_a_table_has_its_heading_or_none_and_any_separator(trace, content, column, times_s):
    name = f"{trace(content)}:{column}"
    if times_s is None:
        with pytest.raises(UsageError, match="line 2: '1,' is not a number"):
            read_trace(name)
    else:
        assert read_trace(name)[0] == tuple(int(time_s * NS_PER_S) for time_s in times_s)


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        ("at,b\n1,2\n", "c", "it has no column 'c'; choose one of at, b, as in trace:"),
        ("1,2\n3,4\n", "3", "it has no column '3'; choose one of its 2 columns by its number"),
        ("at,b\n1,2\n3\n", "b", "line 3 has 1 columns; column 'b' is missing"),
        ("at,b\nsoon,2\n", "at", "line 2: 'soon' is not a number of seconds"),
        ('{"at": 1}\n', "b", "it has no key 'b'; choose one of at"),
        ('{"at": 1}\n{"b": 1}\n', "at", "line 2 has no time"),
        ('{"at": true}\n', "at", "line 1 has no time"),
        ('{"at": 1}\n{"at": 2\n', "at", "line 2 is no JSON"),
        ('{"at": 1}\n[2]\n', "at", "line 2 is no JSON object"),
        ("at,b\n", "at", "it holds no time"),
        ("", "at", "it holds no time"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_what_it_has(trace, content, column, message):
    name = trace(content)
    with pytest.raises(UsageError) as error:
        read_trace(f"{name}:{column}")
    assert str(error.value).startswith(f"cannot use the trace {name}: ")
    assert message in str(error.value)


def test_what_the_reader_of_csv_refuses_is_named_with_its_line(trace):
    usual = csv.field_size_limit(1000)
    try:
        with pytest.raises(UsageError, match="line 2: field larger than field limit"):
            read_trace(f"{trace('a' + chr(10) + 'x' * 2000)}:a")
    finally:
        csv.field_size_limit(usual)


@pytest.mark.parametrize(
    ("content", "unit", "times_ns"),
    [
        ("1700000000000\n1700000000001.5\n", "ms", (0, 1_500_000)),
        ("1700000000000000\n1700000000000001\n", "us", (0, 1000)),
        ("1700000000000000000\n1700000000000000001\n", "ns", (0, 1)),
        ("1700000000\n1700000001\n", "s", (0, NS_PER_S)),
        ("2023-11-16 18:15:46\n2023-11-16 18:15:46.0000001\n", "s", (0, 100)),
    ],
)
def test_times_since_1970_say_by_their_size_what_they_are_in(trace, content, unit, times_ns):
    found, origin = read_trace(trace(content))
    assert (found, origin.unit) == (times_ns, unit)
    remark = unit_remark(origin)
    words = {"ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
    assert remark == (f"trace times.txt: its times are in {words[unit]}" if unit in words else None)


def test_the_unit_of_plain_times_is_named_behind_an_empty_column(trace):
    name = trace("5\n1500\n")
    found, origin = read_trace(f"{name}::ms")
    assert (found, origin.name) == ((0, 1_495 * NS_PER_MS), f"{name}::ms")


def test_a_file_may_have_colons_in_its_name(tmp_path):
    path = tmp_path / "a:b.csv"
    path.write_text("1\n2\n")
    assert read_trace(str(path))[0] == (0, NS_PER_S)
    path.write_text("t:x,y\n1,2\n3,4\n")
    found, origin = read_trace(f"{path}:t:x")
    assert (found, origin.column) == ((0, 2 * NS_PER_S), "t:x")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_trace_may_begin_with_any_byte_order_mark(trace, encoding):
    content = ("\ufeff" if encoding == "utf-16-le" else "") + "0\n2\n"
    times_ns, origin = read_trace(trace(content.encode(encoding)))
    assert times_ns == (0, 2 * NS_PER_S)
    assert origin.sha256 == hashlib.sha256(content.encode(encoding)).hexdigest(), "of the file as it is"


def test_a_trace_that_cannot_be_read_is_refused(tmp_path):
    for path, message in (
        (tmp_path / "none.txt", "No such file or directory; give the path of a file that you may read"),
        (tmp_path, "it is a directory"),
        (os.devnull, "it is not a regular file"),
    ):
        with pytest.raises(UsageError, match=message):
            read_trace(str(path))


def test_a_trace_that_is_too_large_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate((256 << 20) + 1)
    with pytest.raises(UsageError, match=r"it is larger than 256 MiB; cut it"):
        read_trace(str(path))


def test_a_trace_of_too_many_times_is_refused(trace, monkeypatch):
    monkeypatch.setattr("servemark.workload.trace._MOST_TIMES", 3)
    assert len(read_trace(trace("1\n2\n3\n"))[0]) == 3
    with pytest.raises(UsageError, match=r"it has more than 3 times"):
        read_trace(trace("1\n2\n3\n4\n"))


def test_a_trace_is_scaled_to_the_mean_rate_that_is_asked_for(trace):
    name = trace("10\n10.5\n12\n14\n")  # 3 intervals in 4 s
    assert arrivals_of(None, f"trace:{name}").times_ns == (0, NS_PER_S // 2, 2 * NS_PER_S, 4 * NS_PER_S)
    scaled = arrivals_of("7.5", f"trace:{name}")
    assert scaled.times_ns == (0, 50 * NS_PER_MS, 200 * NS_PER_MS, 400 * NS_PER_MS)
    assert scaled.trace.file == name
    assert scaled.profile == ()
    with pytest.raises(UsageError, match="cannot be scaled to a rate: all its times are the same"):
        arrivals_of("5", f"trace:{trace('3')}")


def _load(arrivals, requests=None, duration_s=None, warmup_s=None):
    return open_load(
        arrivals,
        requests=requests,
        duration_s=duration_s,
        until=ADAPTIVE,
        warmup_s=warmup_s,
        usual_warmup_s=2.0,
        max_connections=None,
    )


def test_the_length_of_an_open_loop_is_its_requests_a_duration_its_profile_or_adapts():
    plain = arrivals_of("200", None)
    exact, timed, adapting = _load(plain, requests=50), _load(plain, duration_s=3.0), _load(plain)
    assert (exact.scenarios, exact.warmup_s, exact.longest_s) == (50, 0.0, None)
    assert (timed.scenarios, timed.warmup_s, timed.longest_s) == (None, 2.0, 5.0)
    assert (adapting.until, adapting.warmup_s, adapting.longest_s) == (ADAPTIVE, 2.0, 602.0)
    assert (adapting.max_connections, adapting.most_in_flight) == (10_000, 10_000)
    profile = _load(arrivals_of("1,2,3/20s", "poisson"))
    assert (profile.duration_s, profile.warmup_s, profile.until) == (60.0, 2.0, None)
    assert _load(plain, warmup_s=0.0).warmup_s == 0.0


def test_a_whole_trace_is_exactly_its_times_and_has_no_warmup_unless_asked(trace):
    arrivals = arrivals_of(None, f"trace:{trace('0 # first' + chr(10) + '1' + chr(10) + '3.5')}")
    whole = _load(arrivals)
    assert (whole.requests, whole.duration_s, whole.warmup_s, whole.until) == (3, None, 0.0, None)
    assert _load(arrivals, requests=2).requests == 2
    cut = _load(arrivals, duration_s=3.0)
    assert (cut.requests, cut.duration_s, cut.warmup_s) == (None, 3.0, 0.0)
    warm = _load(arrivals, warmup_s=1.0)
    assert warm.warmup_s == 1.0
    assert 3.5 < warm.longest_s < 3.500_01, "the last one is sent"
    for asked, message in (
        ({"requests": 4}, "-l 4 is more than the 3 times of the trace; leave -l out"),
        ({"duration_s": 3.6}, "--duration is longer than the trace: which ends after 3.5 s; leave --duration out"),
        ({"warmup_s": 4.0}, "--warmup is longer than the trace"),
        ({"duration_s": 3.0, "warmup_s": 1.0}, "--duration and --warmup are longer than the trace"),
    ):
        with pytest.raises(UsageError) as error:
            _load(arrivals, **asked)
        assert str(error.value).startswith(message)


def test_a_closed_loop_has_no_arrivals():
    assert arrivals_of(None, None) is None
    assert arrivals_of("3", "gamma:2") == Arrivals("gamma", 2.0, (RateSegment(3.0, 3.0),))
