"""The whole command, as a person gives it: what it prints is what the oracle recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from judging import SHARE, SLACK_MS, assert_all, equal, near
from laws import nearest_rank
from oracle import serving

from ..validity import failed_checks, skip_where_too_busy

pytestmark = pytest.mark.slow

INVALID, TRIES = 3, 5


def test_the_command_reports_what_the_oracle_recorded(program: Path, tmp_path: Path) -> None:
    for number in range(TRIES):
        with serving(program, tmp_path / "oracle.log", "--queue", "--exponential-ms", "2") as oracle:
            command = [sys.executable, "-m", "servemark", "run", "http", "--url", f"http://127.0.0.1:{oracle.port}/"]
            load = ["--rate", "250", "--arrival", "poisson", "--duration", "4", "--warmup", "0", "--keep-awake", "on"]
            output = ["--json", "-", "-o", str(tmp_path / f"result-{number}")]
            done = subprocess.run([*command, *load, *output], stdout=subprocess.PIPE, text=True)
        if done.returncode != INVALID:
            break
        print(f"try {number + 1} of {TRIES} is INVALID")
    (benchmark,) = json.loads(done.stdout)["benchmarks"]
    skip_where_too_busy(failed_checks([benchmark["certificate"]]))
    assert done.returncode == 0
    (step,) = benchmark["steps"]
    sojourns = (oracle.log["departed"] - oracle.log["arrival"]) / 1e6
    findings = [
        equal("requests, of which nothing but the plan's reached the server", step["requests"], len(oracle.log)),
        equal("measured", step["measured"], len(oracle.log)),
    ]
    for name, q in (("p50", 0.5), ("p99", 0.99)):
        truth_ms = nearest_rank(sojourns, q)
        findings.append(near(name, step["response_ms"][name]["value"], truth_ms, SHARE * truth_ms + SLACK_MS))
    assert_all(findings)
