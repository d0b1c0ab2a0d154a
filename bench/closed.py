"""Closed loops at a server of 5 ms, and an open one, on an idle machine and beside hogs: reported beside recorded.

As servemark's defaults are for a user without real-time rights: CPUs may halt in a closed loop, in an open one not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hogs import OFTEN_BUSY
from judging import MS, Finding, equal, failed
from laws import nearest_rank
from loops import EVERY, PERCENTILES, USUAL, Latency, Loop, judge_times, run_loop, true_times
from measuring import Conditions, Sample, reported, spoiled

from bench.proof import Section, markdown_table
from servemark import _loadgen

USERS = (1, 8, 32, 100)
OPEN_PER_S = 200.0
RUN_S = 4.0
#: So long nothing runs before a run that is to find CPUs that have halted.
IDLE_S = 5.0
_USUAL_SHARE = 0.95
#: At most one INVALID run in so many.
ALARMS = 40
#: A request is sent late from here on; of those whose sending was interrupted at most this share may be.
LATE_SEND_MS, _LATE_SHARE = 0.25, 0.02
#: Failed checks of these names say that the generator was wrong, not that the machine kept it from running.
WRONG = ("accounted", "schedule", "in flight", "server")


@dataclass(frozen=True)
class Setting:
    """What a machine does beside a load, and for how long it did nothing before."""

    name: str
    conditions: Conditions
    idle_before_s: float = 0.0


#: As a user without real-time rights has it.
_PLAIN = Conditions(realtime="off")
SETTINGS = (
    Setting("idle", _PLAIN),
    Setting(f"after {IDLE_S:g} s without any load", _PLAIN, IDLE_S),
    Setting(f"beside {OFTEN_BUSY}", replace(_PLAIN, hogs=OFTEN_BUSY)),
)


@dataclass(frozen=True)
class Cell:
    """All runs of a load in a setting."""

    setting: Setting
    loop: Loop
    samples: Sequence[Sample]

    @property
    def valid(self) -> list[Sample]:
        """Those whose certificate is."""
        return [sample for sample in self.samples if sample.certificate.valid]

    @property
    def is_late_by_nature(self) -> bool:
        """An open loop that has to wait for a CPU: only real-time priority brings wake-ups below a millisecond."""
        return not self.loop.users and self.setting.conditions.hogs is not None


def prove_closed(program: Path, folder: Path, runs: int, run_s: float = RUN_S) -> Iterator[Section]:
    """What is reported of a load is what the oracle recorded of it, whatever else the machine does."""
    loops = (*(Loop(users) for users in USERS), Loop(0, OPEN_PER_S))
    cells = [
        Cell(setting, loop, _run(program, folder, setting, loop, runs, run_s)) for setting in SETTINGS for loop in loops
    ]
    told = (
        "Runs together; ms, p50 / p90 / p99. By reading: what a clock says that is read when the answer is. The open "
        f"loop is poisson, {OPEN_PER_S:g}/s, with its CPUs kept awake; all go without real-time priority."
    )
    yield Section(
        "Closed loops beside a busy server",
        f"`servemark-oracle {' '.join(loops[0].law)}`; {runs} runs each of {run_s:g} s, each done once",
        [
            *_judge([cell for cell in cells if not cell.is_late_by_nature]),
            *_judge_late(cells),
            *_judge_stamps(cells),
            *_judge_sends(cells),
        ],
        told=f"{told}\n\n{_table(cells)}",
    )


def _run(program: Path, folder: Path, setting: Setting, loop: Loop, runs: int, run_s: float) -> list[Sample]:
    samples = []
    for seed in range(1, runs + 1):
        time.sleep(setting.idle_before_s)
        conditions = replace(setting.conditions, keep_awake=not loop.users)
        samples.append(run_loop(program, folder, loop, seed=seed, run_s=run_s, conditions=conditions, most_tries=1))
    return samples


def _judge(cells: Sequence[Cell]) -> list[Finding]:
    """Of the runs that are called valid nearly all are as near as can be, and none is wrong; nearly all are valid."""
    samples = [(cell.loop.latency, sample) for cell in cells for sample in cell.samples]
    valid = [(latency, sample) for latency, sample in samples if sample.certificate.valid]
    usual = sum(not failed(judge_times(sample, latency, USUAL)) for latency, sample in valid)
    wrong = sum(bool(failed(judge_times(sample, latency, EVERY))) for latency, sample in valid)
    spoilt = [(latency, spoiled(sample, _a_ms_longer)) for latency, sample in valid]
    found_out = sum(bool(failed(judge_times(sample, latency, USUAL))) for latency, sample in spoilt)
    alarms, most_alarms = len(samples) - len(valid), math.ceil(len(samples) / ALARMS)
    return [
        Finding(f"INVALID of {len(samples)} runs", alarms, 0, 0, most_alarms, ""),
        Finding(
            f"valid runs within {USUAL}, of {len(valid)}",
            usual,
            len(valid),
            math.ceil(_USUAL_SHARE * len(valid)),
            len(valid),
            "",
        ),
        equal(f"valid runs beyond {EVERY}", wrong, 0),
        equal("the same runs, reported 1 ms longer: found out", found_out, len(valid)),
    ]


def _a_ms_longer(rows: Any) -> None:
    rows["end"] += MS


def _judge_late(cells: Sequence[Cell]) -> list[Finding]:
    """Beside hogs an open loop's service is right in every run, and its response too, or the run is INVALID by lag."""
    samples = [sample for cell in cells if cell.is_late_by_nature for sample in cell.samples]
    service = sum(bool(failed(judge_times(sample, "service", EVERY))) for sample in samples)
    response = sum(
        sample.certificate.valid and bool(failed(judge_times(sample, "response", EVERY))) for sample in samples
    )
    by_fault = sum(bool(_failed_checks(sample) & set(WRONG)) for sample in samples)
    invalid = sum(not sample.certificate.valid for sample in samples)
    return [
        Finding(f"open loop beside hogs, counted apart: INVALID of {len(samples)} runs", invalid, 0, 0, math.inf, ""),
        equal("open loop beside hogs: INVALID by another check than one of the machine's", by_fault, 0),
        equal(f"open loop beside hogs: runs whose service is beyond {EVERY}", service, 0),
        equal(f"open loop beside hogs: valid runs whose response is beyond {EVERY}", response, 0),
    ]


