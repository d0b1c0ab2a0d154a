"""What else was measured while a run went on: what a check that fails advises, and what disturbed the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from servemark.result import Disturbance

#: Of the machine's CPU time; above it, what waits for a CPU waits for others to be done.
_ALL_BUSY_SHARE = 0.9
#: Of a generator thread's time, in an open loop; above it, arrivals wait for each other.
GENERATOR_BUSY_SHARE = 0.8
_STEAL_LIMIT_SHARE = 0.01
#: Of the machine's CPU time: when server and generator use so much between them, each takes it from the other.
_SHARED_SHARE = 0.8
#: A thread that did not run for so long was not only waiting for its turn.
_STOPPED_S = 0.25
#: Of a closed loop's cycle, in which users wait for the generator; above it the load is the generator's.
IDLE_LIMIT_SHARE = 0.05
_STALLED_LIMIT_SHARE = 0.01
_OTHER_LIMIT_SHARE = 0.05
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
        throttled_s: time for which the control groups of this process kept it from running, for lack of quota.
        remote: whether the server is on another machine.
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

    @property
    def capacity_s(self) -> float:
        """CPU time that there was."""
        return max(self.elapsed_s * self.cpus, 1e-9)


@dataclass(frozen=True)
class Circumstances:
    """What the checks of the generator's delay know of a run.

    Attributes:
        open_loop: whether anything arrived by a schedule.
        users: of the closed loops, together.
        machine: what it did meanwhile.
        generator_cpu_s: CPU time of the generator's threads, or of JMeter.
        generator_s: how long these worked.
        threads: how many they were.
        realtime: what became of real-time priority: "rr 1", "dropped after 3.2 s", "refused: ..."; empty if not asked.
        keep_awake: what became of keeping CPUs awake: "2 CPUs", "refused: ..."; empty if not asked.
        receive_clock: whose time of arrival answers have: "kernel", "user", "user, the kernel refused: ...".
        paused_s: for how long the thread that paused most was kept from running.
        longest_pause_s: the longest of its pauses, and `longest_pause_at_s` when that one had ended.
        idle_share: of the users' time, in a closed loop, in which they waited for the generator.
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
    paused_s: float = 0.0
    longest_pause_s: float = 0.0
    longest_pause_at_s: float = 0.0
    idle_share: float = 0.0

    @property
    def shares_all_cpus(self) -> bool:
        """Whether the server and the generator use all CPUs of this machine between them."""
        if self.machine.remote or not self.machine.server_cpu_s:
            return False
        return self.machine.server_cpu_s + self.generator_cpu_s > _SHARED_SHARE * self.machine.capacity_s

    @property
    def generator_share(self) -> float:
        """The share of their time for which the generator's threads computed."""
        return self.generator_cpu_s / max(self.generator_s, 1e-9) / self.threads

    @property
    def machine_share(self) -> float | None:
        """The share of the machine's CPU time that was used, threads that only keep its CPUs awake left out."""
        machine = self.machine
        if machine.busy_cpu_s is None:
            return None
        used_s = machine.busy_cpu_s - machine.own_cpu_s + min(self.generator_cpu_s, machine.own_cpu_s)
        return min(max(used_s / machine.capacity_s, 0.0), 1.0)

    @property
    def other_cpu_s(self) -> float | None:
        """CPU time used by neither the server nor the generator; None where the server's is not known."""
        machine = self.machine
        if machine.busy_cpu_s is None or machine.server_cpu_s is None:
            return None
        own_s = max(machine.own_cpu_s, self.generator_cpu_s)
        return max(machine.busy_cpu_s - machine.server_cpu_s - own_s, 0.0)


def cause_and_advice(circumstances: Circumstances) -> str:
    """Why a generator that was late was so, as far as that was measured, and what to change."""
    actions = list(_actions(circumstances))
    listed = actions[0] if len(actions) == 1 else f"{', '.join(actions[:-1])} or {actions[-1]}"
    cause = _cause(circumstances)
    return f"{cause}; {listed}" if cause else listed


