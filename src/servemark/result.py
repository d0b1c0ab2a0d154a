"""Results: everything about one invocation, as frozen data.

The field names are the names in ``result.json`` (schema ``servemark/result/1``, beside this file as
``result.schema.json``); each carries its unit. Behaviour lives elsewhere: ``stats`` computes, ``report`` writes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal, get_args, get_origin, get_type_hints

SCHEMA = "servemark/result/1"
#: The `error` of a result that Ctrl-C ended.
INTERRUPTED = "interrupted"
#: What a run says of its `receive_clock`, where that is the kernel's or that of an engine which has its own.
KERNEL_CLOCK, OWN_CLOCK = "kernel", "engine's own"
#: The latency that answers for a step: of a closed loop "service", in which no delay of the generator's is, of an open
#: one "response", which counts from the schedule.
HeadlineLatency = Literal["service", "response"]
#: The statistics of a latency that carry an interval.
STATISTICS = ("mean", "p50", "p90", "p95", "p99", "p99_9")


@dataclass(frozen=True)
class Statistic:
    """A value and its two-sided 95% confidence interval.

    Where no interval can be had, `ci95` is None and `needs_n` says how many values it would take.
    """

    value: float | None
    ci95: tuple[float, float] | None
    needs_n: int | None = None


@dataclass(frozen=True)
class LatencySummary:
    """The distribution of one latency, in milliseconds."""

    mean: Statistic
    p50: Statistic
    p90: Statistic
    p95: Statistic
    p99: Statistic
    p99_9: Statistic
    min: float | None
    max: float | None
    stddev: float | None


@dataclass(frozen=True)
class Spread:
    """How many there were in each of several things."""

    mean: float
    min: int
    p50: int
    max: int


@dataclass(frozen=True)
class GapSummary:
    """The times between events that followed one another in a response, in milliseconds, to three digits.

    From a histogram, and without intervals: the events of one response are far from independent.
    """

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True)
class EventSummary:
    """What streamed responses brought: server-sent events, whatever is in them.

    Attributes:
        count: events of everything that was sent, failures included.
        streams: measured requests whose response streamed; what follows is of them, but for `between_events_ms`.
        per_request: events a stream; None without streams.
        events_per_s: events of the successes that ended inside the measured time, over it.
        time_to_first_event_ms: from the schedule to the first event, as a response is counted; of streams that had one.
        between_events_ms: of all requests scheduled after the warm-up; None where no stream had two events.
    """

    count: int
    streams: int
    per_request: Spread | None
    events_per_s: Statistic
    time_to_first_event_ms: LatencySummary
    between_events_ms: GapSummary | None


@dataclass(frozen=True)
class ErrorExample:
    """The first failure of its kind: when it ended, what the generator saw, and the start of the response's body."""

    kind: str
    at_s: float
    message: str
    body: str


@dataclass(frozen=True)
class StepSummary:
    """The statistics of one step.

    `requests`, `succeeded` and `errors` (by kind, with the code of an HTTP status: ``http_status:503``) count
    everything that was sent, the warm-up too. `measured` is how many successes the statistics are of, and
    `measured_failed` how many failures were scheduled in the same time. `bytes_received_per_s` is of the successes that
    the rate is of. `events` is None where no response streamed. `headline` names the latency that answers for the step.
    """

    name: str
    requests: int
    succeeded: int
    measured: int
    errors: Mapping[str, int]
    error_examples: tuple[ErrorExample, ...]
    throughput_per_s: Statistic
    response_ms: LatencySummary
    service_ms: LatencySummary
    client_queue_ms: LatencySummary
    generator_lag_ms: LatencySummary
    failed_response_ms: LatencySummary
    bytes_sent: int
    bytes_received: int
    events: EventSummary | None = None
    headline: HeadlineLatency = "response"
    measured_failed: int = 0
    bytes_received_per_s: float | None = None

    @property
    def headline_ms(self) -> LatencySummary:
        """The latency that answers for the step."""
        return self.service_ms if self.headline == "service" else self.response_ms

    @property
    def failed(self) -> int:
        """How many requests failed, of any kind, of everything that was sent."""
        return sum(self.errors.values())

    @property
    def requests_measured(self) -> int:
        """How many requests were scheduled in the measured time, whatever became of them."""
        return self.measured + self.measured_failed


@dataclass(frozen=True)
class Check:
    """One check of a certificate. `passed` None: not applicable, for the `reason` given.

    `reason` is what was found: which figure is moved, by how much, and its limit. Of a check that failed `cause` is
    why, as far as that was measured, and `advice` what can be done about it here, the most useful first.
    """

    name: str
    passed: bool | None
    reason: str
    measured: float | None = None
    limit: float | None = None
    unit: str = ""
    cause: str = ""
    advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class Disturbance:
    """What may have changed the figures although the generator did what was asked; it makes no run INVALID."""

    name: str
    reason: str
    measured: float
    limit: float
    unit: str