def _judge_stamps(cells: Sequence[Cell]) -> list[Finding]:
    """The judge knew when requests arrived, and the generator when answers did."""
    samples = [sample for cell in cells for sample in cell.samples]
    reports = [sample.report for sample in samples]
    read = sum(int((sample.rows["flags"] & _loadgen.RECORD_FLAGS["clock_read"] != 0).sum()) for sample in samples)
    return [
        equal("answers that the kernel did not stamp for the generator", read, 0),
        equal("arrivals that the kernel did not stamp for the oracle", sum(told["unstamped"] for told in reports), 0),
        equal("steps of the clock while it ran", sum(told["clock_steps"] for told in reports), 0),
    ]


def _judge_sends(cells: Sequence[Cell]) -> list[Finding]:
    """Hardly any of the requests that may have left late did; none of the others."""
    unsure = late = unnoticed = 0
    for sample in (sample for cell in cells for sample in cell.samples):
        flagged = sample.rows["flags"] & _loadgen.RECORD_FLAGS["unsure_sent"] != 0
        left_late = sample.log["arrival"] - sample.rows["sent"] - sample.origin_ns > LATE_SEND_MS * MS
        unsure += int(flagged.sum())
        late += int((left_late & flagged).sum())
        unnoticed += int((left_late & ~flagged).sum())
    most = math.ceil(_LATE_SHARE * unsure)
    return [
        Finding(f"of {unsure:,} that were interrupted there, sent {LATE_SEND_MS:g} ms late", late, 0, 0, most, ""),
        equal(f"others, sent {LATE_SEND_MS:g} ms late", unnoticed, 0),
    ]


def _failed_checks(sample: Sample) -> set[str]:
    return {check.name.split(" (")[0] for check in sample.certificate.checks if check.passed is False}


def _table(cells: Sequence[Cell]) -> str:
    rows = []
    for cell in cells:
        latencies: list[Latency] = ["service"] if cell.loop.users else ["response", "service"]
        for latency in latencies:
            summary = getattr(reported(cell.samples), f"{latency}_ms")
            truth = np.concatenate([true_times(sample) for sample in cell.samples])
            checks = sorted(set().union(*map(_failed_checks, cell.samples)))
            why = f" ({', '.join(checks)})" if checks else ""
            rows.append(
                [
                    f"{cell.loop}: {latency}",
                    cell.setting.name,
                    _in_ms([getattr(summary, name).value for name in PERCENTILES]),
                    _by_reading(cell, latency),
                    _in_ms([nearest_rank(truth, q) / MS for q in PERCENTILES.values()]),
                    f"{len(cell.samples) - len(cell.valid)} of {len(cell.samples)}{why}",
                ]
            )
    return markdown_table(("load", "machine", "reported", "by reading", "the oracle's own", "INVALID"), rows, left=2)


def _by_reading(cell: Cell, latency: Latency) -> str:
    """What would be reported without the kernel's stamps."""
    begin = "sent" if latency == "service" else "scheduled"
    times = []
    for sample in cell.samples:
        rows = sample.rows[sample.measured & (sample.rows["kind"] == 0)]
        times.append(rows["read"] - rows[begin])
    return _in_ms([nearest_rank(np.concatenate(times), q) / MS for q in PERCENTILES.values()])


def _in_ms(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.2f}" for value in values)
