"""``servemark capacity`` over sockets: a search of a server whose capacity is known, what it writes, and its ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dialect_servers import answering

from servemark.cli import main
from servemark.result import Result, schema_text

from ..validity import failed_checks, skip_where_too_busy

pytestmark = pytest.mark.seconds

#: The worker of the server takes so long: it answers fewer than 50 a second.
_SERVICE_S = 0.02
_QUICK = ["--duration", "1.5", "--warmup", "0.5", "--no-history"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with answering({"GET /": (200, b"OK")}, service_s=_SERVICE_S, in_turn=True) as port:
        yield f"http://127.0.0.1:{port}/"


def _searched(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    status = main(["capacity", "http", *words, "-o", str(folder)], "servemark")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    jsonschema.validate(result, json.loads(schema_text()))
    assert Result.load(folder).benchmarks[0].capacity is not None
    return status, result


def _skip_where_invalid(status: int, result: dict[str, Any]) -> None:
    """Skip where the machine was so busy that probes were INVALID, on which no claim can rest."""
    if status == 3:
        skip_where_too_busy(failed_checks(run["certificate"] for run in result["benchmarks"][0]["runs"]))


@pytest.mark.slow
def test_the_rate_is_found_that_the_server_can_do(url: str, tmp_path: Path, capsys) -> None:
    junit = tmp_path / "verdicts.xml"
    status, result = _searched(
        tmp_path / "out", url, "--slo", "p90<400ms", "--search-budget", "40", "--junit", str(junit), *_QUICK
    )
    captured = capsys.readouterr()
    (benchmark,) = result["benchmarks"]
    capacity = benchmark["capacity"]
    # Whatever else runs here, no more than 50 a second can be answered; at 60 what waits after the two seconds of a
    # probe takes the 400 ms. A search that found more would be wrong.
    met = [probe["load"] for probe in capacity["probes"] if probe["outcome"] == "met"]
    assert [load for load in met if load >= 60] == []
    assert capacity["feasible_max"] == max(met, default=None)
    assert len(benchmark["runs"]) == len(capacity["probes"])
    assert [run["point"]["rate"] for run in benchmark["runs"]] == [probe["load"] for probe in capacity["probes"]]
    assert sum(probe["took_s"] for probe in capacity["probes"]) < 60
    assert captured.out.removeprefix("INVALID ").startswith("capacity ")
    assert "probe 2: rate" in captured.err
    assert 'name="a load that meets p90&lt;400ms"' in junit.read_text(encoding="utf-8")
    _skip_where_invalid(status, result)
    assert status == 0, captured.err
    assert "holds at" in " ".join(captured.out.split())
    assert capacity["infeasible_min"] > capacity["feasible_max"]
    assert capacity["limiting"] == "p90<400ms"


@pytest.mark.slow
def test_a_rate_far_beyond_is_told_early(url: str, tmp_path: Path, capsys) -> None:
    """Here by two generators, of whose backlog together it is told."""
    words = ["--slo", "p90<100ms", "--rate", "150", "--duration", "60", "--warmup", "0.5", "--timeout", "1"]
    words += ["--generators", "2"]
    status, result = _searched(tmp_path / "out", url, *words, "--search-budget", "32", "--no-history")
    assert len(result["benchmarks"][0]["runs"][0]["generators"]) == 2
    first = result["benchmarks"][0]["capacity"]["probes"][0]
    assert first["falls_behind"] is True
    assert first["took_s"] < 20  # of the 30 that were asked for
    _skip_where_invalid(status, result)
    assert first["outcome"] == "undecided"  # once it may have been a stall
    assert "falls behind" in capsys.readouterr().out


@pytest.mark.slow
def test_users_are_searched_by_whole_numbers(url: str, tmp_path: Path, capsys) -> None:
    """By two generators, of which a single user has only one."""
    # Each user waits for all others: six take 120 ms each, seven 140.
    words = ["--by", "threads", "--generators", "2", "--slo", "p90<130ms", "--search-budget", "60", *_QUICK]
    status, result = _searched(tmp_path / "out", url, *words)
    captured = capsys.readouterr()
    capacity = result["benchmarks"][0]["capacity"]
    runs = result["benchmarks"][0]["runs"]
    assert {run["load"]["users"]: len(run.get("generators", [0])) for run in runs} == {
        run["load"]["users"]: min(2, run["load"]["users"]) for run in runs
    }
    assert capacity["rate_per_s"] is None
    assert captured.out.removeprefix("INVALID ").startswith("capacity ")
    _skip_where_invalid(status, result)
    assert status == 0, captured.err
    # However busy this machine is, no more than six are answered in time.
    met = {probe["load"] for probe in capacity["probes"] if probe["outcome"] == "met"}
    assert met <= set(range(1, 7))
    assert capacity["feasible_max"] == capacity["threads"]["value"] == max(met, default=None)


def test_an_objective_that_cannot_be_met_is_said_and_fails(url: str, tmp_path: Path, capsys) -> None:
    status, result = _searched(tmp_path / "out", url, "--slo", "p99<1ms", "--rate", "4", *_QUICK)
    captured = capsys.readouterr()
    _skip_where_invalid(status, result)
    assert status == 1, captured.err
    assert result["benchmarks"][0]["capacity"]["ending"] == "impossible"
    assert captured.out.startswith("capacity 0: p99<1ms fails at ")


def test_an_interrupted_search_answers_as_far_as_it_is_known(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "servemark", "capacity", "http", url, "--slo", "p90<400ms", "-o", str(folder)]
    with subprocess.Popen([*command, *_QUICK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if line.startswith("probe 3"):
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    _skip_where_invalid(process.returncode, result)
    assert process.returncode == 130, err
    jsonschema.validate(result, json.loads(schema_text()))
    assert result["partial"] is True
    capacity = result["benchmarks"][0]["capacity"]
    assert capacity["ending"] == "interrupted"
    assert len(capacity["probes"]) == 2
    assert out.removeprefix("INVALID ").startswith("capacity ")
    assert "interrupted: this is what was known until then" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["latency"], "needs --slo"),
        (["latency", "--slo", "rate>5/s"], "the rate is what is searched"),
        (["latency", "--slo", "p99<<5ms"], "p99 is followed by <"),
        (["latency", "--slo", "p99<5ms", "-l", "5"], "--loops"),
        (["latency", "--slo", "p99<5ms", "-t", "5"], "--threads"),
        (["latency", "--slo", "p99<5ms", "--trials", "2"], "--trials"),
        (["latency", "--slo", "p99<5ms", "--rate", "1..5/10s"], "begins at one --rate"),
        (["latency", "--slo", "p99<5ms", "--by", "threads", "--rate", "5"], "a closed loop has none"),
        (["latency", "--slo", "p99<5ms", "--by", "threads", "--arrival", "poisson"], "--by threads and --arrival"),
        (["latency", "--slo", "p99<5ms", "--by", "threads", "--max-connections", "5"], "threads and --max-connections"),
        (["latency", "--slo", "p99<5ms", "--by", "users"], "invalid choice"),
        (["latency", "--slo", "p99<5ms", "--over", "workers"], "is not KEY=VALUES"),
        (["latency", "--slo", "p99<5ms", "--over", "worker=1"], "did you mean workers?"),
        (["latency", "--slo", "p99<5ms", "--over", "workers=0"], "less than 1"),
        (["latency", "--slo", "p99<5ms", "--over", "workers=1,1"], "twice"),
        (["latency", "--slo", "p99<5ms", "--over", "workers=1", "workers=2"], "given twice"),
        (["http", "http://127.0.0.1:9/", "--slo", "p99<5ms", "--over", "workers=1"], "only a server of ours"),
        (["latency", "--slo", "p99<5ms", "--engine", "jmeter"], "--engine jmeter"),
        (["latency", "--slo", "p99<5ms", "--against", "latest"], "--against"),
        (["batching", "--slo", "p99<5ms"], "several points"),
        (["concurrent_inference", "--slo", "p99<5ms"], "several points"),
        (["--all", "--slo", "p99<5ms"], "one benchmark"),
        (["latency", "--slo", "p99<5ms", "--search-budget", "9"], "less than the 9.5 s of the first probe"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_searched_is_refused(words: list[str], said: str, capsys) -> None:
    assert main(["capacity", *words], "servemark") == 2
    assert said in capsys.readouterr().err


def test_a_run_knows_nothing_of_searches(capsys) -> None:
    assert main(["run", "latency", "--slo", "p99<5ms", "--by", "rate"], "servemark") == 2
    assert "unrecognized arguments: --by" in capsys.readouterr().err


def test_a_condition_on_what_the_server_does_not_do_is_the_first_line(url: str, tmp_path: Path, capsys) -> None:
    status, result = _searched(tmp_path / "out", url, "--slo", "first_event.p90<400ms", *_QUICK)
    out = capsys.readouterr().out
    assert status == 2
    assert re.match("FAILED (INVALID )?http ", out)
    assert "--slo first_event.p90<400ms: no response streamed" in " ".join(out.split())
    assert len(result["benchmarks"][0]["runs"]) == 1
