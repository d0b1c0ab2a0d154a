"""The user's cache: every directory in it is either complete or will be built again.

A directory is complete when it holds a stamp, written last by one rename. It is built at its final place, by the path
without links, because virtual environments hold absolute paths and a link may go; an unstamped leftover of a builder
that was killed is wiped first. One lock a directory, held while building, so that two first runs at once build it once.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from servemark.environments import locks
from servemark.errors import SetupError

#: Told what is being done and, where known, how long it takes: short, present tense, for stderr.
Progress = Callable[[str], None]

_STAMP = ".complete"
#: What is built elsewhere is looked for so often, and its builder is taken for dead after the longest time of any step.
_LOOK_ELSEWHERE_EVERY_S = 1.0
_LONGEST_BUILD_S = 1800.0
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


def cache_dir() -> Path:
    """$SERVEMARK_CACHE, else $XDG_CACHE_HOME/servemark, else ~/.cache/servemark; absolute, not created.

    Raises:
        SetupError: there is no home directory to find it in.
    """
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification has relative paths ignored.
    usual = (xdg if xdg.is_absolute() else Path("~/.cache")) / "servemark"
    try:
        return Path(os.environ.get("SERVEMARK_CACHE") or usual).expanduser().absolute()
    except RuntimeError as error:
        raise SetupError(
            "there is no home directory to keep a cache in",
            next_step="set SERVEMARK_CACHE to a folder that you may write",
        ) from error


def is_built(key: str) -> bool:
    """Whether the directory of `key` is in the cache, complete."""
    return _is_complete(cache_dir() / key)


def build_once(key: str, build: Callable[[Path], None], progress: Progress) -> Path:
    """The directory ``cache_dir() / key``, built by ``build(directory)`` unless it is there already.

    `key` must name everything that the content depends on (a digest of its recipe, say): what is there is reused as
    it is. `build` gets the final, empty directory. If it raises, what it wrote is removed. While another process
    builds the same key this one waits, and says so through `progress`. Processes that `build` starts with
    :func:`servemark.environments.commands.run_command` hold the lock too, so that one that outlives a killed builder
    cannot write into what the next builder makes.

    Raises:
        SetupError: from `build`, or because the cache cannot be written.
        ValueError: `key` is no relative path of plain names.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a cache key: {key!r}")
    directory = cache_dir() / key
    if _is_complete(directory):
        return directory
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _locked(directory.with_name(directory.name + ".lock"), directory, key, progress):
            if not _is_complete(directory):
                _build(directory, build)
    except OSError as error:
        raise cache_error(f"cannot build {key} in the cache {cache_dir()}", error) from error
    return directory


def cache_error(what: str, error: OSError) -> SetupError:
    """The error of `what`, of the cache, which failed of `error`: what to do goes by what it was."""
    steps = {
        **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free disk space"),
        **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable"),
        errno.ENOENT: "run again: something that was there is gone",
        errno.ENOLCK: "have its file system give locks (NFS: lockd, or the mount option local_lock=flock)",
    }
    step = steps.get(error.errno or 0, "make it writable and free disk space")
    where = f" ({error.filename})" if error.filename else ""
    return SetupError(
        what,
        cause=f"{error.strerror or error}{where}",
        next_step=f"{step}, or set SERVEMARK_CACHE to another folder",
    )


def _is_complete(directory: Path) -> bool:
    return (directory / _STAMP).is_file()


def _build(directory: Path, build: Callable[[Path], None]) -> None:
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir()
    try:
        build(directory.resolve())
        unfinished = directory / (_STAMP + ".new")
        unfinished.write_text(time.strftime("built %Y-%m-%dT%H:%M:%SZ\n", time.gmtime()), encoding="utf-8")
        unfinished.replace(directory / _STAMP)
    except BaseException:
        # Without its stamp nobody trusts what this cannot remove, so the first error is the one to show.
        shutil.rmtree(directory, ignore_errors=True)
        raise


@contextmanager
def _locked(path: Path, directory: Path, key: str, progress: Progress) -> Iterator[None]:
    """Hold the lock in `path`; the kernel releases it when the last process that holds it ends.

    What a builder on another machine left in it is waited for until `directory` is complete or it has had its time.
    """
    with path.open("a+", encoding="utf-8") as file:
        told = False
        while True:
            if not locks.lock(file):
                holder = locks.holder_in(path)
                who = f"another servemark (process {holder.pid})" if holder else "another servemark"
                progress(f"waiting for {who}, which is building {key}")
                locks.lock(file, wait=True)
            holder = locks.holder_in(path)
            if not holder or not holder.is_elsewhere or _is_complete(directory) or _has_had_its_time(path):
                break
            locks.unlock(file)
            if not told:
                told = True
                progress(
                    f"waiting for another servemark (on {holder.host}, process {holder.pid}), which is building {key}; "
                    f"if none runs there, remove {path}"
                )
            time.sleep(_LOOK_ELSEWHERE_EVERY_S)
        locks.sign(file)
        os.set_inheritable(file.fileno(), True)
        try:
            yield
        finally:
            locks.clear(file)


def _has_had_its_time(path: Path) -> bool:
    """Whether whoever signed the lock in `path` did so longer ago than anything takes to build."""
    try:
        return time.time() - path.stat().st_mtime > _LONGEST_BUILD_S
    except FileNotFoundError:
        return True
