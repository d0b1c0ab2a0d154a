"""One step as elements of JMeter's: its requests, which of them a loop sends, what it expects, how it is repeated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from servemark.engines.jmeter import elements, scripts
from servemark.engines.jmeter.elements import MS_PER_S, Element, Value
from servemark.workload.address import Address
from servemark.workload.headers import replaced
from servemark.workload.scenario import SEQ_MARK, USER_MARK, ApiName, RepeatUntil, Request, Step

#: The variable with a step's number in the plan, where its name is not enough to know it by.
STEP_VARIABLE = "step_number"
MARKS = re.compile("|".join(map(re.escape, (USER_MARK, SEQ_MARK))))
_INPUTS = "inputs"
#: A longer body goes into a file of its own, to keep the plan readable.
_LONGEST_INLINE_BODY = 4096
_SEQ_DIGITS = 20


@dataclass(frozen=True)
class Place:
    """The place of a step in the plan.

    Attributes:
        number: its index among all steps of the plan.
        input_variable: holds which request of its pool a loop sends; None when it has but one.
        tells_number: another step of its scenario has the same name.
        judges_status: nothing around it says which status succeeds.
    """

    number: int
    input_variable: str | None
    tells_number: bool
    judges_status: bool


class StepWriter:
    """Makes the elements of steps, and writes the bodies that they read into `folder`.

    `has_dollar` tells whether one needs the variable ``dollar``, which stands for itself. `secrets` are the values of
    headers that are not in the plan: JMeter has to be given each as the property of that name.
    """

    def __init__(
        self,
        addresses: Mapping[ApiName, Address],
        folder: Path,
        *,
        all_steps: int,
        timeout_s: float,
        connect_timeout_s: float,
    ) -> None:
        self.has_dollar = False
        self.secrets: dict[str, str] = {}
        self._addresses = addresses
        self._folder = folder
        self._all_steps = all_steps
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

    def write(self, step: Step, place: Place) -> Element:
        """The step, less the counter of its requests if it is not repeated: see ``counter``."""
        samplers = [self._sampler(step, index, place.number) for index in range(len(step.requests))]
        sends = samplers[0]
        if place.input_variable is not None:
            name = self._filled(f"{step.name}: one of {len(samplers)} inputs")
            sends = elements.switch_controller(name, f"${{{place.input_variable}}}")
            sends.children = samplers
        if place.tells_number:
            known = elements.user_parameters("which step this is", STEP_VARIABLE, [str(place.number)])
            sends.children.append(known)
        if place.judges_status:
            sends.children.append(elements.status_assertion(step.expect_status))
        return sends if step.until is None else self._repeated(step, step.until, place.number, sends)

    def counter(self, step: Step, number: int) -> list[Element]:
        """What numbers the requests of step `number` in each loop of what it is in; nothing if they have no number."""
        if not uses(SEQ_MARK, step.requests):
            return []
        name = self._filled(f"number of the request: {step.name}")
        return [elements.counter(name, f"seq_{number}", start=number, step=self._all_steps, digits=_SEQ_DIGITS)]

    def _repeated(self, step: Step, until: RepeatUntil, number: int, sends: Element) -> Element:
        sends.children.append(
            elements.script("Assertion", "go on, ask again, or fail", scripts.repeat_until(until, number))
        )
        text = until.text.decode("utf-8", "replace")
        loop = elements.endless_loop(self._filled(f"{step.name}: until the body holds {text!r} {until.times} times"))
        loop.children = [*self.counter(step, number), sends]
        interval_ms = round(until.interval_s * MS_PER_S)
        if interval_ms:
            loop.children.append(elements.pause(f"{interval_ms} ms before it asks again", interval_ms))
        return loop

    def _sampler(self, step: Step, index: int, number: int) -> Element:
        address, request = self._addresses[step.api], step.requests[index]
        fill: Callable[[str], str] = lambda text: self._filled(text, f"seq_{number}" if request.numbered else None)  # noqa: E731
        body = plain_text(request.body)
        body_file = None
        if body is None or (len(body) > _LONGEST_INLINE_BODY and not request.numbered):
            body_file = f"{_INPUTS}/{number}-{_plain(step.name)}-{index}.bin"
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
        headers = replaced(request.headers, address.headers)
        given = {name.lower(): value for name, value in headers}
        if "user-agent" not in given:
            headers.append(("User-Agent", "servemark"))
        if address.named_port is not None and "host" not in given:
            headers.append(("Host", address.authority))
        sampler = elements.http_sampler(
            self._filled(step.name),
            properties,
            body=None if body_file else fill(body or ""),
            body_file=body_file,
            content_type=given.get("content-type", ""),
            comment=f"{len(request.body)} bytes" if request.body else "",
        )
        # JMeter counts the body itself.
        secret = {header.name: header.value for header in address.headers if header.secrets}
        fields = [
            (name, self._secret(value) if secret.get(name) == value else self._filled(value))
            for name, value in headers
            if name.lower() != "content-length"
        ]
        sampler.children.append(elements.header_manager(fields))
        return sampler

    def _secret(self, value: str) -> str:
        """What stands for a value that is not to be in the plan."""
        known = next((name for name, known in self.secrets.items() if known == value), None)
        name = known or f"servemark.secret.{len(self.secrets) + 1}"
        self.secrets[name] = value
        return f"${{__P({name})}}"

    def _filled(self, text: str, seq_variable: str | None = None) -> str:
        """`text` as JMeter has to read it to send it: marks become variables if numbered, and nothing else does."""
        has_marks = seq_variable is not None and MARKS.search(text) is not None
        if not has_marks and "${" not in text:
            return text  # Backslashes are themselves where there is no variable.
        self.has_dollar |= "${" in text
        literal = text.replace("\\", "\\\\").replace("${", "${dollar}{")
        if not has_marks:
            return literal
        return literal.replace(USER_MARK, "${user}").replace(SEQ_MARK, f"${{{seq_variable}}}")


def uses(mark: str, requests: Sequence[Request]) -> bool:
    """Whether one of `requests` is numbered by `mark`."""
    return any(r.numbered and (mark in r.path or mark.encode() in r.body) for r in requests)


def plain_text(body: bytes) -> str | None:
    """The body as text that XML holds unchanged; None when it is no such text."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character in "\n\t" for character in text) else None


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)
