"""Servers: launchers that start a server (or find a running one), read its settings back, and stop it.

What the runner needs of any server is in this file, what a server speaks in ``dialect``. ``http`` has what any HTTP
server needs, ``mms`` all that knows Multi Model Server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from servemark.errors import ServerError
from servemark.machine import cgroups
from servemark.servers.dialect import Dialect
from servemark.workload.address import Address
from servemark.workload.inputs import Pool
from servemark.workload.prompts import Drawn, Prompts
from servemark.workload.scenario import ApiName

if TYPE_CHECKING:  # it needs psutil, and benchmarks, which import this, nothing but the standard library
    from servemark.machine.memory import WorkerMemory


@dataclass(frozen=True)
class ServerSettings:
    """What a point asks of the server as a whole. None leaves the server's default.

    `decode_json` is MMS's own way with JSON bodies: decoded before the handler sees them, and a malformed one kills the
    worker. The zoo's handlers do without, and answer a client error.

    `workers` is how many each model will have to begin with, where it is to be looked at whether there is memory for
    them; None looks at nothing. One is always tried, since less cannot be asked for.
    `most_workers` is how many the model will have at once, where that is more than ``ModelSettings`` says; a server of
    ours is refused when this machine has not the memory for them. `most_workers_answer` is whether all of them will
    answer predictions, which takes more.
    With `gpus` N the server deals N GPUs out to its workers, in turn. With `preload_model` it loads a model once and
    forks its workers, which share that memory; GPUs do not survive a fork, so the two exclude each other.
    """

    job_queue_size: int | None = None
    response_timeout_s: int = 120
    decode_json: bool = True
    gpus: int = 0
    preload_model: bool = False
    workers: int | None = None
    most_workers: int | None = None
    most_workers_answer: bool = False

    @property
    def all_answer(self) -> bool:
        """Whether all the workers that there will be answer predictions."""
        return self.most_workers is None or self.most_workers_answer


@dataclass(frozen=True)
class ModelSettings:
    """What a point asks of each model on the server.

    `workers` None is one a GPU that the server was asked for, else one a CPU (see :func:`default_workers`). A model
    that is not ours keeps its own.
    `scaled` says that the load changes the number of workers: that is no failure then. `batches` says that how it
    batches is what is measured, so that a batch of one is asked for, too, and no default.
    """

    workers: int | None
    batch_size: int = 1
    max_batch_delay_ms: int = 100
    scaled: bool = False
    batches: bool = False

    @property
    def changes(self) -> bool:
        """Whether a model that is there has to be served otherwise for it."""
        return self.workers is not None or self.scaled or self.batches or self.batch_size != 1


def default_workers(gpus: int = 0, root: Path = Path("/")) -> int:
    """Workers of a model for which none are asked: one a GPU that the server has, else one a processor of ours.

    More processors than the quotas of our control groups (`root` holds their /proc and /sys) leave us are not ours.
    """
    return gpus or cgroups.whole_cpus(root, cgroups.usable_cpus())


@dataclass(frozen=True)
class LoadedModel:
    """A model that has answered its readiness prediction.

    Attributes:
        name: its name on the wire.
        backend: what computes it, when it is a model of the zoo; else None.
        inputs: what predictions are asked for, the pool.
        url: under which the same server can be given the same archive again while the model is served; None when that
            is not known.
        cold_start_ms: time of the first prediction after registering; None when the model was there before.
        register_ms: time of the registering call; None likewise.
        read_back: settings as the server reports them: workers, batch_size, max_batch_delay_ms, ...
        requested: the same keys, as asked for; what could not be read back is only here.
        origin: of a model that is neither the zoo's nor the server's: where its archive came from, and what it is.
        sha256: the checksum of an archive of the zoo that the server was given; else None.
    """

    name: str
    backend: str | None
    inputs: Pool
    url: str | None
    cold_start_ms: float | None
    register_ms: float | None
    read_back: Mapping[str, object] = field(default_factory=dict)
    requested: Mapping[str, object] = field(default_factory=dict)
    origin: Mapping[str, object] | None = None
    sha256: str | None = None

    @property
    def drawn(self) -> Drawn | None:
        """What the prompts that it is asked are drawn by; None of what is not made."""
        return self.inputs.drawn if isinstance(self.inputs, Prompts) else None

    def drawn_by(self, drawn: Drawn) -> LoadedModel:
        """The same, in a run in which prompts are drawn so."""
        return replace(self, inputs=self.inputs.drawn_by(drawn)) if isinstance(self.inputs, Prompts) else self


def checksums(served: Sequence[LoadedModel]) -> Mapping[str, str] | None:
    """The checksums of the zoo's archives by their models' names; None where there are none."""
    return {model.name: model.sha256 for model in served if model.sha256 is not None} or None


@dataclass(frozen=True)
class InsideCounts:
    """What a server has counted of a model's requests since it runs; times are sums over them, in nanoseconds.

    None of what it does not tell. An execution answers one request, or a batch of them.
    """

    requests: int
    failed: int
    executions: int | None
    queue_ns: int | None
    input_ns: int | None
    infer_ns: int | None
    output_ns: int | None


def of_one(settings: Mapping[str, Mapping[str, object]]) -> Mapping[str, object]:
    """Settings by model; those of the only one are plain."""
    return next(iter(settings.values())) if len(settings) == 1 else settings


class Server(Protocol):
    """A server that answers.

    Attributes:
        launcher: "managed", "running", ...
        dialect: what it speaks.
        product: "Multi Model Server".
        version: as far as it is known, else None.
        addresses: where its APIs listen; "management" is missing when that cannot be reached.
        facts: what describes it in the result: JDK, backend, command, config. JSON values only.
    """

    launcher: str
    product: str
    version: str | None
    addresses: Mapping[ApiName, Address]
    facts: Mapping[str, object]

    @property
    def dialect(self) -> Dialect:  # noqa: D102 - as above
        ...

    @property
    def pid(self) -> int | None:
        """The process that leads it, where it is ours and on this machine."""
        ...

    def serve_models(self, settings: ModelSettings) -> AbstractContextManager[tuple[LoadedModel, ...]]:
        """Have every model of the launcher served with `settings`, prove each ready, and undo that at the end.

        They are registered one after the other and removed in reverse; without models the tuple is empty.

        Raises:
            ModelError: the server cannot load or run one.
            ManagementError: the server refused.
        """
        ...

    def read_back(self) -> Mapping[str, Mapping[str, object]]:
        """Each served model's settings by its name, as the server reports them now; without what it cannot say."""
        ...

    def memory_bytes(self) -> int | None:
        """What its processes hold in memory; None where they are not ours to look at."""
        ...

    def cpu_s(self) -> float | None:
        """The CPU time that its processes have used on this machine; None where they are not ours to look at."""
        ...

    def inside(self) -> Mapping[str, InsideCounts]:
        """What it has counted of each served model by its name; empty where it counts nothing that can be asked for."""
        ...

    def temporary_models(self, names: Sequence[str]) -> AbstractContextManager[Callable[[], Mapping[str, str]]]:
        """While this is open, the load may register models of these names; none was there before, none is left after.

        It gives what removes them before its end, and says which could not be and why.

        Raises:
            UsageError: the server has one of them already.
        """
        ...

    def failure(self) -> ServerError | None:
        """Why the server can no longer be measured (it died, a worker ran out of memory), or None while it lives."""
        ...

    def incidents(self, since_unix_ns: int) -> Sequence[tuple[int, str]]:
        """What happened to it since then that nobody asked for, each with its wall-clock time in nanoseconds.

        Empty when its log is not ours to read.
        """
        ...

    def log_tail(self) -> str:
        """The last lines of its log; empty when its log is not ours to read."""
        ...

    def save_logs(self, folder: Path) -> None:
        """Write what there is of its configuration and logs into `folder`, which is made if it is missing."""
        ...


class Launcher(Protocol):
    """One way of having a server."""

    def worker_memory(self, settings: ServerSettings) -> Mapping[str, WorkerMemory]:
        """What a worker of each model costs, by the model's name, on a server with `settings`, which is not started.

        Measured, once a model and environment. Empty when the server is not ours.

        Raises:
            ModelError: a model cannot be loaded.
            SetupError: environment or models could not be made.
        """
        ...

    def serve(self, settings: ServerSettings) -> AbstractContextManager[Server]:
        """A server, ready for ``serve_models`` or a ping; stopped at the end if this started it."""
        ...
