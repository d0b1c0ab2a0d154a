"""GPUs without one: what NVML says is understood, too few are refused by number, and what got the CPU is caught."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from servemark.cli import main
from servemark.errors import DoesNotFitError, ServerError, UsageError
from servemark.machine import gpus
from servemark.machine.gpus import Gpus, check_gpus, devices_of, gpus_for, gpus_here
from servemark.servers import ServerSettings
from servemark.servers.mms import server_log
from servemark.servers.mms.config import server_properties
from servemark.servers.running import RunningLauncher

#: NVIDIA's management library as its header declares it, for a machine with two GPUs.
NVML = """
#include <stdio.h>
#include <string.h>
static char devices[2];
int nvmlInit_v2(void) { return STATUS; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) { *device = devices + index; return 0; }
int nvmlDeviceGetName(void *device, char *name, unsigned int length) {
    snprintf(name, length, "GPU %d", (int)((char *)device - devices));
    return 0;
}
int nvmlSystemGetDriverVersion(char *version, unsigned int length) { strncpy(version, "580.1", length); return 0; }
const char *nvmlErrorString(int status) { return "Driver Not Loaded"; }
"""


@pytest.fixture
def nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes the library and has it found; its nvmlInit returns the status that it is called with."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def make(status: int = 0) -> None:
        source, library = tmp_path / "nvml.c", tmp_path / f"nvml{status}.so"
        source.write_text(NVML)
        command = ["cc", "-shared", "-fPIC", f"-DSTATUS={status}", "-o", library, source]
        subprocess.run(command, check=True, timeout=60)
        monkeypatch.setattr(gpus, "_NVML", str(library))

    return make


def test_nvml_names_the_gpus_and_the_driver(nvml) -> None:
    nvml()
    assert gpus_here() == Gpus(("GPU 0", "GPU 1"), "580.1")
    assert gpus_here().facts == {"names": ["GPU 0", "GPU 1"], "driver": "580.1"}


def test_a_driver_that_does_not_work_says_why(nvml) -> None:
    nvml(status=9)
    assert gpus_here() == Gpus((), None, "nvmlInit_v2: Driver Not Loaded")


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("1", ("GPU 1",)),
        ("1,0", ("GPU 1", "GPU 0")),
        ("", ()),
        ("-1", ()),
        ("0,7,1", ("GPU 0",)),
        ("GPU-8a", ("GPU-8a",)),
    ],
)
def test_cuda_hides_those_that_its_variable_leaves_out(
    nvml, monkeypatch: pytest.MonkeyPatch, visible: str, names: tuple[str, ...]
) -> None:
    nvml()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_here() == Gpus(names, "580.1", f"CUDA_VISIBLE_DEVICES={visible} shows {len(names)} of 2")


def test_without_a_driver_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_NVML", "libno-such-thing.so.1")
    here = gpus_here()
    assert here.names == ()
    assert "driver is not installed" in here.why_fewer


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "no NVIDIA GPU here, 4 asked for: why; leave -g out"),
        (("A",), "1 GPU here, 4 asked for: why; ask for at most 1 with -g"),
        (("A", "B"), "2 GPUs here, 4 asked for: why; ask for at most 2 with -g"),
    ],
)
def test_too_few_are_refused_with_their_number(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(DoesNotFitError) as error:
        check_gpus(4, Gpus(names, None, "why"))
    assert str(error.value).startswith(said)
    assert error.value.exit_status == 4


def test_as_many_as_there_are_is_fine() -> None:
    check_gpus(2, Gpus(("A", "B"), "580"))
    assert gpus_for(0, preload=True) is None


def test_the_command_line_ends_with_4_where_there_are_fewer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "latency", "-g", "64", "-o", str(tmp_path / "out")]) == 4
    said = capsys.readouterr().err
    assert "64 asked for" in said
    assert "installing" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["latency", "-g", "1", "--mms", "localhost"], "-g and --mms do not go together"),
        (["latency", "-g", "1", "--backend", "mxnet"], "MXNet's package has no CUDA; use --backend onnx"),
        (["ping", "-g", "1"], "-g makes no sense with ping"),
    ],
)
def test_what_contradicts_gpus_is_a_usage_error(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *words]) == 2
    assert said in capsys.readouterr().err


def test_preloading_for_gpus_is_refused() -> None:
    with pytest.raises(UsageError, match="every worker would use the CPU"):
        gpus_for(1, preload=True)


def test_a_running_server_has_its_own() -> None:
    launcher = RunningLauncher("x", ())
    with pytest.raises(UsageError, match="a running server has its own"), launcher.serve(ServerSettings(gpus=1)):
        pass


def test_the_server_is_told_how_many_and_otherwise_to_use_none() -> None:
    told = [
        server_properties(settings, 8080, 8081, tls=False)
        for settings in (ServerSettings(), ServerSettings(gpus=4), ServerSettings(preload_model=True))
    ]
    assert [properties["number_of_gpu"] for properties in told] == ["0", "4", "0"]
    assert [properties["preload_model"] for properties in told] == ["false", "false", "true"]


def report(device: str, **more: Any) -> Mapping[str, Any]:
    provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
    return {"model": "m", "provider": provider, "device": device, "gpu_id": 0, "reason": "", **more}


def test_workers_are_counted_by_device_once_all_have_said_theirs() -> None:
    said = [report("gpu:1"), report("gpu:0"), {"model": "another", "device": "cpu"}]
    asked: list[None] = []

    def reports() -> list[Mapping[str, Any]]:
        asked.append(None)
        return said if len(asked) == 1 else [*said, report("gpu:1")]

    devices = devices_of("m", 3, reports, timeout_s=30)
    assert devices == {"provider": "CUDAExecutionProvider", "workers_by_device": {"gpu:0": 1, "gpu:1": 2}}


ORT_SAID = "/onnxruntime_src/x.cc:60 [ONNXRuntimeError] : CUDA failure 35: CUDA driver is too old ; GPU=-1 ; line=67"


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"reason": ORT_SAID}, "CUDA failure 35: CUDA driver is too old"),
        ({"reason": "no such device"}, "no such device"),
        ({}, "CUDA or its libraries could not be loaded; the server's log says which"),
        ({"gpu_id": None}, "the server dealt out no GPUs; it counts them with nvidia-smi"),
    ],
)
def test_a_worker_on_the_cpu_ends_the_run_with_the_likely_cause(more: Mapping[str, Any], cause: str) -> None:
    with pytest.raises(ServerError) as error:
        devices_of("m", 2, lambda: [report("gpu:0"), report("cpu", **more)], timeout_s=30)
    said = f"m computes with CPUExecutionProvider on the cpu, not on a GPU: {cause}"
    assert str(error.value).startswith(said)
    assert error.value.exit_status == 4


def test_workers_that_say_nothing_are_an_error() -> None:
    with pytest.raises(ServerError, match="only 1 of 2 workers of m say"):
        devices_of("m", 2, lambda: [report("gpu:0")], timeout_s=0.2)


def test_reports_are_read_from_the_log_whole_and_since_then(tmp_path: Path) -> None:
    log = tmp_path / server_log.SERVER_LOG
    line = '2026 [WARN ] W-9000-m-stderr WorkerLifeCycle - servemark-worker {"model": "m", "pid": %d}\n'
    log.write_text(line % 1 + "x" * 100_000 + "\n")
    before = server_log.sizes(tmp_path)
    with log.open("a") as file:
        file.write(line % 2 + "servemark-worker {torn\n" + "y" * 100_000 + "\n" + line % 3)
    assert [report["pid"] for report in server_log.worker_reports(tmp_path, {})] == [1, 2, 3]
    assert [report["pid"] for report in server_log.worker_reports(tmp_path, before)] == [2, 3]


def test_the_handlers_begin_their_reports_as_the_log_is_read() -> None:
    source = Path(gpus.__file__).parents[1] / "zoo" / "handlers" / "network.py"
    assert f'REPORT = "{server_log.WORKER_REPORT}"' in source.read_text()
