"""The proof of servemark's accuracy: the judgements of ``tests/accuracy``, at length, written to ``bench/PROOF.md``.

Run: make prove   (about an hour, on a machine that does nothing else)

``--only closed,alarms,faults`` proves these parts again and leaves the others in the file as they are. ``--runs 3``
tries parts with fewer runs, ``--short`` a little of everything; both print, and write no file. ``--keep FOLDER`` keeps
each try of objectives, capacity, capacity-mms, same-handler, slower-handler and histories as a file: what was proven
when it is ended is not measured again by the same command, and a part is written when it is whole.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "accuracy"))

import laws
from judging import (
    CONFIDENCE,
    SHARE,
    SLACK_MS,
    STALL_APART_MS,
    STALL_SLACK_MS,
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
from measuring import MOST_TRIES, Conditions, compiled_arrivals, measure, pure_schedule
from oracle import build_oracle
from queues import Queue, run_queue
from stalls import Stall, run_stall

from bench.alarms import prove_alarms
from bench.capacity import prove_capacities, prove_capacities_of_mms
from bench.closed import prove_closed
from bench.cluster import prove_cluster
from bench.comparisons import prove_comparisons
from bench.coverage import prove_coverage
from bench.handlers import prove_same_handler, prove_slower_handler
from bench.histories import prove_histories
from bench.injected import prove_faults
from bench.kept import Kept, OtherMachineError
from bench.llm_servers import prove_llm_servers
from bench.machine import Machine
from bench.objectives import prove_objectives
from bench.process import end_with_what_was_started
from bench.proof import Section, page, part_text, parts_of, section_of
from bench.tokens import prove_tokens
from servemark.workload.load import Arrivals, OpenLoad, RateSegment

PROOF = Path(__file__).with_name("PROOF.md")


@dataclass(frozen=True)
class Scale:
    """How much is proven: runs of a queue and their length, requests of the parts that have one run, and runs of each
    loop, command and fault; and simulated experiments of each law; and streams of each real server.
    """

    runs: int = 30
    run_s: float = 2.0
    counted: int = 1_000_000
    stalled: int = 6_000
    scheduled: int = 1_000_000
    loops: int = 8
    loop_s: float = 4.0
    commands: int = 40
    faults: int = 20
    experiments: int = 2_000
    searches: int = 3
    pairs: int = 20
    streams: int = 200


SHORT = Scale(
    runs=3,
    run_s=0.5,
    counted=20_000,
    stalled=1_500,
    scheduled=50_000,
    loops=2,
    loop_s=1.0,
    commands=2,
    faults=2,
    experiments=100,
    searches=0,
    pairs=1,
    streams=20,
)
#: Poisson arrivals of the requests that are counted, and how long the server takes for each.
COUNTED_PER_S, COUNTED_MS = 10_000.0, 3.0
STALLED_PER_S = 200.0
GENERATORS = 4


def prove_counts(program: Path, folder: Path, scale: Scale) -> Section:
    """Every request is scheduled, sent, received and recorded, once."""
    load, law = _counted(scale)
    sample = measure(program, folder, law, load, seed=3, threads=2)
    return section_of(
        f"Scheduled = sent = received = recorded, over {scale.counted:,} requests",
        f"`servemark-oracle {' '.join(law)}`; poisson, {COUNTED_PER_S:,.0f}/s, two generator threads, seed 3",
        [sample],
        [*judge_counts([sample]), *judge_schedule([sample]), *judge_causes([sample])],
    )


def prove_generators(program: Path, folder: Path, scale: Scale) -> Section:
    """Every request of a load that several generators share is scheduled, sent, received and recorded, once."""
    load, law = _counted(scale)
    sample = measure(program, folder, law, load, seed=3, conditions=Conditions(generators=GENERATORS))
    return section_of(
        f"Scheduled = sent = received = recorded, over {scale.counted:,} requests of {GENERATORS} generators",
        f"`servemark-oracle {' '.join(law)}`; poisson, {COUNTED_PER_S:,.0f}/s, {GENERATORS} processes, seed 3",
        [sample],
        [*judge_counts([sample]), *judge_schedule([sample]), *judge_causes([sample])],
    )


def prove_counts_on_cluster(program: Path, folder: Path, scale: Scale) -> Section:
    """The same of generators on a Ray cluster of this machine."""
    return prove_cluster(program, folder, *_counted(scale))


def _counted(scale: Scale) -> tuple[OpenLoad, tuple[str, ...]]:
    """The load whose requests are counted, and the law by which they are answered."""
    arrivals = Arrivals("poisson", profile=(RateSegment(COUNTED_PER_S, COUNTED_PER_S),))
    load = OpenLoad(arrivals, requests=scale.counted, max_connections=1000)
    return load, ("--exponential-ms", str(COUNTED_MS))


def prove_queues(program: Path, folder: Path, scale: Scale) -> Iterator[Section]:
    """The response of one queue is what the oracle recorded, and what theory says."""
    for service in "DM":
        for utilisation in (0.5, 0.8, 0.9):
            queue = Queue(service, utilisation)
            samples = run_queue(program, folder, queue, runs=scale.runs, run_s=scale.run_s)
            yield section_of(
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


def prove_stalls(program: Path, folder: Path, scale: Scale) -> Iterator[Section]:
    """A server that stalls for a second shows in full, whether or not connections run out."""
    for connections in (16, 1000):
        stall = Stall(connections)
        sample = run_stall(program, folder, stall, rate_per_s=STALLED_PER_S, requests=scale.stalled)
        yield section_of(
            f"A stall of a second, {connections} connections",
            f"`servemark-oracle {' '.join(stall.law)}`; constant, {STALLED_PER_S:g}/s, {scale.stalled:,} requests",
            [sample],
            [*judge_stall(sample, stall), *judge_causes([sample]), *judge_counts([sample])],
        )


def prove_schedules(scale: Scale) -> Section:
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
    return Section("Times between arrivals", f"`_loadgen.schedule`, {n:,} arrivals, seed 1", findings)


def intro() -> str:
    """What stands before the parts, each of which says what it was proven on."""
    return f"""# The proof of servemark's accuracy

