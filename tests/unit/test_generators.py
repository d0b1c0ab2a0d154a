"""Runs of several generators: what they say together, and figures over the records of all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from servemark.engines import EngineRun, GeneratorCounts, GeneratorRun
from servemark.records import open_records, write_records

from .test_open_loop import IDLE, _assessed, _measured, _times

COUNTS = GeneratorCounts(
    sent=3,
    in_flight_ns=100,
    receive_lag_ns=10,
    run_queue_delay_ns=7,
    run_queue_waits=2,
    loopback_p50_ns=30_000,
    clock_steps=1,
    paused_ns=50,
    longest_pause_ns=20,
    longest_pause_at_ns=900,
)


def _generator(**changes: object) -> GeneratorRun:
    return replace(GeneratorRun(records=Path("r"), scheduled=3, cpu_s=0.5, machine=IDLE, counts=COUNTS), **changes)


def _run(*generators: GeneratorRun) -> EngineRun:
    return EngineRun(
        generators=generators, scheduling_ended_ns=1, ended_ns=1, interrupted=False, stop_reason=None, examples={}
    )


def test_of_several_generators_sums_are_told_and_the_worst():
    other = GeneratorCounts(
        sent=4,
        in_flight_ns=1,
        receive_lag_ns=2,
        run_queue_delay_ns=3,
        run_queue_waits=4,
        loopback_p50_ns=None,
        clock_steps=0,
        paused_ns=40,
        longest_pause_ns=40,
        longest_pause_at_ns=100,
    )
    busy = replace(IDLE, busy_cpu_s=0.9 * IDLE.capacity_s)
    run = _run(
        _generator(realtime="rr 1", receive_clock="kernel"),
        _generator(scheduled=4, counts=other, machine=busy, realtime="refused: no", receive_clock="kernel"),
    )
    assert (run.scheduled, run.generator_cpu_s, run.machine) == (7, 1.0, busy)
    assert (run.realtime, run.receive_clock, run.keep_awake) == ("rr 1; refused: no", "kernel", "")
    assert run.counts == GeneratorCounts(
        sent=7,
        in_flight_ns=101,
        receive_lag_ns=12,
        run_queue_delay_ns=10,
        run_queue_waits=6,
        loopback_p50_ns=30_000,
        clock_steps=1,
        paused_ns=50,
        longest_pause_ns=40,
        longest_pause_at_ns=100,
    )
    assert _run(_generator()).counts == COUNTS
    assert _run(_generator(), _generator(counts=None)).counts is None


@pytest.mark.parametrize("generators", [2, 3])
def test_figures_are_those_of_one_record_file_however_many_there_are(make_records, tmp_path, generators):
    random = np.random.default_rng(3)
    scheduled_s, took_ms = 2.0 + np.sort(random.random(900) * 3), random.exponential(20.0, 900)
    times = _times(scheduled_s)
    times["end"] = [at_ns + round(ms * 1e6) for at_ns, ms in zip(times["sent"], took_ms, strict=True)]
    whole = _measured(make_records, "latency", 5.0, times, duration_s=3.0)
    rows = whole.records[0].memmap()
    files = []
    for index in range(generators):
        path = tmp_path / f"share-{index}.bin"
        own = np.ascontiguousarray(rows[rows["seq"] % generators == index])
        header = whole.records[0]
        write_records(
            path,
            [own],
            steps=header.step_names,
            started_unix_ns=header.started_unix_ns,
            warmup_ns=header.warmup_ns,
        )
        files.append(open_records(path))
    one = whole.engine_run.generators[0]
    shares = tuple(replace(one, records=file.path, scheduled=len(file), cpu_s=0.1 / generators) for file in files)
    parts = replace(whole, records=tuple(files), engine_run=replace(whole.engine_run, generators=shares))
    of_one, of_parts = _assessed(whole)[0].run, _assessed(parts)[0].run
    assert of_parts.steps == of_one.steps
    assert of_parts.steps[0].requests == 900
    assert of_parts.certificate == of_one.certificate
    assert of_parts.load == of_one.load
    assert (of_parts.records, of_parts.more_records) == (
        f"{tmp_path.name}/share-0.bin",
        tuple(f"{tmp_path.name}/share-{index}.bin" for index in range(1, generators)),
    )
