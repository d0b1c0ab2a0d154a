"""The option tables of every subcommand. Standard library only: ``-h`` and usage errors need nothing installed.

Parsing ends in plain values; ``cli/run.py`` makes a request of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from servemark.benchmarks import Benchmark, catalogue
from servemark.benchmarks.refusals import check_given
from servemark.cli.called import without_subcommand
from servemark.cli.lone_words import benchmark_meant, settle_words
from servemark.cli.other_tools import ELSEWHERE, check_borrowed
from servemark.cli.parser import Parser as Parser
from servemark.cli.parser import listing_parser as listing_parser
from servemark.cli.parser import offer as offer
from servemark.cli.parser import unlist
from servemark.cli.tables import add_options, reader
from servemark.errors import UsageError
from servemark.options import RunRequest, all_options
from servemark.options.kinds import Whole, nearest
from servemark.printable import printable
from servemark.suites import names as suite_names
from servemark.zoo.catalogue import ZOO

#: The keys after --options that every benchmark has.
EVERYWHERE = ("threads", "loops", "workers")
#: What ``servemark capacity`` searches, and of which benchmark, where it is not told.
DEFAULT_BY, _SEARCHED_BENCHMARK = "rate", "latency"
#: What is of suites alone.
_OF_SUITES = ("--all", "--suite", "--resume")
#: What follows the program's name in an example, and what it does.
_EXAMPLES = (
    ("latency", "ResNet-18 on a server of its own"),
    ("throughput -m squeezenet", "another model of the zoo"),
    ("latency -v -l 1", "one request, everything shown"),
    ("latency -i cat.jpg -t 4", "your input, 4 users at once"),
    ("latency -c URL -i cat.jpg", "your model, from a URL or a path"),
    ("latency --server 127.0.0.1:8443", "a server that already runs"),
    ("latency --rate 20", "20 requests a second, open loop"),
    ("http http://HOST/PATH", "any HTTP endpoint"),
    ("--all", "all benchmarks, one by one"),
)
_OTHER_EXAMPLES = (
    ("doctor", "what this machine lacks"),
    ("models", "the zoo, and what is cached"),
    ("history", "what was measured before"),
)
#: Those of a search, which needs an objective, and says itself how much is sent.
_SEARCH_EXAMPLES = (
    ("--slo 'p99<300ms'", "most requests a second to ResNet-18"),
    ("-m squeezenet --slo 'p99<300ms' --by threads", "most users of another model"),
    ("--slo 'p99<300ms' --over workers=1,2,4", "with how many workers"),
    ("--server 127.0.0.1:8443 --slo 'p99<300ms'", "of a server that already runs"),
    ("http http://HOST/PATH --slo 'p90<50ms,errors<1%'", "of any HTTP endpoint"),
)
_WIDTH = 80
#: What 1 says differs: a search has one question.
_EXIT_STATUS = """\
exit status:
  0 done                           3 INVALID measurement
  1 an objective is missed,        4 the server or its environment failed,
    too many requests failed,        or nothing was measured
    or slower (--against)         70 a fault of servemark's own
  2 usage, or unlike runs        130 interrupted
"""
_SEARCH_EXIT_STATUS = """\
exit status:
  0 done                           3 INVALID measurement
  1 the lowest load misses the     4 the server or its environment failed,
    objective already                or nothing was measured
  2 usage                         70 a fault of servemark's own
                                 130 interrupted
