"""Each check of a certificate can pass, fail, and say that it does not apply; what fails says by how much and why."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from servemark.certificate import certify, combine
from servemark.certificate.circumstances import Circumstances, MachineUse, disturbances
from servemark.certificate.generator import (
    check_cpu,
    check_lag,
    check_loopback,
    check_receive_lag,
    check_run_queue,
)
from servemark.certificate.records import check_accounted, check_in_flight, check_schedule, check_server
from servemark.records import row_dtype
from servemark.result import Check, Disturbance, LatencySummary, Statistic, StepSummary
from servemark.stats.accounting import account, first_scheduled
from servemark.stats.summary import Window

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
CLOSED = Circumstances(
    open_loop=False, users=4, machine=IDLE, generator_cpu_s=1.0, generator_s=10.0, threads=1, realtime=""
)
OPEN = dataclasses.replace(CLOSED, open_loop=True, users=0)
NOT_ALLOWED = "refused: Operation not permitted"


def _latency(ms):
    statistic = Statistic(ms, (ms, ms) if ms else None, None if ms else 1)
    return LatencySummary(*[statistic] * 6, min=ms, max=ms, stddev=0.0)


def _step(ms=10.0, measured=100):
    latency = _latency(ms)
    return StepSummary(
        "predict", measured, measured, measured, {}, (), Statistic(1.0, None, 30), *[latency] * 4, _latency(None), 0, 0
    )


def _late(circumstances, **machine):
    """The reason of a lag that moves p99 by 8.1 ms."""
    if machine:
        changed = dataclasses.replace(circumstances.machine, **machine)
        circumstances = dataclasses.replace(circumstances, machine=changed)
    return check_lag(_step(9.1), {"p99": 1.0}, circumstances).reason


def test_only_a_failed_check_makes_it_invalid():
    passed, unknown, failed = (Check("x", value, "") for value in (True, None, False))
    assert certify([passed, unknown]).valid
    assert not certify([passed, failed]).valid
    assert certify([passed], [Disturbance("steal", "", 0.5, 0.01, "share")]).valid


def test_several_runs_are_valid_when_all_are_and_as_disturbed_as_the_worst():
    passed, failed = Check("x", True, ""), Check("x", False, "")
    little, much = (Disturbance("steal", "", share, 0.01, "share") for share in (0.02, 0.2))
    other = Disturbance("other load", "", 0.3, 0.05, "share")
    both = combine([certify([passed], [little, other]), certify([failed], [much])])
    assert not both.valid
    assert both.checks == (passed, failed)
    assert set(both.disturbances) == {much, other}


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


EXPECTED_NS = np.array([0, 1_000_000, 2_000_000])


@pytest.mark.parametrize(
    ("recorded_ns", "interrupted", "passed", "words"),
    [
        ([0, 1_000_000, 2_000_000], False, True, "when the arrival process says"),
        ([0, 1_000_000, 2_000_001], False, False, "1 arrivals of predict were scheduled at other times"),
        ([0, -1, 2_000_000], False, False, "2 arrivals of predict were begun, not the 3"),
        ([0, 1_000_000, -1], True, True, ""),
        ([0, 1_500_000, -1], True, False, "by up to 0.500 ms"),
        ([0, 1_000_000, 2_000_000, 3_000_000], True, False, "4 arrivals"),
    ],
)
def test_every_arrival_is_scheduled_when_its_process_says(recorded_ns, interrupted, passed, words):
    check = check_schedule({"predict": (EXPECTED_NS, np.array(recorded_ns))}, interrupted=interrupted)
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
        (1000, 949, False, "5.10% less than the generator's own count, limit 5%: results are wrong"),
        (1000, 1060, False, "6.00% more"),
    ],
)
def test_the_generators_own_count_agrees_with_the_records(counted_ns, recorded_ns, passed, words):
    check = check_in_flight(counted_ns=counted_ns, recorded_ns=recorded_ns, completions=100)
    assert check.passed is passed
    assert words in check.reason


def test_that_count_of_few_requests_is_not_looked_at():
    check = check_in_flight(counted_ns=1000, recorded_ns=1, completions=99)
    assert check.passed is None
    assert "99 requests ended in the measured time, 100 are needed" in check.reason


def test_records_are_clipped_to_the_window():
    rows = np.zeros(4, dtype=row_dtype())
    rows["sent"], rows["end"] = [-1, 50, 150, 400], [90, 120, 250, 900]
    found = account([rows[:2], rows[2:]], Window(100, 500))
    assert (found.sent, found.in_flight_ns, found.completions) == (3, 20 + 100 + 100, 2)


def test_of_a_step_that_is_repeated_the_first_time_counts():
    rows = np.zeros(6, dtype=row_dtype())
    rows["group"] = [1, 1, 1, 1, 0, 1]
    rows["step"] = [3, 3, 3, 4, 3, 3]
    rows["user"] = [0, 2, 2, 0, 1, 4]
    rows["scheduled"] = [10, 70, 50, 5, 1, 90]
    found = first_scheduled([rows[:3], rows[3:]], group=1, first_step=3, arrivals=4)
    assert found.tolist() == [10, -1, 50, -1, 90]
    assert first_scheduled([rows], group=1, first_step=None, arrivals=1).tolist() == [5, -1, 50, -1, 90]


@pytest.mark.parametrize(
    ("response_ms", "lag_ms", "passed"),
    [(10.0, 0.4, True), (10.0, 0.6, False), (100.0, 4.0, True), (100.0, 6.0, False)],
)
def test_lag_may_move_a_percentile_by_half_a_millisecond_or_5_percent(response_ms, lag_ms, passed):
    step = _step(response_ms)
    punctual = dict.fromkeys(("p50", "p99"), response_ms - lag_ms)
    check = check_lag(step, punctual, CLOSED)
    assert check.passed is passed
    assert f"by {lag_ms:g}" in check.reason


def test_lag_names_the_worst_percentile():
    step = dataclasses.replace(
        _step(10.0), response_ms=dataclasses.replace(_latency(10.0), p99=Statistic(90.0, (80.0, 99.0)))
    )
    check = check_lag(step, {"p50": 10.0, "p99": 80.0}, CLOSED)
    assert "p99 by 10.0 ms" in check.reason


def test_lag_does_not_apply_when_nothing_succeeded():
    assert check_lag(_step(measured=0), {}, CLOSED).passed is None


def test_lag_of_a_percentile_without_an_interval_is_not_looked_at():
    few = dataclasses.replace(_latency(10.0), p99=Statistic(90.0, None, 368))
    check = check_lag(dataclasses.replace(_step(10.0), response_ms=few), {"p50": 10.0, "p99": 10.0}, CLOSED)
    assert check.passed is True


def test_a_generator_that_was_late_says_why_and_what_to_change():
    assert _late(dataclasses.replace(OPEN, machine=BUSY, realtime=NOT_ALLOWED)) == (
        "generator lag moves p99 by 8.1 ms, limit 0.5 ms: the server uses all 2 cores; lower --rate, allow real-time "
        "priority (install_dependencies.sh --realtime) or move the generator to another machine"
    )


@pytest.mark.parametrize(
    ("circumstances", "machine", "there", "not_there"),
    [
        (CLOSED, {}, ["busy for only 30%", "lower --threads", "run again"], ["--rate", "--realtime", "keep-awake"]),
        (dataclasses.replace(CLOSED, users=1), {}, ["run again"], ["lower"]),
        (OPEN, {}, ["lower --rate", "--keep-awake on"], ["--threads", "realtime"]),
        (dataclasses.replace(OPEN, keep_awake="2 CPUs"), {}, ["run again"], ["--keep-awake", "realtime"]),
        (OPEN, vars(BUSY), ["the server uses all 2 cores", "--realtime on"], ["keep-awake", "install"]),
        (dataclasses.replace(OPEN, realtime="rr 1"), vars(BUSY), ["lower --rate"], ["realtime", "real-time"]),
        (OPEN, {**vars(BUSY), "server_cpu_s": 12.0}, ["server and other programs use", "stop what else"], []),
        (OPEN, {**vars(BUSY), "server_cpu_s": 2.0}, ["other programs use all 2 cores", "stop what else"], []),
        (OPEN, {**vars(BUSY), "server_cpu_s": None}, ["all 2 cores of this machine are busy"], ["stop what", "server"]),
        (OPEN, {"remote": True, "server_cpu_s": 0.0}, ["to a larger machine", "stop what else"], ["the server"]),
        (OPEN, {"busy_cpu_s": None}, ["limit 0.5 ms: lower --rate"], ["busy"]),
        (
            dataclasses.replace(OPEN, generator_cpu_s=9.0),
            {},
            ["its thread was busy for 90%", "--generator-threads"],
            [],
        ),
        (OPEN, {**vars(BUSY), "cpus": 1}, ["the server uses the only core"], []),
    ],
)
def test_the_advice_fits_what_was_measured(circumstances, machine, there, not_there):
    reason = _late(circumstances, **machine)
    assert [words for words in there if words not in reason] == [], reason
    assert [words for words in not_there if words in reason] == [], reason


def test_waking_up_takes_a_tenth_of_a_millisecond_or_5_percent_of_the_service_time():
    def check(mean_us, service_ms, waits=10):
        delay_ns = mean_us * 1000 * waits
        return check_run_queue(delay_ns=delay_ns, waits=waits, median_service_ms=service_ms, circumstances=CLOSED)

    assert check(99, 1.0).passed is True
    failed = check(200, 1.0)
    assert failed.passed is False
    assert failed.reason.startswith("at a wake-up the generator waits for a CPU for 0.2 ms, limit 0.1 ms: ")
    assert check(200, 5.0).passed is True
    assert (check(0, 1.0, waits=0).passed, check(200, None).passed) == (None, None)
    assert check(0, 1.0, waits=0).reason == "this system does not count it"


def test_a_response_waits_for_the_generator_for_half_a_millisecond_or_5_percent_of_what_it_took_without():
    def check(mean_us, response_ms, circumstances=OPEN, sent=10):
        lag_ns = mean_us * 1000 * sent
        return check_receive_lag(lag_ns=lag_ns, sent=sent, median_response_ms=response_ms, circumstances=circumstances)

    assert check(499, 1.0).passed is True
    failed = check(600, 1.0)
    assert failed.passed is False
    assert failed.reason.startswith("a response waits for the generator for 0.6 ms, limit 0.5 ms: ")
    assert "lower --rate" in failed.reason
    assert check(5000, 105.1).passed is True
    assert check(5000, 104.9).passed is False
    assert check(200_000, 250.0).passed is False
    assert (check(5000, 1.0, CLOSED).passed, check(5000, None).passed) == (None, None)


def test_a_busy_generator_fails_in_an_open_loop_only():
    assert check_cpu(OPEN).passed is True
    busy = check_cpu(dataclasses.replace(OPEN, generator_cpu_s=8.1))
    assert busy.passed is False
    assert "81% of the time, limit 80%" in busy.reason
    two_threads = dataclasses.replace(OPEN, generator_cpu_s=15.0, threads=2)
    assert check_cpu(two_threads).passed is True
    limited = dataclasses.replace(CLOSED, generator_cpu_s=8.1)
    assert check_cpu(limited).passed is None
    assert [found.name for found in disturbances(limited)] == ["generator-limited"]


def test_an_ideal_server_is_measured_as_50_us_or_5_percent_of_the_response_time():
    def check(p50_us, response_ms=1.0):
        p50_ns = None if p50_us is None else p50_us * 1000
        return check_loopback(p50_ns=p50_ns, median_response_ms=response_ms, circumstances=CLOSED)

    assert check(50).passed is True
    assert check(51).passed is False
    assert "is measured as 0.051 ms, limit 0.05 ms" in check(51).reason
    assert check(90, 2.0).passed is True
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
    ],
)
def test_what_disturbs_a_run_is_named_with_its_share(machine, name, words):
    found = disturbances(dataclasses.replace(CLOSED, machine=dataclasses.replace(IDLE, **machine)))
    assert [disturbance.name for disturbance in found] == [name]
    assert words in found[0].reason
    assert found[0].measured > found[0].limit


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
    assert check_server(None, {"workers": 2}, {"workers": 2}).passed is True
    assert check_server(None, {}, {}).passed is None
