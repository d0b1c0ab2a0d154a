"""Whatever happens, at whatever moment: one line that says so, the right status, what was measured saved, nothing left.

``Command.run`` and ``Started.end`` check after every run that no process, no instance and no half-written file is left.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import time

import pytest

from servemark import open_records
from servemark.servers.ports import free_port_pair

pytestmark = pytest.mark.slow

LONG = "latency -m noop -w 2 --duration 60 --warmup 0"


#: Every signal does what Ctrl-C does (tests/unit/test_interrupts.py), so each moment has another one here; a terminal
#: that is closed and a quit while it measures are in tests/integration/test_signals.py.
def test_interrupting_the_set_up_leaves_a_cache_that_the_next_start_builds_again(command, tmp_path):
    command.cache = tmp_path / "empty-cache"
    with command.started("latency -m noop -l 1") as started:
        started.wait_for_line("installing Multi Model Server")
        started.wait_for("the installer", lambda: len(command.processes()) > 1)
        started.interrupt(signal.SIGHUP)
        run = started.end(timeout_s=60)
    assert run.status == 130
    assert "interrupted" in run.stderr.splitlines()[-1]
    environments = list((command.cache / "environments").iterdir())
    assert [path.name for path in environments if path.is_dir()] == []
    assert run.result is None, "nothing was measured"


@pytest.mark.parametrize(
    ("moment", "number"), [("starting Multi Model Server", signal.SIGQUIT), ("loading noop", signal.SIGINT)]
)
def test_interrupting_the_start_stops_the_server(command, moment, number):
    with command.started("latency -m noop -l 1") as started:
        started.wait_for_line(moment)
        started.wait_for("the server", lambda: started.server_processes("multi-model-server"))
        started.interrupt(number)
        run = started.end(timeout_s=60)
    assert run.status == 130
    assert run.result is None, "nothing was measured"


def assert_what_there_is_was_saved(run):
    assert run.status == 130
    assert run.result["partial"] is True
    assert run.benchmark["partial"] is True
    assert run.step["succeeded"] > 0
    assert run.step["requests"] == open_records(run.records).rows
    assert (run.folder / "server" / "mms_log.log").exists()


def test_interrupting_the_measurement_three_times_saves_what_there_is(command):
    with command.started(LONG) as started:
        started.wait_until_measuring()
        for _ in range(3):
            started.interrupt()
            time.sleep(0.1)
        run = started.end(timeout_s=60)
    assert_what_there_is_was_saved(run)
    assert run.stdout.removeprefix("PARTIAL ").removeprefix("INVALID ").startswith("latency noop-v1.0: p50 ")
    assert run.stdout.startswith("PARTIAL ")


def test_terminating_the_measurement_does_too_and_its_json_is_that_partial_result(command):
    with command.started(f"{LONG} --json -") as started:
        started.wait_until_measuring()
        started.interrupt(signal.SIGTERM)
        run = started.end(timeout_s=60)
    assert_what_there_is_was_saved(run)
    assert json.loads(run.stdout) == run.result


def test_what_a_killed_servemark_leaves_is_a_partial_result_and_cleaned_by_the_next_run(command):
    with command.started(f"{LONG} -o here") as started:
        started.wait_until_measuring()
        (left,) = command.instances()
        started.process.kill()
        started.process.wait()
        assert command.processes(), "the server should have survived its servemark"
        result = json.loads((command.cwd / "here" / "result.json").read_text())
        assert result["partial"] is True
        run = command.run("latency -m noop -w 1 -l 2 -o next")
    assert f"cleaned up the server {left}" in run.stderr
    assert run.status == 0
    assert run.step["succeeded"] == 2


def test_a_server_that_is_killed_meanwhile_ends_the_run(command):
    with command.started(LONG) as started:
        started.wait_until_measuring()
        (java,) = started.server_processes("com.amazonaws.ml.mms.ModelServer")
        java.kill()
        run = started.end(timeout_s=60)
    assert run.status == 4
    assert "the server died while it was in use" in run.error_line
    assert run.result["partial"] is True
    assert run.result["error"] in run.error_line
    assert run.step["succeeded"] > 0
    assert run.step["requests"] == open_records(run.records).rows
    assert (run.folder / "server" / "mms_log.log").exists()
    below = run.stderr[run.stderr.index(run.error_line) + len(run.error_line) :].strip()
    assert below, "the end of the server's log is shown below the line"


def test_a_worker_that_is_killed_meanwhile_ends_the_run(command):
    with command.started(LONG) as started:
        started.wait_until_measuring()
        # A worker is a process that waits and its child that works.
        worker = next(w for w in started.server_processes("model_service_worker") if not w.children())
        worker.kill()
        run = started.end(timeout_s=60)
    assert run.status == 4
    assert "worker" in run.error_line
    assert "noop-v1.0" in run.error_line
    assert run.result["partial"] is True
    assert run.step["succeeded"] > 0


def test_a_worker_that_is_killed_meanwhile_is_told_with_when_where_the_run_may_go_on(command):
    with command.started(
        "latency -m noop -w 2 --duration 6 --think 0.005 --warmup 0 --go-on-errors --max-errors 100%"
    ) as started:
        started.wait_until_measuring()
        worker = next(w for w in started.server_processes("model_service_worker") if not w.children())
        worker.kill()
        run = started.end(timeout_s=60)
    (incident,) = run.benchmark["runs"][0]["incidents"]
    assert re.fullmatch(r"worker \d of noop-v1\.0 was started again", incident["what"])
    assert 0 < incident["at_s"] < 6
    assert incident["what"] in " ".join(run.stdout.split())
    assert incident["what"] in (run.folder / "report.html").read_text(encoding="utf-8")


def small_files(limit_bytes: int):
    """What makes a process, and whatever it starts, fail to write more than that into any one file."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))


