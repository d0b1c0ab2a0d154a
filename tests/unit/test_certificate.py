"""Each check of a certificate can pass, fail, and say that it does not apply; what fails says by how much and why."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from servemark.certificate import certify, combine, effects
from servemark.certificate.conditions import Changes, MachineUse, RunConditions, disturbances
from servemark.certificate.generator import (
    Cycle,
    check_clock,
    check_lag,
    check_load,
    check_local_resources,
    check_loopback,
    check_pauses,
    check_unstamped,
)
from servemark.certificate.pauses import Pauses, ThreadPauses
from servemark.certificate.records import check_accounted, check_in_flight, check_schedule, check_server
from servemark.result import (
    Check,
    Disturbance,
    ErrorExample,
    EventSummary,
    GapSummary,
    LatencySummary,
    RunResult,
    Spread,
    Statistic,
    StepSummary,
    Telemetry,
)
from servemark.stats.lateness import Lateness
from servemark.units import ns_from_s

from .results import CLOSED as CLOSED_LOAD

#: 10 s on two CPUs that had little to do.
IDLE = MachineUse(
    elapsed_s=10.0,
    cpus=2,
    busy_cpu_s=6.0,
    steal_cpu_s=0.0,
    own_cpu_s=1.0,
    server_cpu_s=5.0,
    memory_stalled_s=0.0,
    remote=False,
)
BUSY = dataclasses.replace(IDLE, busy_cpu_s=20.0, server_cpu_s=18.5)
#: A user who may do all of it.
EVERYTHING = Changes(
    lower_load="lower --threads (now 4)",
    more_threads="raise --generator-threads (now 1)",
    realtime="give it real-time priority (--realtime on)",
    keep_awake="keep the CPUs awake (--keep-awake on)",
)
CLOSED = RunConditions(
    open_loop=False,
    users=4,
    machine=IDLE,
    generator_cpu_s=1.0,
    generator_s=10.0,
    threads=1,
    realtime="",
    changes=EVERYTHING,
)
OPEN = dataclasses.replace(
    CLOSED, open_loop=True, users=0, changes=dataclasses.replace(EVERYTHING, lower_load="lower --rate")
)
NOT_ALLOWED = "refused: Operation not permitted"


def _latency(ms):
    statistic = Statistic(ms, (ms, ms) if ms else None, None if ms else 1)
    return LatencySummary(*[statistic] * 6, min=ms, max=ms, stddev=0.0)


def _step(ms=10.0, measured=100):
    latency = _latency(ms)
    return StepSummary(
        "predict", measured, measured, measured, {}, (), Statistic(1.0, None, 30), *[latency] * 4, _latency(None), 0, 0
    )


def _late(conditions, **machine):
    """The check of a lag that moves p99 by 8.1 ms."""
    if machine:
        changed = dataclasses.replace(conditions.machine, **machine)
        conditions = dataclasses.replace(conditions, machine=changed)
    return check_lag(_step(9.1), _evidence(punctual_ms={"p99": 1.0}), conditions)


def test_only_a_failed_check_makes_it_invalid():
    passed, unknown, failed = (Check("x", value, "") for value in (True, None, False))
    assert certify([passed, unknown]).valid
    assert not certify([passed, failed]).valid
    assert certify([passed], [Disturbance("steal", "", 0.5, 0.01, "share")]).valid


def _run(certificate, **point):
    return RunResult(
        trial=1,
        point=point,
        server={},
        load=CLOSED_LOAD,
        window_s=(0.0, 1.0),
        warmup_s=0.0,
        certificate=certificate,
        steps=(),
        telemetry=Telemetry(),
        records="",
    )


def test_several_runs_are_valid_when_all_are_and_as_disturbed_as_the_worst_each_at_its_point():
    passed, failed = Check("clock (predict)", True, ""), Check("accounted", False, "")
    little, much = (Disturbance("steal", "stolen", share, 0.01, "share") for share in (0.02, 0.2))
    other = Disturbance("other load", "others", 0.3, 0.05, "share")
    both = combine([_run(certify([passed], [little, other]), threads=1), _run(certify([failed], [much]), threads=4)])
    assert not both.valid
    assert [check.name for check in both.checks] == ["clock (predict; threads 1)", "accounted (threads 4)"]
    assert [found.reason for found in both.disturbances] == [
        "stolen (worst at threads 4)",
        "others (worst at threads 1)",
    ]
    assert combine([_run(certify([passed], [little]))]) == certify([passed], [little])


def _accounted(**changes):
    facts = {"expected": None, "scheduled": 10, "recorded": 10, "sent": (10, 10), "interrupted": False}
    return check_accounted(**{**facts, **changes})


def test_lost_records_fail():
    check = _accounted(recorded=9)
    assert check.passed is False
    assert "10 requests were scheduled but 9 recorded" in check.reason
    assert _accounted().passed is True


def test_requests_that_were_never_scheduled_fail_unless_interrupted():
    assert _accounted(expected=12).passed is False
    assert _accounted(expected=12, interrupted=True).passed is True
    assert _accounted(expected=10).passed is True


def test_what_was_sent_is_what_the_records_say_was_sent():
    check = _accounted(sent=(10, 8))
    assert check.passed is False
    assert "10 requests were sent but 8 recorded as sent" in check.reason
    assert _accounted(sent=(8, 8)).passed is True  # two could not be sent
    assert _accounted(sent=None).passed is True


@pytest.mark.parametrize(
    ("found", "interrupted", "passed", "words"),
    [
        ({}, False, True, "when the arrival process says"),
        ({"wrong": 1, "most_off_ns": 1}, False, False, "1 arrivals of predict were scheduled at other times"),
        ({"made": 2}, False, False, "2 arrivals of predict were begun, not the 3"),
        ({"made": 2}, True, True, ""),
        ({"made": 2, "wrong": 1, "most_off_ns": 500_000}, True, False, "by up to 0.500 ms"),
        ({"more": 1}, True, False, "4 arrivals"),
    ],
)
def test_every_arrival_is_scheduled_when_its_process_says(found, interrupted, passed, words):
    account = SimpleNamespace(**{"due": 3, "made": 3, "more": 0, "wrong": 0, "most_off_ns": 0, **found})
    check = check_schedule({"predict": account}, interrupted=interrupted)
    assert check.passed is passed
    assert words in check.reason


def test_the_schedule_of_a_closed_loop_does_not_apply():
    check = check_schedule({}, interrupted=False)
    assert (check.passed, check.reason) == (None, "closed loop: the responses decide when requests are due")


@pytest.mark.parametrize(
    ("counted_ns", "recorded_ns", "passed", "words"),
    [
        (1000, 1000, True, "the same as"),
        (1000, 951, True, "4.90% less"),
        (1000, 949, False, "5.10% less than the generator's own count, limit 5%"),
        (1000, 1060, False, "6.00% more"),
    ],
)
def test_the_generators_own_count_agrees_with_the_records(counted_ns, recorded_ns, passed, words):
    check = check_in_flight(counted_ns=counted_ns, recorded_ns=recorded_ns, completions=100)
    assert check.passed is passed
    assert check.cause == ("" if passed else "results are wrong")
    assert words in check.reason


def test_that_count_of_few_requests_is_not_looked_at():
    check = check_in_flight(counted_ns=1000, recorded_ns=1, completions=99)
    assert check.passed is None
    assert "99 requests ended in the measured time, 100 are needed" in check.reason


def _evidence(**changes):
    """Of a step that nothing was wrong with, as far as checks look at it."""
    facts = {
        "trusted_ms": {},
        "measured": 100,
        "clock_read": 0,
        "unsure_sent": 0,
        "paused": 0,
        "receive_lag_ms": 0.02,
        "idle_ms": 0.0,
        "cycle_ms": 1000.0,
        **changes,
    }
    punctual_ms = {"response": facts.pop("punctual_ms", {}), "first_event": facts.pop("punctual_first_ms", {})}
    return SimpleNamespace(
        **facts, punctual_ms=punctual_ms.__getitem__, is_stamped=2 * facts["clock_read"] <= facts["measured"]
    )


def _closed(step):
    return dataclasses.replace(step, headline="service")


@pytest.mark.parametrize(
    ("ms", "ci95", "limit_ms"),
    [
        (1.0, (1.0, 1.0), 0.1),
        (10.0, (10.0, 10.0), 0.5),
        (10.0, (8.0, 13.0), 2.5),
        (10.0, None, None),
        (None, None, None),
    ],
)
def test_a_time_may_be_moved_by_5_percent_a_tenth_of_a_millisecond_or_half_its_interval(ms, ci95, limit_ms):
    assert effects.limit_ms(Statistic(ms, ci95, None if ci95 else 368)) == limit_ms


def test_a_rate_may_be_moved_by_5_percent_or_half_its_interval():
    assert effects.limit_of_rate(Statistic(100.0, (99.0, 101.0))) == 0.05
    assert effects.limit_of_rate(Statistic(100.0, (80.0, 120.0))) == 0.2
    assert effects.limit_of_rate(Statistic(100.0, None, 30)) is None


def test_the_worst_effect_is_the_one_that_uses_most_of_its_limit():
    reported = dataclasses.replace(_latency(10.0), p99=Statistic(90.0, (50.0, 99.0)))
    found = effects.moved("response", reported, {"p50": 9.0, "p99": 70.0, "p99_9": 10.0})
    assert effects.worst(found) == effects.Effect("p50 of the response", 1.0, 0.5)


def test_what_is_added_to_every_time_is_most_to_the_shortest_that_is_reported():
    step = dataclasses.replace(_step(10.0), service_ms=_latency(4.0))
    assert effects.worst(effects.added(step, 0.4)) == effects.Effect("p50 of the service", 0.4, 0.2)
    events = EventSummary(1, 1, _latency(1.0).p50, _latency(1.0).p50, _latency(2.0), None)
    streamed = dataclasses.replace(step, events=events)
    assert effects.worst(effects.added(streamed, 0.4)).figure == "p50 of the first event"
    assert effects.worst(effects.added(_step(10.0), 0.4)).figure == "p50 of the response"


@pytest.mark.parametrize(
    ("response_ms", "lag_ms", "passed"),
    [(1.0, 0.09, True), (1.0, 0.11, False), (100.0, 4.0, True), (100.0, 6.0, False)],
)
def test_lag_in_an_open_loop_is_judged_by_what_it_moves(response_ms, lag_ms, passed):
    step = _step(response_ms)
    check = check_lag(step, _evidence(punctual_ms=dict.fromkeys(("p50", "p99"), response_ms - lag_ms)), OPEN)
    assert check.passed is passed
    assert f"of the response by {lag_ms:g}" in check.reason


def test_of_a_search_what_moves_a_time_that_is_not_asked_for_is_told_and_makes_nothing_invalid():
    late = _evidence(punctual_ms={"p50": 10.0, "p90": 10.0, "p99": 1.0})
    asked = dataclasses.replace(OPEN, asked={"predict": {"p90 of the response"}})
    check = check_lag(_step(10.0), late, asked)
    assert check.passed is True
    assert check.reason == (
        "generator lag moves p90 of the response by 0 ms, limit 0.5 ms; "
        "p99 of the response by 9.0 ms, limit 0.5 ms, which is not asked for"
    )
    assert check_lag(_step(10.0), late, OPEN).passed is False
    nothing = check_lag(_step(10.0), late, dataclasses.replace(OPEN, asked={}))
    assert (nothing.passed, nothing.reason) == (
        None,
        "generator lag moves p99 of the response by 9.0 ms, limit 0.5 ms, which is not asked for",
    )
    assert check_loopback(_step(10.0), p50_ns=1, conditions=dataclasses.replace(OPEN, asked={})).passed is None


def test_lag_that_is_little_of_a_long_stream_is_judged_by_what_it_moves_of_its_first_event():
    events = EventSummary(1, 1, _latency(1.0).p50, _latency(1.0).p50, _latency(20.0), None)
    step = dataclasses.replace(_step(1000.0), events=events)
    punctual = {"punctual_ms": {"p50": 995.0}, "punctual_first_ms": {"p50": 15.0}}
    check = check_lag(step, _evidence(**punctual), OPEN)
    assert check.passed is False
    assert check.reason == "generator lag moves p50 of the first event by 5.0 ms, limit 1.0 ms"
    assert check_lag(_step(1000.0), _evidence(**punctual), OPEN).passed is True


def test_lag_does_not_apply_when_nothing_succeeded_or_no_percentile_has_an_interval():
    assert check_lag(_step(measured=0), _evidence(measured=0), OPEN).passed is None
    few = dataclasses.replace(_latency(10.0), p99=Statistic(90.0, None, 368))
    step = dataclasses.replace(_step(10.0), response_ms=few)
    assert check_lag(step, _evidence(punctual_ms={"p50": 10.0, "p99": 10.0}), OPEN).passed is True


def test_lag_in_a_closed_loop_is_in_no_time():
    check = check_lag(_closed(_step(10.0)), _evidence(), CLOSED)
    assert (check.passed, check.reason.split(":")[0]) == (None, "closed loop")


def test_times_in_doubt_are_judged_by_what_the_others_say():
    step = _closed(_step(10.0))
    assert check_clock(step, _evidence(), CLOSED).passed is True
    late = {"clock_read": 3, "receive_lag_ms": 2.0}
    failed = check_clock(step, _evidence(**late, trusted_ms={"p50": 9.9, "p99": 9.0}), CLOSED)
    assert failed.passed is False
    assert failed.reason == (
        "3 of 100 answers without the kernel's time of arrival move p99 of the service by 1.0 ms, limit 0.5 ms"
    )
    interrupted = check_clock(step, _evidence(unsure_sent=2), CLOSED)
    assert interrupted.passed is True
    assert "2 of 100 requests were interrupted while they were written" in interrupted.reason
    harmless = _evidence(**late, trusted_ms={"p50": 9.9, "p99": 9.8})
    assert check_clock(step, harmless, CLOSED).passed is True
    paused = _evidence(clock_read=100, paused=4, trusted_ms={"p50": 9.0, "p99": 9.0})
    assert "4 of 100 answers that came while the generator paused" in check_clock(step, paused, _stopped(1.0)).reason


def test_answers_without_a_stamp_that_take_longer_than_others_are_not_for_that_taken_to_be_read_late():
    """A fifth of them end with the connection, and take three times as long."""
    quick, slow = Statistic(20.0, (19.9, 20.1)), Statistic(60.0, (59.9, 60.1))
    times = dataclasses.replace(_latency(20.0), p90=slow, p95=slow, p99=slow, p99_9=slow, max=62.0)
    step = dataclasses.replace(_closed(_step()), service_ms=times)
    others = dict.fromkeys(("p50", "p90", "p95", "p99", "p99_9"), quick.value)

    def check(seen=CLOSED, **changes):
        facts = {"measured": 8000, "clock_read": 1600, "receive_lag_ms": 0.04, "trusted_ms": others, **changes}
        return check_clock(step, _evidence(**facts), seen)

    assert check().passed is True
    assert check(paused=8, seen=_stopped(0.06)).passed is True, "hardly any of them can have come in that pause"
    assert check(paused=1600, seen=_stopped(0.06)).passed is False
    assert check(receive_lag_ms=4.0).passed is False, "those with a stamp were read late, too"


def test_a_wall_clock_that_was_set_is_named_as_the_cause():
    late = _evidence(clock_read=3, receive_lag_ms=2.0, trusted_ms={"p99": 9.0})
    failed = check_clock(_closed(_step(10.0)), late, dataclasses.replace(CLOSED, clock_steps=2))
    assert failed.cause == "the wall clock, by which the kernel stamps arrivals, was set 2 times meanwhile"
    assert failed.advice == ("see that nothing sets the clock, and run again",)
    assert "wall clock" not in check_clock(_closed(_step(10.0)), late, CLOSED).cause


def test_where_all_answers_came_in_one_pause_they_are_late_by_up_to_as_long():
    all_of_them = _evidence(clock_read=100, paused=100)
    stopped = dataclasses.replace(_stopped(2.5), open_loop=True)
    failed = check_clock(_step(3150.0), all_of_them, stopped)
    assert failed.reason == (
        "100 of 100 answers that came while the generator paused move p50 of the response by 2500.0 ms, limit 157.5 ms"
    )
    assert check_clock(_step(60_000.0), all_of_them, stopped).passed is True, "that is little of a minute"


def _read_late(step, evidence, seen, *, receive_us=0.0, run_queue_us=0.0, joined_share=0.0):
    return check_unstamped(
        step,
        evidence,
        receive_lag_ms=receive_us / 1000,
        run_queue_ms=None if run_queue_us is None else run_queue_us / 1000,
        joined_share=joined_share,
        seen=seen,
    )


def test_without_the_kernels_times_what_answers_wait_for_is_added_to_every_percentile():
    def check(receive_us, run_queue_us, evidence):
        return _read_late(_step(1.0), evidence, OPEN, receive_us=receive_us, run_queue_us=run_queue_us)

    unstamped = _evidence(clock_read=100)
    assert check(60, 39, unstamped).passed is True
    failed = check(60, 50, unstamped)
    assert failed.passed is False
    assert failed.reason.startswith("that answers wait for the generator moves p")
    assert check(90, None, unstamped).passed is True
    assert check(600, 500, _evidence()).passed is None


def _times(p50, p90=None, p95=None, p99=None):
    """Such a distribution, each of whose percentiles has an interval without width."""
    values = [p50, p90 or p50, p95 or p90 or p50, p99 or p95 or p90 or p50]
    p50, p90, p95, p99 = (Statistic(value, (value, value)) for value in values)
    return LatencySummary(p50, p50, p90, p95, p99, p99, min=p50.value, max=p99.value, stddev=0.0)


def test_without_the_kernels_times_answers_of_several_pauses_are_late_by_up_to_as_long():
    """Ten stops of 0.2 s in a minute, of a server that takes 100 ms; the longest is the clock's check."""
    step = dataclasses.replace(_closed(_step()), service_ms=_times(100.0, p99=300.0))
    minute = {"until_s": 2.2, "measured_s": (0.0, 60.0), "longest_s": 0.2}
    unstamped = _evidence(clock_read=100)
    failed = _read_late(step, unstamped, _stopped(2.0, **minute))
    assert failed.passed is False
    assert failed.reason == "that answers wait for the generator moves p99 of the service by 150.0 ms, limit 15.0 ms"
    assert _read_late(step, unstamped, _stopped(0.2, **minute)).passed is True
    assert _read_late(step, _evidence(), _stopped(2.0, **minute)).passed is None
    even = dataclasses.replace(step, service_ms=_times(100.0))
    assert _read_late(even, unstamped, _stopped(2.0, **minute)).passed is True


