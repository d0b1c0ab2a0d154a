"""A result's metrics, sent to a collector with OpenTelemetry's SDK: OTLP over HTTP, as protobuf.

The time of each is when the measurement began, so that what is sent again is the same. Headers for the collector are
those of the SDK's own variables (``OTEL_EXPORTER_OTLP_HEADERS``), as are certificates, and how long it is waited for.
"""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from servemark.errors import RecordingError
from servemark.report.metrics import METRICS, Sample, facts, samples
from servemark.result import Result
from servemark.units import NS_PER_S
from servemark.workload.endpoint import without_user

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

#: For so long a collector that does not answer, or says that it is busy, is tried again, unless the SDK's variables say
#: otherwise: long enough for a second try, and nobody waits at the end of a run for one that is not there.
_PATIENCE_S = 2
_PATIENCE_VARIABLES = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT")
_NO_ANSWER = f"no answer in time, which {_PATIENCE_VARIABLES[0]} sets"
_PATH = "/v1/metrics"
#: What the SDK says when it gives up, and around the reason why it tries again.
_GAVE_UP = "Failed to export metrics batch due to timeout"
_TRIED_AGAIN = re.compile(r"^Transient error (.*) encountered while .*$", re.DOTALL)
#: Of what requests and urllib3 wrap around what the system said, that.
_SAID_BY_SYSTEM = re.compile(r"\[Errno -?\d+\] ([^'\")]+)")


def send(result: Result, url: str) -> None:
    """Send the metrics of `result` to the collector at `url`, to ``/v1/metrics`` where it names no path.

    Raises:
        RecordingError: nobody took them.
    """
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics.export import MetricExportResult

    endpoint = url if urlsplit(url).path.strip("/") else url.rstrip("/") + _PATH
    with _overheard() as said:
        asked = any(name in os.environ for name in _PATIENCE_VARIABLES)
        exporter = OTLPMetricExporter(endpoint=endpoint, timeout=None if asked else _PATIENCE_S)
        try:
            taken = exporter.export(_data(result))
        except Exception as error:  # of requests, urllib3 or the SDK, as their versions have it
            raise _refused(url, str(error)) from error
        finally:
            exporter.shutdown()
    if taken is not MetricExportResult.SUCCESS:
        # The last of what is said is only that it gave up; the first, where not even one try was answered.
        no_answer = not said or said[0].startswith(_GAVE_UP)
        raise _refused(url, _NO_ANSWER if no_answer else _TRIED_AGAIN.sub(r"\1", said[0]))


def _data(result: Result) -> MetricsData:
    """The metrics as the SDK has them."""
    from opentelemetry.sdk.metrics.export import (
        Gauge,
        Metric,
        MetricsData,
        NumberDataPoint,
        ResourceMetrics,
        ScopeMetrics,
    )
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    about = facts(result)
    of_all = {"run_id": about["id"], "machine": about["machine"]}
    at_ns = int(datetime.fromisoformat(result.started_at).timestamp() * NS_PER_S)
    by_metric: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples(result):
        by_metric[sample.metric].append(sample)
    metrics = [
        Metric(
            name=f"servemark.{name}",
            description=METRICS[name].title,
            unit=METRICS[name].unit,
            data=Gauge(
                [NumberDataPoint({**one.labels, **of_all}, 0, at_ns, one.value) for one in by_metric[name]],
            ),
        )
        for name in METRICS
        if name in by_metric
    ]
    resource = Resource(
        {
            "service.name": "servemark",
            "service.version": about["version"],
            "service.instance.id": about["id"],
            "os.description": about["os"],
        }
    )
    scope = InstrumentationScope("servemark", about["version"])
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])


def _refused(url: str, cause: str) -> RecordingError:
    said = _SAID_BY_SYSTEM.search(cause)
    if said:
        cause = f"{said[1].strip()}"
    return RecordingError(
        f"the metrics were not taken by {without_user(url)}",
        cause=cause.replace(url, without_user(url)),
        next_step="is there a collector that takes OTLP over HTTP? servemark report DIR --otlp URL sends them again",
    )


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What the SDK logs meanwhile, which would be printed otherwise."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("opentelemetry")
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
