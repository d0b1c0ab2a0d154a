"""Reads the table of difficult responses; its first lines say how it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parents[2] / "crates/servemark-loadgen/tests/responses.txt"

_RECORD = re.compile(r'(\w+) (\d+) (reused|closed) "(.*)"(?: (\d+) bytes)?')


@dataclass
class Case:
    """What a server sends, what it does then ("", "FIN" or "RST"), and what is recorded.

    `cut_kind` is what is recorded instead where TLS should have told the end and did not, if that is something else.
    """

    name: str
    method: str = "GET"
    response: bytes = b""
    then: str = ""
    kind: str = ""
    status: int = 0
    is_reused: bool = False
    body: bytes = b""
    counted: int = 0
    words: str = ""
    cut_kind: str = ""


def cases() -> Iterator[Case]:
    """All of the table."""
    text = TABLE.read_text(encoding="ascii")
    for entry in re.split(r"^- ", text, flags=re.MULTILINE)[1:]:
        name, *lines = entry.splitlines()
        case = Case(name)
        for mark, rest in (line.strip().split(" ", 1) for line in lines if line.startswith(" ")):
            _read(case, mark, rest)
        yield case


def _read(case: Case, mark: str, rest: str) -> None:
    if mark == ">":
        case.method = rest
    elif mark == "<" and rest in {"FIN", "RST"}:
        case.then = rest
    elif mark == "<":
        case.response += _unescaped(rest)
    elif mark == "!":
        case.words = rest
    elif mark == "~":
        case.cut_kind = rest
    else:
        found = _RECORD.fullmatch(rest)
        assert mark == "=", case.name
        assert found, (case.name, rest)
        case.kind, case.status, case.is_reused = found[1], int(found[2]), found[3] == "reused"
        case.body = _unescaped(found[4])
        case.counted = int(found[5]) if found[5] else len(case.response)


def _unescaped(text: str) -> bytes:
    repeated = re.sub(r"\{(\d+)\*(.*?)\}", lambda found: found[2] * int(found[1]), text)
    plain = re.sub(r"\\0", r"\\x00", repeated)
    return plain.encode("ascii").decode("unicode_escape").encode("latin-1")
