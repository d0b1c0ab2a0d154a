"""Commands that installing takes: each with a time limit, in a process group of its own that never outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from servemark.environments.variables import inherited
from servemark.errors import SetupError
from servemark.interrupts import held_back

_TAIL_LINES = 20


@dataclass(frozen=True)
class Finished:
    """How a command ended. `status` is None when it ran past its limit or could not be started."""

    status: int | None
    output: str

    @property
    def tail(self) -> str:
        """The last lines of what it printed."""
        return self.last_lines(_TAIL_LINES)

    def last_lines(self, count: int) -> str:
        """The last `count` lines of what it printed."""
        return "\n".join(self.output.strip().splitlines()[-count:])


def finish(
    command: Sequence[str | Path],
    *,
    timeout_s: float,
    environ: Mapping[str, str] | None = None,
    keep: Collection[str] = (),
    cwd: Path | None = None,
) -> Finished:
    """Run `command` to its end; stdout and stderr are joined. Its whole process group is killed if this is left early.

    `environ` is added to what it inherits of ours (see :mod:`servemark.environments.variables`; `keep` names what it
    gets besides). The command inherits the locks of :mod:`servemark.environments.cache` (the only descriptors that are
    inheritable), so that one which outlives a killed servemark keeps the lock on what it writes.
    """
    process: subprocess.Popen[str] | None = None
    try:
        with held_back():  # an interruption within Popen would leave a process that nobody knows
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**inherited(keep=keep), **(environ or {})},
                cwd=cwd,
                start_new_session=True,
                close_fds=False,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return Finished(None, f"no end after {timeout_s:g} s")
    except OSError as error:
        return Finished(None, f"{command[0]}: {error.strerror or error}")
    finally:
        if process:
            _end_group(process)
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
        log=finished.output,
    )


def _end_group(process: subprocess.Popen[str]) -> None:
    """Kill whatever of the group still runs when its leader does, and let go of its output."""
    # While the leader is not reaped, be it dead, its number cannot have gone to another process.
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout:
        process.stdout.close()