def test_without_the_kernels_times_answers_are_late_that_a_quota_keeps_from_being_read():
    """A server that takes 20 ms, and 40 ms of CPU time in each 100 ms: no single wait is a pause."""
    step = dataclasses.replace(_closed(_step()), service_ms=_times(20.0, p90=80.0))
    held_back = dataclasses.replace(IDLE, server_cpu_s=0.0, throttled_s=4.9, throttled_times=80)
    quota = dataclasses.replace(CLOSED, machine=held_back)
    failed = _read_late(step, _evidence(clock_read=100), quota)
    assert failed.passed is False
    assert failed.reason == "that answers wait for the generator moves p90 of the service by 60.0 ms, limit 4.0 ms"
    assert failed.advice == ("give it a larger quota",)
    assert _read_late(step, _evidence(clock_read=100), CLOSED).passed is True
    assert _read_late(step, _evidence(), quota).passed is None


def _streamed(first_event, between_ms, took_ms=1000.0):
    between = GapSummary(100, *[between_ms] * 5)
    events = EventSummary(1, 1, Spread(30.0, 30, 30, 30), _latency(1.0).p50, first_event, between)
    return dataclasses.replace(_closed(_step(took_ms)), events=events)


def test_events_that_were_read_with_later_ones_are_late_by_up_to_what_they_waited():
    """A thread that waits up to 10 ms for a CPU, and events 3 ms apart: the first one has the stamp of a later one."""
    late = _evidence(receive_lag_ms=4.0)
    failed = _read_late(_streamed(_times(8.0, p90=14.0), 3.0), late, CLOSED, joined_share=0.5)
    assert failed.passed is False
    assert failed.reason.startswith("that 50.0% of events were read with a later one moves p")
    assert "of the first event by" in failed.reason


