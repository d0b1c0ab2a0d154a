"""A Ray cluster of this machine for one invocation, which ends whatever becomes of who asked for it.

As a program it starts the cluster in a folder, prints its address, and ends it when its standard input does: that is
when its starter lets go of it, or was killed. ``gcs_server`` and what it started survive a polite signal, and some of
them their parent, so that all are found by their mark and killed.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servemark.errors import SetupError
from servemark.interrupts import INTERRUPTS, held_back
from servemark.machine.processes import MARK, kill_members

#: What two sockets of Ray's need of the 107 bytes that the kernel has for the path of one.
_LONGEST_FOLDER = 30
#: Records on their way; Ray refuses less than 75 MB.
_STORE_BYTES = 200_000_000
#: Generators that a cluster of this machine has room for, as far as Ray counts.
_PLACES = 1024
#: No worker is started before it has something to do, and none gives way to others.
_SETTINGS = {"RAY_prestart_worker_first_driver": "0", "RAY_enable_worker_prestart": "0", "RAY_worker_niceness": "0"}
_LOOK_EVERY_S = 0.1
#: With which who knows the token of our clusters is let in. Ray reads it once in a process.
JOINING = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
_SHOWN_LINES = 20


@dataclass(frozen=True)
class LocalCluster:
    """A cluster that is there: its address, and the variables without which nobody is let in."""

    address: str
    environ: Mapping[str, str]


@contextmanager
def local_cluster() -> Iterator[LocalCluster]:
    """Start a cluster of one node, in a folder of its own; none of it is left afterwards.

    Who does not know its token may neither look at it nor have anything executed: its ports are open to all.

    Raises:
        SetupError: it did not start; has the end of what Ray printed.
        KeyboardInterrupt: Ctrl-C or its like came meanwhile: nobody waits for the rest of the start.
    """
    keeper = subprocess.Popen(
        [sys.executable, "-m", __name__, _new_folder()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **JOINING},
        start_new_session=True,
    )
    assert keeper.stdin
    assert keeper.stdout
    try:
        came: list[int] = []
        with held_back(lambda number: _let_go(came, number, keeper)):
            line = keeper.stdout.readline()
        if came:
            raise KeyboardInterrupt
        told = json.loads(line or b'{"error": "it was killed"}')
        if "address" not in told:
            raise SetupError(
                "no Ray cluster could be started on this machine",
                cause=told["error"],
                next_step="name one that runs with --ray-address, or leave --on ray out",
                detail=told.get("detail", ""),
            )
        yield LocalCluster(told["address"], JOINING)
    finally:
        keeper.stdin.close()
        keeper.wait()
        keeper.stdout.close()


def _let_go(came: list[int], number: int, keeper: subprocess.Popen[bytes]) -> None:
    """Have the one that keeps the cluster end, since a signal, the `number`th, came to who wanted it."""
    came.append(number)
    assert keeper.stdin
    keeper.stdin.close()


def _new_folder() -> str:
    """A folder whose path is short enough; its starter may be killed at once, so that who keeps it removes it."""
    chosen = tempfile.gettempdir()
    is_short = len(os.fsencode(chosen)) <= _LONGEST_FOLDER
    return tempfile.mkdtemp(prefix="servemark-ray-", dir=chosen if is_short else "/tmp")  # noqa: S108


def main(folder: Path) -> None:
    """Keep a cluster in `folder` until the standard input ends."""
    for number in INTERRUPTS:  # whoever sends one to all of them lets go of us, too
        signal.signal(number, signal.SIG_IGN)
    try:
        told = _started(folder)
        if told is not None:
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            sys.stdin.buffer.read()
    finally:
        kill_members(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path) -> dict[str, str] | None:
    """The address of the cluster, or why there is none; None where nobody wants it any more."""
    output = folder / "start.log"
    with output.open("wb") as sink:
        starting = subprocess.Popen(
            _command(folder),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_SETTINGS, MARK: str(folder), "TMPDIR": str(folder)},
        )
    while starting.poll() is None:
        if select.select([sys.stdin], [], [], _LOOK_EVERY_S)[0]:
            return None
    address = folder / "ray_current_cluster"
    if starting.returncode == 0 and address.is_file():
        return {"address": address.read_text(encoding="ascii").strip()}
    printed = output.read_text(encoding="utf-8", errors="replace").splitlines()
    return {"error": f"ray start ended with {starting.returncode}", "detail": "\n".join(printed[-_SHOWN_LINES:])}


def _command(folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--port=0", "--node-ip-address=127.0.0.1"),
        *(f"--num-cpus={_PLACES}", f"--object-store-memory={_STORE_BYTES}", f"--temp-dir={folder}"),
        *("--include-dashboard=false", "--disable-usage-stats"),
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
