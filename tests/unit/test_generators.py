"""Runs of several generators: what they say together, and figures over the records of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from servemark import _loadgen
from servemark.assessment import Measured
from servemark.assessment.certification import conditions_of
from servemark.assessment.gathering import evidence_of
from servemark.certificate.pauses import NO_PAUSES, Pauses, ThreadPauses
from servemark.certificate.spread import check_generators, check_start
from servemark.engines import ClockAgreement, EngineRun, GeneratorCounts, GeneratorRun
from servemark.engines.native.spread.joined import first_examples
from servemark.records import open_records, write_records
from servemark.report.generators import sent_by
from servemark.result import UNSTAMPED_CLOCK, ErrorExample
from servemark.units import NS_PER_S

from .test_events import HISTOGRAM
from .test_open_loop import IDLE, _assessed, _measured, _times

#: Checks that a run of one generator has not.
OF_SEVERAL = {"generators", "start", "each generator"}
COUNTS = GeneratorCounts(
    sent=3,
    in_flight_ns=100,
    receive_lag_ns=10,
    run_queue_delay_ns=7,
    run_queue_waits=2,
    loopback_p50_ns=30_000,
    clock_steps=1,
    pauses=Pauses((ThreadPauses(50, ((2_999_999_950, 3_000_000_000),)),)),
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
        pauses=Pauses((ThreadPauses(), ThreadPauses(40, ((60, 100),)))),
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
        pauses=Pauses(
            (ThreadPauses(50, ((2_999_999_950, 3_000_000_000),)), ThreadPauses(), ThreadPauses(40, ((60, 100),)))
        ),
    )
    assert _run(_generator()).counts == COUNTS
    assert _run(_generator(), _generator(counts=None)).counts is None


@pytest.fixture
def spread(make_records, tmp_path):
    """A run of 900 arrivals over 3 s, as one generator would have recorded it, and as so many have."""

    def made(generators: int, **columns: object) -> tuple[Measured, Measured]:
        random = np.random.default_rng(3)
        scheduled_s, took_ms = 2.0 + np.sort(random.random(900) * 3), random.exponential(20.0, 900)
        times = _times(scheduled_s)
        times["end"] = [at_ns + round(ms * 1e6) for at_ns, ms in zip(times["sent"], took_ms, strict=True)]
        whole = _measured(make_records, "latency", 5.0, times | columns, duration_s=3.0)
        return whole, _shared(whole, tmp_path, [5.0] * generators)

    return made


def _shared(whole: Measured, folder: Path, ended_s: Sequence[float]) -> Measured:
    """The run `whole` of as many generators, each of which began nothing more from when it ended."""
    generators, header = len(ended_s), whole.records[0]
    rows = header.memmap()
    files = []
    for index in range(generators):
        path = folder / f"share-{index}.bin"
        is_own = (rows["seq"] % generators == index) & (rows["scheduled"] < ended_s[index] * NS_PER_S)
        write_records(
            path,
            [np.ascontiguousarray(rows[is_own])],
            steps=header.step_names,
            started_unix_ns=header.started_unix_ns,
            warmup_ns=header.warmup_ns,
        )
        files.append(open_records(path))
    one = whole.engine_run.generators[0]
    shares = tuple(
        replace(one, records=file.path, scheduled=len(file), cpu_s=0.1 / generators, host="here") for file in files
    )
    return replace(whole, records=tuple(files), engine_run=replace(whole.engine_run, generators=shares))


@pytest.mark.parametrize("generators", [2, 3])
def test_figures_are_those_of_one_record_file_however_many_there_are(spread, tmp_path, generators):
    whole, parts = spread(generators)
    of_one, of_parts = _assessed(whole)[0].run, _assessed(parts)[0].run
    assert of_parts.steps == of_one.steps
    assert of_parts.steps[0].requests == 900
    of_all = [check for check in of_parts.certificate.checks if check.name.partition(" (")[0] not in OF_SEVERAL]
    assert of_all == list(of_one.certificate.checks)
    assert of_parts.certificate.disturbances == of_one.certificate.disturbances
    assert of_parts.load == of_one.load
    assert (of_parts.records, of_parts.more_records) == (
        f"{tmp_path.name}/share-0.bin",
        tuple(f"{tmp_path.name}/share-{index}.bin" for index in range(1, generators)),
    )


def _checks(run):
    return {check.name: check for check in run.certificate.checks}


def test_each_generator_is_told_and_judged_by_itself(spread):
    _, parts = spread(3)
    run = _assessed(parts)[0].run
    assert [(one.number, one.host, one.recorded, one.lost) for one in run.generators] == [
        (number, "here", 300, None) for number in (1, 2, 3)
    ]
    assert _checks(run)["generators"].reason == "all 3 came to their end"
    assert _checks(run)["start (predict)"].reason == "all began at one instant of one clock"
    assert "by itself" in _checks(run)["each generator"].reason


def test_a_generator_that_is_late_by_itself_makes_the_run_invalid_and_is_named(spread):
    """Every tenth request of the second is sent half a second late."""
    late_ns = 500_000_000
    _, parts = spread(3)
    file = parts.records[1]
    rows = np.array(file.memmap())
    rows["sent"][::10] += late_ns
    rows["end"][::10] += late_ns
    header = {"started_unix_ns": file.started_unix_ns, "warmup_ns": file.warmup_ns}
    write_records(file.path, [rows], steps=file.step_names, **header)
    counted = tuple(
        replace(one, counts=replace(COUNTS, sent=300, pauses=NO_PAUSES, loopback_p50_ns=None))
        for one in parts.engine_run.generators
    )
    parts = replace(parts, engine_run=replace(parts.engine_run, generators=counted))
    failed = [check for check in _assessed(parts)[0].run.certificate.checks if check.passed is False]
    lag = next(check for check in failed if check.name == "generator lag (predict; generator 2)")
    assert lag.reason.startswith("generator 2 of 3 (here): generator lag moves p")
    late = [check.name for check in failed if check.name.startswith("generator lag")]
    assert late == ["generator lag (predict)", lag.name], "of all together, and of that one"


def _disturbed(parts, *changes):
    """What disturbed the run, by its name, with these circumstances of each generator; each on a machine of 4 CPUs."""
    machine = replace(IDLE, elapsed_s=10.0, cpus=4, remote=True, server_cpu_s=0.0, busy_cpu_s=8.5, own_cpu_s=8.0)
    generators = []
    for run, change in zip(parts.engine_run.generators, changes, strict=True):
        host, cpu_s, of_machine = change
        own = replace(machine, **of_machine)
        generators.append(replace(run, host=host, boot=host, cpu_s=cpu_s, machine=own))
    run = replace(parts.engine_run, generators=tuple(generators), ended_ns=10_000_000_000)
    found = _assessed(replace(parts, engine_run=run))[0].run.certificate.disturbances
    return {one.name: one.reason for one in found}


def test_what_disturbs_a_machine_that_is_not_the_busiest_is_told_with_its_generator(spread):
    _, parts = spread(2)
    ill = {"busy_cpu_s": 6.0, "own_cpu_s": 5.8, "steal_cpu_s": 12.0, "throttled_s": 3.0, "memory_stalled_s": 3.0}
    found = _disturbed(parts, ("a", 5.0, {}), ("b", 5.0, ill))
    assert set(found) == {"steal", "quota", "memory pressure"}
    assert all(reason.startswith("generator 2 of 2 (b): ") for reason in found.values())


def test_what_all_have_alike_on_one_machine_is_said_of_none(spread):
    _, parts = spread(2)
    of_one = ("a", 3.0, {"steal_cpu_s": 12.0})
    assert _disturbed(parts, of_one, of_one)["steal"].startswith("the hypervisor gave 30.0%")


def test_other_load_of_one_machine_is_not_taken_for_the_generators_of_others(spread):
    _, parts = spread(4)
    calm = [(name, 8.0, {}) for name in "bcd"]
    found = _disturbed(parts, ("a", 8.0, {"busy_cpu_s": 16.5}), *calm)
    assert found["other load"].startswith("generator 1 of 4 (a): 21% of this machine's CPU time")


def test_a_generator_that_is_busy_is_seen_among_others_that_are_not(spread):
    _, parts = spread(4)
    found = _disturbed(
        parts, *[("a", 1.0, {})] * 2, ("a", 9.8, {"own_cpu_s": 12.8, "busy_cpu_s": 13.0}), ("a", 1.0, {})
    )
    assert found["generator CPU"].startswith("generator 3 of 4 (a): the generator's threads were busy for 98%")


def test_one_that_was_lost_makes_the_run_invalid_and_says_what_it_owed(spread):
    _, parts = spread(3)
    file = parts.records[1]
    rows = np.array(file.memmap())[:100]
    header = {"started_unix_ns": file.started_unix_ns, "warmup_ns": file.warmup_ns}
    write_records(file.path, [rows], steps=file.step_names, **header)
    generators = list(parts.engine_run.generators)
    generators[1] = replace(generators[1], scheduled=100, lost="1.2 s into the run: it was killed")
    run = replace(parts.engine_run, generators=tuple(generators), interrupted=True)
    records = (parts.records[0], open_records(file.path), parts.records[2])
    run = _assessed(replace(parts, records=records, engine_run=run))[0].run
    check = _checks(run)["generators"]
    assert check.passed is False
    # At 200/s for 5 s there were 1,000 arrivals, of which every third was its own, and the first hundred of these made.
    assert check.reason == (
        "generator 2 of 3 (here) was lost 1.2 s into the run: it was killed; it owed arrivals 301, 304, 307 … "
        "(233 of them)"
    )
    assert [one.lost for one in run.generators] == [None, "1.2 s into the run: it was killed", None]
    assert not run.certificate.valid


def _stopped_late(make_records, folder: Path, ended_s: Sequence[float]) -> Measured:
    """A run of 200 arrivals a second, as these are due, whose generators ended at such times."""
    whole = _measured(make_records, "latency", 5.0, _times([0.0]), duration_s=3.0)
    (group,) = whole.compiled.groups
    due_ns = np.frombuffer(_loadgen.schedule(group.arrivals, whole.compiled.seed, 0, 1000), dtype="<i8")
    whole = _measured(make_records, "latency", 5.0, _times(due_ns / NS_PER_S), duration_s=3.0)
    parts = _shared(whole, folder, ended_s)
    generators = tuple(
        replace(
            one,
            # Each request was under way for 10 ms, which is counted from the end of the warm-up.
            counts=replace(COUNTS, sent=one.scheduled, in_flight_ns=round((until_s - 2.0) * 100 * 10_000_000)),
            stopped_late_ns=round((until_s - min(ended_s)) * NS_PER_S),
        )
        for one, until_s in zip(parts.engine_run.generators, ended_s, strict=True)
    )
    run = replace(parts.engine_run, generators=generators, scheduling_ended_ns=round(min(ended_s) * NS_PER_S))
    return replace(parts, engine_run=run)


def test_what_one_sent_that_stopped_late_is_in_no_figure_and_no_fault_of_its_schedule(make_records, tmp_path):
    in_time = _assessed(_stopped_late(make_records, tmp_path, [4.0, 4.0]))[0].run
    late = _assessed(_stopped_late(make_records, tmp_path, [4.0, 4.5]))[0].run
    assert late.steps[0].measured == in_time.steps[0].measured
    assert late.steps[0].throughput_per_s.value == in_time.steps[0].throughput_per_s.value
    assert late.steps[0].requests == in_time.steps[0].requests + 50
    assert [check.name for check in late.certificate.checks if check.passed is False] == []
    assert _checks(late)["schedule"].measured == 850
    assert _checks(late)["in flight"].passed
    assert _checks(late)["generators"].reason == (
        "all 2 came to their end; generator 2 of 2 (here) went on for 0.500 s when the others had stopped, of which "
        "nothing is in the measured time"
    )


def test_of_one_that_stopped_late_what_it_lacks_is_told_until_its_own_end(make_records, tmp_path):
    parts = _stopped_late(make_records, tmp_path, [4.0, 4.5])
    file = parts.records[1]
    header = {"started_unix_ns": file.started_unix_ns, "warmup_ns": file.warmup_ns}
    write_records(file.path, [np.array(file.memmap())[:-10]], steps=file.step_names, **header)
    parts = replace(parts, records=(parts.records[0], open_records(file.path)))
    check = _checks(_assessed(parts)[0].run)["schedule"]
    assert (check.passed, check.reason) == (
        False,
        "840 arrivals of predict were begun, not the 850 of its arrival process",
    )


def test_of_one_that_did_not_begin_nothing_says_that_it_did_so_with_the_others(spread):
    _, parts = spread(2)
    file = parts.records[1]
    header = {"started_unix_ns": file.started_unix_ns, "warmup_ns": file.warmup_ns}
    write_records(file.path, [], steps=file.step_names, **header)
    generators = list(parts.engine_run.generators)
    generators[1] = replace(generators[1], scheduled=0, lost="0.0 s into the run: it could not begin with the others")
    run = replace(parts.engine_run, generators=tuple(generators), interrupted=True)
    records = (parts.records[0], open_records(file.path))
    check = _checks(_assessed(replace(parts, records=records, engine_run=run))[0].run)["start (predict)"]
    assert (check.passed, check.reason) == (None, "generator 2 of 2 (here) was lost and sent nothing")


def test_one_that_was_the_only_one_elsewhere_is_told_and_judged_as_each_of_several(spread):
    """Over Ray a single generator is another process; of this one's own nothing is told."""
    whole, alone = spread(1)
    of_whole, of_alone = _assessed(whole)[0].run, _assessed(alone)[0].run
    assert of_whole.generators is None
    assert [(one.number, one.host, one.lost) for one in of_alone.generators] == [(1, "here", None)]
    (more,) = set(_checks(of_alone)) - set(_checks(of_whole))
    assert (more, _checks(of_alone)[more].reason) == ("generators", "the only one came to its end")
    (one,) = alone.engine_run.generators
    lost = replace(one, counts=None, cpu_s=0.0, lost="4.0 s into the run: it was killed")
    run = replace(alone.engine_run, generators=(lost,), interrupted=True)
    run = _assessed(replace(alone, engine_run=run))[0].run
    assert not run.certificate.valid
    owed = "generator 1 of 1 (here) was lost 4.0 s into the run: it was killed; it owed arrivals 900, 901, 902 … (100"
    assert _checks(run)["generators"].reason.startswith(owed)
    assert [one.lost for one in run.generators] == ["4.0 s into the run: it was killed"]