@pytest.mark.parametrize(
    ("first_event", "between_ms", "wait_ms", "joined_share"),
    [
        (_times(8.0, p90=14.0), 3.0, 4.0, 0.0),  # none was
        (_times(5.0, p99=5.3), 3.0, 0.03, 0.002),  # hardly any was, and none for long
        (_times(5.0, p90=5.2), 10.0, 0.03, 0.5),  # the server sends two at a time
        (_times(200.0, p90=230.0), 3.0, 2.0, 0.3),  # that is little of what they took
    ],
)
def test_events_that_were_not_moved_by_that_are_not_judged_late(first_event, between_ms, wait_ms, joined_share):
    step = _streamed(first_event, between_ms)
    assert _read_late(step, _evidence(receive_lag_ms=wait_ms), CLOSED, joined_share=joined_share).passed is True


def test_streams_that_met_a_pause_have_a_late_first_event_and_a_long_gap():
    """Two stops of 1.5 s in a minute: in a twentieth of it."""
    stopped = _stopped(3.0, longest_s=1.5, until_s=21.5, measured_s=(0.0, 60.0))
    step = _streamed(_times(1000.0, p90=1014.0, p95=1016.0, p99=2005.0), 20.0, took_ms=2000.0)
    failed = _read_late(step, _evidence(), stopped, joined_share=0.05)
    assert failed.passed is False
    assert "p99 of the first event" in failed.reason
    assert failed.cause == "it was stopped, or kept from a CPU, for 1.50 s until 21.5 s"
    even = _streamed(_times(1000.0), 20.0, took_ms=2000.0)
    assert _read_late(even, _evidence(), stopped, joined_share=0.05).passed is True
    tokens = SimpleNamespace(first_token_ms=_times(1000.0), first_said_ms=None, longest_gap_ms=_times(25.0, p90=1500.0))
    gap = _read_late(dataclasses.replace(even, tokens=tokens), _evidence(), stopped, joined_share=0.05)
    assert gap.passed is False
    assert "p90 of the longest gap" in gap.reason


