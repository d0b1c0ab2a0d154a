"""The logs of a server that we started: their last lines, what they say of failures, and following them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: What the process itself prints, and what MMS logs.
OUTPUT = "output.log"
SERVER_LOG = "mms_log.log"

#: What the zoo's workers begin a report with; see its ``handlers/network.py``, which no other Python imports.
WORKER_REPORT = "servemark-worker "
_TAIL_LINES = 20
_TAIL_BYTES = 64 * 1024
_FOLLOW_EVERY_S = 0.2
#: What the JDK prints on every start, and what tells nothing about a failure.
_NOISE = re.compile(r"^WARNING: |StreamsScanner|IOStreams\(\) threadName|Stopped Scanner|^\s*$")
_EXCEPTION = re.compile(r"(?:^| - )(?P<line>(?:[\w.]*\.)?[A-Z]\w*(?:Error|Exception)\b.*)$")
_OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|System out of memory|\bMemoryError\b|Cannot allocate memory")


def tail(folder: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of the logs in `folder`, the JDK's own warnings left out."""
    return "\n".join([line for line in _ends(folder) if not _NOISE.search(line)][-lines:])


def sizes(folder: Path) -> Mapping[str, int]:
    """How long each log is now: it grows whenever something noteworthy happens, and tells what came later."""
    return {path.name: path.stat().st_size for path in folder.glob("*.log")}


def last_exception(folder: Path, since: Mapping[str, int]) -> str:
    """The last line after `since` that names a worker's exception, such as ``ImportError: no libx.so``; else ''."""
    for line in reversed(_ends(folder, since)):
        match = _EXCEPTION.search(line)
        # Java's own is what the server thinks of a worker that ended; the worker's is why it did.
        if match and not match["line"].startswith(("com.amazonaws.", "java.")):
            return match["line"].strip()
    return ""


def start_exception(folder: Path) -> str:
    """The first line of what the process printed that names an exception: why it did not come up; else ''."""
    matches = map(_EXCEPTION.search, _end_of(folder / OUTPUT))
    return next((match["line"].strip() for match in matches if match), "")


def out_of_memory(folder: Path, since: Mapping[str, int]) -> str:
    """The last line after `since` that says that the server or a worker ran out of memory; else ''."""
    return next((line.strip() for line in reversed(_ends(folder, since)) if _OUT_OF_MEMORY.search(line)), "")


def worker_reports(folder: Path, since: Mapping[str, int]) -> list[dict[str, Any]]:
    """What the zoo's workers have said after `since` of what they compute with; see its handlers' ``network``."""
    path = folder / SERVER_LOG
    reports = []
    for line in _end_of(path, since.get(SERVER_LOG, 0), limit=None):
        _, found, text = line.partition(WORKER_REPORT)
        with suppress(ValueError):
            report = json.loads(text) if found else None
            if isinstance(report, dict):
                reports.append(report)
    return reports


@contextmanager
def followed(folder: Path, log: Callable[[str], None] | None) -> Iterator[None]:
    """While this is open, `log` is told every line that the logs in `folder` get."""
    if log is None:
        yield
        return
    ended = threading.Event()
    follower = threading.Thread(target=_follow, args=(folder, log, ended), name="server-log", daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def _follow(folder: Path, log: Callable[[str], None], ended: threading.Event) -> None:
    positions = {OUTPUT: 0, SERVER_LOG: 0}
    last_round = False
    while not last_round:
        last_round = ended.wait(_FOLLOW_EVERY_S)
        for name, position in positions.items():
            path = folder / name
            if not path.exists():
                continue
            if path.stat().st_size < position:
                position = 0  # The log has been rolled over.
            with path.open("rb") as file:
                file.seek(position)
                whole, newline, _ = file.read().rpartition(b"\n")
            positions[name] = position + len(whole) + len(newline)
            for line in whole.decode("utf-8", "replace").splitlines():
                log(f"server: {line}")


def _ends(folder: Path, since: Mapping[str, int] | None = None) -> list[str]:
    starts = since or {}
    return [line for name in (OUTPUT, SERVER_LOG) for line in _end_of(folder / name, starts.get(name, 0))]


def _end_of(path: Path, start: int = 0, limit: int | None = _TAIL_BYTES) -> list[str]:
    if not path.exists():
        return []
    length = path.stat().st_size
    if length < start:
        start = 0  # The log has been rolled over.
    with path.open("rb") as file:
        file.seek(max(start, length - limit) if limit else start)
        return file.read().decode("utf-8", "replace").splitlines()
