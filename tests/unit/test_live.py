"""What people see of a run that is under way: its words, what the newest records say, what is drawn, and its cost."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from servemark import _loadgen
from servemark.report import progress
from servemark.report.live import LiveView
from servemark.report.progress import RunUnderWay
from servemark.report.recent import Lately, Recent, RecordTail, percentile_of
from servemark.report.sparkline import PLAIN
from servemark.units import NS_PER_MS, NS_PER_S
from servemark.workload.load import ADAPTIVE, Arrivals, ClosedLoad, OpenLoad, RateSegment

KIND = {name: number for number, name in enumerate(_loadgen.ERROR_KINDS)}
CLOSED = _loadgen.RECORD_FLAGS["closed_loop"]
LOAD = ClosedLoad(users=4, duration_s=10.0, warmup_s=2.0)
OPEN = OpenLoad(Arrivals(profile=(RateSegment(30.0, 30.0),)), duration_s=10.0)


def counts(elapsed_s: float, succeeded: int = 0, failed: int = 0, scheduled: int = 0, in_flight: int = 0):
    return SimpleNamespace(
        elapsed_ns=int(elapsed_s * NS_PER_S),
        scheduled=scheduled or succeeded + failed,
        succeeded=succeeded,
        failed=failed,
        in_flight=in_flight,
        measured_succeeded=succeeded,
    )


def times(rows: int, took_ms: float = 5.0):
    """Columns of so many records that took as long."""
    scheduled = np.arange(rows, dtype=np.int64) * NS_PER_MS
    sent = scheduled + NS_PER_MS
    return {"scheduled": scheduled, "sent": sent, "end": sent + int(took_ms * NS_PER_MS)}


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (RunUnderWay(counts(1.9, 20), LOAD), "warming up: 1 of 12 s, 20 succeeded"),
        (RunUnderWay(counts(2.0, 20), LOAD), "measuring: 2 of 12 s, 20 succeeded"),
        (
            RunUnderWay(counts(2.0, 20), ClosedLoad(users=1, duration_s=14.30876, warmup_s=2.0)),
            "measuring: 2 of 16.3 s, 20 succeeded",
        ),
        (
            RunUnderWay(counts(20, 200), ClosedLoad(users=1, until=ADAPTIVE, warmup_s=2.0)),
            "measuring: 20 of at most 62 s, 200 succeeded",
        ),
        (
            RunUnderWay(counts(70, 200), ClosedLoad(users=1, until=ADAPTIVE, warmup_s=2.0)),
            "measuring: 70 of at most 602 s, 200 succeeded",
        ),
        (
            RunUnderWay(counts(70, 400, in_flight=3), ClosedLoad(users=5, until=ADAPTIVE, warmup_s=2.0)),
            "awaiting the last answers: 3 left, 8 s beyond the 62 s of load; 400 succeeded",
        ),
        (
            RunUnderWay(counts(10, 90, 10), ClosedLoad(users=4, loops=100), requests=400),
            "measuring: 10 s, about 30 s left, 90 succeeded, 10 failed",
        ),
        (RunUnderWay(counts(1), ClosedLoad(users=4, loops=100), requests=400), "measuring: 1 s, 0 succeeded"),
    ],
    ids=["warm-up", "fixed", "of a search", "adaptive", "slow", "enough", "counted", "none yet"],
)
def test_the_state_says_what_is_done_and_for_how_long_yet(run, words):
    assert progress.state(run) == words


def test_the_rate_is_that_of_the_last_ten_seconds():
    lately = Lately((), "")
    for second in range(31):
        lately.look(counts(second, succeeded=1000 * min(second, 10) + 10 * max(second - 10, 0), scheduled=20 * second))
    assert lately.recent.achieved_per_s == pytest.approx(10.0)
    assert lately.recent.offered_per_s == pytest.approx(20.0)
    assert lately.recent.rates_per_s[:2] == pytest.approx((1000.0, 1000.0))
    assert lately.recent.rates_per_s[-1] == pytest.approx(10.0)
    assert progress.rates(RunUnderWay(counts(30), OPEN), lately.recent) == "10.0/s of 20.0/s offered"
    assert progress.rates(RunUnderWay(counts(30), LOAD), lately.recent) == "10.0/s"


def test_it_is_looked_at_once_a_second_however_often_it_is_shown():
    lately = Lately((), "")
    for tenth in range(31):
        lately.look(counts(tenth / 10, succeeded=tenth))
    assert len(lately.recent.rates_per_s) == 3


def test_the_latencies_are_of_the_headlines_successes(make_records):
    columns = times(1000)
    columns["end"] = columns["sent"] + np.arange(1, 1001) * NS_PER_MS // 100
    file = make_records(1000, steps=("other", "predict"), step=1, flags=CLOSED, **columns)
    tail = RecordTail(file.path, "predict")
    tail.look()
    assert percentile_of(sorted(tail.latencies_ns), 0.5) == pytest.approx(5.0, abs=0.1)
    assert percentile_of(sorted(tail.latencies_ns), 0.99) == pytest.approx(9.9, abs=0.1)
    of_none = RecordTail(file.path, "other")
    of_none.look()
    assert percentile_of(sorted(of_none.latencies_ns), 0.5) is None


def test_in_an_open_loop_they_count_from_the_schedule(make_records):
    tail = RecordTail(make_records(50, **times(50)).path, "predict")
    tail.look()
    assert percentile_of(sorted(tail.latencies_ns), 0.5) == 6.0
    assert percentile_of(sorted(tail.latencies_ns), 0.99) is None, "of 50 responses none is beyond p99"


def test_only_what_is_new_is_read_and_old_latencies_are_forgotten(make_records, tmp_path):
    file = make_records(100, flags=CLOSED, **times(100, 50.0))
    slow = file.path.read_bytes()
    fast = make_records(100, flags=CLOSED, **times(100, 2.0)).path.read_bytes()[file.header_bytes :]
    growing = tmp_path / "growing"
    growing.write_bytes(slow)
    tail = RecordTail(growing, "predict")
    tail.look()
    assert percentile_of(sorted(tail.latencies_ns), 0.5) == 50.0
    for _ in range(10):
        with growing.open("ab") as out:
            out.write(fast)
        tail.look()
    assert percentile_of(sorted(tail.latencies_ns), 0.99) == 2.0


def test_failures_are_counted_by_kind_and_status_and_once(make_records):
    kinds, statuses = np.zeros(1000, dtype=np.uint8), np.full(1000, 200, dtype=np.uint16)
    kinds[:3], kinds[10:15], statuses[10:15], kinds[20], statuses[20] = (
        KIND["timeout"],
        KIND["http_status"],
        503,
        7,
        404,
    )
    file = make_records(1000, kind=kinds, status=statuses, **times(1000))
    tail = RecordTail(file.path, "predict")
    tail.look()
    tail.look()
    assert tail.errors == {"http_status:503": 5, "timeout": 3, "http_status:404": 1}
    run = RunUnderWay(counts(5, 991, 12), LOAD)
    said = progress.failures(run, Recent(errors=tail.errors))
    assert said == "5 http_status:503, 3 timeout, 1 http_status:404, 3 more"
    assert progress.failures(run, Recent()) == "", "the state has the number; of which kinds they are nobody knows yet"


def test_records_that_others_with_wider_rows_have_replaced_are_not_read_for_them(make_records):
    file = make_records(100, flags=CLOSED, **times(100))
    tail = RecordTail(file.path, "predict")
    tail.look()
    wider = file.path.with_suffix(".read")
    wider.write_bytes(file.path.read_bytes() + 100 * 72 * b"\xff")
    wider.replace(file.path)
    tail.look()
    assert tail.errors == {}


@pytest.mark.parametrize("content", [None, b"", b"SERVEMARK-REC\0\0\0"], ids=["missing", "empty", "half a header"])
def test_a_file_that_cannot_be_read_yet_is_no_failure(tmp_path, content):
    path = tmp_path / "records.bin"
    if content is not None:
        path.write_bytes(content)
    lately = Lately((path,), "predict")
    lately.look(counts(1, 10))
    assert (lately.recent.p50_ms, lately.recent.achieved_per_s) == (None, 10.0)


class Terminal(io.StringIO):
    """A terminal that remembers what was written to it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """What is to be seen: understands returns, ends of lines, going up, and the two ways of wiping."""
        lines, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[\d*[A-Za-z]|[^\x1b]", self.getvalue()):
            if part == "\r":
                column = 0
            elif part == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif part.endswith("A") and len(part) > 1:
                row -= int(part[2:-1])
            elif part in {"\x1b[K", "\x1b[J"}:
                lines[row] = lines[row][:column]
                lines = lines[: row + 1] if part == "\x1b[J" else lines
            elif not part.startswith("\x1b"):
                lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + 1 :]
                column += 1
        return lines


