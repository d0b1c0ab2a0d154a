"""A plan as JMeter's: a readable .jmx that opens in its GUI, and beside it the files that it reads.

::

    plan.jmx          one thread group a group; in it its steps in order, as HTTP requests
    inputs/           bodies that are not plain text, or long
    draws-1.csv       which request of each pool each loop of group 1 sends, drawn as the native engine does

All paths in the plan are relative: the folder can be moved. On the wire the requests are those of the native engine but
for two things that JMeter does: without a body it still sends a Content-Type of forms with POST, PUT and DELETE, and
its timeout counts from one part of a response to the next.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from servemark.engines.jmeter import elements
from servemark.engines.jmeter.elements import MS_PER_S, Element, Value
from servemark.errors import UsageError
from servemark.workload.load import ClosedLoad
from servemark.workload.plan import Address, Group, Plan
from servemark.workload.scenario import SEQ_MARK, USER_MARK, EndpointName, Request, Step

PLAN = "plan.jmx"
FAILURES = "failures.xml"
_INPUTS = "inputs"
#: A longer body goes into a file of its own, to keep the plan readable.
_LONGEST_INLINE_BODY = 4096
#: Rows of draws when time ends the run, or the loops are more; after the last one JMeter begins again.
_MOST_DRAWS = 100_000
_USER_DIGITS, _SEQ_DIGITS = 10, 20
_MARKS = re.compile("|".join(map(re.escape, (USER_MARK, SEQ_MARK))))
#: What Java takes for a URI's path and query.
_URI = re.compile(r"(?:[A-Za-z0-9/?:@!$&'()*+,;=._~-]|%[0-9A-Fa-f]{2})*")
_OTHER_ENGINE = "use --engine native"
_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class WrittenPlan:
    """A plan on disk.

    Attributes:
        path: the .jmx.
        steps: the labels of each group's steps, in order.
        users: users of each group.
        input_variables: for each step whose pool has several requests, by (group, step), the variable with the number
            of the request that a loop sends.
    """

    path: Path
    steps: tuple[tuple[str, ...], ...]
    users: tuple[int, ...]
    input_variables: Mapping[tuple[int, int], str]


def write_plan(
    plan: Plan,
    addresses: Mapping[EndpointName, Address],
    folder: Path,
    *,
    timeout_s: float,
    connect_timeout_s: float,
    seed: int,
) -> WrittenPlan:
    """Write `plan`, for the server at `addresses`, into `folder`, which exists.

    Raises:
        UsageError: JMeter cannot do what the plan asks; says what, and what to give instead.
        OSError: a file could not be written.
    """
    check_plan(plan, addresses)
    writer = _Writer(plan, addresses, folder, timeout_s, connect_timeout_s, seed)
    (folder / PLAN).write_text(elements.document(writer.test_plan()), encoding="utf-8")
    return WrittenPlan(
        path=folder / PLAN,
        steps=tuple(tuple(step.name for step in group.scenario.steps) for group in plan.groups),
        users=tuple(group.load.users for group in plan.groups),
        input_variables=writer.input_variables,
    )


def check_plan(plan: Plan, addresses: Mapping[EndpointName, Address]) -> None:
    """Refuse what JMeter cannot honour.

    Raises:
        UsageError: says what, and what to give instead.
    """
    for group in plan.groups:
        _check_load(group.load)
        names = [step.name for step in group.scenario.steps]
        if len(set(names)) < len(names):
            raise UsageError("JMeter tells the steps of a scenario apart by their names, which are not all different")
        for step in group.scenario.steps:
            tls = addresses[step.endpoint].tls
            if tls and tls.verify:
                raise UsageError(
                    "JMeter does not check the certificate of a server",
                    next_step=f"give --insecure to measure without a check, or {_OTHER_ENGINE}",
                )
            for request in step.requests:
                _check_request(step, request)


def _check_load(load: ClosedLoad) -> None:
    for name, seconds in (("--ramp", load.ramp_s), ("--warmup", load.warmup_s), ("--duration", load.duration_s or 0.0)):
        if seconds != int(seconds):
            raise UsageError(f"JMeter counts whole seconds: {name} {seconds:g} s", next_step="round it")
    think_ms = load.think_s * MS_PER_S
    if abs(think_ms - round(think_ms)) > 1e-6:
        raise UsageError(f"JMeter counts whole milliseconds: --think {load.think_s:g} s", next_step="round it")


def _check_request(step: Step, request: Request) -> None:
    path = _MARKS.sub("", request.path) if request.numbered else request.path
    if not _URI.fullmatch(path):
        raise UsageError(f"JMeter cannot send the path {path!r} of step {step.name}", next_step="percent-encode it")
    if request.numbered and _text(request.body) is None:
        raise UsageError(
            f"JMeter cannot number the body of step {step.name}, which is not plain text", next_step=_OTHER_ENGINE
        )


def _within_group(group: Group) -> list[Request]:
    return [request for step in group.scenario.steps for request in step.requests]


class _Writer:
    """Makes the tree of one plan, and writes the files that it reads."""

    def __init__(
        self,
        plan: Plan,
        addresses: Mapping[EndpointName, Address],
        folder: Path,
        timeout_s: float,
        connect_timeout_s: float,
        seed: int,
    ) -> None:
        self.input_variables: dict[tuple[int, int], str] = {}
        self._plan = plan
        self._addresses = addresses
        self._folder = folder
        self._seed = seed
        self._properties: dict[str, Value] = {
            "HTTPSampler.contentEncoding": "UTF-8",
            "HTTPSampler.follow_redirects": False,
            "HTTPSampler.auto_redirects": False,
            "HTTPSampler.use_keepalive": True,
            "HTTPSampler.DO_MULTIPART_POST": False,
            "HTTPSampler.implementation": "HttpClient4",
            "HTTPSampler.connect_timeout": str(max(1, round(connect_timeout_s * MS_PER_S))),
            "HTTPSampler.response_timeout": str(max(1, round(timeout_s * MS_PER_S))),
        }
        self._all_steps = sum(len(group.scenario.steps) for group in plan.groups)
        self._has_dollar = False

    def test_plan(self) -> Element:
        """The whole tree."""
        below = [elements.dns_table(self._hosts())] if self._hosts() else []
        first_step = first_user = 0
        for number, group in enumerate(self._plan.groups):
            below.append(self._group(number, group, first_step, first_user))
            first_step += len(group.scenario.steps)
            first_user += group.load.users
        below.append(elements.failure_writer(FAILURES))
        names = " + ".join(step.name for group in self._plan.groups for step in group.scenario.steps)
        comment = f"Written by servemark, seed {self._seed}. Results: jmeter -n -t {PLAN} -l results.jtl"
        root = elements.test_plan(f"servemark: {names}", comment, {"dollar": "$"} if self._has_dollar else {})
        root.children = below
        return root

    def _hosts(self) -> dict[str, str]:
        """Host names that are used, with the address that each was found to have."""
        used = {step.endpoint for group in self._plan.groups for step in group.scenario.steps}
        addresses = [self._addresses[name] for name in sorted(used)]
        return {address.host: address.ip for address in addresses if address.host != address.ip}

    def _group(self, number: int, group: Group, first_step: int, first_user: int) -> Element:
        load, steps = group.load, group.scenario.steps
        longest_s = load.longest_s
        made = elements.thread_group(
            f"group {number + 1}: {load.users} user{'s' if load.users > 1 else ''}",
            users=load.users,
            loops=load.loops,
            duration_s=None if longest_s is None else int(longest_s),
            ramp_s=int(load.ramp_s),
        )
        if _uses(USER_MARK, _within_group(group)):
            numbers = [f"{first_user + user:0{_USER_DIGITS}d}" for user in range(load.users)]
            made.children.append(elements.user_parameters("number of the user", "user", numbers))
        pooled = [index for index, step in enumerate(steps) if len(step.requests) > 1]
        if pooled:
            made.children.append(self._draws(number, group, pooled, first_step))
        for index, step in enumerate(steps):
            if _uses(SEQ_MARK, step.requests):
                made.children.append(
                    elements.counter(
                        f"number of the request: {step.name}",
                        f"seq_{first_step + index}",
                        start=first_step + index,
                        step=self._all_steps,
                        digits=_SEQ_DIGITS,
                    )
                )
        made.children.append(elements.status_assertion())
        if load.think_s:
            think_ms = round(load.think_s * MS_PER_S)
            made.children.append(elements.constant_timer(f"think time: {think_ms} ms before each request", think_ms))
        made.children += [self._step(number, index, step, first_step) for index, step in enumerate(steps)]
        return made

    def _draws(self, number: int, group: Group, pooled: list[int], first_step: int) -> Element:
        """The table of which request each loop sends in each of its `pooled` steps."""
        steps, load = group.scenario.steps, group.load
        rows = min(_MOST_DRAWS, load.users * load.loops) if load.loops else _MOST_DRAWS
        variables = [f"input_{first_step + index}" for index in pooled]
        self.input_variables.update({(number, index): name for index, name in zip(pooled, variables, strict=True)})
        file = f"draws-{number + 1}.csv"
        with (self._folder / file).open("w", newline="", encoding="utf-8") as out:
            table = csv.writer(out, lineterminator="\n")
            table.writerow(variables)
            for row in range(rows):
                table.writerow(
                    draw(self._seed, first_step + index, row * len(steps) + index, len(steps[index].requests))
                    for index in pooled
                )
        return elements.csv_data_set(f"which input each loop sends (seed {self._seed})", file, variables)

    def _step(self, number: int, index: int, step: Step, first_step: int) -> Element:
        variable = self.input_variables.get((number, index))
        seq_variable = f"seq_{first_step + index}"
        files = f"{_INPUTS}/{first_step + index}-{_plain(step.name)}"
        samplers = [
            self._sampler(step, request, f"{files}-{position}", seq_variable)
            for position, request in enumerate(step.requests)
        ]
        if variable is None:
            return samplers[0]
        switch = elements.switch_controller(f"{step.name}: one of {len(samplers)} inputs", f"${{{variable}}}")
        switch.children = samplers
        return switch

    def _sampler(self, step: Step, request: Request, file: str, seq_variable: str) -> Element:
        address = self._addresses[step.endpoint]
        fill: Callable[[str], str] = lambda text: self._filled(text, request.numbered, seq_variable)  # noqa: E731
        body = _text(request.body)
        body_file = None
        if body is None or (len(body) > _LONGEST_INLINE_BODY and not request.numbered):
            body_file = file + ".bin"
            (self._folder / _INPUTS).mkdir(exist_ok=True)
            (self._folder / body_file).write_bytes(request.body)
        properties: dict[str, Value] = {
            "HTTPSampler.protocol": "https" if address.tls else "http",
            "HTTPSampler.domain": f"[{address.host}]" if ":" in address.host else address.host,
            "HTTPSampler.port": str(address.port),
            "HTTPSampler.method": request.method,
            "HTTPSampler.path": fill(request.path),
            **self._properties,
        }
        headers = list(request.headers)
        given = {name.lower(): value for name, value in headers}
        if "user-agent" not in given:
            headers.append(("User-Agent", "servemark"))
        sampler = elements.http_sampler(
            self._filled(step.name, False, ""),
            properties,
            body=None if body_file else fill(body or ""),
            body_file=body_file,
            content_type=given.get("content-type", ""),
            comment=f"{len(request.body)} bytes" if request.body else "",
        )
        # JMeter counts the body itself.
        fields = [(name, self._filled(value, False, "")) for name, value in headers if name.lower() != "content-length"]
        sampler.children.append(elements.header_manager(fields))
        return sampler

    def _filled(self, text: str, numbered: bool, seq_variable: str) -> str:
        """`text` as JMeter has to read it to send it: marks become variables, and nothing else does."""
        has_marks = numbered and _MARKS.search(text) is not None
        if not has_marks and "${" not in text:
            return text  # Backslashes are themselves where there is no variable.
        self._has_dollar |= "${" in text
        literal = text.replace("\\", "\\\\").replace("${", "${dollar}{")
        if not has_marks:
            return literal
        return literal.replace(USER_MARK, "${user}").replace(SEQ_MARK, f"${{{seq_variable}}}")


def draw(seed: int, step: int, seq: int, size: int) -> int:
    """Which request of a pool of `size` request number `seq` is: the native engine's draw (its ``request.rs``)."""
    if size <= 1:
        return 0
    mixed = _splitmix64(_splitmix64(_splitmix64(seed) ^ step) ^ seq)
    return mixed * size >> 64


def _splitmix64(state: int) -> int:
    mixed = (state + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


def _uses(mark: str, requests: tuple[Request, ...] | list[Request]) -> bool:
    return any(r.numbered and (mark in r.path or mark.encode() in r.body) for r in requests)


def _text(body: bytes) -> str | None:
    """The body as text that XML holds unchanged; None when it is no such text."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character in "\n\t" for character in text) else None


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)
