"""Results as JSON and back: written by ``to_json``, read by ``from_json``, whatever the version of their schema."""

from __future__ import annotations

import dataclasses
import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from servemark.errors import RecordingError
from servemark.result.analysis import Analysis
from servemark.result.comparison import Comparison
from servemark.result.document import (
    NOT_WRITTEN,
    SCHEMA,
    AskedOptions,
    BenchmarkResult,
    PromptsSent,
    Result,
    RunResult,
    StepSummary,
    Verdict,
)
from servemark.result.figures import Statistic
from servemark.result.rules import broken_rules

_FIRST = "servemark/result/1"
#: More than any whole number that is counted, and than arrays of them hold; and than any figure that is reckoned with.
_BEYOND_WHOLE, _BEYOND = 2**64, 1e100
#: How much of a value that is not what it should be is shown.
_LONGEST_SHOWN = 60
#: What ``json`` gives of each kind of value, and what a person calls it.
_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "whole number"),
    float: ((int, float), "number"),
    str: ((str,), "text"),
    bool: ((bool,), "true or false"),
}
#: What is left out of the JSON where it is None: answers to what was not asked, and options of other kinds of load.
_LEFT_OUT = {
    *((Analysis, field.name) for field in dataclasses.fields(Analysis)),
    *((AskedOptions, name) for name in ("threads", "rate", "arrival", "max_connections", "url", "method")),
    (StepSummary, "goodput_per_s"),
    (StepSummary, "distribution"),
    (StepSummary, "tokens"),
    (Verdict, "objective"),
    (Verdict, "needs_times"),
    (RunResult, "repeat_of"),
    (RunResult, "generators"),
    (BenchmarkResult, "model_sha256"),
    (RunResult, "inside"),
    (RunResult, "condensed"),
    (RunResult, "prompts"),
    (PromptsSent, "seed"),
    (PromptsSent, "run"),
    (BenchmarkResult, "trials"),
    (BenchmarkResult, "capacity"),
    (BenchmarkResult, "capacity_over"),
    (Result, "comparison"),
}


