"""What of the answers that were read came when: times of tokens and tokens a second, for what is drawn of them.

One pass over the records, some 100,000 at a time. Times are counted in parts of a decade, as those of
``servemark.stats.timeline``; reported figures are exact ones, of ``servemark.stats.tokens``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from servemark.records import RecordFile, Rows, reading, time_per_token_ns, tokens_of, until_ns
from servemark.stats.evidence import Window
from servemark.stats.timeline import PARTS, PARTS_BY_TIME, Distribution, Timeline, middle_ms, percentiles_by_part_ms
from servemark.units import NS_PER_S

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: The times, by their names in the result.
TOKEN_TIMES = ("first_token", "time_per_output_token", "longest_gap", "tail")
#: More decades than 63-bit nanoseconds have.
_DECADES = 19
#: The column that only answers that were read have.
_OF_ANSWERS = "first_content"


@dataclass(frozen=True)
class TokenTimes:
    """Times of the measured streams.

    Attributes:
        distribution: all of them.
        cells: by when requests were due the part of the time, the bin, and how many; shape (cells, 3), in order.
        parts: of the time.
    """

    distribution: Distribution
    cells: IntArray
    parts: int

    def percentiles_ms(self, quantile: float, least: int) -> FloatArray:
        """The percentile of each part of the time; NaN where there are fewer than `least`."""
        return percentiles_by_part_ms(self.cells, self.parts, quantile, least)


@dataclass(frozen=True)
class TokenTimeline:
    """The answers of one step name: times by their names (TOKEN_TIMES), and tokens.

    `tokens` has an entry a part of the time: those of the successes that ended in it.
    """

    times: Mapping[str, TokenTimes]
    tokens: IntArray


def token_timelines(files: Sequence[RecordFile], window: Window, timeline: Timeline) -> dict[str, TokenTimeline]:
    """What the answers of a run were, by the name of their step, over the parts of `timeline`; `files` has its records.

    Steps whose answers were not read are not in it. `window` is the measured time.

    Raises:
        RecordingError: they cannot be read.
    """
    parts = len(timeline.under_way)
    counting: dict[str, _Counting] = {}
    with reading(files):
        for file in files:
            if not has_answers(file):
                continue
            for rows in file.chunks():
                for number, name in enumerate(file.step_names):
                    of_step = rows[rows["step"] == number]
                    if len(of_step):
                        counting.setdefault(name, _Counting(timeline, parts)).look(file, of_step, window)
    return {name: one.done() for name, one in counting.items() if one.answers}


class _Counting:
    """Counts the answers of one step, chunk by chunk."""

    def __init__(self, timeline: Timeline, parts: int) -> None:
        self._start_ns, self._width_ns = timeline.start_s * NS_PER_S, timeline.width_s * NS_PER_S
        self._parts = parts
        self._counts = {name: np.zeros(_DECADES * PARTS, dtype=np.int64) for name in TOKEN_TIMES}
        self._cells = {name: np.zeros(parts * _DECADES * PARTS_BY_TIME, dtype=np.int64) for name in TOKEN_TIMES}
        self._tokens = np.zeros(parts, dtype=np.int64)
        self.answers = 0

    def look(self, file: RecordFile, rows: Rows, window: Window) -> None:
        """Count the answers of some rows of the step."""
        rows = rows[rows["kind"] == 0]
        tokens = tokens_of(rows).clip(0)
        self._tokens += np.bincount(self._part(rows["end"]), weights=tokens, minlength=self._parts).astype(np.int64)
        due = rows["scheduled"]
        measured = rows[(due >= window.start_ns) & (due < window.end_ns)]
        self.answers += int((rows["answer_flags"] > 0).sum())
        part = self._part(measured["scheduled"])
        for name, times_ns in token_times_ns(file, measured).items():
            has_one = times_ns >= 0
            decades = np.log10(times_ns[has_one].clip(1))
            self._counts[name] += np.bincount((decades * PARTS).astype(np.int64), minlength=_DECADES * PARTS)
            width = _DECADES * PARTS_BY_TIME
            cells = part[has_one] * width + (decades * PARTS_BY_TIME).astype(np.int64)
            self._cells[name] += np.bincount(cells, minlength=self._parts * width)

    def _part(self, times_ns: IntArray) -> IntArray:
        parts: IntArray = ((times_ns - self._start_ns) / self._width_ns).astype(np.int64).clip(0, self._parts - 1)
        return parts

    def done(self) -> TokenTimeline:
        """What was counted."""
        return TokenTimeline({name: self._times(name) for name in TOKEN_TIMES}, self._tokens)

    def _times(self, name: str) -> TokenTimes:
        (bins,) = np.nonzero(self._counts[name])
        (places,) = np.nonzero(self._cells[name])
        width = _DECADES * PARTS_BY_TIME
        cells = np.stack([places // width, places % width, self._cells[name][places]], axis=1)
        return TokenTimes(Distribution(middle_ms(bins, PARTS), self._counts[name][bins]), cells, self._parts)


def token_times_ns(file: RecordFile, rows: Rows) -> dict[str, IntArray]:
    """The times (TOKEN_TIMES, by name) of some `rows` of `file`, which has the columns of answers; -1 of none."""
    has_content, per_token = rows[_OF_ANSWERS] >= 0, time_per_token_ns(rows)
    return {
        "first_token": until_ns(rows, "first_content", file.flags),
        "time_per_output_token": per_token,
        "longest_gap": rows["longest_gap"],
        "tail": np.where(has_content, rows["end"] - rows["last_content"], -1),
    }


def has_answers(file: RecordFile) -> bool:
    """Whether the answers of a run were read for their tokens."""
    return _OF_ANSWERS in file.columns
