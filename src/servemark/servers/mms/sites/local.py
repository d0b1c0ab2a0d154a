"""Sites: where a Multi Model Server of ours runs, and so how it is started, recognised and stopped.

``LocalSite`` is this machine; ``docker`` has the one in a container.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from servemark.environments.build_log import BUILD_LOG
from servemark.environments.commands import Finished, finish
from servemark.environments.mms import MmsEnvironment
from servemark.environments.source import SourceBuild
from servemark.environments.variables import inherited, locale_for, passed_on, path_with
from servemark.machine.processes import listening_ports, members, stop_members
from servemark.servers.mms.instance import Instance
from servemark.servers.mms.load_failure import load_outside
from servemark.servers.mms.worker_memory import MEASURE_TIMEOUT_S, WorkerPython
from servemark.servers.ports import somebody_listens


@dataclass(frozen=True)
class Start:
    """A process to start: its command, and the whole of its environment."""

    command: tuple[str | Path, ...]
    environ: Mapping[str, str]


class Site(Protocol):
    """What a server runs on.

    Attributes:
        launcher: its name in the result: "managed", "source", "docker".
        java_home: a JDK of ours, whose keytool makes the certificate of a server that speaks https.
    """

    launcher: str
    java_home: Path

    def prepare(self, instance: Instance) -> Start:
        """Have everything ready for a server in `instance`, whose configuration is written, and say how to start it.

        Raises:
            ServerError: it cannot be had.
        """
        ...

    def processes(self, instance: Instance) -> list[psutil.Process]:
        """The living processes of the server of `instance`."""
        ...

    def listens(self, instance: Instance, host: str, ports: Collection[int]) -> bool:
        """Whether the server of `instance`, and nobody else, listens on `ports` of `host`."""
        ...

    def stop(self, instance: Instance) -> None:
        """End everything that belongs to `instance`, whatever happens. Nothing of it is left when this returns."""
        ...

    def facts(self, instance: Instance, /) -> Mapping[str, object]:
        """What describes the started server in the result: backend, java, versions (by package), and more."""
        ...

    def load_outside(self, archive: Path, instance: Instance) -> Finished | None:
        """Why `archive`, which is in the server's store, cannot be loaded; see ``mms.load_failure``."""
        ...

    def worker_python(self) -> WorkerPython:
        """The Python that a server's workers would run in here; no server need be started."""
        ...


class LocalSite:
    """On this machine: the server that an environment has, or one that was built from source, run by its Python."""

    def __init__(self, environment: MmsEnvironment, source: SourceBuild | None = None) -> None:
        self.launcher = "source" if source else "managed"
        self.java_home = environment.java_home
        self._environment = environment
        self._source = source

    def prepare(self, instance: Instance) -> Start:
        """Its command; a server from source gets its own copy, which later builds leave alone."""
        if self._source:
            copy_source(self._source, instance)
        command = (self._environment.server_command, *server_arguments(instance))
        environ = {**self._environ(), **locale_for(instance.root), **instance_environ(instance)}
        return Start(command, environ)

    def processes(self, instance: Instance) -> list[psutil.Process]:
        """The processes with the instance's mark, and their descendants."""
        return members(instance.root)

    def listens(self, instance: Instance, host: str, ports: Collection[int]) -> bool:
        """Whether processes of `instance` listen on all of `ports` of `host`."""
        return somebody_listens(ports, host) and set(ports) <= listening_ports(self.processes(instance))

    def stop(self, instance: Instance) -> None:
        """Stop it by the instance's mark, so that it is found even if we were interrupted while we started it."""
        stop_members(instance.root)

    def facts(self, _instance: Instance) -> Mapping[str, object]:
        """The environment's, with what the server was built from."""
        versions = dict(self._environment.versions)
        if self._source:
            versions["multi-model-server"] = self._source.version or "unknown"
        return {
            "backend": self._environment.backend,
            "java": versions.get("java"),
            "versions": versions,
            "environ": passed_on(),
            **({"source": self._source.facts} if self._source else {}),
        }

    def load_outside(self, archive: Path, instance: Instance) -> Finished | None:
        """In the environment's Python, with the source's ``mms`` if there is one."""
        environ = {"PYTHONPATH": str(source_copy(instance))} if self._source else None
        return load_outside([self._environment.python], archive, environ)

    def worker_python(self) -> WorkerPython:
        """The environment's, with the source's ``mms`` if there is one."""
        root = self._source.root if self._source else None

        def run(arguments: Sequence[str | Path], _files: Sequence[Path]) -> Finished:
            environ = {"PYTHONPATH": str(root)} if root else None
            return finish([self._environment.python, *arguments], timeout_s=MEASURE_TIMEOUT_S, environ=environ)

        packages = repr(sorted(self._environment.versions.items()))  # an interpreter of the user's may get others
        return WorkerPython(f"{self._environment.root.name} {packages} {root.name if root else ''}", run)

    def _environ(self) -> Mapping[str, str]:
        return {**inherited(), "PATH": path_with(self._environment.root), "JAVA_HOME": str(self.java_home)}


def server_arguments(instance: Instance) -> tuple[str | Path, ...]:
    """The arguments of ``multi-model-server`` for a server in `instance`."""
    options = {"--mms-config": instance.config, "--model-store": instance.store, "--log-config": instance.log_config}
    return ("--start", "--foreground", *(word for option in options.items() for word in option))


def instance_environ(instance: Instance) -> dict[str, str]:
    """The variables that keep a server within `instance`, and have it run the source that was copied there, if any."""
    temporary, logs = str(instance.temporary), str(instance.logs)
    environ = {"TMPDIR": temporary, "TEMP": temporary, "LOG_LOCATION": logs, "METRICS_LOCATION": logs}
    if source_copy(instance).exists():
        environ["PYTHONPATH"] = str(source_copy(instance))
    return environ


def copy_source(source: SourceBuild, instance: Instance) -> None:
    """Give `instance` its own copy of a server built from source, and what building it printed."""
    shutil.copytree(source.root / "mms", source_copy(instance) / "mms")
    shutil.copyfile(source.root / BUILD_LOG, instance.logs / BUILD_LOG)


def source_copy(instance: Instance) -> Path:
    """The folder to import a server built from source from, in `instance`."""
    return instance.root / "source"
