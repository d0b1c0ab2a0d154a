"""The history: which results it knows, by which names, and what it does with a database that is not as it should be."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from servemark.errors import RecordingError, SetupError, UsageError
from servemark.history import database, migrations
from servemark.history.index import add, baselines, forget, indexed, set_baseline
from servemark.history.measurements import measurements
from servemark.history.naming import checked_name, resolve, resolve_baseline
from servemark.history.place import history_file, is_shared
from servemark.history.trends import series_of
from servemark.result import AskedOptions, ComparedBenchmark, Comparison, Failure, Statistic

from .histories import measured, remembered, write
from .results import MACHINE, OPEN
from .test_reports import ALL_FAILED, INVALID, result


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the history of the test is."""
    monkeypatch.setenv("SERVEMARK_HISTORY", str(tmp_path / "state" / "history.db"))
    return tmp_path / "state" / "history.db"


# --- where it is ---


def test_it_is_in_the_users_state(monkeypatch, tmp_path):
    monkeypatch.delenv("SERVEMARK_HISTORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert history_file() == tmp_path / "servemark" / "history.db"
    monkeypatch.setenv("HOME", "/home/somebody")
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", unusable)
        assert history_file() == Path("/home/somebody/.local/state/servemark/history.db")


def test_without_a_home_it_says_what_to_set(monkeypatch):
    monkeypatch.setenv("SERVEMARK_HISTORY", "~nobody-of-that-name/history.db")
    with pytest.raises(SetupError, match="set SERVEMARK_HISTORY to a file"):
        history_file()


@pytest.mark.parametrize(
    ("mounts", "shared"),
    [
        ("/dev/a / ext4 rw 0 0\n", False),
        ("/dev/a / ext4 rw 0 0\nh:/x {folder} nfs4 rw 0 0\n", True),
        ("h:/x / nfs rw 0 0\n/dev/a {folder} ext4 rw 0 0\n", False),
        ("/dev/a / ext4 rw 0 0\nsshfs {folder} fuse.sshfs rw 0 0\n", True),
        ("/dev/a / ext4 rw 0 0\nh:/x {folder}-not nfs rw 0 0\n", False),
        ("", False),
    ],
)
def test_file_systems_of_several_machines_are_known(tmp_path, mounts, shared):
    folder = tmp_path / "a home"
    folder.mkdir()
    file = tmp_path / "mounts"
    file.write_text(mounts.format(folder=str(folder).replace(" ", "\\040")))
    assert is_shared(folder, file) is shared
    assert is_shared(folder, tmp_path / "none") is False


@pytest.mark.parametrize(("shared", "mode"), [(False, "wal"), (True, "delete")])
def test_a_write_ahead_log_is_for_one_machine_alone(tmp_path, path, monkeypatch, shared, mode):
    monkeypatch.setattr(database, "is_shared", lambda _: shared)
    remembered(tmp_path / "a", measured(1))
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)


# --- what it keeps ---


def test_nothing_is_made_by_looking(path):
    assert indexed() == ()
    assert baselines() == {}
    assert not path.exists()


def test_a_result_is_kept_with_its_figures(tmp_path):
    folder = tmp_path / "a"
    assert add(measured(1), write(folder, measured(1))) == 1
    (known,) = indexed()
    assert (known.number, known.folder, known.partial, known.is_gone) == (1, folder, False, False)
    assert known.started_at == "2026-01-02T12:00:00+00:00"
    assert known.measurements == measurements(measured(1))
    (one,) = known.measurements
    assert (one.benchmark, one.model, one.point) == ("latency", "resnet-18", "")
    assert one.setup == "1 thread; mxnet; 2 workers"
    assert one.machine == "x86_64, 2 CPUs"
    assert one.fingerprint["server"] == "Multi Model Server 1.1.11 managed"
    assert (one.valid, one.partial) == (True, False)
    assert one.rate.value == 48.77
    assert one.p50 == Statistic(20.0, (19.8, 20.2))
    assert one.p99 == Statistic(40.0, (35.0, 50.0))


