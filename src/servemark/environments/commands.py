"""Commands that installing takes: each with a time limit, in a process group of its own that never outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from servemark.errors import SetupError

_TAIL_LINES = 20


@dataclass(frozen=True)
class Finished:
    """How a command ended. `status` is None when it ran past its limit or could not be started."""

    status: int | None
    output: str

    @property
    def tail(self) -> str:
        """The last lines of what it printed."""
        return "\n".join(self.output.strip().splitlines()[-_TAIL_LINES:])


def finish(command: Sequence[str | Path], *, timeout_s: float, environ: Mapping[str, str] | None = None) -> Finished:
    """Run `command` to its end; stdout and stderr are joined. Its whole process group is killed if this is left early.

    `environ` is added to ours. It inherits the locks of :mod:`servemark.environments.cache` (the only descriptors that
    are inheritable), so that a command which outlives a killed servemark keeps the lock on what it writes.
    """
    try:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
            start_new_session=True,
            close_fds=False,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        return Finished(None, f"{command[0]}: {error.strerror or error}")
    with process:
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            return Finished(None, f"no end after {timeout_s:g} s")
        except BaseException:
            _kill_group(process)
            raise
    return Finished(process.returncode, output)


def run_command(
    command: Sequence[str | Path],
    *,
    what: str,
    timeout_s: float,
    next_step: str = "",
    environ: Mapping[str, str] | None = None,
) -> str:
    """Like :func:`finish`, for a command that must succeed; returns what it printed.

    Raises:
        SetupError: ``cannot {what}``, with the last lines in `detail`.
    """
    finished = finish(command, timeout_s=timeout_s, environ=environ)
    if finished.status == 0:
        return finished.output
    lines = finished.tail.splitlines()
    raise SetupError(
        f"cannot {what}",
        cause=lines[-1] if lines else f"exit {finished.status}",
        next_step=next_step,
        detail=finished.tail,
    )


def _kill_group(process: subprocess.Popen[str]) -> None:
    # The leader is not reaped yet, so its number cannot have gone to another process.
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
