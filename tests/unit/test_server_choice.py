"""Which server is meant: what the command line makes of it, what it refuses, and what is said when it cannot be had."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

import servemark
from servemark.cli import main
from servemark.cli.checkout import or_here
from servemark.cli.options import parse_run
from servemark.cli.serve import say_what_is_open
from servemark.cli.serve_options import parse_serve
from servemark.errors import ServerStartError, UsageError
from servemark.options.server import ServerOptions
from servemark.runner.launching import own_launcher
from servemark.servers import ServerSettings
from servemark.servers.mms.archives import ServeRequest
from servemark.servers.mms.managed import ManagedLauncher
from servemark.servers.mms.sites.docker import DockerLauncher
from servemark.servers.mms.sites.source import SourceLauncher
from servemark.servers.ports import PortTakenError, check_not_taken, check_ports, free_port_pair, is_free

PARTS = ("setup.py", "mms/__init__.py", "mms/model_server.py", "frontend/gradlew")
ONE_STARTS = "one starts a server of our own, the other measures one that runs"


def _chosen(line: str) -> ServerOptions:
    (request,) = parse_run("servemark run", line.split()).entries
    return request.server


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What looks like a checkout of MMS, and cannot be built."""
    for part in PARTS:
        (tmp_path / "mms-checkout" / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mms-checkout" / part).write_text("exit 3\n")
    return tmp_path / "mms-checkout"


REFUSED = [
    ("run latency --mms h --docker", f"--docker and --mms do not go together: {ONE_STARTS}"),
    ("run latency --mms h -d theirs", f"-d and --mms do not go together: {ONE_STARTS}"),
    ("run latency --mms h --source .", f"--source and --mms do not go together: {ONE_STARTS}"),
    ("run latency --mms h --build-command make", f"--build-command and --mms do not go together: {ONE_STARTS}"),
    ("run latency --build-command make", "--build-command needs --source; name the checkout that it builds"),
    ("run latency --docker --build-command make", "--build-command needs --source"),
    ("run latency --docker -d theirs", "--docker and -d do not go together: one is our image, the other names yours"),
    ("run latency --docker-image=", "-d is empty; leave it out"),
    ("run latency --source DIR --build-command=", "--build-command is empty; leave it out"),
    ("run latency --source DIR/nowhere", "is not a checkout of Multi Model Server: no such folder; give --source"),
    ("run latency --source /", "/ is not a checkout of Multi Model Server: it has no setup.py and no mms/__init__.py"),
    ("run latency --port 8443", "unrecognized arguments: --port; see servemark run -h"),
    ("serve -m resnt", "unknown model 'resnt'; did you mean resnet?"),
    ("serve -m=", "unknown model ''; choose from resnet"),
    ("serve --port 0", "0 is less than 1"),
    ("serve --listen 203.0.113.9", "this machine has no address 203.0.113.9; name one of its own: hostname -I lists"),
    ("serve --listen 0.0.0.0", "0.0.0.0 is every address of this machine; name the one by which the server is to be"),
    ("serve --listen here", "'here' is no IPv4 address; hostname -I lists those of this machine"),
    ("serve --listen ::1", "'::1' is no IPv4 address"),
    ("serve --port 65535", "65535 is more than 65534"),
    ("serve -w 0", "0 is less than 1"),
    ("serve --docker -d theirs", "--docker and -d do not go together"),
    ("serve --build-command make", "--build-command needs --source"),
    ("serve --source /", "/ is not a checkout of Multi Model Server"),
    ("serve --mms h", "unrecognized arguments: --mms; see servemark serve -h"),
    ("serve latency", "unrecognized arguments: latency"),
    ("serv", "unknown subcommand 'serv'; did you mean serve?"),
]


@pytest.mark.parametrize(("line", "message"), REFUSED, ids=[line for line, _ in REFUSED])
def test_what_cannot_be_had_is_refused_in_one_line_with_status_2(
    capsys: pytest.CaptureFixture[str], checkout: Path, line: str, message: str
) -> None:
    try:
        status = main(line.replace("DIR", str(checkout)).split())
    except SystemExit as end:  # argparse's own refusals
        status = int(end.code or 0)
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.startswith("servemark: error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"server": "h", "docker": True}, "docker and server do not go together"),
        ({"server": "h", "source": Path("/")}, "source and server do not go together"),
        ({"build_command": "make"}, "build_command needs source"),
        ({"source": Path("/")}, "/ is not a checkout of Multi Model Server"),
    ],
)
def test_python_refuses_the_same(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        servemark.run("latency", output=tmp_path, **fields)


def test_each_choice_has_its_launcher(checkout: Path) -> None:
    serving = ServeRequest()
    assert isinstance(own_launcher(serving, ServerOptions()), ManagedLauncher)
    built = own_launcher(serving, ServerOptions(source=checkout, build_command="make"))
    assert isinstance(built, SourceLauncher)
    assert (built._checkout, built._build_command, built._serving) == (checkout, "make", serving)
    ours = own_launcher(serving, ServerOptions(docker=True))
    assert isinstance(ours, DockerLauncher)
    assert (ours._image, ours._source, ours._serving) == (None, None, serving)
    theirs = own_launcher(serving, ServerOptions(image="theirs"))
    assert isinstance(theirs, DockerLauncher)
    assert (theirs._image, theirs._source) == ("theirs", None)
    both = own_launcher(serving, ServerOptions(docker=True, source=checkout, build_command="make"))
    assert isinstance(both, DockerLauncher)
    assert (both._image, both._source, both._build_command) == (None, checkout, "make")


@pytest.mark.parametrize("place", [".", "mms", "frontend"])
def test_in_a_checkout_it_is_the_server_and_that_is_said(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(checkout / place)
    said: list[str] = []
    for chosen in (_chosen("latency"), parse_serve("servemark serve", []).server):
        assert or_here(chosen, said.append).source == checkout
    assert said == [f"using --source {checkout}, because this is a checkout of Multi Model Server"] * 2


@pytest.mark.parametrize("line", ["--docker", "-d theirs", "--mms h"])
def test_in_a_checkout_a_server_that_was_chosen_stays(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(checkout)
    assert or_here(_chosen(f"latency {line}"), pytest.fail).source is None


def test_elsewhere_the_installed_server_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert or_here(_chosen("latency"), pytest.fail).source is None


@pytest.mark.parametrize(
    ("words", "message", "what", "fix"),
    [
        ("run latency --docker", "Cannot connect to the Docker daemon", "daemon does not answer", "systemctl start"),
        ("run ping -d theirs", "dial unix: permission denied", "no permission to use Docker", "usermod -aG docker"),
        ("serve --docker", "Cannot connect to the Docker daemon", "daemon does not answer", "set DOCKER_HOST"),
    ],
)
def test_a_docker_that_cannot_be_used_ends_the_command_with_the_fix(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    message: str,
    what: str,
    fix: str,
) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/sh\necho '{message}' >&2\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 4
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("servemark: error: ")]
    assert what in line
    assert fix in line


def test_without_a_docker_command_the_command_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--docker"]) == 4
    assert "there is no docker command" in capsys.readouterr().err


def test_ports_that_were_asked_for_and_are_taken_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path))
    first, second = free_port_pair()
    check_ports((first, second))
    for taken in (first, second):
        with socket.create_server(("127.0.0.1", taken)):
            assert not is_free(taken)
            launcher = ManagedLauncher(ServeRequest(ports=(first, second)))
            named = rf"cannot listen on 127\.0\.0\.1 port {taken}: Address already in use; .*another --port"
            with pytest.raises(ServerStartError, match=named), launcher.serve(ServerSettings()):
                pytest.fail("it started")


