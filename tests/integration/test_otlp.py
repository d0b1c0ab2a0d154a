"""Metrics sent by OpenTelemetry's SDK to a receiver on loopback, which decodes the protobuf that they are."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from loadgen_servers import OK, answering, serving
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from servemark.cli import main
from servemark.report import otlp
from servemark.report.metrics import METRICS
from servemark.result import Result

from ..unit.test_formats import DATA, SECOND
from ..validity import status_but_for_the_machine


@dataclass
class Received:
    """What a receiver was sent: paths and media types, and the requests that it decoded; it answers with `status`."""

    status: int = 200
    paths: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    requests: list[ExportMetricsServiceRequest] = field(default_factory=list)
    url: str = ""

    @property
    def samples(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """The points of all gauges, by name."""
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for request in self.requests:
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        found.setdefault(metric.name, []).extend(
                            (
                                {one.key: one.value.string_value for one in point.attributes},
                                point.as_double if point.HasField("as_double") else point.as_int,
                            )
                            for point in metric.gauge.data_points
                        )
        return found


@contextmanager
def receiving(status: int = 200) -> Iterator[Received]:
    """A receiver of OTLP over HTTP."""
    received = Received(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.paths.append(self.path)
            received.types.append(self.headers["Content-Type"])
            received.requests.append(ExportMetricsServiceRequest.FromString(body))
            answer = ExportMetricsServiceResponse().SerializeToString()
            self.send_response(received.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def silent() -> Iterator[str]:
    """The URL of one that is connected to, and reads nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / SECOND, tmp_path / "result"))


def test_a_report_is_sent_as_protobuf_with_what_it_is_of(folder, capsys):
    before = {path.name for path in folder.iterdir()}
    with receiving() as received:
        assert main(["report", str(folder), "--otlp", received.url]) == 0
    assert received.paths == ["/v1/metrics"]
    assert received.types == ["application/x-protobuf"]
    golden = Result.load(folder)
    (step,) = golden.benchmarks[0].steps
    (resource,) = received.requests[0].resource_metrics
    about = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert (about["service.name"], about["service.instance.id"]) == ("servemark", golden.id)
    known = received.samples
    assert known.keys() <= {f"servemark.{name}" for name in METRICS}
    ((labels, value),) = known["servemark.throughput"]
    assert value == step.throughput_per_s.value
    assert labels == {
        "benchmark": "http",
        "number": "1",
        "step": step.name,
        "run_id": golden.id,
        "machine": golden.environment.cpu_model,
    }
    p50 = [
        value
        for labels, value in known["servemark.latency"]
        if (labels["latency"], labels["statistic"]) == ("headline", "p50")
    ]
    assert p50 == pytest.approx([step.headline_ms.p50.value / 1000])
    assert [value for _, value in known["servemark.valid"]] == [1]
    assert {path.name for path in folder.iterdir()} == before
    assert capsys.readouterr().err == ""


def test_a_path_in_the_url_is_kept_and_units_go_along(folder):
    with receiving() as received:
        assert main(["report", str(folder), "--otlp", f"{received.url}/otlp/metrics"]) == 0
    assert received.paths == ["/otlp/metrics"]
    metrics = received.requests[0].resource_metrics[0].scope_metrics[0].metrics
    assert {metric.name: metric.unit for metric in metrics}["servemark.latency"] == "s"
    times = {point.time_unix_nano for metric in metrics for point in metric.gauge.data_points}
    assert len(times) == 1, "what is sent again is the same"


def test_formats_and_a_collector_may_be_asked_for_at_once(folder, capsys):
    with receiving() as received:
        assert main(["report", str(folder), "--format", "markdown", "--otlp", received.url]) == 0
    assert len(received.requests) == 1
    assert (folder / "summary.md").exists()


@pytest.mark.parametrize("status", [404, 503])
def test_a_collector_that_refuses_is_status_4_of_a_report_and_one_line(folder, capsys, status):
    with receiving(status) as received:
        assert main(["report", str(folder), "--otlp", received.url]) == 4
    err = capsys.readouterr().err
    assert err.startswith(f"servemark: error: the metrics were not taken by {received.url}: ")
    assert err.count("\n") == 1


def test_a_collector_that_is_not_there_is_status_4_of_a_report_and_no_password_is_shown(folder, capsys):
    with receiving() as received:
        url = received.url.replace("//", "//me:hunter2@")
    assert main(["report", str(folder), "--otlp", url]) == 4
    err = capsys.readouterr().err
    assert "the metrics were not taken by" in err
    assert ": Connection refused; is there a collector that takes OTLP over HTTP? servemark report" in err
    assert "hunter2" not in err
    assert err.count("\n") == 1


def test_a_run_sends_its_metrics_and_one_that_cannot_ends_as_it_would_have(tmp_path, capsys):
    with serving(answering(OK)) as server, receiving() as received:
        words = ["run", "http", f"http://127.0.0.1:{server.port}/", "-l", "50", "--no-history", "--otlp"]
        first = main([*words, received.url, "-o", str(tmp_path / "sent")])
        received.status = 404
        capsys.readouterr()
        second = main([*words, received.url.replace("//", "//me:hunter2@"), "-o", str(tmp_path / "refused")])
    for status, name in ((first, "sent"), (second, "refused")):
        document = json.loads((tmp_path / name / "result.json").read_text(encoding="utf-8"))
        assert status_but_for_the_machine(status, document) == 0
        assert "hunter2" not in json.dumps(document)
    sent = json.loads((tmp_path / "sent" / "result.json").read_text(encoding="utf-8"))
    labels, _ = Received(requests=received.requests[:1]).samples["servemark.valid"][0]
    assert labels["run_id"] == sent["id"]
    told = capsys.readouterr()
    (line,) = [line for line in told.err.splitlines() if "metrics" in line]
    assert line.startswith("the metrics were not taken by http://")
    assert "hunter2" not in told.err + told.out


@pytest.mark.seconds
def test_one_that_never_answers_is_given_up_after_two_seconds(folder, capsys):
    with silent() as url:
        started_s = time.monotonic()
        assert main(["report", str(folder), "--otlp", url]) == 4
    assert time.monotonic() - started_s < 9, "with what the machine takes to load the SDK"
    assert "no answer in time, which OTEL_EXPORTER_OTLP_TIMEOUT sets" in capsys.readouterr().err


def test_how_long_one_is_waited_for_is_the_sdks_own_variable_to_say(folder, capsys, monkeypatch):
    monkeypatch.setattr(otlp, "_PATIENCE_S", 300)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    with silent() as url:
        started_s = time.monotonic()
        assert main(["report", str(folder), "--otlp", url]) == 4
    assert time.monotonic() - started_s < 60


def test_without_the_sdk_nothing_is_measured(tmp_path, capsys, monkeypatch):
    from servemark.report import extras

    monkeypatch.setitem(extras.EXTRAS, "otlp", "no_such_module")
    assert main(["run", "http", "http://127.0.0.1:1/", "--otlp", "http://127.0.0.1:1", "-o", str(tmp_path / "o")]) == 2
    assert "--otlp needs no_such_module: it is not installed; export SERVEMARK_EXTRAS=otlp" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
