"""Comparisons on the real Multi Model Server: of a handler with itself, and with one that takes 5% longer.

Each is one call of ``servemark ab``, with a server of its own for each of 28 runs, and takes some four minutes.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from judging import Finding

from bench.kept import Kept
from bench.process import run_servemark
from bench.proof import Section
from servemark.result import Result
from servemark.zoo.pack.mar import write_archive

_HANDLER = """\
import time


def handle(items, context):
    if items is None:
        return None
    time.sleep({seconds})
    return ["OK"] * len(items)
"""
_TAKES_S, _SLOWER = 0.020, 0.05
_SIDE = "latency -c {archive} -i {body} -w 1 --warmup 1 --duration 2"
#: Of so many pairs, how many that are the same may be called different, and how many that are slower have to be found.
_OF, _MOST_FALSE, _LEAST_FOUND = 20, 3, 18
_MOST_S = 300.0


def prove_same_handler(folder: Path, pairs: int, kept: Kept) -> Section:
    """So many comparisons of a handler with itself."""
    most = _MOST_FALSE * pairs / _OF
    return _section(
        "the same",
        _answers(folder, pairs, 0.0, kept),
        lambda of: Finding("called different", of["slower"] + of["faster"], 0, 0, most, ""),
    )


def prove_slower_handler(folder: Path, pairs: int, kept: Kept) -> Section:
    """So many comparisons of a handler with one that takes longer."""
    least = _LEAST_FOUND * pairs / _OF
    return _section(
        f"{_SLOWER:.0%} slower",
        _answers(folder, pairs, _SLOWER, kept),
        lambda of: Finding("called slower", of["slower"], pairs, least, pairs, ""),
    )


def _section(what: str, answered: tuple[Counter[str], float], judged: Callable[[Counter[str]], Finding]) -> Section:
    """What was answered, and how long that took."""
    answers, longest_s = answered
    shares = ", ".join(f"{answer} {number}" for answer, number in answers.most_common())
    return Section(
        f"A handler of {1000 * _TAKES_S:.0f} ms on a real server, {what}",
        f"{answers.total()} times `servemark ab '{_SIDE.format(archive='A.mar', body='BODY')}' -- "
        f"'{_SIDE.format(archive='B.mar', body='BODY')}'`: {shares}",
        [judged(answers), Finding("the longest of them", longest_s, _MOST_S, 0.0, _MOST_S, "s")],
    )


def _answers(folder: Path, pairs: int, slower: float, kept: Kept) -> tuple[Counter[str], float]:
    """What was answered how often, and the longest time that one took."""
    sides = (_side(folder / "a", _TAKES_S), _side(folder / "b", _TAKES_S * (1 + slower)))
    answers: Counter[str] = Counter()
    longest_s = 0.0
    for number in range(pairs):
        name = f"ab-{slower:g}-{number}"
        answer, took_s = kept.tried(name, partial(_pair, folder / name, number, sides))
        longest_s = max(longest_s, took_s)
        answers[answer] += 1
        print(f"       {number + 1} of {pairs}: {dict(answers)}", file=sys.stderr)
    return answers, longest_s


def _pair(output: Path, seed: int, sides: tuple[str, str]) -> tuple[str, float]:
    """What one comparison answers, and how long it takes."""
    started_s = time.monotonic()
    run_servemark(output.parent, "ab", "--seed", str(seed), "-o", str(output), sides[0], "--", sides[1])
    took_s = time.monotonic() - started_s
    comparison = Result.load(output).comparison
    return (comparison.answer if comparison else "no answer"), took_s


def _side(folder: Path, seconds: float) -> str:
    """What is measured of a handler that takes so long."""
    folder.mkdir(exist_ok=True)
    source, body, archive = folder / "work.py", folder / "body.txt", folder / "work.mar"
    source.write_text(_HANDLER.format(seconds=seconds), encoding="utf-8")
    body.write_text("x", encoding="utf-8")
    write_archive(archive, model_name="work", handler="work:handle", files={"work.py": source})
    return _SIDE.format(archive=archive, body=body)
