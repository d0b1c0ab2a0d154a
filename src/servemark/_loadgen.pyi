"""The native load generator, and passes over its records. A thin binding: it converts, calls, and nothing else."""

from collections.abc import Sequence
from typing import final

from servemark.records import RecordFile
from servemark.stats.tally_question import TallyQuestion
from servemark.stats.timeline import TimelineQuestion
from servemark.workload.address import Address
from servemark.workload.engine_plan import EngineArrivals, EngineExpect, EnginePlan
from servemark.workload.scenario import TokenFormat

__all__ = [
    "ANSWER_COLUMNS",
    "ANSWER_ROW_BYTES",
    "ERROR_KINDS",
    "FINISH_NAMES",
    "RECORD_COLUMNS",
    "RECORD_FLAGS",
    "RECORD_ROW_BYTES",
    "AnswerTexts",
    "AnswersRead",
    "ArrivalAccount",
    "ErrorExample",
    "EventGaps",
    "HandshakeFailure",
    "HistogramStatistics",
    "Outcome",
    "Progress",
    "RealtimeError",
    "ReceiveClockError",
    "Responder",
    "Run",
    "ShortageError",
    "Tally",
    "TallyAnswers",
    "TallySample",
    "TallyStage",
    "TallyStep",
    "Timeline",
    "TimelineStep",
    "account_for_arrivals",
    "arm",
    "check_expect",
    "histogram_statistics",
    "read_answers",
    "schedule",
    "span",
    "spin_until_eof",
    "start",
    "tls_handshake",
    "wake_up_lag",
]

#: (name, numpy dtype, offset in the row) of each column of a record file, in order.
RECORD_COLUMNS: tuple[tuple[str, str, int], ...]
#: Bytes of one row of a record file.
RECORD_ROW_BYTES: int
#: The columns that records have of answers that were read, with their places behind those of the record.
ANSWER_COLUMNS: tuple[tuple[str, str, int], ...]
#: Bytes of these together.
ANSWER_ROW_BYTES: int
#: Names of the values of the `finish` column, by number; 0 is "none".
FINISH_NAMES: tuple[str, ...]
#: Names of the values of the `kind` column, by number; 0 is "ok".
ERROR_KINDS: tuple[str, ...]
#: Bits of the `flags` column by name: "warmup", "cut_body" ...
RECORD_FLAGS: dict[str, int]

@final
class Progress:
    """A snapshot of a run; counts are of records, over all threads."""

    elapsed_ns: int
    scheduled: int
    succeeded: int
    failed: int
    in_flight: int
    measured_succeeded: int
    """Successes of requests of the headline's steps that were scheduled after the warm-up."""

@final
class ErrorExample:
    """The first failure of its kind (and status, and step)."""

    kind: str
    status: int
    step: int
    seq: int
    at_ns: int
    """`end` of the record."""
    message: str
    """What the generator saw, in words: "connection refused", "status line: ..."."""
    body: bytes
    """The first `keep_body_bytes` of the response's body, decoded from its chunks."""

@final
class EventGaps:
    """The times between the events of a step's streamed responses, of requests scheduled after the warm-up."""

    step: int
    histogram: bytes
    """An HDR histogram of nanoseconds, three digits wide, as V2-deflate bytes."""

@final
class HistogramStatistics:
    """What several histograms show together."""

    count: int
    mean: float
    max: int
    quantiles: list[int]

def histogram_statistics(histograms: list[bytes], quantiles: list[float]) -> HistogramStatistics:
    """The statistics of the sum of `histograms`, which are V2-deflate bytes, at `quantiles` from 0 to 1.

    Raises:
        ValueError: one of them is no histogram.
    """

