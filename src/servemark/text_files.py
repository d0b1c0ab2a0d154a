"""Text files of the user's, whatever editor wrote them: what they hold as UTF-8, without a byte order mark.

Windows' editors begin UTF-8 with one, and its shell writes UTF-16. Standard library only.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO

#: A mark, and the encoding that reads what begins with it. Those of UTF-32 first: one begins as UTF-16's does.
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LONGEST_MARK = max(len(mark) for mark, _ in _WIDE)


def without_mark(content: bytes) -> bytes:
    """`content` as UTF-8 and without its byte order mark; without a mark it is what it is.

    Raises:
        ValueError: it has a mark, and is not in the encoding that this names.
    """
    for mark, encoding in _WIDE:
        if content.startswith(mark):
            return content.decode(encoding).encode("utf-8")
    return content.removeprefix(codecs.BOM_UTF8)


def lines_without_mark(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file that is at its beginning, as ``without_mark`` gives them; only what is UTF-16 is read whole.

    Raises:
        ValueError: as there.
    """
    beginning = file.read(_LONGEST_MARK)
    if any(beginning.startswith(mark) for mark, _ in _WIDE):
        yield from io.BytesIO(without_mark(beginning + file.read()))
        return
    file.seek(len(codecs.BOM_UTF8) if beginning.startswith(codecs.BOM_UTF8) else 0)
    yield from file
