"""Streams of real servers of language models, vLLM and llama.cpp: what is reported beside what the server counts.

The metrics of the server are read before and behind each run, so that what it counted in between is of the same
requests. Its times begin and end within it: what is measured from outside is never less, and how much more it may be is
stated.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from judging import Finding, equal, near
from measuring import MOST_TRIES

from bench.process import run_servemark
from bench.proof import Section
from bench.server_environments import environment
from bench.server_kinds import KINDS
from bench.servers import Running, running
from servemark.errors import ServemarkError
from servemark.result import Result, StepSummary

_PROMPT_WORDS = 16
#: A server's first answers are slower, and its own.
_WARM_UP = 10
#: How far a mean may be from the server's: a share, and so much later, through HTTP and JSON, what it did is seen.
_SHARE, _LATER_MS = 0.02, 5.0
_LOOK_TIMEOUT_S = 10.0
_LINE = re.compile(r"^([a-z][\w:]*)(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Account:
    """What a server counted between two instants: answers (None where it does not), tokens, and means in ms."""

    answers: int | None
    tokens: int
    first_token_ms: float
    per_token_ms: float


@dataclass(frozen=True)
class _Case:
    """A server, how it is loaded, tokens of each answer, what its metrics come to, and what they mean in words."""

    kind: str
    rate_per_s: float
    arrival: str
    tokens: int
    account: Callable[[Mapping[str, float], int], Account]
    told: str
    words: tuple[str, ...] = ()


def vllm_account(counted: Mapping[str, float], answers: int) -> Account:
    """What vLLM's metrics came to: from a request's arrival to its first token, and between tokens."""
    del answers
    firsts, gaps = (
        counted[f"vllm:{name}_seconds_sum"] / max(counted[f"vllm:{name}_seconds_count"], 1)
        for name in ("time_to_first_token", "inter_token_latency")
    )
    counted_answers = round(counted["vllm:time_to_first_token_seconds_count"])
    return Account(counted_answers, round(counted["vllm:generation_tokens_total"]), firsts * 1e3, gaps * 1e3)


def llama_cpp_account(counted: Mapping[str, float], answers: int) -> Account:
    """What llama.cpp's metrics came to over so many `answers`: it reads prompts, then generates token after token."""
    tokens = round(counted["llamacpp:tokens_predicted_total"])
    first_ms = counted["llamacpp:prompt_seconds_total"] / answers * 1e3
    later = max(tokens - answers, 1)
    return Account(None, tokens, first_ms, counted["llamacpp:tokens_predicted_seconds_total"] / later * 1e3)


def metrics_in(text: str) -> dict[str, float]:
    """The values in a text of Prometheus's by name, over all labels."""
    found: dict[str, float] = {}
    for name, value in _LINE.findall(text):
        found[name] = found.get(name, 0.0) + float(value)
    return found


_CASES = (
    _Case(
        "vLLM",
        4.0,
        "poisson",
        32,
        vllm_account,
        "vLLM's own times are `vllm:time_to_first_token_seconds` and `vllm:inter_token_latency_seconds`, its tokens "
        "`vllm:generation_tokens_total`. It is started by `servemark serve --server-kind vllm`",
    ),
    _Case(
        "llama.cpp",
        4.0,
        "constant",
        256,
        llama_cpp_account,
        "llama.cpp's own times are `llamacpp:prompt_seconds_total`, which leaves out what it waits (hence so few that "
        "none does), and `llamacpp:tokens_predicted_seconds_total` over all tokens but the first of each answer",
        ("-H", "Connection:close"),
    ),
)


def prove_llm_servers(folder: Path, requests: int) -> Iterator[Section]:
    """The tokens and times of so many streams of each server are those that the server counts itself."""
    kinds = {kind.name: kind for kind in KINDS}
    for case in _CASES:
        title = f"Streams of a real server: {case.kind}"
        try:
            root, version = environment(kinds[case.kind])
            with running(kinds[case.kind], root) as server:
                yield _section(f"{title} {version}", case, server, folder / case.kind, requests)
        except ServemarkError as error:
            yield Section(title, case.told, [], unproven=" ".join(str(error).split()))