def test_a_port_is_that_of_the_address_at_which_the_server_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path))
    first, second = free_port_pair("127.0.0.2")
    with socket.create_server(("127.0.0.2", second)):
        assert (is_free(second), is_free(second, "127.0.0.2")) == (True, False)
        check_ports((first, second))
        launcher = ManagedLauncher(ServeRequest(ports=(first, second), listen="127.0.0.2"))
        named = rf"cannot listen on 127\.0\.0\.2 port {second}: Address already in use"
        with pytest.raises(ServerStartError, match=named), launcher.serve(ServerSettings()):
            pytest.fail("it started")
        with pytest.raises(PortTakenError, match=f"port {second} was taken"):
            check_not_taken((first, second), "", "127.0.0.2", "127.0.0.1")


def test_of_a_server_that_others_reach_it_is_said_what_they_may_do(capsys: pytest.CaptureFixture[str]) -> None:
    say_what_is_open("127.0.0.2")
    assert capsys.readouterr().err == ""
    say_what_is_open("203.0.113.9")
    said = capsys.readouterr().err
    assert said.startswith("whoever reaches 203.0.113.9 may ask the server for predictions and have it load models, ")


def test_a_connection_that_is_still_dying_keeps_no_port_from_the_next_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()
        accepted.close()  # the side that closes first waits
        client.close()
    assert is_free(port)
