"""Plans: groups of (scenario, load) compiled to bytes, which is all that an engine needs.

``Plan`` is what a benchmark declares; ``compile_plan`` turns it, with the addresses of a server, into an
``EnginePlan``: resolved addresses, requests as bytes, times in nanoseconds. Engines read nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from servemark.errors import UsageError
from servemark.units import ns_from_s
from servemark.workload.load import ClosedLoad
from servemark.workload.scenario import SEQ_MARK, USER_MARK, EndpointName, Request, Scenario, Step


@dataclass(frozen=True)
class Tls:
    """How to speak TLS: the name asked for (SNI), and what the certificate is checked against.

    `verify` False checks nothing. `ca_pem` holds the trusted certificates; it is needed when `verify` is True.
    """

    server_name: str
    verify: bool
    ca_pem: bytes = b""


@dataclass(frozen=True)
class Address:
    """Where an endpoint listens. `ip` is a literal (IPv4 or IPv6); `host` is the name for the Host header."""

    host: str
    ip: str
    port: int
    tls: Tls | None = None

    @property
    def authority(self) -> str:
        """``host:port`` as in a URL, IPv6 literals in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """``scheme://host:port``, without a path."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"


@dataclass(frozen=True)
class Group:
    """Virtual users that all perform `scenario` under `load`.

    With `background`, they do so until the users of the other groups have done theirs, whatever end `load` says.
    """

    scenario: Scenario
    load: ClosedLoad
    background: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything that one run sends: its groups run at the same time.

    `registers` names the models that it leaves on the server, and that are removed after it.
    """

    groups: tuple[Group, ...]
    registers: tuple[str, ...] = ()

    @property
    def exact_requests(self) -> int | None:
        """How many requests it sends if nothing cuts it short; None where time or an answer decides."""
        if any(group.load.loops is None or group.background for group in self.groups):
            return None
        if any(step.until for group in self.groups for step in group.scenario.steps):
            return None
        return sum(
            (group.load.loops or 0) * group.load.users * (1 if group.scenario.weights else len(group.scenario.steps))
            for group in self.groups
        )


@dataclass(frozen=True)
class EnginePatch:
    """A decimal field of a request's bytes that the engine overwrites: ``wire[offset:offset+width]``.

    `value` is ``"user"`` or ``"seq"``; the number is zero-padded to `width` digits.
    """

    offset: int
    width: int
    value: str


@dataclass(frozen=True)
class EngineRequest:
    """One request as it goes over the wire, head and body.

    `head_only` says that the response has no body whatever its headers say (the method is HEAD).
    """

    wire: bytes
    patches: tuple[EnginePatch, ...] = ()
    head_only: bool = False


@dataclass(frozen=True)
class EngineStep:
    """A step: index into the plan's addresses, and the pool from which ``draw(seed, step, seq)`` picks.

    `expect_status` None accepts any 2xx; `until` repeats the step.
    """

    name: str
    address: int
    requests: tuple[EngineRequest, ...]
    expect_status: int | None = None
    until: EngineUntil | None = None


@dataclass(frozen=True)
class EngineUntil:
    """A step is repeated until the body holds `text` exactly `times` times; see ``scenario.Until``."""

    text: bytes
    times: int
    interval_ns: int
    limit_ns: int


@dataclass(frozen=True)
class EngineGroup:
    """A group: indices into the plan's steps, and a closed loop. `loops` 0 means until `duration_ns`.

    `weights` empty means all steps in order; `background` that it ends when the others have done their loops.
    """

    steps: tuple[int, ...]
    users: int
    loops: int
    duration_ns: int
    ramp_ns: int
    think_ns: int
    weights: tuple[int, ...] = ()
    background: bool = False


@dataclass(frozen=True)
class EnginePlan:
    """All that an engine needs.

    Attributes:
        warmup_ns: records scheduled before it carry the warm-up flag.
        timeout_ns: limit on a request, from `ready` to the end of its response.
        connect_timeout_ns: limit on TCP connect and TLS handshake together.
        threads: generator threads; user u belongs to thread u mod threads.
        keep_body_bytes: how much of the first failed response of each kind is kept.
        seed: from which every random draw is derived.
    """

    addresses: tuple[Address, ...]
    steps: tuple[EngineStep, ...]
    groups: tuple[EngineGroup, ...]
    warmup_ns: int
    timeout_ns: int
    connect_timeout_ns: int
    threads: int = 1
    keep_body_bytes: int = 2048
    seed: int = 0


