"""``servemark compare``: whether one result is slower than another, and what their trials could have shown."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.cli.called import measuring
from servemark.cli.json_output import json_output
from servemark.cli.options import Parser, offer
from servemark.cli.tables import reader
from servemark.errors import UsageError
from servemark.options.kinds import Share
from servemark.options.question import DEFAULT_THRESHOLD_SHARE

if TYPE_CHECKING:
    from servemark.result import Comparison, Result

_FORCE = "--force compares them all the same"
_EPILOG = """\
examples:
  {measure} latency --trials 5 -o before
  {measure} latency --trials 5 -o after
  {prog} before after
  {prog} before latest --threshold 5%

A difference needs a p below 0.05, over p50, p99 and rate of the headline's step
together, and a change of at least the threshold. What is judged are trials,
never requests: five of either side are the least that can show anything. Beside
each "no difference" stands the smallest change that so many would have shown.

exit status: 0 faster, no difference or undecided; 1 slower, with --strict
undecided too; 2 usage, unlike runs, or a side without any valid trial
"""


def compare_parser(prog: str) -> Parser:
    """The parser of ``servemark compare``."""
    epilog = _EPILOG.format(prog=prog, measure=measuring(prog))
    parser = Parser(prog=prog, description="Compare two results, statistic by statistic.", epilog=epilog)
    base = parser.add_argument(
        "base", metavar="BASE", type=Path, help="the earlier result: its folder, latest, or a baseline"
    )
    new = parser.add_argument("new", metavar="NEW", type=Path, help="the later one")
    for action in (base, new):
        offer(action, ("latest",))
    add_judging(parser)
    parser.add_argument("--step", metavar="NAME", action="append", default=[], help="only this step; repeatable")
    parser.add_argument("--force", action="store_true", help="compare unlike runs, too; that is marked")
    return parser


def add_judging(parser: Parser) -> None:
    """Add the options of what compares: how that is judged, and where it goes."""
    parser.add_argument(
        "--threshold",
        metavar="SHARE",
        type=reader(Share()),
        default=DEFAULT_THRESHOLD_SHARE,
        help="a change of less than this is no difference (default: 2%%)",
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 where it stays undecided, too")
    parser.add_argument("--json", metavar="FILE", help="write the comparison to FILE too; - prints it alone on stdout")


def main(words: list[str], prog: str) -> int:
    """Compare two results; returns the exit status."""
    arguments = compare_parser(prog).parse_args(words)

    from servemark.report.directory import result_at
    from servemark.report.terminal import print_comparison
    from servemark.verdict import comparison_status

    base, new = result_at(arguments.base), result_at(arguments.new)
    comparison = _compared(base, new, arguments)
    if arguments.json:
        from servemark.result import comparison_text

        with json_output(arguments.json) as write_json:
            write_json(comparison_text(comparison))
    if arguments.json != "-":
        print_comparison(comparison, _deciding(comparison, new))
    return comparison_status(comparison.answer, strict=arguments.strict)


def _compared(base: Result, new: Result, arguments: Namespace) -> Comparison:
    """The comparison that is asked for.

    Raises:
        UsageError: the results are unlike, or have nothing that can be compared.
    """
    from servemark.assessment.comparing import Judging, compare

    comparison = compare(base, new, Judging(arguments.threshold, tuple(arguments.step), force=arguments.force))
    if comparison.refused:
        raise UsageError(
            f"{arguments.base} and {arguments.new} are not compared", cause=comparison.refused, next_step=_FORCE
        )
    if not any(one.changes for one in comparison.benchmarks):
        why = "; ".join(dict.fromkeys(what for one in comparison.benchmarks for what in one.lacking))
        raise UsageError(f"{arguments.base} and {arguments.new} cannot be compared", cause=why)
    return comparison


def _deciding(comparison: Comparison, new: Result) -> str:
    """The command that measures as often as it takes; empty where that is no question of how often."""
    from servemark.cli.next_step import with_trials

    needed = max((one.needs_trials or 0 for one in comparison.benchmarks), default=0)
    return with_trials(new.command, needed) if needed else ""
