"""How this program was called, so that it can name itself as its user would type it again. Standard library only."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

#: Set by ``benchmark.py`` for the program that it becomes.
CALLED_AS = "SERVEMARK_CALLED_AS"
#: The script that runs benchmarks without a subcommand.
_SCRIPT = "benchmark.py"
_NAME = "servemark"


def called_as() -> str:
    """``./benchmark.py``, ``.venv/bin/servemark``, ``servemark`` where that is on PATH, or ``python -m servemark``."""
    told = os.environ.pop(CALLED_AS, "")  # it is for this process, and none that it starts
    if told:
        return told
    program = sys.argv[0]
    if Path(program).name == "__main__.py":
        return f"{shlex.quote(sys.orig_argv[0])} -m {_NAME}"
    if Path(program).name != _NAME:
        return _NAME
    found = shutil.which(_NAME)
    on_path = found is not None and os.path.realpath(found) == os.path.realpath(program)
    return _NAME if on_path else shlex.quote(program)


def with_subcommand(called: str, name: str) -> str:
    """What is typed for the subcommand `name`."""
    return called if name == "run" and _is_script(called) else f"{called} {name}"


def without_subcommand(prog: str) -> str:
    """From what is typed for a subcommand to what is typed before one."""
    return prog if _is_script(prog) else prog.rpartition(" ")[0] or prog


def measuring(prog: str) -> str:
    """From what is typed for a subcommand to what is typed before a benchmark's name."""
    return with_subcommand(without_subcommand(prog), "run")


def _is_script(typed: str) -> bool:
    return typed.rstrip("'").endswith(_SCRIPT)
