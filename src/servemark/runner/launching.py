"""From an entry to what executes it: the launcher of its server, and its engine."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from servemark.engines import Engine, EngineName
from servemark.engines.native.answers import load_tokenizer
from servemark.engines.native.engine import NativeEngine
from servemark.report.extras import check_extra
from servemark.runner.entry import Entry, may_speak, zoo_model
from servemark.runner.listener import Listener
from servemark.servers import Launcher
from servemark.servers.http.endpoint import EndpointLauncher
from servemark.servers.ports import LOOPBACK
from servemark.zoo.model_source import ModelSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servemark.options import RunRequest
    from servemark.options.server import ServerOptions
    from servemark.servers.mms.archives import ServeRequest
    from servemark.servers.mms.managed import ManagedLauncher
    from servemark.servers.mms.sites.docker import DockerLauncher
    from servemark.servers.mms.sites.source import SourceLauncher
    from servemark.servers.own import OwnLauncher
    from servemark.servers.running import RunningLauncher
    from servemark.workload.inputs import Input
    from servemark.workload.prompts import Prompts
    from servemark.zoo.custom_model import CustomModel


class Launchers:
    """The launchers of an invocation's benchmarks; an archive of the user's is fetched and checked once for all."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._archives: dict[ModelSource, CustomModel] = {}

    def of(self, entry: Entry) -> Launcher:
        """What has the server that `entry` asks for.

        Raises:
            UsageError: it asks for what cannot be had; or the archive cannot be read, or the file of the tokenizer is
                none.
            SetupError: the archive could not be downloaded.
            ModelError: the archive cannot be served.
        """
        content, server = entry.request.content, entry.request.server
        if content.tokenizer is not None:
            load_tokenizer(content.tokenizer)  # what is wrong with it is said before a server is looked for
        if content.endpoint is not None:
            return EndpointLauncher(
                content.endpoint,
                headers=content.all_headers,
                trust=server.trust,
                connect_to=server.connect_to,
                unix_socket=server.unix_socket,
                engine=entry.request.generator.engine,
                progress=self._listener.note,
            )
        # What speaks to a model server takes as long to load as a first request; an endpoint needs none of it.
        from servemark.servers.mms.archives import ServeRequest, ServerPython

        archive = content.archive if entry.benchmark.needs_model else None
        custom = self._archive(archive) if archive else None
        if server.server is not None:
            return self._running(entry, custom)
        if server.server_kind != "mms":
            return launcher_of_kind(self._running(entry, custom), server)
        return own_launcher(
            ServeRequest(
                models=(custom,) if custom else tuple(map(zoo_model, entry.benchmark.models(entry.request))),
                inputs=content.bodies or None,
                sending=content.sending,
                headers=content.all_headers,
                backend=server.backend,
                server_python=ServerPython(server.server_requirements, server.server_python),
                progress=self._listener.note,
                log=self._listener.log,
            ),
            server,
        )

    def _running(self, entry: Entry, custom: CustomModel | None) -> RunningLauncher:
        """What has a server that runs, or, of the kind that `entry` names, will run; `custom` is the user's model."""
        from servemark.servers.running import RunningLauncher

        content, server = entry.request.content, entry.request.server
        inputs = content.bodies or None
        is_openai = [spoken.name for spoken in may_speak(server)] == ["openai"]
        prompts = _prompts_of(entry, inputs, of_openai=is_openai)
        says_more = server.dialect == "auto" and (prompts is None or content.takes_lengths)
        return RunningLauncher(
            server.server or "",
            (custom,) if custom else entry.benchmark.models(entry.request),
            is_named=content.model is not None or not entry.benchmark.needs_model,
            inputs=inputs,
            prompts=prompts,
            prompts_found=partial(_prompts_of, entry, inputs, of_openai=True) if says_more else None,
            wants_prompts=content.asks_prompts,
            counts_tokens=content.tokenizer is not None,
            tensors=content.tensors_asked,
            sending=content.sending,
            tokens=server.tokens,
            dialect=None if server.dialect == "auto" else server.dialect,
            option=server.named_with,
            backend=server.backend,
            management_port=server.management_port,
            trust=server.trust,
            connect_to=server.connect_to,
            headers=content.all_headers,
            engine=entry.request.generator.engine,
            progress=self._listener.note,
            log=self._listener.log,
        )

    def _archive(self, source: ModelSource) -> CustomModel:
        from servemark.zoo.custom_model import custom_model

        if source not in self._archives:
            self._archives[source] = custom_model(source, self._listener.note)
        return self._archives[source]


