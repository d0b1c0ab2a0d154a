"""Words as people type them who come from another tool or are new here, and what was given though it is a default."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from servemark.cli import main
from servemark.cli.called import CALLED_AS, called_as, measuring, with_subcommand
from servemark.cli.options import parse_run
from servemark.workload.inputs import STANDARD_INPUT


def _parse(line):
    return parse_run("servemark run", line.split())


@pytest.mark.parametrize("text", ["0.5", "500ms", "0.5s", ".5s", "500000us", "500000\u00b5s", "500000000ns"])
def test_times_are_seconds_or_have_a_unit(text):
    arguments = parse_run("x", ["latency", *(f"--{name}={text}" for name in ("duration", "warmup", "ramp", "think"))])
    assert {arguments.duration, arguments.warmup, arguments.ramp, arguments.think} == {0.5}


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10), ("1m", 60), ("1min", 60), ("1m30s", 90), ("1h", 3600), ("7", 7)]
)
def test_times_may_be_long(text, seconds):
    assert _parse(f"latency --timeout {text}").timeout == seconds


def test_batch_delays_are_milliseconds_or_have_a_unit():
    assert _parse("batching --options max_batch_delay 10,50").parameters["max_batch_delay"] == (10, 50)
    assert _parse("batching --options max_batch_delay 1s,10ms").parameters["max_batch_delay"] == (10, 1000)


@pytest.mark.parametrize("line", ["http http://h/x", "http://h/x http", "-t 3 http http://h/x", "http -t 3 http://h/x"])
def test_http_takes_its_url_as_a_word(line):
    arguments = _parse(line)
    assert (arguments.benchmark, arguments.url) == ("http", "http://h/x")


def test_an_option_that_is_given_is_another_thing_than_its_default():
    assert _parse("latency --seed 0 --timeout 120 -v -v").given == {"seed", "timeout", "verbose"}
    assert _parse("latency").given == set()


def test_what_may_be_repeated_is_kept_in_its_order(tmp_path):
    paths = [tmp_path / "b", tmp_path / "a"]
    for path in paths:
        path.touch()
    words = ["latency", "-i", str(paths[0]), "--input", str(paths[1]), "-H", "A: 1", "-H", "A: 2"]
    arguments = parse_run("x", words)
    assert (arguments.input, arguments.header) == (paths, ["A: 1", "A: 2"])


def test_standard_input_is_an_input_that_is_not_read_yet(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    assert _parse("latency -i -").input == [STANDARD_INPUT]
    assert _parse("http http://h --body-file - --body-file README.md").body_file == [STANDARD_INPUT, Path("README.md")]


MEANT = [
    ("resnet", "unknown benchmark 'resnet'; a model goes behind -m: servemark run latency -m resnet"),
    ("nothing-like-it", "unknown benchmark 'nothing-like-it'; choose from latency, throughput"),
    ("capacity", "unknown benchmark 'capacity'; it is a command of its own: servemark capacity -h"),
    ("doctr", "unknown benchmark 'doctr'; did you mean doctor?"),
    ("latency --thread 3", "unrecognized arguments: --thread; did you mean --threads?"),
    ("latency --dur 3", "unrecognized arguments: --dur; did you mean --duration?"),
    ("latency --zzz", "unrecognized arguments: --zzz; see servemark run -h"),
    ("latency resnet", "unrecognized arguments: resnet; a model goes behind -m: -m resnet"),
    ("latency README.md", "unrecognized arguments: README.md; an input goes behind -i: -i README.md"),
    ("latency h:8080", "a server that runs already goes behind --server: --server h:8080"),
    ("latency 50", "unrecognized arguments: 50; see servemark run -h"),
    ("latency http://h:8080/x", "latency takes no URL; measure any URL with http http://h:8080/x, a model server"),
    ("http://me:secret@h/x", "which benchmark?; any URL is measured by http: http http://***@h/x"),
    ("http http://h/x http://h/y", "the URL is given twice; give it once"),
    ("http http://h/x --url http://h/y", "the URL is given twice"),
    ("http 127.0.0.1:8080/x", "a URL begins with http:// or https://: http http://127.0.0.1:8080/x"),
    ("--all http://h/x", "a suite takes no URL"),
    (
        "latency -H Authorization: Bearer s3cr3t",
        "the words behind -H Authorization: belong to nothing; -H takes one word",
    ),
    ("-H Authorization: Bearer s3cr3t latency", "so quote it: -H 'Authorization: VALUE'"),
    ("latency -H Authorization:Bearer s3cr3t", "so quote it: -H 'Authorization: VALUE'"),
    ("latency -H X-Api-Key:a s3cr3t", "so quote it: -H 'X-Api-Key: VALUE'"),
    ("http --url http://h --url http://i", "--url is given twice; give it once"),
    ("latency -t 3 --threads 3", "-t/--threads is given twice; give it once"),
    ("latency --options threads 3 --options loops 4", "--options is given twice"),
    ("http http://h -z 10s", "unrecognized arguments: -z; -z of hey and oha is --duration here"),
    ("http http://h -n 100", "-n of ab, hey and oha is --loops, of each user"),
    ("http http://h -n100", "-n of ab, hey and oha is --loops, of each user"),
    ("http http://h -k", "-k of curl is --insecure"),
    ("http http://h -X POST", "-X of curl and oha is --method here"),
    ("http http://h -q 5", "-q of hey and oha is --rate, of all users together"),
    ("-z 10s http http://h", "-z of hey and oha is --duration here"),
    (
        "http http://h --connections 5",
        "--connections of wrk and bombardier is --threads; with --rate --max-connections",
    ),
    ("http http://h -c 50", "-c 50 names no archive of a model; -c of wrk, ab, hey and oha is --threads here: -t 50"),
    (
        "http http://h -d hello",
        "-d names a Docker image here, with the server in it: http starts no server; -d of curl",
    ),
    ("latency -d 10s", "-d 10s names no Docker image; -d of wrk is --duration here: --duration 10s"),
    (
        'latency -d {"a":1}',
        "no image is called that; -d of curl, the body, is --input: a file, or - for standard input",
    ),
    (
        "http http://h -m POST",
        "-m names a model here, and http serves none; -m of hey and oha is --method: --method POST",
    ),
    ("http http://h -duration=5s", "unrecognized arguments: -duration; write it with two dashes: --duration"),
    ("http http://h -rate 5", "write it with two dashes: --rate"),
    ("http http://h -max-workers 5", "--max-workers of vegeta is --threads; with --rate --max-connections"),
    ("latency --max-errors 50", "50 is more than 1, which is all; did you mean 50%?"),
    ("latency --mms h:8080/predictions/x", "without the path '/predictions/x'; give --mms h:8080 -m x"),
    ("latency --mms http://h/models/x?y=1", "without the path '/models/x'; give --mms http://h -m x"),
    ("latency --mms http://me:secret@h/ping/", "give --mms http://***@h, or measure that URL with the benchmark http"),
    (
        "latency --unix-socket s",
        "--unix-socket makes no sense with latency: only http has it; measure any endpoint with",
    ),
    (
        "http http://h --unix-socket none.sock",
        "cannot connect to none.sock: no such file; start the server that listens",
    ),
    ("http http://h --unix-socket README.md", "cannot connect to README.md: it is no socket"),
    ("http https://h --unix-socket s", "--unix-socket makes no sense with an https URL; write http://h/"),
    ("http http://h --unix-socket s --connect-to h:1", "--unix-socket and --connect-to do not go together"),
    ("http http://h --unix-socket s --engine jmeter", "--engine jmeter and --unix-socket do not go together"),
    ("load --warmup 0", "--warmup makes no sense with load"),
]


@pytest.mark.parametrize(("line", "message"), MEANT, ids=[line for line, _ in MEANT])
def test_what_is_another_word_here_is_named_in_one_line_with_status_2(capsys, line, message):
    assert main(["run", *line.split()]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("servemark: error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert "s3cr3t" not in captured.err


#: What a request says of an option.
VALUES = {
    "timeout": lambda request: request.load.timeout_s,
    "ramp": lambda request: request.load.ramp_s,
    "think": lambda request: request.load.think_s,
    "warmup": lambda request: request.load.warmup_s,
    "model": lambda request: request.model,
}


@pytest.mark.parametrize(
    ("option", "said", "default"),
    [
        ("timeout", "60", 120.0),
        ("ramp", "5", 0.0),
        ("think", "0.5", 0.0),
        ("warmup", "5", 0.0),
        ("model", "'lstm'", "resnet"),
    ],
)
def test_an_option_with_its_default_goes_before_a_suite_all_the_same(tmp_path, option, said, default):
    (tmp_path / "mine.toml").write_text(f"[[benchmark]]\nname = 'latency'\n{option} = {said}\n")
    (suites,) = parse_run("x", ["--suite", str(tmp_path / "mine.toml")]).entries
    assert VALUES[option](suites) != default
    (given,) = parse_run("x", ["--suite", str(tmp_path / "mine.toml"), f"--{option}", str(default)]).entries
    assert VALUES[option](given) == default


def test_to_ask_for_no_ramp_leaves_an_open_loop_one(tmp_path):
    (tmp_path / "mine.toml").write_text("[[benchmark]]\nname = 'latency'\nrate = 5\n")
    (entry,) = parse_run("x", ["--suite", str(tmp_path / "mine.toml"), "--ramp", "0", "--think", "0"]).entries
    assert (entry.load.rate, entry.load.ramp_s) == ("5", 0.0)
    (entry,) = parse_run("x", ["--suite", str(tmp_path / "mine.toml"), "--ramp", "3"]).entries
    assert (entry.load.rate, entry.load.ramp_s) == (None, 3.0)


def test_what_the_command_line_gives_with_its_default_is_left_out_where_it_makes_no_sense(tmp_path):
    (tmp_path / "mine.toml").write_text("[[benchmark]]\nname = 'load'\n[[benchmark]]\nname = 'ping'\nwarmup = 3\n")
    load, ping = parse_run("x", ["--suite", str(tmp_path / "mine.toml"), "--warmup", "0"]).entries
    assert (load.load.warmup_s, ping.load.warmup_s) == (None, 0.0)


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_suite_may_begin_with_a_byte_order_mark(tmp_path, mark):
    path = tmp_path / "mine.toml"
    path.write_text("# \xe4\n[[benchmark]]\r\nname = 'ping'\r\nduration = '1m'\n", encoding=mark)
    (ping,) = parse_run("x", ["--suite", str(path)]).entries
    assert (ping.benchmark, ping.load.duration_s) == ("ping", 60)


def test_a_suite_names_standard_input_and_columns_of_traces_beside_it(tmp_path):
    (tmp_path / "t.csv").write_text("at,x\n1,2\n2,2\n")
    (tmp_path / "mine.toml").write_text(
        """
        [[benchmark]]
        name = "http"
        url = "http://h"
        body_file = "-"
        arrival = "trace:t.csv:at"
        """
    )
    (http,) = parse_run("x", ["--suite", str(tmp_path / "mine.toml")]).entries
    assert http.content.inputs == (STANDARD_INPUT,)
    assert http.load.arrival == f"trace:{tmp_path / 't.csv'}:at"


@pytest.mark.parametrize("words", [["help"], ["help", "latency"]])
def test_asking_for_help_by_its_name_is_answered(capsys, words):
    with pytest.raises(SystemExit) as end:
        parse_run("./benchmark.py", words)
    assert end.value.code == 0
    assert "usage: ./benchmark.py [BENCHMARK] [options]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("called", "run", "doctor"),
    [
        ("servemark", "servemark run", "servemark doctor"),
        (".venv/bin/servemark", ".venv/bin/servemark run", ".venv/bin/servemark doctor"),
        ("./benchmark.py", "./benchmark.py", "./benchmark.py doctor"),
        ("python3 benchmark.py", "python3 benchmark.py", "python3 benchmark.py doctor"),
        ("'/a b/benchmark.py'", "'/a b/benchmark.py'", "'/a b/benchmark.py' doctor"),
        ("python -m servemark", "python -m servemark run", "python -m servemark doctor"),
    ],
)
def test_it_names_itself_as_it_was_called(capsys, called, run, doctor):
    assert (with_subcommand(called, "run"), with_subcommand(called, "doctor")) == (run, doctor)
    assert measuring(doctor) == measuring(run) == run
    assert main(["run", "latency", "--zzz"], called) == 2
    assert f"see {run} -h" in capsys.readouterr().err
    for words, examples in (
        (["run", "-h"], f"  {run} latency"),
        (["serve", "-h"], f"  {with_subcommand(called, 'serve')}"),
    ):
        with pytest.raises(SystemExit):
            main(words, called)
        text = capsys.readouterr().out
        assert examples in text
        if called != "./benchmark.py":
            assert "./benchmark.py" not in text
        assert max(map(len, text.splitlines())) <= 80


def test_how_it_was_called_is_seen_from_the_process(monkeypatch, tmp_path):
    program = tmp_path / "bin" / "servemark"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert called_as() == str(program)
    monkeypatch.setenv("PATH", str(program.parent))
    assert called_as() == "servemark"
    monkeypatch.setattr(sys, "argv", ["/x/servemark/__main__.py"])
    monkeypatch.setattr(sys, "orig_argv", [".venv/bin/python", "-m", "servemark"])
    assert called_as() == ".venv/bin/python -m servemark"
    monkeypatch.setenv(CALLED_AS, "./benchmark.py")
    assert called_as() == "./benchmark.py"
    assert called_as() == ".venv/bin/python -m servemark", "it is not for what this process starts"
