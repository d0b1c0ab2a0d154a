"""The launcher *docker* against a real daemon: our image, another's, a checkout in it, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servemark.environments.cache import cache_dir
from servemark.environments.docker_cli import docker_engine, inspect_image
from servemark.environments.mms import MmsEnvironment
from servemark.environments.mms_image import our_image
from servemark.errors import ModelError, ServerDiedError, ServerStartError, SetupError
from servemark.servers import ModelSettings, ServerSettings
from servemark.servers.http.connection import send_once
from servemark.servers.mms.archives import ModelArchive, ServeRequest, accept_any
from servemark.servers.mms.managed import ManagedLauncher
from servemark.servers.mms.sites.docker import LABEL, DockerLauncher
from servemark.workload.inputs import Input
from servemark.workload.scenario import Request
from servemark.zoo.catalogue import find
from servemark.zoo.custom_model import custom_model
from servemark.zoo.model_source import model_source

from ..processes import wait_until
from .conftest import BROKEN_IMPORT
from .docker_daemon import docker_daemon
from .predicting import prediction_of
from .stand_in_checkout import builds, make_checkout, mark_java

pytestmark = pytest.mark.slow

#: A handler that says where it runs, and tries to write into the model store.
TELLING = """
import os, mms

def handle(data, context):
    if data is None:
        return None
    store = data[0]["body"]
    store = store.decode() if isinstance(store, (bytes, bytearray)) else store
    try:
        open(os.path.join(store, "written"), "w")
        written = "written"
    except OSError as error:
        written = type(error).__name__ + str(error.errno)
    return [f"{os.path.exists('/.dockerenv')} {written} {os.getuid()} {mms.__file__}"]
"""


@pytest.fixture(scope="module", autouse=True)
def daemon() -> Iterator[None]:
    with docker_daemon() as environ, pytest.MonkeyPatch.context() as patched:
        for key, value in environ.items():
            patched.setenv(key, value)
        yield
        assert containers() == []


@pytest.fixture(scope="module")
def image(daemon: None, environment: MmsEnvironment) -> str:
    """Our image, built as on first use."""
    return our_image(environment, docker_engine(), print).name


BREAKING = "printf '#!/bin/sh\\necho E: as ordered; exit 7' > /usr/local/bin/{0} && chmod +x /usr/local/bin/{0}"


def docker(*words: str, stdin: str | None = None) -> str:
    ran = subprocess.run(["docker", *words], check=True, capture_output=True, text=True, timeout=120, input=stdin)
    return ran.stdout.strip()


def containers() -> list[str]:
    return docker("ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}}").split()


@contextmanager
def derived(name: str, *instructions: str) -> Iterator[str]:
    """An image of these lines of a Dockerfile, removed at the end."""
    docker("build", "--network", "host", "--tag", name, "-", stdin="\n".join(instructions))
    try:
        yield name
    finally:
        docker("image", "rm", name)


@pytest.fixture
def telling(make_archive: Callable[[str, str], Path]) -> ModelArchive:
    return ModelArchive("telling", make_archive("telling", TELLING), (Input(b"/", "text/plain", "test"),), accept_any)


def test_a_model_is_served_from_our_image_and_nothing_is_left(
    image: str, telling: ModelArchive, tmp_path: Path
) -> None:
    lines: list[str] = []
    with DockerLauncher(ServeRequest((telling,), log=lines.append)).serve(ServerSettings(job_queue_size=7)) as server:
        root = server._mms.instance.root
        assert containers() == [f"servemark-{root.name}"]
        with server.serve_models(ModelSettings(workers=2, batch_size=3)) as (served,):
            assert served.read_back["workers"] == 2
            assert server.failure() is None
            names = {process.name() for process in server.processes()}
            assert {"java", "python3"} <= names
            store = Input(str(root / "store").encode(), "text/plain", "test")
            request = Request("POST", "/predictions/telling", (("Content-Type", "text/plain"),), store.body)
            told = send_once(server.addresses["inference"], request, 10).text.split()
        assert told == ["True", "OSError30", str(os.getuid()), "/opt/mms/mms/__init__.py"]  # Read-only file system.
        server.save_logs(tmp_path / "server")
        assert server.launcher == "docker"
        assert server.version == "1.1.11"
        assert server.facts["job_queue_size"] == 7
        assert server.facts["java"] == "25.0.2"
        container = server.facts["container"]
        assert container["image"] == image
        assert container["image_id"].startswith("sha256:")
        assert container["command"][:2] == ["docker", "create"]
    assert "Model server started." in (tmp_path / "server" / "output.log").read_text()
    assert "Model telling loaded" in (tmp_path / "server" / "mms_log.log").read_text()
    assert any(line.startswith("command: docker create --name") for line in lines)
    assert containers() == []
    assert not root.exists()


def test_a_zoo_model_answers_right_in_our_image(image: str, environment: MmsEnvironment) -> None:
    launcher = DockerLauncher(ServeRequest((find("squeezenet"),)))
    with launcher.serve(ServerSettings()) as server, server.serve_models(ModelSettings(workers=1)) as (served,):
        assert served.backend == server.facts["backend"] == environment.backend


def test_the_image_is_built_once(image: str) -> None:
    made = inspect_image(image)
    notes: list[str] = []
    with DockerLauncher(ServeRequest(progress=notes.append)).serve(ServerSettings()):
        pass
    assert inspect_image(image) == made
    assert notes == ["starting Multi Model Server"]


def test_a_build_that_fails_says_why_and_leaves_no_container(
    image: str, environment: MmsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = docker("ps", "--all", "--quiet")
    # Neither has it what is needed, nor can that be installed.
    instructions = (f"FROM {image}", *(f"RUN {BREAKING.format(program)}" for program in ("apt-get", "python3")))
    with derived("servemark-test/broken:1", *instructions) as base:
        monkeypatch.setenv("SERVEMARK_DOCKER_BASE", base)
        with pytest.raises(SetupError) as error:
            our_image(environment, docker_engine(), print)
    assert error.value.cause == "E: as ordered"
    assert docker("ps", "--all", "--quiet") == before


def test_the_cache_may_have_a_comma_and_a_space_in_its_path(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "a, b"
    cache.mkdir()
    (cache / "environments").symlink_to(cache_dir() / "environments")
    monkeypatch.setenv("SERVEMARK_CACHE", str(cache))
    with DockerLauncher(ServeRequest()).serve(ServerSettings()) as server:
        assert server._mms.instance.root.is_relative_to(cache)


def test_a_server_that_speaks_https_runs_in_it_too(image: str) -> None:
    with DockerLauncher(ServeRequest(tls=True)).serve(ServerSettings()) as server:
        assert server.certificate is not None
        assert send_once(server.addresses["inference"], Request("GET", "/ping"), 10).status == 200


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_exception_in_the_body_removes_the_container(image: str, error: type[BaseException]) -> None:
    with pytest.raises(error), DockerLauncher(ServeRequest()).serve(ServerSettings()):
        raise error
    assert containers() == []


def test_a_container_killed_in_use_is_a_failure(image: str) -> None:
    with DockerLauncher(ServeRequest()).serve(ServerSettings()) as server:
        docker("kill", *containers())
        wait_until(server.failure, 15)
        failure = server.failure()
        assert isinstance(failure, ServerDiedError)
        assert "exit status 137" in str(failure)


OWNER = """
import time
from servemark.servers import ServerSettings
from servemark.servers.mms.sites.docker import DockerLauncher
from servemark.servers.mms.archives import ServeRequest

