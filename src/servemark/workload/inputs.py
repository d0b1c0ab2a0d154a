"""Inputs: what is sent to a model. Read from the user's files, or made by the zoo."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
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
    """One input: the bytes of a request's body, their media type, and where they came from (for the result)."""

    body: bytes
    content_type: str
    origin: str


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
    return Input(body=body, content_type=content_type, origin=str(path))
