"""What to try next: a command, chosen by what was run and found, made of the words that were typed.

Only what would not be refused is suggested, and nothing of a command whose words hold secrets, or read what is gone.
"""

from __future__ import annotations

import math
import re
import shlex
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from servemark.benchmarks import headline_of
from servemark.cli.options import parse_run
from servemark.errors import UsageError
from servemark.report.loads import less_exact
from servemark.result import (
    BenchmarkResult,
    ClosedLoadResult,
    Comparison,
    LoadResult,
    OpenLoadResult,
    Result,
    RunResult,
    Scalability,
    StepSummary,
)
from servemark.runner.entry import Entry

Words = list[str]

_SHORT = {"loops": "-l", "threads": "-t", "output": "-o", "suite": "-s", "verbose": "-v", "all": "-a"}
_FLAGS = {"force", "verbose", "all", "strict"}
#: How much is sent, and when: what one benchmark is asked of it says nothing of another's.
_LOAD = ("loops", "duration", "warmup", "ramp", "think", "threads", "rate", "arrival", "max-connections")
#: What says how long it is, where that is no number of requests.
_LENGTH = ("duration", "precision", "max-duration")
#: Where a result went, which is full now.
_OUTPUT = ("output", "force", "json", "junit", "markdown", "resume")
#: What it was compared with.
_COMPARED = ("against", "threshold", "strict")
#: Of the rate that users reached at most: what still leaves the server room.
_COMFORTABLE_SHARE = 0.7
#: An achieved rate below this share of the offered one is not kept up with.
_KEPT_UP_SHARE = 0.98
#: Of the rate that was achieved where one was not: what would be.
_KEPT_UP_WITH = 0.8
_BACKGROUND_THREADS = 4
#: Whoever asks gets an answer in so much time; a run that would take longer is not the way to an interval.
_LONGEST_RUN_S = 600.0
#: Requests that still drift after such a warm-up do not become steady by a longer one.
_LONGEST_WARMUP_S = 60.0
#: Times of what would be enough if requests came out as they did.
_MORE = 1.2
#: The least trials whose median has an interval, and how long each is where nobody says.
_TRIALS, _TRIAL_S = 6, 10
#: What is seen of a server that closes connections of which it said that it keeps them.
_CLOSED_UNANSWERED = "closed before any byte of the response"
_ON_ITS_OWN = "Connection: close"


def next_step(result: Result, folder: Path, prog: str, words: Sequence[str]) -> str:
    """The command, as it can be typed; empty where there is none to suggest."""
    reads_a_pipe = any(word == "-" or word.endswith("=-") for word in words)
    if result.command != (prog, *words) or reads_a_pipe:
        return ""
    searches = any(benchmark.capacity for benchmark in result.benchmarks)
    if searches:
        candidates = _of_search(result.benchmarks[0], prog, list(words))
    else:
        candidates = _candidates(result, folder, list(words))
    for candidate in candidates:
        if _is_accepted(prog, candidate, searches=searches):
            return f"{prog} {shlex.join(candidate)}"
    return ""


def trials_lacking(comparison: Comparison, side: int) -> int:
    """How many trials it takes of a side, 0 the base or 1 the new, that has fewer; 0 of one that has enough."""
    needed = ((one.trials[side], one.needs_trials or 0) for one in comparison.benchmarks)
    return max((least for there, least in needed if there < least), default=0)


def with_trials(command: Sequence[str], trials: int) -> str:
    """The `command` of a result, to be measured as many times; empty where that is none, or cannot be typed again."""
    if len(command) < 2:
        return ""
    prog, *words = command
    asked = [*_without(words, *_OUTPUT, *_COMPARED, "trials"), "--trials", str(trials)]
    return f"{prog} {shlex.join(asked)}" if _parsed(prog, asked) is not None else ""


def _candidates(result: Result, folder: Path, words: Words) -> Iterator[Words]:
    same = _without(words, *_OUTPUT, *_COMPARED)
    if result.suite is not None:
        yield from _of_suite(result, folder, same)
        return
    (benchmark,) = result.benchmarks or (None,)
    if benchmark is None or not benchmark.runs or benchmark.partial:
        yield same
        return
    needed = trials_lacking(result.comparison, 1) if result.comparison else 0
    if needed:
        yield [*_without(same, "trials"), "--trials", str(needed)]
    if benchmark.steps and benchmark.steps[0].failed:
        yield from _of_failures(benchmark.steps[0], same)
    elif benchmark.certificate and not benchmark.certificate.valid:
        yield same
    elif _is_undecided(benchmark):
        yield from _of_objective(benchmark, same)
    elif len(benchmark.runs) == 1 and benchmark.steps:
        yield from _of_one_run(benchmark, benchmark.runs[0], same)
    yield from _of_benchmark(benchmark, same)


