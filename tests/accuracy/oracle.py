"""The oracle server of ``crates/servemark-oracle``, and what it recorded."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
#: A row of its log; see ``crates/servemark-oracle/src/log.rs``. Times are ns of CLOCK_MONOTONIC, -1 never.
ROW = np.dtype(
    [
        (name, "<i8")
        for name in (
            *("user", "seq", "connection", "arrival", "service", "due", "first", "departed"),
            *("read", "written", "stamped"),
            *("first_content", "last_content", "longest_gap", "contents", "tokens"),
        )
    ]
)
NO_CARGO = "no cargo for Rust 1.85 or newer here: the oracle server cannot be built"
_START_S, _END_S = 20, 60


class NoCargoError(Exception):
    """There is no cargo that can read this workspace."""


def build_oracle() -> Path:
    """The oracle's program, built if it is not current.

    Raises:
        NoCargoError: there is no cargo for it.
        CalledProcessError: it cannot be built.
    """
    try:
        subprocess.run(
            ["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=ROOT, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoCargoError(NO_CARGO) from error
    build = ["cargo", "build", "--release", "--locked", "--quiet", "--package", "servemark-oracle"]
    built = subprocess.run(
        [*build, "--message-format", "json"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    made = [json.loads(line).get("executable") for line in built.stdout.splitlines()]
    return Path(next(path for path in made if path))


@dataclass
class Oracle:
    """An oracle that runs, or has ended: then there are its `log`, in order of arrival, and its `report`."""

    port: int
    log: Any = None
    report: Any = None


@contextmanager
def serving(program: Path, log: Path, *law: str) -> Iterator[Oracle]:
    """An oracle of the law that the options `law` give (``arguments.rs``), until the end of the block.

    It has real-time priority where that is permitted: who is the judge must not be late.
    """
    command = [str(program), *law, "--log", str(log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            oracle = Oracle(int(_line(process.stdout)))
            with suppress(PermissionError):
                os.sched_setscheduler(process.pid, os.SCHED_RR, os.sched_param(1))
            yield oracle
            process.stdin.close()  # type: ignore[union-attr]
            oracle.report = json.loads(_line(process.stdout))
            assert process.wait(_END_S) == 0
            oracle.log = np.fromfile(log, dtype=ROW)
        finally:
            process.kill()


def _line(stdout: IO[str] | None) -> str:
    assert stdout
    line = stdout.readline()
    assert line, "the oracle ended early: its reason stands on stderr"
    return line
