"""What people see while something is done, on stderr: a few lines that are drawn anew, or a line every 5 s.

A thread of little priority draws them, and looks at the records that come: whoever measures only leaves its counts
here. What draws is the standard library, and the terminal's own escapes: rich would take as long to load as all of this
may take in ten seconds.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

from servemark.printable import printable
from servemark.report import progress
from servemark.report.progress import RunUnderWay
from servemark.report.recent import Lately, Recent
from servemark.report.sparkline import ramp_for, sparkline
from servemark.telling import takes_at_once
from servemark.terminals import takes_escapes

_NICENESS = 10
_DRAWN_EVERY_S = 0.5
_TOLD_EVERY_S = 5
#: What is done for longer than this has its time shown.
_AT_ONCE_S = 2.0
#: A run of which nobody has told anything for so long is over.
_OVER_S = 1.5
_LABEL_WIDTH = 9
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
#: A label, which may be empty, and what stands behind it.
_Line = tuple[str, str]


class LiveView:
    """The run under way, for people; a context manager, while whose block lasts it is drawn."""

    #: For how long its thread was on a CPU; known when the block is left.
    cpu_s = 0.0

    def __init__(self) -> None:
        self._escapes = takes_escapes(sys.stderr)
        self._is_coloured = not os.environ.get("NO_COLOR")
        self._ramp = ramp_for(sys.stderr)
        self._lock = threading.Lock()  # of what is on the terminal
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="live view", daemon=True)
        self._places: dict[int, str] = {}
        self._run: RunUnderWay | None = None
        self._told_at_s = self._began_at_s = time.monotonic()
        self._lately = Lately((), "")
        self._last: RunUnderWay | None = None
        self._next_line_s = 0
        self._drawn: list[_Line] = []

    def __enter__(self) -> LiveView:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        with self._lock:
            self._clear()

    def place(self, depth: int, words: str) -> None:
        """Note where an invocation stands: in its suite, or deeper among its points; what was deeper is over."""
        self._places = {**{at: said for at, said in self._places.items() if at < depth}, depth: words}

    def show(self, run: RunUnderWay) -> None:
        """Have `run` be shown; this waits for nothing."""
        self._told_at_s = time.monotonic()
        self._run = run

    def say(self, text: str) -> None:
        """Print a line that stays, above what is drawn."""
        with self._lock:
            self._clear()
            print(printable(text), file=sys.stderr, flush=True)
        self._run, self._began_at_s = None, time.monotonic()

    def draw(self) -> None:
        """Draw what there is to be seen now, or print a line if it is time to."""
        run = self._run
        if run is not None and time.monotonic() > self._told_at_s + _OVER_S:
            run = self._run = None
            self._began_at_s = self._told_at_s
        if run is not None:
            self._look(run)
        # Nobody waits for a terminal that was stopped by a key, or for a pager that reads no more.
        if not takes_at_once(sys.stderr):
            return
        if not self._escapes:
            self._tell(run)
            return
        lines = list(self._lines_of(run, self._lately.recent) if run else self._lines_of_waiting())
        with self._lock:
            self._put(lines)

    def _look(self, run: RunUnderWay) -> None:
        last = self._last
        if last is None or run.records != last.records or run.elapsed_s < last.elapsed_s:
            self._lately, self._next_line_s = Lately(run.records, run.step), _TOLD_EVERY_S
        self._last = run
        self._lately.look(run.counts)

    def _tell(self, run: RunUnderWay | None) -> None:
        if run is not None and run.elapsed_s >= self._next_line_s:
            self._next_line_s = (int(run.elapsed_s) // _TOLD_EVERY_S + 1) * _TOLD_EVERY_S
            with self._lock:
                print(printable(progress.line(run, self._lately.recent)), file=sys.stderr, flush=True)

    def _lines_of(self, run: RunUnderWay, recent: Recent) -> Iterator[_Line]:
        yield from self._here()
        yield "", progress.state(run)
        rate = progress.rates(run, recent)
        if rate:
            room = max(_width() - _LABEL_WIDTH - len(rate) - 3, 0)
            line = sparkline(recent.rates_per_s[-room:], room, self._ramp, from_zero=True)
            yield "rate", f"{rate}  {line}"
        for label, words in (
            ("lately", progress.latencies(recent)),
            ("failed", progress.failures(run, recent)),
            ("interval", run.words),
        ):
            if words:
                yield label, words

    def _lines_of_waiting(self) -> Iterator[_Line]:
        """Say for how long what was said last has been going on."""
        for_s = time.monotonic() - self._began_at_s
        if for_s >= _AT_ONCE_S:
            yield from self._here()
            yield "", f"{for_s:.0f} s so far"

    def _here(self) -> Iterator[_Line]:
        where = ", ".join(self._places.values())
        if where:
            yield "", where

    def _put(self, lines: list[_Line]) -> None:
        """Have `lines` stand where those before them did."""
        if not lines:
            self._clear()
        elif lines != self._drawn:
            width = _width() - 1  # in the last column some terminals begin the next line
            text = "\x1b[K\n".join(self._shown(label, words, width) for label, words in lines)
            print(f"{self._back()}{text}\x1b[J", end="", file=sys.stderr, flush=True)
            self._drawn = lines

    def _clear(self) -> None:
        if self._drawn:
            print(f"{self._back()}\x1b[J", end="", file=sys.stderr, flush=True)
            self._drawn = []

    def _back(self) -> str:
        """To the beginning of the first line that was drawn."""
        up = len(self._drawn) - 1
        return f"\r\x1b[{up}A" if up > 0 else "\r"

    def _shown(self, label: str, words: str, width: int) -> str:
        text = _cut(f"{label:{_LABEL_WIDTH}}{printable(words)}" if label else printable(words), width)
        if not self._is_coloured:
            return text
        return f"{_DIM}{text[:_LABEL_WIDTH]}{_PLAIN}{text[_LABEL_WIDTH:]}" if label else f"{_BOLD}{text}{_PLAIN}"

    def _go_on(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while not self._over.wait(_DRAWN_EVERY_S):
            self.draw()
        self.cpu_s = time.thread_time()


def _width() -> int:
    """The columns of the terminal that stderr is."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _cut(text: str, width: int) -> str:
    """As much of `text` as fits into so many columns."""
    if text.isascii() or len(text) <= width // 2:  # no letter takes more than two columns
        return text[:width]
    from rich.cells import set_cell_size

    return set_cell_size(text, width).rstrip()
