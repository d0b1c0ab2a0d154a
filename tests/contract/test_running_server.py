"""The launcher *running* (``--server``) against real servers: found, told apart, used, and left as they were."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from servemark.errors import ModelError, ServerDiedError, UnreachableError, UsageError
from servemark.servers import ModelSettings, ServerSettings
from servemark.servers.http.connection import send_once
from servemark.servers.http.finding import find_server
from servemark.servers.http.trust import Trust
from servemark.servers.mms.archives import ModelArchive, ServeRequest
from servemark.servers.mms.managed import ManagedLauncher, ManagedServer
from servemark.servers.mms.management import ManagementClient
from servemark.servers.running import RunningLauncher
from servemark.workload.endpoint import Place
from servemark.workload.headers import parse_headers
from servemark.workload.inputs import Input

from .predicting import prediction_of

pytestmark = pytest.mark.slow

TEXT = Input(b"work", "text/plain", "test")
AS_IT_IS = ModelSettings(workers=None)


def port_of(server: ManagedServer) -> int:
    return server.addresses["inference"].port


@pytest.fixture
def something_else() -> Iterator[int]:
    """The port of a web server that is no model server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello from elsewhere")

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield web.server_address[1]
        web.shutdown()
        thread.join()


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that is taken but on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("target", ["http://127.0.0.1:{}", "http://localhost:{}/", "127.0.0.1:{}", "localhost:{}"])
def test_a_plain_server_is_found(server: ManagedServer, target: str) -> None:
    with RunningLauncher(target.format(port_of(server)), ()).serve(ServerSettings()) as found:
        assert found.addresses["inference"].tls is None
        assert found.addresses["inference"].ip == "127.0.0.1"
        assert found.addresses["management"].port == port_of(server) + 1
        assert found.failure() is None


@pytest.mark.parametrize("scheme", ["", "https://"])
def test_a_tls_server_is_found_and_its_unchecked_certificate_is_said(tls_server: ManagedServer, scheme: str) -> None:
    notes: list[str] = []
    launcher = RunningLauncher(
        f"{scheme}localhost:{port_of(tls_server)}", ("obedient",), inputs=(TEXT,), progress=notes.append
    )
    with tls_server.serve_models(ModelSettings(workers=1)), launcher.serve(ServerSettings()) as found:
        tls = found.addresses["inference"].tls
        assert tls is not None
        assert not tls.verify
        with found.serve_models(AS_IT_IS) as (served,):
            assert send_once(found.addresses["inference"], prediction_of(found, served), 10).body == b"OK"
    assert any("is not checked" in note for note in notes)


def test_the_certificate_is_checked_against_a_ca_file(tls_server: ManagedServer, tmp_path: Path) -> None:
    certificate = tls_server.certificate
    assert certificate is not None
    found = find_server(f"localhost:{port_of(tls_server)}", trust=Trust(ca_file=certificate), progress=print)
    tls = found.address.tls
    assert tls is not None
    assert tls.verify
    assert tls.ca_pem == certificate.read_bytes().replace(b"\r\n", b"\n")


def test_a_certificate_of_another_authority_is_refused(tls_server: ManagedServer, tmp_path: Path) -> None:
    import certifi

    trust = Trust(ca_file=Path(certifi.where()))
    with pytest.raises(UnreachableError, match=r"is not trusted.*--insecure"):
        find_server(f"localhost:{port_of(tls_server)}", trust=trust, progress=print)


def test_another_place_is_connected_to_under_the_name_of_the_target(tls_server: ManagedServer) -> None:
    place = Place("127.0.0.1", port_of(tls_server))
    with (
        pytest.raises(UnreachableError, match=r"models.example:9999 is not trusted"),
        RunningLauncher("https://models.example:9999", (), connect_to=place).serve(ServerSettings()),
    ):
        pytest.fail("a tunnel's end is not the name's")
    trust = Trust(insecure=True)
    launcher = RunningLauncher("https://models.example:9999", (), connect_to=place, trust=trust)
    with launcher.serve(ServerSettings()) as found:
        inference, management = found.addresses["inference"], found.addresses["management"]
    assert (inference.ip, inference.port, inference.authority) == (
        "127.0.0.1",
        port_of(tls_server),
        "models.example:9999",
    )
    assert inference.tls is not None
    assert inference.tls.server_name == "models.example"
    assert management.port == port_of(tls_server) + 1


