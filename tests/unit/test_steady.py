"""``make test-steady``: it counts what failed in each round, and leaves nothing running, whatever ends it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests import steady
from tests.accuracy.hogs import ALWAYS_BUSY

ROOT = Path(__file__).parents[2]
BESIDE = re.compile(r"beside 2 processes busy all the time \((\d+), (\d+)\)")
#: Fails each second time, and at once if it has failed before it began.
FLAKY = """
import pathlib
import pytest

COUNTER = pathlib.Path(__file__).with_name("rounds")

def test_that_is_flaky():
    rounds = int(COUNTER.read_text()) if COUNTER.exists() else 0
    COUNTER.write_text(str(rounds + 1))
    assert rounds % 2 == 0

def test_that_is_not():
    pass

@pytest.fixture
def broken():
    raise OSError

def test_that_has_no_fixture(broken):
    pass
"""

#: Fails unless it was kept from running, for most of a long pause, within five.
PAUSED = """
import time

last_s = time.monotonic()
end_s, longest_s = last_s + 11.25, 0.0
while last_s < end_s:
    now_s = time.monotonic()
    longest_s, last_s = max(longest_s, now_s - last_s), now_s
assert longest_s > 0.2, longest_s
"""


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.steady", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_what_fails_by_luck_is_told_with_how_often_and_the_hogs_end(tmp_path):
    test = tmp_path / "test_flaky.py"
    test.write_text(FLAKY)
    pytest_here = shlex.join([str(Path(sys.executable).with_name("pytest")), "-c", "/dev/null", str(test)])
    with started("--times", "4", pytest_here, "true") as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 1, said
    hogs = BESIDE.search(said)
    assert hogs
    assert not [number for number in hogs.groups() if psutil.pid_exists(int(number))]
    counted = re.findall(r"^ +(\d) of 4  \S*test_flaky\.py::(\w+)$", said, re.MULTILINE)
    assert counted == [("4", "test_that_has_no_fixture"), ("2", "test_that_is_flaky")]
    assert re.search(
        r"^\S*test_flaky\.py::test_that_is_flaky$(\n    .*)*\n    E       assert \(1 % 2\) == 0$", said, re.MULTILINE
    )
    assert "assert rounds % 2 == 0" not in said.rpartition("4 of 4 rounds were run")[2]


@pytest.mark.slow
def test_where_nothing_fails_it_exits_with_0():
    with started("--times", "2", "true") as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert said.splitlines()[-1] == "nothing failed"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_the_hogs_and_what_it_runs_and_tells_what_it_has(number):
    with started("--times", "3", "sleep 600") as process:
        hogs = BESIDE.search(process.stdout.readline())
        assert hogs
        steady_one = psutil.Process(process.pid)
        while not (running := [child for child in steady_one.children() if "sleep" in child.name()]):
            assert process.poll() is None
        process.send_signal(number)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "round 1 of 3: interrupted" in said
    assert "0 of 3 rounds were run" in said
    assert not [number for number in (*hogs.groups(), running[0].pid) if psutil.pid_exists(int(number))]


def test_a_command_that_names_no_test_is_counted_itself(capsys):
    assert steady.failures("sh -c 'echo why; exit 3'") == ["sh -c 'echo why; exit 3' (exit 3)"]
    assert "why" in capsys.readouterr().out


def test_tests_of_cargo_are_counted_by_name():
    printed = "test records::reads ... ok\ntest driver::late ... FAILED\n\nfailures:\n    driver::late\n"
    assert steady.failures(f"sh -c {shlex.quote(f'echo {shlex.quote(printed)}; exit 101')}") == ["driver::late"]


def test_the_table_has_the_most_frequent_first():
    lines = steady.table(Counter({"a": 1, "b": 3}), 10, 10, ALWAYS_BUSY).splitlines()
    assert lines[1:] == ["   3 of 10  b", "   1 of 10  a"]


@pytest.mark.slow
def test_beside_pauses_all_processors_are_taken_at_once(tmp_path):
    if os.geteuid():
        pytest.skip("real-time priority is not permitted here")
    watch = tmp_path / "watch.py"
    watch.write_text(PAUSED)
    with started("--beside", "pauses", "--times", "1", shlex.join([sys.executable, str(watch)])) as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "busy 100 ms of 2250, each fourth time 300 ms, before all others" in said
