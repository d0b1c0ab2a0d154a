"""``servemark run``: words to a request, a performed request to output and exit status."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.cli.checkout import or_here
from servemark.cli.json_output import check_apart, json_output
from servemark.cli.options import parse_run, print_error
from servemark.errors import UsageError

if TYPE_CHECKING:
    from servemark.options import RunRequest
    from servemark.report.live import LiveView
    from servemark.result import BenchmarkResult
    from servemark.runner import Listener

#: What writes a text where it is to go.
Write = Callable[[str], None]


def main(words: list[str], prog: str, *, searches: bool = False) -> int:
    """Run the benchmark that `words` ask for, or search its capacity with it; returns the exit status."""
    arguments = parse_run(prog, words, searches=searches)
    for name, value in (("--junit", arguments.junit), ("--markdown", arguments.markdown)):
        if value == "-":
            raise UsageError(f"{name} takes a file", cause="stdout is for people, and for --json")
    asked = {"json": arguments.json, "junit": arguments.junit, "markdown": arguments.markdown}
    check_apart({f"--{name}": file for name, file in asked.items()})
    with ExitStack() as outputs:
        write = {name: outputs.enter_context(json_output(file)) for name, file in asked.items() if file}
        return _run(arguments, words, prog, write)


def _run(arguments: Namespace, words: list[str], prog: str, write: Mapping[str, Write]) -> int:
    from servemark.runner import perform

    with listening(arguments.verbose) as listener:
        found = in_checkout(arguments.entries, listener.note)
        requests = [replace(request, command=(prog, *words)) for request in found]
        performed = perform(requests, listener, suite=arguments.suite_name, resume=arguments.resume)
    # What only prints is loaded when the measurement is over: until then it would keep the first request waiting.
    from servemark.cli.next_step import next_step
    from servemark.report.directory import result_text
    from servemark.report.junit import junit_text
    from servemark.report.markdown import markdown_text
    from servemark.report.terminal import print_summary
    from servemark.verdict import exit_status

    result = performed.result
    with _saying_what_fails(performed.folder):
        if "junit" in write:
            write["junit"](junit_text(result, allow_invalid=arguments.allow_invalid, strict=arguments.strict))
    with _saying_what_fails(performed.folder):
        if "markdown" in write:
            write["markdown"](markdown_text(result))
    try:
        if "json" in write:
            write["json"](result_text(result))
    finally:  # people are told all the same
        if arguments.json != "-":
            step = next_step(performed.result, performed.folder, prog, words)
            print_summary(performed.result, performed.folder, step)
    comparison = performed.result.comparison
    if comparison is not None and comparison.refused:
        print_error(UsageError("it is not compared", cause=comparison.refused, next_step="see --force"))
    return exit_status(performed.result, allow_invalid=arguments.allow_invalid, strict=arguments.strict)


@contextmanager
def _saying_what_fails(folder: Path) -> Iterator[None]:
    """Say why a report could not be written: that changes nothing that was measured, nor its exit status."""
    from servemark.unexpected import explained

    try:
        yield
    except Exception as error:
        print_error(explained(error, folder))


def in_checkout(requests: Sequence[RunRequest], say: Callable[[str], None]) -> list[RunRequest]:
    """`requests`, each of a server of our own with that of the checkout in which this is called."""
    said: dict[str, None] = {}
    found = [
        request
        if request.content.url is not None
        else replace(request, server=or_here(request.server, lambda line: said.setdefault(line)))
        for request in requests
    ]
    for line in said:
        say(line)
    return found


@contextmanager
def listening(verbose: bool) -> Iterator[Listener]:
    """Who tells people what happens, with a view of the run under way that goes away at the end."""
    from servemark.report.live import LiveView

    with LiveView() as view:
        yield _listener(view, verbose)


def _listener(view: LiveView, verbose: bool) -> Listener:
    from servemark.runner import Listener

    def tell(benchmark: BenchmarkResult) -> None:
        from servemark.report.terminal import headline

        view.say(headline(benchmark).plain)

    return Listener(
        note=view.say, log=view.say if verbose else None, progress=view.show, place=view.place, measured=tell
    )
