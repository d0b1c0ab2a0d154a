"""The launcher *source* against real builds and real servers: what is in the checkout is what is measured."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from servemark.environments import source
from servemark.environments.cache import cache_dir
from servemark.environments.mms import MmsEnvironment
from servemark.errors import ModelError, ServerStartError, SetupError
from servemark.servers import ModelSettings, ServerSettings
from servemark.servers.http.connection import send_once
from servemark.servers.mms.archives import ModelArchive, ServeRequest, accept_any
from servemark.servers.mms.managed import ManagedServer
from servemark.servers.mms.sites.source import SourceLauncher
from servemark.workload.inputs import Input
from servemark.workload.scenario import Request

from .predicting import prediction_of
from .stand_in_checkout import (
    break_java,
    builds,
    make_checkout,
    make_gradle_checkout,
    mark_archive,
    mark_java,
    mark_python,
)

needs_javac = pytest.mark.skipif(shutil.which("javac") is None, reason="no javac on PATH")
needs_maven = pytest.mark.skipif(shutil.which("mvn") is None, reason="no mvn on PATH")
#: The JDKs of this machine where Debian has them; None is the one on PATH.
JDKS = sorted({path.resolve().parents[1] for path in Path("/usr/lib/jvm").glob("*/bin/javac")}) or [None]
pytestmark = [pytest.mark.slow, needs_javac, pytest.mark.usefixtures("forgotten_builds")]

#: A handler that tells which ``mms`` its worker runs.
TELLING = """
import mms, mms.lab

def handle(data, context):
    return [f"{mms.lab.MARKER} {mms.__file__}"] if data else None
