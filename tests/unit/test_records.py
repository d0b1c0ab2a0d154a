"""Record files: readable by their own header, whatever became of the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from servemark import _loadgen
from servemark.errors import RecordingError
from servemark.event_files import gaps_path, read_gaps, write_gaps
from servemark.records import open_events, open_records
from servemark.stats.evidence import Question, Window
from servemark.stats.gather import gather
from servemark.stats.percentiles import REPORTED
from servemark.stats.summary import summarise

MS = 1_000_000


def test_a_file_is_read_by_its_own_column_table(make_records):
    file = make_records(3, scheduled=[10, 20, 30], end=[15, 25, 35], user=[0, 1, 2])
    rows = file.memmap()
    assert rows["scheduled"].tolist() == [10, 20, 30]
    assert rows["seq"].tolist() == [0, 1, 2]
    assert file.error_kinds[0] == "ok"
    assert file.span_ns() == (10, 35)


def test_chunks_hold_every_row_once_and_in_order(make_records):
    file = make_records(300_000, scheduled=np.arange(300_000))
    chunks = list(file.chunks())
    assert len(chunks) > 1
    assert (np.concatenate([chunk["scheduled"] for chunk in chunks]) == np.arange(300_000)).all()


def test_a_file_cut_within_a_row_is_read_up_to_the_last_whole_one(make_records):
    file = make_records(5)
    with file.path.open("r+b") as out:
        out.truncate(file.path.stat().st_size - 3)
    assert open_records(file.path).rows == 4


def test_a_file_has_a_length_and_columns(make_records):
    file = make_records(3, end=[15, 25, 35], events=[1, 2, 3])
    assert len(file) == file.rows == 3 == len(open_records(str(file.path)))
    assert {"scheduled", "sent", "end", "kind", "events", "first_event", "last_event"} <= set(file.columns)
    assert file["events"].tolist() == [1, 2, 3]
    with pytest.raises(KeyError, match="no column 'ends'; there are seq, "):
        file["ends"]


def test_what_is_measured_is_without_warm_up_and_failures_and_of_a_step_if_one_is_named(make_records):
    scheduled = np.arange(12) * MS
    columns = {"scheduled": scheduled, "sent": scheduled, "end": scheduled + MS, "kind": np.arange(12) % 4 == 3}
    file = make_records(12, steps=("a", "b", "a"), step=np.arange(12) % 3, warmup_ns=4 * MS, **columns)
    assert file.measured()["seq"].tolist() == [4, 5, 6, 8, 9, 10]
    assert file.measured("b")["seq"].tolist() == [4, 10]
    assert file.measured("a")["seq"].tolist() == [5, 6, 8, 9], "steps of one name are one"
    with pytest.raises(KeyError, match="no step 'c'; there are a, b"):
        file.measured("c")


@pytest.mark.parametrize("closed", [True, False])
def test_naive_percentiles_of_what_is_measured_are_those_of_the_summary(make_records, closed):
    rng = np.random.default_rng(5)
    n, warmup_ns = 5000, 10_000 * MS
    scheduled = np.arange(n) * 10 * MS
    sent = scheduled + rng.integers(0, 2 * MS, n)
    # The warm-up and the failures are much slower: one of them among the others would be seen.
    kind = np.where(rng.random(n) < 0.05, 3, 0)
    end = sent + rng.integers(MS, 9 * MS, n) + (scheduled < warmup_ns) * 500 * MS + kind * 300 * MS
    flags = _loadgen.RECORD_FLAGS["closed_loop"] if closed else 0
    columns = {"scheduled": scheduled, "ready": scheduled, "sent": sent, "first_byte": end, "end": end}
    file = make_records(n, warmup_ns=warmup_ns, kind=kind, flags=flags, **columns)
    window = Window(warmup_ns, int(scheduled[-1]) + 1)
    (step,) = summarise(gather([file], Question(window=window)))
    reported = [getattr(step.headline_ms, name).value for name in REPORTED]
    assert np.quantile(file.latency_ms(), list(REPORTED.values()), method="inverted_cdf").tolist() == reported
    assert len(file.measured()) == step.measured


def test_an_empty_file_has_no_rows(make_records):
    file = make_records(0)
    assert list(file.chunks()) == []
    assert len(file.memmap()) == len(file.measured()) == len(file.latency_ms()) == len(file["end"]) == 0
    assert file.span_ns() == (0, 0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 something else entirely, longer than a header is"])
def test_what_is_not_a_record_file_is_refused(tmp_path, content):
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="is not a record file; copy the whole folder"):
        open_records(path)


def test_a_file_of_version_1_is_read_as_it_was_written():
    file = open_records(Path(__file__).parent / "data" / "records-version-1.bin")
    assert (file.rows, file.dtype.itemsize, file.step_names) == (8, 88, ("step-0", "step-1"))
    rows = np.sort(np.concatenate(list(file.chunks())), order="seq")
    assert rows["end"].tolist() == [228073, 126112, 207580, 214443, 220740, 236543, 243750, 250234]
    assert (np.sort(np.array(file.memmap()), order="seq") == rows).all(), "mapped it is the same as in chunks"
    assert set(rows["status"]) == {200}
    assert "first_event" not in rows.dtype.names


def test_a_file_of_version_1_is_summarised_as_one_without_streams():
    file = open_records(Path(__file__).parent / "data" / "records-version-1.bin")
    steps = summarise(gather([file], Question(window=Window(*file.span_ns()))))
    assert [(step.requests, step.succeeded, step.events) for step in steps] == [(4, 4, None), (4, 4, None)]


def test_a_record_file_is_no_event_file_and_the_other_way_round(make_records, tmp_path):
    file = make_records(1)
    with pytest.raises(RecordingError, match="is not an event file"):
        open_events(file.path)


def test_histograms_are_kept_under_any_step_name(tmp_path):
    histogram = (Path(__file__).parent / "data" / "gaps.v2z").read_bytes()
    gaps = {"predict": [histogram], "up, then down\n100%": [histogram, histogram]}
    write_gaps(tmp_path / "run.bin", gaps, started_unix_ns=1_700_000_000_500_000_000, length_ns=2_500_000_000)
    path = gaps_path(tmp_path / "run.bin")
    assert path.name == "run.gaps.hlog"
    assert read_gaps(path) == {name: tuple(of) for name, of in gaps.items()}
    lines = path.read_text().splitlines()
    assert lines[0] == "#[Histogram log format version 1.3]"
    assert lines[1] == "#[StartTime: 1700000000.500 (seconds since epoch)]"
    assert lines[3].startswith("Tag=predict,0.000,2.500,")
    assert len(lines) == 6


@pytest.mark.parametrize("text", ["Tag=a,0,1\n", "Tag=a,0,1,2,not base64!\n"])
def test_what_is_not_a_histogram_log_is_refused(tmp_path, text):
    path = tmp_path / "x.gaps.hlog"
    path.write_text(text)
    with pytest.raises(RecordingError, match=r"x\.gaps\.hlog is not a histogram log"):
        read_gaps(path)


def test_a_missing_histogram_log_is_named(tmp_path):
    with pytest.raises(RecordingError, match=r"cannot read the histograms in .*none\.gaps\.hlog: No such file"):
        read_gaps(tmp_path / "none.gaps.hlog")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        RecordingError, match=r"cannot read the records in .*none\.bin: No such file.*; copy the whole folder"
    ):
        open_records(tmp_path / "none.bin")


def test_a_version_of_the_future_is_refused(make_records):
    file = make_records(1)
    with file.path.open("r+b") as out:
        out.seek(16)
        out.write(b"\x09\0\0\0")
    with pytest.raises(RecordingError, match="version 9"):
        open_records(file.path)
