"""Building a zoo model on this machine, once: its network, the input that is sent to it, and its archive."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from servemark.environments.cache import Progress, build_once, cache_dir, is_built
from servemark.environments.commands import run_command
from servemark.environments.mms import MmsEnvironment
from servemark.workload.inputs import Input
from servemark.zoo.catalogue import ZooModel
from servemark.zoo.pack import mar

_HERE = Path(__file__).parent
_BUILD_TIMEOUT_S = 600.0
_IMAGE_MODELS = ("resnet", "squeezenet")
_IMAGE_FILE = "input.jpg"
_SIDE = 224
_PART_BYTES = 1 << 20
#: A sentence of 32 words, all within the vocabulary of 10,000.
_TOKENS = [(7919 * position + 17) % 10_000 for position in range(32)]


@dataclass(frozen=True)
class BuiltModel:
    """A zoo model that a server can be given.

    Attributes:
        model: which one.
        archive: its .mar, named as the model is on the wire.
        default_input: what it is sent unless the user gives an input.
    """

    model: ZooModel
    archive: Path
    default_input: Input

    @property
    def sha256(self) -> str:
        """The checksum of its archive, in hexadecimal; the same wherever the same was built."""
        digest = hashlib.sha256()
        with self.archive.open("rb") as file:
            while part := file.read(_PART_BYTES):
                digest.update(part)
        return digest.hexdigest()


def build_model(model: ZooModel, environment: MmsEnvironment, progress: Progress) -> BuiltModel:
    """Build `model` for the backend of `environment`, in which its network is made; reused when it is in the cache.

    Raises:
        SetupError: it could not be built; holds the last lines of what failed.
    """
    folder = build_once(model_key(model, environment), partial(_build, model, environment, progress), progress)
    return BuiltModel(model, folder / _archive_name(model), _default_input(model, folder))


def sample_image(size: tuple[int, int], environment: MmsEnvironment, progress: Progress) -> bytes:
    """A generated JPEG of that width and height, made by the Python of `environment`, which needs pillow and numpy.

    Raises:
        SetupError: it could not be made.
    """
    width, height = map(str, size)
    digest = hashlib.sha256((_HERE / "graphs" / "sample_image.py").read_bytes())

    def build(folder: Path) -> None:
        _run_graphs(environment, "image", str(folder / _IMAGE_FILE), width, height)

    folder = build_once(f"zoo/image-{width}x{height}-{digest.hexdigest()[:12]}", build, progress)
    return (folder / _IMAGE_FILE).read_bytes()


def built_model(model: ZooModel, environment: MmsEnvironment) -> BuiltModel | None:
    """What :func:`build_model` would give without building anything; None where it would build."""
    key = model_key(model, environment)
    if not is_built(key):
        return None
    folder = cache_dir() / key
    return BuiltModel(model, folder / _archive_name(model), _default_input(model, folder))


def model_key(model: ZooModel, environment: MmsEnvironment) -> str:
    """The key of the built model in the cache: changes with the backend, its packages and everything that makes it."""
    digest = hashlib.sha256(json.dumps([model.wire_name, dict(environment.versions)], sort_keys=True).encode())
    makers = (
        Path(__file__),
        *(file for room in ("pack", "graphs", "handlers") for file in (_HERE / room).glob("*.py")),
    )
    for source in sorted(makers):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return f"zoo/{model.name}-{environment.backend}-{digest.hexdigest()[:12]}"


def _archive_name(model: ZooModel) -> str:
    return f"{model.wire_name}.mar"


def _build(model: ZooModel, environment: MmsEnvironment, progress: Progress, folder: Path) -> None:
    progress(f"building the model {model.name} for {environment.backend} (once, a few seconds)")
    network = folder / "network" if model.name != "noop" else None
    if network:
        network.mkdir()
        _run_graphs(environment, model.name, str(environment.backend), str(network))
    if model.name in _IMAGE_MODELS:
        _run_graphs(environment, "image", str(folder / _IMAGE_FILE), str(_SIDE), str(_SIDE))
    mar.pack(folder / _archive_name(model), model, network)
    if network:
        shutil.rmtree(network)


def _run_graphs(environment: MmsEnvironment, *arguments: str) -> None:
    run_command(
        [environment.python, "-m", "graphs", *arguments],
        what=f"build the zoo's {arguments[0]}",
        timeout_s=_BUILD_TIMEOUT_S,
        next_step="see the last lines below; removing the folder environments from the cache installs them again",
        environ={"PYTHONPATH": str(_HERE), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _default_input(model: ZooModel, folder: Path) -> Input:
    if model.name in _IMAGE_MODELS:
        return Input((folder / _IMAGE_FILE).read_bytes(), "image/jpeg", f"zoo: generated {_SIDE}x{_SIDE} JPEG")
    if model.name == "lstm":
        body = json.dumps({"tokens": _TOKENS}).encode()
        return Input(body, "application/json", f"zoo: {len(_TOKENS)} tokens")
    return Input(b"hello", "text/plain", "zoo: short text")
