"""Inputs: what is sent to a model. Read from the user's files, or made by the zoo; sent as it is, or as a form."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from servemark.errors import UsageError

#: Content types of the suffixes that people send to models, whatever this machine's mime.types says.
_CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".json": "application/json",
    ".txt": "text/plain",
}
_UNKNOWN_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Input:
    """One input: the bytes of a request's body, their media type, and where they came from (for the result).

    `file_name` is what a form calls it; empty when it came from no file.
    """

    body: bytes
    content_type: str
    origin: str
    file_name: str = ""


@dataclass(frozen=True)
class Sending:
    """How inputs are sent: with another content type than their own, as a form's field of that name, or both."""

    content_type: str | None = None
    form_field: str | None = None

    def apply(self, what: Input) -> Input:
        """`what` as it is sent."""
        typed = replace(what, content_type=self.content_type or what.content_type)
        return as_form([(self.form_field, typed)], what.origin) if self.form_field else typed


def as_form(fields: Sequence[tuple[str, Input]], origin: str) -> Input:
    """The body of a form (multipart/form-data, RFC 7578), each field a file. The same fields give the same bytes."""
    digest = hashlib.sha256(b"".join(what.body for _, what in fields)).hexdigest()
    boundary = f"servemark-{digest[:24]}"
    while any(boundary.encode() in what.body for _, what in fields):
        boundary += "-"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(field)}"; '
        f'filename="{_quoted(what.file_name or field)}"\r\n'
        f"Content-Type: {what.content_type}\r\n\r\n".encode("utf-8", "surrogateescape")
        + what.body
        + b"\r\n"
        for field, what in fields
    ]
    body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
    return Input(body, f"multipart/form-data; boundary={boundary}", origin)


def read_input(path: Path) -> Input:
    """The input in a file; its content type follows the suffix.

    Raises:
        UsageError: the file is missing, is not a file, or cannot be read.
    """
    try:
        body = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read the input {path}", cause=error.strerror or str(error), next_step="give -i a readable file"
        ) from error
    suffix = path.suffix.lower()
    content_type = _CONTENT_TYPES.get(suffix) or mimetypes.guess_type(path.name)[0] or _UNKNOWN_TYPE
    return Input(body=body, content_type=content_type, origin=str(path), file_name=path.name)


def _quoted(name: str) -> str:
    """`name` as browsers write it between quotes in the head of a form's part."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
