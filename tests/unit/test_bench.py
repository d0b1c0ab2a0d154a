"""`make bench`: that it reads every tool rightly, judges by the rule it states, and says what it could not do.

The outputs in ``bench_outputs`` were recorded from the pinned versions: 3 s at 100/s against nginx (wrk has no rate).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from shutil import copy

import numpy as np
import pytest

from bench import bars, outputs, pacing, peers, report, servers, token_figures, truth
from bench.bars import Bar
from bench.cost import CONNECTIONS, Cost
from bench.machine import Machine
from bench.memory import Memory
from bench.pacing import Fit, Pacing
from bench.peers import Installed, find_peers
from bench.process import Process
from bench.receiver import OwnError
from bench.results import MANY_CONNECTIONS, Results
from bench.results import bars as bars_of
from bench.running import hogs, median
from bench.server_kinds import KINDS
from bench.tools import FLOOR, OURS, TOOLS, Call
from bench.truth import Told

from ..processes import await_end

RECORDED = Path(__file__).with_name("bench_outputs")
US = 1_000


@pytest.mark.parametrize(
    ("parse", "name", "p99_ms"),
    [
        (outputs.wrk, "wrk.txt", 7.2),
        (outputs.hey, "hey.txt", 4.2),
        (outputs.vegeta, "vegeta.json", 0.627851),
        (outputs.oha, "oha.json", 3.762313),
        (outputs.fortio, "fortio.json", 0.7),
        (outputs.k6, "k6.json", 0.269851),
        (outputs.locust, "locust.csv", 6.0),
        (outputs.jmeter, "jmeter.jtl", 78.0),
        (outputs.perf_analyzer, "perf_analyzer.txt", 16.594),
    ],
)
def test_p99_is_what_the_tool_wrote(parse, name, p99_ms):
    text = (RECORDED / name).read_text(encoding="utf-8")
    assert parse(text) == pytest.approx(p99_ms)
    # What is not there is never guessed: measure() tells of these errors.
    with pytest.raises((ValueError, KeyError, StopIteration)):
        parse("{}" if name.endswith("json") else "Running 3s test\n")


@pytest.mark.parametrize(("spelt", "ms"), [("876.00ms", 876.0), ("7.21us", 0.00721), ("1.02s", 1020.0)])
def test_wrk_chooses_its_unit(spelt, ms):
    assert outputs.wrk(f"     99%  {spelt}\n  204075 requests\n") == pytest.approx(ms)


def test_servemark_is_read_from_its_result():
    result = {"benchmarks": [{"steps": [{"response_ms": {"p99": {"value": 898.2}}}]}]}
    assert outputs.servemark(json.dumps(result)) == 898.2


def test_arrivals_on_the_grid_deviate_by_nothing_wherever_it_begins():
    grid = np.arange(4_000) * 1_000 * US
    for offset_ns in (0, 123_456_789, 1_700_000_000_000_000_000):
        fit = pacing.fit_grid(grid + offset_ns, 1_000)
        assert (fit.p50_us, fit.p99_us, fit.rate_per_s) == (0, 0, 1_000)


def test_deviations_are_distances_from_the_grid_in_both_directions():
    arrivals_ns = np.arange(4_000) * 1_000 * US
    arrivals_ns[1::4] += 40 * US
    arrivals_ns[3::4] -= 40 * US
    arrivals_ns[1_500::100] += 700 * US  # 10 of the 1,500 that are used: below 1%
    fit = pacing.fit_grid(np.sort(arrivals_ns), 1_000)
    assert fit.p50_us == pytest.approx(40, abs=1)
    assert fit.p99_us == pytest.approx(40, abs=1)
    arrivals_ns[1_520::50] += 700 * US
    assert pacing.fit_grid(np.sort(arrivals_ns), 1_000).p99_us == pytest.approx(700, abs=1)


def test_bursts_deviate_by_up_to_half_their_distance():
    bursts_ns = np.repeat(np.arange(63) * 64_000 * US, 64)
    fit = pacing.fit_grid(bursts_ns, 1_000)
    assert fit.p50_us == pytest.approx(16_000, rel=0.05)
    assert fit.p99_us == pytest.approx(32_000, rel=0.05)


def test_the_first_second_does_not_count_and_a_request_left_out_moves_those_behind_it():
    grid = np.arange(4_000) * 1_000 * US
    late_at_first = grid.copy()
    late_at_first[:900] += 99 * US
    assert pacing.fit_grid(late_at_first, 1_000).p99_us == 0
    fit = pacing.fit_grid(np.delete(grid, 2_000), 1_000)
    assert fit.p50_us == 0
    assert fit.p99_us == 1_000


@pytest.mark.parametrize("arrivals", [[], [0], [0, 5]])
def test_too_few_arrivals_are_no_measurement(arrivals):
    with pytest.raises(ValueError, match="too few"):
        pacing.fit_grid(np.array(arrivals, dtype=np.int64), 1_000)


def test_what_the_server_saw_is_read_of_the_log_that_the_oracle_writes():
    rows = np.zeros(100, dtype=truth.ROW)
    rows["arrival"] = np.arange(100) * 1_000_000
    rows["departed"] = rows["arrival"] + np.arange(1, 101) * 1_000_000
    rows["departed"][-1] = -1
    assert truth._seen_p99_ms(rows) == 99


def test_the_truth_of_the_stall_is_what_arithmetic_says():
    # 22 of 2,200 are above p99. The first after the stall began was due 5 ms after it, and waits 995 ms; that which the
    # stall caught under way waits a full second. So the 23rd longest is the one due 0.1 s later.
    assert truth.true_p99_ms() == pytest.approx(900, abs=10)


def test_every_tool_is_told_the_load_that_is_measured(tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"x" * 100)
    peer = Installed("any", Path("/peer"), "1", {"JMETER_JAVA": "/java"})
    for tool in TOOLS:
        for rate_per_s in (None, 6_400) if tool.has_rate else (None,):
            command = tool.command(peer, Call("http://127.0.0.1:8080/p", 64, 3, body, rate_per_s))
            told = " ".join(map(str, (*command.words, *command.environ.values())))
            assert "8080" in told, tool.name
            assert "64" in told, tool.name
            shares = ("6400", "384000", "-q 100")  # of all, a minute, and a connection
            assert any(share in told for share in shares) == bool(rate_per_s), (tool.name, told)


def _log(*, first_ms: float, every_ms: float, tokens: int = 11, answers: int = 100) -> np.ndarray:
    """The oracle's log of answers, 50 ms apart."""
    rows = np.zeros(answers, dtype=truth.ROW)
    rows["arrival"] = 10**9 + np.arange(answers) * 50_000_000
    rows["first_content"] = rows["arrival"] + int(first_ms * 1e6)
    rows["last_content"] = rows["first_content"] + int((tokens - 1) * every_ms * 1e6)
    rows["longest_gap"] = int(every_ms * 1e6)
    rows["tokens"] = rows["contents"] = tokens
    return rows