def test_a_slow_generator_in_a_closed_loop_matters_where_the_highest_rate_was_asked_for():
    def check(share, *, starved=0.5, limit=0.05, asked=True, seen=CLOSED):
        return check_load(Cycle(share, starved, limit, asked, "predict"), seen)

    assert check(0.05).passed is True
    failed = check(0.2)
    assert failed.passed is False
    waited = "users waited for the generator for 20.0% of their time"
    assert failed.reason == f"{waited}, so that the rate of predict lacks up to 20.0%, limit 5.0%"
    assert failed.advice == ("lower --threads (now 4)", "run again")
    assert check(0.2, starved=0.04).passed is True, "its workers had enough to do all the same"
    assert check(0.2, starved=0.1).measured == 0.1
    assert check(0.2, limit=0.25).passed is True, "its interval is wider"
    assert check(0.2, limit=None).passed is None
    assert check(0.2, asked=False).passed is None
    shared = dataclasses.replace(CLOSED, machine=BUSY)
    assert check(0.2, starved=None, seen=shared).passed is None
    assert check(0.2, starved=None).passed is False
    assert check(0.2, seen=shared).passed is False
    assert check_load(None, OPEN).passed is None


def _stopped(paused_s, *, longest_s=None, until_s=3.25, measured_s=(0.0, 10.0), idle_share=1.0, threads=1, **changes):
    """A closed loop of whose threads one paused for so long, and the longest time until then; the others did not."""
    longest_s = paused_s if longest_s is None else longest_s
    span_ns = (ns_from_s(until_s - longest_s), ns_from_s(until_s))
    paused = ThreadPauses(ns_from_s(paused_s), (span_ns,) if longest_s else ())
    pauses = Pauses((paused, *[ThreadPauses()] * (threads - 1)))
    measured_ns = ns_from_s(measured_s[0]), ns_from_s(measured_s[1])
    seen = {"pauses": pauses, "measured_ns": measured_ns, "idle_share": idle_share, "threads": threads}
    return dataclasses.replace(CLOSED, **seen, **changes)


