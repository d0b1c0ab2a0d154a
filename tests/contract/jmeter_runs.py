"""Plans run by both engines, for the tests of the engine jmeter."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from servemark.engines import EngineRun, ProgressReport
from servemark.engines.jmeter.run import execute
from servemark.engines.native.engine import execute as execute_natively
from servemark.environments.jmeter import JMeterHome, jmeter_home
from servemark.machine.counters import MachineWatch
from servemark.records import RecordFile, open_records
from servemark.workload.address import Address
from servemark.workload.compiling import compile_plan
from servemark.workload.load import ClosedLoad
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import ApiName, Request, Scenario, Step

NO_JMETER = "no Java or no Maven: JMeter cannot be assembled"
POST = Request("POST", "/predictions/noop", (("Content-Type", "image/jpeg"),), bytes(range(256)) * 4)

#: One server for both endpoints, or one for each.
Where = Address | Mapping[ApiName, Address]


@dataclass
class Ran:
    """A finished run, and its records as an array."""

    run: EngineRun
    file: RecordFile
    rows: Any

    @property
    def kinds(self) -> Counter[str]:
        return Counter(self.file.error_kinds[kind] for kind in self.rows["kind"])

    @property
    def median_ms(self) -> float:
        return self.median_ms_of(range(len(self.file.step_names)))

    def median_ms_of(self, steps: range) -> float:
        """The median response of the successes of these steps."""
        ok = self.rows[(self.rows["kind"] == 0) & np.isin(self.rows["step"], list(steps))]
        return float(np.median(ok["end"] - ok["scheduled"])) / 1e6

    def outcomes(self, steps: range) -> Counter[tuple[int, str, int]]:
        """How often each of these steps ended how, with which status."""
        return Counter(
            (int(row["step"]), self.file.error_kinds[row["kind"]], int(row["status"]))
            for row in self.rows
            if row["step"] in steps
        )


def find_home() -> JMeterHome:
    """The JMeter to test, assembled on first use; without Java or Maven the test is skipped."""
    if not os.environ.get("JMETER_HOME") and not (shutil.which("java") and shutil.which("mvn")):
        pytest.skip(NO_JMETER)
    return jmeter_home(print)


def plan_of(load: ClosedLoad, *steps: Step) -> Plan:
    return Plan((Group(Scenario(steps or (Step("predict", (POST,)),)), load),))


def run_jmeter(
    home: JMeterHome,
    plan: Plan,
    where: Where,
    folder: Path,
    *,
    seed: int = 0,
    watch: Callable[[ProgressReport, str], str | None] = lambda _progress, _words: None,
) -> Ran:
    """Run `plan` on JMeter in ``folder/jmeter``; no process of it may be left."""
    run = execute(
        plan,
        _addresses(where),
        record_path=folder / "jmeter.bin",
        folder=folder / "jmeter",
        timeout_s=10,
        connect_timeout_s=5,
        seed=seed,
        watch=watch,
        machine=MachineWatch(lambda: None),
        home=home,
    )
    assert _jmeters() == [], "JMeter was left running"
    file = open_records(folder / "jmeter.bin")
    assert run.scheduled == file.rows
    return Ran(run, file, np.array(file.memmap()))


def run_native(plan: Plan, where: Where, folder: Path, *, seed: int = 0) -> Ran:
    compiled = compile_plan(plan, _addresses(where), timeout_s=10, connect_timeout_s=5, seed=seed)
    path = folder / "native.bin"
    machine = MachineWatch(lambda: None)
    run = execute_natively(compiled, path, length=None, watch=lambda _progress, _words: None, machine=machine)
    file = open_records(path)
    return Ran(run, file, np.array(file.memmap()))


def _addresses(where: Where) -> Mapping[ApiName, Address]:
    return {"inference": where, "management": where} if isinstance(where, Address) else where


def _jmeters() -> list[psutil.Process]:
    """JMeters among our descendants."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(word.endswith("ApacheJMeter.jar") for word in process.cmdline()):
                found.append(process)
    return found
