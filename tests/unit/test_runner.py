"""The runner, as far as it goes before a server starts."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from servemark.benchmarks import catalogue
from servemark.errors import UsageError
from servemark.options import RunRequest, all_options
from servemark.runner import Listener, perform
from servemark.runner.entry import Entry
from servemark.runner.launching import Launchers
from servemark.runner.redaction import Redaction
from servemark.runner.result_on_disk import empty_result

from ..web_server import sending, web_server

#: What an option needs beside it to be one that only the benchmark refuses.
PROMPTED = (
    *("prompts", "prompt_tokens", "shared_prefix", "output_tokens"),
    *("ignore_eos", "completions", "no_stream"),
)
NEEDED = {
    "dialect": {"server": "h:80"},
    "management_port": {"server": "h:80"},
    "build_command": {"source": "checkout"},
    "server_requirements": {"custom_model": "m.mar"},
    "server_python": {"custom_model": "m.mar"},
    "arrival": {"rate": 5},
    "max_connections": {"rate": 5},
    **{name: {"server": "h:80"} for name in PROMPTED},
}


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_python_refuses_what_the_command_line_refuses(name, tmp_path, monkeypatch):
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
        "server": "h:80",
        "dialect": "mms",
        "mms": "h:80",
        "management_port": 81,
        "docker": True,
        "docker_image": "image",
        "source": "checkout",
        "build_command": "make",
        "backend": "onnx",
        "content_type": "text/plain",
        "multipart": "field",
        "fresh_server": True,
        "generators": 2,
        "on": "ray",
        "server_requirements": "m.mar",
        "server_python": "m.mar",
    }
    monkeypatch.chdir(tmp_path)
    for part in (
        "m.mar",
        "checkout/setup.py",
        "checkout/mms/__init__.py",
        "checkout/mms/model_server.py",
        "checkout/frontend/gradlew",
    ):
        Path(part).parent.mkdir(parents=True, exist_ok=True)
        Path(part).write_bytes(b"")
    benchmark = catalogue()[name]
    fields = {option.name: option for option in all_options()}
    url = {"url": "http://127.0.0.1/"} if benchmark.takes_url else {}
    for option, why in benchmark.refuses.items():
        field, needs = fields[option].field, NEEDED.get(option, {})
        if benchmark.takes_url and option == "input":
            continue  # in Python a body is an input
        if any(fields[refused].field in needs for refused in benchmark.refuses):
            continue  # that is refused before it
        with pytest.raises(UsageError) as refused:
            Entry.of(RunRequest.of(name, **{field: values[option], **needs, **url}))
        assert refused.value.what == f"{fields[option].flags[0]} makes no sense with {name}"
        assert refused.value.cause == why
    for parameter in benchmark.parameters:
        if parameter.key in ("threads", "loops", "workers"):
            with pytest.raises(UsageError, match=f"-{parameter.key[0]} makes no sense with {name}"):
                Entry.of(RunRequest.of(name, **{parameter.key: 3}, **url))
    Entry.of(RunRequest.of(name, **url))


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
        Entry.of(RunRequest.of("ping", **fields))


@pytest.mark.parametrize(
    ("benchmark", "parameters", "message"),
    [
        ("repeated_scale_calls", {"scale_up_workers": 2, "scale_down_workers": 2}, "scale_up_workers 2 is not more"),
        ("multiple_models", {"models": ("resnet", "rasnet")}, "unknown model 'rasnet'"),
        ("multiple_models", {"weights": (1, 2)}, "2 weights for 3 models"),
    ],
)
def test_parameters_that_cannot_be_had_are_refused_before_there_is_a_result(tmp_path, benchmark, parameters, message):
    request = RunRequest.of(benchmark, parameters=parameters, output=tmp_path / "out")
    with pytest.raises(UsageError, match=message):
        perform((request,), Listener())
    assert not (tmp_path / "out").exists()


def test_a_models_url_is_not_shown_whole_even_if_the_suites_first_benchmark_has_no_model():
    url = "https://me:s3cr3t@h/m.mar?token=s3cr3t"
    command = ("servemark", "run", "--suite", "mine.toml", "-c", url)
    requests = [RunRequest.of(name, **more) for name, more in (("ping", {}), ("latency", {"custom_model": url}))]
    requests = [replace(request, command=command) for request in requests]
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
            launchers.of(Entry.of(RunRequest.of(name, custom_model=f"{url}/mine.mar")))
    assert asked == ["/mine.mar"]
