"""``servemark ab``: two benchmarks in turns, and whether the second is slower than the first."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.benchmarks.trials import TRIALS_A_BLOCK
from servemark.cli.called import measuring
from servemark.cli.compare import add_judging
from servemark.cli.json_output import json_output
from servemark.cli.options import Parser, parse_run
from servemark.cli.tables import reader
from servemark.errors import UsageError
from servemark.options.kinds import Whole
from servemark.options.load import MOST_TRIALS

if TYPE_CHECKING:
    from servemark.options import RunRequest
    from servemark.runner import WrittenResult

_MOST_BLOCKS = MOST_TRIALS // TRIALS_A_BLOCK
#: What is said of both together, or makes no sense in turns.
_NOT_OF_ONE = (
    *("output", "force", "against", "threshold", "strict", "trials", "fresh_server", "resume", "seed"),
    *("json", "junit", "markdown", "otlp"),
)
#: What says it in turns.
_INSTEAD = {
    "trials": "each block measures both twice: give --blocks N before them",
    "fresh_server": "each has a server of its own each time, unless --both-up is given",
}
_EPILOG = """\
examples:
  {prog} 'latency -m noop' -- 'latency -m noop -w 4'
  {prog} --both-up 'http http://127.0.0.1:8080/' -- 'http http://127.0.0.1:8081/'

A and B are what stands behind {measure}. Each block measures ABBA or
BAAB, as --seed draws it, each time with a server of its own, since starts
differ; what is compared is what B differs from A by within each block. Seven
blocks are the least that can show a difference in p50, p99 or rate of one
point; of several it takes more.

exit status: 0; 1 B fails more or is slower, with --strict undecided too; others
as of a run
"""


def ab_parser(prog: str) -> Parser:
    """The parser of ``servemark ab``."""
    parser = Parser(
        prog=prog,
        usage="%(prog)s [options] 'ARGS A' -- 'ARGS B'",
        description="Measure two benchmarks in turns, and compare them.",
        epilog=_EPILOG.format(prog=prog, measure=measuring(prog)),
    )
    parser.add_argument("sides", metavar="'ARGS'", nargs="*", help="what stands behind the run, quoted: of A, and of B")
    add_turns(parser)
    add_judging(parser)
    return parser


def add_turns(parser: Parser) -> None:
    """Add the options of what is measured in turns."""
    parser.add_argument(
        "--blocks",
        metavar="N",
        type=reader(Whole(1, _MOST_BLOCKS)),
        help="measure both twice, N times (default: the least that can show anything, 7 of one point)",
    )
    parser.add_argument(
        "--both-up", action="store_true", help="keep the servers of both running, instead of starting one each time"
    )
    parser.add_argument("--seed", metavar="N", type=reader(Whole(0)), default=0, help="seed of every random draw")
    parser.add_argument("--allow-invalid", action="store_true", help="exit 0 even if the measurement is INVALID")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, help="result directory (default: a new one)")
    parser.add_argument("--force", action="store_true", help="write into DIR although it is not empty")
    parser.add_argument("-v", "--verbose", action="store_true", help="show commands, server log and management calls")


def parse_ab(prog: str, words: list[str]) -> argparse.Namespace:
    """Parse and check the words of ``servemark ab``.

    Raises:
        UsageError: they do not name two benchmarks.
        SystemExit: argparse printed help.
    """
    place = words.index("--") if "--" in words else len(words)
    before, after = words[:place], words[place + 1 :]
    # Options of both may stand behind B, too, where a person writes them.
    behind = next((number for number, word in enumerate(after) if number and word.startswith("-")), len(after))
    first, unquoted = ab_parser(prog).parse_known_args(before)
    if unquoted and (name := _name_of(unquoted[0])) in _NOT_OF_ONE:
        raise UsageError(f"{unquoted[0]} makes no sense in turns", next_step=_INSTEAD.get(name, "leave it out"))
    if unquoted:
        raise UsageError(
            f"unrecognized arguments: {shlex.join(unquoted)}",
            next_step=f"what one side is asked is quoted: {prog} 'latency' -- 'latency -w 4'",
        )
    sides = [*first.sides, *after[:behind]]
    arguments, unknown = ab_parser(prog).parse_known_args([*before, *after[behind:]])
    found = len(arguments.sides) + behind + len(unknown)
    if unknown or found != len(sides) or found != len("AB"):
        raise UsageError(
            f"it takes two benchmarks, and there are {found}",
            next_step=f"quote each: {prog} 'latency' -- 'latency -w 4'",
        )
    arguments.sides = sides
    arguments.requests = [side(text, prog, words, arguments) for text in arguments.sides]
    return arguments


def side(text: str, prog: str, words: list[str], arguments: argparse.Namespace) -> RunRequest:
    """What is asked of one side, whose words `text` are.

    Raises:
        UsageError: they cannot be read, or ask for what is asked of both.
    """
    try:
        split = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{text!r} cannot be read", cause=str(error)) from None
    _check_one(text, map(_name_of, split))  # before its value is looked at, which may be wrong, too
    parsed = parse_run(measuring(prog), split)
    if parsed.suite_name is not None:
        raise UsageError(f"{text!r} is a suite", next_step="compare one benchmark with another")
    _check_one(text, parsed.given)  # by its short name, too
    request: RunRequest = parsed.entries[0]
    request = replace(request, load=replace(request.load, seed=arguments.seed), command=(prog, *words))
    return replace(request, output=replace(request.output, output=arguments.output, force=arguments.force))


def _check_one(text: str, given: Iterable[str]) -> None:
    for name in filter(_NOT_OF_ONE.__contains__, given):
        instead = _INSTEAD.get(name, "give what is for both before them")
        raise UsageError(f"--{name.replace('_', '-')} makes no sense in {text!r}", next_step=instead)


def _name_of(word: str) -> str:
    """The name of an option that a word may be."""
    return word.partition("=")[0].removeprefix("--").replace("-", "_") if word.startswith("--") else ""


def main(words: list[str], prog: str) -> int:
    """Measure two benchmarks in turns and compare them; returns the exit status."""
    arguments = parse_ab(prog, words)
    with json_output(arguments.json) as write_json:
        return _measured(arguments, write_json)


def _measured(arguments: argparse.Namespace, write_json: Callable[[str], None]) -> int:
    performed = in_turns(arguments, arguments.threshold)
    from servemark.report.terminal import print_pair
    from servemark.result import comparison_text
    from servemark.verdict import exit_status

    try:
        if performed.result.comparison:
            write_json(comparison_text(performed.result.comparison))
    finally:  # people are told all the same
        if arguments.json != "-":
            print_pair(performed.result, performed.folder)
    return exit_status(performed.result, allow_invalid=arguments.allow_invalid, strict=arguments.strict)


def in_turns(arguments: argparse.Namespace, threshold_share: float) -> WrittenResult:
    """What was measured in turns of the two requests of `arguments`.

    Raises:
        ServemarkError: something failed; what was measured before is in the result.
    """
    from servemark.cli.run import in_checkout, listening
    from servemark.runner.pair import PairRequest, perform_pair

    with listening(arguments.verbose) as listener:
        first, second = in_checkout(arguments.requests, listener.note)
        asked = PairRequest((first, second), arguments.blocks, arguments.both_up, threshold_share)
        return perform_pair(asked, listener)
