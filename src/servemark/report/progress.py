"""The progress of a run, on stderr."""

from __future__ import annotations

import sys

from servemark.engines import ProgressReport
from servemark.telling import takes_at_once
from servemark.terminals import takes_escapes
from servemark.units import NS_PER_S
from servemark.workload.load import Load, OpenLoad

#: What is still under way when the time is over is there within this, unless the server lags behind.
_AT_ONCE_S = 1.0


class ProgressLine:
    """The counts of the run under way: one line that is rewritten on a terminal, one every 10 s elsewhere."""

    _EVERY_S = 10.0

    def __init__(self) -> None:
        self._terminal = takes_escapes(sys.stderr)
        self._shown = False
        self._every_s = 0.0 if self._terminal else self._EVERY_S
        self._elapsed_s = 0.0
        self._next_s = self._every_s

    def show(self, progress: ProgressReport, load: Load, words: str = "") -> None:
        """Show `progress` of a run under `load`, and in `words` how far its figures are, if it is time to."""
        elapsed_s = progress.elapsed_ns / NS_PER_S
        if elapsed_s < self._elapsed_s:  # another run
            self._next_s = self._every_s
        self._elapsed_s = elapsed_s
        # The measurement does not wait for a terminal that was stopped by a key, or for a pager that reads no more.
        if elapsed_s < self._next_s or not takes_at_once(sys.stderr):
            return
        self._next_s = elapsed_s + self._every_s
        line = _described(progress, load, elapsed_s, words)
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


def _described(progress: ProgressReport, load: Load, elapsed_s: float, words: str) -> str:
    counts = f"{progress.succeeded} succeeded" + (f", {progress.failed} failed" if progress.failed else "")
    is_open, longest_s = isinstance(load, OpenLoad), load.longest_s
    if longest_s is not None and elapsed_s >= longest_s + _AT_ONCE_S:
        what = "the backlog" if is_open else "the last answers"
        beyond = f"{elapsed_s - longest_s:.0f} s beyond the {longest_s:g} s of load"
        return f"awaiting {what}: {progress.in_flight} left, {beyond}; {counts}"
    if load.until is not None and elapsed_s < load.warmup_s + load.until.max_s:
        longest_s = load.warmup_s + load.until.max_s  # beyond which only a slow model goes
    limit = f" of at most {longest_s:g}" if longest_s is not None else ""
    under_way = f", {progress.in_flight} under way" if is_open else ""
    so_far = f"; {words}" if words else ""
    return f"measuring: {elapsed_s:.0f}{limit} s, {counts}{under_way}{so_far}"