def _prompts_of(entry: Entry, inputs: tuple[Input, ...] | None, *, of_openai: bool) -> Prompts | None:
    """What is asked of a server that generates: prompts, where these are asked for; of one with OpenAI's API always.

    As long as a trace has them where that is all that says it; `of_openai`, or where Triton is to generate, since
    traces of other servers have none.
    """
    content, load = entry.request.content, entry.request.load
    lengths = load.lengths() if (of_openai or content.generates) and content.takes_lengths else None
    if not (content.asks_prompts or (inputs is None and (of_openai or lengths))):
        return None
    return content.prompts_asked(load.seed, lengths, None if entry.request.question.by else load.most_requests)


def engine_of(name: EngineName, listener: Listener) -> Engine:
    """The engine of that name; JMeter is assembled on first use.

    Raises:
        SetupError: JMeter cannot be had here; says what to install.
    """
    if name == "native":
        return NativeEngine(listener.note)
    # JMeter is a large thing to load for those who do not ask for it.
    from servemark.engines.jmeter.engine import JMeterEngine
    from servemark.environments.jmeter import jmeter_home

    return JMeterEngine(jmeter_home(listener.note))


def check_clusters(requests: Iterable[RunRequest]) -> None:
    """See that a Ray cluster answers wherever one is named, before a server is started for what it is to send.

    Raises:
        UsageError: Ray is not installed, an address is none, or this process cannot be connected to it.
        UnreachableError: nobody answers there.
    """
    asked = dict.fromkeys(request.generator.spread for request in requests if request.generator.on == "ray")
    if not asked:
        return
    check_extra("ray", "--on ray")
    from servemark.engines.native.cluster.connecting import Cluster, check_cluster

    for cluster in map(Cluster.of, asked):
        check_cluster(cluster)


def own_launcher(serving: ServeRequest, chosen: ServerOptions) -> ManagedLauncher | SourceLauncher | DockerLauncher:
    """What starts the server that is `chosen`: in a container, from a checkout, or the one that is installed.

    Raises:
        UsageError: its source is no checkout.
    """
    if chosen.docker or chosen.image is not None:
        from servemark.servers.mms.sites.docker import DockerLauncher

        return DockerLauncher(serving, image=chosen.image, source=chosen.source, build_command=chosen.build_command)
    if chosen.source is not None:
        from servemark.servers.mms.sites.source import SourceLauncher

        return SourceLauncher(chosen.source, serving, build_command=chosen.build_command)
    from servemark.servers.mms.managed import ManagedLauncher

    return ManagedLauncher(serving)


def launcher_of_kind(
    asked: RunningLauncher, chosen: ServerOptions, port: int | None = None, listen: str = LOOPBACK
) -> OwnLauncher:
    """What starts a server of the kind that is `chosen`, with the models that are `asked` for: the zoo's, or its own.

    It listens at the address `listen` of this machine.

    Raises:
        UsageError: there is no such model in the zoo.
    """
    from servemark.servers.own import OwnLauncher

    kind, workers = chosen.server_kind, chosen.workers_of_model
    if kind == "vllm":
        assert chosen.model_repository is not None  # or else it is refused
        called = next((str(model) for model in asked.models if asked.is_named), chosen.model_repository.resolve().name)
        return OwnLauncher(kind, asked, (), chosen.model_repository, port, listen=listen, called=called)
    if chosen.model_repository is not None:
        return OwnLauncher(kind, asked, (), chosen.model_repository, port, workers, listen)
    names = [model for model in asked.models if isinstance(model, str)]
    if kind == "torchserve":  # which is given them when it runs
        return OwnLauncher(kind, replace(asked, backend="onnx"), (), port=port, listen=listen)
    zoo = tuple(map(zoo_model, names))
    return OwnLauncher(kind, replace(asked, is_named=True), zoo, None, port, workers, listen)
