"""What the pages say to type is typed, as it stands there, into a shell; ``tests/pages.py`` says what is not, and why.

Replaced is only what stands for something of the reader's: hosts, files, the number of a process.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from servemark.environments.mms import mms_environment
from servemark.servers.ports import free_port_pair
from servemark.zoo.build import build_model
from servemark.zoo.catalogue import find

from ..caches import fresh_cache
from ..pages import EXECUTED, FROM_TOP_TO_BOTTOM, PAGES, PROFILING, ROOT, TUTORIAL, Execution, commands, inline_commands
from ..unit.histories import measured, remembered
from ..validity import status_but_for_the_machine
from .conftest import RECORD_HEADER_BYTES, Command

pytestmark = pytest.mark.slow

#: Of what has ended long before where it does not hang, however busy the machine is.
LIMIT_S = 600.0
SERVE = "./benchmark.py serve --tls --port 8443"
JAVA = "com.amazonaws.ml.mms.ModelServer"
#: A result with its records, which whatever reports one finds as the latest until another is measured.
MEASURED_BEFORE = ROOT / "tests" / "unit" / "data" / "result-schema-2"
#: Two samples as JMeter 5 writes them.
OLD_JTL = """\
timeStamp,elapsed,label,responseCode,threadName,success,Latency,Connect
1500000000000,21,Inference Request,200,Thread Group 1-1,true,20,1
1500000000010,22,Inference Request,200,Thread Group 1-2,true,21,1
"""


class Shell:
    """A shell in a folder that looks as the pages have it: with ``benchmark.py``, and what the reader has beside it."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self._command = Command(folder, cache)
        self._command.environ |= {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "TOKEN": "t0ken-of-mine"}
        (folder / "bin").mkdir()
        program = f'exec {shlex.quote(sys.executable)} {shlex.quote(str(ROOT / "benchmark.py"))} "$@" $APPENDED'
        (folder / "benchmark.py").write_text(f"#!/bin/sh\n{program}\n")
        (folder / "benchmark.py").chmod(0o755)

    @contextmanager
    def started(self, text: str, append: str = "") -> Iterator[tuple[subprocess.Popen[str], Path]]:
        """The command `text` under way, and the file that has what it prints; killed if it is left so."""
        printed = self.folder / f"printed-{len(list(self.folder.glob('printed-*')))}"
        with printed.open("w") as out:
            process = subprocess.Popen(
                ["bash", "-c", text],
                cwd=self.folder,
                env={**self._command._environ(), "APPENDED": append},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
        try:
            yield process, printed
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def run(self, text: str, execution: Execution = Execution()) -> str:  # noqa: B008  it is frozen
        """What the command `text` printed, after it ended as it should."""
        before = set(self._records())
        with self.started(text, execution.append) as (process, printed):
            if execution.until_it_measures:
                wait_for("records", lambda: set(self._records()) - before, process, printed)
                process.send_signal(signal.SIGINT)
            status = process.wait(timeout=LIMIT_S)
        said = printed.read_text(errors="replace")
        wanted = 130 if execution.until_it_measures else execution.status
        assert status_but_for_the_machine(status, self.result()) == wanted, f"{text}\n{said}"
        if execution.until_it_measures:
            assert (self.result() or {})["benchmarks"], "what was measured is kept"
        assert execution.says in " ".join(said.split()), f"{text}\n{said}"
        return said

    def result(self) -> dict | None:
        """The last result."""
        folders = sorted(self.folder.glob("servemark-results/2*"), key=lambda path: path.stat().st_mtime_ns)
        return json.loads((folders[-1] / "result.json").read_text(encoding="utf-8")) if folders else None

    def assert_nothing_left(self) -> None:
        self._command.assert_nothing_left()

    def _records(self) -> list[Path]:
        """The files that have records."""
        paths = self.folder.glob("servemark-results/*/records/*.bin")
        return [path for path in paths if path.stat().st_size > RECORD_HEADER_BYTES]


def wait_for(what: str, condition, process: subprocess.Popen[str], printed: Path) -> None:
    """Wait until `condition` holds; `process` must not end before."""
    give_up_s = time.monotonic() + LIMIT_S
    while not condition():
        assert process.poll() is None, f"ended before {what}:\n{printed.read_text()}"
        assert time.monotonic() < give_up_s, f"no {what}:\n{printed.read_text()}"
        time.sleep(0.05)


@contextmanager
def serving(
    shell: Shell, port: int, append: str = "", text: str = SERVE
) -> Iterator[tuple[subprocess.Popen[str], Path, dict[str, str]]]:
    """The server that `text` starts, on `port`; what it prints, and that by the first word of each line."""
    with shell.started(re.sub(r"(?<=--port )\d+", str(port), text), append) as (process, printed):
        wait_for("server", lambda: "serving until Ctrl-C" in printed.read_text(), process, printed)
        rows = (line.split(maxsplit=1) for line in printed.read_text().splitlines())
        yield process, printed, {row[0]: row[1] for row in rows if len(row) == 2}
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0


def test_the_page_on_profiling_from_top_to_bottom(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    serve, *rest = [command.text for command in commands(PROFILING)]
    assert serve == SERVE
    shell, port = Shell(tmp_path, fresh_cache(tmp_path_factory.mktemp("cache"))), free_port_pair()[0]
    with serving(shell, port) as (process, printed, told):
        pid, name = told["process"].split(", ")
        assert name == JAVA
        for tool in ("jcmd", "jfr"):
            (tmp_path / "bin" / tool).symlink_to(Path(told["jcmd"]).with_name(tool))
        assert re.search(rf"^{pid} {re.escape(JAVA)}\b", shell.run("jcmd -l"), re.MULTILINE)
        said: dict[str, str] = {}
        for text in rest:
            if " JFR.stop " in text:  # five thousand requests, so that a few samples a second see what answers them
                shell.run(f"./benchmark.py ping --mms https://localhost:{port} -l 50")
            append = "-l 1" if " throughput " in text else ""
            said[text] = shell.run(as_read(text, port, {"24386": pid}), Execution(append))
        summary = said["jfr summary frontend.jfr"]
        counts = {row.split()[0]: int(row.split()[1]) for row in summary.splitlines() if row.strip().startswith("jdk.")}
        assert counts["jdk.ExecutionSample"] > 0
        assert counts["jdk.CPULoad"] > 0
        assert "io.netty" in shell.run("jfr print --events jdk.ExecutionSample frontend.jfr")
        assert "Method" in said["jfr view hot-methods frontend.jfr"]

        start = f"jcmd {pid} JFR.start name=frontend settings=profile"
        more = re.search(
            r"`(jdk\.CPUTimeSample\S+ jdk\.CPUTimeSample\S+)` at\nthe end of the first line", page(PROFILING)
        )
        assert more
        shell.run(f"{start} {more[1]}")
        shell.run(f"./benchmark.py latency --mms https://localhost:{port} -l 20")
        shell.run(f"jcmd {pid} JFR.stop name=frontend filename=frontend.jfr")  # with no path, as one would
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert "kept frontend-2.jfr, which was written into the server's folder" in printed.read_text()
    (view,) = re.findall(r"`(jfr view \S+ frontend\.jfr)`", page(PROFILING))
    assert "Method" in shell.run(view.replace("frontend.jfr", "frontend-2.jfr"))
    assert "jdk.ExecutionSample" in shell.run("jfr summary frontend.jfr"), "the first one is as it was"
    shell.assert_nothing_left()


def test_the_tutorial_from_top_to_bottom(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    clone, serve, *rest = [command.text for command in commands(TUTORIAL)]
    assert clone.startswith("git clone"), "CI does it before any test"
    shell, port = Shell(tmp_path, fresh_cache(tmp_path_factory.mktemp("cache"))), free_port_pair()[0]
    shell._command.environ["SERVEMARK_HISTORY"] = str(tmp_path / "history.db")
    # However busy this machine is, its objective is met.
    known = {"127.0.0.1:8080": f"127.0.0.1:{port}", "p99<500ms": "p99<60s"}
    says = {"--slo": "SLO", "history show": "latency squeezenet", "history": "throughput", "--format": "summary.md"}
    with serving(shell, port, "-w 1", serve):
        for text in rest:
            expected = next((said for word, said in says.items() if word in text), "succeeded")
            shell.run(as_read(text, port, known), Execution("-l 2" if "--mms" in text else "", says=expected))
    assert sorted(path.name for path in (tmp_path / "servemark-results" / "latest").glob("[rs]*.*")) == [
        "report.html",
        "requests.jtl",
        "result.json",
        "summary.csv",
        "summary.md",
    ]
    shell.assert_nothing_left()


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def as_read(text: str, port: int, known: dict[str, str]) -> str:
    """A command as its reader types it: with what is theirs in the place of what stands for it."""
    text = re.sub(r"(127\.0\.0\.1|localhost):8443", rf"\1:{port}", text)
    for stands, instead in known.items():
        text = text.replace(stands, instead)
    return text


class Answers(BaseHTTPRequestHandler):
    """The endpoints of the pages."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/generate":
            self._send(200, b"data: token\n\n" * 3, "text/event-stream")
        else:
            self._send(200, b"OK")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send(200 if self.headers["Authorization"] == "Bearer t0ken-of-mine" else 401, b"{}")

    def do_DELETE(self) -> None:
        self._send(404, b"gone")

    def log_message(self, *_: object) -> None:
        pass

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Endpoints(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that looks whether anybody is here says nothing."""


@contextmanager
def answering(certificate: Path | None = None) -> Iterator[str]:
    """The host and port of a server with those endpoints, behind TLS if it has a certificate."""
    server = Endpoints(("127.0.0.1", 0), Answers)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shell, int, dict[str, str]]]:
    """A shell with the files of a reader of the pages, the port of the server that runs, and what stands for what."""
    folder = tmp_path_factory.mktemp("reader")
    shell, port = Shell(folder, fresh_cache(tmp_path_factory.mktemp("cache"))), free_port_pair()[0]
    environment = mms_environment(None, print)
    resnet, noop = find("resnet"), find("noop")
    assert resnet
    assert noop
    (folder / "cat.jpg").write_bytes(build_model(resnet, environment, print).default_input.body)
    shutil.copyfile(build_model(noop, environment, print).archive, folder / "model.mar")
    (folder / "times.txt").write_text("# recorded\n0\n0.1\n0.15\n")
    (folder / "log.csv").write_text("TIMESTAMP,tokens\n0,7\n0.1,8\n0.15,9\n")
    (folder / "old.jtl").write_text(OLD_JTL)
    first = shutil.copytree(MEASURED_BEFORE, folder / "servemark-results" / "20260102T030405Z-http")
    (folder / "servemark-results" / "latest").symlink_to(first.name)
    shell._command.environ["SERVEMARK_HISTORY"] = str(folder / "history.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVEMARK_HISTORY", str(folder / "history.db"))
        for day in range(24):
            p50_ms = (24.0 if day > 13 else 20.0) + day % 3 / 10
            remembered(folder / "before" / f"{day:02}", measured(day, p50_ms=p50_ms))
    (folder / "requests.jsonl").write_text('{"x": 1}\n{"x": 2}\n')
    new = ["-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "both.pem", "-days", "2", "-subj", "/CN=test"]
    subprocess.run(["openssl", "req", "-x509", *new], cwd=folder, check=True, capture_output=True)
    both = (folder / "both.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "both.pem").write_text(both)
    with answering() as plain, answering(folder / "both.pem") as tls, serving(shell, port, "-w 1"):
        known = {
            "--mms 127.0.0.1:8080": f"--mms 127.0.0.1:{port}",
            "--mms HOST": f"--mms 127.0.0.1:{port}",
            "--server HOST:8080": f"--server 127.0.0.1:{port}",
            "-m MODEL": "-m resnet-18",
            "-i FILE": "-i cat.jpg",
            "http://127.0.0.1:8080": f"http://{plain}",
            "http://127.0.0.1:8000": f"http://{plain}",
            "https://HOST": f"https://{tls}",
            "--duration 10": "--duration 1",
            "--duration 30": "--duration 1",
            "p99<200ms": "p99<60s",  # which is met however busy this machine is
        }
        yield shell, port, known
    shell.assert_nothing_left()


_ELSEWHERE = {command.text for name in PAGES if name not in FROM_TOP_TO_BOTTOM for command in commands(name)}
OTHERS = sorted(_ELSEWHERE & EXECUTED.keys())


@pytest.mark.parametrize("text", OTHERS)
def test_a_command_of_the_pages_does_what_they_say(reader: tuple[Shell, int, dict[str, str]], text: str) -> None:
    shell, port, known = reader
    execution = EXECUTED[text]
    append = as_read(execution.append, port, {})
    how = Execution(append, execution.until_it_measures, execution.status, execution.says)
    shell.run(as_read(text, port, known), how)


def test_the_commands_in_the_text_that_only_look_run(reader: tuple[Shell, int, dict[str, str]]) -> None:
    shell, *_ = reader
    looking = ("./benchmark.py doctor", "./benchmark.py models")
    assert {text for name in PAGES for text in inline_commands(name)} >= set(looking)
    for text in looking:
        assert shell.run(text)
