"""From an entry to what executes it: the launcher of its server, and its engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servemark.engines import Engine, EngineName
from servemark.engines.native import NativeEngine
from servemark.runner.entry import Entry, zoo_model
from servemark.runner.request import Listener, RunRequest
from servemark.servers import Launcher
from servemark.servers.choice import check_choice, check_server_python, own_launcher
from servemark.servers.endpoint import EndpointLauncher
from servemark.workload.inputs import Sending
from servemark.zoo.model_source import model_source

if TYPE_CHECKING:
    from servemark.zoo.custom_model import CustomModel


class Launchers:
    """The launchers of an invocation's benchmarks; an archive of the user's is fetched and checked once for all."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._archives: dict[str, CustomModel] = {}

    def of(self, entry: Entry) -> Launcher:
        """What has the server that `entry` asks for.

        Raises:
            UsageError: it asks for what cannot be had; or the archive cannot be read.
            SetupError: the archive could not be downloaded.
            ModelError: the archive cannot be served.
        """
        request = entry.request
        _check(request)
        sending = Sending(request.content_type, request.multipart, request.expect_status)
        inputs = entry.inputs or None
        if entry.endpoint is not None:
            return EndpointLauncher(
                entry.endpoint,
                headers=entry.headers,
                trust=request.trust,
                connect_to=request.connect_to,
                unix_socket=request.unix_socket,
                engine=request.engine,
                progress=self._listener.note,
            )
        # What speaks to a model server takes as long to load as a first request; an endpoint needs none of it.
        from servemark.servers.running import RunningLauncher
        from servemark.servers.servable import ServerPython, Serving

        names = entry.benchmark.models(entry.ask)
        custom = self._archive(request.custom_model) if request.custom_model and entry.benchmark.needs_model else None
        if request.server is not None:
            return RunningLauncher(
                request.server,
                (custom,) if custom else names,
                inputs=inputs,
                sending=sending,
                backend=request.backend,
                management_port=request.management_port,
                trust=request.trust,
                connect_to=request.connect_to,
                headers=entry.headers,
                engine=request.engine,
                progress=self._listener.note,
                log=self._listener.log,
            )
        return own_launcher(
            Serving(
                models=(custom,) if custom else tuple(map(zoo_model, names)),
                inputs=inputs,
                sending=sending,
                headers=entry.headers,
                backend=request.backend,
                server_python=ServerPython(request.server_requirements, request.server_python),
                progress=self._listener.note,
                log=self._listener.log,
            ),
            docker=request.docker,
            image=request.image,
            source=request.source,
            build_command=request.build_command,
        )

    def _archive(self, text: str) -> CustomModel:
        from servemark.zoo.custom_model import custom_model

        if text not in self._archives:
            self._archives[text] = custom_model(model_source(text), self._listener.note)
        return self._archives[text]


def engine_of(name: EngineName, listener: Listener) -> Engine:
    """The engine of that name; JMeter is assembled on first use.

    Raises:
        SetupError: JMeter cannot be had here; says what to install.
    """
    if name == "native":
        return NativeEngine()
    # JMeter is a large thing to load for those who do not ask for it.
    from servemark.engines.jmeter.engine import JMeterEngine
    from servemark.environments.jmeter import jmeter_home

    return JMeterEngine(jmeter_home(listener.note))


def _check(request: RunRequest) -> None:
    """Refuse what contradicts itself, as the command line does."""
    check_choice(
        running=request.server,
        gpus=request.gpus,
        backend=request.backend,
        docker=request.docker,
        image=request.image,
        source=request.source,
        build_command=request.build_command,
    )
    check_server_python(
        custom_model=request.custom_model is not None,
        requirements=request.server_requirements,
        python=request.server_python,
        running=request.server,
        docker=request.docker,
        image=request.image,
    )
