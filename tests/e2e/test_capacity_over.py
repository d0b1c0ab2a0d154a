"""``servemark capacity --over`` on a real server: each configuration has one of its own, and one is recommended."""

from __future__ import annotations

import pytest

from servemark.result import Result

from ..validity import failed_checks, skip_where_too_busy

pytestmark = pytest.mark.slow


def test_each_configuration_is_searched_on_a_server_of_its_own_and_one_is_recommended(command):
    line = "latency -m noop --slo p90<2s --by threads --over workers=1,2 --search-budget 8 --duration 1 --warmup 0.3"
    with command.started(f"{line} -o out --no-history", subcommand="capacity") as started:
        run = started.end()
    assert run.status == 0, run.stderr
    benchmark = run.benchmark
    found = benchmark["capacity_over"]
    assert [one["configuration"] for one in found] == [{"workers": 1}, {"workers": 2}]
    assert benchmark["capacity"] in found
    for one in found:
        runs = [benchmark["runs"][probe["run"]] for probe in one["probes"]]
        assert {run["server"]["read_back"]["workers"] for run in runs} == {one["configuration"]["workers"]}
    assert len(Result.load(run.folder).benchmarks[0].capacities) == 2
    assert "The probes of the search" in (run.folder / "report.html").read_text(encoding="utf-8")
    skip_where_too_busy(failed_checks([benchmark["certificate"]]))
    for one in found:
        assert one["feasible_max"] >= 1
        assert 0 < one["workers_busy_share"] <= 1
    assert f"recommended    workers {benchmark['capacity']['configuration']['workers']}" in run.stdout
