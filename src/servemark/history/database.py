"""The database of the history, SQLite: opened by several processes at once, changed whole or not at all, never lost.

Readers and a writer do not wait for each other (a write-ahead log, where one machine alone writes; on a file system of
several machines its shared memory would not be shared, so that SQLite's older journal is used). Writers wait for each
other. What a process that is killed had begun is as if it had not been, and so is what a full disk ended. A file that
is damaged, of something else or of a newer servemark is left as it is.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from servemark.errors import RecordingError, ServemarkError, SetupError, UsageError
from servemark.history.migrations import MIGRATIONS, TABLES
from servemark.history.place import is_shared

try:
    import sqlite3
except ImportError as error:
    raise SetupError(
        "this Python has no SQLite, in which the history is kept",
        cause=str(error),
        next_step="install its package of that name, or give --no-history",
    ) from error

#: Says whose database it is, in its header: "smrk".
_OURS = 0x736D726B
#: For so long another process is waited for; SQLite itself waits for the shorter time, so that Ctrl-C is heard.
_PATIENCE_S = 10.0
_WAIT_S = 0.25
_ELSEWHERE = "or set SERVEMARK_HISTORY to another file"
#: How SQLite begins what it says of a file that is damaged, or was never its own; and of one that lacks a table.
_DAMAGED = ("file is not a database", "database disk image is malformed", "malformed", "no such", "unsupported file")

Given = TypeVar("Given")


@contextmanager
def opened(path: Path, *, only_reads: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection to the database at `path`, which is made if it is not there.

    With `only_reads` one in a folder that may not be written is read, too, as far as it is whole in its file.

    Raises:
        UsageError: it is damaged, no history, or a newer servemark's.
        RecordingError: it cannot be read or written: a full disk, no permission, another process that does not end.
    """
    with _saying_why_not(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite reads no write-ahead log without writing beside it, unless it is told that nothing will change.
        fixed = only_reads and _may_only_be_read(path)
        where = f"{path.absolute().as_uri()}?immutable=1" if fixed else path
        with closing(sqlite3.connect(where, timeout=_WAIT_S, isolation_level=None, uri=fixed)) as connection:
            patiently(lambda: _prepare(connection, path))
            yield connection


def _may_only_be_read(path: Path) -> bool:
    """Whether nothing may be written beside `path`, and nothing is in its log that is not in it."""
    log = path.with_name(f"{path.name}-wal")
    is_whole = not log.exists() or log.stat().st_size == 0
    return is_whole and path.exists() and not os.access(path.parent, os.W_OK)


@contextmanager
def changing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction: all that is changed in it, or nothing. For ``patiently``, which begins it again."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


def patiently(act: Callable[[], Given]) -> Given:
    """What `act` gives, tried again while another process holds the database."""
    give_up_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return act()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up_s:
                raise
        time.sleep(random.uniform(0.005, 0.05))


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """See that it is a whole one of ours, and no newer; make what it lacks."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"malformed: {found}")
    known = [migration.__name__ for migration in MIGRATIONS]
    applied = _applied(connection, path)
    newer = sorted(applied - set(known))
    if newer:
        raise UsageError(
            f"a newer servemark wrote the history in {path}", cause=newer[0], next_step=f"use that one, {_ELSEWHERE}"
        )
    if len(applied) < len(known):
        connection.execute(f"PRAGMA journal_mode = {'DELETE' if is_shared(path.parent) else 'WAL'}").fetchone()
        for migration in MIGRATIONS:
            with changing(connection):
                if migration.__name__ not in _applied(connection, path):  # another process may have been first
                    connection.execute(f"PRAGMA application_id = {_OURS}")
                    connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)")
                    migration(connection)
                    connection.execute("INSERT INTO migrations VALUES (?)", (migration.__name__,))
    connection.execute(f"SELECT 1 FROM {TABLES} LIMIT 0")  # noqa: S608 - they have to be there
    connection.execute("PRAGMA foreign_keys = ON")


def _applied(connection: sqlite3.Connection, path: Path) -> set[str]:
    """The names of the migrations that made it."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return set()
    (whose,) = connection.execute("PRAGMA application_id").fetchone()
    if whose != _OURS:
        raise UsageError(
            f"{path} is no history of servemark's",
            cause="it is a database of something else",
            next_step="set SERVEMARK_HISTORY to another file",
        )
    return {name for (name,) in connection.execute("SELECT name FROM migrations")}


@contextmanager
def _saying_why_not(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(str(error), path) from error
    except OSError as error:
        raise _explained(error.strerror or str(error), path) from error


def _explained(why: str, path: Path) -> ServemarkError:
    if why.startswith(_DAMAGED):
        return UsageError(
            f"the history in {path} is damaged",
            cause=why,
            next_step=f"move it away, and the next run begins a new one, {_ELSEWHERE}; results are in their folders",
        )
    steps = {
        "database or disk is full": "free some space",
        "database is locked": "see which process holds it",
    }
    step = steps.get(why, "have it be a file that you may write, in such a folder")
    return RecordingError(f"cannot read or write the history in {path}", cause=why, next_step=f"{step}, {_ELSEWHERE}")
