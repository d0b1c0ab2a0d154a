"""The launcher *running*: a server that somebody else started (``--server``), found, and known by what it answers.

It is measured as it is. What more can be done with it depends on what it speaks: a dialect whose servers can be told
what to serve has a server of its own below, any other is asked for predictions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from servemark.environments.cache import Progress
from servemark.environments.mms import mms_environment
from servemark.errors import UsageError
from servemark.machine.memory import WorkerMemory
from servemark.servers import LoadedModel, ModelSettings, Server, ServerSettings
from servemark.servers.dialect import DialectName
from servemark.servers.http.existing import existing_model
from servemark.servers.http.finding import Found, find_server
from servemark.servers.http.plain import PlainServer, StillModels
from servemark.servers.http.trust import Trust
from servemark.servers.http.words import WHERE_NOT_ALLOWED
from servemark.servers.mms.archives import archive_of_zoo
from servemark.servers.oip.asked import TensorsAsked
from servemark.servers.torchserve.tokens import Tokens
from servemark.workload.endpoint import Place
from servemark.workload.headers import Header
from servemark.workload.inputs import Input, Sending
from servemark.workload.prompts import Prompts
from servemark.zoo.catalogue import Backend, ZooModel, find
from servemark.zoo.custom_model import CustomModel

if TYPE_CHECKING:
    from servemark.engines import EngineName

#: What the only model of a server is called, where the user did not name it.
_UNNAMED = "model"
#: What has a ``running_server`` for a dialect with calls of its own.
_ROOMS: Mapping[str, str] = {
    "oip": "servemark.servers.oip.running",
    "torchserve": "servemark.servers.torchserve.running",
    "mms": "servemark.servers.mms.running",
    "openai": "servemark.servers.openai.running",
    "sagemaker": "servemark.servers.sagemaker.running",
    "tfserving": "servemark.servers.tfserving.running",
}


@dataclass(frozen=True)
class RunningLauncher:
    """Finds a running server.

    Attributes:
        target: ``[SCHEME://]HOST[:PORT]`` of its inference API.
        models: names in the zoo or on the server, and archives of the user's; empty when only the server itself is
            measured (ping).
        is_named: whether the user named the model, and so says what it is.
        inputs: what is sent to the one model; None is each model's own input, which those on the server have not.
        prompts: what a server that generates text is asked, in the place of `inputs`.
        prompts_found: what makes them of a server that turned out to speak OpenAI's API, where that says more of them.
        wants_prompts: the user asked for them, so that another server is refused.
        counts_tokens: the tokens of what is generated are to be counted, so that it is a text.
        tensors: what is asked of the models of a server that describes them, and with which tensors.
        sending: how each model's own input is sent.
        tokens: of a TorchServe; None where none are given.
        dialect: what it speaks; None is found out.
        option: with which the user named it, for errors.
        backend: of a zoo model that has to be offered to the server; None is what a server of ours would use.
        management_port: of its management API; None is the inference port + 1.
        trust: how far its certificate is checked, and the client's own.
        connect_to: where to connect instead of the target's host and port.
        headers: of every request to its inference API.
        engine: which is to send there: each has a TLS of its own.
        progress: told what takes a while and what is left out, for people.
        log: told every management call; None is quiet.

    Raises:
        UsageError: inputs are given for several models.
    """

    target: str
    models: tuple[str | CustomModel, ...]
    is_named: bool = True
    inputs: tuple[Input, ...] | None = None
    prompts: Prompts | None = None
    prompts_found: Callable[[], Prompts | None] | None = None
    wants_prompts: bool = False
    counts_tokens: bool = False
    tensors: TensorsAsked = field(default_factory=TensorsAsked)
    sending: Sending = field(default_factory=Sending)
    tokens: Tokens | None = None
    dialect: DialectName | None = None
    option: str = "--server"
    backend: Backend | None = None
    management_port: int | None = None
    trust: Trust = field(default_factory=Trust)
    connect_to: Place | None = None
    headers: tuple[Header, ...] = ()
    engine: EngineName = "native"
    progress: Progress = lambda _: None
    log: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if self.inputs and len(self.models) > 1:
            raise UsageError("one input does not suit several models", next_step="leave -i out")

    @contextmanager
    def serve(self, settings: ServerSettings) -> Iterator[Server]:
        """The server, found, and known for what it is. `settings` are only requested: it has its own.

        Raises:
            UsageError: the target or the CA file cannot be used, or what is asked is not to be had of such a server.
            UnreachableError: nobody answers there, or what answers speaks something else.
        """
        if settings.gpus:
            raise UsageError(
                "a running server has its own GPUs",
                next_step=f"measure a server of our own by leaving out {self.option}",
            )
        found = find_server(
            self.target,
            option=self.option,
            named=self.dialect,
            trust=self.trust,
            progress=self.progress,
            connect_to=self.connect_to,
            headers=(*self.headers, *((self.tokens.inference,) if self.tokens else ())),
            engine=self.engine,
        )
        self._check_prompts(found)
        self._check_options(found)
        asked = self
        if found.dialect.name == "openai" and self.prompts_found:
            asked = replace(self, prompts=self.prompts_found())
        room = _ROOMS.get(found.dialect.name)
        if room is None:
            yield asked.plain(found, settings)
            return
        with import_module(room).running_server(asked, found, settings) as server:
            yield server

    def _check_prompts(self, found: Found) -> None:
        """Refuse prompts of a server that takes none; of the Open Inference Protocol that goes by what it is called."""
        if self.wants_prompts and found.dialect.name not in ("openai", "oip"):
            raise UsageError(
                f"a {found.dialect.product} takes no prompts",
                cause=f"{found.address.url} was known by what it answers",
                next_step="say with -i what to send to it, or with --dialect openai what it speaks",
            )

    def _check_options(self, found: Found) -> None:
        """Refuse what has no meaning for the dialect that was found."""
        product = found.dialect.product
        if self.tensors.named and found.dialect.name != "oip":
            raise UsageError(
                f"{self.tensors.named[0]} makes no sense with a {product}",
                cause="it does not describe what its models take",
                next_step="leave it out, and say with -i what to send",
            )
        if self.tokens is not None and found.dialect.name != "torchserve":
            raise UsageError(
                f"--token-file makes no sense with a {product}",
                cause="only TorchServe has such a file",
                next_step=WHERE_NOT_ALLOWED,
            )

    def worker_memory(self, settings: ServerSettings) -> Mapping[str, WorkerMemory]:
        """Empty: what a worker costs is known of servers of our own alone."""
        del settings
        return {}

    def inputs_for(self, name: str, model: ZooModel | None) -> Callable[[], tuple[Input, ...]]:
        """What makes the inputs of the model of that name; those of the zoo have their own, which take a while.

        Raises:
            UsageError: nobody knows what it takes.
        """
        if self.inputs is not None:
            given = self.inputs
            return lambda: given
        if model is None:
            raise UsageError(f"the model {name} is not one of ours", next_step="say with -i what to send to it")
        return lambda: self._own_inputs(model)

    def _own_inputs(self, model: ZooModel) -> tuple[Input, ...]:
        return archive_of_zoo(
            model, None, self.sending, mms_environment(self.backend, self.progress), self.progress
        ).inputs

    def plain(self, found: Found, settings: ServerSettings) -> PlainServer:
        """A server that is asked for predictions, and told nothing."""
        product = found.dialect.product
        if self.management_port:
            raise UsageError(f"--management-port makes no sense with a {product}", cause="it has no management API")
        requested = {"job_queue_size": settings.job_queue_size, "response_timeout_s": settings.response_timeout_s}
        facts = {"target": self.target, "url": found.address.url, "dialect": found.dialect.name, "requested": requested}
        hosting = StillModels(found.dialect, partial(self._existing, found))
        return PlainServer(hosting, {"inference": found.address}, facts)

    def _existing(self, found: Found, settings: ModelSettings) -> tuple[LoadedModel, ...]:
        return tuple(self._existing_model(found, model, settings) for model in self.models)

    def _existing_model(self, found: Found, model: str | CustomModel, settings: ModelSettings) -> LoadedModel:
        if isinstance(model, CustomModel):
            raise UsageError(
                f"a {found.dialect.product} cannot be given {model.name}",
                cause="it has no call that loads a model",
                next_step="leave -c out, and say with -i what to send to the model that it has",
            )
        if not self.is_named:
            if self.inputs is None:
                raise UsageError(
                    f"nobody knows what the model of a {found.dialect.product} takes",
                    next_step="say with -i what to send to it, or with -m of which model of the zoo",
                )
            model = _UNNAMED
        inputs = self.inputs_for(model, find(model))
        return existing_model(found.dialect, found.address, model, settings, inputs, self.sending.expect_status)
