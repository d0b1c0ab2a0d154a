"""Files that are installed for a shell or for man, in the user's place: written whole, and never over somebody else's.

Standard library only.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from servemark.errors import OutputError, SetupError

#: What every such file says of itself: by it an earlier one is known.
MADE_BY = "Made by servemark"


def user_folder(variable: str, usual: str) -> Path:
    """The folder in `variable` of the XDG specification, which has relative ones ignored, else `usual` below ``~``.

    Raises:
        SetupError: there is no home directory to find it in.
    """
    chosen = Path(os.environ.get(variable, ""))
    try:
        return chosen if chosen.is_absolute() else Path("~", usual).expanduser()
    except RuntimeError as error:
        raise SetupError("there is no home directory to write into", next_step=f"set {variable} to a folder") from error


def install_file(path: Path, text: str, otherwise: str) -> bool:
    """Have `path` hold `text`; whether anything had to be written. `otherwise` is what to do where that cannot be.

    Raises:
        OutputError: somebody else's file is there, or it cannot be written.
    """
    try:
        there = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
        if there == text:
            return False
        if there is not None and MADE_BY not in there:
            raise OutputError(f"{path} is left as it is", cause="servemark did not write it", next_step=otherwise)
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, text)
    except OSError as error:
        raise OutputError(f"cannot write {path}", cause=error.strerror or str(error), next_step=otherwise) from error
    return True


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
            os.fchmod(out.fileno(), 0o644)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
