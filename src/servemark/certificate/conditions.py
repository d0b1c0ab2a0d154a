"""What else was measured while a run went on, what the user could ask for otherwise, and what disturbed the run."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from servemark.certificate.pauses import NO_PAUSES, Pauses, Span
from servemark.result import Disturbance
from servemark.stats.lateness import Lateness
from servemark.units import NS_PER_MS, NS_PER_S

#: Of a generator thread's time, in an open loop; above it, arrivals wait for each other.
GENERATOR_BUSY_SHARE = 0.8
_MS_PER_S = 1000
_STEAL_LIMIT_SHARE = 0.01
#: Of the machine's CPU time: when server and generator use so much between them, each takes it from the other.
_SHARED_SHARE = 0.8
#: Of a closed loop's cycle, in which users wait for the generator; above it the load is the generator's.
IDLE_LIMIT_SHARE = 0.05
_STALLED_LIMIT_SHARE = 0.01
_OTHER_LIMIT_SHARE = 0.05
#: Of the time; above it, a quota kept the generator waiting.
THROTTLED_LIMIT_SHARE = 0.01
#: The kernel counts CPU time in ticks of 10 ms a process and CPU; of a shorter run other load cannot be told.
_SHORTEST_S = 1.0


@dataclass(frozen=True)
class MachineUse:
    """What the machine under the generator did while a run went on. None: it cannot be known.

    Attributes:
        elapsed_s: for how long it was looked at.
        cpus: how many the machine has.
        busy_cpu_s: CPU time that was used, by anybody, all CPUs together.
        steal_cpu_s: CPU time that the hypervisor gave to others.
        own_cpu_s: CPU time of this process (the generator's threads, and all else) and of what keeps CPUs awake.
        server_cpu_s: CPU time of the server's processes; 0 when they are on another machine.
        memory_stalled_s: time for which something waited for memory (PSI, "some").
        remote: whether the server is on another machine.
        throttled_s: time for which the control groups of this process kept it from running, for lack of quota, of all
            CPUs together, and `throttled_times` in how many periods of the quota.
        usable_cpus: how many of the CPUs this process may use.
        realtime_fix: what has to be done for a process of this user to have real-time priority; empty: it may.
    """

    elapsed_s: float
    cpus: int
    busy_cpu_s: float | None
    steal_cpu_s: float | None
    own_cpu_s: float
    server_cpu_s: float | None
    memory_stalled_s: float | None
    remote: bool
    throttled_s: float | None = None
    throttled_times: int = 0
    usable_cpus: int | None = None
    realtime_fix: str | None = None

    @property
    def capacity_s(self) -> float:
        """CPU time that there was."""
        return max(self.elapsed_s * self.cpus, 1e-9)

    @property
    def throttled_share(self) -> float:
        """The part of the time for which a quota let nothing of the control group run; at least.

        Each CPU that could have been used counts its own wait: of several no more is believed than that all that ran
        here would else have run beside it.
        """
        throttled_s = self.throttled_s or 0.0
        used_s = self.own_cpu_s + (self.server_cpu_s or 0.0)
        return throttled_s / max(self.elapsed_s, throttled_s + used_s, 1e-9)

    @property
    def throttled(self) -> Lateness:
        """What a quota makes of times that are known by when they were read: as long as it held the group back."""
        share = self.throttled_share
        return Lateness(share, _MS_PER_S * share * self.elapsed_s / max(self.throttled_times, 1))


@dataclass(frozen=True)
class Changes:
    """What the user can change in the command, in words; empty where this benchmark, engine or machine has no such way.

    Attributes:
        lower_load: for less load: ``lower --rate``.
        more_threads: for a generator that is too slow.
        realtime: for real-time priority, where the user may have it.
        keep_awake: for CPUs that do not sleep.
    """

    lower_load: str = ""
    more_threads: str = ""
    realtime: str = ""
    keep_awake: str = ""


@dataclass(frozen=True)
class RunConditions:
    """What the checks of the generator's delay know of a run.

    Attributes:
        open_loop: whether anything arrived by a schedule.
        users: of the closed loops, together.
        machine: what it did meanwhile.
        generator_cpu_s: CPU time of the generator's threads, or of JMeter.
        here_cpu_s: what of it was used on `machine`, where generators are on several; None: all.
        generator_s: how long these worked.
        threads: how many they were.
        realtime: what became of real-time priority: "rr 1", "dropped after 3.2 s", "refused: ..."; empty if not asked.
        keep_awake: what became of keeping CPUs awake: "2 CPUs", "not needed", "refused: ..."; empty if not asked.
        receive_clock: whose time of arrival answers have: "kernel", "user", "user, the kernel refused: ...".
        pauses: when these were kept from running.
        measured_ns: from when to when was measured.
        clock_steps: how often the wall clock, by which the kernel stamps arrivals, was set meanwhile.
        idle_share: of the users' time, in a closed loop, in which they waited for the generator.
        changes: what the user can change.
        asked: of a probe of a search, by the name of a step, the times that it is to tell, as ``effects.figure_of``
            calls them: what becomes of others is told, and makes it not INVALID. None: all that are reported.
    """

    open_loop: bool
    users: int
    machine: MachineUse
    generator_cpu_s: float
    generator_s: float
    threads: int
    realtime: str = ""
    keep_awake: str = ""
    receive_clock: str = ""
    pauses: Pauses = NO_PAUSES
    measured_ns: Span = (0, 0)
    clock_steps: int = 0
    idle_share: float = 0.0
    changes: Changes = Changes()
    asked: Mapping[str, Collection[str]] | None = None
    here_cpu_s: float | None = None

    def asks(self, step: str, figure: str) -> bool:
        """Whether that figure of that step is one that the run is to tell."""
        return self.asked is None or figure in self.asked.get(step, ())

    @property
    def window_s(self) -> float:
        """The length of the measured time."""
        return (self.measured_ns[1] - self.measured_ns[0]) / NS_PER_S

    @property
    def paused_s(self) -> float:
        """The time that the thread which paused most did, in the whole run."""
        return self.pauses.total_ns / NS_PER_S

    @property
    def longest_pause_s(self) -> tuple[float, float]:
        """From when to when the longest pause of the measured time was, or of the run where that had none."""
        began_ns, ended_ns = self._longest_ns if any(self._longest_ns) else self.pauses.longest_ns()
        return began_ns / NS_PER_S, ended_ns / NS_PER_S

    @property
    def measured_paused_s(self) -> float:
        """The part of the measured time in which users, or arrivals, had no thread, on the mean over them."""
        return self._mean_s([one.within_ns(self.measured_ns) for one in self.pauses.threads])

    @property
    def begun_paused_s(self) -> float:
        """The part of it before they had one at first: who became due before that is not measured."""
        return self._mean_s([one.begun_before_ns(self.measured_ns) for one in self.pauses.threads])

    @property
    def late_in_pauses(self) -> Lateness:
        """What pauses make of times known by when they were read, and `late_in_shorter_pauses` all but the longest."""
        return self._lateness(self.measured_paused_s)

    @property
    def late_in_shorter_pauses(self) -> Lateness:
        """See `late_in_pauses`."""
        shorter = [one.within_ns(self.measured_ns, but=self._longest_ns) for one in self.pauses.threads]
        return self._lateness(self._mean_s(shorter))

    @property
    def _longest_ns(self) -> Span:
        return self.pauses.longest_ns(self.measured_ns[0])

    def _lateness(self, paused_s: float) -> Lateness:
        began_ns, ended_ns = self._longest_ns
        most_ms = max(ended_ns - max(began_ns, self.measured_ns[0]), 0) / NS_PER_MS
        return Lateness(paused_s / self.window_s if self.window_s > 0 else 0.0, most_ms)

    def _mean_s(self, paused_ns: Sequence[int]) -> float:
        """The mean of what each thread has, by how much of the load it has, at most; no more than of one with all."""
        threads = len(paused_ns)
        if not threads:
            return 0.0
        most = 1 / threads if self.open_loop or not self.users else math.ceil(self.users / threads) / self.users
        return min(max(paused_ns), most * sum(paused_ns)) / NS_PER_S

    @property
    def shares_all_cpus(self) -> bool:
        """Whether the server and the generator use all CPUs of this machine between them."""
        if self.machine.remote or not self.machine.server_cpu_s:
            return False
        return self.machine.server_cpu_s + self._here_s > _SHARED_SHARE * self.machine.capacity_s

    @property
    def generator_share(self) -> float | None:
        """The share of their time for which the generator's threads computed; None where they had none."""
        return self.generator_cpu_s / self.generator_s / self.threads if self.generator_s > 0 else None

    @property
    def _here_s(self) -> float:
        return self.generator_cpu_s if self.here_cpu_s is None else self.here_cpu_s

    @property
    def busy_share(self) -> float:
        """The same where that is so much that arrivals wait for each other, else 0."""
        share = self.generator_share or 0.0
        return share if share > GENERATOR_BUSY_SHARE else 0.0

    @property
    def machine_share(self) -> float | None:
        """The share of the machine's CPU time that was used, threads that only keep its CPUs awake left out."""
        machine = self.machine
        if machine.busy_cpu_s is None:
            return None
        used_s = machine.busy_cpu_s - machine.own_cpu_s + min(self._here_s, machine.own_cpu_s)
        return min(max(used_s / machine.capacity_s, 0.0), 1.0)

    @property
    def other_cpu_s(self) -> float | None:
        """CPU time used by neither the server nor the generator; None where the server's is not known."""
        machine = self.machine
        if machine.busy_cpu_s is None or machine.server_cpu_s is None:
            return None
        own_s = max(machine.own_cpu_s, self._here_s)
        return max(machine.busy_cpu_s - machine.server_cpu_s - own_s, 0.0)

    @property
    def other_share(self) -> float:
        """The share of the machine that others used, when that is more than a little, else 0."""
        if self.other_cpu_s is None or self.machine.elapsed_s < _SHORTEST_S:
            return 0.0
        share = self.other_cpu_s / self.machine.capacity_s
        return share if share > _OTHER_LIMIT_SHARE else 0.0


def disturbances(seen: RunConditions) -> tuple[Disturbance, ...]:
    """What may have changed the figures although the generator did what was asked: facts, never a reason for INVALID.

    Of a run below one second steal and other load are not told: the kernel counts both in ticks of 10 ms.
    """
    return tuple(_disturbances(seen))


def _disturbances(seen: RunConditions) -> Iterator[Disturbance]:
    machine = seen.machine
    long_enough = machine.elapsed_s >= _SHORTEST_S
    if machine.steal_cpu_s is not None and long_enough:
        share = machine.steal_cpu_s / machine.capacity_s
        if share > _STEAL_LIMIT_SHARE:
            reason = f"the hypervisor gave {share:.1%} of this machine's CPU time to others"
            yield Disturbance("steal", reason, share, _STEAL_LIMIT_SHARE, "share")
    if machine.memory_stalled_s is not None:
        share = machine.memory_stalled_s / max(machine.elapsed_s, 1e-9)
        if share > _STALLED_LIMIT_SHARE:
            reason = f"for {share:.1%} of the time something waited for memory"
            yield Disturbance("memory pressure", reason, share, _STALLED_LIMIT_SHARE, "share")
    share = seen.other_share
    if share:
        reason = f"{share:.0%} of this machine's CPU time went to neither the server nor the generator"
        yield Disturbance("other load", reason, share, _OTHER_LIMIT_SHARE, "share")
    if seen.idle_share > IDLE_LIMIT_SHARE:
        reason = f"users waited for the generator for {seen.idle_share:.0%} of their time, so that the load was lower; "
        reason += "the times of requests are right"
        yield Disturbance("generator-limited", reason, seen.idle_share, IDLE_LIMIT_SHARE, "share")
    if seen.busy_share:
        reason = f"the generator's threads were busy for {seen.busy_share:.0%} of the time"
        if seen.changes.more_threads:
            reason += f"; for more of them {seen.changes.more_threads}"
        yield Disturbance("generator CPU", reason, seen.busy_share, GENERATOR_BUSY_SHARE, "share")
    if machine.throttled_share > THROTTLED_LIMIT_SHARE:
        reason = "a quota of CPU time kept the generator's control group from running for "
        reason += f"{machine.throttled_share:.0%} of the time"
        yield Disturbance("quota", reason, machine.throttled_share, THROTTLED_LIMIT_SHARE, "share")
    if seen.paused_s > 0:
        reason = f"the generator was kept from running for {seen.paused_s:.2f} s"
        yield Disturbance("pauses", reason, seen.paused_s, 0.0, "s")
