"""The option table of ``servemark serve``. Standard library only, as ``cli/options.py``."""

from __future__ import annotations

import argparse

from servemark.cli.converters import nearest, whole_number
from servemark.cli.options import Parser
from servemark.cli.server_options import add_own_server, check_own_server
from servemark.errors import UsageError
from servemark.zoo.catalogue import BACKENDS, DEFAULT_MODEL, ZOO, find

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
        description="Run a Multi Model Server with a model until Ctrl-C.",
        epilog=_EPILOG.format(prog=prog),
    )
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL, help=f"model to serve (default: {DEFAULT_MODEL})")
    parser.add_argument(
        "-w", "--workers", metavar="N", type=whole_number(1), help="workers (default: one a CPU, or with -g one a GPU)"
    )
    parser.add_argument("-g", "--gpus", metavar="N", type=whole_number(1), help="compute on N NVIDIA GPUs")
    parser.add_argument("--backend", choices=BACKENDS, help="what computes the zoo's models (default: mxnet if it can)")
    parser.add_argument(
        "--port",
        metavar="P",
        type=whole_number(1, 65534),
        help="port of the inference API; the management API gets P + 1 (default: free ones)",
    )
    parser.add_argument("--tls", action="store_true", help="serve https, with a certificate signed by itself")
    parser.add_argument("-v", "--verbose", action="store_true", help="show commands, server log and management calls")
    add_own_server(parser.add_argument_group("server (default: the one that is installed)"))
    return parser


def parse_serve(prog: str, words: list[str]) -> argparse.Namespace:
    """Parse and check the words of ``servemark serve``.

    Raises:
        UsageError: the words contradict each other, or name what does not exist.
        SystemExit: argparse refused them (status 2), or printed help (status 0).
    """
    arguments = serve_parser(prog).parse_args(words)
    if find(arguments.model) is None:
        names = [name for model in ZOO for name in model.all_names]
        raise UsageError(f"unknown model {arguments.model!r}", next_step=nearest(arguments.model, names))
    check_own_server(arguments, running=None)
    return arguments