def to_json(value: Any) -> Any:
    """`value` as what ``json`` can write: dataclasses as objects.

    Of a statistic `needs_n` or `needs_s` is there only where there is no interval.
    """
    if isinstance(value, Statistic):
        if value.ci95 is not None:
            return {"value": value.value, "ci95": list(value.ci95)}
        needs = {"needs_s": value.needs_s} if value.needs_n is None and value.needs_s else {"needs_n": value.needs_n}
        return {"value": value.value, "ci95": None, **needs}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        written = (item.name for item in dataclasses.fields(value) if item.metadata != NOT_WRITTEN)
        fields = {name: getattr(value, name) for name in written}
        said = {name: item for name, item in fields.items() if item is not None or (type(value), name) not in _LEFT_OUT}
        return {name: to_json(item) for name, item in said.items()}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def comparison_text(comparison: Comparison | Sequence[Comparison]) -> str:
    """A comparison by itself, or an array of several, as JSON."""
    return json.dumps(to_json(comparison), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(data: Any) -> Result:
    """The result that ``to_json`` made `data` of, this or an earlier version's; what it does not know it leaves out.

    Raises:
        ValueError: `data` is no result, or one of a newer schema.
    """
    result: Result = _whole(Result, data, _migrated)
    return result


def benchmark_from_json(data: Any) -> BenchmarkResult:
    """The benchmark that ``to_json`` made `data` of.

    Raises:
        ValueError: `data` is none.
    """
    benchmark: BenchmarkResult = _whole(BenchmarkResult, data)
    return benchmark


def read_result(file: Path) -> Result:
    """The result in a ``result.json``.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no result, or one of a newer schema.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_number)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        again = "cut short, or changed? copy it again from where it was written"
        raise ValueError(f"it is no JSON ({error}); {again}") from error
    return from_json(data)


def _no_number(text: str) -> float:
    raise ValueError(
        f"it holds {text}, which is no figure and no JSON; make it again from its records, or measure again"
    )


def load_result(path: Path) -> Result:
    """The result at `path`: a result's folder, or its ``result.json``.

    Raises:
        RecordingError: there is none, or it cannot be read.
    """
    file = path / "result.json" if path.is_dir() else path
    try:
        return read_result(file)
    except (OSError, ValueError) as error:
        cause = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise RecordingError(f"{file} is no result", cause=cause, next_step="name a result's folder") from error


def _migrated(data: Any) -> Any:
    """`data` as this version would have written it."""
    schema = data.get("schema") if isinstance(data, Mapping) else None
    if schema == SCHEMA:
        return data
    if schema != _FIRST:
        number = re.fullmatch(r"servemark/result/(\d+)", schema) if isinstance(schema, str) else None
        if number and int(number[1]) > int(SCHEMA.rpartition("/")[2]):
            raise ValueError(f"it is {schema}, which a newer servemark wrote; read it with that one")
        raise ValueError(f"it is no {SCHEMA}, so no result of servemark's; name the folder that a run has written")
    benchmarks = [_migrated_benchmark(benchmark) for benchmark in data.get("benchmarks", ())]
    return {**data, "schema": SCHEMA, "benchmarks": benchmarks}


def _migrated_benchmark(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A benchmark of the first schema, as this version would have written it."""
    outcomes = {True: "met", False: "missed", None: "finding"}
    verdicts = [{**one, "outcome": outcomes[one["passed"]]} for one in data.get("verdicts", ())]
    analysis = data.get("analysis") or {}
    law = analysis.get("scalability") or {}
    if "sigma" in law and "most_users" not in law:  # its first results did not say within which numbers it was fitted
        users = [run["load"]["users"] for run in data["runs"]]
        law = {**law, "least_users": min(users), "most_users": max(users)}
        analysis = {**analysis, "scalability": law}
    return {**data, "verdicts": verdicts, "analysis": analysis or None}


def _whole(wanted: Any, data: Any, prepared: Callable[[Any], Any] = lambda data: data) -> Any:
    try:
        return _read(wanted, prepared(data))
    except (KeyError, TypeError, AttributeError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"it is no whole {SCHEMA}: {why}; copy the file again from where it was written") from error


def _read(wanted: Any, value: Any) -> Any:
    """`value`, as ``json`` gives it, as what the annotation `wanted` says."""
    arguments, origin = get_args(wanted), get_origin(wanted)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        options = [one for one in arguments if one is not type(None)]
        return _read(options[0] if len(options) == 1 else _fitting(options, value), value)
    if dataclasses.is_dataclass(wanted):
        return _read_fields(wanted, value)
    if origin is tuple:
        return _read_tuple(arguments, value)
    if origin is Mapping:
        _check_kind(value, Mapping, "object")
        return {key: _read(arguments[1], item) for key, item in value.items()}
    if origin is Literal and not any(type(value) is type(one) and value == one for one in arguments):
        raise TypeError(f"{_shown(value)} is none of {', '.join(map(str, arguments))}")
    if wanted in _KINDS:
        _check_kind(value, *_KINDS[wanted])
        if isinstance(value, bool) != (wanted is bool):
            raise TypeError(f"{_shown(value)} is no {_KINDS[wanted][1]}")
    _check_size(value)
    return value


def _read_tuple(arguments: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    """An array as a tuple, as long as the annotation says."""
    _check_kind(value, list, "array")
    if arguments[-1] is Ellipsis:
        return tuple(_read(arguments[0], item) for item in value)
    if len(value) != len(arguments):
        raise TypeError(f"{_shown(value)} is no array of {len(arguments)}")
    return tuple(_read(one, item) for one, item in zip(arguments, value, strict=True))


def _check_kind(value: Any, kinds: Any, called: str) -> None:
    if not isinstance(value, kinds):
        raise TypeError(f"{_shown(value)} is no {called}")


def _check_size(value: Any) -> None:
    """See that a number is one that can be reckoned with: ``json`` reads some as infinite, and others of any size.

    Of what is free in its form every number in it is looked at.
    """
    if isinstance(value, Mapping):
        for item in value.values():
            _check_size(item)
    elif isinstance(value, list):
        for item in value:
            _check_size(item)
    elif isinstance(value, (int, float)) and abs(value) >= (_BEYOND_WHOLE if isinstance(value, int) else _BEYOND):
        raise TypeError(f"{_shown(value)} is too large")


def _shown(value: Any) -> str:
    """As much of a value as a line has room for."""
    return json.dumps(value)[:_LONGEST_SHOWN]


def _read_fields(wanted: Any, value: Any) -> Any:
    """`value` as the dataclass `wanted`; an error names the field that it is of."""
    _check_kind(value, Mapping, "object")
    lacking = [name for name in _needed(wanted) if name not in value]
    if lacking:
        raise TypeError(f"it lacks {', '.join(lacking)}")
    hints, read = _hints(wanted), {}
    for field in dataclasses.fields(wanted):
        if field.name in value:
            try:
                read[field.name] = _read(hints[field.name], value[field.name])
            except TypeError as error:
                raise TypeError(f"{field.name}: {error}") from error
    made = wanted(**read)
    broken = next(broken_rules(made), None)
    if broken is not None:
        raise TypeError(broken)
    return made


def _needed(wanted: Any) -> list[str]:
    """The fields of a dataclass that have no default."""
    fields = dataclasses.fields(wanted)
    return [field.name for field in fields if field.default is field.default_factory is dataclasses.MISSING]


def _fitting(options: Sequence[Any], value: Any) -> Any:
    """The dataclass of several that `value` can be: it has all that it needs, and the words that tell it."""
    _check_kind(value, Mapping, "object")
    for option in options:
        hints = _hints(option)
        needed = set(_needed(option))
        told = {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}
        if needed <= value.keys() and all(value[name] in words for name, words in told.items() if name in value):
            return option
    raise TypeError(f"{sorted(value)} is none of {', '.join(option.__name__ for option in options)}")


@cache
def _hints(of: type) -> dict[str, Any]:
    """The annotations of a dataclass, evaluated: once, for a result holds thousands of values of few kinds."""
    return get_type_hints(of)


def schema_text() -> str:
    """The JSON Schema of ``result.json``."""
    return resources.files("servemark").joinpath("result.schema.json").read_text(encoding="utf-8")
