"""A generator's records, condensed while it goes on, once there are more of them than may be kept.

The engine writes records as always. What was written is added up here a part at a time, and its place on the disk is
given back: so the file stays as large as it looks, and as small on the disk as what is not added up yet.
"""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from servemark.condensed_files import Condensed, Condensing, merged, write_condensed
from servemark.errors import RecordingError
from servemark.records import RecordFile, open_records
from servemark.stats.condensed import condense

#: So many records are added up at once; what a live view reads of the newest ones is not.
_PART_ROWS = 1 << 20
_LOOK_EVERY_S = 0.2
_NICENESS = 10
#: From <linux/falloc.h>: give the place back, and leave the size.
_PUNCH_HOLE, _KEEP_SIZE = 2, 1


class Condenser:
    """Condenses the records of one generator, in a thread of little priority.

    Args:
        records: the file that the engine writes.
        how: see ``Condensing``.
        kept: so many records may be kept; from one more on all of them are condensed.
    """

    def __init__(self, records: Path, how: Condensing, kept: int, *, part_rows: int = _PART_ROWS) -> None:
        self._records, self._kept, self._part_rows = records, kept, part_rows
        self._condensed = Condensed(how=how)
        self._failed: RecordingError | None = None
        self._is_over = threading.Event()
        #: Whether what stands in the file is less than its records: from the first part until it is its header alone.
        self.is_condensing = False
        self._thread = threading.Thread(target=self._condense, name="condenser", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Condense what is left, where any was condensed; the file is its header then. All records are written.

        Raises:
            RecordingError: condensed records could not be written, now or before.
        """
        self._stop()
        if self._failed:
            raise self._failed
        file = open_records(self._records)
        if self.is_condensing or file.rows > self._kept:
            self._add(file)
            try:
                os.truncate(self._records, file.header_bytes)
            except OSError as error:
                raise RecordingError.unwritable(self._records, error.strerror or str(error)) from error
            self.is_condensing = False

    def abandon(self) -> None:
        """Leave all as it is: nobody wants it any more."""
        self._is_over.set()

    def _stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _condense(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while not self._is_over.wait(_LOOK_EVERY_S):
            with suppress(RecordingError):  # not even a header yet
                file = open_records(self._records)
                if file.rows <= self._kept and not self.is_condensing:
                    continue
                try:
                    self._parts(file)
                except RecordingError as error:
                    self._failed = error
                    return

    def _parts(self, file: RecordFile) -> None:
        """Add up all that is there but for the newest part."""
        while file.rows - self._condensed.records >= 2 * self._part_rows and not self._is_over.is_set():
            self._add(file, self._condensed.records + self._part_rows)

    def _add(self, file: RecordFile, upto: int | None = None) -> None:
        """Condense the records up to that number, or all; written before their place is given back."""
        before = self._condensed.records
        rows = file.rows if upto is None else upto
        self.is_condensing = True
        part = condense(replace(file, rows=rows), self._condensed.how, before)
        self._condensed = merged(self._condensed, part)
        write_condensed(self._records, self._condensed, is_whole=upto is None)
        _give_back(self._records, file.header_bytes + before * file.row_bytes, (rows - before) * file.row_bytes)


def _give_back(path: Path, offset: int, length: int) -> None:
    """Give back what a part of a file takes of the disk, where its file system can do that; else it stays."""
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is None or not length:
        return
    with suppress(OSError), path.open("r+b") as file:
        fallocate(file.fileno(), _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_longlong(offset), ctypes.c_longlong(length))