@pytest.mark.parametrize(("stamped", "clock"), [(True, "kernel"), (False, "user")])
def test_where_all_were_lost_the_records_say_whose_time_answers_have_and_what_was_owed(spread, stamped, clock):
    flags = _loadgen.RECORD_FLAGS["clock_read"]
    _, parts = spread(2, flags=[0 if stamped else flags] * 900)
    generators = tuple(
        replace(one, counts=None, cpu_s=0.0, receive_clock="", lost="4.9 s into the run: it was killed")
        for one in parts.engine_run.generators
    )
    run = replace(parts.engine_run, generators=generators, interrupted=True)
    run = _assessed(replace(parts, engine_run=run))[0].run
    assert run.load.receive_clock == clock
    assert run.steps[0].measured == 900
    owed = "1 of 2 (here) was lost 4.9 s into the run: it was killed; it owed arrivals 900, 902, 904 … (50 of them)"
    assert owed in _checks(run)["generators"].reason


@pytest.mark.parametrize(
    ("told", "unstamped", "clock"),
    [("kernel", 0, "kernel"), ("kernel", 450, "kernel"), ("kernel", 451, UNSTAMPED_CLOCK), ("user", 900, "user")],
)
def test_answers_have_the_kernels_time_where_it_was_asked_for_it_and_most_of_them_got_it(
    spread, told, unstamped, clock
):
    flags = _loadgen.RECORD_FLAGS["clock_read"]
    whole, _ = spread(1, flags=[flags] * unstamped + [0] * (900 - unstamped))
    (one,) = whole.engine_run.generators
    run = replace(whole.engine_run, generators=(replace(one, receive_clock=told),))
    assert _assessed(replace(whole, engine_run=run))[0].run.load.receive_clock == clock