def test_what_changes_the_figures_is_in_the_setup_and_what_does_not_is_not():
    (plain,) = measurements(measured(1))
    (benchmark,) = measured(1).benchmarks
    (run,) = benchmark.runs

    def setup(**changes) -> str:
        (one,) = measurements(measured(1, benchmarks=(replace(benchmark, **changes),)))
        return one.setup

    assert setup(cold_start_ms=5.0, runs=(replace(run, warmup_s=7.0),)) == plain.setup
    assert setup(runs=(replace(run, load=replace(run.load, users=4)),)).startswith("4 threads; ")
    for rate, told in (("20", "20/s"), ("40,80,120/3s", "40,80,120/3s"), ("40..200/8s", "40..200/8s")):
        asked = AskedOptions(rate=rate, arrival="poisson")
        in_words = setup(runs=(replace(run, load=OPEN),), options=asked)
        assert in_words == plain.setup.replace("1 thread", f"{told} poisson")
    assert setup(options=AskedOptions(inputs=("cat.jpg",), input_sha256="ab" * 32)).endswith("inputs abababab")
    for data, told in (("random", ""), ("given", " abababab")):
        requested = {"call": "infer", "tensors": f"{data} x FP32 [1,4]", "written_as": "binary"}
        made = replace(run, server={**run.server, "requested": requested})
        in_words = setup(runs=(made,), options=AskedOptions(input_sha256="ab" * 32))
        assert in_words.endswith(f"; {data} x FP32 [1,4]{told} as binary")
    assert setup(runs=(replace(run, load=replace(run.load, receive_clock="user")),)).endswith("times of reading")
    jmeter = measured(1)
    (of_jmeter,) = measurements(replace(jmeter, tool=replace(jmeter.tool, engine="jmeter")))
    assert of_jmeter.setup == f"{plain.setup}; jmeter"


def test_each_point_of_several_is_kept_and_nothing_of_what_was_not_measured():
    (benchmark,) = measured(1).benchmarks
    (run,) = benchmark.runs
    points = tuple(
        replace(
            run,
            point={"threads": n},
            load=replace(run.load, users=n),
            certificate=INVALID if n == 4 else run.certificate,
        )
        for n in (1, 4)
    )
    several = replace(benchmark, name="concurrent_inference", steps=(), runs=points)
    failed = replace(benchmark, name="load", steps=(), runs=(), partial=True, failure=Failure("no", 4))
    one, four = measurements(measured(1, benchmarks=(failed, several)))
    assert [(m.entry, m.point, m.valid) for m in (one, four)] == [(1, "threads 1", True), (1, "threads 4", False)]
    assert "thread" not in one.setup
    lacking = replace(benchmark, failure=Failure("--slo first_event.p50<1ms: no response streamed", 2))
    assert not measurements(measured(1, benchmarks=(lacking,)))[0].partial, "it was measured to its end"
    (nothing,) = measurements(result(ALL_FAILED))
    assert nothing.rate.value is nothing.p50.value is None
    assert add(measured(1, benchmarks=(failed,)), Path("x")) is None
    assert indexed() == ()


def test_a_folder_is_one_result_and_numbers_are_never_given_twice(tmp_path):
    remembered(tmp_path / "a", measured(1))
    remembered(tmp_path / "b", measured(2))
    remembered(tmp_path / "a", measured(3, p50_ms=30.0))
    assert [(known.number, known.folder.name, known.measurements[0].p50.value) for known in indexed()] == [
        (2, "b", 20.0),
        (3, "a", 30.0),
    ]
    forget([3])
    remembered(tmp_path / "c", measured(4))
    assert [known.number for known in indexed()] == [2, 4]


def test_a_folder_and_a_model_of_any_name_are_kept_as_they_are(tmp_path):
    name = b"na\xefve".decode("utf-8", "surrogateescape")
    (benchmark,) = measured(1).benchmarks
    strange = measured(1, benchmarks=(replace(benchmark, model=name),))
    (tmp_path / name).mkdir()
    (tmp_path / name / "result.json").write_text("{}")
    add(strange, tmp_path / name)
    (known,) = indexed()
    assert (known.folder, known.is_gone) == (tmp_path / name, False)
    assert known.measurements[0].model == "na\\udcefve"


# --- names ---


def test_a_result_has_many_names(tmp_path, monkeypatch):
    first, second = remembered(tmp_path / "a", measured(1)), remembered(tmp_path / "b", measured(2))
    set_baseline("main", measured(1).id, first)
    assert resolve("latest") == resolve("2") == resolve(measured(2).id) == second
    assert resolve("main") == resolve_baseline("main") == resolve("1") == first
    assert resolve(str(first)) == first
    monkeypatch.chdir(tmp_path)
    assert resolve("a") == Path("a")
    assert indexed()[0].baselines == ("main",)
    set_baseline("main", measured(2).id, second)
    assert resolve("main") == second
    forget(names=["main"])
    with pytest.raises(
        UsageError, match="there is no baseline 'main': there is none yet; servemark history baseline NAME"
    ):
        resolve_baseline("main")


def test_a_folder_goes_before_a_baseline_of_its_name_and_needs_no_history(tmp_path, monkeypatch, path):
    set_baseline("main", measured(1).id, remembered(tmp_path / "a", measured(1)))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "main", measured(2))
    assert resolve("main") == Path("main")
    assert resolve_baseline("main") == tmp_path / "a"
    path.write_bytes(b"something else" * 1000)
    assert resolve("main") == Path("main")
    with pytest.raises(UsageError, match="is damaged"):
        resolve("latest")


