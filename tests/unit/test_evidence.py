"""What records add up to, held against numpy over all of them at once; small cases by hand."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from servemark import _loadgen
from servemark.errors import RecordingError
from servemark.records import open_records
from servemark.stats.counting import LATENCIES
from servemark.stats.evidence import Question, Window
from servemark.stats.gather import gather
from servemark.stats.percentiles import REPORTED, interval_ranks, point_ranks, rank

MS = 1_000_000
FLAGS = _loadgen.RECORD_FLAGS
KIND = {name: number for number, name in enumerate(_loadgen.ERROR_KINDS)}
WINDOW = Window(2_000 * MS, 19_000 * MS)
LIMIT_NS = 30 * MS


def _columns(n: int, seed: int, closed: bool) -> dict[str, np.ndarray]:
    """Records of everything that there is: failures, streams, opened connections, doubts, four steps of three names."""
    rng = np.random.default_rng(seed)
    scheduled = np.sort(rng.integers(0, 20_000 * MS, n))
    ready = scheduled + rng.integers(0, 2 * MS, n)
    sent = ready + rng.integers(0, MS, n)
    first = sent + rng.exponential(3 * MS, n).astype(np.int64)
    # Of a few answers the generator waited for long, so that there are times of every size.
    end = first + rng.exponential(5 * MS, n).astype(np.int64) * np.where(rng.random(n) < 0.01, 400, 1)
    kind = np.where(rng.random(n) < 0.02, rng.integers(1, 9, n), 0)
    streamed = rng.random(n) < 0.3
    events = np.where(streamed, rng.integers(0, 40, n), 0)
    flags = np.where(streamed, FLAGS["streamed"], 0) | np.where(rng.random(n) < 0.1, FLAGS["clock_read"], 0)
    flags |= np.where(rng.random(n) < 0.05, FLAGS["unsure_sent"], 0) | np.where(rng.random(n) < 0.2, FLAGS["opened"], 0)
    return {
        "scheduled": scheduled,
        "ready": ready,
        "sent": np.where(kind == KIND["connect"], -1, sent),
        "first_byte": first,
        "end": end,
        "read": end + rng.integers(0, 100_000, n),
        "connect_us": rng.integers(0, 900, n),
        "tls_us": rng.integers(0, 900, n),
        "user": np.arange(n) % 37,
        "bytes_sent": rng.integers(0, 5000, n),
        "bytes_received": rng.integers(0, 1 << 20, n),
        "events": events,
        "status": np.where(kind == KIND["http_status"], rng.integers(500, 504, n), 200),
        "step": rng.integers(0, 4, n),
        "kind": kind,
        "flags": flags | (FLAGS["closed_loop"] if closed else 0),
        "first_event": np.where(events > 0, first, -1),
    }


def _begun(rows: np.ndarray, closed: bool) -> np.ndarray:
    return rows["sent"] if closed else rows["scheduled"]


def _latencies(rows: np.ndarray, closed: bool) -> dict[str, np.ndarray]:
    queue = rows["ready"] - rows["scheduled"]
    if closed:
        opened = (rows["flags"] & FLAGS["opened"]) != 0
        opening = (rows["connect_us"].astype(np.int64) + rows["tls_us"]) * 1000
        queue = np.minimum(queue, np.where(opened, opening, 0))
    return {
        "response": rows["end"] - rows["scheduled"],
        "service": rows["end"] - rows["sent"],
        "client_queue": queue,
        "generator_lag": rows["sent"] - rows["scheduled"] - queue,
    }


def _same(sample, values: np.ndarray, quantiles) -> None:
    """The sample is of these values: their moments, and all order statistics that a report needs."""
    ordered = np.sort(values)
    assert sample.count == len(values)
    if not len(values):
        assert (sample.mean, sample.min, sample.max, dict(sample.ordered)) == (None, None, None, {})
        return
    assert (sample.total, sample.min, sample.max) == (int(values.sum()), int(ordered[0]), int(ordered[-1]))
    pairs = [interval_ranks(len(values), q, worth) for q, worth in sample.worth.items()]
    ends = {end for pair in pairs if pair for end in pair}
    assert sample.ordered.keys() >= point_ranks(len(values), quantiles) | ends
    assert all(ordered[rank - 1] == value for rank, value in sample.ordered.items())
    if len(values) > 1:
        assert sample.stddev == pytest.approx(values.std(ddof=1))


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("n", [1, 50, 3_000, 300_000])
def test_the_evidence_of_a_step_is_what_numpy_finds(make_records, n, closed):
    names = ("one", "two", "three", "two")
    file = make_records(n, steps=names, **_columns(n, n, closed))
    pause = Window(5_000 * MS, 5_200 * MS)
    evidence = gather([file], Question(window=WINDOW, pause=pause, limits=(("response", LIMIT_NS),)))
    everything = np.array(file.memmap())
    assert [step.name for step in evidence.steps] == ["one", "two", "three"]
    for step in evidence.steps:
        rows = everything[[names[number] == step.name for number in everything["step"]]]
        good = rows["kind"] == 0
        inside = (rows["scheduled"] >= WINDOW.start_ns) & (rows["scheduled"] < WINDOW.end_ns)
        ended = good & (rows["end"] >= WINDOW.start_ns) & (rows["end"] <= WINDOW.end_ns)
        measured = rows[good & inside]
        assert step.headline == ("service" if closed and len(rows) else "response")
        assert (step.requests, step.succeeded, step.measured) == (len(rows), good.sum(), len(measured))
        assert step.bytes_sent == rows["bytes_sent"].sum(dtype=np.int64)
        assert step.bytes_received == rows["bytes_received"].sum(dtype=np.int64)
        assert step.errors == Counter(zip(rows["kind"][~good], rows["status"][~good], strict=True))
        quantiles = tuple(REPORTED.values())
        latencies = _latencies(measured, closed)
        for name in LATENCIES:
            _same(step.latencies_ns[name], latencies[name], quantiles)
        _same(step.failed_ns, (rows["end"] - rows["scheduled"])[~good & inside], quantiles)
        if not closed:
            punctual = latencies["response"] - latencies["generator_lag"]
            _same(step.punctual_ns["response"], punctual, quantiles)
            late = (latencies["response"] >= LIMIT_NS).sum() - (punctual >= LIMIT_NS).sum()
            assert step.late == ({("response", LIMIT_NS): late} if len(measured) else {})
            has_event = ((measured["flags"] & FLAGS["streamed"]) != 0) & (measured["events"] > 0)
            first = (measured["first_event"] - measured["scheduled"] - latencies["generator_lag"])[has_event]
            _same(step.punctual_ns["first_event"], first, quantiles)
        doubtful = (measured["flags"] & FLAGS["clock_read"]) != 0
        assert step.clock_read == doubtful.sum()
        assert step.unsure_sent == ((measured["flags"] & FLAGS["unsure_sent"]) != 0).sum()
        paused = (measured["sent"] < pause.end_ns) & (measured["end"] > pause.start_ns)
        assert step.paused == paused.sum()
        if step.trusted_ns is not None:
            assert step.is_stamped
            _same(step.trusted_ns, latencies["service" if closed else "response"][~doubtful], quantiles)
        lag_ms = (measured["read"] - measured["end"]).sum() / max(len(measured), 1) / MS
        assert step.receive_lag_ms == pytest.approx(lag_ms)
        _same_batches(step, rows, measured, ended, latencies)
        failed = rows[~good & inside]
        batches = len(step.completed)
        counted = _counts(measured, batches) + _counts(failed, batches)
        assert step.failures.meant.tolist() == _counts(failed, batches).tolist()
        assert step.failures.counts.tolist() == counted.tolist()
        late = measured[latencies["response"] >= LIMIT_NS]
        missed = step.missed["response", LIMIT_NS]
        assert missed.meant.tolist() == (_counts(failed, batches) + _counts(late, batches)).tolist()
        assert missed.counts.tolist() == counted.tolist()
        headline = latencies[step.headline]
        for q, shares in step.above.items():
            above = headline > np.sort(headline)[rank(len(headline), q) - 1]
            assert shares.meant.tolist() == _counts(measured[above], batches).tolist()
            assert shares.counts.tolist() == _counts(measured, batches).tolist()
        assert (len(step.above) > 0) == (len(measured) > 0)
        _same_events(step.events, rows, measured, ended, closed)


def _counts(rows: np.ndarray, batches: int) -> np.ndarray:
    """How many of the rows were scheduled in each batch."""
    return np.bincount(_batch(rows["scheduled"], batches), minlength=batches)


def _batch(times_ns: np.ndarray, batches: int) -> np.ndarray:
    share = (times_ns - WINDOW.start_ns) / (WINDOW.end_ns - WINDOW.start_ns)
    return np.clip(share * batches, 0, batches - 1).astype(int)


def _same_batches(step, rows, measured, ended, latencies) -> None:
    batches = len(step.completed)
    completed = np.bincount(_batch(rows["end"][ended], batches), minlength=batches)
    assert step.completed.tolist() == completed.tolist()
    assert step.bytes_of_completed == rows["bytes_received"][ended].sum(dtype=np.int64)
    batch = _batch(measured["scheduled"], batches)
    for name in LATENCIES:
        assert step.by_batch[name].counts.tolist() == np.bincount(batch, minlength=batches).tolist()
        sums = np.bincount(batch, weights=latencies[name], minlength=batches)
        assert step.by_batch[name].sums == pytest.approx(sums)


def _same_events(events, rows, measured, ended, closed) -> None:
    streamed = (rows["flags"] & FLAGS["streamed"]) != 0
    if not streamed.any():
        assert events is None
        return
    batches = len(events.by_batch)
    assert events.count == rows["events"][streamed].sum()
    done = rows[streamed & ended]
    assert events.completed == len(done)
    of_batches = np.bincount(_batch(done["end"], batches), weights=done["events"], minlength=batches)
    assert events.by_batch.tolist() == of_batches.tolist()
    streams = measured[(measured["flags"] & FLAGS["streamed"]) != 0]
    _same(events.per_request, streams["events"].astype(np.int64), (0.5,))
    begun = streams[streams["events"] > 0]
    waited = begun["first_event"] - _begun(begun, closed)
    _same(events.first_event_ns, waited, tuple(REPORTED.values()))
    batch = _batch(begun["scheduled"], batches)
    assert events.first_event.counts.tolist() == np.bincount(batch, minlength=batches).tolist()
    assert events.first_event.sums == pytest.approx(np.bincount(batch, weights=waited, minlength=batches))


def test_records_of_several_files_are_those_of_one(make_records):
    columns = _columns(200_000, 5, False)
    names = ("one", "two", "three", "two")
    whole = make_records(200_000, steps=names, **columns)
    parts = [
        make_records(len(columns["end"][share]), steps=names, **{name: of[share] for name, of in columns.items()})
        for share in (slice(0, 70_000), slice(70_000, 70_000), slice(70_000, None))
    ]
    question = Question(window=WINDOW, accounted=WINDOW, stages=(WINDOW,), places=20)
    one, many = gather([whole], question), gather(parts, question)
    assert (one.under_way, one.begun, one.in_flight) == (many.under_way, many.begun, many.in_flight)
    assert one.stages == many.stages
    for step, same in zip(one.steps, many.steps, strict=True):
        assert (step.latencies_ns, step.failed_ns, step.trusted_ns) == (
            same.latencies_ns,
            same.failed_ns,
            same.trusted_ns,
        )
        assert step.completed.tolist() == same.completed.tolist()


def test_a_lag_may_be_negative_and_is_as_exact(make_records):
    """A clock read by the kernel may be before one that was read here."""
    n = 100_000
    rng = np.random.default_rng(8)
    sent = rng.integers(0, 10_000 * MS, n)
    end = sent + rng.integers(-3 * MS, 3 * MS, n)
    file = make_records(n, scheduled=sent, ready=sent, sent=sent, first_byte=end, end=end)
    (step,) = gather([file], Question(window=Window(0, 10_000 * MS))).steps
    _same(step.latencies_ns["service"], end - sent, tuple(REPORTED.values()))


def test_time_under_way_is_clipped_to_what_is_accounted(make_records):
    file = make_records(4, sent=[-1, 50, 150, 400], read=[90, 120, 250, 900], end=1)
    under_way = gather([file], Question(window=Window(0, 1), accounted=Window(100, 500))).under_way
    assert (under_way.sent, under_way.in_flight_ns, under_way.completions) == (3, 20 + 100 + 100, 2)


def _in_flight(make_records, requests, *, places=1, from_ns=0, users=None):
    """Requests (scheduled and sent, end), each user's first and last of which bound the time that is looked at."""
    sent, end = zip(*requests, strict=True)
    scheduled = [max(time, 0) for time in sent]
    file = make_records(len(sent), scheduled=scheduled, sent=sent, end=end, user=users or 0)
    return gather([file], Question(window=Window(0, 1), places=places, from_ns=from_ns)).in_flight