"""


@pytest.fixture
def checkout(tmp_path: Path, environment: MmsEnvironment) -> Path:
    return make_checkout(tmp_path / "a checkout", environment)


def lab_build(server: ManagedServer) -> str:
    return send_once(server.addresses["management"], Request("GET", "/lab-build"), 10).text


def ask(server: ManagedServer) -> str:
    with server.serve_models(ModelSettings(workers=1)) as (served,):
        return send_once(server.addresses["inference"], prediction_of(server, served), 10).text


@pytest.fixture
def telling(make_archive: Callable[[str, str], Path]) -> ModelArchive:
    return ModelArchive("telling", make_archive("telling", TELLING), (Input(b"x", "text/plain", "test"),), accept_any)


def test_what_is_edited_between_two_starts_is_served_and_nothing_is_built_twice(
    checkout: Path, telling: ModelArchive
) -> None:
    notes: list[str] = []
    lines: list[str] = []
    launcher = SourceLauncher(checkout, ServeRequest((telling,), progress=notes.append, log=lines.append))
    with launcher.serve(ServerSettings()) as server:
        assert server.launcher == "source"
        assert lab_build(server) == "first"
        marker, _, module = ask(server).partition(" ")
        assert marker == "first"
        assert str(server._mms.instance.root) in module
    assert f"building Multi Model Server from {checkout} ({source.DEFAULT_BUILD_COMMAND})" in notes
    assert f"command: {source.DEFAULT_BUILD_COMMAND}" in lines

    with launcher.serve(ServerSettings()) as server:
        assert lab_build(server) == "first"
    assert builds(checkout) == 1

    mark_java(checkout, "second")
    mark_python(checkout, "third")
    with launcher.serve(ServerSettings()) as server:
        assert lab_build(server) == "second"
        assert ask(server).startswith("third ")
    assert builds(checkout) == 2


def test_an_edit_while_a_server_runs_does_not_reach_it(checkout: Path, telling: ModelArchive) -> None:
    with SourceLauncher(checkout, ServeRequest((telling,))).serve(ServerSettings()) as server:
        mark_python(checkout, "edited")
        shutil.rmtree(cache_dir() / "sources", ignore_errors=True)
        assert ask(server).startswith("first ")


def test_a_compile_error_shows_the_compilers_lines_and_starts_nothing(checkout: Path) -> None:
    launcher = SourceLauncher(checkout, ServeRequest())
    with launcher.serve(ServerSettings()):
        pass
    break_java(checkout)
    for _ in range(2):
        with pytest.raises(SetupError) as error, launcher.serve(ServerSettings()):
            pytest.fail("an old jar was started")
        assert error.value.exit_status == 4
        assert "LabBuild.java:" in str(error.value)
        assert "error: ';' expected" in str(error.value)
        assert "setStatus(200)" in error.value.detail
        assert "FAILURE: Build failed" in error.value.detail
    assert builds(checkout) == 3
    mark_java(checkout, "mended")
    with launcher.serve(ServerSettings()) as server:
        assert lab_build(server) == "mended"


def test_the_facts_say_what_was_built_of_what(checkout: Path) -> None:
    def git(*words: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
        command = ["git", *identity, *words]
        return subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True).stdout.strip()

    launcher = SourceLauncher(checkout, ServeRequest())
    with launcher.serve(ServerSettings()) as server:
        facts = server.facts["source"]
        assert (facts["commit"], facts["dirty"]) == (None, None)
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    with launcher.serve(ServerSettings()) as server:
        facts = server.facts["source"]
        assert (facts["commit"], facts["dirty"]) == (git("rev-parse", "HEAD"), False)
        assert facts["path"] == str(checkout)
        assert len(facts["jar_sha256"]) == len(facts["sources_sha256"]) == 64
        assert facts["build_java"].split(".")[0].isdigit()
        assert server.facts["java"] != facts["build_java"]
        assert server.version == "1.1.11"
    # What was there before: the build itself leaves nothing else.
    assert git("status", "--porcelain") == ""
    mark_java(checkout, "second")
    with launcher.serve(ServerSettings()) as server:
        assert server.facts["source"]["dirty"] is True
        assert server.facts["source"]["jar_sha256"] != facts["jar_sha256"]


def test_python_that_cannot_be_imported_is_named(checkout: Path) -> None:
    with (checkout / "mms" / "arg_parser.py").open("a") as file:
        file.write("\nimport a_package_that_is_not_there\n")
    launcher = SourceLauncher(checkout, ServeRequest())
    with pytest.raises(ServerStartError, match="a_package_that_is_not_there"), launcher.serve(ServerSettings()):
        pass


def test_a_model_that_cannot_be_loaded_is_explained_by_the_sources_python(
    checkout: Path, make_archive: Callable[[str, str], Path]
) -> None:
    archive = make_archive("refusing", "import mms.lab\nraise RuntimeError(mms.lab.MARKER)\n")
    model = ModelArchive("refusing", archive, (Input(b"x", "text/plain", "test"),), accept_any)
    with (
        SourceLauncher(checkout, ServeRequest((model,))).serve(ServerSettings()) as server,
        pytest.raises(ModelError, match="RuntimeError: first"),
        server.serve_models(ModelSettings(workers=1)),
    ):
        pass


def test_another_build_command_replaces_gradle(checkout: Path) -> None:
    gradle = "sh frontend/gradlew -p frontend :server:jar"
    command = f"{gradle} && mkdir -p mms/frontend && mv frontend/server/build/libs/*.jar mms/frontend/model-server.jar"
    launcher = SourceLauncher(checkout, ServeRequest(), build_command=command)
    with launcher.serve(ServerSettings()) as server:
        assert lab_build(server) == "first"
        assert server.facts["source"]["build_command"] == command


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@needs_maven
@pytest.mark.parametrize("jdk", JDKS, ids=lambda jdk: jdk.name if jdk else "PATH")
def test_where_its_gradle_cannot_run_javac_and_maven_build_the_same_server(
    tmp_path: Path, environment: MmsEnvironment, monkeypatch: pytest.MonkeyPatch, jdk: Path | None
) -> None:
    if jdk:
        monkeypatch.setenv("JAVA_HOME", str(jdk))
    checkout = make_gradle_checkout(tmp_path / "a checkout", environment)
    before = contents(checkout)
    notes: list[str] = []
    launcher = SourceLauncher(checkout, ServeRequest(progress=notes.append))
    with launcher.serve(ServerSettings()) as server:
        assert lab_build(server) == "first"
        facts = server.facts["source"]
        version = facts["build_java"]
        reason = f"its Gradle 4.9 runs on Java 10 at most, and this is JDK {version}"
        if int(version.split(".")[0]) > 10:
            assert facts["without_gradle"] == reason
            told = f"building Multi Model Server from {checkout} without its Gradle, by javac and Maven: {reason}"
            assert notes.count(told) == 1
            assert facts["build_command"].startswith("javac --release 8,")
        assert {"netty-all-4.1.109.Final.jar", "log4j-core-2.17.1.jar", "gson-2.8.9.jar"} <= set(facts["build_jars"])
        assert not any("testng" in name for name in facts["build_jars"])
        assert "$ javac " in (server._mms.instance.logs / "build.log").read_text()
    assert contents(checkout) == before, "it left something in the checkout"
    first = facts["jar_sha256"]

    mark_archive(checkout, "second")
    with launcher.serve(ServerSettings()) as server:
        assert lab_build(server) == "second"
    mark_archive(checkout, "first")
    shutil.rmtree(cache_dir() / "sources", ignore_errors=True)
    with launcher.serve(ServerSettings()) as server:
        assert lab_build(server) == "first"
        assert server.facts["source"]["jar_sha256"] == first, "the same sources make the same jar"


@needs_maven
def test_an_error_of_javac_alone_is_shown_as_gradles_is(tmp_path: Path, environment: MmsEnvironment) -> None:
    checkout = make_gradle_checkout(tmp_path / "checkout", environment)
    break_java(checkout)
    with pytest.raises(SetupError) as error, SourceLauncher(checkout, ServeRequest()).serve(ServerSettings()):
        pass
    line = "frontend/server/src/main/java/lab/LabBuild.java:17: error: ';' expected"
    assert error.value.cause == line
    assert error.value.detail.splitlines()[0] == line
    assert error.value.log.startswith("$ javac ")
