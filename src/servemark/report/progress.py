"""The progress of a run, on stderr."""

from __future__ import annotations

import sys

from servemark.engines import ProgressReport
from servemark.terminals import takes_escapes
from servemark.units import NS_PER_S
from servemark.workload.load import Load, OpenLoad


class ProgressLine:
    """The counts of the run under way: one line that is rewritten on a terminal, one every 10 s elsewhere."""

    _EVERY_S = 10.0

    def __init__(self) -> None:
        self._terminal = takes_escapes(sys.stderr)
        self._shown = False
        self._every_s = 0.0 if self._terminal else self._EVERY_S
        self._elapsed_s = 0.0
        self._next_s = self._every_s

    def show(self, progress: ProgressReport, load: Load) -> None:
        """Show `progress` of a run under `load`, if it is time to."""
        elapsed_s = progress.elapsed_ns / NS_PER_S
        if elapsed_s < self._elapsed_s:  # another run
            self._next_s = self._every_s
        self._elapsed_s = elapsed_s
        if elapsed_s < self._next_s:
            return
        self._next_s = elapsed_s + self._every_s
        limit = f" of at most {load.longest_s:g}" if load.longest_s is not None else ""
        failed = f", {progress.failed} failed" if progress.failed else ""
        under_way = f", {progress.in_flight} under way" if isinstance(load, OpenLoad) else ""
        line = f"measuring: {elapsed_s:.0f}{limit} s, {progress.succeeded} succeeded{failed}{under_way}"
        if self._terminal:
            print(f"\r\x1b[2K{line}", end="", file=sys.stderr, flush=True)
            self._shown = True
        else:
            print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, so that something else can be printed."""
        if self._shown:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
            self._shown = False
