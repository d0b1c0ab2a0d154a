"""The compilation of a plan, with the addresses of a server, to what an engine reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from servemark.errors import UsageError
from servemark.units import ns_from_s
from servemark.workload.address import Address
from servemark.workload.engine_plan import (
    EngineArrivals,
    EngineExpect,
    EngineGroup,
    EnginePatch,
    EnginePlan,
    EngineRateSegment,
    EngineRequest,
    EngineStep,
    EngineUntil,
    ReceiveClock,
    Switch,
)
from servemark.workload.headers import replaced, wire
from servemark.workload.load import OpenLoad, RateSegment
from servemark.workload.plan import Group, Plan, headline_step
from servemark.workload.scenario import SEQ_MARK, USER_MARK, ApiName, Request, Step

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
