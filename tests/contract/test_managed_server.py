"""The launcher *managed* against the real server: ready, watched, and gone afterwards, whatever happens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from servemark.environments.cache import cache_dir
from servemark.errors import ModelError, ServerDiedError, ServerStartError
from servemark.servers import ModelSettings, ServerSettings, default_workers
from servemark.servers.http.connection import send_once
from servemark.servers.mms.archives import ModelArchive, ServeRequest, accept_any
from servemark.servers.mms.dialect import DIALECT
from servemark.servers.mms.managed import ManagedLauncher, ManagedServer
from servemark.servers.ports import free_port_pair
from servemark.workload.inputs import Input
from servemark.zoo.catalogue import find

from ..processes import runs, wait_until
from .conftest import BROKEN_IMPORT, QUEUE
from .predicting import prediction_of

pytestmark = pytest.mark.slow

FindProcesses = Callable[[int], list[psutil.Process]]


def instances() -> set[str]:
    folder = cache_dir() / "instances"
    return {path.name for path in folder.iterdir() if path.is_dir()} if folder.exists() else set()


def test_a_model_is_served_as_asked_and_removed(server: ManagedServer) -> None:
    with server.serve_models(ModelSettings(workers=2, batch_size=3, max_batch_delay_ms=5)) as (served,):
        assert served.name == "obedient"
        assert served.read_back == {"workers": 2, "batch_size": 3, "max_batch_delay_ms": 5}
        assert served.requested == {"workers": 2, "batch_size": 3, "max_batch_delay_ms": 5}
        assert server.read_back() == {"obedient": served.read_back}
        assert served.url == "obedient.mar"
        assert served.cold_start_ms is not None
        assert served.register_ms is not None
        assert send_once(server.addresses["inference"], prediction_of(server, served), 10).body == b"OK"
        assert server.failure() is None
    assert server.management.list_models() == ()
    assert server.read_back() == {}


def test_several_models_are_served_together_and_watched(obedient: ModelArchive) -> None:
    launcher = ManagedLauncher(ServeRequest((find("noop"), obedient)))
    with launcher.serve(ServerSettings()) as server:
        with server.serve_models(ModelSettings(workers=1)) as served:
            assert [model.name for model in served] == ["noop-v1.0", "obedient"]
            assert server.read_back() == {model.name: model.read_back for model in served}
            for model in served:
                assert send_once(server.addresses["inference"], prediction_of(server, model), 10).body == b"OK"
                assert model.url
                server.management.register(model.url, model_name=f"{model.name}-again", initial_workers=1)
                server.management.unregister(f"{model.name}-again")
            assert server.failure() is None
            request = DIALECT.prediction("obedient", Input(b"die", "text/plain", "test"))
            assert send_once(server.addresses["inference"], request, 10).status == 500
            wait_until(server.failure, 15)
            assert "of obedient" in str(server.failure())
        assert server.management.list_models() == ()


def test_when_the_second_model_cannot_be_loaded_the_first_is_removed(
    make_archive: Callable[[str, str], Path], obedient: ModelArchive
) -> None:
    text = (Input(b"work", "text/plain", "test"),)
    broken = ModelArchive("broken-import", make_archive("broken-import", BROKEN_IMPORT), text, accept_any)
    with ManagedLauncher(ServeRequest((obedient, broken))).serve(ServerSettings()) as server:
        with (
            pytest.raises(ModelError, match="cannot load the model broken-import"),
            server.serve_models(ModelSettings(workers=1)),
        ):
            pass
        assert server.management.list_models() == ()
        assert server.read_back() == {}


def test_workers_default_to_the_processors(server: ManagedServer) -> None:
    with server.serve_models(ModelSettings(workers=None)) as (served,):
        assert served.read_back["workers"] == default_workers()


def test_facts_say_how_the_server_was_started(server: ManagedServer) -> None:
    assert server.version == "1.1.11"
    assert server.facts["job_queue_size"] == QUEUE
    assert str(server.facts["java"]).split(".")[0].isdigit()
    assert server.facts["url"] == server.addresses["inference"].url
    assert {address.ip for address in server.addresses.values()} == {"127.0.0.1"}


def test_logs_and_configuration_can_be_kept(server: ManagedServer, tmp_path: Path) -> None:
    server.save_logs(tmp_path / "server")
    saved = {path.name for path in (tmp_path / "server").iterdir()}
    assert {"config.properties", "log4j2.xml", "output.log", "mms_log.log"} <= saved


def test_a_zoo_model_answers_right() -> None:
    notes: list[str] = []
    lines: list[str] = []
    launcher = ManagedLauncher(ServeRequest((find("noop"),), progress=notes.append, log=lines.append))
    with launcher.serve(ServerSettings()) as server, server.serve_models(ModelSettings(workers=1)) as (served,):
        assert served.name == "noop-v1.0"
        assert served.backend == server.facts["backend"]
    assert any("starting Multi Model Server" in note for note in notes)
    assert any(line.startswith("command: ") for line in lines)
    assert any(line.startswith("management: POST /models") for line in lines)
    assert any(line.startswith("server: ") for line in lines)


def test_stopping_leaves_no_process_and_no_directory(obedient: ModelArchive, session_processes: FindProcesses) -> None:
    before = instances()
    with (
        ManagedLauncher(ServeRequest((obedient,))).serve(ServerSettings()) as server,
        server.serve_models(ModelSettings(workers=2)),
    ):
        # The start script, Java, the model's process and its two workers.
        assert len(session_processes(server.pid)) == 5
        assert len(instances() - before) == 1
    assert session_processes(server.pid) == []
    assert instances() - before == set()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_exception_in_the_body_stops_everything(
    obedient: ModelArchive, session_processes: FindProcesses, error: type[BaseException]
) -> None:
    launcher = ManagedLauncher(ServeRequest((obedient,)))
    with (
        pytest.raises(error),
        launcher.serve(ServerSettings()) as server,
        server.serve_models(ModelSettings(workers=1)),
    ):
        raise error
    assert session_processes(server.pid) == []


OWNER = """
import sys, time
from pathlib import Path
from servemark.servers import ModelSettings, ServerSettings, default_workers
from servemark.servers.mms.managed import ManagedLauncher
from servemark.servers.mms.archives import ModelArchive, ServeRequest, accept_any
from servemark.workload.inputs import Input

