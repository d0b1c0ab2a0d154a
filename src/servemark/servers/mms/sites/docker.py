"""The launcher *docker*: the launcher *managed* with its server in a container, on this machine's network.

The container sees the instance's directory under the same path, its model store read-only, so configuration and logs
are where those of any server of ours are. It is recorded there before it is made: whoever finds the instance without
its owner removes the container, too.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from servemark.environments.commands import Finished, finish
from servemark.environments.docker_cli import (
    DockerEngine,
    create_container,
    docker_engine,
    docker_error,
    new_container,
    remove_container,
)
from servemark.environments.mms import MmsEnvironment
from servemark.environments.mms_image import MmsImage, other_image, our_image
from servemark.environments.source import SourceBuild, build_source, check_checkout
from servemark.environments.variables import inherited, locale_for
from servemark.machine.memory import WorkerMemory
from servemark.machine.processes import stop_members
from servemark.servers import ServerSettings
from servemark.servers.mms import server_log
from servemark.servers.mms.archives import ServeRequest
from servemark.servers.mms.instance import Instance
from servemark.servers.mms.load_failure import load_outside
from servemark.servers.mms.managed import ManagedLauncher, ManagedServer
from servemark.servers.mms.sites.local import Start, copy_source, instance_environ, server_arguments, source_copy
from servemark.servers.mms.worker_memory import MEASURE_TIMEOUT_S, WorkerPython

LABEL = "servemark.instance"
_LOOK_TIMEOUT_S = 30.0
#: What ``docker start`` or podman's says when it was not the program that failed.
_NOT_STARTED = ("Error response from daemon", "Error: unable to start")
#: What the server prints once it listens on all its ports.
_STARTED = "Model server started."
_READ_BACK = """
import json, os, platform, re, subprocess
versions = {"python": platform.python_version()}
try:
    from importlib.metadata import PackageNotFoundError, version
except ImportError:
    version = None
for name in ("multi-model-server", "model-archiver", "mxnet", "onnxruntime", "onnxruntime-gpu", "numpy", "pillow"):
    try:
        versions[name] = version(name)
    except Exception:
        pass
home = os.environ.get("JAVA_HOME")
java = os.path.join(home, "bin", "java") if home else "java"
said = subprocess.run([java, "-version"], stderr=subprocess.STDOUT, stdout=subprocess.PIPE).stdout.decode()
found = re.search('version "([^"]+)', said)
if found:
    versions["java"] = found.group(1)
