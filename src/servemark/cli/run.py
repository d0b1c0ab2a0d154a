"""``servemark run``: words to a request, a performed request to output and exit status."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.cli.options import parse_run
from servemark.errors import OutputError

if TYPE_CHECKING:
    from servemark.report.terminal import ProgressLine
    from servemark.runner import Listener, RunRequest


def main(words: list[str], prog: str) -> int:
    """Run the benchmark that `words` ask for; returns the exit status."""
    arguments = parse_run(prog, words)

    from servemark.report.directory import result_text
    from servemark.report.terminal import ProgressLine, print_summary
    from servemark.runner import perform
    from servemark.verdict import exit_status

    line = ProgressLine()
    try:
        performed = perform(_request(arguments, (prog, *words)), _listener(line, arguments.verbose))
    finally:
        line.clear()
    if arguments.json == "-":
        sys.stdout.write(result_text(performed.result))
    else:
        print_summary(performed.result, performed.folder)
        if arguments.json:
            _write_json(Path(arguments.json), result_text(performed.result))
    return exit_status(performed.result, allow_invalid=arguments.allow_invalid)


def _request(arguments: Namespace, command: tuple[str, ...]) -> RunRequest:
    from servemark.runner import RunRequest

    return RunRequest(
        benchmark=arguments.benchmark,
        model=arguments.model,
        server=arguments.mms,
        inputs=tuple(arguments.input),
        workers=arguments.workers,
        threads=arguments.threads,
        loops=arguments.loops,
        duration_s=arguments.duration,
        warmup_s=arguments.warmup,
        ramp_s=arguments.ramp,
        think_s=arguments.think,
        timeout_s=arguments.timeout,
        seed=arguments.seed,
        generator_threads=arguments.generator_threads,
        management_port=arguments.management_port,
        backend=arguments.backend,
        ca_file=arguments.ca_file,
        insecure=arguments.insecure,
        max_errors_share=arguments.max_errors,
        output=arguments.output,
        force=arguments.force,
        command=command,
    )


def _listener(line: ProgressLine, verbose: bool) -> Listener:
    from servemark.runner import Listener

    def say(text: str) -> None:
        line.clear()
        print(text, file=sys.stderr, flush=True)

    return Listener(note=say, log=say if verbose else None, progress=line.show)


def _write_json(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}", cause=error.strerror or str(error)) from error
