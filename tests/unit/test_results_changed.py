"""Results whose content is off: whatever value of a real one is changed, it is reported or refused with the reason."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servemark.cli import main
from servemark.errors import ServemarkError
from servemark.report.formats import FORMATS
from servemark.report.recorded import RecordedResult
from servemark.result import from_json

DATA = Path(__file__).parent / "data"
#: An open loop with an objective and its records, and benchmarks of every kind without.
SECOND = json.loads((DATA / "result-schema-2" / "result.json").read_text(encoding="utf-8"))
FIRST = json.loads((DATA / "result-schema-1.json").read_text(encoding="utf-8"))
FORMATS_OF_ALL = [name for name, one in FORMATS.items() if one.shape == "text" and not one.needs_records]
REMOVED = ...
VALUES = (None, -1, 0, 1e308, -1e308, 2**70, "", "x", "\ud800", "a\0b", [], [[]], {}, True, REMOVED)
Place = tuple[str | int, ...]


def _places(value: Any, at: Place = ()) -> Iterator[Place]:
    """The way to each value in `value`, leaves and what holds them."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from _places(item, (*at, name))


def _changed(document: Any, at: Place, value: Any) -> Any:
    document = copy.deepcopy(document)
    holder = document
    for name in at[:-1]:
        holder = holder[name]
    if value is REMOVED:
        del holder[at[-1]]
    else:
        holder[at[-1]] = value
    return document


def _reported(document: Any, folder: Path) -> list[str]:
    """The formats that could be made of it; none where it is refused. Any other error is one too many."""
    try:
        recorded = RecordedResult(from_json(document), folder)
    except ValueError:
        return []
    made = []
    for name in FORMATS_OF_ALL:
        try:
            FORMATS[name].text(recorded).encode()
            made.append(name)
        except ServemarkError:
            pass
    return made


@pytest.mark.parametrize(
    ("document", "folder", "changes"),
    [(SECOND, DATA / "result-schema-2", 120), (FIRST, DATA, 40)],
    ids=["with records", "without"],
)
def test_a_changed_value_is_reported_or_refused_and_never_a_fault(document, folder, changes):
    drawn = random.Random(20)
    cases = [(at, value) for at in _places(document) for value in VALUES]
    outcomes = {bool(_reported(_changed(document, *case), folder)) for case in drawn.sample(cases, changes)}
    assert outcomes == {True, False}, "some are refused, and some are not"


BENCHMARK: Place = ("benchmarks", 0)
RUN: Place = (*BENCHMARK, "runs", 0)
STEP: Place = (*BENCHMARK, "steps", 0)


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        ((*BENCHMARK, "runs"), {}, "benchmarks: runs: {} is no array"),
        ((*BENCHMARK, "runs"), [], "benchmarks: it has steps, and no runs that they are of"),
        ((*BENCHMARK, "verdicts", 0, "outcome"), 1, "benchmarks: verdicts: outcome: 1 is none of met, missed, und"),
        ((*BENCHMARK, "verdicts", 0, "outcome"), [], "benchmarks: verdicts: outcome: [] is none of met"),
        ((*BENCHMARK, "verdicts"), "met", 'benchmarks: verdicts: "met" is no array'),
        ((*RUN, "load"), None, "benchmarks: runs: load: null is no object"),
        ((*RUN, "load", "profile"), [], "benchmarks: runs: load: it has neither a profile nor a trace"),
        ((*RUN, "window_s", 1), -1, "benchmarks: runs: window_s: it begins at 0.3 s and ends at -1 s"),
        ((*RUN, "window_s"), [1.0], "benchmarks: runs: window_s: [1.0] is no array of 2"),
        ((*RUN, "window_s", 1), 1e12, "benchmarks: runs: window_s: it begins at 0.3 s and ends at 1e+12 s"),
        ((*STEP, "response_ms", "p50", "value"), 1e308, "steps: response_ms: p50: value: 1e+308 is too large"),
        ((*RUN, "point"), {"threads": [1]}, "benchmarks: runs: point: threads is no single value"),
        ((*RUN, "records"), "a\0b", r"benchmarks: runs: records: 'a\x00b' names no file"),
        ((*RUN, "records"), "\ud800", r"benchmarks: runs: records: '\ud800' names no file"),
        ((*RUN, "server"), [], "benchmarks: runs: server: [] is no object"),
        ((*STEP, "errors"), [], "benchmarks: steps: errors: [] is no object"),
        ((*STEP, "requests"), 10**30, "is too large"),
        ((*STEP, "distribution"), {"bounds_ms": [], "counts": []}, "distribution: it has 0 bounds and 0 counts"),
        (("command",), "servemark", 'command: "servemark" is no array'),
    ],
    ids=str,
)
def test_what_reports_rely_on_is_seen_when_a_result_is_read(tmp_path, capsys, at, value, says):
    (tmp_path / "result.json").write_text(json.dumps(_changed(SECOND, at, value)), encoding="utf-8")
    assert main(["report", str(tmp_path), "--format", "text", "-o", "-"], "servemark") == 4
    told = capsys.readouterr().err
    assert f"servemark: error: cannot read {tmp_path / 'result.json'}: it is no whole servemark/result/2: " in told
    assert says in told
    assert told.count("\n") == 1


def test_a_number_that_json_reads_as_infinite_is_refused(tmp_path, capsys):
    text = json.dumps(_changed(SECOND, (*RUN, "warmup_s"), "HERE")).replace('"HERE"', "1e999")
    (tmp_path / "result.json").write_text(text, encoding="utf-8")
    assert main(["report", str(tmp_path), "--format", "text", "-o", "-"], "servemark") == 4
    assert "benchmarks: runs: warmup_s: Infinity is too large" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        ((*RUN, "server", "read_back"), REMOVED, "HTTP endpoint, running; GET "),
        ((*RUN, "server", "read_back"), "x", "HTTP endpoint, running; GET "),
        (("server", "source"), "x", "HTTP endpoint, running; GET "),
        ((*STEP, "response_ms", "p99_9"), {"value": 21.3, "ci95": None}, "p99.9"),
    ],
    ids=str,
)
def test_what_is_free_in_its_form_may_lack_anything(tmp_path, at, value, says):
    recorded = RecordedResult(from_json(_changed(SECOND, at, value)), tmp_path)
    assert says in FORMATS["text"].text(recorded)


def test_a_benchmark_that_this_version_does_not_know_is_reported_by_its_figures():
    document = _changed(SECOND, (*BENCHMARK, "name"), "newer_benchmark")
    folder = DATA / "result-schema-2"
    assert _reported(document, folder) == FORMATS_OF_ALL
    text = FORMATS["text"].text(RecordedResult(from_json(document), folder))
    assert "newer_benchmark 127.0.0.1:18766: 95.00/s, p50 0.357 ms, p99 ~15.3 ms;" in text


def test_names_that_are_no_utf8_are_in_the_rows_of_several_benchmarks():
    document = _changed(SECOND, (*BENCHMARK, "model"), "a\udcff")
    document["benchmarks"] *= 2
    text = FORMATS["csv"].text(RecordedResult(from_json(document), DATA / "result-schema-2"))
    assert r"http a\udcff: request" in text