model = ModelArchive("obedient", Path(sys.argv[1]), (Input(b"work", "text/plain", "test"),), accept_any)
launcher = ManagedLauncher(ServeRequest((model,)))
with launcher.serve(ServerSettings()) as server, server.serve_models(ModelSettings(workers=2)):
    try:
        print(server.pid, flush=True)
        time.sleep(120)
    finally:
        print("stopping", flush=True)
"""


def start_owner(obedient: ModelArchive) -> tuple[subprocess.Popen[str], int]:
    """A servemark of its own, with a server; and that server's session."""
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), str(obedient.archive)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def test_a_server_whose_owner_was_killed_is_cleaned_up_by_the_next_run(
    obedient: ModelArchive, session_processes: FindProcesses
) -> None:
    before = instances()
    with start_owner(obedient)[0] as owner:
        (left,) = instances() - before
        owner.kill()
    # Asked beforehand, a process that ends meanwhile has none, instead of raising.
    seen = psutil.process_iter(["cmdline"])
    marked = [p for p in seen if p.pid != os.getpid() and left in " ".join(p.info["cmdline"] or [])]
    assert marked, "killing the owner should leave its server, or this test shows nothing"
    notes: list[str] = []
    with ManagedLauncher(ServeRequest(progress=notes.append)).serve(ServerSettings()):
        assert left not in instances()
        assert not any(runs(p.pid) for p in marked)
    assert any(left in note for note in notes)


def test_a_living_servemark_keeps_its_server(server: ManagedServer, obedient: ModelArchive) -> None:
    with ManagedLauncher(ServeRequest()).serve(ServerSettings()):
        assert server.failure() is None
    assert server.management.list_models() == ()


def test_interrupted_twice_it_still_leaves_nothing(obedient: ModelArchive, session_processes: FindProcesses) -> None:
    owner, session = start_owner(obedient)
    with owner:
        owner.send_signal(signal.SIGINT)
        assert owner.stdout is not None
        assert owner.stdout.readline() == "stopping\n"
        time.sleep(0.1)
        owner.send_signal(signal.SIGINT)
        owner.wait(20)
    assert session_processes(session) == []


def test_a_server_killed_in_use_is_a_failure(obedient: ModelArchive, session_processes: FindProcesses) -> None:
    with (
        ManagedLauncher(ServeRequest((obedient,))).serve(ServerSettings()) as server,
        server.serve_models(ModelSettings(workers=1)),
    ):
        (java,) = [p for p in session_processes(server.pid) if p.name() == "java"]
        java.kill()
        wait_until(server.failure, 15)
        failure = server.failure()
        assert isinstance(failure, ServerDiedError)
        assert "died while it was in use" in str(failure)
    assert session_processes(server.pid) == []


def test_a_worker_that_died_is_a_failure_that_names_it(obedient: ModelArchive) -> None:
    launcher = ManagedLauncher(ServeRequest((obedient,)))
    with launcher.serve(ServerSettings()) as server, server.serve_models(ModelSettings(workers=1)):
        request = DIALECT.prediction("obedient", Input(b"die", "text/plain", "test"))
        assert send_once(server.addresses["inference"], request, 10).status == 500
        wait_until(server.failure, 15)
        assert "worker" in str(server.failure())


def test_memory_that_ran_out_is_named(obedient: ModelArchive) -> None:
    launcher = ManagedLauncher(ServeRequest((obedient,)))
    with launcher.serve(ServerSettings()) as server, server.serve_models(ModelSettings(workers=1)):
        request = DIALECT.prediction("obedient", Input(b"memory", "text/plain", "test"))
        assert send_once(server.addresses["inference"], request, 10).status == 507
        wait_until(server.failure, 15)
        assert "out of memory" in str(server.failure())


