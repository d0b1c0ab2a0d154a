"""What of the launcher *docker* needs no daemon: each thing that can be wrong, and what a container is given."""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from servemark.environments import docker_cli, mms_image
from servemark.environments.cache import cache_dir
from servemark.environments.commands import Finished
from servemark.environments.docker_cli import (
    Container,
    DockerEngine,
    create_container,
    docker_engine,
    docker_error,
    inspect_image,
    new_container,
    recorded_container,
    remove_container,
)
from servemark.environments.mms import MmsEnvironment
from servemark.environments.mms_image import MmsImage, other_image, our_image
from servemark.environments.source import SourceBuild
from servemark.errors import ServerError, SetupError, UsageError
from servemark.servers import ServerSettings
from servemark.servers.mms.archives import ServeRequest
from servemark.servers.mms.instance import new_instance, sweep_stale
from servemark.servers.mms.sites.docker import ContainerSite, DockerLauncher

FakeDocker = Callable[[str], Path]
ENGINE = DockerEngine("20.10.24", "x86_64", rootless=False)
OURS = MmsImage("servemark/mms-onnx:abc", "sha256:1", "onnx", python_path="/opt/mms")
PERMISSION = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"
NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """Puts a ``docker`` on PATH, before all else, that does what the shell lines say; its words are kept."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def make(lines: str) -> Path:
        path, said = tmp_path / "bin" / "docker", tmp_path / "said"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "$DOCKER_HOST $*" >> {said}\n{lines}\n')
        path.chmod(0o755)
        return said

    return make


def fails(message: str) -> str:
    return f"echo {json.dumps(message)} >&2; exit 1"


@pytest.mark.parametrize(
    ("message", "what", "fix"),
    [
        (PERMISSION, "no permission to use Docker", "usermod -aG docker"),
        (NO_DAEMON, "the Docker daemon does not answer", "systemctl start docker"),
        ("Cannot connect to Podman. Please verify", "the Docker daemon does not answer", "set DOCKER_HOST"),
        ("unknown flag: --format", "cannot ask the Docker daemon what it is: unknown flag", "last lines below"),
    ],
)
def test_what_is_wrong_with_docker_is_said_with_the_fix(docker: FakeDocker, message: str, what: str, fix: str) -> None:
    docker(fails(message))
    with pytest.raises(SetupError) as error, DockerLauncher(ServeRequest()).serve(ServerSettings()):
        pass
    assert what in str(error.value)
    assert fix in error.value.next_step
    assert error.value.exit_status == 4


@pytest.mark.parametrize(
    ("message", "what"),
    [(PERMISSION, "no permission to use Docker"), (NO_DAEMON, "the Docker daemon does not answer")],
)
def test_a_docker_that_succeeds_without_its_daemon_is_not_believed(docker: FakeDocker, message: str, what: str) -> None:
    docker(f"echo '{json.dumps({'ServerErrors': [message], 'ClientInfo': {'Context': 'default'}})}'")  # 20.10's own
    with pytest.raises(SetupError, match=what):
        docker_engine()


def test_without_a_docker_command_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    with pytest.raises(SetupError, match=r"there is no docker command.*install_dependencies\.sh.*docker\.io"):
        docker_engine()


def test_a_daemon_that_hangs_is_not_waited_for(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_cli, "CALL_TIMEOUT_S", 0.2)
    docker("exec sleep 30")
    with pytest.raises(SetupError, match=r"no end after 0\.2 s"):
        docker_cli.docker(["info"], what="ask", timeout_s=0.2)
    with pytest.raises(ServerError, match="servemark-x could not be removed"):
        remove_container(Container("servemark-x"))


def test_a_daemon_on_another_machine_is_refused(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    docker("exit 0")
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@elsewhere")
    with pytest.raises(SetupError, match=r"has to run on this machine: DOCKER_HOST is ssh://me@elsewhere.*--server"):
        docker_engine()


def test_docker_and_podman_say_what_they_are(docker: FakeDocker) -> None:
    info = {
        "ServerVersion": "28.1",
        "Architecture": "aarch64",
        "SecurityOptions": ["name=rootless", "name=seccomp,x=y"],
    }
    docker(f"echo 'WARNING: no swap limit' >&2; echo '{json.dumps(info)}'")
    assert docker_engine() == DockerEngine(
        "28.1", "aarch64", rootless=True, security=frozenset({"rootless", "seccomp"})
    )
    podman = {"host": {"arch": "amd64", "security": {"rootless": True}}, "version": {"Version": "4.3.1"}}
    docker(f"echo '{json.dumps(podman)}'")
    assert docker_engine() == DockerEngine("4.3.1", "x86_64", rootless=True)


def test_an_image_that_cannot_be_had_is_named(docker: FakeDocker) -> None:
    docker(
        'case "$1 $2" in "image inspect") echo "Error: No such image: nope" >&2; exit 1;; esac\n'
        'echo "Error response from daemon: pull access denied for nope" >&2; exit 1'
    )
    notes: list[str] = []
    with pytest.raises(SetupError) as error:
        other_image("nope", notes.append)
    assert "cannot get the image nope, which is not on this machine: Error response from daemon: pull" in str(
        error.value
    )
    assert "docker images" in error.value.next_step
    assert notes == ["pulling the image nope"]
    docker(fails(NO_DAEMON))
    with pytest.raises(SetupError, match="does not answer"):
        inspect_image("nope")


@pytest.mark.parametrize(
    ("entrypoint", "replaced"),
    [(["/usr/bin/multi-model-server"], None), (["mxnet-model-server"], None), (["entry.sh"], "sh"), (None, "sh")],
)
def test_another_images_server_is_its_entrypoint_or_searched_for(
    docker: FakeDocker, entrypoint: list[str] | None, replaced: str | None
) -> None:
    config = {"Entrypoint": entrypoint, "Env": ["PATH=/bin", "PYTHONPATH=/theirs"]}
    docker(f"echo '{json.dumps({'Id': 'sha256:2', 'Config': config})}'")
    image = other_image("theirs", lambda _: None)
    assert (image.entrypoint, image.backend, image.image_id) == (replaced, None, "sha256:2")
    assert bool(image.arguments) == bool(replaced)
    assert image.python_path == "/theirs"


@pytest.fixture
def environment() -> MmsEnvironment:
    pins = Path(mms_image.__file__).with_name("mms-onnx.txt")
    bin_folder = Path("/env/bin")
    return MmsEnvironment(
        Path("/env"), bin_folder / "python", bin_folder / "mms", Path("/jdk"), "onnx", {}, pins, "onnx"
    )


def test_our_image_is_built_once_of_the_pins_and_named_by_them(
    docker: FakeDocker, environment: MmsEnvironment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed: list[str] = []

    def install(_python: Path, words: list[object]) -> None:
        installed.extend(map(str, words))
        (Path(str(words[words.index("--target") + 1])) / "bin").mkdir(parents=True)

    monkeypatch.setattr(mms_image, "install_packages", install)
    monkeypatch.setenv("SERVEMARK_DOCKER_BASE", "mirror/debian:12")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    built = tmp_path / "built"
    said = docker(
        f'case "$1" in build) eval last=\\${{$#}}; ls $last > {built};; '
        f'image) test -e {built} || {{ echo No such image >&2; exit 1; }}; echo \'{{"Id": "sha256:3"}}\';; esac'
    )
    image = our_image(environment, ENGINE, lambda _: None)
    assert image.name.startswith("servemark/mms-onnx:")
    assert our_image(environment, ENGINE, lambda _: None) == image
    (build,) = [line for line in said.read_text().splitlines() if line.startswith(" build")]
    assert (
        f"build --force-rm --network host --tag {image.name} --build-arg=BASE=mirror/debian:12 "
        "--build-arg=RUNTIME=onnxruntime" in build
    )
    assert "--build-arg=HTTPS_PROXY " in build
    assert built.read_text().split() == ["Dockerfile", "packages"]
    assert "multi-model-server==1.1.11" in installed
    assert "--platform=manylinux_2_28_x86_64" in installed
    assert not list(cache_dir().iterdir())
    monkeypatch.setenv("SERVEMARK_DOCKER_BASE", "another")
    assert our_image(environment, ENGINE, lambda _: None).name != image.name


def test_an_image_that_cannot_be_built_says_what_to_set(
    docker: FakeDocker, environment: MmsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mms_image, "install_packages", lambda *_: None)
    docker('test "$1" = build && echo "failed to resolve: no such host: an error"; echo No such image; exit 1')
    with pytest.raises(SetupError) as error:
        our_image(environment, ENGINE, lambda _: None)
    assert "cannot build the image servemark/mms-onnx" in str(error.value)
    assert "SERVEMARK_DOCKER_BASE" in error.value.next_step
    assert "no such host" in error.value.detail


PROGRAM = "/bin/sh -c python3 -c 'cannot = 1'     || { apt-get update; }"
CLASSIC = f"""Sending build context to Docker daemon  394.7MB
Step 3/9 : RUN python3 -c 'cannot = 1'     || {{ apt-get update; }}
 ---> Running in ac9522f80231