def test_headers_reach_the_handler_and_the_management_api_gets_none(server: ManagedServer) -> None:
    headers = parse_headers(["X-Tenant: me", "Content-Type: text/plain"], {})
    ask = Input(b"header", "image/jpeg", "test")
    launcher = RunningLauncher(f"127.0.0.1:{port_of(server)}", ("obedient",), inputs=(ask,), headers=headers)
    with server.serve_models(ModelSettings(workers=1)), launcher.serve(ServerSettings()) as found:
        assert found.addresses["management"].headers == ()
        with found.serve_models(AS_IT_IS) as (served,):
            assert send_once(found.addresses["inference"], prediction_of(found, served), 10).body == b"me"


def test_a_client_certificate_has_no_use_without_tls(server: ManagedServer, tls_server: ManagedServer) -> None:
    trust = Trust(client_cert=tls_server.certificate)
    with pytest.raises(UsageError, match="there is no PEM private key"):
        find_server(f"https://127.0.0.1:{port_of(tls_server)}", trust=trust, progress=print)
    with pytest.raises(UsageError, match=r"does not speak TLS, so --client-cert has no use"):
        find_server(f"http://127.0.0.1:{port_of(server)}", trust=trust, progress=print)


def test_the_wrong_scheme_is_said(server: ManagedServer, tls_server: ManagedServer) -> None:
    for text, right in (
        (f"https://127.0.0.1:{port_of(server)}", "it speaks no TLS: write http:// instead of https://"),
        (f"http://127.0.0.1:{port_of(tls_server)}", "it speaks TLS: write https:// instead of http://"),
    ):
        with pytest.raises(UnreachableError, match=f"no Multi Model Server answers.*{right}"):
            find_server(text, named="mms", trust=Trust(), progress=print)
        with pytest.raises(UnreachableError, match=f"no model server that is known answers.*{right}"):
            find_server(text, trust=Trust(), progress=print)


def test_something_that_is_no_mms(something_else: int) -> None:
    with pytest.raises(UnreachableError, match=r"no Multi Model Server.*GET /ping with 200 'hello from elsewhere'"):
        find_server(f"127.0.0.1:{something_else}", named="mms", trust=Trust(), progress=print)


def test_nobody_answers(free_port: int) -> None:
    with pytest.raises(UnreachableError, match=r"nobody answers.*refused.*start the server"):
        find_server(f"127.0.0.1:{free_port}", trust=Trust(), progress=print)


def test_an_unknown_host() -> None:
    with pytest.raises(UnreachableError, match=r"host nowhere\.invalid is not known"):
        find_server("nowhere.invalid:80", trust=Trust(), progress=print)


@pytest.mark.parametrize("name", ["noop", "noop-v1.0", "NOOP"])
def test_a_zoo_model_that_the_server_lacks_is_offered_and_removed(server: ManagedServer, name: str) -> None:
    launcher = RunningLauncher(f"127.0.0.1:{port_of(server)}", (name,))
    with launcher.serve(ServerSettings()) as found:
        with found.serve_models(ModelSettings(workers=2)) as (served,):
            assert served.name == "noop-v1.0"
            assert served.backend == server.facts["backend"]
            assert served.read_back["workers"] == 2
            assert served.cold_start_ms is not None
            assert found.read_back() == {"noop-v1.0": served.read_back}
            assert server.management.describe("noop-v1.0").ready_workers == 2
        assert server.management.list_models() == ()


def test_of_several_models_those_that_the_server_has_are_used_and_the_others_offered(
    server: ManagedServer, obedient: ModelArchive
) -> None:
    launcher = RunningLauncher(f"127.0.0.1:{port_of(server)}", ("lstm", "noop"))
    server.management.register(server.put_in_store(obedient.archive), model_name="lstm_ptb", initial_workers=1)
    with launcher.serve(ServerSettings()) as found:
        with found.serve_models(AS_IT_IS) as (theirs, ours):
            assert (theirs.name, theirs.register_ms, theirs.url) == ("lstm_ptb", None, "obedient.mar")
            assert (ours.name, ours.register_ms is None) == ("noop-v1.0", False)
            assert found.read_back() == {"lstm_ptb": theirs.read_back, "noop-v1.0": ours.read_back}
            assert found.failure() is None
            server.management.unregister("lstm_ptb")
            deadline = time.monotonic() + 10
            while not (failure := found.failure()) and time.monotonic() < deadline:
                time.sleep(0.05)  # it looks now and then, so as not to disturb
            assert "no longer has the model lstm_ptb" in str(failure)
        assert server.management.list_models() == ()