def test_what_generators_may_be_apart_is_held_against_what_it_can_move(spread):
    _, parts = spread(2)
    (step,) = _assessed(parts)[0].run.steps
    of_second = {"whose": "generators 1 and 2", "unread": [], "window_s": 3.0, "conditions": conditions_of(parts)}
    near = check_start(step, apart_ns=50_000, **of_second)
    assert (near.passed, near.unit) == (True, "ms")
    assert near.reason.startswith("generators 1 and 2 may have been 0.050 ms out of step, which moves p")
    far = check_start(step, apart_ns=50_000_000, **of_second)
    assert far.passed is False
    assert (far.measured, far.unit) == (50.0, "ms")
    assert "clock" in far.cause
    closed = replace(step, headline="service")
    assert check_start(closed, apart_ns=50_000_000, **of_second).passed
    most = check_start(closed, apart_ns=2_000_000_000, **of_second)
    assert (most.passed, most.unit) == (False, "share")


def _apart(parts, *bounds_ns, drift_ns=0):
    """The check of the start of generators whose clocks are known to so much."""
    clocks = [ClockAgreement(bound_ns=bound_ns, drift_ns=drift_ns) for bound_ns in bounds_ns]
    shares = zip(parts.engine_run.generators, clocks, strict=True)
    run = replace(parts.engine_run, generators=tuple(replace(one, clock=clock) for one, clock in shares))
    assessed = _assessed(replace(parts, engine_run=run))[0].run
    return _checks(assessed)["start (predict)"], assessed