def test_a_baseline_whose_folder_is_gone_or_was_written_over_is_none(tmp_path):
    folder = remembered(tmp_path / "a", measured(1))
    set_baseline("main", measured(1).id, folder)
    remembered(folder, measured(2))
    with pytest.raises(UsageError, match="holds another result now: a later run was written over it"):
        resolve("main")
    assert indexed()[0].baselines == ()
    (folder / "result.json").unlink()
    with pytest.raises(UsageError, match="the folder of the baseline main is gone"):
        resolve("main")
    with pytest.raises(UsageError, match="the folder of result 2 is gone"):
        resolve("latest")


def test_what_nothing_is_called_is_said(tmp_path):
    with pytest.raises(
        UsageError, match=r"no folder with a result\.json, and the history is empty; run a benchmark first"
    ):
        resolve("latest")
    remembered(tmp_path / "a", measured(1))
    with pytest.raises(UsageError, match="neither a baseline nor a result of that name; servemark history list"):
        resolve("main")


@pytest.mark.parametrize("name", ["main", "v1.2", "release_2026-01+rc", "a" * 40, "1a"])
def test_a_baseline_can_be_called_so(name):
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "7", "latest", "a/b", ".", "..", "-x", "a b", "a" * 41, "\x1b[31m", "main\n"])
def test_a_baseline_cannot_be_called_so(name):
    with pytest.raises(UsageError, match="cannot be the name of a baseline"):
        checked_name(name)


# --- databases that are not as they should be ---


