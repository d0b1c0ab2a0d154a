"""What of building a server from source needs no server: what a checkout is, and when it is built."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from servemark.environments import source
from servemark.environments.cache import cache_dir
from servemark.environments.jdk import Jdk, find_jdk
from servemark.environments.source import SourceBuild, build_source, check_checkout, find_checkout
from servemark.errors import SetupError, UsageError
from servemark.servers.mms.archives import ServeRequest
from servemark.servers.mms.sites.source import SourceLauncher

pytestmark = pytest.mark.seconds

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
        SourceLauncher(tmp_path, ServeRequest())
    (checkout / "frontend/gradlew").unlink()
    with pytest.raises(UsageError, match="it has no frontend/gradlew"):
        SourceLauncher(checkout, ServeRequest())
    SourceLauncher(checkout, ServeRequest(), build_command="make")


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
    monkeypatch.setattr(source, "find_jdk", lambda: Jdk(Path("/jdk"), "8"))
    assert build(checkout).facts["build_java"] == "8"
    assert builds(checkout) == 3


def test_a_failed_build_serves_no_older_jar(checkout: Path) -> None:
    build(checkout)
    (checkout / "frontend/Server.java").write_text("broken")
    failing = "for n in 1 2 3; do echo line $n; done; echo 'Server.java:7: error: no such thing'; echo FAILED; exit 1"
    with pytest.raises(SetupError) as error:
        build(checkout, failing)
    assert "Server.java:7: error: no such thing" in str(error.value)
    assert error.value.detail.splitlines() == ["Server.java:7: error: no such thing", "FAILED"]
    assert error.value.log.splitlines()[1:4] == ["line 1", "line 2", "line 3"]
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
    with pytest.raises(
        SetupError, match=r"no javac in JAVA_HOME or on PATH; run \./install_dependencies\.sh, or install one"
    ):
        build_source(checkout, None, lambda _: None)


def test_java_home_comes_before_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    javac = tmp_path / "jdk/bin/javac"
    javac.parent.mkdir(parents=True)
    javac.write_text("#!/bin/sh\necho javac 1.8.0_412\n")
    javac.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert find_jdk() == Jdk(tmp_path / "jdk", "1.8.0_412")


def test_the_build_sees_its_jdk_and_leaves_no_gradle_daemon(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "find_jdk", lambda: Jdk(Path("/some/jdk"), "8"))
    told = f"echo $JAVA_HOME $GRADLE_OPTS > {JAR}"
    assert jar(build(checkout, f"mkdir -p frontend/server/build/libs; {told}")).split() == [
        "/some/jdk",
        "-Dorg.gradle.daemon=false",
    ]


#: A script as Gradle's wrapper: only bash understands it, whatever its modes are.
WRAPPER = """#!/usr/bin/env bash
function built() { words=("$@"); }
built $*
[[ "${words[*]}" == "-p frontend :server:jar" ]] || exit 9
"""


@pytest.fixture
def jdk(monkeypatch: pytest.MonkeyPatch) -> Jdk:
    found = Jdk(Path("/jdk"), "17.0.15")
    monkeypatch.setattr(source, "find_jdk", lambda: found)
    return found


def write_wrapper(checkout: Path, script: str, *, executable: bool = True) -> None:
    path = checkout / "frontend" / "gradlew"
    path.write_text(WRAPPER + script)
    path.chmod(0o755 if executable else 0o644)


@pytest.mark.usefixtures("jdk")
@pytest.mark.parametrize("executable", [True, False])
def test_the_wrapper_runs_as_its_first_line_asks(checkout: Path, executable: bool) -> None:
    write_wrapper(checkout, BUILD, executable=executable)
    built = build_source(checkout, None, lambda _: None)
    assert jar(built) == "frontend/Server.java"
    assert built.facts["build_command"] == source.DEFAULT_BUILD_COMMAND
    assert built.facts["without_gradle"] is None
    assert (built.root / "build.log").read_text().splitlines()[0] == f"$ {source.DEFAULT_BUILD_COMMAND}"


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The checkouts that were built without Gradle: a stand-in only writes their jar."""
    built: list[Path] = []

    def build_jar(root, jdk, jar, work, progress, log):
        assert work.is_dir()
        built.append(root)
        jar.write_text("without Gradle")
        log.command("javac")
        return "javac and jars", ["netty.jar"]

    monkeypatch.setattr(source.without_gradle, "build_jar", build_jar)
    return built


@pytest.mark.usefixtures("jdk")
def test_a_wrapper_that_cannot_have_its_gradle_is_done_without_and_that_is_said(
    checkout: Path, without: list[Path]
) -> None:
    line = 'Exception in thread "main" java.net.UnknownHostException: services.gradle.org'
    write_wrapper(checkout, f"echo '{line}'; echo '    at java.net.Socket(Socket.java:1)'; exit 1")
    notes: list[str] = []
    built = build_source(checkout, None, notes.append)
    assert jar(built) == "without Gradle"
    assert notes == [
        f"building Multi Model Server from {checkout} ({source.DEFAULT_BUILD_COMMAND})",
        f"building Multi Model Server from {checkout} without its Gradle, by javac and Maven: {line}",
    ]
    again = build_source(checkout, None, notes.append)
    assert (len(notes), without) == (2, [checkout])
    for facts in (built.facts, again.facts):
        assert facts["without_gradle"] == line
        assert facts["build_command"] == "javac and jars"
        assert facts["build_jars"] == ["netty.jar"]
    assert (built.root / "build.log").read_text().splitlines()[1] == line, "what Gradle printed is kept, too"