def test_two_generators_may_be_off_in_opposite_directions(spread):
    _, parts = spread(3)
    check, run = _apart(parts, 20_000, 0, 30_000)
    assert check.measured == pytest.approx(0.05)
    assert check.reason.startswith("generator 1 of 3 (here) and generator 3 of 3 (here) may have been 0.050 ms out of")
    (fact,) = sent_by(run)
    assert fact.text.plain.endswith("begun within 0.050 ms")
    check, _ = _apart(parts, 0, 30_000, 0)
    assert check.measured == pytest.approx(0.03), "of those that have the driver's clock none is off"


def test_a_clock_that_could_not_be_read_after_the_run_leaves_it_open_how_far_it_went(spread):
    _, parts = spread(2)
    check, run = _apart(parts, 0, 30_000, drift_ns=None)
    assert check.passed is None
    assert "generator 2 of 2 (here) could not be asked for the clock after the run" in check.reason
    assert [one.clock_drift_ms for one in run.generators] == [None, None]
    check, _ = _apart(parts, 0, 50_000_000, drift_ns=None)
    assert check.passed is False, "what is known of the start is too much"


def test_what_is_judged_of_pauses_is_of_the_measured_time(spread):
    whole, _ = spread(2)
    assert conditions_of(whole, evidence_of(whole)).measured_ns == (2_000_000_000, 5_000_000_000)