def _of_search(benchmark: BenchmarkResult, prog: str, words: Words) -> Iterator[Words]:
    """What a search lacks: to be made again, where it was interrupted or INVALID, or twice the time."""
    same = _without(words, *_OUTPUT)
    ending = benchmark.capacity.ending if benchmark.capacity else "decided"
    if benchmark.partial or (benchmark.certificate and not benchmark.certificate.valid):
        yield same
        return
    asked = _parsed(prog, same, searches=True)
    if asked is not None and ending == "budget":
        budget_s = asked.entries[0].question.search_budget_s
        yield [*_without(same, "search-budget"), "--search-budget", f"{2 * budget_s:g}s"]


def _of_suite(result: Result, folder: Path, same: Words) -> Iterator[Words]:
    assert result.suite
    if result.suite.missing:
        yield [*same, "--resume", str(folder)]
        return
    others = _without(same, "suite", "all")
    if result.suite.name == "smoke":
        yield ["--all", *others]
    elif result.suite.name == "all":
        yield ["--suite", "batching", *others]


def _of_failures(step: StepSummary, same: Words) -> Iterator[Words]:
    """One request, with all that is known of it; or everything again, where not all failed.

    Where connections were closed below requests each gets one of its own: is it the server, or what stands before it?
    """
    closed = any(_CLOSED_UNANSWERED in one.message for one in step.error_examples if one.kind == "closed_early")
    if step.succeeded and closed and _ON_ITS_OWN not in same:
        yield [*same, "-H", _ON_ITS_OWN]
    if not step.succeeded:
        yield [*_without(same, *_LOAD, "generators", "verbose"), "-l", "1", "-t", "1", "-v"]
    yield [*_without(same, "verbose"), "-v"]


def _is_undecided(benchmark: BenchmarkResult) -> bool:
    """Whether an objective is neither met nor missed: one condition that is missed decides whatever the others say."""
    outcomes = {verdict.outcome for verdict in benchmark.verdicts if verdict.objective}
    return "undecided" in outcomes and "missed" not in outcomes


def _of_objective(benchmark: BenchmarkResult, same: Words) -> Iterator[Words]:
    """As many requests as would decide what is undecided: longer, or more trials, whose requests count together."""
    undecided = [verdict for verdict in benchmark.verdicts if verdict.objective and verdict.outcome == "undecided"]
    # Where no number of requests would decide one of them, none is named.
    times, run = _MORE * max(verdict.needs_times or math.inf for verdict in undecided), benchmark.runs[0]
    trials, load = benchmark.trials.asked if benchmark.trials else 1, run.load
    seconds = run.window_s[1] - run.window_s[0]
    if times * seconds * trials > _LONGEST_RUN_S:
        return
    if trials == 1:
        yield from _longer(run, times * (load.exact or 0), times * seconds, same)
    # A rate that has its own length, or a whole trace, is only measured more often.
    yield [*_without(same, "trials"), "--trials", str(math.ceil(times * trials))]


def _of_one_run(benchmark: BenchmarkResult, run: RunResult, same: Words) -> Iterator[Words]:
    """What the only run lacks: a server that keeps up, a longer warm-up, requests for its p99, or else trials.

    What drifts depends on itself for as long as it does: how many requests that would take is nothing to go by. Where
    those of one run tell too little of each other's fate, several runs do: the median of trials has an interval.
    """
    step, is_open = benchmark.steps[0], isinstance(run.load, OpenLoadResult)
    offered = run.load.offered_per_s if isinstance(run.load, OpenLoadResult) else None
    achieved = step.throughput_per_s.value
    if is_open and offered and achieved and achieved < _KEPT_UP_SHARE * offered:
        yield _slower(benchmark, run.load, achieved, same)
    needed = step.headline_ms.p99.needs_n
    drifts = any(trend.verdict == "drifting" for trend in step.trends.values())
    if drifts and needed and not run.load.exact and run.warmup_s < _LONGEST_WARMUP_S:
        yield [*_without(same, "warmup"), "--warmup", str(math.ceil(run.window_s[1]))]
    if step.measured and not needed:
        yield from _of_length(benchmark, run, same)
    if not step.measured or not needed:
        return
    seconds = (run.window_s[1] - run.window_s[0]) * _MORE * needed / step.measured
    if seconds <= _LONGEST_RUN_S and (run.load.exact or not drifts):
        users = run.load.users if isinstance(run.load, ClosedLoadResult) else 1
        yield from _longer(run, needed / users, seconds, same)
    yield from _in_trials(run, same)


