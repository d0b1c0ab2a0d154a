"""What a launcher has served: archives, what to send to them, and how to tell a right answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from servemark.environments.cache import Progress
from servemark.environments.mms import MmsEnvironment, mms_environment
from servemark.environments.own_python import own_environment
from servemark.errors import SetupError, UsageError
from servemark.servers import LoadedModel, ModelSettings
from servemark.servers.mms.dialect import DIALECT
from servemark.servers.mms.management import ModelDescription
from servemark.servers.mms.readiness import settings_of
from servemark.servers.ports import LOOPBACK
from servemark.workload.headers import Header
from servemark.workload.inputs import Input, Sending
from servemark.zoo.build import build_model, sample_image
from servemark.zoo.catalogue import Backend, ZooModel
from servemark.zoo.custom_model import CustomModel
from servemark.zoo.predictions import check_prediction
from servemark.zoo.signature import IMAGE, image_size, numbers_input


@dataclass(frozen=True)
class ModelArchive:
    """A model that a server can be given.

    Attributes:
        name: its name on the wire.
        archive: its .mar.
        inputs: what is sent to it; the first one proves that it is ready.
        check: None when the body of an answer is right, else what is wrong with it.
        backend: what computes it, where that is known.
        reports: its workers write into the server's log what they compute with.
        origin: of an archive that is not ours: what the result says of it; else None.
        lacking: of such an archive: what to do when its handler cannot import what it needs.
        sha256: of an archive of the zoo, its checksum; else None.
    """

    name: str
    archive: Path
    inputs: tuple[Input, ...]
    check: Callable[[bytes], str | None]
    backend: str | None = None
    reports: bool = False
    origin: Mapping[str, object] | None = None
    lacking: str = ""
    sha256: str | None = None


@dataclass(frozen=True)
class ServerPython:
    """What the server's Python has besides Multi Model Server, for a handler that is not ours; at most one of the two.

    `requirements` is a file of pip's, installed into an environment of its own; `python` an interpreter that has all.
    """

    requirements: Path | None = None
    python: Path | None = None

    def environment(self, backend: Backend | None, progress: Progress, *, gpu: bool = False) -> MmsEnvironment:
        """The environment with that; `backend` None chooses, `gpu` is for one that computes on NVIDIA's.

        Raises:
            UsageError: the backend cannot be had here, or what is named cannot be used.
            SetupError: it could not be made, or lacks what the server needs.
        """
        if self.python:
            return own_environment(self.python, progress)
        return mms_environment(backend, progress, self.requirements, gpu=gpu)

    @property
    def lacking(self) -> str:
        """What to do when a handler cannot import something."""
        if self.python:
            return f"install it for {self.python}"
        if self.requirements:
            return f"add it to {self.requirements}"
        return "give --server-requirements FILE or --server-python PATH"


@dataclass(frozen=True)
class ServeRequest:
    """What a server of ours is to serve, and how.

    Attributes:
        models: of the zoo, the user's, or any archives; empty when only the server itself is measured (ping).
        inputs: what is sent to the model, if it is of the zoo or the user's; None is each model's own input.
        sending: how each model's own input is sent.
        headers: of every request to the inference API.
        backend: of the server's environment; None chooses.
        server_python: what that environment has besides.
        tls: https, with a certificate that the server makes for itself.
        ports: of its inference and management API; None chooses free ones.
        listen: the address of this machine at which both are.
        progress: told what takes a while, for people.
        log: told every command and management call, and the server's log line by line; None is quiet.

    Raises:
        UsageError: inputs are given for several models.
    """

    models: tuple[ZooModel | CustomModel | ModelArchive, ...] = ()
    inputs: tuple[Input, ...] | None = None
    sending: Sending = field(default_factory=Sending)
    headers: tuple[Header, ...] = ()
    backend: Backend | None = None
    server_python: ServerPython = field(default_factory=ServerPython)
    tls: bool = False
    ports: tuple[int, int] | None = None
    listen: str = LOOPBACK
    progress: Progress = lambda _: None
    log: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if self.inputs and len(self.models) > 1:
            raise UsageError("one input does not suit several models", next_step="leave -i out")

    @property
    def decodes_json(self) -> bool:
        """Whether a model may want JSON bodies as the server decodes them; the zoo's do not."""
        return not self.models or not all(isinstance(model, ZooModel) for model in self.models)

    @property
    def computes(self) -> bool:
        """Whether a model of the zoo needs a backend's runtime to answer."""
        return any(isinstance(model, ZooModel) and model.name != "noop" for model in self.models)

    def environment(self, *, gpu: bool = False) -> MmsEnvironment:
        """The server's environment, installed on first use; an archive of MMS 0.x needs MXNet.

        With `gpu` it is one that computes on NVIDIA's, if a model needs one.

        Raises:
            UsageError: it cannot be had here.
            SetupError: it could not be made.
        """
        backend = self.backend or backend_of(self.models)
        return self.server_python.environment(backend, self.progress, gpu=gpu and self.computes)

    def built_for(self, environment: MmsEnvironment) -> tuple[ModelArchive, ...]:
        """The models, those of the zoo built for `environment`.

        Raises:
            SetupError: one could not be built.
        """
        return tuple(self._built(model, environment) for model in self.models)

    def _built(self, model: ZooModel | CustomModel | ModelArchive, environment: MmsEnvironment) -> ModelArchive:
        if isinstance(model, ZooModel):
            return archive_of_zoo(model, self.inputs, self.sending, environment, self.progress)
        if isinstance(model, CustomModel):
            lacking = self.server_python.lacking
            return archive_of_user(model, self.inputs, self.sending, lambda: environment, self.progress, lacking)
        return model