def serve_archive(server: ManagedServer, archive: Path, *inputs: Input) -> None:
    """Have the session's server serve another model for once."""
    given = inputs or (Input(b"work", "text/plain", "test"),)
    other = ModelArchive(archive.stem, archive, given, accept_any)
    launchers, server._models = server._models, (other,)
    try:
        with server.serve_models(ModelSettings(workers=1)):
            pass
    finally:
        server._models = launchers
    assert server.management.list_models() == ()


def test_a_model_that_cannot_be_imported_is_named_with_the_reason(
    server: ManagedServer, make_archive: Callable[[str, str], Path]
) -> None:
    with pytest.raises(ModelError) as error:
        serve_archive(server, make_archive("broken-import", BROKEN_IMPORT))
    assert "ModuleNotFoundError: No module named 'a_package_that_is_not_there'" in str(error.value)
    assert "a_package_that_is_not_there" in error.value.detail


def test_a_broken_archive_is_named(server: ManagedServer, tmp_path: Path) -> None:
    archive = tmp_path / "torn.mar"
    archive.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(ModelError, match="cannot load the model torn"):
        serve_archive(server, archive)


def test_an_input_that_the_model_fails_on_ends_before_measuring(
    server: ManagedServer, make_archive: Callable[[str, str], Path], obedient: ModelArchive
) -> None:
    bad = Input(b"raise", "text/plain", "bad.txt")
    with pytest.raises(ModelError, match=r"obedient failed on the input bad\.txt.*the handler raised an exception"):
        serve_archive(server, obedient.archive, obedient.inputs[0], bad)
    assert server.management.list_models() == ()


def test_a_port_taken_between_choice_and_bind_is_replaced(obedient: ModelArchive) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        choices = [(port, port + 1), free_port_pair()]
        lines: list[str] = []
        launcher = ManagedLauncher(ServeRequest((obedient,), log=lines.append), choose_ports=lambda: choices.pop(0))
        with launcher.serve(ServerSettings()) as server:
            assert server.addresses["inference"].port != port
        assert any("was taken meanwhile" in line for line in lines)


def test_ports_that_are_always_taken_end_in_an_error(obedient: ModelArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servemark.servers.ports._START_TRIES", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        launcher = ManagedLauncher(ServeRequest((obedient,)), choose_ports=lambda: (port, port + 1))
        with pytest.raises(ServerStartError, match="could not have a port"), launcher.serve(ServerSettings()):
            pass


def test_without_a_model_only_the_server_is_up() -> None:
    with ManagedLauncher(ServeRequest()).serve(ServerSettings()) as server:
        with server.serve_models(ModelSettings(workers=1)) as served:
            assert served == ()
            assert server.read_back() == {}
        assert server.failure() is None


def test_a_long_cache_path_does_not_break_the_servers_sockets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, obedient: ModelArchive
) -> None:
    deep = tmp_path / ("a-rather-long-name-" * 6)
    deep.mkdir()
    (deep / "environments").symlink_to(cache_dir() / "environments")
    monkeypatch.setenv("SERVEMARK_CACHE", str(deep))
    launcher = ManagedLauncher(ServeRequest((obedient,)))
    with launcher.serve(ServerSettings()) as server, server.serve_models(ModelSettings(workers=1)) as (served,):
        assert served.read_back["workers"] == 1


def test_it_is_itself_whatever_the_environment_says_and_whatever_the_home_is_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, obedient: ModelArchive
) -> None:
    home = tmp_path / "Jörg Żółw"
    (home / "mms").mkdir(parents=True)
    (home / "mms" / "__init__.py").write_text("raise ImportError('another mms')", encoding="utf-8")
    (home / "environments").symlink_to(cache_dir() / "environments")
    (home / "config.properties").write_text("inference_address=http://127.0.0.1:1\n", encoding="utf-8")
    steering = {
        "MMS_CONFIG_FILE": str(home / "config.properties"),
        "PYTHONPATH": str(home),
        "_JAVA_OPTIONS": "-Xmx1k",
        "JDK_JAVA_OPTIONS": "--no-such-option",
        "JAVA_TOOL_OPTIONS": "-Xms9g -Xmx1k",
        "OMP_NUM_THREADS": "7",
        "LOG_LOCATION": str(home / "logs"),
    }
    for name, value in {**steering, "LC_ALL": "C", "A_HANDLERS_OWN": "kept"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SERVEMARK_CACHE", str(home))
    with ManagedLauncher(ServeRequest((obedient,), tls=True)).serve(ServerSettings()) as server:
        with server.serve_models(ModelSettings(workers=1)) as (served,):
            assert send_once(server.addresses["inference"], prediction_of(server, served), 10).body == b"OK"
        assert server.java is not None
        environ = server.java.environ()
        server.save_logs(tmp_path / "kept")
    assert environ["A_HANDLERS_OWN"] == "kept"
    assert not {"MMS_CONFIG_FILE", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS"} & set(environ)
    assert environ["LOG_LOCATION"] != steering["LOG_LOCATION"]
    told = server.facts["environ"]
    assert isinstance(told, dict)
    assert set(steering) <= set(told["left_out"])
    assert told["inherited"]["A_HANDLERS_OWN"] is None
    assert (tmp_path / "kept" / "mms_log.log").exists()