print(json.dumps(versions))
"""


class DockerLauncher:
    """Starts a server in a container of Docker, or of what answers as docker.

    Args:
        serving: what it serves, and how.
        image: its name; None is ours, built on first use. Another needs ``multi-model-server`` on its PATH or as its
            entrypoint, and for models of the zoo the runtime of their backend in the server's Python.
        source: a checkout of MMS that is built here and run in the container; None is the image's own server.
        build_command: for `source`; as for the launcher *source*.

    Raises:
        UsageError: `source` is no checkout; says what is missing.
    """

    def __init__(
        self,
        serving: ServeRequest,
        *,
        image: str | None = None,
        source: Path | None = None,
        build_command: str | None = None,
    ) -> None:
        self._serving = serving
        self._image = image
        self._source = check_checkout(source, own_build=build_command is not None) if source else None
        self._build_command = build_command

    @contextmanager
    def serve(self, settings: ServerSettings) -> Iterator[ManagedServer]:
        """A started server, in a container that is removed at the end, whatever happens.

        Raises:
            SetupError: Docker cannot be used, or the image, the source or the model could not be made; says the fix.
            DoesNotFitError: this machine has fewer GPUs than the settings ask for.
            ServerStartError: the server did not come up; `detail` has the end of its log.
        """
        with self._managed(settings).serve(settings) as server:
            yield server

    def worker_memory(self, settings: ServerSettings) -> Mapping[str, WorkerMemory]:
        """What a worker of each model costs in such a container; see ``servemark.servers.Launcher``."""
        return self._managed(settings).worker_memory(settings)

    def _managed(self, settings: ServerSettings) -> ManagedLauncher:
        progress, log = self._serving.progress, self._serving.log
        # First, because all else can take minutes.
        engine = docker_engine()
        other = other_image(self._image, progress) if self._image else None

        def make_site(environment: MmsEnvironment) -> ContainerSite:
            source = build_source(self._source, self._build_command, progress, log) if self._source else None
            image = other or our_image(environment, engine, progress)
            return ContainerSite(engine, image, environment.java_home, source, gpus=settings.gpus, log=log)

        return ManagedLauncher(self._serving, make_site=make_site)


class ContainerSite:
    """In a container of its own, which uses this machine's network: no proxy stands between it and the load."""

    launcher = "docker"

    def __init__(
        self,
        engine: DockerEngine,
        image: MmsImage,
        java_home: Path,
        source: SourceBuild | None = None,
        *,
        gpus: int = 0,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.java_home = java_home
        self._engine = engine
        self._image = image
        self._source = source
        self._gpus = gpus
        self._log = log

    def prepare(self, instance: Instance) -> Start:
        """Make the container; starting it, with its output passed on, is the command.

        Raises:
            SetupError: it cannot be made.
        """
        if self._source:
            copy_source(self._source, instance)
        container = new_container(_name(instance))
        container.record_in(instance.root)
        if self._log:
            self._log(f"command: docker {' '.join(self.create_command(instance))}")
        create_container(container, self._words(instance), what=f"make a container of the image {self._image.name}")
        return Start(("docker", "start", "--attach", container.name), inherited())

    def create_command(self, instance: Instance) -> list[str]:
        """The words after ``docker`` that make the container for `instance`."""
        return ["create", "--name", _name(instance), *self._words(instance)]

    def processes(self, instance: Instance) -> list[psutil.Process]:
        """The container's, as this machine sees them."""
        asked = finish(["docker", "inspect", "--format", "{{.State.Pid}}", _name(instance)], timeout_s=_LOOK_TIMEOUT_S)
        with suppress(psutil.Error, ValueError):
            first = psutil.Process(int(asked.output.strip() or 0))
            return [first, *first.children(recursive=True)] if first.pid else []
        return []

    def listens(self, instance: Instance, _host: str, _ports: Collection[int]) -> bool:
        """Whether it said so itself. Its processes may be another user's, whose ports cannot be looked at."""
        output = instance.logs / server_log.OUTPUT
        return output.exists() and _STARTED in output.read_text(encoding="utf-8", errors="replace")

    def stop(self, instance: Instance) -> None:
        """Remove the container, then what is left of the command that started it."""
        try:
            remove_container(new_container(_name(instance)))
        finally:
            stop_members(instance.root)

    def facts(self, instance: Instance) -> Mapping[str, object]:
        """What the container says is in it, and what it was made of."""
        container = {"image": self._image.name, "image_id": self._image.image_id, "engine": self._engine.version}
        versions = self._versions(instance)
        if self._source:
            versions["multi-model-server"] = self._source.version or "unknown"
        return {
            "backend": self._image.backend,
            "java": versions.get("java"),
            "versions": versions,
            "container": {**container, "command": ["docker", *self.create_command(instance)], "gpus": self._gpus},
            **({"source": self._source.facts} if self._source else {}),
        }

    def load_outside(self, archive: Path, instance: Instance) -> Finished | None:
        """In the container, in its Python."""
        return load_outside(_inside(instance), archive)

    def worker_python(self) -> WorkerPython:
        """The image's, in a container of its own, without a network and gone when it has answered."""
        root = self._source.root if self._source else None

        def run(arguments: Sequence[str | Path], files: Sequence[Path]) -> Finished:
            container = new_container(f"servemark-memory-{secrets.token_hex(4)}")
            options = ["--rm", "--init", "--network", "none", "--env", "HOME=/tmp", *self._access()]
            for folder in dict.fromkeys(file.parent for file in files):
                options += _mount(folder, ",readonly")
            if root:
                path = ":".join(filter(None, (str(root), self._image.python_path)))
                options += [*_mount(root, ",readonly"), "--env", f"PYTHONPATH={path}"]
            words = [*options, "--entrypoint", "python3", self._image.name, *map(str, arguments)]
            what = f"run a container of the image {self._image.name}"
            try:
                create_container(container, words, what=what)
                finished = finish(["docker", "start", "--attach", container.name], timeout_s=MEASURE_TIMEOUT_S)
            finally:
                remove_container(container)
            if finished.status and finished.output.startswith(_NOT_STARTED):
                raise docker_error(finished, what)
            return finished

        return WorkerPython(f"{self._image.image_id} {root.name if root else ''}", run)

    def _words(self, instance: Instance) -> list[str]:
        return [*self._options(instance), *self._program(instance)]

    def _options(self, instance: Instance) -> list[str]:
        options = ["--label", f"{LABEL}={instance.root}", "--rm", "--init", "--network", "host"]
        options += ["--workdir", str(instance.root)]
        for folder in dict.fromkeys((instance.root, instance.temporary)):
            options += _mount(folder)
        options += [*_mount(instance.store, ",readonly"), *self._access()]
        if self._gpus:
            options += ["--gpus", str(self._gpus)]
        for key, value in self._environ(instance).items():
            options += ["--env", f"{key}={value}"]
        return options

    def _access(self) -> list[str]:
        """The options with which a container reads and writes what we do."""
        options = []
        if not self._engine.rootless:
            # What it writes is ours. (Where the container's root is us already, another user would not be.)
            options += ["--user", f"{os.getuid()}:{os.getgid()}"]
        if "userns" in self._engine.security:
            options += ["--userns", "host"]
        if "selinux" in self._engine.security:
            options += ["--security-opt", "label=disable"]
        return options

    def _environ(self, instance: Instance) -> Mapping[str, str]:
        # Of the container's own locale nothing is known: images mostly have none.
        locale = locale_for(instance.root, {})
        environ = {**locale, **instance_environ(instance), "HOME": str(instance.temporary)}
        if self._source:
            environ["PYTHONPATH"] = ":".join(filter(None, (str(source_copy(instance)), self._image.python_path)))
        return environ

    def _program(self, instance: Instance) -> list[str]:
        entrypoint = ["--entrypoint", self._image.entrypoint] if self._image.entrypoint else []
        arguments = map(str, server_arguments(instance))
        return [*entrypoint, self._image.name, *self._image.arguments, *arguments]

    def _versions(self, instance: Instance) -> dict[str, str]:
        """What is installed in the container; empty when its Python cannot tell."""
        told = finish([*_inside(instance), "-c", _READ_BACK], timeout_s=_LOOK_TIMEOUT_S)
        lines = told.output.strip().splitlines()
        try:
            versions = json.loads(lines[-1]) if told.status == 0 and lines else {}
        except ValueError:
            return {}
        return {str(key): str(value) for key, value in versions.items()} if isinstance(versions, dict) else {}


def _name(instance: Instance) -> str:
    return f"servemark-{instance.root.name}"


def _inside(instance: Instance) -> tuple[str, ...]:
    """The command of the Python in the container."""
    return ("docker", "exec", _name(instance), "python3")


def _mount(folder: Path, mode: str = "") -> list[str]:
    # A line of CSV, where a comma or a quote in a path has to be quoted.
    path = str(folder).replace('"', '""')
    quote = '"' if path != str(folder) or "," in path else ""
    return ["--mount", f"type=bind,{quote}source={path}{quote},{quote}target={path}{quote}{mode}"]