def test_what_is_told_of_tokens_stands_beside_what_the_server_did():
    rows = _log(first_ms=50, every_ms=10)
    looks = np.array([[rows["arrival"][40] - 1.0, 1.0], [rows["arrival"][80] - 1.0, 1.2]])
    told = token_figures.told(token_figures.Figures(0.4, 9.9, 15.0), rows, looks)
    assert told.truth == token_figures.Figures(50.0, 10.0, 10.0)
    assert told.gaps_ms == (50.0, 50.0)
    assert told.cpu_ms == pytest.approx(0.2 * 1000 / 40)
    assert told.requests == 100
    results = _results()
    results.tokens[OURS, "plain"] = told
    results.tokens[OURS, "a role chunk at once"] = told
    page = report._tokens(results)
    assert "| first token, a role chunk at once | 0.40 | 50.00 |" in page
    assert "| CPU ms a request | 5.0 |  |" in page
    assert "| the longest gap, a stall of 500 ms | - | - |" in page
    assert all(name in page for name in ("guidellm", "inference-perf", "vLLM")), "who is not measured is said"


def test_what_aiperf_writes_is_read(tmp_path):
    (tmp_path / "result").mkdir()
    copy(Path(__file__).parent / "bench_outputs" / "aiperf.json", tmp_path / "result" / "profile_export_aiperf.json")
    (tool,) = (tool for tool in token_figures.TOKEN_TOOLS if tool.name == "aiperf")
    found = tool.figures(tmp_path)
    assert found.first_ms == pytest.approx(51.346, abs=0.001)
    assert found.per_token_ms == pytest.approx(9.9985, abs=0.0001)
    assert found.longest_gap_ms == pytest.approx(215.546, abs=0.001)


