"""The tools: how each is called for a load, and what its own output says of p99.

Each is called as its manual says for this load, with the options that serve it best. In the closed loop each gets one
generator thread where it can be told so: for Go's tools and oha that is cheaper than their default. With a rate they
have their default.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench import outputs
from bench.peers import Installed
from servemark.environments.commands import run_command

SCRIPTS = Path(__file__).with_name("scripts")
OURS = "servemark"
FLOOR = "floor"
#: Longer than any measurement: a tool that is ended from outside needs a time, and none comes to it.
ENDLESS_S = 120


@dataclass(frozen=True)
class Call:
    """A load: `connections` that send as fast as they can for `seconds`, or all together `rate_per_s`."""

    url: str
    connections: int
    seconds: int
    body: Path
    rate_per_s: int | None = None
    requests: int | None = None

    @property
    def one_thread(self) -> Mapping[str, str]:
        """What tells Go and Tokio to use one thread, in the closed loop."""
        return {} if self.rate_per_s else {"GOMAXPROCS": "1", "TOKIO_WORKER_THREADS": "1"}

    @property
    def port(self) -> int:
        """Where the server listens."""
        return urlsplit(self.url).port or 80


@dataclass(frozen=True)
class Command:
    """A command line, and what its environment needs besides ours. It runs in a folder of its own."""

    words: tuple[str | Path, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tool:
    """A tool.

    Attributes:
        name: as the tables show it.
        program: its name among the peers; "" for what this repository builds.
        command: its command line for a load.
        p99_ms: what its output says, from the folder in which it ran; None where it says nothing.
        has_rate: whether it can be given a rate.
        is_closed: whether it is measured in the closed loop.
        warm_s: how long after its first request it has found its stride.
    """

    name: str
    program: str
    command: Callable[[Installed, Call], Command]
    p99_ms: Callable[[Installed, Path], float] | None = None
    has_rate: bool = True
    is_closed: bool = True
    warm_s: float = 0.5


def _ours(_: Installed, call: Call) -> Command:
    words: list[str | Path] = [sys.executable, "-m", "servemark", "run", "http", "--url", call.url]
    words += ["--method", "POST", "--body-file", call.body, "-H", "Content-Type: application/json"]
    if call.requests:
        words += ["-t", str(call.connections), "-l", str(call.requests // call.connections)]
    else:
        words += ["--duration", str(call.seconds), "--warmup", "0"]
        if call.rate_per_s:
            words += ["--rate", str(call.rate_per_s), "--max-connections", str(call.connections)]
        else:
            words += ["-t", str(call.connections)]
    words += ["-o", "result", "--allow-invalid", "--no-history"]
    return Command(tuple(words), {"PYTHONPATH": os.environ.get("PYTHONPATH", "")})


def _floor(peer: Installed, call: Call) -> Command:
    parts = urlsplit(call.url)
    return Command((peer.program, parts.netloc, parts.path, str(call.connections), str(call.seconds)))


def _wrk(peer: Installed, call: Call) -> Command:
    words = ("-t1", f"-c{call.connections}", f"-d{call.seconds}s", "--latency", "-s", SCRIPTS / "wrk.lua", call.url)
    return Command((peer.program, *words), {"BODY": str(call.body)})


def _ab(peer: Installed, call: Call) -> Command:
    # -t alone stops after 50,000 requests; it keeps 40 bytes for each one that -n allows.
    limits = ("-t", str(call.seconds), "-n", "20000000")
    words = ("-q", "-k", "-c", str(call.connections), *limits, "-p", call.body, "-T", "application/json", call.url)
    return Command((peer.program, *words))


def _hey(peer: Installed, call: Call) -> Command:
    words = ["-c", str(call.connections), "-z", f"{call.seconds}s", "-m", "POST", "-T", "application/json"]
    if call.rate_per_s:
        words += ["-q", f"{call.rate_per_s / call.connections:g}"]  # its rate is each worker's
    else:
        words += ["-cpus", "1"]
    return Command((peer.program, *words, "-D", call.body, call.url))


def _vegeta(peer: Installed, call: Call) -> Command:
    workers = str(call.connections)
    words: list[str | Path] = [] if call.rate_per_s else ["-cpus", "1"]
    words += ["attack", "-rate", f"{call.rate_per_s}/1s" if call.rate_per_s else "0"]
    words += ["-workers", workers, "-max-workers", workers, "-connections", workers, "-duration", f"{call.seconds}s"]
    words += ["-body", call.body, "-header", "Content-Type: application/json", "-output", "results.bin"]
    # Targets come from its standard input.
    line = 'printf "POST %s\\n" "$TARGET" | "$0" "$@"'
    return Command(("sh", "-c", line, peer.program, *words), {"TARGET": call.url})


def _vegeta_p99(peer: Installed, folder: Path) -> float:
    report = run_command(
        [peer.program, "report", "-type", "json", folder / "results.bin"], what="read vegeta's results", timeout_s=30.0
    )
    return outputs.vegeta(report)


def _k6(peer: Installed, call: Call) -> Command:
    environ = {"URL": call.url, "BODY": str(call.body), "USERS": str(call.connections), "SECONDS": str(call.seconds)}
    if call.rate_per_s:
        environ["RATE"] = str(call.rate_per_s)
    words = ("run", "--quiet", "--no-usage-report", SCRIPTS / "k6.js")
    return Command((peer.program, *words), {**environ, **call.one_thread})


def _fortio(peer: Installed, call: Call) -> Command:
    # Without -uniform all its threads send at the same moment.
    rate = ("-qps", str(call.rate_per_s), "-uniform") if call.rate_per_s else ("-qps", "0")
    words = ("load", "-quiet", "-c", str(call.connections), *rate, "-t", f"{call.seconds}s", "-p", "99", "-r", "0.0001")
    content = ("-content-type", "application/json", "-payload-file", call.body, "-json", "result.json")
    return Command((peer.program, *words, *content, call.url), call.one_thread)


def _oha(peer: Installed, call: Call, *more: str) -> Command:
    words = ["--no-tui", "--output-format", "json", "-c", str(call.connections), "-z", f"{call.seconds}s"]
    if call.rate_per_s:
        words += ["-q", str(call.rate_per_s)]
    content = ("-m", "POST", "-T", "application/json", "-D", call.body)
    return Command((peer.program, *words, *more, *content, call.url), call.one_thread)


def _oha_corrected(peer: Installed, call: Call) -> Command:
    return _oha(peer, call, "--latency-correction")


def _locust(peer: Installed, call: Call) -> Command:
    users = str(call.connections)
    words = ("-f", SCRIPTS / "locustfile.py", "--headless", "--only-summary", "-u", users, "-r", users)
    environ = {"URL": call.url, "BODY": str(call.body), "USERS": users}
    if call.rate_per_s:
        environ["RATE"] = str(call.rate_per_s)
    return Command((peer.program, *words, "-t", f"{call.seconds}s", "--csv", "locust"), environ)


def _jmeter(peer: Installed, call: Call) -> Command:
    parts = urlsplit(call.url)
    settings = {
        "users": call.connections,
        "seconds": call.seconds,
        "port": parts.port,
        "path": parts.path,
        "body": call.body.read_text(encoding="ascii"),
    }
    if call.rate_per_s:
        settings["per_minute"] = call.rate_per_s * 60
    words = [
        "-Xmx512m",
        "-Djava.util.prefs.userRoot=.",
        "-jar",
        str(peer.program),
        "-n",
        "-t",
        str(SCRIPTS / "plan.jmx"),
    ]
    words += ["-l", "results.jtl", "-j", "jmeter.log", *(f"-J{name}={value}" for name, value in settings.items())]
    return Command((peer.environ["JMETER_JAVA"], *words))


def _perf_analyzer(peer: Installed, call: Call) -> Command:
    """It sends the file as a form, to the one path that it knows; it ends by requests, not by time."""
    data = json.dumps({"data": [{"TORCHSERVE_INPUT": [str(call.body)]}]})
    load = ["--concurrency-range", str(call.connections)]
    if call.rate_per_s:
        load = ["--request-rate-range", str(call.rate_per_s), "--max-threads", str(call.connections)]
        load += ["--request-count", str(call.rate_per_s * call.seconds)]
    else:
        load += ["--measurement-interval", str(call.seconds * 1000)]
    address = urlsplit(call.url).netloc
    words = [
        "-m",
        "bench",
        "--service-kind",
        "torchserve",
        "-u",
        address,
        "--input-data",
        "input.json",
        "--percentile",
        "99",
    ]
    line = 'printf "%s" "$INPUT" > input.json && exec "$0" "$@"'
    return Command(("sh", "-c", line, peer.program, *words, *load), {**peer.environ, "INPUT": data})


def _printed(parse: Callable[[str], float], name: str = "out") -> Callable[[Installed, Path], float]:
    """A parser of what a tool wrote to the file `name` in its folder."""

    def read(_: Installed, folder: Path) -> float:
        return parse((folder / name).read_text(encoding="utf-8", errors="replace"))

    return read


#: All of them, ours first.
TOOLS: tuple[Tool, ...] = (
    Tool(OURS, "", _ours, _printed(outputs.servemark, "result/result.json")),
    Tool(FLOOR, "", _floor, has_rate=False),
    Tool("wrk", "wrk", _wrk, _printed(outputs.wrk), has_rate=False),
    Tool("ab", "ab", _ab, has_rate=False),
    Tool("oha", "oha", _oha, _printed(outputs.oha)),
    Tool("oha --latency-correction", "oha", _oha_corrected, _printed(outputs.oha), is_closed=False),
    Tool("fortio", "fortio", _fortio, _printed(outputs.fortio, "result.json")),
    Tool("hey", "hey", _hey, _printed(outputs.hey)),
    Tool("vegeta", "vegeta", _vegeta, _vegeta_p99),
    Tool("k6", "k6", _k6, _printed(outputs.k6, "summary.json"), warm_s=1.0),
    Tool("perf_analyzer", "perf_analyzer", _perf_analyzer, _printed(outputs.perf_analyzer)),
    Tool("locust", "locust", _locust, _printed(outputs.locust, "locust_stats.csv"), warm_s=1.0),
    Tool("jmeter", "jmeter", _jmeter, _printed(outputs.jmeter, "results.jtl"), warm_s=5.0),
)
