"""``--server`` and ``--mms``: servers that somebody else runs are found, measured, and left exactly as they were."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from servemark import open_records
from servemark.environments.mms import MmsEnvironment, mms_environment
from servemark.servers import ModelSettings, ServerSettings
from servemark.servers.dialect import dialect
from servemark.servers.http.connection import send_once
from servemark.servers.mms.archives import ServeRequest
from servemark.servers.mms.instance import Instance
from servemark.servers.mms.managed import ManagedLauncher, ManagedServer
from servemark.servers.mms.management import ModelDescription
from servemark.servers.mms.process import started_mms
from servemark.servers.mms.sites.local import LocalSite, Start
from servemark.servers.ports import free_port_pair
from servemark.workload.inputs import Input
from servemark.zoo.build import build_model
from servemark.zoo.catalogue import find
from servemark.zoo.pack.mar import write_archive

pytestmark = pytest.mark.slow

#: Does what the request's body says, and counts the calls.
OBEDIENT = """
import time
calls = 0

def handle(data, context):
    global calls
    if data is None:
        return None
    order = data[0].get("body")
    what, number = (order.decode() if isinstance(order, (bytes, bytearray)) else order).split()
    calls += 1
    if what == "good-first" and calls > int(number) or what == "bad-every" and calls % int(number) == 0:
        raise RuntimeError("as ordered")
    if what == "slow-after" and calls > int(number):
        time.sleep(20)
    return ["OK"] * len(data)
"""


@pytest.fixture(scope="module")
def obedient_archive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("obedient")
    (folder / "service.py").write_text(OBEDIENT)
    archive = folder / "obedient.mar"
    write_archive(archive, model_name="obedient", handler="service:handle", files={"service.py": folder / "service.py"})
    return archive


@contextmanager
def _server(*, tls: bool) -> Iterator[ManagedServer]:
    with ExitStack() as stack:
        server = stack.enter_context(
            ManagedLauncher(ServeRequest((find("noop"),), tls=tls)).serve(ServerSettings(job_queue_size=20))
        )
        stack.enter_context(server.serve_models(ModelSettings(workers=1)))
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[ManagedServer]:
    """Somebody's server over plain HTTP, with one model, noop-v1.0."""
    with _server(tls=False) as started:
        yield started


@pytest.fixture(scope="module")
def tls_server() -> Iterator[ManagedServer]:
    """The same over https, with a certificate that it signed itself."""
    with _server(tls=True) as started:
        yield started


@pytest.fixture
def obedient(server, obedient_archive) -> Iterator[str]:
    """A model that is not ours, fresh on the server; the name."""
    url = server.put_in_store(obedient_archive)
    server.management.register(
        url, model_name="obedient", initial_workers=1, synchronous=True, response_timeout_s=60, timeout_s=60
    )
    yield "obedient"
    server.management.unregister("obedient")


def models(server: ManagedServer) -> dict[str, tuple[object, ...]]:
    """The server's models as it describes them, workers by id."""

    def facts(model: ModelDescription) -> tuple[object, ...]:
        return (
            model.url,
            model.min_workers,
            model.max_workers,
            model.batch_size,
            tuple(w.worker_id for w in model.workers),
        )

    return {listed.name: facts(server.management.describe(listed.name)) for listed in server.management.list_models()}


@pytest.fixture
def unchanged(server, tls_server) -> Iterator[None]:
    """Both servers are afterwards as they were before: models, workers, settings."""
    before = models(server), models(tls_server)
    yield
    assert (models(server), models(tls_server)) == before


def port(server: ManagedServer) -> int:
    return server.addresses["inference"].port


@pytest.mark.parametrize("form", ["{host}:{port}", "http://{host}:{port}", "http://localhost:{port}/"])
def test_a_server_is_found_by_every_form_of_its_address(command, server, unchanged, form):
    run = command.run(f"latency --mms {form.format(host='127.0.0.1', port=port(server))} -m noop -l 10 -t 2")
    assert run.status == 0, run.stderr
    assert run.step["succeeded"] == 20
    assert run.benchmark["model"] == "noop-v1.0"
    assert run.benchmark["cold_start_ms"] is None
    assert run.result["server"]["launcher"] == "running"
    assert run.result["server"]["url"].endswith(f":{port(server)}")
    assert run.benchmark["runs"][0]["server"]["read_back"]["workers"] == 1
    assert (run.folder / "server" / "server.json").is_file()
    assert "starting" not in run.stderr


