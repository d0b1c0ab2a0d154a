"""The image of servemark itself, built by a real daemon, and measured with as docs/container.md says."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from servemark.environments.mms_image import BASE_VARIABLE
from servemark.version import version

from ..pages import ROOT, commands
from ..validity import status_but_for_the_machine
from ..web_server import sending, web_server
from .docker_daemon import docker_daemon

pytestmark = pytest.mark.slow

_BUILD_S = 1800
_RUN_S = 120
_IMAGE, _BASE = "servemark-test/itself:1", "servemark-test/trusting:1"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
#: A base whose downloads trust whom this machine trusts: its network may have an authority of its own.
_TRUSTING = """\
ARG BASE
FROM ${BASE}
COPY authorities.crt /etc/servemark-test-authorities.crt
ENV SSL_CERT_FILE=/etc/servemark-test-authorities.crt PIP_CERT=/etc/servemark-test-authorities.crt \\
    CARGO_HTTP_CAINFO=/etc/servemark-test-authorities.crt
"""


def _docker(endpoint: Mapping[str, str], *words: str, limit_s: float = _RUN_S) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **endpoint}
    return subprocess.run(["docker", *words], env=environ, capture_output=True, text=True, timeout=limit_s, check=False)


def _build(endpoint: Mapping[str, str], base: str, tag: str, *words: str) -> None:
    built = _docker(
        endpoint, "build", "--network", "host", "--build-arg", f"BASE={base}", "--tag", tag, *words, limit_s=_BUILD_S
    )
    assert built.returncode == 0, (built.stdout + built.stderr)[-4000:]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Mapping[str, str]]:
    """A daemon that has the image; both are gone afterwards if they were not there before."""
    (told,) = (one.text for one in commands("docs/container.md") if one.text.startswith("docker build"))
    assert told == "docker build --file Containerfile --tag servemark ."
    with docker_daemon() as found, tempfile.TemporaryDirectory() as folder:
        base = found[BASE_VARIABLE]
        try:
            (Path(folder) / "Dockerfile").write_text(_TRUSTING, encoding="utf-8")
            (Path(folder) / "authorities.crt").write_bytes(_AUTHORITIES.read_bytes())
            _build(found, base, _BASE, folder)
            _build(found, _BASE, _IMAGE, "--file", str(ROOT / "Containerfile"), str(ROOT))
            yield found
        finally:
            _docker(found, "image", "rm", "--force", _IMAGE, _BASE)


def test_it_is_servemark_without_root_and_without_rust(endpoint) -> None:
    told = _docker(endpoint, "run", "--rm", "--network", "host", _IMAGE, "--version")
    assert (told.returncode, version() in told.stdout) == (0, True), told.stderr
    looked = "id -u; command -v cargo rustc gcc; touch /opt/servemark/mine /usr/mine"
    inside = _docker(endpoint, "run", "--rm", "--network", "host", "--entrypoint", "sh", _IMAGE, "-c", looked)
    assert inside.stdout.split() == ["10001"]
    assert inside.returncode != 0


def test_it_measures_a_server_of_this_machine_and_leaves_the_result_with_who_ran_it(endpoint, tmp_path) -> None:
    (line,) = (one.text for one in commands("docs/container.md") if one.text.startswith("docker run"))
    with web_server({"/health": sending(b"OK")}) as url:
        line = line.replace(" servemark ", f" {_IMAGE} ").replace("http://127.0.0.1:8080", url)
        done = subprocess.run(
            ["bash", "-c", f"{line} -t 2 -l 50 -o out"],
            cwd=tmp_path,
            env={**os.environ, **endpoint},
            capture_output=True,
            text=True,
            timeout=_RUN_S,
            check=False,
        )
    file = tmp_path / "out" / "result.json"
    result = json.loads(file.read_text(encoding="utf-8"))
    assert status_but_for_the_machine(done.returncode, result) == 0, done.stderr
    assert result["benchmarks"][0]["steps"][0]["succeeded"] == 100
    assert file.stat().st_uid == os.getuid()