def pages_of(path: Path) -> bytes:
    """All of a database in one file."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["text", "cut", "pages", "tables"])
def test_a_damaged_database_is_an_error_and_left_as_it_is(tmp_path, path, kind):
    for day in range(40):
        remembered(tmp_path / str(day), measured(day))
    whole = pages_of(path)
    damaged = {
        "text": b"This is no database.\n" * 500,
        "cut": whole[: len(whole) // 2],
        "pages": whole[:8192] + b"\xa5" * 4096 + whole[12288:],
        "tables": whole,
    }[kind]
    path.write_bytes(damaged)
    if kind == "tables":
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE measurements")
        damaged = pages_of(path)
    for act in (indexed, lambda: add(measured(41), tmp_path / "41"), lambda: forget([1])):
        with pytest.raises(
            UsageError, match=r"the history in .* is damaged: .*; move it away, and the next run begins"
        ) as caught:
            act()
        assert caught.value.exit_status == 2
    assert pages_of(path) == damaged if kind == "tables" else path.read_bytes() == damaged


def test_a_newer_servemarks_database_is_an_error_and_left_as_it_is(tmp_path, path):
    remembered(tmp_path / "a", measured(1))
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO migrations VALUES ('what_comes_later')")
    before = pages_of(path)
    for act in (indexed, lambda: add(measured(2), tmp_path / "b")):
        with pytest.raises(
            UsageError, match=r"a newer servemark wrote the history in .*: what_comes_later; use that one"
        ):
            act()
    assert pages_of(path) == before


def test_a_database_of_something_else_is_left_as_it_is(tmp_path, path):
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE moz_places (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is no history of servemark's: it is a database of something else"):
        add(measured(1), tmp_path)
    assert path.read_bytes() == before


def test_where_it_cannot_be_written_that_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for place in ("file/history.db", "folder"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        monkeypatch.setenv("SERVEMARK_HISTORY", str(tmp_path / place))
        with pytest.raises(RecordingError, match=r"cannot read or write the history in .*; have it be a file"):
            add(measured(1), tmp_path)


def test_who_waits_for_another_too_long_says_so_and_changes_nothing(tmp_path, path, monkeypatch):
    remembered(tmp_path / "a", measured(1))
    monkeypatch.setattr(database, "_PATIENCE_S", 0.3)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(RecordingError, match="database is locked; see which process holds it"):
        add(measured(2), tmp_path / "b")
    assert len(indexed()) == 1, "a reader does not wait for a writer"
    holder.execute("ROLLBACK")
    holder.close()
    add(measured(2), tmp_path / "b")
    assert len(indexed()) == 2


def test_an_older_database_gets_what_it_lacks_and_keeps_what_it_has(tmp_path, path, monkeypatch):
    remembered(tmp_path / "a", measured(1))

    def notes(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE results ADD COLUMN note TEXT")

    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TABLE results")
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database, "MIGRATIONS", (*migrations.MIGRATIONS, notes, fails))
    with pytest.raises(RecordingError, match="database or disk is full; free some space"):
        indexed()
    monkeypatch.setattr(database, "MIGRATIONS", (*migrations.MIGRATIONS, notes))
    assert len(indexed()) == 1, "what a migration did that failed is undone"
    with sqlite3.connect(path) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM migrations ORDER BY rowid")]
        assert names == ["results_and_baselines", "notes"]
        assert connection.execute("SELECT note FROM results").fetchall() == [(None,)]


# --- trends ---


def test_a_series_is_of_one_thing_on_one_machine(tmp_path):
    (benchmark,) = measured(0).benchmarks
    (run,) = benchmark.runs
    others = [
        {"benchmarks": (replace(benchmark, name="throughput"),)},
        {"benchmarks": (replace(benchmark, model="squeezenet"),)},
        {"benchmarks": (replace(benchmark, runs=(replace(run, load=replace(run.load, users=2)),)),)},
        {"environment": replace(MACHINE, cpus=64)},
        {"environment": replace(MACHINE, cpu_model="Xeon")},
    ]
    for day, changes in enumerate([{}, *others, {"environment": replace(MACHINE, kernel="7.0", python="3.13")}]):
        remembered(tmp_path / str(day), measured(day, **changes))
    found = series_of(indexed(), "p50")
    assert [len(series.members) for series in found] == [1, 1, 1, 1, 1, 2], "the one of the latest result is last"
    assert len({(one.benchmark, one.model, one.setup, one.machine) for one in found}) == 6


def test_two_that_were_measured_in_turns_are_one_result_and_have_series_of_their_own(tmp_path):
    (benchmark,) = measured(0).benchmarks
    one = ComparedBenchmark("A and B", "no difference", (7, 7), (0, 0), (), by_block=True)
    in_turns = {"benchmarks": (benchmark,) * 2, "comparison": Comparison("A", "B", 0.02, "no difference", (one,))}
    against = replace(in_turns["comparison"], benchmarks=(replace(one, by_block=False),))
    for day, changes in enumerate(({}, in_turns, in_turns, {"comparison": against})):
        remembered(tmp_path / str(day), measured(day, **changes))
    series = series_of(indexed(), "p50")
    found = {one.setup: [member.result.number for member in one.members] for one in series}
    assert [len(one.measurements) for one in indexed()] == [1, 2, 2, 1]
    alone = min(found, key=len)
    assert found == {f"{alone}; in turns as A": [2, 3], f"{alone}; in turns as B": [2, 3], alone: [1, 4]}
    assert resolve("2") == tmp_path / "1"


def test_what_is_invalid_or_partial_or_has_no_figure_is_in_no_series(tmp_path):
    (benchmark,) = measured(0).benchmarks
    for day, changes in enumerate(({"certificate": INVALID}, {"partial": True}, {})):
        remembered(tmp_path / str(day), measured(day, benchmarks=(replace(benchmark, **changes),)))
    remembered(tmp_path / "failed", result(ALL_FAILED))
    (series,) = series_of(indexed(), "rate")
    assert [member.result.number for member in series.members] == [3]


def test_a_change_is_told_with_what_else_changed(tmp_path):
    for day in range(24):
        newer = {"version": "1.1.12", "product": "Multi Model Server", "launcher": "managed"}
        changes = {"server": newer, "environment": replace(MACHINE, kernel="7.0")} if day >= 14 else {}
        noise = (day * 7 % 5 - 2) / 10
        remembered(tmp_path / f"{day:02}", measured(day, p50_ms=(24.0 if day >= 14 else 20.0) + noise, **changes))
    (series,) = series_of(indexed(), "p50")
    (change,) = series.changes
    assert (change.at, change.before, change.after) == (14, pytest.approx(20.0, abs=0.2), pytest.approx(24.0, abs=0.2))
    assert change.share == pytest.approx(0.2, abs=0.02)
    assert change.differs == {"server": ("Multi Model Server 1.1.11 managed", "Multi Model Server 1.1.12 managed")}, (
        "an unknown kernel is none"
    )
    assert series_of(indexed(), "rate")[0].changes == ()


def test_a_history_in_a_folder_that_may_not_be_written_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVEMARK_HISTORY", str(tmp_path / "kept #1" / "history.db"))
    (tmp_path / "kept #1").mkdir()
    remembered(tmp_path / "a", measured(1))
    (tmp_path / "kept #1").chmod(0o500)
    # Root may write all the same: what the system says to others has to be said here.
    monkeypatch.setattr("servemark.history.database.os.access", lambda path, mode: False)
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "kept #1").iterdir()}
    assert [known.folder for known in indexed()] == [tmp_path / "a"]
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "kept #1").iterdir()} == before
    (tmp_path / "kept #1").chmod(0o700)
