"""The logs of a server that we started: their last lines, what they say of failures, following and keeping them.

The server may roll them over at any moment, between a look at a folder and the opening of a file as well: what is gone
then counts as what was never there, and what is open is read to its end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from servemark.units import ns_from_s

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
_IMPORT = re.compile(r"(?:^| - )(?P<line>(?:ModuleNotFoundError|ImportError): .+)$")
#: What MMS logs when a worker has loaded its model; its thread is called after the worker of a server of workers.
_WORKER_STARTED = re.compile(
    r"^(?P<at>\S+)Z \[\w+ *\] .* WorkerLifeCycle - attachIOStreams\(\) threadName=W-(?P<model>\S+)-(?P<number>\d+)$"
)
_TIME = "%Y-%m-%dT%H:%M:%S,%f"
#: So much of a model's name is in that of a thread; whose worker it is cannot be told where it was cut.
_NAME_IN_THREAD = 25
_OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|System out of memory|\bMemoryError\b|Cannot allocate memory")


@dataclass(frozen=True)
class WorkerStart:
    """A worker that has loaded its model: its number among those of the model, and the wall-clock time."""

    at_unix_ns: int
    model: str
    number: int


def tail(folder: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of the logs in `folder`, the JDK's own warnings left out."""
    return "\n".join([line for line in _ends(folder) if not _NOISE.search(line)][-lines:])


def sizes(folder: Path) -> Mapping[str, int]:
    """How long each log is now: it grows whenever something noteworthy happens, and tells what came later."""
    found: dict[str, int] = {}
    for path in folder.glob("*.log"):
        with suppress(FileNotFoundError):
            found[path.name] = path.stat().st_size
    return found


def copy_logs(folder: Path, target: Path) -> None:
    """Copy every log in `folder` into `target`.

    From the newest to the oldest, as they move: what is rolled over meanwhile is there twice, and nothing is missing.
    """
    _copy(folder / SERVER_LOG, target)
    for path in sorted(folder.glob("*.log"), reverse=True):
        if path.name != SERVER_LOG:
            _copy(path, target)


def _copy(log: Path, target: Path) -> None:
    with suppress(FileNotFoundError), log.open("rb") as content, (target / log.name).open("wb") as copy:
        shutil.copyfileobj(content, copy)


def last_exception(folder: Path, since: Mapping[str, int]) -> str:
    """The last line after `since` that names a worker's exception, such as ``ImportError: no libx.so``; else ''."""
    for line in reversed(_ends(folder, since)):
        match = _EXCEPTION.search(line)
        # Java's own is what the server thinks of a worker that ended; the worker's is why it did.
        if match and not match["line"].startswith(("com.amazonaws.", "java.")):
            return match["line"].strip()
    return ""


def import_error(folder: Path, since: Mapping[str, int]) -> str:
    """The first line after `since` that names an exception of an import; else ''."""
    return next((match["line"].strip() for match in map(_IMPORT.search, _ends(folder, since)) if match), "")


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


def worker_starts(folder: Path, since: Mapping[str, int]) -> list[WorkerStart]:
    """The workers that have loaded a model after `since`, for the first time or again, in order."""
    starts = []
    for line in _end_of(folder / SERVER_LOG, since.get(SERVER_LOG, 0), limit=None):
        match = _WORKER_STARTED.match(line)
        if match and len(match["model"]) < _NAME_IN_THREAD:
            with suppress(ValueError):  # a time that is none of ours
                at = datetime.strptime(match["at"], _TIME).replace(tzinfo=timezone.utc)
                at_unix_ns = ns_from_s(at.timestamp())
                starts.append(WorkerStart(at_unix_ns, match["model"], int(match["number"])))
    return starts


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
    with ExitStack() as stack:
        logs = [stack.enter_context(closing(_Followed(folder / name))) for name in (OUTPUT, SERVER_LOG)]
        last_round = False
        while not last_round:
            last_round = ended.wait(_FOLLOW_EVERY_S)
            for line in (line for followed_log in logs for line in followed_log.new_lines(last=last_round)):
                log(f"server: {line}")


class _Followed:
    """A log that grows, and may be rolled over: the file that is open is read to its end before the next one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def new_lines(self, *, last: bool) -> Iterator[str]:
        """The lines that it got since; of the `last` ones the end may be missing."""
        while True:
            # First, so that all that is in the old file by then belongs to it; until there is a new one it may grow.
            following = self._following()
            yield from self._lines(whole=following is None)
            if following is None:
                break
            self.close()
            self._file = following
        if last and self._rest:
            yield self._rest.decode("utf-8", "replace")

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def _lines(self, *, whole: bool) -> Iterator[str]:
        if self._file is None:
            return
        lines, newline, rest = (self._rest + self._file.read()).rpartition(b"\n")
        self._rest = rest if whole else b""
        yield from (lines + newline + (b"" if whole else rest)).decode("utf-8", "replace").splitlines()

    def _following(self) -> BinaryIO | None:
        """The file that has come after the open one, which may be the same, cut off; None when there is none yet."""
        try:
            if self._file is not None:
                now, ours = self._path.stat(), os.fstat(self._file.fileno())
                if (now.st_dev, now.st_ino) == (ours.st_dev, ours.st_ino) and now.st_size >= self._file.tell():
                    return None
            return self._path.open("rb")
        except FileNotFoundError:
            return None


def _ends(folder: Path, since: Mapping[str, int] | None = None) -> list[str]:
    starts = since or {}
    return [line for name in (OUTPUT, SERVER_LOG) for line in _end_of(folder / name, starts.get(name, 0))]


def _end_of(path: Path, start: int = 0, limit: int | None = _TAIL_BYTES) -> list[str]:
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            if length < start:
                start = 0  # The log has been rolled over.
            file.seek(max(start, length - limit) if limit else start)
            return file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
