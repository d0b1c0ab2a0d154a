"""The search for the most load that meets an objective: which load to probe next, or the answer.

A value without a clock or a network in it: all that it knows is what it sought and the probes so far. It doubles the
load until that misses the objective, halves what lies between, both by short probes, and then probes to both sides of
where the shares that miss cross what is allowed, until one side is shown to meet the objective and the other to miss
it. What is undecided is probed again, for longer; so that what was seen at one load counts together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from servemark.result import CapacityProbe, Ending, Estimate, ProbeOutcome, ProbeShare
from servemark.stats.crossing import Crossing, Observation, crossing_of
from servemark.stats.slo import outcome_of

#: From one load to the next while none has missed the objective, and down again while none has met it.
_UP, _DOWN = 2.0, 4.0
#: Of what one request at a time could do, the share that the second load has.
_FIRST_SHARE = 0.2
#: A server that is busy for so little of the time answers as one that nobody else asks.
_IDLE_SHARE = 0.1
#: Where no time of a response tells that: as often as this the least load was divided.
_MOST_DIVIDED = 4
#: Loads that lie so far apart are halved, whatever the shares say.
_WIDE = 1.6
#: A load this near to one that was probed, of the precision, is that one.
_SAME = 0.35
#: A probe that only looks for where the answer is lasts this part of one that looks for the answer: what it sees of
#: loads far from it says nothing of that.
_EXPLORING = 1 / 3
#: A probe at the same load again lasts twice as long, up to this many times the first.
_LONGEST = 4.0
#: Requests that a probe is to have, and how many times as long it may last for them.
_LEAST_REQUESTS, _MOST_FOR_THEM = 30, 6.0
#: Of the precision, how far an interval may go to either side for the search to end: one that ends where it is narrow
#: ends where it is so by chance.
_NARROW = 0.8
#: Shares that miss a condition so many times as often as they may are not near what is sought.
_FAR_BEYOND = 3.0
#: If so many did.
_MANY = 10
#: Misses that came in fewer groups than this may be of one stall of the server, which is seen as up to two and says
#: nothing of the load.
_LEAST_GROUPS = 3.0
#: Of loads that are no more than so many times each other's, one tells how much requests depend on each other at the
#: other: they do so by about this power of the load (at 0.7 of M/M/1 by the fifth, of M/M/4 by the tenth).
_ALIKE, _GROWS = 1.25, 7.0
MOST_LOAD = 1e6


@dataclass(frozen=True)
class Sought:
    """What is sought.

    Attributes:
        least: the share of the requests that has to be within each condition, by the condition as it is written.
        start: the first load.
        whole: loads are whole numbers.
        precision_share: how near to each other the load that holds and the one that fails are to be, to either side.
        budget_s: until when the last probe has sent, by what those before it took.
        probe_s: how long a probe measures at first.
        around_s: what it takes besides.
        confirms: whether a server that is started afresh has to hold it, too.
    """

    least: Mapping[str, float]
    start: float = 1.0
    whole: bool = False
    precision_share: float = 0.05
    budget_s: float = 600.0
    probe_s: float = 15.0
    around_s: float = 2.0
    confirms: bool = False


@dataclass(frozen=True)
class Probe:
    """What to measure next: so much load, for so long, on a server that is started for it or not."""

    load: float
    seconds: float
    fresh: bool = False


@dataclass(frozen=True)
class Found:
    """The answer: see ``result.Capacity``."""

    estimate: Estimate
    limiting: str | None
    feasible_max: float | None
    infeasible_min: float | None
    ending: Ending
    confirmed: bool | None


@dataclass(frozen=True)
class _Level:
    """All that was seen at one load, and of that what servers did that were started for it."""

    load: float
    shares: Mapping[str, ProbeShare]
    falls_behind: bool
    times: int
    fresh: Mapping[str, ProbeShare]

    def outcome(self, least: Mapping[str, float]) -> ProbeOutcome:
        if self.falls_behind:  # once it may have been a stall
            return "missed" if self.times > 1 else "undecided"
        return "missed" if judged(self.fresh, least) == "missed" else judged(self.shares, least)


def judged(shares: Mapping[str, ProbeShare], least: Mapping[str, float]) -> ProbeOutcome:
    """What conditions of which `shares` were seen come to: missed if one is, met if all are."""
    outcomes = {
        "undecided" if outcome == "missed" and _is_one_stall(seen) else outcome
        for text, seen in shares.items()
        for outcome in [outcome_of(1 - seen.share, seen.independent, least[text])]
    }
    return "missed" if "missed" in outcomes else "met" if outcomes == {"met"} else "undecided"


def _is_one_stall(seen: ProbeShare) -> bool:
    """Whether what missed came together, as far as is seen."""
    return seen.share * seen.independent < _LEAST_GROUPS


def _together(before: Mapping[str, ProbeShare], more: Mapping[str, ProbeShare]) -> Mapping[str, ProbeShare]:
    """What was seen `before` and `more` of it, of the conditions that the latter has."""
    return {text: before[text] + seen if text in before else seen for text, seen in more.items()}


@dataclass(frozen=True)
class Search:
    """A search, and the probes that it has had answers to."""

    sought: Sought
    probes: tuple[CapacityProbe, ...] = ()

    def after(self, probe: CapacityProbe) -> Search:
        """The same with one more."""
        return replace(self, probes=(*self.probes, probe))

    def next(self) -> Probe | Found:
        """What to probe, or the answer."""
        if not self.probes:
            return Probe(self.sought.start, _EXPLORING * self.sought.probe_s)
        last = self.probes[-1]
        before = self.probes[-2] if len(self.probes) > 1 else None
        is_repeated = before is not None and not before.valid and before.load == last.load
        if not last.valid and not is_repeated:
            return self._within_budget(self._probe(last.load, fresh=last.fresh))
        upper = min([*self._beyond, *self._left_out], default=None)
        if upper is None:
            top = self._levels[-1]
            load = _UP * top.load
            if last.response_s and not self.sought.whole:
                load = self._rounded(max(load, _FIRST_SHARE / last.response_s))
            return self.found("unmeasurable") if load > MOST_LOAD else self._explore(load)
        lower = max((level.load for level in self._levels if level.load < upper), default=None)
        if lower is None:
            if upper in self._left_out:
                return self.found("unmeasurable")
            if not self._is_least(upper):
                return self._explore(self._rounded(upper / _DOWN))
            if self.outcome_at(upper) == "missed":
                return self.found("impossible")
            return self._within_budget(self._probe(upper))
        if self.sought.whole:
            return self._halved(lower, upper)
        if upper / lower > _WIDE:
            return self._explore(self._rounded(math.sqrt(lower * upper)))
        if upper in self._behind and self.outcome_at(upper) == "undecided":
            return self._within_budget(self._probe(upper))
        return self._settled(lower, upper)

    def found(self, ending: Ending) -> Found:
        """The answer as far as it is known, for a search that ends so."""
        low, high = self._holds, self._fails
        limiting, crossing = self._crossing
        estimate = Estimate(low.load if low and not high else None, None)
        if self.sought.whole:
            ends = (low.load, high.load) if low and high else None
            most = high.load - 1 if high else math.inf
            estimate = Estimate(low.load if low else float(int(min(crossing.load, most))) if crossing else None, ends)
        elif crossing is not None:  # what was shown goes before what the line through all loads says
            least, most = low.load if low else 0.0, high.load if high else math.inf
            value = min(max(crossing.load, least), most)
            ci90 = crossing.ci90 or ((least, self._beyond[0]) if self._beyond else None)
            estimate = Estimate(value, (min(ci90[0], value), max(ci90[1], value)) if ci90 else None)
        if limiting is None and high is not None:
            limiting = next((text for text in high.shares if self._misses(high, text)), None)
        confirmed = True if low and low.fresh else None
        return Found(estimate, limiting, low.load if low else None, high.load if high else None, ending, confirmed)

    def outcome_at(self, load: float) -> ProbeOutcome:
        """What all probes at `load` together come to."""
        return next((one.outcome(self.sought.least) for one in self._levels if one.load == load), "undecided")

    @property
    def spent_s(self) -> float:
        """How long all probes took."""
        return sum(probe.took_s for probe in self.probes)

    def _settled(self, lower: float, upper: float) -> Probe | Found:
        """To either side of the crossing, whichever was seen for less; the answer where both are decided."""
        share, apart = self.sought.precision_share, self._apart
        low, high = self._holds, self._fails
        _, crossing = self._crossing
        if low and high and high.load / low.load <= 1.02 * apart and self._is_narrow(crossing):
            return self._decided(low)
        centre = min(max(crossing.load if crossing else math.sqrt(lower * upper), lower * 0.9), upper)
        below, above = centre * (1 - share), centre * (1 + share)
        if low and low.load >= 0.98 * below:
            below, above = low.load, min(above, low.load * apart)
        if high and high.load <= 1.02 * above:
            above, below = high.load, max(below, high.load / apart)
        if self._left_out and above >= min(self._left_out):
            above = below
        return self._seen_least([self._at(load) for load in dict.fromkeys((below, above))])

    def _halved(self, lower: float, upper: float) -> Probe | Found:
        """Probe the whole load in the middle, until there is none; the shares of so few are no line."""
        low, high = self._holds, self._fails
        is_near = upper - lower <= 1 or upper / lower <= self._apart
        if low and high and is_near and (low.load, high.load) == (lower, upper):
            return self._decided(low)
        if not is_near:
            return self._within_budget(self._probe(float((lower + upper) // 2)))
        return self._seen_least([self._at(load) for load in (lower, upper) if load not in self._left_out])

    def _decided(self, low: _Level) -> Probe | Found:
        """The answer, when a fresh server has confirmed what holds, where one has to."""
        if self.sought.confirms and not low.fresh:
            return self._within_budget(replace(self._probe(low.load, fresh=True), seconds=2 * self.sought.probe_s))
        return self.found("decided")

    def _seen_least(self, sides: Sequence[tuple[float, _Level | None]]) -> Probe | Found:
        """Once more that of which least is known."""
        seen = [
            (level.outcome(self.sought.least) != "undecided" if level else False, level.times if level else 0, load)
            for load, level in sides
        ]
        return self._within_budget(self._probe(min(seen)[-1]))

    @property
    def _apart(self) -> float:
        """How far apart what holds and what fails may be."""
        return (1 + self.sought.precision_share) / (1 - self.sought.precision_share)

    def _is_narrow(self, crossing: Crossing | None) -> bool:
        if crossing is None or crossing.ci90 is None:
            return False
        return (crossing.ci90[1] - crossing.ci90[0]) / 2 <= _NARROW * self.sought.precision_share * crossing.load

    def _at(self, load: float) -> tuple[float, _Level | None]:
        """The load that was probed as near to `load` as makes no difference, with what was seen; else `load` alone."""
        within = 0.0 if self.sought.whole else _SAME * self.sought.precision_share
        near = [level for level in self._levels if abs(level.load / load - 1) <= within]
        level = min(near, key=lambda one: abs(one.load - load), default=None)
        return (level.load, level) if level else (self._rounded(load), None)

    def _explore(self, load: float) -> Probe | Found:
        """Probe a load that may be far from the answer; where loads are whole, one is as good as another."""
        return self._within_budget(self._probe(load, share=1.0 if self.sought.whole else _EXPLORING))

    def _probe(self, load: float, *, fresh: bool = False, share: float = 1.0) -> Probe:
        times = next((level.times for level in self._levels if level.load == load), 0)
        probe_s = self.sought.probe_s
        seconds = probe_s * (min(2.0**times, _LONGEST) if times else share)
        if not self.sought.whole:
            seconds = max(seconds, min(_LEAST_REQUESTS / load, _MOST_FOR_THEM * probe_s))
        return Probe(load, seconds, fresh)

    def _within_budget(self, probe: Probe) -> Probe | Found:
        left_s = self.sought.budget_s - self.spent_s - self.sought.around_s
        if left_s < self.sought.probe_s / 2:
            return self.found("budget")
        return replace(probe, seconds=min(probe.seconds, left_s))

    def _rounded(self, load: float) -> float:
        return max(1.0, float(math.floor(load))) if self.sought.whole else float(f"{load:.4g}")

    def _is_least(self, load: float) -> bool:
        """Whether a server with so little load is as good as alone with each request."""
        if self.sought.whole:
            return load <= 1
        times = [probe.response_s for probe in self.probes if probe.load == load and probe.response_s]
        if times:
            return load * min(times) < _IDLE_SHARE
        return load <= self.sought.start / _DOWN**_MOST_DIVIDED

    @cached_property
    def _beyond(self) -> list[float]:
        """The loads that missed the objective, and above what holds those that seem far beyond it, proven or not."""
        holds = self._holds.load if self._holds else 0.0
        return [
            level.load
            for level in self._levels
            if level.outcome(self.sought.least) == "missed" or (level.load > holds and self._seems_far(level))
        ]

    def _seems_far(self, level: _Level) -> bool:
        """Whether it fell behind, or far more requests missed a condition than may."""
        return level.falls_behind or any(
            seen.missed >= _MANY
            and seen.share > _FAR_BEYOND * (1 - self.sought.least[text])
            and not _is_one_stall(seen)
            for text, seen in level.shares.items()
        )

    @cached_property
    def _left_out(self) -> frozenset[float]:
        """Loads that were INVALID, and INVALID again."""
        loads = [probe.load for probe in self.probes if not probe.valid]
        counted = {level.load for level in self._levels}
        return frozenset(load for load in loads if loads.count(load) > 1 and load not in counted)

    @cached_property
    def _valid(self) -> list[CapacityProbe]:
        return [probe for probe in self.probes if probe.valid]

    @cached_property
    def _behind(self) -> frozenset[float]:
        """Loads at which more probes fell behind than were whole, there and above.

        Where more were whole, what fell behind was one of several stalls, and its requests count with the others'.
        """
        fell = [probe.load for probe in self._valid if probe.falls_behind]
        whole = [probe.load for probe in self._valid if not probe.falls_behind]
        return frozenset(load for load in fell if fell.count(load) > sum(other >= load for other in whole))

    @cached_property
    def _pooled(self) -> list[CapacityProbe]:
        """The valid probes, whose requests are worth as much as those at loads near by say together.

        A short one in which no long queue came about takes what it saw for independent; one in which one did does not.
        To decide by what each says of itself would prefer the lucky ones.
        """
        return [
            replace(probe, conditions={text: self._worth(probe, text) for text in probe.conditions})
            for probe in self._valid
        ]

    def _worth(self, probe: CapacityProbe, text: str) -> ProbeShare:
        own, near, dependent = probe.conditions[text], 0.0, 0.0
        for other in () if probe.load in self._behind else self._valid:
            seen, ratio = other.conditions.get(text), probe.load / other.load
            if seen and other.load not in self._behind and 1 / _ALIKE <= ratio <= _ALIKE:
                near += seen.missed
                dependent += seen.missed * seen.requests / max(seen.independent, 1.0) * ratio**_GROWS
        return replace(own, independent=own.requests / max(dependent / near, 1.0)) if near else own

    @cached_property
    def _levels(self) -> list[_Level]:
        levels: dict[float, _Level] = {}
        for probe in self._pooled:
            before = levels.get(probe.load) or _Level(probe.load, {}, falls_behind=False, times=0, fresh={})
            levels[probe.load] = _Level(
                probe.load,
                _together(before.shares, probe.conditions),
                probe.load in self._behind,
                before.times + 1,
                _together(before.fresh, probe.conditions) if probe.fresh else before.fresh,
            )
        return [levels[load] for load in sorted(levels)]

    @cached_property
    def _missed(self) -> list[_Level]:
        return [level for level in self._levels if level.outcome(self.sought.least) == "missed"]

    @property
    def _fails(self) -> _Level | None:
        """The lowest load that missed the objective."""
        return self._missed[0] if self._missed else None

    @cached_property
    def _holds(self) -> _Level | None:
        """The highest load that met it, below that."""
        fails = self._fails
        met = [level for level in self._levels if level.outcome(self.sought.least) == "met"]
        return max(
            (level for level in met if fails is None or level.load < fails.load),
            key=lambda level: level.load,
            default=None,
        )

    def _misses(self, level: _Level, text: str) -> bool:
        seen = [shares[text] for shares in (level.shares, level.fresh) if text in shares]
        return level.falls_behind or any(judged({text: share}, self.sought.least) == "missed" for share in seen)

    @cached_property
    def _crossing(self) -> tuple[str | None, Crossing | None]:
        """The condition that fails first, and where."""
        found: dict[str, Crossing] = {}
        for text, least in self.sought.least.items():
            seen = [
                Observation(probe.load, share.share, share.independent, probe.load in self._behind)
                for probe in self._pooled
                if (share := probe.conditions.get(text)) is not None
            ]
            crossing = crossing_of(seen, 1 - least)
            if crossing is not None:
                found[text] = crossing
        if not found:
            return None, None
        first = min(found, key=lambda text: found[text].load)
        return first, found[first]
