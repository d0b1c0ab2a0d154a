"""Progress of a run, counted in the results that JMeter is writing."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from servemark.units import NS_PER_MS
from servemark.workload.plan import Group, headline_step


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
    """Counts the samples in a JTL that is being written, reading only what is new.

    A sample of the headline is known by its label, and by the group in the name of its thread ("... 1-3").
    """

    _SAMPLE = re.compile(rb'^(\d{13}),\d+,(?:(.*) (\d+)-\d+"?,(?:[^,\n]*,)?(true|false),)?', re.MULTILINE)

    def __init__(self, path: Path, warmup_ns: int, groups: Sequence[Group]) -> None:
        self.records = 0
        self._label = _field(headline_step(groups))
        self._foreground = {number for number, group in enumerate(groups, 1) if not group.background}
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
            if match[4] == b"true":
                self._succeeded += 1
                is_headline = match[2].startswith(self._label) and int(match[3]) in self._foreground
                self._measured += is_headline and started - self._first_unix_ms >= self._warmup_ms

    def counts(self, waited_ns: int) -> Counts:
        """The counts; the time is since the first sample's start, or `waited_ns` before that."""
        elapsed_ns = max(0, time.time_ns() - self._first_unix_ms * NS_PER_MS) if self.records else waited_ns
        failed = self.records - self._succeeded
        return Counts(elapsed_ns, self.records, self._succeeded, failed, 0, self._measured)


def _field(text: str) -> bytes:
    """`text` as a field of the JTL, with the comma behind it."""
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow([text, ""])
    return written.getvalue().encode()