def test_an_offered_model_can_be_registered_again_many_times_at_once(server: ManagedServer) -> None:
    launcher = RunningLauncher(f"127.0.0.1:{port_of(server)}", ("noop",))
    with launcher.serve(ServerSettings()) as found, found.serve_models(ModelSettings(workers=1)) as (served,):
        assert served.url is not None
        names = [f"noop-{number}" for number in range(16)]
        with ThreadPoolExecutor(len(names)) as pool:
            register = partial(server.management.register, served.url, synchronous=True)
            done = [pool.submit(register, model_name=name) for name in names]
            assert [one.result().status for one in done] == [200] * len(names)
        assert {model.name for model in server.management.list_models()} == {"noop-v1.0", *names}
        for name in names:
            server.management.unregister(name)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_offered_model_is_removed_after_an_exception(server: ManagedServer, error: type[BaseException]) -> None:
    launcher = RunningLauncher(f"127.0.0.1:{port_of(server)}", ("noop",))
    with pytest.raises(error), launcher.serve(ServerSettings()) as found, found.serve_models(AS_IT_IS):
        raise error
    assert server.management.list_models() == ()


def test_a_zoo_model_is_offered_over_tls_too(tls_server: ManagedServer) -> None:
    launcher = RunningLauncher(f"https://localhost:{port_of(tls_server)}", ("noop",))
    with launcher.serve(ServerSettings()) as found, found.serve_models(ModelSettings(workers=1)) as (served,):
        assert send_once(found.addresses["inference"], prediction_of(found, served), 10).body == b"OK"
    assert tls_server.management.list_models() == ()


def test_an_existing_model_is_used_and_left_alone(server: ManagedServer, obedient: ModelArchive) -> None:
    with server.serve_models(ModelSettings(workers=2, batch_size=2)):
        before = server.management.describe("obedient")
        launcher = RunningLauncher(f"127.0.0.1:{port_of(server)}", ("obedient",), inputs=(TEXT,))
        with launcher.serve(ServerSettings()) as found, found.serve_models(AS_IT_IS) as (served,):
            assert (served.name, served.backend, served.cold_start_ms) == ("obedient", None, None)
            assert served.read_back["workers"] == 2
            assert served.read_back["batch_size"] == 2
            assert found.failure() is None
        after = server.management.describe("obedient")
        assert [worker.worker_id for worker in after.workers] == [worker.worker_id for worker in before.workers]
        assert (after.min_workers, after.batch_size, after.url) == (before.min_workers, before.batch_size, before.url)


def test_an_alias_finds_the_servers_own_spelling(server: ManagedServer, obedient: ModelArchive) -> None:
    url = server.put_in_store(obedient.archive)
    server.management.register(url, model_name="lstm_ptb", initial_workers=1)
    try:
        launcher = RunningLauncher(f"127.0.0.1:{port_of(server)}", ("lstm",), inputs=(TEXT,))
        with launcher.serve(ServerSettings()) as found, found.serve_models(AS_IT_IS) as (served,):
            assert served.name == "lstm_ptb"
            assert served.cold_start_ms is None
        assert [model.name for model in server.management.list_models()] == ["lstm_ptb"]
    finally:
        server.management.unregister("lstm_ptb")


def test_workers_of_an_existing_model_are_not_ours_to_change(server: ManagedServer) -> None:
    launcher = RunningLauncher(f"127.0.0.1:{port_of(server)}", ("obedient",), inputs=(TEXT,))
    with server.serve_models(ModelSettings(workers=1)), launcher.serve(ServerSettings()) as found:
        with (
            pytest.raises(UsageError, match=r"was on the server before.*-w"),
            found.serve_models(ModelSettings(workers=3)),
        ):
            pass
        assert server.management.describe("obedient").ready_workers == 1


