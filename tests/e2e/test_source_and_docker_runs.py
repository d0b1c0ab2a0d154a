"""``--source`` and ``--docker`` as a user gives them; the latter wherever a daemon runs or can be started."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from servemark.environments.docker_cli import docker_engine
from servemark.environments.mms import MmsEnvironment, mms_environment
from servemark.environments.mms_image import our_image
from servemark.servers.mms.sites.docker import LABEL

from ..contract.docker_daemon import docker_daemon
from ..contract.stand_in_checkout import break_java, builds, make_checkout, make_gradle_checkout, mark_java
from ..validity import status_but_for_the_machine
from .conftest import Command

needs_javac = pytest.mark.skipif(shutil.which("javac") is None, reason="no javac on PATH")
needs_maven = pytest.mark.skipif(shutil.which("mvn") is None, reason="no mvn on PATH")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment() -> MmsEnvironment:
    return mms_environment(None, print)


@pytest.fixture
def checkout(tmp_path: Path, environment: MmsEnvironment) -> Path:
    """A stand-in for a checkout of MMS, committed to git."""
    made = make_checkout(tmp_path / "mms", environment)
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "first")):
        subprocess.run(["git", *identity, *words], cwd=made, check=True)
    return made


@pytest.fixture
def command(tmp_path: Path, cache: Path) -> Iterator[Command]:
    """The command in an empty folder; the builds that it made are forgotten."""
    (tmp_path / "here").mkdir()
    yield Command(tmp_path / "here", cache)
    shutil.rmtree(cache / "sources", ignore_errors=True)


@needs_javac
def test_a_checkout_is_built_and_measured(command: Command, checkout: Path) -> None:
    first = command.run(f"latency --source {checkout} -m noop -w 1 -l 3")
    assert first.status == 0, first.stderr
    assert f"building Multi Model Server from {checkout}" in first.stderr
    server = first.result["server"]
    assert (server["launcher"], server["version"]) == ("source", "1.1.11")
    assert (server["source"]["path"], server["source"]["dirty"]) == (str(checkout), False)
    assert len(server["source"]["commit"]) == 40
    assert f"Multi Model Server 1.1.11, source {server['source']['commit'][:7]}" in first.stdout
    assert builds(checkout) == 1


@needs_javac
def test_files_that_change_between_two_benchmarks_of_a_suite_are_built_again(command: Command, checkout: Path) -> None:
    (command.cwd / "mine.toml").write_text('[[benchmark]]\nname = "ping"\nduration = 3\nthink = 0.01\n' * 2)
    with command.started(f"--suite mine.toml --source {checkout}") as started:
        started.wait_until_measuring()
        mark_java(checkout, "meanwhile")
        run = started.end()
    assert run.status == 0, run.stderr
    before, after = (benchmark["server"]["source"] for benchmark in run.result["benchmarks"])
    assert (before["dirty"], after["dirty"]) == (False, True)
    assert before["jar_sha256"] != after["jar_sha256"]
    assert f"source {after['commit'][:7]} with changes" in run.stdout
    assert builds(checkout) == 2


@needs_javac
def test_inside_a_checkout_it_is_what_is_measured_and_that_is_said(command: Command, checkout: Path) -> None:
    (checkout / "benchmarks").mkdir()
    (checkout / ".git" / "info" / "exclude").write_text("stdout-*\nstderr-*\n")  # where this test keeps what is said
    inside = Command(checkout / "benchmarks", command.cache)
    run = inside.run("ping -l 3")
    assert run.status == 0, run.stderr
    assert f"using --source {checkout}, because this is a checkout of Multi Model Server" in run.stderr
    assert run.result["server"]["launcher"] == "source"
    assert run.folder.is_relative_to(checkout)
    assert run.result["server"]["source"]["dirty"] is False


@needs_javac
@needs_maven
def test_a_checkout_whose_gradle_cannot_run_here_is_measured_from_inside_all_the_same(
    command: Command, environment: MmsEnvironment, tmp_path: Path
) -> None:
    checkout = make_gradle_checkout(tmp_path / "mms", environment)
    (checkout / "benchmarks").mkdir()
    inside = Command(checkout / "benchmarks", command.cache, {"JAVA_HOME": ""})
    run = inside.run("latency -m noop -w 1 -l 3")
    assert run.status == 0, run.stderr
    source = run.result["server"]["source"]
    said = f"building Multi Model Server from {checkout} without its Gradle, by javac and Maven: "
    assert said + source["without_gradle"] in run.stderr.splitlines()
    assert "its Gradle 4.9 runs on Java 10 at most" in source["without_gradle"]
    assert (run.folder / "server" / "build.log").read_text().startswith("$ javac ")
    (checkout / "frontend/server/src/main/java/Broken.java").write_text("class Broken { Nothing nothing; }\n")
    broken = inside.run("latency -m noop -w 1 -l 3")
    assert broken.status == 4
    first = "frontend/server/src/main/java/Broken.java:1: error: cannot find symbol"
    assert f"the build of {checkout} failed: {first};" in broken.error_line
    assert first in (broken.folder / "server" / "build.log").read_text()


@needs_javac
def test_a_build_that_fails_shows_its_first_error_and_keeps_all_that_it_printed(
    command: Command, checkout: Path
) -> None:
    break_java(checkout)
    run = command.run(f"latency --source {checkout} -m noop -l 3")
    assert run.status == 4
    assert f"the build of {checkout} failed" in run.error_line
    assert "error: ';' expected" in run.error_line
    below = run.stderr[run.stderr.index(run.error_line) :]
    assert "setStatus(200)" in below
    assert "FAILURE: Build failed" in below
    assert "starting" not in run.stderr
    kept = run.folder / "server" / "build.log"
    assert f"all that it printed is in {kept.relative_to(command.cwd)}" in below
    printed = kept.read_text()
    assert printed.startswith("$ frontend/gradlew -p frontend :server:jar\n")
    assert "error: ';' expected" in printed
    assert printed.rstrip().endswith("FAILURE: Build failed with an exception.")
    assert run.result["partial"] is True
    assert run.result["benchmarks"] == []


def test_a_build_command_that_fails_is_named_with_what_it_said(command: Command, checkout: Path) -> None:
    run = command.run(f"latency --source {checkout} --build-command false -m noop -l 3")
    assert run.status == 4
    assert f"the build of {checkout} failed" in run.error_line


@needs_javac
def test_a_checkout_is_served_until_ctrl_c(command: Command, checkout: Path) -> None:
    with command.started(f"-m noop -w 1 --source {checkout}", subcommand="serve") as started:
        started.wait_for_line("serving until Ctrl-C")
        started.interrupt()
        assert started.end().status == 0


@pytest.fixture(scope="module")
def endpoint(environment: MmsEnvironment) -> Iterator[dict[str, str]]:
    """The variables with which a daemon answers, and our image on it."""
    with docker_daemon() as environ, pytest.MonkeyPatch.context() as patched:
        for key, value in environ.items():
            patched.setenv(key, value)
        our_image(environment, docker_engine(), print)
        yield dict(environ)


def containers(endpoint: dict[str, str]) -> list[str]:
    listed = ["docker", "ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}}"]
    return subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture
def docker_command(command: Command, endpoint: dict[str, str]) -> Iterator[Command]:
    command.environ.update(endpoint)
    yield command
    assert containers(endpoint) == []


def test_a_benchmark_runs_in_a_container_of_our_image(docker_command: Command) -> None:
    run = docker_command.run("latency --docker -m noop -w 1 -l 3")
    assert run.status == 0, run.stderr
    server = run.result["server"]
    assert (server["launcher"], server["version"]) == ("docker", "1.1.11")
    assert server["container"]["image"].startswith("servemark/mms-")
    assert (run.folder / "server" / "mms_log.log").exists()


def test_an_image_that_is_nowhere_ends_the_run(docker_command: Command) -> None:
    run = docker_command.run("ping -d servemark-test/nowhere:1 -l 3")
    assert run.status == 4
    assert "cannot get the image servemark-test/nowhere:1" in run.error_line


@needs_javac
def test_a_checkout_is_built_here_and_run_in_the_container(docker_command: Command, checkout: Path) -> None:
    run = docker_command.run(f"latency --source {checkout} --docker -m noop -w 1 -l 3")
    assert run.status == 0, run.stderr
    assert run.result["server"]["launcher"] == "docker"
    assert run.result["server"]["source"]["path"] == str(checkout)
    assert builds(checkout) == 1


def test_a_container_is_served_until_ctrl_c_and_measured_meanwhile(docker_command: Command, tmp_path: Path) -> None:
    with docker_command.started("--docker -m noop -w 1 --tls", subcommand="serve") as started:
        started.wait_for_line("serving until Ctrl-C")
        printed = dict(row.split(maxsplit=1) for row in started.out.read_text().splitlines())
        assert printed["process"].endswith(", com.amazonaws.ml.mms.ModelServer")
        measure = ["-m", "noop", "--mms", printed["inference"], "-l", "3", "--json", "-", "-o", str(tmp_path / "out")]
        answer = docker_command.main("run", "latency", *measure)
        result = json.loads(answer.stdout)
        assert status_but_for_the_machine(answer.returncode, result) == 0, answer.stderr
        assert result["server"]["launcher"] == "running"
        started.interrupt()
        assert started.end().status == 0