@pytest.fixture
def terminal(monkeypatch):
    found = Terminal()
    monkeypatch.setattr("servemark.report.live.sys", SimpleNamespace(stderr=found))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return found


def test_a_terminal_shows_where_it_stands_what_is_done_and_how_it_goes(terminal, make_records):
    file = make_records(900, flags=CLOSED, **times(900))
    view = LiveView()
    view.place(0, "benchmark 3 of 7: throughput-resnet")
    view.place(1, "point 1 of 2: threads 1")
    view.place(0, "benchmark 4 of 7: concurrent_inference-noop")
    view.place(1, "point 3 of 8: threads 4")
    for second in range(1, 4):
        run = RunUnderWay(counts(second, 300 * second), LOAD, "p50 within 3.0%, aim 2.0%", (file.path,), "predict")
        view.show(run)
        view.draw()
    screen = [line.rstrip() for line in terminal.screen()]
    assert screen == [
        "benchmark 4 of 7: concurrent_inference-noop, point 3 of 8: threads 4",
        "measuring: 3 of 12 s, 900 succeeded",
        "rate     300/s  \u2588\u2588\u2588",
        "lately   p50 5.00 ms, p99 5.00 ms",
        "interval p50 within 3.0%, aim 2.0%",
    ]
    view.place(0, "benchmark 5 of 7: ping")
    view.draw()
    assert terminal.screen()[0] == "benchmark 5 of 7: ping", "the points of another benchmark are no more"