with DockerLauncher(ServeRequest()).serve(ServerSettings()):
    print("up", flush=True)
    time.sleep(120)
"""


def test_a_container_whose_owner_was_killed_is_removed_by_the_next_run(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A cache of its own: any other servemark would clean up, too.
    (tmp_path / "environments").symlink_to(cache_dir() / "environments")
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(OWNER)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        owner.kill()
    (left,) = containers()
    notes: list[str] = []
    with ManagedLauncher(ServeRequest(progress=notes.append)).serve(ServerSettings()):
        assert containers() == []
    assert any(left.removeprefix("servemark-") in note for note in notes)
    assert not (cache_dir() / "instances" / left.removeprefix("servemark-")).exists()


def test_a_model_that_cannot_be_imported_there_is_named_with_the_reason(
    image: str, make_archive: Callable[[str, str], Path]
) -> None:
    archive = make_archive("broken-import", BROKEN_IMPORT)
    model = ModelArchive("broken-import", archive, (Input(b"x", "text/plain", "test"),), accept_any)
    with (
        DockerLauncher(ServeRequest((model,))).serve(ServerSettings()) as server,
        pytest.raises(ModelError, match="No module named 'a_package_that_is_not_there'"),
        server.serve_models(ModelSettings(workers=1)),
    ):
        pass


def test_what_is_preloaded_is_proved_and_measured_in_the_image_first(
    image: str, make_archive: Callable[[str, str], Path]
) -> None:
    text = (Input(b"/", "text/plain", "test"),)
    preloading = ServerSettings(preload_model=True)
    telling = ModelArchive("telling", make_archive("telling", TELLING), text, accept_any)
    launcher = DockerLauncher(ServeRequest((telling,)))
    (memory,) = launcher.worker_memory(preloading).values()
    assert 1 << 20 < memory.forked_bytes < memory.alone_bytes < 100 << 20
    with launcher.serve(preloading) as server, server.serve_models(ModelSettings(workers=2)) as (served,):
        assert send_once(server.addresses["inference"], prediction_of(server, served), 10).text.startswith("True ")
        held = server.memory_bytes()
        assert held is not None
        assert held > 50 << 20
    broken = ModelArchive("broken", make_archive("broken", BROKEN_IMPORT), text, accept_any)
    with (
        pytest.raises(ModelError, match="cannot load the model broken: ModuleNotFoundError"),
        DockerLauncher(ServeRequest((broken,))).serve(preloading),
    ):
        pass
    assert docker("ps", "--all", "--filter", "name=servemark-memory", "--format", "{{.Names}}") == ""


def test_another_image_with_the_server_on_its_path(image: str, telling: ModelArchive) -> None:
    instructions = (f"FROM {image}", 'ENTRYPOINT ["tail", "-f", "/dev/null"]')
    with (
        derived("servemark-test/theirs:1", *instructions) as theirs,
        DockerLauncher(ServeRequest((telling,)), image=theirs).serve(ServerSettings()) as server,
        server.serve_models(ModelSettings(workers=1)),
    ):
        assert server.facts["container"]["image"] == theirs
        assert server.facts["backend"] is None
        assert server.version == "1.1.11"


def test_another_image_with_the_server_as_its_entrypoint(image: str) -> None:
    with DockerLauncher(ServeRequest(), image=image).serve(ServerSettings()) as server:
        assert server.facts["container"]["image"] == image


def test_another_image_without_the_server_is_told_so(daemon: None) -> None:
    with (
        pytest.raises(ServerStartError, match="ImageError: this image has no multi-model-server on its PATH"),
        DockerLauncher(ServeRequest(), image=os.environ["SERVEMARK_DOCKER_BASE"]).serve(ServerSettings()),
    ):
        pass
    assert containers() == []


def test_an_image_that_is_nowhere_is_named(daemon: None) -> None:
    launcher = DockerLauncher(ServeRequest(), image="servemark-test/nowhere:1")
    with (
        pytest.raises(SetupError, match="cannot get the image servemark-test/nowhere:1"),
        launcher.serve(ServerSettings()),
    ):
        pass


@pytest.mark.skipif(shutil.which("javac") is None, reason="no javac on PATH")
@pytest.mark.usefixtures("forgotten_builds")
@pytest.mark.parametrize("in_other_image", [False, True])
def test_a_checkout_is_built_here_and_run_in_the_container(
    image: str, telling: ModelArchive, environment: MmsEnvironment, tmp_path: Path, in_other_image: bool
) -> None:
    checkout = make_checkout(tmp_path / "checkout", environment)
    launcher = DockerLauncher(ServeRequest((telling,)), image=image if in_other_image else None, source=checkout)
    for marker in ("first", "second"):
        mark_java(checkout, marker)
        with launcher.serve(ServerSettings()) as server, server.serve_models(ModelSettings(workers=1)) as (served,):
            answer = send_once(server.addresses["management"], Request("GET", "/lab-build"), 10)
            assert answer.text == marker
            assert server.facts["source"]["path"] == str(checkout)
            told = send_once(server.addresses["inference"], prediction_of(server, served), 10).text
            assert told.startswith("True ")
            assert told.endswith(f"{server._mms.instance.root}/source/mms/__init__.py")
    assert builds(checkout) == 2


def test_an_archive_of_the_users_runs_in_a_container_and_what_it_lacks_is_named(
    make_archive: Callable[[str, str], Path], tmp_path: Path
) -> None:
    def launcher(archive: Path) -> DockerLauncher:
        model = custom_model(model_source(str(archive)), print)
        return DockerLauncher(ServeRequest((model,), inputs=(Input(str(tmp_path).encode(), "text/plain", "test"),)))

    with (
        launcher(make_archive("telling", TELLING)).serve(ServerSettings()) as server,
        server.serve_models(ModelSettings(workers=1)) as (served,),
    ):
        assert served.origin is not None
        assert served.origin["format"] == "mar"
        assert send_once(server.addresses["inference"], prediction_of(server, served), 30).body.startswith(b"True ")
    with (
        launcher(make_archive("needy", BROKEN_IMPORT)).serve(ServerSettings()) as server,
        pytest.raises(ModelError) as error,
        server.serve_models(ModelSettings(workers=1)),
    ):
        pass
    assert str(error.value) == (
        "No module named 'a_package_that_is_not_there' (the handler of needy imports it); "
        "give -d IMAGE, an image whose Python has it"
    )
