"""SageMaker's ways to ask a Multi Model Server: the one model, and several by name, with calls at the same port."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from servemark.environments.mms import mms_environment
from servemark.servers.http.connection import send_once
from servemark.servers.mms.config import properties_text
from servemark.servers.mms.instance import Instance
from servemark.servers.mms.sites.local import LocalSite, server_arguments
from servemark.servers.own_process import OwnProcess, OwnStart, Ports, started_process
from servemark.servers.ports import LOOPBACK, free_ports
from servemark.workload.address import Address
from servemark.workload.scenario import Request
from servemark.zoo.build import build_model
from servemark.zoo.catalogue import find

from .kinds import Command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    """The URL of a server that has one model from its start, and both of its APIs at one port, as SageMaker has it."""
    environment = mms_environment("onnx", print)
    archive = build_model(find("noop"), environment, print).archive

    def prepare(instance: Instance, ports: Ports) -> OwnStart:
        url = f"http://{LOOPBACK}:{ports[0]}"
        instance.configure(properties_text({"inference_address": url, "management_address": url}), "")
        instance.log_config.unlink()
        shutil.copy(archive, instance.store / "one.mar")
        start = LocalSite(environment).prepare(instance)
        words = server_arguments(instance)
        command = [environment.server_command, *words[: words.index("--log-config")], "--models", "one=one.mar"]
        return OwnStart(command, start.environ)

    def is_ready(process: OwnProcess) -> bool:
        address = Address(LOOPBACK, LOOPBACK, process.ports[0], None)
        return b"READY" in send_once(address, Request("GET", "/models/one"), 10).body

    with started_process(lambda: free_ports(1), prepare, is_ready) as process:
        yield f"http://{LOOPBACK}:{process.ports[0]}"


@pytest.fixture
def command(container: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(container, tmp_path, capsys)


def test_the_one_model_is_asked_by_invocations(command: Command) -> None:
    status, said, result = command.run("latency --dialect sagemaker -i INPUT -l 20")
    assert status == 0, said
    assert (result["benchmarks"][0]["model"], result["benchmarks"][0]["steps"][0]["succeeded"]) == ("model", 20)
    assert result["server"]["dialect"] == "sagemaker"


def test_several_models_are_asked_by_their_names_and_told_at_the_same_port(command: Command) -> None:
    for line, path in (("-m one -i INPUT", "/models/one/invoke"), ("-m noop", "/models/noop-v1.0/invoke")):
        status, said, result = command.run(f"latency --dialect sagemaker {line} -l 20 -v")
        assert status == 0, said
        assert result["benchmarks"][0]["steps"][0]["succeeded"] == 20
        assert f"POST {path}" in said
    status, said, result = command.run("load --dialect sagemaker -m noop --options count 2")
    assert status == 0, said
    assert result["benchmarks"][0]["steps"][0]["succeeded"] == 2


def test_a_model_that_was_there_is_not_scaled(command: Command) -> None:
    status, said, _ = command.run("repeated_scale_calls --dialect sagemaker -m one -i INPUT")
    assert (status, "was on the server before, so it is not scaled" in said) == (2, True), said
