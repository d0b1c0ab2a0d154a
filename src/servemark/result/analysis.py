"""What the runs of a benchmark show together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from servemark.result.figures import Distribution


@dataclass(frozen=True)
class Scalability:
    """A fitted Universal Scalability Law.

    Attributes:
        peak_users: where throughput is greatest, as the law has it; None where it has no such place.
        least_users: the fewest that were measured.
        most_users: the most; what the law says beyond them nobody has seen.
        off_share: by how much of the throughput the law is off where it is off most; early results do not say it.
    """

    lambda_per_s: float
    sigma: float
    kappa: float
    r2: float
    peak_users: float | None
    least_users: float
    most_users: float
    off_share: float | None = None


@dataclass(frozen=True)
class NotFitted:
    """Why a law was not fitted, in words."""

    refused: str


@dataclass(frozen=True)
class Stage:
    """A stage of a profile of rates: a step of it, or a tenth of a ramp.

    Requests belong to the stage in which they were scheduled; the achieved rate is of the successes that ended in it.
    `run` is the number of the run, from 0.
    """

    run: int
    start_s: float
    end_s: float
    offered_per_s: float
    achieved_per_s: float
    requests: int
    failed: int
    response_ms: Distribution
    client_queue_ms: Distribution


@dataclass(frozen=True)
class Registration:
    """How long a model took to register, and the kind of error, if it failed."""

    response_s: float
    error: str | None


@dataclass(frozen=True)
class Registrations:
    """The same model registered many times at once, all of them, and their removal."""

    total_s: float
    models: Mapping[str, Registration]
    removal_s: float | None
    removal_failures: Mapping[str, str]


@dataclass(frozen=True)
class ScalingCalls:
    """Measured calls of one direction.

    `settled_ms` is from the schedule until the workers were read back as asked for. `unfinished` are calls that the end
    of the run cut off before that: in no other figure.
    """

    calls: int
    failed: int
    unfinished: int
    settled_ms: Distribution


@dataclass(frozen=True)
class Predictions:
    """Predictions of the background; `slowed` are slower than the 99th percentile alone."""

    requests: int
    failed: int
    response_ms: Distribution
    slowed: int | None = None


@dataclass(frozen=True)
class Background:
    """Predictions by the same users, alone and while a model was scaled."""

    users: int
    alone: Predictions
    while_scaling: Predictions


@dataclass(frozen=True)
class Scaling:
    """Calls that scale a model, and what they did to predictions meanwhile."""

    up: ScalingCalls | None
    down: ScalingCalls | None
    background: Background | None

    @property
    def directions(self) -> Mapping[str, ScalingCalls]:
        """The calls in each direction in which there were any, by its name."""
        both = {"up": self.up, "down": self.down}
        return {to: calls for to, calls in both.items() if calls is not None}


@dataclass(frozen=True)
class Analysis:
    """The answers to what a benchmark asks of its runs; None to what it does not ask.

    `pareto_runs` are the numbers of the runs that no other beats in both throughput and p99, from 0.
    """

    scalability: Scalability | NotFitted | None = None
    pareto_runs: tuple[int, ...] | None = None
    registrations: Registrations | None = None
    scaling: Scaling | None = None
    stages: tuple[Stage, ...] | None = None