@pytest.mark.parametrize("scheme", ["https://", ""])
def test_a_self_signed_certificate_of_this_machine_is_taken_and_said_so(command, tls_server, unchanged, scheme):
    run = command.run(f"latency --mms {scheme}localhost:{port(tls_server)} -m noop -l 10")
    assert run.status == 0, run.stderr
    assert run.step["succeeded"] == 10
    assert "certificate" in run.stderr
    assert "not checked" in run.stderr
    assert open_records(run.records).memmap()["tls_us"].max() > 0


def test_a_ca_file_that_did_not_sign_the_certificate_is_an_error_with_the_next_step(command, tls_server):
    import certifi

    run = command.run(f"ping --mms https://localhost:{port(tls_server)} --ca-file {certifi.where()} -l 1")
    assert run.status == 4
    assert "is not trusted" in run.error_line
    assert "--insecure" in run.error_line


def test_ping_and_throughput_measure_a_running_server(command, server, unchanged):
    run = command.run(f"ping --mms 127.0.0.1:{port(server)} -t 4 -l 50 --expect json:status")
    assert run.status == 0
    assert run.step["succeeded"] == 200
    run = command.run(f"throughput --mms 127.0.0.1:{port(server)} -m noop-v1.0 -t 4 --duration 1 --warmup 0")
    assert run.status == 0
    assert "saturated" in run.stdout


class ToolkitSite(LocalSite):
    """Starts the server as SageMaker's toolkit does: with its only model from the start, called model."""

    def __init__(self, environment: MmsEnvironment, archive: Path) -> None:
        super().__init__(environment)
        self._archive = archive

    def prepare(self, instance: Instance) -> Start:
        shutil.copyfile(self._archive, instance.store / self._archive.name)
        start = super().prepare(instance)
        return replace(start, command=(*start.command, "--models", f"model={self._archive.name}"))


@pytest.fixture(scope="module")
def toolkit() -> Iterator[int]:
    """The port of a Multi Model Server as a SageMaker container has it, whose model answers."""
    environment, noop = mms_environment(None, print), find("noop")
    site = ToolkitSite(environment, build_model(noop, environment, print).archive)
    with started_mms(site, ServerSettings(), tls=False, choose_ports=free_port_pair, log=None) as mms:
        asked = dialect("sagemaker").prediction("model", Input(b"hello", "text/plain", "test"))
        give_up_s = time.monotonic() + 60
        while send_once(mms.inference, asked, 30).status != 200:
            assert time.monotonic() < give_up_s
            time.sleep(0.1)
        yield mms.inference.port


def test_what_a_server_speaks_is_found_out_or_said_and_measured_alike(command, toolkit):
    """Multi Model Server itself answers as a SageMaker container does, with the model that it started with."""
    (command.cwd / "text.txt").write_text("hello")
    run = command.run(f"latency --server 127.0.0.1:{toolkit} -m model -i text.txt -l 20")
    assert run.status == 0
    assert (run.result["server"]["product"], run.benchmark["model"]) == ("Multi Model Server", "model")
    run = command.run(f"latency --server 127.0.0.1:{toolkit} --dialect sagemaker -m noop -l 20")
    assert run.status == 0
    assert (run.result["server"]["product"], run.step["succeeded"]) == ("SageMaker container", 20)
    run = command.run(f"throughput --server 127.0.0.1:{toolkit} --dialect sagemaker -i text.txt -t 4 -l 20")
    assert (run.status, run.benchmark["model"]) == (0, "model")
    run = command.run(f"load --server 127.0.0.1:{toolkit} --dialect sagemaker -m noop")
    assert run.status == 2
    assert "no call that loads a model" in run.error_line


@pytest.mark.parametrize("tls", [False, True])
def test_a_zoo_model_that_the_server_lacks_is_offered_and_removed(command, server, tls_server, unchanged, tls):
    wanted = tls_server if tls else server
    run = command.run(f"latency --mms 127.0.0.1:{port(wanted)} -m lstm -l 2 -w 2")
    assert run.status == 0, run.stderr
    assert run.step["succeeded"] == 2
    assert run.benchmark["cold_start_ms"] > 0
    assert run.benchmark["runs"][0]["server"]["read_back"]["workers"] == 2
    assert "offering lstm_ptb" in run.stderr


