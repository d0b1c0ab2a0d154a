"""The command with ``--engine jmeter``: a real JMeter against a real server."""

from __future__ import annotations

import csv
import shutil

import pytest

from servemark import open_records
from servemark.environments.jmeter import jmeter_home

pytestmark = pytest.mark.slow
needs_jmeter = pytest.mark.skipif(
    not (shutil.which("java") and shutil.which("mvn")), reason="no Java or no Maven: JMeter cannot be assembled"
)


@needs_jmeter
def test_jmeter_sends_exactly_what_was_asked_for_and_makes_its_own_reports(command):
    run = command.run("throughput -m noop -t 3 -l 20 --engine jmeter")
    assert run.status == 0, run.stderr
    assert run.result["tool"]["engine"] == "jmeter"
    assert run.result["tool"]["engine_versions"]["jmeter"] == "5.6.3"
    assert run.step["requests"] == run.step["succeeded"] == 60 == open_records(run.records).rows
    lag = [check for check in run.benchmark["certificate"]["checks"] if "lag" in check["name"]]
    assert {check["name"]: check["passed"] for check in lag} == {"generator lag": None, "receive lag": None}
    own = run.folder / "jmeter" / "throughput"
    with (own / "aggregate.csv").open() as file:
        counts = {row["Label"]: int(row["# Samples"]) for row in csv.DictReader(file)}
    assert counts["predict"] == 60
    assert (own / "dashboard" / "index.html").exists()
    assert (own / "plan.jmx").exists()


@needs_jmeter
def test_the_runs_of_several_points_are_merged_too(command):
    run = command.run("concurrent_inference -m noop --options threads 1,2,3 -l 20 --engine jmeter")
    assert run.status == 0, run.stderr
    with (run.folder / "jmeter" / "merged.csv").open() as file:
        counts = {row["Label"]: int(row["# Samples"]) for row in csv.DictReader(file)}
    points = {f"concurrent_inference-{n}: predict": 20 * n for n in (1, 2, 3)}
    assert counts == {**points, "TOTAL": 120}
    assert (run.folder / "jmeter" / "dashboard" / "index.html").exists()
    for n in (1, 2, 3):
        assert (run.folder / "jmeter" / f"concurrent_inference-{n}" / "aggregate.csv").exists()


@needs_jmeter
def test_a_jmeter_that_ends_by_itself_is_a_failure_and_no_interruption(command):
    with command.started("latency -m noop --duration 60 --engine jmeter") as started:
        started.wait_for("samples", lambda: _samples(command.cwd) > 10)
        (jmeter,) = started.server_processes("ApacheJMeter.jar")
        jmeter.kill()
        run = started.end()
    assert run.status == 4
    assert "JMeter ended early" in run.error_line
    assert run.result["error"] == run.error_line.removeprefix("servemark: error: ")
    assert run.benchmark["partial"] is True
    assert run.step["succeeded"] > 0


def _samples(folder):
    return sum(len(path.read_text().splitlines()) for path in folder.rglob("results.jtl"))


@needs_jmeter
def test_benchmarks_of_the_management_api_and_of_several_models_run_on_it_too(command):
    (command.cwd / "mine.toml").write_text(
        """
        [[benchmark]]
        name = "load"
        model = "noop"
        options = { count = 3 }
        [[benchmark]]
        name = "repeated_scale_calls"
        model = "noop"
        loops = 2
        options = { scale_up_workers = 3, background_threads = 1 }
        [[benchmark]]
        name = "multiple_models"
        workers = 1
        threads = 2
        loops = 10
        options = { models = ["noop", "lstm"], weights = [3, 1] }
        """
    )
    with command.started("--suite mine.toml --engine jmeter --max-errors 100%") as started:
        run = started.end(timeout_s=400)
    assert run.status == 0, run.stderr
    load, scaling, models = run.result["benchmarks"]
    assert [(step["name"], step["succeeded"]) for step in load["steps"]] == [("register", 3)]
    assert set(load["analysis"]["registrations"]["models"]) == {f"noop-v1.0-{n}" for n in (1, 2, 3)}
    calls = {step["name"]: step["succeeded"] for step in scaling["steps"]}
    assert calls["scale_up"] == calls["scale_down"] == 2
    assert calls["predict"] > 0
    assert scaling["analysis"]["scaling"]["up"]["failed"] == 0
    assert sum(step["succeeded"] for step in models["steps"]) == 20
    assert [step["name"] for step in models["steps"]] == ["predict noop-v1.0", "predict lstm_ptb"]
    assert (run.folder / "jmeter" / "merged.csv").exists()


def test_without_java_the_command_says_what_to_install(command, tmp_path):
    _leave_on_path(command, tmp_path)
    run = command.run("ping -l 1 --engine jmeter")
    assert run.status == 4
    assert "JMeter needs Java 17 or newer" in run.error_line
    assert "there is no java on PATH, and JAVA_HOME is not set" in run.error_line
    assert "./install_dependencies.sh" in run.error_line
    assert "default-jre-headless" in run.error_line


@needs_jmeter
def test_without_maven_the_command_says_what_to_install(command, tmp_path):
    _leave_on_path(command, tmp_path, "java")
    run = command.run("ping -l 1 --engine jmeter")
    assert run.status == 4
    assert "there is no mvn on PATH" in run.error_line
    assert "./install_dependencies.sh" in run.error_line
    assert "Debian and Ubuntu: maven" in run.error_line
    assert "JMETER_HOME" in run.error_line


def _leave_on_path(command, tmp_path, *programs):
    """Nothing but these programs is on PATH, and nothing is in the cache."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for program in programs:
        (folder / program).symlink_to(shutil.which(program))
    command.environ |= {"PATH": str(folder), "JAVA_HOME": "", "JMETER_HOME": ""}
    command.cache = tmp_path / "empty"


@needs_jmeter
@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("lib/ext/jmeter-plugins-mergeresults", "jmeter-plugins-mergeresults: merged results (jpgc-mergeresults)"),
        ("lib/ext/jmeter-plugins-perfmon", "jmeter-plugins-perfmon: charts of the server's resources (jpgc-perfmon)"),
        ("lib/cmdrunner", "cmdrunner, in lib: runs the plugins' tools"),
    ],
)
def test_what_a_jmeter_home_lacks_is_named(command, tmp_path, part, says):
    command.environ["JMETER_HOME"] = str(_home(tmp_path, without=part))
    run = command.run("ping -l 1 --engine jmeter")
    assert run.status == 4
    assert says in run.error_line
    assert "unset JMETER_HOME" in run.error_line


@needs_jmeter
def test_the_jmeter_of_jmeter_home_is_used(command, tmp_path):
    home = _home(tmp_path)
    command.environ["JMETER_HOME"] = str(home)
    run = command.run("ping -t 2 -l 5 --engine jmeter")
    assert run.status == 0, run.stderr
    assert run.step["succeeded"] == 10
    assert f"JMeterHome={home}\n" in (run.folder / "jmeter" / "ping" / "jmeter.log").read_text()


def _home(tmp_path, without="nothing"):
    """The assembled JMeter under another path, less the file whose name begins so."""
    root, home = jmeter_home(print).root, tmp_path / "apache-jmeter"
    for path in root.rglob("*"):
        name = path.relative_to(root)
        if path.is_file() and not str(name).startswith(without):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, home / name)
    return home


@needs_jmeter
def test_what_jmeter_cannot_do_is_refused(command):
    run = command.run("latency -m noop --duration 1.5 --engine jmeter")
    assert run.status == 2
    assert "JMeter" in run.error_line
