"""Custom models: an archive that a user names, had from where it is, checked, and copied for the server.

The copy holds plain files only (see ``checked_zip``). That of a ``.model`` is a .mar with a handler of ours that speaks
the service classes of MMS 0.x: MMS 1.1.11 loads such archives itself, but its own way lacks modules that their
services import, fails on Python 3 for JSON, and knows no batches.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from servemark.environments.cache import Progress, build_once
from servemark.environments.downloads import Download, download
from servemark.errors import ModelError, SetupError, UsageError
from servemark.units import BYTES_PER_MIB
from servemark.zoo.checked_zip import checked_zip, write_checked
from servemark.zoo.manifests import MAR_MANIFEST, Contents, Format, read_contents
from servemark.zoo.model_source import ModelSource
from servemark.zoo.pack.mar import manifest
from servemark.zoo.signature import Signature

_HERE = Path(__file__).parent
_ADAPTER = _HERE / "adapters" / "servemark_legacy_service.py"
_ADAPTER_HANDLER = f"{_ADAPTER.stem}:handle"
_ZIP_START = b"PK"
_CHUNK_BYTES = BYTES_PER_MIB
_TRIES = 3


class _ChangedMeanwhileError(Exception):
    """The archive was written while it was copied: what was copied is not what its checksum says."""


@dataclass(frozen=True)
class CustomModel:
    """A model of the user's that can be served.

    Attributes:
        name: its name on the wire: its manifest's, in letters that MMS takes, else its file's.
        archive: the checked copy, a .mar of that name.
        origin: path or URL, without anything secret.
        sha256: of the original, in hexadecimal; `size_bytes` likewise.
        format: "mar", or "model" for the archives of MMS 0.x.
        handler: as its manifest has it.
        signature: what it takes, if it says so.
    """

    name: str
    archive: Path
    origin: str
    sha256: str
    size_bytes: int
    format: Format
    handler: str
    signature: Signature | None

    @property
    def facts(self) -> Mapping[str, object]:
        """What the result says of it."""
        return {
            "origin": self.origin,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "format": self.format,
            "handler": self.handler,
        }


def custom_model(source: ModelSource, progress: Progress, get: Callable[..., Download] = download) -> CustomModel:
    """The model at `source`, downloaded if need be, checked and copied into the cache.

    Raises:
        UsageError: it cannot be read, or is being written.
        SetupError: it could not be downloaded, or the cache cannot be written.
        ModelError: it cannot be served; says exactly why.
    """
    if source.url is not None:
        # What it gave is kept by what it holds, and is not written again.
        return _copied(source, get(source.url, source.shown, progress, starts_with=_ZIP_START), progress)
    assert source.path is not None
    for _ in range(_TRIES):
        before = _identity(source.path)
        try:
            model = _copied(source, _measured(source.path), progress)
            if _identity(source.path) == before:
                return model
        except ModelError:
            if _identity(source.path) == before:
                raise
        except (_ChangedMeanwhileError, FileNotFoundError):
            pass
        progress(f"{source.shown} changed while it was read: reading it again")
    raise UsageError(
        f"cannot read the model {source.shown}",
        cause=f"it changed while it was read, {_TRIES} times",
        next_step="wait until it has been written",
    )


def _copied(source: ModelSource, original: Download, progress: Progress) -> CustomModel:
    """The model in the file `original`, checked and copied into the cache.

    Raises:
        _ChangedMeanwhileError: what was copied is not what was measured.
        ModelError: it cannot be served; says exactly why.
    """

    def build(made: Path) -> None:
        write_checked(made / f"{name}.mar", archive, replaced=replaced)
        if _measured(original.path).sha256 != original.sha256:
            raise _ChangedMeanwhileError

    with checked_zip(original.path, source.shown) as archive:
        contents = read_contents(archive)
        name = _wire_name(contents.model_name) or _wire_name(source.stem) or "model"
        replaced = _replaced(contents, name)
        recipe = json.dumps([original.sha256, name, {key: value.decode() for key, value in replaced.items()}])
        key = f"custom/{hashlib.sha256(recipe.encode()).hexdigest()[:24]}"
        folder = build_once(key, build, progress)
    return CustomModel(
        name=name,
        archive=folder / f"{name}.mar",
        origin=source.shown,
        sha256=original.sha256,
        size_bytes=original.size_bytes,
        format=contents.format,
        handler=contents.handler,
        signature=contents.signature,
    )


def _identity(path: Path) -> tuple[int, ...]:
    """What changes when the file at `path` is written or replaced."""
    try:
        found = path.stat()
    except OSError as error:
        raise UsageError(f"cannot read the model {path}", cause=error.strerror or str(error)) from error
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _measured(path: Path) -> Download:
    """The local file at `path`, its length and checksum."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise UsageError(f"cannot read the model {path}", cause=error.strerror or str(error)) from error
    return Download(path, size, digest.hexdigest())


def _replaced(contents: Contents, name: str) -> dict[str, bytes]:
    """The files that the copy has and the original has not, or otherwise."""
    if contents.format == "model":
        own = json.dumps(manifest(name, _ADAPTER_HANDLER), indent=2)
        return {MAR_MANIFEST: own.encode(), _ADAPTER.name: _read(_ADAPTER)}
    if contents.model_name == name:
        return {}
    # The server wants a name in it.
    named = {**contents.manifest, "model": {**contents.manifest["model"], "modelName": name}}
    return {MAR_MANIFEST: json.dumps(named, indent=2).encode()}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(f"servemark's own {path.name} cannot be read", cause=str(error)) from error


def _wire_name(name: str) -> str:
    """`name` in the letters that model-archiver and MMS take; empty when nothing of it is left."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).lstrip("_.-")
