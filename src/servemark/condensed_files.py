"""Condensed records: what a generator keeps instead of records, beyond as many as may be kept.

Beside ``NAME.bin`` is ``NAME.condensed.npz`` then: sums and counts of each step, how many values of each sample there
were in which bin, and of some samples also in which slot of time. Those of several generators, or of several parts of
one file, add up.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from servemark.errors import RecordingError
from servemark.event_files import condensed_path

#: No value is further from the one that is kept of it than this share of it: half of a bin of a 512th.
WITHIN_SHARE = 1 / 1024


@dataclass(frozen=True, kw_only=True)
class Condensing:
    """How records are condensed; a function of what was asked alone, so that all generators of a run do it alike.

    Attributes:
        start_ns: where the first slot begins: at the end of the warm-up.
        slot_ns: how long each is.
        places: of each step of the plan, the place of its name among the names.
        begins: of each step, whether an arrival of an open loop begins with it, and `ends` whether it ends with it.
        stages: of a profile of rates the first and the last nanosecond of each stage.
        limits: of each step name the limits, by latency in nanoseconds, that its requests are to keep at once.
    """

    start_ns: int
    slot_ns: int
    places: tuple[int, ...]
    begins: tuple[bool, ...]
    ends: tuple[bool, ...]
    stages: tuple[tuple[int, int], ...] = ()
    limits: tuple[tuple[tuple[str, int], ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Condensed:
    """What records add up to.

    Attributes:
        how: they were condensed.
        records: how many.
        first_ns: when the first was scheduled, and `last_ns` when the last ended.
        steps: of each step name its sums, by name, and its counts by slot, as lists.
        moments: of each sample count, sum, sum of squares, least and greatest.
        stages: of each stage its requests, failures, begun and ended.
        begun: arrivals, and when the first and the last was due.
        sent: requests that were sent.
        bins: a row each: number of the sample, middle of the bin, and how many values are in it; in this order.
        slots: of samples whose quantiles have intervals: slot, number of the sample, middle of the bin, and how many.
    """

    how: Condensing
    records: int = 0
    first_ns: int = 0
    last_ns: int = 0
    steps: tuple[Mapping[str, Any], ...] = ()
    moments: tuple[tuple[int, int, int, int, int], ...] = ()
    stages: tuple[tuple[int, int, int, int], ...] = ()
    begun: tuple[int, int, int] = (0, 0, 0)
    sent: int = 0
    bins: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 3), dtype=np.int64))
    slots: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 4), dtype=np.int64))


def merged(one: Condensed, other: Condensed) -> Condensed:
    """What the records of both add up to, which were condensed alike."""
    if not one.records or not other.records:
        return other if other.records else one
    return Condensed(
        how=one.how,
        records=one.records + other.records,
        first_ns=min(one.first_ns, other.first_ns),
        last_ns=max(one.last_ns, other.last_ns),
        steps=tuple(_added_steps(a, b) for a, b in zip(one.steps, other.steps, strict=True)),
        moments=tuple(_added_moments(a, b) for a, b in zip(one.moments, other.moments, strict=True)),
        stages=tuple(_added_stages(a, b) for a, b in zip(one.stages, other.stages, strict=True)),
        begun=_added_begun(one.begun, other.begun),
        sent=one.sent + other.sent,
        bins=_added_bins(one.bins, other.bins),
        slots=_added_slots(one.slots, other.slots),
    )


def _added_steps(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _added(name, value, other[name]) for name, value in one.items()}


def _added(name: str, one: Any, other: Any) -> Any:
    if name == "errors":  # kind, status and how many
        counts: dict[tuple[int, int], int] = {}
        for kind, status, count in [*one, *other]:
            counts[kind, status] = counts.get((kind, status), 0) + count
        return [[kind, status, count] for (kind, status), count in sorted(counts.items())]
    if not isinstance(one, list):
        return one + other
    if one and isinstance(one[0], list):
        return [_added(name, a, b) for a, b in zip(one, other, strict=True)]
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    return [a + b for a, b in zip(longer, shorter, strict=False)] + longer[len(shorter) :]


def _added_moments(
    one: tuple[int, int, int, int, int], other: tuple[int, int, int, int, int]
) -> tuple[int, int, int, int, int]:
    (count, total, squares, least, most), others = one, other
    return count + others[0], total + others[1], squares + others[2], min(least, others[3]), max(most, others[4])


def _added_stages(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


def _added_begun(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    if not one[0] or not other[0]:
        return one if one[0] else other
    return one[0] + other[0], min(one[1], other[1]), max(one[2], other[2])


def _added_slots(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Both together; slots before the first of `other` stay as they are: parts of a file follow each other."""
    if not len(other):
        return one
    before = np.searchsorted(one[:, 0], other[0, 0])
    return np.concatenate([one[:before], _added_bins(one[before:], other)])


def _added_bins(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Both together, in the order of all columns but the last, whose counts add up."""
    rows = np.concatenate([one, other])
    rows = rows[np.lexsort(rows[:, -2::-1].T)]
    is_first = np.ones(len(rows), dtype=bool)
    is_first[1:] = (rows[1:, :-1] != rows[:-1, :-1]).any(axis=1)
    places = np.flatnonzero(is_first)
    found = rows[places]
    found[:, -1] = np.add.reduceat(rows[:, -1], places) if len(places) else 0
    return found


def write_condensed(record_path: Path, condensed: Condensed, *, is_whole: bool = True) -> None:
    """Write what there is beside the records at `record_path`, in one step; small where it `is_whole`, else quickly.

    Raises:
        RecordingError: it cannot be written.
    """
    path = condensed_path(record_path)
    text = json.dumps({name: getattr(condensed, name) for name in _TOLD} | {"how": vars(condensed.how)})
    unfinished = path.with_suffix(".new")
    try:
        with unfinished.open("wb") as file:
            told = np.frombuffer(text.encode(), dtype=np.uint8)
            write = np.savez_compressed if is_whole else np.savez
            write(file, told=told, bins=condensed.bins, slots=condensed.slots)
        unfinished.replace(path)
    except OSError as error:
        raise RecordingError.unwritable(path, error.strerror or str(error)) from error


_TOLD = ("records", "first_ns", "last_ns", "steps", "moments", "stages", "begun", "sent")


def read_condensed(record_path: Path) -> Condensed | None:
    """What of the records at `record_path` was condensed; None where none was.

    Raises:
        RecordingError: it cannot be read.
    """
    path = condensed_path(record_path)
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            told, bins, slots = json.loads(file["told"].tobytes()), file["bins"], file["slots"]
        how = told.pop("how")
        of_steps = {name: tuple(how[name]) for name in ("places", "begins", "ends")}
        stages = tuple((first, last) for first, last in how["stages"])
        limits = tuple(tuple((name, limit_ns) for name, limit_ns in of_step) for of_step in how.get("limits", ()))
        return Condensed(
            how=Condensing(start_ns=how["start_ns"], slot_ns=how["slot_ns"], stages=stages, limits=limits, **of_steps),
            bins=bins,
            slots=slots,
            steps=tuple(told.pop("steps")),
            begun=_whole(told.pop("begun")),
            moments=tuple(_whole(one) for one in told.pop("moments")),
            stages=tuple(_whole(one) for one in told.pop("stages")),
            **told,
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise RecordingError(f"cannot read the condensed records in {path}", cause=str(error)) from error


def _whole(numbers: Sequence[int]) -> Any:
    return tuple(map(int, numbers))
