"""Goodput: of each step the completed requests that kept all of its limits, as the records have them one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from servemark import _loadgen
from servemark.assessment.objectives import goodput, limits_of, limits_together
from servemark.condensed_files import Condensing
from servemark.options.objectives import parse_objective
from servemark.record_header import packed, with_size
from servemark.records import RecordFile, open_records, time_per_token_ns, until_ns
from servemark.stats.condensed import condense
from servemark.stats.evidence import Question, Window
from servemark.stats.gather import gather
from servemark.stats.summary import rate

from ..conftest import write_record_file

MS = 1_000_000
ROWS = 6_000
#: Three steps of two names, some of whose requests end after the window; there are three blocks of a second file.
STEPS = ("a", "b", "a")
WINDOW = Window(2_000 * MS, 7_000 * MS)
#: Answers of a stream that were read.
_READ = 1

OBJECTIVES = [
    "p99<30ms",
    "service.p99<12ms,a.p50<25ms",
    "a.p99<40ms,a.service.p50<20ms,b.first_event.p90<9ms",
    "b.p50<1us,a.first_event.p50<15ms",
    "p50<10ms,p90<40ms,errors<1%",
    "b.errors<1%,rate>1/s",
]
OF_TOKENS = ["first_token.p90<8ms", "time_per_output_token.p50<2ms,b.p99<30ms", "a.first_token.p50<7ms,p99<30ms"]


def _columns(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Requests of open and closed loops over 9 s, with failures, of which some stream, and some of these an event."""
    scheduled = np.sort(rng.integers(0, 9_000 * MS, rows))
    ready = scheduled + rng.integers(0, 3 * MS, rows)
    sent = ready + rng.integers(0, 3 * MS, rows)
    end = sent + rng.exponential(20 * MS, rows).astype(np.int64)
    end[:2], scheduled[:2] = (WINDOW.start_ns, WINDOW.end_ns), 0  # both still are in the window
    flags = np.where(rng.random(rows) < 0.5, _loadgen.RECORD_FLAGS["closed_loop"], 0)
    flags |= np.where(rng.random(rows) < 0.7, _loadgen.RECORD_FLAGS["streamed"], 0)
    events = np.where(flags & _loadgen.RECORD_FLAGS["streamed"], rng.integers(0, 4, rows), 0)
    return {
        "scheduled": scheduled,
        "ready": ready,
        "sent": sent,
        "end": end,
        "kind": np.where(rng.random(rows) < 0.05, 3, 0),
        "step": rng.integers(0, len(STEPS), rows),
        "flags": flags,
        "events": events,
        "first_event": np.where(events > 0, sent + (end - sent) // 2, -1),
    }


@pytest.fixture
def files(tmp_path: Path) -> list[RecordFile]:
    """The records of two generators."""
    rng, found = np.random.default_rng(3), []
    for number, rows in enumerate((ROWS, 3 * 8192)):
        path = tmp_path / f"{number}.bin"
        write_record_file(path, rows, _columns(rng, rows), steps=STEPS, warmup_ns=WINDOW.start_ns)
        found.append(open_records(path))
    return found


@pytest.fixture
def answered(files: list[RecordFile], tmp_path: Path) -> list[RecordFile]:
    """The first of them with the columns of answers, of which not all were read; the others have none."""
    first, second = files
    width = first.row_bytes
    columns = [*_loadgen.RECORD_COLUMNS, *((name, of, width + at) for name, of, at in _loadgen.ANSWER_COLUMNS)]
    names, formats, offsets = zip(*columns, strict=True)
    row_bytes = width + _loadgen.ANSWER_ROW_BYTES
    rows = np.zeros(ROWS, np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": row_bytes}))
    for name in first.columns:
        rows[name] = first[name]
    rng = np.random.default_rng(4)
    took = rows["end"] - rows["sent"]
    is_read = rng.random(ROWS) < 0.9
    rows["answer_flags"] = np.where(is_read, _READ, 0)
    rows["first_content"] = np.where(is_read & (rng.random(ROWS) < 0.9), rows["sent"] + took // 3, -1)
    rows["last_content"] = np.where(rows["first_content"] >= 0, rows["end"], -1)
    rows["longest_gap"] = rows["first_said"] = -1
    rows["contents"] = np.where(is_read, rng.integers(0, 9, ROWS), 0)
    for name in ("usage_tokens", "counted_tokens", "first_tokens"):
        rows[name] = np.where(is_read, rng.integers(-1, 12, ROWS), -1)
    header = {
        "version": 3,
        "row_bytes": row_bytes,
        "columns": [{"name": name, "dtype": of, "offset": at} for name, of, at in columns],
        "finish_names": list(_loadgen.FINISH_NAMES),
        "error_kinds": list(_loadgen.ERROR_KINDS),
        "flags": _loadgen.RECORD_FLAGS,
        "steps": list(STEPS),
        "started_unix_ns": 0,
        "warmup_ns": WINDOW.start_ns,
    }
    path = tmp_path / "answered.bin"
    path.write_bytes(packed(with_size(header)) + rows.tobytes())
    return [open_records(path), second]


def _took_ns(figure: str, rows: np.ndarray, flags: dict[str, int]) -> np.ndarray:
    """The time of that name of each of `rows`; of one that had none, longer than any limit."""
    if figure in ("response", "service"):
        return rows["end"] - rows["scheduled" if figure == "response" else "sent"]
    if figure != "first_event" and "first_content" not in rows.dtype.names:
        return np.full(len(rows), np.iinfo(np.int64).max)
    if figure == "time_per_output_token":
        found = time_per_token_ns(rows)
    else:
        found = until_ns(rows, {"first_event": "first_event", "first_token": "first_content"}[figure], flags)
    return np.where(found >= 0, found, np.iinfo(np.int64).max)


def _kept(files: list[RecordFile], step: str, limits: dict[str, int], window: Window, parts: int) -> list[float]:
    """The completed requests of a step that took less than each of `limits`, by part, each looked at by itself."""
    found = np.zeros(parts)
    for file in files:
        rows = np.array(file.memmap())
        is_kept = np.isin(rows["step"], [number for number, name in enumerate(STEPS) if name == step])
        is_kept &= (rows["kind"] == 0) & (rows["end"] >= window.start_ns) & (rows["end"] <= window.end_ns)
        for figure, limit_ns in limits.items():
            is_kept &= _took_ns(figure, rows, file.flags) < limit_ns
        share = (rows["end"][is_kept] - window.start_ns) / (window.end_ns - window.start_ns)
        found += np.bincount(np.clip((share * parts).astype(np.intp), 0, parts - 1), minlength=parts)
    return found.tolist()


def _checked(files: list[RecordFile], objective: str) -> int:
    """Hold the goodput of each step against its records; how many steps have any."""
    asked, told = parse_objective(objective), 0
    together = limits_together(asked, STEPS)
    evidence = gather(files, Question(window=WINDOW, limits=limits_of(asked), together=together))
    for step in evidence.steps:
        found = goodput(step, WINDOW)
        if step.name not in together:
            assert (step.within, found) == (None, None)
            continue
        kept = _kept(files, step.name, together[step.name], WINDOW, len(step.completed))
        assert step.within.tolist() == kept
        assert found == rate(np.array(kept), WINDOW.seconds), "its interval too"
        told += bool(sum(kept))
    return told


@pytest.mark.parametrize(("objective", "told"), list(zip(OBJECTIVES, [1, 1, 2, 1, 1, 0], strict=True)))
def test_goodput_is_of_the_completed_requests_that_kept_all_limits_by_part_of_time(files, objective, told):
    assert _checked(files, objective) == told


@pytest.mark.parametrize(("objective", "told"), list(zip(OF_TOKENS, [1, 2, 1], strict=True)))
def test_goodput_of_answers_is_of_those_that_were_read(answered, objective, told):
    assert _checked(answered, objective) == told


def test_no_answer_keeps_a_limit_where_none_was_read(files):
    assert _checked(files, "first_token.p90<1m") == 0


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_is_condensed_has_kept_the_same_limits_by_slot(files, objective):
    together = limits_together(parse_objective(objective), STEPS)
    how = Condensing(
        start_ns=WINDOW.start_ns,
        slot_ns=100 * MS,
        places=(0, 1, 0),
        begins=(False,) * 3,
        ends=(False,) * 3,
        limits=tuple(tuple(together.get(name, {}).items()) for name in "ab"),
    )
    found = condense(files[0], how)
    slots = -(-(found.last_ns + 1 - how.start_ns) // how.slot_ns)
    window = Window(how.start_ns, how.start_ns + slots * how.slot_ns)
    expected = {name: _kept(files[:1], name, limits, window, slots) for name, limits in together.items()}
    assert {name: of.get("batch_within") for name, of in zip("ab", found.steps, strict=True)} == {
        name: expected.get(name) for name in "ab"
    }


def test_a_limit_on_what_no_record_tells_is_refused(files):
    with pytest.raises(ValueError, match=r"^no record has a time called between_events$"):
        gather(files, Question(window=WINDOW, together={"a": {"between_events": MS}}))
