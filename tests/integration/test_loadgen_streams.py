"""Server-sent events over real sockets: what a record tells of a stream, and what lies beside the records."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loadgen_servers import (
    MS,
    OK,
    Ran,
    Serve,
    answering,
    chunk,
    finish,
    hang_up,
    in_time,
    plan_for,
    read_request,
    reset,
    run_plan,
    saying,
    serving,
    streaming,
)
from loadgen_servers import (
    STREAM_CHUNKED as CHUNKED,
)
from loadgen_servers import (
    STREAM_HEAD as HEAD,
)
from loadgen_servers import (
    STREAM_UNTIL_CLOSE as UNTIL_CLOSE,
)

from servemark import _loadgen
from servemark.event_files import events_path
from servemark.records import open_events


def test_a_record_tells_first_event_last_event_and_how_many(tmp_path: Path) -> None:
    with serving(streaming(5, 0.03, first_s=0.05)) as server:
        ran = run_plan(plan_for(server.port, users=3, loops=2), tmp_path / "r")
    rows = ran.rows
    assert set(ran.kinds) == {"ok"}
    assert all(ran.flagged("streamed"))
    assert rows["events"].tolist() == [5] * 6
    # The server slept for so long at least; what a busy machine adds has no bound.
    assert (rows["first_event"] - rows["sent"] >= 50 * MS).all()
    assert (rows["last_event"] - rows["sent"] >= (50 + 4 * 30) * MS).all()
    assert (rows["first_byte"] <= rows["first_event"]).all()
    assert (rows["last_event"] <= rows["end"]).all()
    assert len(np.unique(rows["connection"])) == 3
    (gaps,) = ran.outcome.event_gaps
    found = _loadgen.histogram_statistics([gaps.histogram], [0.5, 1.0])
    assert gaps.step == 0
    assert found.count == 6 * 4
    total_ns = (rows["last_event"] - rows["first_event"]).sum()
    assert found.mean * found.count == pytest.approx(total_ns, rel=2e-3)
    assert found.quantiles[1] == found.max


def test_other_responses_have_no_events(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        plan = replace(plan_for(server.port, loops=3), record_events=True)
        ran = run_plan(plan, tmp_path / "r.bin")
    assert ran.rows["events"].tolist() == [0, 0, 0]
    assert ran.rows["first_event"].tolist() == ran.rows["last_event"].tolist() == [-1, -1, -1]
    assert not any(ran.flagged("streamed"))
    assert ran.outcome.event_gaps == []
    assert len(open_events(events_path(tmp_path / "r.bin"))) == 0


def test_events_of_one_read_share_its_time(tmp_path: Path) -> None:
    body = b"data: 1\n\ndata: 2\n\ndata: 3\n\n"
    with serving(answering(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)) as server:
        ran = run_plan(plan_for(server.port, loops=10), tmp_path / "r")
    assert ran.rows["events"].tolist() == [3] * 10
    assert (ran.rows["first_event"] == ran.rows["last_event"]).all()
    (gaps,) = ran.outcome.event_gaps
    found = _loadgen.histogram_statistics([gaps.histogram], [])
    assert (found.count, found.max) == (20, 0)


EVENT = chunk(b"data: 1\n\n")
CASES: list[tuple[str, Serve, str, int, bool]] = [
    ("cut off", saying(CHUNKED + EVENT, EVENT, b"9\r\ndata:", then=hang_up), "closed_early", 2, True),
    ("cut off before an event", saying(CHUNKED, then=hang_up), "closed_early", 0, True),
    ("reset", saying(CHUNKED + EVENT, then=reset), "reset", 1, True),
    ("stalled", saying(CHUNKED + EVENT, EVENT), "timeout", 2, True),
    ("broken framing", saying(CHUNKED + EVENT + b"zz\r\n"), "protocol", 1, True),
    ("ended by its close", saying(UNTIL_CLOSE + b"data: 1\n\n", b"data: 2\r\r", then=hang_up), "ok", 2, True),
    ("ended within a block", saying(UNTIL_CLOSE + b"data: 1\n\ndata: 2\n", then=hang_up), "ok", 1, True),
    ("no event at all", saying(UNTIL_CLOSE + b": nothing\n\n", then=hang_up), "ok", 0, True),
    (
        "refused",
        saying(HEAD.replace(b"200 OK", b"503 Busy") + b"Content-Length: 9\r\n\r\ndata: 1\n\n"),
        "http_status",
        0,
        False,
    ),
]


@pytest.mark.parametrize(
    ("serve", "kind", "events", "streamed"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_a_stream_keeps_its_events_however_it_ends(
    tmp_path: Path, serve: Serve, kind: str, events: int, streamed: bool
) -> None:
    def run(timeout_s: float) -> Ran:
        with serving(serve) as server:
            return run_plan(plan_for(server.port, loops=1, timeout_s=timeout_s), tmp_path / "r")

    ran = in_time(run, lambda ran: bool(ran.rows["events"][0] == events), 0.5 if kind == "timeout" else 10.0)
    assert ran.kinds == [kind]
    assert ran.rows["events"].tolist() == [events]
    assert ran.flagged("streamed") == [streamed]
    assert (ran.rows["first_event"] >= 0).tolist() == (ran.rows["last_event"] >= 0).tolist() == [events > 0]


def test_the_time_limit_is_of_the_whole_stream(tmp_path: Path) -> None:
    def run(timeout_s: float) -> Ran:
        with serving(streaming(10_000, 0.02)) as server:
            return run_plan(plan_for(server.port, loops=1, timeout_s=timeout_s), tmp_path / "r")

    ran = in_time(run, lambda ran: bool(ran.rows["events"][0] > 0), 0.3)
    assert ran.kinds == ["timeout"]
    assert ran.rows["events"][0] > 0
    assert ran.rows["end"][0] - ran.rows["ready"][0] >= 300 * MS


def test_a_stop_records_the_events_so_far(tmp_path: Path) -> None:
    def stop_after(within_s: float) -> Ran:
        with serving(streaming(10_000, 0.005)) as server:
            plan = replace(plan_for(server.port, users=2, loops=1, timeout_s=30), record_events=True)
            run = _loadgen.start(plan, str(tmp_path / "r.bin"))
            assert not run.wait(within_s)
            run.stop(0.0)
            return finish(run, tmp_path / "r.bin")

    ran = in_time(stop_after, lambda ran: bool((ran.rows["events"] > 0).all()), 0.3)
    assert ran.kinds == ["cancelled"] * 2
    assert (ran.rows["events"] > 0).all()
    assert len(open_events(events_path(tmp_path / "r.bin"))) == ran.rows["events"].sum()


def test_the_warm_up_has_events_but_no_times_between_them(tmp_path: Path) -> None:
    with serving(streaming(3, 0.005)) as server:
        run = _loadgen.start(plan_for(server.port, duration_s=30, warmup_s=0.2), str(tmp_path / "r"))
        while run.progress().measured_succeeded < 10:
            assert not run.wait(0.01)
        run.stop_at(0)
        ran = finish(run, tmp_path / "r")
    warm = np.array(ran.flagged("warmup"))
    assert warm.any()
    assert not warm.all()
    assert set(ran.rows["events"]) == {3}
    (gaps,) = ran.outcome.event_gaps
    assert _loadgen.histogram_statistics([gaps.histogram], []).count == 2 * (~warm).sum()


def test_steps_and_threads_have_their_own_histograms_added_up(tmp_path: Path) -> None:
    with serving(streaming(4, 0.002)) as server:
        ran = run_plan(plan_for(server.port, users=4, loops=3, steps=2, threads=3), tmp_path / "r")
    assert [gaps.step for gaps in ran.outcome.event_gaps] == [0, 1]
    for gaps in ran.outcome.event_gaps:
        assert _loadgen.histogram_statistics([gaps.histogram], []).count == 4 * 3 * 3


def test_every_event_can_be_recorded(tmp_path: Path) -> None:
    with serving(streaming(7, 0.004)) as server:
        plan = replace(plan_for(server.port, users=3, loops=4, threads=2), record_events=True)
        ran = run_plan(plan, tmp_path / "run.bin")
    assert events_path(tmp_path / "run.bin").name == "run.events.bin"
    events = open_events(events_path(tmp_path / "run.bin"))
    assert len(events) == ran.rows["events"].sum() == 3 * 4 * 7
    for row in ran.rows:
        own = events[events["seq"] == row["seq"]]
        assert own["index"].tolist() == list(range(7))
        assert (np.diff(own["time"]) >= 0).all()
        assert (own["time"][0], own["time"][-1]) == (row["first_event"], row["last_event"])
    by_seq = np.sort(np.array(events), order=["seq", "index"])
    gaps_ns = np.diff(by_seq["time"])[by_seq["index"][1:] > 0]
    (gaps,) = ran.outcome.event_gaps
    found = _loadgen.histogram_statistics([gaps.histogram], [0.5])
    assert found.count == len(gaps_ns)
    assert found.quantiles[0] == pytest.approx(np.sort(gaps_ns)[len(gaps_ns) // 2 - 1], rel=2e-3)


def test_an_event_file_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "run.events.bin").mkdir()
    with pytest.raises(IsADirectoryError):
        _loadgen.start(replace(plan_for(1, loops=1), record_events=True), str(tmp_path / "run.bin"))


def test_what_is_no_histogram_is_refused() -> None:
    with pytest.raises(ValueError, match="not a histogram"):
        _loadgen.histogram_statistics([b"nonsense"], [])


def test_many_small_events_cost_no_memory_and_lose_none(tmp_path: Path) -> None:
    burst = chunk(b"data: x\n\n" * 100)

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(CHUNKED)
        for _ in range(2000):
            connection.sendall(burst)
        connection.sendall(b"0\r\n\r\n")

    with serving(serve) as server:
        plan = replace(plan_for(server.port, users=2, loops=1, timeout_s=20), record_events=True)
        ran = run_plan(plan, tmp_path / "r.bin")
    assert ran.rows["events"].tolist() == [200_000] * 2
    events = open_events(events_path(tmp_path / "r.bin"))
    assert len(events) == 400_000
    for row in ran.rows:
        assert (events["index"][events["seq"] == row["seq"]] == np.arange(200_000)).all()
