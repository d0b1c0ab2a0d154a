"""The document of a result: everything about one invocation, from the invocation itself to the statistics of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from servemark.result.analysis import Analysis
from servemark.result.capacity import Capacity
from servemark.result.comparison import Comparison
from servemark.result.figures import EventSummary, Histogram, LatencySummary, Statistic, TokenSummary, Trend
from servemark.result.loads import LoadResult
from servemark.result.trials import Trials

SCHEMA = "servemark/result/2"
#: The `error` of a result that Ctrl-C ended.
INTERRUPTED = "interrupted"
#: The name of the check of a result that was read from another tool's file, for which nothing vouches.
IMPORTED = "imported"
#: The latency that answers for a step: of a closed loop "service", in which no delay of the generator's is, of an open
#: one "response", which counts from the schedule.
HeadlineLatency = Literal["service", "response"]
#: The metadata of a field that stays out of the JSON.
NOT_WRITTEN = {"is_written": False}
#: The statistics of a latency that carry an interval.
STATISTICS = ("mean", "p50", "p90", "p95", "p99", "p99_9")


#: Kinds of errors of which the status says more.
_WITH_STATUS = {"http_status", "unexpected_status"}


def error_name(kind: str, status: int) -> str:
    """What errors of a kind are called: ``timeout``, or with their status ``http_status:503``."""
    return f"{kind}:{status}" if kind in _WITH_STATUS else kind


def mapping_in(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What is there under `name` of what is free in its form; nothing where that is missing, or has no names itself."""
    found = of.get(name)
    return found if isinstance(found, Mapping) else {}


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
    the rate is of. `events` is None where no response streamed. `headline` names the latency that answers for the
    step. `goodput_per_s` is the rate of the successes within the objective that was asked for; None without one.
    `trends` says of p50, p99 and rate whether they stood; one of which that cannot be told is left out. `distribution`
    is of the headline's latency, of what is measured; None of nothing, and of results from before it was kept.
    `tokens` is None where no answer was read for them.
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
    goodput_per_s: Statistic | None = None
    trends: Mapping[str, Trend] = field(default_factory=dict)
    distribution: Histogram | None = None
    tokens: TokenSummary | None = None

    @property
    def headline_ms(self) -> LatencySummary:
        """The latency that answers for the step."""
        return self.service_ms if self.headline == "service" else self.response_ms

    @property
    def figures(self) -> dict[str, Statistic]:
        """What answers for the step, by name, with its unit: what trials and comparisons are made of."""
        found = {"throughput_per_s": self.throughput_per_s}
        found |= {f"{name}_ms": getattr(self.headline_ms, name) for name in STATISTICS}
        if self.events is not None:
            first = self.events.time_to_first_event_ms
            found |= {"events_per_s": self.events.events_per_s}
            found |= {f"first_event_{name}_ms": getattr(first, name) for name in ("p50", "p99")}
        if self.tokens is not None:
            found |= {"output_tokens_per_s": self.tokens.output_tokens.per_s}
            for figure in ("first_token", "time_per_output_token"):
                times = getattr(self.tokens, f"{figure}_ms")
                found |= {f"{figure}_{name}_ms": getattr(times, name) for name in ("p50", "p99")}
        return found

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

    @property
    def is_imported(self) -> bool:
        """Whether it is of figures that another tool measured: neither valid nor INVALID is known of them."""
        return any(check.name == IMPORTED for check in self.checks)


#: What a question came to: a condition is met or missed, or too little was seen of it; a finding is no condition.
Outcome = Literal["met", "missed", "undecided", "finding"]


@dataclass(frozen=True)
class Verdict:
    """The answer to a question that was asked. Only one that is missed changes the exit status.

    `objective` is the condition of ``--slo`` that it is on, as it was written; None of any other. Of one that is
    undecided `needs_times` is how many times as many requests, in one run or all trials together, would decide, or as
    long a time, as far as that is known.
    """

    question: str
    answer: str
    outcome: Outcome
    objective: str | None = None
    needs_times: float | None = None


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """What was seen of generator, server and machine during a run; None of what cannot be seen.

    Attributes:
        generator_cpu_s: CPU time of the generator's threads, and their share of a CPU.
        run_queue_delay_ms: for how long these waited for a CPU, the mean a wake-up.
        loopback_p50_ms: the generator's p50 against a responder of its own.
        machine_busy_share: of the CPU time of the generator's machine.
        server_cpu_s: of all the server's processes on that machine; their memory is the proportional set size.
    """

    generator_cpu_s: float | None = None
    generator_cpu_share: float | None = None
    run_queue_delay_ms: float | None = None
    loopback_p50_ms: float | None = None
    machine_busy_share: float | None = None
    server_cpu_s: float | None = None
    server_memory_before_mib: float | None = None
    server_memory_after_mib: float | None = None


