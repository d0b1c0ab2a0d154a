"""The command with ``--engine jmeter``: a real JMeter against a real server."""

from __future__ import annotations

import csv
import json
import os
import shutil

import pytest

from servemark import open_records
from servemark.cli import main
from servemark.environments.jmeter import find_java, jmeter_home

from ..short_java import short_lived_java
from ..validity import status_but_for_the_machine

pytestmark = pytest.mark.slow
needs_jmeter = pytest.mark.skipif(
    not (shutil.which("java") and shutil.which("mvn")), reason="no Java or no Maven: JMeter cannot be assembled"
)


#: One suite has all that JMeter is asked to make reports of: those of a run are five starts of Java.
SUITE = """
[[benchmark]]
name = "concurrent_inference"
model = "noop"
loops = 20
options = { threads = [1, 3] }
[[benchmark]]
name = "load"
model = "noop"
options = { count = 3 }
"""
#: Of these the figures are looked at.
UNREPORTED = """
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


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The assembled JMeter under another path."""
    return _home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def environ(home, tmp_path_factory):
    """The variables that name that JMeter, and a Java that is first on PATH."""
    java = short_lived_java(find_java().executable, tmp_path_factory.mktemp("java"))
    path = os.pathsep.join([str(java.parent), os.environ["PATH"]])
    return {"JMETER_HOME": str(home), "JAVA_HOME": "", "PATH": path}


@pytest.fixture(scope="module")
def suite(module_command, environ):
    """That suite, run by the JMeter of JMETER_HOME."""
    command = module_command()
    command.environ |= environ
    (command.cwd / "mine.toml").write_text(SUITE)
    with command.started("--suite mine.toml --engine jmeter --max-errors 100%") as started:
        run = started.end(timeout_s=1800)  # three runs, each with its reports
    assert run.status == 0, run.stderr
    return run


@pytest.fixture(scope="module")
def unreported(tmp_path_factory, cache, environ):
    """The result of the other suite, run here, where JMeter's reports can be left out."""
    folder = tmp_path_factory.mktemp("unreported")
    (folder / "mine.toml").write_text(UNREPORTED)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SERVEMARK_CACHE": str(cache), **environ}.items():
            patch.setenv(name, value)
        patch.setattr("servemark.engines.jmeter.tools.write_reports", lambda *_, **__: None)
        words = f"run --suite {folder / 'mine.toml'} --engine jmeter --max-errors 100% -o {folder / 'out'}"
        status = main(words.split(), "servemark")
    result = json.loads((folder / "out" / "result.json").read_text(encoding="utf-8"))
    assert status_but_for_the_machine(status, result) == 0
    return result


def _counts(path):
    with path.open() as file:
        return {row["Label"]: int(row["# Samples"]) for row in csv.DictReader(file)}


@needs_jmeter
def test_jmeter_sends_exactly_what_was_asked_for_and_makes_its_own_reports(suite):
    assert suite.result["tool"]["engine"] == "jmeter"
    assert suite.result["tool"]["engine_versions"]["jmeter"] == "5.6.3"
    several = suite.result["benchmarks"][0]
    assert len(several["runs"]) == 2
    for users, one in zip((1, 3), several["runs"], strict=True):
        (step,) = one["steps"]
        records = suite.folder / one["records"]
        assert step["requests"] == step["succeeded"] == 20 * users == open_records(records).rows
        lag = {c["name"]: c["passed"] for c in one["certificate"]["checks"] if "lag" in c["name"]}
        assert lag == {"generator lag": None, "receive lag": None}
        own = suite.folder / "jmeter" / records.stem
        assert _counts(own / "aggregate.csv")["predict"] == 20 * users
        assert (own / "dashboard" / "index.html").exists()
        assert (own / "plan.jmx").exists()


@needs_jmeter
def test_the_jmeter_of_jmeter_home_is_used(suite, home):
    logs = list((suite.folder / "jmeter").glob("*/jmeter.log"))
    assert len(logs) == sum(len(one["runs"]) for one in suite.result["benchmarks"])
    assert all(f"JMeterHome={home}\n" in log.read_text() for log in logs)


@needs_jmeter
def test_the_runs_of_several_points_are_merged_too(suite):
    counts = _counts(suite.folder / "jmeter" / "merged.csv")
    points = {label: count for label, count in counts.items() if "concurrent_inference" in label}
    assert points == {f"1-concurrent_inference-noop-{n}: predict": count for n, count in ((1, 20), (2, 60))}
    assert counts["2-load-noop: register"] == 3
    assert counts["TOTAL"] == sum(count for label, count in counts.items() if label != "TOTAL")
    assert (suite.folder / "jmeter" / "dashboard" / "index.html").exists()


@needs_jmeter
def test_a_jmeter_that_ends_by_itself_is_a_failure_and_no_interruption(command, environ):
    command.environ |= environ
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
def test_benchmarks_of_the_management_api_and_of_several_models_run_on_it_too(suite, unreported):
    _, load = suite.result["benchmarks"]
    scaling, models = unreported["benchmarks"]
    assert [(step["name"], step["succeeded"]) for step in load["steps"]] == [("register", 3)]
    assert set(load["analysis"]["registrations"]["models"]) == {f"noop-v1.0-{n}" for n in (1, 2, 3)}
    calls = {step["name"]: step["succeeded"] for step in scaling["steps"]}
    assert calls["scale_up"] == calls["scale_down"] == 2
    assert calls["predict"] > 0
    assert scaling["analysis"]["scaling"]["up"]["failed"] == 0
    assert sum(step["succeeded"] for step in models["steps"]) == 20
    assert [step["name"] for step in models["steps"]] == ["predict noop-v1.0", "predict lstm_ptb"]


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