def test_back_to_back_requests_of_two_users_never_leave_fewer_than_one(make_records):
    requests = [(0, 10), (1, 11), (10, 20), (12, 22), (20, 30), (22, 32)]
    assert _in_flight(make_records, requests, users=[0, 1, 0, 1, 0, 1]).least == 1


def test_a_gap_between_requests_leaves_none(make_records):
    assert _in_flight(make_records, [(0, 10), (20, 30)]).least == 0


def test_what_was_never_sent_is_not_under_way(make_records):
    assert _in_flight(make_records, [(0, 10), (-1, 3), (5, 12), (11, 12)]).least == 1


def test_only_when_all_users_were_at_work_is_it_looked_at(make_records):
    requests = [(0, 4), (5, 9), (10, 14), (15, 19), (30, 34)]
    found = _in_flight(make_records, requests, users=[0, 1, 0, 1, 1])
    assert found.least == 0, "from 5, when the second user began, to 10, when the first sent its last"
    assert found.starved_share == pytest.approx(1 / 5)
    assert _in_flight(make_records, requests, users=[0, 1, 0, 1, 1], from_ns=10).starved_share is None


def test_the_share_of_places_that_nobody_took(make_records):
    requests = [(0, 20), (10, 40), (30, 50), (60, 61)]
    assert _in_flight(make_records, requests, places=2).starved_share == pytest.approx(
        1 - (10 + 20 + 10 + 20 + 10) / 120
    )
    assert _in_flight(make_records, requests, places=1).starved_share == pytest.approx(10 / 60)
    assert _in_flight(make_records, requests, places=0).starved_share is None


