"""``servemark run --generators``: its result and what is printed of it, and what is left when it is ended."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
from dialect_servers import MMS
from dialect_servers import answering as serving_dialect
from loadgen_servers import OK, answering, serving, streaming

from servemark import _loadgen
from servemark.cli import main
from servemark.engines.native.spread.crew import _Crew
from servemark.event_files import events_path, gaps_path, read_gaps
from servemark.records import open_events, open_records
from servemark.result import from_json, to_json
from servemark.units import NS_PER_MS

from ..validity import status_but_for_the_machine, until_valid
from .test_signals import LIMIT_S, measuring, read

pytestmark = pytest.mark.seconds

#: Processes of this machine see at once that their driver is gone; the rest is what a busy one may take.
_GONE_WITHIN_S = 5.0
_OPEN = ("--generators", "2", "--rate", "300", "--duration", "30", "--warmup", "0")


def _generators(pid: int) -> list[psutil.Process]:
    """The processes of the generators that process `pid` has started."""
    return [one for one in psutil.Process(pid).children() if "spread.child" in " ".join(one.cmdline())]


@pytest.mark.parametrize(
    "load",
    [("--rate", "200", "--arrival", "poisson", "--duration", "1.5", "--warmup", "0.3"), ("-t", "4", "-l", "50")],
    ids=["open", "closed"],
)
def test_the_result_tells_of_each_generator(tmp_path: Path, capsys: pytest.CaptureFixture[str], load) -> None:
    folder = tmp_path / "out"
    with serving(answering(OK)) as server:
        words = ["run", "http", "--url", f"http://127.0.0.1:{server.port}/", "--generators", "2", *load]
        status = main([*words, "--slo", "errors<50%", "-o", str(folder)])
    result = read(folder)
    assert status_but_for_the_machine(status, result) == 0
    assert to_json(from_json(result)) == result
    (benchmark,) = result["benchmarks"]
    (run,) = benchmark["runs"]
    assert (run["records"], run["more_records"]) == ("records/http.bin", ["records/http.g2.bin"])
    assert [one["number"] for one in run["generators"]] == [1, 2]
    files = [open_records(folder / one["records"]) for one in run["generators"]]
    recorded = [file.rows for file in files]
    assert [one["recorded"] for one in run["generators"]] == [one["sent"] for one in run["generators"]] == recorded
    assert sum(recorded) == benchmark["steps"][0]["requests"]
    assert abs(recorded[0] - recorded[1]) <= 1
    step = benchmark["steps"][0]
    of_all_ms = np.concatenate([file.latency_ms() for file in files])
    for name, share in (("p50", 50), ("p90", 90), ("p99", 99)):
        exact_ms = np.percentile(of_all_ms, share, method="inverted_cdf")
        assert step[f"{step['headline']}_ms"][name]["value"] == pytest.approx(exact_ms, abs=1e-9)
    assert [one["clock_bound_ms"] for one in run["generators"]] == [0.0, 0.0]
    checks = {check["name"]: check["passed"] for check in run["certificate"]["checks"]}
    assert checks["generators"] is checks["start (request)"] is True
    assert benchmark["verdicts"][-1]["outcome"] == "met"
    assert "\ngenerators     2 on " in capsys.readouterr().out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "self-test ms" in page
    assert len((folder / "requests.jtl").read_text().splitlines()) == sum(recorded) + 1


def test_records_that_are_too_many_are_condensed_and_what_that_costs_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A closed loop that ends with its time: that there are too many is seen when there are."""
    folder = tmp_path / "out"
    with serving(answering(OK)) as server:
        words = ["run", "http", "--url", f"http://127.0.0.1:{server.port}/", "--generators", "2", "-t", "4"]
        load = ["--duration", "1.5", "--warmup", "0.3", "--think", "2ms", "--max-records", "100"]
        status = main([*words, *load, "--slo", "errors<50%", "-o", str(folder)])
    result = read(folder)
    assert status_but_for_the_machine(status, result) == 0
    assert to_json(from_json(result)) == result
    (benchmark,) = result["benchmarks"]
    (run,) = benchmark["runs"]
    requests = benchmark["steps"][0]["requests"]
    assert run["condensed"]["records"] == requests == sum(one["sent"] for one in run["generators"])
    assert [one["recorded"] for one in run["generators"]] == [one["sent"] for one in run["generators"]]
    assert [open_records(folder / one["records"]).rows for one in run["generators"]] == [0, 0]
    checks = {check["name"]: check for check in run["certificate"]["checks"]}
    assert checks["accounted"]["passed"] is True
    assert checks["in flight"]["reason"].startswith("records were condensed (--max-records)")
    assert benchmark["verdicts"][-1]["outcome"] == "met"
    said = " ".join(capsys.readouterr().out.split())
    assert " condensed, more than --max-records: latencies are exact to 0.1%" in said
    names = ("result.json", "summary.csv", "requests.jtl", "report.html")
    written = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    assert "records of records/http.bin and 1 more were condensed" in written["report.html"]
    assert len(written["requests.jtl"].splitlines()) == 1
    for format_of_requests in ("jtl", "hgrm"):
        assert main(["report", str(folder), "--format", format_of_requests]) == 4
        assert "run again with a greater --max-records" in capsys.readouterr().err
    for name in names[1:]:
        (folder / name).unlink()
    assert main(["report", str(folder)]) == 0
    assert " condensed, more than --max-records: " in capsys.readouterr().out
    assert {name: (folder / name).read_text(encoding="utf-8") for name in names} == written
    (folder / "records" / "http.g2.bin").unlink()
    assert main(["report", str(folder)]) == 4


