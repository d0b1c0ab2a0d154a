"""A result from Python: what it shows by itself, and its records with names in place of codes."""

from __future__ import annotations

import json
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import servemark
from servemark import result as documents
from servemark.report.curve import percentile_curves
from servemark.report.directory import result_text
from servemark.report.in_python import Result
from servemark.result import CondensedRecords, Failure, RunResult, Verdict

from ..conftest import write_record_file
from .test_reports import INVALID, STEP, result

HOSTILE = '<script>alert("x")</script>&\x1b[31m'


def _written(folder: Path, files: dict[str, dict[str, object]]) -> Result:
    """A result with a run for each of `files`, whose records have those columns, loaded from `folder`."""
    (folder / "records").mkdir(parents=True)
    base = result()
    (benchmark,) = base.benchmarks
    runs: list[RunResult] = []
    for name, columns in files.items():
        columns = dict(columns)
        rows, steps = columns.pop("rows"), columns.pop("steps", ("predict",))
        write_record_file(folder / "records" / f"{name}.bin", rows, columns, steps=steps, warmup_ns=100)
        sent = (replace(STEP, requests=rows, succeeded=rows),)
        point = {"threads": len(runs) + 1}
        runs.append(replace(benchmark.runs[0], records=f"records/{name}.bin", point=point, steps=sent))
    base = replace(base, benchmarks=(replace(benchmark, runs=tuple(runs), steps=benchmark.steps if runs else ()),))
    return _loaded(base, folder)


def _loaded(result: documents.Result, folder: Path) -> Result:
    (folder / "result.json").write_text(result_text(result), encoding="utf-8")
    return servemark.Result.load(folder)


@pytest.fixture
def two_runs(tmp_path: Path) -> Result:
    """One run of two steps with a failure, a warm-up and a request that was never sent; and one of one step."""
    first = {
        "rows": 4,
        "steps": ("predict", "explain"),
        "scheduled": [50, 200, 300, 400],
        "sent": [60, 210, 310, -1],
        "end": [90, 260, 390, -1],
        "first_byte": [80, 250, -1, -1],
        "step": [0, 1, 1, 0],
        "kind": [0, 0, 7, 1],
        "status": [200, 200, 503, 0],
    }
    return _written(tmp_path / "out", {"one": first, "two": {"rows": 2, "scheduled": [200, 300], "end": [250, 390]}})


def test_records_have_names_and_times_of_all_runs(two_runs: Result) -> None:
    rows = two_runs.records()
    assert two_runs.run_names == ("one", "two")
    assert rows["run"].tolist() == ["one"] * 4 + ["two"] * 2
    assert rows["step"].tolist() == ["predict", "explain", "explain", "predict", "predict", "predict"]
    assert rows["error"].tolist() == ["ok", "ok", "http_status:503", "connect", "ok", "ok"]
    assert rows["warm_up"].tolist() == [True] + [False] * 5
    assert rows["measured"].tolist() == [False, True, False, False, True, True]
    assert rows["first_byte"].tolist()[:4] == [80, 250, -1, -1]
    assert rows["latency_ns"].tolist()[:4] == [40, 60, 90, -1], "from the schedule, of what is no closed loop"


def test_their_columns_are_the_documented_ones(two_runs: Result) -> None:
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| `(\S+)` \|", page, re.MULTILINE)
    documented = {name: dtype for names, dtype in rows for name in re.findall(r"`(\w+)`", names)}
    found = two_runs.records().dtype
    kinds = {name: "str" if found[name].kind == "U" else found[name].name for name in found.names}
    assert kinds == documented


@pytest.mark.parametrize("by", [str, lambda run: run], ids=["by its name", "by itself"])
def test_of_one_run_and_of_one_step(two_runs: Result, by) -> None:
    run = two_runs.benchmarks[0].runs[0]
    assert len(two_runs.records(run="one" if by is str else by(run))) == 4
    only = two_runs.records("one", step="explain")
    assert set(only["step"]) == {"explain"}
    assert len(only) == 2


def test_a_run_or_a_step_that_there_is_not_is_refused_with_what_there_is(two_runs: Result) -> None:
    with pytest.raises(servemark.UsageError, match="there is no run 'three'; choose from one, two"):
        two_runs.records("three")
    with pytest.raises(servemark.UsageError, match=r"there is no step 'predicts'; did you mean predict\?"):
        two_runs.to_pandas(step="predicts")


