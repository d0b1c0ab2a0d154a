"""Open loops from the command line, a suite or Python to what is measured and reported; nothing is sent."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import jsonschema
import pytest

import servemark
from servemark.assessment import Measured, assess, assess_run
from servemark.benchmarks import OPEN_LOOP, catalogue
from servemark.benchmarks.asked import asked_options
from servemark.cli import main
from servemark.cli.options import parse_run
from servemark.engines import EngineRun, GeneratorRun
from servemark.engines.jmeter.limits import check_plan
from servemark.errors import UsageError
from servemark.forecast import forecast_of
from servemark.options import RunRequest
from servemark.options.objectives import parse_objective
from servemark.report.progress import RunUnderWay, state
from servemark.result import Analysis, Certificate, NotFitted, RateSegmentResult, Trials, schema_text, to_json
from servemark.runner.entry import Entry
from servemark.servers import LoadedModel
from servemark.servers.mms.dialect import DIALECT
from servemark.stats.capacity import Sought
from servemark.units import NS_PER_MS, NS_PER_S
from servemark.workload.address import Address
from servemark.workload.compiling import compile_plan
from servemark.workload.inputs import Input
from servemark.workload.load import ClosedLoad, OpenLoad
from servemark.workload.open_loop import arrivals_of

from .results import MACHINE, TOOL
from .test_certificate import IDLE
from .test_reports import printed, result

INFERENCE = ("latency", "throughput", "concurrent_inference", "ping", "multiple_models", "batching")

TEXT = Input(b"x", "text/plain", "test")


def _parse(line):
    return parse_run("servemark run", line.split())


def _points(name, rate="200", arrival=None, parameters=None, **ask):
    benchmark = catalogue()[name]
    defaults = {parameter.key: parameter.default for parameter in benchmark.parameters}
    asked = {**ask, "rate": rate, "arrival": arrival, "parameters": defaults | (parameters or {})}
    return tuple(benchmark.points(RunRequest.of(name, **asked)))


REFUSED = [
    ("latency --rate 0", "--rate 0: 0 is not above 0; give requests a second, as in 200"),
    ("latency --rate=-3", "--rate -3: -3 is not above 0"),
    ("latency --rate nan", "'nan' is not a number"),
    ("latency --rate 100..2000", "a ramp needs the time that it takes; give --rate 100..2000/60s"),
    ("latency --rate 100..2000/60", "the time 60 has no unit; say 60s"),
    ("latency --rate", "--rate needs a value; see servemark run -h"),
    ("latency --rate 5 --arrival gamma", "gamma needs its coefficient of variation; as in gamma:2"),
    ("latency --rate 5 --arrival gamma:0", "'0' is not a coefficient of variation"),
    ("latency --rate 5 --arrival uniform", "there is no such process; choose from constant, poisson, gamma:CV"),
    ("latency --arrival poisson", "--arrival needs --rate; say how many requests a second: --rate 100"),
    ("latency --max-connections 5", "--max-connections needs --rate"),
    ("latency --rate 5 --max-connections 0", "0 is less than 1"),
    ("latency --rate 5 --max-connections 70000", "70000 is more than 60000"),
    ("latency --rate 5 -t 3", "--rate and -t do not go together: requests arrive by the rate, whoever is busy"),
    ("latency --rate 5 --options threads 3", "--rate and -t do not go together"),
    ("latency --rate 5 --think 1", "--rate and --think do not go together: nobody waits for an answer"),
    ("latency --rate 5 --ramp 1", "--rate and --ramp do not go together: there are no users to start one by one; say "),
    ("latency --rate 1..5/9s --duration 4", "--rate and --duration do not go together: that rate has its own length"),
    ("latency --rate 1,5/9s -l 4", "--rate and --loops do not go together: that rate has its own length"),
    ("latency --rate 5 -l 4 --duration 4", "--loops and --duration do not go together"),
    ("latency --rate 5 -l 4 --warmup 4", "--loops and --warmup do not go together"),
    ("latency --rate 5 --engine jmeter", "--rate and --engine jmeter do not go together: its threads wait"),
    ("latency --arrival trace:x --engine jmeter", "--arrival trace and --engine jmeter do not go together"),
    ("latency --arrival trace:x -t 4", "--arrival trace and -t do not go together"),
    ("latency --rate 1..5/9s --arrival trace:x", "do not go together: a trace has its own times; give one rate"),
    ("load --rate 5", "--rate makes no sense with load: every model is registered once, at once"),
    ("repeated_scale_calls --rate 5", "--rate makes no sense with repeated_scale_calls: each call waits for the one"),
    ("repeated_scale_calls --arrival trace:x", "--arrival makes no sense with repeated_scale_calls"),
    ("concurrent_inference --rate 5 --max-connections 3", "its points are numbers of connections; give --options"),
]


@pytest.mark.parametrize(("line", "message"), REFUSED, ids=[line for line, _ in REFUSED])
def test_what_contradicts_an_open_loop_is_refused_in_one_line_with_status_2(capsys, line, message):
    assert main(["run", *line.split()]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_a_trace_that_cannot_be_read_is_refused_before_anything_starts(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "times.txt").write_text("0\n2\n1\n")
    assert main(["run", "latency", "--arrival", "trace:times.txt"]) == 2
    assert "cannot use the trace times.txt: line 3: '1' comes before the time above it" in capsys.readouterr().err
    assert main(["run", "latency", "--arrival", "trace:none.txt"]) == 2
    assert "cannot use the trace none.txt: No such file or directory" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["times.txt"]


@pytest.mark.parametrize(
    "line",
    [
        "latency --rate 0.5",
        "throughput --rate 100..2000/60s --arrival poisson",
        "ping --rate 5 -l 7 --arrival gamma:2 --max-connections 60000",
        "batching --rate 5 --duration 3 --warmup 1",
        "multiple_models --rate 5 --options weights 1,2,3",
        "concurrent_inference --rate 5 --options threads 1,2",
        "latency --arrival trace:x --duration 3",
        "latency --rate 5 --arrival trace:x",
    ],
)
def test_an_open_loop_goes_with_every_inference_benchmark_and_length(line):
    assert _parse(line)


@pytest.mark.parametrize("name", INFERENCE)
def test_every_inference_benchmark_sends_in_an_open_loop_on_a_server_with_room(name):
    for point in _points(name, rate="200", arrival="poisson", duration_s=3.0):
        load = point.load
        assert isinstance(load, OpenLoad)
        assert (load.arrivals.process, load.duration_s, load.warmup_s) == ("poisson", 3.0, 2.0)
        assert point.server.job_queue_size >= load.max_connections
        names = ("m",) if name != "multiple_models" else ("a", "b", "c")
        served = tuple(LoadedModel(one, None, (TEXT,), None, None, None) for one in names)
        (group,) = point.plan(DIALECT, () if name == "ping" else served).groups
        assert group.load == load


def test_the_rest_is_closed_and_says_why_it_refuses_an_open_loop():
    refusing = {name for name, benchmark in catalogue().items() if "rate" in benchmark.refuses}
    assert refusing == {"load", "repeated_scale_calls"}
    for name in refusing:
        assert set(OPEN_LOOP) <= set(catalogue()[name].refuses)


def test_the_points_of_concurrent_inference_are_numbers_of_connections_at_one_rate():
    points = _points("concurrent_inference", parameters={"threads": (1, 4)})
    assert [point.values for point in points] == [{"connections": 1}, {"connections": 4}]
    assert [point.load.max_connections for point in points] == [1, 4]
    assert {point.load.arrivals for point in points} == {arrivals_of("200", None)}
    assert len({point.server for point in points}) == 1


def test_an_exact_number_of_requests_is_a_number_of_arrivals():
    (point,) = _points("latency", loops=30)
    plan = point.plan(DIALECT, (LoadedModel("m", None, (TEXT,), None, None, None),))
    assert plan.exact_requests == 30


@pytest.mark.parametrize("name", ["load", "repeated_scale_calls"])
def test_from_python_a_benchmark_that_has_no_open_loop_refuses_it_too(name):
    with pytest.raises(UsageError, match=f"--rate makes no sense with {name}"):
        Entry.of(RunRequest.of(name, rate=5, arrival="poisson"))


def test_from_python_a_rate_is_a_number_or_what_the_command_line_has(tmp_path):
    (point,) = Entry.of(RunRequest.of("latency", rate=12.5, arrival="gamma:2", max_connections=7)).points
    assert point.load.arrivals == arrivals_of("12.5", "gamma:2")
    assert point.load.max_connections == 7
    (point,) = Entry.of(RunRequest.of("ping", rate="1..9/4s")).points
    assert point.load.duration_s == 4.0
    for wrong, message in (
        ({"rate": 0}, "rate 0: 0 is not above 0"),
        ({"rate": 5, "threads": 3}, "rate and threads do not go together"),
        ({"rate": 5, "engine": "jmeter"}, "rate and engine jmeter do not go together"),
        ({"max_connections": 5}, "max_connections needs rate"),
        ({"rate": 5, "loops": 3, "duration_s": 3.0}, "loops and duration_s do not go together"),
    ):
        with pytest.raises(UsageError, match=message):
            servemark.run("latency", **wrong, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_suite_may_ask_for_an_open_loop_and_the_command_line_goes_before_it(tmp_path):
    (tmp_path / "mine.toml").write_text(
        """
        [[benchmark]]
        name = "latency"
        rate = 5
        arrival = "trace:times.txt"
        [[benchmark]]
        name = "throughput"
        threads = 3
        think = 1
        loops = 9
        [[benchmark]]
        name = "load"
        """
    )
    suite = f"--suite {tmp_path / 'mine.toml'}"
    latency, throughput, load = _parse(suite).entries
    assert (latency.load.rate, latency.load.arrival) == ("5", f"trace:{tmp_path / 'times.txt'}")
    assert (throughput.load.rate, throughput.load.threads, load.load.rate) == (None, 3, None)
    latency, throughput, load = _parse(f"{suite} --rate 7 --arrival poisson --max-connections 9").entries
    latency, throughput, load = (request.load for request in (latency, throughput, load))
    assert (latency.rate, latency.arrival, latency.max_connections) == ("7", "poisson", 9)
    assert (throughput.rate, throughput.threads, throughput.think_s, throughput.loops) == ("7", None, 0.0, 9)
    assert (load.rate, load.arrival, load.max_connections) == (None, None, None)
    _, throughput, _ = _parse(f"{suite} --rate 1..7/3s --arrival constant").entries
    assert (throughput.load.loops, throughput.load.rate) == (None, "1..7/3s")
    latency, throughput, _ = _parse(f"{suite} -t 4").entries
    assert (latency.load.rate, latency.load.arrival, latency.load.threads) == (None, None, 4)


def test_a_suite_says_before_how_long_an_open_loop_takes(tmp_path):
    trace = tmp_path / "times.txt"
    trace.write_text("0\n30\n")
    launcher = SimpleNamespace(worker_memory=lambda _settings: {})
    nothing = forecast_of(launcher, ())
    for rate, arrival, ask, seconds in (
        ("5", None, {"loops": 50}, 10.0),
        ("5", None, {"duration_s": 7.0}, 9.0),
        ("1..5/20s", None, {}, 22.0),
        (None, f"trace:{trace}", {}, 30.0),
    ):
        forecast = forecast_of(launcher, _points("latency", rate, arrival, **ask))
        assert forecast.least_s - nothing.least_s == pytest.approx(seconds)
        assert forecast.most_s - nothing.most_s >= seconds


def test_jmeter_itself_refuses_an_open_loop_too():
    (point,) = _points("ping")
    with pytest.raises(UsageError, match="sends only in a closed loop; leave --engine out"):
        check_plan(point.plan(DIALECT, ()), {"inference": Address("h", "127.0.0.1", 1)})


ADDRESS = Address("127.0.0.1", "127.0.0.1", 8080)


def _measured(make_records, name, seconds, columns, *, ended_s=None, interrupted=False, **ask):
    """What a run would have measured whose records have `columns`, a record a `scheduled`."""
    point = _points(name, **ask)[0]
    names = () if name == "ping" else ("m",)
    served = tuple(LoadedModel(one, "mxnet", (TEXT,), None, 1.0, 1.0) for one in names)
    plan = point.plan(DIALECT, served)
    compiled = compile_plan(plan, {"inference": ADDRESS}, timeout_s=9.0, connect_timeout_s=9.0, seed=0)
    rows = len(columns["scheduled"])
    step = plan.groups[0].scenario.steps[0].name
    records = make_records(rows, steps=(step,), warmup_ns=compiled.warmup_ns, user=range(rows), **columns)
    ended_ns = int((seconds if ended_s is None else ended_s) * NS_PER_S)
    return Measured(
        benchmark=catalogue()[name],
        point=point,
        plan=plan,
        compiled=compiled,
        records=(records,),
        engine_run=EngineRun(
            generators=(GeneratorRun(records=records.path, scheduled=rows, cpu_s=0.1, machine=IDLE),),
            scheduling_ended_ns=ended_ns,
            ended_ns=ended_ns,
            interrupted=interrupted,
            stop_reason=None,
            examples={},
        ),
        dialect=DIALECT,
        served=served,
        settings_after={},
        memory_bytes=(None, None),
        removal=None,
        failure=None,
        asked=asked_options(point.load, url=None, method=None, inputs=(), pool=plan.pool, parameters={}),
        engine="native",
    )


def _of_generators(measured, *had):
    """The same of as many generators, of which each had what it says, and the same records."""
    one = measured.engine_run.generators[0]
    generators = tuple(replace(one, **circumstances) for circumstances in had)
    run = replace(measured.engine_run, generators=generators)
    return replace(measured, records=measured.records * len(had), engine_run=run)


def _times(scheduled_s, waited_ms=0.0, took_ms=10.0):
    scheduled = [round(at_s * NS_PER_S) for at_s in scheduled_s]
    ready = [at_ns + round(waited_ms * NS_PER_MS) for at_ns in scheduled]
    end = [at_ns + round(took_ms * NS_PER_MS) for at_ns in ready]
    return {"scheduled": scheduled, "ready": ready, "sent": ready, "first_byte": end, "end": end}


def _assessed(measured):
    assessed = assess_run(measured, 0.01)
    return assessed, assess(measured.benchmark, [measured], [assessed])


def _valid(benchmark):
    """A result of it, which has to be as its schema says."""
    whole = replace(result(), tool=TOOL, environment=MACHINE, benchmarks=(benchmark,))
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(json.loads(json.dumps(to_json(whole))))
    return whole


def test_a_run_has_its_load_its_window_and_the_rate_that_was_offered(make_records):
    every_5_ms = [number / 200 for number in range(1000)]  # 5 s, of which 2 s warm-up
    measured = _measured(make_records, "throughput", 5.0, _times(every_5_ms), duration_s=3.0, arrival="poisson")
    assessed, benchmark = _assessed(measured)
    assert assessed.run.window_s == (2.0, 5.0)
    assert assessed.run.steps[0].measured == 600
    load = assessed.run.load
    assert load.offered_per_s == pytest.approx(200.0)
    assert (load.kind, load.process, load.cv, load.max_connections) == ("open", "poisson", 1.0, 10_000)
    assert load.profile == (RateSegmentResult(200.0, 200.0, None),)
    assert benchmark.options.rate == "200"
    assert benchmark.options.arrival == "poisson"
    assert benchmark.options.threads is None
    assert benchmark.analysis is None
    assert [verdict.question for verdict in benchmark.verdicts] == ["predict: at most 1% of the requests failed"]
    _valid(benchmark)


def test_of_an_exact_number_the_rate_is_that_from_the_first_to_the_last(make_records):
    measured = _measured(make_records, "latency", 0.5, _times([0.0, 0.1, 0.2, 0.3], took_ms=700), loops=4)
    assessed, _ = _assessed(measured)
    assert assessed.run.window_s == pytest.approx((0.0, 1.0))
    assert assessed.run.load.offered_per_s == pytest.approx(10.0)
    assert assessed.run.steps[0].throughput_per_s.value == pytest.approx(4.0)
    accounted = next(check for check in assessed.run.certificate.checks if check.name == "accounted")
    assert accounted.passed


@pytest.mark.parametrize("scheduled", [[], [1.0]])
def test_of_next_to_nothing_no_rate_is_made_up(make_records, scheduled):
    measured = _measured(make_records, "latency", 1.0, _times(scheduled), loops=1)
    assert assess_run(measured, 0.01).run.load.offered_per_s is None


def test_a_trace_is_told_by_its_file_and_checksum_not_by_its_times(make_records, tmp_path, capsys):
    trace = tmp_path / "times.txt"
    trace.write_text("0\n0.5\n1\n")
    measured = _measured(make_records, "ping", 1.0, _times([0.0, 0.5, 1.0]), rate=None, arrival=f"trace:{trace}")
    assessed, benchmark = _assessed(measured)
    told = assessed.run.load.trace
    assert (told.file, told.times, told.length_s, len(told.sha256)) == (str(trace), 3, 1.0, 64)
    assert "times_ns" not in json.dumps(to_json(assessed.run))
    assert benchmark.options.arrival == f"trace:{trace}"
    text = printed(capsys, _valid(benchmark))
    assert "open loop, trace times.txt (3 times, 1 s), at most 10,000 connections" in text


def test_steps_of_a_profile_are_told_apart_by_when_they_were_scheduled(make_records, capsys):
    first = [2.0 + number / 10 for number in range(20)]  # 10/s for 2 s, after the warm-up
    second = [4.0 + number / 50 for number in range(100)]  # 50/s for 2 s
    columns = _times([*first, *second])
    for number in range(20, 120):  # the second step's answers take 1 s longer
        columns["ready"][number] += NS_PER_S
        columns["end"][number] += NS_PER_S
    columns |= {"sent": columns["ready"], "first_byte": columns["end"], "kind": [0] * 119 + [3]}
    measured = _measured(make_records, "latency", 6.0, columns, rate="10,50/2s")
    assessed, benchmark = _assessed(measured)
    slow, fast = benchmark.analysis.stages
    assert (slow.run, slow.start_s, slow.end_s) == (0, 2.0, 4.0)
    assert (fast.start_s, fast.end_s) == (4.0, 6.0)
    assert (slow.requests, slow.failed, fast.requests, fast.failed) == (20, 0, 100, 1)
    assert (slow.offered_per_s, fast.offered_per_s) == (10.0, 50.0)
    assert slow.achieved_per_s == 10.0
    assert fast.achieved_per_s == pytest.approx(25.0), "only those of its first second have ended in it"
    assert slow.response_ms.p50 == pytest.approx(10.0)
    assert fast.response_ms.p99 == pytest.approx(1010.0)
    assert fast.client_queue_ms.p99 == pytest.approx(1000.0)
    text = printed(capsys, _valid(benchmark))
    assert "open loop, 10/s, 50/s for 2 s each, constant, at most 10,000 connections" in " ".join(text.split())
    assert "from s  offered/s  achieved/s  p50 ms  p99 ms  failed  waited p99" in text
    assert "2           50.00       25.00  ~1,010  ~1,010       1      ~1,000" in text, "99 are too few"
    assert max(map(len, text.splitlines())) <= 80
    assert assessed.run.load.offered_per_s == pytest.approx(30.0)


def test_a_ramp_has_a_stage_for_each_tenth_of_its_time_as_far_as_it_went(make_records):
    scheduled = [2.0 + number / 100 for number in range(250)]
    measured = _measured(
        make_records, "latency", 12.0, _times(scheduled), rate="1..200/10s", ended_s=4.5, interrupted=True
    )
    _, benchmark = _assessed(measured)
    stages = benchmark.analysis.stages
    assert [(stage.start_s, stage.end_s) for stage in stages] == [(2.0, 3.0), (3.0, 4.0), (4.0, 4.5)]
    assert [stage.requests for stage in stages] == [100, 100, 50]
    assert stages[2].offered_per_s == pytest.approx(100.0)


def test_a_server_that_does_not_keep_up_is_told_with_both_rates(make_records, capsys):
    scheduled = [number / 100 for number in range(500)]
    columns = _times(scheduled)
    columns["end"] = [(2 * number + 1) * 10 * NS_PER_MS for number in range(500)]  # 50/s
    columns["ready"] = columns["sent"] = [end - 10 * NS_PER_MS for end in columns["end"]]
    columns["first_byte"] = columns["end"]
    measured = _measured(make_records, "throughput", 5.0, columns, rate="100", duration_s=3.0)
    _, benchmark = _assessed(measured)
    lines = printed(capsys, _valid(benchmark)).splitlines()
    assert "offered        100.0/s; achieved 50.0/s, 50% of it" in lines
    headline = " ".join(lines[:2])
    assert headline.startswith("throughput m: 50.00/s, p50 ~3.50 s, p99 ~4.97 s; waiting for a connection: p99 ")
    assert any(line.startswith("in the client  p99 ~4.9") for line in lines)


def test_a_server_that_keeps_up_is_not(make_records, capsys):
    scheduled = [number / 100 for number in range(500)]
    measured = _measured(make_records, "latency", 5.0, _times(scheduled, waited_ms=0.1), rate="100", duration_s=3.0)
    _, benchmark = _assessed(measured)
    text = printed(capsys, _valid(benchmark))
    assert "offered" not in text
    assert "; waiting" not in text
    assert text.splitlines()[0] == "latency m: p50 10.1 ms, p99 ~10.1 ms"
    assert "open loop, 100/s constant, at most 10,000 connections, 3.0 s measured after 2 s\nof warm-up\n" in text, (
        "the load line, broken at 80 columns"
    )


def test_points_of_one_rate_over_connections_show_what_waited(make_records, capsys):
    scheduled = [number / 100 for number in range(500)]
    two = [
        _measured(
            make_records, "concurrent_inference", 5.0, _times(scheduled, waited_ms=waited), rate="100.5", duration_s=3.0
        )
        for waited in (700.0, 0.0)
    ]
    points = _points("concurrent_inference", rate="100.5", duration_s=3.0)
    two = [replace(one, point=point) for one, point in zip(two, points, strict=False)]
    assessed = [assess_run(one, 0.01) for one in two]
    benchmark = assess(two[0].benchmark, two, assessed)
    assert benchmark.analysis == Analysis(scalability=NotFitted("in an open loop the rate is given, not found"))
    text = printed(capsys, _valid(benchmark))
    assert "open loop, 100.5/s constant\n" in text
    (heading,) = [line.split() for line in text.splitlines() if line.startswith("connections")]
    assert heading[-5:] == ["p99", "ms", "waited", "p99", "failed"]
    rows = [line.split() for line in text.splitlines() if line.strip()[:2] in {"1 ", "4 "}]
    assert [(row[0], row[-2]) for row in rows] == [("1", "~700.0"), ("4", "~0.00")], "300 requests, and 368 are needed"
    assert "not fitted: in an open loop the rate is given, not found" in text
    assert max(map(len, text.splitlines())) <= 80


def test_connections_for_which_descriptors_are_lacking_are_told(make_records, capsys):
    measured = _measured(make_records, "latency", 5.0, _times([2.5, 3.0]), duration_s=3.0)
    assessed, benchmark = _assessed(_of_generators(measured, {"reduced_connections": 900}))
    load = assessed.run.load
    assert (load.max_connections, load.requested_connections) == (900, 10_000)
    text = " ".join(printed(capsys, _valid(benchmark)).split())
    assert "at most 900 connections (10,000 need more file descriptors: ulimit -n), 3.0 s measured" in text


def test_what_made_the_generator_more_exact_is_part_of_the_load(make_records):
    measured = _measured(make_records, "latency", 5.0, _times([2.5, 3.0]), duration_s=3.0)
    load = _assessed(measured)[0].run.load
    assert (load.realtime, load.keep_awake) == ("off", "off")
    had = {"realtime": "dropped after 3.2 s", "keep_awake": "2 CPUs"}
    load = _assessed(_of_generators(measured, had))[0].run.load
    assert (load.realtime, load.keep_awake) == ("dropped after 3.2 s", "2 CPUs")
    load = _assessed(_of_generators(measured, had, {"realtime": "rr 1", "keep_awake": "2 CPUs"}))[0].run.load
    assert (load.realtime, load.keep_awake) == ("dropped after 3.2 s; rr 1", "2 CPUs")


def test_progress_behind_the_end_of_the_load_says_what_is_awaited():
    (open_loop,) = _points("latency", duration_s=5.0, warmup_s=0.0)
    counts = SimpleNamespace(elapsed_ns=28 * NS_PER_S, succeeded=900, failed=2, in_flight=48)
    assert [state(RunUnderWay(counts, load)) for load in (open_loop.load, ClosedLoad(users=4, duration_s=5.0))] == [
        "awaiting the backlog: 48 left, 23 s beyond the 5 s of load; 900 succeeded, 2 failed",
        "awaiting the last answers: 48 left, 23 s beyond the 5 s of load; 900 succeeded, 2 failed",
    ]


def test_progress_of_an_open_loop_says_what_is_under_way():
    counts = SimpleNamespace(elapsed_ns=11 * NS_PER_S, succeeded=5, failed=0, in_flight=48)
    (open_loop,) = _points("latency")
    assert [state(RunUnderWay(counts, load)) for load in (open_loop.load, ClosedLoad(users=1, loops=1))] == [
        "measuring: 11 of at most 62 s, 5 succeeded, 48 under way",
        "measuring: 11 s, 5 succeeded",
    ]


@pytest.mark.parametrize(("late_ms", "slow_ms", "valid"), [(50.0, 0.0, False), (0.0, 50.0, True)])
def test_a_condition_that_trials_miss_together_by_the_generators_lag_alone_makes_them_invalid(
    make_records, late_ms, slow_ms, valid
):
    """Of 300 requests each six are late, which alone leave p99 undecided; of three trials they are too many."""
    times = _times([number / 100 for number in range(500)])
    times |= {name: list(times[name]) for name in ("sent", "first_byte", "end")}
    for number in range(220, 500, 50):
        times["sent"][number] += round(late_ms * NS_PER_MS)
        times["end"][number] += round((late_ms + slow_ms) * NS_PER_MS)
    measured = [
        replace(
            _measured(make_records, "latency", 5.0, times, rate="100", duration_s=3.0),
            objective=parse_objective("p99<20ms"),
            trial=trial,
        )
        for trial in (1, 2, 3)
    ]
    assessed = [assess_run(one, 0.01) for one in measured]
    assert not any(check.name == "generator lag (p99<20ms)" for one in assessed for check in one.run.certificate.checks)
    assessed = [replace(one, run=replace(one.run, certificate=Certificate(True, ()))) for one in assessed]
    found = assess(measured[0].benchmark, measured, assessed, Trials(3, False, ()))
    assert [verdict.outcome for verdict in found.verdicts if verdict.objective] == ["missed"]
    assert found.certificate.valid == valid
    assert [check.reason[:40] for check in found.certificate.checks if check.passed is False] == (
        [] if valid else ["18 of the 18 requests that missed p99<20"]
    )
    probes = [replace(one, point=replace(one.point, is_probe=True, values={"rate": 100})) for one in measured]
    answers = [replace(one, run=replace(one.run, point={"rate": 100})) for one in assessed]
    found = assess(measured[0].benchmark, probes, answers, None, (Sought({"p99<20ms": 0.99}, start=100.0), "rate"))
    assert [check.name for check in found.certificate.checks if check.passed is False] == (
        [] if valid else ["generator lag (p99<20ms; rate 100)"]
    )
