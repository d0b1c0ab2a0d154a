"""``servemark calibrate``: the same measured in turns with itself, and which changes trials can show here."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

from servemark.cli.ab import add_turns, in_turns, side
from servemark.cli.called import measuring
from servemark.cli.json_output import json_output
from servemark.cli.options import Parser
from servemark.errors import UsageError
from servemark.options.question import DEFAULT_THRESHOLD_SHARE

_EPILOG = """\
examples:
  {prog} 'latency -m noop --duration 5'
  {prog} --json calibration.json 'latency -m noop --duration 5'

What stands behind {measure} is measured in turns with itself. What its
trials differ by says which change so many of them would show, 8 times in 10,
with the --threshold of that row, or a smaller one, for compare and --against.

exit status: as of a run
"""


def calibrate_parser(prog: str) -> Parser:
    """The parser of ``servemark calibrate``."""
    parser = Parser(
        prog=prog,
        usage="%(prog)s [options] 'ARGS'",
        description="Measure a benchmark in turns with itself, and say which changes this machine can show.",
        epilog=_EPILOG.format(prog=prog, measure=measuring(prog)),
    )
    parser.add_argument("sides", metavar="'ARGS'", nargs="*", help="what stands behind the run, quoted")
    add_turns(parser)
    parser.add_argument(
        "--json", metavar="FILE", help="write what trials can show to FILE too; - prints it alone on stdout"
    )
    return parser


def parse_calibrate(prog: str, words: list[str]) -> argparse.Namespace:
    """Parse and check the words of ``servemark calibrate``.

    Raises:
        UsageError: they do not name one benchmark.
        SystemExit: argparse printed help.
    """
    arguments = calibrate_parser(prog).parse_args(words)
    if len(arguments.sides) != 1:
        raise UsageError(
            f"it takes one benchmark, and there are {len(arguments.sides)}", next_step=f"quote it: {prog} 'latency'"
        )
    arguments.requests = [side(arguments.sides[0], prog, words, arguments) for _ in "AB"]
    return arguments


def main(words: list[str], prog: str) -> int:
    """Measure a benchmark in turns with itself; returns the exit status."""
    arguments = parse_calibrate(prog, words)
    with json_output(arguments.json) as write_json:
        return _measured(arguments, write_json)


def _measured(arguments: argparse.Namespace, write_json: Callable[[str], None]) -> int:
    performed = in_turns(arguments, DEFAULT_THRESHOLD_SHARE)

    from servemark.assessment.calibration import calibration_of
    from servemark.report.calibration import calibration_text
    from servemark.report.terminal import print_calibration
    from servemark.verdict import exit_status

    calibration = calibration_of(performed.result)
    try:
        write_json(calibration_text(calibration))
    finally:  # people are told all the same
        if arguments.json != "-":
            print_calibration(performed.result, performed.folder, calibration)
    result = performed.result
    if result.comparison is not None:  # that the same was called different is no failure: chance does so now and then
        first, second = result.benchmarks
        result = replace(result, benchmarks=(first, replace(second, verdicts=second.verdicts[:-1])))
    return exit_status(result, allow_invalid=arguments.allow_invalid)
