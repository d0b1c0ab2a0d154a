"""``servemark man``: the manual page, made of the parsers of all commands. Standard library only."""

from __future__ import annotations

import shlex
from argparse import Namespace
from pathlib import Path

from servemark.cli.options import Parser
from servemark.cli.own_files import install_file, user_folder
from servemark.errors import EXIT_OK, UsageError

_EPILOG = """\
examples:
  {prog} | man -l -
  {prog} --install

It is one page for all commands, servemark(1).
"""
_PAGE = Path("man1", "servemark.1")


def man_parser(prog: str) -> Parser:
    """The parser of ``servemark man``."""
    parser = Parser(
        prog=prog,
        description="Print the manual page, in the language that man reads.",
        epilog=_EPILOG.format(prog=prog),
    )
    parser.add_argument("--install", action="store_true", help="write it where man finds it: ~/.local/share/man")
    parser.add_argument("--dir", metavar="DIR", type=Path, help="install it below DIR instead, as /usr/local/share/man")
    return parser


def main(words: list[str], prog: str) -> int:
    """Print the manual page, or install it; returns the exit status.

    Raises:
        OutputError: it cannot be written there.
    """
    arguments = man_parser(prog).parse_args(words)
    if arguments.dir is not None and not arguments.install:
        raise UsageError("--dir goes with --install", next_step="give both")

    from servemark.cli.manual import manual_page

    page = manual_page()
    if not arguments.install:
        print(page, end="")
        return EXIT_OK
    path = _folder(arguments) / _PAGE
    wrote = install_file(path, page, f"give another folder: {prog} --install --dir DIR")
    print(f"the manual page is {'written to' if wrote else 'already in'} {path}")
    quoted = shlex.quote(str(path))
    print(f"man servemark shows it where {path.parents[1]} is in manpath, else man {quoted}")
    print(f"once servemark is another: {prog} --install again; to undo it: rm {quoted}")
    return EXIT_OK


def _folder(arguments: Namespace) -> Path:
    folder: Path | None = arguments.dir
    return user_folder("XDG_DATA_HOME", ".local/share") / "man" if folder is None else folder.absolute()