def _longer(run: RunResult, loops: float, seconds: float, same: Words) -> Iterator[Words]:
    """The same for as many loops, where their number is exact, or for as long; nothing where the load has no more."""
    load = run.load
    trace = load.trace if isinstance(load, OpenLoadResult) else None
    if load.exact and (trace is None or loops <= trace.times):
        yield [*_without(same, "loops"), "-l", str(math.ceil(loops))]
    elif not load.exact and (trace is None or run.warmup_s + math.ceil(seconds) <= trace.length_s):
        yield [*_without(same, *_LENGTH), "--duration", str(math.ceil(seconds))]


def _slower(benchmark: BenchmarkResult, load: LoadResult, achieved_per_s: float, same: Words) -> Words:
    """The same at a rate that the server would keep up with; of a profile with all its rates lower, as it is."""
    place = next((at for at, word in enumerate(same) if _is(word, "rate")), None)
    asked = "" if place is None else same[place].partition("=")[2] or same[place + 1]
    rates, slash, length = asked.partition("/")
    highest = max((one.to_per_s for one in load.profile), default=0.0) if isinstance(load, OpenLoadResult) else 0.0
    if highest and slash and length != "s":
        stages = (benchmark.analysis.stages if benchmark.analysis else None) or ()
        most = max((stage.achieved_per_s for stage in stages), default=achieved_per_s)
        factor = _KEPT_UP_WITH * most / highest
        slower = re.sub(r"\d+(?:\.\d+)?", lambda rate: _rounded(factor * float(rate[0])), rates) + slash + length
    else:
        slower = _rounded(_KEPT_UP_WITH * achieved_per_s)
    return [*_without(same, "rate"), "--rate", slower]


def _of_length(benchmark: BenchmarkResult, run: RunResult, same: Words) -> Iterator[Words]:
    """As long as it takes for what was aimed at, since an interval is half as wide after four times the time."""
    lacking = less_exact(run, benchmark.steps[0], headline_of(benchmark.name))
    times = max((half_share / aim for half_share, aim in lacking.values() if half_share), default=0.0)
    seconds = (run.window_s[1] - run.window_s[0]) * times**2
    if 0 < seconds <= _LONGEST_RUN_S:
        yield [*_without(same, *_LENGTH), "--duration", str(math.ceil(seconds))]
    elif seconds:
        yield from _in_trials(run, same)


def _in_trials(run: RunResult, same: Words) -> Iterator[Words]:
    """The same as often as it takes for an interval of the median, in short runs where nobody said how long."""
    has_length = any(_is(word, option) for word in same for option in ("duration", "loops", "precision"))
    if not has_length and not _has_own_length(run.load):
        yield [*_without(same, "trials"), "--duration", str(_TRIAL_S), "--trials", str(_TRIALS)]
    elif _TRIALS * (run.window_s[1] - run.window_s[0]) <= _LONGEST_RUN_S:
        yield [*_without(same, "trials"), "--trials", str(_TRIALS)]


def _has_own_length(load: LoadResult) -> bool:
    """Whether what arrives ends by itself: a trace, or a profile of rates."""
    if not isinstance(load, OpenLoadResult):
        return False
    return load.process == "trace" or any(segment.duration_s is not None for segment in load.profile)


def _of_benchmark(benchmark: BenchmarkResult, same: Words) -> Iterator[Words]:
    """What answers the next question of who has this answer."""
    elsewhere = _without(same, *_LOAD, "options")
    name, rate = benchmark.name, _best_rate(benchmark)
    loads = [run.load for run in benchmark.runs if not run.point] or [benchmark.runs[-1].load]
    if isinstance(loads[0], OpenLoadResult):
        yield from _of_rate(loads[0], same)
    elif name in {"throughput", "http"}:
        unsaturated = any(verdict.answer.startswith("not saturated") for verdict in benchmark.verdicts)
        if unsaturated:
            yield [*_without(same, "threads"), "-t", str(2 * loads[0].users)]
        other = "latency" if name == "throughput" else name
        yield from _as(elsewhere, name, other, "--rate", _rounded(_COMFORTABLE_SHARE * rate))
    elif name == "concurrent_inference":
        yield from _of_law(benchmark, same)
        yield from _as(elsewhere, name, "latency", "--rate", _rounded(_COMFORTABLE_SHARE * rate))
    elif name == "repeated_scale_calls" and not benchmark.options.parameters.get("background_threads"):
        yield _with_parameter(same, "background_threads", str(_BACKGROUND_THREADS))
    following = {"load": "repeated_scale_calls", "repeated_scale_calls": "load", "throughput": "latency"}
    yield from _as(elsewhere, name, following.get(name, "throughput"))


