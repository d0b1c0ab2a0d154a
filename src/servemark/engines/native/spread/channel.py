"""Words between a driver and a generator that is a process of the same machine, over a pair of sockets.

A message is its length and a pickle: what is asked has a number, the name of the method and its arguments, an answer
the number, whether it is a value, and that value or the error. Both ends are ours, and nobody else has one.
"""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from contextlib import suppress
from typing import Any

_LENGTH = struct.Struct("<Q")
_MOST_AT_ONCE = 1 << 20


class Channel:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._sending = threading.Lock()

    def send(self, message: Any) -> None:
        """Send a message; whoever sends meanwhile waits.

        Raises:
            OSError: the other end is gone.
        """
        data = pickle.dumps(message)
        with self._sending:
            self._end.sendall(_LENGTH.pack(len(data)))
            self._end.sendall(data)

    def receive(self) -> Any:
        """The next message; waits for it. For one thread only.

        Raises:
            EOFError: the other end is gone.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return pickle.loads(self._exactly(length))  # noqa: S301 - both ends are ours

    def close(self) -> None:
        """The other end is told."""
        with suppress(OSError):  # it is gone already
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()

    def _exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            try:
                part = self._end.recv(min(length - len(data), _MOST_AT_ONCE))
            except OSError as error:
                raise EOFError from error
            if not part:
                raise EOFError
            data += part
        return bytes(data)
