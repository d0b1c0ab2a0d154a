"""Lines for the terminal as wide as it is, and beside what is printed. Standard library only: the doctor needs it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path

from servemark.printable import printable

#: So much room for words there is on the narrowest terminal.
_LEAST_WIDTH = 24


def terminal_width() -> int:
    """The columns of the terminal, or of what COLUMNS says; 80 where there is none."""
    return shutil.get_terminal_size().columns


def wrapped(text: str, *, behind: int, indent: str = "") -> list[str]:
    """`text` in lines that fit the terminal behind a label of so many columns; only what is longer is cut."""
    width = max(terminal_width() - behind, _LEAST_WIDTH)
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False) or [""]


def say_what_lacks(page: Path | str, charts: str, lacking: str) -> None:
    """Say that `charts` are missing on `page` where records could not be read; nothing where `lacking` is empty."""
    if lacking:
        print(printable(f"servemark: {page} lacks {charts}: {lacking}"), file=sys.stderr)
