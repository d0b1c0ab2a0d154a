"""The native engine: runs a plan on the Rust load generator and waits for it, minding signals and adaptive length."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from servemark import _loadgen
from servemark.engines import EngineName, EngineRun, Job, ProgressReport, Sharing, Watch
from servemark.engines.native.awake import awake_or_not
from servemark.engines.native.length import Length
from servemark.engines.native.loopback import measure_loopback
from servemark.engines.native.sending import DRAIN_S, build, ended, started, too_many
from servemark.engines.native.spread import Placement
from servemark.engines.watching import watch_machine
from servemark.interrupts import held_back
from servemark.machine.counters import MachineWatch
from servemark.workload.engine_plan import EnginePlan

_LOOK_EVERY_S = 0.1


class NativeEngine:
    """The Rust load generator: in this process, or several of it wherever they are placed.

    `note` takes a line for people.
    """

    name: EngineName = "native"
    environ: Mapping[str, object] | None = None

    def __init__(self, note: Callable[[str], None] = lambda _line: None) -> None:
        self._note = note
        self._placements: dict[Sharing, Placement] = {}

    @property
    def versions(self) -> Mapping[str, str]:
        """A digest of its build: two results of one version may be of different builds."""
        return {"build": build()}

    def execute(self, job: Job) -> EngineRun:
        """See ``Engine``. Ctrl-C ends scheduling; what is still under way a second later is recorded as cancelled.

        A second Ctrl-C does not wait. Either way this returns normally, with `interrupted` set.
        """
        loopback_p50_ns = measure_loopback(job.compiled.fault, reads_clock=job.compiled.reads_clock)
        if job.spread.has_crew:
            from servemark.engines.native.spread import crew  # what one generator does without

            return crew.execute(job, self._placement(job.spread))
        plan, not_kept = awake_or_not(job.compiled, job.server_pid)
        return execute(
            plan,
            job.record_path,
            length=Length.of(job),
            watch=job.watch,
            enough=job.enough,
            machine=watch_machine(job.addresses.values(), job.server_cpu_s),
            loopback_p50_ns=loopback_p50_ns,
            not_kept=not_kept,
        )

    def _placement(self, spread: Sharing) -> Placement:
        """What its generators run on; the same for all runs that ask for the same, however many they are."""
        asked = replace(spread, generators=1)
        if asked not in self._placements:
            self._placements[asked] = _placement_of(asked, self._note)
        return self._placements[asked]

    def close(self) -> None:
        """Give back what outlived the runs: a cluster that was started for them."""
        while self._placements:
            self._placements.popitem()[1].close()

    def report(self, job: Job) -> None:
        """It has no reports of its own."""

    def merge(self, jobs: Sequence[Job], folder: Path) -> None:
        """It has no reports of its own."""


def _placement_of(spread: Sharing, note: Callable[[str], None]) -> Placement:
    """A new one; what Ray needs is loaded only for it."""
    if spread.on == "ray":
        from servemark.engines.native.cluster.mustering import RayPlacement

        return RayPlacement(spread, note)
    from servemark.engines.native.spread.processes import Processes

    return Processes()


def execute(
    plan: EnginePlan,
    record_path: Path,
    *,
    length: Length | None,
    watch: Watch,
    machine: MachineWatch,
    enough: Callable[[ProgressReport], bool] = lambda _progress: False,
    loopback_p50_ns: int | None = None,
    not_kept: str = "",
) -> EngineRun:
    """Send all of `plan`, recording to `record_path`, and return when every request has ended.

    `length` may end the run early, when it has lasted long enough, and so may `enough`. Ctrl-C ends scheduling, and
    what is still under way a second later is recorded as cancelled; a second Ctrl-C does not wait. Either way this
    returns normally, with `interrupted` set.

    Raises:
        SetupError: real-time priority or the kernel's time of arrival is asked for, and refused.
        UsageError: this machine cannot hold so many users, or a certificate or key of the plan is of a kind that the
            engine does not know, or the file of its tokenizer is none.
        RecordingError: records could not be written.
    """
    run = started(plan, record_path, _loadgen.start)
    stop_reason = _await_end(run, length, watch, enough)
    return ended(
        run,
        plan,
        record_path,
        machine=machine,
        loopback_p50_ns=loopback_p50_ns,
        stop_reason=stop_reason,
        not_kept=not_kept,
    )


def check_users(users: int) -> None:
    """Refuse users of whom it is known before there is a plan that not each can have a connection.

    Raises:
        UsageError: this process may not have so many file descriptors.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most not in (resource.RLIM_INFINITY, -1) and users > most:
        raise too_many(users, "file descriptors", users, most)


def _await_end(
    run: _loadgen.Run, length: Length | None, watch: Watch, enough: Callable[[ProgressReport], bool]
) -> str | None:
    def hear(interrupts: int) -> None:
        run.stop(DRAIN_S if interrupts == 1 else 0.0)

    stop_reason, end_ns = None, None
    with held_back(hear):
        while not run.wait(_LOOK_EVERY_S):
            progress = run.progress()
            reason = watch(progress, length.words if length else "")
            if reason and not stop_reason:
                stop_reason = reason
                run.stop(0.0)
            if end_ns is None:
                end_ns = progress.elapsed_ns if enough(progress) else length.end_ns(progress) if length else None
                if end_ns is not None:
                    run.stop_at(end_ns)
    return stop_reason
