"""Clocks of generators: what exchanges tell of another's clock, and how far that may be from the truth."""

from __future__ import annotations

import itertools
import random
import socket
import time

import pytest

from servemark.engines import ClockAgreement
from servemark.engines.native.spread.clocks import (
    TOKEN_BYTES,
    ClockAnswers,
    Exchange,
    Offset,
    Signs,
    agreement,
    measure_offset,
    offset_of,
    wall_clock_offset_ns,
)
from servemark.errors import SetupError
from servemark.units import NS_PER_MS, NS_PER_S, NS_PER_US

TOKEN = b"t" * TOKEN_BYTES
SKEW_NS = 50 * NS_PER_MS


def _exchanges(skew_ns: int, *, least_us: float, back: float = 0.5, seed: int = 1, count: int = 50) -> list[Exchange]:
    """Exchanges with a clock that says `skew_ns` more, on a way that takes `least_us` and often longer.

    Of each round trip the part `back` is the answer's.
    """
    draw = random.Random(seed)
    found = []
    for number in range(count):
        sent_ns = number * NS_PER_MS
        trip_ns = round((least_us + draw.expovariate(1 / 200)) * NS_PER_US)
        answered_ns = sent_ns + round(trip_ns * (1 - back)) + skew_ns
        found.append(Exchange(sent_ns, answered_ns, sent_ns + trip_ns))
    return found


@pytest.mark.parametrize("back", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("skew_ns", [0, SKEW_NS, -SKEW_NS])
def test_the_truth_is_within_the_bound_however_unlike_the_two_ways_are(skew_ns, back):
    for seed in range(20):
        found = offset_of(_exchanges(skew_ns, least_us=100, back=back, seed=seed))
        assert abs(found.offset_ns - skew_ns) <= found.bound_ns
        assert found.bound_ns <= 80 * NS_PER_US, "half of the least round trip"


def test_the_exchange_with_the_least_round_trip_counts():
    slow = Exchange(0, 900, 1000)
    quick = Exchange(2000, 2060, 2100)
    assert offset_of([slow, quick]) == Offset(10, 50)
    assert offset_of([Exchange(0, 7, 11)]) == Offset(2, 6), "rounded away from what is claimed"


def test_the_wall_clock_is_told_by_readings_that_nothing_held_up(monkeypatch):
    ahead_ns, now_ns = 1_000 * NS_PER_S, 0
    held_up = itertools.chain([0, 80 * NS_PER_MS, 80 * NS_PER_MS], itertools.repeat(NS_PER_US))

    def read() -> int:
        nonlocal now_ns
        now_ns += next(held_up)
        return now_ns

    monkeypatch.setattr(time, "monotonic_ns", read)
    monkeypatch.setattr(time, "time_ns", lambda: read() + ahead_ns)
    assert wall_clock_offset_ns() == ahead_ns


def test_a_skew_is_no_disagreement_and_a_step_is():
    before = offset_of(_exchanges(SKEW_NS, least_us=60))
    same = agreement(before, offset_of(_exchanges(SKEW_NS, least_us=60, seed=2)), same_machine=False)
    assert same.drift_ns is not None
    assert abs(same.drift_ns) <= same.bound_ns + same.after_bound_ns
    assert same.bound_ns == before.bound_ns
    assert same.apart_ns <= 3 * 80 * NS_PER_US
    stepped = agreement(before, offset_of(_exchanges(2 * SKEW_NS, least_us=60)), same_machine=False)
    assert stepped.drift_ns == pytest.approx(SKEW_NS, abs=stepped.bound_ns + stepped.after_bound_ns)
    assert stepped.apart_ns >= SKEW_NS


@pytest.mark.parametrize(
    ("before", "after", "apart_ns"),
    [
        (Offset(0, 50), Offset(0, 20), 50),
        (Offset(0, 10), Offset(500, 500), 1000),  # at the end it may be what was read, and as much again
        (Offset(0, 500), Offset(-990, 500), 1490),
        (Offset(7, 5), Offset(-33, 9), 49),
    ],
)
def test_a_generator_is_off_by_no_more_than_what_was_read_at_either_end_may_be_off(before, after, apart_ns):
    assert agreement(before, after, same_machine=False).apart_ns == apart_ns


def test_processes_of_one_machine_have_one_clock_unless_it_says_otherwise():
    near, far = Offset(10, 50), Offset(SKEW_NS, 50)
    assert agreement(near, near, same_machine=True) == agreement(near, None, same_machine=True) == ClockAgreement(0)
    assert agreement(near, near, same_machine=False).bound_ns == 50
    assert agreement(near, far, same_machine=True).apart_ns > SKEW_NS // 2
    assert agreement(far, far, same_machine=True) == ClockAgreement(50, 50, 0)
    unread = agreement(far, None, same_machine=False)
    assert (unread, unread.apart_ns) == (ClockAgreement(50, drift_ns=None), 50)


def test_a_clock_is_read_over_a_socket():
    answers = ClockAnswers(TOKEN, "127.0.0.1", lambda: time.monotonic_ns() + SKEW_NS)
    try:
        found = measure_offset(("127.0.0.1", answers.port), TOKEN)
        assert abs(found.offset_ns - SKEW_NS) <= found.bound_ns
    finally:
        answers.close()


def test_only_who_knows_the_token_is_answered_and_counts_as_the_driver():
    answers = ClockAnswers(TOKEN, "127.0.0.1", time.monotonic_ns)
    try:
        time.sleep(0.05)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            for datagram in (b"", b"x", b"s" * TOKEN_BYTES + b"\0" * 8, TOKEN):
                other.sendto(datagram, ("127.0.0.1", answers.port))
        with pytest.raises(SetupError, match=r"answered 0 of \d+ datagrams"):
            measure_offset(("127.0.0.1", answers.port), b"s" * TOKEN_BYTES, longest_s=0.1)
        assert answers.silent_s > 0.15, "since it was made"
        began_s = time.monotonic()
        measure_offset(("127.0.0.1", answers.port), TOKEN, exchanges=1)
        assert answers.silent_s <= time.monotonic() - began_s
    finally:
        answers.close()


def test_signs_are_heard_on_both_sides_until_one_is_silent():
    both = [ClockAnswers(TOKEN, "127.0.0.1", time.monotonic_ns) for _ in range(2)]
    with Signs([("127.0.0.1", one.port) for one in both], TOKEN) as signs:
        time.sleep(0.5)
        both[1].close()
        time.sleep(1.5)
        silent_s = signs.silent_s(1)
        assert silent_s > 1.2
        assert max(signs.silent_s(0), both[0].silent_s) < silent_s
    both[0].close()
