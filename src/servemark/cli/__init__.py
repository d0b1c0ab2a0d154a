"""The command line: one file a subcommand; ``options`` parses for all of them.

Anything heavy is imported by the subcommand that needs it, when it runs: ``servemark --help`` imports argparse.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from servemark.errors import EXIT_INTERRUPTED, EXIT_OK, ServemarkError, UsageError
from servemark.interrupts import listen
from servemark.telling import guarded

#: Subcommands by name, with the line that help shows.
SUBCOMMANDS = {
    "run": "run a benchmark",
    "serve": "run a server until Ctrl-C",
    "capacity": "search the most load that meets an objective",
    "ab": "measure two benchmarks in turns, and compare them",
    "calibrate": "measure the same in turns: which changes this machine can show",
    "compare": "compare two results: whether one is slower",
    "report": "make the reports of a result again, or a result of a JMeter file",
    "history": "list, show and compare over time what was measured",
    "models": "list the zoo's models and what is cached",
    "doctor": "check what servemark needs of this machine",
    "man": "print the manual page",
}
COMPLETION_OPTIONS = ("--install-completion", "--show-completion")
#: Options that stand where a subcommand does.
FIRST_OPTIONS = ("--version", *COMPLETION_OPTIONS)


def main(words: list[str] | None = None, prog: str = "servemark") -> int:
    """Run the command line in `words` (default: this process's) and return its exit status.

    `prog` is what was typed before `words`, which are given.
    """
    from servemark.cli.called import called_as

    _compute_in_one_thread()
    with guarded():
        return _status_of(sys.argv[1:], called_as()) if words is None else _status_of(words, prog)


def _compute_in_one_thread() -> None:
    """Have numpy, which is imported later, start no threads of its own, here and in our generators.

    Its BLAS has one for each CPU, and each that has nothing to do looks for something for 30 ms: on CPUs that the
    server needs. None of our products of matrices is large enough to need them. `os.environ` stays as the user has it,
    which is what servers are started with and what the result tells.
    """
    if "OPENBLAS_NUM_THREADS" not in os.environ:
        os.putenv("OPENBLAS_NUM_THREADS", "1")


def _status_of(words: list[str], prog: str) -> int:
    from servemark.cli.options import print_error

    try:
        return _dispatch(words, prog)
    except ServemarkError as error:
        print_error(error)
        return error.exit_status
    except KeyboardInterrupt:
        print("servemark: interrupted; nothing is left running", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        from servemark.unexpected import explained

        known = explained(error)
        print_error(known)
        return known.exit_status


def _dispatch(words: list[str], prog: str) -> int:
    if not words or words[0] in {"-h", "--help", "help"}:
        listing = "\n".join(f"  {name:9} {line}" for name, line in SUBCOMMANDS.items())
        print(f"usage: {prog} SUBCOMMAND ...\n\nsubcommands:\n{listing}\n\n{prog} SUBCOMMAND -h tells more")
        print(f"{prog} --install-completion bash (or zsh, fish) completes all of it")
        return EXIT_OK
    if words[0] == "--version":
        from servemark.version import version

        print(f"servemark {version()}")
        return EXIT_OK
    if words[0].partition("=")[0] in COMPLETION_OPTIONS:
        from servemark.cli import completion

        return completion.main(words, prog)
    if words[0] not in SUBCOMMANDS:
        raise UsageError(f"unknown subcommand {words[0]!r}", next_step=_subcommand_meant(words[0], prog))
    from servemark.cli.called import with_subcommand

    listen()
    status: int = import_module(f"servemark.cli.{words[0]}").main(words[1:], with_subcommand(prog, words[0]))
    return status


def _subcommand_meant(word: str, prog: str) -> str:
    from servemark.benchmarks import catalogue
    from servemark.options.kinds import nearest

    return f"did you mean {prog} run {word}?" if word in catalogue() else nearest(word, SUBCOMMANDS, catalogue())
