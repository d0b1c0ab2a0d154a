"""The open loop against a real Multi Model Server."""

from __future__ import annotations

import numpy as np
import pytest

from servemark import open_records

from ..validity import failed_checks, not_of_the_machine

pytestmark = pytest.mark.slow


def test_a_rate_that_the_server_carries_is_offered_exactly_and_accounted_for(command):
    rate = 101
    run = command.run(f"throughput -m noop --rate {rate} --duration 3 --warmup 2")
    assert run.status == 0, run.stderr
    assert run.step["requests"] == run.step["succeeded"] == 5 * rate, "2 s of warm-up and 3 s"
    assert run.step["measured"] == 3 * rate
    load = run.benchmark["runs"][0]["load"]
    assert load["offered_per_s"] == pytest.approx(rate)
    # What MMS did of it in the window is MMS's affair: it may have stood still. The figure is what the records hold.
    begin_s, end_s = run.benchmark["runs"][0]["window_s"]
    ended_ns = open_records(run.records).memmap()["end"]
    in_window = np.count_nonzero((ended_ns >= begin_s * 1e9) & (ended_ns < end_s * 1e9))
    assert run.step["throughput_per_s"]["value"] == pytest.approx(in_window / (end_s - begin_s), abs=1)
    assert run.result["server"]["config"]["job_queue_size"] == "20000"
    assert f"open loop, {rate}/s constant, at most 10,000 connections" in run.stdout
    assert "saturated" not in run.stdout
    # A machine that keeps the generator from its processor makes the run INVALID; nothing else may.
    assert not_of_the_machine(failed_checks([run.benchmark["certificate"]])) == []
    checks = {check["name"]: check["passed"] for check in run.benchmark["certificate"]["checks"]}
    assert checks["accounted"]
    assert checks["schedule"]
    assert checks["server unchanged"]
