"""Plans: groups of (scenario, load) compiled to all that an engine needs.

``Plan`` is what a benchmark declares; ``compile_plan`` turns it, with the addresses of a server, into an
``EnginePlan``: resolved addresses, the parts of requests as bytes, times in nanoseconds. Engines read nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from servemark.errors import UsageError
from servemark.units import ns_from_s
from servemark.workload.endpoint import DEFAULT_PORTS, in_url, without_zone
from servemark.workload.headers import Header, replaced, wire
from servemark.workload.load import ClosedLoad, Load, OpenLoad, ProcessName, RateSegment
from servemark.workload.scenario import (
    SEQ_MARK,
    USER_MARK,
    ApiName,
    Draws,
    Expect,
    ExpectKind,
    Request,
    Scenario,
    Step,
    TokenFormat,
)

#: Whether the generator does something to send more exactly: what it costs is not worth it everywhere.
Switch = Literal["auto", "on", "off"]
SWITCHES: tuple[Switch, ...] = ("auto", "on", "off")
ReceiveClock = Literal["auto", "kernel", "user"]
RECEIVE_CLOCKS: tuple[ReceiveClock, ...] = ("auto", "kernel", "user")


@dataclass(frozen=True)
class Tls:
    """How to speak TLS: the name asked for (SNI), and what the certificate is checked against.

    `verify` False checks nothing. `ca_pem` holds the trusted certificates; it is needed when `verify` is True.
    `client_cert_pem` and `client_key_pem` are what the client shows of itself, if asked: its certificate with those
    that lead to its authority, and the key; both empty for nothing.
    """

    server_name: str
    verify: bool
    ca_pem: bytes = b""
    client_cert_pem: bytes = field(default=b"", repr=False)  # its file may hold the key, too
    client_key_pem: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Address:
    """The address at which an endpoint listens.

    Attributes:
        host: the name for the Host header; the zone of an IPv6 address is not sent.
        ip: to connect to; a literal (IPv4 or IPv6, with the number of its zone where it has one: ``fe80::1%2``).
        port: to connect to.
        tls: how to speak TLS, if it does.
        named_port: for the Host header, where that is not the one to connect to.
        headers: fields of every request there, in the place of those of the same name.
        unix_socket: of this machine, to connect to instead of `ip` and `port`.
    """

    host: str
    ip: str
    port: int
    tls: Tls | None = None
    named_port: int | None = None
    headers: tuple[Header, ...] = ()
    unix_socket: str | None = None

    @property
    def authority(self) -> str:
        """``host:port`` as in a URL, IPv6 literals in brackets; the scheme's own port is left out."""
        host = in_url(without_zone(self.host))
        port = self.named_port or self.port
        return host if port == DEFAULT_PORTS["https" if self.tls else "http"] else f"{host}:{port}"

    @property
    def url(self) -> str:
        """``scheme://host:port``, without a path, for people."""
        authority = self.authority.replace(in_url(without_zone(self.host)), in_url(self.host), 1)
        return f"{'https' if self.tls else 'http'}://{authority}"


@dataclass(frozen=True)
class Group:
    """Virtual users that all perform `scenario` under `load`.

    With `background` (of a closed loop), they do so until the users of the other groups have done theirs, whatever end
    `load` says.
    """

    scenario: Scenario
    load: Load
    background: bool = False

    @property
    def closed(self) -> ClosedLoad:
        """The load, for an engine that has no other.

        Raises:
            UsageError: it is an open loop.
        """
        if isinstance(self.load, OpenLoad):
            raise UsageError("this engine sends only in a closed loop", next_step="leave --engine out")
        return self.load


def headline_step(groups: Sequence[Group]) -> str:
    """The name of the step whose statistics are the answer: the first that is not of the background.

    Steps of that name in the background are other requests, and do not count.
    """
    return next(group.scenario.steps[0].name for group in groups if not group.background)