def test_what_answers_waited_is_told_of_those_that_came(spread):
    """Most requests were refused, and had none."""
    refused = np.where(np.arange(900) % 10, _loadgen.ERROR_KINDS.index("connect"), 0)
    whole, _ = spread(2, kind=refused, flags=[_loadgen.RECORD_FLAGS["clock_read"]] * 900)
    counts = replace(COUNTS, sent=900, receive_lag_ns=90 * 2_000_000, run_queue_waits=0)
    (generator,) = whole.engine_run.generators
    run = replace(whole.engine_run, generators=(replace(generator, counts=counts),))
    check = _checks(_assessed(replace(whole, engine_run=run))[0].run)["receive lag (predict)"]
    assert check.measured == pytest.approx(2.0)


def test_which_events_were_read_together_is_what_the_times_between_them_say(spread):
    streamed = _loadgen.RECORD_FLAGS["streamed"]
    whole, parts = spread(2, flags=[streamed] * 900, events=[3] * 900, first_event=[3_000_000_000] * 900)

    def receive_lag(measured):
        generators = tuple(replace(one, counts=COUNTS) for one in measured.engine_run.generators)
        run = replace(measured.engine_run, generators=generators, event_gaps={0: (HISTOGRAM,)})
        return _checks(_assessed(replace(measured, engine_run=run))[0].run)["receive lag (predict)"]

    told = receive_lag(whole)
    assert told.reason.startswith("that 80.0% of events were read with a later one moves p")
    assert receive_lag(parts) == told


def test_generators_that_are_all_there_pass():
    assert check_generators([], 4).passed
    assert check_generators(["one", "two"], 4).reason == "one; two"


def test_of_examples_the_first_of_each_kind_is_kept_whoever_met_it():
    def example(kind: str, at_s: float) -> ErrorExample:
        return ErrorExample(kind=kind, at_s=at_s, message="", body="")

    found = first_examples(
        [
            {0: (example("reset", 2.0), example("timeout", 3.0)), 1: (example("reset", 9.0),)},
            {0: (example("connect", 0.5), example("reset", 1.0))},
        ]
    )
    assert [(one.kind, one.at_s) for one in found[0]] == [("connect", 0.5), ("reset", 1.0), ("timeout", 3.0)]
    assert [one.at_s for one in found[1]] == [9.0]
