"""``servemark compare``: whether one result is slower than another, and what their trials could have shown."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.cli.called import measuring
from servemark.cli.json_output import check_apart, json_output
from servemark.cli.lines import say_what_lacks
from servemark.cli.options import Parser, offer
from servemark.cli.tables import reader
from servemark.errors import UsageError
from servemark.options.kinds import Share
from servemark.options.question import DEFAULT_THRESHOLD_SHARE
from servemark.printable import printable
from servemark.report.formats import FORMATS

if TYPE_CHECKING:
    from servemark.result import Comparison, Result

_FORCE = "--force compares them all the same"
_EPILOG = """\
examples:
  {measure} latency --trials 5 -o before
  {measure} latency --trials 5 -o after
  {prog} before after
  {prog} before latest --threshold 5%
  {prog} before after latest --html compared.html

A difference needs a p below 0.05, over p50, p99 and rate of the headline's step
together, and a change of at least the threshold. What is judged are trials,
never requests: five of either side are the least that can show anything. Beside
each "no difference" stands the smallest change that so many would have shown.
Whether more requests fail than before is said first.

exit status: 0 faster, no difference or undecided; 1 fails more or slower, with
--strict undecided too; 2 usage, unlike runs, or a side without any valid trial
"""


def compare_parser(prog: str) -> Parser:
    """The parser of ``servemark compare``."""
    epilog = _EPILOG.format(prog=prog, measure=measuring(prog))
    parser = Parser(prog=prog, description="Compare two results, statistic by statistic.", epilog=epilog)
    base = parser.add_argument(
        "base", metavar="BASE", type=Path, help="the earlier result: its folder, latest, or a baseline"
    )
    new = parser.add_argument("new", metavar="NEW", type=Path, nargs="+", help="the later one; each of several")
    for action in (base, new):
        offer(action, ("latest",))
    add_judging(parser)
    parser.add_argument("--step", metavar="NAME", action="append", default=[], help="only this step; repeatable")
    parser.add_argument("--force", action="store_true", help="compare unlike runs, too; that is marked")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write it to FILE too, as a page with all curves")
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
    """Compare two results, or one with each of several; returns the exit status."""
    arguments = compare_parser(prog).parse_args(words)
    check_apart({"--html": arguments.html, "--json": arguments.json})
    if arguments.html is not None:
        FORMATS["html"].check(arguments.html)

    from servemark.report.directory import result_at
    from servemark.report.terminal import print_comparison
    from servemark.verdict import comparison_status

    base = result_at(arguments.base)
    found = [(path, new, _compared(base, new, path, arguments)) for path in arguments.new for new in [result_at(path)]]
    for path, new, _ in found:
        if new.id == base.id:
            same = f"{path} and {arguments.base} are one result ({base.id}), compared with itself"
            print(printable(f"servemark: {same}"), file=sys.stderr)
    if arguments.json:
        from servemark.result import comparison_text

        comparisons = [comparison for _, _, comparison in found]
        with json_output(arguments.json) as write_json:
            write_json(comparison_text(comparisons if len(found) > 1 else comparisons[0]))
    if arguments.html is not None:
        _write_page(base, found, arguments)
    if arguments.json != "-":
        for path, new, comparison in found:
            if len(found) > 1:
                print(printable(f"{path} against {arguments.base}"))
            print_comparison(comparison, _deciding(comparison, base, new))
            if len(found) > 1 and path != arguments.new[-1]:
                print()
    return max(comparison_status(comparison.answer, strict=arguments.strict) for _, _, comparison in found)


def _write_page(base: Result, found: Sequence[tuple[Path, Result, Comparison]], arguments: Namespace) -> None:
    """Write the page of the comparisons.

    Raises:
        RecordingError: it cannot be written.
        SetupError: what draws its charts cannot be had.
    """
    from servemark.report.directory import folder_at
    from servemark.report.html import write_page
    from servemark.report.html.of_comparison import Side, comparison_page
    from servemark.report.recorded import DRAWN_IN_COMPARISONS, RecordedResult

    paths = [arguments.base, *arguments.new]
    results = [base, *(new for _, new, _ in found)]
    parts = zip(_labels(paths), results, map(folder_at, paths), strict=True)
    sides = [Side(label, result, folder) for label, result, folder in parts]
    others = [(side, comparison) for side, (_, _, comparison) in zip(sides[1:], found, strict=True)]
    write_page(comparison_page(sides[0], others), arguments.html)
    for side in sides:
        say_what_lacks(arguments.html, DRAWN_IN_COMPARISONS, RecordedResult(side.result, side.folder).lacking)


def _labels(paths: Sequence[Path]) -> list[str]:
    """What results are called: their folders' names, or all of their paths where these are not distinct."""
    names = [path.name or str(path) for path in paths]
    whole = [str(path) for path in paths]
    chosen = names if len(set(names)) == len(names) else whole
    return [f"{name} ({number})" if chosen.count(name) > 1 else name for number, name in enumerate(chosen, 1)]


def _compared(base: Result, new: Result, path: Path, arguments: Namespace) -> Comparison:
    """The comparison that is asked for.

    Raises:
        UsageError: the results are unlike, or have nothing that can be compared.
    """
    from servemark.assessment.comparing import Judging, compare
    from servemark.result import ERRORS

    comparison = compare(base, new, Judging(arguments.threshold, tuple(arguments.step), force=arguments.force))
    if comparison.refused:
        raise UsageError(f"{arguments.base} and {path} are not compared", cause=comparison.refused, next_step=_FORCE)
    # That everything of the base failed can be told, and compares nothing.
    told = [change for one in comparison.benchmarks for change in one.changes]
    if not any(change.answer or change.figure != ERRORS for change in told):
        why = "; ".join(dict.fromkeys(what for one in comparison.benchmarks for what in one.lacking))
        raise UsageError(f"{arguments.base} and {path} cannot be compared", cause=why)
    return comparison


def _deciding(comparison: Comparison, base: Result, new: Result) -> list[str]:
    """The commands that measure as often as it takes what was not; none where that is no question of how often."""
    from servemark.cli.next_step import trials_lacking, with_trials

    needed = [(side, trials_lacking(comparison, place)) for place, side in enumerate((base, new))]
    commands = dict.fromkeys(with_trials(side.command, trials) for side, trials in needed if trials)
    return [command for command in commands if command]
