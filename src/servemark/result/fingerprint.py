"""What two results must share to be compared: the machine, the engine and what this had of it, and what was asked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from servemark.result.document import BenchmarkResult, Result, RunResult, mapping_in
from servemark.result.loads import LoadResult, OpenLoadResult

#: What of a load is no part of what was asked: what was had of the machine, which the environment says.
_HAD = {"kind", "generator_threads", "realtime", "keep_awake", "receive_clock", "max_connections", "offered_per_s"}
#: Settings that name a place of one run.
_OF_ONE_RUN = re.compile(r"address|/")


@dataclass(frozen=True)
class Fingerprint:
    """The environment of a benchmark; None of what its result does not tell.

    Attributes:
        machine: its architecture, with how many CPUs it has.
        kernel: its release.
        cpu_model: what the kernel calls its processors, and `governor` what governs their frequency.
        python: that of the generator, and `server_python` that of the server's workers.
        jdk: the version of the server's Java.
        engine: what sent the requests, with the versions of what it is made of.
        realtime: what became of real-time priority, in any run: "rr 1", "off"; so too `keep_awake`, None where no CPU
            needed that.
        receive_clock: whose time of arrival answers have.
        generators: over how many the load was spread, of the point that had most: others had no use for as many.
        model: its checksum; of the zoo's with their names. Of a model that the server had before none is known.
        backend: what computes it.
        inputs: the checksum of what is sent.
    """

    machine: str
    kernel: str | None
    cpu_model: str | None
    governor: str | None
    python: str
    server_python: str | None
    jdk: str | None
    engine: str
    realtime: str
    keep_awake: str | None
    receive_clock: str
    generators: str
    model: str | None
    backend: str | None
    inputs: str | None

    def unlike(self, other: Fingerprint) -> dict[str, tuple[str, ...]]:
        """What differs, by its name: here and in `other`. What either does not tell is not held against them."""
        return differences(dataclasses.asdict(self), dataclasses.asdict(other))


def fingerprint(result: Result, benchmark: BenchmarkResult) -> Fingerprint:
    """The environment in which a benchmark of `result` was measured."""
    machine, server, tool = result.environment, _server(result, benchmark), result.tool
    loads = [run.load for run in benchmark.answering.values()]
    versions = ", ".join(f"{name} {number}" for name, number in sorted(tool.engine_versions.items()))
    return Fingerprint(
        machine=f"{machine.machine}, {machine.cpus} CPUs" if machine.cpus else machine.machine,
        kernel=machine.kernel,
        cpu_model=machine.cpu_model,
        governor=machine.governor,
        python=machine.python,
        server_python=_text(_versions(server).get("python")),
        jdk=_text(server.get("java")),
        engine=f"{tool.engine} of servemark {tool.version}" + (f" ({versions})" if versions else ""),
        realtime=_joined(load.realtime for load in loads),
        keep_awake=_kept_awake(load.keep_awake for load in loads),
        receive_clock=_joined(load.receive_clock for load in loads),
        generators=_most_spread(benchmark.answering.values()),
        model=_text((benchmark.archive or {}).get("sha256")) or _checksum(benchmark.model_sha256 or {}),
        backend=benchmark.backend,
        inputs=benchmark.options.input_sha256,
    )


def asked_of_point(result: Result, benchmark: BenchmarkResult, run: RunResult) -> dict[str, str | None]:
    """What was asked of a point, by name: the load, the settings of server and models, and the benchmark's parameters.

    Parameters that are lists of points are left out: each point says its own.
    """
    facts: dict[str, Any] = {}
    config = mapping_in(_server(result, benchmark), "config")
    facts |= {
        f"setting {name}": value
        for name, value in config.items()
        if not _OF_ONE_RUN.search(name) and not _OF_ONE_RUN.search(str(value))
    }
    settings = {**mapping_in(run.server, "requested"), **mapping_in(run.server, "read_back")}
    facts |= {f"setting {name}": value for name, value in settings.items()}
    told = {name: _text(value) for name, value in facts.items()}
    return asked_beforehand(run.load, benchmark.options.parameters, run.point) | told


def asked_beforehand(
    load: LoadResult, parameters: Mapping[str, Any], point: Mapping[str, Any]
) -> dict[str, str | None]:
    """What of that is known before anything starts: the load of a point, and the benchmark's parameters."""
    facts: dict[str, Any] = {"load": load.kind}
    for item in dataclasses.fields(load):
        if item.name not in _HAD:
            value = getattr(load, item.name)
            facts[f"load {item.name}"] = "none" if value is None else value
    if isinstance(load, OpenLoadResult) and load.trace:
        facts["load trace"] = load.trace.sha256 or load.trace.times
    facts |= {
        f"parameter {name}": value
        for name, value in parameters.items()
        if not any(key.startswith(name) for key in point)
    }
    return {name: _text(value) for name, value in facts.items()}


