"""``servemark report``: the reports of a result made again; of a run that was killed, from what it had recorded; and a
result made of a file of JMeter's.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servemark.cli.jtl_import import add_import_options, check_no_import_options, import_jtl
from servemark.cli.options import Parser
from servemark.errors import EXIT_OK, RecordingError, UsageError

if TYPE_CHECKING:
    from servemark.result import BenchmarkResult, Result

_RESULT = "result.json"
_KILLED = "servemark was killed before it had written its result, which was made from the records"
_EPILOG = """\
examples:
  {prog} servemark-results/latest
  {prog} old.jtl --benchmark throughput -m resnet-18

Of a run that was killed the figures are those of the records that it left, and
the result is partial and INVALID: nothing vouches for them any more.

Of a JTL, JMeter's CSV, each label is a step, and all samples are measured. The
result says that it is imported, and that nothing vouches for it.

exit status: 0 done, 2 usage, or no such file, 4 the records cannot be read
"""


def report_parser(prog: str) -> Parser:
    """The parser of ``servemark report``."""
    parser = Parser(
        prog=prog,
        description="Make the files of a result again, report.html among them, or a\nresult of a JTL.",
        epilog=_EPILOG.format(prog=prog),
    )
    parser.add_argument("path", metavar="DIR|JTL", type=Path, help="the result's directory, or a JTL of JMeter's")
    add_import_options(parser)
    return parser


def main(words: list[str], prog: str) -> int:
    """Make the reports of a result again; returns the exit status."""
    arguments = report_parser(prog).parse_args(words)
    folder: Path = arguments.path
    if folder.is_file() and folder.name != _RESULT:
        return import_jtl(folder, arguments, (prog, *words))
    check_no_import_options(arguments)

    from servemark.report.directory import BEGUN, ResultDirectory
    from servemark.report.terminal import print_summary

    result = _read(folder)
    for path in sorted((folder / "records").glob(f"*{BEGUN}")):
        result = _with_begun(result, folder, path)
    directory = ResultDirectory(folder)
    directory.write(result)
    directory.write_page(result)
    print_summary(result, folder)
    return EXIT_OK


def _read(folder: Path) -> Result:
    from servemark.result import read_result

    path = folder / _RESULT
    try:
        return read_result(path)
    except OSError as error:
        missing = f"{error.strerror or error}: {_RESULT}" if folder.is_dir() else "no such folder, or file"
        raise UsageError(
            f"there is no result in {folder}", cause=missing, next_step="give the folder that a run has written"
        ) from error
    except ValueError as error:
        raise RecordingError(f"cannot read {path}", cause=str(error)) from error


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
        records = open_records(records_path)
    except RecordingError as error:  # killed before its file was made, or by an engine that writes it at the end
        print(f"servemark: nothing of {path.name} can be told: {error}", file=sys.stderr)
        return result
    if not records.rows:
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
    """Where in `result` the benchmark is already: with its earlier runs, or as one that failed before it had any."""
    earlier = {run.records for run in begun.runs[:-1]}
    for place, known in enumerate(result.benchmarks):
        if earlier & {run.records for run in known.runs}:
            return place
        if not earlier and known.failure and not known.runs and known.name == begun.name:
            return place
    return None
