"""A plan as JMeter's: a readable .jmx that opens in its GUI, and beside it the files that it reads.

::

    plan.jmx          one thread group a group; in it its steps in order, as HTTP requests
    inputs/           bodies that are not plain text, or long
    draws/1-3.csv     which request of each pool the third user of group 1 sends in each of its loops, and which step it
                      performs when they are mixed, drawn as the native engine does

All paths in the plan are relative: the folder can be moved. The value of a header that is a secret is not in it: there
is the property ``servemark.secret.N`` in its place. On the wire the requests are those of the native engine but
for these: without a body JMeter still sends a Content-Type of forms with POST, PUT and DELETE; and its timeout counts
from one part of a response to the next.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from servemark.engines.jmeter import draws, elements, scripts
from servemark.engines.jmeter.elements import MS_PER_S, Element
from servemark.engines.jmeter.limits import check_plan
from servemark.engines.jmeter.steps import STEP_VARIABLE, Place, StepWriter, uses
from servemark.workload.address import Address
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import USER_MARK, ApiName, Step

PLAN = "plan.jmx"
FAILURES = "failures.xml"
_DRAWS = "draws"
_USER_DIGITS = 10


@dataclass(frozen=True)
class WrittenPlan:
    """A plan on disk.

    Attributes:
        path: the .jmx.
        groups: what its thread groups perform, in order.
        input_variables: for each step whose pool has several requests, by its number in the plan, the variable with the
            number of the request that a loop sends.
        secrets: values of headers that are not in the plan, by the property that stands for each.
    """

    path: Path
    groups: tuple[Group, ...]
    input_variables: Mapping[int, str]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def variables(self) -> tuple[str, ...]:
        """Variables that JMeter has to save with each sample."""
        told = (STEP_VARIABLE,) if any(map(_shares_names, self.groups)) else ()
        return (*self.input_variables.values(), *told)

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, by their number."""
        return tuple(step for group in self.groups for step in group.scenario.steps)