def test_an_offered_model_is_removed_after_ctrl_c(command, server, unchanged):
    with command.started(f"latency --mms 127.0.0.1:{port(server)} -m lstm -w 1 --duration 60") as started:
        started.wait_until_measuring()
        started.interrupt()
        run = started.end()
    assert run.status == 130
    assert run.result["partial"] is True
    assert run.step["succeeded"] > 0


def test_workers_of_a_model_that_was_there_before_are_not_changed(command, server, unchanged):
    run = command.run(f"latency --mms 127.0.0.1:{port(server)} -m noop -w 3 -l 1")
    assert run.status == 2
    assert "noop-v1.0 was on the server before" in run.error_line
    assert "-w" in run.error_line


def test_an_unknown_model_names_what_the_server_and_the_zoo_have(command, server, unchanged):
    run = command.run(f"latency --mms 127.0.0.1:{port(server)} -m nothing -l 1")
    assert run.status == 2
    assert "'nothing'" in run.error_line
    assert "the server has noop-v1.0" in run.error_line
    assert "resnet" in run.error_line


def test_a_model_that_is_not_ours_needs_an_input_and_works_with_one(command, server, obedient):
    run = command.run(f"latency --mms 127.0.0.1:{port(server)} -m obedient -l 3")
    assert run.status == 2
    assert "-i" in run.error_line
    (command.cwd / "order.txt").write_text("good-first 1000")
    run = command.run(f"latency --mms 127.0.0.1:{port(server)} -m obedient -i order.txt -l 3")
    assert run.status == 0, run.stderr
    assert run.step["succeeded"] == 3


def test_when_every_request_fails_that_is_said_first(command, server, obedient):
    (command.cwd / "order.txt").write_text("good-first 1")
    run = command.run(f"latency --mms 127.0.0.1:{port(server)} -m obedient -i order.txt -l 10 -t 2")
    assert run.status == 4
    first = run.stdout.splitlines()[0].removeprefix("INVALID ")
    assert first.startswith("latency obedient: every request failed: 20 http_status:503")
    assert run.step["requests"] == 20
    assert run.step["errors"] == {"http_status:503": 20}
    assert run.step["succeeded"] == run.step["measured"] == 0
    assert run.step["response_ms"]["p50"]["value"] is None
    assert run.step["failed_response_ms"]["max"] > 0
    assert run.step["error_examples"][0]["kind"] == "http_status:503"
    assert run.step["error_examples"][0]["body"]


def test_a_timeout_that_no_answer_meets_is_every_request_timing_out(command, server, obedient):
    (command.cwd / "order.txt").write_text("slow-after 1")
    run = command.run(f"latency --mms 127.0.0.1:{port(server)} -m obedient -i order.txt -l 3 --timeout 0.2")
    assert run.status == 4
    assert "every request failed: 3 timeout" in run.stdout.splitlines()[0]
    assert run.step["errors"] == {"timeout": 3}
    assert 200 <= run.step["failed_response_ms"]["min"] < 2000


@pytest.mark.parametrize(("words", "status"), [("", 1), ("--max-errors 20%", 0), ("--max-errors 19%", 1)])
def test_more_failures_than_allowed_fail_the_run(command, server, obedient, words, status):
    (command.cwd / "order.txt").write_text("bad-every 5")
    # One call for readiness, then the 2nd to the 101st: 20 of 100 fail.
    run = command.run(f"latency --mms 127.0.0.1:{port(server)} -m obedient -i order.txt -l 100 {words}")
    assert run.status == status, run.stdout
    assert run.step["errors"] == {"http_status:503": 20}
    assert run.step["succeeded"] == 80
    assert "20.00% of all 100 sent failed: 20 http_status:503" in " ".join(run.stdout.split())


def test_a_full_queue_is_named_as_such(command, server, unchanged):
    run = command.run(f"throughput --mms 127.0.0.1:{port(server)} -m noop -t 200 -l 20")
    assert run.step["errors"].get("http_status:503", 0) > 0
    assert "queue" in " ".join(example["message"] for example in run.step["error_examples"])
    assert "queue" in run.stdout


