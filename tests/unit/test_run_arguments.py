"""``servemark.run``: what people write in Python, and what they are told of what there is not."""

from __future__ import annotations

from pathlib import Path

import pytest

import servemark
from servemark import runner
from servemark.errors import UsageError
from servemark.options import GROUPS, RunRequest, all_options
from servemark.options.kinds import PathTo
from servemark.runner import Listener
from servemark.runner.pair import PairRequest, perform_pair
from servemark.workload.endpoint import Place
from servemark.workload.inputs import STANDARD_INPUT

PATHS = (
    *("output", "source", "server_requirements", "server_python"),
    *("ca_file", "client_cert", "client_key", "unix_socket", "against"),
    *("prompts", "tokenizer"),
    *("token_file", "model_repository"),
)


def _field(**option):
    """What becomes of one option."""
    request, (name,) = RunRequest.of("latency", **option), option
    return next(getattr(getattr(request, group), name) for group in GROUPS if hasattr(getattr(request, group), name))


@pytest.fixture
def usable(tmp_path, monkeypatch):
    """A folder with what these tests name, in which they are."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "cat.jpg"):
        Path(name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_may_be_a_string(usable, name, kind):
    kinds = {option.field: option.kind for option in all_options()}
    assert kinds[name].take(kind("a/b")) == Path("a/b")
    assert _field(**{name: None}) is None


def test_every_field_that_is_a_path_is_one_of_these():
    assert {option.field for option in all_options() if isinstance(option.kind, PathTo)} == set(PATHS)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"inputs": "cat.jpg"}, (Path("cat.jpg"),)),
        ({"inputs": Path("cat.jpg")}, (Path("cat.jpg"),)),
        ({"inputs": ["a", Path("b"), "-"]}, (Path("a"), Path("b"), STANDARD_INPUT)),
        ({"headers": "X-A: 1"}, ("X-A: 1",)),
        ({"headers": ["X-A: 1", "X-B: 2"]}, ("X-A: 1", "X-B: 2")),
        ({"headers": {"X-A": 1, "X-B": "2"}}, ("X-A: 1", "X-B: 2")),
        ({"duration_s": "1m"}, 60.0),
        ({"warmup_s": 0}, 0),
        ({"think_s": 0.5}, 0.5),
        ({"rate": 5}, "5"),
    ],
)
def test_what_is_one_of_several_may_be_given_alone_and_a_time_may_have_a_unit(usable, given, value):
    assert _field(**given) == value


@pytest.mark.parametrize("place", ["h:80", Place("h", 80)])
def test_a_place_may_be_written_as_on_the_command_line(place):
    request = RunRequest.of("latency", server="x", connect_to=place)
    assert request.server.connect_to == Place("h", 80)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("duration", "duration_s"),
        ("warmup", "warmup_s"),
        ("timeout", "timeout_s"),
        ("input", "inputs"),
        ("body_file", "inputs"),
        ("header", "headers"),
        ("docker_image", "image"),
        ("max_errors", "max_errors_share"),
        ("options", "parameters"),
        ("thread", "threads"),
        ("ca_files", "ca_file"),
    ],
)
def test_an_argument_that_there_is_not_names_the_one_that_is_meant(name, meant):
    with pytest.raises(TypeError, match=rf"run\(\) has no argument '{name}'; did you mean {meant}\?"):
        servemark.run("latency", **{name: 1})


def test_an_argument_that_is_like_no_other_is_refused_all_the_same():
    with pytest.raises(TypeError, match=r"run\(\) has no argument 'zzzz'$"):
        servemark.run("latency", zzzz=1)


def test_a_time_that_is_none_is_refused():
    with pytest.raises(UsageError, match="duration_s is 'soon': 'soon' is not a time such as 10"):
        servemark.run("latency", duration_s="soon")


def test_the_result_goes_to_a_folder_that_is_named_by_a_string(tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(servemark.OutputError, match="full"):
        servemark.run("ping", server="127.0.0.1:1", output="full")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"threads": 0}, "threads is 0: it is at least 1"),
        ({"loops": 0}, "loops is 0: it is at least 1"),
        ({"workers": 0}, "workers is 0"),
        ({"rate": 1, "max_connections": 0}, "max_connections is 0"),
        ({"gpus": -1}, "gpus is -1: it is at least 1"),
        ({"duration_s": 0}, "duration_s is 0: it is above 0 seconds"),
        ({"duration_s": float("nan")}, "duration_s is nan"),
        ({"timeout_s": 0.0}, "timeout_s is 0.0: it is above 0 seconds"),
        ({"warmup_s": -1}, "warmup_s is -1: it is at least 0 seconds"),
    ],
)
def test_nought_is_no_other_word_for_leaving_it_out(tmp_path, fields, message):
    with pytest.raises(UsageError, match=message):
        servemark.run("latency", output=tmp_path / "out", **fields)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": 5}, "model is 5: it is text"),
        ({"url": 5}, "url is 5: it is text"),
        ({"server": object()}, "it is text"),
        ({"duration_s": []}, "duration_s is"),
        ({"max_errors_share": "many"}, "max_errors_share is 'many'"),
        ({"max_errors_share": ()}, "max_errors_share is"),
        ({"inputs": 5}, "inputs is 5"),
        ({"threads": "4"}, "threads is '4': it is a whole number"),
    ],
)
def test_what_is_of_another_kind_is_refused_from_python_too(fields, message):
    with pytest.raises(UsageError, match=message):
        RunRequest.of("latency", **fields)


@pytest.mark.parametrize(
    "perform",
    [
        runner.perform,
        lambda requests, listener: perform_pair(PairRequest(requests, None, False, 0.05), listener),
    ],
    ids=["one after the other", "in turns"],
)
def test_a_trace_in_milliseconds_is_said_before_anything_starts(perform, tmp_path):
    (tmp_path / "t.txt").write_text("1700000000000\n1700000000001\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    said: list[str] = []
    request = RunRequest.of("ping", arrival=f"trace:{tmp_path / 't.txt'}", output=tmp_path / "full")
    with pytest.raises(servemark.OutputError):
        perform((request, request), Listener(note=said.append))
    assert said == ["trace t.txt: its times are in milliseconds"]
