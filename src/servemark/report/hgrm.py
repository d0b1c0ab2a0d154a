"""Percentiles as HdrHistogram's own programs write them (``.hgrm``), for its plotter: a file a run, step and latency.

Where answers were read for their tokens, also one of each of their times: first token, time per output token, longest
gap and tail. Of the measured successes, in bins of three digits, as HdrHistogram has them: nanoseconds from 1 on, 2048
bins to the first power of two and 1024 to each further one. What is written of a bin is its highest value, in
milliseconds with all digits. The steps between the percentiles are those of HdrHistogram's PercentileIterator, five to
each halving of what is left.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from servemark.records import RecordFile, Rows
from servemark.report.recorded import RecordedResult, RunRecords
from servemark.stats.token_timeline import has_answers, token_times_ns
from servemark.units import NS_PER_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SUB_BUCKETS = 2048
_HALF = _SUB_BUCKETS // 2
#: So many bits of a value are kept, from the highest on.
_BITS = _SUB_BUCKETS.bit_length() - 1
#: Of 63-bit values.
_BINS = (64 - _BITS + 1) * _HALF
_TICKS_PER_HALF = 5
#: The latencies, by the column from which each counts.
_LATENCIES = {"response": "scheduled", "service": "sent"}
_LONGEST_NAME = 80


@dataclass(frozen=True)
class _Bins:
    """How many values there were in each bin, and the largest value, in nanoseconds."""

    counts: NDArray[np.int64]
    total: int


def report(folder: Path, recorded: RecordedResult) -> None:
    """Write the files of the result into `folder`; a step without a measured success has none.

    Raises:
        RecordingError: its records cannot be read.
    """
    for run in recorded.runs:
        names = dict.fromkeys(name for file in run.files for name in file.step_names)
        for number, step in enumerate(names, 1):
            for latency, bins in _bins_of(run, step).items():
                if bins.total:
                    path = folder / f"{_file_name(run, step, number, several=len(names) > 1)}-{latency}.hgrm"
                    path.write_text("".join(_lines(bins)), encoding="ascii")


def _file_name(run: RunRecords, step: str, number: int, *, several: bool) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", step)[:_LONGEST_NAME]
    return f"{run.run.name}-{number}-{plain}" if several else f"{run.run.name}-{plain}"


def _bins_of(run: RunRecords, step: str) -> dict[str, _Bins]:
    """The bins of each latency of the step of that name."""
    counts: dict[str, NDArray[np.int64]] = {}
    for file in run.files:
        numbers = [number for number, name in enumerate(file.step_names) if name == step]
        for chunk in file.chunks():
            rows = chunk[file.is_measured(chunk) & np.isin(chunk["step"], numbers)]
            for latency, times_ns in _times_of(file, rows).items():
                found = np.bincount(_bin_of(times_ns), minlength=_BINS)
                counts[latency] = counts.get(latency, 0) + found
    return {latency: _Bins(found, int(found.sum())) for latency, found in counts.items()}


def _times_of(file: RecordFile, rows: Rows) -> dict[str, NDArray[np.int64]]:
    """The latencies of some rows, and the times of tokens, of those that have them."""
    found = {latency: rows["end"] - rows[begun] for latency, begun in _LATENCIES.items()}
    if has_answers(file):
        found |= {name: times_ns[times_ns >= 0] for name, times_ns in token_times_ns(file, rows).items()}
    return found


def _bin_of(values_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of the bin of each value, which is of less than 2**53 ns."""
    values_ns = np.maximum(values_ns, 0)
    _, bits = np.frexp((values_ns | (_SUB_BUCKETS - 1)).astype(np.float64))
    shift = bits.astype(np.int64) - _BITS
    bins: NDArray[np.int64] = shift * _HALF + (values_ns >> shift)
    return bins


def _bounds(bins: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The lowest value of each bin, and how many values each has."""
    shift = np.maximum(bins // _HALF - 1, 0)
    return (bins - shift * _HALF) << shift, np.int64(1) << shift


def _lines(bins: _Bins) -> Iterator[str]:
    (filled,) = np.nonzero(bins.counts)
    counts = bins.counts[filled]
    lowest, width = _bounds(filled)
    highest, middle = lowest + width - 1, lowest + width // 2
    yield f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}\n\n"
    for place, share in _reported(np.cumsum(counts)):
        line = f"{highest[place] / NS_PER_MS:12.6f} {share:14.12f} {counts[: place + 1].sum():10d}"
        yield f"{line} {1 / (1 - share):14.2f}\n" if share < 1 else f"{line}\n"
    mean = float((middle * counts).sum()) / bins.total
    deviation = math.sqrt(float((((middle - mean) ** 2) * counts).sum()) / bins.total)
    buckets = max(int(highest[-1]).bit_length() - _BITS, 0) + 1
    yield f"#[Mean    = {mean / NS_PER_MS:12.6f}, StdDeviation   = {deviation / NS_PER_MS:12.6f}]\n"
    yield f"#[Max     = {highest[-1] / NS_PER_MS:12.6f}, Total count    = {bins.total:12d}]\n"
    yield f"#[Buckets = {buckets:12d}, SubBuckets     = {_SUB_BUCKETS:12d}]\n"


def _reported(cumulated: NDArray[np.int64]) -> Iterator[tuple[int, float]]:
    """The bins that have a line, by their place among those that are filled, with the share that it is for."""
    total, percent, place = int(cumulated[-1]), 0.0, 0
    while True:
        while 100.0 * int(cumulated[place]) / total < percent:
            place += 1
        yield place, percent / 100
        if cumulated[place] == total:
            break
        halvings = int(math.log2(100.0 / (100.0 - percent))) + 1
        percent += 100.0 / (_TICKS_PER_HALF * 2**halvings)
    if percent < 100:
        yield place, 1.0