@dataclass(frozen=True)
class Plan:
    """Everything that one run sends: its groups run at the same time.

    `registers` names the models that it leaves on the server, and that are removed after it.
    """

    groups: tuple[Group, ...]
    registers: tuple[str, ...] = ()

    def expecting(self, status: int | None, body: Expect | None = None) -> Plan:
        """The plan in which requests to the inference API succeed with `status` and `body` only; None leaves each."""
        if status is None and body is None:
            return self
        groups = []
        for group in self.groups:
            steps = tuple(
                replace(step, expect_status=status, expect=body or step.expect) if step.api == "inference" else step
                for step in group.scenario.steps
            )
            groups.append(replace(group, scenario=replace(group.scenario, steps=steps)))
        return replace(self, groups=tuple(groups))

    @property
    def pool(self) -> tuple[bytes, ...]:
        """The bodies from which the requests to the inference API draw, step by step; those without are left out."""
        steps = dict.fromkeys(
            step.requests for group in self.groups for step in group.scenario.steps if step.api == "inference"
        )
        return tuple(request.body for requests in steps for request in requests if request.body)

    @property
    def exact_requests(self) -> int | None:
        """How many requests it sends if nothing cuts it short; None where time or an answer decides."""
        if any(group.background or step.until for group in self.groups for step in group.scenario.steps):
            return None
        total = 0
        for group in self.groups:
            scenarios = group.load.scenarios
            if scenarios is None:
                return None
            total += scenarios * (1 if group.scenario.weights else len(group.scenario.steps))
        return total


