"""Ctrl-C and its like: which signals end a run politely, and how they are held back at a bad moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

#: The signals that end a run politely: Ctrl-C, kill, a terminal that was closed, and Ctrl-\.
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def listen() -> None:
    """Have the others raise KeyboardInterrupt, as Ctrl-C does, so that what was measured is saved, and all is stopped.

    One that was ignored when this process began stays ignored: ``nohup`` wants it so, or a shell for what it runs in
    the background.
    """
    if threading.current_thread() is threading.main_thread():
        for number in INTERRUPTS:
            if number != signal.SIGINT and _is_heard(number):
                signal.signal(number, _interrupt)


def take_back() -> None:
    """Have those that are heard be heard by Python again, and nobody else, after a library has put itself before it."""
    if threading.current_thread() is threading.main_thread():
        for number in INTERRUPTS:
            if _is_heard(number):
                signal.signal(number, signal.getsignal(number))


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _is_heard(number: signal.Signals) -> bool:
    """Whether anything happens when it comes, as far as Python knows; None is a handler of somebody else's, in C."""
    return signal.getsignal(number) not in (signal.SIG_IGN, None)


class _Block:
    """The outermost block that holds them back now."""

    def __init__(self) -> None:
        self.came = 0
        self.told = 0
        self.tell: Callable[[int], None] | None = None

    def hear(self, *_: object) -> None:
        """One more came; it is told to whoever wants to know at once."""
        self.came += 1
        self.pass_on()

    def pass_on(self) -> None:
        if self.tell and self.told < self.came:
            self.told = self.came
            self.tell(self.came)


#: Signals are the process's, and so is this. Only the main thread hears them.
_block: _Block | None = None


@contextmanager
def held_back(tell: Callable[[int], None] | None = None) -> Iterator[None]:
    """Ctrl-C and its like are heard when the block is done, as one KeyboardInterrupt; at once outside the main thread.

    Within another such block they wait for the end of that one. `tell` is called with how many have come as soon as one
    has, in blocks within too that have none of their own, and at once if there are some that nobody was told of: what
    it was told is not raised any more. Those that are ignored stay ignored.

    Raises:
        KeyboardInterrupt: one of them came meanwhile, and the block itself did not fail.
    """
    global _block
    if threading.current_thread() is not threading.main_thread():
        yield
    elif _block:
        with _telling(_block, tell):
            yield
    else:
        block = _block = _Block()
        before = {number: signal.signal(number, block.hear) for number in INTERRUPTS if _is_heard(number)}
        try:
            with _telling(block, tell):
                yield
        finally:
            _block = None  # first: one that comes now is still counted, and the next block is no part of this one
            for number, handler in before.items():
                signal.signal(number, handler)
        if block.told < block.came:
            raise KeyboardInterrupt


def heed() -> None:
    """Say if one of them is held back now that nobody was told of; whoever waits for long looks.

    Raises:
        KeyboardInterrupt: so it is.
    """
    is_heard = threading.current_thread() is threading.main_thread()
    if is_heard and _block and _block.told < _block.came:
        raise KeyboardInterrupt


@contextmanager
def _telling(block: _Block, tell: Callable[[int], None] | None) -> Iterator[None]:
    outer, block.tell = block.tell, tell or block.tell
    try:
        block.pass_on()
        yield
    finally:
        block.tell = outer
