"""The user's cache: every directory in it is either complete or will be built again.

A directory is complete when it holds a stamp, written last by one rename. It is built at its final place, by the path
without links, because virtual environments hold absolute paths and a link may go; an unstamped leftover of a builder
that was killed is wiped first. One lock a directory, held while building, so that two first runs at once build it once.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from servemark.errors import SetupError

#: Told what is being done and, where known, how long it takes: short, present tense, for stderr.
Progress = Callable[[str], None]

_STAMP = ".complete"
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
        with _locked(directory.with_name(directory.name + ".lock"), key, progress):
            if not _is_complete(directory):
                _build(directory, build)
    except OSError as error:
        raise SetupError(
            f"cannot build {key} in the cache {cache_dir()}",
            cause=f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else ""),
            next_step="make it writable and free disk space, or set SERVEMARK_CACHE to another folder",
        ) from error
    return directory


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
def _locked(path: Path, key: str, progress: Progress) -> Iterator[None]:
    """Hold the lock in `path`; the kernel releases it when the last process that holds it ends."""
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            who = f"another servemark (process {holder})" if holder else "another servemark"
            progress(f"waiting for {who}, which is building {key}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        os.set_inheritable(lock.fileno(), True)
        yield
