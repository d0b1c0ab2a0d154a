"""The arguments of ``servemark.run`` as people write them in Python, and as ``RunRequest`` has them."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from servemark.errors import UsageError
from servemark.runner.request import RunRequest
from servemark.units import seconds_of
from servemark.workload.endpoint import parse_place
from servemark.workload.inputs import STANDARD_INPUT

_FIELDS = {field.name: str(field.type) for field in fields(RunRequest) if field.name != "benchmark"}
#: What the command line calls them, where that is another name.
_ON_THE_COMMAND_LINE = {
    "mms": "server",
    "docker_image": "image",
    "input": "inputs",
    "body_file": "inputs",
    "header": "headers",
    "max_errors": "max_errors_share",
    "options": "parameters",
    **{name.removesuffix("_s"): name for name in _FIELDS if name.endswith("_s")},
}
_AT_LEAST = {"threads": 1, "loops": 1, "workers": 1, "max_connections": 1, "generator_threads": 1, "gpus": 0, "seed": 0}
_ABOVE_ZERO = ("duration_s", "timeout_s")
_NOT_BELOW_ZERO = ("warmup_s", "ramp_s", "think_s")


def fields_from(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request in `options`: a path may be a string, one of several be given alone, a time have a unit.

    Raises:
        TypeError: there is no such field; names the one that was meant.
        UsageError: a time or a place cannot be read.
    """
    for name in options:
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, n=1, cutoff=0.6)
            meant = _ON_THE_COMMAND_LINE.get(name) or next(iter(near), "")
            raise TypeError(f"run() has no argument {name!r}" + (f"; did you mean {meant}?" if meant else ""))
    return {name: _field(name, value) for name, value in options.items()}


def check_numbers(request: RunRequest) -> None:
    """Refuse numbers that the command line refuses; 0 is no other word for leaving one out.

    Raises:
        UsageError: names the field.
    """
    for name, least in _AT_LEAST.items():
        value = getattr(request, name)
        if value is not None and value < least:
            raise UsageError(
                f"{name} is {value}", cause=f"it is at least {least}", next_step="leave it out for its default"
            )
    for name in (*_ABOVE_ZERO, *_NOT_BELOW_ZERO):
        value = getattr(request, name)
        if value is None:
            continue
        if not math.isfinite(value) or value < 0 or (value == 0 and name in _ABOVE_ZERO):
            bound = "above" if name in _ABOVE_ZERO else "at least"
            raise UsageError(f"{name} is {value}", cause=f"it is {bound} 0 seconds")


def _field(name: str, value: Any) -> Any:
    if isinstance(value, str) and name.endswith("_s"):
        seconds = seconds_of(value)
        if seconds is None:
            raise UsageError(f"{name} is {value!r}", cause="that is no time such as 10, 500ms, 10s, 1m or 1h")
        return seconds
    if isinstance(value, str) and name == "connect_to":
        return parse_place(value)
    if _FIELDS[name] == "Path | None":
        return Path(value) if isinstance(value, str | os.PathLike) else value
    if name == "inputs":
        several = [value] if isinstance(value, str | os.PathLike) else value
        return tuple(STANDARD_INPUT if one == "-" else Path(one) for one in several)
    if name == "headers":
        if isinstance(value, Mapping):
            return tuple(f"{field}: {text}" for field, text in value.items())
        return (value,) if isinstance(value, str) else tuple(value)
    return value