def test_a_run_that_was_too_short_has_no_cost_a_request():
    rows = _log(first_ms=50, every_ms=10, answers=10)
    assert token_figures.told(token_figures.Figures(None, None, None), rows, np.zeros((0, 2))).cpu_ms is None


def test_a_missed_bar_is_told_from_a_regression():
    held = Bar("cpu", 0.9, 1.0, "x")
    missed = Bar("cpu", 1.1, 1.0, "x")
    assert held.is_held
    assert not missed.is_held
    assert (held.regression, missed.regression) == (None, None)
    assert Bar("cpu", 1.3, 1.0, "x").regression == "cpu: 1.3 x, 30% over its bar (1)"
    # Held by far, until now: still a regression.
    assert Bar("cpu", 0.9, 1.0, "x", figure=0.7).regression == "cpu: 0.9 x, 29% over the committed figure (0.7)"
    assert Bar("cpu", 0.8, 1.0, "x", figure=0.7).regression is None
    assert Bar("below hey", 1.3, 1.0, "x", fails=False).regression is None


def _results() -> Results:
    results = Results(own_error=OwnError(2.4, 6.1, "real-time"), starts_s=[0.3], exits_s=[0.4])
    for name, cpu_us, rate_per_s in ((OURS, 3.5, 90_000.0), (FLOOR, 3.2, 95_000.0), ("wrk", 4.0, 80_000.0)):
        results.costs[name, CONNECTIONS] = [Cost(cpu_us * scale, rate_per_s) for scale in (0.5, 1.0, 1.7)]
    results.costs[OURS, MANY_CONNECTIONS] = [Cost(4.2, 70_000.0)]
    results.costs[FLOOR, MANY_CONNECTIONS] = [Cost(4.0, 70_000.0)]
    results.pacing[OURS, (1_000, False)] = [Pacing(Fit(4.0, 50.0, 1_000.0), 30.0)]
    results.pacing["k6", (5_000, True)] = [Pacing(Fit(900.0, 90_000.0, 3_000.0), None)]
    results.truth[OURS] = [Told(899.0, 5.1, 2_200)]
    results.memory = [Memory(10_000_000, 60.0, 65.0, 170.0, 2.0)]
    results.problems = ["k6: k6 does not send: no route"]
    return results


def test_bars_are_ratios_of_medians_to_what_ran_in_the_same_rounds():
    found = {bar.name: bar for bar in bars_of(_results(), 900.0, {"CPU a request, of wrk's": 0.8})}
    assert found["CPU a request, of wrk's"].value == pytest.approx(3.5 / 4.0)
    assert found["CPU a request, of wrk's"].figure == 0.8
    assert found["CPU a request, of floor's"].limit == 1.15
    assert found["time a request at the highest rate, of wrk's"].value == pytest.approx(8 / 9)
    assert found["time a request at the highest rate, of the floor's"].value == pytest.approx(95 / 90)
    assert found["CPU a request with 4,000 connections, of that with 32"].value == pytest.approx(1.2)
    assert found["CPU a request with 4,000 connections, of the floor's with as many"].value == pytest.approx(1.05)
    assert found["pacing at 1,000/s, idle, p99"].limit == 100
    assert found["memory gained over 10,000,000 requests"].value == 5
    assert found["memory gained until the exit, 10,000,000 records"].value == 110
    assert found["last response to exit, 10,000,000 records"].limit == pytest.approx(2.5)
    assert all(bar.is_held for bar in found.values())
    assert not [name for name in found if "hey" in name]  # which was not measured


def test_figures_are_kept_only_of_ratios_to_the_floor_and_wrk(tmp_path, monkeypatch):
    monkeypatch.setattr(bars, "FIGURES", tmp_path / "figures.json")
    assert bars.committed_figures() == {}
    bars.keep_figures([Bar("a", 0.71234, 1, "x"), Bar("b", 5, 10, "us"), Bar("c", 0.1, 1, "x", fails=False)])
    assert bars.committed_figures() == {"a": 0.712}


