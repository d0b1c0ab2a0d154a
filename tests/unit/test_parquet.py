"""Requests as Parquet: what the records say, a row each, with names, units and nothing where nothing happened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from servemark import records
from servemark.records import open_records
from servemark.report import parquet
from servemark.report.recorded import RecordedResult

from .test_formats import SECOND
from .test_hgrm import DATA, MS
from .test_reports import result


def written(tmp_path: Path, *files: Path, more: tuple[Path, ...] = ()) -> Path:
    """A Parquet file of a result whose runs have these records; the last of them has `more` generators."""
    what = result()
    (benchmark,) = what.benchmarks
    (run,) = benchmark.runs
    from dataclasses import replace

    runs = [replace(run, records=str(file), steps=()) for file in files]
    runs[-1] = replace(runs[-1], more_records=tuple(map(str, more)))
    recorded = RecordedResult(replace(what, benchmarks=(replace(benchmark, runs=tuple(runs)),)), tmp_path)
    path = tmp_path / "requests.parquet"
    parquet.report(path, recorded)
    return path


def test_a_row_says_what_the_record_says(tmp_path, make_records):
    file = make_records(
        2,
        steps=("load", "predict"),
        warmup_ns=5 * MS,
        scheduled=[1 * MS, 7 * MS],
        sent=[2 * MS, -1],
        end=[6 * MS, 19 * MS],
        first_byte=[5 * MS, -1],
        kind=[0, 3],
        step=[1, 0],
        connection=[4, 0xFFFF_FFFF],
        connect_us=[1500, 0],
        bytes_received=[123, 0],
    )
    good, bad = pd.read_parquet(written(tmp_path, file.path)).to_dict("records")
    assert (good["run"], good["generator"], good["step"], good["kind"]) == (file.path.stem, 1, "predict", "ok")
    assert (good["scheduled_ns"], good["end_ns"], good["latency_ns"], good["warm_up"]) == (MS, 6 * MS, 5 * MS, True)
    assert good["scheduled_at"] == pd.Timestamp(1_700_000_000_001, unit="ms", tz="UTC")
    assert (good["connect_us"], good["bytes_received"], good["connection"]) == (1500, 123, 4)
    assert (bad["step"], bad["kind"], bad["warm_up"]) == ("load", "timeout", False)
    assert all(np.isnan(bad[name]) for name in ("sent_ns", "first_byte_ns", "connection", "first_event_ns"))


def test_the_latency_of_a_closed_loop_counts_from_when_it_was_sent(tmp_path, make_records):
    closed = {"flags": records._loadgen.RECORD_FLAGS["closed_loop"]}
    file = make_records(1, scheduled=[1 * MS], sent=[3 * MS], end=[10 * MS], **closed)
    assert pd.read_parquet(written(tmp_path, file.path))["latency_ns"].tolist() == [7 * MS]


def test_every_column_of_the_records_is_there(tmp_path, make_records):
    file = make_records(3)
    known = set(pq.read_schema(written(tmp_path, file.path)).names)
    assert {f"{name}_ns" if f"{name}_ns" in known else name for name in file.columns} <= known


def test_runs_and_generators_are_in_one_file_with_their_names_as_dictionaries(tmp_path, make_records):
    first, second, third = make_records(3, steps=("a",)), make_records(2, steps=("b",)), make_records(4, steps=("b",))
    path = written(tmp_path, first.path, second.path, more=(third.path,))
    table = pd.read_parquet(path)
    counts = table.groupby(["run", "generator", "step"], observed=True).size().to_dict()
    assert counts == {
        (first.path.stem, 1, "a"): 3,
        (second.path.stem, 1, "b"): 2,
        (second.path.stem, 2, "b"): 4,
    }
    assert {name: str(table[name].dtype) for name in ("run", "step", "kind")} == dict.fromkeys(
        ("run", "step", "kind"), "category"
    )


def test_rows_are_written_a_group_at_a_time_and_each_before_the_next_is_read(tmp_path, make_records, monkeypatch):
    monkeypatch.setattr(records, "_CHUNK_ROWS", 100)
    file = make_records(950, scheduled=np.arange(950))
    at_once = []
    tables = parquet._tables

    def counted(recorded):
        for table in tables(recorded):
            at_once.append(table.num_rows)
            yield table

    monkeypatch.setattr(parquet, "_tables", counted)
    metadata = pq.read_metadata(written(tmp_path, file.path))
    assert [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)] == [100] * 9 + [50]
    assert at_once == [100] * 9 + [50]


def test_the_file_says_of_which_result_it_is(tmp_path, make_records):
    about = json.loads(pq.read_schema(written(tmp_path, make_records(1).path)).metadata[b"servemark"])
    assert about["id"] == result().id


def test_records_of_the_first_version_lack_what_came_later(tmp_path):
    path = DATA / "records-version-1.bin"
    table = pd.read_parquet(written(tmp_path, path))
    assert len(table) == open_records(path).rows
    assert table["read_ns"].isna().all()
    assert table["end_ns"].notna().all()


def test_percentiles_of_the_file_are_those_that_are_reported(tmp_path):
    from servemark.result import Result

    golden = DATA / SECOND
    path = tmp_path / "requests.parquet"
    parquet.report(path, RecordedResult(Result.load(golden), golden))
    table = pd.read_parquet(path)
    measured = table[(table["kind"] == "ok") & ~table["warm_up"]]
    (step,) = Result.load(golden).benchmarks[0].steps
    assert len(measured) == step.measured
    p90 = np.quantile(measured["latency_ns"], 0.9, method="inverted_cdf") / MS
    assert p90 == pytest.approx(step.headline_ms.p90.value)