def write_plan(
    plan: Plan,
    addresses: Mapping[ApiName, Address],
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
    steps = StepWriter(
        addresses,
        folder,
        all_steps=sum(len(group.scenario.steps) for group in plan.groups),
        timeout_s=timeout_s,
        connect_timeout_s=connect_timeout_s,
    )
    writer = _Writer(plan, addresses, folder, steps, seed)
    (folder / PLAN).write_text(elements.document(writer.test_plan()), encoding="utf-8")
    return WrittenPlan(folder / PLAN, plan.groups, writer.input_variables, steps.secrets)


class _Writer:
    """Makes the tree of one plan, and writes the tables that it reads."""

    def __init__(
        self, plan: Plan, addresses: Mapping[ApiName, Address], folder: Path, steps: StepWriter, seed: int
    ) -> None:
        self.input_variables: dict[int, str] = {}
        self._plan = plan
        self._addresses = addresses
        self._folder = folder
        self._steps = steps
        self._seed = seed
        self._foreground = [group.closed for group in plan.groups if not group.background]
        has_loops = any(load.loops is not None for load in self._foreground)
        #: Users of the foreground have to say that they have done their loops.
        self._tells_background = has_loops and len(self._foreground) < len(plan.groups)

    def test_plan(self) -> Element:
        """The whole tree."""
        below = [elements.dns_table(self._hosts())] if self._hosts() else []
        if self._tells_background or any(step.until for group in self._plan.groups for step in group.scenario.steps):
            below.append(self._start_groovy())
        first_step = first_user = 0
        for number, group in enumerate(self._plan.groups, 1):
            below.append(self._group(number, group, first_step, first_user))
            first_step += len(group.scenario.steps)
            first_user += group.closed.users
        below.append(elements.failure_writer(FAILURES))
        names = dict.fromkeys(step.name for group in self._plan.groups for step in group.scenario.steps)
        comment = f"Written by servemark, seed {self._seed}. Results: jmeter -n -t {PLAN} -l results.jtl"
        root = elements.test_plan(
            f"servemark: {' + '.join(names)}", comment, {"dollar": "$"} if self._steps.has_dollar else {}
        )
        root.children = below
        return root

    def _start_groovy(self) -> Element:
        """Has Groovy started, and what every request of the background waits for compiled, before anybody does."""
        start = elements.script("Sampler", "start Groovy", scripts.START_GROOVY)
        if self._tells_background:
            start.children.append(self._end_with_the_others())
        group = elements.set_up_group("before the users start")
        group.children.append(start)
        return group

    def _hosts(self) -> dict[str, str]:
        """Host names that are used, with the address that each was found to have."""
        used = {step.api for group in self._plan.groups for step in group.scenario.steps}
        addresses = [self._addresses[name] for name in sorted(used)]
        return {address.host: address.ip for address in addresses if address.host != address.ip}

    def _group(self, number: int, group: Group, first_step: int, first_user: int) -> Element:
        load, scenario = group.closed, group.scenario
        loops, duration_s = self._end(group)
        background = "background, " if group.background else ""
        made = elements.thread_group(
            f"group {number}: {background}{load.users} user{'s' if load.users > 1 else ''}",
            users=load.users,
            loops=loops,
            duration_s=duration_s,
            ramp_s=int(load.ramp_s),
        )
        if uses(USER_MARK, [request for step in scenario.steps for request in step.requests]):
            numbers = [f"{first_user + user:0{_USER_DIGITS}d}" for user in range(load.users)]
            made.children.append(elements.user_parameters("number of the user", "user", numbers))
        made.children += self._draws(number, group, first_step, first_user)
        for at, step in enumerate(scenario.steps, first_step):
            made.children += [] if step.until else self._steps.counter(step, at)
        if not _judges_each(group):
            made.children.append(elements.status_assertion())
        if group.background and duration_s is None:
            made.children.append(self._end_with_the_others())
        performed = list(self._performed(group, first_step))
        if scenario.weights:
            mix = elements.switch_controller("one of the steps, by weight", f"${{{_mix_variable(number)}}}")
            mix.children = performed
            performed = [mix]
        think = elements.pause(f"think time: {load.think_s:g} s", round(load.think_s * MS_PER_S))
        *before_last, last = ([step, think] if load.think_s else [step] for step in performed)
        made.children += [element for step in before_last for element in step]
        if loops is not None and self._tells_background:
            last.insert(1, elements.script("Sampler", "tell the background", scripts.tell_last_loop(loops)))
        made.children += last
        return made

    def _performed(self, group: Group, first_step: int) -> Iterator[Element]:
        """The element of each step."""
        for number, step in enumerate(group.scenario.steps, first_step):
            place = Place(
                number=number,
                input_variable=self.input_variables.get(number),
                tells_number=_shares_names(group),
                judges_status=_judges_each(group),
            )
            yield self._steps.write(step, place)

    def _end(self, group: Group) -> tuple[int | None, int | None]:
        """The loops, or the seconds, after which the users of a group end; neither when others end the background."""
        if not group.background:
            longest_s = group.closed.longest_s
            return group.closed.loops, None if longest_s is None else int(longest_s)
        times_s = [load.longest_s for load in self._foreground]
        if any(longest_s is None for longest_s in times_s):
            return None, None
        return None, int(max(longest_s or 0.0 for longest_s in times_s))

    def _end_with_the_others(self) -> Element:
        users = sum(load.users for load in self._foreground if load.loops is not None)
        longest_s = max(load.longest_s or 0.0 for load in self._foreground)
        text = scripts.end_with_the_others(users, longest_s)
        return elements.script("PreProcessor", "end with the other groups", text)

    def _draws(self, number: int, group: Group, first_step: int, first_user: int) -> list[Element]:
        """The table of what each loop sends, and performs, where that is drawn."""
        steps = group.scenario.steps
        pooled = [index for index, step in enumerate(steps) if len(step.requests) > 1]
        inputs = {first_step + index: f"input_{first_step + index}" for index in pooled}
        self.input_variables.update(inputs)
        variables = [*inputs.values(), *([_mix_variable(number)] if group.scenario.weights else [])]
        if not variables:
            return []
        folder = self._folder / _DRAWS
        folder.mkdir(exist_ok=True)
        for user in range(group.closed.users):
            with (folder / f"{number}-{user + 1}.csv").open("w", newline="", encoding="utf-8") as out:
                rows = csv.writer(out, lineterminator="\n")
                rows.writerow(variables)
                rows.writerows(draws.table(self._seed, group, pooled, first_step, first_user + user))
        file = f"{_DRAWS}/{number}-${{__threadNum}}.csv"
        return [elements.csv_data_set(f"what each loop sends (seed {self._seed})", file, variables)]


def _mix_variable(number: int) -> str:
    return f"step_of_group_{number}"


def _judges_each(group: Group) -> bool:
    """Whether the steps of a group differ in what they take for a success, or look into it."""
    return any(step.expect_status is not None or step.until for step in group.scenario.steps)


def _shares_names(group: Group) -> bool:
    names = [step.name for step in group.scenario.steps]
    return len(set(names)) < len(names)
