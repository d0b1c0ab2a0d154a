"""``servemark history``: what was measured, in a list and as trends; baselines, and what is forgotten."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.benchmarks import catalogue
from servemark.cli.history_prune import age, prune
from servemark.cli.json_output import print_json
from servemark.cli.lines import terminal_width
from servemark.cli.options import Parser, offer
from servemark.cli.tables import reader
from servemark.errors import EXIT_OK, UsageError
from servemark.options.kinds import Whole, nearest
from servemark.printable import printable
from servemark.report.formats import FORMATS
from servemark.zoo.catalogue import ZOO, find

if TYPE_CHECKING:
    from servemark.history.index import Indexed
    from servemark.history.trends import Series
    from servemark.result import Result

SCHEMA = "servemark/history/1"
#: Results that a list has unless it is told.
_LISTED = 20
_RESULT = "a folder, latest, a baseline, or a number or id of the list"
#: Its commands, with the line that help shows.
COMMANDS = {
    "list": "the last results, with their headline figures",
    "show": "the summary of one of them",
    "trend": "how a figure went over time, and where it changed",
    "baseline": "give a result a name, by which others are held against it",
    "prune": "forget results, and remove their folders if that is asked for",
}
_OVERVIEW = """\
usage: {prog} COMMAND ...

What was measured here: every finished run is added, but with --no-history. It
is an index; the results are in their folders. It lies in
~/.local/state/servemark/history.db ($XDG_STATE_HOME, or $SERVEMARK_HISTORY).

commands:
{commands}

