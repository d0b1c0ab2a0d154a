"""What people are told, on stdout and stderr: written where it can be, and never in the way of what is measured.

Progress, summaries, help, warnings and errors all go there, and it may be closed, full, a pipe whose reader has left,
or a terminal that is gone. None of that ends or changes what this program does; what cannot be written is dropped. Data
that a program reads (``--json -``) is another thing: ``write_data`` says what became of it.

Standard library only, and nothing of this package: ``benchmark.py`` uses it before anything is installed.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


class Told:
    """A stream to people, which never fails.

    `failure` is why something could not be written, the first time; `is_said` whether somebody was told of it.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.failure: OSError | None = None
        self.is_said = False
        if stream is None:  # it was closed when this process began
            self.failure = OSError(errno.EBADF, os.strerror(errno.EBADF))
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for as long as the process
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a folder's name need not be printable
        self._stream = stream
        self._be_patient()

    def write(self, text: str) -> int:
        """Write `text`, or drop it."""
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Have it leave this process, or drop it."""
        with self._dropping():
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal, and still there."""
        with contextlib.suppress(OSError, ValueError):
            return self._stream.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _be_patient(self) -> None:
        """A pipe that does not wait for its reader, as another program may have set it, would lose what is written."""
        with contextlib.suppress(OSError, ValueError):
            if not os.get_blocking(self._stream.fileno()):
                os.set_blocking(self._stream.fileno(), True)

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._lose(error)
        except ValueError as error:
            if not self._stream.closed:
                raise
            self._lose(OSError(errno.EBADF, str(error)))

    def _lose(self, error: OSError) -> None:
        """Send what comes, and what is still in a buffer, nowhere: Python would try again at its end, and fail."""
        self.failure = self.failure or error
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)
            self._stream.flush()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """While the block lasts nothing that is written to stdout or stderr fails, whoever writes it.

    What was lost of stdout is said on stderr at the end, unless its reader has left or it was closed on purpose.
    """
    if isinstance(sys.stdout, Told):
        yield
        return
    _fill_closed_descriptors()
    before = sys.stdout, sys.stderr
    out, err = Told(sys.stdout), Told(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield
    finally:
        out.flush()
        if out.failure and not out.is_said and out.failure.errno not in {errno.EPIPE, errno.EBADF}:
            err.write(f"servemark: stdout could not be written: {out.failure.strerror}\n")
        err.flush()
        sys.stdout, sys.stderr = before


def write_data(text: str) -> None:
    """Write `text` to stdout, for a program that reads it.

    Raises:
        OSError: not all of it could be written.
    """
    sys.stdout.write(text)
    sys.stdout.flush()
    check_stdout()


def check_stdout() -> None:
    """See that stdout could be written so far, and was not closed.

    Raises:
        OSError: why not.
    """
    out = sys.stdout
    if isinstance(out, Told) and out.failure:
        out.is_said = True
        raise OSError(out.failure.errno, out.failure.strerror)


def takes_at_once(stream: TextIO) -> bool:
    """Whether a line for `stream` would not have to wait for a reader that has stopped reading, or a terminal's key."""
    try:
        return bool(select.select([], [stream.fileno()], [], 0)[1])
    except (OSError, ValueError):  # no file, or none that can be asked
        return True


def _fill_closed_descriptors() -> None:
    """Open what of 0, 1 and 2 is closed: else the next file that is opened, of records say, is printed into."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
