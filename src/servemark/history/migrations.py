"""What the tables of the history are made of, one step after the other.

Each is applied once, in a transaction of its own, and its name is noted in the same. A new one goes to the end; none is
changed once it was released. A database with a name that is not here was written by a newer servemark.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def results_and_baselines(connection: sqlite3.Connection) -> None:
    """The first tables: results by their folders, what each measured, and names of baselines."""
    # A folder's name may be no UTF-8, so that its column has no type: it is text where it can be, else bytes.
    connection.execute("""
        CREATE TABLE results (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL,
            folder NOT NULL UNIQUE,
            started_at TEXT NOT NULL,
            partial INTEGER NOT NULL
        )""")
    connection.execute("""
        CREATE TABLE measurements (
            result INTEGER NOT NULL REFERENCES results (number) ON DELETE CASCADE,
            place INTEGER NOT NULL,
            entry INTEGER NOT NULL,
            benchmark TEXT NOT NULL,
            model TEXT NOT NULL,
            point TEXT NOT NULL,
            setup TEXT NOT NULL,
            machine TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            valid INTEGER NOT NULL,
            partial INTEGER NOT NULL,
            rate_per_s REAL, rate_low REAL, rate_high REAL,
            p50_ms REAL, p50_low REAL, p50_high REAL,
            p99_ms REAL, p99_low REAL, p99_high REAL,
            PRIMARY KEY (result, place)
        )""")
    connection.execute("""
        CREATE TABLE baselines (
            name TEXT PRIMARY KEY,
            id TEXT NOT NULL,
            folder NOT NULL
        )""")


#: All of them, in their order.
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (results_and_baselines,)
#: The tables that there are when all have been applied.
TABLES = "results, measurements, baselines"
