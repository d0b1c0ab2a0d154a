"""Failed samples: which kind of ours each is, and the first of each with the body of its response."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from servemark.engines.jmeter.steps import STEP_VARIABLE
from servemark.result import ErrorExample, error_name

_KEPT_BODY = 2048
_NOT_HTTP = "Non HTTP response code: "
_NOT_HTTP_MESSAGE = "Non HTTP response message: "

#: Kinds of the exceptions that stand in the place of a status, by class name.
_KINDS = {
    "ConnectException": "connect",
    "HttpHostConnectException": "connect",
    "NoRouteToHostException": "connect",
    "UnknownHostException": "connect",
    "BindException": "local",
    "ConnectTimeoutException": "timeout",
    "SocketTimeoutException": "timeout",
    "InterruptedIOException": "timeout",
    "SocketException": "reset",
    "NoHttpResponseException": "closed_early",
    "ConnectionClosedException": "closed_early",
    "TruncatedChunkException": "closed_early",
    "EOFException": "closed_early",
    "RequestAbortedException": "cancelled",
    "InterruptedException": "cancelled",
    "ClosedByInterruptException": "cancelled",
}
#: Of these nothing was sent.
_BEFORE_SENDING = {"ConnectTimeoutException"}
#: What a request fails with when JMeter aborts it.
_BY_ABORTING = {"SocketException", "ConnectionShutdownException"}


@dataclass(frozen=True)
class Failure:
    """How a sample failed: the name of the kind, and what JMeter says of it."""

    kind: str
    status: int
    message: str
    sent: bool


@dataclass(frozen=True)
class FirstFailure:
    """The first failure of its kind: when it ended, and what JMeter said of it."""

    end_unix_ms: int
    message: str


def failure_of(sample: Mapping[str, str], status: int, expected: int | None, stopped_unix_ms: int | None) -> Failure:
    """How `sample`, a row of a JTL that did not succeed, failed; `status` is 0 without a response.

    `expected` is the one status that its step takes for a success; None is any 2xx. A connection that was closed after
    `stopped_unix_ms` was closed by JMeter itself, which had been told to abort.
    """
    message = sample.get("responseMessage", "").removeprefix(_NOT_HTTP_MESSAGE)
    if status:
        is_success = 200 <= status <= 299
        if status == expected or (is_success and expected is None):
            return Failure("application", status, sample.get("failureMessage", "") or message, sent=True)
        if is_success:
            return Failure("unexpected_status", status, f"status {status}, not {expected}", sent=True)
        return Failure("http_status", status, message, sent=True)
    exception = sample["responseCode"].removeprefix(_NOT_HTTP).rpartition(".")[2]
    kind = _kind_of(exception, message)
    end_ms = int(sample["timeStamp"]) + int(sample["elapsed"])
    if stopped_unix_ms is not None and end_ms >= stopped_unix_ms and exception in _BY_ABORTING:
        kind = "cancelled"
    sent = kind not in {"connect", "local", "tls"} and exception not in _BEFORE_SENDING
    return Failure(kind, 0, message or exception, sent)


def _kind_of(exception: str, message: str) -> str:
    if exception.startswith(("SSL", "Certificate")):
        broken = re.search(r"connection reset|broken pipe", message, re.IGNORECASE)
        return "reset" if broken else "tls"
    if exception == "SocketException" and "too many open files" in message.lower():
        return "local"
    return _KINDS.get(exception, "protocol")


def examples(
    first_failures: Mapping[tuple[int, str, int], FirstFailure],
    started_unix_ms: int,
    kept_bodies: Path,
    step_of: Callable[[str, str, str], int],
) -> dict[int, tuple[ErrorExample, ...]]:
    """The first failures of each step, by its number; `first_failures` are by step, kind and status.

    `kept_bodies` is the XML in which JMeter kept the bodies of failed responses; it may be missing. `step_of` gives the
    number of a step from a thread's name, a label, and what the plan had JMeter tell of the step.
    """
    wanted = {(step, status) for step, _, status in first_failures if status}
    bodies = _bodies(kept_bodies, wanted, step_of)
    found: dict[int, tuple[ErrorExample, ...]] = {}
    for (step, kind, status), first in first_failures.items():
        example = ErrorExample(
            kind=error_name(kind, status),
            at_s=(first.end_unix_ms - started_unix_ms) / 1000,
            message=first.message,
            body=bodies.get((step, status), ""),
        )
        found[step] = (*found.get(step, ()), example)
    return found


def _bodies(
    kept_bodies: Path, wanted: set[tuple[int, int]], step_of: Callable[[str, str, str], int]
) -> dict[tuple[int, int], str]:
    """The first body of a failed response for each step and status in `wanted`, as far as JMeter kept them."""
    bodies: dict[tuple[int, int], str] = {}
    if not wanted or not kept_bodies.exists():
        return bodies
    try:
        for _, sample in ET.iterparse(kept_bodies):  # noqa: S314 (JMeter wrote it; it has no entities)
            if sample.tag != "httpSample":
                continue
            step = step_of(sample.get("tn", ""), sample.get("lb", ""), sample.get(STEP_VARIABLE, ""))
            key = (step, int(sample.get("rc", "0")) if sample.get("rc", "").isdigit() else 0)
            if key in wanted and key not in bodies:
                body = (sample.findtext("responseData") or "").encode()[:_KEPT_BODY]
                bodies[key] = body.decode("utf-8", "ignore")
            if bodies.keys() == wanted:
                break
            sample.clear()
    except (ET.ParseError, OSError):
        pass  # The file of a killed run ends in the middle, and a body may hold what XML cannot: the rest has no body.
    return bodies
