"""The runner, as far as it goes before a server starts."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import datetime, timezone

import pytest

from servemark.errors import UsageError
from servemark.runner import Listener, RunRequest, perform
from servemark.runner.entry import Entry
from servemark.runner.launching import Launchers
from servemark.runner.redaction import Redaction
from servemark.runner.written import empty_result

from ..web_server import sending, web_server


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
