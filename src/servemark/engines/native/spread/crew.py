"""The driver of several generators, a crew: armed together, begun at one instant, awaited, and told as one run.

Whoever is lost, is too late to begin or cannot record makes an end of the run for all: the others stop, and what was
recorded is kept.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from servemark.engines import EngineRun, Job
from servemark.engines.native.answers import load_tokenizer
from servemark.engines.native.length import Length
from servemark.engines.native.sending import DRAIN_S
from servemark.engines.native.spread import Counts, Order, Placement, RemoteGenerator
from servemark.engines.native.spread.clocks import TOKEN_BYTES, Offset, Signs, measure_offset, wall_clock_offset_ns
from servemark.engines.native.spread.joined import Part, joined
from servemark.engines.native.spread.mustered import check_alike, check_reachable
from servemark.engines.watching import watch_machine
from servemark.errors import ClusterLostError, GeneratorLostError, ServemarkError, SetupError
from servemark.interrupts import heed, held_back
from servemark.machine.network import is_remote
from servemark.machine.processes import boot_id
from servemark.units import NS_PER_S, ns_from_s
from servemark.workload.engine_plan import EngineShare
from servemark.workload.load import ClosedLoad, OpenLoad
from servemark.workload.plan import Plan

_LOOK_EVERY_S = 0.1
#: The start is told so long before it, and so many times as long as the slowest just took to answer, up to the longest:
#: who hears of it too late ends the run for all.
_START_LEAD_S, _ANSWERS_PER_LEAD, _LONGEST_LEAD_S = 1.0, 20, 5.0
#: Beyond what is awaited of requests under way: who has not told its outcome by then will not.
_TOLD_WITHIN_S = 5.0
#: Who has answered nothing for so long does not run any more, where that is told by no sign: as long as nothing ends
#: the run, once something does, and after a second Ctrl-C.
_ANSWERS_WITHIN_S = (30.0, 5.0, 1.0)
#: Who loads a tokenizer gives no sign meanwhile: of a large one that takes seconds.
_LOADED_WITHIN_S = 60.0
#: Of its part of all; who has done less is said to be slow, from so many requests on, where no chance does that.
_SLOW_SHARE, _FEWEST, _DEVIATIONS = 0.9, 100, 4.0
#: Over the last seconds, at least so many: who is slow now had done as much as the others before.
_PACE_NS = 5 * NS_PER_S


def execute(job: Job, placement: Placement) -> EngineRun:
    """Have the generators of `job` send it, wherever `placement` has them; see ``NativeEngine.execute``.

    Raises:
        SetupError: they cannot be started, or are not of one build; or one was lost before the run began.
        UsageError: one of their machines cannot hold its users, or does not reach the server; or the file of the
            tokenizer is none.
        RecordingError: records cannot be written.
        KeyboardInterrupt: Ctrl-C or its like came before they had been started.
    """
    if job.compiled.tokenizer:
        load_tokenizer(job.compiled.tokenizer)  # what is wrong with it is said before anybody is started
    token = secrets.token_bytes(TOKEN_BYTES)
    machine = watch_machine(job.addresses.values(), job.server_cpu_s)
    server_here = not is_remote(job.addresses.values())
    with ExitStack() as held:
        try:
            generators = held.enter_context(placement.muster(job.record_paths, token, server_here=server_here))
        except ServemarkError:
            heed()  # whoever does not want them any more is not told why they cannot be had
            raise
        check_alike(generators)
        check_reachable(generators, job.compiled, is_ours=job.server_pid is not None)
        signs = None
        if placement.silence_s is not None:
            signs = held.enter_context(Signs([one.facts.clock for one in generators], token))
        crew = _Crew(job, generators, token, placement.silence_s, signs)
        with held_back(crew.hear):
            crew.arm()
            crew.begin()
            crew.await_end()
        return joined(
            job,
            crew.parts(),
            machine,
            interrupted=crew.is_interrupted,
            stop_reason=crew.stop_reason,
            stops_ns=crew.stops_ns,
            began_unix_ns=crew.begins_unix_ns,
        )


def parts_of(plan: Plan, generators: int) -> list[int]:
    """How the requests of `plan` are divided among so many generators: by users, or evenly where arrivals decide."""
    users = sum(group.load.users for group in plan.groups if isinstance(group.load, ClosedLoad))
    if users < generators or any(isinstance(group.load, OpenLoad) for group in plan.groups):
        return [1] * generators
    return [len(range(place, users, generators)) for place in range(generators)]


class Paces:
    """Which of several generators does less than its part, over the last 5 to 10 s."""

    def __init__(self, parts: Sequence[int]) -> None:
        self._parts = parts
        self._before = self._since = [Counts()] * len(parts)

    def slow_one(self, counts: Sequence[Counts]) -> tuple[int, str] | None:
        """Who has done much less than its part, by its place, and in words how much; None where nobody has.

        Each of `counts` was told at a time of its own, and is taken for as much as it would be in the mean of these.
        """
        if min(one.elapsed_ns - before.elapsed_ns for one, before in zip(counts, self._since, strict=True)) >= _PACE_NS:
            self._before, self._since = self._since, list(counts)
        spans_ns = [one.elapsed_ns - before.elapsed_ns for one, before in zip(counts, self._before, strict=True)]
        if min(spans_ns) <= 0:
            return None
        span_ns = sum(spans_ns) / len(spans_ns)
        done = [
            (one.ended - before.ended) * span_ns / of_ns
            for one, before, of_ns in zip(counts, self._before, spans_ns, strict=True)
        ]
        least = min(range(len(done)), key=lambda place: done[place] / self._parts[place])
        part = sum(done) * self._parts[least] / sum(self._parts)
        if part < _FEWEST or done[least] >= min(_SLOW_SHARE * part, part - _DEVIATIONS * math.sqrt(part)):
            return None
        return least, f"{done[least]:,.0f} requests done in {span_ns / NS_PER_S:.0f} s, where its part is {part:,.0f}"


class _Crew:
    """The generators of a run, from when they have been started."""

    def __init__(
        self,
        job: Job,
        generators: Sequence[RemoteGenerator],
        token: bytes,
        silence_s: float | None,
        signs: Signs | None,
    ) -> None:
        self._job = job
        self._generators = generators
        self._token = token
        self._silence_s = silence_s
        self._signs = signs
        self._loading: set[int] = set()
        self._interrupts = self._heeded = 0
        self._offsets: list[Offset] = []
        self._begins_ns = self.begins_unix_ns = 0
        self._begun: list[Future[None]] = []
        self._outcomes: list[Future[EngineRun]] = []
        self._asked: list[Future[Counts] | None] = [None] * len(generators)
        self._asked_at_s = [0.0] * len(generators)
        #: How often it was looked for an answer in vain.
        self._looked = [0] * len(generators)
        self._counts = [Counts()] * len(generators)
        #: Why each of those who made no end did not, when that was seen, and who is not to be heard of any more.
        self._lost: dict[int, str] = {}
        self._lost_ns: dict[int, int] = {}
        self._gone: set[int] = set()
        self._given_up_at_s: float | None = None
        self.stop_reason: str | None = None
        #: When all are to stop, since that is enough.
        self.stops_ns: int | None = None

    def hear(self, interrupts: int) -> None:
        """So many of Ctrl-C and its like have come."""
        self._interrupts = interrupts

    @property
    def is_interrupted(self) -> bool:
        """Whether the run was cut short."""
        return bool(self._interrupts or self.stop_reason)

    def arm(self) -> None:
        """Have all ready.

        Raises:
            ServemarkError: one of them could not be made ready, or was lost.
            KeyboardInterrupt: a second Ctrl-C came, and one of them did not make an end even so.
        """
        if self._job.compiled.tokenizer:
            self._loading = set(range(len(self._generators)))
        armed = [one.arm(order) for one, order in zip(self._generators, self._orders(), strict=True)]
        for place, future in enumerate(armed):
            future.add_done_callback(partial(self._has_loaded, place))
        while wait(armed, timeout=_LOOK_EVERY_S).not_done:
            self._heed_interrupts()
            if self._is_given_up:
                raise KeyboardInterrupt
            for place in self._silent():
                raise self._lost_before(place, f"it has given no sign for {self._silence_of(place):g} s")
            if any(future.done() and future.exception() for future in armed):  # nobody waits for the others
                break
        for place, future in enumerate(armed):
            error = future.exception() if future.done() else None
            if isinstance(error, GeneratorLostError):
                raise self._lost_before(place, error.what, error.detail) from error
            if error is not None:
                is_theirs = self._generators[place].facts.boot != boot_id() and not isinstance(error, ClusterLostError)
                if isinstance(error, ServemarkError) and is_theirs:
                    error.what = f"{self._named(place)}: {error.what}"  # it is that machine that lacks something
                raise error

    def _orders(self) -> Iterable[Order]:
        """What each is to do. Of several on one machine one keeps its CPUs awake for all."""
        awake: set[str] = set()
        own = boot_id()
        for place, one in enumerate(self._generators):
            share = EngineShare(place, len(self._generators))
            plan = replace(self._job.compiled, share=share, beside=self._beside(place))
            if one.facts.boot in awake:
                plan = replace(plan, keep_awake="off")
            awake.add(one.facts.boot)
            server_pid = self._job.server_pid if one.facts.boot == own else None
            most_records = self._job.most_records // len(self._generators)
            yield Order(plan, one.records, server_pid, self._silence_s, most_records, self._job.condensing)

    def _beside(self, place: int) -> tuple[int, ...]:
        """The others that share its machine and network, by their place."""
        networks = [(one.facts.boot, one.facts.network) for one in self._generators]
        return tuple(other for other, network in enumerate(networks) if network == networks[place] and other != place)

    def begin(self) -> None:
        """Agree with all on an instant, each by its own clock, and have them begin; nothing once it was interrupted.

        Raises:
            SetupError: a clock does not answer.
        """
        own = boot_id()
        for place, one in enumerate(self._generators):
            try:
                self._offsets.append(measure_offset(one.facts.clock, self._token))
            except SetupError as error:
                what = f"{self._named(place)} cannot begin with the others: {error.what}"
                raise SetupError(what, cause=error.cause, next_step=error.next_step) from error
        lead_s = self._start_lead_s()
        self._heed_interrupts()
        if not self._interrupts:
            self._begins_ns = time.monotonic_ns() + ns_from_s(lead_s)
            self.begins_unix_ns = self._begins_ns + wall_clock_offset_ns()
            for one, offset in zip(self._generators, self._offsets, strict=True):
                apart_ns = 0 if one.facts.boot == own and offset.may_be_none else offset.offset_ns
                self._begun.append(one.begin_at(self._begins_ns + apart_ns))
        self._outcomes = [one.outcome() for one in self._generators]

    def _start_lead_s(self) -> float:
        """How long before the start all are told of it, by how long the slowest takes to answer a word now."""
        asked_s = time.monotonic()
        self._ask_progress()
        wait([one for one in self._asked if one is not None], timeout=_LONGEST_LEAD_S / _ANSWERS_PER_LEAD)
        seen_s = min(_LONGEST_LEAD_S, _ANSWERS_PER_LEAD * (time.monotonic() - asked_s))
        return max(_START_LEAD_S, seen_s, *(one.lead_s for one in self._generators))

    def await_end(self) -> None:
        """Wait until all have told their outcome, and mind meanwhile what may end the run."""
        length = Length.of(self._job)
        paces = Paces(parts_of(self._job.plan, len(self._generators)))
        while not self._is_over():
            wait(self._outcomes, timeout=_LOOK_EVERY_S)
            self._heed_interrupts()
            self._mind_losses()
            self._ask_progress()
            progress = Counts.of_all(self._counts, self._elapsed_ns)
            words = "; ".join(filter(None, (length.words if length else "", self._slow(paces))))
            reason = self._job.watch(progress, words)
            if reason and self.stop_reason is None:
                self.stop_reason = reason
                self._stop(0.0)
            if self.stops_ns is None and not self.is_interrupted:
                enough = self._job.enough(progress)
                stops_ns = progress.elapsed_ns if enough else None
                if stops_ns is None and length:
                    stops_ns = length.end_ns(progress, max(one.behind_ns() for one in self._generators))
                if stops_ns is not None:
                    lead_ns = ns_from_s(max(one.lead_s for one in self._generators))
                    self.stops_ns = max(stops_ns, self._elapsed_ns + lead_ns)
                    self._stop_at(self.stops_ns)
        self._mind_losses()  # of the last, which nobody has looked at since

    def parts(self) -> list[Part]:
        """What each was, in the order of their shares."""
        found = []
        for place, (one, outcome) in enumerate(zip(self._generators, self._outcomes, strict=True)):
            is_told = place not in self._gone and outcome.done() and outcome.exception() is None
            after = None
            if place not in self._gone:
                try:
                    after = measure_offset(one.facts.clock, self._token)
                except SetupError:
                    after = None
            found.append(
                Part(
                    generator=one,
                    outcome=outcome.result() if is_told else None,
                    counts=self._counts[place],
                    before=self._offsets[place],
                    after=after,
                    lost=self._lost.get(place, ""),
                    lost_ns=self._lost_ns.get(place, 0),
                )
            )
        return found

    @property
    def _elapsed_ns(self) -> int:
        """Since the common start; 0 before it."""
        return max(0, time.monotonic_ns() - self._begins_ns) if self._begins_ns else 0

    @property
    def _is_given_up(self) -> bool:
        return self._given_up_at_s is not None and time.monotonic() > self._given_up_at_s

    def _is_over(self) -> bool:
        for place, outcome in enumerate(self._outcomes):
            if not outcome.done() and place not in self._gone:
                if not self._is_given_up:
                    return False
                self._lose(place, "it did not say what it had sent")
        return True

    def _heed_interrupts(self) -> None:
        """Stop all, after a first Ctrl-C once what is under way was awaited for a second.

        After a second one no more is awaited but that they tell what they have sent, for a bounded time.
        """
        if self._interrupts > self._heeded:
            self._heeded = self._interrupts
            self._stop(DRAIN_S if self._interrupts == 1 else 0.0)
            if self._interrupts > 1 and self._given_up_at_s is None:
                self._given_up_at_s = time.monotonic() + _TOLD_WITHIN_S

    def _has_loaded(self, place: int, _armed: Future[None]) -> None:
        self._loading.discard(place)
        if self._signs is not None:
            self._signs.hear(place)

    def _silence_of(self, place: int) -> float:
        """How long the generator at that place may give no sign."""
        return _LOADED_WITHIN_S if place in self._loading else self._silence_s or math.inf

    def _silent(self) -> list[int]:
        """Who has given no sign for too long."""
        signs = self._signs
        if signs is None:
            return []
        places = range(len(self._generators))
        silent = (place for place in places if signs.silent_s(place) > self._silence_of(place))
        return [place for place in silent if not (self._outcomes and self._outcomes[place].done())]

    def _mind_losses(self) -> None:
        """Have all stop when one is lost, could not begin, or could not record."""
        for place in self._silent():
            self._lose(place, f"it has given no sign for {self._silence_s:g} s")
        within_s = _ANSWERS_WITHIN_S[min(2, max(self._interrupts, bool(self.stop_reason)))]
        for place, looked in enumerate(self._looked):
            is_silent = self._signs is None and looked * _LOOK_EVERY_S > within_s
            if is_silent and not self._outcomes[place].done():
                self._lose(place, f"it has answered nothing for {within_s:g} s")
        asked: list[tuple[int, Future[Any]]] = [*enumerate(self._begun), *enumerate(self._outcomes)]
        for place, future in asked:
            error = future.exception() if future.done() else None
            if isinstance(error, ClusterLostError):
                self._lose_all(str(error))
            elif error is not None:
                why = str(error) if isinstance(error, ServemarkError) else repr(error)
                # Who could not begin is there yet, and tells its outcome once it is stopped.
                self._lose(place, why, is_gone=future is self._outcomes[place])

    def _lose(self, place: int, why: str, *, is_gone: bool = True) -> None:
        if is_gone:
            self._gone.add(place)
        if place in self._lost:
            return
        self._lost_ns[place] = self._elapsed_ns
        self._lost[place] = f"{self._lost_ns[place] / NS_PER_S:.1f} s into the run: {why}"
        self._end_for(f"{self._named(place)} was lost {self._lost[place]}")
        if self._given_up_at_s is None:
            self._given_up_at_s = time.monotonic() + DRAIN_S + _TOLD_WITHIN_S
            self._stop(DRAIN_S)

    def _lose_all(self, why: str) -> None:
        """Nothing more is to be heard of those who have not told their outcome yet, however well they are."""
        self._end_for(f"{self._elapsed_ns / NS_PER_S:.1f} s into the run: {why}")
        untold = [place for place, one in enumerate(self._outcomes) if not one.done() or one.exception()]
        for place in untold:  # all are told to stop before they count as gone
            self._lose(place, why, is_gone=False)
        self._gone.update(untold)

    def _end_for(self, reason: str) -> None:
        """Say what ends the run, unless something else has done so before: an interruption, too."""
        if self.stop_reason is None and not self._interrupts:
            self.stop_reason = reason

    def _stop(self, drain_s: float) -> None:
        self._tell(lambda one: one.stop(drain_s))

    def _stop_at(self, elapsed_ns: int) -> None:
        self._tell(lambda one: one.stop_at(elapsed_ns))

    def _tell(self, what: Callable[[RemoteGenerator], Future[Any]]) -> None:
        """Tell all who are there; who is not will be noticed."""
        for place, one in enumerate(self._generators):
            if place not in self._gone:
                what(one)

    def _ask_progress(self) -> None:
        """Take the counts that have come, and ask those again who may be asked."""
        now_s = time.monotonic()
        for place, one in enumerate(self._generators):
            asked = self._asked[place]
            # Looks are counted, not seconds: a driver that was stopped itself has waited for nobody.
            self._looked[place] += 1
            if asked is None or asked.done():
                self._asked[place], self._looked[place] = None, 0
            if asked is not None and asked.done() and asked.exception() is None:
                self._counts[place] = asked.result()
            is_due = now_s - self._asked_at_s[place] >= one.asked_every_s
            if place not in self._gone and self._asked[place] is None and is_due:
                self._asked[place], self._asked_at_s[place] = one.progress(), now_s

    def _slow(self, paces: Paces) -> str:
        slow = paces.slow_one(self._counts)
        return f"{self._named(slow[0])} is slow: {slow[1]}" if slow else ""

    def _named(self, place: int) -> str:
        return f"generator {place + 1} of {len(self._generators)} ({self._generators[place].facts.host})"

    def _lost_before(self, place: int, why: str, detail: str = "") -> GeneratorLostError:
        return GeneratorLostError(f"{self._named(place)} was lost before the run began", cause=why, detail=detail)
