"""What a check has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from servemark.errors import ServemarkError

Status = Literal["ok", "warning", "failure", "not_applicable"]


@dataclass(frozen=True)
class Finding:
    """The outcome of a check: what was found and, where it is a warning or a failure, what to do about it."""

    status: Status
    found: str
    fix: str = ""

    def __post_init__(self) -> None:
        if bool(self.fix) != (self.status in ("warning", "failure")):
            raise ValueError(f"warnings and failures have a fix, and only they: {self}")


def from_error(status: Status, error: ServemarkError) -> Finding:
    """What an error says: what happened and why, and its next step as the fix."""
    found = error.what + (f": {error.cause}" if error.cause else "")
    return Finding(status, found, error.next_step or "see docs/how-to/install.md on what it needs")
