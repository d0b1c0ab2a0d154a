"""How long a run lasts whose length adapts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from servemark.benchmarks.capacity import sought_of
from servemark.engines.native.length import Length, look
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.options.load import LoadOptions
from servemark.records import write_records
from servemark.workload.load import ADAPTIVE, Until

S = 1_000_000_000


@dataclass
class Counts:
    """What a run has done so far."""

    elapsed_ns: int
    measured_succeeded: int


def test_it_is_looked_at_at_a_few_times_only():
    assert ADAPTIVE.looks_s == pytest.approx((10, 15, 22, 33, 50, 60))
    assert Until(min_s=5, max_s=20, precision=0.02).looks_s == pytest.approx((5, 7.5, 11, 16.5, 20))


def _records(make_records, *, per_s, seconds, jitter_ms=1.0, seed=1):
    """Responses of 10 ms and what is drawn beyond, one after the other at equal distances."""
    n = int(per_s * seconds)
    scheduled = (np.arange(n) * (S // per_s)).astype(np.int64)
    took = 10_000_000 + (np.random.default_rng(seed).exponential(size=n) * jitter_ms * 1e6).astype(np.int64)
    times = {"scheduled": scheduled, "ready": scheduled, "sent": scheduled, "first_byte": scheduled + took}
    return make_records(n, **times, end=scheduled + took)


def test_a_look_says_whether_the_figures_are_exact(make_records):
    file = _records(make_records, per_s=100, seconds=12)
    found = look([file.path], (2 * S, 12 * S), file.step_names[0], "p50", ADAPTIVE)
    assert found.suffices
    assert found.words.startswith("p50 within ")
    finer = look([file.path], (2 * S, 12 * S), file.step_names[0], "p50", replace(ADAPTIVE, precision=0.001))
    assert not finer.suffices
    assert finer.words.endswith("aim 0.1%")


def test_what_several_generators_record_is_looked_at_together(make_records, tmp_path):
    file = _records(make_records, per_s=100, seconds=12)
    rows, shares = np.array(file.memmap()), [tmp_path / f"share-{index}.bin" for index in range(3)]
    for index, path in enumerate(shares):
        own = np.ascontiguousarray(rows[index::3])
        write_records(path, [own], steps=file.step_names, started_unix_ns=0, warmup_ns=0)
    window, step = (2 * S, 12 * S), file.step_names[0]
    assert look(shares, window, step, "p50", ADAPTIVE) == look([file.path], window, step, "p50", ADAPTIVE)
    assert look(shares[:1], window, step, "p50", ADAPTIVE) != look([file.path], window, step, "p50", ADAPTIVE)


def test_p99_has_to_have_an_interval(make_records):
    file = _records(make_records, per_s=20, seconds=12)
    found = look([file.path], (2 * S, 12 * S), file.step_names[0], "p50", ADAPTIVE)
    assert not found.suffices
    assert "p99 has no interval yet" in found.words


def test_with_a_precision_p50_rate_and_p99_are_asked(make_records):
    file = _records(make_records, per_s=100, seconds=12)
    asked = replace(ADAPTIVE, precision=0.05, p99_precision=0.125)
    found = look([file.path], (2 * S, 12 * S), file.step_names[0], "p50", asked)
    assert all(f"{name} within" in found.words for name in ("p50", "rate", "p99"))


def _end_ns(length, counts, behind_ns=0):
    """When it ends, once a look that `counts` cause is over."""
    length.end_ns(counts, behind_ns)
    if length._thread is not None:
        length._thread.join(60)
    return length.end_ns(counts, behind_ns)


def test_a_run_ends_when_its_figures_are_exact(make_records):
    file = _records(make_records, per_s=100, seconds=12.5)
    length = Length(ADAPTIVE, "p50", file.step_names[0], [file.path], 2 * S)
    assert length.end_ns(Counts(11 * S, 900)) is None
    assert _end_ns(length, Counts(int(12.1 * S), 1000)) == int(12.1 * S)
    assert "p50 within" in length.words


def test_what_is_not_here_yet_is_not_looked_at(make_records):
    """Else the rate has a gap at its end, and counts as inexact."""
    file = _records(make_records, per_s=100, seconds=12.5)
    length = Length(replace(ADAPTIVE, precision=0.02), "rate", file.step_names[0], [file.path], 2 * S)
    assert _end_ns(length, Counts(int(12.4 * S), 1000), 1 * S) is None
    assert length.words == "", "of 10 s that are measured not all are here"
    assert _end_ns(length, Counts(int(14.4 * S), 1200), int(1.9 * S)) == int(14.4 * S)


def test_a_run_that_stays_inexact_ends_after_the_most_time(make_records):
    file = _records(make_records, per_s=100, seconds=12.5)
    length = Length(replace(ADAPTIVE, precision=0.0001), "p50", file.step_names[0], [file.path], 2 * S)
    assert _end_ns(length, Counts(int(12.1 * S), 1000)) is None
    assert _end_ns(length, Counts(61 * S, 6000)) is None
    assert _end_ns(length, Counts(62 * S, 6100)) == 62 * S


def test_a_slow_model_has_its_400_requests(make_records):
    file = _records(make_records, per_s=2, seconds=62)
    length = Length(ADAPTIVE, "p50", file.step_names[0], [file.path], 2 * S)
    assert _end_ns(length, Counts(70 * S, 140)) is None
    assert _end_ns(length, Counts(202 * S, 400)) == 202 * S


def test_without_a_precision_it_ends_at_its_successes(tmp_path):
    length = Length(Until(successes=50, min_s=1, max_s=30), "p50", "predict", [tmp_path / "none"], S)
    assert length.end_ns(Counts(S // 2, 49)) is None
    assert length.end_ns(Counts(S // 2, 50)) == 2 * S
    assert length.end_ns(Counts(5 * S, 51)) == 5 * S
    assert length.words == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision_share": 0.01, "loops": 5}, "--precision and --loops"),
        ({"max_duration_s": 9.0, "duration_s": 5.0}, "--max-duration and --duration"),
        ({"precision_share": 0.01, "rate": "1..5/10s"}, "--precision and --rate 1..5/10s"),
        ({"precision_share": 0.0}, "--precision 0%"),
    ],
)
def test_what_says_how_long_it_is_goes_with_no_precision(options, words):
    with pytest.raises(UsageError, match=words):
        LoadOptions(**options)


def test_a_duration_goes_with_a_precision_only_in_a_search_where_they_are_of_different_things():
    with pytest.raises(UsageError, match="--precision and --duration"):
        RunRequest.of("latency", precision_share=0.01, duration_s=5.0)
    asked = RunRequest.of("latency", slo="p90<1s", by="rate", precision_share=0.01, duration_s=5.0)
    sought = sought_of(asked)
    assert (sought.precision_share, sought.probe_s) == (0.01, 5.0)


def test_a_precision_is_asked_of_p99_too():
    until = LoadOptions(precision_share=0.01, max_duration_s=30.0).closed(1, ADAPTIVE).until
    assert (until.precision, until.p99_precision) == (0.01, 0.025)
    assert (until.max_s, until.longest_s) == (30.0, 30.0)
    assert LoadOptions().closed(1, ADAPTIVE).until == ADAPTIVE