def accept_any(_body: bytes) -> str | None:
    """The check of a model about which nothing is known."""
    return None


def archive_of_zoo(
    model: ZooModel,
    inputs: tuple[Input, ...] | None,
    sending: Sending,
    environment: MmsEnvironment,
    progress: Progress,
) -> ModelArchive:
    """A model of the zoo, built for `environment`; `inputs` None is the model's own, sent as `sending` says.

    Raises:
        SetupError: it could not be built.
    """
    made = build_model(model, environment, progress)
    return ModelArchive(
        name=model.wire_name,
        archive=made.archive,
        inputs=inputs or (sending.apply(made.default_input),),
        check=lambda body: check_prediction(model, DIALECT.decode(body)),
        backend=environment.backend,
        reports=model.name != "noop",
        sha256=made.sha256,
    )


def archive_of_user(
    model: CustomModel,
    inputs: tuple[Input, ...] | None,
    sending: Sending,
    environment: Callable[[], MmsEnvironment],
    progress: Progress,
    lacking: str = "",
) -> ModelArchive:
    """A model of the user's. `inputs` None is one made of its signature, an image by the Python of `environment`.

    Raises:
        UsageError: it has no signature of which an input can be made.
    """
    return ModelArchive(
        name=model.name,
        archive=model.archive,
        inputs=inputs or (sending.apply(_made_input(model, sending, environment, progress)),),
        check=accept_any,
        origin=model.facts,
        lacking=lacking,
    )


def backend_of(models: tuple[ZooModel | CustomModel | ModelArchive, ...]) -> Backend | None:
    """The backend that one of `models` needs, or None where any will do."""
    legacy = any(isinstance(model, CustomModel) and model.format == "model" for model in models)
    return "mxnet" if legacy else None


def _made_input(
    model: CustomModel, sending: Sending, environment: Callable[[], MmsEnvironment], progress: Progress
) -> Input:
    signature = model.signature
    if signature is None:
        raise UsageError(
            f"{model.origin} does not say what it takes",
            cause="there is no signature.json in it",
            next_step="say with -i what to send to it",
        )
    if signature.content_type is None:
        signature = replace(signature, content_type=sending.content_type)
    size = image_size(signature, model.name)
    if size is None:
        return numbers_input(signature, model.name)
    try:
        body = sample_image(size, environment(), progress)
    except SetupError as error:
        raise UsageError(
            f"no image can be made for {model.name}", cause=str(error), next_step="say with -i what to send to it"
        ) from error
    return Input(body, IMAGE, f"signature: generated {size[0]}x{size[1]} JPEG")


def loaded_model(
    model: ModelArchive,
    settings: ModelSettings,
    workers: int,
    url: str,
    description: ModelDescription,
    register_ms: float,
    cold_start_ms: float,
) -> LoadedModel:
    """`model`, registered by us from `url` with `settings` and `workers`, as the server describes it now."""
    return LoadedModel(
        name=model.name,
        backend=model.backend,
        inputs=model.inputs,
        origin=model.origin,
        sha256=model.sha256,
        url=url,
        cold_start_ms=cold_start_ms,
        register_ms=register_ms,
        read_back=settings_of(description),
        requested={
            "workers": workers,
            "batch_size": settings.batch_size,
            "max_batch_delay_ms": settings.max_batch_delay_ms,
        },
    )
