"""The option table of ``servemark serve``. Standard library only, as ``cli/options.py``."""

from __future__ import annotations

import argparse

from servemark.cli.options import Parser, offer
from servemark.cli.tables import add_option, reader
from servemark.errors import UsageError
from servemark.options.kinds import Text, Whole, nearest
from servemark.options.server import ServerOptions
from servemark.options.table import from_words, options_of, refuse
from servemark.servers.ports import LOOPBACK, check_listen, parse_listen
from servemark.zoo.catalogue import DEFAULT_MODEL, ZOO, find

#: The options of ``run`` that choose a server of our own.
_OF_THE_MODEL = ("workers", "gpus", "backend")
_OF_THE_SERVER = ("server_kind", "model_repository", "docker", "docker_image", "source", "build_command")

_EPILOG = """\
examples:
  {prog}
      ResNet-18 on free ports
  {prog} --tls --port 8443
      for --mms https://localhost:8443

It serves until Ctrl-C and then exits with 0; with 4 if the server fails.
"""


def serve_parser(prog: str) -> Parser:
    """The parser of ``servemark serve``."""
    parser = Parser(
        prog=prog,
        usage="%(prog)s [options]",
        description="Run a Multi Model Server, or another kind, with a model until Ctrl-C.",
        epilog=_EPILOG.format(prog=prog),
    )
    model = parser.add_argument(
        "-m", "--model", help=f"model to serve (default: {DEFAULT_MODEL}); of a vLLM, what it is called"
    )
    offer(model, (known.name for known in ZOO))
    options = {known.name: known for known in options_of(ServerOptions)}
    for name in _OF_THE_MODEL:
        add_option(parser, options[name])
    parser.add_argument(
        "--port",
        metavar="P",
        type=reader(Whole(1, 65534)),
        help="port of the inference API; the management API gets P + 1 (default: free ones)",
    )
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        type=reader(Text(parse_listen)),
        default=LOOPBACK,
        help=f"address of this machine at which others reach it, too (default: {LOOPBACK}, its own)",
    )
    parser.add_argument("--tls", action="store_true", help="serve https, with a certificate signed by itself")
    parser.add_argument("-v", "--verbose", action="store_true", help="show commands, server log and management calls")
    group = parser.add_argument_group("server (default: the one that is installed)")
    for name in _OF_THE_SERVER:
        add_option(group, options[name])
    return parser


def parse_serve(prog: str, words: list[str]) -> argparse.Namespace:
    """Parse and check the words of ``servemark serve``; ``server`` is what they choose.

    Raises:
        UsageError: the words contradict each other, or name what does not exist.
        SystemExit: argparse refused them (status 2), or printed help (status 0).
    """
    arguments = serve_parser(prog).parse_args(words)
    if arguments.model is None and arguments.server_kind != "vllm":
        arguments.model = DEFAULT_MODEL
    if arguments.server_kind != "vllm" and find(arguments.model) is None:
        names = [name for model in ZOO for name in model.all_names]
        raise UsageError(f"unknown model {arguments.model!r}", next_step=nearest(arguments.model, names))
    check_listen(arguments.listen)
    arguments.server = from_words(ServerOptions, arguments)
    if arguments.tls and arguments.server.server_kind != "mms":
        raise refuse(
            "--tls", "--server-kind", "only a Multi Model Server makes itself a certificate", "leave --tls out"
        )
    return arguments