def _section(title: str, case: _Case, server: Running, folder: Path, requests: int) -> Section:
    folder.mkdir()
    bodies = folder / "prompts.jsonl"
    bodies.write_text("".join(f"{json.dumps(body)}\n" for body in _bodies(requests, case.tokens)), encoding="utf-8")
    asked = ["run", "http", "--url", f"{server.url}/v1/chat/completions", "--body-file", str(bodies)]
    asked += ["--tokens", "openai", "--rate", f"{case.rate_per_s:g}", "--arrival", case.arrival, "--warmup", "0"]
    asked += [*case.words, "--no-history", "--no-report"]
    run_servemark(folder, *asked, "-l", str(_WARM_UP), "-o", str(folder / "warm-up"))
    for tries in range(1, MOST_TRIES + 1):
        before = _metrics(server)
        run_servemark(folder, *asked, "-l", str(requests), "-o", str(folder / f"{tries}"))
        after = _metrics(server)
        (benchmark,) = Result.load(folder / f"{tries}").benchmarks
        (run,) = benchmark.runs
        if run.certificate.valid:
            break
    counted = {name: value - before.get(name, 0.0) for name, value in after.items()}
    (step,) = run.steps
    line = f"--rate {case.rate_per_s:g} --arrival {case.arrival} -l {requests}"
    return Section(
        title,
        f"`servemark run http --tokens openai {line}`: chats of {_PROMPT_WORDS} words, answered with {case.tokens} "
        f"tokens by two layers of random weights. {case.told}",
        judge(step, run.window_s, case.account(counted, requests), requests, case.tokens),
        tries - 1,
        str(run.load.realtime),
        run.certificate.valid,
    )


def _bodies(count: int, tokens: int) -> Iterator[dict[str, object]]:
    """So many chats, each of other words."""
    drawn = random.Random(1)
    for _ in range(count):
        text = " ".join(f"w{drawn.randrange(700)}" for _ in range(_PROMPT_WORDS))
        yield {
            "model": "tiny",
            "messages": [{"role": "user", "content": text}],
            "max_tokens": tokens,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


def _metrics(server: Running) -> dict[str, float]:
    return metrics_in(httpx.get(f"{server.url}/metrics", timeout=_LOOK_TIMEOUT_S, trust_env=False).text)


def judge(
    step: StepSummary, window_s: tuple[float, float], account: Account, requests: int, tokens_each: int
) -> list[Finding]:
    """The figures of a run of so many `requests` are those of the server's `account`.

    None failed; all gave the tokens that were asked for, by their usage and by the server's count; and the times are
    not less than its own, and little more: the first and the last token of an answer are each seen a little later.
    """
    told, asked = step.tokens, requests * tokens_each
    assert told is not None
    output = told.output_tokens
    first_ms, per_token_ms = (one.mean.value or 0.0 for one in (told.first_token_ms, told.time_per_output_token_ms))
    most_ms = account.first_token_ms * (1 + _SHARE) + _LATER_MS
    reach_ms = account.per_token_ms * _SHARE + _LATER_MS / (tokens_each - 1)
    length_s = window_s[1] - window_s[0]
    rate_per_s = account.tokens / length_s
    return [
        equal("requests that succeeded", step.succeeded, requests),
        *([] if account.answers is None else [equal("requests, by the server", account.answers, requests)]),
        equal("streams read to their end", told.streams - told.without_end_mark - told.unread - told.cut, requests),
        equal("answers that ended at their length", told.finish_reasons.get("length", 0), requests),
        equal("tokens, by usage", (output.count or 0) if output.source == "usage" else 0, asked),
        equal("tokens, by the server", account.tokens, asked),
        Finding("first token, mean", first_ms, account.first_token_ms, account.first_token_ms, most_ms),
        near("time per output token, mean", per_token_ms, account.per_token_ms, reach_ms),
        near(
            "tokens, by the server's count over the measured time",
            output.per_s.value or 0.0,
            rate_per_s,
            rate_per_s * _SHARE,
            "/s",
        ),
    ]
