"""What a Triton or an MLServer of ours serves: the zoo's graphs behind a few lines of Python, or the user's folder.

The graphs are those that Multi Model Server gets for ONNX Runtime; what is sent to them are tensors, since neither
server has a place for what an image is made of.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from servemark.environments.cache import Progress
from servemark.environments.mms import mms_environment
from servemark.errors import UsageError
from servemark.zoo.build import build_model
from servemark.zoo.catalogue import ZooModel

_SERVED = Path(__file__).parent / "served"
_GRAPH = "model.onnx"
_BATCH = 16
#: The words of a sentence: the graph takes any number of them, and a server is told what is sent.
_WORDS = 32


@dataclass(frozen=True)
class _Signature:
    """The tensors of a model of the zoo, without the batch."""

    datatype: str
    dims: tuple[int, ...]
    result: str
    result_dims: tuple[int, ...]


_IMAGE = _Signature("FP32", (3, 224, 224), "FP32", (1000,))
_SIGNATURES: Mapping[str, _Signature] = {
    "resnet": _IMAGE,
    "squeezenet": _IMAGE,
    "lstm": _Signature("INT64", (_WORDS,), "FP32", (_WORDS, 10_000)),
    "noop": _Signature("BYTES", (1,), "BYTES", (1,)),
}


def triton_repository(folder: Path, models: Iterable[ZooModel], progress: Progress) -> None:
    """Write Triton's repository of these models at `folder`.

    Raises:
        SetupError: a graph could not be built.
    """
    for model in models:
        version = folder / model.wire_name / "1"
        version.mkdir(parents=True)
        shutil.copyfile(_SERVED / "triton_model.py", version / "model.py")
        _graph(model, version, progress)
        (version.parent / "config.pbtxt").write_text(_config(_SIGNATURES[model.name]), encoding="utf-8")


def mlserver_repository(folder: Path, models: Iterable[ZooModel], progress: Progress) -> None:
    """Write MLServer's repository of these models at `folder`.

    Raises:
        SetupError: a graph could not be built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_SERVED / "mlserver_model.py", folder / "mlserver_model.py")
    for model in models:
        place = folder / model.wire_name
        place.mkdir()
        _graph(model, place, progress)
        signature = _SIGNATURES[model.name]
        settings = {
            "name": model.wire_name,
            "implementation": "mlserver_model.ZooModel",
            "parameters": {"uri": str(place)},
            "inputs": [{"name": "data", "datatype": signature.datatype, "shape": [-1, *signature.dims]}],
            "outputs": [{"name": "result", "datatype": signature.result, "shape": [-1, *signature.result_dims]}],
        }
        (place / "model-settings.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")


def copied_repository(source: Path, folder: Path, sign: str) -> None:
    """Copy the repository of the user's at `source` to `folder`; each of its models has a file named `sign`.

    Raises:
        UsageError: it holds no model.
    """
    if not source.is_dir() or not any(source.glob(f"*/{sign}")):
        raise UsageError(
            f"there is no model in the repository {source}",
            cause=f"no folder in it has a {sign}" if source.is_dir() else "no such folder",
            next_step="give --model-repository the folder that the server would be given",
        )
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def _graph(model: ZooModel, folder: Path, progress: Progress) -> None:
    """Write the graph of a model into `folder`; noop has none."""
    if model.name == "noop":
        return
    built = build_model(model, mms_environment("onnx", progress), progress)
    with zipfile.ZipFile(built.archive) as archive:
        archive.extract(_GRAPH, folder)


def _config(signature: _Signature) -> str:
    def tensor(name: str, datatype: str, dims: tuple[int, ...]) -> str:
        kind = "STRING" if datatype == "BYTES" else datatype
        return f'[{{ name: "{name}" data_type: TYPE_{kind} dims: [ {", ".join(map(str, dims))} ] }}]'

    return (
        'backend: "python"\n'
        f"max_batch_size: {_BATCH}\n"
        f"input {tensor('data', signature.datatype, signature.dims)}\n"
        f"output {tensor('result', signature.result, signature.result_dims)}\n"
        "instance_group [{ count: 1 kind: KIND_CPU }]\n"
    )
