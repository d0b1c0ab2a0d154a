"""Ctrl-C and its like, sent to this very process, while something must not be cut in two."""

from __future__ import annotations

import os
import signal

import pytest

from servemark.interrupts import INTERRUPTS, held_back, listen


def interrupt(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def test_however_many_come_they_are_one_at_the_end_of_the_block():
    done = []

    def block() -> None:
        with held_back():
            for number in INTERRUPTS:
                interrupt(number)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["all of it"]


def test_within_another_block_they_wait_for_its_end():
    done = []

    def block() -> None:
        with held_back():
            with held_back():
                interrupt()
            done.append("what follows the inner block")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["what follows the inner block"]


def test_who_wants_to_know_is_told_at_once_and_it_is_not_raised_any_more():
    told: list[int] = []
    with held_back():
        with held_back(told.append):
            interrupt()
            assert told == [1]
            interrupt(signal.SIGTERM)
            assert told == [1, 2]
        assert told == [1, 2]
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_what_came_before_it_was_asked_for_is_told_too():
    told: list[int] = []
    with held_back():
        interrupt()
        with held_back(told.append):
            assert told == [1]


def test_who_wants_to_know_is_told_of_what_comes_while_something_within_must_not_be_cut_in_two():
    told: list[int] = []
    with held_back(told.append):
        with held_back():
            interrupt()
        assert told == [1]


def test_what_nobody_was_told_of_is_raised_though_others_were_told():
    told: list[int] = []

    def block() -> None:
        with held_back():
            with held_back(told.append):
                interrupt()
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        block()
    assert told == [1]


def test_a_failure_of_the_block_goes_before_them_and_leaves_the_handlers_as_they_were():
    before = [signal.getsignal(number) for number in INTERRUPTS]

    def block() -> None:
        with held_back(), held_back(lambda _: None):
            interrupt()
            raise ValueError("the failure")

    with pytest.raises(ValueError, match="the failure"):
        block()
    assert [signal.getsignal(number) for number in INTERRUPTS] == before
    with pytest.raises(KeyboardInterrupt), held_back():
        interrupt()


@pytest.fixture
def as_before():
    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_what_is_ignored_stays_ignored(as_before):
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    listen()
    with held_back(), held_back(lambda _: pytest.fail("one was heard")):
        for number in INTERRUPTS:
            interrupt(number)
    for number in INTERRUPTS:
        interrupt(number)
    assert {signal.getsignal(number) for number in INTERRUPTS} == {signal.SIG_IGN}


def test_each_of_the_others_is_heard_as_ctrl_c(as_before):
    for number in INTERRUPTS[1:]:
        signal.signal(number, signal.SIG_DFL)
    listen()
    for number in INTERRUPTS:
        with pytest.raises(KeyboardInterrupt):
            interrupt(number)