def test_a_model_that_is_not_ours_needs_an_input(server: ManagedServer) -> None:
    launcher = RunningLauncher(f"127.0.0.1:{port_of(server)}", ("obedient",))
    with (
        server.serve_models(ModelSettings(workers=1)),
        launcher.serve(ServerSettings()) as found,
        pytest.raises(UsageError, match="say with -i what to send"),
    ):
        found.serve_models(AS_IT_IS).__enter__()


def test_an_unknown_model_lists_what_there_is(server: ManagedServer) -> None:
    launcher = RunningLauncher(f"127.0.0.1:{port_of(server)}", ("nobody",), inputs=(TEXT,))
    with (
        server.serve_models(ModelSettings(workers=1)),
        launcher.serve(ServerSettings()) as found,
        pytest.raises(UsageError, match=r"'nobody'.*the server has obedient; the zoo has resnet"),
    ):
        found.serve_models(AS_IT_IS).__enter__()


@pytest.fixture
def without_management(server: ManagedServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The target of a server whose management API cannot be reached."""
    monkeypatch.setattr("servemark.servers.mms.management_address._answering", lambda *_: None)
    return f"127.0.0.1:{port_of(server)}"


def test_a_server_without_management_is_used_as_it_is(server: ManagedServer, without_management: str) -> None:
    notes: list[str] = []
    launcher = RunningLauncher(without_management, ("obedient",), inputs=(TEXT,), progress=notes.append)
    with server.serve_models(ModelSettings(workers=1)), launcher.serve(ServerSettings()) as found:
        assert "management" not in found.addresses
        with found.serve_models(AS_IT_IS) as (served,):
            assert served.read_back == {}
            assert found.read_back() == {}
            assert found.failure() is None
    assert any("no management API answers" in note for note in notes)


def test_without_management_a_missing_model_is_named_with_the_command(without_management: str) -> None:
    launcher = RunningLauncher(without_management, ("noop",))
    with (
        launcher.serve(ServerSettings()) as found,
        pytest.raises(ModelError, match=r"register it by hand: copy .*noop-v1\.0\.mar .*curl -X POST"),
    ):
        found.serve_models(AS_IT_IS).__enter__()


def test_a_management_port_that_was_given_must_answer(server: ManagedServer, free_port: int) -> None:
    with pytest.raises(UnreachableError, match="check --management-port"):
        RunningLauncher(f"127.0.0.1:{port_of(server)}", (), management_port=free_port).serve(
            ServerSettings()
        ).__enter__()


def test_a_model_that_the_server_cannot_run_is_not_left_behind(
    server: ManagedServer, make_archive: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from .conftest import BROKEN_IMPORT

    broken = ModelArchive("noop-v1.0", make_archive("noop-v1.0", BROKEN_IMPORT), (TEXT,), lambda _: None, "onnx")
    monkeypatch.setattr("servemark.servers.mms.running.archive_of_zoo", lambda *_: broken)
    launcher = RunningLauncher(f"127.0.0.1:{port_of(server)}", ("noop",))
    with (
        launcher.serve(ServerSettings()) as found,
        pytest.raises(ModelError, match=r"cannot import ONNX Runtime.*--backend mxnet"),
    ):
        found.serve_models(AS_IT_IS).__enter__()
    assert server.management.list_models() == ()


def test_a_server_that_ends_in_use_is_a_failure(obedient: ModelArchive, tmp_path: Path) -> None:
    with ManagedLauncher(ServeRequest((obedient,))).serve(ServerSettings()) as mine:
        launcher = RunningLauncher(f"127.0.0.1:{port_of(mine)}", ())
        with launcher.serve(ServerSettings()) as found:
            found.save_logs(tmp_path)
            mine.stop()
            failure = found.failure()
    assert isinstance(failure, ServerDiedError)
    assert "refuses connections" in str(failure)
    assert (tmp_path / "server.json").exists()


def test_the_management_client_of_a_tls_server_works(tls_server: ManagedServer) -> None:
    with ManagementClient(tls_server.addresses["management"]) as client:
        assert client.list_models() == ()
