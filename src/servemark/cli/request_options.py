"""The options of what is sent, and to what: headers, the expected status, client certificates, any HTTP endpoint.

Standard library only, as ``cli/options.py``.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from servemark.benchmarks import Benchmark
from servemark.engines.answers import check_expect
from servemark.errors import UsageError
from servemark.servers.choice import check_endpoint
from servemark.servers.trust import Trust
from servemark.workload.answers import parse_expect
from servemark.workload.endpoint import Place, parse_place, parse_url
from servemark.workload.headers import parse_headers


def add_request(parser: argparse.ArgumentParser) -> None:
    """Add the options of this file to `parser`."""
    group = parser.add_argument_group("request")
    group.add_argument("--url", metavar="URL", help="what http measures; it may stand alone behind http")
    group.add_argument("--method", metavar="M", type=_method, help="of http (default: GET, with a body POST)")
    group.add_argument(
        "--body-file",
        metavar="FILE",
        action="append",
        default=[],
        help="body that http sends: a file, a folder, a JSONL file, or - for standard input",
    )
    group.add_argument(
        "-H",
        "--header",
        metavar="'K: V'",
        action="append",
        default=[],
        help="send this header; $NAME in it is a variable of the environment, and is written nowhere",
    )
    group.add_argument(
        "--expect",
        metavar="WHAT",
        type=_expect,
        help="body of a success: same (as the first with that input), regex:R (found in it), json:PATH (is in it), "
        "not:regex:R, not:json:PATH",
    )
    group.add_argument("--expect-status", metavar="N", type=_status, help="the status of a success (default: any 2xx)")
    group.add_argument(
        "--connect-to",
        metavar="HOST:PORT",
        type=_place,
        help="connect there; Host and SNI stay those of --url or --mms",
    )
    group.add_argument(
        "--unix-socket", metavar="PATH", type=Path, help="connect to this socket; Host stays that of --url"
    )
    group.add_argument("--client-cert", metavar="FILE", type=Path, help="certificate of the client, PEM")
    group.add_argument(
        "--client-key", metavar="FILE", type=Path, help="its key, PEM (default: in the file of --client-cert)"
    )


def check_request(arguments: argparse.Namespace, benchmark: Benchmark) -> None:
    """Refuse what contradicts itself.

    Raises:
        UsageError: it does; or a header, the URL or a certificate's file cannot be used.
    """
    if arguments.expect is not None and arguments.engine == "jmeter":
        check_expect(parse_expect(arguments.expect), arguments.engine)
    headers = parse_headers(arguments.header, os.environ)
    check_endpoint(
        benchmark.name,
        takes_url=benchmark.takes_url,
        url=arguments.url,
        method=arguments.method,
        bodies=bool(arguments.body_file),
        running=arguments.mms,
        headers=headers,
        content_type=arguments.content_type,
        multipart=arguments.multipart,
        trust=Trust(arguments.ca_file, arguments.insecure, arguments.client_cert, arguments.client_key),
        connect_to=arguments.connect_to,
        unix_socket=arguments.unix_socket,
        engine=arguments.engine,
    )
    if arguments.url is not None:
        parse_url(arguments.url)


def _method(text: str) -> str:
    """A converter for methods of HTTP; they are all in capitals."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z_-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a method such as GET")
    if text.upper() == "CONNECT":
        raise argparse.ArgumentTypeError("CONNECT opens a tunnel and no request")
    return text.upper()


def _status(text: str) -> int:
    if not re.fullmatch(r"[2-5][0-9][0-9]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a status from 200 to 599")
    return int(text)


def _expect(text: str) -> str:
    try:
        parse_expect(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _place(text: str) -> Place:
    try:
        return parse_place(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
