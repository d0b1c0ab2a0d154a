"""Rates as people write them: ``200``, ``100..2000/60s`` (a ramp), ``100,200,400/20s`` (steps)."""

from __future__ import annotations

import math

from servemark.errors import UsageError
from servemark.units import seconds_of
from servemark.workload.load import RateSegment

#: Fewer are not worth waiting for, and more cannot be sent by one machine.
_LEAST_PER_S, _MOST_PER_S = 0.001, 10_000_000.0
_MOST_S = 1_000_000.0
_SHAPES = "give requests a second, as in 200, 100..2000/60s (a ramp) or 100,200,400/20s (steps of 20 s)"


def parse_rate(text: str) -> tuple[RateSegment, ...]:
    """The profile that `text` describes: one rate without end, a straight ramp, or steps of equal length.

    Raises:
        UsageError: names what is wrong with it, and what to write instead.
    """
    words, slash, time = text.partition("/")
    if slash and time.strip() == "s":
        raise _refusal(text, "a rate is in requests a second already", f"give --rate {words}")
    if ".." in words:
        return _ramp(text, words, time if slash else None)
    if "," in words and not slash:
        one = words.replace(",", "")
        raise _refusal(text, "steps need a time each", f"give --rate {words}/20s, or {one} if that is one number")
    rates = [_rate(text, word) for word in words.split(",")]
    if slash:
        each_s = _time_s(text, time)
        if each_s * len(rates) > _MOST_S:
            raise _refusal(text, f"{len(rates)} times {each_s:g} s is more than {_MOST_S:,.0f} s")
        return tuple(RateSegment(rate, rate, each_s) for rate in rates)
    return (RateSegment(rates[0], rates[0]),)


def format_rate(profile: tuple[RateSegment, ...]) -> str:
    """What ``parse_rate`` makes `profile` of."""
    first = profile[0]
    if first.from_per_s != first.to_per_s:
        return f"{plain(first.from_per_s)}..{plain(first.to_per_s)}/{plain(first.duration_s or 0.0)}s"
    rates = ",".join(plain(segment.from_per_s) for segment in profile)
    return rates if first.duration_s is None else f"{rates}/{plain(first.duration_s)}s"


def with_unit(rate: str) -> str:
    """`rate`, as ``format_rate`` has it, with the unit of one without end: ``200/s``; of others it is in the time."""
    return rate if "/" in rate else f"{rate}/s"


def plain(number: float) -> str:
    """A number as people write it: ``200``, ``0.5``, ``12.25``."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


def _ramp(text: str, words: str, time: str | None) -> tuple[RateSegment, ...]:
    ends = words.split("..")
    if len(ends) != 2:
        raise _refusal(text, "a ramp goes from one rate to one other", "as in 100..2000/60s")
    first, last = (_rate(text, word) for word in ends)
    if time is None:
        raise _refusal(text, "a ramp needs the time that it takes", f"give --rate {words}/60s")
    return (RateSegment(first, last, _time_s(text, time)),)


def _rate(text: str, word: str) -> float:
    rate = _number(word)
    if rate is None:
        raise _refusal(text, f"{word!r} is not a number")
    if not rate > 0:
        raise _refusal(text, f"{word} is not above 0")
    if not _LEAST_PER_S <= rate <= _MOST_PER_S:
        raise _refusal(text, f"{word} is not between {_LEAST_PER_S:g} and {_MOST_PER_S:,.0f} requests a second")
    return rate


def _time_s(text: str, time: str) -> float:
    if _number(time) is not None:
        raise _refusal(text, f"the time {time} has no unit", f"say {time}s")
    seconds = seconds_of(time)
    if seconds is None:
        raise _refusal(text, f"{time!r} is not a time", "as in /60s, /500ms or /1m")
    if not 0 < seconds <= _MOST_S:
        raise _refusal(text, f"the time {time} is not above 0 and at most {_MOST_S:,.0f} s")
    return seconds


def _number(word: str) -> float | None:
    """`word` as a number; None when it is none (``nan`` is none either, ``inf`` is)."""
    try:
        number = float(word)
    except ValueError:
        return None
    return None if math.isnan(number) or "_" in word or not word.isascii() else number


def _refusal(text: str, cause: str, next_step: str = _SHAPES) -> UsageError:
    return UsageError(f"--rate {text}", cause=cause, next_step=next_step)