"""


def _examples(prog: str, *, searches: bool) -> str:
    """The examples, with `prog` as the user calls it."""
    lines = [(f"  {prog} {words}", what) for words, what in (_SEARCH_EXAMPLES if searches else _EXAMPLES)]
    lines += [(f"  {without_subcommand(prog)} {words}", what) for words, what in (() if searches else _OTHER_EXAMPLES)]
    width = max(len(command) for command, _ in lines) + 2
    if width + max(len(what) for _, what in lines) <= _WIDTH:
        return "\n".join(f"{command:{width}}{what}" for command, what in lines)
    return "\n".join(f"{command}\n      {what}" for command, what in lines)


def run_parser(prog: str, *, searches: bool = False) -> Parser:
    """The parser of ``servemark run`` (and so of ``benchmark.py``), or of ``servemark capacity``, which `searches`."""
    lines = "\n".join(f"  {item.name:21} {item.summary}" for item in catalogue().values())
    parameters = "\n".join(
        f"  {benchmark.name}: {parameter.key}, {parameter.meaning}"
        for benchmark in catalogue().values()
        for parameter in benchmark.parameters
    )
    models = "\n".join(f"  {model.name:12} {model.title}" for model in ZOO)
    purpose = "Search the most load of a server that meets an objective." if searches else "Measure a model server."
    exit_status = _SEARCH_EXIT_STATUS if searches else _EXIT_STATUS
    parser = Parser(
        elsewhere=ELSEWHERE,
        prog=prog,
        usage="%(prog)s [BENCHMARK] [options]",
        description=f"{purpose}\n\nbenchmarks:\n{lines}\n\nmodels:\n{models}",
        epilog=f"--options:\n  threads N, loops N, workers N\n{parameters}\n\n"
        "times S are in seconds, or have a unit: 500ms, 10s, 1m, 1h\n\n"
        f"examples:\n{_examples(prog, searches=searches)}\n\n{exit_status}",
    )
    benchmark = parser.add_argument(
        "benchmark", metavar="BENCHMARK", nargs="?", help="which benchmark to run; http takes its URL too"
    )
    offer(benchmark, catalogue())
    parser.add_argument("-a", "--all", action="store_true", help="run the suite all, the original's five first")
    suite = parser.add_argument(
        "-s", "--suite", metavar="NAME|FILE", help="run a suite, by name or as the path of a TOML file"
    )
    offer(suite, suite_names())
    options = list(all_options())
    add_options(parser, options)
    keys = parser.add_argument(
        "--options", metavar=("KEY", "VALUE"), nargs="+", default=[], help="benchmark parameters; see below"
    )
    offer(keys, dict.fromkeys((*EVERYWHERE, *(one.key for known in catalogue().values() for one in known.parameters))))
    parser.add_argument("-v", "--verbose", action="store_true", help="show commands, server log and management calls")
    for heading in ("server", "your own model", "request"):
        add_options(parser, options, heading)
    load = add_options(parser, options, "load")
    load.add_argument("--allow-invalid", action="store_true", help="exit 0 even if the measurement is INVALID")
    question = add_options(parser, options, "question")
    question.add_argument("--strict", action="store_true", help="exit 1 where a question stays undecided, too")
    if searches:
        add_options(parser, options, "capacity")
        parser.set_defaults(by=DEFAULT_BY)
    output = add_options(parser, options, "output")
    output.add_argument(
        "--resume", metavar="DIR", type=Path, help="go on with the suite whose result is in DIR: what it lacks is run"
    )
    output.add_argument("--json", metavar="FILE", help="write result.json to FILE too; - prints it alone on stdout")
    output.add_argument("--junit", metavar="FILE", help="write the verdicts to FILE, as JUnit's XML")
    output.add_argument("--markdown", metavar="FILE", help="write the answers to FILE, as a pull request's comment")
    if searches:
        unlist(parser, {*_OF_SUITES, *(known.flags[-1] for known in options if not known.of_searches)})
    return parser


def parse_run(prog: str, words: list[str], *, searches: bool = False) -> argparse.Namespace:
    """Parse and check the words of ``servemark run``, or of ``servemark capacity``, which `searches`.

    Everything that can be said without running is said here.

    Raises:
        UsageError: the words contradict each other, or name what does not exist.
        SystemExit: argparse refused them (status 2), or printed help (status 0).
    """
    parser = run_parser(prog, searches=searches)
    if words[:1] == ["help"]:
        parser.print_help()
        raise SystemExit(0)
    arguments, left = parser.parse_known_args(words)
    settle_words(arguments, left, parser)
    if len(arguments.options) % 2:
        raise UsageError(f"--options takes pairs of KEY VALUE, and {arguments.options[-1]!r} is alone")
    suite = _suite(arguments)
    if searches and suite is not None:
        raise UsageError("a search is of one benchmark, and not of a suite", next_step="name the benchmark")
    if searches:
        arguments.benchmark = arguments.benchmark or _SEARCHED_BENCHMARK
    _check_resume(arguments, suite)
    if suite is None:
        known = catalogue()
        if arguments.benchmark is None:
            raise UsageError("which benchmark?", next_step=f"choose from {', '.join(known)}; see {prog} -h")
        if arguments.benchmark not in known:
            meant = benchmark_meant(arguments.benchmark, prog)
            raise UsageError(f"unknown benchmark {arguments.benchmark!r}", next_step=meant)
        arguments.entries, arguments.suite_name = [_request(arguments, known[arguments.benchmark])], None
    else:
        from servemark.cli.suite_options import entry_requests
        from servemark.suites import read_suite

        chosen = read_suite(suite)
        arguments.entries = list(entry_requests(chosen, arguments, parser, _request))
        arguments.suite_name = chosen.name
    return arguments


def _suite(arguments: argparse.Namespace) -> str | None:
    """The suite that is to be run; None when it is one benchmark."""
    suite: str | None = "all" if arguments.all else arguments.suite
    if suite is None:
        return None
    if arguments.all and arguments.suite is not None:
        raise UsageError("--all and --suite do not go together", cause="--all is the suite all")
    if arguments.benchmark is not None:
        option = "--all" if arguments.all else "--suite"
        raise UsageError(f"{option} and the benchmark {arguments.benchmark} do not go together")
    return suite


def _check_resume(arguments: argparse.Namespace, suite: str | None) -> None:
    if arguments.resume is None:
        return
    if suite is None:
        raise UsageError("--resume needs a suite", next_step="give it behind the --suite or --all that was interrupted")
    if arguments.output is not None:
        raise UsageError("--resume and --output do not go together", cause="it goes on in the folder of that result")


def _request(arguments: argparse.Namespace, benchmark: Benchmark) -> RunRequest:
    """What is asked of one benchmark.

    Raises:
        UsageError: it cannot be had.
    """
    check_borrowed(arguments, benchmark)
    check_given(benchmark, {known.name: known for known in all_options() if known.name in arguments.given})
    _apply_options(arguments, benchmark)
    request = RunRequest.from_words(arguments)
    check_given(benchmark, request.given)
    return request


def _apply_options(arguments: argparse.Namespace, benchmark: Benchmark) -> None:
    """Put the pairs after ``--options`` where they belong: the benchmark's own parameters, or threads and the like."""
    words = arguments.options
    own = {parameter.key: parameter for parameter in benchmark.parameters}
    everywhere = {key: reader(Whole(1)) for key in EVERYWHERE if key not in own}
    arguments.parameters = {}
    for key, text in zip(words[::2], words[1::2], strict=True):
        try:
            if key in arguments.parameters or (key in everywhere and getattr(arguments, key) is not None):
                once = f"give either --{key} or --options {key}" if key in everywhere else "give it once"
                raise UsageError(f"{key} is given twice", next_step=once)
            if key in own:
                arguments.parameters[key] = own[key].convert(text)
            elif key in everywhere:
                setattr(arguments, key, everywhere[key](text))
            else:
                known = [*own, *everywhere]
                raise UsageError(f"unknown option key {key!r} after --options", next_step=nearest(key, known))
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"--options {key}", cause=str(error)) from None
    arguments.parameters = {key: parameter.default for key, parameter in own.items()} | arguments.parameters


def print_error(error: BaseException) -> None:
    """One line on stderr that says what happened and what to try; below it the lines that belong to it."""
    detail = getattr(error, "detail", "")
    print(printable("\n".join([f"servemark: error: {error}", *([detail] if detail else [])])), file=sys.stderr)
