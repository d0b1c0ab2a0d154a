"""Registrations that the client gave up, and that a server finishes after it was asked to remove them.

A real server is only sometimes that slow, so that this one is scripted.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from servemark.servers.mms import temporary_models as module
from servemark.servers.mms.management import ManagementClient
from servemark.servers.mms.temporary_models import temporary_models
from servemark.workload.address import Address

pytestmark = pytest.mark.seconds


class SlowServer:
    """The models of a server, some of which come later than they were asked for."""

    def __init__(self, *models: str) -> None:
        self.models = list(models)
        self.stuck: set[str] = set()
        #: Models that are in its list while their process starts: removed now, they come back.
        self.starting: set[str] = set()
        self.removed_while_starting: list[str] = []

    def come(self, name: str, after_s: float) -> None:
        threading.Timer(after_s, self.models.append, [name]).start()

    def start(self, name: str, for_s: float) -> None:
        self.models.append(name)
        self.starting.add(name)
        threading.Timer(for_s, self.starting.discard, [name]).start()


@contextmanager
def serving(state: SlowServer) -> Iterator[ManagementClient]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.removeprefix("/models/")
            if name in state.models:
                workers = 0 if name in state.starting else 1
                ready = [{"id": "1", "status": "READY"}] * workers
                self._answer(200, {"modelName": name, "minWorkers": workers, "maxWorkers": workers, "workers": ready})
                return
            if name != self.path:
                self._answer(404, {"code": 404, "message": f"Model not found: {name}"})
                return
            self._answer(200, {"models": [{"modelName": name, "modelUrl": ""} for name in list(state.models)]})

        def do_DELETE(self) -> None:
            name = self.path.rpartition("/")[2]
            if name in state.stuck:
                self._answer(500, {"code": 500, "message": "it does not let go"})
            elif name in state.models:
                if name in state.starting:
                    state.removed_while_starting.append(name)
                state.models.remove(name)
                self._answer(200, {"status": "unregistered"})
            else:
                self._answer(404, {"code": 404, "message": f"Model not found: {name}"})

        def _answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        web.daemon_threads = True
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with ManagementClient(Address("127.0.0.1", "127.0.0.1", web.server_address[1])) as client:
                yield client
        finally:
            web.shutdown()
            thread.join()


def test_what_comes_after_its_removal_is_removed_all_the_same():
    told: list[str] = []
    state = SlowServer("theirs")
    with serving(state) as management:
        with temporary_models(management, ["a", "b", "c"], tell=told.append) as remove:
            state.models.append("a")
            assert remove() == {}
            state.come("b", 0.1)
            state.come("c", 0.6)
        assert state.models == ["theirs"]
    assert told == []


def test_what_the_server_still_registers_is_removed_when_it_lets_go():
    told: list[str] = []
    state = SlowServer("theirs")
    with serving(state) as management:
        with temporary_models(management, ["b"], tell=told.append) as remove:
            state.models.append("b")
            state.stuck.add("b")
            assert remove() == {"b": "it does not let go"}
            threading.Timer(0.4, state.stuck.clear).start()
        assert state.models == ["theirs"]
    assert told == []


def test_what_still_starts_is_removed_when_it_has_its_workers():
    state = SlowServer("theirs")
    with serving(state) as management:
        with temporary_models(management, ["a", "b"], tell=print) as remove:
            state.start("a", 0.6)
            assert remove() == {}
            assert state.models == ["theirs"]
            state.start("b", 0.6)  # comes after its removal, and starts then
        assert state.models == ["theirs"]
    assert state.removed_while_starting == []


def test_what_never_gets_its_workers_is_removed_in_the_end(monkeypatch):
    monkeypatch.setattr(module, "_LATE_S", 0.5)
    state = SlowServer()
    with serving(state) as management:
        with temporary_models(management, ["a", "b"], tell=print):
            state.models += ["a", "b"]
            state.starting |= {"a", "b"}
        assert state.models == []


def test_what_comes_late_and_cannot_be_removed_is_told(monkeypatch):
    monkeypatch.setattr(module, "_LATE_S", 1.0)
    told: list[str] = []
    state = SlowServer()
    state.stuck.add("a")
    with serving(state) as management:
        with temporary_models(management, ["a"], tell=told.append) as remove:
            state.stuck.clear()
            remove()
            state.stuck.add("a")
            state.come("a", 0.1)
        (line,) = told
    assert line.startswith(
        "a may still be on the server (it does not let go); remove it with curl -X DELETE http://127"
    )


@pytest.mark.parametrize("may_be_late", [True, False])
def test_looking_again_ends(monkeypatch, may_be_late):
    monkeypatch.setattr(module, "_LATE_S", 0.5)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=time.monotonic, sleep=wait))
    state = SlowServer()
    with (
        serving(state) as management,
        temporary_models(management, ["a"], tell=print, may_be_late=may_be_late),
    ):
        pass
    assert bool(waits) is may_be_late


def test_nothing_is_waited_for_when_all_of_them_were_there(monkeypatch):
    monkeypatch.setattr(module, "_LATE_S", 1000.0)
    state = SlowServer()
    with serving(state) as management:
        with temporary_models(management, ["a", "b"], tell=print):
            state.models += ["a", "b"]
        assert state.models == []
