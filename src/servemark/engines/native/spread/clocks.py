"""What the clock of another generator says: datagrams that it answers at once, and what a number of these tell.

Whatever the two ways of an exchange took, the clock was read between its sending and its answer's arrival: of the
exchange with the least round trip the middle of that time is off by at most half of it. (Cristian, "Probabilistic clock
synchronization", Distributed Computing 3, 1989.)
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from servemark.engines import ClockAgreement
from servemark.errors import SetupError
from servemark.units import NS_PER_S

#: Exchanges before a run, and as many after it.
EXCHANGES = 50
TOKEN_BYTES = 16
_QUESTION = struct.Struct(f"<{TOKEN_BYTES}sQ")
_ANSWER = struct.Struct(f"<{TOKEN_BYTES}sQq")
#: An answer that takes longer is not waited for.
_ANSWERED_WITHIN_S = 0.2
#: For how long exchanges go on without as many answers as are wanted.
_LONGEST_S = 5.0
_SIGN_EVERY_S = 0.2
#: Of two clocks of one machine: one of them is not interrupted.
_READINGS = 8


@dataclass(frozen=True)
class Exchange:
    """A question and its answer: sent and received by our clock, answered by theirs."""

    sent_ns: int
    answered_ns: int
    received_ns: int

    @property
    def round_trip_ns(self) -> int:
        """How long both ways took."""
        return self.received_ns - self.sent_ns


@dataclass(frozen=True)
class Offset:
    """How much more their clock says than ours, and how far that may be from the truth."""

    offset_ns: int
    bound_ns: int

    @property
    def may_be_none(self) -> bool:
        """Whether both clocks may be the same."""
        return abs(self.offset_ns) <= self.bound_ns


def offset_of(exchanges: Sequence[Exchange]) -> Offset:
    """What `exchanges` tell, of which there is at least one."""
    best = min(exchanges, key=lambda one: one.round_trip_ns)
    return Offset(best.answered_ns - (best.sent_ns + best.received_ns) // 2, -(-best.round_trip_ns // 2))


def wall_clock_offset_ns() -> int:
    """How much more the wall clock of this machine says than its monotonic one, however long a reading is held up."""
    readings = [Exchange(time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(_READINGS)]
    return offset_of(readings).offset_ns


def agreement(before: Offset, after: Offset | None, *, same_machine: bool) -> ClockAgreement:
    """How well two clocks agreed over a run, from what was measured `before` it and `after` it.

    None where it could not be measured any more. Of processes on the `same_machine` there is one clock, unless what was
    measured says otherwise.
    """
    if same_machine and before.may_be_none and (after is None or after.may_be_none):
        return ClockAgreement(bound_ns=0)
    if after is None:
        return ClockAgreement(before.bound_ns, drift_ns=None)
    return ClockAgreement(before.bound_ns, after.bound_ns, after.offset_ns - before.offset_ns)


def measure_offset(
    address: tuple[str, int], token: bytes, *, exchanges: int = EXCHANGES, longest_s: float = _LONGEST_S
) -> Offset:
    """What the clock that answers at `address` says, from as many exchanges.

    Raises:
        SetupError: nobody is there any more, or did not answer as often within `longest_s`.
    """
    found: list[Exchange] = []
    until_s = time.monotonic() + longest_s
    with _datagrams(address[0]) as asking:
        asking.connect(address)
        asking.settimeout(_ANSWERED_WITHIN_S)
        number = 0
        while len(found) < exchanges:
            if time.monotonic() > until_s:
                raise SetupError(
                    f"the clock of the generator at {address[0]} answered {len(found)} of {number} datagrams",
                    cause=f"UDP to port {address[1]} is lost on the way, or that machine has no CPU for it",
                    next_step="let UDP through between these machines",
                )
            number += 1
            exchange = _exchange(asking, token, number)
            if exchange is not None:
                found.append(exchange)
    return offset_of(found)


def _exchange(asking: socket.socket, token: bytes, number: int) -> Exchange | None:
    """One question; None where its answer did not come in time. One that comes late is told by its number.

    Raises:
        SetupError: nobody is there to answer.
    """
    sent_ns = time.monotonic_ns()
    try:
        asking.send(_QUESTION.pack(token, number))
        while True:
            answer = asking.recv(_ANSWER.size)
            received_ns = time.monotonic_ns()
            if len(answer) == _ANSWER.size and answer.startswith(token):
                _, answered, answered_ns = _ANSWER.unpack(answer)
                if answered == number:
                    return Exchange(sent_ns, answered_ns, received_ns)
    except ConnectionError as error:
        raise SetupError("the clock of a generator does not answer any more", cause=str(error)) from error
    except OSError:
        return None


class ClockAnswers:
    """Answers, in a thread of its own, what the clock says; only to those who know the token.

    Args:
        token: what questions begin with.
        host: the address to answer at.
        clock: what is said, in nanoseconds.
    """

    def __init__(self, token: bytes, host: str, clock: Callable[[], int]) -> None:
        self._token = token
        self._clock = clock
        self._socket = _datagrams(host)
        self._socket.bind((host, 0))
        self._heard_ns = time.monotonic_ns()
        self._thread = threading.Thread(target=self._answer, name="clock", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port at which it answers."""
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def silent_s(self) -> float:
        """The time since somebody asked."""
        return (time.monotonic_ns() - self._heard_ns) / NS_PER_S

    def hear(self) -> None:
        """Count as a sign of the driver's what came another way."""
        self._heard_ns = time.monotonic_ns()

    def close(self) -> None:
        """Answer no more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _answer(self) -> None:
        while True:
            try:
                question, asker = self._socket.recvfrom(_QUESTION.size)
            except ConnectionError:  # somebody whose answer could not be delivered
                continue
            except OSError:
                return
            if len(question) == _QUESTION.size and question.startswith(self._token):
                self._heard_ns = time.monotonic_ns()
                _, number = _QUESTION.unpack(question)
                with suppress(OSError):
                    self._socket.sendto(_ANSWER.pack(self._token, number, self._clock()), asker)


class Signs:
    """Gives generators a sign of their driver, five times a second, and hears theirs; a context manager."""

    def __init__(self, addresses: Sequence[tuple[str, int]], token: bytes) -> None:
        self._addresses = addresses
        self._token = token
        self._over = threading.Event()
        self._heard_ns = [time.monotonic_ns()] * len(addresses)
        self._thread = threading.Thread(target=self._go_on, name="signs", daemon=True)

    def __enter__(self) -> Signs:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._over.set()
        self._thread.join()

    def silent_s(self, place: int) -> float:
        """The time since the generator at that place gave one."""
        return (time.monotonic_ns() - self._heard_ns[place]) / NS_PER_S

    def hear(self, place: int) -> None:
        """Count as a sign of the generator at that place what came another way."""
        self._heard_ns[place] = time.monotonic_ns()

    def _go_on(self) -> None:
        with _datagrams(self._addresses[0][0]) as sending:
            sending.setblocking(False)
            while not self._over.wait(_SIGN_EVERY_S):
                for place, address in enumerate(self._addresses):
                    with suppress(OSError):
                        sending.sendto(_QUESTION.pack(self._token, place), address)
                self._hear(sending)

    def _hear(self, sending: socket.socket) -> None:
        """Take the answers to those before: each says by its number whose it is."""
        with suppress(BlockingIOError):
            while True:
                try:
                    answer = sending.recv(_ANSWER.size)
                except ConnectionError:
                    continue
                if len(answer) == _ANSWER.size and answer.startswith(self._token):
                    _, place, _ = _ANSWER.unpack(answer)
                    if place < len(self._heard_ns):
                        self.hear(place)


def _datagrams(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
