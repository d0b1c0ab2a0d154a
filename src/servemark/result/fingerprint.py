"""What two results must share to be compared: the machine, the server, the engine, and what this had of the machine."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from servemark.result.document import BenchmarkResult, Result


@dataclass(frozen=True)
class Fingerprint:
    """The environment of a benchmark; None of what its result does not tell.

    Attributes:
        machine: its architecture, with how many CPUs it has.
        kernel: its release.
        cpu_model: what the kernel calls its processors, and `governor` what governs their frequency.
        server: the product and its version.
        jdk: the version of the server's Java.
        engine: what sent the requests, with the versions of what it is made of.
        realtime: what became of real-time priority, in any run: "rr 1", "off"; so too `keep_awake`.
        receive_clock: whose time of arrival answers have.
    """

    machine: str
    kernel: str | None
    cpu_model: str | None
    governor: str | None
    python: str
    server: str | None
    jdk: str | None
    engine: str
    realtime: str
    keep_awake: str
    receive_clock: str

    def unlike(self, other: Fingerprint) -> Mapping[str, tuple[str | None, str | None]]:
        """What differs, by its name: here and in `other`. What either does not tell is not held against them."""
        pairs = {field.name: (getattr(self, field.name), getattr(other, field.name)) for field in _FIELDS}
        return {name: (own, its) for name, (own, its) in pairs.items() if own != its and None not in (own, its)}


_FIELDS = dataclasses.fields(Fingerprint)


def fingerprint(result: Result, benchmark: BenchmarkResult) -> Fingerprint:
    """The environment in which a benchmark of `result` was measured."""
    machine, server, tool = result.environment, benchmark.server or result.server or {}, result.tool
    loads = [run.load for run in benchmark.answering.values()]
    product = " ".join(str(server[name]) for name in ("product", "version") if server.get(name))
    versions = ", ".join(f"{name} {number}" for name, number in sorted(tool.engine_versions.items()))
    return Fingerprint(
        machine=f"{machine.machine}, {machine.cpus} CPUs" if machine.cpus else machine.machine,
        kernel=machine.kernel,
        cpu_model=machine.cpu_model,
        governor=machine.governor,
        python=machine.python,
        server=product or None,
        jdk=str(server["java"]) if server.get("java") else None,
        engine=f"{tool.engine} of servemark {tool.version}" + (f" ({versions})" if versions else ""),
        realtime=_joined(load.realtime for load in loads),
        keep_awake=_joined(load.keep_awake for load in loads),
        receive_clock=_joined(load.receive_clock for load in loads),
    )


def _joined(words: Iterable[str]) -> str:
    """The different ones of `words`; a share or a time in them tells no environment from another."""
    return "; ".join(sorted({re.sub(r"[\d.]+ s\b", "a while", word) for word in words}))
