"""The proof that the search for capacity finds it: of queues whose capacity is known, and of a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from functools import partial
from pathlib import Path

from capacities import CASES, NO_TRIES, Case, Tries, found_of, limit_at
from judging import Finding
from oracle import serving

from bench.kept import Kept
from bench.process import run_servemark
from bench.proof import Section, markdown_table
from servemark.result import Result

#: Of ten tries nine are near enough, and of the intervals of 90% between so many hold the truth.
_NEAR, _LEAST, _MOST = 0.9, 0.85, 0.95
_NEAR_SHARE = 0.06
#: What is asked of the real server, and the rates at which its capacity is tried afterwards, in shares of it.
_MMS_SLO, _MMS_WORKERS, _HOLDS_AT, _FAILS_AT, _TRIED_S = "p99<250ms", (1, 2), 0.9, 1.15, 60
#: As in the 2,000 experiments of other parts, of which this part makes a tenth.
_OF_EXPERIMENTS = 10
#: So many simulated searches are a try.
_A_TRY = 20


def prove_capacities(program: Path, folder: Path, experiments: int, searches: int, kept: Kept) -> Iterator[Section]:
    """A tenth of `experiments` of each queue and objective, simulated, and so many `searches` of a real one."""
    tries = experiments // _OF_EXPERIMENTS
    for case in CASES:
        found = _simulated(case, tries, kept)
        limit_ms = 1000 * limit_at(case.servers, case.share, 0.7)
        findings = [
            Finding("within 6% of the capacity", found.within_6_percent / tries, 1.0, _NEAR, 1.0, ""),
            Finding("intervals of 90% that hold it", found.covered / tries, 0.9, _LEAST, _MOST, ""),
            Finding("the longest search", found.longest_s, case.budget_s, 0.0, case.budget_s, "s"),
        ]
        yield Section(
            f"Capacity: {case}",
            f"{tries} tries of `capacity --slo 'p{100 * case.share:g}<{limit_ms:.1f}ms'`, simulated, of servers of "
            f"100 requests a second that meet it up to {case.capacity_per_s:g}/s; {found.decided} ended before their "
            f"{case.budget_s:.0f} s were over",
            findings,
        )
    if searches:
        yield _real(program, folder, searches, kept)


def _simulated(case: Case, tries: int, kept: Kept) -> Tries:
    """What so many simulated searches find."""
    found = NO_TRIES
    for first in range(0, tries, _A_TRY):
        number = min(_A_TRY, tries - first)
        name = f"capacity, {case}, {number} from {first}"
        found += Tries(*kept.tried(name, partial(_tried, case, number, first)))
    return found


def _tried(case: Case, number: int, first: int) -> tuple[float, ...]:
    return astuple(found_of(case, number, seed=1, first=first))


def _real(program: Path, folder: Path, searches: int, kept: Kept) -> Section:
    """Searches of the oracle, as M/M/1, with the command as a person gives it."""
    case = next(case for case in CASES if str(case) == "M/M/1 p90")
    limit_ms = 1000 * limit_at(case.servers, case.share, 0.7)
    law = ("--queue", "--exponential-ms", str(1000 * case.servers.mean_s))
    slo = f"p90<{limit_ms:.1f}ms"
    asked = ("--slo", slo, "--search-budget", f"{case.budget_s:g}")

    def searched(number: int) -> tuple[float, tuple[float, float], int]:
        seed = ("--seed", str(number))
        output = folder / f"capacity-{number}"
        with serving(program, folder / f"capacity-{number}.log", *law, *seed) as oracle:
            return _searched(output, "http", f"http://127.0.0.1:{oracle.port}/", *asked, *seed)

    told, near, held = [], 0, 0
    for number in range(searches):
        value, ci90, probes = kept.tried(f"capacity, for real, {number}", partial(searched, number))
        near += abs(value / case.capacity_per_s - 1) <= _NEAR_SHARE
        held += ci90[0] <= case.capacity_per_s <= ci90[1]
        told.append([f"{value:.2f}", f"{ci90[0]:.2f} to {ci90[1]:.2f}", str(probes)])
    return Section(
        "Capacity: M/M/1, for real",
        f"{searches} times `servemark capacity http http://127.0.0.1:PORT/ --slo '{slo}' --search-budget "
        f"{case.budget_s:g}` of `servemark-oracle {' '.join(law)}`, which meets it up to {case.capacity_per_s:g}/s",
        [
            Finding("searches within 6% of the capacity", near, searches, searches - 1, searches, ""),
            Finding("searches whose interval holds it", held, searches, searches - 1, searches, ""),
        ],
        told=markdown_table(["capacity/s", "90% interval", "probes"], told, left=0),
    )


def _searched(output: Path, *arguments: str) -> tuple[float, tuple[float, float], int]:
    """The capacity that a search finds, its interval, and how many probes it made."""
    run_servemark(output.parent, "capacity", *arguments, "--no-history", "-o", str(output))
    (benchmark,) = Result.load(output).benchmarks
    assert benchmark.capacity is not None
    estimate = benchmark.capacity.estimate
    return estimate.value or 0.0, estimate.ci90 or (0.0, 0.0), len(benchmark.capacity.probes)


def prove_capacities_of_mms(folder: Path, kept: Kept) -> Iterator[Section]:
    """The capacity of the real Multi Model Server, held against a minute somewhat below it, and one above."""
    for workers in _MMS_WORKERS:
        asked = ("-m", "squeezenet", "-w", str(workers), "--slo", _MMS_SLO)
        name = f"mms-{workers}"
        value, ci90, probes = kept.tried(name, partial(_searched, folder / name, *asked))
        statuses = {}
        for share in (_HOLDS_AT, _FAILS_AT):
            load = ["--rate", f"{share * value:.4g}", "--arrival", "poisson", "--warmup", "5"]
            load += ["--duration", str(_TRIED_S), "--no-history", "-o", str(folder / f"mms-{workers}-{share}")]
            tried = partial(run_servemark, folder, "run", "latency", *asked, *load)
            statuses[share] = kept.tried(f"mms-{workers}-{share}", tried)
        yield Section(
            f"Capacity: a real server, squeezenet with {workers} worker{'s' * (workers > 1)}",
            f"`servemark capacity -m squeezenet -w {workers} --slo '{_MMS_SLO}'` says {value:.4g}/s "
            f"({ci90[0]:.4g} to {ci90[1]:.4g}, {probes} probes). Then `servemark run latency "
            f"-m squeezenet -w {workers} --slo '{_MMS_SLO}' --rate RATE --arrival poisson --warmup 5 --duration "
            f"{_TRIED_S}`, which exits 0 where it is met and 1 where it is missed",
            [
                Finding(f"exit status at {_HOLDS_AT:g} times that", statuses[_HOLDS_AT], 0, 0, 0, ""),
                Finding(f"exit status at {_FAILS_AT:g} times that", statuses[_FAILS_AT], 1, 1, 1, ""),
            ],
        )