def _pauses(seen, *, limit=0.05, of=None, evidence=None):
    return check_pauses(of or _closed(_step()), evidence or _evidence(), limit=limit, conditions=seen)


def test_a_generator_that_did_not_run_lowers_the_rate_by_name():
    stopped = _stopped(1.5)
    assert _pauses(_stopped(0.0)).passed is True
    assert _pauses(_stopped(0.4)).passed is True
    failed = _pauses(stopped)
    assert failed.passed is False
    assert failed.reason == (
        "the generator did not run for 1.50 s of the measured time, so that the rate lacks up to 15.0%, limit 5.0%"
    )
    assert failed.cause == "it was stopped, or kept from a CPU, for 1.50 s until 3.2 s"
    assert failed.advice == ("see that nothing stops it, and run again",)
    throttled = _stopped(9.0, longest_s=1.5, machine=dataclasses.replace(IDLE, throttled_s=9.2))
    assert _pauses(throttled).cause == "its control group's quota of CPU time kept it waiting for 9.20 s"
    assert _pauses(throttled).advice == ("give it a larger quota",)
    assert _pauses(stopped, limit=None).passed is None
    assert _pauses(stopped, of=_step()).passed is None


@pytest.mark.parametrize(
    ("until_s", "measured_s", "idle_share", "lacking"),
    [
        (1.5, (2.0, 12.0), 0.0, 0.0),  # in the warm-up
        (65.0, (60.0, 70.0), 0.098, 0.098),  # a second of ten, behind a long warm-up
        (2.6, (2.0, 12.0), 0.0, 0.06),  # who waited had become due in the warm-up
        (12.4, (2.0, 12.0), 0.1, 0.06),  # the rest of it is no measured time
        (5.0, (2.0, 12.0), 0.025, 0.025),  # of one of four threads
    ],
)
def test_a_pause_counts_for_what_users_waited_in_the_measured_time(until_s, measured_s, idle_share, lacking):
    check = _pauses(_stopped(1.0, until_s=until_s, measured_s=measured_s, idle_share=idle_share))
    assert check.measured == pytest.approx(lacking)
    assert check.passed is (lacking <= 0.05)


