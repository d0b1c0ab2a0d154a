"""The report: what was measured as a page of Markdown, `bench/RESULTS.md`."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence

from bench import pacing, token_figures, truth
from bench.bars import Bar
from bench.cost import CONNECTIONS
from bench.edges import EXIT_REQUESTS
from bench.machine import Machine
from bench.pacing import Pacing
from bench.results import MANY_CONNECTIONS, Results
from bench.running import median
from bench.token_figures import Told
from bench.tools import TOOLS

_WIDTH = 120
#: Columns that hold words.
_NAMES = ("tool", "bar", "")
_TITLE = "# What `make bench` measured"
_HEADER = (
    "Written by `make bench` ({rounds}, {minutes:.0f} minutes, {date}). Every figure is the median of its runs, "
    "with the lowest and the highest in brackets; all tools took turns in each round, on one machine: {processor}, "
    "{cpus} processors, {memory} GiB, Linux {kernel}, {system}. The load average before was {load:.1f}, and the "
    "hypervisor took {steal:.1%} of the processors' time meanwhile. servemark {servemark}; {versions}."
)
_COSTS = (
    "User and system time of the whole process and its children between two instants within a run, over nginx's own "
    "count of requests between them; nginx (1 worker) answers a POST of 100 bytes with 50 bytes of JSON, "
    "keep-alive. servemark wrote every request's record to disk, and their number was nginx's. The floor only "
    "writes and reads: no parsing, no clock, no record. perf_analyzer sends the body as a form, from a thread a "
    "connection."
)
_PACING = (
    "How far arrivals are from a constant grid of the rate asked for, at the offset that serves the tool best (the "
    "median); the first {dropped:g} s is dropped, {window:g} s are used. The time of an arrival is the kernel's, so "
    "that the receiver's own waking is in no figure. A request that is left out moves all that follow it. Alone, "
    "and beside {hogs} processes that only compute. A tool that does not hold {held:.0%} of the rate is run once."
)
_OWN_ERROR = (
    "What is sent at a known time is noted {p50:.1f} us later at the median and {p99:.1f} us at p99, sending it "
    "included: that is the receiver's own error. It ran at {priority} priority."
)
_TRUTH = (
    "{connections} connections, {rate} requests a second for {length} s, a server that takes {service:g} ms and "
    "stalls for {stall:g} s. Who arrived on schedule saw a p99 of **{true:.0f} ms**. The last columns are the "
    "server's: from a request's arrival to its answer, and how many came."
)
_TOKENS = (
    "{rate} requests a second for {length} s, each answered with {tokens} tokens: the first after 50 ms, then one each "
    "10 ms. Medians in ms, of the longest gap the longest of all; beside each what the server did in the same run. A "
    "role chunk is no token, two tokens in a chunk are two, and an empty delta is none. Of the other tools {others}."
)
#: Tools that tell of tokens, too, and why they are not measured.
_OTHERS_OF_TOKENS = (
    "guidellm 0.8.1 (6.0 GB) and vLLM's own (6.3 GB) are too large to be installed for this, and inference-perf 0.7.0 "
    "needs a Python of 3.12 or newer"
)
_FIGURES = {
    "first_ms": "first token",
    "per_token_ms": "between tokens",
    "longest_gap_ms": "the longest gap",
}
_MEMORY = (
    "Resident memory of the process that runs the engine. After the last response it goes through the records and "
    "writes the result; to compute at all it has to load numpy."
)


def markdown(
    results: Results,
    bars: Sequence[Bar],
    machine: Machine,
    *,
    versions: Mapping[str, str],
    missing: Mapping[str, str],
    rounds: int,
    true_p99_ms: float,
) -> str:
    """The whole page."""
    head = _HEADER.format(
        rounds=f"{rounds} round{'s' * (rounds > 1)}",
        minutes=machine.minutes,
        date=time.strftime("%Y-%m-%d", time.gmtime(machine.started_at)),
        processor=machine.processor,
        cpus=machine.cpus,
        memory=machine.memory_gib,
        kernel=machine.kernel,
        system=machine.system,
        load=machine.load_before,
        steal=machine.steal,
        servemark=machine.servemark,
        versions=", ".join(f"{name} {version}" for name, version in versions.items() if "--" not in name),
    )
    head = f"{_TITLE}\n\n{_paragraph(head)}"
    parts = [head, _bars(bars), _costs(results), _connections(results), _pacing(results)]
    parts += [_truth(results, true_p99_ms), _tokens(results), _memory(results), _edges(results), _summary(results)]
    parts.append(_absent(results, missing))
    return "\n".join(part for part in parts if part)


def _bars(bars: Sequence[Bar]) -> str:
    rows = [(bar.name, _number(bar.value, bar.unit), _number(bar.limit, bar.unit), _verdict(bar)) for bar in bars]
    return "## Bars\n\n" + _table(("bar", "measured", "at most", ""), rows)


def _verdict(bar: Bar) -> str:
    if bar.regression:
        return "**regressed**"
    return "held" if bar.is_held else "**missed**"


def _number(value: float, unit: str) -> str:
    text = f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"
    return f"{text} {unit}".strip()


def _costs(results: Results) -> str:
    rows = []
    wrk_us = results.cpu_us("wrk")
    for tool in TOOLS:
        runs = results.costs.get((tool.name, CONNECTIONS))
        if runs:
            cpu_us = median(run.cpu_us for run in runs)
            rows.append(
                (
                    tool.name,
                    _spread((run.cpu_us for run in runs), "{:.2f}"),
                    f"{cpu_us / wrk_us:.2f}" if wrk_us else "",
                    _spread((run.rate_per_s for run in runs), "{:,.0f}"),
                )
            )
    if not rows:
        return ""
    heads = ("tool", "us of CPU a request", "of wrk's", "requests/s")
    title = f"## What a request costs: {CONNECTIONS} connections, one generator thread"
    return f"{title}\n\n{_paragraph(_COSTS)}\n{_table(heads, rows)}"


def _connections(results: Results) -> str:
    rows = []
    for tool in TOOLS:
        runs = results.costs.get((tool.name, MANY_CONNECTIONS))
        few_us = results.cpu_us(tool.name)
        if runs:
            cpu_us = median(run.cpu_us for run in runs)
            ratio = f"{cpu_us / few_us:.2f}" if few_us else ""
            rows.append((tool.name, _spread((run.cpu_us for run in runs), "{:.2f}"), ratio))
    if not rows:
        return ""
    heads = ("tool", "us of CPU a request", f"of that with {CONNECTIONS}")
    return f"## {MANY_CONNECTIONS:,} connections\n\n" + _table(heads, rows)


def _pacing(results: Results) -> str:
    tables = [_pacing_table(results, rate_per_s) for rate_per_s in pacing.RATES_PER_S]
    if not any(tables):
        return ""
    text = _PACING.format(dropped=pacing.DROPPED_S, window=pacing.WINDOW_S, hogs=pacing.HOGS, held=pacing.LEAST_HELD)
    parts = [f"## Pacing, seen by the receiver: {pacing.CONNECTIONS} connections\n", _paragraph(text)]
    error = results.own_error
    if error:
        parts.append(_paragraph(_OWN_ERROR.format(p50=error.p50_us, p99=error.p99_us, priority=error.priority)))
    return "\n".join((*parts, *tables))


def _pacing_table(results: Results, rate_per_s: int) -> str:
    rows = []
    for tool in TOOLS:
        cells: list[str] = []
        for beside_hogs in (False, True):
            cells += _pacing_cells(results.pacing.get((tool.name, (rate_per_s, beside_hogs)), []), rate_per_s)
        if any(cells):
            rows.append((tool.name, *cells, _cpu(results, tool.name, rate_per_s)))
    alone = ("p50 us", "p99 us", "came/s")
    heads = ("tool", *alone, *(f"{head}, hogs" for head in alone), "us of CPU a request")
    return f"### {rate_per_s:,}/s\n\n{_table(heads, rows)}" if rows else ""


def _pacing_cells(runs: Sequence[Pacing], rate_per_s: int) -> list[str]:
    if not runs:
        return ["", "", ""]
    came_per_s = median(run.fit.rate_per_s for run in runs)
    return [
        _spread((run.fit.p50_us for run in runs), "{:,.0f}"),
        _spread((run.fit.p99_us for run in runs), "{:,.0f}"),
        f"{came_per_s:,.0f}" + ("" if came_per_s >= pacing.LEAST_HELD * rate_per_s else " (cannot)"),
    ]


def _cpu(results: Results, tool: str, rate_per_s: int) -> str:
    runs = results.pacing.get((tool, (rate_per_s, False)), [])
    costs = [run.cpu_us for run in runs if run.cpu_us is not None]
    return f"{median(costs):,.0f}" if costs else ""


def _truth(results: Results, true_p99_ms: float) -> str:
    rows = []
    for tool in TOOLS:
        for told in results.truth.get(tool.name, []):
            note = "" if tool.has_rate else "no rate: as fast as it can"
            rows.append((tool.name, f"{told.reported_ms:,.1f}", f"{told.seen_ms:,.1f}", f"{told.requests:,}", note))
    if not rows:
        return ""
    text = _TRUTH.format(
        connections=truth.CONNECTIONS,
        rate=truth.RATE_PER_S,
        length=truth.LENGTH_S,
        service=truth.SERVICE_MS,
        stall=truth.STALL_S,
        true=true_p99_ms,
    )
    heads = ("tool", "its p99, ms", "p99 at the server, ms", "requests", "")
    return f"## What is told when the connections run out\n\n{_paragraph(text)}\n{_table(heads, rows)}"


def _tokens(results: Results) -> str:
    """A row a way in which servers send tokens, with the figure that tells tools apart, and two columns a tool."""
    tools = list(dict.fromkeys(tool for tool, _ in results.tokens))
    if not tools:
        return ""
    rows = []
    for way, (_, figure) in token_figures.WAYS.items():
        found = [results.tokens.get((tool, way)) for tool in tools]
        told = [cell for one in found for cell in _beside_the_truth(one, figure)]
        rows.append((f"{_FIGURES[figure]}, {way}", *told))
    plain = [results.tokens.get((tool, "plain")) for tool in tools]
    rows.append(("gaps between arrivals at a constant rate, ms", *(cell for one in plain for cell in _gaps(one))))
    rows.append(("CPU ms a request", *(cell for one in plain for cell in _token_cost(one))))
    heads = ["", *(head for tool in tools for head in (tool, "truth"))]
    text = _TOKENS.format(
        rate=token_figures.RATE_PER_S,
        length=token_figures.LENGTH_S,
        tokens=token_figures.TOKENS,
        others=_OTHERS_OF_TOKENS,
    )
    return f"## What is told of tokens\n\n{_paragraph(text)}\n{_table(heads, rows)}"


def _beside_the_truth(told: Told | None, figure: str) -> tuple[str, str]:
    if told is None:
        return "-", "-"
    values = (getattr(told.reported, figure), getattr(told.truth, figure))
    first, second = ("-" if value is None else f"{value:,.2f}" for value in values)
    return first, second


def _gaps(told: Told | None) -> tuple[str, str]:
    if told is None:
        return "-", "-"
    return f"{told.gaps_ms[0]:,.1f} to {told.gaps_ms[1]:,.1f}", f"{1000 / token_figures.RATE_PER_S:g}"


def _token_cost(told: Told | None) -> tuple[str, str]:
    return ("-" if told is None or told.cpu_ms is None else f"{told.cpu_ms:.1f}"), ""


def _memory(results: Results) -> str:
    rows = [
        (f"{one.requests:,}", *(f"{mib:,.0f}" for mib in (one.start_mib, one.load_mib, one.growth_mib, one.exit_mib)))
        for one in results.memory
    ]
    if not rows:
        return ""
    heads = ("requests", "MiB at the first", "most until the last response", "gained", "most until the exit")
    return f"## Memory\n\n{_paragraph(_MEMORY)}\n{_table(heads, rows)}"


def _edges(results: Results) -> str:
    rows = []
    if results.starts_s:
        what = "process start to first request: ping --mms --warmup 0, a real Multi Model Server"
        rows.append((what, _spread(results.starts_s, "{:.2f}")))
    if results.exits_s:
        rows.append(
            (f"last response to exit, {EXIT_REQUESTS:,} records, the JTL apart", _spread(results.exits_s, "{:.2f}"))
        )
    rows += [
        (f"last response to exit, {one.requests:,} records, the JTL apart", f"{one.exit_s:.2f}")
        for one in results.memory
    ]
    return "## Before the first request and after the last response\n\n" + _table(("", "s"), rows) if rows else ""


def _summary(results: Results) -> str:
    lines = [f"- {line}" for line in results.summary_lines]
    return "## Summary of records\n\n" + "\n".join(lines) + "\n" if lines else ""


def _absent(results: Results, missing: Mapping[str, str]) -> str:
    lines = [f"- {name}: {reason}" for name, reason in missing.items()] + [f"- {line}" for line in results.problems]
    return "## Not measured\n\n" + "\n".join(lines) + "\n" if lines else ""


def _spread(values: Iterable[float], shape: str) -> str:
    """The median, and in brackets the lowest and the highest."""
    ordered = sorted(values)
    middle = shape.format(median(ordered))
    if len(ordered) == 1:
        return middle
    return f"{middle} ({shape.format(ordered[0])} to {shape.format(ordered[-1])})"


def _paragraph(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rules = ["---" if head in _NAMES else "---:" for head in heads]
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, rules, *rows)]
    return "\n".join(lines) + "\n"
