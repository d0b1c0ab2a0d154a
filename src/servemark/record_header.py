"""The header of the files of records, events and bodies.

It is read without what the columns are read with: that takes long to load.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

from servemark.errors import RecordingError

#: A header begins with the magic, then four little-endian u32: version, bytes of a row, of the header, of the JSON.
MAGIC = b"SERVEMARK-REC\0\0\0"
EVENTS_MAGIC = b"SERVEMARK-EVT\0\0\0"
BODIES_MAGIC = b"SERVEMARK-BDY\0\0\0"
VERSION = 3
FIXED = struct.Struct("<16s4I")
_READABLE = (1, 2, VERSION)


def read_header(file: BinaryIO, path: Path, magic: bytes, what: str) -> dict[str, Any]:
    """The JSON of the header of `file`, at whose beginning it is; `path` and `what` it should be are for errors.

    Raises:
        RecordingError: it does not begin with `magic`, is cut short, or of a version that this one does not read.
    """
    fixed = file.read(FIXED.size)
    if len(fixed) < FIXED.size or fixed[: len(magic)] != magic:
        raise RecordingError(f"{path} is not {what}")
    _, version, _, _, json_bytes = FIXED.unpack(fixed)
    if version not in _READABLE:
        known = " and ".join(map(str, _READABLE))
        raise RecordingError(f"{path} has records of version {version}", next_step=f"this servemark reads {known}")
    try:
        header: dict[str, Any] = json.loads(file.read(json_bytes))
    except ValueError as error:
        raise RecordingError(f"{path} is {what} whose header is cut short", cause=str(error)) from error
    return header