def test_without_the_kernels_times_all_pauses_count_that_may_have_been_in_the_measured_time():
    def measured(**pauses):
        return _pauses(_stopped(**pauses, idle_share=0.0), evidence=_evidence(clock_read=100)).measured

    assert measured(paused_s=1.0) == pytest.approx(0.1)
    assert measured(paused_s=1.0, longest_s=0.6, until_s=1.0, measured_s=(2.0, 12.0)) == pytest.approx(0.04)


def test_a_pause_of_one_thread_of_several_is_one_of_the_users_that_it_has():
    unstamped = _evidence(clock_read=100)
    assert CLOSED.users == 4
    for threads, lacking in ((1, 0.2), (2, 0.1), (4, 0.05), (3, 0.1)):
        stopped = _stopped(2.0, threads=threads)
        assert _pauses(stopped, evidence=unstamped).measured == pytest.approx(lacking)
        assert stopped.late_in_pauses == Lateness(pytest.approx(lacking), 2000.0)
        assert stopped.late_in_shorter_pauses.share == 0.0


def test_pauses_of_the_warm_up_make_no_measured_answer_late():
    """Ten stops of 0.2 s before the measured time, and one of 60 ms in it."""
    spans_ns = [*((k * 10**9, k * 10**9 + 2 * 10**8) for k in range(10)), (15 * 10**9, 15 * 10**9 + 6 * 10**7)]
    pauses = Pauses((ThreadPauses(2_060_000_000, tuple(spans_ns)),))
    seen = dataclasses.replace(CLOSED, pauses=pauses, measured_ns=(10 * 10**9, 70 * 10**9), threads=1)
    assert seen.late_in_pauses == Lateness(pytest.approx(0.001), 60.0)
    assert seen.longest_pause_s == (15.0, 15.06)
    assert seen.paused_s == pytest.approx(2.06)
    step = dataclasses.replace(_closed(_step()), service_ms=_times(100.0, p99=300.0))
    assert _read_late(step, _evidence(clock_read=100), seen).passed is True