Written by `make prove` ([prove.py](prove.py)); [docs/accuracy.md](../docs/accuracy.md) says what is judged, and how.

Bounds: a percentile of the response is within {SHARE:.0%} and {SLACK_MS:g} ms of the truth; one of a stall within
{STALL_SLACK_MS:g} ms, and {STALL_APART_MS:g} ms or more from what a closed loop would say; a mean over runs within
their t interval of {CONFIDENCE:.1%}, and {SLACK_MS:g} ms above it; distances by Kolmogorov and Smirnov at
{laws.DOUBT:.1%}. There a run is done at most {MOST_TRIES} times, until it is valid and the oracle itself was on time;
beside hogs each run counts.
"""


def main() -> int:
    """Prove what was asked for; 1 when something is out of its bounds."""
    options = _parse()
    end_with_what_was_started()
    try:
        kept = Kept.opened(options.keep, Machine.now()) if options.keep else Kept()
    except OtherMachineError as error:
        sys.exit(f"error: {error}")
    program = build_oracle()
    texts, all_passed = {}, True
    for name in options.only:
        machine = Machine.now()
        sections = []
        kept.forget_told()
        with tempfile.TemporaryDirectory(prefix="servemark-proof-") as folder:
            for section in _PARTS[name](program, Path(folder), options.scale, kept):
                sections.append(section)
                print(f"{section.mark} {section.title}", file=sys.stderr)
                all_passed &= section.passed
        texts[name] = part_text(name, sections, machine.after(), kept)
        if options.is_whole:
            # After each part, so that the next one's failing costs only itself.
            known = parts_of(PROOF.read_text(encoding="utf-8")) if PROOF.exists() else {}
            parts = {name: text for name in _PARTS if (text := texts.get(name, known.get(name)))}
            PROOF.write_text(page(parts, intro()), encoding="utf-8")
    if not options.is_whole:
        print(page(texts, intro()))
    return int(not all_passed)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a little of everything, printed")
    names = ", ".join(_PARTS)
    parser.add_argument(
        "--only",
        type=_part_names,
        default=[name for name in _PARTS if name not in _LONG],
        help=f"these parts, with commas: {names} (default: all but {', '.join(_LONG)})",
    )
    parser.add_argument("--runs", type=int, help="of each queue, loop, command and fault; printed, to try it")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="keep each try there, and measure none again")
    options = parser.parse_args()
    options.is_whole = not options.short and options.runs is None
    options.scale = SHORT if options.short else Scale()
    if options.runs:
        options.scale = replace(
            options.scale, runs=options.runs, loops=options.runs, commands=options.runs, faults=options.runs
        )
    return options


def _part_names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in _PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part {unknown[0]!r}: there are {', '.join(_PARTS)}")
    return names


#: Parts that take more than an hour each.
_LONG = ("same-handler", "slower-handler")
_PARTS: dict[str, Callable[[Path, Path, Scale, Kept], Iterator[Section]]] = {
    "counts": lambda program, folder, scale, _kept: iter([prove_counts(program, folder, scale)]),
    "generators": lambda program, folder, scale, _kept: iter([prove_generators(program, folder, scale)]),
    "cluster": lambda program, folder, scale, _kept: iter([prove_counts_on_cluster(program, folder, scale)]),
    "queues": lambda program, folder, scale, _kept: prove_queues(program, folder, scale),
    "stalls": lambda program, folder, scale, _kept: prove_stalls(program, folder, scale),
    "schedules": lambda _program, _folder, scale, _kept: iter([prove_schedules(scale)]),
    "closed": lambda program, folder, scale, _kept: prove_closed(program, folder, scale.loops, scale.loop_s),
    "alarms": lambda _program, folder, scale, _kept: prove_alarms(folder, scale.commands),
    "coverage": lambda _program, _folder, scale, _kept: prove_coverage(scale.experiments),
    "objectives": lambda _program, _folder, scale, kept: prove_objectives(scale.experiments, kept),
    "faults": lambda program, folder, scale, _kept: prove_faults(program, folder, scale.faults),
    "capacity": lambda program, folder, scale, kept: prove_capacities(
        program, folder, scale.experiments, scale.searches, kept
    ),
    "capacity-mms": lambda _program, folder, _scale, kept: prove_capacities_of_mms(folder, kept),
    "compare": lambda _program, _folder, scale, _kept: prove_comparisons(scale.experiments),
    "same-handler": lambda _program, folder, scale, kept: iter([prove_same_handler(folder, scale.pairs, kept)]),
    "slower-handler": lambda _program, folder, scale, kept: iter([prove_slower_handler(folder, scale.pairs, kept)]),
    "tokens": lambda program, folder, scale, _kept: prove_tokens(program, folder, scale.loop_s),
    "llm-servers": lambda _program, folder, scale, _kept: prove_llm_servers(folder, scale.streams),
    "histories": lambda _program, _folder, scale, kept: prove_histories(scale.experiments, kept),
}


if __name__ == "__main__":
    sys.exit(main())
