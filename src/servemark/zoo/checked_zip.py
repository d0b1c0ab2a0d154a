"""Zip files that others made: what must hold before anything of them is unpacked, and a copy of what was checked.

Multi Model Server unpacks without any check of its own: a name such as ``../x`` leaves its folder. So it is never given
a file that others made, but a copy of the entries that were checked, of plain files only.
"""

from __future__ import annotations

import errno
import lzma
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from servemark.errors import ModelError
from servemark.units import BYTES_PER_MIB

#: What an archive may hold. Networks hardly compress: what is both large and a hundred times as large as its file is a
#: bomb.
MOST_ENTRIES = 20_000
LARGEST_UNPACKED_BYTES = 8192 * BYTES_PER_MIB
_LARGE_BYTES = 1024 * BYTES_PER_MIB
_LARGEST_RATIO = 100
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_REPACK = "pack it again with model-archiver"
#: What zipfile raises for a damaged file, besides OSError of a seek to nowhere.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ValueError,
    OverflowError,
    EOFError,
    RuntimeError,
)


class CheckedZip:
    """An open zip file all of whose names and sizes have been checked; `shown` is what messages call it."""

    def __init__(self, archive: zipfile.ZipFile, shown: str) -> None:
        self.shown = shown
        self._archive = archive
        self._entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}

    @property
    def names(self) -> frozenset[str]:
        """The names of its files, folders being parts of names."""
        return frozenset(self._entries)

    def read(self, name: str) -> bytes:
        """The file of that name.

        Raises:
            ModelError: it is damaged.
        """
        with _readable(self.shown, f"{name} in it is"), self._archive.open(self._entries[name]) as file:
            return file.read()

    def copy_to(self, target: zipfile.ZipFile, *, without: Collection[str]) -> None:
        """Copy every file but those named into `target`; checks their checksums on the way.

        Raises:
            ModelError: one is damaged.
        """
        for name in sorted(self.names.difference(without)):
            source = self._entries[name]
            entry = _plain_entry(name, source.file_size)
            with (
                _readable(self.shown, f"{name} in it is"),
                self._archive.open(source) as read,
                target.open(entry, "w") as written,
            ):
                shutil.copyfileobj(read, written, BYTES_PER_MIB)


@contextmanager
def checked_zip(path: Path, shown: str) -> Iterator[CheckedZip]:
    """Open the zip file at `path` and check it.

    Raises:
        ModelError: it is none, is damaged, or holds what must not be unpacked; says exactly what.
    """
    with path.open("rb") as file:
        if file.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):
            raise unservable(shown, "it is not a zip file")
    with _readable(shown, "it is cut off or"):
        archive = zipfile.ZipFile(path)
    with archive:
        reason = _refusal(archive, path.stat().st_size)
        if reason:
            raise unservable(shown, reason, _REPACK)
        yield CheckedZip(archive, shown)


def unservable(shown: str, cause: str, next_step: str = "") -> ModelError:
    """The error that says why an archive cannot be served."""
    return ModelError(f"{shown} is no model archive that can be served", cause=cause, next_step=next_step)


def _refusal(archive: zipfile.ZipFile, size_bytes: int) -> str:
    """Why it must not be unpacked; empty when it may."""
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        return f"it holds {len(entries):,} files; at most {MOST_ENTRIES:,} are unpacked"
    unpacked = sum(entry.file_size for entry in entries)
    ratio = unpacked / max(size_bytes, 1)
    if unpacked > LARGEST_UNPACKED_BYTES or (unpacked > _LARGE_BYTES and ratio > _LARGEST_RATIO):
        size, most = unpacked / BYTES_PER_MIB, LARGEST_UNPACKED_BYTES / BYTES_PER_MIB
        return f"it unpacks to {size:,.0f} MiB, {ratio:,.0f} times its size; at most {most:,.0f} MiB are unpacked"
    checks: tuple[tuple[str, Callable[[zipfile.ZipInfo], bool]], ...] = (
        ("the absolute path", lambda entry: entry.filename.startswith("/") or ":" in entry.filename.split("/")[0]),
        ("a path that leaves its folder,", lambda entry: ".." in PurePosixPath(entry.filename).parts),
        ("a name with a backslash or a control character,", _has_odd_name),
        ("the symbolic link", lambda entry: stat.S_ISLNK(entry.external_attr >> 16)),
        ("the encrypted file", lambda entry: bool(entry.flag_bits & 1)),
    )
    for what, holds in checks:
        found = next((entry.filename for entry in entries if holds(entry)), None)
        if found is not None:
            return f"it holds {what} {found!r}"
    return _doubled(entries)


def _has_odd_name(entry: zipfile.ZipInfo) -> bool:
    # What the file says, because zipfile itself cuts a name at its first zero byte.
    return "\\" in entry.orig_filename or bool(_UNPRINTABLE.search(entry.orig_filename))


def _doubled(entries: list[zipfile.ZipInfo]) -> str:
    """Which of two entries the server would keep, nobody can say."""
    kinds: dict[str, bool] = {}
    for entry in entries:
        name = entry.filename.rstrip("/")
        if name in kinds and not (kinds[name] and entry.is_dir()):
            return f"it holds {name!r} twice"
        kinds[name] = entry.is_dir()
    files = {name for name, is_folder in kinds.items() if not is_folder}
    for name in kinds:
        inside = next((str(folder) for folder in PurePosixPath(name).parents if str(folder) in files), None)
        if inside:
            return f"it holds {inside!r} both as a file and as a folder"
    return ""


@contextmanager
def _readable(shown: str, what: str) -> Iterator[None]:
    try:
        yield
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # The disk's, not the file's.
        cause = f"{what} damaged ({error})"
        raise unservable(shown, cause, "check that it was copied or downloaded whole") from error


def write_checked(path: Path, source: CheckedZip, *, replaced: Mapping[str, bytes]) -> None:
    """Write at `path` an archive with the files of `source`, those in `replaced` instead or in addition.

    Raises:
        ModelError: a file of `source` is damaged.
    """
    with zipfile.ZipFile(path, "w") as target:
        source.copy_to(target, without=replaced)
        for name, content in sorted(replaced.items()):
            target.writestr(_plain_entry(name, len(content)), content)


def _plain_entry(name: str, size_bytes: int) -> zipfile.ZipInfo:
    """An entry for a plain file that is stored as it is: the server unpacks each time that a model is registered."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o644 << 16
    entry.file_size = size_bytes
    return entry
