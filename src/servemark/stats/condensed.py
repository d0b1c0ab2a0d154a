"""Evidence of condensed records: they answer what is asked of records, each value as exact as its bin is narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from servemark import _loadgen
from servemark.condensed_files import Condensed, Condensing, merged, read_condensed
from servemark.errors import RecordingError
from servemark.records import RecordFile, reading
from servemark.stats.counting import SAMPLES
from servemark.stats.tally_question import NO_TIME, TallyQuestion, Window

#: The sums and counts of a step that add up; those by slot begin with ``batch_``.
_SUMS = (
    *("requests", "closed", "succeeded", "bytes_sent", "bytes_received", "errors", "bytes_of_completed"),
    *("clock_read", "unsure_sent", "paused", "receive_lag_ns", "streamed", "events", "completed_streams"),
    *("batch_measured", "batch_sums_ns", "batch_completed", "batch_events", "batch_first", "batch_first_sums_ns"),
    *("batch_tokens", "batch_first_token", "batch_first_token_sums_ns"),
)
#: One that only steps with limits have.
_WITHIN = "batch_within"
#: Those by slot that go by when a request ended; the others by when it was scheduled.
_BY_END = {"batch_completed", _WITHIN, "batch_events", "batch_tokens"}
#: The samples of a step that are counted by slot: an objective, or an answer with an interval, may be of them.
_BY_SLOT = [
    list(SAMPLES).index(name)
    for name in ("response", "service", "punctual", "failed", "first_event", "punctual_first_event")
]
_SLOT, _SAMPLE, _VALUE, _COUNT = range(4)


def condense(file: RecordFile, how: Condensing, first: int = 0) -> Condensed:
    """What the records of `file` add up to, from the one of that number on.

    Raises:
        RecordingError: they cannot be read.
    """
    part = replace(file, header_bytes=file.header_bytes + first * file.row_bytes, rows=file.rows - first)
    if part.rows <= 0:
        return Condensed(how=how)
    with reading([file]):
        first_ns, last_ns = _loadgen.span([part])
        slots = max(1, -(-(last_ns + 1 - how.start_ns) // how.slot_ns))
        window = Window(how.start_ns, how.start_ns + slots * how.slot_ns)
        stages = tuple(Window(*stage) for stage in how.stages)
        question = TallyQuestion(
            how.places, window, slots, NO_TIME, NO_TIME, stages, how.begins, how.ends, users=False, limits=how.limits
        )
        tally = _loadgen.Tally([part], question)
        bins = np.array(tally.binned(), dtype=np.int64).reshape(-1, 3)
        wanted = [step * len(SAMPLES) + of for step in range(len(tally.steps)) for of in _BY_SLOT]
        of_slots = np.array(tally.binned_by_batch(wanted), dtype=np.int64).reshape(-1, 4)[:, [1, 0, 2, 3]]
    return Condensed(
        how=how,
        records=part.rows,
        first_ns=first_ns,
        last_ns=last_ns,
        steps=tuple(
            {name: _plain(getattr(step, name)) for name in _sums_of(how, place)}
            for place, step in enumerate(tally.steps)
        ),
        moments=tuple((one.count, one.sum, one.squares, one.min, one.max) for one in tally.samples),
        stages=tuple((one.requests, one.failed, one.begun, one.ended) for one in tally.stages),
        begun=tally.begun,
        sent=tally.under_way[0],
        bins=bins,
        slots=of_slots,
    )


def _sums_of(how: Condensing, place: int) -> tuple[str, ...]:
    """What adds up of the step name at that place."""
    return (*_SUMS, _WITHIN) if how.limits and how.limits[place] else _SUMS


def _plain(value: Any) -> Any:
    """Without tuples, which a file would give back as lists."""
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def condensed_of(files: Sequence[RecordFile]) -> Condensed | None:
    """What the records of all `files` add up to, where any of them were condensed; None where all were kept.

    Raises:
        RecordingError: they cannot be read, or are not of one run.
    """
    parts = [read_condensed(file.path) for file in files]
    how = next((part.how for part in parts if part is not None), None)
    if how is None:
        return None
    whole = Condensed(how=how)
    for file, part in zip(files, parts, strict=True):
        if part is not None and part.records and not _is_ours(part):
            raise RecordingError(f"the records in {file.path} were condensed by another version of servemark")
        if part is not None and part.how != how:
            raise RecordingError(f"the records in {file.path} were condensed otherwise than those of the others")
        whole = merged(whole, part or Condensed(how=how))
        # What was recorded since: of a generator that was killed, or that had not too many.
        whole = merged(whole, condense(file, how, part.records if part else 0))
    return whole


def _is_ours(part: Condensed) -> bool:
    """Whether records were condensed to what this version condenses them to."""
    sums = [set(_sums_of(part.how, place)) for place in range(max(part.how.places, default=-1) + 1)]
    samples = len(sums) * len(SAMPLES) + 2 * len(part.how.stages)
    return [set(step) for step in part.steps] == sums and len(part.moments) == samples


class CondensedTally:
    """Answers as ``_loadgen.Tally`` does, of condensed records, over the slots of the measured time.

    What ended after its last slot counts in no rate.

    Args:
        condensed: that it is of.
        slots: of the measured time.
        most_batches: slots are joined, so that there are no more batches.
    """

    def __init__(self, condensed: Condensed, slots: int, most_batches: int) -> None:
        self._slots = max(1, slots)
        self._fold = -(-self._slots // most_batches)
        self.batches = -(-self._slots // self._fold)
        numbers = np.arange(len(condensed.moments) + 1)
        self._bins = condensed.bins
        self._bounds = np.searchsorted(self._bins[:, 0], numbers)
        self._in_slots = condensed.slots[np.argsort(condensed.slots[:, _SAMPLE], kind="stable")]
        self._bounds_in_slots = np.searchsorted(self._in_slots[:, _SAMPLE], numbers)
        self._moments = condensed.moments
        self.steps: list[Any] = [self._step(step) for step in condensed.steps]
        self.samples: list[Any] = [
            SimpleNamespace(count=count, sum=total, squares=squares, min=least, max=most)
            for count, total, squares, least, most in condensed.moments
        ]
        self.stages: list[Any] = [
            SimpleNamespace(requests=requests, failed=failed, begun=begun, ended=ended)
            for requests, failed, begun, ended in condensed.stages
        ]
        self.begun = condensed.begun
        self.under_way = (condensed.sent, 0, 0)

    def _step(self, sums: Any) -> Any:
        by_slot = {name: value for name, value in sums.items() if name.startswith("batch_")}
        told: dict[str, Any] = {name: value for name, value in sums.items() if name not in by_slot}
        for name, value in by_slot.items():
            is_nested = bool(value) and isinstance(value[0], list)
            told[name] = [self._batches(one, name) for one in value] if is_nested else self._batches(value, name)
        completed = sum(by_slot["batch_completed"])
        if completed:  # what ended after the last slot is left out, as its number is
            told["bytes_of_completed"] = round(told["bytes_of_completed"] * sum(told["batch_completed"]) / completed)
        return SimpleNamespace(**{_WITHIN: None} | told, answers=SimpleNamespace(count=0))

    def _batches(self, values: list[Any], name: str) -> list[float]:
        slots = np.zeros(self._fold * self.batches)
        kept = values[: self._slots]
        slots[: len(kept)] = kept
        if name not in _BY_END:  # scheduled in a last slot that is not whole
            slots[min(self._slots, len(slots)) - 1] += sum(values[self._slots :])
        batches: list[float] = slots.reshape(self.batches, self._fold).sum(axis=1).tolist()
        return batches

    def order_statistics(self, wanted: list[tuple[int, list[int]]]) -> list[list[int | None]]:
        """See ``_loadgen.Tally``: the middle of the bin that holds it, or the least or greatest value beside it."""
        found: list[list[int | None]] = []
        for sample, ranks in wanted:
            rows = self._bins[self._bounds[sample] : self._bounds[sample + 1]]
            count, _, _, least, most = self._moments[sample]
            upto, values = np.cumsum(rows[:, 2]), rows[:, 1]
            found.append(
                [
                    min(max(int(values[np.searchsorted(upto, rank, side="right")]), least), most)
                    if rank < count
                    else None
                    for rank in ranks
                ]
            )
        return found

    def above(self, wanted: list[tuple[int, list[int]]]) -> list[list[list[float]]]:
        """See ``_loadgen.Tally``: a value counts as what its bin has in the middle.

        Of samples that were not counted by slot no batch has any.
        """
        found = []
        for sample, thresholds in wanted:
            rows = self._in_slots[self._bounds_in_slots[sample] : self._bounds_in_slots[sample + 1]]
            least, most = self._moments[sample][3:] if len(rows) else (0, 0)
            values = np.clip(rows[:, _VALUE], least, most)
            batch = np.minimum(rows[:, _SLOT], self._slots - 1) // self._fold
            counts = [rows[:, _COUNT], *(np.where(values > one, rows[:, _COUNT], 0) for one in thresholds)]
            found.append([np.bincount(batch, of, minlength=self.batches).tolist() for of in counts])
        return found