def test_a_disk_that_gets_full_while_recording_ends_the_run(command):
    run = command.run(LONG, preexec_fn=small_files(400_000))
    assert run.status == 4
    assert "cannot write records" in run.error_line
    assert "latency.bin" in run.error_line
    assert "-o" in run.error_line
    rows = open_records(next(run.folder.rglob("*.bin"))).rows
    assert rows > 1000
    assert run.result["partial"] is True
    assert "cannot write records" in run.result["error"]


def test_a_cache_that_cannot_be_written_is_one_line(command, tmp_path):
    (tmp_path / "a-file").write_text("")
    command.cache = tmp_path / "a-file" / "cache"
    run = command.run("latency -m noop -l 1")
    assert run.status == 4
    assert "a-file" in run.error_line
    assert "SERVEMARK_CACHE" in run.error_line


def test_two_runs_at_once_each_have_a_server_of_their_own(command):
    with command.started("ping -t 1 --duration 2 --think 0.01 --warmup 0 -o first") as first:
        with command.started("ping -t 1 --duration 2 --think 0.01 --warmup 0 -o second") as second:
            second.process.wait(timeout=60)
            first.process.wait(timeout=60)
        one, other = first.end(), second.end()
    assert one.status == 0, one.stderr
    assert other.status == 0, other.stderr
    assert one.result["server"]["url"] != other.result["server"]["url"]


def test_no_network_at_the_first_set_up_is_one_line_with_the_next_step(command, tmp_path):
    command.cache = tmp_path / "empty-cache"
    closed = f"http://127.0.0.1:{free_port_pair()[0]}"
    command.environ |= {
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), closed),
        **dict.fromkeys(("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"), f"{closed}/simple"),
        "PIP_CONFIG_FILE": os.devnull,
        "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "1",
        "UV_HTTP_RETRIES": "0",
        "NO_PROXY": "",
        "no_proxy": "",
    }
    run = command.run("latency -m noop -l 1")
    assert run.status == 4
    assert "could not be downloaded" in run.error_line
    assert "network" in run.error_line
    environments = list((command.cache / "environments").iterdir())
    assert [path.name for path in environments if path.is_dir()] == []
