"""The header of the files of records, events and bodies.

It is read without what the columns are read with: that takes long to load.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

from servemark.errors import RecordingError

#: What to try where records are missing, or not what a run wrote.
COPY_WHOLE = "copy the whole folder of the result again"
#: What stands behind a step's name where a request of its warm-up has a name of its own, as in a JTL.
WARM_UP = " warm-up"
#: A header begins with the magic, then four little-endian u32: version, bytes of a row, of the header, of the JSON.
MAGIC = b"SERVEMARK-REC\0\0\0"
EVENTS_MAGIC = b"SERVEMARK-EVT\0\0\0"
BODIES_MAGIC = b"SERVEMARK-BDY\0\0\0"
VERSION = 3
FIXED = struct.Struct("<16s4I")
_READABLE = (1, 2, VERSION)
_UNIT_BYTES = 4096
_LONGEST_U32 = len(str(0xFFFF_FFFF))


def with_size(header: dict[str, Any]) -> dict[str, Any]:
    """The header with as many `header_bytes` as it needs: whole units of 4,096."""
    unpadded = len(packed({**header, "header_bytes": 0})) + _LONGEST_U32
    return {**header, "header_bytes": -(-unpadded // _UNIT_BYTES) * _UNIT_BYTES}


def packed(header: dict[str, Any]) -> bytes:
    """The header of a record file as it stands at its beginning, filled up to its `header_bytes`; longer if need be."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    fixed = FIXED.pack(MAGIC, header["version"], header["row_bytes"], header["header_bytes"], len(text))
    return (fixed + text).ljust(header["header_bytes"], b"\0")


def read_header(file: BinaryIO, path: Path, magic: bytes, what: str) -> dict[str, Any]:
    """The JSON of the header of `file`, at whose beginning it is; `path` and `what` it should be are for errors.

    Raises:
        RecordingError: it does not begin with `magic`, is cut short, or of a version that this one does not read.
    """
    fixed = file.read(FIXED.size)
    if len(fixed) < FIXED.size or fixed[: len(magic)] != magic:
        raise RecordingError(f"{path} is not {what}", next_step=COPY_WHOLE)
    _, version, _, _, json_bytes = FIXED.unpack(fixed)
    if version not in _READABLE:
        known = " and ".join(map(str, _READABLE))
        raise RecordingError(f"{path} has records of version {version}", next_step=f"this servemark reads {known}")
    try:
        header: dict[str, Any] = json.loads(file.read(json_bytes))
    except ValueError as error:
        raise RecordingError(
            f"{path} is {what} whose header is cut short", cause=str(error), next_step=COPY_WHOLE
        ) from error
    return header