@dataclass(frozen=True, kw_only=True)
class GeneratorResult:
    """One of a run's generators that were other processes: what it did of its share, and under which circumstances.

    Arrival i, and user i, were those of the generator of `number` i mod G + 1 of all G. None is what it did not tell:
    one that was `lost`, which says when and why, tells no more than its records.

    Attributes:
        host: the name of its machine.
        records: the file of its records in the folder of the result, and `recorded` how many there are.
        sent: requests that it began to write.
        generator_lag_p99_ms: of the headline's step.
        run_queue_delay_ms: how long a thread that could run waited for a CPU, on the mean.
        loopback_p50_ms: its self-test.
        cpu_s: CPU time of its threads.
        clock_bound_ms: how far the instant that it began at may be from the common one, by the driver's clock.
        clock_drift_ms: how far its clock and the driver's went apart over the run, by what was read before it and
            after it.
        realtime, receive_clock, keep_awake: what it got of each.
    """

    number: int
    host: str
    records: str
    recorded: int
    sent: int | None = None
    generator_lag_p99_ms: float | None = None
    run_queue_delay_ms: float | None = None
    loopback_p50_ms: float | None = None
    cpu_s: float | None = None
    clock_bound_ms: float | None = None
    clock_drift_ms: float | None = None
    realtime: str = "off"
    receive_clock: str = ""
    keep_awake: str = "off"
    lost: str | None = None


@dataclass(frozen=True, kw_only=True)
class InsideServer:
    """What the server counted of a model's requests during a run, the warm-up's too; None of what it does not tell.

    An execution answers one request, or several as a batch. Times are means a request, from the server's own clock: in
    its queue, having the input ready, in the model, and having the output ready. There are none where `requests` are
    not all that it answered, since it began to count anew, or several servers answer at its address.
    """

    model: str
    requests: int
    failed: int
    executions: int | None
    queue_ms: float | None
    input_ms: float | None
    infer_ms: float | None
    output_ms: float | None


@dataclass(frozen=True)
class Incident:
    """Something that happened to the server meanwhile and that nobody asked for: when, in seconds from the origin."""

    at_s: float
    what: str


@dataclass(frozen=True)
class CondensedRecords:
    """What there is of records that were too many to be kept: counts, by slot of time and by bin.

    Attributes:
        records: how many they were.
        within_share: how far at most a latency is from the one that is reported for it, as a share of it.
        slot_s: what is known of when a request was due, or ended: in which slot of so long.
        lacking: what cannot be told without them, in words.
    """

    records: int
    within_share: float
    slot_s: float
    lacking: tuple[str, ...]


@dataclass(frozen=True)
class PromptsSent:
    """The prompts of a run, the warm-up's too, in the order in which they were sent.

    Attributes:
        count: how many.
        shared: those that began as one that had been sent before: for so many `characters`, or wholly where they have
            fewer.
        repeated: those of them that were wholly the same as one before.
        seed: of those that are made, the one by which they are drawn.
        run: for which of the runs with that seed, from 0: each has others.
    """

    count: int
    shared: int
    repeated: int
    characters: int
    seed: int | None = None
    run: int | None = None


@dataclass(frozen=True)
class RunResult:
    """One execution of one point; `trial` counts those of the same point, from 1.

    `repeat_of` is the `trial` that it repeats, because that was INVALID; None where it repeats none. `records` is the
    file of its records in the folder of the result; where several generators sent it, that of the first, and
    `more_records` those of the others, and `generators` says of each what it did; None where servemark's own process
    sent it. `incidents` are what the log of a server of ours says of it, in order, and `inside` is what the server
    itself counted, where it does. `condensed` says what is there instead of records, where these were too many; None
    where all are there. `prompts` is of those whose answers were read for their tokens; None of others.
    """

    trial: int
    point: Mapping[str, Any]
    server: Mapping[str, Any]
    load: LoadResult
    window_s: tuple[float, float]
    warmup_s: float
    certificate: Certificate
    steps: tuple[StepSummary, ...]
    telemetry: Telemetry
    records: str
    more_records: tuple[str, ...] = ()
    repeat_of: int | None = None
    generators: tuple[GeneratorResult, ...] | None = None
    incidents: tuple[Incident, ...] = ()
    inside: tuple[InsideServer, ...] | None = None
    condensed: CondensedRecords | None = None
    prompts: PromptsSent | None = None

    @property
    def name(self) -> str:
        """What tells it from the other runs of its result: its file of records without folder and suffix."""
        return Path(self.records).stem

    @property
    def record_files(self) -> tuple[str, ...]:
        """The files of all its records."""
        return (self.records, *self.more_records)

    @property
    def place(self) -> str:
        """What tells the point from the benchmark's others: ``threads 4``; empty of the one that gives the headline."""
        return ", ".join(f"{name} {value}" if value else f"no {name}" for name, value in self.point.items())


@dataclass(frozen=True)
class Failure:
    """Why a benchmark came to no end: the line that says so, and the exit status that it deserves."""

    message: str
    exit_status: int


