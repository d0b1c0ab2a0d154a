"""Trials of a real Multi Model Server: on one server, or on one that is started again for each."""

from __future__ import annotations

import pytest

from ..validity import TOO_BUSY
from .conftest import Command

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("words", "fresh"), [(" -t 2 --generators 2", False), (" --fresh-server", True)])
def test_a_server_is_started_again_for_each_trial_where_asked(command: Command, words: str, fresh: bool) -> None:
    run = command.run(f"latency -m noop -l 20 --trials 3{words}")
    assert run.status == 0, run.stderr
    (benchmark,) = run.result["benchmarks"]
    # One that was INVALID is measured once more.
    assert run.stderr.count("starting Multi Model Server") == (len(benchmark["runs"]) if fresh else 1)
    assert len(benchmark["runs"]) >= 3
    trials = benchmark["trials"]
    assert (trials["asked"], trials["fresh_server"]) == (3, fresh)
    between = "restarted" if fresh else "kept running"
    assert f"server {between} between them" in " ".join(run.stdout.split())
    generators = 2 if "--generators" in words else 0
    assert {len(run.get("generators", ())) for run in benchmark["runs"]} == {generators}


def test_two_servers_in_turns(command: Command) -> None:
    answer = command.main("ab", "--blocks", "1", "latency -m noop -l 20", "--", "latency -m noop -l 20 -w 1")
    assert answer.returncode == (3 if "INVALID" in answer.stdout else 0), answer.stderr
    assert answer.stderr.count("starting Multi Model Server") == 4 + answer.stderr.count("since it was INVALID")
    command.assert_nothing_left()
    if answer.stdout.startswith("undecided: no block has a valid trial of both"):
        pytest.skip(TOO_BUSY)
    assert answer.stdout.startswith("undecided: 1 block can show nothing, 7 could")
    assert "setting workers" in answer.stdout