def test_events_of_streams_are_kept_and_counted_together(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with serving(streaming(5, 0.002)) as server:
        words = ["run", "http", "--url", f"http://127.0.0.1:{server.port}/", "--generators", "2", "--record-events"]
        status = main([*words, "-t", "4", "-l", "10", "-o", str(folder)])
    result = read(folder)
    assert status_but_for_the_machine(status, result) == 0
    (run,) = result["benchmarks"][0]["runs"]
    files = [folder / one["records"] for one in run["generators"]]
    assert [len(open_events(events_path(path))) for path in files] == [100, 100]
    gaps = [histogram for path in files for of_step in read_gaps(gaps_path(path)).values() for histogram in of_step]
    assert _loadgen.histogram_statistics(gaps, []).count == 4 * 40
    events = result["benchmarks"][0]["steps"][0]["events"]
    assert events["count"] == 200
    longest_ms = _loadgen.histogram_statistics(gaps, []).max / NS_PER_MS
    assert events["between_events_ms"]["max"] == pytest.approx(longest_ms)


def check_capacity_objective_and_comparison(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str], *, budget_s: int
) -> None:
    """A search, two runs with an objective and what they differ by, each of two generators that `words` ask for.

    `budget_s` is the time for the search: enough for two probes, with what it takes to start their generators.
    """
    for name in ("a", "b"):
        run = ["run", *words, "-t", "4", "-l", "40", "--slo", "p90<10s,errors<5%"]
        status, result = until_valid(run, folder / name)
        assert status == 0
        (benchmark,) = result["benchmarks"]
        outcomes = {one["objective"]: one["outcome"] for one in benchmark["verdicts"] if one.get("objective")}
        assert outcomes.keys() == {"p90<10s", "errors<5%"}
        assert outcomes["errors<5%"] == "met"
        assert outcomes["p90<10s"] != "missed", "undecided where they depend on each other for long"
        assert [one["recorded"] for one in benchmark["runs"][0]["generators"]] == [80, 80]
    capsys.readouterr()
    assert main(["compare", str(folder / "a"), str(folder / "b")]) == 0
    assert "1 of the base, 1 of the new" in " ".join(capsys.readouterr().out.split())
    quick = ["--duration", "1", "--warmup", "0.2", "--search-budget", str(budget_s)]
    search = ["capacity", *words, "--by", "threads", "--slo", "p50<10s", *quick]
    status, result = until_valid(search, folder / "found")
    assert status == 0
    (benchmark,) = result["benchmarks"]
    probes = {probe["load"]: run for probe, run in zip(benchmark["capacity"]["probes"], benchmark["runs"], strict=True)}
    met = [probe["load"] for probe in benchmark["capacity"]["probes"] if probe["outcome"] == "met"]
    assert benchmark["capacity"]["feasible_max"] == max(met) > 1
    for load, run in probes.items():
        # A probe of a single user is one generator's.
        assert len(run.get("generators") or [None]) == min(load, 2)
        assert all(one["recorded"] == one["sent"] for one in run.get("generators", ()))


def test_a_capacity_an_objective_and_a_comparison_are_those_of_two_generators(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(answering(OK)) as server:
        words = ["http", f"http://127.0.0.1:{server.port}/", "--generators", "2"]
        words += ["--no-report", "--no-history", "--allow-invalid"]
        check_capacity_objective_and_comparison(words, tmp_path, capsys, budget_s=10)
        run = ["run", *words, "-t", "4", "-l", "40", "-o", str(tmp_path / "one")]
        run[run.index("--generators") + 1] = "1"
        assert status_but_for_the_machine(main(run), read(tmp_path / "one")) == 0
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "one")]) == 2
    assert "generators" in capsys.readouterr().err


def test_points_with_fewer_connections_than_threads_are_sent_by_as_many_as_there_are(tmp_path: Path) -> None:
    theirs = {"OPTIONS /predictions/m": (200, b"{}"), "POST /predictions/m": (200, b"OK")}
    (tmp_path / "input.txt").write_text("hello")
    words = ["run", "concurrent_inference", "-m", "m", "-i", str(tmp_path / "input.txt"), "-o", str(tmp_path / "out")]
    words += ["--rate", "50", "--duration", "0.6", "--warmup", "0", "--options", "threads", "1,2,5"]
    with serving_dialect({**MMS, **theirs}) as port:
        words += ["--mms", f"127.0.0.1:{port}", "--generators", "2", "--generator-threads", "2"]
        status = main([*words, "--allow-invalid"])
    result = read(tmp_path / "out")
    assert status_but_for_the_machine(status, result) == 0
    runs = result["benchmarks"][0]["runs"][:3]  # one that is INVALID is made once more
    sent_by = [(len(run.get("generators") or [None]), run["load"]["generator_threads"]) for run in runs]
    assert sent_by == [(1, 1), (2, 1), (2, 2)]
    assert [run["steps"][0]["requests"] for run in runs] == [30, 30, 30]


