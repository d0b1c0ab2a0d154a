"""What tools say of streams of tokens whose times are known, in the ways in which servers send them.

The server is the oracle (``servemark-oracle --llm``): the first token after 50 ms, then one each 10 ms, 100 of them, 20
requests a second. Each tool is asked as its manual says, and what it reports is read from its own files. Processor time
is read from outside, between two instants within the run, over the arrivals that the oracle saw between them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "accuracy"))

from oracle import ROW

from bench.peers import Installed
from bench.process import Process
from bench.receiver import await_port
from bench.running import Bench
from bench.tools import OURS, SCRIPTS, Command
from servemark.environments.commands import run_command
from servemark.errors import SetupError

RATE_PER_S, LENGTH_S, TOKENS = 20, 8, 100
#: Ways in which servers send tokens, as the oracle is asked for them, with the figure that tells tools apart.
WAYS: Mapping[str, tuple[str, str]] = {
    "plain": ("", "first_ms"),
    "a role chunk at once": ("role=1", "first_ms"),
    "two tokens a chunk": ("per_event=2", "per_token_ms"),
    "an empty delta before each": ("empty=1", "per_token_ms"),
    "a stall of 500 ms": ("stall=50:500", "longest_gap_ms"),
}
#: So long a tool may take to begin and to end.
_SLACK_S = 240.0
_LOOK_S = 0.25
#: Of the time of the arrivals this is left out at either end.
_EDGE_NS = 1_000_000_000
_MS = 1e6


@dataclass(frozen=True)
class Figures:
    """Medians in milliseconds: of what a tool reports, or of what the oracle did. None is what is not told.

    `longest_gap_ms` is the longest time between two tokens or chunks that it tells of any stream.
    """

    first_ms: float | None
    per_token_ms: float | None
    longest_gap_ms: float | None


@dataclass(frozen=True)
class Told:
    """Of one run of a tool over one way: what it reports, what was so, and what it cost.

    `gaps_ms` are the shortest and the longest time between arrivals; of a constant rate they are 50. `cpu_ms` is of a
    request; None where the run was too short to say.
    """

    reported: Figures
    truth: Figures
    gaps_ms: tuple[float, float]
    cpu_ms: float | None
    requests: int


@dataclass(frozen=True)
class TokenTool:
    """A tool that tells of tokens.

    Attributes:
        name: as the table shows it, and among the peers; ours is not among them.
        command: its command line for a server at a URL without a path, and the query that says how it sends.
        figures: what its files say, from the folder in which it ran.
    """

    name: str
    command: Callable[[Installed | None, str, str, Path], Command]
    figures: Callable[[Path], Figures]


def _ours(_: Installed | None, url: str, query: str, body: Path) -> Command:
    words = [sys.executable, "-m", "servemark", "run", "http", "--url", f"{url}/v1/chat/completions?{query}"]
    words += ["--body-file", str(body), "--tokens", "openai", "--rate", str(RATE_PER_S), "--duration", str(LENGTH_S)]
    words += ["--warmup", "0", "-o", "result", "--allow-invalid", "--no-history"]
    return Command(tuple(words))


def _of_ours(folder: Path) -> Figures:
    (step,) = json.loads((folder / "result" / "result.json").read_text(encoding="utf-8"))["benchmarks"][0]["steps"]
    tokens = step["tokens"]
    return Figures(
        tokens["first_token_ms"]["p50"]["value"],
        tokens["time_per_output_token_ms"]["p50"]["value"],
        tokens["longest_gap_ms"]["max"],
    )


def _aiperf(peer: Installed | None, url: str, query: str, body: Path) -> Command:
    assert peer is not None
    tokenizer = body.with_name("word-tokenizer")
    if not tokenizer.exists():  # it counts by one, and has none of its own without a network
        script = [peer.program.with_name("python"), SCRIPTS / "word_tokenizer.py", tokenizer]
        run_command(script, what="write a tokenizer for aiperf", timeout_s=_SLACK_S)
    words: list[str | Path] = [
        peer.program,
        "profile",
        "--model",
        "oracle",
        "--url",
        url,
        "--endpoint-type",
        "chat",
        "--streaming",
    ]
    words += ["--custom-endpoint", f"/v1/chat/completions?{query}", "--request-rate", str(RATE_PER_S)]
    words += ["--arrival-pattern", "constant", "--request-count", str(RATE_PER_S * LENGTH_S)]
    words += ["--synthetic-input-tokens-mean", "20", "--tokenizer", tokenizer, "--ui", "none"]
    return Command((*words, "--output-artifact-dir", "result"))


def _of_aiperf(folder: Path) -> Figures:
    told = json.loads((folder / "result" / "profile_export_aiperf.json").read_text(encoding="utf-8"))
    return Figures(
        told["time_to_first_token"]["p50"], told["inter_token_latency"]["p50"], told["inter_chunk_latency"]["max"]
    )


TOKEN_TOOLS = (TokenTool(OURS, _ours, _of_ours), TokenTool("aiperf", _aiperf, _of_aiperf))


def measure(bench: Bench, tool: TokenTool, way: str) -> Told:
    """One run of `tool` over one of :data:`WAYS`.

    Raises:
        SetupError: it does not end, or says nothing of tokens.
    """
    query = "&".join(filter(None, (WAYS[way][0], f"tokens={TOKENS}", "usage=last")))
    folder = bench.new_folder("oracle")
    body = folder.with_suffix(".json")
    asked = {"model": "oracle", "messages": [{"role": "user", "content": "hello"}], "max_tokens": TOKENS}
    asked |= {"stream": True, "stream_options": {"include_usage": True}}
    body.write_text(json.dumps(asked), encoding="utf-8")
    with Process((bench.programs / "servemark-oracle", "--llm", "--log", "log"), folder, pipes_stdin=True) as oracle:
        command = tool.command(
            bench.peers.installed.get(tool.name), f"http://127.0.0.1:{await_port(oracle)}", query, body
        )
        with Process(command.words, bench.new_folder(tool.name), environ=command.environ) as process:
            costs = _costs(process, tool.name)
        oracle.close_stdin()
        if oracle.wait(_SLACK_S) != 0:
            raise SetupError("the oracle failed", cause=oracle.complaint)
    try:
        reported = tool.figures(process.folder)
    except (OSError, ValueError, KeyError) as error:
        raise SetupError(f"{tool.name} reports nothing of tokens", cause=f"{error!r}: {process.complaint}") from error
    rows = np.fromfile(folder / "log", dtype=ROW)
    rows = rows[rows["contents"] > 0]
    return told(reported, rows, costs)


def told(reported: Figures, rows: NDArray[np.void], costs: NDArray[np.float64]) -> Told:
    """What a run came to: `rows` of the oracle's log, `costs` instants in ns with the CPU seconds used until then."""
    arrivals = np.sort(rows["arrival"])
    if len(arrivals) < 2:
        raise SetupError("the oracle saw no requests")
    gaps_ms = np.diff(arrivals[-RATE_PER_S * LENGTH_S :]) / _MS  # a tool may have asked something before
    per_token = (rows["last_content"] - rows["first_content"]) / np.maximum(rows["tokens"] - 1, 1)
    truth = Figures(
        float(np.median(rows["first_content"] - rows["arrival"])) / _MS,
        float(np.median(per_token)) / _MS,
        float(rows["longest_gap"].max()) / _MS,
    )
    return Told(reported, truth, (float(gaps_ms.min()), float(gaps_ms.max())), _cpu_ms(arrivals, costs), len(rows))


def _costs(process: Process, name: str) -> NDArray[np.float64]:
    """Instants of the monotonic clock, in ns, and the processor time that the tool had used until then, in seconds."""
    found, deadline_s = [], time.monotonic() + LENGTH_S + _SLACK_S
    while process.wait(_LOOK_S) is None:
        found.append((float(time.monotonic_ns()), process.cpu_s()))
        if time.monotonic() > deadline_s:
            raise SetupError(f"{name} did not end")
    return np.array(found).reshape(-1, 2)


def _cpu_ms(arrivals_ns: NDArray[np.int64], costs: NDArray[np.float64]) -> float | None:
    """Processor time a request, between the first and the last look within the run; None of fewer than two."""
    within = (costs[:, 0] >= arrivals_ns[0] + _EDGE_NS) & (costs[:, 0] <= arrivals_ns[-1])
    looks = costs[within]
    if len(looks) < 2:
        return None
    requests = int(((arrivals_ns >= looks[0, 0]) & (arrivals_ns < looks[-1, 0])).sum())
    return float(looks[-1, 1] - looks[0, 1]) * 1000 / requests if requests else None