@final
class Outcome:
    """What a finished run was."""

    records: int
    started_unix_ns: int
    """Wall-clock time of the run's origin (`scheduled` 0)."""
    scheduling_ended_ns: int
    """When scheduling ended: the duration, the time of `stop`, or, with loops, the last `end`."""
    interrupted: bool
    """True when `stop` cut requests off (there may be records of kind "cancelled")."""
    generator_cpu_ns: int
    """User and system time of the generator threads between the start barrier and the last record."""
    realtime: str
    """What became of real-time priority: "rr 1", "dropped after 3.2 s", "refused: ..."; "" when not asked for."""
    receive_clock: str
    """Whose time of arrival responses have: "kernel", "user", or "user, the kernel refused: ..."."""
    clock_steps: int
    """How often the wall clock was set meanwhile: what came soon after has the time of its reading."""
    paused_ns: list[int]
    """For how long each thread did not come back to its work although it had to, from 50 ms on."""
    pauses_ns: list[list[tuple[int, int]]]
    """The 64 longest pauses of each thread, in their order: when each began, at the latest, and when it had ended."""
    keep_awake: str
    """What became of keeping CPUs awake: "2 CPUs", "refused: ..."; "" when it was not asked for."""
    spun_cpu_ns: int
    """CPU time that was spun away to keep them awake, at the lowest weight there is; no part of `generator_cpu_ns`."""
    run_queue_delay_ns: int
    """For how long generator threads could have run and did not, in the same time; 0 where that cannot be known."""
    run_queue_waits: int
    """How often they began to run; 0 where that cannot be known."""
    sent: int
    """Requests that began to be written."""
    in_flight_ns: int
    """Requests under way (from the first byte written to their end) by the generator's own count, summed from the end
    of the warm-up to `scheduling_ended_ns`: request-nanoseconds. A stop at once is seen microseconds late."""
    receive_lag_ns: int
    """For how long responses that were ready waited for their thread while it did others' work, together."""
    reduced_connections: int
    """To how many connections a lack of descriptors reduced an open loop's `max_connections`; 0 when it did not."""
    examples: list[ErrorExample]
    event_gaps: list[EventGaps]
    write_error: str | None
    """Why records could not be written, e.g. "No space left on device (os error 28)"; the run was ended then."""

@final
class Run:
    """A run in progress. All methods release the GIL; the generator's threads never touch Python."""

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until every thread has opened its connections, at most `timeout_s`; True when they have, or gave up."""
    def begin_at(self, monotonic_ns: int) -> None:
        """Have a run that is armed and ready begin at that instant, as ``time.monotonic_ns`` tells it.

        Raises:
            ValueError: it is not ready, has begun, or there are less than 2 ms until then.
        """
    def wait(self, timeout_s: float) -> bool:
        """Wait for the run to end, at most `timeout_s`; True when it has."""
    def progress(self) -> Progress: ...
    def stop_at(self, elapsed_ns: int) -> int:
        """Schedule nothing new from `elapsed_ns` (or from now, if that is past); what is in flight is awaited.

        Returns the time that took effect.
        """
    def stop(self, drain_s: float) -> None:
        """Schedule nothing new from now; what is in flight after `drain_s` is recorded as cancelled."""
    def finish(self) -> Outcome:
        """Join the threads of a run that has ended (waits if it has not) and return what it was."""

class RealtimeError(Exception):
    """Real-time priority was asked for and is refused."""

class ReceiveClockError(Exception):
    """The kernel's time of arrival was asked for and is refused."""

@final
class HandshakeFailure:
    """Why a TLS handshake failed."""

    cause: str
    """"untrusted" (the server's certificate), "client_certificate" (demanded, or not accepted), "nothing_in_common"
    (versions, ciphers, curves) or "other"."""
    message: str
    """What was seen, in words."""

def tls_handshake(address: Address, timeout_s: float) -> HandshakeFailure | None:
    """Connect to `address` and shake hands as each connection of a run will, within `timeout_s`; None when that works.

    Raises:
        ValueError: a certificate, key or name of `address` cannot be used; says why.
    """

class ShortageError(Exception):
    """Users of closed loops need more of something than this machine has."""

    args: tuple[str, int, int]
    """Of what (in words, with its unit), how much they need, and how much there is."""

def wake_up_lag() -> tuple[int, int]:
    """How late a sleeping thread is woken: p50 and p99 of 100 waits of 1 ms, in nanoseconds. Takes 0.1 s and that."""

def spin_until_eof() -> None:
    """Keep every CPU from halting until the standard input ends. For a process that does nothing else."""

def check_expect(expect: EngineExpect) -> None:
    """Refuse what no body can be held against.

    Raises:
        ValueError: the regular expression or the path cannot be used; says why, in one line.
    """

@final
class Responder:
    """Answers every HTTP/1.1 request without a body with the same bytes, on a port of 127.0.0.1, until `stop`.

    Raises:
        OSError: no socket or thread could be had.
    """

    port: int
    def __new__(cls) -> Responder: ...
    def stop(self) -> None:
        """Close its sockets and end its thread.

        Raises:
            OSError: why it had ended before.
        """
    def __enter__(self) -> Responder: ...
    def __exit__(self, *_error: object) -> None: ...

def schedule(arrivals: EngineArrivals, seed: int, first: int, count: int) -> bytes:
    """When arrivals `first` to `first + count` are due: little-endian i64 nanoseconds, fewer when the schedule ends.

    A pure function: what a run schedules in a group of these arrivals is this, bit for bit.

    Raises:
        ValueError: nothing could arrive so.
    """

