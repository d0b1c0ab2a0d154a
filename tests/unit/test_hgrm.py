"""``.hgrm`` files: as HdrHistogram's own programs write them, exact to three digits, of what was measured alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from servemark.report import hgrm
from servemark.report.recorded import RecordedResult, RunRecords

from .test_reports import result

MS = 1_000_000
DATA = Path(__file__).parent / "data"
#: Made of ``values_of_the_reference()`` by HdrHistogram 2.2.2 itself, in nanoseconds: ``new Histogram(3)`` and
#: ``outputPercentileDistribution(out, 5, 1.0)``.
REFERENCE = DATA / "reference.hgrm"
#: What of the footer is a time.
TIMES = ("Mean", "StdDeviation", "Max")
_FOOTER = re.compile(r"#\[(\w+)\s*=\s*([\d.]+), ([\w ]+?)\s*=\s*([\d.]+)\]")


@dataclass(frozen=True)
class Percentiles:
    """A file as the plotter reads it: the columns by their headings, and the footer."""

    columns: dict[str, list[float]]
    footer: dict[str, float]


def read(text: str) -> Percentiles:
    """What HdrHistogram's plotter makes of a file: rows of four numbers, of the last one three."""
    lines = text.splitlines()
    heading = lines[0].split()
    assert heading == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    rows = [[float(word) for word in line.split()] for line in lines[1:] if line and not line.startswith("#")]
    assert [len(row) for row in rows] == [4] * (len(rows) - 1) + [3]
    rows[-1].append(float("inf"))
    footer = {}
    for line in lines:
        if line.startswith("#"):
            first, one, second, other = _FOOTER.fullmatch(line).groups()
            footer |= {first: float(one), second: float(other)}
    return Percentiles(dict(zip(heading, map(list, zip(*rows, strict=True)), strict=True)), footer)


def values_of_the_reference() -> np.ndarray:
    """20,000 values from a microsecond to seconds, in nanoseconds: without a generator that could change."""
    shares = (np.arange(20_000, dtype=np.int64) * 7_919 % 20_000 + 0.5) / 20_000
    return np.round(1_000 * (1 / (1 - shares)) ** 1.5).astype(np.int64)


def written(folder: Path, *files, names: tuple[str, ...] = ("latency",)) -> dict[str, Percentiles]:
    """What is written of runs of one record file each."""
    (benchmark,) = result().benchmarks
    recorded = RecordedResult(result(), folder)
    runs = tuple(
        RunRecords(
            benchmark, type(benchmark.runs[0])(**{**vars(benchmark.runs[0]), "records": f"records/{name}.bin"}), one
        )
        for name, one in zip(names, files, strict=True)
    )
    recorded.__dict__["runs"] = runs
    out = folder / "hgrm"
    out.mkdir()
    hgrm.report(out, recorded)
    return {path.name: read(path.read_text(encoding="ascii")) for path in out.iterdir()}


def test_the_table_is_that_of_hdrhistogram(tmp_path, make_records):
    values = values_of_the_reference()
    file = make_records(len(values), end=values)
    found, reference = written(tmp_path, (file,))["latency-predict-response.hgrm"], read(REFERENCE.read_text())
    assert found.columns["Percentile"] == pytest.approx(reference.columns["Percentile"], abs=1.1e-12), "Java rounds up"
    assert found.columns["TotalCount"] == reference.columns["TotalCount"]
    assert found.columns["1/(1-Percentile)"] == reference.columns["1/(1-Percentile)"]
    assert found.columns["Value"] == [value / MS for value in reference.columns["Value"]]
    in_ms = {name: value / MS if name in TIMES else value for name, value in reference.footer.items()}
    assert found.footer == pytest.approx(in_ms, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("scale_ns", [1, 1_000, 1_000_000, 1_000_000_000])
def test_percentiles_are_exact_to_three_digits(tmp_path, make_records, scale_ns):
    values = (np.random.default_rng(3).lognormal(1, 1.5, 50_000) * scale_ns).astype(np.int64)
    file = make_records(len(values), end=values)
    found = written(tmp_path, (file,))["latency-predict-response.hgrm"]
    shares = np.array(found.columns["Percentile"])
    exact_ms = np.quantile(values, shares, method="inverted_cdf") / MS
    assert found.columns["Value"] == pytest.approx(exact_ms, rel=1 / 1024, abs=1e-6)
    assert (np.array(found.columns["Value"]) >= exact_ms - 1e-6).all()
    counts = np.searchsorted(np.sort(values), np.array(found.columns["Value"]) * MS + 0.5)
    assert found.columns["TotalCount"] == counts.tolist()
    assert found.footer["Total count"] == len(values)
    assert found.footer["Mean"] == pytest.approx(values.mean() / MS, rel=1e-3, abs=1e-6)
    assert found.footer["StdDeviation"] == pytest.approx(values.std() / MS, rel=2e-3, abs=1e-6)
    assert found.footer["Max"] == pytest.approx(values.max() / MS, rel=1e-3)
    assert found.footer["SubBuckets"] == 2048


@pytest.mark.parametrize("values", [[5], [0], [5, 5, 5], [1, 2047, 2048, 4095, 4096], [2**52]], ids=str)
def test_few_values_and_those_at_the_edges_of_bins(tmp_path, make_records, values):
    file = make_records(len(values), end=values)
    found = written(tmp_path, (file,))["latency-predict-response.hgrm"]
    assert found.columns["TotalCount"][-1] == len(values)
    assert found.columns["Percentile"][-1] == 1
    assert found.columns["Value"][-1] == pytest.approx(max(values) / MS, rel=1e-3, abs=1e-6)
    assert found.columns["Value"][0] == pytest.approx(min(values) / MS, rel=1e-3, abs=1e-6)


def test_there_is_a_file_of_each_run_step_and_latency_without_warm_up_and_failures(tmp_path, make_records):
    scheduled = np.arange(12) * MS
    columns = {"scheduled": scheduled, "sent": scheduled + 1000, "end": scheduled + 5000}
    first = make_records(
        12, steps=("a/b", "c"), step=np.arange(12) % 2, warmup_ns=2 * MS, kind=[0] * 10 + [3, 0], **columns
    )
    second = make_records(12, **columns)
    found = written(tmp_path, (first,), (second, second), names=("latency-1", "latency-2"))
    counts = {name: one.footer["Total count"] for name, one in found.items()}
    assert counts == {
        "latency-1-1-a_b-response.hgrm": 4,
        "latency-1-1-a_b-service.hgrm": 4,
        "latency-1-2-c-response.hgrm": 5,
        "latency-1-2-c-service.hgrm": 5,
        "latency-2-predict-response.hgrm": 24,
        "latency-2-predict-service.hgrm": 24,
    }
    assert found["latency-2-predict-service.hgrm"].columns["Value"][-1] == pytest.approx(0.004, rel=1e-3)


def test_records_of_the_first_version_are_read_and_a_step_without_a_success_has_no_file(tmp_path):
    from servemark.records import open_records

    file = open_records(DATA / "records-version-1.bin")
    rows = file.memmap()
    succeeded = {
        f"latency-{number + 1}-{name}"
        for number, name in enumerate(file.step_names)
        if ((rows["kind"] == 0) & (rows["step"] == number)).any()
    }
    found = written(tmp_path, (file,))
    assert {name.rpartition("-")[0] for name in found} == succeeded
