"""A suite's entries as what the command line would have said of each; what it does say goes before what they say."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from servemark.benchmarks import OPEN_LOOP, Benchmark, catalogue
from servemark.cli.options import EVERYWHERE
from servemark.errors import UsageError
from servemark.options import RunRequest, all_options
from servemark.options.kinds import Switch, nearest
from servemark.servers.oip.asked import MADE
from servemark.suites import Suite

#: What an entry may say besides ``name`` and ``options``: options by their long name.
FIELDS = tuple(option.name for option in all_options() if option.of_suites)
#: What the command line says of one of these replaces what an entry says of any: how long, and of which model.
_ALTERNATIVES = ({"loops", "duration", "precision", "max_duration"}, {"model", "custom_model"})
#: What makes sense in one loop only: what the command line says of one replaces what an entry says of the other.
_OPEN_LOOP, _CLOSED_LOOP = set(OPEN_LOOP), {"threads", "ramp", "think"}
#: Fields of which an entry may say several, and of those the ones that are paths.
_REPEATED, _PATHS = {"input", "body_file", "header", "shape"}, {"input", "body_file"}
#: How long a point of a suite may be measured, unless it says how long.
LONGEST_POINT_S = 20.0
#: Fields that are true or false.
_SWITCHES = {option.name for option in all_options() if option.of_suites and isinstance(option.kind, Switch)}
#: What is no field, and only makes sense with a model of the user's: benchmarks of other models do without.
_OF_CUSTOM_MODEL = ("server_requirements", "server_python")


def entry_requests(
    suite: Suite,
    given: Namespace,
    parser: argparse.ArgumentParser,
    request: Callable[[Namespace, Benchmark], RunRequest],
) -> Iterator[RunRequest]:
    """What each entry of `suite` asks, which `request` makes of its words, when the command line had `given`.

    Raises:
        UsageError: an entry says what it cannot say; names suite, number, benchmark and field.
    """
    _check_keys(suite, given.options[::2])
    has_custom_model = given.custom_model is not None or any("custom_model" in entry for entry in suite.entries)
    for number, entry in enumerate(suite.entries, 1):
        try:
            benchmark = _benchmark(entry)
            arguments = _merged(entry, benchmark, suite.folder, given, parser)
            if has_custom_model and arguments.custom_model is None:
                vars(arguments).update(dict.fromkeys(_OF_CUSTOM_MODEL))
            asked = request(arguments, benchmark)
        except UsageError as error:
            where = f"suite {suite.name}, benchmark {number} ({entry.get('name', '?')})"
            cause = f"{error.what}: {error.cause}" if error.cause else error.what
            raise UsageError(where, cause=cause, next_step=error.next_step) from None
        yield _short(asked)


def _short(request: RunRequest) -> RunRequest:
    """`request` with no point longer than a suite's, where nothing is said of its length."""
    load = request.load
    if load.fixed_length or load.precision_share is not None or load.max_duration_s is not None:
        return request
    return replace(request, load=replace(load, max_duration_s=LONGEST_POINT_S))


def _benchmark(entry: Mapping[str, Any]) -> Benchmark:
    known, name = catalogue(), entry.get("name")
    if name is None:
        raise UsageError("it has no name", next_step=f"choose from {', '.join(known)}")
    if name not in known:
        raise UsageError(f"unknown benchmark {name!r}", next_step=nearest(str(name), known))
    allowed = ("name", "options", *FIELDS)
    for field in entry:
        if field not in allowed:
            raise UsageError(f"unknown field {field!r}", next_step=nearest(field, allowed))
    return known[name]


def _check_keys(suite: Suite, keys: list[str]) -> None:
    """Every key after --options has to mean something to one of the suite's benchmarks."""
    known = {*EVERYWHERE}
    for entry in suite.entries:
        benchmark = catalogue().get(str(entry.get("name")))
        known |= {parameter.key for parameter in benchmark.parameters} if benchmark else set()
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"{key} is given twice", next_step="give it once")
        if key not in known:
            raise UsageError(f"unknown option key {key!r} after --options", next_step=nearest(key, sorted(known)))


def _merged(
    entry: Mapping[str, Any], benchmark: Benchmark, folder: Path, given: Namespace, parser: argparse.ArgumentParser
) -> Namespace:
    """The command line's arguments where they make sense to the benchmark, else the entry's, else the defaults."""
    own = {parameter.key for parameter in benchmark.parameters}
    said = parser.parse_args([benchmark.name, *_words(entry, folder)])
    pairs_given = {
        key: text
        for key, text in _pairs(given.options)
        if key in own or (key in EVERYWHERE and key not in benchmark.refuses)
    }
    asked = {field for field in given.given.intersection(FIELDS) if field not in benchmark.refuses and field not in own}
    kept = asked.union(pairs_given)
    if kept & _OPEN_LOOP and "/" in str(given.rate):  # that rate has its own length
        kept |= {"loops", "duration"}
    kept = kept.union(*(some for some in _ALTERNATIVES if some & kept), {"warmup"} if "loops" in kept else ())
    # No ramp and no thinking is what an open loop has, too.
    closed = {field for field in kept & _CLOSED_LOOP if field in pairs_given or getattr(given, field)}
    kept |= _CLOSED_LOOP if kept & {"rate", "arrival"} else _OPEN_LOOP if closed else set()
    merged = Namespace(**{**vars(given), "benchmark": benchmark.name})
    for name in set(benchmark.refuses).difference(FIELDS):
        setattr(merged, name, parser.get_default(name))
    for field in FIELDS:
        if field not in kept:
            setattr(merged, field, getattr(said, field))
        elif field not in asked:
            setattr(merged, field, parser.get_default(field))
    pairs = {key: text for key, text in _pairs(said.options) if key not in kept} | pairs_given
    merged.options = [word for pair in pairs.items() for word in pair]
    elsewhere = given.given.difference(FIELDS, benchmark.refuses)
    merged.given = frozenset({*elsewhere, *asked, *(field for field in said.given if field not in kept)})
    return merged


def _pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    yield from zip(words[::2], words[1::2], strict=False)


def _words(entry: Mapping[str, Any], folder: Path) -> list[str]:
    """The entry as words of a command line."""
    words: list[str] = []
    for field in FIELDS:
        value = entry.get(field)
        if value is None:
            continue
        if field in _REPEATED:
            option = f"--{field.replace('_', '-')}"
            several = value if isinstance(value, list) else [value]
            words += [f"{option}={folder / str(one) if field in _PATHS and one != '-' else one}" for one in several]
        elif field in _SWITCHES and isinstance(value, bool):
            words += [f"--{field.replace('_', '-')}"] if value else []
        elif field in _SWITCHES or isinstance(value, (bool, list, dict)):
            raise UsageError(f"{field} = {value!r} makes no sense", next_step="give one value")
        elif field == "arrival" and str(value).startswith("trace:"):
            words.append(f"--arrival=trace:{folder / str(value).removeprefix('trace:')}")
        elif field == "input_data" and value not in MADE:
            words.append(f"--input-data={folder / str(value)}")
        elif field == "unix_socket":
            words.append(f"--unix-socket={folder / str(value)}")
        elif field == "custom_model" and "://" not in str(value):
            words.append(f"--custom-model={folder / str(value)}")
        else:
            words.append(f"--{field.replace('_', '-')}={value}")
    options = entry.get("options", {})
    if not isinstance(options, dict):
        raise UsageError("options is no table", next_step="as in options = { count = 16 }")
    if options:
        words += ["--options", *(word for key, value in options.items() for word in (key, _text(value)))]
    return words


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
