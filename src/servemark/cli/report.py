"""``servemark report``: the reports of a result made again, in any format; of a run that was killed, from what it had
recorded; and a result made of a file of JMeter's.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servemark.cli.json_output import print_text
from servemark.cli.jtl_import import add_import_options, check_no_import_options, import_jtl
from servemark.cli.lines import say_what_lacks
from servemark.cli.options import Parser, offer
from servemark.cli.tables import add_option
from servemark.errors import EXIT_OK, RecordingError, UsageError
from servemark.options.kinds import nearest
from servemark.options.output import OutputOptions
from servemark.options.table import options_of
from servemark.report.formats import FORMATS, Format

if TYPE_CHECKING:
    from servemark.report.recorded import RecordedResult
    from servemark.result import BenchmarkResult, Result

_RESULT = "result.json"
_STDOUT = "-"
#: The format that has failures, as a run writes it with ``--junit``.
_JUDGING = "junit"
#: That which has charts of the records, as far as they are there.
_WITH_CHARTS = "html"
_KILLED = "servemark was killed before it had written its result, which was made from the records"
_EPILOG = """\
formats:
{formats}

examples:
  {prog} servemark-results/latest
  {prog} servemark-results/latest --format markdown -o -
  {prog} old.jtl --benchmark throughput -m resnet-18

A format goes into DIR, under the name that stands behind it above, or where -o
says. With --format or --otlp nothing else in DIR is written.

Of a run that was killed the figures are those of the records that it left, and
the result is partial and INVALID: nothing vouches for them any more.

Of a JTL, JMeter's CSV, each label is a step, and all samples are measured. The
result says that it is imported, and that nothing vouches for it.

