"""Lines for the terminal as wide as it is. Standard library only, as the doctor needs it."""

from __future__ import annotations

import shutil
import textwrap

#: So much room for words there is on the narrowest terminal.
_LEAST_WIDTH = 24


def terminal_width() -> int:
    """The columns of the terminal, or of what COLUMNS says; 80 where there is none."""
    return shutil.get_terminal_size().columns


def wrapped(text: str, *, behind: int, indent: str = "") -> list[str]:
    """`text` in lines that fit the terminal behind a label of so many columns; only what is longer is cut."""
    width = max(terminal_width() - behind, _LEAST_WIDTH)
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
