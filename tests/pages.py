"""The commands of the documentation as they stand there, and what becomes of each of them in a test.

``tests/e2e/test_pages.py`` executes them; ``tests/unit/test_docs.py`` has every command be in one of the tables below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
)
#: Each executed from top to bottom, by a test of its own.
PROFILING, TUTORIAL = FROM_TOP_TO_BOTTOM = ("docs/profiling.md", "docs/tutorial.md")

_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_SHELLS = {"sh", "bash", "shell", "console"}
#: How commands begin in a block that does not say what it is; one that begins otherwise is something that was printed.
_COMMAND = re.compile(r"(?:\$ )?((?:\./|\.venv/|sudo |git |make |cargo |pip |docker |jcmd |jfr )\S.*)")
#: What is said of a command behind it, in columns.
_REMARK = re.compile(r" {3,}\S.*$")
_INLINE = re.compile(r"`(\./benchmark\.py [^`]+|make [^`]+)`")


@dataclass(frozen=True)
class PageCommand:
    """A command of a page: one line, or all of a block that says that it is shell."""

    page: str
    text: str


@dataclass(frozen=True)
class Execution:
    """How a command is executed: with words behind it that make it short, or until it measures, and then Ctrl-C.

    `status` is its exit status, `says` a part of what it prints.
    """

    append: str = ""
    until_it_measures: bool = False
    status: int = 0
    says: str = ""


#: On a server that runs already, so that none has to be started for each. Whatever listens there, TLS is found out.
_RUNNING = "--mms 127.0.0.1:8443 -l 2"
#: How what is on none of those is executed.
EXECUTED = {
    "./benchmark.py latency --trials 5": Execution(_RUNNING, says=" of 5 asked for"),
    "./benchmark.py latency": Execution("-l 2", says="cold start"),
    "./benchmark.py throughput": Execution(f"{_RUNNING} -t 2", says="throughput resnet-18"),
    "./benchmark.py throughput --generators 2": Execution(f"{_RUNNING} -t 2", says="generators"),
    "./benchmark.py throughput -m squeezenet -w 1": Execution("-t 2 -l 4", says="throughput squeezenet"),
    "./benchmark.py throughput -m squeezenet -w 2": Execution("-t 2 -l 4", says="throughput squeezenet"),
    "./benchmark.py http http://127.0.0.1:8080/health --arrival trace:times.txt": Execution(says="3 succeeded"),
    "./benchmark.py latency --rate 20": Execution(_RUNNING, says="2 succeeded"),
    "./benchmark.py latency --rate 20 --arrival poisson": Execution(_RUNNING, says="2 succeeded"),
    "./benchmark.py throughput --rate 10..100/60s": Execution("--mms 127.0.0.1:8443", until_it_measures=True),
    "./benchmark.py throughput --rate 10,20,40/30s": Execution("--mms 127.0.0.1:8443", until_it_measures=True),
    "./benchmark.py latency --arrival trace:times.txt": Execution("--mms 127.0.0.1:8443", says="3 succeeded"),
    "./benchmark.py latency --arrival trace:log.csv:TIMESTAMP": Execution("--mms 127.0.0.1:8443", says="3 succeeded"),
    "./benchmark.py concurrent_inference --rate 20 --options threads 1,2,4": Execution(_RUNNING),
    "./benchmark.py latency -m squeezenet --rate 10 --slo 'p99<200ms,errors<1%'": Execution(_RUNNING, says="SLO"),
    "./benchmark.py throughput -m squeezenet --slo 'rate>2/s,predict.p50<20s' --junit verdicts.xml": Execution(
        _RUNNING, says="SLO"
    ),
    "./benchmark.py http --url http://127.0.0.1:8000/generate -t 16 --duration 10": Execution(
        "--warmup 0", says="first event"
    ),
    "./benchmark.py latency -c model.mar -i cat.jpg": Execution(_RUNNING, says="2 succeeded"),
    "./benchmark.py latency -m squeezenet -l 20 --expect json:0.label": Execution(
        "--mms 127.0.0.1:8443", status=4, says="20 application; first at"
    ),
    "./benchmark.py latency --mms 127.0.0.1:8080": Execution("-l 2", says="2 succeeded"),
    "./benchmark.py latency --mms https://localhost:8443": Execution("-l 2", says="is not checked"),
    "./benchmark.py latency --mms HOST -m MODEL -i FILE": Execution("-l 2", says="2 succeeded"),
    "./benchmark.py latency --server HOST:8080 -i FILE": Execution("-l 2", says="2 succeeded"),
    "./benchmark.py http http://127.0.0.1:8080/health": Execution("-l 2"),
    "./benchmark.py http https://HOST/v1/predict --body-file requests.jsonl"
    " -H 'Authorization: Bearer $TOKEN'": Execution("-l 2"),
    "./benchmark.py http http://127.0.0.1:8080/items/7 --method DELETE --expect-status 404"
    " --rate 500 --duration 30s": Execution("--warmup 0"),
    "./benchmark.py history": Execution(says="latency resnet-18"),
    "./benchmark.py history show latest": Execution(says="results"),
    "./benchmark.py history trend --statistic p99": Execution(says="changed"),
    "./benchmark.py history baseline main": Execution(says="main is the result in"),
    "./benchmark.py history prune --keep 200": Execution(says="forgot 0 of"),
    "./benchmark.py report old.jtl --benchmark throughput -m resnet-18": Execution(
        says="IMPORTED throughput resnet-18"
    ),
    "./benchmark.py report servemark-results/latest --format markdown": Execution(says="summary.md"),
    "./benchmark.py report servemark-results/latest --format text -o -": Execution(says="results"),
    "./benchmark.py report servemark-results/latest --format junit --format markdown --format csv": Execution(
        says="verdicts.xml"
    ),
    "./benchmark.py report servemark-results/latest --format json -o result-of-today.json": Execution(
        says="result-of-today.json"
    ),
    "./benchmark.py report servemark-results/latest --format jtl -o -": Execution(says="timeStamp,elapsed,label"),
    "./benchmark.py report servemark-results/latest --format openmetrics -o servemark.prom": Execution(
        says="servemark.prom"
    ),
    "./benchmark.py report servemark-results/latest --format parquet -o requests.parquet": Execution(
        says="requests.parquet"
    ),
    "./benchmark.py report servemark-results/latest --format hgrm": Execution(says="hgrm"),
}
#: What no test executes here, by how it begins, and why.
NOT_HERE = {
    "./benchmark.py latency --server 127.0.0.1:8000 --dialect openai --arrival trace:mooncake_trace.jsonl:timestamp "
    "-l 1000": ("a trace that has to be downloaded; tests/integration/test_prompts_sent.py sends one of its form"),
    "./benchmark.py latency --server 127.0.0.1:8000 --prompt-tokens 128 --output-tokens 64": (
        "needs a server of tokens; test_prompts_sent.py has one of its own"
    ),
    "./benchmark.py http --url http://127.0.0.1:8000/v1/chat/completions --body-file prompts.jsonl --tokens openai "
    "--rate 20": "needs a server of tokens; test_token_runs.py has one of its own",
    "./benchmark.py latency --server-kind vllm": "takes a vLLM; make test-servers has one, test_own_vllm.py a stand-in",
    "./benchmark.py latency --server HOST:8000 -m MODEL": "takes a Triton; test_triton_server.py has one",
    "./benchmark.py latency --trials 5 --against latest": (
        "its answer is the machine's; test_trials.py has servers that are slower"
    ),
    "./benchmark.py latency --trials 5 --against main": "as with latest",
    "./benchmark.py latency --server https://HOST:8443": "another host; test_running_servers.py has one of its own",
    "./benchmark.py ab 'latency --source old'": "starts 28 servers; test_ab.py measures two that run, in turns",
    "./benchmark.py ab 'latency' -- 'latency -w 4'": "starts 28 servers; test_ab.py measures two that run, in turns",
    "./benchmark.py calibrate 'latency'": "starts 28 servers; test_ab.py calibrates one that runs",
    "./benchmark.py capacity": "searches take minutes; test_capacity_search.py has one of a queue",
    "./benchmark.py latency --otlp": "takes a collector; test_otlp.py has a run with one",
    "./benchmark.py report servemark-results/latest --otlp": "takes a collector; test_otlp.py has one",
    "./benchmark.py compare before after": "takes two results that differ; test_compare_command.py makes them",
    "servemark --install-completion bash": "test_completion.py installs it in a home of its own, and asks real shells",
    ". <(servemark --show-completion bash)": "a figure of one machine; test_completion.py asks bash the same",
    "servemark man --install": "test_shell_files.py installs it in a home of its own",
    "servemark man | man -l -": "test_shell_files.py has mandoc read it",
    "#!/usr/bin/env bash": "test_ci_page.py executes it, and what the jobs do around it",
    "./benchmark.py calibrate 'http": "a quarter of an hour; test_ab.py calibrates one that runs",
    "./benchmark.py ab 'http": "a quarter of an hour; test_ab.py measures two that run, in turns",
    "git clone URL servemark && cd servemark": "building everything takes minutes; CI does it before any test",
    "./benchmark.py latency -c https://HOST/resnet-18.model": "another host; test_custom_models.py has one of its own",
    "./benchmark.py latency -c model.mar -i in.json --server-requirements requirements.txt": (
        "installs a whole environment; test_custom_models.py does"
    ),
    "./benchmark.py serve --tls --port 8443": "the page on profiling begins with it",
    "pip install --dry-run --no-deps": "asks the package index for every package of another machine",
    ".venv/bin/pip list --outdated": "what is new there changes every day",
    ".venv/bin/python - numpy httpx": "test_docs.py does, which takes no server",
    "pipx install": "test_wheel.py does, with the wheel that it builds",
    "uv tool install": "test_wheel.py does, with the wheel that it builds",
    "uvx --from": "test_wheel.py does, with the wheel that it builds",
    "pip install 'servemark[ray]'": "brings Ray, which the environment of the tests has",
    "servemark run http http://127.0.0.1:8080/health --rate 2000 --generators 2 --on ray": (
        "starts a cluster; test_ray.py has one"
    ),
    "ray start --head --port 6379": "starts a cluster; test_ray.py has one",
    "servemark run http http://HOST:8080/health": "takes a cluster; test_ray.py has one",
    "pip wheel --no-deps --wheel-dir dist .": "EC2 costs money; test_cluster_files.py has Ray read the file",
    "kubectl apply -f docs/cluster/rayjob.yaml": "takes Kubernetes; test_cluster_files.py holds the file to its words",
    ".venv/bin/python -m bench.scale": "test_many_generators.py measures two hundred",
    "sha256sum --check": "test_release.py does, with the sums that the workflow makes",
    ".venv/bin/python scripts/sbom.py": "test_sbom.py runs the script",
    "docker build --file Containerfile": "takes a Docker daemon; test_container_image.py has one",
    "docker run --rm --network host": "takes a Docker daemon; test_container_image.py has one",
}


def commands(page: str) -> list[PageCommand]:
    """The commands in the blocks of `page`, in their order."""
    found = []
    for block in _FENCED.finditer((ROOT / page).read_text(encoding="utf-8")):
        indent, language, text = block.groups()
        lines = [line.removeprefix(indent) for line in text.splitlines()]
        if language in _SHELLS:
            found.append(PageCommand(page, "\n".join(lines)))
        elif not language and _COMMAND.match(lines[0].strip()):
            matches = [_COMMAND.match(line.strip()) for line in lines]
            found += [PageCommand(page, _REMARK.sub("", match[1])) for match in matches if match]
    return found


def inline_commands(page: str) -> list[str]:
    """The commands of this project in the text of `page`, outside of its blocks."""
    return _INLINE.findall(_FENCED.sub("", (ROOT / page).read_text(encoding="utf-8")))
