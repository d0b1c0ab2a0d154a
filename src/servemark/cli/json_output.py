"""What ``--json``, ``--junit`` and ``--markdown`` write to: data for programs; what cannot be written is an error.

That a file can be written is seen before minutes are spent on what goes into it. A named pipe is opened then, and stays
open: its reader takes the first end for the end of all.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from servemark.errors import OutputError, UsageError
from servemark.report.formats import check_no_result
from servemark.telling import check_stdout, write_data

#: For so long a reader of a named pipe is awaited: it may have been started together with us.
_READER_S = 5.0
_LOOK_EVERY_S = 0.05
_JSON = "the JSON"


@contextmanager
def json_output(name: str | None) -> Iterator[Callable[[str], None]]:
    """Give what writes a text to the file `name`, to stdout where that is ``-``, or nowhere where none is named.

    Raises:
        OutputError: it cannot be written, or is part of a result; of a pipe also that nobody reads it.
    """
    if not name:
        yield lambda _: None
        return
    if name == "-":
        _stdout(check_stdout, _JSON)
        yield print_json
        return
    path = Path(name)
    check_no_result(path)
    pipe = _opened_pipe(path)
    try:
        if pipe is None:
            _check_writable(path)
            yield lambda text: _write(path, text)
        else:
            yield lambda text: _write_pipe(path, pipe, text)
    finally:
        if pipe is not None:
            os.close(pipe)


def check_apart(outputs: Mapping[str, str | Path | None]) -> None:
    """See that no two of the files that options name are one: only what is written last would be there.

    Raises:
        UsageError: two are. A terminal, or /dev/null, takes what several say.
    """
    named: dict[Path, str] = {}
    for option, file in outputs.items():
        if file is None or str(file) == "-":
            continue
        path = Path(file).resolve()
        if path in named and (path.is_file() or not path.exists()):
            raise UsageError(f"{named[path]} and {option} name one file, {file}", next_step="give each its own")
        named[path] = option


def print_json(text: str) -> None:
    """Write `text` to stdout.

    Raises:
        OutputError: not all of it could be written.
    """
    print_text(text, _JSON)


def print_text(text: str, what: str) -> None:
    """Write `text`, which is called `what`, to stdout.

    Raises:
        OutputError: not all of it could be written.
    """
    _stdout(lambda: write_data(text), what)


def _stdout(act: Callable[[], None], what: str) -> None:
    try:
        act()
    except OSError as error:
        cause = "it is closed" if error.errno == errno.EBADF else error.strerror or str(error)
        raise OutputError(
            f"cannot write {what} to stdout",
            cause=cause,
            next_step="give it a reader that reads to the end, or a file",
        ) from error


def _opened_pipe(path: Path) -> int | None:
    """The descriptor of the named pipe at `path`, whose reader is there; None where it is no such pipe."""
    try:
        if not stat.S_ISFIFO(path.stat().st_mode):
            return None
    except OSError:
        return None  # what is wrong with it is found when it is opened
    give_up_s = time.monotonic() + _READER_S
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise _unwritable(path, error) from error
            if time.monotonic() > give_up_s:
                raise OutputError(
                    f"cannot write {path}", cause="it is a pipe that nobody reads", next_step="start its reader first"
                ) from error
            time.sleep(_LOOK_EVERY_S)
        else:
            os.set_blocking(descriptor, True)
            return descriptor


def _check_writable(path: Path) -> None:
    try:
        existed = path.exists()
        with path.open("a", encoding="utf-8"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        with suppress(OSError):  # half of it would be no JSON
            os.truncate(path, 0)
        raise _unwritable(path, error) from error


def _write_pipe(path: Path, descriptor: int, text: str) -> None:
    left = memoryview(text.encode("utf-8"))
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> OutputError:
    cause = error.strerror or str(error)
    return OutputError(f"cannot write {path}", cause=cause, next_step="give a file that you may write")
