"""What of building a server from source needs no server: what a checkout is, and when it is built."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from servemark.environments import source
from servemark.environments.cache import cache_dir
from servemark.environments.source import SourceBuild, build_source, check_checkout, find_checkout, find_jdk
from servemark.errors import SetupError, UsageError
from servemark.servers.servable import Serving
from servemark.servers.source import SourceLauncher

JAR = "frontend/server/build/libs/server-1.0.jar"
#: Builds a jar that says what was in a source.
BUILD = f"mkdir -p frontend/server/build/libs; cp frontend/Server.java {JAR}; echo built >> builds.log"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for part in ("setup.py", "mms/__init__.py", "mms/model_server.py", "frontend/gradlew", "frontend/Server.java"):
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        (root / part).write_text(part)
    (root / "mms" / "version.py").write_text("__version__ = '1.2.3'\n")
    return root


def build(checkout: Path, command: str = BUILD) -> SourceBuild:
    return build_source(checkout, command, lambda _: None)


def builds(checkout: Path) -> int:
    return len((checkout / "builds.log").read_text().splitlines())


def jar(built: SourceBuild) -> str:
    return (built.root / "mms/frontend/model-server.jar").read_text()


def test_what_is_no_checkout_is_told_what_it_lacks(tmp_path: Path, checkout: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        check_checkout(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"no setup\.py and no mms/__init__\.py and no mms/model_server\.py"):
        SourceLauncher(tmp_path, Serving())
    (checkout / "frontend/gradlew").unlink()
    with pytest.raises(UsageError, match="it has no frontend/gradlew"):
        SourceLauncher(checkout, Serving())
    SourceLauncher(checkout, Serving(), build_command="make")


def test_a_checkout_is_found_from_within(tmp_path: Path, checkout: Path) -> None:
    assert find_checkout(checkout) == find_checkout(checkout / "frontend") == checkout
    assert find_checkout(tmp_path) is None


def test_unchanged_sources_are_not_built_again(checkout: Path) -> None:
    first = build(checkout)
    assert jar(first) == "frontend/Server.java"
    assert first.version == "1.2.3"
    os.utime(checkout / "frontend/Server.java")
    assert build(checkout) == first
    assert builds(checkout) == 1


@pytest.mark.parametrize(
    "part", ["setup.py", "mms/new.py", "frontend/src/build/New.java", "serving-sdk/X.java", "plugins/build.gradle"]
)
def test_every_change_of_a_source_is_noticed(checkout: Path, part: str) -> None:
    first = build(checkout)
    path = checkout / part
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("new")
    second = build(checkout)
    assert second.facts["sources_sha256"] != first.facts["sources_sha256"]
    if before is None:
        path.unlink()
    else:
        path.write_text(before)
    build(checkout)
    assert builds(checkout) == 2, "what was built before is still there"


@pytest.mark.parametrize(
    "part",
    [
        "frontend/build/x",
        "frontend/.gradle/x",
        "mms/__pycache__/x.pyc",
        "mms/frontend/x.jar",
        "docs/x",
        "logs/x",
        "mms/servemark-results/x",
    ],
)
def test_what_builds_and_servers_leave_is_no_change(checkout: Path, part: str) -> None:
    build(checkout)
    (checkout / part).parent.mkdir(parents=True, exist_ok=True)
    (checkout / part).write_text("new")
    build(checkout)
    assert builds(checkout) == 1


def test_another_command_or_jdk_builds_again(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(checkout)
    build(checkout, BUILD + "; true")
    monkeypatch.setattr(source, "find_jdk", lambda: source.Jdk(Path("/jdk"), "8"))
    assert build(checkout).facts["build_java"] == "8"
    assert builds(checkout) == 3


def test_a_failed_build_serves_no_older_jar(checkout: Path) -> None:
    build(checkout)
    (checkout / "frontend/Server.java").write_text("broken")
    failing = "for n in 1 2 3; do echo line $n; done; echo 'Server.java:7: error: no such thing'; echo FAILED; exit 1"
    with pytest.raises(SetupError) as error:
        build(checkout, failing)
    assert "Server.java:7: error: no such thing" in str(error.value)
    assert error.value.detail.splitlines()[-1] == "FAILED"
    with pytest.raises(SetupError, match=r"left no new jar in frontend/server/build/libs"):
        build(checkout, "true")


def test_a_jar_that_setup_py_installed_before_is_not_taken_for_new(checkout: Path) -> None:
    installed = checkout / "mms/frontend/model-server.jar"
    installed.parent.mkdir()
    installed.write_text("old")
    with pytest.raises(SetupError, match="made no server"):
        build(checkout, "true")
    assert jar(build(checkout, "echo new > mms/frontend/model-server.jar")) == "new\n"


def test_a_source_edited_while_it_is_built_is_built_again(checkout: Path) -> None:
    once = "test -f edited || echo edited >> frontend/Server.java; touch edited; "
    assert jar(build(checkout, BUILD + "; " + once)) == "frontend/Server.javaedited\n"
    assert builds(checkout) == 2
    with pytest.raises(SetupError, match="changed while it was built, 3 times"):
        build(checkout, BUILD + "; echo again >> frontend/Server.java")


def test_only_the_last_builds_are_kept(checkout: Path) -> None:
    for number in range(7):
        (checkout / "frontend/Server.java").write_text(str(number))
        built = build(checkout)
        os.utime(built.root, (number, number))
    kept = [path for path in (cache_dir() / "sources").iterdir() if path.is_dir()]
    assert len(kept) == 4
    assert jar(build(checkout)) == "6"


def test_without_a_jdk_the_default_build_says_which_to_install(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert find_jdk() is None
    with pytest.raises(SetupError, match="no javac in JAVA_HOME or on PATH; install one"):
        build_source(checkout, None, lambda _: None)


def test_java_home_comes_before_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    javac = tmp_path / "jdk/bin/javac"
    javac.parent.mkdir(parents=True)
    javac.write_text("#!/bin/sh\necho javac 1.8.0_412\n")
    javac.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert find_jdk() == source.Jdk(tmp_path / "jdk", "1.8.0_412")


def test_the_build_sees_its_jdk_and_leaves_no_gradle_daemon(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "find_jdk", lambda: source.Jdk(Path("/some/jdk"), "8"))
    told = f"echo $JAVA_HOME $GRADLE_OPTS > {JAR}"
    assert jar(build(checkout, f"mkdir -p frontend/server/build/libs; {told}")).split() == [
        "/some/jdk",
        "-Dorg.gradle.daemon=false",
    ]
