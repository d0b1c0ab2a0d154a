"""``servemark report --format``: every format of every schema, whole or not at all; what is wrong is said in a line."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import numpy as np
import pytest

from servemark.cli import main
from servemark.errors import OutputError
from servemark.records import open_records
from servemark.report import csv as summary_csv
from servemark.report import extras
from servemark.report.directory import remove_folder, result_text
from servemark.report.formats import FORMATS
from servemark.report.junit import junit_text
from servemark.report.words import named
from servemark.result import (
    INTERRUPTED,
    Comparison,
    Failure,
    Outcome,
    Result,
    Skipped,
    Suite,
    SuiteEntry,
    Verdict,
)
from servemark.verdict import errors_within, exit_status

from .test_reports import ALL_FAILED, INVALID, STEP, result

DATA = Path(__file__).parent / "data"
GOLDEN_FIGURES = {
    "Label": "request",
    "# Samples": "200",
    "Average": "1.399",
    "Median": "0.357",
    "90% Line": "4.627",
    "95% Line": "6.703",
    "99% Line": "15.292",
    "Min": "0.155",
    "Max": "21.320",
    "Error %": "5.00%",
    "Throughput": "95.000",
    "Received KB/sec": "10.762",
    "Std. Dev.": "2.916",
    "Not certified": "95% Line, 99% Line",
}
#: A result of every schema: of the first, one of many benchmarks whose records are gone, and one with its records,
#: which the last servemark of that schema measured.
FIRST, FIRST_RECORDED, SECOND = "result-schema-1", "result-schema-1-recorded", "result-schema-2"
WITHOUT_RECORDS = [name for name, one in FORMATS.items() if not one.needs_records]
#: What the page lacks without records.
LACKING = "what happened over time, where the time goes, and latencies between the reported percentiles"
TEXTS = [name for name, one in FORMATS.items() if one.shape == "text"]


def folder_of(golden: str, folder: Path) -> Path:
    """A copy of the result of that schema, which may be written to."""
    if golden == FIRST:
        folder.mkdir()
        shutil.copyfile(DATA / f"{FIRST}.json", folder / "result.json")
        return folder
    return Path(shutil.copytree(DATA / golden, folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(SECOND, tmp_path / "result")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def reported(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    status = main(["report", *map(str, words)])
    told = capsys.readouterr()
    return status, told.out, told.err


CASES = [(FIRST, name) for name in WITHOUT_RECORDS]
CASES += [(golden, name) for golden in (FIRST_RECORDED, SECOND) for name in FORMATS]


@pytest.mark.parametrize(("golden", "name"), CASES)
def test_results_of_every_schema_are_reported_in_every_format_beside_them(tmp_path, capsys, golden, name):
    folder = folder_of(golden, tmp_path / "result")
    before, path = content(folder), FORMATS[name].path(folder)
    status, out, err = reported(capsys, folder, "--format", name)
    assert (status, out) == (0, f"{path}\n")
    lacking = f"servemark: {path} lacks {LACKING}: cannot read the records in"
    assert err.startswith(lacking) if (golden, name) == (FIRST, "html") else err == ""
    assert path.exists()
    added = {Path(one).parts[0] for one in content(folder).keys() - before.keys()}
    assert added == {FORMATS[name].file} - before.keys()
    assert {one: text for one, text in content(folder).items() if one in before and one != path.name} == {
        one: text for one, text in before.items() if one != path.name
    }


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - set(WITHOUT_RECORDS)))
def test_a_format_that_needs_records_says_that_they_are_missing_and_nothing_is_written(tmp_path, capsys, name):
    folder = folder_of(FIRST, tmp_path / "result")
    status, out, err = reported(capsys, folder, "--format", "csv", "--format", name)
    assert (status, out) == (4, "")
    assert "error: cannot read the records in" in err
    assert err.count("\n") == 1
    assert list(content(folder)) == ["result.json"]


def test_key_figures_of_the_first_schema(tmp_path, capsys):
    rows = rows_of(tmp_path, capsys, FIRST)
    known = {row["Label"]: row for row in rows}
    ping = known["ping: ping"]
    assert (ping["# Samples"], ping["Error %"]) == ("100", "0.00%")
    figures = json.loads((DATA / f"{FIRST}.json").read_text(encoding="utf-8"))
    (step,) = next(one for one in figures["benchmarks"] if one["name"] == "ping")["steps"]
    assert ping["Median"] == f"{step['response_ms']['p50']['value']:.3f}"
    assert ping["Throughput"] == f"{step['throughput_per_s']['value']:.3f}"


def test_records_of_the_first_schema_say_what_its_result_does(tmp_path, capsys):
    (row,) = rows_of(tmp_path, capsys, FIRST_RECORDED)
    golden = Result.load(DATA / FIRST_RECORDED)
    (run,) = golden.benchmarks[0].runs
    records = open_records(DATA / FIRST_RECORDED / run.records)
    median_ms = np.percentile(records.latency_ms(), 50, method="inverted_cdf")
    assert row["Median"] == f"{median_ms:.3f}" == f"{run.steps[0].response_ms.p50.value:.3f}"
    assert (len(records), run.steps[0].requests) == (230, 230)
    page = tmp_path / "page.html"
    assert reported(capsys, tmp_path / "golden", "--format", "html", "-o", page)[0] == 0
    assert "Latency over time" in page.read_text(encoding="utf-8")


def test_key_figures_of_the_second_schema(tmp_path, capsys):
    assert rows_of(tmp_path, capsys, SECOND) == [GOLDEN_FIGURES]


def rows_of(tmp_path: Path, capsys: pytest.CaptureFixture[str], golden: str) -> list[dict[str, str]]:
    status, out, _ = reported(capsys, folder_of(golden, tmp_path / "golden"), "--format", "csv", "-o", "-")
    assert status == 0
    return list(csv.DictReader(io.StringIO(out)))


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_goes_to_stdout_as_it_goes_to_a_file(folder, tmp_path, capsys, name):
    before = content(folder)
    status, out, err = reported(capsys, folder, "--format", name, "-o", "-")
    assert (status, err) == (0, "")
    assert content(folder) == before
    assert reported(capsys, folder, "--format", name, "-o", tmp_path / "file")[0] == 0
    assert (tmp_path / "file").read_bytes().decode("utf-8") == out
    assert out.endswith("\n")


def test_several_formats_are_written_at_once(folder, capsys):
    words = [word for name in FORMATS for word in ("--format", name)]
    status, out, _ = reported(capsys, folder, *words)
    assert status == 0
    assert out.splitlines() == [str(one.path(folder)) for one in FORMATS.values()]
    assert Result.load(folder).schema == "servemark/result/2"
    assert ElementTree.parse(folder / "verdicts.xml").getroot().tag == "testsuites"


def test_the_result_may_be_named_by_its_file(folder, capsys):
    assert reported(capsys, folder / "result.json", "--format", "markdown")[0] == 0
    assert (folder / "summary.md").exists()


def test_a_folder_with_every_report_is_one_that_servemark_made(folder, capsys):
    assert reported(capsys, folder, *[word for name in FORMATS for word in ("--format", name)])[0] == 0
    remove_folder(folder, Result.load(folder).id)
    assert not folder.exists()


def test_a_run_that_was_killed_is_reported_from_its_records(folder, capsys):
    document = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    (benchmark,) = document["benchmarks"]
    (run,) = benchmark["runs"]
    begun = {"server": document["server"], "benchmark": {**benchmark, "verdicts": [], "runs": [{**run, "steps": []}]}}
    (folder / run["records"]).with_suffix(".begun.json").write_text(json.dumps(begun))
    (folder / "result.json").write_text(json.dumps({**document, "benchmarks": []}))
    before = (folder / "result.json").read_bytes()
    status, out, _ = reported(capsys, folder, "--format", "text", "-o", "-")
    assert status == 0
    assert out.startswith("PARTIAL INVALID http ")
    assert (folder / "result.json").read_bytes() == before, "it was not asked for"


WRONG = "servemark: error: "


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--format", "htlm"], "unknown format 'htlm'"),
        (["--format", "markdwon"], "unknown format 'markdwon'; did you mean markdown?"),
        (["-o", "x"], "-o goes with --format"),
        (
            ["--format", "csv", "--format", "json", "-o", "x"],
            "-o takes one --format, and there are 2; give -o for each",
        ),
        (["--otlp", "http://127.0.0.1:1", "-o", "x"], "-o takes one --format, and there are 0"),
        (["--format", "parquet", "-o", "-"], "--format parquet is no text for stdout; give -o a file"),
        (["--format", "hgrm", "-o", "-"], "--format hgrm is no text for stdout"),
        (["--format", "csv", "-o", "none/x"], "cannot write none/x: No such file or directory; name a place"),
        (["--format", "csv", "-o", "taken"], "cannot write taken: it is a folder"),
        (["--format", "hgrm", "-o", "file"], "cannot write file: it is no folder, and hgrm makes several files"),
        (["--format", "hgrm", "-o", "taken"], "cannot write taken: it holds mine.txt, which is no .hgrm file"),
        (["--otlp", "collector:4317"], "--otlp"),
        (["--otlp", "ftp://collector/"], "--otlp"),
        (["--format", "csv", "--benchmark", "latency"], "--benchmark goes with a JTL"),
        (["--format", "csv", "--strict"], "--strict goes with --format junit"),
        (["--allow-invalid"], "--allow-invalid goes with --format junit"),
    ],
    ids=str,
)
def test_wrong_usage_is_found_before_anything_is_read(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "result.json").write_text("no JSON, which would be status 4")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("precious")
    (tmp_path / "file").touch()
    before = content(tmp_path)
    status, out, err = reported(capsys, "result", *words)
    assert (status, out) == (2, "")
    assert err.startswith(WRONG)
    assert says in err
    assert err.count("\n") == 1
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        ([], ("1", "0", "1")),
        (["--strict"], ("1", "1", "0")),
        (["--allow-invalid"], ("0", "0", "1")),
        (["--allow-invalid", "--strict"], ("0", "1", "0")),
    ],
    ids=str,
)
def test_what_counts_as_a_failure_in_junit_is_asked_as_of_a_run(folder, capsys, words, counts):
    document = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    (benchmark,) = document["benchmarks"]
    benchmark["certificate"]["valid"] = False
    benchmark["verdicts"] = [{"question": "is it so?", "answer": "who knows", "outcome": "undecided"}]
    (folder / "result.json").write_text(json.dumps(document), encoding="utf-8")
    status, out, _ = reported(capsys, folder, "--format", "junit", "-o", "-", *words)
    assert status == 0
    (suite,) = ElementTree.fromstring(out)
    assert (suite.get("errors"), suite.get("failures"), suite.get("skipped")) == counts


def test_no_two_cases_of_junit_have_the_same_class_and_name():
    whole = result(model=None)
    (one,) = whole.benchmarks
    asked = [
        replace(one, name="http", options=replace(one.options, url=f"http://127.0.0.1:{port}/{path}"))
        for port, path in ((1, "a"), (2, "a"), (1, "b"), (1, "c"))
    ]
    asked[0] = replace(asked[0], verdicts=(Verdict("is it so?", "yes", "met"), Verdict("is it so?", "no", "missed")))
    root = ElementTree.fromstring(junit_text(replace(whole, benchmarks=tuple(asked)), allow_invalid=False))
    assert [suite.get("name") for suite in root] == [
        "http 127.0.0.1:1",
        "http 127.0.0.1:2",
        "http 127.0.0.1:1 (2)",
        "http 127.0.0.1:1 (3)",
    ]
    assert [case.get("name") for case in root[0]] == ["measured", "is it so?", "is it so? (2)"]
    cases = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(set(cases)) == len(cases) == 9
    assert {case.get("classname") for case in root[2]} == {root[2].get("name")}


def test_what_a_suite_left_out_is_skipped_in_junit_with_the_reason_in_its_place():
    whole = result()
    states = {"load-m": "skipped", "latency-m": "done", "http-m": "not run"}
    entries = tuple(SuiteEntry(name, status, "") for name, status in states.items())
    whole = replace(whole, suite=Suite("mine", entries), skipped=(Skipped("load-m", "no room \x00 for 16"),))
    root = ElementTree.fromstring(junit_text(whole, allow_invalid=False))
    (measured,) = whole.benchmarks
    assert [suite.get("name") for suite in root] == ["load-m", named(measured), "http-m"]
    assert [(suite.get("tests"), suite.get("skipped")) for suite in root][::2] == [("1", "1"), ("1", "1")]
    assert [case.get("message") for case in root.iter("skipped")] == ["no room \ufffd for 16", "not run"]


@pytest.mark.parametrize("allow_invalid", [False, True])
@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([ALL_FAILED], "predict: every request failed: 500 connect; first at 0.001 s: connection refused"),
        ([STEP, replace(ALL_FAILED, name="ping")], "ping: every request failed: 500 connect; "),
        ([replace(STEP, measured=0)], "nothing was measured: every answer took too long"),
    ],
    ids=["all", "of one step", "too slow"],
)
def test_a_benchmark_that_exits_4_is_an_error_in_junit(steps, says, allow_invalid):
    whole = result(verdicts=(Verdict("at most 1% of the requests failed", "500 of 500", "missed"),))
    (one,) = whole.benchmarks
    one = replace(one, runs=(replace(one.runs[0], steps=tuple(steps)),), steps=tuple(steps))
    whole = replace(whole, error=None, benchmarks=(one,))
    assert exit_status(whole, allow_invalid=allow_invalid) == 4
    (suite,) = ElementTree.fromstring(junit_text(whole, allow_invalid=allow_invalid))
    assert (suite.get("errors"), suite.get("failures")) == ("1", "1")
    (error,) = suite.iter("error")
    assert says in error.get("message")


#: What a result may be, each in any of these ways.
_WAYS = {
    "error": (None, INTERRUPTED),
    "refused": (None, "", "unlike runs: kernel a and b"),
    "skipped": ((), (Skipped("load", "no room"),)),
    "benchmarks": (
        (),
        *(({"verdicts": (Verdict("is it so?", "who knows", outcome),)},) for outcome in get_args(Outcome)),
        ({}, {"certificate": INVALID}),
        *(({}, {"failure": Failure("no", status)}) for status in (2, 4, 70)),
        ({"runs": result(ALL_FAILED).benchmarks[0].runs},),
    ),
    "allow_invalid": (False, True),
    "strict": (False, True),
}


def test_junit_has_a_failure_or_an_error_where_the_exit_status_is_not_0_and_only_there():
    whole, seen = result(), Counter()
    for ways in product(*_WAYS.values()):
        error, refused, skipped, benchmarks, *asked = ways
        comparison = None if refused is None else Comparison("a", "b", 0.05, "undecided", (), refused=refused)
        measured = tuple(replace(whole.benchmarks[0], **{"verdicts": (), **changes}) for changes in benchmarks)
        one = replace(whole, error=error, comparison=comparison, skipped=skipped, benchmarks=measured)
        allowed = dict(zip(("allow_invalid", "strict"), asked, strict=True))
        status, root = exit_status(one, **allowed), ElementTree.fromstring(junit_text(one, **allowed))
        bad = sum(int(suite.get(counted)) for suite in root for counted in ("failures", "errors"))
        assert (bad > 0) is (status != 0), ways
        seen[status] += 1
    assert sorted(seen) == [0, 1, 2, 3, 4, 70, 130]


def test_junit_says_why_a_run_was_not_compared_or_came_to_no_end():
    whole = replace(result(), comparison=Comparison("a", "b", 0.05, "undecided", (), refused="unlike runs: kernel"))
    for error in (INTERRUPTED, "the server died"):
        root = ElementTree.fromstring(junit_text(replace(whole, error=error), allow_invalid=False))
        assert [suite.get("errors") for suite in root] == ["0", "2"]
        cases = {case.get("name"): case.find("error") for case in root[1]}
        assert {name: found.get("message") for name, found in cases.items()} == {
            "finished": error,
            "compared": "unlike runs: kernel",
        }


@pytest.mark.parametrize("share", [0.01, 1.0])
def test_that_every_request_failed_is_an_error_in_junit_unless_max_errors_allows_it(share):
    whole = result(ALL_FAILED, verdicts=(errors_within(ALL_FAILED, share),))
    (suite,) = ElementTree.fromstring(junit_text(whole, allow_invalid=False))
    assert (suite.get("errors"), suite.get("failures")) == (("1", "1") if share < 1 else ("0", "0"))


@pytest.mark.parametrize(("words", "extra"), [(["--format", "parquet"], "parquet"), (["--otlp", "http://h"], "otlp")])
def test_what_is_not_installed_is_named_with_how_to_have_it(tmp_path, monkeypatch, capsys, words, extra):
    monkeypatch.setitem(extras.EXTRAS, extra, "no_such_module.below")
    (tmp_path / "result.json").write_text("no JSON")
    status, _, err = reported(capsys, tmp_path, *words)
    assert status == 2
    assert f"{' '.join(words[:2] if extra == 'parquet' else words[:1])} needs no_such_module-below: it is not" in err
    assert f"export SERVEMARK_EXTRAS={extra}" in err


@pytest.mark.parametrize("words", [["--format", "csv"], ["--otlp", "http://127.0.0.1:1"]], ids=str)
def test_a_jtl_becomes_a_result_first(tmp_path, capsys, words):
    jtl = tmp_path / "old.jtl"
    jtl.write_text("timeStamp,elapsed\n")
    status, _, err = reported(capsys, jtl, *words)
    assert status == 2
    assert f"{words[0]} goes with a result; make one first: servemark report {jtl}" in err


def test_a_folder_without_a_result_or_none_at_all_is_wrong_usage(tmp_path, capsys):
    for path, says in ((tmp_path / "none", "no such folder, or file"), (tmp_path, "No such file or directory")):
        status, _, err = reported(capsys, path, "--format", "csv")
        assert status == 2
        assert f"there is no result in {path}: {says}" in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "Expecting property name"),
        ('{"metrics": {"http_req_duration": {}}}', "it is no servemark/result/2"),
        ("[1, 2]", "it is no servemark/result/2"),
        ('{"schema": "servemark/result/99"}', "which a newer servemark wrote"),
    ],
)
def test_what_another_tool_wrote_is_named(tmp_path, capsys, text, says):
    (tmp_path / "result.json").write_text(text)
    status, _, err = reported(capsys, tmp_path, "--format", "csv")
    assert status == 4
    assert f"cannot read {tmp_path / 'result.json'}: " in err
    assert says in err
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def _cut(path: Path, keep_bytes: int) -> None:
    with path.open("r+b") as file:
        file.truncate(keep_bytes)


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - set(WITHOUT_RECORDS)))
@pytest.mark.parametrize(
    ("keep_bytes", "says"), [(-100, "are cut short: they have"), (40, "header is cut short"), (3, "is not a record")]
)
def test_records_that_are_cut_short_are_named_and_the_last_report_stays(folder, capsys, name, keep_bytes, says):
    assert reported(capsys, folder, "--format", name)[0] == 0
    (records,) = (folder / "records").glob("*.bin")
    _cut(records, records.stat().st_size + keep_bytes if keep_bytes < 0 else keep_bytes)
    before = content(folder)
    status, out, err = reported(capsys, folder, "--format", name)
    assert (status, out) == (4, "")
    assert says in err
    assert str(records) in err
    assert content(folder) == before


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("csv", "result.json"),
        ("markdown", "report.html"),
        ("jtl", "records/NAME"),
        ("text", "records/new.txt"),
        ("parquet", "summary.csv"),
    ],
)
def test_no_report_is_written_over_what_is_the_result(folder, capsys, name, target):
    (records,) = (folder / "records").glob("*.bin")
    target = folder / target.replace("NAME", records.name)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["report", str(folder), "--format", name, "-o", str(target)]) == 2
    assert f"cannot write {target}: it is part of a result; name another file" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_report_goes_where_it_is_by_itself_and_into_no_other_result(folder, tmp_path, capsys):
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    assert main(["report", str(folder), "--format", "csv", "-o", str(folder / "summary.csv")]) == 0
    for name, target in (("csv", "summary.csv"), ("json", "result.json")):
        assert main(["report", str(folder), "--format", name, "-o", str(other / target)]) == 2
        assert "it is part of a result" in capsys.readouterr().err
    for words in (["--html", str(other / "report.html")], ["--json", str(other / "result.json")]):
        assert main(["compare", str(folder), str(other), *words]) == 2
        assert "it is part of a result" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "first", "second"),
    [
        (["run", "ping", "--junit", "one", "--markdown", "./one"], "--junit", "--markdown"),
        (["run", "ping", "--json", "one", "--markdown", "one"], "--json", "--markdown"),
        (["compare", "a", "b", "--html", "one", "--json", "one"], "--html", "--json"),
    ],
)
def test_two_outputs_are_not_one_file(tmp_path, monkeypatch, capsys, words, first, second):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert f"{first} and {second} name one file, " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [(), ("--format", "jtl")], ids=str)
def test_reports_of_records_that_are_cut_short_are_not_made_again(folder, capsys, words):
    (records,) = (folder / "records").glob("*.bin")
    _cut(records, records.stat().st_size // 2)
    before = content(folder)
    status, out, err = reported(capsys, folder, *words)
    assert (status, out) == (4, "")
    assert "are cut short: they have" in err
    assert content(folder) == before


@pytest.mark.parametrize("keep", [0.5, 0])
def test_a_page_of_records_that_are_not_all_there_says_what_it_lacks(folder, capsys, keep):
    (records,) = (folder / "records").glob("*.bin")
    _cut(records, int(records.stat().st_size * keep))
    status, _, err = reported(capsys, folder, "--format", "html")
    assert status == 0
    assert err.startswith(f"servemark: {folder / 'report.html'} lacks {LACKING}: ")
    assert str(records) in err
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert f"Not drawn: {LACKING}: " in text
    assert "Latency over time" not in text


def test_a_report_on_a_full_disk_leaves_the_last_one_and_nothing_half_written(folder, capsys, monkeypatch):
    (folder / "summary.csv").write_text("the last one")
    before = content(folder)

    def full(out, _recorded):
        out.write("half a ")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(summary_csv, "report", full)
    status, _, err = reported(capsys, folder, "--format", "csv")
    assert status == 4
    assert f"cannot write {folder / 'summary.csv'}: No space left on device; free some space" in err
    assert content(folder) == before
    assert list(folder.glob(".*")) == []


def test_a_report_is_replaced_in_one_step(folder, capsys):
    path = folder / "summary.md"
    path.write_text("older")
    with path.open(encoding="utf-8") as whoever_reads_it:
        assert reported(capsys, folder, "--format", "markdown")[0] == 0
        assert whoever_reads_it.read() == "older"
    assert path.read_text(encoding="utf-8") != "older"


def test_a_folder_of_files_is_replaced_as_a_whole(folder, capsys, monkeypatch):
    from servemark.report import hgrm

    assert reported(capsys, folder, "--format", "hgrm")[0] == 0
    (folder / "hgrm" / "of-an-older-step-response.hgrm").write_text("older")
    before = content(folder)

    def full(partial, _recorded):
        (partial / "first.hgrm").write_text("whole")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(hgrm, "report", full)
        assert reported(capsys, folder, "--format", "hgrm")[0] == 4
    assert content(folder) == before
    assert reported(capsys, folder, "--format", "hgrm")[0] == 0
    assert not (folder / "hgrm" / "of-an-older-step-response.hgrm").exists()
    assert list(folder.glob(".*")) == []


def test_a_device_is_written_to_and_not_replaced(folder, capsys):
    assert reported(capsys, folder, "--format", "json", "-o", "/dev/null")[0] == 0
    assert Path("/dev/null").is_char_device()


def test_a_link_stays_and_leads_to_what_is_new(folder, tmp_path, capsys):
    target, link = tmp_path / "target.md", tmp_path / "link.md"
    target.write_text("older")
    link.symlink_to(target)
    assert reported(capsys, folder, "--format", "markdown", "-o", link)[0] == 0
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8").startswith("**SLO met: ")


def test_a_report_of_a_run_that_cannot_be_written_is_said_and_changes_no_exit_status(tmp_path, monkeypatch, capsys):
    from servemark import runner
    from servemark.cli import run

    def unwritable(_text):
        raise OutputError("cannot write it", cause="No space left on device")

    measured = runner.WrittenResult(replace(result(), error=None), tmp_path)
    monkeypatch.setattr(runner, "perform", lambda *_, **__: measured)
    arguments = run.parse_run("servemark run", ["latency", "--junit", "v.xml", "--markdown", "s.md"])
    status = run._run(arguments, [], "servemark run", {"junit": unwritable, "markdown": unwritable})
    told = capsys.readouterr()
    assert status == 0
    assert told.err.count("error: cannot write it: No space left on device\n") == 2
    assert told.out.startswith("latency resnet-18: p50")


def test_a_name_that_is_no_utf8_goes_into_every_text(tmp_path, capsys):
    name = b"a\xff".decode("utf-8", "surrogateescape")
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "result.json").write_text(result_text(result(model=name)), encoding="utf-8")
    for one in TEXTS:
        if not FORMATS[one].needs_records:
            status, _, err = reported(capsys, folder, "--format", one)
            lacking = f"lacks {LACKING}: cannot read the records" if one == "html" else ""
            assert (one, status, bool(err), lacking in err) == (one, 0, bool(lacking), True)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_read(folder, capsys):
    (folder / "report.html").unlink(missing_ok=True)
    (folder / "report.html").mkdir()
    (folder / "result.json").write_text("{")
    assert main(["report", str(folder)]) == 2
    assert "report.html: it is a folder; name a place that you may write" in capsys.readouterr().err
