"""What the options of other load generators are called here: for whoever types one of those. Standard library only."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path

from servemark.benchmarks import Benchmark
from servemark.errors import UsageError

#: Options that do not exist here, whose they are, and what to give instead.
_OPTIONS = (
    ("-z", "hey and oha", "--duration"),
    ("-n", "ab, hey and oha", "--loops, of each user"),
    ("-k", "curl", "--insecure; connections, of which -k of ab speaks, are kept open anyway"),
    ("-X", "curl and oha", "--method"),
    ("-q", "hey and oha", "--rate, of all users together"),
    ("-R", "wrk2", "--rate"),
    ("-p", "ab", "--body-file"),
    ("-D", "hey and oha", "--body-file"),
    ("-T", "ab, hey and oha", "--content-type"),
    ("-A", "ab and hey", "-H: 'Authorization: ...' or 'Accept: ...'"),
    ("-C", "ab", "-H 'Cookie: ...'"),
    ("-u", "locust and perf_analyzer", "--threads for users, --server for a server, --url for a URL"),
    ("-r", "ab", "--go-on-errors; -r of locust is --ramp"),
    ("-x", "hey and curl", "--connect-to; proxies are not used"),
    ("-L", "wrk", "nothing: percentiles are always shown; -L of curl has no like, redirections are not followed"),
    ("-e", "ab", "-o: summary.csv is in the result"),
    ("-b", "perf_analyzer", "in --shape; the benchmark batching is for batches that the server makes"),
    ("--connections", "wrk and bombardier", "--threads; with --rate --max-connections"),
    ("--concurrency", "k6's and fortio's like", "--threads"),
    ("--concurrency-range", "perf_analyzer", "the benchmark concurrent_inference, with --options threads 1,2,4"),
    ("--request-rate-range", "perf_analyzer", "--rate, as in 10,20,40/30s"),
    ("--measurement-interval", "perf_analyzer", "--duration"),
    ("--users", "locust", "--threads"),
    ("--spawn-rate", "locust", "--ramp, the time until all users are there"),
    ("--run-time", "locust", "--duration"),
    ("--vus", "k6", "--threads"),
    ("--iterations", "k6", "--loops, of each user"),
    ("--requests", "bombardier and ab's like", "--loops, of each user"),
    ("--runs", "hyperfine", "--loops"),
    ("--qps", "fortio", "--rate"),
    ("--rps", "others", "--rate"),
    ("--max-workers", "vegeta", "--threads; with --rate --max-connections"),
    ("--targets", "vegeta", "--url with --body-file"),
    ("--body", "vegeta", "--body-file; - is standard input"),
    ("--data", "curl", "--body-file; - is standard input"),
    ("--data-binary", "curl", "--body-file; - is standard input"),
    ("--data-raw", "curl", "--body-file; - is standard input"),
    ("--request", "curl", "--method"),
    ("--user", "curl", "in the URL: http://USER:PASSWORD@HOST/"),
    ("--auth", "others", "-H 'Authorization: ...', or USER:PASSWORD@ in the URL"),
    ("--cacert", "curl", "--ca-file"),
    ("--cert", "curl and vegeta", "--client-cert"),
    ("--key", "curl and vegeta", "--client-key"),
    ("--resolve", "curl", "--connect-to"),
    ("--latency", "wrk", "nothing: percentiles are always shown"),
)
#: By option: the line that an error ends in.
ELSEWHERE = {
    option: f"{option} of {whose} is {here}" + ("" if " " in here else " here") for option, whose, here in _OPTIONS
}

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_TIME = re.compile(r"\d+(?:\.\d+)?(?:ms|s|m|h)")
#: What Docker takes for an image's name, and more: registry, path, tag, digest.
_IMAGE = re.compile(r"[\w.-]+(?::\d+)?(?:/[\w.-]+)*(?::[\w.-]+)?(?:@[\w+.:-]+)?", re.ASCII)


def check_borrowed(arguments: Namespace, benchmark: Benchmark) -> None:
    """Refuse what has another meaning here than in the program that its user seems to think of.

    Raises:
        UsageError: says which, and what it is called here.
    """
    image, model, archive = arguments.docker_image, arguments.model, arguments.custom_model
    if image and _TIME.fullmatch(image):
        raise UsageError(
            f"-d {image} names no Docker image", next_step=f"-d of wrk is --duration here: --duration {image}"
        )
    if image and (benchmark.takes_url or not _IMAGE.fullmatch(image)):
        body = "--body-file" if benchmark.takes_url else "--input"
        why = f"{benchmark.name} starts no server" if benchmark.takes_url else "no image is called that"
        raise UsageError(
            "-d names a Docker image here, with the server in it",
            cause=why,
            next_step=f"-d of curl, the body, is {body}: a file, or - for standard input",
        )
    if benchmark.takes_url and model in _METHODS:
        raise UsageError(
            "-m names a model here, and http serves none", next_step=f"-m of hey and oha is --method: --method {model}"
        )
    if archive and archive.isdecimal() and not Path(archive).exists():
        raise UsageError(
            f"-c {archive} names no archive of a model",
            next_step=f"-c of wrk, ab, hey and oha is --threads here: -t {archive}",
        )
