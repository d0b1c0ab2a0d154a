"""A plan that is spread over several generators: what a driver asks of one of them, wherever it runs.

Each generator sends its share of one plan (``EngineShare``), and records it beside itself; nobody asks anybody which
requests are whose. `agent` is what a generator does, in the process that sends. `crew` is the driver of all: it has
them armed, agrees on one instant (`clocks`), waits, and joins what they say. Between the two is a ``RemoteGenerator``:
`processes` has those that are processes of this machine. Values that cross are those of this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from servemark.condensed_files import Condensing
from servemark.engines import EngineRun
from servemark.workload.engine_plan import EnginePlan


@dataclass(frozen=True)
class GeneratorFacts:
    """What a generator says of itself before it has anything to do.

    Attributes:
        host: the name of its machine.
        pid: its process there.
        version: of servemark.
        build: a digest of its engine; generators of one run have the same, and the same version.
        python: its version.
        boot: which start of which machine it runs on: those with the same share its CPUs and its clock.
        network: which of that machine's networks it is in: those in the same share its ports.
        clock: host and UDP port at which it answers what its clock says.
    """

    host: str
    pid: int
    version: str
    build: str
    python: str
    boot: str
    network: int
    clock: tuple[str, int]


@dataclass(frozen=True)
class ClockFault:
    """What a generator's clock is to say wrong, for tests: so much more always, and more from the start on."""

    skew_ns: int = 0
    step_ns: int = 0


@dataclass(frozen=True)
class Order:
    """What a generator is to send, and how it is to be watched over.

    Attributes:
        plan: the whole plan, with the share that is this generator's. It keeps its CPUs awake where that says so.
        records: the file on its own machine for its records; the folder is there.
        server_pid: the process that leads the server, where that is on the generator's machine and known.
        silence_s: for how long it goes on without a sign of its driver at its clock; None where the end of the channel
            tells at once that the driver is gone.
        most_records: so many of its own may be kept; beyond it all are condensed.
        condensing: how; None where they are kept however many they are.
        fault: for tests only.
    """

    plan: EnginePlan
    records: Path
    server_pid: int | None = None
    silence_s: float | None = None
    most_records: int = 0
    condensing: Condensing | None = None
    fault: ClockFault = ClockFault()


@dataclass(frozen=True)
class Counts:
    """Counts of a generator so far: a ``ProgressReport``."""

    elapsed_ns: int = 0
    scheduled: int = 0
    succeeded: int = 0
    failed: int = 0
    in_flight: int = 0
    measured_succeeded: int = 0

    @property
    def ended(self) -> int:
        """How many requests have ended."""
        return self.succeeded + self.failed

    @classmethod
    def of_all(cls, counts: Sequence[Counts], elapsed_ns: int) -> Counts:
        """The sums of several generators' counts at `elapsed_ns` of the run."""
        return cls(
            elapsed_ns=elapsed_ns,
            scheduled=sum(one.scheduled for one in counts),
            succeeded=sum(one.succeeded for one in counts),
            failed=sum(one.failed for one in counts),
            in_flight=sum(one.in_flight for one in counts),
            measured_succeeded=sum(one.measured_succeeded for one in counts),
        )


class RemoteGenerator(Protocol):
    """One generator, as its driver sees it.

    What is asked is answered by a future, so that all are asked at once. `outcome` may be under way while the others
    are called. A future raises ``errors.GeneratorLostError`` when the generator is gone, or the error that it met.

    Attributes:
        facts: what it said of itself.
        records: the file on the driver's machine in which its records are, while it sends as far as they have come, and
            whole when `outcome` is there.
        asked_every_s: how often its progress may be asked for.
        lead_s: how long before an instant it has to be told of it, so that it hears of it in time.
    """

    facts: GeneratorFacts
    records: Path
    asked_every_s: float
    lead_s: float

    def arm(self, order: Order) -> Future[None]:
        """Open connections and make everything ready; answered when nothing is left to do but to begin.

        `order.records` is the file on the driver's machine; where the generator has another disk it is told another.
        """
        ...

    def begin_at(self, monotonic_ns: int) -> Future[None]:
        """Begin at that instant of the generator's own monotonic clock; an error when that is too near, or past."""
        ...

    def progress(self) -> Future[Counts]:
        """Its counts so far."""
        ...

    def behind_ns(self) -> int:
        """The time for which what it has written may not be in `records` yet."""
        ...

    def stop_at(self, elapsed_ns: int) -> Future[int]:
        """Schedule nothing new from `elapsed_ns` on; answered with the time that took effect, as `outcome` is."""
        ...

    def stop(self, drain_s: float) -> Future[None]:
        """Schedule nothing new from now, and record as cancelled what is under way `drain_s` later."""
        ...

    def outcome(self) -> Future[EngineRun]:
        """What its run was, with one generator: answered when every request has ended, and all records are here.

        So is what lies beside them (``event_files``).
        """
        ...


class Placement(Protocol):
    """A place where generators run, and how they are started there; it outlives a run: what takes long is done once.

    Attributes:
        silence_s: see ``Order``.
    """

    silence_s: float | None

    def muster(
        self, records: Sequence[Path], token: bytes, *, server_here: bool
    ) -> AbstractContextManager[Sequence[RemoteGenerator]]:
        """Start generators, one for each file of `records`; whatever happens, none is left running after the block.

        Their clocks answer datagrams that begin with `token`. `server_here` says that the server under test is on the
        driver's machine.

        Whoever waits for them heeds what is held back (``interrupts.heed``).

        Raises:
            SetupError: they cannot be started; says why, and what there is.
            KeyboardInterrupt: Ctrl-C or its like came meanwhile.
        """
        ...

    def close(self) -> None:
        """Give back whatever outlived the runs."""
        ...
