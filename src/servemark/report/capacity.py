"""The capacity that a search found, for people: in one sentence, and each of its probes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from servemark.report.layout import Columns, Fact, Line
from servemark.report.words import counted
from servemark.result import Capacity, CapacityProbe
from servemark.units import four_digits

#: A machine that is busier than this is worth a word.
_BUSY_SHARE = 0.5
_STYLES = {"met": "bold green", "missed": "bold red", "undecided": "bold yellow"}
_ENDINGS = {
    "decided": "both sides are decided, and the interval is as narrow as --precision asks",
    "budget": "the --search-budget was spent: what lies between was not decided",
    "impossible": "the lowest load already misses it",
    "unmeasurable": "no higher load could be measured",
    "interrupted": "interrupted: this is what was known until then",
}


def answer(capacity: Capacity) -> Text:
    """The capacity, between what it lies, and what limits it, in a sentence."""
    texts = " and ".join(dict.fromkeys(text for probe in capacity.probes for text in probe.conditions))
    holds, fails = capacity.feasible_max, capacity.infeasible_min
    if capacity.ending == "impossible":
        return Text(f"capacity 0: {texts} fails at {_load(capacity, fails)}, the lowest load", _STYLES["missed"])
    found = capacity.estimate
    if found.value is None:
        seen = f"{texts}{_between(capacity)}" if texts else "no probe saw what is asked"
        return Text(f"capacity unknown: {seen}", _STYLES["undecided"])
    interval = f" ({four_digits(found.ci90[0])} to {four_digits(found.ci90[1])})" if found.ci90 else ""
    at_least = "at least " if found.value == holds and fails is None else ""
    style = _STYLES["met" if holds is not None and fails is not None else "undecided"]
    sentence = f"capacity {at_least}{_load(capacity, found.value)}{interval}: {texts}{_between(capacity)}"
    told = ", ".join(f"{name} {value}" for name, value in capacity.configuration.items())
    return Text(sentence + _limit(capacity) + (f"; with {told}" if told else ""), style)


def _between(capacity: Capacity) -> str:
    holds, fails = capacity.feasible_max, capacity.infeasible_min
    words = [] if holds is None else [f"holds at {_load(capacity, holds)}"]
    words += [] if fails is None else [f"fails at {_load(capacity, fails)}"]
    if fails is None and holds is not None and capacity.estimate.value != holds:
        words.append("was not shown to fail at any")
    return f" {' and '.join(words)}" if words else ": neither met nor missed at any load"


def _limit(capacity: Capacity) -> str:
    if capacity.limiting is None:
        return ""
    used = []
    if capacity.workers_busy_share is not None:
        used.append(f"the server's workers are busy {capacity.workers_busy_share:.0%}")
    if capacity.server_cpus is not None:
        used.append(f"the server uses {capacity.server_cpus:.2g} CPUs")
    if (capacity.machine_busy_share or 0.0) > _BUSY_SHARE:
        used.append(f"the machine is busy {capacity.machine_busy_share:.0%}")
    also = f" ({', '.join(used)})" if used else ""
    return f"; the limit is {capacity.limiting.partition('<')[0]}{also}"


def configurations(found: Sequence[Capacity], chosen: Capacity) -> Iterator[Line]:
    """What each configuration reaches, and which is recommended, if any."""
    names = list(chosen.configuration)
    table = Columns(*names, "capacity", "90% interval", "holds at", "fails at")
    for capacity in found:
        estimate = capacity.estimate
        table.add_row(
            *(str(capacity.configuration[name]) for name in names),
            _load(capacity, estimate.value),
            f"{four_digits(estimate.ci90[0])} to {four_digits(estimate.ci90[1])}" if estimate.ci90 else "-",
            *("-" if load is None else four_digits(load) for load in (capacity.feasible_max, capacity.infeasible_min)),
        )
    yield table
    yield Text()
    told = ", ".join(f"{name} {value}" for name, value in chosen.configuration.items())
    if chosen.estimate.value is None:
        yield Fact("recommended", f"none, for none has a known capacity; the probes of {told}:", "bold yellow")
    else:
        yield Fact("recommended", f"{told}: with the least resources within 5% of the best; its probes:", "bold")
    yield Text()


def lines(capacity: Capacity) -> Iterator[Line]:
    """Each probe, in the order in which they were made, and how the search ended."""
    heading = "per s" if capacity.by == "rate" else "threads"
    texts = list(dict.fromkeys(text for probe in capacity.probes for text in probe.conditions))
    table = Columns("probe", heading, "s", "requests", *(f"beyond {text}" for text in texts), "outcome")
    for number, probe in enumerate(capacity.probes, 1):
        beyond = (f"{seen.share:.2%}" if (seen := probe.conditions.get(text)) else "-" for text in texts)
        requests = max((seen.requests for seen in probe.conditions.values()), default=0)
        table.add_row(
            str(number), four_digits(probe.load), f"{probe.took_s:.0f}", f"{requests:,}", *beyond, _outcome(probe)
        )
    if capacity.probes:
        yield table
        yield Text()
    yield Fact(
        "search",
        f"{counted(len(capacity.probes), 'probe')}, {sum(p.took_s for p in capacity.probes):.0f} s; "
        f"{_ENDINGS[capacity.ending]}",
    )
    if capacity.confirmed:
        holds = _load(capacity, capacity.feasible_max)
        yield Fact(
            "confirmed", f"it holds at {holds} with what a server started afresh did, which alone does not miss it"
        )


def _outcome(probe: CapacityProbe) -> str:
    if not probe.valid:
        return "INVALID"
    words = "falls behind" if probe.falls_behind else probe.outcome
    return f"{words}, fresh server" if probe.fresh else words


def _load(capacity: Capacity, load: float | None) -> str:
    return f"{four_digits(load or 0.0)}/s" if capacity.by == "rate" else counted(int(load or 0), "thread")
