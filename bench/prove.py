"""The proof of servemark's accuracy: the judgements of ``tests/accuracy``, at length, written to ``bench/PROOF.md``.

Run: make prove   (about a quarter of an hour, on a machine that does nothing else)

``--short`` does a little of everything in a minute and writes no file.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "accuracy"))

import laws
from judging import (
    CONFIDENCE,
    SHARE,
    SLACK_MS,
    STALL_APART_MS,
    STALL_SLACK_MS,
    Finding,
    judge_causes,
    judge_counts,
    judge_distances,
    judge_oracle,
    judge_queue,
    judge_response,
    judge_schedule,
    judge_stall,
    judge_theory,
)
from measuring import MOST_TRIES, Sample, compiled_arrivals, measure, pure_schedule
from oracle import build_oracle
from queues import Queue, run_queue
from stalls import Stall, run_stall

from bench.machine import Machine
from servemark.workload.load import Arrivals, OpenLoad, RateSegment

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Scale:
    """How much is proven: runs of a queue, their length, and requests of the other parts."""

    runs: int = 30
    run_s: float = 2.0
    counted: int = 1_000_000
    stalled: int = 6_000
    scheduled: int = 1_000_000


SHORT = Scale(runs=3, run_s=0.5, counted=20_000, stalled=1_500, scheduled=50_000)
#: Poisson arrivals of the requests that are counted, and how long the server takes for each.
COUNTED_PER_S, COUNTED_MS = 10_000.0, 3.0
STALLED_PER_S = 200.0


@dataclass(frozen=True)
class Part:
    """A part of the proof: what was run, what was found, how many runs were done again, and what
    became of the generator's real-time priority (empty where nothing was sent).
    """

    title: str
    run: str
    findings: Sequence[Finding]
    repeated: int = 0
    realtime: str = ""
    all_valid: bool = True

    @property
    def passed(self) -> bool:
        """Whether every run was valid and every figure within its bounds."""
        return self.all_valid and all(finding.passed for finding in self.findings)


def part_of(title: str, run: str, samples: Sequence[Sample], findings: Sequence[Finding]) -> Part:
    """The part that `samples` and what was found in them make."""
    repeated = sum(sample.tries - 1 for sample in samples)
    realtime = ", ".join(sorted({sample.realtime for sample in samples}))
    return Part(title, run, findings, repeated, realtime, all(sample.certificate.valid for sample in samples))


def prove_counts(program: Path, folder: Path, scale: Scale) -> Part:
    """Every request is scheduled, sent, received and recorded, once."""
    arrivals = Arrivals("poisson", profile=(RateSegment(COUNTED_PER_S, COUNTED_PER_S),))
    load = OpenLoad(arrivals, requests=scale.counted, max_connections=1000)
    law = ("--exponential-ms", str(COUNTED_MS))
    sample = measure(program, folder, law, load, seed=3, threads=2)
    return part_of(
        f"Scheduled = sent = received = recorded, over {scale.counted:,} requests",
        f"`servemark-oracle {' '.join(law)}`; poisson, {COUNTED_PER_S:,.0f}/s, two generator threads, seed 3",
        [sample],
        [*judge_counts([sample]), *judge_schedule([sample]), *judge_causes([sample])],
    )


def prove_queues(program: Path, folder: Path, scale: Scale) -> Iterator[Part]:
    """The response of one queue is what the oracle recorded, and what theory says."""
    for service in "DM":
        for utilisation in (0.5, 0.8, 0.9):
            queue = Queue(service, utilisation)
            samples = run_queue(program, folder, queue, runs=scale.runs, run_s=scale.run_s)
            yield part_of(
                f"{queue}",
                f"`servemark-oracle {' '.join(queue.law)}`; poisson, {queue.rate_per_s:g}/s, {scale.runs} runs of "
                f"{scale.run_s:g} s after {queue.settling_s:.2f} s, seeds 1 to {scale.runs}",
                samples,
                [
                    *judge_response(samples),
                    *judge_queue(samples),
                    *judge_theory(samples, queue.mean_ms, queue.percentiles_ms(scale.run_s)),
                    *judge_oracle(samples),
                    *judge_causes(samples),
                    *judge_counts(samples),
                    *judge_schedule(samples),
                ],
            )


def prove_stalls(program: Path, folder: Path, scale: Scale) -> Iterator[Part]:
    """A server that stalls for a second shows in full, whether or not connections run out."""
    for connections in (16, 1000):
        stall = Stall(connections)
        sample = run_stall(program, folder, stall, rate_per_s=STALLED_PER_S, requests=scale.stalled)
        yield part_of(
            f"A stall of a second, {connections} connections",
            f"`servemark-oracle {' '.join(stall.law)}`; constant, {STALLED_PER_S:g}/s, {scale.stalled:,} requests",
            [sample],
            [*judge_stall(sample, stall), *judge_causes([sample]), *judge_counts([sample])],
        )


def prove_schedules(scale: Scale) -> Part:
    """The times between arrivals follow their laws."""
    n, rate = scale.scheduled, 500.0
    steady = (RateSegment(rate, rate),)
    findings = []
    for what, arrivals, spread in [
        ("poisson", Arrivals("poisson", profile=steady), laws.exponential_share),
        ("gamma of CV 0.5", Arrivals("gamma", 0.5, steady), laws.gamma_share(0.5)),
        ("gamma of CV 2", Arrivals("gamma", 2.0, steady), laws.gamma_share(2.0)),
    ]:
        times = pure_schedule(compiled_arrivals(arrivals), 1, n)
        findings += judge_distances(what, times, lambda seconds: seconds * rate, spread)
    ramp = (100.0, 2000.0, n / 1050)
    times = pure_schedule(compiled_arrivals(Arrivals("poisson", profile=(RateSegment(*ramp),))), 1, 2 * n)
    findings += judge_distances(
        "poisson on a ramp from 100 to 2,000/s",
        times,
        lambda seconds: laws.expected_arrivals([ramp], seconds),
        laws.exponential_share,
    )
    return Part("Times between arrivals", f"`_loadgen.schedule`, {n:,} arrivals, seed 1", findings)


def in_words(value: float, unit: str) -> str:
    """A value of a table: counts in full, all else to five digits."""
    if math.isinf(value):
        return "any"
    return f"{value:,.0f}" if float(value).is_integer() and not unit else f"{value:.5g}"


def table(part: Part) -> str:
    """A part, in Markdown."""
    lines = [f"## {part.title}", "", f"{part.run}.", ""]
    if part.realtime:
        lines += [f"Real-time priority: {part.realtime}. Runs done again: {part.repeated}.", ""]
    if not part.all_valid:
        lines += [f"**FAILED**: a run was INVALID {MOST_TRIES} times.", ""]
    lines += ["| what | figure | truth | bounds | |", "| --- | ---: | ---: | --- | --- |"]
    for found in part.findings:
        values = (found.figure, found.truth, found.low, found.high)
        figure, truth, low, high = (in_words(value, found.unit) for value in values)
        bounds = "the same" if found.low == found.high else f"{low} to {high}"
        mark = "ok" if found.passed else "**FAILED**"
        lines.append(f"| {found.what} | {figure} {found.unit}".rstrip() + f" | {truth} | {bounds} | {mark} |")
    return "\n".join(lines)


def page(parts: Sequence[Part], machine: Machine) -> str:
    """The whole proof, in Markdown."""
    figures = sum(len(part.findings) for part in parts)
    failed = "; ".join(part.title for part in parts if not part.passed)
    result = f"**FAILED**: {failed}" if failed else f"all {figures} figures are within their bounds"
    intro = f"""# The proof of servemark's accuracy

