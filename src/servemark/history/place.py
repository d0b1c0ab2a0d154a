"""The folder in which the history is kept."""

from __future__ import annotations

import os
import re
from pathlib import Path

from servemark.errors import SetupError


def history_file() -> Path:
    """$SERVEMARK_HISTORY, else servemark/history.db in $XDG_STATE_HOME, else in ~/.local/state; absolute, not created.

    Raises:
        SetupError: there is no home directory to find it in.
    """
    xdg = Path(os.environ.get("XDG_STATE_HOME", ""))
    # The XDG specification has relative paths ignored.
    usual = (xdg if xdg.is_absolute() else Path("~/.local/state")) / "servemark" / "history.db"
    try:
        return Path(os.environ.get("SERVEMARK_HISTORY") or usual).expanduser().absolute()
    except RuntimeError as error:
        raise SetupError(
            "there is no home directory to keep a history in",
            next_step="set SERVEMARK_HISTORY to a file that you may write",
        ) from error


#: File systems that several machines may write to at once.
_SHARED = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs"),
    *("ceph", "lustre", "gpfs", "beegfs", "glusterfs", "ocfs2", "gfs2"),
}


def is_shared(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether `folder` is on a file system of several machines, or one in user space, of which that is not known.

    Without a list of `mounts` it is not.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    folder = folder.resolve()
    kinds: dict[int, str] = {}
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        mount = Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), point))
        if folder == mount or mount in folder.parents:
            kinds[len(mount.parts)] = kind  # of two at one point the later one is on top
    kind = kinds[max(kinds)] if kinds else ""
    return kind in _SHARED or kind.startswith("fuse")
