"""What a suite says before it begins: how long each benchmark takes, and how much memory."""

from __future__ import annotations

import pytest

from servemark.benchmarks import catalogue
from servemark.forecast import forecast_of
from servemark.machine.memory import RESERVE_BYTES, WorkerMemory
from servemark.options import RunRequest
from servemark.servers import ServerSettings, default_workers
from servemark.units import BYTES_PER_MIB

COSTS = WorkerMemory(alone_bytes=10 * BYTES_PER_MIB, forked_bytes=BYTES_PER_MIB)


class Launcher:
    """What a worker of each model costs is all that is asked of it."""

    def __init__(self, *models: str) -> None:
        self._models = models

    def worker_memory(self, _settings: ServerSettings) -> dict[str, WorkerMemory]:
        return dict.fromkeys(self._models, COSTS)


def _expected(name: str, *models: str, **ask: object):
    benchmark = catalogue()[name]
    parameters = {parameter.key: parameter.default for parameter in benchmark.parameters}
    return forecast_of(Launcher(*models), tuple(benchmark.points(RunRequest.of(name, **ask, parameters=parameters))))


@pytest.mark.parametrize("name", ["concurrent_inference", "batching"])
def test_points_add_their_load_and_what_they_share_is_loaded_once(name):
    few, many = (_expected(name, "m", workers=workers, duration_s=1.0) for workers in (1, 11))
    times = {"concurrent_inference": 1, "batching": 7}[name]  # batch settings are given when a model is registered
    assert many.least_s - few.least_s == pytest.approx(10 * 0.2 * times)


def test_every_model_and_each_of_its_default_workers_takes_time_and_memory():
    one, three = _expected("latency", "a"), _expected("latency", "a", "b", "c")
    workers = default_workers()
    assert three.least_s - one.least_s == pytest.approx(2 * workers * 0.2)
    assert three.memory_bytes - one.memory_bytes == 2 * workers * COSTS.alone_bytes


def test_the_model_that_load_registers_again_counts_with_all_of_its_own_workers():
    assert _expected("load", "m").memory_bytes == RESERVE_BYTES + (16 + default_workers()) * COSTS.alone_bytes


def test_nothing_is_known_of_the_memory_of_a_server_that_is_not_ours():
    assert _expected("latency").memory_bytes is None