def test_a_frame_has_categories_and_lacks_what_never_came(two_runs: Result) -> None:
    frame = two_runs.to_pandas()
    assert frame.columns.tolist() == list(two_runs.records().dtype.names)
    assert [str(frame[name].dtype) for name in ("run", "step", "error")] == ["category"] * 3
    assert frame["step"].cat.categories.tolist() == ["predict", "explain"]
    assert frame["error"].tolist() == two_runs.records()["error"].tolist()
    assert frame["sent"].isna().tolist() == [False, False, False, True, False, False]
    assert frame.groupby("error", observed=True)["latency_ns"].count()["connect"] == 0


def test_without_pandas_it_is_said_what_to_install(two_runs: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(servemark.SetupError, match=r"needs pandas: .*; pip install pandas, or take records\(\)"):
        two_runs.to_pandas()


def test_a_file_of_an_older_version_lacks_only_what_it_has_not(tmp_path: Path) -> None:
    known = _written(tmp_path / "out", {"one": {"rows": 2, "scheduled": [200, 300], "end": [250, 390]}})
    path = known.folder / "records" / "one.bin"
    text = path.read_bytes()
    path.write_bytes(text.replace(b'"read"', b'"gone"'))
    assert known.records()["read"].tolist() == [-1, -1]
    assert known.to_pandas()["read"].isna().all()


def test_a_result_without_runs_has_no_records(tmp_path: Path) -> None:
    known = _written(tmp_path / "out", {})
    assert len(known.records()) == len(known.to_pandas()) == 0
    with pytest.raises(servemark.UsageError, match="nothing was measured"):
        known.records("one")


def test_a_folder_that_is_gone_is_said(two_runs: Result) -> None:
    shutil.rmtree(two_runs.folder)
    with pytest.raises(servemark.RecordingError, match=rf"the folder of this result is gone: {two_runs.folder}; if it"):
        two_runs.records()
    assert "p50" in two_runs._repr_html_(), "which needs no records"


def test_records_that_are_gone_are_said(two_runs: Result) -> None:
    (two_runs.folder / "records" / "two.bin").unlink()
    assert len(two_runs.records("one")) == 4
    with pytest.raises(servemark.RecordingError, match=r"cannot read the records in .*two.bin: No such file"):
        two_runs.records()


def test_records_that_are_cut_short_are_no_table_of_those_that_are_left(two_runs: Result) -> None:
    write_record_file(two_runs.folder / "records" / "two.bin", 1, {"end": [250]})
    for table in (two_runs.records, two_runs.to_pandas):
        assert len(table("one")) == 4
        with pytest.raises(servemark.RecordingError, match=r"two.bin are cut short: they have 1 of the 2 requests"):
            table()


def test_records_that_were_condensed_are_no_empty_table(two_runs: Result) -> None:
    (benchmark,) = two_runs.benchmarks
    one, two = benchmark.runs
    two = replace(two, condensed=CondensedRecords(1_200, 0.01, 1.0, ()))
    condensed = _loaded(replace(two_runs, benchmarks=(replace(benchmark, runs=(one, two)),)), two_runs.folder)
    for table in (condensed.records, condensed.to_pandas):
        assert len(table("one")) == 4
        with pytest.raises(servemark.RecordingError, match=r"the 1,200 records of records/two.bin were condensed"):
            table()


@pytest.mark.parametrize(
    ("text", "why"), [("{", "cannot read .*: Expecting"), ("[]", "cannot read"), ('{"id": "y"}', "another result now")]
)
def test_a_folder_that_another_run_has_taken_is_refused(two_runs: Result, text: str, why: str) -> None:
    (two_runs.folder / "result.json").write_text(text)
    with pytest.raises(servemark.RecordingError, match=why):
        two_runs.records()


def test_it_knows_its_folder_which_is_no_part_of_the_document(two_runs: Result, tmp_path: Path) -> None:
    assert two_runs.folder == tmp_path / "out"
    assert "folder" not in json.loads(result_text(two_runs))
    assert str(tmp_path) not in result_text(two_runs)
    copy = shutil.copytree(two_runs.folder, tmp_path / "copy")
    assert servemark.Result.load(copy) == two_runs
    assert servemark.Result.load(copy / "result.json").folder == copy


def test_a_link_that_leads_elsewhere_later_changes_nothing(two_runs: Result, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to("out")
    known = servemark.Result.load(link)
    link.unlink()
    assert len(known.records()) == 6


def test_it_says_its_answer_in_one_line(two_runs: Result) -> None:
    assert repr(two_runs) == (f"<servemark.Result latency resnet-18: p50 20.0 ms, p99 40.0 ms; in {two_runs.folder}>")


def test_its_line_says_first_that_an_objective_is_missed() -> None:
    missed = Verdict("objective p99<9ms", "p99<9ms missed: 90.000% of 500 requests", "missed", "p99<9ms")
    shown = _shown()
    (benchmark,) = shown.benchmarks
    said = repr(replace(shown, benchmarks=(replace(benchmark, verdicts=(missed,)),)))
    assert said.startswith(
        "<servemark.Result SLO missed: 90.000% of 500 requests, p99<9ms asked; latency resnet-18: p50"
    )


def _shown(**changes) -> Result:
    return Result.of(result(**changes), Path("/nowhere"))


def test_a_notebook_shows_answer_table_certificate_and_chart() -> None:
    text = _shown()._repr_html_()
    assert "<strong>latency resnet-18: p50 20.0 ms, p99 40.0 ms</strong>" in text
    assert ">p99</td>" in text
    assert ">35.00 to 50.00</td>" in text
    assert "valid, 3 checks passed" in text
    assert "too few requests for an interval" in text, "what ~ means"
    assert text.count("<svg") == 1
    assert "/nowhere" in text


def test_what_is_invalid_is_so_in_a_notebook_too() -> None:
    text = _shown(certificate=INVALID)._repr_html_()
    assert "<strong>INVALID latency resnet-18" in text
    assert "<strong>accounted: 500 requests were scheduled but 499 recorded</strong>" in text


def test_it_is_one_piece_without_scripts_that_asks_nothing_of_the_network() -> None:
    text = _shown()._repr_html_()
    ET.fromstring(text)  # well-formed, so that nothing of it leaks into the page around it
    assert not re.search(r"<(script|link|style|img|iframe|foreignObject)|href|url\(|@import", text)
    assert set(re.findall(r"https?://[^\"'< ]+", text)) == {"http://www.w3.org/2000/svg"}


def test_nobodys_words_are_more_than_text() -> None:
    step = replace(STEP, name=HOSTILE)
    hostile = _shown(step=step, model=HOSTILE, failure=Failure(HOSTILE, 4))
    hostile = replace(hostile, error=HOSTILE, folder=Path("/tmp") / HOSTILE.replace("/", "|"))
    text = hostile._repr_html_()
    assert "<script" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;\\x1b[31m" in text
    ET.fromstring(text)
    assert "\x1b" not in repr(hostile)


def test_a_step_with_a_hostile_name_is_text_in_the_chart() -> None:
    (benchmark,) = result(step=replace(STEP, name="<b>&")).benchmarks
    svg = percentile_curves(benchmark)
    assert "&lt;b&gt;&amp;" in svg
    ET.fromstring(svg)


def _marks(svg: str) -> list[ET.Element]:
    return [element for element in ET.fromstring(svg).iter() if element.tag.endswith("circle")]


def test_the_chart_has_a_mark_a_percentile_hollow_where_there_is_no_interval() -> None:
    (benchmark,) = result().benchmarks
    marks = _marks(percentile_curves(benchmark))
    assert [mark.get("fill") == "none" for mark in marks] == [False, False, False, False, True]
    heights = [float(mark.get("cy", "nan")) for mark in marks]
    assert heights == sorted(heights, reverse=True), "what is slower stands higher"
    places = [float(mark.get("cx", "nan")) for mark in marks]
    assert np.diff(places).min() > 0


def test_of_many_points_the_first_are_drawn_and_that_is_said() -> None:
    (benchmark,) = result().benchmarks
    runs = tuple(replace(benchmark.runs[0], point={"threads": n}, steps=(STEP,)) for n in range(1, 10))
    svg = percentile_curves(replace(benchmark, steps=(), runs=runs))
    assert "6 of 9 lines" in svg
    assert "threads 6" in svg
    assert "threads 7" not in svg


def test_without_figures_there_is_no_chart() -> None:
    (benchmark,) = result(step=replace(STEP, measured=0)).benchmarks
    assert percentile_curves(benchmark) == ""