@pytest.mark.usefixtures("jdk")
def test_a_build_that_gradle_fails_is_not_tried_otherwise(checkout: Path, without: list[Path]) -> None:
    write_wrapper(checkout, "echo 'Server.java:7: error: no such thing'; exit 1")
    with pytest.raises(SetupError, match=r"Server\.java:7: error: no such thing"):
        build_source(checkout, None, lambda _: None)
    assert without == []


@pytest.mark.usefixtures("jdk")
def test_a_command_of_the_users_is_not_replaced(checkout: Path, without: list[Path]) -> None:
    with pytest.raises(SetupError, match="UnknownHostException"):
        build(checkout, "echo java.net.UnknownHostException: x; exit 1")
    assert without == []


def _program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def mms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], SourceBuild]:
    """Builds a checkout with the build files of MMS, by a javac and a Maven that write down what they are asked."""
    root = tmp_path / "mms checkout"
    shutil.copytree(Path(__file__).parents[1] / "mms_checkout" / "frontend", root / "frontend")
    for name, text in {
        "setup.py": "",
        "mms/__init__.py": "",
        "mms/model_server.py": "",
        "frontend/modelarchive/src/main/java/a/Archive.java": "",
        "frontend/server/src/main/java/Server.java": "",
        "frontend/server/src/main/resources/META-INF/services/a.Service": "server.Own\n",
        "frontend/server/src/main/resources/both": "of the server",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    with zipfile.ZipFile(tmp_path / "netty.jar", "w") as made:
        for name in ("META-INF/MANIFEST.MF", "META-INF/x.SF", "META-INF/maven/pom.xml", "netty/A.class", "both"):
            made.writestr(name, "of netty")
        made.writestr("META-INF/services/a.Service", "netty.Own")
    _program(
        tmp_path / "bin" / "mvn",
        'for word in "$@"; do case "$word" in -DoutputDirectory=*) to="${word#*=}";; esac; done\n'
        f'cp {tmp_path}/netty.jar "$to/netty-all-4.jar"; echo "$JAVA_HOME" > {tmp_path}/maven',
    )
    _program(
        tmp_path / "jdk" / "bin" / "javac",
        f'echo "$@" >> {tmp_path}/javac; for word in "$@"; do file="${{word#@}}"; done\n'
        f'cat "$file" >> {tmp_path}/javac\n'
        'to=$(sed -n \'s/^"\\(.*\\/classes-.*\\)"$/\\1/p\' "$file" | tail -1)\n'
        'name=$(basename "$to"); echo "compiled $name" > "$to/$name.class"',
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(source, "find_jdk", lambda: Jdk(tmp_path / "jdk", "17.0.15"))
    return lambda: build_source(root, None, lambda _: None)


def test_javac_and_maven_make_one_jar_of_modules_resources_and_what_they_need(
    mms: Callable[[], SourceBuild], tmp_path: Path
) -> None:
    built = mms()
    assert (tmp_path / "maven").read_text().strip() == str(tmp_path / "jdk")
    with zipfile.ZipFile(built.root / "mms/frontend/model-server.jar") as made:
        content = {name: made.read(name).decode() for name in made.namelist()}
    assert content == {
        "META-INF/MANIFEST.MF": "Manifest-Version: 1.0\r\nMain-Class: com.amazonaws.ml.mms.ModelServer\r\n\r\n",
        "META-INF/services/a.Service": "server.Own\nnetty.Own\n",
        "both": "of the server",
        "modelarchive.class": "compiled modelarchive\n",
        "server.class": "compiled server\n",
        "netty/A.class": "of netty",
    }
    said = (tmp_path / "javac").read_text().splitlines()
    options = [line.split(" @")[0] for line in said if line.startswith("--")]
    assert options == ["--release 8 -encoding UTF-8 -proc:none -Xlint:-options"] * 2
    assert said.index('"frontend/modelarchive/src/main/java/a/Archive.java"') < said.index(
        '"frontend/server/src/main/java/Server.java"'
    )
    paths = [line.strip('"').split(os.pathsep) for line in said if "netty-all-4.jar" in line]
    assert [[Path(part).name for part in path] for path in paths] == [
        ["netty-all-4.jar"],
        ["modelarchive", "netty-all-4.jar"],
    ]
    assert built.facts["build_jars"] == ["netty-all-4.jar"]
    assert sorted(path.name for path in built.root.iterdir()) == [".complete", "build.json", "build.log", "mms"]


def test_the_same_sources_make_the_same_bytes_and_maven_is_asked_once(
    mms: Callable[[], SourceBuild], tmp_path: Path
) -> None:
    first = mms().facts
    (tmp_path / "maven").unlink()
    shutil.rmtree(cache_dir() / "sources")
    assert mms().facts == first
    assert not (tmp_path / "maven").exists()
    assert json.dumps(first), "it can be in a result"


def test_without_maven_it_says_what_to_install(
    mms: Callable[[], SourceBuild], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin" / "mvn").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(
        SetupError, match=r"through Maven, and there is no mvn on PATH; run \./install_dependencies\.sh"
    ):
        mms()
