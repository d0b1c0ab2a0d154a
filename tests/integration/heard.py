"""A server that notes when each request came and of which generator it is, and how long a machine lets one wait."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from loadgen_servers import OK, read_request

#: Within this, a generator that hears nothing of its driver sends nothing more.
ALONE_S = 1.0
#: Within this, the others send nothing more when one is lost.
LOST_S = 2.0


class Heard:
    """What to serve with: answers at once. The paths of requests end with their number: ``/USER/SEQ/...``."""

    def __init__(self) -> None:
        self.last_s: dict[int, float] = {}

    def __call__(self, connection: socket.socket) -> None:
        while request := read_request(connection):
            self.last_s[int(request.split(b"/", 3)[2])] = time.monotonic()
            connection.sendall(OK)

    def last_of(self, place: int, of: int) -> float:
        """When the last request came of the generator at that place."""
        return max((at_s for seq, at_s in self.last_s.items() if seq % of == place), default=0.0)


class Last:
    """What to serve with: answers at once, and notes when the last request came."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def __call__(self, connection: socket.socket) -> None:
        while read_request(connection):
            self.at_s = time.monotonic()
            connection.sendall(OK)


class Waits:
    """For how long a thread of this process had to wait for a CPU, at most."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    @property
    def noise_s(self) -> float:
        """What this machine may have added: looks a tenth of a second apart, signs a fifth, and a few waits for a CPU.

        Generators have the niceness of this process; those whose turn it is are in at most this many processes one
        behind the other: the one that notices, the driver, the one that is told.
        """
        return 0.5 + 4 * self.longest_s


@contextmanager
def waits() -> Iterator[Waits]:
    """Look, for the block, how much later than asked a thread wakes."""
    found, over = Waits(), threading.Event()

    def look() -> None:
        while not over.is_set():
            began_s = time.monotonic()
            time.sleep(0.01)
            found.longest_s = max(found.longest_s, time.monotonic() - began_s - 0.01)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
