"""What happened over time, held against numpy over all records at once; small cases by hand."""

from __future__ import annotations

import numpy as np
import pytest

from servemark import _loadgen
from servemark.errors import RecordingError
from servemark.records import open_records
from servemark.stats.evidence import Window
from servemark.stats.timeline import SPENT, timeline_of

MS = 1_000_000
KIND = {name: number for number, name in enumerate(_loadgen.ERROR_KINDS)}
CLOSED = _loadgen.RECORD_FLAGS["closed_loop"]


def _columns(n: int, closed: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    scheduled = np.sort(rng.integers(0, 10_000 * MS, n))
    ready = scheduled + rng.integers(0, 2 * MS, n)
    sent = ready + rng.integers(0, MS, n)
    first = sent + rng.exponential(3 * MS, n).astype(np.int64)
    end = first + rng.exponential(5 * MS, n).astype(np.int64)
    kind = np.where(rng.random(n) < 0.05, KIND["http_status"], 0)
    return {
        "scheduled": scheduled,
        "ready": ready,
        "sent": sent,
        "first_byte": first,
        "end": end,
        "kind": kind,
        "status": np.where(kind != 0, 503, 200),
        "flags": np.full(n, CLOSED if closed else 0),
        "step": rng.integers(0, 2, n),
    }


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
def test_each_part_of_the_time_is_what_numpy_says(make_records, closed):
    file = make_records(20_000, steps=("a", "b"), **_columns(20_000, closed))
    window = Window(2_000 * MS, 9_000 * MS)
    timeline = timeline_of([file], window, 50)
    start, end = file.span_ns()
    width = timeline.width_s * 1e9
    assert timeline.edges_s[0] == start / 1e9
    assert timeline.edges_s[-1] >= end / 1e9
    part_of = lambda times: np.minimum((times - start) // width, 49).astype(int)  # noqa: E731
    for number, step in enumerate(timeline.steps):
        of_step = file["step"] == number
        succeeded = of_step & (file["kind"] == 0)
        assert np.array_equal(step.scheduled, np.bincount(part_of(file["scheduled"][of_step]), minlength=50))
        assert np.array_equal(step.succeeded, np.bincount(part_of(file["end"][succeeded]), minlength=50))
        assert list(step.failed) == ["http_status:503"]
        assert step.failed["http_status:503"].sum() == (of_step & ~succeeded).sum()
        latency_ms = (file["end"] - file["sent" if closed else "scheduled"]) / MS
        parts = part_of(file["scheduled"])
        found = step.percentiles_ms(0.5, 5)
        for part in (0, 25, 49):
            wanted = np.percentile(latency_ms[succeeded & (parts == part)], 50, method="inverted_cdf")
            assert found[part] == pytest.approx(wanted, rel=0.012)
        measured = succeeded & (file["scheduled"] >= window.start_ns) & (file["scheduled"] < window.end_ns)
        assert step.distribution.count == measured.sum()
        for quantile in (0.01, 0.5, 0.99):
            wanted = np.percentile(latency_ms[measured], 100 * quantile, method="inverted_cdf")
            (got,) = step.distribution.quantiles_ms(np.array([quantile]))
            assert got == pytest.approx(wanted, rel=0.0013)


def test_requests_under_way_are_the_time_of_requests_over_that_of_the_parts(make_records):
    file = make_records(20_000, steps=("a", "b"), **_columns(20_000, closed=True))
    timeline = timeline_of([file], Window(0, 10_000 * MS), 40)
    total_s = timeline.under_way.sum() * timeline.width_s
    assert total_s == pytest.approx((file["end"] - file["sent"]).sum() / 1e9, rel=1e-9)
    middle = timeline.edges_s[20] * 1e9, timeline.edges_s[21] * 1e9
    inside = np.clip(file["end"], *middle) - np.clip(file["sent"], *middle)
    assert timeline.under_way[20] == pytest.approx(inside.sum() / (middle[1] - middle[0]), rel=1e-9)


def test_what_time_was_spent_on_adds_up_to_the_response(make_records):
    file = make_records(5_000, steps=("a", "b"), **_columns(5_000, closed=False))
    timeline = timeline_of([file], Window(0, 11_000 * MS), 40)
    for number, step in enumerate(timeline.steps):
        rows = (file["step"] == number) & (file["kind"] == 0)
        spent = step.spent_between_ms(0.0, 1.0)
        parts = {
            "waiting for a connection": file["ready"] - file["scheduled"],
            "sent late": file["sent"] - file["ready"],
            "until the first byte": file["first_byte"] - file["sent"],
            "until the last byte": file["end"] - file["first_byte"],
        }
        assert tuple(parts) == SPENT
        for got, wanted in zip(spent, parts.values(), strict=True):
            assert got == pytest.approx(wanted[rows].mean() / MS, rel=1e-9)
        slowest = step.spent_between_ms(0.9, 1.0).sum()
        response_ms = np.sort((file["end"] - file["scheduled"])[rows] / MS)
        assert slowest == pytest.approx(response_ms[-len(response_ms) // 10 :].mean(), rel=0.01)


def test_the_density_holds_every_success_where_its_latency_lies(make_records):
    columns = _columns(5_000, closed=True)
    file = make_records(5_000, steps=("a", "b"), **columns)
    (step, _) = timeline_of([file], Window(0, 11_000 * MS), 40).steps
    edges_ms, cells = step.density(20)
    rows = (file["step"] == 0) & (file["kind"] == 0)
    latency_ms = ((file["end"] - file["sent"]) / MS)[rows]
    assert cells[:, 2].sum() == rows.sum()
    assert cells[:, 1].max() == len(edges_ms) - 2
    assert len(edges_ms) <= 21
    assert edges_ms[0] <= latency_ms.min()
    assert edges_ms[-1] >= latency_ms.max()
    counts = np.bincount(cells[:, 1], weights=cells[:, 2], minlength=len(edges_ms) - 1)
    assert np.array_equal(counts, np.histogram(latency_ms, edges_ms)[0])


def test_what_took_no_time_at_all_has_a_row_of_its_own_and_is_0(make_records):
    times = np.arange(8) * 10 * MS
    took = np.array([0, 0, 0, 0, 0, 0, 2, 40]) * MS
    file = make_records(8, scheduled=times, sent=times, first_byte=times + took, end=times + took)
    (step,) = timeline_of([file], Window(0, 100 * MS), 2).steps
    edges_ms, cells = step.density(20)
    assert edges_ms[0] == pytest.approx(2, rel=0.03)
    assert edges_ms[-1] >= 40
    assert cells[cells[:, 1] < 0].tolist() == [[0, -1, 6]]
    assert step.distribution.quantiles_ms(np.array([0.5, 0.75]))[:2].tolist() == [0, 0]
    assert step.percentiles_ms(0.5, 4)[0] == 0


def test_a_run_of_nothing_that_took_time_has_that_row_alone(make_records):
    times = np.arange(8) * 10 * MS
    file = make_records(8, scheduled=times, sent=times, first_byte=times, end=times)
    (step,) = timeline_of([file], Window(0, 100 * MS), 2).steps
    edges_ms, cells = step.density(20)
    assert edges_ms[0] == 1
    assert set(cells[:, 1].tolist()) == {-1}


def test_without_a_success_there_is_nothing_to_be_dense(make_records):
    file = make_records(3, kind=np.full(3, KIND["timeout"]), end=np.full(3, 5 * MS))
    (step,) = timeline_of([file], Window(0, 10 * MS), 4).steps
    edges_ms, cells = step.density(20)
    assert (len(edges_ms), cells.shape) == (0, (0, 3))
    assert step.failed["timeout"].sum() == 3
    assert np.isnan(step.percentiles_ms(0.5, 1)).all()


def test_parts_with_too_few_requests_have_no_percentile(make_records):
    times = np.array([0, 1, 2, 3, 50, 90]) * MS
    file = make_records(6, scheduled=times, sent=times, first_byte=times, end=times + 4 * MS)
    (step,) = timeline_of([file], Window(0, 100 * MS), 2).steps
    found = step.percentiles_ms(0.5, 4)
    assert found[0] == pytest.approx(4.0, rel=0.012)
    assert np.isnan(found[1])


def test_neighbours_with_too_few_requests_share_a_percentile(make_records):
    times = np.arange(1000) * MS
    took = np.where(times < 500 * MS, 4, 8) * MS
    file = make_records(1000, scheduled=times, sent=times, first_byte=times, end=times + took)
    (step,) = timeline_of([file], Window(0, 1000 * MS), 100).steps
    found = step.percentiles_ms(0.99, 100)  # ten a part, so that 13 parts have 130
    assert found[:13] == pytest.approx(np.full(13, 4.0), rel=0.012)
    assert found[60:] == pytest.approx(np.full(40, 8.0), rel=0.012)
    assert len(np.unique(found)) == 2
    assert np.isnan(step.percentiles_ms(0.99, 250)).all(), "four groups tell no course of time"


def test_records_that_became_shorter_are_said(make_records):
    file = make_records(100, end=np.full(100, 5 * MS))
    with file.path.open("r+b") as opened:
        opened.truncate(file.header_bytes + file.row_bytes)
    with pytest.raises(RecordingError, match="became shorter"):
        timeline_of([file], Window(0, 10 * MS), 4)
    assert len(open_records(file.path)) == 1
