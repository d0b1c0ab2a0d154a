"""What one generator does of a plan: its run is started, and told of when it has ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from servemark import _loadgen
from servemark.certificate.pauses import Pauses, ThreadPauses
from servemark.engines import EngineRun, GeneratorCounts, GeneratorRun
from servemark.engines.native.answers import load_tokenizer, read_answers
from servemark.errors import RecordingError, SetupError, UsageError
from servemark.event_files import write_gaps
from servemark.machine.counters import MachineWatch
from servemark.result import ErrorExample, error_name
from servemark.units import NS_PER_S
from servemark.workload.engine_plan import EnginePlan

#: After a first Ctrl-C, how long requests in flight are awaited.
DRAIN_S = 1.0


@cache
def build() -> str:
    """A digest of the engine's build: two of one version may be of different builds."""
    return hashlib.sha256(Path(_loadgen.__file__).read_bytes()).hexdigest()[:12]


def started(plan: EnginePlan, record_path: Path, start: Callable[[EnginePlan, str], _loadgen.Run]) -> _loadgen.Run:
    """The run of `plan` that `start` begins or arms, recording to `record_path`.

    Raises:
        SetupError: real-time priority or the kernel's time of arrival is asked for, and refused.
        UsageError: this machine cannot hold so many users, or a certificate or key of the plan is of a kind that the
            engine does not know, or the file of its tokenizer is none.
        RecordingError: records could not be written.
    """
    if plan.tokenizer:
        load_tokenizer(plan.tokenizer)  # what is wrong with it is said before anything is sent
    try:
        return start(plan, str(record_path))
    except ValueError as error:
        if not any(address.tls for address in plan.addresses):
            raise
        raise UsageError(
            "TLS cannot be set up",
            cause=str(error),
            next_step="check --ca-file and --client-cert",
        ) from error
    except _loadgen.ShortageError as error:
        raise too_many(_users_of(plan, error.args[0]), *error.args) from error
    except _loadgen.RealtimeError as error:
        raise SetupError(
            str(error), next_step="./install_dependencies.sh --realtime, then log in again; or leave --realtime out"
        ) from error
    except _loadgen.ReceiveClockError as error:
        raise SetupError(str(error), next_step="leave --receive-clock out") from error
    except OSError as error:
        raise RecordingError(f"cannot write records to {record_path}", cause=error.strerror or str(error)) from error


def ended(
    run: _loadgen.Run,
    plan: EnginePlan,
    record_path: Path,
    *,
    machine: MachineWatch,
    loopback_p50_ns: int | None,
    stop_reason: str | None = None,
    not_kept: str = "",
) -> EngineRun:
    """What a run of `plan` was, which is waited for. `not_kept` is what there is to tell of CPUs not kept awake.

    Raises:
        RecordingError: records could not be written.
    """
    outcome = run.finish()
    if outcome.write_error:
        raise RecordingError.unwritable(record_path, outcome.write_error)
    _keep_gaps(outcome, plan, record_path)
    answers = read_answers(plan, record_path)
    examples: dict[int, tuple[ErrorExample, ...]] = {}
    for example in [*outcome.examples, *(answers.failed if answers else ())]:
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
                keep_awake=outcome.keep_awake or not_kept,
                reduced_connections=outcome.reduced_connections,
            ),
        ),
        scheduling_ended_ns=outcome.scheduling_ended_ns,
        ended_ns=progress.elapsed_ns,
        interrupted=outcome.interrupted,
        stop_reason=stop_reason,
        examples=examples,
        event_gaps={gaps.step: (gaps.histogram,) for gaps in outcome.event_gaps},
        content_gaps={gaps.step: (gaps.histogram,) for gaps in answers.gaps} if answers else {},
    )


def _users_of(plan: EnginePlan, resource: str) -> int:
    """About how many users take of a resource: descriptors are each process's, others all that are on this machine."""
    users, generators = sum(group.users for group in plan.groups), 1 + len(plan.beside)
    return -(-users * (1 if "descriptors" in resource else generators) // plan.share.of)


def too_many(users: int, of_what: str, needed: int, had: int) -> UsageError:
    """The refusal of so many users, which this machine cannot hold."""
    advice = "lower -t"
    if "descriptors" in of_what:
        advice += ", or raise ulimit -n (ulimit -Hn says how far)"
    return UsageError(f"{users} users need at least {needed} {of_what}, and there are {had}", next_step=advice)


def _counts(outcome: _loadgen.Outcome, loopback_p50_ns: int | None) -> GeneratorCounts:
    return GeneratorCounts(
        sent=outcome.sent,
        in_flight_ns=outcome.in_flight_ns,
        receive_lag_ns=outcome.receive_lag_ns,
        run_queue_delay_ns=outcome.run_queue_delay_ns,
        run_queue_waits=outcome.run_queue_waits,
        loopback_p50_ns=loopback_p50_ns,
        clock_steps=outcome.clock_steps,
        pauses=Pauses(
            tuple(
                ThreadPauses(total_ns, tuple(spans_ns))
                for total_ns, spans_ns in zip(outcome.paused_ns, outcome.pauses_ns, strict=True)
            )
        ),
    )


def _keep_gaps(outcome: _loadgen.Outcome, plan: EnginePlan, record_path: Path) -> None:
    """Write the times between events beside the records, if there are any."""
    by_name: dict[str, list[bytes]] = {}
    for gaps in outcome.event_gaps:
        by_name.setdefault(plan.steps[gaps.step].name, []).append(gaps.histogram)
    if by_name:
        started_unix_ns, ended_ns = outcome.started_unix_ns, outcome.scheduling_ended_ns
        write_gaps(record_path, by_name, started_unix_ns=started_unix_ns, length_ns=ended_ns)


def _readable(example: _loadgen.ErrorExample) -> ErrorExample:
    return ErrorExample(
        kind=error_name(example.kind, example.status),
        at_s=example.at_ns / NS_PER_S,
        message=example.message,
        body=example.body.decode("utf-8", "replace"),
    )