@dataclass(frozen=True)
class Certificate:
    """Whether the generator did what was asked: valid unless a check failed; and what disturbed it."""

    valid: bool
    checks: tuple[Check, ...]
    disturbances: tuple[Disturbance, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The answer to a question that was asked. `passed` None: a finding that does not change the exit status."""

    question: str
    answer: str
    passed: bool | None


@dataclass(frozen=True)
class RunResult:
    """One execution of one point; `trial` counts those of the same point, from 1."""

    trial: int
    point: Mapping[str, Any]
    server: Mapping[str, Any]
    load: Mapping[str, Any]
    window_s: tuple[float, float]
    warmup_s: float
    certificate: Certificate
    steps: tuple[StepSummary, ...]
    telemetry: Mapping[str, Any]
    records: str

    @property
    def place(self) -> str:
        """What tells the point from the benchmark's others: ``threads 4``; empty of the one that gives the headline."""
        return ", ".join(f"{name} {value}" if value else f"no {name}" for name, value in self.point.items())


@dataclass(frozen=True)
class Failure:
    """Why a benchmark came to no end: the line that says so, and the exit status that it deserves."""

    message: str
    exit_status: int


@dataclass(frozen=True)
class BenchmarkResult:
    """One benchmark: its headline statistics (`steps`), its runs, and what they answer.

    `steps` is empty when it has several points: each of its runs then has its own. `analysis` is what all of them show
    together (a scalability law, a Pareto front), or why that cannot be said. `failure` is what ended it, if it failed.
    `server` is its own where the result has several benchmarks; `archive` describes a model of the user's.
    """

    name: str
    model: str | None
    backend: str | None
    options: Mapping[str, Any]
    cold_start_ms: float | None
    partial: bool
    steps: tuple[StepSummary, ...]
    runs: tuple[RunResult, ...]
    certificate: Certificate | None
    verdicts: tuple[Verdict, ...]
    analysis: Mapping[str, Any] | None = None
    failure: Failure | None = None
    server: Mapping[str, Any] | None = None
    archive: Mapping[str, Any] | None = None

    @property
    def answering(self) -> Mapping[int, RunResult]:
        """The runs that answer for their points, by their place in `runs`: of several trials the last."""
        return answering(self.runs)


def answering(runs: Sequence[RunResult]) -> dict[int, RunResult]:
    """Of each point the last trial, by its place in `runs`, in the order in which the points were measured first."""
    last: dict[tuple[object, ...], int] = {}
    for place, run in enumerate(runs):
        last[tuple(run.point.items())] = place
    return {place: runs[place] for place in last.values()}


@dataclass(frozen=True)
class Skipped:
    """A benchmark of a suite that was not run, and why."""

    name: str
    reason: str


#: How far a benchmark of a suite came. What is "skipped" would not have fitted; what is "not run" had not its turn.
SuiteStatus = Literal["done", "failed", "partial", "skipped", "not run"]


@dataclass(frozen=True)
class SuiteEntry:
    """A benchmark of a suite: how far it came, and a digest of what it was asked, secrets left out."""

    name: str
    status: SuiteStatus
    asked_sha256: str


@dataclass(frozen=True)
class Suite:
    """What became of a suite. Those of its entries that are done, failed or partial are the result's benchmarks."""

    name: str
    entries: tuple[SuiteEntry, ...]

    @property
    def missing(self) -> tuple[SuiteEntry, ...]:
        """What is not done, and was not too large either."""
        return tuple(entry for entry in self.entries if entry.status not in {"done", "skipped"})


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything for one invocation. `error` is the line that ended it, if one did, or the last failure of a suite.

    `suite` is None where one benchmark was asked for.
    """

    schema: str = SCHEMA
    id: str
    started_at: str
    command: tuple[str, ...]
    seed: int
    partial: bool
    tool: Mapping[str, Any]
    environment: Mapping[str, Any]
    server: Mapping[str, Any] | None
    benchmarks: tuple[BenchmarkResult, ...]
    error: str | None = None
    skipped: tuple[Skipped, ...] = ()
    suite: Suite | None = None


def to_json(value: Any) -> Any:
    """`value` as what ``json`` can write: dataclasses as objects, `needs_n` only where there is no interval."""
    if isinstance(value, Statistic):
        if value.ci95 is not None:
            return {"value": value.value, "ci95": list(value.ci95)}
        return {"value": value.value, "ci95": None, "needs_n": value.needs_n}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def from_json(data: Any) -> Result:
    """The result that ``to_json`` made `data` of.

    Raises:
        ValueError: `data` is no result of this schema.
    """
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        raise ValueError(f"it is no {SCHEMA}")
    try:
        result: Result = _read(Result, data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no whole {SCHEMA}: {error}") from error
    return result


def benchmark_from_json(data: Any) -> BenchmarkResult:
    """The benchmark that ``to_json`` made `data` of.

    Raises:
        ValueError: `data` is none.
    """
    try:
        benchmark: BenchmarkResult = _read(BenchmarkResult, data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no whole benchmark: {error}") from error
    return benchmark


def _read(wanted: Any, value: Any) -> Any:
    """`value`, as ``json`` gives it, as what the annotation `wanted` says."""
    arguments = get_args(wanted)
    if type(None) in arguments:
        return None if value is None else _read(arguments[0], value)
    if dataclasses.is_dataclass(wanted):
        hints = get_type_hints(wanted)
        return wanted(**{name: _read(hints[name], value[name]) for name in hints if name in value})  # type: ignore[operator]
    if get_origin(wanted) is tuple:
        return tuple(_read(arguments[0], item) for item in value)
    if get_origin(wanted) is Mapping:
        return {key: _read(arguments[1], item) for key, item in value.items()}
    return value


def schema_text() -> str:
    """The JSON Schema of ``result.json``."""
    return resources.files("servemark").joinpath("result.schema.json").read_text(encoding="utf-8")
