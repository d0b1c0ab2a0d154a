"""Results of old JMeter files: figures as of any run, and a certificate that says that nothing vouches for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from servemark.certificate import certify
from servemark.records import RecordFile
from servemark.result import (
    IMPORTED,
    OWN_CLOCK,
    AskedOptions,
    BenchmarkResult,
    Check,
    ClosedLoadResult,
    Environment,
    ErrorExample,
    Result,
    RunResult,
    Telemetry,
    Tool,
)
from servemark.stats.evidence import Question, Window
from servemark.stats.gather import gather
from servemark.stats.summary import summarise
from servemark.units import NS_PER_S
from servemark.version import version

_UNKNOWN = "unknown"


def imported_result(
    benchmark: BenchmarkResult, records: RecordFile, jtl: Path, sha256: str, command: tuple[str, ...]
) -> Result:
    """The result that holds an imported `benchmark`, whose `records` were made of `jtl`, a file with that checksum."""
    started = datetime.fromtimestamp(records.started_unix_ns / NS_PER_S, timezone.utc)
    return Result(
        id=f"{started:%Y%m%dT%H%M%S.%fZ}-{benchmark.name}-{IMPORTED}",
        started_at=started.isoformat(),
        command=command,
        seed=0,
        partial=False,
        tool=Tool(version=version(), engine="jmeter"),
        environment=Environment(os=_UNKNOWN, machine=_UNKNOWN, cpus=None, memory_mib=0, python=_UNKNOWN),
        server={
            "product": "unknown server",
            "version": None,
            "launcher": f"{IMPORTED} from {jtl.name}",
            "jtl": {"file": str(jtl.absolute()), "sha256": sha256},
        },
        benchmarks=(benchmark,),
    )


def imported_benchmark(
    name: str,
    model: str | None,
    records: RecordFile,
    threads: int,
    examples: Mapping[int, tuple[ErrorExample, ...]],
    source: str,
) -> BenchmarkResult:
    """The benchmark that the samples of a JTL, as `records`, are taken for; `source` is the name of that file.

    All of them are measured: there is no warm-up that could be told from them, but that which our own files name.
    """
    window = Window(*records.span_ns())
    evidence = gather([records], Question(window=window, begins=tuple(range(len(records.step_names)))))
    steps = summarise(evidence, examples=examples)
    why = f"read from {source}: nothing vouches for these figures, and nothing is known of load, server and machine"
    certificate = certify([Check(IMPORTED, None, why)])
    run = RunResult(
        trial=1,
        point={},
        server={"requested": {}, "read_back": {}},
        load=ClosedLoadResult(
            users=threads,
            loops=None,
            duration_s=window.seconds,
            until=None,
            warmup_s=0.0,
            ramp_s=0.0,
            think_s=0.0,
            receive_clock=OWN_CLOCK,
        ),
        window_s=(window.start_ns / NS_PER_S, window.end_ns / NS_PER_S),
        warmup_s=0.0,
        certificate=certificate,
        steps=steps,
        telemetry=Telemetry(),
        records=f"{records.path.parent.name}/{records.path.name}",
    )
    return BenchmarkResult(
        name=name,
        model=model,
        backend=None,
        options=AskedOptions(threads=threads),
        cold_start_ms=None,
        partial=False,
        steps=steps,
        runs=(run,),
        certificate=certificate,
        verdicts=(),
    )