def start(plan: EnginePlan, record_path: str) -> Run:
    """Open connections, wait for the start barrier, and start sending.

    With `record_events`, the time of every event goes to a file beside `record_path`, with the suffix `.events.bin`;
    the bodies of the steps that keep them go to one with the suffix `.bodies.bin`.

    Raises:
        ValueError: the plan is inconsistent.
        ShortageError: not each user of its closed loops can have its connections.
        RealtimeError: it asks for real-time priority, which this process may not have.
        ReceiveClockError: it asks for the kernel's time of arrival, which this system does not give.
        OSError: `record_path` cannot be created.
    """

def arm(plan: EnginePlan, record_path: str) -> Run:
    """The same as ``start``, but nothing is sent before ``Run.begin_at`` has said when.

    Generators that each have a share of one plan begin together so. Until then ``Run.stop`` ends it without a record.
    """

@final
class TallyStep:
    """What the records of one step name add up to; see ``servemark.stats.evidence.StepEvidence``. Batches in order."""

    requests: int
    closed: int
    succeeded: int
    bytes_sent: int
    bytes_received: int
    errors: list[tuple[int, int, int]]
    """Kind, status and how many."""
    bytes_of_completed: int
    clock_read: int
    unsure_sent: int
    paused: int
    receive_lag_ns: int
    streamed: int
    events: int
    completed_streams: int
    batch_measured: list[int]
    batch_sums_ns: list[list[float]]
    """Of response, service, client queue and generator lag."""
    batch_completed: list[int]
    batch_within: list[int] | None
    """Those of them that kept all limits of the step; None where it has none."""
    batch_events: list[int]
    batch_first: list[int]
    batch_first_sums_ns: list[float]
    answers: TallyAnswers
    batch_tokens: list[int]
    batch_first_token: list[int]
    batch_first_token_sums_ns: list[float]

@final
class TallyAnswers:
    """What the answers that were read add up to, of the measured successes of a step name.

    Pairs are tokens and in how many answers; of `both` what the server and another counted of the same answers, of
    `tokens_of_contents` tokens and events with content of the same streams.
    """

    count: int
    streamed: int
    contents: int
    usage: tuple[int, int]
    counted: tuple[int, int]
    both: tuple[int, int]
    tokens_of_contents: tuple[int, int]
    first_told: int
    """Streams that told how many tokens their first event with content held."""
    finishes: list[int]
    """By number, see FINISH_NAMES."""
    asked: int
    """Answers of which it is known how many tokens were asked for, and how many came."""
    short: list[int]
    """Those of them that had fewer, as `finishes`."""
    unmarked: int
    unread: int
    cut: int
    empty: int
    """Answers without any content."""
    whole: int
    """Answers that were no streams, where their requests asked for streams."""
    uncounted: int
    """Answers whose usage said that they had no token, and which had content."""

@final
class TallySample:
    """The moments of a number of values; `min` and `max` mean nothing of none."""

    count: int
    sum: int
    squares: int
    min: int
    max: int

@final
class TallyStage:
    """What a stage adds up to; see ``servemark.stats.evidence.StageEvidence``."""

    requests: int
    failed: int
    begun: int
    ended: int

@final
class Tally:
    """What the records of a run add up to: one pass over them, on several threads.

    Raises:
        ValueError: they lack a column, or a limit is of no time that they have.
        OSError: they cannot be read, or are not of a run of those steps.
    """

    steps: list[TallyStep]
    samples: list[TallySample]
    """Eighteen of each step name: the four latencies, punctual, stamped, unpaused, failed, first event, events, those
    of answers, and what of both would be punctual; then the response and the queueing of each stage. See `Of` in
    servemark-records."""
    stages: list[TallyStage]
    begun: tuple[int, int, int]
    """Arrivals in the window, and when the first and the last was due."""
    under_way: tuple[int, int, int]
    """Requests that were sent, their time under way in the accounted time, and how many ended in it."""
    busy_ns: tuple[int, int]
    """From the last first request of a user to the first last one; (0, 0) where users were not asked for."""
    def __new__(cls, files: list[RecordFile], question: TallyQuestion) -> Tally: ...
    def order_statistics(self, wanted: list[tuple[int, list[int]]]) -> list[list[int | None]]:
        """The values of samples, by number, that have the given ranks, from 0: exactly, by as many passes as it takes.

        None for a rank beyond a sample.

        Raises:
            ValueError: there is no such sample.
            OSError: the records cannot be read any more.
        """
    def above(self, wanted: list[tuple[int, list[int]]]) -> list[list[list[int]]]:
        """Of samples, by number, how many values each batch has, and then how many of them lie above each threshold.

        Each sample is named once; its thresholds rise, or stay. Shape of each: (1 + thresholds, batches). A value is of
        the batch in which its request was scheduled.

        Raises:
            ValueError: there is no such sample, or its thresholds fall.
            OSError: the records cannot be read any more.
        """
    def binned(self) -> list[tuple[int, int, int]]:
        """How many values fall into which bin: number of the sample, middle of the bin, and how many, in order.

        No value is further from the middle of its bin than a thousandth of it; below 1024 it is the middle.
        """
    def binned_by_batch(self, wanted: list[int]) -> list[tuple[int, int, int, int]]:
        """The same of some samples, by number, in each batch, whose number is the second: by batch, sample, value.

        Raises:
            ValueError: there is no such sample.
            OSError: the records cannot be read any more.
        """
    def in_flight(self, start_ns: int, stop_ns: int, places: int) -> tuple[int | None, int]:
        """The fewest requests under way just after any response of that time, and for how long places were taken.

        None where none ended. The time is in nanoseconds, summed over `places`, of which a request takes one.

        Raises:
            OSError: the records cannot be read any more.
        """