def _cause(seen: Circumstances) -> str:
    machine = seen.machine
    cpus = f"all {machine.cpus} cores" if machine.cpus > 1 else "the only core"
    if machine.throttled_s and machine.throttled_s > seen.paused_s / 2 > 0:
        return f"its control group's quota of CPU time kept it waiting for {machine.throttled_s:.2f} s"
    if seen.longest_pause_s >= _STOPPED_S:
        until = f"until {seen.longest_pause_at_s:.1f} s"
        return f"it was stopped, or kept from a CPU, for {seen.longest_pause_s:.2f} s {until}"
    if seen.generator_share > GENERATOR_BUSY_SHARE:
        return f"its thread{'s were' if seen.threads > 1 else ' was'} busy for {seen.generator_share:.0%} of the time"
    if seen.machine_share is None:
        return ""
    if seen.machine_share <= _ALL_BUSY_SHARE:
        return f"though this machine's CPUs were busy for only {seen.machine_share:.0%} of the time"
    if not machine.remote and machine.server_cpu_s and machine.server_cpu_s > machine.capacity_s / 2:
        return f"the server uses {cpus}" if not _other_share(seen) else f"the server and other programs use {cpus}"
    return f"other programs use {cpus}" if _other_share(seen) else f"{cpus} of this machine are busy"


def _actions(seen: Circumstances) -> Iterator[str]:
    machine, most_busy = seen.machine, (seen.machine_share or 0.0) > _ALL_BUSY_SHARE
    if machine.throttled_s and machine.throttled_s > seen.paused_s / 2 > 0:
        yield "give it a larger quota"
        return
    if seen.longest_pause_s >= _STOPPED_S:
        yield "see that nothing stops it, and run again"
        return
    if seen.open_loop:
        yield "lower --rate"
    elif seen.users > 1:
        yield "lower --threads"
    if _other_share(seen):
        yield "stop what else runs here"
    if seen.generator_share > GENERATOR_BUSY_SHARE and seen.threads < machine.cpus and not most_busy:
        yield f"raise --generator-threads (now {seen.threads})"
    if seen.realtime.startswith("refused"):
        yield "allow real-time priority (install_dependencies.sh --realtime)"
    elif not seen.realtime and most_busy:
        yield "give it real-time priority (--realtime on)"
    elif seen.open_loop and not most_busy and not seen.keep_awake:
        yield "keep the CPUs awake (--keep-awake on)"
    elif not most_busy:
        yield "run again"
    yield "move the generator to a larger machine" if machine.remote else "move the generator to another machine"


def _other_share(seen: Circumstances) -> float:
    """The share of the machine that others used, when that is more than a little."""
    if seen.other_cpu_s is None or seen.machine.elapsed_s < _SHORTEST_S:
        return 0.0
    share = seen.other_cpu_s / seen.machine.capacity_s
    return share if share > _OTHER_LIMIT_SHARE else 0.0


def disturbances(seen: Circumstances) -> tuple[Disturbance, ...]:
    """What may have changed the figures although the generator did what was asked: facts, never a reason for INVALID.

    Of a run below one second steal and other load are not told: the kernel counts both in ticks of 10 ms.
    """
    return tuple(_disturbances(seen))


def _disturbances(seen: Circumstances) -> Iterator[Disturbance]:
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
    share = _other_share(seen)
    if share:
        reason = f"{share:.0%} of this machine's CPU time went to neither the server nor the generator"
        yield Disturbance("other load", reason, share, _OTHER_LIMIT_SHARE, "share")
    if seen.idle_share > IDLE_LIMIT_SHARE:
        reason = f"users waited for the generator for {seen.idle_share:.0%} of their time, so that the load was lower; "
        reason += "the times of requests are right"
        yield Disturbance("generator-limited", reason, seen.idle_share, IDLE_LIMIT_SHARE, "share")
    if seen.generator_share > GENERATOR_BUSY_SHARE:
        reason = f"the generator's threads were busy for {seen.generator_share:.0%} of the time: more of them "
        reason += f"(--generator-threads, now {seen.threads}) may find a faster server"
        yield Disturbance("generator CPU", reason, seen.generator_share, GENERATOR_BUSY_SHARE, "share")
    if seen.paused_s > 0:
        reason = f"the generator was kept from running for {seen.paused_s:.2f} s"
        yield Disturbance("pauses", reason, seen.paused_s, 0.0, "s")
