"""What nobody expected, as an error of ours: what this machine lacks, or a fault of servemark's own.

Of a fault there is one line that asks for a report, and a file with the traceback.
"""

from __future__ import annotations

import errno
import os
import platform
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from servemark.errors import RecordingError, ServemarkError, SetupError, UnexpectedError
from servemark.version import version

#: How a system says that no more can be written, whatever was to be written where.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
#: How it says that a process may have no more of something.
_SCARCE = {errno.EMFILE: "file descriptors", errno.ENFILE: "file descriptors", errno.ENOMEM: "memory"}
_LONGEST_MESSAGE = 200


def explained(
    error: Exception, folder: Path | None = None, mask: Callable[[str], str] = lambda text: text
) -> ServemarkError:
    """What `error` is: itself if it is ours, else what the machine lacks, else a fault whose traceback is kept.

    The traceback goes through `mask` into a file in `folder`, or in the temporary folder; where neither can be written
    it is the `detail` of the error.
    """
    if isinstance(error, ServemarkError):
        return error
    return _lack(error) or _fault(error, folder, mask)


def _lack(error: Exception) -> ServemarkError | None:
    if isinstance(error, MemoryError):
        return SetupError("this machine lacks memory", next_step="stop what else runs here, or ask for less")
    if not isinstance(error, OSError):
        return None
    why = error.strerror or str(error)
    if error.errno in _FULL:
        where = str(error.filename) if error.filename is not None else "a file"
        elsewhere = "free some space, or write elsewhere (-o, SERVEMARK_CACHE, TMPDIR)"
        return RecordingError(f"cannot write {where}", cause=why, next_step=elsewhere)
    if error.errno in _SCARCE:
        what = _SCARCE[error.errno]
        more = "raise ulimit -n" if what == "file descriptors" else "ask for less"
        return SetupError(f"this machine lacks {what}", cause=why, next_step=f"stop what else runs here, or {more}")
    return None


def _fault(error: Exception, folder: Path | None, mask: Callable[[str], str]) -> UnexpectedError:
    about = f"servemark {version()}, Python {platform.python_version()}, {platform.platform()}"
    text = mask(f"{about}\n\n{''.join(traceback.format_exception(error))}")
    message = "".join(letter if letter.isprintable() else " " for letter in mask(str(error)))
    path = _kept(text, folder)
    return UnexpectedError(
        f"unexpected {type(error).__name__}",
        cause=message[:_LONGEST_MESSAGE],
        next_step=f"this is a fault of servemark's own, please report it with {path or 'what is below'}",
        detail="" if path else text,
    )


def _kept(text: str, folder: Path | None) -> Path | None:
    """The file that `text` was written to; None where it could be written nowhere."""
    for parent in (folder, None):
        with suppress(OSError):  # also of a machine without any temporary folder
            descriptor, name = tempfile.mkstemp(".txt", "traceback-" if parent else "servemark-traceback-", parent)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(text)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
            return Path(name)
    return None
