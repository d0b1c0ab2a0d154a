"""What a command needs of a server of ours, built while servemark itself still is.

``benchmark.py`` starts it from the sources, beside the pip that builds what is compiled: so standard library only. What
it builds is in the cache, complete or not at all and under the cache's locks, where the run finds it. Nothing rests on
it: what it cannot build the run builds again, and says why if that fails, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from servemark.cli.checkout import or_here
from servemark.environments.backends import Backend
from servemark.environments.mms import mms_environment
from servemark.errors import EXIT_INTERRUPTED, EXIT_OK, ServemarkError
from servemark.interrupts import listen
from servemark.options.server import ServerOptions
from servemark.zoo.build import build_model
from servemark.zoo.catalogue import ZooModel, find

#: What follows is how long it takes, which is told of what was once known.
_ONCE = " (once"


@dataclass(frozen=True)
class Preparation:
    """A server's environment, with `requirements` of the user's if there are any, and models of the zoo for it."""

    backend: Backend | None
    requirements: Path | None
    models: tuple[ZooModel, ...]


def preparations(words: Sequence[str]) -> list[Preparation]:
    """What the command in `words` (``run latency``) needs; empty where it starts no server that we install.

    GPUs are left to the run, which looks first whether there are any: what computes on them is 3.4 GB.

    Raises:
        UsageError, SystemExit: the words are none that can be run.
        ModuleNotFoundError: they name a suite, and this Python reads no TOML.
    """
    name, *rest = words
    found = {"run": _of_run, "serve": _of_serve}.get(name, _of_nothing)(rest)
    return list(dict.fromkeys(found))


def _of_nothing(_words: Sequence[str]) -> Iterator[Preparation]:
    return iter(())


def _of_run(words: Sequence[str]) -> Iterator[Preparation]:
    from servemark.benchmarks import catalogue
    from servemark.cli.options import parse_run

    for request in parse_run("servemark run", list(words)).entries:
        if request.content.url is None and request.server.server is None:
            is_own = request.content.archive is not None
            names = () if is_own else catalogue()[request.benchmark].models(request)
            yield from _of_server(request.server, names)


def _of_serve(words: Sequence[str]) -> Iterator[Preparation]:
    from servemark.cli.serve_options import parse_serve

    arguments = parse_serve("servemark serve", list(words))
    return _of_server(arguments.server, (arguments.model,))


def _of_server(chosen: ServerOptions, names: Sequence[str]) -> Iterator[Preparation]:
    server = or_here(chosen, lambda _: None)
    in_container = server.docker or server.image is not None
    if not in_container and not server.gpus and server.server_python is None:
        models = tuple(model for model in map(find, names) if model)
        yield Preparation(server.backend, server.server_requirements, models)


class Parts:
    """Tells each part when it begins, and how long it took when the next one does, or when told that it has ended."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._part, self._began_s = "", 0.0

    def begin(self, line: str) -> None:
        """Tell that the part in `line` begins."""
        self.end()
        self._part, self._began_s = line.partition(_ONCE)[0], time.monotonic()
        self._say(line)

    def end(self) -> None:
        """Tell how long the part took that was begun, if one was."""
        if self._part:
            self._say(f"{self._part}: done in {time.monotonic() - self._began_s:.0f} s")
        self._part = ""


def main(words: Sequence[str]) -> int:
    """Build what the command in `words` needs; returns the exit status, and says each part on stdout."""

    def say(line: str) -> None:
        print(line, flush=True)

    listen()
    parts = Parts(say)
    try:
        for one in preparations(words):
            environment = mms_environment(one.backend, parts.begin, one.requirements)
            for model in one.models:
                build_model(model, environment, parts.begin)
        parts.end()
    except ServemarkError as error:
        say(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_OK
