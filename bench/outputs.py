"""What the tools say of p99, in milliseconds: one function a format, each given the text that the tool wrote."""

from __future__ import annotations

import csv
import io
import json
import math
import re

_NO_P99 = "no p99 in it"


def servemark(text: str) -> float:
    """``result.json``: the response time, counted from when a request was due."""
    (step,) = json.loads(text)["benchmarks"][0]["steps"]
    return float(step["response_ms"]["p99"]["value"])


def wrk(text: str) -> float:
    """``--latency``: ``  99%  876.00ms``."""
    return _spelt_ms(re.search(r"^ +99% +([\d.]+)(us|ms|s)\b", text, re.MULTILINE))


def hey(text: str) -> float:
    """``  99% in 0.0066 secs``; some versions write ``99%%``."""
    match = re.search(r"^ +99%+ in ([\d.]+) secs", text, re.MULTILINE)
    return float(_found(match)[1]) * 1000


def vegeta(text: str) -> float:
    """``vegeta report -type json``: nanoseconds."""
    return float(json.loads(text)["latencies"]["99th"]) / 1e6


def oha(text: str) -> float:
    """``--output-format json``: seconds."""
    return float(json.loads(text)["latencyPercentiles"]["p99"]) * 1000


def fortio(text: str) -> float:
    """``-json FILE``: seconds."""
    percentiles = json.loads(text)["DurationHistogram"]["Percentiles"]
    return next(float(one["Value"]) for one in percentiles if one["Percentile"] == 99) * 1000


def k6(text: str) -> float:
    """What ``handleSummary`` is given: milliseconds."""
    return float(json.loads(text)["metrics"]["http_req_duration"]["values"]["p(99)"])


def k6_dropped(text: str) -> int:
    """How many requests k6 says that it did not send."""
    metrics = json.loads(text)["metrics"]
    return int(metrics["dropped_iterations"]["values"]["count"]) if "dropped_iterations" in metrics else 0


def locust(text: str) -> float:
    """``--csv``: milliseconds, in the row of all requests."""
    (row,) = [row for row in csv.DictReader(io.StringIO(text)) if row["Name"] == "Aggregated"]
    return float(row["99%"])


def jmeter(text: str) -> float:
    """A JTL: the ``elapsed`` of its samples, in milliseconds, from which its reports take the nearest rank."""
    elapsed = sorted(int(row["elapsed"]) for row in csv.DictReader(io.StringIO(text)))
    if not elapsed:
        raise ValueError(_NO_P99)
    return float(elapsed[math.ceil(0.99 * len(elapsed)) - 1])


def perf_analyzer(text: str) -> float:
    """``p99 latency: 102344 usec``."""
    return float(_found(re.search(r"p99 latency: (\d+) usec", text))[1]) / 1000


def _spelt_ms(match: re.Match[str] | None) -> float:
    found = _found(match)
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]


def _found(match: re.Match[str] | None) -> re.Match[str]:
    if match is None:
        raise ValueError(_NO_P99)
    return match
