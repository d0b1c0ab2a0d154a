"""Benchmarks: named experiments, declarative. One file each says what it sets up, what it sends and what it reports.

Nothing here executes. Standard library only (with ``workload`` and the types of ``servers``), so that usage errors and
``-h`` need nothing installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from servemark.servers import ModelSettings, ServerSettings
from servemark.workload.load import ClosedLoad
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Request, Scenario, Step

#: What of a benchmark's statistics is its answer.
Headline = Literal["response", "throughput"]
#: MMS's own default; a load never gets less.
_SMALLEST_JOB_QUEUE = 100


@dataclass(frozen=True)
class Point:
    """One configuration to measure: what it asks of the server and of the model, and the load."""

    server: ServerSettings
    model: ModelSettings
    load: ClosedLoad


@dataclass(frozen=True)
class Benchmark:
    """A named experiment.

    Attributes:
        summary: one line for ``-h``.
        headline: what its first line reports.
        step: name of the one request that its users repeat.
        needs_model: a model must be served; the step draws from its prediction requests.
        threads: default number of virtual users.
        asks_saturation: whether to say if the load kept every worker busy.
    """

    name: str
    summary: str
    headline: Headline
    step: str
    needs_model: bool
    threads: int
    asks_saturation: bool = False

    def points(self, load: ClosedLoad, workers: int | None, timeout_s: float) -> tuple[Point, ...]:
        """What to measure. The server's queue holds twice the users, so that it refuses none of them."""
        server = ServerSettings(
            job_queue_size=max(_SMALLEST_JOB_QUEUE, 2 * load.users), response_timeout_s=max(1, round(timeout_s))
        )
        return (Point(server, ModelSettings(workers=workers), load),)

    def plan(self, point: Point, requests: tuple[Request, ...]) -> Plan:
        """What is sent at `point`, given the requests that the step draws from."""
        return Plan((Group(Scenario((Step(self.step, requests),)), point.load),))


def catalogue() -> Mapping[str, Benchmark]:
    """Every benchmark by name, in the order in which help lists them."""
    from servemark.benchmarks import latency, ping, throughput

    return {module.BENCHMARK.name: module.BENCHMARK for module in (latency, throughput, ping)}
