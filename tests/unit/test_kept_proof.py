"""A proof of hours: what it has measured is kept, a file a try, and nothing that it started outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bench.kept import Kept, OtherMachineError
from bench.machine import Machine

from ..processes import await_end
from ..web_server import sending, web_server

ROOT = Path(__file__).parents[2]
MACHINE = Machine("a processor", 2, 8, "6.1", "a system", "0.1.0", 0.5, 0.0, 0.0)


def test_a_try_is_made_once_and_known_in_the_next_session(tmp_path):
    first = Kept.opened(tmp_path / "kept", MACHINE)
    assert first.tried("a law, 20 from 0", lambda: ["slower", 1.5]) == ["slower", 1.5]
    second = Kept.opened(tmp_path / "kept", MACHINE)
    assert second.tried("a law, 20 from 0", lambda: pytest.fail("it is known")) == ["slower", 1.5]
    assert second.tried("a law, 20 from 20", lambda: 3) == 3
    assert len(second.commits) == 1
    assert second.known_s > 0
    second.forget_told()
    assert (second.commits, second.known_s) == (set(), 0.0)


def test_of_a_try_that_was_ended_nothing_is_kept(tmp_path):
    kept = Kept.opened(tmp_path, MACHINE)
    with pytest.raises(SystemExit):
        kept.tried("ended", lambda: sys.exit(143))
    assert [file.name for file in tmp_path.iterdir()] == ["machine.json"]
    assert kept.tried("ended", lambda: 2) == 2


def test_tries_of_another_machine_are_not_mixed_with_these(tmp_path):
    Kept.opened(tmp_path, MACHINE)
    with pytest.raises(OtherMachineError, match="another folder"):
        Kept.opened(tmp_path, replace(MACHINE, cpus=4))


def test_without_a_folder_each_try_is_made():
    tries = iter((1, 2))
    kept = Kept()
    assert [kept.tried("it", lambda: next(tries)) for _ in "AB"] == [1, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_proof_that_is_told_to_end_ends_the_command_that_it_runs(tmp_path, number):
    with web_server({"/": sending(b"OK")}) as url:
        code = (
            "from pathlib import Path\nfrom bench.process import end_with_what_was_started, run_servemark\n"
            "end_with_what_was_started()\n"
            f"run_servemark(Path({str(tmp_path)!r}), 'run', 'http', {url + '/'!r}, '--duration', '600',\n"
            f"              '--no-history', '--warmup', '0', '--rate', '5', '-o', {str(tmp_path / 'result')!r})\n"
        )
        proof = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
        try:
            records = tmp_path / "result" / "records" / "http.bin"
            deadline_s = time.monotonic() + 60
            while not records.exists():
                assert time.monotonic() < deadline_s, (tmp_path / "err").read_text(encoding="utf-8")
                time.sleep(0.05)
            (command,) = psutil.Process(proof.pid).children()
            os.kill(proof.pid, number)
            assert proof.wait(60) == 128 + number
        finally:
            proof.kill()
            proof.wait()
        await_end(command.pid)
    assert json.loads((tmp_path / "result" / "result.json").read_text(encoding="utf-8"))["partial"]
