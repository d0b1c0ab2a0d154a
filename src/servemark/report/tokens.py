"""What servers that send tokens answered, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from servemark.report.layout import Columns, Fact, Line
from servemark.report.words import (
    counted,
    decimal,
    digits_of,
    figure,
    interval,
    marked,
    p50_and_p99_ms,
    per_s,
    per_s_interval,
    plain,
    steps_told,
)
from servemark.result import (
    BenchmarkResult,
    OutputTokens,
    RunResult,
    StepSummary,
    TokenSummary,
)
from servemark.units import format_ms

#: From here on what two counted of the same answers is not the same.
_DISAGREEMENT = 0.01


def tokens_of(step: StepSummary) -> Iterator[Fact]:
    """A few lines about the tokens of `step`, if its answers were read for them."""
    tokens = step.tokens
    if tokens is None:
        return
    yield Fact("tokens", _count(tokens))
    output = tokens.output_tokens
    if output.count is not None:
        yield Fact("token rate", f"{per_s(output.per_s)} {per_s_interval(output.per_s)}{_of_a_user(output)}")
    if tokens.streams:
        yield Fact("first token", p50_and_p99_ms(tokens.first_token_ms))
        if tokens.first_said_ms is not None:
            yield Fact("first said", f"{p50_and_p99_ms(tokens.first_said_ms)}, behind reasoning")
    if tokens.time_per_output_token_ms.max is not None:
        yield Fact("per token", f"{p50_and_p99_ms(tokens.time_per_output_token_ms)}{_divisor(tokens)}")
    gaps = tokens.between_content_ms
    if gaps is not None:
        found = [f"{name} {marked(format_ms(getattr(gaps, name)), certain=False)}" for name in ("p50", "p99")]
        yield Fact("content gaps", f"{', '.join(found)}, max {format_ms(gaps.max)}")
        yield Fact("longest gap", f"{p50_and_p99_ms(tokens.longest_gap_ms)}, of each stream")
    reasons = ", ".join(f"{name} {count:,}" for name, count in tokens.finish_reasons.items())
    if reasons:
        yield Fact("finish reasons", reasons)
    yield from _faults(tokens)


def tokens_of_all(benchmark: BenchmarkResult) -> Iterator[Line]:
    """A table of the tokens of a benchmark of several steps or points, a row each, and what their answers lacked.

    Nothing where no answers were read for them.
    """
    rows = [(name, step.tokens) for name, step in steps_told(benchmark) if step.tokens is not None]
    if not rows:
        return
    said = ("said p50", "p99") if any(tokens.first_said_ms for _, tokens in rows) else ()
    headings = ("count", "each", "per s", "95% interval", "a user", "first p50", "p99", *said, "a token p50", "p99")
    table = Columns("tokens, ms", *headings, "by", extra=("each", "95% interval", "by"), left=("by",))
    for name, tokens in rows:
        table.add_row(name, *_cells(tokens, with_said=bool(said)))
    yield table
    yield Text()
    for name, tokens in rows:
        yield from (Fact(fault.label, f"{name}: {fault.text.plain}") for fault in _faults(tokens))


def _cells(tokens: TokenSummary, *, with_said: bool) -> Iterator[str]:
    output = tokens.output_tokens
    yield "-" if output.count is None else f"{output.count:,}"
    yield "-" if output.per_request is None else plain(output.per_request.mean)
    digits = digits_of(output.per_s.value)
    yield figure(output.per_s, digits)
    yield interval(output.per_s, digits)
    yield figure(output.per_user_per_s, digits_of(output.per_user_per_s.value))
    said = (tokens.first_said_ms,) if with_said else ()
    for times in (tokens.first_token_ms, *said, tokens.time_per_output_token_ms):
        digits = digits_of(times.p50.value if times else None)
        yield from (figure(one, digits) for one in (times.p50, times.p99)) if times else ("-", "-")
    yield output.source


def prompts_of(run: RunResult) -> Iterator[Fact]:
    """How many of the prompts of a run a server may have known from those before; nothing where none was sent."""
    prompts = run.prompts
    if prompts is None:
        return
    sent = f"{counted(prompts.count, 'prompt')} sent"
    if not prompts.shared:
        yield Fact("prefixes", f"{sent}, none of which began as one before it ({prompts.characters} characters)")
        return
    again = f"; {prompts.repeated:,} were asked before" if prompts.repeated else ""
    yield Fact(
        "prefixes", f"{sent}, of which {prompts.shared:,} began as one before ({prompts.characters} characters){again}"
    )


def _count(tokens: TokenSummary) -> str:
    output = tokens.output_tokens
    answers = counted(tokens.answers, "answer")
    if output.count is None:
        return f"not counted (no usage, no --tokenizer): {counted(tokens.events, 'event')} with content in {answers}"
    of = answers if output.answers == tokens.answers else f"{output.answers:,} of {answers}"
    each = output.per_request
    varied = ""
    if each is not None:
        mean = decimal(each.mean, 0 if each.mean == int(each.mean) else digits_of(each.mean))
        varied = f", {mean} each" + ("" if each.min == each.max else f" ({each.min:,} to {each.max:,})")
    event = "" if output.per_event is None else f", {decimal(output.per_event, 2)} an event"
    return f"{output.count:,} in {of}{varied}{event}, by {output.source}"


def _of_a_user(output: OutputTokens) -> str:
    return f", {per_s(output.per_user_per_s)} a user" if output.per_user_per_s.value else ""


def _divisor(tokens: TokenSummary) -> str:
    """What the first event with content counts as, where that is not told."""
    return "" if tokens.first_event_told == tokens.streams else "; the first event counts as one token"


def _faults(tokens: TokenSummary) -> Iterator[Fact]:
    """What answers lacked."""
    if tokens.short:
        reasons = ", ".join(f"{name} {count:,}" for name, count in tokens.short.items())
        short = f"{sum(tokens.short.values()):,} of {tokens.asked:,}"
        yield Fact("short answers", f"{short} have fewer tokens than were asked for ({reasons})")
    faults = (
        (tokens.without_end_mark, "without the end mark [DONE]"),
        (tokens.without_content, "without any content"),
        (tokens.not_streamed, "whole, where a stream was asked for: they have no times of tokens"),
        (tokens.usage_of_none, "with content and a usage of 0 tokens, which is taken for none"),
        (tokens.unread, "with something that was not understood"),
        (tokens.cut, "longer than what is kept"),
    )
    for count, what in faults:
        if count:
            yield Fact("answers", f"{count:,} {what}")
    both = tokens.output_tokens.by_usage_and_tokenizer
    if both and abs(both[0] - both[1]) > _DISAGREEMENT * both[0]:
        usage, tokenizer = both
        yield Fact("disagreement", f"usage says {usage:,} tokens, the tokenizer {tokenizer:,} in the same answers")
