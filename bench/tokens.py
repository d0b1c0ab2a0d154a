"""Streams of tokens, in every way in which servers send them: reported beside what the oracle sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from judging import MS, Finding, equal
from laws import nearest_rank
from streams_of_tokens import (
    FAILING,
    WAYS,
    Answers,
    Way,
    at_rate,
    judge_counts,
    judge_times,
    make_certificate,
    run_ways,
    truth_ms,
)

from bench.proof import Section, markdown_table
from servemark.workload.load import ClosedLoad

#: So many ways are sent at once, so that neither side computes for more than a part of the time.
_AT_ONCE = 4
_SLOW_PER_S, _FAST_PER_S = 20.0, 200.0
_TOKENS = 100
#: Streams at once, and how often each has a token.
_STREAMS, _EVERY_MS = 1_000, 20
_OF_ONE_CORE = 1.0


def prove_tokens(program: Path, folder: Path, run_s: float) -> Iterator[Section]:
    """The figures of tokens are those of the oracle, at both rates, through TLS, and of many streams at once."""
    runs = [run_ways(program, folder, part, at_rate(_SLOW_PER_S, run_s), tokens=_TOKENS) for part in _parts(WAYS)]
    yield _section(f"Streams of {_TOKENS} tokens", f"each way {_SLOW_PER_S:g}/s, {run_s:g} s", runs)
    fast = [{name: WAYS[name]} for name in ("plain", "two a chunk, told")]
    runs = [run_ways(program, folder, way, at_rate(_FAST_PER_S, run_s), tokens=_TOKENS) for way in fast]
    yield _section("The same ten times as often", f"{_FAST_PER_S:g}/s, {run_s:g} s", runs)
    tls = make_certificate(folder)
    ways = {name: WAYS[name] for name in ("plain", "role first", "torn chunks", "two events a packet")}
    runs = [run_ways(program, folder, ways, at_rate(_SLOW_PER_S, run_s), tokens=_TOKENS, tls=tls)]
    yield _section("The same through TLS", f"each way {_SLOW_PER_S:g}/s, {run_s:g} s", runs)
    runs = [run_ways(program, folder, FAILING, at_rate(_SLOW_PER_S, run_s), tokens=_TOKENS)]
    failures = [
        equal(f"{way.name}: application errors", way.summary.errors.get("application", 0), way.summary.requests)
        for way in runs[0].ways.values()
    ]
    yield _section_of("Answers that fail within a 200", f"each way {_SLOW_PER_S:g}/s, {run_s:g} s", runs, failures)
    yield _many(program, folder, run_s)


def _many(program: Path, folder: Path, run_s: float) -> Section:
    """So many streams at once cost less than a core, and nothing of them is lost."""
    way = {"plain": f"{WAYS['plain']}&every_ms={_EVERY_MS}"}
    load = ClosedLoad(_STREAMS, duration_s=run_s, ramp_s=run_s / 2)
    runs = [run_ways(program, folder, way, load, tokens=_TOKENS, most_tries=1)]
    share = Finding("share of a core", runs[0].generator_share, 0.0, 0.0, _OF_ONE_CORE, "")
    told = f"{_STREAMS:,} users, a token every {_EVERY_MS} ms; the generator took {share.figure:.2f} of a core."
    findings = [*(found for way in runs[0].ways.values() for found in judge_counts(way)), share]
    return _section_of(f"{_STREAMS:,} streams at once", f"closed loop, {run_s:g} s", runs, findings, told)


def _parts(ways: Mapping[str, str]) -> Iterator[dict[str, str]]:
    names = list(ways)
    for first in range(0, len(names), _AT_ONCE):
        yield {name: ways[name] for name in names[first : first + _AT_ONCE]}


def _section(title: str, run: str, runs: Sequence[Answers]) -> Section:
    ways = [way for answers in runs for way in answers.ways.values()]
    timed = [way for way in ways if way.name != "whole"]
    found = [*(one for way in timed for one in judge_times(way)), *(one for way in ways for one in judge_counts(way))]
    return _section_of(title, run, runs, found, _table(timed))


def _section_of(title: str, run: str, runs: Sequence[Answers], findings: Sequence[Finding], told: str = "") -> Section:
    return Section(
        title,
        f"`servemark-oracle --llm`: first token after 50 ms, then one each 10 ms; {run}",
        findings,
        repeated=sum(answers.tries - 1 for answers in runs),
        all_valid=not any(answers.faults for answers in runs),
        told=told,
    )


def _table(ways: Sequence[Way]) -> str:
    """What was reported of each way beside what the oracle sent, medians in ms."""
    rows = []
    for way in ways:
        tokens = way.summary.tokens
        assert tokens is not None
        pairs = (
            (tokens.first_token_ms.p50.value, truth_ms(way, "first_token")),
            (tokens.time_per_output_token_ms.p50.value, truth_ms(way, "time_per_output_token")),
            (tokens.longest_gap_ms.p50.value, truth_ms(way, "longest_gap")),
        )
        shown = ("-" if value is None else f"{value:.2f} ({truth:.2f})" for value, truth in pairs)
        events_ms = nearest_rank(way.rows["first_event"] - way.rows["scheduled"], 0.5) / MS
        rows.append([way.name, *shown, f"{events_ms:.2f}"])
    head = ["sent", "first token", "per token", "longest gap", "first event, whatever it holds"]
    return f"Medians in ms, in brackets what the oracle did.\n\n{markdown_table(head, rows)}"
