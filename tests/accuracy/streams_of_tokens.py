"""Answers of an LLM server in every way in which servers send them, at known times, and what servemark says of them.

All ways are sent in one run, each by an open loop of its own; the oracle recorded what left it when, so that what is
reported of each is judged by the truth of the same requests.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from judging import MS, Finding, equal, near
from laws import nearest_rank
from measuring import MOST_TRIES
from oracle import serving

from servemark.assessment import Measured, assess_run
from servemark.benchmarks import Point, http
from servemark.engines import Job
from servemark.engines.native.engine import NativeEngine
from servemark.records import open_records, time_per_token_ns
from servemark.result import AskedOptions, Certificate, StepSummary
from servemark.servers import ModelSettings, ServerSettings
from servemark.servers.http.dialect import DIALECT
from servemark.units import NS_PER_S
from servemark.workload.address import Address, Tls
from servemark.workload.compiling import compile_plan
from servemark.workload.load import Arrivals, Load, OpenLoad, RateSegment
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import SEQ_MARK, USER_MARK, ApiName, Request, Scenario, Step

#: What is asked of the oracle, see ``crates/servemark-oracle/src/llm.rs``.
WAYS: Mapping[str, str] = {
    "plain": "usage=last",
    "role first": "usage=last&role=1",
    "two a chunk": "usage=last&per_event=2",
    "two a chunk, told": "usage=continuous&per_event=2",
    "empty deltas": "usage=last&empty=1",
    "reasoning": "usage=last&reasoning=4",
    "usage alone": "usage=last&tail_ms=5",
    "no end mark": "usage=last&done=0",
    "stall": "usage=last&stall=5:500",
    "a byte a packet": "usage=last&cut=bytes&tokens=3",
    "two events a packet": "usage=last&cut=pairs",
    "torn chunks": "usage=last&cut=torn",
    "joined chunks": "usage=last&cut=joined",
    "short": "usage=last&stop=6",
    "completions": "usage=last",
    "nobody counts": "usage=no",
    "whole": "usage=last&stream=0",
}
FAILING: Mapping[str, str] = {
    "error event": "error=event",
    "error object": "error=object",
    "error whole": "error=whole",
}
#: How far a first token may be from the truth, and a time per token.
FIRST_SHARE, FIRST_SLACK_MS, TOKEN_SHARE = 0.02, 1.0, 0.01


@dataclass(frozen=True)
class Way:
    """What was reported, recorded and, by the oracle, sent of one way; rows in the order of `seq`."""

    name: str
    summary: StepSummary
    rows: Any
    log: Any


@dataclass(frozen=True)
class Answers:
    """A run over several ways, and how much of a CPU the generator took for it."""

    ways: Mapping[str, Way]
    certificate: Certificate
    generator_share: float
    tries: int = 1

    @property
    def faults(self) -> dict[str, str]:
        """Why it is INVALID: reasons by the name of the check."""
        return {check.name: check.reason for check in self.certificate.checks if check.passed is False}


def run_ways(
    program: Path,
    folder: Path,
    ways: Mapping[str, str],
    load: Load,
    *,
    tokens: int = 10,
    tls: tuple[Path, Path] | None = None,
    most_tries: int = MOST_TRIES,
) -> Answers:
    """One valid run in which each of `ways` is sent under `load`; after some tries the last one.

    Answers have `tokens` unless their way says otherwise. `tls` are the files of a certificate and its key, where TLS
    is spoken.
    """
    tries = 1
    while (answers := _run_once(program, folder, ways, load, tokens, tls)).faults and tries < most_tries:
        tries += 1
    return replace(answers, tries=tries)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """The files of a certificate for "test" that signs itself, and of its key."""
    files = ["-keyout", "test.key", "-out", "test.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, "-days", "2", "-subj", "/CN=test"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "test.pem", folder / "test.key"


def at_rate(rate_per_s: float, run_s: float) -> OpenLoad:
    """Arrivals of a constant rate."""
    arrivals = Arrivals("constant", profile=(RateSegment(rate_per_s, rate_per_s),))
    return OpenLoad(arrivals, duration_s=run_s, warmup_s=0.0)


def _run_once(
    program: Path, folder: Path, ways: Mapping[str, str], load: Load, tokens: int, tls: tuple[Path, Path] | None
) -> Answers:
    number = len(list(folder.iterdir()))
    record_path = folder / f"{number}.bin"
    plan = Plan(tuple(Group(Scenario((_step(name, tokens, query),)), load) for name, query in ways.items()))
    options = ["--llm", *(["--tls", ":".join(map(str, tls))] if tls else [])]
    spoken = Tls("test", verify=False) if tls else None
    with serving(program, folder / f"{number}.log", *options) as oracle:
        addresses: dict[ApiName, Address] = {"inference": Address("127.0.0.1", "127.0.0.1", oracle.port, tls=spoken)}
        compiled = compile_plan(plan, addresses, timeout_s=30, connect_timeout_s=10, seed=1, keep_awake="on")
        job = Job(
            plan=plan,
            compiled=compiled,
            addresses=addresses,
            record_path=record_path,
            folder=folder,
            server_pid=None,
            server_cpu_s=lambda: None,
        )
        engine_run = NativeEngine().execute(job)
    records = open_records(record_path)
    measured = Measured(
        benchmark=http.BENCHMARK,
        point=Point(ServerSettings(), ModelSettings(workers=None), load, lambda *_: plan),
        plan=plan,
        compiled=compiled,
        records=(records,),
        engine_run=engine_run,
        dialect=DIALECT,
        served=(),
        settings_after={},
        memory_bytes=(None, None),
        removal=None,
        failure=None,
        asked=AskedOptions(),
        engine="native",
    )
    run = assess_run(measured, max_errors_share=1.0).run
    rows, log = (np.sort(np.array(table), order="seq") for table in (records.memmap(), oracle.log))
    return Answers(
        {
            step.name: Way(step.name, step, rows[rows["step"] == place], log[rows["step"] == place])
            for place, step in enumerate(run.steps)
        },
        run.certificate,
        engine_run.generator_cpu_s / (engine_run.ended_ns / NS_PER_S),
    )


def _step(name: str, tokens: int, query: str) -> Step:
    api = "completions" if name == "completions" else "chat/completions"
    path = f"/{USER_MARK}/{SEQ_MARK}/v1/{api}?tokens={tokens}&{query}"
    request = Request("GET", path, numbered=True)
    if name == "short":  # what was asked for is held against what came
        body = f'{{"stream":true,"max_tokens":{tokens}}}'.encode()
        request = Request("POST", path, (("Content-Type", "application/json"),), body, numbered=True)
    return Step(name, (request,), tokens="openai")


def truth_ms(way: Way, figure: str) -> float:
    """The median of what the oracle did: its law is constant, so that no percentile says more."""
    log = way.log
    if figure == "first_token":
        times = log["first_content"] - log["arrival"]
    elif figure == "longest_gap":
        times = log["longest_gap"]
    else:
        first = 2 if way.name == "two a chunk, told" else 1
        times = (log["last_content"] - log["first_content"]) / (log["tokens"] - first)
    return nearest_rank(times, 0.5) / MS


def judge_times(way: Way) -> list[Finding]:
    """The reported medians are those of the oracle: of the first token, of the time per token, of the longest gap."""
    tokens = way.summary.tokens
    assert tokens is not None
    first, gap = truth_ms(way, "first_token"), truth_ms(way, "longest_gap")
    found = [
        near(f"{way.name}: first token", _value(tokens.first_token_ms), first, FIRST_SHARE * first + FIRST_SLACK_MS),
        near(f"{way.name}: longest gap", _value(tokens.longest_gap_ms), gap, FIRST_SHARE * gap + FIRST_SLACK_MS),
    ]
    if tokens.output_tokens.source == "usage":
        each = truth_ms(way, "time_per_output_token")
        found.append(near(f"{way.name}: per token", _value(tokens.time_per_output_token_ms), each, TOKEN_SHARE * each))
    return found


def judge_counts(way: Way) -> list[Finding]:
    """Tokens and events with content are as many as the oracle sent, of each request."""
    tokens = way.summary.tokens
    assert tokens is not None
    counted = 0 if tokens.output_tokens.source == "none" else int(way.log["tokens"].sum())
    return [
        equal(f"{way.name}: answers", tokens.answers, len(way.log)),
        equal(f"{way.name}: tokens", tokens.output_tokens.count or 0, counted),
        equal(f"{way.name}: events with content", int(way.rows["contents"].sum()), int(way.log["contents"].sum())),
        equal(f"{way.name}: requests whose events differ", int((way.rows["contents"] != way.log["contents"]).sum()), 0),
    ]


def reported_of(way: Way) -> Way:
    """The way with medians made anew of its rows: what a spoiled one would have reported."""
    rows, tokens = way.rows, way.summary.tokens
    assert tokens is not None
    times = {
        "first_token_ms": rows["first_content"] - rows["scheduled"],
        "longest_gap_ms": rows["longest_gap"],
        "time_per_output_token_ms": time_per_token_ns(rows),
    }
    made = {name: _with_median(getattr(tokens, name), nearest_rank(of, 0.5) / MS) for name, of in times.items()}
    output = replace(tokens.output_tokens, count=int(rows["usage_tokens"].sum()))
    told = replace(tokens, **made, output_tokens=output, answers=len(rows))
    return replace(way, summary=replace(way.summary, tokens=told))


def _with_median(latency: Any, value: float) -> Any:
    return replace(latency, p50=replace(latency.p50, value=value))


def _value(latency: Any) -> float:
    value = latency.p50.value
    return float("nan") if value is None else float(value)
