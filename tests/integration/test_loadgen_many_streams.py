"""Thousands of streams at the same time on one generator thread, and what they cost in memory."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
#: Runs a plan of STREAMS users, each with one stream, and prints what came of it and the most memory it had.
GENERATOR = """
    import json, re, sys
    from dataclasses import replace
    from pathlib import Path
    from loadgen_servers import plan_for, run_plan
    from servemark import _loadgen
    from servemark.event_files import events_path
    from servemark.records import open_events

    def memory_kib(what):
        return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

    port, streams, path = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    before_kib = memory_kib("VmRSS")
    plan = plan_for(port, users=streams, loops=1, timeout_s=60, connect_timeout_s=30)
    ran = run_plan(replace(plan, record_events=True), path)
    (gaps,) = ran.outcome.event_gaps
    rows = ran.rows
    print(json.dumps({
        "most_kib": memory_kib("VmHWM"),
        "before_kib": before_kib,
        "kinds": sorted(set(ran.kinds)),
        "streams": len(rows),
        "fewest_events": int(rows["events"].min()),
        "most_events": int(rows["events"].max()),
        "at_once": int((rows["sent"] <= rows["first_event"].min()).sum()),
        "gaps": _loadgen.histogram_statistics([gaps.histogram], []).count,
        "recorded": len(open_events(events_path(path))),
    }))
"""


@contextlib.contextmanager
def stream_server(streams: int, events: int, pause_s: float) -> Iterator[int]:
    """The port of a server in a process of its own."""
    arguments = [str(HERE / "stream_server.py"), str(streams), str(events), str(pause_s)]
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.kill()


def stream(streams: int, events: int, pause_s: float, path: Path) -> dict[str, Any]:
    """What a generator in a process of its own says of `streams` streams."""
    with stream_server(streams, events, pause_s) as port:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(GENERATOR), str(port), str(streams), str(path)],
            cwd=HERE,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["kinds"] == ["ok"]
    assert said["streams"] == said["at_once"] == streams
    assert said["fewest_events"] == said["most_events"] == events
    assert said["gaps"] == streams * (events - 1)
    assert said["recorded"] == streams * events
    return said


def test_a_thousand_streams_at_once_lose_no_event_and_take_little_memory(tmp_path: Path) -> None:
    said = stream(1000, 4, 0.1, tmp_path / "run.bin")
    assert said["most_kib"] - said["before_kib"] < 32 * 1024


@pytest.mark.slow
def test_ten_thousand_streams_at_once_fit_in_a_gibibyte(tmp_path: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < 10_100:
        pytest.skip("fewer than 10,100 open files are allowed")
    said = stream(10_000, 10, 0.2, tmp_path / "run.bin")
    assert said["most_kib"] < 1024 * 1024
    # Some 6 KiB a stream, of which 104 bytes are its record.
    assert said["most_kib"] - said["before_kib"] < 128 * 1024
