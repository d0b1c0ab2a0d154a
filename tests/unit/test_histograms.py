"""Histograms: which bins there are, what is counted in them, and how they are drawn."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from servemark import _loadgen
from servemark.report.histogram import Chart, axis, bars
from servemark.report.sparkline import BLOCKS, PLAIN
from servemark.result import Histogram, from_json, schema_text, to_json
from servemark.stats.evidence import Question, Window
from servemark.stats.gather import gather
from servemark.stats.histograms import MOST_BINS, edges_ns
from servemark.stats.summary import summarise
from servemark.units import NS_PER_MS

from .test_reports import STEP, printed, result

MS = NS_PER_MS
KNOWN = Histogram((10.0, 12.0, 15.0, 19.0, 24.0), (100, 800, 300, 20))


def distribution_of(make_records, took_ns, **columns) -> Histogram | None:
    scheduled = np.arange(len(took_ns), dtype=np.int64) * 10 * MS
    sent = scheduled + MS
    file = make_records(len(took_ns), scheduled=scheduled, sent=sent, end=sent + took_ns, **columns)
    window = Window(0, len(took_ns) * 10 * MS)
    (step,) = summarise(gather([file], Question(window=window)))
    return step.distribution


def test_bins_are_of_equal_ratio_from_the_least_to_p99_9_and_one_beyond():
    edges = edges_ns(1 * MS, 100 * MS, 5000 * MS)
    assert len(edges) == MOST_BINS + 1
    assert (edges[0], edges[-2], edges[-1]) == (1 * MS, 100 * MS, 5000 * MS)
    ratios = np.array(edges[1:-1]) / np.array(edges[:-2])
    assert ratios == pytest.approx(np.full(len(ratios), 100 ** (1 / (MOST_BINS - 1))), rel=1e-3)


@pytest.mark.parametrize(
    ("least", "top", "greatest"),
    [(0, 0, 0), (5, 5, 5), (5, 5, 9), (3, 7, 7), (0, 10 * MS, 11 * MS), (-5, 10 * MS, 11 * MS)],
)
def test_bounds_rise_and_enclose_all_whatever_the_values(least, top, greatest):
    edges = edges_ns(least, top, greatest)
    assert edges == sorted(set(edges))
    assert (edges[0], edges[-1]) == (least, greatest)
    assert len(edges) <= MOST_BINS + 1


def test_every_measured_success_is_in_a_bin_of_the_headlines_latency(make_records):
    took_ns = (np.random.default_rng(1).lognormal(size=5000) * 10 * MS).astype(np.int64)
    found = distribution_of(make_records, took_ns, flags=_loadgen.RECORD_FLAGS["closed_loop"])
    assert (found.bounds_ms[0], found.bounds_ms[-1]) == (took_ns.min() / MS, took_ns.max() / MS)
    edges = np.array(found.bounds_ms) * MS
    places = np.maximum(np.searchsorted(np.rint(edges), took_ns, side="left") - 1, 0)
    assert found.counts == tuple(np.bincount(places, minlength=len(found.counts)))
    assert sum(found.counts) == 5000
    assert found.counts[-1] == 5, "what is above p99.9"


def test_of_an_open_loop_it_is_the_response(make_records):
    found = distribution_of(make_records, np.full(100, 4 * MS))
    assert found == Histogram((5.0, 5.0), (100,)), "all of them took 5 ms from their schedule"


def test_of_nothing_there_is_none(make_records):
    assert distribution_of(make_records, np.full(10, MS), kind=3) is None


def test_a_result_keeps_it_and_is_as_its_schema_says():
    whole = result(replace(STEP, distribution=KNOWN))
    document = to_json(whole)
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(json.loads(json.dumps(document)))
    assert from_json(document) == whole
    assert "distribution" not in to_json(result())["benchmarks"][0]["steps"][0]


def test_a_bar_is_as_high_as_its_count_and_what_is_there_is_seen():
    assert bars([0, 1, 500, 1000], 2, BLOCKS) == ["   \u2588", " \u2581\u2588\u2588"]
    assert bars([0, 1, 500, 1000], 1, PLAIN) == [" _=@"]


def test_the_axis_has_the_first_the_last_and_what_has_room_between():
    bounds = [10.0, 12.0, 15.0, 19.0, 24.0]
    assert axis(bounds, 9) == "|10.0 ms                    24.0 ms|"
    assert axis(bounds, 11) == "|10.0 ms              |15.0 ms      24.0 ms|"
    assert axis(bounds, 30).count("|") == 5
    assert axis(bounds, 1) == "|10.0 ms 24.0 ms|"


@pytest.mark.parametrize(("columns", "height"), [(60, 2), (80, 2), (120, 3), (200, 3)])
def test_it_is_as_wide_as_the_terminal(columns, height):
    lines = [line.plain for line in Chart("service", KNOWN).lines(columns)]
    assert len(lines) == height + 1
    assert max(map(len, lines)) in range(columns - 4, columns + 1)
    assert lines[0].startswith("service        ")


def test_the_few_beyond_p99_9_are_told_and_not_drawn():
    far = Histogram((*KNOWN.bounds_ms, 5000.0), (*KNOWN.counts, 1))
    *_, below, last = [line.plain for line in Chart("service", far).lines(80)]
    assert below.endswith("24.0 ms|")
    assert last.strip() == "and 1 above, up to 5.00 s"


def test_the_summary_has_it_below_the_three_figures_in_characters_that_the_locale_has(capsys, monkeypatch):
    whole = result(replace(STEP, distribution=KNOWN))
    for locale, ramp in (("C.UTF-8", BLOCKS), ("C", PLAIN)):
        monkeypatch.setenv("LC_ALL", locale)
        lines = printed(capsys, whole).splitlines()
        assert [line.split()[0] for line in lines[:5]] == ["latency", "p50", "p99", "throughput", "response"]
        assert set("".join(lines[4:6])) - set("response ") <= set(ramp)
        assert set("".join(lines[4:6])) & set(ramp)


def test_a_result_from_before_it_was_kept_is_printed_without(capsys):
    assert "response   " not in printed(capsys, result()).split("\n\n")[0]
