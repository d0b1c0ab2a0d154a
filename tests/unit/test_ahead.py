"""What is built ahead for a command, and how that is told."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import servemark
from servemark.cli import ahead
from servemark.cli.ahead import Preparation, main, preparations
from servemark.errors import SetupError, UsageError
from servemark.zoo.catalogue import find

SOURCES = Path(servemark.__file__).parents[1]
RESNET, SQUEEZENET, LSTM, NOOP = map(find, ("resnet", "squeezenet", "lstm", "noop"))


@pytest.fixture(autouse=True)
def no_signals(monkeypatch) -> None:
    """Those of the tests' own process stay as they are."""
    monkeypatch.setattr(ahead, "listen", lambda: None)


@pytest.fixture
def requirements(tmp_path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("regex")
    return path


@pytest.mark.parametrize(
    ("line", "backend", "models"),
    [
        ("run latency", None, (RESNET,)),
        ("run latency -m noop --backend onnx", "onnx", (NOOP,)),
        ("run ping", None, ()),
        ("run multiple_models", None, (RESNET, SQUEEZENET, LSTM)),
        (f"run latency -c {__file__}", None, ()),
        ("serve -m squeezenet --backend mxnet", "mxnet", (SQUEEZENET,)),
    ],
)
def test_it_is_the_environment_and_the_models_that_the_command_takes(line, backend, models):
    assert preparations(line.split()) == [Preparation(backend, None, models)]


def test_of_a_checkout_it_is_that_too(tmp_path, monkeypatch):
    for part in ("setup.py", "mms/__init__.py", "mms/model_server.py", "frontend/gradlew"):
        path = tmp_path / part
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert preparations(f"run ping --source {tmp_path}".split()) == [Preparation(None, None, ())]
    monkeypatch.chdir(tmp_path)
    assert preparations(["run", "ping"]) == [Preparation(None, None, ())]


@pytest.mark.parametrize(
    "line",
    [
        "run http --url http://127.0.0.1:8000/",
        "run latency --server 127.0.0.1:8080",
        "run latency --docker",
        "run latency -d image",
        "run latency -g 1",
        f"run latency -c {__file__} --server-python {sys.executable}",
        "serve --docker",
        "models",
        "report folder",
    ],
)
def test_where_no_server_that_we_install_is_started_it_is_nothing(line):
    assert preparations(line.split()) == []


def test_the_requirements_of_a_users_model_are_in_it(requirements):
    words = f"run latency -c {__file__} --server-requirements {requirements}".split()
    assert preparations(words) == [Preparation(None, requirements, ())]


def test_a_suite_has_each_thing_once():
    found = preparations(["run", "--all"])
    assert len(found) == len(set(found))
    assert {model for one in found for model in one.models} == {RESNET, SQUEEZENET, LSTM}


def test_each_part_is_told_when_it_begins_and_when_it_has_ended(monkeypatch, capsys):
    def environment(_backend, progress, _extra):
        progress("installing it (once, about 60 s)")
        return "environment"

    def build(model, environment, progress):
        assert environment == "environment"
        progress(f"building the model {model.name} (once, a few seconds)")

    monkeypatch.setattr(ahead, "mms_environment", environment)
    monkeypatch.setattr(ahead, "build_model", build)
    assert main(["run", "latency"]) == 0
    lines = [re.sub(r"\d+ s$", "N s", line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "installing it (once, about 60 s)",
        "installing it: done in N s",
        "building the model resnet (once, a few seconds)",
        "building the model resnet: done in N s",
    ]


@pytest.mark.parametrize("error", [SetupError("no network"), UsageError("no network"), KeyboardInterrupt()])
def test_what_it_cannot_do_is_its_exit_status_and_one_line(monkeypatch, capsys, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(ahead, "mms_environment", fail)
    interrupted = isinstance(error, KeyboardInterrupt)
    assert main(["run", "latency"]) == (130 if interrupted else error.exit_status)
    assert capsys.readouterr().out == ("" if interrupted else "no network\n")


def test_it_needs_nothing_but_the_standard_library():
    code = "import sys; sys.path.insert(0, sys.argv[1]); from servemark.cli.ahead import preparations; "
    code += "print(len(preparations(['run', 'latency'])))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, SOURCES], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")
