"""The native load generator. A thin binding: it converts, calls, and nothing else."""

from servemark.workload.plan import EnginePlan

#: (name, numpy dtype, offset in the row) of each column of a record file, in order.
RECORD_COLUMNS: tuple[tuple[str, str, int], ...]
#: Bytes of one row of a record file.
RECORD_ROW_BYTES: int
#: Names of the values of the `kind` column, by number; 0 is "ok".
ERROR_KINDS: tuple[str, ...]
#: Bits of the `flags` column by name: "warmup", "cut_body" ...
RECORD_FLAGS: dict[str, int]

class Progress:
    """A snapshot of a run; counts are of records, over all threads."""

    elapsed_ns: int
    scheduled: int
    succeeded: int
    failed: int
    in_flight: int
    measured_succeeded: int
    """Successes of requests that were scheduled after the warm-up."""

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
    examples: list[ErrorExample]
    write_error: str | None
    """Why records could not be written, e.g. "No space left on device (os error 28)"; the run was ended then."""

class Run:
    """A run in progress. All methods release the GIL; the generator's threads never touch Python."""

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

def start(plan: EnginePlan, record_path: str) -> Run:
    """Open connections, wait for the start barrier, and start sending.

    Raises:
        ValueError: the plan is inconsistent.
        OSError: `record_path` cannot be created.
    """
