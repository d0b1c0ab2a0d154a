"""An entry: one benchmark of an invocation, and what it is asked."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields

from servemark import benchmarks
from servemark.benchmarks import Ask, Benchmark, Point
from servemark.engines.answers import check_expect
from servemark.errors import UsageError
from servemark.runner.arguments import check_numbers
from servemark.runner.request import RunRequest
from servemark.servers.choice import check_endpoint, check_running
from servemark.workload.endpoint import Endpoint, parse_url
from servemark.workload.headers import Header, parse_headers
from servemark.workload.inputs import Input, Sending, read_inputs
from servemark.workload.open_loop import arrivals_of, check_open_loop
from servemark.workload.scenario import Request
from servemark.workload.trace import unit_remark
from servemark.zoo.catalogue import ZOO, ZooModel, find
from servemark.zoo.model_source import model_source

#: Of a model or a host in the name of a folder; file systems have no more than 255 for all of it.
_LONGEST_NAME = 100
#: The fields of a request that the command line has under another name.
_FIELDS = {
    **{name: f"{name}_s" for name in ("duration", "warmup", "ramp", "think")},
    "header": "headers",
    "input": "inputs",
    "mms": "server",
    "docker_image": "image",
}


@dataclass(frozen=True)
class Entry:
    """One of the requests of an invocation, the points that it comes to, and the user's inputs as they are sent.

    `headers` are those of every request, `endpoint` is what its URL names. `label` names its files, `last` says that
    none comes after it, and `place` where in its suite it is, from 0.
    """

    request: RunRequest
    benchmark: Benchmark
    ask: Ask
    points: tuple[Point, ...]
    inputs: tuple[Input, ...]
    headers: tuple[Header, ...]
    endpoint: Endpoint | None
    label: str
    last: bool = True
    in_suite: bool = False
    place: int = 0

    @property
    def title(self) -> str:
        """What people and folders call it."""
        named = self.model if self.endpoint is None else self.endpoint.authority
        return f"{self.benchmark.name}-{_file_name(named)}" if named else self.benchmark.name

    @property
    def model(self) -> str:
        """Of the model, as far as it is known before it is there; empty where the benchmark takes none."""
        if not self.benchmark.needs_model:
            return ""
        custom = self.request.custom_model
        return model_source(custom).stem if custom is not None else self.ask.model

    @property
    def remark(self) -> str | None:
        """How something that was asked for was taken, where that is not plain."""
        arrivals = self.ask.arrivals
        return unit_remark(arrivals.trace) if arrivals and arrivals.trace else None

    @classmethod
    def of(cls, request: RunRequest) -> Entry:
        """The only entry of an invocation.

        Raises:
            UsageError: there is no such benchmark, parameter or model, or they contradict each other; or an input or
                the archive cannot be read.
        """
        benchmark = _benchmark(request.benchmark)
        check_numbers(request)
        headers = parse_headers(request.headers, os.environ)
        check_request(request, benchmark, headers)
        endpoint = parse_url(request.url) if request.url is not None else None
        if endpoint and endpoint.credentials:
            headers = (endpoint.credentials, *headers)
        sending = Sending(request.content_type, request.multipart)
        inputs = tuple(map(sending.apply, read_inputs(request.inputs)))
        ask = _ask(request, benchmark, _requests(endpoint, request.method, inputs) if endpoint else ())
        if request.server is None:
            for name in benchmark.models(ask):
                zoo_model(name)
        return cls(request, benchmark, ask, benchmark.points(ask), inputs, headers, endpoint, benchmark.name)


def zoo_model(name: str) -> ZooModel:
    """The model of the zoo of that name.

    Raises:
        UsageError: there is none.
    """
    model = find(name)
    if model is None:
        raise UsageError(f"unknown model {name!r}", next_step=f"choose from {', '.join(m.name for m in ZOO)}")
    return model


def check_request(request: RunRequest, benchmark: Benchmark, headers: tuple[Header, ...]) -> None:
    """Refuse what cannot be sent, or not to such a server, as the command line does.

    Raises:
        UsageError: two things do not go together, or one is missing.
    """
    for name, why in benchmark.refuses.items():
        field = _FIELDS.get(name, name)
        if _is_given(request, field) and not (benchmark.takes_url and name == "input"):
            raise UsageError(f"{field} makes no sense with {benchmark.name}", cause=why)
    for parameter in benchmark.parameters:
        if getattr(request, parameter.key, None) is not None:
            raise UsageError(
                f"{parameter.key} makes no sense with {benchmark.name}",
                next_step=f'give parameters={{"{parameter.key}": ...}}',
            )
    if request.expected_body is not None:
        check_expect(request.expected_body, request.engine)
    check_running(request.server)
    check_endpoint(
        benchmark.name,
        takes_url=benchmark.takes_url,
        url=request.url,
        method=request.method,
        bodies=benchmark.takes_url and bool(request.inputs),
        running=request.server,
        headers=headers,
        content_type=request.content_type,
        multipart=request.multipart,
        trust=request.trust,
        connect_to=request.connect_to,
        unix_socket=request.unix_socket,
        engine=request.engine,
    )


def _is_given(request: RunRequest, name: str) -> bool:
    """Whether the field `name` of `request` says something else than when it is left out."""
    default = next(field.default for field in fields(request) if field.name == name)
    return bool(getattr(request, name) != default)


def _requests(endpoint: Endpoint, method: str | None, inputs: tuple[Input, ...]) -> tuple[Request, ...]:
    """What is sent to an endpoint: a request for each input, or the one without a body."""
    if not inputs:
        return (Request(method or "GET", endpoint.target),)
    return tuple(
        Request(method or "POST", endpoint.target, (("Content-Type", what.content_type),), what.body) for what in inputs
    )


def _ask(request: RunRequest, benchmark: Benchmark, requests: tuple[Request, ...]) -> Ask:
    defaults = {parameter.key: parameter.default for parameter in benchmark.parameters}
    unknown = sorted(set(request.parameters) - set(defaults))
    if unknown:
        raise UsageError(f"{benchmark.name} has no parameter {unknown[0]!r}")
    rate = None if request.rate is None else str(request.rate)
    _check_load(request, rate)
    return Ask(
        model=request.model,
        threads=request.threads,
        loops=request.loops,
        duration_s=request.duration_s,
        warmup_s=request.warmup_s,
        ramp_s=request.ramp_s,
        think_s=request.think_s,
        workers=request.workers or request.gpus or None,
        gpus=request.gpus,
        timeout_s=request.timeout_s,
        requests=requests,
        expect=request.expected_body,
        parameters=defaults | dict(request.parameters),
        arrivals=arrivals_of(rate, request.arrival),
        max_connections=request.max_connections,
    )


def _check_load(request: RunRequest, rate: str | None) -> None:
    if request.loops is not None and request.duration_s is not None:
        why = "one says how many requests, the other how long"
        raise UsageError("loops and duration_s do not go together", cause=why)
    if request.loops is not None and request.warmup_s:
        raise UsageError("loops and warmup_s do not go together", cause="with loops every request is measured")
    for name in ("realtime", "receive_clock", "keep_awake"):
        if request.engine == "jmeter" and getattr(request, name) != "auto":
            why = "it is for the native engine's threads"
            raise UsageError(f"engine jmeter and {name} do not go together", cause=why)
    check_open_loop(
        rate=rate,
        arrival=request.arrival,
        max_connections=request.max_connections,
        threads=request.threads,
        loops=request.loops,
        duration_s=request.duration_s,
        ramp_s=request.ramp_s,
        think_s=request.think_s,
        engine=request.engine,
    )


def _benchmark(name: str) -> Benchmark:
    known = benchmarks.catalogue()
    if name not in known:
        raise UsageError(f"unknown benchmark {name!r}", next_step=f"choose from {', '.join(known)}")
    return known[name]


def _file_name(model: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", model)[:_LONGEST_NAME]