def served_by(result: Result, benchmark: BenchmarkResult) -> dict[str, str | None]:
    """The server, by name: product, versions, URL of an endpoint, and the checkout that it was built from.

    It may be what is compared.
    """
    server = _server(result, benchmark)
    source = mapping_in(server, "source")
    changed = " with changes" if source.get("dirty") else ""
    return {
        "server": " ".join(str(server[key]) for key in ("product", "version", "launcher") if server.get(key)) or None,
        "url": benchmark.options.url,
        "commit": f"{str(source['commit'])[:7]}{changed}" if source.get("commit") else None,
        **{name: _text(number) for name, number in _versions(server).items() if name not in {"python", "java"}},
    }


def differences(own: Mapping[str, str | None], other: Mapping[str, str | None]) -> dict[str, tuple[str, ...]]:
    """What differs, by its name: in one and in the other. What either does not tell is not held against them."""
    pairs = {name: (own[name], other.get(name)) for name in own}
    told = {name: pair for name, pair in pairs.items() if None not in pair and pair[0] != pair[1]}
    return {name: (str(one), str(two)) for name, (one, two) in told.items()}


def _most_spread(runs: Iterable[RunResult]) -> str:
    """The largest number of generators of any of them; empty where there are none."""
    return max((str(spread_over(run)) for run in runs), key=int, default="")


def spread_over(run: RunResult) -> int:
    """Over how many generators the load of a run was spread."""
    return len(run.generators or (run,))


def _checksum(of_zoo: Mapping[str, str]) -> str | None:
    """The checksums of models of the zoo as one text, in any order the same."""
    return ", ".join(f"{name} {sha256}" for name, sha256 in sorted(of_zoo.items())) or None


def _server(result: Result, benchmark: BenchmarkResult) -> Mapping[str, Any]:
    return benchmark.server or result.server or {}


def _versions(server: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping_in(server, "versions")


def _text(value: Any) -> str | None:
    """`value` in words; of what has fields those that are not None, with their names."""
    if value is None:
        return None
    if dataclasses.is_dataclass(value):
        fields = ((item.name, getattr(value, item.name)) for item in dataclasses.fields(value))
        return ", ".join(f"{name} {_text(one)}" for name, one in fields if one is not None)
    if isinstance(value, (list, tuple)):
        return "; ".join(str(_text(one)) for one in value)
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value)


def _kept_awake(words: Iterable[str]) -> str | None:
    """Which CPUs were kept from halting, in any run; None where none of them needed it.

    CPUs that are busy by themselves do not halt: that it was left to them in some runs, or from some time on, makes no
    other environment.
    """
    of_each = (one for word in words for one in word.split("; "))
    kept = {one.partition(" until ")[0] for one in of_each} - {"not needed"}
    return _joined(kept - {"off"} or kept) or None


def _joined(words: Iterable[str]) -> str:
    """The different ones of `words`; a share or a time in them tells no environment from another."""
    return "; ".join(sorted({re.sub(r"[\d.]+ s\b", "a while", word) for word in words}))


def matchable(result: Result) -> dict[str, BenchmarkResult]:
    """Name each benchmark of a result as it is matched with those of others: by name and model.

    Where several have the same they are numbered. An endpoint is matched by its path: another host is another server,
    which may be what is compared.
    """
    whats = [one.model or urlsplit(one.options.url or "").path for one in result.benchmarks]
    names = told_apart(f"{one.name} {what}".strip() for one, what in zip(result.benchmarks, whats, strict=True))
    return dict(zip(names, result.benchmarks, strict=True))


def told_apart(names: Iterable[str]) -> list[str]:
    """`names` in their order; behind those that were there before stands a number."""
    told: list[str] = []
    for name in names:
        numbered = (name, *(f"{name} ({number})" for number in range(2, len(told) + 2)))
        told.append(next(one for one in numbered if one not in told))
    return told
