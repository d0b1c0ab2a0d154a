"""Inputs: what is sent to a model. Read from the user's files, or made by the zoo; sent as it is, or as a form.

The user's are a pool, from which each request draws one: files, folders of them, and JSONL files, whose lines are one
input each.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import mimetypes
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from servemark.errors import UsageError
from servemark.text_files import lines_without_mark

#: Content types of the suffixes that people send to models, whatever this machine's mime.types says.
_CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".json": "application/json",
    ".txt": "text/plain",
}
_UNKNOWN_TYPE = "application/octet-stream"
#: What ``-`` stands for. It is read once, whoever asks for it.
STANDARD_INPUT = Path("/dev/stdin")
#: Files of which each line is an input.
_LINES = {".jsonl", ".ndjson"}


@dataclass(frozen=True, slots=True)
class Input:
    """One input: the bytes of a request's body, their media type, and where they came from (for the result).

    `file_name` is what a form calls it; empty when it came from no file. `headers` say of the body what its media type
    does not, for those who send it as it is.
    """

    body: bytes
    content_type: str
    origin: str
    file_name: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class Pool(Protocol):
    """Inputs that can be gone through again and again: a tuple, or what makes them each time."""

    def __iter__(self) -> Iterator[Input]:
        """All of them, in their order."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...


@dataclass(frozen=True)
class Sending:
    """How inputs are sent: with another content type than their own, as a form's field of that name, or both.

    `expect_status` is the status of a right answer; None is any 2xx.
    """

    content_type: str | None = None
    form_field: str | None = None
    expect_status: int | None = None

    def apply(self, what: Input) -> Input:
        """`what` as it is sent."""
        typed = what if self.content_type is None else replace(what, content_type=self.content_type)
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


def read_inputs(paths: Sequence[Path]) -> tuple[Input, ...]:
    """The inputs in files and folders, in their order; a folder's files by name, without hidden ones and folders in it.

    Raises:
        UsageError: one is missing or cannot be read, a line is no JSON, or there is no input in one.
    """
    return tuple(inputs_in(paths))


def inputs_in(paths: Sequence[Path]) -> Iterator[Input]:
    """The same one by one, as they are read.

    Raises:
        UsageError: as of ``read_inputs``, when it comes to that.
    """
    return (what for path in paths for what in _in_path(path))


def checksum(bodies: Iterable[bytes]) -> str:
    """The SHA-256 of all bodies, one after the other: of a single file what ``sha256sum`` says of it."""
    digest = hashlib.sha256()
    for body in bodies:
        digest.update(body)
    return digest.hexdigest()


def _in_path(path: Path) -> Iterator[Input]:
    if path == STANDARD_INPUT:
        yield Input(_standard_input(), _UNKNOWN_TYPE, "standard input", "stdin")
        return
    files = [path]
    if path.is_dir():
        try:
            files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        except OSError as error:
            raise _unreadable(path, error) from error
        if not files:
            raise UsageError(f"there is no input in the folder {path}", next_step="put files into it, not folders")
    for file in files:
        if file.suffix.lower() in _LINES:
            yield from lines_in(file)
        else:
            yield _read(file)


@functools.cache
def _standard_input() -> bytes:
    """All that standard input holds.

    Raises:
        UsageError: it is closed, empty, or cannot be read.
    """
    body, cause = b"", ""
    try:
        body = b"" if sys.stdin is None else sys.stdin.buffer.read()
    except OSError as error:
        cause = error.strerror or str(error)
    if not body:
        pipe = "pipe it into the command, or end it with < FILE"
        raise UsageError("there is no input in standard input", cause=cause, next_step=pipe)
    return body


def _read(path: Path) -> Input:
    """The input in a file; its content type follows the suffix."""
    try:
        body = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    suffix = path.suffix.lower()
    content_type = _CONTENT_TYPES.get(suffix) or mimetypes.guess_type(path.name)[0] or _UNKNOWN_TYPE
    return Input(body=body, content_type=content_type, origin=str(path), file_name=path.name)


def lines_in(path: Path) -> Iterator[Input]:
    """The inputs of a JSONL file, whatever it is called: one a line, as they stand there; blank lines are none.

    Raises:
        UsageError: it cannot be read, a line is no JSON, or there is none.
    """
    found = False
    try:
        with io.BytesIO(_standard_input()) if path == STANDARD_INPUT else path.open("rb") as file:
            for number, line in enumerate(lines_without_mark(file), 1):
                body = line.strip()
                if body:
                    found = True
                    _check_json(body, path, number)
                    yield Input(body, _CONTENT_TYPES[".json"], f"{path} line {number}", path.name)
    except UnicodeError as error:  # what its byte order mark says of it is wrong
        raise UsageError(f"cannot read the input {path}", cause=str(error), next_step="write it in UTF-8") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not found:
        raise UsageError(f"there is no input in {path}", next_step="write one JSON value a line")


def _check_json(body: bytes, path: Path, number: int) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        json.loads(body.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:  # what is no UTF-8 is a ValueError, too
        cause = str(error).replace("line 1 column", "column")
        raise UsageError(
            f"{path} line {number} is no JSON", cause=cause, next_step="a JSONL file has one JSON value a line"
        ) from None


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot read the input {path}",
        cause=error.strerror or str(error),
        next_step="give a file or a folder that you may read",
    )


def _quoted(name: str) -> str:
    """`name` as browsers write it between quotes in the head of a form's part."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
