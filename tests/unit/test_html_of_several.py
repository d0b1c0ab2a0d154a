"""Pages of several results: a comparison with the curves of all, and a history with where it changed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import vl_convert

from bench.simulated import latencies_ms, result_of
from servemark.cli import main
from servemark.report.directory import result_text
from servemark.result import Result

from ..conftest import write_record_file
from .histories import measured, remembered

MS = 1_000_000
HOSTILE = "</script><script>alert(1)</script><img src=x>"


def _written(
    folder: Path, seed: int, slower: float = 0.0, *, records: bool = True, urls: tuple[str, ...] = ()
) -> Result:
    """A result of five trials in the folder, with the records of each; of endpoints, it has all for each of them."""
    rng = np.random.default_rng(seed)
    result = result_of((1 + slower) * latencies_ms(rng, 5, between=0.01, autocorrelation=0.0), folder.name)
    (one,) = result.benchmarks
    asked = [replace(one, name="http", model=None, options=replace(one.options, url=url)) for url in urls]
    result = replace(result, benchmarks=tuple(asked or [one]))
    folder.mkdir()
    (folder / "result.json").write_text(result_text(result), encoding="utf-8")
    for run in result.benchmarks[0].runs if records else ():
        path = folder / run.records
        path.parent.mkdir(exist_ok=True)
        times = np.arange(500) * 10 * MS
        ends = times + (1 + slower) * rng.exponential(5 * MS, 500).astype(np.int64) + MS
        write_record_file(path, 500, {"scheduled": times, "sent": times, "first_byte": ends, "end": ends})
    return result


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERVEMARK_HISTORY", str(tmp_path / "history.db"))
    return tmp_path


def _compared(*words: str) -> tuple[int, str]:
    status = main(["compare", *words, "--html", "page.html"], "servemark")
    page = Path("page.html")
    return status, page.read_text(encoding="utf-8") if page.exists() else ""


def _specs(text: str) -> list[dict]:
    found = re.findall(r"<script type=\"application/json\">(.*?)</script>", text, re.DOTALL)
    return [json.loads(one) for one in found]


def test_the_answer_comes_first_and_all_curves_are_on_the_same_axes(here: Path) -> None:
    for name, seed, slower in (("before", 1, 0.0), ("after", 2, 0.1), ("later", 3, 0.0)):
        _written(here / name, seed, slower)
    status, text = _compared("before", "after", "later")
    assert status == 1
    assert re.findall(r"<h2>(.*?)</h2>", text)[:2] == ["after against before", "later against before"]
    answers = re.findall(r'<p class="answer (\w*)">(\w+)', text)
    assert answers[:2] == [("missed", "slower"), ("met", "no")]
    trials, _, curve = _specs(text)
    points = trials["layer"][2]["data"]["values"]
    assert {(row["figure"], row["of"]) for row in points} >= {("predict p50", "before"), ("predict p50", "after")}
    assert sum(row["figure"] == "predict p50" for row in points) == 10
    lines = [layer for layer in curve["layer"] if layer["mark"]["type"] == "line"]
    assert {row["series"] for row in lines[0]["data"]["values"]} == {"before", "after", "later"}


def _curves(text: str) -> list[tuple[str, set[str]]]:
    """The headings below which curves by percentile are, each with whose these are."""
    found = []
    for title, section in re.findall(r"<h2>(.*?)</h2>(.*?)(?=<h2>|$)", text, re.DOTALL):
        for spec in _specs(section):
            lines = [layer for layer in spec["layer"] if layer["mark"]["type"] == "line"]
            found += [(title, {row["series"] for row in line["data"]["values"]}) for line in lines]
    return found


def test_one_path_of_two_servers_has_both_curves(here: Path) -> None:
    _written(here / "before", 1, urls=("http://127.0.0.1:1/ok",))
    _written(here / "after", 2, urls=("http://127.0.0.1:2/ok",))
    _, text = _compared("before", "after")
    assert _curves(text) == [("http /ok", {"before", "after"})]


def test_two_paths_of_a_server_have_curves_of_their_own(here: Path) -> None:
    for name, seed in (("before", 1), ("after", 2)):
        _written(here / name, seed, urls=("http://127.0.0.1:1/one", "http://127.0.0.1:1/two"))
    _, text = _compared("before", "after")
    assert _curves(text) == [("http /one", {"before", "after"}), ("http /two", {"before", "after"})]


def test_several_are_told_one_by_one_and_the_worst_counts(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed, slower in (("before", 1, 0.0), ("after", 2, 0.1), ("later", 3, 0.0)):
        _written(here / name, seed, slower, records=False)
    assert main(["compare", "before", "later", "after"], "servemark") == 1
    out = capsys.readouterr().out
    assert out.index("later against before\nno difference") < out.index("after against before\nslower")
    main(["compare", "before", "later", "after", "--json", "-"], "servemark")
    first, second = json.loads(capsys.readouterr().out)
    assert (first["answer"], second["answer"]) == ("no difference", "slower")


def test_records_that_are_gone_are_said_and_the_rest_is_there(here: Path) -> None:
    _written(here / "before", 1)
    _written(here / "after", 2, records=False)
    status, text = _compared("before", "after")
    assert status == 0
    assert "after: Not drawn: latency by percentile: cannot read the records in" in text
    assert len(_specs(text)) == 1


def test_words_of_others_stay_words(here: Path) -> None:
    for name, seed in (("before", 1), ("<img src=x>", 2)):
        result = _written(here / name, seed, records=False)
        (benchmark,) = result.benchmarks
        hostile = replace(result, benchmarks=(replace(benchmark, model=HOSTILE),))
        (here / name / "result.json").write_text(result_text(hostile), encoding="utf-8")
    _, text = _compared("before", "<img src=x>")
    assert "<img src=x>" not in text
    assert "alert(1)</script>" not in text
    assert "&lt;img src=x&gt; against before" in text


@pytest.mark.parametrize("words", [("compare", "before", "after"), ("history", "trend")], ids=["compare", "history"])
def test_a_place_that_cannot_be_written_is_said_before_anything_is_read(here: Path, capsys, words) -> None:
    status = main([*words, "--html", "no/such/page.html"], "servemark")
    assert status == 2
    assert "cannot write no/such/page.html: No such file or directory" in capsys.readouterr().err


def test_a_history_shows_each_result_and_where_it_changed(here: Path, capsys) -> None:
    for day in range(24):
        remembered(here / f"{day:02}", measured(day, p50_ms=(20.0 if day < 14 else 24.0) + 0.1 * (day % 3)))
    assert main(["history", "trend", "--html", "page.html"], "servemark") == 0
    assert capsys.readouterr().out.startswith("latency resnet-18: p50 of 24 results")
    text = Path("page.html").read_text(encoding="utf-8")
    assert re.search(r'<p class="answer missed">changed 2026-01-15', text)
    (spec,) = _specs(text)
    rules, segments, _, points = spec["layer"]
    assert [row["n"] for row in rules["data"]["values"]] == [14.5]
    assert [(row["from"], row["to"]) for row in segments["data"]["values"]] == [(1, 14), (15, 24)]
    assert len(points["data"]["values"]) == 24
    assert points["encoding"]["x"]["scale"]["domain"] == [0.5, 24.5]
    assert str(here / "23") in text


@pytest.mark.parametrize("results", [1, 2, 3, 25])
def test_no_two_labels_of_a_history_are_of_the_same_result(here: Path, results: int) -> None:
    for day in range(results):
        remembered(here / f"{day:02}", measured(day))
    assert main(["history", "trend", "--html", "page.html"], "servemark") == 0
    (spec,) = _specs(Path("page.html").read_text(encoding="utf-8"))
    svg = vl_convert.vegalite_to_svg({**spec, "width": 700})
    (axis,) = re.findall(r"<g [^>]*aria-label=\"X-axis.*", svg, re.DOTALL)
    labels = re.findall(r">(\d+)</text>", axis.partition("role-axis-title")[0])
    assert labels
    assert len(set(labels)) == len(labels)
    assert set(labels) <= {str(place) for place in range(1, results + 1)}


def test_a_history_without_a_change_says_so(here: Path) -> None:
    for day in range(9):
        remembered(here / f"{day:02}", measured(day))
    assert main(["history", "trend", "--statistic", "rate", "--html", "page.html"], "servemark") == 0
    text = Path("page.html").read_text(encoding="utf-8")
    assert '<p class="answer ">no change was found</p>' in text
    (spec,) = _specs(text)
    assert len(spec["layer"]) == 2
