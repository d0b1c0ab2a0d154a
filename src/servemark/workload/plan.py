"""Plans: groups of (scenario, load) that run at the same time, as a benchmark declares them.

``compiling.compile_plan`` turns one, with the addresses of a server, into the ``EnginePlan`` that an engine reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from servemark.errors import UsageError
from servemark.workload.load import ClosedLoad, Load, OpenLoad
from servemark.workload.scenario import Expect, Scenario


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
