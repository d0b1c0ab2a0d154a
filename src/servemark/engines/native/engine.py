"""The native engine: runs a plan on the Rust load generator and waits for it, minding signals and adaptive length."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from servemark import _loadgen
from servemark.engines import EngineName, EngineRun, GeneratorCounts, GeneratorRun, Job, ProgressReport, Watch
from servemark.engines.native.awake import keeps_awake
from servemark.engines.native.length import Length
from servemark.engines.native.loopback import measure_loopback
from servemark.engines.watching import watch_machine
from servemark.errors import RecordingError, SetupError, UsageError
from servemark.event_files import write_gaps
from servemark.interrupts import held_back
from servemark.machine.counters import MachineWatch
from servemark.result import ErrorExample, error_name
from servemark.units import NS_PER_S
from servemark.workload.plan import EnginePlan, headline_step

_LOOK_EVERY_S = 0.1
#: After a first Ctrl-C, how long requests in flight are awaited.
_DRAIN_S = 1.0


class NativeEngine:
    """The Rust load generator."""

    name: EngineName = "native"
    environ: Mapping[str, object] | None = None

    @property
    def versions(self) -> Mapping[str, str]:
        """A digest of its build: two results of one version may be of different builds."""
        return {"build": hashlib.sha256(Path(_loadgen.__file__).read_bytes()).hexdigest()[:12]}

    def execute(self, job: Job) -> EngineRun:
        """See ``Engine``. Ctrl-C ends scheduling; what is still under way a second later is recorded as cancelled.

        A second Ctrl-C does not wait. Either way this returns normally, with `interrupted` set.
        """
        foreground = (group.load for group in job.plan.groups if not group.background)
        until = next((load.until for load in foreground if load.until), None)
        step = headline_step(job.plan.groups)
        length = Length(until, job.figure, step, job.record_path, job.compiled.warmup_ns) if until else None
        loopback_p50_ns = measure_loopback(job.compiled.fault)
        plan = job.compiled if keeps_awake(job) else replace(job.compiled, keep_awake="off")
        return execute(
            plan,
            job.record_path,
            length=length,
            watch=job.watch,
            enough=job.enough,
            machine=watch_machine(job),
            loopback_p50_ns=loopback_p50_ns,
        )

    def report(self, job: Job) -> None:
        """It has no reports of its own."""

    def merge(self, jobs: Sequence[Job], folder: Path) -> None:
        """It has no reports of its own."""


def execute(
    plan: EnginePlan,
    record_path: Path,
    *,
    length: Length | None,
    watch: Watch,
    machine: MachineWatch,
    enough: Callable[[ProgressReport], bool] = lambda _progress: False,
    loopback_p50_ns: int | None = None,
) -> EngineRun:
    """Send all of `plan`, recording to `record_path`, and return when every request has ended.

    `length` may end the run early, when it has lasted long enough, and so may `enough`. Ctrl-C ends scheduling, and
    what is still under way a second later is recorded as cancelled; a second Ctrl-C does not wait. Either way this
    returns normally, with `interrupted` set.

    Raises:
        SetupError: real-time priority or the kernel's time of arrival is asked for, and refused.
        UsageError: this machine cannot hold so many users, or a certificate or key of the plan is of a kind that the
            engine does not know.
        RecordingError: records could not be written.
    """
    run = _started(plan, record_path)
    stop_reason = _await_end(run, length, watch, enough)
    outcome = run.finish()
    if outcome.write_error:
        raise RecordingError.unwritable(record_path, outcome.write_error)
    _keep_gaps(outcome, plan, record_path)
    examples: dict[int, tuple[ErrorExample, ...]] = {}
    for example in outcome.examples:
        examples[example.step] = (*examples.get(example.step, ()), _readable(example))
    progress = run.progress()
    return EngineRun(
        generators=(
            GeneratorRun(
                records=record_path,
                scheduled=progress.scheduled,
                cpu_s=outcome.generator_cpu_ns / NS_PER_S,
                machine=machine.use(spun_cpu_s=outcome.spun_cpu_ns / NS_PER_S),
                counts=_counts(outcome, loopback_p50_ns),
                realtime=outcome.realtime,
                receive_clock=outcome.receive_clock,
                keep_awake=outcome.keep_awake,
                reduced_connections=outcome.reduced_connections,
            ),
        ),
        scheduling_ended_ns=outcome.scheduling_ended_ns,
        ended_ns=progress.elapsed_ns,
        interrupted=outcome.interrupted,
        stop_reason=stop_reason,
        examples=examples,
        event_gaps={gaps.step: (gaps.histogram,) for gaps in outcome.event_gaps},
    )


def _started(plan: EnginePlan, record_path: Path) -> _loadgen.Run:
    """The run, or why there is none: see ``execute``."""
    try:
        return _loadgen.start(plan, str(record_path))
    except ValueError as error:
        if not any(address.tls for address in plan.addresses):
            raise
        raise UsageError(
            "TLS cannot be set up",
            cause=str(error),
            next_step="check --ca-file and --client-cert",
        ) from error
    except _loadgen.ShortageError as error:
        raise _too_many(sum(group.users for group in plan.groups), *error.args) from error
    except _loadgen.RealtimeError as error:
        raise SetupError(
            str(error), next_step="./install_dependencies.sh --realtime, then log in again; or leave --realtime out"
        ) from error
    except _loadgen.ReceiveClockError as error:
        raise SetupError(str(error), next_step="leave --receive-clock out") from error
    except OSError as error:
        raise RecordingError(f"cannot write records to {record_path}", cause=error.strerror or str(error)) from error


def _counts(outcome: _loadgen.Outcome, loopback_p50_ns: int | None) -> GeneratorCounts:
    return GeneratorCounts(
        sent=outcome.sent,
        in_flight_ns=outcome.in_flight_ns,
        receive_lag_ns=outcome.receive_lag_ns,
        run_queue_delay_ns=outcome.run_queue_delay_ns,
        run_queue_waits=outcome.run_queue_waits,
        loopback_p50_ns=loopback_p50_ns,
        clock_steps=outcome.clock_steps,
        paused_ns=outcome.paused_ns,
        longest_pause_ns=outcome.longest_pause_ns,
        longest_pause_at_ns=outcome.longest_pause_at_ns,
    )


def check_users(users: int) -> None:
    """Refuse users of whom it is known before there is a plan that not each can have a connection.

    Raises:
        UsageError: this process may not have so many file descriptors.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most not in (resource.RLIM_INFINITY, -1) and users > most:
        raise _too_many(users, "file descriptors", users, most)