def test_a_generator_that_was_late_says_why_and_what_to_change():
    allow = "allow real-time priority (./install_dependencies.sh --realtime, log in again)"
    changes = dataclasses.replace(OPEN.changes, realtime=allow)
    late = _late(dataclasses.replace(OPEN, machine=BUSY, realtime=NOT_ALLOWED, changes=changes))
    assert late.reason == "generator lag moves p99 of the response by 8.1 ms, limit 0.455 ms"
    assert late.cause == "the server uses all 2 cores"
    assert late.advice == ("lower --rate", allow, "measure on a machine with more CPUs")


ALL_BUSY, RATE, THREADS = vars(BUSY), "lower --rate", "lower --threads (now 4)"
REALTIME, AWAKE, MORE = EVERYTHING.realtime, EVERYTHING.keep_awake, EVERYTHING.more_threads
STOP, LARGER = "stop what else runs here", "measure on a machine with more CPUs"


@pytest.mark.parametrize(
    ("conditions", "machine", "cause", "advice"),
    [
        (CLOSED, {}, "though this machine's CPUs were busy for only 30% of the time", (THREADS, "run again")),
        (OPEN, {}, "though this machine's CPUs were busy for only 30% of the time", (RATE, AWAKE, "run again")),
        (OPEN, ALL_BUSY, "the server uses all 2 cores", (RATE, REALTIME, LARGER)),
        (
            OPEN,
            {**ALL_BUSY, "server_cpu_s": 12.0},
            "the server and other programs use all 2 cores",
            (RATE, STOP, REALTIME, LARGER),
        ),
        (OPEN, {**ALL_BUSY, "server_cpu_s": 2.0}, "other programs use all 2 cores", (RATE, STOP, REALTIME, LARGER)),
        (OPEN, {**ALL_BUSY, "server_cpu_s": None}, "all 2 cores of this machine are busy", (RATE, REALTIME, LARGER)),
        (OPEN, {**ALL_BUSY, "cpus": 1}, "the server uses the only core", (RATE, REALTIME, LARGER)),
        (OPEN, {"busy_cpu_s": None}, "", (RATE, AWAKE, "run again")),
        (
            OPEN,
            {**ALL_BUSY, "remote": True, "server_cpu_s": 0.0},
            "other programs use all 2 cores",
            (RATE, STOP, REALTIME, "send from a machine with more CPUs"),
        ),
        (
            dataclasses.replace(OPEN, generator_cpu_s=9.0),
            {"busy_cpu_s": 14.0},
            "its thread was busy for 90% of the time",
            (RATE, MORE, AWAKE, "run again"),
        ),
        (
            OPEN,
            {"throttled_s": 4.0},  # in slices too short for pauses
            "its control group's quota of CPU time kept it waiting for 4.00 s",
            ("give it a larger quota",),
        ),
        (
            dataclasses.replace(OPEN, realtime=NOT_ALLOWED),
            {},
            "though this machine's CPUs were busy for only 30% of the time",
            (RATE, REALTIME, AWAKE, "run again"),
        ),
    ],
)
def test_the_advice_fits_what_was_measured(conditions, machine, cause, advice):
    late = _late(conditions, **machine)
    assert (late.cause, late.advice) == (cause, advice)


@pytest.mark.parametrize("seen", [CLOSED, OPEN, dataclasses.replace(OPEN, realtime=NOT_ALLOWED)])
@pytest.mark.parametrize("machine", [{}, {**ALL_BUSY, "server_cpu_s": 2.0}, {"busy_cpu_s": None}])
def test_what_the_user_cannot_change_is_not_advised(seen, machine):
    late = _late(dataclasses.replace(seen, changes=Changes(), generator_cpu_s=9.0), **machine)
    assert late.advice
    assert set(late.advice) <= {"run again", STOP, LARGER}


def test_a_generator_that_was_ended_before_it_began_has_no_share_of_its_time():
    """It computed a little while it was made ready, in no time of the run."""
    unbegun = dataclasses.replace(OPEN, generator_cpu_s=70e-6, generator_s=0.0)
    assert unbegun.generator_share is None
    assert disturbances(unbegun) == ()


def test_a_busy_or_slow_generator_is_told():
    busy = dataclasses.replace(OPEN, generator_cpu_s=8.1)
    (found,) = disturbances(busy)
    assert (found.name, found.reason) == (
        "generator CPU",
        "the generator's threads were busy for 81% of the time; for more of them raise --generator-threads (now 1)",
    )
    (found,) = disturbances(dataclasses.replace(busy, changes=Changes()))
    assert found.reason == "the generator's threads were busy for 81% of the time"
    assert disturbances(dataclasses.replace(OPEN, generator_cpu_s=15.0, threads=2)) == ()
    idle = dataclasses.replace(CLOSED, idle_share=0.12)
    (found,) = disturbances(idle)
    assert found.name == "generator-limited"
    assert found.reason.startswith("users waited for the generator for 12% of their time")
    assert [found.name for found in disturbances(_stopped(0.3, idle_share=0.0))] == ["pauses"]