def _of_rate(load: OpenLoadResult, same: Words) -> Iterator[Words]:
    """Propose, where a rate was kept up with, to see how far it goes."""
    highest = max((segment.to_per_s for segment in load.profile), default=load.offered_per_s)
    if highest:
        steps = ",".join(_rounded(highest * factor) for factor in (1, 2, 4))
        times_of_trace = ("arrival",) if load.process == "trace" else ()
        yield [*_without(same, "rate", "loops", *_LENGTH, *times_of_trace), "--rate", f"{steps}/20s"]


def _of_law(benchmark: BenchmarkResult, same: Words) -> Iterator[Words]:
    """Propose, where a peak is only the law's, to see what is there really."""
    law = benchmark.analysis.scalability if benchmark.analysis else None
    peak = law.peak_users if isinstance(law, Scalability) else None
    if isinstance(law, Scalability) and peak and peak > law.most_users:
        threads = sorted(
            {*(run.load.users for run in benchmark.runs if isinstance(run.load, ClosedLoadResult)), round(peak)}
        )
        yield _with_parameter(same, "threads", ",".join(map(str, threads)))


def _best_rate(benchmark: BenchmarkResult) -> float:
    return max((run.steps[0].throughput_per_s.value or 0.0 for run in benchmark.runs if run.steps), default=0.0)


def _as(words: Words, name: str, other: str, *more: str) -> Iterator[Words]:
    """`words`, with the benchmark `other` in the place of `name`, wherever that stands."""
    if name == other and more:
        yield [*words, *more]
    for place, word in enumerate(words):
        if word == name and name != other:
            yield [*words[:place], other, *words[place + 1 :], *more]


def _with_parameter(words: Words, key: str, value: str) -> Words:
    """`words`, with this pair behind ``--options``, instead of any other of its key."""
    if "--options" not in words:
        return [*words, "--options", key, value]
    begin = words.index("--options") + 1
    end = _end_of_values(words, begin)
    pairs = [pair for pair in zip(words[begin:end:2], words[begin + 1 : end : 2], strict=False) if pair[0] != key]
    return [*words[:begin], *(word for pair in pairs for word in pair), key, value, *words[end:]]


def _without(words: Sequence[str], *options: str) -> Words:
    """`words` without these options and their values, however they are written."""
    kept: Words = []
    place = 0
    while place < len(words):
        option = next((name for name in options if _is(words[place], name)), None)
        if option is None:
            kept.append(words[place])
            place += 1
        elif option == "options":
            place = _end_of_values(words, place + 1)
        else:
            has_value_behind = option not in _FLAGS and words[place] in {f"--{option}", _SHORT.get(option)}
            place += 2 if has_value_behind else 1
    return kept


def _is(word: str, option: str) -> bool:
    short = _SHORT.get(option)
    if word == f"--{option}" or word.startswith(f"--{option}="):
        return True
    return short is not None and (word == short or (option not in _FLAGS and word.startswith(short)))


def _end_of_values(words: Sequence[str], begin: int) -> int:
    return next((at for at in range(begin, len(words)) if words[at].startswith("-")), len(words))


def _rounded(rate: float) -> str:
    """A rate to two significant digits, as it is typed."""
    if rate <= 0:
        return "1"
    digits = 1 - math.floor(math.log10(rate))
    rounded = round(rate, digits)
    return str(int(rounded)) if rounded >= 10 else f"{rounded:g}"


def _is_accepted(prog: str, words: Words, *, searches: bool) -> bool:
    """Whether nothing refuses the command before its server is looked for, or its inputs are read."""
    try:
        for request in parse_run(prog, words, searches=searches).entries:
            Entry.unread(request)
    except (UsageError, SystemExit):
        return False
    return True


def _parsed(prog: str, words: Words, *, searches: bool = False) -> Namespace | None:
    try:
        return parse_run(prog, words, searches=searches)
    except (UsageError, SystemExit):
        return None
