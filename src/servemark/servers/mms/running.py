"""A Multi Model Server that somebody else started (``--server``). It is measured as it is.

Nothing that was on the server is changed, scaled or removed. Only a zoo model that it lacks, or an archive of the
user's, is offered to it, and that one is removed afterwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from servemark.environments.mms import MmsEnvironment, mms_environment
from servemark.errors import ModelError, ServerDiedError, ServerError, UnreachableError, UsageError
from servemark.servers import InsideCounts, LoadedModel, ModelSettings, ServerSettings, default_workers
from servemark.servers.dialect import Dialect
from servemark.servers.http.connection import send_once
from servemark.servers.http.existing import existing_model
from servemark.servers.http.finding import Found
from servemark.servers.http.first_prediction import first_prediction
from servemark.servers.http.reachability import refuses
from servemark.servers.mms.archives import ModelArchive, archive_of_user, archive_of_zoo, backend_of, loaded_model
from servemark.servers.mms.management import ManagementClient, ModelDescription
from servemark.servers.mms.management_address import find_management
from servemark.servers.mms.readiness import changed_workers, settings_now, settings_of, wait_for_workers
from servemark.servers.mms.registered_model import registered_model, registering_by_hand
from servemark.servers.mms.temporary_models import Remove, temporary_models
from servemark.workload.address import Address
from servemark.workload.inputs import Input
from servemark.workload.scenario import ApiName, Request
from servemark.zoo.catalogue import ZOO, ZooModel, find
from servemark.zoo.custom_model import CustomModel

if TYPE_CHECKING:
    from servemark.servers.own_process import OwnProcess
    from servemark.servers.running import RunningLauncher

#: Gives what a server has counted of its models.
Counted = Callable[[], Mapping[str, InsideCounts]]
_WATCH_TIMEOUT_S = 2.0
#: Watching takes at most this share of the time.
_WATCH_SHARE = 0.05
_READY_TIMEOUT_S = 60.0


@contextmanager
def running_server(asked: RunningLauncher, found: Found, settings: ServerSettings) -> Iterator[RunningServer]:
    """The server that was `found`, with its management API where that can be reached.

    Raises:
        UnreachableError: no management API answers at the port that was given for it.
    """
    management = find_management(found, asked.management_port, asked.trust, asked.progress)
    with server_with_management(asked, found, settings, management) as server:
        yield server


@contextmanager
def server_with_management(
    asked: RunningLauncher,
    found: Found,
    settings: ServerSettings,
    management: Address | None,
    process: OwnProcess | None = None,
    counted: Counted = dict,
) -> Iterator[RunningServer]:
    """The server that was `found`, of whatever dialect has the management API of MMS, which is at `management`.

    `process` is that of a server of ours, and `counted` gives what it has counted of its models.
    """
    addresses: dict[ApiName, Address] = {"inference": found.address}
    if management is None:
        yield RunningServer(asked, found.dialect, addresses, None, settings, process, counted)
        return
    with ManagementClient(management, asked.log) as client:
        addresses["management"] = management
        yield RunningServer(asked, found.dialect, addresses, client, settings, process, counted)


class RunningServer:
    """A server that somebody else started, or whose process is ours; see ``servemark.servers.Server``."""

    def __init__(
        self,
        launcher: RunningLauncher,
        dialect: Dialect,
        addresses: Mapping[ApiName, Address],
        management: ManagementClient | None,
        settings: ServerSettings,
        process: OwnProcess | None = None,
        counted: Counted = dict,
    ) -> None:
        self.launcher = "running" if process is None else "managed"
        self.dialect = dialect
        self.product = dialect.product
        self.addresses = addresses
        self.management = management
        # No API of MMS tells its version.
        self.version: str | None = None
        self.pid = process.pid if process else None
        self._process = process
        self._counted = counted
        self.facts: Mapping[str, object] = {
            "target": launcher.target,
            "url": addresses["inference"].url,
            "management_url": management.address.url if management else None,
            "models": [model.name for model in management.list_models()] if management else None,
            "requested": {
                "job_queue_size": settings.job_queue_size,
                "response_timeout_s": settings.response_timeout_s,
            },
        }
        self._settings = settings
        self._ask = launcher
        self._served: dict[str, ModelDescription] = {}
        self._last_served: tuple[LoadedModel, ...] = ()
        self._scaled = False
        self._failed: ServerError | None = None
        self._next_watch_s = 0.0

    @contextmanager
    def serve_models(self, settings: ModelSettings) -> Iterator[tuple[LoadedModel, ...]]:
        """The launcher's models: the server's own where it has them, else those of the zoo, offered and removed again.

        Raises:
            UsageError: neither server nor zoo knows one; or it needs an input; or settings are asked of a model that
                is not ours to change.
            ModelError: one cannot be had or does not answer.
        """
        self._scaled = settings.scaled
        with ExitStack() as stack:
            self._last_served = tuple([stack.enter_context(self._serve(model, settings)) for model in self._ask.models])
            yield self._last_served

    @contextmanager
    def _serve(self, wanted: str | CustomModel, settings: ModelSettings) -> Iterator[LoadedModel]:
        if isinstance(wanted, CustomModel):
            with self._custom(wanted, settings) as served:
                yield served
            return
        name, zoo_model = wanted, find(wanted)
        on_server = self._find_on_server(name, zoo_model)
        if on_server is None and zoo_model is None:
            raise self._unknown(name)
        inputs = self._ask.inputs_for(on_server or name, zoo_model)
        with ExitStack() as stack:
            if on_server is not None:
                served = self._existing(on_server, inputs, settings)
            else:
                assert zoo_model is not None
                served = stack.enter_context(self._offered(self._built(zoo_model, self._ask.inputs), settings))
            try:
                yield served
            finally:
                self._served.pop(served.name, None)

    def read_back(self) -> Mapping[str, Mapping[str, object]]:
        """Each served model's settings by its name, as the server reports them now; without what it cannot say."""
        return settings_now(self._served, self.management, self._tell) if self.management else {}

    def memory_bytes(self) -> int | None:
        """What its processes hold in memory; None where they are not ours to look at."""
        return self._process.memory_bytes() if self._process else None

    def cpu_s(self) -> float | None:
        """The CPU time that its processes have used; None where they are not ours to look at."""
        return self._process.cpu_s() if self._process else None

    def inside(self) -> Mapping[str, InsideCounts]:
        """What it has counted of each served model, where it counts: MMS has nothing that could be asked for it."""
        return {name: counts for name, counts in self._counted().items() if name in self._served}

    @contextmanager
    def temporary_models(self, names: Sequence[str]) -> Iterator[Remove]:
        """See ``servemark.servers.Server``."""
        # Without its management API no plan registers any: there would be nowhere to send that.
        manager = self.management
        with temporary_models(manager, names, tell=self._ask.progress) if manager else nullcontext(dict) as remove:
            yield remove

    def failure(self) -> ServerError | None:
        """Why the server can no longer be measured, or None as far as can be told from here."""
        died = self._process.death() if self._process else None
        self._failed = self._failed or died or self._look_for_failure()
        return self._failed

    def _look_for_failure(self) -> ServerError | None:
        started_s = time.monotonic()
        if started_s < self._next_watch_s:
            return None
        happened = ""
        if refuses(self.addresses["inference"]):
            happened = f"{self.addresses['inference'].url} refuses connections"
        elif self._served and self.management and not self._scaled:
            happened = changed_workers(self._served.values(), self.management, _WATCH_TIMEOUT_S)
        self._next_watch_s = time.monotonic() + (time.monotonic() - started_s) / _WATCH_SHARE
        if not happened:
            return None
        return ServerDiedError(
            "the server failed while it was in use", cause=happened, next_step="see the server's own log"
        )

    def incidents(self, since_unix_ns: int) -> Sequence[tuple[int, str]]:
        """Empty: its log is not ours to read."""
        del since_unix_ns
        return ()

    def log_tail(self) -> str:
        """The last lines of its log; empty where that is not ours to read."""
        return self._process.log_tail() if self._process else ""

    def save_logs(self, folder: Path) -> None:
        """Write what is known of it into ``server.json``: addresses, settings requested and read back."""
        folder.mkdir(parents=True, exist_ok=True)
        known = {
            "facts": dict(self.facts),
            "version": self.version,
            "models": {
                served.name: {"requested": dict(served.requested), "read_back": dict(served.read_back)}
                for served in self._last_served
            },
        }
        (folder / "server.json").write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        if self._process:
            self._process.save_log(folder)

    def _find_on_server(self, name: str, zoo_model: ZooModel | None) -> str | None:
        """The spelling under which the server has the model; None when it has not."""
        spellings = [name, *(zoo_model.all_names if zoo_model else ())]
        if self.management:
            listed = {model.name for model in self.management.list_models()}
            return next((spelling for spelling in spellings if spelling in listed), None)
        return next(filter(self._knows, spellings), None)

    def _knows(self, name: str) -> bool:
        """Whether the inference API knows a model of that name. OPTIONS describes its API and runs nothing."""
        address, path = self.addresses["inference"], self.dialect.prediction(name, Input(b"", "", "")).path
        try:
            return send_once(address, Request("OPTIONS", path), _READY_TIMEOUT_S).status != 404
        except httpx.TransportError as error:
            raise UnreachableError(
                f"{address.url} no longer answers", cause=str(error), next_step="see the server's own log"
            ) from error

    def _unknown(self, name: str) -> UsageError:
        if self.management:
            listed = ", ".join(model.name for model in self.management.list_models()) or "none"
            has = f"the server has {listed}"
        else:
            has = "its models cannot be listed without its management API"
        return UsageError(
            f"neither the server nor the zoo has a model {name!r}",
            cause=f"{has}; the zoo has {', '.join(model.name for model in ZOO)}",
            next_step="give -m one of these",
        )

    def _existing(self, name: str, inputs: Callable[[], tuple[Input, ...]], settings: ModelSettings) -> LoadedModel:
        """A model that the server had before: looked at, asked once, left alone."""
        there = existing_model(
            self.dialect, self.addresses["inference"], name, settings, inputs, self._ask.sending.expect_status
        )
        description = self.management.describe(name) if self.management else None
        if description is None:
            return there
        self._served[name] = description
        return replace(there, url=description.url or None, read_back=settings_of(description))

    def _built(self, model: ZooModel, inputs: tuple[Input, ...] | None) -> ModelArchive:
        ask = self._ask
        return archive_of_zoo(model, inputs, ask.sending, mms_environment(ask.backend, ask.progress), ask.progress)

    @contextmanager
    def _custom(self, model: CustomModel, settings: ModelSettings) -> Iterator[LoadedModel]:
        """An archive of the user's, offered to the server and removed at the end."""
        ask = self._ask

        def environment() -> MmsEnvironment:
            return mms_environment(ask.backend or backend_of((model,)), ask.progress)

        offer = archive_of_user(model, ask.inputs, ask.sending, environment, ask.progress)
        if self._find_on_server(model.name, None):
            raise UsageError(
                f"the server has a model {model.name} already, and that one is not changed",
                next_step=f"measure it with -m {model.name} -i FILE, or remove it from the server first",
            )
        with self._offered(offer, settings) as served:
            try:
                yield served
            finally:
                self._served.pop(served.name, None)

    @contextmanager
    def _offered(self, model: ModelArchive, settings: ModelSettings) -> Iterator[LoadedModel]:
        """A model, registered from a web server of ours, proved ready, and removed at the end."""
        workers = settings.workers or default_workers()
        if self.management is None:
            raise ModelError(
                f"the server has no model {model.name}, and without its management API it cannot be given one",
                next_step=registering_by_hand(model, workers, self._usual_management()),
            )
        self._ask.progress(f"offering {model.name} to the server")
        with registered_model(
            self.management,
            model,
            settings,
            workers,
            self._settings.response_timeout_s,
            self._ask.progress,
            self._ask.log,
        ) as offered:
            description = wait_for_workers(self.management, model.name, workers, _READY_TIMEOUT_S, lambda: None)
            address, expect_status = self.addresses["inference"], self._ask.sending.expect_status
            cold_start_ms = first_prediction(
                self.dialect, address, model.name, model.inputs, model.check, expect_status
            )
            self._served[model.name] = description
            yield loaded_model(model, settings, workers, offered.url, description, offered.register_ms, cold_start_ms)

    def _usual_management(self) -> Address:
        inference = self.addresses["inference"]
        return replace(inference, port=self._ask.management_port or inference.port + 1)

    def _tell(self, line: str) -> None:
        if self._ask.log:
            self._ask.log(line)
