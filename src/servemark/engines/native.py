"""The native engine: runs a plan on the Rust load generator and waits for it, minding signals and adaptive length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from servemark import _loadgen
from servemark.engines import EngineName, EngineRun, Job, Watch
from servemark.errors import RecordingError
from servemark.result import ErrorExample
from servemark.units import NS_PER_S, ns_from_s
from servemark.workload.load import Until
from servemark.workload.plan import EnginePlan

_LOOK_EVERY_S = 0.1
#: After a first Ctrl-C, how long requests in flight are awaited.
_DRAIN_S = 1.0


class NativeEngine:
    """The Rust load generator."""

    name: EngineName = "native"
    versions: Mapping[str, str] = {}

    def execute(self, job: Job) -> EngineRun:
        """See ``Engine``. Ctrl-C ends scheduling; what is still under way a second later is recorded as cancelled.

        A second Ctrl-C does not wait. Either way this returns normally, with `interrupted` set.
        """
        until = next((group.load.until for group in job.plan.groups if group.load.until), None)
        return execute(job.compiled, job.record_path, until=until, watch=job.watch)

    def report(self, job: Job) -> None:
        """It has no reports of its own."""

    def merge(self, jobs: Sequence[Job], folder: Path) -> None:
        """It has no reports of its own."""


def execute(plan: EnginePlan, record_path: Path, *, until: Until | None, watch: Watch) -> EngineRun:
    """Send all of `plan`, recording to `record_path`, and return when every request has ended.

    `until` ends the run early, when enough requests have succeeded. Ctrl-C ends scheduling, and what is still under
    way a second later is recorded as cancelled; a second Ctrl-C does not wait. Either way this returns normally,
    with `interrupted` set.

    Raises:
        RecordingError: records could not be written.
    """
    try:
        run = _loadgen.start(plan, str(record_path))
    except OSError as error:
        raise RecordingError(f"cannot write records to {record_path}", cause=error.strerror or str(error)) from error
    stop_reason = _await_end(run, plan, until, watch)
    outcome = run.finish()
    if outcome.write_error:
        raise RecordingError(
            f"cannot write records to {record_path}",
            cause=outcome.write_error,
            next_step="free some space, or give -o a folder on another disk",
        )
    examples: dict[int, tuple[ErrorExample, ...]] = {}
    for example in outcome.examples:
        examples[example.step] = (*examples.get(example.step, ()), _readable(example))
    return EngineRun(
        scheduled=run.progress().scheduled,
        scheduling_ended_ns=outcome.scheduling_ended_ns,
        interrupted=outcome.interrupted,
        stop_reason=stop_reason,
        generator_cpu_s=outcome.generator_cpu_ns / NS_PER_S,
        examples=examples,
    )


def _await_end(run: _loadgen.Run, plan: EnginePlan, until: Until | None, watch: Watch) -> str | None:
    interrupts, stop_reason, enough = 0, None, False
    while True:
        try:
            if run.wait(_LOOK_EVERY_S):
                return stop_reason
            progress = run.progress()
            reason = watch(progress)
            if reason and not stop_reason:
                stop_reason = reason
                run.stop(0.0)
            if until and not enough and progress.measured_succeeded >= until.successes:
                enough = True
                run.stop_at(max(plan.warmup_ns + ns_from_s(until.min_s), progress.elapsed_ns))
        except KeyboardInterrupt:
            interrupts += 1
            run.stop(_DRAIN_S if interrupts == 1 else 0.0)


def _readable(example: _loadgen.ErrorExample) -> ErrorExample:
    status = f":{example.status}" if example.kind in {"http_status", "unexpected_status"} else ""
    return ErrorExample(
        kind=example.kind + status,
        at_s=example.at_ns / NS_PER_S,
        message=example.message,
        body=example.body.decode("utf-8", "replace"),
    )