def _too_many(users: int, of_what: str, needed: int, had: int) -> UsageError:
    """That this machine cannot hold so many users."""
    advice = "lower -t"
    if "descriptors" in of_what:
        advice += ", or raise ulimit -n (ulimit -Hn says how far)"
    return UsageError(f"{users} users need at least {needed} {of_what}, and there are {had}", next_step=advice)


def _keep_gaps(outcome: _loadgen.Outcome, plan: EnginePlan, record_path: Path) -> None:
    """Write the times between events beside the records, if there are any."""
    by_name: dict[str, list[bytes]] = {}
    for gaps in outcome.event_gaps:
        by_name.setdefault(plan.steps[gaps.step].name, []).append(gaps.histogram)
    if by_name:
        started_unix_ns, ended_ns = outcome.started_unix_ns, outcome.scheduling_ended_ns
        write_gaps(record_path, by_name, started_unix_ns=started_unix_ns, length_ns=ended_ns)


def _await_end(
    run: _loadgen.Run, length: Length | None, watch: Watch, enough: Callable[[ProgressReport], bool]
) -> str | None:
    def hear(interrupts: int) -> None:
        run.stop(_DRAIN_S if interrupts == 1 else 0.0)

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


def _readable(example: _loadgen.ErrorExample) -> ErrorExample:
    return ErrorExample(
        kind=error_name(example.kind, example.status),
        at_s=example.at_ns / NS_PER_S,
        message=example.message,
        body=example.body.decode("utf-8", "replace"),
    )