A RESULT is {result}.
{prog} --baseline NAME is {prog} baseline NAME.
{prog} COMMAND -h tells more
"""
_TREND = """\
A series is of one benchmark, model, load and machine; INVALID and partial
results are left out. Changes are found by E-divisive at a level of 5%, and told
with what else changed: the server's version, Java, the kernel, servemark.
"""
_PRUNE = """\
Folders stay, unless --folders removes them: then each is named, and one that
holds anything but a result is left. Baselines are kept but by --gone.
"""


def main(words: list[str], prog: str) -> int:
    """Do what `words` ask of the history; returns the exit status."""
    if words and words[0].partition("=")[0] == "--baseline":
        words = ["baseline", *words[0].split("=", 1)[1:], *words[1:]]
    if words and words[0] in {"-h", "--help", "help"}:
        commands = "\n".join(f"  {name:9} {line}" for name, line in COMMANDS.items())
        print(_OVERVIEW.format(prog=prog, commands=commands, result=_RESULT), end="")
        return EXIT_OK
    if not words or words[0].startswith("-"):
        words = ["list", *words]
    name, *rest = words
    if name not in COMMANDS:
        raise UsageError(f"unknown command {name!r} of history", next_step=nearest(name, COMMANDS))
    arguments = history_parser(name, f"{prog} {name}").parse_args(rest)
    return _ACTIONS[name](arguments)


def history_parser(name: str, prog: str) -> Parser:
    """The parser of ``servemark history NAME``."""
    epilog = {"trend": _TREND, "prune": _PRUNE}.get(name, "")
    parser = Parser(prog=prog, description=f"{COMMANDS[name].capitalize()}.", epilog=epilog)
    if name in {"list", "trend"}:
        offer(parser.add_argument("--benchmark", metavar="B", help="of this benchmark"), catalogue())
        model = parser.add_argument("-m", "--model", metavar="M", help="of this model, or part of an endpoint's URL")
        offer(model, (known.name for known in ZOO))
    if name == "list":
        parser.add_argument(
            "--limit", metavar="N", type=reader(Whole(1)), default=_LISTED, help=f"how many (default: {_LISTED})"
        )
    if name == "show":
        result = parser.add_argument(
            "result", metavar="RESULT", nargs="?", default="latest", help=f"{_RESULT} (default: latest)"
        )
        offer(result, ("latest",))
    if name == "trend":
        parser.add_argument("--html", metavar="FILE", type=Path, help="write it to FILE too, as a page with charts")
        parser.add_argument("--statistic", choices=("p50", "p99", "rate"), default="p50", help="of what (default: p50)")
    if name in {"list", "show", "trend"}:
        what = "its result.json" if name == "show" else f"JSON ({SCHEMA})"
        parser.add_argument("--json", action="store_true", help=f"print {what} instead")
    if name == "baseline":
        parser.add_argument("name", metavar="NAME", nargs="?", help="its name (default: list all)")
        result = parser.add_argument("result", metavar="RESULT", nargs="?", help=f"{_RESULT} (default: latest)")
        offer(result, ("latest",))
        parser.add_argument("--remove", action="store_true", help="take the name away; the result stays")
    if name == "prune":
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--keep", metavar="N", type=reader(Whole(0)), help="all but the last N")
        which.add_argument("--older-than", metavar="AGE", type=age, help="begun longer ago: 90d, 12w")
        which.add_argument("--gone", action="store_true", help="those whose folder is gone")
        parser.add_argument("--folders", action="store_true", help="remove their folders, too")
    return parser


def _list(arguments: Namespace) -> int:
    from servemark.history.index import indexed
    from servemark.history.place import history_file

    results = indexed()
    found = _of(results, arguments)
    shown = found[-arguments.limit :]
    if arguments.json:
        from servemark.cli.history_documents import document

        _print_json({"database": str(history_file()), "results": list(map(document, shown))})
        return EXIT_OK
    if not found:
        why = "has nothing of these" if results else "is empty: the next run that finishes is its first"
        print(f"the history {why}")
        return EXIT_OK
    from rich.text import Text

    from servemark.report.history import table_of_results
    from servemark.report.terminal import print_lines

    more = [Text(f"{len(shown)} of {len(found)} results; --limit {len(found)} shows all", style="dim")]
    print_lines([table_of_results(shown), *(more if len(shown) < len(found) else [])])
    return EXIT_OK


def _show(arguments: Namespace) -> int:
    from servemark.history.index import indexed, is_result
    from servemark.history.naming import in_history, resolve

    name: str = arguments.result
    known = None if is_result(Path(name)) else in_history(name, indexed())
    if known is not None and known.is_gone:
        _show_gone(known, as_json=arguments.json)
        return EXIT_OK
    from servemark.report.directory import result_text
    from servemark.report.terminal import print_summary

    folder = known.folder if known else resolve(name)
    result = _result_in(folder)
    if known is not None and result.id != known.id:
        print(printable(f"servemark: a later run was written over result {known.number}: {folder}"), file=sys.stderr)
    if arguments.json:
        print_json(result_text(result))
    else:
        print_summary(result, folder)
    return EXIT_OK


def _result_in(folder: Path) -> Result:
    """The result in `folder`.

    Raises:
        UsageError: it cannot be read, or a newer servemark wrote it.
    """
    from servemark.result import read_result

    try:
        return read_result(folder / "result.json")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise UsageError(f"cannot read the result in {folder}", cause=why or str(error)) from error


def _show_gone(known: Indexed, *, as_json: bool) -> None:
    if as_json:
        from servemark.cli.history_documents import document

        _print_json({"results": [document(known)]})
        return
    from servemark.report.history import gone
    from servemark.report.terminal import print_lines

    print_lines(gone(known))


def _trend(arguments: Namespace) -> int:
    from servemark.history.index import indexed
    from servemark.history.trends import series_of

    if arguments.html is not None:
        FORMATS["html"].check(arguments.html)
    results = indexed()
    found = series_of(_of(results, arguments), arguments.statistic)
    if not found:
        why = "the history has no valid result of these" if results else "the history is empty"
        raise UsageError("there is nothing to tell a trend of", cause=why, next_step="run a benchmark some times")
    found = tuple(_only(found, arguments))
    if arguments.html is not None:
        from servemark.report.html import write_page
        from servemark.report.html.of_history import history_page

        write_page(history_page(found, arguments.statistic), arguments.html)
    if arguments.json:
        from servemark.cli.history_documents import series_document

        of_each = [series_document(one, arguments.statistic) for one in found]
        _print_json({"statistic": arguments.statistic, "series": of_each})
        return EXIT_OK
    from rich.text import Text

    from servemark.report.history import trend
    from servemark.report.sparkline import BLOCKS
    from servemark.report.terminal import print_lines
    from servemark.terminals import takes_letters

    blocks, width = takes_letters(BLOCKS, sys.stdout, os.environ), terminal_width()
    print_lines(
        line
        for place, one in enumerate(found)
        for line in (*([Text()] if place else []), *trend(one, arguments.statistic, width, blocks=blocks))
    )
    return EXIT_OK


def _baseline(arguments: Namespace) -> int:
    from servemark.history.index import baselines, forget, is_result, set_baseline
    from servemark.history.naming import checked_name, id_of

    if arguments.name is None:
        known = baselines()
        for name, (_, folder) in known.items():
            print(printable(f"{name}  {folder}{'' if is_result(folder) else '  gone'}"))
        if not known:
            print("there is no baseline")
        return EXIT_OK
    if arguments.remove:
        if arguments.name not in baselines():
            raise UsageError(f"there is no baseline {arguments.name!r}", next_step="history baseline lists them")
        forget(names=[arguments.name])
        print(f"{arguments.name} is no baseline any more; the result stays")
        return EXIT_OK
    name = checked_name(arguments.name)
    folder = _with_history(arguments.result or "latest")
    result_id = id_of(folder)
    assert result_id is not None
    set_baseline(name, result_id, folder)
    print(printable(f"{name} is the result in {folder}"))
    return EXIT_OK


def _with_history(name: str) -> Path:
    """The folder of the result that `name` means, which is in the history then; what is not valid in it is said."""
    from servemark.history.index import add, indexed
    from servemark.history.naming import resolve

    folder = resolve(name)
    result = _result_in(folder)
    if not any(known.id == result.id and known.folder == folder.resolve() for known in indexed()):
        add(result, folder)
    certificates = [benchmark.certificate for benchmark in result.benchmarks if benchmark.certificate]
    if result.partial or not all(certificate.valid for certificate in certificates):
        what = "partial" if result.partial else "INVALID"
        print(printable(f"servemark: that result is {what}: {folder}"), file=sys.stderr)
    return folder


def _of(results: Sequence[Indexed], arguments: Namespace) -> list[Indexed]:
    """Choose from `results` those that hold something of the benchmark and the model that are asked for.

    Raises:
        UsageError: there is no such benchmark.
    """
    asked = arguments.benchmark
    if asked is not None and asked not in catalogue():
        raise UsageError(f"unknown benchmark {asked!r}", next_step=nearest(asked, catalogue()))
    return [
        result
        for result in results
        if any(_is_asked(one.benchmark, one.model, arguments) for one in result.measurements)
    ]


def _only(found: Sequence[Series], arguments: Namespace) -> Iterator[Series]:
    """Choose from series of results of several benchmarks those that are asked for."""
    return (one for one in found if _is_asked(one.benchmark, one.model, arguments))


def _is_asked(benchmark: str, model: str, arguments: Namespace) -> bool:
    if arguments.benchmark not in (None, benchmark):
        return False
    if arguments.model is None:
        return True
    of_zoo = find(arguments.model)
    names = {arguments.model, *([of_zoo.wire_name, *of_zoo.all_names] if of_zoo else [])}
    return not names.isdisjoint(model.split(", ")) or ("://" in model and arguments.model in model)


def _print_json(document: Mapping[str, object]) -> None:
    print_json(json.dumps({"schema": SCHEMA, **document}, indent=2, allow_nan=False) + "\n")


_ACTIONS: Mapping[str, Callable[[Namespace], int]] = {
    "list": _list,
    "show": _show,
    "trend": _trend,
    "baseline": _baseline,
    "prune": prune,
}
