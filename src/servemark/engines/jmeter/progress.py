"""Progress of a run, counted in the results that JMeter is writing."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from servemark.units import NS_PER_MS


@dataclass
class Counts:
    """Progress of a run, from the samples that JMeter has written; what is in flight it does not tell."""

    elapsed_ns: int
    scheduled: int
    succeeded: int
    failed: int
    in_flight: int
    measured_succeeded: int


class SampleCounter:
    """Counts the samples in a JTL that is being written, reading only what is new."""

    _SAMPLE = re.compile(rb"^(\d{13}),\d+,(?:.*,(true|false),)?", re.MULTILINE)

    def __init__(self, path: Path, warmup_ns: int) -> None:
        self.records = 0
        self._path = path
        self._warmup_ms = warmup_ns // NS_PER_MS
        self._offset = 0
        self._succeeded = self._measured = self._first_unix_ms = 0

    def look(self) -> None:
        """Count what has been written since the last look."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        for match in self._SAMPLE.finditer(whole):
            started = int(match[1])
            self._first_unix_ms = self._first_unix_ms or started
            self.records += 1
            if match[2] == b"true":
                self._succeeded += 1
                self._measured += started - self._first_unix_ms >= self._warmup_ms

    def counts(self, waited_ns: int) -> Counts:
        """The counts; the time is since the first sample's start, or `waited_ns` before that."""
        elapsed_ns = max(0, time.time_ns() - self._first_unix_ms * NS_PER_MS) if self.records else waited_ns
        failed = self.records - self._succeeded
        return Counts(elapsed_ns, self.records, self._succeeded, failed, 0, self._measured)