exit status: 0 done, 2 usage, or no such file, 4 the records, or the JTL, cannot
be read
"""


def report_parser(prog: str) -> Parser:
    """The parser of ``servemark report``."""
    parser = Parser(
        prog=prog,
        description="Make the files of a result again, report.html among them, or a\nresult of a JTL.",
        epilog=_EPILOG.format(prog=prog, formats="\n".join(map(_format_line, FORMATS.values()))),
    )
    parser.add_argument("path", metavar="DIR|JTL", type=Path, help="the result's directory, or a JTL of JMeter's")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE|DIR",
        type=Path,
        help="where the one --format goes, - for stdout; of a JTL the result directory (default: a new one)",
    )
    formats = parser.add_argument(
        "--format",
        metavar="NAME",
        type=_format,
        action="append",
        default=[],
        help="report the result in that format, below, instead. Repeatable",
    )
    offer(formats, FORMATS)
    parser.add_argument("--allow-invalid", action="store_true", help="in junit INVALID is no error")
    parser.add_argument("--strict", action="store_true", help="in junit what stays undecided is a failure")
    (otlp,) = [one for one in options_of(OutputOptions) if one.field == "otlp"]
    add_option(parser, otlp)
    add_import_options(parser)
    return parser


def _format_line(one: Format) -> str:
    return f"  {one.name:12} {one.file:17} {one.title}"


def _format(text: str) -> Format:
    if text not in FORMATS:
        raise argparse.ArgumentTypeError(f"unknown format {text!r}; {nearest(text, FORMATS)}")
    return FORMATS[text]


def main(words: list[str], prog: str) -> int:
    """Make the reports of a result again; returns the exit status."""
    arguments = report_parser(prog).parse_args(words)
    path: Path = arguments.path
    for name in ("allow_invalid", "strict"):
        if getattr(arguments, name) and _JUDGING not in {one.name for one in arguments.format}:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} goes with --format {_JUDGING}", next_step="leave it out")
    asked = [name for name, given in (("--format", arguments.format), ("--otlp", arguments.otlp)) if given]
    if path.is_file() and path.name != _RESULT:
        if asked:
            raise UsageError(f"{asked[0]} goes with a result", next_step=f"make one first: {prog} {path}")
        return import_jtl(path, arguments, (prog, *words))
    check_no_import_options(arguments)
    folder = path.parent if path.is_file() else path
    if not asked:
        if arguments.output is not None:
            raise UsageError("-o goes with --format, or with a JTL", next_step="leave it out")
        return _again(folder)
    from servemark.report.recorded import drawn_in_reports

    targets = _targets(arguments, folder)
    recorded = replace(_recorded(folder), allow_invalid=arguments.allow_invalid, strict=arguments.strict)
    if any(one.needs_records for one in targets):
        _ = recorded.runs  # where they are missing nothing is written
    for one, target in targets.items():
        if target is None:
            print_text(one.text(recorded), f"the {one.name}")
        else:
            one.write(recorded, target)
            print(target)
        if one.name == _WITH_CHARTS:
            charts = drawn_in_reports(recorded.result.benchmarks)
            say_what_lacks(one.file if target is None else target, charts, recorded.lacking)
    if arguments.otlp:
        from servemark.report.otlp import send

        send(recorded.result, arguments.otlp)
    return EXIT_OK


def _targets(arguments: argparse.Namespace, folder: Path) -> Mapping[Format, Path | None]:
    """The file of each format; None is stdout. Nothing has been read yet.

    Raises:
        UsageError: -o does not fit, or something is not installed.
        OutputError: it cannot be written there.
    """
    from servemark.report.extras import check_extra

    output: Path | None = arguments.output
    formats: list[Format] = list(dict.fromkeys(arguments.format))
    if output is not None and len(formats) != 1:
        raise UsageError(f"-o takes one --format, and there are {len(formats)}", next_step="give -o for each by itself")
    if arguments.otlp:
        check_extra("otlp", "--otlp")
    if output == Path(_STDOUT):
        if formats[0].shape != "text":
            raise UsageError(
                f"--format {formats[0].name} is no text for stdout", next_step="give -o a file or a folder"
            )
        return dict.fromkeys(formats)
    if not folder.is_dir():
        raise _no_result(folder, "no such folder, or file")
    targets = {one: output or one.path(folder) for one in formats}
    for one, target in targets.items():
        one.check(target, folder)
    return targets


def _again(folder: Path) -> int:
    """Write the reports that a run writes, and print the summary.

    Raises:
        OutputError: they cannot be written there; nothing has been read yet.
    """
    from servemark.report.directory import ResultDirectory
    from servemark.report.terminal import print_summary

    if (folder / _RESULT).exists():
        page = FORMATS[_WITH_CHARTS]
        page.check(page.path(folder), folder)  # one of several files in one folder: where it can be, the others can
    recorded = _recorded(folder)
    recorded.check_kept()  # where records are missing, or are not all there, nothing is written
    result = recorded.result
    directory = ResultDirectory(folder)
    directory.write(result)
    directory.write_page(result)
    print_summary(result, folder)
    return EXIT_OK


def _recorded(folder: Path) -> RecordedResult:
    """The result in `folder`, with the runs that were begun, and killed."""
    from servemark.report.directory import BEGUN, check_not_written
    from servemark.report.recorded import RecordedResult

    result = _read(folder)
    check_not_written(folder)
    for path in sorted((folder / "records").glob(f"*{BEGUN}")):
        result = _with_begun(result, folder, path)
    return RecordedResult(result, folder)


def _read(folder: Path) -> Result:
    from servemark.result import read_result

    path = folder / _RESULT
    try:
        return read_result(path)
    except OSError as error:
        missing = f"{error.strerror or error}: {_RESULT}" if folder.is_dir() else "no such folder, or file"
        raise _no_result(folder, missing) from error
    except ValueError as error:
        raise RecordingError(f"cannot read {path}", cause=str(error)) from error


def _no_result(folder: Path, missing: str) -> UsageError:
    next_step = "give the folder that a run has written"
    return UsageError(f"there is no result in {folder}", cause=missing, next_step=next_step)


def _with_begun(result: Result, folder: Path, path: Path) -> Result:
    """`result` with the run that was begun as `path` says, if it lacks that and anything of it was recorded."""
    from servemark.assessment.rebuilt import rebuilt_run, with_run
    from servemark.records import open_records
    from servemark.result import benchmark_from_json

    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        begun, server = benchmark_from_json(document["benchmark"]), document["server"]
        records_path = folder / begun.runs[-1].records
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise RecordingError(f"cannot read {path}", cause=str(error)) from error
    if any(folder / run.records == records_path for known in result.benchmarks for run in known.runs):
        return result
    try:
        records = [open_records(folder / name) for name in begun.runs[-1].record_files]
    except RecordingError as error:  # killed before its file was made, or by an engine that writes it at the end
        print(f"servemark: nothing of {path.name} can be told: {error}", file=sys.stderr)
        return result
    if not any(file.rows for file in records):
        return result
    run = rebuilt_run(begun.runs[-1], records)
    place = _place(result, begun)
    known = None if place is None else result.benchmarks[place]
    benchmark = with_run(known, begun, run)
    benchmarks = list(result.benchmarks)
    if place is None:
        benchmarks.append(benchmark)
    else:
        benchmarks[place] = benchmark
    return replace(
        result,
        partial=True,
        error=result.error or _KILLED,
        server=result.server or server,
        benchmarks=tuple(benchmarks),
    )


def _place(result: Result, begun: BenchmarkResult) -> int | None:
    """The index in `result` of the benchmark: with its earlier runs, or as one that failed before it had any."""
    earlier = {run.records for run in begun.runs[:-1]}
    for place, known in enumerate(result.benchmarks):
        if earlier & {run.records for run in known.runs}:
            return place
        if not earlier and known.failure and not known.runs and known.name == begun.name:
            return place
    return None
