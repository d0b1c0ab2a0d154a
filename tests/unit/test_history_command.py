"""``servemark history``: what it prints, what it forgets, and what it never removes."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from servemark.cli import main
from servemark.cli.history import COMMANDS, history_parser
from servemark.history.index import indexed
from servemark.report.directory import ResultDirectory
from servemark.report.sparkline import BLOCKS, PLAIN, marks, sparkline
from servemark.result import AskedOptions, Estimate, Result
from servemark.terminals import takes_letters

from .histories import measured, remembered, write
from .test_capacity_words import FOUND
from .test_reports import INVALID, STARTED


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test is, with a history of its own."""
    monkeypatch.setenv("SERVEMARK_HISTORY", str(tmp_path / "history.db"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def history(capsys, *words: str, status: int = 0) -> str:
    assert main(["history", *words]) == status
    told = capsys.readouterr()
    return told.err if status else told.out


def numbers() -> list[int]:
    return [known.number for known in indexed()]


def series(folder: Path, days: int = 24, change: int = 14) -> None:
    for day in range(days):
        noise = (day * 7 % 5 - 2) / 10
        remembered(folder / f"{day:02}", measured(day, p50_ms=(24.0 if day >= change else 20.0) + noise))


# --- nothing in it ---


def test_an_empty_history_is_said_and_is_no_error_to_list(capsys, folder):
    assert (
        history(capsys) == history(capsys, "list") == "the history is empty: the next run that finishes is its first\n"
    )
    assert json.loads(history(capsys, "list", "--json"))["results"] == []
    assert history(capsys, "baseline") == "there is no baseline\n"
    assert history(capsys, "prune", "--gone") == "forgot 0 of 0 results\n"
    assert "the history is empty; run a benchmark" in history(capsys, "trend", status=2)
    assert "the history is empty; run a benchmark first" in history(capsys, "show", status=2)
    assert "the history is empty; run a benchmark first" in history(capsys, "baseline", "main", status=2)
    assert not (folder / "history.db").exists()


# --- list ---


def test_the_list_has_a_line_a_benchmark_the_last_result_last(capsys, folder):
    (benchmark,) = measured(0).benchmarks
    remembered(folder / "a", measured(0))
    http = replace(benchmark, name="http", model=None, options=AskedOptions(url="http://h:80/x", method="GET"))
    remembered(folder / "b", measured(1, benchmarks=(http, replace(benchmark, certificate=INVALID)), partial=True))
    remembered(folder / "c", measured(2))
    history(capsys, "baseline", "main", "1")
    shutil.rmtree(folder / "c")
    assert history(capsys).splitlines() == [
        "   date        benchmark             rate      p50      p99",
        "1  2026-01-01  latency resnet-18  48.77/s  20.0 ms  40.0 ms  main",
        "2  2026-01-02  http h:80/x        48.77/s  20.0 ms  40.0 ms",
        "               latency resnet-18  48.77/s  20.0 ms  40.0 ms  INVALID",
        "3  2026-01-03  latency resnet-18  48.77/s  20.0 ms  40.0 ms  gone",
    ]


def test_where_there_is_little_room_the_list_leaves_the_middle_of_long_names_out(capsys, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (benchmark,) = measured(0).benchmarks
    named = replace(benchmark, model="the-classifier-of-birds-and-bees-v17")
    remembered(folder / "a", measured(0))
    remembered(folder / "b", measured(1, benchmarks=(replace(named, certificate=INVALID),)))
    history(capsys, "baseline", "before-the-upgrade", "2")
    assert history(capsys).splitlines() == [
        "  date       benchmark                rate     p50     p99",
        "1 2026-01-01 latency resnet-18     48.77/s 20.0 ms 40.0 ms",
        "2 2026-01-02 latency  ... bees-v17 48.77/s 20.0 ms 40.0 ms INVALID, ... -upgrade",
    ]


def test_of_several_points_the_list_shows_the_one_with_the_highest_rate(capsys, folder):
    (benchmark,) = measured(0).benchmarks
    (run,) = benchmark.runs
    (faster,) = measured(0, rate_per_s=99.0).benchmarks[0].steps
    runs = (replace(run, point={"threads": 1}), replace(run, point={"threads": 4}, steps=(faster,)))
    remembered(folder / "a", measured(0, benchmarks=(replace(benchmark, name="batching", steps=(), runs=runs),)))
    assert history(capsys).splitlines()[1].endswith("99.00/s  20.0 ms  40.0 ms  best of 2")


def test_the_list_can_be_narrowed(capsys, folder):
    (benchmark,) = measured(0).benchmarks
    for day in range(25):
        name = "throughput" if day % 5 else "latency"
        remembered(folder / str(day), measured(day, benchmarks=(replace(benchmark, name=name),)))

    def listed(*words: str) -> list[int]:
        return [one["number"] for one in json.loads(history(capsys, "list", "--json", *words))["results"]]

    assert listed() == list(range(6, 26))
    assert listed("--limit", "2") == [24, 25]
    assert listed("--benchmark", "latency") == [1, 6, 11, 16, 21]
    assert listed("-m", "resnet") == listed("-m", "resnet-18") == listed()
    assert listed("-m", "noop") == []
    assert "20 of 25 results; --limit 25 shows all" in history(capsys)
    assert history(capsys, "list", "-m", "noop") == "the history has nothing of these\n"
    assert "unknown benchmark 'latencies'; did you mean latency?" in history(
        capsys, "list", "--benchmark", "latencies", status=2
    )


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_what_is_printed_fits_and_holds_nobody_elses_escapes(capsys, folder, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    (benchmark,) = measured(0).benchmarks
    for day in range(9):
        odd = replace(benchmark, model="evil\x1b[31m-model", partial=True)
        remembered(folder / str(day), measured(day, benchmarks=(benchmark, odd)))
    for words in (["list"], ["trend"], ["baseline", "main"], ["baseline"]):
        text = history(capsys, *words)
        assert "\x1b" not in text
        assert [line for line in text.splitlines() if len(line) > width and str(folder) not in line] == []


# --- show ---


def test_show_prints_a_result_by_any_of_its_names(capsys, folder):
    remembered(folder / "a", measured(1))
    remembered(folder / "b", measured(2, p50_ms=30.0))
    history(capsys, "baseline", "main", "1")
    for words, p50 in ((["a"], "20.0"), (["main"], "20.0"), (["1"], "20.0"), (["latest"], "30.0"), ([], "30.0")):
        assert history(capsys, "show", *words).startswith(f"latency resnet-18: p50 {p50} ms"), words
    assert json.loads(history(capsys, "show", "1", "--json"))["id"] == measured(1).id
    assert "there is no result 'nothing'" in history(capsys, "show", "nothing", status=2)


def test_show_says_of_a_result_that_is_gone_what_is_left_of_it(capsys, folder):
    remembered(folder / "a", measured(1))
    shutil.rmtree(folder / "a")
    text = history(capsys, "show", "1")
    assert "1  2026-01-02  latency resnet-18  48.77/s  20.0 ms  40.0 ms  gone" in text
    assert f"gone {folder / 'a'}: all that is left of it is this" in " ".join(text.split())
    (one,) = json.loads(history(capsys, "show", "1", "--json"))["results"]
    assert (one["gone"], one["measurements"][0]["p50_ms"]["value"]) == (True, 20.0)


def test_show_says_when_another_run_was_written_over_it(capsys, folder):
    remembered(folder / "a", measured(1))
    write(folder / "a", measured(2))
    assert main(["history", "show", "1"]) == 0
    assert "a later run was written over result 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"schema": "servemark/result/99"}', "it is servemark/result/99, which a newer servemark wrote"),
        ('{"schema": "servemark/result/2", "id": "x"}', "it is no whole servemark/result/2"),
        ("{", "it is no JSON (Expecting property name"),
    ],
)
def test_a_result_that_cannot_be_read_is_said(capsys, folder, content, said):
    remembered(folder / "a", measured(1))
    (folder / "a" / "result.json").write_text(content)
    assert f"cannot read the result in {folder / 'a'}: {said}" in history(capsys, "show", "1", status=2)
    assert said in history(capsys, "baseline", "main", "a", status=2)


# --- trend ---


def test_a_trend_is_a_line_with_what_changed_below_it(capsys, folder, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    series(folder)
    lines = history(capsys, "trend").splitlines()
    assert lines[0] == "latency resnet-18: p50 of 24 results, 2026-01-01 to 2026-01-24"
    assert lines[1] == "1 thread; mxnet; 2 workers; x86_64, 2 CPUs"
    assert re.fullmatch(f"[{BLOCKS[:3]}]{{14}}[{BLOCKS[-3:]}]{{10}}", lines[2])
    assert lines[3] == " " * 14 + "^"
    assert lines[4] == "range          19.8 ms to 24.2 ms, last 23.9 ms"
    assert lines[5] == "changed        2026-01-15, with result 15: 20.0 ms to 24.0 ms (+20.0%, slower)"
    assert len(lines) == 6


def test_a_trend_in_ascii_where_the_locale_asks_for_it(capsys, folder, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    series(folder)
    text = history(capsys, "trend")
    assert text.isascii()
    assert re.fullmatch(rf"[{re.escape(PLAIN[:3])}]{{14}}[{re.escape(PLAIN[-3:])}]{{10}}", text.splitlines()[2])


def test_a_trend_without_a_change_or_with_too_few_results_says_so(capsys, folder):
    series(folder, days=12, change=99)
    assert "changes        none\n" in history(capsys, "trend")
    assert "changes        none\n" in history(capsys, "trend", "--statistic", "rate")
    shutil.rmtree(folder / "03")
    assert "gone           the folders of 1 result: servemark history prune --gone" in history(capsys, "trend")
    history(capsys, "prune", "--keep", "7")
    assert "changes        fewer than 8 results tell none\n" in history(capsys, "trend")


def test_a_trend_as_json(capsys, folder):
    series(folder)
    document = json.loads(history(capsys, "trend", "--json", "--statistic", "p99"))
    assert (document["schema"], document["statistic"]) == ("servemark/history/1", "p99")
    (one,) = document["series"]
    assert (one["benchmark"], one["model"], one["point"]) == ("latency", "resnet-18", None)
    assert [result["number"] for result in one["results"]] == list(range(1, 25))
    assert one["results"][0]["p99_ms"]["value"] == pytest.approx(39.6)
    (change,) = one["changes"]
    assert (change["number"], change["verdict"], change["differs"]) == (15, "slower", {})


def test_a_trend_of_nothing_that_is_valid_is_an_error(capsys, folder):
    (benchmark,) = measured(0).benchmarks
    remembered(folder / "a", measured(0, benchmarks=(replace(benchmark, certificate=INVALID),)))
    assert "the history has no valid result of these" in history(capsys, "trend", status=2)


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([], 10, ""),
        ([1, 1, 1], 10, "\u2585" * 3),
        ([0, 7, 0], 10, "\u2581\u2588\u2581"),
        ([0, 0, 7, 7], 2, "\u2581\u2588"),
    ],
)
def test_a_sparkline_is_as_high_as_its_numbers(values, width, line):
    assert sparkline(values, width) == line


def test_marks_stand_below_their_values():
    assert marks([0, 3], 5, 10) == "^  ^"
    assert marks([500, 999], 1000, 10) == "     ^   ^"
    assert len(sparkline(range(1000), 80)) == 80


def test_a_line_from_zero_has_values_look_as_alike_as_they_are():
    assert sparkline([1000, 1010], 2) == BLOCKS[0] + BLOCKS[-1]
    assert sparkline([1000, 1010, 0], 3, from_zero=True) == BLOCKS[-1] * 2 + BLOCKS[0]
    assert sparkline([0, 0], 2, from_zero=True) == BLOCKS[0] * 2


@pytest.mark.parametrize(
    ("environ", "encoding", "taken"),
    [
        ({}, "utf-8", True),
        ({"LANG": "en_US.UTF-8"}, "utf-8", True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8", False),  # what Python makes of LANG=C
        ({"LC_CTYPE": "C.UTF-8"}, "utf-8", True),  # and of no locale at all
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, "utf-8", False),
        ({"LC_ALL": "C.UTF-8", "LANG": "C"}, "utf-8", True),
        ({"LANG": "de_DE.ISO-8859-1"}, "iso-8859-1", False),
        ({}, "ascii", False),
    ],
)
def test_who_sees_blocks(environ, encoding, taken):
    stream = type("Stream", (), {"encoding": encoding})()
    assert takes_letters(BLOCKS, stream, environ) is taken


# --- baseline ---


def test_a_baseline_is_set_moved_listed_and_taken_away(capsys, folder):
    first, second = remembered(folder / "a", measured(1)), write(folder / "b", measured(2))
    assert history(capsys, "baseline", "main") == f"main is the result in {first}\n"
    assert history(capsys, "--baseline", "main", "b") == "main is the result in b\n"
    assert numbers() == [1, 2], "a folder that the history did not have"
    assert history(capsys, "--baseline=other", "1") == f"other is the result in {first}\n"
    shutil.rmtree(second)
    assert history(capsys, "baseline") == f"main  {second}  gone\nother  {first}\n"
    assert history(capsys, "baseline", "main", "--remove") == "main is no baseline any more; the result stays\n"
    assert "there is no baseline 'main'" in history(capsys, "baseline", "main", "--remove", status=2)
    assert "cannot be the name of a baseline" in history(capsys, "baseline", "latest", status=2)


def test_a_baseline_that_is_not_valid_is_said(capsys, folder):
    (benchmark,) = measured(0).benchmarks
    remembered(folder / "a", measured(0, benchmarks=(replace(benchmark, certificate=INVALID),)))
    assert main(["history", "baseline", "main"]) == 0
    assert "servemark: that result is INVALID" in capsys.readouterr().err


# --- prune ---


def test_prune_forgets_rows_and_leaves_folders_and_baselines(capsys, folder):
    series(folder, days=6)
    history(capsys, "baseline", "main", "1")
    assert history(capsys, "prune", "--keep", "2") == (
        "forgot 3 of 6 results; kept 1 that are baselines; their folders stay\n"
    )
    assert numbers() == [1, 5, 6]
    assert all((folder / f"{day:02}" / "result.json").exists() for day in range(6))
    assert history(capsys, "prune", "--older-than", "30000d") == "forgot 0 of 3 results\n"
    assert history(capsys, "prune", "--older-than", "0d") == (
        "forgot 2 of 3 results; kept 1 that are baselines; their folders stay\n"
    )


def test_prune_forgets_what_is_gone_baselines_too(capsys, folder):
    series(folder, days=3)
    history(capsys, "baseline", "main", "2")
    shutil.rmtree(folder / "01")
    assert history(capsys, "prune", "--gone") == (
        "forgot the baseline main: its folder is gone\nforgot 1 of 3 results\n"
    )
    assert numbers() == [1, 3]


def test_prune_removes_folders_only_where_it_is_told_and_names_them(capsys, folder):
    directory = ResultDirectory.create(folder / "00", "latency", STARTED, force=False)
    (directory.path / "records" / "latency.bin").write_bytes(b"records")
    remembered(directory.path, measured(0))
    remembered(folder / "01", measured(1))
    assert history(capsys, "prune", "--keep", "1", "--folders") == "forgot 0 of 2 results\n", "a run writes into it"
    directory.release()
    assert history(capsys, "prune", "--keep", "1", "--folders") == (
        f"removed {folder / '00'}\nforgot 1 of 2 results; their folders were removed\n"
    )
    assert not (folder / "00").exists()
    assert (folder / "01" / "result.json").exists()


def test_prune_never_removes_what_no_run_wrote(capsys, folder):
    for name in ("mine", "over", "link", "bad"):
        remembered(folder / name, measured(0))
    (folder / "mine" / "thesis.tex").write_text("years of work")
    write(folder / "over", measured(5))
    (folder / "bad" / "result.json").write_text("{")
    shutil.move(folder / "link", folder / "real")
    (folder / "link").symlink_to(folder / "real")
    assert main(["history", "prune", "--keep", "0", "--folders"]) == 0
    told = capsys.readouterr()
    assert told.out == "forgot 0 of 4 results\n"
    assert f"servemark: {folder / 'mine'} is left as it is: it holds thesis.tex, which no run wrote" in told.err
    assert f"servemark: {folder / 'over'} is left as it is: it holds another result" in told.err
    assert f"servemark: {folder / 'link'} is left as it is: it is a link" in told.err
    assert f"servemark: {folder / 'bad'} is left as it is: its result.json cannot be read" in told.err
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["bad", "link", "mine", "over", "real"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prune"], "one of the arguments --keep --older-than --gone is required"),
        (["prune", "--keep", "1", "--gone"], "not allowed with argument"),
        (["prune", "--gone", "--folders"], "--gone and --folders do not go together"),
        (["prune", "--older-than", "90"], "'90' is no age such as 90d or 12w"),
        (["prune", "--keep", "-1"], "-1"),
        (["lst"], "unknown command 'lst' of history; did you mean list?"),
        (["trend", "--statistic", "p90"], "invalid choice: 'p90'"),
        (["list", "--limit", "0"], "0 is less than 1"),
    ],
)
def test_usage_errors(capsys, words, said):
    assert said in history(capsys, *words, status=2)


def test_help_fits_80_columns(capsys):
    for words in (["-h"], *([name, "-h"] for name in COMMANDS)):
        if words == ["-h"]:
            assert main(["history", *words]) == 0
        else:
            with pytest.raises(SystemExit):
                main(["history", *words])
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= 80
    assert history_parser("list", "x").prog == "x"


def test_a_damaged_history_is_an_error_of_every_command(capsys, folder):
    (folder / "history.db").write_text("This is no database." * 100)
    for words in (["list"], ["show"], ["trend"], ["baseline"], ["prune", "--gone"]):
        assert "is damaged: file is not a database; move it away" in history(capsys, *words, status=2)
    assert (folder / "history.db").read_text() == "This is no database." * 100


def test_searches_are_listed_with_their_capacity_and_have_a_trend_of_their_own(capsys, folder):
    for day, found in enumerate((173.0, 175.0)):
        what = measured(day)
        (benchmark,) = what.benchmarks
        (run,) = benchmark.runs
        # No two searches have the same probes.
        runs = (replace(run, point={"rate": 168.0 + day}),)
        capacity = replace(FOUND, feasible_max=168.0, rate_per_s=Estimate(found, (168.0, 178.0)))
        remembered(folder / str(day), replace(what, benchmarks=(replace(benchmark, runs=runs, capacity=capacity),)))
    listed = " ".join(history(capsys, "list").split())
    assert "latency resnet-18 173.0/s - - capacity 2 2026-01-02 latency resnet-18 175.0/s - - capacity" in listed
    trend = history(capsys, "trend", "--statistic", "rate")
    assert trend.startswith(
        "latency resnet-18: rate of 2 results, 2026-01-01 to 2026-01-02\ncapacity by rate, p99<30ms;"
    )
    assert "nothing to tell a trend of" in history(capsys, "trend", status=2)


def _by_threads(day: int, threads: float, rate_per_s: float) -> Result:
    what = measured(day, rate_per_s=rate_per_s)
    (benchmark,) = what.benchmarks
    capacity = replace(FOUND, by="threads", feasible_max=168.0, rate_per_s=None, threads=Estimate(threads, None))
    return replace(what, benchmarks=(replace(benchmark, capacity=capacity),))


def test_searches_by_threads_are_listed_with_their_answer_which_is_told_where_their_rate_changed(capsys, folder):
    for day in range(20):
        remembered(folder / f"{day:02}", _by_threads(day, *((64, 1320) if day < 10 else (32, 700 + day % 3))))
    listed = history(capsys, "list")
    assert listed.count("capacity 64 threads") == 10
    assert listed.count("capacity 32 threads") == 10
    trend = " ".join(history(capsys, "trend", "--statistic", "rate").split())
    assert "with it: capacity 64 threads to 32 threads" in trend


@pytest.mark.parametrize(("by", "percent"), [("rate", 90), ("threads", 95)])
def test_the_page_of_searches_says_of_how_much_their_intervals_are(capsys, folder, by, percent):
    what = _by_threads(0, 64, 1320)
    (benchmark,) = what.benchmarks
    found = benchmark.capacity if by == "threads" else FOUND
    remembered(folder / "0", replace(what, benchmarks=(replace(benchmark, capacity=found),)))
    history(capsys, "trend", "--statistic", "rate", "--html", str(folder / "page.html"))
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert f"{percent}% interval" in page
    assert f"with its interval of {percent}%;" in page
    assert f"{185 - percent}% interval" not in page


def test_a_search_that_found_nothing_is_listed_too_and_is_of_no_trend(capsys, folder):
    what = measured(0)
    (benchmark,) = what.benchmarks
    nothing = replace(FOUND, rate_per_s=None, feasible_max=None)
    remembered(folder / "0", replace(what, benchmarks=(replace(benchmark, capacity=nothing),)))
    assert "2026-01-01 latency resnet-18 - - - capacity" in " ".join(history(capsys, "list").split())
    assert "nothing to tell a trend of" in history(capsys, "trend", "--statistic", "rate", status=2)
