"""Measure servemark and its peers, in rounds, and say which bars are held: `make bench`, or ``python -m bench``."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench import bars as bar_file
from bench import cost, edges, memory, pacing, receiver, report, running, token_figures, truth
from bench.machine import Machine
from bench.peers import RECIPES, find_peers
from bench.results import MANY_CONNECTIONS, Results, bars
from bench.running import Bench
from bench.server import Server, nginx
from bench.tools import FLOOR, OURS, TOOLS, Tool
from servemark.errors import ServemarkError

PARTS = ("cost", "connections", "pacing", "truth", "tokens", "memory", "edges", "summary")
RESULTS = Path(__file__).with_name("RESULTS.md")
ROUNDS = 5
#: Runs of the truth at a time: they hardly load the machine, and last 11 s each.
_TRUTH_AT_ONCE = 3


def main() -> int:
    """Measure; 0 when nothing has regressed, 1 when something has or could not be measured, 4 without a server."""
    options = _parse()
    _allow_many_files()
    say("looking for " + ", ".join(recipe.name for recipe in RECIPES) + "; what is missing is installed into the cache")
    peers = find_peers(_programs(options), say)
    machine = Machine.now()
    results = Results()
    with tempfile.TemporaryDirectory(prefix="servemark-bench-") as name, running.opened(peers, Path(name)) as bench:
        _measure(bench, options, results)
        versions = {tool.name: bench.version(tool) for tool in bench.tools if tool.program}
    held = bars(results, truth.true_p99_ms(), bar_file.committed_figures())
    regressions = [bar.regression for bar in held if bar.regression]
    text = report.markdown(
        results,
        held,
        machine.after(),
        versions=versions,
        missing=peers.missing,
        rounds=options.rounds,
        true_p99_ms=truth.true_p99_ms(),
    )
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    if options.keep_figures:
        bar_file.keep_figures(held)
    for line in regressions:
        print(f"FAILED: {line}")
    for line in results.problems:
        print(f"not measured: {line}")
    ours_failed = any(line.startswith((OURS, FLOOR)) for line in results.problems)
    return int(bool(regressions) or ours_failed)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=list(PARTS), help="measure these parts (default: all)"
    )
    of_tokens = [tool.name for tool in token_figures.TOKEN_TOOLS]
    names = list(dict.fromkeys([*(tool.name for tool in TOOLS), *of_tokens]))
    parser.add_argument("--tools", nargs="+", choices=names, default=names, help="with these tools (default: all)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"runs of each (default: {ROUNDS})")
    parser.add_argument(
        "--requests", type=int, default=memory.REQUESTS, help="of the memory's run (default: 10 million)"
    )
    parser.add_argument("--output", type=Path, help="where the report goes (default: RESULTS.md when all was measured)")
    parser.add_argument("--keep-figures", action="store_true", help="commit to this run's ratios (bench/figures.json)")
    options = parser.parse_args()
    is_whole = options.only == list(PARTS) and options.tools == names and options.rounds >= ROUNDS
    if is_whole and options.output is None and options.requests >= memory.REQUESTS:
        options.output = RESULTS
    return options


def _programs(options: argparse.Namespace) -> frozenset[str]:
    of_tokens = [tool.name for tool in token_figures.TOKEN_TOOLS if "tokens" in options.only]
    if options.only == ["tokens"]:
        return frozenset(name for name in of_tokens if name in options.tools)
    programs = (tool.program for tool in TOOLS if tool.name in options.tools)
    return frozenset((*programs, *(name for name in of_tokens if name in options.tools), "nginx"))


def _allow_many_files() -> None:
    """4,000 connections need as many descriptors, in each tool."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _measure(bench: Bench, options: argparse.Namespace, results: Results) -> None:
    tools = [tool for tool in bench.tools if tool.name in options.tools]
    parts = options.only
    if {"cost", "connections", "memory", "edges"} & set(parts):
        with nginx(bench.peers.installed["nginx"]) as server:
            if "cost" in parts:
                closed = [tool for tool in tools if tool.is_closed]
                _costs(bench, server, closed, cost.CONNECTIONS, options.rounds, results)
            if "connections" in parts:
                few = [tool for tool in tools if tool.name in (OURS, FLOOR, "wrk")]
                _costs(bench, server, few, MANY_CONNECTIONS, options.rounds, results)
            if "memory" in parts:
                _memory(bench, server, options.requests, results)
            if "edges" in parts:
                _edges(bench, server, options.rounds, results)
    if "pacing" in parts:
        _pacing(bench, [tool for tool in tools if tool.has_rate and tool.is_closed], options.rounds, results)
    if "truth" in parts:
        _truth(bench, [tool for tool in tools if tool.p99_ms], results)
    if "tokens" in parts:
        _tokens(bench, options.tools, results)
    if "summary" in parts:
        _summary(results)


