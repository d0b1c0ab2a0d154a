"""GPUs: which NVIDIA ones this machine has, and what a server's workers say that they compute with.

NVIDIA's management library (NVML) comes with the driver; few of its calls are needed here, so it is called directly.
"""

from __future__ import annotations

import ctypes
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from servemark.errors import DoesNotFitError, ServerError, UsageError

_NVML = "libnvidia-ml.so.1"
_NAME_BYTES = 96
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_LOOK_EVERY_S = 0.1
#: What CUDA itself says, in the middle of what ONNX Runtime says.
_CUDA_FAILURE = re.compile(r"CUDA failure \d+: [^;]+[^; ]")


@dataclass(frozen=True)
class Gpus:
    """The NVIDIA GPUs that a program here can use.

    Attributes:
        names: one for each, as in "NVIDIA H200".
        driver: its version; None when there is no driver.
        why_fewer: why there are none, or fewer than the machine has; empty when that needs no reason.
    """

    names: tuple[str, ...]
    driver: str | None
    why_fewer: str = ""

    @property
    def facts(self) -> Mapping[str, object]:
        """What the result says of them."""
        return {"names": list(self.names), "driver": self.driver}


class _NvmlError(Exception):
    """A call of NVML failed."""


def gpus_here() -> Gpus:
    """The GPUs that NVML finds and that CUDA_VISIBLE_DEVICES leaves."""
    try:
        nvml = ctypes.CDLL(_NVML)
    except OSError:
        return Gpus((), None, f"the NVIDIA driver is not installed ({_NVML} is missing)")
    try:
        _call(nvml, "nvmlInit_v2")
        try:
            names, driver = _names(nvml), _text(nvml, "nvmlSystemGetDriverVersion")
        finally:
            nvml.nvmlShutdown()
    except _NvmlError as error:
        return Gpus((), None, str(error))
    return _visible(names, driver)


def gpus_for(wanted: int, *, preload: bool) -> Gpus | None:
    """The GPUs here, proved to be as many as are `wanted`; None when none are. `preload` loads models before they fork.

    Raises:
        UsageError: models are to be preloaded, too.
        DoesNotFitError: there are fewer.
    """
    if not wanted:
        return None
    if preload:
        raise UsageError(
            "models cannot be preloaded for GPUs",
            cause="the server would load them before it deals the GPUs out, and every worker would use the CPU",
            next_step="leave out one of the two",
        )
    here = gpus_here()
    check_gpus(wanted, here)
    return here


def check_gpus(wanted: int, here: Gpus) -> None:
    """Nothing, when there are `wanted` GPUs.

    Raises:
        DoesNotFitError: there are fewer; says how many.
    """
    count = len(here.names)
    if wanted <= count:
        return
    there_are = f"{count} GPU{'s' if count > 1 else ''} here" if count else "no NVIDIA GPU here"
    raise DoesNotFitError(
        f"{there_are}, {wanted} asked for",
        cause=here.why_fewer,
        next_step=f"ask for at most {count} with -g" if count else "leave -g out to use the CPU",
    )


def devices_of(
    model: str, workers: int, reports: Callable[[], Sequence[Mapping[str, Any]]], timeout_s: float
) -> Mapping[str, object]:
    """What the `workers` workers of `model` compute with, proved to be GPUs: provider, and workers by device.

    `reports` gives what they have reported so far; the server's log, where it stands, is behind them by a moment.

    Raises:
        ServerError: one computes with something else, or does not say.
    """
    deadline = time.monotonic() + timeout_s
    while len(found := [report for report in reports() if report.get("model") == model]) < workers:
        if time.monotonic() > deadline:
            raise ServerError(
                f"only {len(found)} of {workers} workers of {model} say what they compute with",
                next_step="see the server's log (-v), or leave -g out to use the CPU",
            )
        time.sleep(_LOOK_EVERY_S)
    for report in found:
        if not str(report.get("device")).startswith("gpu:"):
            raise ServerError(
                f"{model} computes with {report.get('provider')} on the {report.get('device')}, not on a GPU",
                cause=_why_not(report),
                next_step="check that nvidia-smi runs and shows a driver from 525 on, or leave -g out to use the CPU",
            )
    return {
        "provider": str(found[0]["provider"]),
        "workers_by_device": dict(sorted(Counter(str(report["device"]) for report in found).items())),
    }


def _why_not(report: Mapping[str, Any]) -> str:
    if report.get("gpu_id") is None:
        # Whatever its configuration says, it has no more than that program lists.
        return "the server dealt out no GPUs; it counts them with nvidia-smi, which has to be on its PATH"
    reason = str(report.get("reason") or "CUDA or its libraries could not be loaded; the server's log says which")
    failure = _CUDA_FAILURE.search(reason)
    return failure[0] if failure else reason


def _names(nvml: ctypes.CDLL) -> tuple[str, ...]:
    count = ctypes.c_uint()
    _call(nvml, "nvmlDeviceGetCount_v2", ctypes.byref(count))
    names = []
    for index in range(count.value):
        device = ctypes.c_void_p()
        _call(nvml, "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(device))
        names.append(_text(nvml, "nvmlDeviceGetName", device))
    return tuple(names)


def _text(nvml: ctypes.CDLL, function: str, *arguments: object) -> str:
    buffer = ctypes.create_string_buffer(_NAME_BYTES)
    _call(nvml, function, *arguments, buffer, ctypes.c_uint(_NAME_BYTES))
    return buffer.value.decode("utf-8", "replace")


def _call(nvml: ctypes.CDLL, function: str, *arguments: object) -> None:
    status = getattr(nvml, function)(*arguments)
    if status != 0:
        nvml.nvmlErrorString.restype = ctypes.c_char_p
        raise _NvmlError(f"{function}: {nvml.nvmlErrorString(status).decode()}")


def _visible(names: tuple[str, ...], driver: str) -> Gpus:
    """The GPUs that CUDA shows to a program: in the order of the variable, up to the first that is none."""
    chosen = os.environ.get(_VISIBLE)
    if chosen is None:
        return Gpus(names, driver, "" if names else "the driver finds none")
    shown: list[str] = []
    for word in filter(None, chosen.split(",")):
        index = None
        with suppress(ValueError):
            index = int(word)
        if index is not None and not 0 <= index < len(names):
            break
        shown.append(names[index] if index is not None else word)
    return Gpus(tuple(shown), driver, f"{_VISIBLE}={chosen} shows {len(shown)} of {len(names)}")