def test_how_busy_workers_were_is_the_part_of_the_window_in_which_they_had_a_request(make_records):
    sent, end = [0, 10, 30, 60], [20, 40, 50, 61]
    file = make_records(4, scheduled=sent, sent=sent, end=end)

    def share(workers, stop=100):
        return gather([file], Question(window=Window(0, stop), workers=workers)).workers_busy_share

    assert share(1) == pytest.approx((50 + 1) / 100)
    assert share(2) == pytest.approx((10 + 20 + 10 + 20 + 10 + 1) / 200)
    assert share(1, stop=50) == pytest.approx(1.0)
    assert share(None) is None


def _arrivals(rows):
    return gather([rows], Question(window=WINDOW)).arrivals


def test_without_a_process_nothing_is_said_of_arrivals(make_records):
    assert _arrivals(make_records(3)) == {}


def test_a_file_that_cannot_be_read_any_more_is_said(make_records):
    file = make_records(100_000, scheduled=range(100_000), end=range(100_000))
    cut = file.path.read_bytes()[: file.header_bytes + 50 * file.row_bytes]
    file.path.write_bytes(cut)
    with pytest.raises(RecordingError, match=r"cannot read the records in .*became shorter while it was read"):
        gather([file], Question(window=WINDOW))
    with pytest.raises(RecordingError, match="became shorter"):
        file.span_ns()
    file.path.unlink()
    with pytest.raises(RecordingError, match="No such file"):
        gather([file], Question(window=WINDOW))


def test_records_of_no_step_of_the_file_are_said(make_records):
    file = make_records(2, step=[0, 3])
    with pytest.raises(RecordingError, match="there is no step 3"):
        gather([open_records(file.path)], Question(window=WINDOW))


def test_a_deviation_far_from_zero_loses_nothing(make_records):
    scheduled = np.zeros(1000, dtype=np.int64)
    end = 10**15 + np.arange(1000)
    file = make_records(1000, scheduled=scheduled, ready=scheduled, sent=scheduled, end=end)
    (step,) = gather([file], Question(window=Window(0, 1))).steps
    assert step.latencies_ns["response"].stddev == pytest.approx(math.sqrt(1000 * 1001 / 12), rel=1e-12)
