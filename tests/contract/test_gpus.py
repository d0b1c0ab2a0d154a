"""GPUs and the real server: who got one is told by its workers, and a model that got none ends the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from servemark.environments.mms import mms_environment
from servemark.errors import ServerError
from servemark.machine import gpus
from servemark.machine.gpus import Gpus, gpus_here
from servemark.servers import ModelSettings, ServerSettings
from servemark.servers.http.connection import send_once
from servemark.servers.mms import archives, server_log
from servemark.servers.mms.archives import ServeRequest
from servemark.servers.mms.dialect import DIALECT
from servemark.servers.mms.managed import ManagedLauncher
from servemark.zoo.catalogue import find
from servemark.zoo.predictions import check_prediction

from .predicting import prediction_of

pytestmark = pytest.mark.slow

#: What the server counts GPUs with, on a machine that has two.
NVIDIA_SMI = "#!/bin/sh\nprintf 'index\\n0\\n1\\n'\n"


def serving(*names: str) -> ServeRequest:
    return ServeRequest(tuple(model for model in map(find, names) if model))


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that is said to have two GPUs, with the runtime that finds none."""
    monkeypatch.setattr(gpus, "gpus_here", lambda: Gpus(("A", "B"), "580"))
    monkeypatch.setattr(archives, "mms_environment", lambda _backend, say, _extra, gpu: mms_environment("onnx", say))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def test_workers_get_a_gpu_each_and_one_that_computes_on_the_cpu_ends_the_run(two_gpus: None, nvidia_smi: None) -> None:
    with ManagedLauncher(serving("squeezenet")).serve(ServerSettings(gpus=2)) as server:
        with (
            pytest.raises(
                ServerError, match=r"squeezenet_v1\.1 computes with CPUExecutionProvider on the cpu"
            ) as error,
            server.serve_models(ModelSettings(workers=None)),
        ):
            pass
        assert "CUDA or its libraries could not be loaded" in error.value.cause
        reports = server_log.worker_reports(server._mms.instance.logs, {})
        assert {report["gpu_id"] for report in reports} == {0, 1}
        assert server.management.list_models() == ()


def test_a_server_that_deals_out_no_gpus_is_the_cause(
    two_gpus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = tmp_path / "nvidia-smi"
    none.write_text("#!/bin/sh\nexit 9\n")
    none.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with (
        ManagedLauncher(serving("squeezenet")).serve(ServerSettings(gpus=2)) as server,
        pytest.raises(ServerError, match="the server dealt out no GPUs; it counts them with nvidia-smi"),
        server.serve_models(ModelSettings(workers=None)),
    ):
        pass


def test_of_a_model_that_does_not_say_only_the_servers_configuration_is_known(two_gpus: None) -> None:
    with (
        ManagedLauncher(serving("noop")).serve(ServerSettings(gpus=2)) as server,
        server.serve_models(ModelSettings(workers=None)) as (served,),
    ):
        assert served.read_back["workers"] == 2
        assert server.facts["config"]["number_of_gpu"] == "2"  # type: ignore[index]
        assert server.facts["gpus"] == {"names": ["A", "B"], "driver": "580"}
        assert server.facts["devices"] == {"noop-v1.0": {"provider": None, "workers_by_device": {}}}


def test_without_asking_no_worker_gets_a_gpu(nvidia_smi: None) -> None:
    launcher = ManagedLauncher(ServeRequest(serving("squeezenet").models, backend="onnx"))
    with launcher.serve(ServerSettings()) as server, server.serve_models(ModelSettings(workers=1)):
        reports = server_log.worker_reports(server._mms.instance.logs, {})
        assert [(report["gpu_id"], report["device"]) for report in reports] == [(None, "cpu")]
        assert "devices" not in server.facts


@pytest.mark.skipif(not gpus_here().names, reason="no NVIDIA GPU here")
@pytest.mark.parametrize("name", ["resnet", "squeezenet", "lstm"])
def test_on_real_gpus_every_worker_computes_on_one_of_them(name: str) -> None:
    count = len(gpus_here().names)
    model = find(name)
    assert model is not None
    with (
        ManagedLauncher(serving(name)).serve(ServerSettings(gpus=count)) as server,
        server.serve_models(ModelSettings(workers=2 * count)) as (served,),
    ):
        devices = server.facts["devices"][served.name]  # type: ignore[index]
        assert devices["provider"] == "CUDAExecutionProvider"
        assert devices["workers_by_device"] == {f"gpu:{index}": 2 for index in range(count)}
        for _ in range(4 * count):
            answer = send_once(server.addresses["inference"], prediction_of(server, served), 60)
            assert check_prediction(model, DIALECT.decode(answer.body)) is None