@final
class AnswersRead:
    """What reading the answers of a run found beside the columns of its records."""

    gaps: list[EventGaps]
    """The times between events with content, of successes scheduled after the warm-up."""
    failed: list[ErrorExample]
    """The first failure of each step that an answer told of."""

def read_answers(
    records: RecordFile,
    bodies: str,
    *,
    header_bytes: int,
    formats: list[TokenFormat | None],
    counted: dict[int, int],
    tokens: list[list[int]],
    streams: list[list[bool]],
    warmup_ns: int,
    out: str,
) -> AnswersRead:
    """Append the records of a file, each with what its answer said behind it (ANSWER_COLUMNS), to the file at `out`.

    `bodies` is the file of the bodies, whose parts begin behind `header_bytes`; `formats` say of each step how its
    answers are read, `counted` has tokens that were counted in whole texts, by the number of the request, and `tokens`
    those that each request asks for, by step and place in its pool, 0 of one that asks for none; `streams` says whether
    it asks for a stream. A success whose answer says that it failed, or that was broken off, is of the kind application
    there.

    Raises:
        ValueError: there is no such format, or a column is lacking.
        OSError: a file cannot be read or written.
    """

@final
class AnswerTexts:
    """What was said in each answer of a file of bodies, whole, in the order of their ends.

    Raises:
        ValueError: there is no such format.
        OSError: the file cannot be read.
    """

    def __new__(cls, bodies: str, *, header_bytes: int, formats: list[TokenFormat | None]) -> AnswerTexts: ...
    def next(self, most: int) -> list[tuple[int, str]]:
        """The next of them, at most so many, with the numbers of their requests; none at the end.

        Raises:
            OSError: the file cannot be read any more.
        """

@final
class TimelineStep:
    """What happened to the requests of one step name, see ``servemark.stats.timeline``; lists have an entry a part."""

    scheduled: list[int]
    succeeded: list[int]
    failed: list[tuple[int, int, list[int]]]
    """Kind, status, and how many ended when."""
    latencies: list[tuple[int, int, int]]
    """Part of the time, hundredth of a decade of nanoseconds, and how many."""
    distribution: list[tuple[int, int, tuple[int, int, int, int]]]
    """Thousandth of a decade, how many, and their time: waiting for a connection, late, to the first byte, the rest."""

@final
class Timeline:
    """What happened over time: one pass over records, on several threads.

    Raises:
        ValueError: they lack a column.
        OSError: they cannot be read, or are not of a run of those steps.
    """

    width_ns: int
    under_way_ns: list[int]
    """Of each part, for how long requests were under way, summed over them."""
    steps: list[TimelineStep]
    def __new__(cls, files: list[RecordFile], question: TimelineQuestion) -> Timeline: ...

@final
class ArrivalAccount:
    """The arrivals of a group as its process and its records have them."""

    due: int
    """How many there should be."""
    due_of: list[int]
    """How many of these of each generator."""
    made: int
    """How many of these have a record."""
    more: int
    """Records of arrivals that should not be: due too late, beyond the last, or the same once more."""
    wrong: int
    """How many were scheduled at another time than the process says."""
    most_off_ns: int
    """By how much the worst of them is off."""

def span(files: list[RecordFile]) -> tuple[int, int]:
    """The first `scheduled` and the last `end`; (0, 0) without records.

    Raises:
        ValueError: they lack a column.
        OSError: they cannot be read.
    """

def account_for_arrivals(
    files: list[RecordFile],
    arrivals: EngineArrivals,
    *,
    seed: int,
    group: int,
    first_step: int | None,
    repeats: bool,
    ended_ns: Sequence[int],
) -> ArrivalAccount:
    """Hold records against an arrival process, of each generator until its end.

    See ``servemark.stats.evidence.Process``.

    Raises:
        ValueError: nothing could arrive so, or the records lack a column.
        OSError: they cannot be read.
    """
