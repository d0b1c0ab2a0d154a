"""Which server is meant: what of it can be refused without looking, and the launcher of one of our own.

Importing this needs only the standard library; launchers are imported when one is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from servemark.environments.backends import Backend
from servemark.errors import UsageError

if TYPE_CHECKING:
    from servemark.servers.docker import DockerLauncher
    from servemark.servers.managed import ManagedLauncher
    from servemark.servers.servable import Serving
    from servemark.servers.source import SourceLauncher


def check_choice(
    *,
    running: str | None,
    gpus: int,
    backend: Backend | None,
    docker: bool,
    image: str | None,
    source: Path | None,
    build_command: str | None,
) -> None:
    """Refuse what contradicts itself, in the words of the command line; `running` is what ``--mms`` names.

    Raises:
        UsageError: two of them do not go together, one needs another, or one is empty.
    """
    given = {
        "-g": gpus > 0,
        "--docker": docker,
        "-d": image is not None,
        "--source": source is not None,
        "--build-command": build_command is not None,
    }
    for name in filter(given.get, given):
        if running is not None:
            raise UsageError(
                f"{name} and --mms do not go together",
                cause="one starts a server of our own, the other measures one that runs",
                next_step="leave one of them out",
            )
    if docker and image is not None:
        raise UsageError(
            "--docker and -d do not go together",
            cause="one is our image, the other names yours",
            next_step="leave one of them out",
        )
    if gpus and backend == "mxnet":
        raise UsageError(
            "-g and --backend mxnet do not go together",
            cause="MXNet's package has no CUDA",
            next_step="use --backend onnx, which computes on GPUs",
        )
    if build_command is not None and source is None:
        raise UsageError("--build-command needs --source", next_step="name the checkout that it builds")
    for name, text in (("-d", image), ("--build-command", build_command)):
        if text is not None and not text.strip():
            raise UsageError(f"{name} is empty", next_step="leave it out, or say which")


def own_launcher(
    serving: Serving,
    *,
    docker: bool = False,
    image: str | None = None,
    source: Path | None = None,
    build_command: str | None = None,
) -> ManagedLauncher | SourceLauncher | DockerLauncher:
    """What starts the server that was chosen: in a container, from a checkout, or the one that is installed.

    Args:
        serving: what it serves, and how.
        docker: in a container of our image, `source` too.
        image: in a container of this one, `source` too.
        source: the checkout that it is built from.
        build_command: what builds `source`, instead of its own Gradle script.

    Raises:
        UsageError: `source` is no checkout.
    """
    if docker or image is not None:
        from servemark.servers.docker import DockerLauncher

        return DockerLauncher(serving, image=image, source=source, build_command=build_command)
    if source is not None:
        from servemark.servers.source import SourceLauncher

        return SourceLauncher(source, serving, build_command=build_command)
    from servemark.servers.managed import ManagedLauncher

    return ManagedLauncher(serving)
