"""The runner, as far as it goes before a server starts."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import datetime, timezone

import pytest

from servemark.benchmarks import catalogue
from servemark.errors import UsageError
from servemark.runner import Listener, RunRequest, perform
from servemark.runner import entry as entry_module
from servemark.runner.entry import Entry
from servemark.runner.launching import Launchers
from servemark.runner.redaction import Redaction
from servemark.runner.written import empty_result

from ..web_server import sending, web_server


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_python_refuses_what_the_command_line_refuses(name, tmp_path):
    values = {
        "model": "squeezenet",
        "custom_model": "m.mar",
        "input": (tmp_path,),
        "workers": 3,
        "gpus": 1,
        "threads": 5,
        "loops": 2,
        "duration": 1.0,
        "warmup": 1.0,
        "ramp": 1.0,
        "think": 1.0,
        "header": ("X: y",),
        "expect_status": 200,
        "expect": "same",
        "rate": 5,
        "arrival": "poisson",
        "max_connections": 2,
        "mms": "h:80",
        "management_port": 81,
        "docker": True,
        "docker_image": "image",
        "source": tmp_path,
        "build_command": "make",
        "backend": "onnx",
        "content_type": "text/plain",
        "multipart": "field",
        "server_requirements": tmp_path,
        "server_python": tmp_path,
    }
    benchmark = catalogue()[name]
    url = {"url": "http://127.0.0.1/"} if benchmark.takes_url else {}
    for option, why in benchmark.refuses.items():
        field = entry_module._FIELDS.get(option, option)
        if benchmark.takes_url and option == "input":
            continue  # in Python a body is an input
        with pytest.raises(UsageError) as refused:
            Entry.of(RunRequest(name, **{field: values[option]}, **url))
        assert refused.value.what == f"{field} makes no sense with {name}"
        assert refused.value.cause == why
    for parameter in benchmark.parameters:
        if parameter.key in ("threads", "loops", "workers"):
            with pytest.raises(UsageError, match=f"{parameter.key} makes no sense with {name}"):
                Entry.of(RunRequest(name, **{parameter.key: 3}, **url))
    Entry.of(RunRequest(name, **url))


@pytest.mark.parametrize(
    "fields",
    [
        {"loops": 3, "duration_s": 1.0},
        {"loops": 3, "warmup_s": 1.0},
        {"engine": "jmeter", "realtime": "on"},
        {"engine": "jmeter", "receive_clock": "user"},
        {"engine": "jmeter", "keep_awake": "off"},
    ],
)
def test_python_refuses_contradictions_as_the_command_line_does(fields):
    with pytest.raises(UsageError, match="do not go together"):
        Entry.of(RunRequest("ping", **fields))


@pytest.mark.parametrize(
    ("benchmark", "parameters", "message"),
    [
        ("repeated_scale_calls", {"scale_up_workers": 2, "scale_down_workers": 2}, "scale_up_workers 2 is not more"),
        ("multiple_models", {"models": ("resnet", "rasnet")}, "unknown model 'rasnet'"),
        ("multiple_models", {"weights": (1, 2)}, "2 weights for 3 models"),
    ],
)
def test_parameters_that_cannot_be_had_are_refused_before_there_is_a_result(tmp_path, benchmark, parameters, message):
    request = RunRequest(benchmark, parameters=parameters, output=tmp_path / "out")
    with pytest.raises(UsageError, match=message):
        perform((request,), Listener())
    assert not (tmp_path / "out").exists()


def test_a_models_url_is_not_shown_whole_even_if_the_suites_first_benchmark_has_no_model():
    url = "https://me:s3cr3t@h/m.mar?token=s3cr3t"
    command = ("servemark", "run", "--suite", "mine.toml", "-c", url)
    requests = [RunRequest("ping", command=command), RunRequest("latency", custom_model=url, command=command)]
    assert empty_result(requests, "mine", datetime.now(timezone.utc), Redaction(())).command == (
        *command[:-1],
        "https://h/m.mar",
    )


def test_an_archive_is_downloaded_once_for_all_benchmarks_of_a_suite(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    archive = io.BytesIO()
    manifest = {"runtime": "python", "model": {"modelName": "mine", "handler": "service.py:handle"}}
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        packed.writestr("service.py", "def handle(data, context): pass")
    asked = []

    def answer(request):
        asked.append(request.path)
        sending(archive.getvalue())(request)

    with web_server({"/mine.mar": answer}) as url:
        launchers = Launchers(Listener())
        for name in ("latency", "throughput", "latency"):
            launchers.of(Entry.of(RunRequest(name, custom_model=f"{url}/mine.mar")))
    assert asked == ["/mine.mar"]