def test_what_is_said_stays_above_and_what_was_drawn_goes_away(terminal):
    with LiveView() as view:
        view.say("starting")
        view.show(RunUnderWay(counts(1, 10), LOAD))
        view.draw()
        assert terminal.screen()[:2] == ["starting", "warming up: 1 of 12 s, 10 succeeded"]
        view.say("stopping")
        assert terminal.screen() == ["starting", "stopping", ""]
        view.show(RunUnderWay(counts(2, 10), LOAD))
        view.draw()
    assert terminal.screen() == ["starting", "stopping", ""]


def test_what_goes_on_without_a_word_has_its_time_shown(terminal):
    view = LiveView()
    view.say("building the model resnet")
    view.draw()
    assert terminal.screen() == ["building the model resnet", ""]
    view._began_at_s -= 12
    view.draw()
    assert terminal.screen() == ["building the model resnet", "12 s so far"]
    view.show(RunUnderWay(counts(1), LOAD))
    view._told_at_s -= 30
    view.draw()
    assert terminal.screen()[-1] == "30 s so far", "of a run that nobody tells of any more"


@pytest.mark.parametrize("columns", [20, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(terminal, monkeypatch, columns):
    monkeypatch.setattr("servemark.report.live._width", lambda: columns)
    view = LiveView()
    view.place(0, "benchmark 1 of 2: latency-\u706b\u706b" + "x" * 300)
    for second in range(1, 100):
        view.show(RunUnderWay(counts(second, second**2, in_flight=3), OPEN, "p50 within 3.0%, aim 2.0%"))
        view.draw()
    from rich.cells import cell_len

    assert max(map(cell_len, terminal.screen())) <= columns - 1


def test_no_color_has_it_plain_and_an_ascii_locale_has_no_blocks(terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("LC_ALL", "C")
    view = LiveView()
    for second in range(1, 5):
        view.show(RunUnderWay(counts(second, second**2), LOAD))
        view.draw()
    assert terminal.getvalue().isascii()
    assert not re.search(r"\x1b\[\d*m", terminal.getvalue())
    assert re.search(rf"rate     \S+  [{re.escape(PLAIN)}]{{4}}", terminal.getvalue())


def test_elsewhere_there_is_a_line_every_five_seconds_of_each_run(capsys, monkeypatch):
    view = LiveView()
    for elapsed_s in (4, 5.2, 7, 9.9, 11, 3, 6):
        view.show(RunUnderWay(counts(elapsed_s, int(10 * elapsed_s), 1), LOAD, "p50 within 3.0%, aim 2.0%"))
        view.draw()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"measuring: {second} of 12 s" for second in (5, 11, 6)]
    assert lines[0].endswith("52 succeeded, 1 failed; last 10 s: 10.0/s; p50 within 3.0%, aim 2.0%")


def test_a_view_of_50_000_requests_a_second_costs_less_than_a_hundredth_of_a_core(terminal, make_records, tmp_path):
    """Ten seconds of it, of which every look reads what came in a second; all of the requests of one second fail."""
    per_s, seconds = 50_000, 10
    fine = make_records(per_s, flags=CLOSED, status=200, **times(per_s)).path.read_bytes()
    failed = make_records(per_s, flags=CLOSED, kind=KIND["http_status"], status=503, **times(per_s))
    growing = tmp_path / "growing"
    growing.write_bytes(fine[: failed.header_bytes])
    view, cpu_s = LiveView(), 0.0
    for draw in range(1, 2 * seconds + 1):
        second = draw / 2
        if draw % 2 == 0:
            with growing.open("ab") as out:
                out.write((failed.path.read_bytes() if second == 5 else fine)[failed.header_bytes :])
        before_s = time.thread_time()
        is_over = second >= 5
        view.show(RunUnderWay(counts(second, int(per_s * second), per_s * is_over), LOAD, "", (growing,), "predict"))
        view.draw()
        cpu_s += time.thread_time() - before_s
    assert view._lately.recent.p50_ms == 5.0
    assert view._lately.recent.errors == {"http_status:503": per_s}
    assert cpu_s < 0.01 * seconds


def test_what_draws_loads_nothing_that_takes_long():
    code = "import servemark.report.live, sys; print(sorted({'numpy', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
