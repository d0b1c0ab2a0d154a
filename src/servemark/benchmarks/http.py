"""http: any HTTP endpoint, whatever serves it: how fast it answers, and how many answers it gives a second."""

from __future__ import annotations

from servemark.benchmarks import Benchmark, Point, fixed, without_model
from servemark.options import RunRequest
from servemark.workload.scenario import Step

#: As many connections as oha and hey open by default; wrk has 10.
_THREADS = 50
_NO_MODEL = "it measures the endpoint of --url, whatever serves it"


def _points(request: RunRequest) -> tuple[Point, ...]:
    return without_model(
        request, _THREADS, lambda _: Step("request", request.content.requests, tokens=request.content.tokens)
    )


BENCHMARK = Benchmark(
    name="http",
    summary="any HTTP endpoint, by --url: 50 threads",
    headline="throughput",
    threads=_THREADS,
    points=fixed(_points),
    models=lambda _request: (),
    refuses={
        "input": "its requests have the body of --body-file",
        **dict.fromkeys(("model", "custom_model", "workers", "gpus", "backend"), _NO_MODEL),
        **dict.fromkeys(
            ("mms", "server", "dialect", "management_port", "docker", "docker_image", "source", "build_command"),
            _NO_MODEL,
        ),
        **dict.fromkeys(("server_requirements", "server_python"), _NO_MODEL),
        **dict.fromkeys(
            ("prompts", "prompt_tokens", "shared_prefix", "output_tokens", "ignore_eos", "completions", "no_stream"),
            "its requests have the body of --body-file",
        ),
        "fresh_server": "that server is not ours to start",
    },
    takes_url=True,
)