def test_ctrl_c_ends_all_and_keeps_what_was_measured(tmp_path: Path) -> None:
    with measuring(tmp_path, *_OPEN, "-o", "out") as process:
        generators = _generators(process.pid)
        assert len(generators) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=LIMIT_S) == 130
    assert psutil.wait_procs(generators, timeout=_GONE_WITHIN_S)[1] == []
    result = read(tmp_path / "out")
    (benchmark,) = result["benchmarks"]
    (run,) = benchmark["runs"]
    assert (result["partial"], result["error"]) == (True, "interrupted")
    assert [one["lost"] for one in run["generators"]] == [None, None]
    assert all(one["recorded"] == one["sent"] > 0 for one in run["generators"])
    checks = {check["name"]: check["reason"] for check in run["certificate"]["checks"] if check["passed"] is False}
    assert "schedule" not in checks
    assert "accounted" not in checks


def test_ctrl_c_before_the_generators_begin_says_that_nothing_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(crew: _Crew) -> None:
        armed(crew)
        signal.raise_signal(signal.SIGINT)

    armed = _Crew.arm
    monkeypatch.setattr(_Crew, "arm", interrupted)
    with serving(answering(OK)) as server:
        words = ["run", "http", "--url", f"http://127.0.0.1:{server.port}/", *_OPEN, "-o", str(tmp_path / "out")]
        assert main(words) == 130
    (benchmark,) = read(tmp_path / "out")["benchmarks"]
    assert benchmark["steps"][0]["requests"] == 0
    assert benchmark["runs"][0]["telemetry"]["generator_cpu_share"] is None
    assert benchmark["certificate"]["disturbances"] == []
    (first, _) = capsys.readouterr().out.split("\n\n", 1)
    assert "nothing was measured: it was interrupted before anything was sent" in " ".join(first.split())


def test_a_driver_that_is_killed_leaves_no_generator_and_all_records(tmp_path: Path) -> None:
    with measuring(tmp_path, *_OPEN) as process:
        generators = _generators(process.pid)
        assert len(generators) == 2
        process.kill()
        assert psutil.wait_procs(generators, timeout=_GONE_WITHIN_S)[1] == []
    folder = tmp_path / "servemark-results" / "latest"
    assert main(["report", str(folder)]) == 0
    (benchmark,) = read(folder)["benchmarks"]
    rows = [open_records(folder / "records" / name).rows for name in ("http.bin", "http.g2.bin")]
    assert min(rows) > 0
    assert benchmark["steps"][0]["requests"] == sum(rows)


def test_where_all_generators_are_killed_what_they_recorded_is_measured_and_each_says_what_it_owed(
    tmp_path: Path,
) -> None:
    with measuring(tmp_path, *_OPEN, "-o", "out") as process:
        for generator in _generators(process.pid):
            generator.kill()
        assert process.wait(timeout=LIMIT_S) == 4
    (benchmark,) = read(tmp_path / "out")["benchmarks"]
    (run,) = benchmark["runs"]
    recorded = sum(open_records(tmp_path / "out" / one["records"]).rows for one in run["generators"])
    assert recorded == run["steps"][0]["measured"] > 0
    assert 0 < run["window_s"][1] < 30
    assert run["load"]["receive_clock"] != "engine's own"
    checks = {check["name"]: check for check in run["certificate"]["checks"]}
    assert checks["schedule"]["passed"] is True
    assert checks["generators"]["reason"].count("ended by signal 9 (SIGKILL)") == 2


def test_a_generator_that_is_killed_is_exit_4_and_its_result_is_invalid(tmp_path: Path) -> None:
    with measuring(tmp_path, *_OPEN, "-o", "out") as process:
        _generators(process.pid)[1].kill()
        assert process.wait(timeout=LIMIT_S) == 4
    said = (tmp_path / "stderr").read_text()
    assert "generator 2 of 2 (" in said
    assert "ended by signal 9 (SIGKILL); what it sent before is in the result" in said
    (benchmark,) = read(tmp_path / "out")["benchmarks"]
    (run,) = benchmark["runs"]
    (check,) = [check for check in run["certificate"]["checks"] if check["name"] == "generators"]
    assert run["certificate"]["valid"] is check["passed"] is False
    # As many as were due until the other had been stopped, which may be at once: every second arrival was its own.
    owed = re.search(r"; it owed (?:no arrival|arrivals? ([\d, ]+)(?: … \([\d,]+ of them\))?)$", check["reason"])
    assert owed, check["reason"]
    assert {int(number) % 2 for number in re.findall(r"\d+", owed[1] or "")} <= {1}
    assert run["generators"][0]["recorded"] == run["generators"][0]["sent"]