@dataclass(frozen=True)
class EnginePatch:
    """A decimal number that the engine writes into a request: ``part[offset:offset+width]``, zero-padded.

    `value` is ``"user"`` or ``"seq"``.
    """

    part: Literal["target", "body"]
    offset: int
    width: int
    value: str


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One request, however a protocol writes it: it adds what frames the body, unless `headers` have that.

    The engine reads `body` where it is, so that a pool of them is in memory once.
    """

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    patches: tuple[EnginePatch, ...] = ()


@dataclass(frozen=True)
class EngineStep:
    """A step: index into the plan's addresses, and the pool from which each user draws in each loop, or each arrival.

    `expect_status` None accepts any 2xx; `until` repeats the step; `expect` looks at the body of each success. The
    successes of the steps that are `is_headline` are those whose number ends a run of adaptive length. `tokens` says
    how the bodies of its responses, which are recorded then, are read afterwards.
    """

    name: str
    address: int
    requests: tuple[EngineRequest, ...]
    expect_status: int | None = None
    until: EngineUntil | None = None
    expect: EngineExpect | None = None
    is_headline: bool = True
    tokens: TokenFormat | None = None
    draws: Draws = "any"

    @property
    def keeps_bodies(self) -> bool:
        """Whether the bodies of its responses are recorded as they come."""
        return self.tokens is not None


@dataclass(frozen=True)
class EngineExpect:
    """What the body of a success must be: see ``scenario.Expect``."""

    kind: ExpectKind
    pattern: str


@dataclass(frozen=True)
class EngineUntil:
    """A step is repeated until the body holds `text` exactly `times` times; see ``scenario.Until``."""

    text: bytes
    times: int
    interval_ns: int
    limit_ns: int


@dataclass(frozen=True)
class EngineRateSegment:
    """A rate that goes straight from one value to another; `duration_ns` 0 goes on without end."""

    from_per_s: float
    to_per_s: float
    duration_ns: int


@dataclass(frozen=True)
class EngineArrivals:
    """An open loop's arrivals: see ``load.Arrivals``.

    `count` 0 means until the group's `duration_ns`; `stream` tells the draws of one group from those of another.
    """

    process: ProcessName
    cv: float
    profile: tuple[EngineRateSegment, ...]
    times_ns: tuple[int, ...]
    count: int
    max_connections: int
    stream: int


@dataclass(frozen=True)
class EngineGroup:
    """A group: indices into the plan's steps, and how often they are performed. `loops` 0 means until `duration_ns`.

    `weights` empty means all steps in order; `background` that it ends when the others have done their loops. With
    `arrivals` it is an open loop: `users` and `loops` are 0, each arrival performs the scenario once.
    """

    steps: tuple[int, ...]
    users: int
    loops: int
    duration_ns: int
    ramp_ns: int
    think_ns: int
    weights: tuple[int, ...] = ()
    background: bool = False
    arrivals: EngineArrivals | None = None


@dataclass(frozen=True)
class EngineShare:
    """The users and arrivals of a plan whose number leaves `index` when divided by `of`.

    Several generators that have a share each, and begin together, send what one would have sent.
    """

    index: int
    of: int


#: Ways in which the native engine can be told to go wrong.
FaultName = Literal["late_wake_up", "lost_record", "skipped_arrival", "slow_parse", "clock_step"]


@dataclass(frozen=True)
class EngineFault:
    """What the native engine is to do wrong, so that tests see the certificate find it; measurements have none.

    `amount` is a number of nanoseconds: by which every tenth request is begun late (late_wake_up), or for which the
    thread is busy before it parses a response (slow_parse), or by which the wall clock is set ahead after half a second
    (clock_step). Or it is an n: every n-th record is not written (lost_record), every n-th arrival of an open loop is
    not begun (skipped_arrival).
    """

    kind: FaultName
    amount: int


@dataclass(frozen=True)
class EnginePlan:
    """All that an engine needs.

    Attributes:
        warmup_ns: records scheduled before it carry the warm-up flag.
        timeout_ns: limit on a request, from `sent` to the end of its response.
        connect_timeout_ns: limit on TCP connect and TLS handshake together.
        share: what this generator sends of it; the rest is others'.
        beside: the shares, by their index, of others that take their ports and memory of the same machine.
        threads: generator threads, which divide that share.
        keep_body_bytes: how much of the first failed response of each kind is kept.
        seed: from which every random draw is derived.
        record_events: the time of every server-sent event goes to a file beside the records.
        tokenizer: a file of the tokenizers package, by which tokens are counted where the server does not.
        realtime: real-time priority for the generator threads: "auto" asks for it in an open loop and goes without
            where it is refused, "on" asks always and does not start without, "off" never.
        receive_clock: whose time of arrival a response has: "auto" is the kernel's where it has one, else the time at
            which the thread read it; "kernel" does not start where that is refused, "user" is the time of reading.
        keep_awake: keep the CPUs from halting during the run; with "auto" where it helps, and only until the machine is
            busy by itself, where that would keep others from a CPU.
        fault: for tests of the certificate only.
    """

    addresses: tuple[Address, ...]
    steps: tuple[EngineStep, ...]
    groups: tuple[EngineGroup, ...]
    warmup_ns: int
    timeout_ns: int
    connect_timeout_ns: int
    share: EngineShare = EngineShare(0, 1)
    beside: tuple[int, ...] = ()
    threads: int = 1
    keep_body_bytes: int = 2048
    seed: int = 0
    realtime: Switch = "auto"
    record_events: bool = False
    receive_clock: ReceiveClock = "auto"
    keep_awake: Switch = "off"
    tokenizer: Path | None = None
    fault: EngineFault | None = None

    @property
    def reads_clock(self) -> bool:
        """Whether answers have the time of reading, since that is asked for, or a Unix socket has no other."""
        return self.receive_clock == "user" or any(address.unix_socket for address in self.addresses)

    @property
    def reads_answers(self) -> bool:
        """Whether its records are written anew when the run is over, with what is read in the answers."""
        return any(step.keeps_bodies for step in self.steps)


_MARKS = {USER_MARK.encode(): (10, "user"), SEQ_MARK.encode(): (20, "seq")}
_MARK_PATTERN = re.compile(b"|".join(re.escape(mark) for mark in _MARKS))


def compile_request(request: Request, address: Address) -> EngineRequest:
    """One request to `address`, with Host and User-Agent unless they are given."""
    target, target_patches = _place_patches(request.path.encode("latin-1"), "target", request.numbered)
    body, body_patches = _place_patches(request.body, "body", request.numbered)
    headers = sorted(replaced(request.headers, address.headers), key=lambda header: header[0].lower() != "host")
    given = {name.lower() for name, _ in headers}
    if "host" not in given:
        headers.insert(0, ("Host", address.authority))
    if "user-agent" not in given:
        headers.append(("User-Agent", "servemark"))
    for name, value in headers:
        if re.search(r"[\r\n\0]", name + value):
            raise UsageError(f"header {name!r} holds a line break")
    return EngineRequest(
        method=request.method.encode(),
        target=target,
        headers=tuple(wire(headers)),
        body=body,
        patches=(*target_patches, *body_patches),
    )


def _place_patches(
    marked: bytes, part: Literal["target", "body"], numbered: bool
) -> tuple[bytes, tuple[EnginePatch, ...]]:
    if not numbered:
        return marked, ()
    plain, patches, position = bytearray(), [], 0
    for match in _MARK_PATTERN.finditer(marked):
        plain += marked[position : match.start()]
        width, value = _MARKS[match[0]]
        patches.append(EnginePatch(part, offset=len(plain), width=width, value=value))
        plain += b"0" * width
        position = match.end()
    return bytes(plain + marked[position:]), tuple(patches)


def compile_plan(
    plan: Plan,
    addresses: Mapping[ApiName, Address],
    *,
    timeout_s: float,
    connect_timeout_s: float,
    seed: int,
    threads: int = 1,
    realtime: Switch = "auto",
    receive_clock: ReceiveClock = "auto",
    keep_awake: Switch = "off",
    record_events: bool = False,
    tokenizer: Path | None = None,
) -> EnginePlan:
    """Compile `plan` for the server at `addresses`. Times are in seconds; `seed` drives every random draw."""
    names = sorted({step.api for group in plan.groups for step in group.scenario.steps})
    steps: list[EngineStep] = []
    groups: list[EngineGroup] = []
    headline = headline_step(plan.groups)
    for group in plan.groups:
        indices = []
        for step in group.scenario.steps:
            indices.append(len(steps))
            is_headline = step.name == headline and not group.background
            compiled = _compile_step(step, names.index(step.api), addresses[step.api])
            steps.append(replace(compiled, is_headline=is_headline))
        groups.append(_compile_group(group, tuple(indices), plan, stream=len(groups)))
    return EnginePlan(
        addresses=tuple(addresses[name] for name in names),
        steps=tuple(steps),
        groups=tuple(groups),
        warmup_ns=ns_from_s(max(group.load.warmup_s for group in plan.groups)),
        timeout_ns=ns_from_s(timeout_s),
        connect_timeout_ns=ns_from_s(connect_timeout_s),
        threads=threads,
        seed=seed,
        realtime=realtime,
        receive_clock=receive_clock,
        keep_awake=keep_awake,
        record_events=record_events,
        tokenizer=tokenizer,
    )


def _compile_group(group: Group, steps: tuple[int, ...], plan: Plan, stream: int) -> EngineGroup:
    load = group.load
    if isinstance(load, OpenLoad):
        arrivals = load.arrivals
        profile = arrivals.profile
        if load.warmup_s and profile and arrivals.length_s is not None:
            first_per_s = profile[0].from_per_s
            profile = (RateSegment(first_per_s, first_per_s, load.warmup_s), *profile)
        return EngineGroup(
            steps=steps,
            users=0,
            loops=0,
            duration_ns=ns_from_s(load.longest_s or 0.0),
            ramp_ns=0,
            think_ns=0,
            weights=group.scenario.weights,
            arrivals=EngineArrivals(
                process=arrivals.process,
                cv=arrivals.cv,
                profile=tuple(
                    EngineRateSegment(part.from_per_s, part.to_per_s, ns_from_s(part.duration_s or 0.0))
                    for part in profile
                ),
                times_ns=arrivals.times_ns,
                count=load.requests or 0,
                max_connections=load.max_connections,
                stream=stream,
            ),
        )
    duration_s = load.longest_s or 0.0
    if group.background:  # it also ends with the time of the others, if all of them have one
        ends_s = [other.load.longest_s for other in plan.groups if not other.background]
        duration_s = 0.0 if None in ends_s else max(end_s or 0.0 for end_s in ends_s)
    return EngineGroup(
        steps=steps,
        users=load.users,
        loops=0 if group.background else load.loops or 0,
        duration_ns=ns_from_s(duration_s),
        ramp_ns=ns_from_s(load.ramp_s),
        think_ns=ns_from_s(load.think_s),
        weights=group.scenario.weights,
        background=group.background,
    )


def _compiled_pool(requests: Sequence[Request], address: Address) -> Iterator[EngineRequest]:
    """Each of some requests; those that differ in their bodies alone share the rest, of which there may be 100,000."""
    last: Request | None = None
    compiled: EngineRequest | None = None
    for request in requests:
        if compiled is not None and last is not None and _differ_in_bodies_alone(last, request):
            compiled = replace(compiled, body=request.body)
        else:
            compiled = compile_request(request, address)
        last = request
        yield compiled


def _differ_in_bodies_alone(one: Request, other: Request) -> bool:
    rest = ((request.method, request.path, request.headers, request.numbered) for request in (one, other))
    return not one.numbered and next(rest) == next(rest)


def _compile_step(step: Step, address_index: int, address: Address) -> EngineStep:
    requests = tuple(_compiled_pool(step.requests, address))
    until = None
    if step.until:
        interval_ns, limit_ns = ns_from_s(step.until.interval_s), ns_from_s(step.until.limit_s)
        until = EngineUntil(step.until.text, step.until.times, interval_ns, limit_ns)
    expect = EngineExpect(step.expect.kind, step.expect.pattern) if step.expect else None
    return EngineStep(
        step.name,
        address_index,
        requests,
        expect_status=step.expect_status,
        until=until,
        expect=expect,
        tokens=step.tokens,
        draws=step.draws,
    )
