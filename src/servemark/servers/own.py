"""The launcher of a server of ours that is no Multi Model Server (``--server-kind``): started, found, and stopped.

What a kind needs is in its room: how it is started in an instance, and what its models are. Once it answers it is
measured as one that somebody else runs, but that its processes are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from servemark.environments.server_kinds import ServerKind
from servemark.errors import UsageError
from servemark.machine.fitting import check_least
from servemark.servers import Server, ServerSettings
from servemark.servers.mms.instance import sweep_stale
from servemark.servers.ports import LOOPBACK
from servemark.servers.running import RunningLauncher
from servemark.zoo.catalogue import ZooModel

if TYPE_CHECKING:
    from servemark.machine.memory import WorkerMemory

#: What has a ``started_server`` for each kind.
_ROOMS: Mapping[ServerKind, str] = {
    "triton": "servemark.servers.oip.own",
    "mlserver": "servemark.servers.oip.own",
    "torchserve": "servemark.servers.torchserve.own",
    "vllm": "servemark.servers.openai.own",
}


@dataclass(frozen=True)
class OwnLauncher:
    """Starts a server of `kind`.

    Attributes:
        asked: what is asked of it once it runs; its `models` are names, `target` is not known yet.
        zoo: the models of the zoo that it serves.
        repository: a folder of the user's that it serves instead; of a vLLM that of its one model.
        port: of its inference API; None is a free one.
        listen: the address of this machine at which that is.
        called: the name under which a vLLM serves its model.
        workers: of an MLServer, which is told when it starts; None leaves a model's work in the server's own process,
            or what the repository says.
    """

    kind: ServerKind
    asked: RunningLauncher
    zoo: tuple[ZooModel, ...]
    repository: Path | None = None
    port: int | None = None
    workers: int | None = None
    listen: str = LOOPBACK
    called: str = ""

    @contextmanager
    def serve(self, settings: ServerSettings) -> Iterator[Server]:
        """A started server. On first use this installs its environment and builds the models, but for a vLLM.

        Raises:
            UsageError: GPUs are asked for, or the repository holds no model.
            DoesNotFitError: this machine has not the memory for so many workers, whatever they compute.
            SetupError: environment or models could not be made, or the user has no vLLM.
            ServerStartError: the server did not come up; `detail` has the end of its log.
        """
        if settings.gpus:
            raise UsageError("-g makes no sense with --server-kind", next_step="leave one of them out")
        if self.repository is None or self.kind == "mlserver":  # instances of other backends are threads
            check_least(max(settings.workers or 0, settings.most_workers or 0))
        sweep_stale(self.asked.progress)
        started: _Started = import_module(_ROOMS[self.kind]).started_server
        with started(self, settings) as server:
            yield server

    def worker_memory(self, settings: ServerSettings) -> Mapping[str, WorkerMemory]:
        """Empty: what an instance costs is measured of Multi Model Server alone."""
        del settings
        return {}

    def at(self, target: str) -> RunningLauncher:
        """What is asked of it, now that it is known where it listens."""
        return replace(self.asked, target=target)


class _Started(Protocol):
    def __call__(self, launcher: OwnLauncher, settings: ServerSettings) -> AbstractContextManager[Server]: ...