def test_the_report_shows_medians_with_ranges_and_what_is_missing():
    results = _results()
    text = report.markdown(
        results,
        bars_of(results, 900.0, {}),
        Machine.now().after(),
        versions={"wrk": "4.1.0"},
        missing={"ab": "apache2-utils is not installed; run sudo apt-get install apache2-utils"},
        rounds=3,
        true_p99_ms=900.0,
    )
    assert "| servemark | 3.50 (1.75 to 5.95) | 0.88 | 90,000 (90,000 to 90,000) |" in text
    assert "3,000 (cannot)" in text
    assert "- ab: apache2-utils is not installed" in text
    assert "- k6: k6 does not send" in text
    assert os.uname().nodename not in text.split()
    assert max(len(line) for line in text.splitlines() if not line.startswith(("|", "-"))) <= 120


def test_what_cannot_be_had_is_left_out_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(peers, "_SYSTEM_FOLDERS", str(tmp_path))
    monkeypatch.setattr(peers, "_GO_FOLDER", str(tmp_path))
    found = find_peers(frozenset({"wrk", "hey", "oha"}), lambda _: None)
    assert not found.installed
    assert "wrk is not installed" in found.missing["wrk"]
    assert "install Go" in found.missing["hey"]
    assert "install Rust" in found.missing["oha"]


def _burn(seconds: float) -> str:
    return f"import time; e = time.process_time() + {seconds}\nwhile time.process_time() < e: pass\n"


def test_processor_time_is_that_of_the_process_and_its_children_dead_or_alive(tmp_path):
    script = f"import subprocess, sys, time\n{_burn(0.1)}subprocess.run([sys.executable, '-c', {_burn(0.2)!r}])\n"
    script += "print('done', flush=True); time.sleep(60)"
    with Process([sys.executable, "-c", script], tmp_path) as process:
        end = time.monotonic() + 60
        while not process.output and time.monotonic() < end:
            time.sleep(0.01)
        assert 0.3 <= process.cpu_s() < 2
    assert process.has_ended


def test_threads_that_only_keep_processors_awake_cost_nothing(tmp_path):
    policy = "os.SCHED_IDLE | os.SCHED_RESET_ON_FORK"
    script = f"import os, time\nos.sched_setscheduler(0, {policy}, os.sched_param(0))\n{_burn(0.5)}"
    script += "print('done', flush=True); time.sleep(60)"
    with Process([sys.executable, "-c", script], tmp_path) as process:
        end = time.monotonic() + 60
        while not process.output and time.monotonic() < end:
            time.sleep(0.01)
        assert process.cpu_s() < 0.1


def test_ending_a_process_ends_what_it_started(tmp_path):
    with Process(["sh", "-c", "sleep 60 & echo $!; wait"], tmp_path) as process:
        while not process.output.endswith("\n"):
            time.sleep(0.01)
        child = int(process.output)
    await_end(child)


def test_hogs_run_while_they_are_wanted():
    def running() -> int:
        listing = subprocess.run(["ps", "-o", "args", "--ppid", str(os.getpid())], capture_output=True, text=True)
        return listing.stdout.count("while :")

    with hogs(2):
        give_up_s = time.monotonic() + 60
        while running() < 2:  # a process is its starter's copy until it becomes the shell
            assert time.monotonic() < give_up_s
            time.sleep(0.05)
        assert running() == 2
    assert running() == 0


def test_the_median_of_two_is_the_lower_one():
    assert (median([3, 1, 2]), median([4, 1]), median([5])) == (2, 1, 5)


def test_servers_that_are_asked_anew_leave_the_lines_of_the_others() -> None:
    known = servers._REPORT.read_text(encoding="utf-8").splitlines()
    kept = [line for kind in KINDS for line in servers._lines_of(kind, known)]
    assert [*servers._HEAD, *kept] == known
    kinds = {kind.name: kind for kind in KINDS}
    lines = [servers._line((name, "latency", "", "5 of 5")) for name in ("vLLM 1.0", "vLLM", "vLLM Next 1.0")]
    assert servers._lines_of(kinds["vLLM"], lines) == lines[:2]
