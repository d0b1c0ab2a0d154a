"""Rates, arrival processes and traces as people write them, and every way in which they cannot be used."""

from __future__ import annotations

import hashlib
import os

import pytest

from servemark.errors import UsageError
from servemark.units import NS_PER_MS, NS_PER_S
from servemark.workload.load import Arrivals, RateSegment, Until
from servemark.workload.open_loop import arrivals_of, open_load, parse_arrival
from servemark.workload.rates import format_rate, parse_rate
from servemark.workload.trace import read_trace


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
    ("200/", "'' is not a time in seconds"),
    ("200/1m", "'1m' is not a time in seconds; as in /60s"),
    ("200/0s", "the time 0s is not above 0"),
    ("200/-1s", "the time -1s is not above 0"),
    ("200/nans", "'nans' is not a time in seconds"),
    ("200/infs", "the time infs is not above 0 and at most 1,000,000 s"),
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
    ("0\n2\n1\n", "line 3: 1 comes before the time above it; sort it"),
    ("0\nsoon\n", "line 2: 'soon' is not a number of seconds"),
    ("0\n\n1,5\n", "line 3: '1,5' is not a number of seconds"),
    ("nan\n", "line 1: 'nan' is not a number of seconds"),
    ("0\nInfinity\n", "line 2: 'Infinity' is not a number of seconds"),
    ("-1\n0\n", "line 1: '-1' is negative; times count from the first: add a constant to all"),
    ("1700000000000000000\n", "is too large for a time in seconds; nanoseconds? divide them"),
    ("1e999999999999\n", "is too large for a time in seconds"),
    ("0\n1e7\n", "line 2: 1E+7 is more than 1,000,000 s after the first; cut it"),
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
        until=Until(),
        warmup_s=warmup_s,
        usual_warmup_s=2.0,
        max_connections=None,
    )


def test_the_length_of_an_open_loop_is_its_requests_a_duration_its_profile_or_adapts():
    plain = arrivals_of("200", None)
    exact, timed, adapting = _load(plain, requests=50), _load(plain, duration_s=3.0), _load(plain)
    assert (exact.scenarios, exact.warmup_s, exact.longest_s) == (50, 0.0, None)
    assert (timed.scenarios, timed.warmup_s, timed.longest_s) == (None, 2.0, 5.0)
    assert (adapting.until, adapting.warmup_s, adapting.longest_s) == (Until(), 2.0, 62.0)
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