def test_an_ideal_server_is_measured_as_no_more_than_any_percentile_may_be_moved_by():
    def check(p50_us, response_ms=1.0):
        p50_ns = None if p50_us is None else p50_us * 1000
        return check_loopback(_step(response_ms), p50_ns=p50_ns, conditions=CLOSED)

    assert check(100).passed is True
    assert check(101).passed is False
    assert "is measured as 0.101 ms, which moves p50 of the response by 0.101 ms, limit 0.1 ms" in check(101).reason
    assert check(190, 4.0).passed is True
    assert (check(None).passed, check(10, None).passed) == (None, None)


def test_a_quiet_machine_is_not_disturbed():
    assert disturbances(CLOSED) == disturbances(OPEN) == ()


@pytest.mark.parametrize(
    ("machine", "name", "words"),
    [
        ({"steal_cpu_s": 1.0}, "steal", "5.0% of this machine's CPU time"),
        ({"memory_stalled_s": 0.5}, "memory pressure", "for 5.0% of the time"),
        ({"busy_cpu_s": 16.0}, "other load", "50% of this machine's CPU time"),
        ({"remote": True, "server_cpu_s": 0.0}, "other load", "25% of"),
        ({"throttled_s": 2.0}, "quota", "from running for 20% of the time"),
    ],
)
def test_what_disturbs_a_run_is_named_with_its_share(machine, name, words):
    found = disturbances(dataclasses.replace(CLOSED, machine=dataclasses.replace(IDLE, **machine)))
    assert [disturbance.name for disturbance in found] == [name]
    assert words in found[0].reason
    assert found[0].measured > found[0].limit


def test_time_in_which_a_quota_held_back_several_cpus_counts_once():
    eight_at_once = dataclasses.replace(IDLE, cpus=16, own_cpu_s=4.0, server_cpu_s=68.0, throttled_s=8.0)
    assert eight_at_once.throttled_share == pytest.approx(0.1)
    assert dataclasses.replace(IDLE, throttled_s=4.0).throttled_share == pytest.approx(0.4)
    assert IDLE.throttled_share == 0.0


@pytest.mark.parametrize(
    "machine",
    [
        {"server_cpu_s": None, "busy_cpu_s": 20.0},  # a server whose processes are not known may be all of it
        {"busy_cpu_s": 1.9, "elapsed_s": 0.4, "server_cpu_s": 0.1, "steal_cpu_s": 0.01},  # within the ticks
        {"busy_cpu_s": None, "steal_cpu_s": None, "memory_stalled_s": None},
    ],
)
def test_what_cannot_be_told_is_not_told(machine):
    assert disturbances(dataclasses.replace(CLOSED, machine=dataclasses.replace(IDLE, **machine))) == ()


def test_a_server_that_failed_or_changed_fails():
    assert check_server("it died", {"workers": 2}, {}).passed is False
    changed = check_server(None, {"workers": 2}, {"workers": 1})
    assert changed.passed is False
    assert "workers 2 -> 1" in changed.reason
    assert changed.advice == ("run again",)
    assert check_server(None, {"workers": 2}, {"workers": 2}).passed is True
    assert check_server(None, {}, {}).passed is None


def test_no_request_lacked_anything_of_this_machine():
    check = check_local_resources([_step(), _step()], CLOSED)
    assert (check.name, check.passed, check.measured) == ("local resources", True, 0)


@pytest.mark.parametrize(
    ("message", "resource", "advice"),
    [
        (
            "connect: Too many open files (os error 24)",
            "file descriptors",
            ("raise the hard limit of open files (ulimit -Hn, as root)", THREADS),
        ),
        (
            "connect: Cannot assign requested address (os error 99)",
            "ports",
            ("let the server keep its connections alive", THREADS),
        ),
        ("Cannot assign requested address", "ports", ("let the server keep its connections alive", THREADS)),
        ("epoll: Cannot allocate memory (os error 12)", "memory for connections", (THREADS,)),
    ],
)
def test_what_a_request_lacked_of_this_machine_makes_a_run_invalid(message, resource, advice):
    example = ErrorExample("local", 1.0, message, "")
    other = ErrorExample("connect", 0.5, "connect: refused", "")
    lacked = dataclasses.replace(_step(), errors={"local": 7, "connect": 2}, error_examples=(other, example))
    check = check_local_resources([_step(), lacked], CLOSED)
    assert (check.passed, check.measured) == (False, 7)
    assert check.reason == f"7 requests failed for lack of {resource} ({message})"
    assert check.advice == advice
    assert check_local_resources([lacked], dataclasses.replace(CLOSED, changes=Changes())).advice
    assert not certify([check]).valid