Written by `make prove` ([prove.py](prove.py)); [docs/accuracy.md](../docs/accuracy.md) says what is judged, and how.

Machine: {machine.processor}, {machine.cpus} CPUs, {machine.memory_gib} GiB, {machine.system}, Linux {machine.kernel};
servemark {machine.servemark}. It took {machine.minutes:.0f} minutes; {machine.load_before:.1f} processes ran before,
and the hypervisor took {machine.steal:.1%} of the CPUs for others.

Bounds: a percentile of the response is within {SHARE:.0%} and {SLACK_MS:g} ms of the truth; one of a stall within
{STALL_SLACK_MS:g} ms, and {STALL_APART_MS:g} ms or more from what a closed loop would say; a mean over runs within
their t interval of {CONFIDENCE:.1%}, and {SLACK_MS:g} ms above it; distances by Kolmogorov and Smirnov at
{laws.DOUBT:.1%}. A run is done at most {MOST_TRIES} times, until it is valid and the oracle itself was on time.

Result: {result}.
"""
    return "\n".join([intro, *(table(part) + "\n" for part in parts)])


def main() -> int:
    """Prove everything; 1 when something is out of its bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a minute of it, printed")
    parser.add_argument("--runs", type=int, default=Scale.runs, help="of each queue (default: %(default)s)")
    options = parser.parse_args()
    scale = SHORT if options.short else Scale(runs=options.runs)
    program, machine = build_oracle(), Machine.now()
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for part in _parts(program, Path(folder), scale):
            parts.append(part)
            print(f"{'ok    ' if part.passed else 'FAILED'} {part.title}", file=sys.stderr)
    if scale == SHORT:
        print(page(parts, machine.after()))
    else:
        (ROOT / "bench" / "PROOF.md").write_text(page(parts, machine.after()))
    return int(not all(part.passed for part in parts))


def _parts(program: Path, folder: Path, scale: Scale) -> Iterator[Part]:
    yield prove_counts(program, folder, scale)
    yield from prove_queues(program, folder, scale)
    yield from prove_stalls(program, folder, scale)
    yield prove_schedules(scale)


if __name__ == "__main__":
    sys.exit(main())