def _costs(
    bench: Bench, server: Server, tools: Sequence[Tool], connections: int, rounds: int, results: Results
) -> None:
    def measure(tool: Tool) -> None:
        run = cost.measure(bench, server, tool, connections)
        say(f"  {tool.name}: {run.cpu_us:.2f} us of CPU a request, {run.rate_per_s:,.0f}/s")
        results.costs.setdefault((tool.name, connections), []).append(run)

    _in_rounds(f"cost of a request, {connections:,} connections", tools, rounds, results, measure)


def _pacing(bench: Bench, tools: Sequence[Tool], rounds: int, results: Results) -> None:
    results.own_error = receiver.own_error(bench)
    for rate_per_s in pacing.RATES_PER_S:
        for beside_hogs in (False, True):
            setting = (rate_per_s, beside_hogs)

            def measure(tool: Tool, setting: tuple[int, bool] = setting) -> None:
                earlier = results.pacing.get((tool.name, setting), [])
                if tool.name != OURS and earlier and earlier[0].fit.rate_per_s < pacing.LEAST_HELD * setting[0]:
                    return  # it cannot hold this rate: once is enough
                run = pacing.measure(bench, tool, setting[0], beside_hogs=setting[1])
                say(f"  {tool.name}: {run.fit.p50_us:,.0f}/{run.fit.p99_us:,.0f} us, {run.fit.rate_per_s:,.0f}/s")
                results.pacing.setdefault((tool.name, setting), []).append(run)

            where = "beside two hogs" if beside_hogs else "alone"
            _in_rounds(f"pacing at {rate_per_s:,}/s, {where}", tools, rounds, results, measure)


def _truth(bench: Bench, tools: Sequence[Tool], results: Results) -> None:
    def measure(tool: Tool) -> None:
        with _problems_noted(tool.name, results):
            told = truth.measure(bench, tool)
            say(f"  {tool.name}: {told.reported_ms:,.1f} ms")
            results.truth.setdefault(tool.name, []).append(told)

    say(f"p99 through a stall; the truth is {truth.true_p99_ms():.0f} ms")
    with ThreadPoolExecutor(max_workers=_TRUTH_AT_ONCE) as pool:
        list(pool.map(measure, tools))


def _tokens(bench: Bench, names: Sequence[str], results: Results) -> None:
    for tool in token_figures.TOKEN_TOOLS:
        if tool.name not in names or (tool.name != OURS and tool.name not in bench.peers.installed):
            continue
        for way in token_figures.WAYS:
            say(f"tokens, {way}: {tool.name}")
            with _problems_noted(tool.name, results):
                results.tokens[tool.name, way] = token_figures.measure(bench, tool, way)


def _memory(bench: Bench, server: Server, requests: int, results: Results) -> None:
    say(f"memory over {requests:,} requests")
    with _problems_noted(OURS, results):
        results.memory.append(memory.measure(bench, server, requests))


def _edges(bench: Bench, server: Server, rounds: int, results: Results) -> None:
    say("time to the first request and after the last response")
    with _problems_noted(OURS, results):
        results.exits_s += [edges.measure_exit(bench, server) for _ in range(rounds)]
    with _problems_noted("time to the first request", results), edges.model_server(bench) as url:
        results.starts_s += [edges.measure_start(bench, url) for _ in range(rounds)]


def _summary(results: Results) -> None:
    say("summary and report of ten million records")
    done = subprocess.run([sys.executable, "-m", "bench.summarise"], capture_output=True, text=True, check=False)
    results.summary_lines += done.stdout.splitlines()
    if done.returncode:
        results.problems.append(
            f"{OURS}: the summary or the report took too long, or too much memory: {done.stderr[-300:]}"
        )


def _in_rounds(
    what: str, tools: Sequence[Tool], rounds: int, results: Results, measure: Callable[[Tool], None]
) -> None:
    """Each tool once a round, beginning with another one each time."""
    for number in range(rounds):
        say(f"{what}: round {number + 1} of {rounds}")
        at = number % max(len(tools), 1)
        for tool in (*tools[at:], *tools[:at]):
            with _problems_noted(tool.name, results):
                measure(tool)


@contextmanager
def _problems_noted(name: str, results: Results) -> Iterator[None]:
    """What cannot be measured is said and noted, and the next one is measured."""
    try:
        yield
    except ServemarkError as error:
        line = f"{name}: {error}"
        say(f"  not measured: {line}")
        if line not in results.problems:
            results.problems.append(line)


def say(line: str) -> None:
    """Progress, for stderr."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ServemarkError as error:
        print(f"bench: {error}\n{error.detail}".strip(), file=sys.stderr)
        sys.exit(error.exit_status)
