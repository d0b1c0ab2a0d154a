"""What makes no sense with a benchmark, of the options that are given. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from servemark.benchmarks import Benchmark
from servemark.engines import Sharing
from servemark.errors import UsageError
from servemark.options.objectives import OF_TOKENS, STREAMED, Condition
from servemark.options.table import Option
from servemark.servers.dialect import Ability, Dialect, lacking
from servemark.servers.oip.asked import TO_STREAM
from servemark.workload.load import MOST_USERS, ClosedLoad, Load, OpenLoad
from servemark.workload.plan import Plan, headline_step
from servemark.workload.prompts import answer_asked
from servemark.workload.scenario import Step

_OF_URLS = ("url", "method", "body_file", "unix_socket", "tokens")
_OF_BODIES = ("content_type", "multipart")
#: What a server has to be able to, so that a setting of a model can be changed.
_NEEDED_FOR: Mapping[str, Ability] = {"workers": "scale", "batch_size": "batches", "max_batch_delay": "batches"}


def check_needs(benchmark: Benchmark, dialect: Dialect) -> None:
    """Refuse to measure what a server that speaks `dialect` cannot.

    Raises:
        UsageError: says what it lacks.
    """
    if why := lacking(dialect, benchmark.needs):
        raise UsageError(
            f"{benchmark.name} makes no sense with a {dialect.product}",
            cause=why,
            next_step="measure its predictions: latency, throughput or concurrent_inference",
        )


def check_over(over: Sequence[tuple[str, tuple[int, ...]]] | None, dialect: Dialect) -> None:
    """Refuse to search the capacity over settings (``--over``) that a server which speaks `dialect` cannot be given.

    Raises:
        UsageError: names the setting, and what the server lacks.
    """
    for name, _ in over or ():
        if why := lacking(dialect, frozenset({_NEEDED_FOR[name]})):
            raise UsageError(
                f"--over {name} makes no sense with a {dialect.product}",
                cause=why,
                next_step="leave it out, or search once for each",
            )


def check_given(benchmark: Benchmark, given: Mapping[str, Option]) -> None:
    """Refuse what `benchmark` has no use for.

    Raises:
        UsageError: names the option and the reason.
    """
    for name, why in benchmark.refuses.items():
        if name in given:
            raise UsageError(f"{given[name].flags[0]} makes no sense with {benchmark.name}", cause=why)
    for parameter in benchmark.parameters:
        if parameter.key in given:
            flag = given[parameter.key].flags[0]
            raise UsageError(
                f"{flag} makes no sense with {benchmark.name}", next_step=f"give --options {parameter.key} 1,2"
            )
    if not benchmark.takes_url:
        for name in _OF_URLS:
            if name in given:
                step = "give -i" if name == "body_file" else "measure any endpoint with the benchmark http"
                flag = given[name].flags[-1]
                raise UsageError(
                    f"{flag} makes no sense with {benchmark.name}", cause="only http has it", next_step=step
                )
        return
    if "url" not in given:
        raise UsageError(f"{benchmark.name} needs --url", next_step="as in --url http://127.0.0.1:8080/health")
    if "body_file" not in given:
        for name in _OF_BODIES:
            if name in given:
                why = "without a body there is nothing of that type"
                raise UsageError(f"{given[name].flags[-1]} needs --body-file", cause=why)


def check_spread(loads: Sequence[Load], generators: int, threads: int, *, searches: bool = False) -> None:
    """Refuse more generators, each with so many `threads`, than the largest of `loads`, one a point, has users,
    arrivals or connections for.

    Nor may any of them have more users than these generators can have. A point that has fewer of them than others is
    sent by as many generators. Where the user `searches`, the largest
    load is what is to be found: only its connections are known.

    Raises:
        UsageError: says how many there are.
    """
    for load in loads:
        check_users_each(load, generators)
    most = max((_parts_of(load) for load in loads), default=math.inf)
    if generators > most and not searches:
        is_open = any(isinstance(load, OpenLoad) for load in loads)
        what, instead = ("request", "send more") if is_open else ("user", "raise -t")
        raise UsageError(
            f"--generators {generators} is more than the load has {what}s",
            cause=f"{_counted(most, what)}, and each generator needs one of its own",
            next_step=f"{instead}, or lower --generators",
        )
    connections = max((_connections_of(load) for load in loads), default=math.inf)
    if generators * threads > connections:
        asked = {"--generators": generators, "--generator-threads": threads}
        several = {flag: number for flag, number in asked.items() if number > 1}
        given = " times ".join(f"{flag} {number}" for flag, number in several.items())
        raise UsageError(
            f"{given} is more than the load has connections",
            cause=f"{_counted(connections, 'connection')}, and each thread that sends needs one of its own",
            next_step=f"give it more connections, or lower {' or '.join(several)}",
        )


def check_users_each(load: Load, generators: int) -> None:
    """Refuse users that not so many `generators` can have.

    Raises:
        UsageError: says how many one can have.
    """
    if isinstance(load, ClosedLoad) and load.users > MOST_USERS * generators:
        raise UsageError(
            f"{load.users} users are more than the {MOST_USERS} that one generator can have",
            next_step="lower -t, or raise --generators",
        )


def check_tokenizer(path: Path | None, plan: Plan) -> None:
    """Refuse a tokenizer where no answer of `plan` is read for its tokens.

    Raises:
        UsageError: it is named.
    """
    steps = [step for group in plan.groups for step in group.scenario.steps]
    if path is not None and not any(step.tokens for step in steps):
        raise UsageError(
            "--tokenizer has nothing to count",
            cause=f"no answer of {steps[0].name} is read for its tokens",
            next_step="leave it out, or have the model generate: on Triton with --call generate or generate_stream",
        )


def check_answers(objective: Sequence[Condition], plan: Plan, dialect: Dialect, *, counts: bool) -> None:
    """Refuse conditions of `objective` on what answers in `plan` are known not to have, as a server of `dialect` gives
    them; `counts` says whether a tokenizer is named.

    Raises:
        UsageError: names the condition, and why.
    """
    for condition in objective:
        name = condition.step or headline_step(plan.groups)
        for step in (step for group in plan.groups for step in group.scenario.steps if step.name == name):
            if found := _lacks(condition, step, dialect, counts=counts):
                raise UsageError(f"--slo {condition.text}: {found[0]}", next_step=found[1])


def _lacks(condition: Condition, step: Step, dialect: Dialect, *, counts: bool) -> tuple[str, str] | None:
    """What answers of `step` lack for `condition`, and what to do; None where they may have it."""
    to_stream = TO_STREAM if dialect.name == "oip" else ""
    if condition.figure in STREAMED and _come_whole(step, dialect):
        return f"the answers of {step.name} come whole", to_stream or "leave it out, or ask for streams"
    if condition.figure in OF_TOKENS and step.tokens is None:
        return f"no answer of {step.name} is read for its tokens", to_stream or "leave it out"
    if condition.figure == "time_per_output_token" and step.tokens in ("oip", "text") and not counts:
        return "no server of that kind tells how many tokens it gave", "give --tokenizer FILE"
    return None


def _come_whole(step: Step, dialect: Dialect) -> bool:
    """Whether it is known that the answers of `step` are no streams: of OpenAI's API where no request asks for one."""
    if dialect.name == "oip":
        return step.tokens is None
    return dialect.name == "openai" and not any(answer_asked(one.body).is_stream for one in step.requests)


