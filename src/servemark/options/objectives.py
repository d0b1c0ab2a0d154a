"""Service level objectives as they are written: ``p99<50ms,errors<0.1%,rate>100/s``. Standard library only.

A condition is ``[STEP.][LATENCY.]pQ<TIME``, ``[STEP.]errors<SHARE`` or ``[STEP.]rate>RATE``; the latency is the
response unless one is named.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn

from servemark.errors import UsageError
from servemark.units import ns_from_s, seconds_of

#: What a condition may be of: a latency, the errors, or the rate of successes.
Figure = Literal[
    "response",
    "service",
    "first_event",
    "between_events",
    "first_token",
    "time_per_output_token",
    "between_content",
    "errors",
    "rate",
]
#: Those of answers that are read for their tokens.
OF_TOKENS: tuple[Figure, ...] = ("first_token", "time_per_output_token", "between_content")
#: Those of answers that come as streams.
STREAMED: tuple[Figure, ...] = ("first_event", "between_events", *OF_TOKENS)
#: Those that are of pairs of events: each response has many.
BETWEEN: tuple[Figure, ...] = ("between_events", "between_content")
LATENCIES: tuple[Figure, ...] = ("response", "service", "first_event", "between_events", *OF_TOKENS)

#: The step, the figure and, of a percentile, which; it may hold a dot itself (p99.9).
_SUBJECT = re.compile(r"(?:(?P<before>.*?)\.)??(?P<figure>p[\d._]+|[^.]*)", re.DOTALL)
_PERCENTILE = re.compile(r"p(\d{1,2}(?:[._]\d+)?)", re.ASCII)
_NUMBER = re.compile(r"\d+\.?\d*|\.\d+", re.ASCII)
#: Of a share; what is nearer to none or all of the requests than that is none or all.
_DIGITS = 12
_FORMS = "write p99<50ms, errors<0.1% or rate>100/s"


@dataclass(frozen=True)
class Condition:
    """One condition of an objective.

    Attributes:
        text: as it was written.
        step: the name of the step that it is of; None is the headline's.
        figure: what is limited.
        limit: of a latency in nanoseconds, of errors a share, of a rate requests a second.
        share: of a latency, the share of the requests that have to be within the limit; else 1.
    """

    text: str
    step: str | None
    figure: Figure
    limit: float
    share: float = 1.0

    @property
    def least_share(self) -> float:
        """The share of the requests that has to keep it; of a rate, which no request keeps by itself, 1."""
        return 1 - self.limit if self.figure == "errors" else self.share


@dataclass(frozen=True)
class _Part:
    """A condition as it stands in the whole text, from `start`."""

    whole: str
    start: int
    text: str

    def fault(self, at: int, what: str, next_step: str = _FORMS) -> NoReturn:
        """Raise what is wrong at that place of the part, with a mark under it."""
        before = self.whole[: self.start + at]
        # Of a terminal's columns such characters take two: names of steps may have them, too.
        columns = len(before) + sum(unicodedata.east_asian_width(character) in "WF" for character in before)
        marked = f"  {self.whole}\n  {' ' * columns}^"
        raise UsageError(f"--slo: {what}", next_step=next_step, detail=marked)


def parse_objective(text: str) -> tuple[Condition, ...]:
    """The conditions in `text`, which commas separate.

    Raises:
        UsageError: it is none; the place is marked below the line.
    """
    return tuple(map(_condition, _parts(" ".join(text.split()))))


def _parts(text: str) -> Iterator[_Part]:
    at = 0
    for part in text.split(","):
        yield _Part(text, at + len(part) - len(part.lstrip()), part.strip())
        at += len(part) + 1


def _condition(part: _Part) -> Condition:
    sign = re.search(r"[<>=]+", part.text)
    named = part.text[: sign.start()].rstrip() if sign else part.text
    match = _SUBJECT.fullmatch(named)
    assert match is not None, "it takes any text"
    what, before = match["figure"], match["before"]
    _check_digits(part, match.start("figure"), what)
    percentile = _PERCENTILE.fullmatch(what)
    share = round(float(percentile[1].replace("_", ".")) / 100, _DIGITS) if percentile else 1.0
    if share >= 1 and re.fullmatch(r"p\d+([._]\d+)?", what):
        part.fault(match.start("figure"), f"{what} is no percentile below p100", "name one, as p99.9")
    if percentile is None and what not in ("errors", "rate"):
        part.fault(match.start("figure"), f"{what!r} cannot be limited" if what else "a condition is missing")
    wanted = ">" if what == "rate" else "<"
    if sign is None or sign[0] != wanted:
        found = f"{sign[0]!r}" if sign else "nothing"
        part.fault(len(named), f"{what} is followed by {wanted}, not by {found}", f"write {named}{wanted}...")
    limit = part.text[sign.end() :]
    at = sign.end() + len(limit) - len(limit.lstrip())
    limit = limit.strip()
    _check_digits(part, at, limit)
    if percentile is None:
        return Condition(part.text, before, *(_rate(part, at, limit) if what == "rate" else _errors(part, at, limit)))
    step, figure = _latency(before)
    if share <= 0:
        part.fault(match.start("figure"), "no request is below p0", "name a percentile above 0")
    return Condition(part.text, step, figure, _time_ns(part, at, limit), share)


def _check_digits(part: _Part, at: int, text: str) -> None:
    """Refuse digits of other scripts, which Python would read as numbers, in what stands at that place of the part."""
    for place, character in enumerate(text, at):
        if character.isdigit() and not character.isascii():
            part.fault(place, f"{character!r} is none of the digits 0 to 9")


def _latency(before: str | None) -> tuple[str | None, Figure]:
    """The step and the latency that stand before a percentile."""
    for latency in LATENCIES:
        if before == latency:
            return None, latency
        if before is not None and before.endswith(f".{latency}"):
            return before[: -len(latency) - 1], latency
    return before, "response"


def _time_ns(part: _Part, at: int, text: str) -> int:
    seconds = None if _NUMBER.fullmatch(text) else seconds_of(text)
    limit_ns = ns_from_s(seconds) if seconds is not None and 0 < seconds < 1e9 else 0
    if limit_ns <= 0:
        part.fault(at, f"{text!r} is no time with its unit" if text else "the time is missing", "write 50ms or 1.5s")
    return limit_ns


def _errors(part: _Part, at: int, text: str) -> tuple[Figure, float]:
    number = _NUMBER.fullmatch(text.removesuffix("%"))
    share = float(number[0]) / (100 if text.endswith("%") else 1) if number else 2.0
    if round(share, _DIGITS) <= 0 or share > 1:
        part.fault(at, f"{text!r} is no share of the requests" if text else "the share is missing", "write 0.1%")
    return "errors", share


def _rate(part: _Part, at: int, text: str) -> tuple[Figure, float]:
    number = _NUMBER.fullmatch(text.removesuffix("/s"))
    if number is None or not 0 < float(number[0]) < 1e12:
        part.fault(at, f"{text!r} is no rate" if text else "the rate is missing", "write 100/s")
    return "rate", float(number[0])
