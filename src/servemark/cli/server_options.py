"""The options that choose a server of our own, the same for every subcommand that starts one.

Standard library only, as ``cli/options.py``.
"""

from __future__ import annotations

from argparse import Namespace, _ArgumentGroup
from collections.abc import Callable
from pathlib import Path

from servemark.servers.choice import check_choice


def add_own_server(group: _ArgumentGroup) -> None:
    """The options that :func:`check_own_server` reads, besides ``-g`` and ``--backend``."""
    group.add_argument("--docker", action="store_true", help="run it in a container of our image")
    group.add_argument(
        "-d", "--docker-image", metavar="IMAGE", help="run it in a container of this image, which has the server"
    )
    group.add_argument(
        "--source",
        metavar="DIR",
        type=Path,
        help="build and run the checkout of MMS in DIR (default: that in which this is called, if any)",
    )
    group.add_argument(
        "--build-command", metavar="COMMAND", help="what builds DIR (default: its Gradle script, or javac)"
    )


def check_own_server(arguments: Namespace, running: str | None) -> None:
    """Refuse what cannot be had; `running` is what ``--mms`` names, if the subcommand has it.

    Raises:
        UsageError: options contradict each other, or ``--source`` names no checkout.
    """
    check_choice(
        running=running,
        gpus=arguments.gpus or 0,
        backend=arguments.backend,
        docker=arguments.docker,
        image=arguments.docker_image,
        source=arguments.source,
        build_command=arguments.build_command,
    )
    if arguments.source is not None:
        from servemark.environments.source import check_checkout

        check_checkout(arguments.source, own_build=arguments.build_command is not None)


def source_or_here(arguments: Namespace, running: str | None, say: Callable[[str], None]) -> Path | None:
    """The checkout to serve: that of ``--source``; without any server option the one that we are in, which is said."""
    chosen: Path | None = arguments.source
    if chosen is not None or arguments.docker_image is not None or arguments.docker or running is not None:
        return chosen
    from servemark.environments.source import find_checkout

    found = find_checkout(Path.cwd())
    if found is not None:
        say(f"using --source {found}, because this is a checkout of Multi Model Server")
    return found
