"""Records that are too many to be kept: what is counted instead says what they would have, as exactly as it tells."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from servemark import _loadgen
from servemark.assessment.condensing import condensing_of
from servemark.assessment.gathering import evidence_of
from servemark.assessment.rebuilt import rebuilt_run
from servemark.condensed_files import WITHIN_SHARE, Condensed, merged, read_condensed, write_condensed
from servemark.engines.native.spread.condensing import Condenser
from servemark.errors import RecordingError
from servemark.event_files import condensed_path
from servemark.options.objectives import parse_objective
from servemark.records import open_records, write_records
from servemark.result import from_json, to_json
from servemark.stats import condensed as condensed_stats
from servemark.stats.condensed import condense
from servemark.units import NS_PER_MS

from .test_open_loop import _assessed, _measured, _times, _valid

ROWS, LIMIT_NS = 12_000, 40 * NS_PER_MS


@pytest.fixture
def measured(make_records):
    """An open loop of 20 s after a warm-up of 2 s, with failures, and answers that come when it is over."""
    random = np.random.default_rng(5)
    scheduled_s, took_ms = np.sort(random.random(ROWS) * 22), random.exponential(20.0, ROWS)
    times = _times(scheduled_s)
    times["end"] = [at_ns + round(ms * 1e6) for at_ns, ms in zip(times["sent"], took_ms, strict=True)]
    times["kind"] = (random.random(ROWS) < 0.01).astype(int)
    return _measured(make_records, "latency", 22.0, times, rate="600", duration_s=20.0)


def _how(measured):
    return condensing_of(measured.point.load, measured.compiled, measured.objective)


def _condensed(measured):
    """The same run, whose records are condensed."""
    (file,) = measured.records
    write_condensed(file.path, condense(file, _how(measured)))
    os.truncate(file.path, file.header_bytes)
    return replace(measured, records=(open_records(file.path),))


def test_figures_of_condensed_records_are_those_of_all_as_far_as_they_tell(measured):
    of_all = evidence_of(measured)
    found = evidence_of(_condensed(measured))
    assert (of_all.is_condensed, found.is_condensed) == (False, True)
    assert found.recorded == of_all.recorded == ROWS
    (one,), (other,) = of_all.steps, found.steps
    for name in ("requests", "succeeded", "measured", "errors", "bytes_sent", "clock_read", "headline"):
        assert getattr(other, name) == getattr(one, name)
    assert (other.completed.sum(), len(other.completed)) == (one.completed.sum(), 250)
    for name, sample in one.latencies_ns.items():
        counted = other.latencies_ns[name]
        for what in ("count", "total", "squares", "min", "max"):
            assert getattr(counted, what) == getattr(sample, what)
        for rank in sample.ordered.keys() & counted.ordered.keys():
            assert counted.ordered[rank] == pytest.approx(sample.ordered[rank], rel=WITHIN_SHARE, abs=1)
    assert found.begun == of_all.begun


def test_a_run_of_condensed_records_says_what_it_lacks_and_has_intervals(measured):
    whole = _assessed(measured)[0].run
    assessed, benchmark = _assessed(_condensed(measured))
    run = assessed.run
    assert run.condensed.records == ROWS
    assert run.condensed.within_share < 0.001
    assert run.condensed.slot_s == 0.08
    checks = {check.name: check for check in run.certificate.checks}
    for name in ("schedule", "in flight"):
        assert checks[name].passed is None
    assert checks["schedule"].reason == "records were condensed (--max-records), and are not there one by one"
    assert checks["accounted"].passed
    (one,), (other,) = whole.steps, run.steps
    assert other.response_ms.mean.value == pytest.approx(one.response_ms.mean.value)
    assert other.throughput_per_s.value == pytest.approx(one.throughput_per_s.value)
    assert other.response_ms.p99.value == pytest.approx(one.response_ms.p99.value, rel=WITHIN_SHARE)
    for figure in ("mean", "p50"):
        low, high = getattr(one.response_ms, figure).ci95
        assert getattr(other.response_ms, figure).ci95 == pytest.approx((low, high), rel=0.02)
    result = _valid(benchmark)
    assert from_json(to_json(result)) == result


def test_an_objective_is_judged_by_condensed_records(measured):
    asked = replace(measured, objective=parse_objective("p90<40ms"))
    (step,) = evidence_of(asked).steps
    missed = step.missed["response", LIMIT_NS].meant.sum()
    (counted,) = evidence_of(_condensed(asked)).steps
    assert counted.missed["response", LIMIT_NS].meant.sum() == pytest.approx(missed, rel=0.05)
    assert counted.missed["response", LIMIT_NS].counts.sum() == step.missed["response", LIMIT_NS].counts.sum()


@pytest.mark.parametrize(("objective", "of"), [("p90<40ms", "response"), ("first_event.p90<40ms", "first_event")])
def test_what_was_missed_by_the_generators_lag_alone_is_counted_of_condensed_records_too(make_records, objective, of):
    times = _times([number / 200 for number in range(1000)], took_ms=30.0)
    for name in ("sent", "first_byte", "end"):  # every tenth leaves 20 ms late
        times[name] = [at_ns + 20 * NS_PER_MS * (place % 10 == 0) for place, at_ns in enumerate(times[name])]
    columns = {
        **times,
        "first_event": times["end"],
        "events": [1] * 1000,
        "flags": [_loadgen.RECORD_FLAGS["streamed"]] * 1000,
    }
    asked = _measured(make_records, "latency", 5.0, columns, duration_s=5.0, warmup_s=0.0)
    asked = replace(asked, objective=parse_objective(objective))
    found = [evidence_of(one).steps[0].late for one in (asked, _condensed(asked))]
    assert found == [{(of, LIMIT_NS): 100}] * 2


@pytest.mark.parametrize(
    "objective",
    [
        "p99<40ms,service.p50<10ms",
        "response.p50<1us,service.p90<30ms",
        "p50<10ms,p90<40ms,errors<1%",
        "service.p90<30ms",
    ],
)
def test_goodput_of_condensed_records_is_what_the_records_say(measured, objective):
    """Exactly: a request that missed two limits counts once, which counts of each by itself do not tell."""
    asked = replace(measured, objective=parse_objective(objective))
    (kept,), (condensed,) = (_assessed(one)[0].run.steps for one in (asked, _condensed(asked)))
    assert condensed.goodput_per_s.value == pytest.approx(kept.goodput_per_s.value, abs=1e-9)
    assert 0 <= condensed.goodput_per_s.value < condensed.throughput_per_s.value


def test_goodput_of_condensed_records_is_of_several_parts_and_generators(measured):
    asked = replace(measured, objective=parse_objective("p99<40ms,service.p50<10ms"))
    (file,), how = asked.records, _how(asked)
    whole = condense(file, how)
    parts = [condense(replace(file, rows=rows), how, first) for first, rows in ((0, 5_000), (5_000, ROWS))]
    found = merged(*parts).steps[0]["batch_within"]
    assert found == whole.steps[0]["batch_within"]
    write_condensed(file.path, whole)
    assert read_condensed(file.path).how == how
    assert read_condensed(file.path).steps[0]["batch_within"] == found
    assert "batch_within" not in condense(file, _how(measured)).steps[0], "nobody asked"


@pytest.mark.parametrize("exact", [False, True], ids=["of a time", "of a number of requests"])
def test_what_was_condensed_is_read_once_for_all_that_is_asked_of_a_run(measured, make_records, monkeypatch, exact):
    if exact:
        measured = _measured(make_records, "latency", 22.0, _times(np.arange(100) / 10), rate="10", loops=100)
    condensed, read = _condensed(measured), []
    monkeypatch.setattr(condensed_stats, "read_condensed", lambda path: (read.append(path), read_condensed(path))[1])
    assert evidence_of(condensed).is_condensed
    assert read == [condensed.records[0].path]


def test_parts_add_up_to_what_all_are_however_they_are_cut(measured):
    (file,), how = measured.records, _how(measured)
    whole = condense(file, how)
    cuts = [0, 1, 5_000, 5_001, ROWS]
    parts = [condense(replace(file, rows=end), how, begin) for begin, end in pairwise(cuts)]
    found = reduce(merged, parts, Condensed(how=how))
    assert (found.bins == whole.bins).all()
    assert (found.slots == whole.slots).all()
    for name in ("records", "first_ns", "last_ns", "moments", "begun", "sent", "stages"):
        assert getattr(found, name) == getattr(whole, name)
    for one, other in zip(found.steps, whole.steps, strict=True):
        assert {name: np.array(one[name]).tolist() for name in one if name != "batch_sums_ns"} == {
            name: np.array(other[name]).tolist() for name in other if name != "batch_sums_ns"
        }
        for sums, others in zip(one["batch_sums_ns"], other["batch_sums_ns"], strict=True):
            assert sums == pytest.approx(others)


def test_what_was_written_is_read_again_and_what_is_damaged_is_said(measured):
    (file,) = measured.records
    whole = condense(file, _how(measured))
    assert read_condensed(file.path) is None
    write_condensed(file.path, whole)
    found = read_condensed(file.path)
    assert (found.how, found.moments, found.begun, found.steps) == (whole.how, whole.moments, whole.begun, whole.steps)
    assert (found.bins == whole.bins).all()
    assert (found.slots == whole.slots).all()
    condensed_path(file.path).write_bytes(b"PK\3\4 not all of it")
    with pytest.raises(RecordingError, match=r"^cannot read the condensed records in \S+\.condensed\.npz"):
        read_condensed(file.path)


def _without(step, *names):
    return {name: value for name, value in step.items() if name not in names}


@pytest.mark.parametrize(
    "of_old",
    [
        lambda step: _without(step, "batch_within"),
        lambda step: _without(step, "batch_within") | {"batch_beyond": step["batch_within"]},
        lambda step: step | {"batch_beyond": step["batch_within"]},
        lambda step: _without(step, "batch_tokens"),
    ],
    ids=["lacks one", "has another", "has one more", "lacks one of all"],
)
@pytest.mark.parametrize("rows", [7_000, ROWS], ids=["killed", "whole"])
def test_what_another_version_condensed_is_named_as_that_whatever_was_recorded_since(measured, of_old, rows):
    (file,) = measured.records
    how = _how(replace(measured, objective=parse_objective("p99<40ms,service.p50<10ms")))
    found = condense(replace(file, rows=rows), how)
    write_condensed(file.path, replace(found, steps=tuple(map(of_old, found.steps))))
    with pytest.raises(RecordingError, match=r"^the records in \S+ were condensed by another version of servemark$"):
        evidence_of(measured)
    assert RecordingError.exit_status == 4


def test_what_was_condensed_before_there_were_limits_is_read_as_without_any(measured):
    (file,), how = measured.records, _how(measured)
    found = condense(replace(file, rows=7_000), replace(how, limits=()))
    write_condensed(file.path, found)
    assert evidence_of(measured).steps[0].requests == ROWS
    assert evidence_of(measured).steps[0].within is None


def test_what_was_recorded_after_the_last_part_counts_too(measured):
    """As a generator leaves it that is killed: what is condensed is a hole in the file, the rest stands there."""
    of_all, begun = evidence_of(measured), _assessed(measured)[0].run
    (file,) = measured.records
    write_condensed(file.path, condense(replace(file, rows=7_000), _how(measured)))
    with file.path.open("r+b") as opened:
        opened.seek(file.header_bytes)
        opened.write(bytes(7_000 * file.row_bytes))
    found = evidence_of(measured)
    rebuilt = rebuilt_run(begun, measured.records)
    assert (rebuilt.condensed.records, rebuilt.steps[0].requests) == (ROWS, ROWS)
    assert found.recorded == ROWS
    assert found.steps[0].latencies_ns["response"].total == of_all.steps[0].latencies_ns["response"].total


def _appended(path: Path, rows: np.ndarray) -> None:
    with path.open("ab") as file:
        rows.tofile(file)


@pytest.fixture
def growing(measured, tmp_path):
    """A file without records, the records that it is to have, and how these are condensed."""
    (file,) = measured.records
    path = tmp_path / "growing.bin"
    names = {"steps": file.step_names, "started_unix_ns": file.started_unix_ns, "warmup_ns": file.warmup_ns}
    write_records(path, [], **names)
    return path, np.array(file.memmap()), _how(measured)


def test_records_are_condensed_from_one_more_than_may_be_kept(growing):
    path, rows, how = growing
    condenser = Condenser(path, how, 100, part_rows=1_000)
    _appended(path, rows[:100])
    time.sleep(0.5)
    assert not condenser.is_condensing
    _appended(path, rows[100:10_000])
    until_s = time.monotonic() + 30
    while (read_condensed(path) or Condensed(how=how)).records < 8_000:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    assert path.stat().st_blocks * 512 < 10_000 * 112 / 2, "what is condensed takes no place"
    assert open_records(path).rows == 10_000
    assert condenser.is_condensing
    _appended(path, rows[10_000:])
    condenser.finish()
    assert not condenser.is_condensing
    assert open_records(path).rows == 0
    whole = read_condensed(path)
    assert whole.records == ROWS
    assert int(whole.bins[:, 2].sum()) == sum(count for count, *_ in whole.moments)


def test_of_no_more_than_may_be_kept_all_records_stay(growing):
    path, rows, how = growing
    condenser = Condenser(path, how, ROWS, part_rows=1_000)
    _appended(path, rows)
    condenser.finish()
    assert open_records(path).rows == ROWS
    assert not condensed_path(path).exists()


def test_counts_that_cannot_be_written_are_an_error_of_recording(growing):
    path, rows, how = growing
    condensed_path(path).with_suffix(".new").mkdir()
    condenser = Condenser(path, how, 0, part_rows=1_000)
    _appended(path, rows)
    with pytest.raises(RecordingError, match=r"^cannot write records to \S+condensed\.npz: Is a directory"):
        condenser.finish()
