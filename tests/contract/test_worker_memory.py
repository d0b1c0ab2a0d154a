"""What workers cost and preloading them, against the real server: the estimate, the answers, and what cannot load."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from servemark.errors import ModelError
from servemark.servers import ModelSettings, ServerSettings
from servemark.servers.http.connection import send_once
from servemark.servers.mms.archives import ModelArchive, ServeRequest, accept_any
from servemark.servers.mms.dialect import DIALECT
from servemark.servers.mms.managed import ManagedLauncher, ManagedServer
from servemark.units import BYTES_PER_MIB
from servemark.workload.inputs import Input
from servemark.zoo.catalogue import Backend, find
from servemark.zoo.predictions import check_prediction

from .conftest import BROKEN_IMPORT
from .predicting import prediction_of

pytestmark = pytest.mark.slow

PRELOADED = ServerSettings(preload_model=True)
#: Workers that are added to see what one more costs.
ADDED = 7

#: Its workers share a file that is mapped; from the second on, each that is forked waits until a stranger maps it too.
CROWDED = """
import mmap, os, subprocess, sys

forked, strangers = 0, []
STRANGER = "import mmap, sys; file = open(sys.argv[1], 'rb'); what = mmap.mmap(file.fileno(), 0, prot=1); " + \\
    "what[::4096]; print(flush=True); sys.stdin.read()"

def count():
    global forked
    forked += 1

def stranger():
    if forked:
        command = [sys.executable, "-c", STRANGER, file.name]
        here = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        here.stdout.readline()
        strangers.append(here)

file = open(__file__ + ".shared", "ab+")
file.truncate(128 << 20)
what = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
what[::4096]
os.register_at_fork(after_in_parent=count, after_in_child=stranger)

def handle(data, context):
    return ["OK"] * len(data or [])
"""


def serving(name: str, backend: Backend | None = None, notes: list[str] | None = None) -> ServeRequest:
    model = find(name)
    assert model is not None
    return ServeRequest((model,), backend=backend, progress=(notes if notes is not None else []).append)


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize(("name", "backend"), [("resnet", "mxnet"), ("resnet", "onnx"), ("noop", "mxnet")])
def test_one_more_worker_costs_what_was_measured_without_a_server(name: str, backend: Backend, preload: bool) -> None:
    """Of one that was only started, and then of one that has answered; those that were forked answer right."""
    launcher, settings = ManagedLauncher(serving(name, backend)), ServerSettings(preload_model=preload)
    (memory,) = launcher.worker_memory(settings).values()
    with launcher.serve(settings) as server, server.serve_models(ModelSettings(workers=1)) as (served,):
        before = held_bytes(server)
        server.management.scale(served.name, 1 + ADDED, timeout_s=120)
        started = held_bytes(server)
        bodies = answers(server, prediction_of(server, served), 8 * (1 + ADDED))
        answering = held_bytes(server)
        if preload:
            assert_forked_and_right(server, name, bodies)
    grown = (started - before) / ADDED
    assert 0.9 * grown <= memory.each_bytes(preload=preload, answering=False) <= 2 * grown + BYTES_PER_MIB
    if name != "noop":  # whose answers cost nothing
        grown = (answering - before) / ADDED
        assert 0.9 * grown <= memory.each_bytes(preload=preload) <= 2 * grown + 10 * BYTES_PER_MIB


def held_bytes(server: ManagedServer) -> int:
    """What the server's processes hold but for mapped files, their part of which changes with the machine's others."""
    lines = "".join(Path(f"/proc/{one.pid}/smaps_rollup").read_text() for one in server.processes()).splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def answers(server: ManagedServer, request, count: int) -> list[bytes]:
    """The bodies of successful predictions, twice as many at once as there are workers."""

    def predict(_: int) -> bytes:
        answer = send_once(server.addresses["inference"], request, 60)
        assert answer.status == 200, answer.body
        return answer.body

    with ThreadPoolExecutor(2 * (1 + ADDED)) as users:
        return list(users.map(predict, range(count)))


def assert_forked_and_right(server: ManagedServer, name: str, bodies: list[bytes]) -> None:
    model = find(name)
    assert model is not None
    assert {check_prediction(model, DIALECT.decode(body)) for body in bodies} == {None}
    assert len(set(bodies)) == 1
    assert server.facts["preload_model"] is True
    assert server.facts["config"]["preload_model"] == "true"  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "backend"),
    # The others are above, beside what they cost.
    [("squeezenet", "mxnet"), ("lstm", "mxnet"), ("squeezenet", "onnx"), ("lstm", "onnx"), ("noop", "onnx")],
)
def test_forked_workers_answer_right(name: str, backend: Backend) -> None:
    launcher = ManagedLauncher(serving(name, backend))
    with launcher.serve(PRELOADED) as server, server.serve_models(ModelSettings(workers=4)) as (served,):
        assert_forked_and_right(server, name, answers(server, prediction_of(server, served), 32))
        assert served.read_back["workers"] == 4


def test_what_cannot_be_imported_is_named_before_a_server_starts(make_archive: Callable[[str, str], Path]) -> None:
    text = (Input(b"work", "text/plain", "test"),)
    broken = ModelArchive("broken-import", make_archive("broken-import", BROKEN_IMPORT), text, accept_any)
    notes: list[str] = []
    with (
        pytest.raises(ModelError) as error,
        ManagedLauncher(ServeRequest((broken,), progress=notes.append)).serve(PRELOADED),
    ):
        pass
    line = str(error.value)
    assert "cannot load the model broken-import: ModuleNotFoundError: No module named 'a_package_that_is" in line
    assert "Traceback" in error.value.detail
    assert "starting Multi Model Server" not in notes


def test_an_archive_that_is_none_is_named(tmp_path: Path) -> None:
    torn = tmp_path / "torn.mar"
    torn.write_bytes(b"PK\x03\x04 torn")
    model = ModelArchive("torn", torn, (Input(b"", "", "test"),), accept_any)
    with pytest.raises(ModelError, match=r"cannot load the model torn: zipfile\.BadZipFile"):
        ManagedLauncher(ServeRequest((model,))).worker_memory(ServerSettings())


def test_a_model_whose_prediction_ends_its_worker_can_still_be_measured(obedient: ModelArchive) -> None:
    deadly = ModelArchive("deadly", obedient.archive, (Input(b"die", "text/plain", "test"),), accept_any)
    (memory,) = ManagedLauncher(ServeRequest((deadly,))).worker_memory(ServerSettings()).values()
    assert memory.alone_bytes > BYTES_PER_MIB
    assert memory.answering_bytes == 0


def test_strangers_that_map_the_same_files_do_not_make_a_worker_cheaper(
    make_archive: Callable[[str, str], Path],
) -> None:
    text = (Input(b"work", "text/plain", "test"),)
    crowded = ModelArchive("crowded", make_archive("crowded", CROWDED), text, accept_any)
    (memory,) = ManagedLauncher(ServeRequest((crowded,))).worker_memory(ServerSettings()).values()
    assert 5 * BYTES_PER_MIB < memory.forked_bytes < 40 * BYTES_PER_MIB


def test_what_was_measured_is_not_measured_again() -> None:
    notes: list[str] = []
    launcher = ManagedLauncher(serving("noop", notes=notes))
    first = launcher.worker_memory(ServerSettings())
    notes.clear()
    assert launcher.worker_memory(ServerSettings()) == first
    assert list(first) == ["noop-v1.0"]
    assert notes == []
