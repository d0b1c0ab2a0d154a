"""Every call of the MMS management API, and every class of its refusals, against a real server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from servemark.errors import ManagementError
from servemark.servers.http.connection import Answer, send_once
from servemark.servers.mms.archives import ModelArchive
from servemark.servers.mms.dialect import DIALECT
from servemark.servers.mms.managed import ManagedServer
from servemark.servers.mms.management import ManagementClient, Refusal, refusal_of
from servemark.workload.address import Address
from servemark.workload.inputs import Input

from .conftest import BROKEN_IMPORT, QUEUE

pytestmark = pytest.mark.slow


@pytest.fixture
def url(server: ManagedServer, obedient: ModelArchive) -> str:
    return server.put_in_store(obedient.archive)


def predict(server: ManagedServer, order: str, name: str = "obedient") -> Answer:
    request = DIALECT.prediction(name, Input(order.encode(), "text/plain", "test"))
    return send_once(server.addresses["inference"], request, 30)


def refusal(error: pytest.ExceptionInfo[ManagementError]) -> Refusal:
    return refusal_of(error.value)


def test_a_registered_model_is_described_with_its_settings(management: ManagementClient, url: str) -> None:
    accepted = management.register(
        url, model_name="one", batch_size=4, max_batch_delay_ms=7, initial_workers=2, response_timeout_s=50
    )
    assert accepted.status == 200
    assert accepted.message == "Workers scaled"
    assert accepted.elapsed_ms > 0
    model = management.describe("one")
    assert (model.name, model.url, model.batch_size, model.max_batch_delay_ms) == ("one", url, 4, 7)
    assert (model.min_workers, model.max_workers, model.ready_workers) == (2, 2, 2)
    assert all(worker.worker_id and not worker.gpu for worker in model.workers)


def test_registering_without_workers_and_asynchronously(management: ManagementClient, url: str) -> None:
    assert management.register(url).message == 'Model "obedient" registered'
    assert management.describe("obedient").workers == ()
    assert management.register(url, model_name="later", initial_workers=1, synchronous=False).status == 202
    deadline = time.monotonic() + 20
    while management.describe("later").ready_workers < 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_handler_and_runtime_can_be_overridden(management: ManagementClient, url: str) -> None:
    accepted = management.register(url, model_name="o", handler="service:handle", runtime="python", initial_workers=1)
    assert accepted.status == 200
    assert management.describe("o").runtime == "python"


def test_lists_are_read_page_by_page(management: ManagementClient, url: str) -> None:
    names = [f"model-{n}" for n in range(4)]
    for name in names:
        management.register(url, model_name=name)
    for page_size in (1, 2, 3, 4, 100):
        assert [model.name for model in management.list_models(page_size)] == names


def test_scaling_up_and_down_really_happens(management: ManagementClient, url: str) -> None:
    management.register(url, initial_workers=1)
    assert management.scale("obedient", 3).status == 200
    assert management.describe("obedient").ready_workers == 3
    management.scale("obedient", 1, 2)
    model = management.describe("obedient")
    assert (model.min_workers, model.max_workers, model.ready_workers) == (1, 2, 2)
    assert management.scale("obedient", 3, synchronous=False).status == 202


def test_scaling_to_no_worker_and_up_again_ends_at_the_time_limit(management: ManagementClient, url: str) -> None:
    management.register(url, initial_workers=1)
    management.scale("obedient", 0)
    started = time.monotonic()
    with pytest.raises(ManagementError) as error:
        management.scale("obedient", 1, timeout_s=1.5)
    assert time.monotonic() - started < 30  # and not until the default limit
    assert refusal(error) is Refusal.NO_ANSWER
    assert error.value.status is None
    assert "no answer in 1.5 s" in str(error.value)


def test_a_removed_model_is_gone(management: ManagementClient, url: str) -> None:
    management.register(url)
    assert management.unregister("obedient").message == 'Model "obedient" unregistered'
    assert management.list_models() == ()


def test_names_are_quoted(management: ManagementClient) -> None:
    with pytest.raises(ManagementError) as error:
        management.describe("a b?c=d#e")
    assert error.value.message == "Model not found: a b?c=d#e"


@pytest.mark.parametrize("call", ["describe", "unregister", "scale"])
def test_unknown_model(management: ManagementClient, call: str) -> None:
    with pytest.raises(ManagementError) as error:
        getattr(management, call)("nobody", *([1] if call == "scale" else []))
    assert error.value.status == 404
    assert refusal(error) is Refusal.UNKNOWN


def test_unknown_archive(management: ManagementClient) -> None:
    with pytest.raises(ManagementError) as error:
        management.register("nothing.mar")
    assert (error.value.status, refusal(error)) == (404, Refusal.UNKNOWN)


def test_duplicate(management: ManagementClient, url: str) -> None:
    management.register(url)
    with pytest.raises(ManagementError) as error:
        management.register(url)
    assert (error.value.status, refusal(error)) == (409, Refusal.DUPLICATE)


def test_corrupt_archive(management: ManagementClient, server: ManagedServer, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mar"
    broken.write_bytes(b"PK\x03\x04 this is no archive")
    with pytest.raises(ManagementError) as error:
        management.register(server.put_in_store(broken))
    assert error.value.status in (400, 500)
    assert refusal(error) in (Refusal.BAD_ARCHIVE, Refusal.BAD_REQUEST)


def test_contradictory_numbers(management: ManagementClient, url: str) -> None:
    management.register(url)
    with pytest.raises(ManagementError) as error:
        management.scale("obedient", 3, 1)
    assert (error.value.status, refusal(error)) == (400, Refusal.BAD_REQUEST)


def test_an_archive_that_cannot_be_downloaded(management: ManagementClient) -> None:
    with pytest.raises(ManagementError) as error:
        management.register("http://127.0.0.1:1/x.mar")
    assert (error.value.status, refusal(error)) == (400, Refusal.BAD_REQUEST)


def test_workers_that_do_not_start(
    management: ManagementClient, server: ManagedServer, make_archive: Callable[[str, str], Path]
) -> None:
    url = server.put_in_store(make_archive("unimportable", BROKEN_IMPORT))
    with pytest.raises(ManagementError) as error:
        management.register(url, initial_workers=1, timeout_s=30)
    assert (error.value.status, refusal(error)) == (500, Refusal.WORKERS_FAILED)


def test_nobody_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", "127.0.0.1", taken.getsockname()[1])
        with ManagementClient(address) as client, pytest.raises(ManagementError) as error:
            client.list_models()
    assert (error.value.status, refusal(error)) == (None, Refusal.NO_ANSWER)


def test_something_else_answers(server: ManagedServer) -> None:
    # The inference API is no management API.
    with ManagementClient(server.addresses["inference"]) as client, pytest.raises(ManagementError) as error:
        client.list_models()
    assert error.value.status == 404


@pytest.mark.parametrize(
    ("order", "status", "meaning"),
    [
        ("raise", 503, "the handler raised an exception"),
        ("too many", 503, "the handler returned a wrong number of results"),
        ("memory", 507, "out of memory in the worker"),
        ("die", 500, "the worker process died"),
    ],
)
def test_failing_predictions_are_told_apart(
    management: ManagementClient, server: ManagedServer, url: str, order: str, status: int, meaning: str
) -> None:
    management.register(url, initial_workers=1)
    assert predict(server, "work").body == b"OK"
    answer = predict(server, order)
    assert answer.status == status
    assert DIALECT.explain(status, answer.body).startswith(meaning)


def test_no_worker_and_full_queue_are_told_apart(management: ManagementClient, server: ManagedServer, url: str) -> None:
    management.register(url)
    answer = predict(server, "work")
    assert answer.status == 503
    assert DIALECT.explain(503, answer.body, ready_workers=0).startswith("no worker")
    management.unregister("obedient")
    management.register(url, initial_workers=1)
    together = threading.Barrier(QUEUE + 4)

    def send(_: int) -> Answer:
        together.wait()
        return predict(server, "sleep")

    with ThreadPoolExecutor(QUEUE + 4) as pool:
        answers = list(pool.map(send, range(QUEUE + 4)))
    refused = [answer for answer in answers if answer.status == 503]
    assert refused
    assert DIALECT.explain(503, refused[0].body, ready_workers=1).startswith("queue full")
    assert DIALECT.explain(503, refused[0].body).startswith("queue full or no worker")


def test_a_body_that_is_too_large(management: ManagementClient, server: ManagedServer, url: str) -> None:
    management.register(url, initial_workers=1)
    answer = predict(server, "x" * 7_000_000)
    assert answer.status == 413
    assert "max_request_size" in DIALECT.explain(413, answer.body)


def test_every_call_is_told_to_the_log(server: ManagedServer) -> None:
    lines: list[str] = []
    with ManagementClient(server.addresses["management"], lines.append) as client:
        client.list_models()
    assert len(lines) == 1
    assert lines[0].startswith("management: GET /models?limit=100 -> 200")
