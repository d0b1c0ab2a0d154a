"""What a server speaks: how it is known, asked for a prediction and told what to serve, and what its answers mean.

A dialect says it in requests, which a plan can send as well as a probe, and in what is read from answers; nothing here
connects. Each has a file with a ``DIALECT``, and a line of the table below. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, Protocol

from servemark.environments.server_kinds import ServerKind
from servemark.workload.inputs import Input
from servemark.workload.scenario import Expect, Request, TokenFormat

DialectName = Literal["oip", "torchserve", "mms", "openai", "sagemaker", "tfserving"]
#: What not every server can, and benchmarks need: to tell models by their names, to load and unload them, to change the
#: number of their workers, to answer in batches of a given size, and to say that it is there without naming a model.
Ability = Literal["models", "load", "scale", "batches", "health"]

#: Where each dialect is, loaded when it is asked for; in the order in which a server is tried: TorchServe came of Multi
#: Model Server, which answers what a SageMaker container does.
_HOMES: Mapping[DialectName, str] = {
    "oip": "servemark.servers.oip.dialect",
    "torchserve": "servemark.servers.torchserve.dialect",
    "mms": "servemark.servers.mms.dialect",
    "openai": "servemark.servers.openai.dialect",
    "sagemaker": "servemark.servers.sagemaker.dialect",
    "tfserving": "servemark.servers.tfserving.dialect",
}
#: What servers that we start speak, and can.
_OF_KINDS: Mapping[ServerKind, tuple[DialectName, str]] = {
    "mms": ("mms", "DIALECT"),
    "triton": ("oip", "TRITON"),
    "mlserver": ("oip", "MLSERVER"),
    "torchserve": ("torchserve", "DIALECT"),
    "vllm": ("openai", "VLLM"),
}
#: What a server lacks that has not the ability.
_LACKING: Mapping[Ability, str] = {
    "models": "it answers for one model, whatever that is called",
    "load": "it has no call that loads a model under another name",
    "scale": "it has no call that changes a model's workers",
    "batches": "it has no call that sets how a model batches",
    "health": "its health checks name a model",
}


@dataclass(frozen=True)
class Proof:
    """What shows that a call is done: the answer to `request`, asked again and again, says `text`, `times` times."""

    request: Request
    text: bytes
    times: int


@dataclass(frozen=True)
class Call:
    """A call that tells a server what to serve. It succeeds with `status`; that it is done is what `proof` shows."""

    request: Request
    status: int = 200
    proof: Proof | None = None


class Admin(Protocol):
    """The calls that tell a server what to serve."""

    def list_models(self) -> Call:
        """Which models it has."""
        ...

    def state(self, model: str) -> Call:
        """What it says of a model and of its workers."""
        ...

    def load(
        self,
        model: str,
        url: str,
        *,
        workers: int,
        batch_size: int | None = None,
        max_batch_delay_ms: int | None = None,
    ) -> Call:
        """Load the archive at `url` as a model of that name; None leaves the server's way of batching."""
        ...

    def unload(self, model: str) -> Call:
        """Remove a model and its workers."""
        ...

    def scale(self, model: str, workers: int) -> Call:
        """Have exactly so many workers of a model."""
        ...


class Dialect(Protocol):
    """What a server speaks.

    Attributes:
        name: what ``--dialect`` calls it.
        product: what people call a server that speaks it.
        abilities: what it can, of what not every server can.
        expects: what the body of a prediction that succeeded says, where its status alone does not tell that.
        tokens: how what was generated is told in the answers, which are read for it; None where they are not.
    """

    @property
    def name(self) -> str:  # noqa: D102 - as above, and so are those that follow
        ...

    @property
    def product(self) -> str:  # noqa: D102
        ...

    @property
    def abilities(self) -> frozenset[Ability]:  # noqa: D102
        ...

    @property
    def expects(self) -> Expect | None:  # noqa: D102
        ...

    @property
    def tokens(self) -> TokenFormat | None:  # noqa: D102
        ...

    @property
    def admin(self) -> Admin | None:
        """How it is told what to serve; None where it cannot be told."""
        ...

    def health(self) -> Request:
        """What asks whether it is there."""
        ...

    def is_health(self, status: int, body: bytes) -> bool:
        """Whether that is the answer of one which is there."""
        ...

    def sign(self) -> Request:
        """What, beside its health, is answered otherwise by servers that do not speak it. It changes nothing."""
        ...

    def is_sign(self, status: int, body: bytes) -> bool:
        """Whether that is how one that speaks it answers."""
        ...

    def prediction(self, model: str, what: Input) -> Request:
        """What sends an input to the model of that name."""
        ...

    def decode(self, body: bytes) -> object:
        """The prediction in the body of an answer, as JSON has it; the body itself where it is none."""
        ...

    def explain(self, status: int, body: bytes | str, *, reason: str = "", ready_workers: int | None = None) -> str:
        """What a failing answer means, and the server's own words.

        `reason` is what its status line says, and `ready_workers` how many workers the model has, where that is known.
        """
        ...


def dialect(name: DialectName) -> Dialect:
    """The dialect of that name."""
    found: Dialect = import_module(_HOMES[name]).DIALECT
    return found


def dialect_of_kind(kind: ServerKind) -> Dialect:
    """The dialect of a server of that kind which we start, with what it can."""
    name, value = _OF_KINDS[kind]
    found: Dialect = getattr(import_module(_HOMES[name]), value)
    return found


def dialects() -> Iterator[Dialect]:
    """Every dialect by which a server can be known, in the order in which it is tried."""
    return map(dialect, _HOMES)


def lacking(spoken: Dialect, needed: frozenset[Ability]) -> str:
    """What a server that speaks a dialect lacks of what is `needed`, in words; empty when it lacks nothing."""
    return next((why for ability, why in _LACKING.items() if ability in needed - spoken.abilities), "")
