"""Packing a model archive (.mar), which Multi Model Server loads: a zip of the model's files and MAR-INF/MANIFEST.json.

The manifest is that of model-archiver 1.0.3, which is not called itself because it turns every .onnx file that it
finds into an MXNet model. The same files give the same bytes: times are not recorded.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from servemark.zoo.catalogue import ZooModel

_ZOO = Path(__file__).parent.parent
_HANDLERS = {
    "resnet": "handlers.image_classifier:handle",
    "squeezenet": "handlers.image_classifier:handle",
    "lstm": "handlers.language_model:handle",
    "noop": "handlers.noop:handle",
}
_MANIFEST = "MAR-INF/MANIFEST.json"
_OLDEST = (1980, 1, 1, 0, 0, 0)


def manifest(model_name: str, handler: str) -> dict[str, object]:
    """The manifest of a model whose `handler` is "module:function"."""
    return {
        "runtime": "python",
        "model": {"modelName": model_name, "handler": handler},
        "modelServerVersion": "1.0",
        "implementationVersion": "1.0",
        "specificationVersion": "1.0",
    }


def pack(path: Path, model: ZooModel, network: Path | None) -> None:
    """Write the archive of a model of the zoo, with its handlers and the files of its `network`, if it has one."""
    files = {f"handlers/{file.name}": file for file in (_ZOO / "handlers").glob("*.py")}
    files |= {file.name: file for file in network.iterdir()} if network else {}
    write_archive(path, model_name=model.wire_name, handler=_HANDLERS[model.name], files=files)


def write_archive(path: Path, *, model_name: str, handler: str, files: dict[str, Path]) -> None:
    """Write the archive at `path`; `files` maps names within it to what is packed there."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, source in sorted(files.items()):
            _add(archive, name, source.read_bytes())
        _add(archive, _MANIFEST, json.dumps(manifest(model_name, handler), indent=2).encode())


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _OLDEST)
    entry.external_attr = 0o644 << 16
    # Stored: random weights do not compress, and the server unpacks each time that a model is registered.
    archive.writestr(entry, content, zipfile.ZIP_STORED)
