"""What JMeter cannot honour, refused before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping

from servemark.engines.answers import NOT_JMETER
from servemark.engines.jmeter.elements import MS_PER_S
from servemark.engines.jmeter.steps import MARKS, plain_text
from servemark.errors import UsageError
from servemark.workload.address import Address
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import ApiName, Request, Step

#: What Java takes for a URI's path and query.
_URI = re.compile(r"(?:[A-Za-z0-9/?:@!$&'()*+,;=._~-]|%[0-9A-Fa-f]{2})*")
_OTHER_ENGINE = "use --engine native"
#: Methods that its sampler knows, and those of them that it sends without a body.
_METHODS = {"GET", "POST", "HEAD", "PUT", "OPTIONS", "TRACE", "DELETE", "PATCH", "PROPFIND", "REPORT", "SEARCH"}
_BODILESS = {"HEAD", "OPTIONS", "TRACE"}
#: Each input is a sampler, of which each user has a copy.
_MOST_INPUTS = 1000


def check_plan(plan: Plan, addresses: Mapping[ApiName, Address]) -> None:
    """Refuse what JMeter cannot honour.

    Raises:
        UsageError: says what, and what to give instead.
    """
    for group in plan.groups:
        _check_load(group)
        for step in group.scenario.steps:
            address = addresses[step.api]
            tls = address.tls
            if tls and tls.client_cert_pem:
                raise UsageError(
                    "JMeter takes client certificates from a Java key store, not from --client-cert",
                    next_step=_OTHER_ENGINE,
                )
            if "%" in address.ip:
                raise UsageError(f"JMeter cannot reach the zone of {address.url}", next_step=_OTHER_ENGINE)
            for header in address.headers:
                if not header.value.isascii():
                    raise UsageError(f"JMeter sends ASCII alone: -H {header.name}", next_step=_OTHER_ENGINE)
            if len(step.requests) > _MOST_INPUTS:
                raise UsageError(
                    f"JMeter can draw from {_MOST_INPUTS} inputs, not from {len(step.requests)}",
                    next_step=f"give fewer, or {_OTHER_ENGINE}",
                )
            if tls and tls.verify:
                raise UsageError(
                    "JMeter does not check the certificate of a server",
                    next_step=f"give --insecure to measure without a check, or {_OTHER_ENGINE}",
                )
            if step.tokens:
                raise UsageError(
                    f"JMeter does not tell the tokens of {step.name}",
                    cause="to it a stream is a response like any other",
                    next_step=_OTHER_ENGINE,
                )
            if step.expect:
                raise UsageError(f"JMeter cannot look at the answers to {step.name}", cause=NOT_JMETER)
            if step.until:
                _check_ms(f"the interval of step {step.name}", step.until.interval_s)
            for request in step.requests:
                _check_request(step, request)


def _check_load(group: Group) -> None:
    load = group.closed
    duration_s = 0.0 if group.background else load.duration_s or 0.0
    for name, seconds in (("--ramp", load.ramp_s), ("--warmup", load.warmup_s), ("--duration", duration_s)):
        if seconds != int(seconds):
            raise UsageError(f"JMeter counts whole seconds: {name} {seconds:g} s", next_step="round it")
    _check_ms("--think", load.think_s)


def _check_ms(name: str, seconds: float) -> None:
    milliseconds = seconds * MS_PER_S
    if abs(milliseconds - round(milliseconds)) > 1e-6:
        raise UsageError(f"JMeter counts whole milliseconds: {name} {seconds:g} s", next_step="round it")


def _check_request(step: Step, request: Request) -> None:
    path = MARKS.sub("", request.path) if request.numbered else request.path
    if not _URI.fullmatch(path):
        raise UsageError(f"JMeter cannot send the path {path!r} of step {step.name}", next_step="percent-encode it")
    if request.method not in _METHODS or (request.body and request.method in _BODILESS):
        body = " with a body" if request.method in _METHODS else ""
        raise UsageError(f"JMeter cannot send {request.method}{body}", next_step=_OTHER_ENGINE)
    if request.numbered and plain_text(request.body) is None:
        raise UsageError(
            f"JMeter cannot number the body of step {step.name}, which is not plain text", next_step=_OTHER_ENGINE
        )
