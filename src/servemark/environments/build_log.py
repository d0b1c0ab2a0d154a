"""What a build prints: kept whole, with the first error found in it."""

from __future__ import annotations

import re
from collections.abc import Callable

from servemark.environments.commands import Finished
from servemark.errors import SetupError

#: The file that has all of it, of a build that succeeded too.
BUILD_LOG = "build.log"
_SHOWN_LINES = 40
#: What names an error, the surest first: of the first kind that is there, the first line.
_ERRORS = (
    re.compile(r"\.\w+:\d+: error: "),
    re.compile(r"\berror: (?!warnings found)"),
    # Of Gradle's lines that begin so, these say only how far it is.
    re.compile(r"^> (?!Task |Configure |Transform )\S|Could not determine java version|\bERROR\b"),
    re.compile(r"^Exception in thread |^(?:[\w.]+\.)?\w+(?:Error|Exception): "),
)
#: With -Werror the first warning is the error.
_WARNINGS_FOUND = "error: warnings found and -Werror specified"
_WARNING = re.compile(r"\.\w+:\d+: warning: ")


class BuildLog:
    """The commands of a build and what they printed; `tell` hears of each line at once."""

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self._tell = tell
        self._lines: list[str] = []

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self._lines) + "\n"

    def command(self, command: str) -> None:
        """Note what is run."""
        self._add("command", command)

    def printed(self, output: str) -> None:
        """Note what it printed."""
        for line in output.splitlines():
            self._add("build", line)

    def failure(self, what: str, finished: Finished, built_with: str) -> SetupError:
        """The error that `what` failed: the first one that was printed, what follows it, and the whole log."""
        lines = finished.output.strip().splitlines()
        at = first_error(lines)
        shown = lines[-_SHOWN_LINES:] if at is None else lines[at : at + _SHOWN_LINES]
        told = lines[at] if at is not None else shown[-1] if shown else f"exit status {finished.status}"
        rest = len(lines) - (at + len(shown)) if at is not None else 0
        return SetupError(
            f"{what} failed",
            cause=told.strip(),
            next_step=f"see below (-v shows all that it prints); it was built with {built_with}",
            detail="\n".join([*shown, f"... and {rest} more lines"] if rest else shown),
            log=self.text,
        )

    def _add(self, kind: str, line: str) -> None:
        self._lines.append(f"$ {line}" if kind == "command" else line)
        if self._tell:
            self._tell(f"{kind}: {line}")


def first_error(lines: list[str]) -> int | None:
    """The index of the line with the first error in what a build printed, if one is to be recognised."""
    errors = (_ERRORS[0], *([_WARNING] if any(_WARNINGS_FOUND in line for line in lines) else []), *_ERRORS[1:])
    for error in errors:
        at = next((number for number, line in enumerate(lines) if error.search(line)), None)
        if at is not None:
            return at
    return None