def check_records(loads: Sequence[Load], most: int, needs_all: str) -> None:
    """Refuse a load of several generators that is foreseen to make more records than the `most` that may be kept.

    Only where an option `needs_all` of them: else they are condensed.

    Raises:
        UsageError: says how many there would be.
    """
    for load in loads:
        if needs_all and foreseen_requests(load) > most:
            raise UsageError(
                f"{foreseen_requests(load):,} requests are more than --max-records {most}",
                cause=f"{needs_all} needs the record of each, which has 112 bytes",
                next_step="measure for a shorter time, or raise --max-records where the disk holds them",
            )


def foreseen_requests(load: Load) -> int:
    """How many requests a load sends at least; 0 where that is not foreseen: a closed loop that ends with its time."""
    foreseen = _parts_of(load) if isinstance(load, OpenLoad) else load.scenarios or 0
    return 0 if foreseen == math.inf else int(foreseen)


def spread_of(load: Load, asked: Sharing) -> Sharing:
    """Over which generators `load` is spread, where those are `asked`: no more than it has users, arrivals or
    connections.
    """
    return replace(asked, generators=int(min(asked.generators, _parts_of(load), _connections_of(load))))


def threads_of(load: Load, asked: int, generators: int) -> int:
    """With how many threads each of so many `generators` sends `load`, where those are `asked`: no more than it has
    connections.
    """
    return int(min(asked, _connections_of(load) / generators))


def _counted(number: float, what: str) -> str:
    return f"{number:.0f} {what}{'' if number == 1 else 's'}"


def _connections_of(load: Load) -> float:
    """How many connections the threads that send `load` share out; each user of a closed loop brings its own."""
    return load.max_connections if isinstance(load, OpenLoad) else math.inf


def _parts_of(load: Load) -> float:
    """Into how many shares a load can be divided of which none is empty; of arrivals that are drawn about so many."""
    if isinstance(load, ClosedLoad):
        return load.users
    if load.requests is not None:
        return load.requests
    if load.arrivals.times_ns:
        return len(load.arrivals.times_ns)
    if load.duration_s is None:
        return math.inf
    arrivals, left_s = 0.0, load.duration_s
    for part in load.arrivals.profile:
        taken_s = left_s if part.duration_s is None else min(part.duration_s, left_s)
        arrivals += (part.from_per_s + part.to_per_s) / 2 * taken_s
        left_s -= taken_s
    return max(1, math.floor(arrivals))
