"""``servemark run``: words to a request, a performed request to output and exit status."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.cli.json_output import json_output
from servemark.cli.options import parse_run
from servemark.cli.server_options import source_or_here
from servemark.printable import printable

if TYPE_CHECKING:
    from servemark.report.progress import ProgressLine
    from servemark.result import BenchmarkResult
    from servemark.runner import Listener, RunRequest


def main(words: list[str], prog: str) -> int:
    """Run the benchmark that `words` ask for; returns the exit status."""
    arguments = parse_run(prog, words)
    if not arguments.json:
        return _run(arguments, words, prog, None)
    with json_output(arguments.json) as write_json:
        return _run(arguments, words, prog, write_json)


def _run(arguments: Namespace, words: list[str], prog: str, write_json: Callable[[str], None] | None) -> int:
    from servemark.report.progress import ProgressLine
    from servemark.runner import perform

    line = ProgressLine()
    try:
        listener = _listener(line, arguments.verbose)
        source = source_or_here(arguments, arguments.mms or arguments.url, listener.note)
        requests = [_request(entry, (prog, *words), source) for entry in arguments.entries]
        performed = perform(requests, listener, suite=arguments.suite_name, resume=arguments.resume)
    finally:
        line.clear()
    # What only prints is loaded when the measurement is over: until then it would keep the first request waiting.
    from servemark.cli.next_step import next_step
    from servemark.report.directory import result_text
    from servemark.report.terminal import print_summary
    from servemark.verdict import exit_status

    try:
        if write_json:
            write_json(result_text(performed.result))
    finally:  # people are told all the same
        if arguments.json != "-":
            step = next_step(performed.result, performed.folder, prog, words)
            print_summary(performed.result, performed.folder, step)
    return exit_status(performed.result, allow_invalid=arguments.allow_invalid)


def _request(arguments: Namespace, command: tuple[str, ...], source: Path | None) -> RunRequest:
    from servemark.runner import RunRequest

    return RunRequest(
        benchmark=arguments.benchmark,
        model=arguments.model,
        custom_model=arguments.custom_model,
        server=arguments.mms,
        docker=arguments.docker,
        image=arguments.docker_image,
        source=None if arguments.url else source,
        build_command=arguments.build_command,
        url=arguments.url,
        method=arguments.method,
        inputs=tuple(arguments.input or arguments.body_file),
        content_type=arguments.content_type,
        multipart=arguments.multipart,
        headers=tuple(arguments.header),
        expect_status=arguments.expect_status,
        expect=arguments.expect,
        server_requirements=arguments.server_requirements,
        server_python=arguments.server_python,
        workers=arguments.workers,
        gpus=arguments.gpus or 0,
        parameters=arguments.parameters,
        threads=arguments.threads,
        loops=arguments.loops,
        duration_s=arguments.duration,
        warmup_s=arguments.warmup,
        ramp_s=arguments.ramp,
        think_s=arguments.think,
        timeout_s=arguments.timeout,
        rate=arguments.rate,
        arrival=arguments.arrival,
        max_connections=arguments.max_connections,
        seed=arguments.seed,
        engine=arguments.engine,
        generator_threads=arguments.generator_threads,
        realtime=arguments.realtime,
        receive_clock=arguments.receive_clock,
        keep_awake=arguments.keep_awake,
        record_events=arguments.record_events,
        management_port=arguments.management_port,
        backend=arguments.backend,
        ca_file=arguments.ca_file,
        insecure=arguments.insecure,
        client_cert=arguments.client_cert,
        client_key=arguments.client_key,
        connect_to=arguments.connect_to,
        unix_socket=arguments.unix_socket,
        max_errors_share=arguments.max_errors,
        go_on_errors=arguments.go_on_errors,
        output=arguments.output,
        force=arguments.force,
        command=command,
    )


def _listener(line: ProgressLine, verbose: bool) -> Listener:
    from servemark.runner import Listener

    def say(text: str) -> None:
        line.clear()
        print(printable(text), file=sys.stderr, flush=True)

    def tell(benchmark: BenchmarkResult) -> None:
        from servemark.report.terminal import headline

        say(headline(benchmark).plain)

    return Listener(note=say, log=say if verbose else None, progress=line.show, measured=tell)
