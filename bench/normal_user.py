"""A user without any right to real-time priority, whoever asks: as most who measure are."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from servemark.environments.cache import cache_dir
from servemark.errors import SetupError

_NAME = "nobody"
#: What is left to root's stand-in: it reads this checkout and its Python wherever they are, and changes nothing there.
_MAY_READ = "-all,+dac_read_search"
_TRIES_REALTIME = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"


@dataclass(frozen=True)
class NormalUser:
    """How a program is started as this user: words before its own, and what its environment has besides."""

    name: str
    words: Sequence[str]
    environ: Mapping[str, str]

    def new_folder(self, path: Path) -> Path:
        """A folder that this user may write."""
        path.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            user = pwd.getpwnam(_NAME)
            os.chown(path, user.pw_uid, user.pw_gid)
        return path


def normal_user() -> NormalUser:
    """Who runs this, without any real-time priority; for root, "nobody", with a cache in root's.

    Raises:
        SetupError: such a user cannot be had here.
    """
    user = _root_as_nobody() if os.geteuid() == 0 else NormalUser("the user", _no_realtime(), {})
    tried = subprocess.run(
        [*user.words, sys.executable, "-c", _TRIES_REALTIME],
        env={**os.environ, **user.environ},
        stderr=subprocess.PIPE,
        text=True,
    )
    if "PermissionError" not in tried.stderr:
        said = tried.stderr.strip().splitlines()[-1] if tried.stderr.strip() else "real-time priority was given"
        raise SetupError("no user without real-time rights can be had here", cause=said)
    return user


def _no_realtime() -> tuple[str, ...]:
    return (_found("prlimit"), "--rtprio=0:0", "--")


def _root_as_nobody() -> NormalUser:
    group = str(pwd.getpwnam(_NAME).pw_gid)
    rights = [f"--{which}={_MAY_READ}" for which in ("inh-caps", "ambient-caps", "bounding-set")]
    words = (*_no_realtime(), _found("setpriv"), f"--reuid={_NAME}", f"--regid={group}", "--clear-groups", *rights)
    home = NormalUser(_NAME, words, {}).new_folder(cache_dir() / "normal-user")
    return NormalUser(_NAME, words, {"HOME": str(home), "SERVEMARK_CACHE": str(home), "USER": _NAME, "LOGNAME": _NAME})


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise SetupError(f"{program} of util-linux is needed to run as a normal user")
    return path
