"""The parts of ``servers`` that need no server: answers explained, logs read, processes identified, records kept."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest

from servemark.errors import ManagementError, UsageError
from servemark.machine.processes import (
    ProcessIdentity,
    identify,
    kill_members,
    members,
    start_process,
    stop_members,
)
from servemark.result import Incident
from servemark.runner.measuring import _incidents
from servemark.servers import ModelSettings
from servemark.servers.http.existing import existing_model
from servemark.servers.mms import server_log
from servemark.servers.mms.archive_download import downloadable_archive
from servemark.servers.mms.archives import ServeRequest
from servemark.servers.mms.config import properties_text
from servemark.servers.mms.dialect import DIALECT
from servemark.servers.mms.instance import new_instance, sweep_stale
from servemark.servers.mms.management import Refusal, refusal_of
from servemark.servers.running import RunningLauncher
from servemark.workload.address import Address
from servemark.workload.inputs import Input
from servemark.zoo.catalogue import find

from ..processes import wait_until


def test_one_input_does_not_suit_several_models() -> None:
    noop, lstm = find("noop"), find("lstm")
    text = (Input(b"x", "text/plain", "test"),)
    with pytest.raises(UsageError, match="one input does not suit several models; leave -i out"):
        ServeRequest((noop, lstm), inputs=text)
    with pytest.raises(UsageError, match="one input does not suit several models"):
        RunningLauncher("127.0.0.1:1", ("noop", "lstm"), inputs=text)
    assert ServeRequest((noop,), inputs=text).inputs == text


NO_WORKER = b'{"code": 503, "message": "No worker is available to serve request for model: m. Consider"}'


def sleeper(mark: Path, program: str = "import time; time.sleep(60)") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", program]
    return start_process(command, instance=mark, environ=os.environ, output=Path(os.devnull), cwd=Path.cwd())


def test_how_a_model_batches_that_was_there_is_not_changed_not_even_to_batches_of_one() -> None:
    def inputs() -> tuple[Input, ...]:
        raise AssertionError("nothing is sent to it")

    address = Address("127.0.0.1", "127.0.0.1", 1, None)
    for size in (1, 4):
        settings = ModelSettings(None, batch_size=size, batches=True)
        with pytest.raises(UsageError, match=r"was on the server before.*give -m a model of the zoo"):
            existing_model(DIALECT, address, "noop", settings, inputs, None)


def test_predictions_are_posted_with_their_content_type() -> None:
    request = DIALECT.prediction("a b/c", Input(b"x", "image/jpeg", "test"))
    assert (request.method, request.path, request.body) == ("POST", "/predictions/a%20b%2Fc", b"x")
    assert request.headers == (("Content-Type", "image/jpeg"),)
    assert (DIALECT.health().method, DIALECT.health().path) == ("GET", "/ping")


@pytest.mark.parametrize(
    ("status", "body", "workers", "expected"),
    [
        (503, NO_WORKER, None, "queue full or no worker"),
        (503, NO_WORKER, 2, "queue full"),
        (503, NO_WORKER, 0, "no worker"),
        (503, b'{"message": "Prediction failed"}', None, "the handler raised an exception (Prediction failed)"),
        (404, b'{"message": "Model not found: m"}', None, "the server has no such model"),
        (400, b'{"message": "bad pixels"}', None, "bad pixels"),
        (502, b"<html>\n oops </html>", None, "<html> oops </html>"),
        (500, b"", None, "HTTP 500"),
    ],
)
def test_failing_answers_are_explained(status: int, body: bytes, workers: int | None, expected: str) -> None:
    assert DIALECT.explain(status, body, ready_workers=workers).startswith(expected)
    assert DIALECT.explain(status, body.decode(), ready_workers=workers).startswith(expected)


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (None, "no answer in 1 s", Refusal.NO_ANSWER),
        (210, "Workers scaling in progress...", Refusal.PARTIAL),
        (404, "Model not found: x", Refusal.UNKNOWN),
        (409, "Model x is already registered.", Refusal.DUPLICATE),
        (500, "Failed to save model: x.mar", Refusal.BAD_ARCHIVE),
        (500, "Failed to start workers", Refusal.WORKERS_FAILED),
        (503, "", Refusal.NO_WORKER),
        (507, "", Refusal.OUT_OF_MEMORY),
        (418, "", Refusal.OTHER),
    ],
)
def test_refusals_have_classes(status: int | None, message: str, expected: Refusal) -> None:
    assert refusal_of(ManagementError("cannot", status=status, message=message)) is expected


def test_logs_give_their_tail_without_noise_and_the_workers_exception(tmp_path: Path) -> None:
    (tmp_path / server_log.OUTPUT).write_text("WARNING: a JDK says so\nModel server started.\n", encoding="utf-8")
    (tmp_path / server_log.SERVER_LOG).write_text(
        "2026 [INFO ] W-1 WorkerLifeCycle - ImportError: no libx.so\n"
        "2026 [ERROR] W-1 WorkerThread - java.lang.IllegalStateException: over\n",
        encoding="utf-8",
    )
    assert server_log.tail(tmp_path, 2).splitlines()[-1].endswith("over")
    assert "JDK" not in server_log.tail(tmp_path)
    assert server_log.last_exception(tmp_path, {}) == "ImportError: no libx.so"
    assert server_log.out_of_memory(tmp_path, {}) == ""
    assert server_log.last_exception(tmp_path, server_log.sizes(tmp_path)) == ""


#: Of a real server, one of whose workers was killed: at first both load the model, then the second does so again.
LOG_OF_A_RESTART = """\
2026-11-30T00:32:13,095Z [WARN ] W-9000-noop-v1.0 WorkerLifeCycle - attachIOStreams() threadName=W-9000-noop-v1.0
2026-11-30T00:32:13,213Z [INFO ] W-9000-noop-v1.0-stdout WorkerLifeCycle - Connection accepted: /tmp/.mms.sock.9000.
2026-11-30T00:32:13,281Z [WARN ] W-9000-noop-v1.0 WorkerLifeCycle - attachIOStreams() threadName=W-noop-v1.0-2
2026-11-30T00:32:13,293Z [WARN ] W-9000-noop-v1.0 WorkerLifeCycle - attachIOStreams() threadName=W-noop-v1.0-1
2026-11-30T00:32:14,813Z [INFO ] W-9000-noop-v1.0-stdout WorkerLifeCycle - Model noop-v1.0 loaded io_fd=02fc00fffe
2026-11-30T00:32:14,814Z [WARN ] W-9000-noop-v1.0 WorkerLifeCycle - attachIOStreams() threadName=W-noop-v1.0-2
2026-11-30T00:32:15,837Z [INFO ] W-noop-v1.0-2-stdout WorkerLifeCycle - Frontend disconnected.
2026-11-30T00:32:15,840Z [WARN ] epollEventLoopGroup-3-2 WorkerLifeCycle - terminateIOStreams() threadName=W-noop-v1.0-1
2026-11-30T00:32:16,000Z [WARN ] W-9000-n WorkerLifeCycle - attachIOStreams() threadName=W-a-name-of-twenty-five-let-1
"""


def test_a_log_says_when_each_worker_had_loaded_its_model_for_the_first_time_and_again(tmp_path: Path) -> None:
    log = tmp_path / server_log.SERVER_LOG
    log.write_text(LOG_OF_A_RESTART, encoding="utf-8")
    starts = server_log.worker_starts(tmp_path, {})
    assert [(one.model, one.number) for one in starts] == [("noop-v1.0", 2), ("noop-v1.0", 1), ("noop-v1.0", 2)]
    again = datetime(2026, 11, 30, 0, 32, 14, 814_000, tzinfo=timezone.utc)
    assert starts[-1].at_unix_ns == pytest.approx(again.timestamp() * 1e9, abs=1e3)
    known = server_log.sizes(tmp_path)
    assert server_log.worker_starts(tmp_path, known) == []


def test_what_happened_to_a_server_counts_from_the_runs_origin_and_without_one_is_not_told() -> None:
    asked: list[int] = []

    class Restarted:
        def incidents(self, since_unix_ns: int) -> list[tuple[int, str]]:
            asked.append(since_unix_ns)
            return [(5_500_000_000, "a worker was started again")]

    assert _incidents(Restarted(), 2_000_000_000) == (Incident(3.5, "a worker was started again"),)
    assert _incidents(Restarted(), 0) == (), "JMeter's records without a sample"
    assert asked == [2_000_000_000]


def test_logs_are_followed_to_their_last_line(tmp_path: Path) -> None:
    lines: list[str] = []
    with server_log.followed(tmp_path, lines.append):
        (tmp_path / server_log.OUTPUT).write_text("one\ntwo\n", encoding="utf-8")
    assert lines == ["server: one", "server: two"]
    assert not any(thread.name == "server-log" for thread in threading.enumerate())


def test_a_log_that_is_rolled_over_is_followed_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_log, "_FOLLOW_EVERY_S", 0.01)
    lines: list[str] = []
    log = tmp_path / server_log.SERVER_LOG
    with server_log.followed(tmp_path, lines.append):
        log.write_text("one\n", encoding="utf-8")
        wait_until(lambda: lines)
        with log.open("a", encoding="utf-8") as file:
            file.write("two\n")
            log.rename(tmp_path / "mms_log.1.log")
            file.write("three\n")
            file.flush()
            log.write_text("four\n", encoding="utf-8")
        wait_until(lambda: len(lines) >= 4)
        log.write_text("5\n", encoding="utf-8")  # cut off where it lies
    assert lines == [f"server: {line}" for line in ("one", "two", "three", "four", "5")]


def test_a_log_that_is_rolled_over_between_a_look_and_a_copy_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, kept = tmp_path / "logs", tmp_path / "kept"
    for folder in (logs, kept):
        folder.mkdir()
    for name, content in ((server_log.SERVER_LOG, "new"), ("mms_log.1.log", "old"), (server_log.OUTPUT, "said")):
        (logs / name).write_text(content, encoding="utf-8")
    real = Path.glob

    def glob(self: Path, pattern: str) -> list[Path]:
        """What was there; then the server rolls its logs over."""
        found = list(real(self, pattern))
        if (logs / "mms_log.1.log").exists():
            (logs / "mms_log.1.log").unlink()
            (logs / server_log.SERVER_LOG).rename(logs / "mms_log.2.log")
        return found

    monkeypatch.setattr(Path, "glob", glob)
    server_log.copy_logs(logs, kept)
    assert {path.name: path.read_text() for path in kept.iterdir()} == {"mms_log.log": "new", "output.log": "said"}
    (logs / "mms_log.1.log").touch()
    (logs / "mms_log.2.log").rename(logs / server_log.SERVER_LOG)
    assert set(server_log.sizes(logs)) == {"output.log"}
    assert server_log.tail(logs) == "said"


def test_the_configuration_is_read_back_by_java_whatever_the_home_is_called() -> None:
    text = properties_text({"keystore": "/home/jörg/\U0001f600 a\\b/k.p12", "a": " 1", "b": "x=y:z#!"})
    assert text.isascii()
    assert text == "keystore=/home/j\\u00f6rg/\\ud83d\\ude00 a\\\\b/k.p12\na=\\ 1\nb=x=y:z#!\n"


def test_an_identity_tells_a_process_from_a_later_one_of_that_number() -> None:
    mine = identify(os.getpid())
    assert mine is not None
    assert identify(os.getpid()) == mine
    assert ProcessIdentity(os.getpid(), "another start") != mine
    assert identify(2**22 + 1) is None


def test_marked_processes_and_their_children_are_stopped_though_they_ignore_sigterm(tmp_path: Path) -> None:
    stubborn = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); print(1, flush=True); "
        "time.sleep(60)"
    )
    with sleeper(tmp_path, stubborn) as process:
        deadline = time.monotonic() + 10
        while len(members(tmp_path)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(members(tmp_path)) == 2
        time.sleep(0.2)
        stop_members(tmp_path, grace_s=0.3)
        assert members(tmp_path) == []
    assert process.returncode is not None


def test_a_child_that_dropped_the_mark_and_does_not_end_is_stopped_though_its_parent_has_ended(tmp_path: Path) -> None:
    ignores = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    forgetful = (
        f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {ignores!r}], env={{}}, stdout=-1)\n"
        "child.stdout.readline(); open('ready', 'w').close(); child.wait()"
    )
    command = [sys.executable, "-c", forgetful]
    with start_process(command, instance=tmp_path, environ=os.environ, output=tmp_path / "log", cwd=tmp_path):
        deadline = time.monotonic() + 10
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        found = members(tmp_path)
        stop_members(tmp_path, grace_s=0.3)
    assert len(found) == 2
    assert [process for process in found if process.is_running() and process.status() != "zombie"] == []


def test_descendants_that_dropped_the_mark_are_members_too(tmp_path: Path) -> None:
    """A child keeps the mark, and starts one with an empty environment, which starts another."""
    sleeping = "import time; time.sleep(60)"
    forgetful = f"import os, subprocess, sys; os.fork(); subprocess.run([sys.executable, '-c', {sleeping!r}], env={{}})"
    marked = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {forgetful!r}])"
    with sleeper(tmp_path, marked):
        deadline = time.monotonic() + 10
        while len(members(tmp_path)) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        found = members(tmp_path)
        kill_members(tmp_path)
    assert len({process.pid for process in found}) == len(found) == 5


def test_a_process_that_only_got_a_recorded_number_is_left_alone(tmp_path: Path) -> None:
    with sleeper(tmp_path / "somebody else's") as innocent:
        kill_members(tmp_path, [ProcessIdentity(innocent.pid, "an earlier start")])
        assert innocent.poll() is None
        innocent.kill()


def test_an_instance_lives_as_long_as_its_owner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path))
    swept: list[str] = []
    with new_instance() as instance:
        assert instance.store.is_dir()
        assert instance.temporary.is_dir()
        sweep_stale(swept.append)
        assert instance.root.is_dir()
    assert not instance.root.exists()
    assert not instance.temporary.exists()
    assert swept == []


@pytest.mark.parametrize("length", range(40, 100, 10))
def test_a_socket_with_a_uuid_for_its_name_fits_into_a_servers_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setenv("SERVEMARK_CACHE", str(Path(short) / ("x" * (length - len(short)))))
        with new_instance() as instance, socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(instance.temporary / str(uuid.uuid4())))
    assert not instance.temporary.exists()


def test_what_others_had_a_server_write_is_told_from_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path))
    with new_instance() as instance:
        instance.configure("", "")
        ours = instance.names()
        assert {"config.properties", "store", "logs"} <= ours
        for name in ("frontend.jfr", "hs_err_pid7.log", "core", "core.7", "instance.json.new"):
            (instance.root / name).touch()
        (instance.root / "a folder").mkdir()
        (instance.root / "link.jfr").symlink_to("frontend.jfr")
        assert [path.name for path in instance.files_beside(ours)] == ["frontend.jfr", "hs_err_pid7.log"]


def test_a_leftover_instance_is_swept_with_its_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path))
    left = tmp_path / "instances" / "left"
    left.mkdir(parents=True)
    (left / "instance.json").write_text("{ torn", encoding="utf-8")
    swept: list[str] = []
    with sleeper(left) as process:
        sweep_stale(swept.append)
        process.wait(5)
    assert members(left) == []
    assert not left.exists()
    assert len(swept) == 1
    assert "left" in swept[0]


def test_an_archive_is_offered_only_under_its_secret_path_and_only_for_a_while(tmp_path: Path) -> None:
    archive = tmp_path / "m.mar"
    archive.write_bytes(b"content")
    with downloadable_archive(archive, Address("127.0.0.1", "127.0.0.1", 9)) as url:
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=5) as response:
            assert response.read() == b"content"
        with ThreadPoolExecutor(64) as pool:
            read = [pool.submit(lambda: urllib.request.urlopen(url, timeout=5).read()) for _ in range(64)]
            assert {one.result() for one in read} == {b"content"}
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(url.replace("/m.mar", "/../../etc/passwd"), timeout=5)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)
