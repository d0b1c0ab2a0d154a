"""The launcher *source*: the server in a local checkout of Multi Model Server, built whenever its files have changed.

It is the launcher *managed* with another ``mms`` in front of the environment's: that of the checkout.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from servemark.environments.mms import MmsEnvironment
from servemark.environments.source import build_source, check_checkout
from servemark.machine.memory import WorkerMemory
from servemark.servers import ServerSettings
from servemark.servers.mms.archives import ServeRequest
from servemark.servers.mms.managed import ManagedLauncher, ManagedServer
from servemark.servers.mms.sites.local import LocalSite


class SourceLauncher:
    """Builds and starts the server of a checkout.

    Args:
        checkout: its folder.
        serving: what it serves, and how.
        build_command: a shell's, run in the checkout; None is ``frontend/gradlew -p frontend :server:jar``, or where
            that cannot work javac and Maven.

    Raises:
        UsageError: `checkout` is none; says what is missing.
    """

    def __init__(self, checkout: Path, serving: ServeRequest, *, build_command: str | None = None) -> None:
        self._checkout = check_checkout(checkout, own_build=build_command is not None)
        self._build_command = build_command
        self._serving = serving
        self._managed = ManagedLauncher(serving, make_site=self._built)

    def serve(self, settings: ServerSettings) -> AbstractContextManager[ManagedServer]:
        """A started server, built now if the checkout's files are not those of the last build.

        Raises:
            UsageError: the backend cannot be had here.
            SetupError: the checkout could not be built (`detail` begins with the first error), or what is installed or
                the model could not be made.
            ServerStartError: the server did not come up; `detail` has the end of its log.
        """
        return self._managed.serve(settings)

    def worker_memory(self, settings: ServerSettings) -> Mapping[str, WorkerMemory]:
        """What a worker of each model costs on that server; see ``servemark.servers.Launcher``."""
        return self._managed.worker_memory(settings)

    def _built(self, environment: MmsEnvironment) -> LocalSite:
        build = build_source(self._checkout, self._build_command, self._serving.progress, self._serving.log)
        return LocalSite(environment, build)