@pytest.mark.parametrize("interrupts", [1, 2])
def test_ctrl_c_while_requests_hang_cancels_them(command, server, obedient, interrupts):
    (command.cwd / "order.txt").write_text("slow-after 4")
    with command.started(f"latency --mms 127.0.0.1:{port(server)} -m obedient -i order.txt -l 9 -t 2") as started:
        started.wait_until_measuring(records=3)
        started.interrupt()
        if interrupts == 2:
            time.sleep(0.2)  # two signals at once are one
            started.interrupt()
        run = started.end(timeout_s=60)
    assert run.status == 130
    assert run.result["partial"] is True
    assert run.benchmark["partial"] is True
    assert run.step["succeeded"] == 3
    assert run.step["errors"] == {"cancelled": 2}
    assert run.stdout.startswith("PARTIAL ")


def test_a_model_that_is_removed_meanwhile_ends_the_run(command, server, obedient):
    (command.cwd / "order.txt").write_text("good-first 1000000")
    line = f"latency --mms 127.0.0.1:{port(server)} -m obedient -i order.txt --duration 60 --warmup 0"
    with command.started(line) as started:
        started.wait_until_measuring()
        server.management.unregister(obedient)
        try:
            run = started.end()
        finally:
            server.management.register(
                "obedient.mar", model_name="obedient", initial_workers=1, synchronous=True, timeout_s=60
            )
    assert run.status == 4
    assert "no longer has the model obedient" in run.error_line
    assert run.result["partial"] is True
    assert run.step["succeeded"] > 0


@contextmanager
def forwarder(to: int) -> Iterator[int]:
    """A port that passes everything on to `to`, and behind which there is no management API."""
    with socket.create_server(("127.0.0.1", free_port_pair()[0])) as listener:

        def pump(source: socket.socket, sink: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    upstream = socket.create_connection(("127.0.0.1", to))
                    for pair in ((client, upstream), (upstream, client)):
                        threading.Thread(target=pump, args=pair, daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=5)


def test_a_server_without_a_management_api_in_reach_is_used_as_it_is(command, server, unchanged):
    with forwarder(port(server)) as through:
        run = command.run(f"latency --mms http://127.0.0.1:{through} -m noop -l 5")
        assert run.status == 0, run.stderr
        assert f"no management API answers at port {through + 1}" in run.stderr
        assert run.benchmark["runs"][0]["server"]["read_back"] == {}
        run = command.run(f"latency --mms http://127.0.0.1:{through} -m squeezenet -l 5")
        assert run.status == 4
        assert "without its management API it cannot be given one" in run.error_line
        assert "curl -X POST" in run.error_line


def test_a_management_port_at_which_nobody_answers_is_an_error(command, server, unchanged):
    closed = free_port_pair()[0]
    run = command.run(f"latency --mms 127.0.0.1:{port(server)} --management-port {closed} -l 1")
    assert run.status == 4
    assert f"no management API answers at 127.0.0.1 port {closed}" in run.error_line
    assert "--management-port" in run.error_line


class _SomethingElse(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"sorry")

    def log_message(self, *_: object) -> None:
        pass


def test_what_is_no_multi_model_server_is_said_to_be_none(command):
    with ThreadingHTTPServer(("127.0.0.1", 0), _SomethingElse) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        try:
            run = command.run(f"latency --mms 127.0.0.1:{other.server_port} -l 1")
        finally:
            other.shutdown()
    assert run.status == 4
    assert f"no Multi Model Server answers at 127.0.0.1 port {other.server_port}" in run.error_line
    assert "404" in run.error_line
    assert "--mms" in run.error_line


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (lambda: f"127.0.0.1:{free_port_pair()[0]}", "nobody answers at 127.0.0.1 port"),
        (lambda: f"https://localhost:{free_port_pair()[0]}", "nobody answers at localhost port"),
        (lambda: "no-such-host.invalid:80", "the host no-such-host.invalid is not known"),
    ],
)
def test_a_server_that_cannot_be_reached_is_said_so(command, address: Callable[[], str], said):
    run = command.run(f"latency --mms {address()} -l 1")
    assert run.status == 4
    assert said in run.error_line
    assert "--mms" in run.error_line
    assert run.result is None
    assert not (command.cwd / "servemark-results").exists()


@pytest.mark.parametrize("address", ["ftp://h", "h:0", "h:99999", "h:x", "http://", "[::1", "user@h:80"])
def test_an_address_of_another_form_is_a_usage_error(command, address):
    run = command.run(f"latency --mms {address} -l 1")
    assert run.status == 2
    assert "cannot read the server" in run.error_line
