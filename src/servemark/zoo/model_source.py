"""The source of a custom model: a file on this machine, or an http(s) URL. Standard library only."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from servemark.errors import UsageError

#: A letter and a colon alone would be a drive, and so a path.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
#: What to give instead of a URL that is not downloaded.
_INSTEAD = {
    "file": "give the path itself",
    "s3": "give an https URL of it (aws s3 presign makes one), or download it first and give the path",
    "gs": "give an https URL of it (gcloud storage sign-url makes one), or download it first and give the path",
    "ftp": "download it first and give the path",
}


@dataclass(frozen=True)
class ModelSource:
    """Exactly one of `path` and `url`. `shown` is what may be shown of it: no user, password, query or fragment."""

    path: Path | None
    url: str | None
    shown: str

    @property
    def stem(self) -> str:
        """The name of its file, without folder and suffix."""
        name = self.path.name if self.path else unquote(urlsplit(self.shown).path).rstrip("/").rsplit("/", 1)[-1]
        return Path(name).stem or "model"


def model_source(text: str) -> ModelSource:
    """What ``-c`` names.

    Raises:
        UsageError: it is neither a readable file nor an http(s) URL; says what to give instead.
    """
    scheme = _SCHEME.match(text)
    if scheme and not Path(text).exists():
        return _from_url(text, scheme[1].lower())
    path = Path(text)
    if not text or not path.exists():
        raise UsageError(
            f"cannot read the model {text!r}", cause="no such file", next_step="give -c a .mar, a .model or its URL"
        )
    if path.is_dir():
        raise UsageError(
            f"cannot read the model {path}",
            cause="it is a directory",
            next_step="pack it first: model-archiver --model-name NAME --model-path DIR --handler FILE:FUNCTION",
        )
    if not path.is_file() or not os.access(path, os.R_OK):
        cause = "permission denied" if path.is_file() else "not a regular file"
        raise UsageError(f"cannot read the model {path}", cause=cause)
    return ModelSource(path=path, url=None, shown=str(path))


def _from_url(text: str, scheme: str) -> ModelSource:
    if scheme not in {"http", "https"}:
        instead = _INSTEAD.get(scheme, "give an http or https URL, or a path")
        if scheme == "file":
            instead += f": -c {unquote(urlsplit(text).path) or 'PATH'}"
        raise UsageError(f"models are not downloaded from {scheme}: URLs", next_step=instead)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError("the model's URL cannot be read", cause=str(error)) from None
    if not host:
        raise UsageError("the model's URL names no host", next_step=f"give {scheme}://HOST/PATH")
    place = f"[{host}]" if ":" in host else host
    place += f":{port}" if port is not None else ""
    return ModelSource(path=None, url=text, shown=urlunsplit((scheme, place, parts.path, "", "")))
