"""Real servers for the contract tests. One is started for the session, of each kind; tests leave them as they were."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from servemark.environments.cache import cache_dir
from servemark.environments.mms import MmsEnvironment, mms_environment
from servemark.errors import ManagementError
from servemark.servers import ServerSettings
from servemark.servers.mms.archives import ModelArchive, ServeRequest, accept_any
from servemark.servers.mms.managed import ManagedLauncher, ManagedServer
from servemark.servers.mms.management import ManagementClient
from servemark.workload.inputs import Input
from servemark.zoo.pack.mar import write_archive

from ..caches import fresh_cache

#: The queue of the session's servers, so small that it can be filled.
QUEUE = 2

#: A handler that does what the request's body says.
OBEDIENT = """
import os, time

def handle(data, context):
    if data is None:
        return None
    order = data[0].get("body")
    order = order.decode() if isinstance(order, (bytes, bytearray)) else order
    if order == "raise":
        raise RuntimeError("as ordered")
    if order == "memory":
        raise MemoryError
    if order == "die":
        os._exit(3)
    if order == "sleep":
        time.sleep(1)
    if order == "header":
        return [context.get_request_header(0, "X-Tenant")]
    return ["OK"] * (len(data) + (order == "too many"))
"""
BROKEN_IMPORT = "import a_package_that_is_not_there\n\ndef handle(data, context):\n    return ['OK']\n"


@pytest.fixture(scope="session", autouse=True)
def cache_of_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where several processes test at once each has a cache, or they would find each other's servers and builds."""
    with pytest.MonkeyPatch.context() as patch:
        if "PYTEST_XDIST_WORKER" in os.environ:
            parts = ("environments", "zoo", "memory")
            own = fresh_cache(tmp_path_factory.mktemp("worker"), parts, short_java=True)
            patch.setenv("SERVEMARK_CACHE", str(own))
        yield


@pytest.fixture(scope="session")
def environment() -> MmsEnvironment:
    return mms_environment(None, print)


@pytest.fixture(scope="session")
def make_archive(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Makes NAME.mar whose handler is the given Python."""

    def make(name: str, source: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        handler = folder / "service.py"
        handler.write_text(source, encoding="utf-8")
        archive = folder / f"{name}.mar"
        write_archive(archive, model_name=name, handler="service:handle", files={"service.py": handler})
        return archive

    return make


@pytest.fixture(scope="session")
def obedient(make_archive: Callable[[str, str], Path]) -> ModelArchive:
    """A model that fails on demand."""
    archive = make_archive("obedient", OBEDIENT)
    return ModelArchive("obedient", archive, (Input(b"work", "text/plain", "test"),), accept_any)


@pytest.fixture(scope="session")
def server(obedient: ModelArchive) -> Iterator[ManagedServer]:
    """A server without models, over plain HTTP."""
    with ManagedLauncher(ServeRequest((obedient,))).serve(ServerSettings(job_queue_size=QUEUE)) as started:
        yield started


@pytest.fixture(scope="session")
def tls_server(obedient: ModelArchive) -> Iterator[ManagedServer]:
    """A server without models, over https with a certificate signed by itself."""
    with ManagedLauncher(ServeRequest((obedient,), tls=True)).serve(ServerSettings(job_queue_size=QUEUE)) as started:
        yield started


@pytest.fixture
def management(server: ManagedServer) -> Iterator[ManagementClient]:
    """The management API of the session's server, which has no model before and after."""
    with ManagementClient(server.addresses["management"]) as client:
        yield client
        for model in client.list_models():
            # A model whose workers do not start is removed by the server itself, a while after it has said so.
            with suppress(ManagementError):
                client.unregister(model.name)
        assert client.list_models() == ()


@pytest.fixture
def forgotten_builds() -> Iterator[None]:
    """Afterwards the cache has no build from source that it did not have before."""
    before = set(cache_dir().glob("sources/*"))
    yield
    for path in set(cache_dir().glob("sources/*")) - before:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def session_processes() -> Callable[[int], list[psutil.Process]]:
    """Finds the living processes of a session or process group."""

    def find(session: int) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                in_it = os.getsid(process.pid) == session or os.getpgid(process.pid) == session
                if in_it and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (ProcessLookupError, psutil.Error):
                continue
        return found

    return find