_MARKS = {USER_MARK.encode(): (10, "user"), SEQ_MARK.encode(): (20, "seq")}
_MARK_PATTERN = re.compile(b"|".join(re.escape(mark) for mark in _MARKS))


def encode_request(request: Request, address: Address) -> EngineRequest:
    """The bytes of one HTTP/1.1 request to `address`; Host, Content-Length and User-Agent are added unless given."""
    target, path_patches = _place_patches(request.path.encode("latin-1"), request.numbered)
    body, body_patches = _place_patches(request.body, request.numbered)
    headers = list(request.headers)
    given = {name.lower() for name, _ in headers}
    if "host" not in given:
        headers.insert(0, ("Host", address.authority))
    if "user-agent" not in given:
        headers.append(("User-Agent", "servemark"))
    if "content-length" not in given and (body or request.method in {"POST", "PUT", "PATCH"}):
        headers.append(("Content-Length", str(len(body))))
    for name, value in headers:
        if re.search(r"[\r\n\0]", name + value):
            raise UsageError(f"header {name!r} holds a line break")
    start = f"{request.method} ".encode()
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = start + target + f" HTTP/1.1\r\n{fields}\r\n".encode("latin-1")
    patches = (*_shifted(path_patches, len(start)), *_shifted(body_patches, len(head)))
    return EngineRequest(wire=head + body, patches=patches, head_only=request.method == "HEAD")


def _place_patches(marked: bytes, numbered: bool) -> tuple[bytes, list[EnginePatch]]:
    if not numbered:
        return marked, []
    plain, patches, position = bytearray(), [], 0
    for match in _MARK_PATTERN.finditer(marked):
        plain += marked[position : match.start()]
        width, value = _MARKS[match[0]]
        patches.append(EnginePatch(offset=len(plain), width=width, value=value))
        plain += b"0" * width
        position = match.end()
    return bytes(plain + marked[position:]), patches


def _shifted(patches: list[EnginePatch], by: int) -> tuple[EnginePatch, ...]:
    return tuple(replace(patch, offset=patch.offset + by) for patch in patches)


def compile_plan(
    plan: Plan,
    addresses: Mapping[EndpointName, Address],
    *,
    timeout_s: float,
    connect_timeout_s: float,
    seed: int,
    threads: int = 1,
) -> EnginePlan:
    """Compile `plan` for the server at `addresses`. Times are in seconds; `seed` drives every random draw."""
    names = sorted({step.endpoint for group in plan.groups for step in group.scenario.steps})
    steps: list[EngineStep] = []
    groups: list[EngineGroup] = []
    for group in plan.groups:
        indices = []
        for step in group.scenario.steps:
            indices.append(len(steps))
            steps.append(_compile_step(step, names.index(step.endpoint), addresses[step.endpoint]))
        load = group.load
        duration_s = load.longest_s or 0.0
        if group.background:  # it also ends when the time of the others is over
            duration_s = max(other.load.longest_s or 0.0 for other in plan.groups if not other.background)
        groups.append(
            EngineGroup(
                steps=tuple(indices),
                users=load.users,
                loops=0 if group.background else load.loops or 0,
                duration_ns=ns_from_s(duration_s),
                ramp_ns=ns_from_s(load.ramp_s),
                think_ns=ns_from_s(load.think_s),
                weights=group.scenario.weights,
                background=group.background,
            )
        )
    return EnginePlan(
        addresses=tuple(addresses[name] for name in names),
        steps=tuple(steps),
        groups=tuple(groups),
        warmup_ns=ns_from_s(max(group.load.warmup_s for group in plan.groups)),
        timeout_ns=ns_from_s(timeout_s),
        connect_timeout_ns=ns_from_s(connect_timeout_s),
        threads=threads,
        seed=seed,
    )


def _compile_step(step: Step, address_index: int, address: Address) -> EngineStep:
    requests = tuple(encode_request(request, address) for request in step.requests)
    until = None
    if step.until:
        interval_ns, limit_ns = ns_from_s(step.until.interval_s), ns_from_s(step.until.limit_s)
        until = EngineUntil(step.until.text, step.until.times, interval_ns, limit_ns)
    return EngineStep(step.name, address_index, requests, expect_status=step.expect_status, until=until)