@dataclass(frozen=True, kw_only=True)
class AskedOptions:
    """What a benchmark was asked, as the command line would: of its headline's load, and of what was sent.

    `rate`, `arrival` and `max_connections` are those of an open loop, `threads` those of a closed one, `url` and
    `method` those of an endpoint. `inputs` says where inputs came from, empty for the model's own.
    """

    threads: int | None = None
    rate: str | None = None
    arrival: str | None = None
    max_connections: int | None = None
    url: str | None = None
    method: str | None = None
    inputs: tuple[str, ...] = ()
    input_count: int = 0
    input_sha256: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BenchmarkResult:
    """One benchmark: its headline statistics (`steps`), its runs, and what they answer.

    `steps` is empty when it has several points: each of its runs then has its own. `analysis` is what all of them show
    together (a scalability law, a Pareto front), or why that cannot be said. `failure` is what ended it, if it failed.
    `server` is its own where the result has several benchmarks; `archive` describes a model of the user's,
    `model_sha256` has the checksums of archives of the zoo, by their models. `trials` is
    what was asked for with ``--trials``, over all of them; `steps` are those of the one that is shown. `capacity` is
    what a search for it found, whose probes the runs are; where it was repeated over configurations, that of the one
    that is recommended (or of one that may have a capacity, where none is known), and `capacity_over` has them all.
    """

    name: str
    model: str | None
    backend: str | None
    options: AskedOptions
    cold_start_ms: float | None
    partial: bool
    steps: tuple[StepSummary, ...]
    runs: tuple[RunResult, ...]
    certificate: Certificate | None
    verdicts: tuple[Verdict, ...]
    analysis: Analysis | None = None
    failure: Failure | None = None
    server: Mapping[str, Any] | None = None
    archive: Mapping[str, Any] | None = None
    model_sha256: Mapping[str, str] | None = None
    trials: Trials | None = None
    capacity: Capacity | None = None
    capacity_over: tuple[Capacity, ...] | None = None

    @property
    def capacities(self) -> tuple[Capacity, ...]:
        """What was found, of each configuration in the order in which they were tried."""
        return self.capacity_over or ((self.capacity,) if self.capacity else ())

    @property
    def answering(self) -> Mapping[int, RunResult]:
        """The runs that answer for their points, by their place in `runs`."""
        return answering(self.runs, self.trials)

    @property
    def valid_trials(self) -> Mapping[tuple[Any, ...], tuple[RunResult, ...]]:
        """The runs that count, by their point: of each trial the last execution, where that is not INVALID.

        What an interruption cut off does not count.
        """
        whole = len(self.runs) - 1 if self.partial else len(self.runs)
        return {
            point: tuple(self.runs[places[-1]] for places in trials if self._counts(places[-1], whole))
            for point, trials in trials_by_point(self.runs).items()
        }

    def _counts(self, place: int, whole: int) -> bool:
        return place < whole and self.runs[place].certificate.valid


def trials_by_point(runs: Sequence[RunResult]) -> dict[tuple[Any, ...], list[list[int]]]:
    """The places of the executions of each trial, in the order in which points and trials were measured first.

    A trial is an execution, and behind it that which repeats it, if it was INVALID.
    """
    trials: dict[tuple[Any, ...], list[list[int]]] = {}
    for place, run in enumerate(runs):
        of_point = trials.setdefault(tuple(run.point.items()), [])
        if run.repeat_of is not None and of_point:
            of_point[-1].append(place)
        else:
            of_point.append([place])
    return trials


def answering(runs: Sequence[RunResult], trials: Trials | None = None) -> dict[int, RunResult]:
    """The run whose figures stand for each point, by its place, in the order in which points were measured first.

    Of several `trials` that were asked for it is the one that these say, else the last execution.
    """
    if trials is not None:
        return {point.shown: runs[point.shown] for point in trials.points}
    return {places[-1][-1]: runs[places[-1][-1]] for places in trials_by_point(runs).values()}


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
class Tool:
    """What measured: servemark, its engine, and the versions of what that is made of."""

    name: str = "servemark"
    version: str
    engine: str
    engine_versions: Mapping[str, str] = field(default_factory=dict)
    engine_environ: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The machine of the generator; None of what it does not tell, or what an older servemark did not ask."""

    os: str
    machine: str
    cpus: int | None
    memory_mib: int
    python: str
    kernel: str | None = None
    cpu_model: str | None = None
    governor: str | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything for one invocation. `error` is the line that ended it, if one did, or the last failure of a suite.

    `suite` is None where one benchmark was asked for. `comparison` is that with an earlier result, if that was asked.
    """

    schema: str = SCHEMA
    id: str
    started_at: str
    command: tuple[str, ...]
    seed: int
    partial: bool
    tool: Tool
    environment: Environment
    server: Mapping[str, Any] | None
    benchmarks: tuple[BenchmarkResult, ...]
    error: str | None = None
    skipped: tuple[Skipped, ...] = ()
    suite: Suite | None = None
    comparison: Comparison | None = None

    @classmethod
    def load(cls, folder: Path | str) -> Result:
        """The result in `folder`, of this or an earlier version.

        Raises:
            RecordingError: there is none, or it cannot be read.
        """
        from servemark.result.reading import load_result

        return load_result(Path(folder))
