"""``servemark serve``: a server until Ctrl-C, that the commands which it prints find, and that can be profiled."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from servemark.servers.ports import free_port_pair

from ..caches import fresh_cache
from .conftest import Command, Run, Started

pytestmark = pytest.mark.slow

JAVA = "com.amazonaws.ml.mms.ModelServer"


@pytest.fixture
def owner(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command that serves: its servers are not those of the commands that measure them."""
    return Command(tmp_path_factory.mktemp("serve"), fresh_cache(tmp_path_factory.mktemp("serve-cache")))


@contextmanager
def serving(owner: Command, line: str) -> Iterator[tuple[Started, dict[str, str]]]:
    """``servemark serve LINE``, once it serves, and what it printed by the first word of each line."""
    with owner.started(line, subcommand="serve") as started:
        started.wait_for_line("serving until Ctrl-C")
        yield started, dict(row.split(maxsplit=1) for row in started.out.read_text().splitlines())


def stop(started: Started, number: signal.Signals = signal.SIGINT) -> Run:
    started.interrupt(number)
    return started.end(timeout_s=60)


@pytest.mark.parametrize(
    ("words", "host", "number"),
    [("", "127.0.0.1", signal.SIGINT), ("--tls --listen 127.0.0.2", "127.0.0.2", signal.SIGTERM)],
)
def test_it_serves_until_ctrl_c_and_the_command_that_it_prints_measures_it(
    owner: Command, command: Command, words: str, host: str, number: signal.Signals
) -> None:
    with serving(owner, f"-m noop -w 1 {words}") as (started, printed):
        scheme = "https" if words else "http"
        assert printed["inference"].startswith(f"{scheme}://{host}:")
        pid, name = printed["process"].split(", ")
        assert name == JAVA
        assert psutil.Process(int(pid)).name() == "java"
        words = shlex.split(printed["measure"])
        program, measure = words[: words.index("latency")], words[words.index("latency") :]
        assert "servemark" in program[-2]
        assert program[-1] == "run"
        run = command.run(f"{shlex.join(measure)} -l 20")
        assert run.status == 0, run.stderr
        assert run.step["succeeded"] == 20
        assert run.result["server"]["launcher"] == "running"
        assert run.result["server"]["management_url"] == printed["management"]
        assert run.benchmark["runs"][0]["server"]["read_back"]["workers"] == 1
        assert "is not checked" not in run.stderr
        ended = stop(started, number)
    assert ended.status == 0, ended.stderr
    assert ended.stderr.splitlines()[-1] == "stopping"
    assert not psutil.pid_exists(int(pid))


@pytest.mark.parametrize("left", ["stdout", "stderr"])
def test_it_serves_on_though_nobody_reads_what_it_says(owner: Command, left: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with owner.started("-m noop -w 1", subcommand="serve", **{left: writer}) as started:
            if left == "stdout":
                started.wait_for_line("serving until Ctrl-C")
            else:
                started.wait_for("its addresses", lambda: "measure" in started.out.read_text())
            time.sleep(1.0)
            assert started.process.poll() is None
            assert stop(started).status == 0
    finally:
        os.close(writer)


def test_the_originals_commands_for_a_running_server_work_verbatim(owner: Command, command: Command) -> None:
    port, _ = free_port_pair()
    with serving(owner, f"--tls --port {port} -m resnet -w 1") as (started, printed):
        assert printed["inference"] == f"https://127.0.0.1:{port}"
        assert printed["management"] == f"https://127.0.0.1:{port + 1}"
        for target, host in ((f"https://localhost:{port}", "localhost"), (f"127.0.0.1:{port}", "127.0.0.1")):
            run = command.run(f"latency --mms {target} -l 2")
            assert run.status == 0, run.stderr
            assert run.benchmark["model"] == "resnet-18"
            assert run.step["succeeded"] == 2
            assert run.result["server"]["url"] == f"https://{host}:{port}"
            assert f"the certificate of https://{host}:{port} is not checked: {host} is this machine" in run.stderr
        assert stop(started).status == 0


def test_a_port_that_is_taken_is_named(owner: Command) -> None:
    first, second = free_port_pair()
    words = f"-m noop --port {first}"
    with socket.create_server(("127.0.0.1", second)), owner.started(words, subcommand="serve") as started:
        ended = started.end()
    assert ended.status == 4
    assert f"cannot listen on 127.0.0.1 port {second}: Address already in use" in ended.error_line
    assert ended.stdout == ""


def test_a_server_that_dies_ends_it_with_the_end_of_its_log(owner: Command) -> None:
    with serving(owner, "-m noop -w 1") as (started, printed):
        psutil.Process(int(printed["process"].split(",")[0])).kill()
        ended = started.end(timeout_s=60)
    assert ended.status == 4
    assert "the server died while it was in use" in ended.error_line
    assert ended.stderr[ended.stderr.index(ended.error_line) + len(ended.error_line) :].strip()


def test_a_worker_that_dies_does_not_end_it(owner: Command, command: Command) -> None:
    with serving(owner, "-m noop -w 1") as (started, printed):
        worker = next(w for w in started.server_processes("model_service_worker") if not w.children())
        worker.kill()
        worker.wait(10)
        started.wait_for("another worker", lambda: started.server_processes("model_service_worker"))
        run = command.run(f"ping --mms {printed['inference']} -l 1 -t 1")
        assert run.status == 0, run.stderr
        assert stop(started).status == 0


def test_interrupting_its_start_leaves_nothing(owner: Command) -> None:
    with owner.started("-m noop", subcommand="serve") as started:
        started.wait_for_line("starting Multi Model Server")
        started.wait_for("the server", lambda: started.server_processes("multi-model-server"))
        ended = stop(started)
    assert ended.status == 130
    assert ended.stdout == ""
