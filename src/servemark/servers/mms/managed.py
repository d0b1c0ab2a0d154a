"""The launcher *managed*: a Multi Model Server of our own, started, proved ready, watched and stopped.

``MmsProcess`` (in ``mms_process``) is the running server; here is what the runner sees of it. The launchers *source*
and *docker* are this one at another ``Site``.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil

from servemark.environments.mms import MmsEnvironment
from servemark.errors import InputRefusedError, ManagementError, ModelError, ServerDiedError, ServerError
from servemark.machine.cpu import processes_cpu_s
from servemark.machine.fitting import may_lack_room, memory_need
from servemark.machine.gpus import Gpus, devices_of, gpus_for
from servemark.machine.memory import WorkerMemory, processes_memory_bytes
from servemark.servers import InsideCounts, LoadedModel, ModelSettings, ServerSettings, default_workers
from servemark.servers.dialect import Dialect
from servemark.servers.http.first_prediction import first_prediction
from servemark.servers.mms import load_failure, server_log
from servemark.servers.mms.archives import ModelArchive, ServeRequest, loaded_model
from servemark.servers.mms.certificate_store import certificate_in
from servemark.servers.mms.config import properties_text
from servemark.servers.mms.dialect import DIALECT
from servemark.servers.mms.instance import sweep_stale
from servemark.servers.mms.management import ManagementClient, ModelDescription, Refusal, refusal_of
from servemark.servers.mms.process import MmsProcess, started_mms
from servemark.servers.mms.readiness import changed_workers, settings_now, wait_for_workers
from servemark.servers.mms.sites.local import LocalSite, Site
from servemark.servers.mms.temporary_models import Remove, temporary_models
from servemark.servers.mms.worker_memory import worker_memory
from servemark.servers.ports import check_ports, free_port_pair
from servemark.workload.address import Address
from servemark.workload.scenario import ApiName

_REGISTER_S = 60.0
_REGISTER_EACH_WORKER_S = 30.0
_REPORTS_TIMEOUT_S = 10.0
#: The class with which the server's Java starts: what profilers call its process.
MAIN_CLASS = "com.amazonaws.ml.mms.ModelServer"
_WATCH_TIMEOUT_S = 2.0
#: How long after an answer the server's log may lack what the worker printed before.
_LOG_DELAY_S = 1.0
#: Watching takes at most this share of the time.
_WATCH_SHARE = 0.05


class ManagedLauncher:
    """Starts a Multi Model Server 1.1.11 on this machine.

    Args:
        serving: what it serves, and how.
        choose_ports: gives an inference and a management port where `serving` does not; asked again when they turn out
            to be taken. None gives free ones.
        make_site: where the server runs, asked for each one that is started; given what is installed on this machine.
    """

    def __init__(
        self,
        serving: ServeRequest,
        *,
        choose_ports: Callable[[], tuple[int, int]] | None = None,
        make_site: Callable[[MmsEnvironment], Site] = LocalSite,
    ) -> None:
        self._serving = serving
        self._choose_ports = choose_ports or (lambda: free_port_pair(serving.listen))
        self._make_site = make_site

    @contextmanager
    def serve(self, settings: ServerSettings) -> Iterator[ManagedServer]:
        """A started server. On first use this installs its environment and builds the models.

        Raises:
            UsageError: the backend cannot be had here, or models cannot be preloaded for GPUs.
            DoesNotFitError: this machine has fewer GPUs, or less memory, than the settings ask for.
            SetupError: environment or models could not be made.
            ModelError: a model is to be preloaded, and cannot be loaded.
            ServerStartError: the server did not come up; `detail` has the end of its log.
        """
        serving = self._serving
        gpus = gpus_for(settings.gpus, preload=settings.preload_model)
        sweep_stale(serving.progress)
        if serving.ports:
            check_ports(serving.ports, serving.listen)
        site, models = self._prepared(settings)
        if not serving.decodes_json:
            settings = replace(settings, decode_json=False)
        if settings.preload_model or settings.most_workers is not None:
            # Registering a model that cannot be imported would hang, and its workers would be called READY.
            self._check_room(site, models, settings)
        elif may_lack_room((model.archive for model in models), settings.workers or 0):
            with suppress(ModelError):  # one that cannot be loaded: the server says more of why
                self._check_room(site, models, settings)
        serving.progress("starting Multi Model Server")
        with (
            started_mms(
                site, settings, tls=serving.tls, choose_ports=self._ports, log=serving.log, listen=serving.listen
            ) as mms,
            ManagementClient(mms.management, serving.log) as management,
        ):
            yield ManagedServer(mms, management, settings, models, gpus, serving)

    def worker_memory(self, settings: ServerSettings) -> Mapping[str, WorkerMemory]:
        """What a worker of each model costs on a server with `settings`; see ``servemark.servers.Launcher``."""
        return self._measured(*self._prepared(settings))

    def _prepared(self, settings: ServerSettings) -> tuple[Site, tuple[ModelArchive, ...]]:
        serving = self._serving
        environment = serving.environment(gpu=settings.gpus > 0)
        models = serving.built_for(environment)
        return self._make_site(environment), models

    def _check_room(self, site: Site, models: tuple[ModelArchive, ...], settings: ServerSettings) -> None:
        """Nothing, when there is memory for all the workers that are asked for, or no number was named."""
        memories, workers = self._measured(site, models), settings.most_workers or settings.workers
        if workers is None:
            return
        need = memory_need(memories, workers, preload=settings.preload_model, answering=settings.all_answer)
        if need.refusal:
            raise need.refusal

    def _measured(self, site: Site, models: tuple[ModelArchive, ...]) -> Mapping[str, WorkerMemory]:
        python, progress = site.worker_python(), self._serving.progress
        return {
            model.name: worker_memory(model.name, model.archive, model.inputs[0], python, progress) for model in models
        }

    def _ports(self) -> tuple[int, int]:
        return self._serving.ports or self._choose_ports()


class ManagedServer:
    """A server that we started; see ``servemark.servers.Server``."""

    dialect: Dialect = DIALECT
    product = DIALECT.product

    def __init__(
        self,
        mms: MmsProcess,
        management: ManagementClient,
        settings: ServerSettings,
        models: tuple[ModelArchive, ...],
        gpus: Gpus | None,
        serving: ServeRequest,
    ) -> None:
        facts = mms.site.facts(mms.instance)
        versions = facts["versions"]
        self.launcher = mms.site.launcher
        self.version: str | None = versions.get("multi-model-server") if isinstance(versions, Mapping) else None
        self.addresses: Mapping[ApiName, Address] = {
            "inference": replace(mms.inference, headers=serving.headers),
            "management": mms.management,
        }
        self.management = management
        self.facts: Mapping[str, object] = {
            **facts,
            "command": [str(word) for word in mms.command],
            "config": {key: value for key, value in mms.properties.items() if key != "keystore_pass"},
            "job_queue_size": int(mms.properties["job_queue_size"]),
            "pid": mms.pid,
            "url": mms.inference.url,
            "management_url": mms.management.url,
            "preload_model": settings.preload_model,
        }
        #: What the workers of each model compute with, where GPUs were asked for.
        self._devices: dict[str, Mapping[str, object]] = {}
        if gpus:
            self.facts = {**self.facts, "gpus": gpus.facts, "devices": self._devices}
        self._settings = settings
        self._mms = mms
        self._models = models
        self._progress = serving.progress
        self._expect_status = serving.sending.expect_status
        self._served: dict[str, ModelDescription] = {}
        self._scaled = False
        self._failed: ServerError | None = None
        self._log_at_start: Mapping[str, int] = {}
        self._seen_log: Mapping[str, int] = {}
        self._next_watch_s = 0.0

    @property
    def pid(self) -> int:
        """The process that leads the server's session."""
        return self._mms.pid

    def processes(self) -> list[psutil.Process]:
        """The living processes of the server: Java, and the Python ones of its workers."""
        return self._mms.site.processes(self._mms.instance)

    @property
    def certificate(self) -> Path | None:
        """The PEM file with the certificate of a server that speaks https; clients can trust it. Else None."""
        return certificate_in(self._mms.instance.root)

    @property
    def java_home(self) -> Path:
        """A JDK on this machine whose tools can look at the server's Java."""
        return self._mms.site.java_home

    @property
    def java(self) -> psutil.Process | None:
        """The process of its Java, as this machine sees it; a profiler is attached to that one."""
        return next((process for process in self.processes() if _is_java(process)), None)

    def check_alive(self) -> None:
        """Raise ServerDiedError, with the end of the log, when the server has ended; its workers are not asked."""
        self._mms.check_alive()

    def stop(self) -> None:
        """End it before its time: as leaving ``serve`` does, but what is known of it stays."""
        self._mms.site.stop(self._mms.instance)

    @contextmanager
    def serve_models(self, settings: ModelSettings) -> Iterator[tuple[LoadedModel, ...]]:
        """The launcher's models, registered one by one with `settings` and proved ready; removed at the end.

        Raises:
            ModelError: one could not be loaded, or its first prediction was not right.
            ServerDiedError: the server ended meanwhile.
        """
        self._log_at_start = server_log.sizes(self._mms.instance.logs)
        self._scaled = settings.scaled
        with ExitStack() as stack:
            yield tuple([stack.enter_context(self._serve(model, settings)) for model in self._models])

    @contextmanager
    def _serve(self, model: ModelArchive, settings: ModelSettings) -> Iterator[LoadedModel]:
        workers = settings.workers or default_workers(self._settings.gpus)
        log_before = server_log.sizes(self._mms.instance.logs)
        url = self.put_in_store(model.archive)
        self._progress(f"loading {model.name} in {workers} worker{'s' if workers > 1 else ''}")
        register_ms = self._register(model, url, settings, workers, log_before)
        try:
            with self._explaining_death(), self._explaining_failure(model):
                description = wait_for_workers(self.management, model.name, workers, _REGISTER_S, self._mms.check_alive)
                self._mms.record_processes()
                if self._settings.gpus:
                    self._devices[model.name] = self._devices_of(model, workers, log_before)
                cold_start_ms = first_prediction(
                    DIALECT, self.addresses["inference"], model.name, model.inputs, model.check, self._expect_status
                )
                self._served[model.name] = self.management.describe(model.name)
                self._seen_log = server_log.sizes(self._mms.instance.logs)
            yield loaded_model(model, settings, workers, url, description, register_ms, cold_start_ms)
        finally:
            self._served.pop(model.name, None)
            self._remove(model.name)

    def inside(self) -> Mapping[str, InsideCounts]:
        """Empty: it counts nothing that could be asked for."""
        return {}

    def temporary_models(self, names: Sequence[str]) -> AbstractContextManager[Remove]:
        """See ``servemark.servers.Server``."""
        tell, is_alive = self._mms.tell, self._mms.is_alive  # it is stopped afterwards, with whatever comes late
        return temporary_models(self.management, names, tell=tell, is_alive=is_alive, may_be_late=False)

    def _devices_of(self, model: ModelArchive, workers: int, log_before: Mapping[str, int]) -> Mapping[str, object]:
        if not model.reports:
            # Its handler is not ours: it was given a GPU, and what it does with it only it knows.
            return {"provider": None, "workers_by_device": {}}
        logs = self._mms.instance.logs
        return devices_of(model.name, workers, lambda: server_log.worker_reports(logs, log_before), _REPORTS_TIMEOUT_S)

    def memory_bytes(self) -> int | None:
        """What its processes hold in memory; see ``servemark.machine.memory``."""
        return processes_memory_bytes(self.processes())

    def cpu_s(self) -> float | None:
        """The CPU time that its processes have used; see ``servemark.machine.cpu``."""
        return processes_cpu_s(self.processes())

    def read_back(self) -> Mapping[str, Mapping[str, object]]:
        """Each served model's settings by its name, as the server reports them now; without those it cannot say."""
        return settings_now(self._served, self.management, self._mms.tell)

    def failure(self) -> ServerError | None:
        """Why the server can no longer be measured, or None. Cheap: asks the server only when its log has grown."""
        self._failed = self._failed or self._look_for_failure()
        return self._failed

    def _look_for_failure(self) -> ServerError | None:
        if not self._mms.is_alive():
            return self._mms.death()
        started_s = time.monotonic()
        if not self._served or started_s < self._next_watch_s:
            return None
        logs = server_log.sizes(self._mms.instance.logs)
        if logs == self._seen_log:
            return None
        self._seen_log = logs
        watched: Iterable[ModelDescription] = () if self._scaled else self._served.values()
        happened = changed_workers(watched, self.management, _WATCH_TIMEOUT_S)
        memory = server_log.out_of_memory(self._mms.instance.logs, self._log_at_start)
        self._next_watch_s = time.monotonic() + (time.monotonic() - started_s) / _WATCH_SHARE
        if not happened and not memory:
            return None
        return ServerDiedError(
            happened or "the server ran out of memory",
            cause=f"out of memory ({memory})" if happened and memory else memory,
            next_step="use fewer workers (-w)" if memory else "see the end of its log below",
            detail=self.log_tail(),
        )

    def files_of_others(self) -> list[Path]:
        """Files that others had it write into its directory, which goes with it: a profiler's recording, say."""
        return self._mms.files_of_others()

    def put_in_store(self, archive: Path) -> str:
        """Put an archive into the server's model store; the url by which it can be registered."""
        in_store = self._mms.instance.store / archive.name
        if not in_store.exists():
            # No symbolic link: a server in a container sees the store, but not what is outside of it.
            try:
                in_store.hardlink_to(archive.resolve())
            except OSError:
                shutil.copyfile(archive, in_store)
        return in_store.name

    def incidents(self, since_unix_ns: int) -> Sequence[tuple[int, str]]:
        """Each worker of a served model that was started again since then; none where the load scales them."""
        if self._scaled:
            return ()
        starts = server_log.worker_starts(self._mms.instance.logs, self._log_at_start)
        return tuple(
            (one.at_unix_ns, f"worker {one.number} of {one.model} was started again")
            for one in starts
            if one.model in self._served and one.at_unix_ns >= since_unix_ns
        )

    def log_tail(self) -> str:
        """The last lines of its log."""
        return server_log.tail(self._mms.instance.logs)

    def save_logs(self, folder: Path) -> None:
        """Copy its configuration and logs into `folder`, and what others had it write beside them."""
        folder.mkdir(parents=True, exist_ok=True)
        instance = self._mms.instance
        config = {key: value for key, value in self._mms.properties.items() if key != "keystore_pass"}
        (folder / instance.config.name).write_text(properties_text(config), encoding="utf-8")
        for path in (instance.log_config, *self.files_of_others()):
            shutil.copyfile(path, folder / path.name)
        server_log.copy_logs(instance.logs, folder)

    def _register(
        self, model: ModelArchive, url: str, settings: ModelSettings, workers: int, log_before: Mapping[str, int]
    ) -> float:
        """Register the model and wait until its workers have loaded it; the time that took, in ms."""
        try:
            with self._explaining_death():
                accepted = self.management.register(
                    url,
                    model_name=model.name,
                    batch_size=settings.batch_size,
                    max_batch_delay_ms=settings.max_batch_delay_ms,
                    initial_workers=workers,
                    synchronous=True,
                    timeout_s=_REGISTER_S + _REGISTER_EACH_WORKER_S * workers,
                )
        except ManagementError as error:
            raise self._load_error(model, error, log_before) from error
        self._mms.record_processes()
        return accepted.elapsed_ms

    def _load_error(self, model: ModelArchive, error: ManagementError, log_before: Mapping[str, int]) -> ModelError:
        """Why the server refused the model, as its log or loading it outside the server tells."""
        refusal, logs = refusal_of(error), self._mms.instance.logs
        if refusal in (Refusal.NO_ANSWER, Refusal.PARTIAL):
            self._remove(model.name)
        memory = refusal is Refusal.OUT_OF_MEMORY or server_log.out_of_memory(logs, log_before)
        exception, detail = server_log.last_exception(logs, log_before), self.log_tail()
        if refusal is Refusal.WORKERS_FAILED and not exception:
            outside = self._mms.site.load_outside(self._mms.instance.store / model.archive.name, self._mms.instance)
            detail = outside.tail if outside else detail
            exception = detail.splitlines()[-1] if outside and detail else ""
        missing = self._missing(model, exception, detail)
        if missing:
            return missing
        return ModelError(
            f"the server cannot load the model {model.name}",
            cause=exception or error.message,
            next_step="use fewer workers (-w)" if memory else "see the last lines below",
            detail=detail,
        )

    def _missing(self, model: ModelArchive, exception: str, detail: str) -> ModelError | None:
        """What the handler of a user's archive cannot import, if `exception` is that; it can be had."""
        what = load_failure.missing_import(exception)
        if not what or model.origin is None:
            return None
        in_image = "give -d IMAGE, an image whose Python has it"
        return ModelError(
            f"{what} (the handler of {model.name} imports it)",
            next_step=in_image if self.launcher == "docker" else model.lacking,
            detail=detail,
        )

    @contextmanager
    def _explaining_failure(self, model: ModelArchive) -> Iterator[None]:
        """Say what the handler of a user's archive raised: MMS serves one that could not initialise, and is silent."""
        try:
            yield
        except ModelError as error:
            if model.origin is None or isinstance(error, InputRefusedError):
                raise
            logs = self._mms.instance.logs
            deadline_s = time.monotonic() + _LOG_DELAY_S
            while not (exception := server_log.last_exception(logs, self._log_at_start)):
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(_LOG_DELAY_S / 20)
            missing = self._missing(model, server_log.import_error(logs, self._log_at_start), self.log_tail())
            if missing:
                raise missing from error
            error.cause, error.detail = f"{error.cause}: {exception}", self.log_tail()
            raise

    def _remove(self, name: str) -> None:
        """Remove the model, if the server still lives and has it. What cannot be removed ends with the server."""
        if not self._mms.is_alive():
            return
        try:
            self.management.unregister(name, timeout_s=10.0)
        except ManagementError as error:
            self._mms.tell(str(error))

    @contextmanager
    def _explaining_death(self) -> Iterator[None]:
        """A call that fails because the server died says so."""
        try:
            yield
        except (ManagementError, ModelError) as error:
            if isinstance(error, ManagementError) and error.status is None:
                time.sleep(0.2)  # A broken connection is noticed before the end of the process is.
            if not self._mms.is_alive():
                raise self._mms.death() from error
            if isinstance(error, ModelError) and not isinstance(error, InputRefusedError) and not error.detail:
                error.detail = self.log_tail()
            raise


def _is_java(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return MAIN_CLASS in process.cmdline()
    return False