E: Unable to locate package libgomp1
Removing intermediate container ac9522f80231
The command '{PROGRAM}' returned a non-zero code: 100"""
BUILDKIT = f"""#5 [2/4] RUN python3 -c 'cannot = 1'     || {{ apt-get update; }}
#5 sha256:b9c22541cc79db7f1b1c05a15a106aea3fbc1c761a647cd9b85027cd4dbc6516
#5 0.302 E: Unable to locate package libgomp1
#5 ERROR: executor failed running [{PROGRAM}]: exit code: 100
#6 ...
#6 CANCELED
------
 > [2/4] RUN python3 -c 'cannot = 1'     || {{ apt-get update; }}:
------
Dockerfile:7
--------------------
   7 | >>> RUN python3 -c 'cannot = 1'
ERROR: failed to solve: process "{PROGRAM}" did not complete successfully: exit code: 100"""
UNKNOWN = 'invalid argument "x" for "--mount" flag\nSee \'docker create --help\'.'


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (CLASSIC, "E: Unable to locate package libgomp1"),
        (BUILDKIT, "#5 0.302 E: Unable to locate package libgomp1"),
        (UNKNOWN, 'invalid argument "x" for "--mount" flag'),
        (CLASSIC.replace("E: ", "Step 4/9 "), "exit 100"),
    ],
)
def test_the_cause_is_what_was_said_last_and_no_program_or_progress(output: str, cause: str) -> None:
    assert docker_error(Finished(100, output), "build").cause == cause


def pairs(words: list[str]) -> set[tuple[str, str]]:
    return set(itertools.pairwise(words))


def test_a_container_gets_the_instance_the_network_and_our_user(docker: FakeDocker) -> None:
    with new_instance() as instance:
        words = ContainerSite(ENGINE, OURS, Path("/jdk")).create_command(instance)
        root = instance.root
    assert words[:3] == ["create", "--name", f"servemark-{root.name}"]
    assert {("--network", "host"), ("--user", f"{os.getuid()}:{os.getgid()}"), ("--workdir", str(root))} <= pairs(words)
    assert ("--label", f"servemark.instance={root}") in pairs(words)
    assert ("--mount", f"type=bind,source={root},target={root}") in pairs(words)
    assert ("--mount", f"type=bind,source={root}/store,target={root}/store,readonly") in pairs(words)
    assert {"--init", "--rm"} <= set(words)
    assert "--gpus" not in words
    assert "--entrypoint" not in words
    arguments = words[words.index(OURS.name) + 1 :]
    assert arguments[:3] == ["--start", "--foreground", "--mms-config"]


def test_a_comma_or_a_quote_in_the_caches_path_is_quoted(
    docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / 'a, "b"'))
    with new_instance() as instance:
        words = ContainerSite(ENGINE, OURS, Path("/jdk")).create_command(instance)
        mount, *_ = [after for word, after in pairs(words) if word == "--mount" and after.endswith("readonly")]
        assert next(csv.reader([mount])) == [
            "type=bind",
            f"source={instance.store}",
            f"target={instance.store}",
            "readonly",
        ]


def test_ctrl_c_waits_until_the_container_is_made_so_that_it_can_be_removed(docker: FakeDocker, tmp_path: Path) -> None:
    begun, made = tmp_path / "begun", tmp_path / "made"
    docker(f"touch {begun}; sleep 0.3; touch {made}")

    def interrupt() -> None:
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(KeyboardInterrupt):
        create_container(Container("x"), ["image"], what="make it")
    other.join()
    assert made.exists()


def test_a_container_that_measures_a_worker_is_removed_and_why_it_did_not_start_is_said(docker: FakeDocker) -> None:
    said = docker(f'test "$1" != start || {{ {fails("Error response from daemon: no such runtime")}; }}')
    python = ContainerSite(ENGINE, OURS, Path("/jdk")).worker_python()
    with pytest.raises(
        SetupError, match=r"cannot run a container of the image servemark/mms-onnx:abc: .*no such runtime"
    ):
        python.run(["-c", "pass"], [])
    created, started, removed = [line.split() for line in said.read_text().splitlines()]
    assert created[:2] == ["create", "--name"]
    assert started == ["start", "--attach", created[2]]
    assert removed == ["rm", "--force", created[2]]


def test_gpus_rootless_selinux_source_and_another_entrypoint(docker: FakeDocker, tmp_path: Path) -> None:
    (tmp_path / "built" / "mms").mkdir(parents=True)
    (tmp_path / "built" / "build.log").write_text("it was built\n")
    source = SourceBuild(tmp_path / "built", "1.2", {})
    engine = DockerEngine("4", "x86_64", rootless=True, security=frozenset({"selinux", "userns"}))
    docker("exit 0")
    with new_instance() as instance:
        site = ContainerSite(engine, OURS, Path("/jdk"), source, gpus=2)
        site.prepare(instance)
        words = site.create_command(instance)
        assert ("--env", f"PYTHONPATH={instance.root}/source:/opt/mms") in pairs(words)
        assert (instance.logs / "build.log").read_text() == "it was built\n"
        theirs = MmsImage("theirs", "", None, entrypoint="sh", arguments=("-c", "script", "sh"))
        other = ContainerSite(ENGINE, theirs, Path("/jdk"), source).create_command(instance)
        assert ("--env", f"PYTHONPATH={instance.root}/source") in pairs(other)
        assert other[other.index("--entrypoint") :][:7] == [
            *("--entrypoint", "sh", "theirs", "-c", "script", "sh", "--start"),
        ]
    assert "--user" not in words
    assert {("--gpus", "2"), ("--userns", "host"), ("--security-opt", "label=disable")} <= pairs(words)


def test_a_container_is_recorded_before_it_is_made_and_found_by_the_next_run(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///theirs")
    docker(fails("Error response from daemon: invalid mount"))
    with new_instance() as instance:
        with pytest.raises(SetupError, match="invalid mount"):
            ContainerSite(ENGINE, OURS, Path("/jdk")).prepare(instance)
        name = f"servemark-{instance.root.name}"
        assert recorded_container(instance.root) == Container(name, {"DOCKER_HOST": "unix:///theirs"})
        record = (instance.root / "container.json").read_bytes()
    left = cache_dir() / "instances" / "left"
    left.mkdir()
    (left / "container.json").write_bytes(record)
    monkeypatch.setenv("DOCKER_HOST", "unix:///ours")
    notes: list[str] = []

    said = docker(fails(NO_DAEMON))
    sweep_stale(notes.append)
    assert left.exists(), "it is tried again when the daemon is back"
    assert f"DOCKER_HOST=unix:///theirs docker rm --force {name}" in notes[0]

    said.unlink()
    docker("exit 0")
    sweep_stale(notes.append)
    assert not left.exists()
    assert said.read_text() == f"unix:///theirs rm --force {name}\n"
    assert "cleaned up the server left" in notes[1]


def test_a_torn_record_names_no_container(tmp_path: Path) -> None:
    assert recorded_container(tmp_path) is None
    (tmp_path / "container.json").write_text("{")
    assert recorded_container(tmp_path) is None


@pytest.mark.parametrize(
    "lines",
    ["exit 0", fails("Error: No such container: x"), f"test -e again && exit 0; touch again; {fails('in progress')}"],
)
def test_removing_ends_when_the_container_is_gone(
    docker: FakeDocker, lines: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    docker(lines)
    remove_container(new_container("x"))


def test_what_cannot_be_removed_is_said(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_cli, "_REMOVE_EVERY_S", 0)
    monkeypatch.setattr(docker_cli, "_REMOVE_TRIES", 2)
    docker(fails("Error response from daemon: device busy"))
    with pytest.raises(
        ServerError, match=r"x could not be removed: Error.*device busy; remove it: docker rm --force x"
    ):
        remove_container(Container("x"))


def test_a_source_that_is_no_checkout_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a checkout"):
        DockerLauncher(ServeRequest(), source=tmp_path)
