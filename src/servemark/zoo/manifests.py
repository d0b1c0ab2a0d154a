"""The manifests of model archives, of both formats: what Multi Model Server reads in them, and what it would refuse.

``.mar`` has MAR-INF/MANIFEST.json. The archives of MMS 0.x, ``.model``, have MANIFEST.json and their signature at the
root, and a service class instead of a handler function.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from servemark.zoo.checked_zip import CheckedZip, unservable
from servemark.zoo.signature import FILE_NAME as SIGNATURE
from servemark.zoo.signature import Signature, read_signature

MAR_MANIFEST = "MAR-INF/MANIFEST.json"
LEGACY_MANIFEST = "MANIFEST.json"
Format = Literal["mar", "model"]
_RUNTIMES = ("python", "python3")


@dataclass(frozen=True)
class Contents:
    """What an archive says of itself. `model_name` is empty where its manifest names none; `manifest` is all of that.

    `handler` is what the manifest calls it: a function of a module, or the file of a service class.
    """

    format: Format
    model_name: str
    handler: str
    signature: Signature | None
    manifest: Mapping[str, Any]


def read_contents(archive: CheckedZip) -> Contents:
    """What `archive` is, all that it needs being in it.

    Raises:
        ModelError: the server could not serve it; says why.
    """
    if MAR_MANIFEST in archive.names:
        return _mar(archive)
    if LEGACY_MANIFEST in archive.names:
        return _legacy(archive)
    inside = next((name for name in sorted(archive.names) if name.endswith(f"/{LEGACY_MANIFEST}")), None)
    if inside:
        folder = inside.split("/")[0]
        raise unservable(archive.shown, f"its files are in the folder {folder!r}", "zip what is in it, not the folder")
    raise unservable(
        archive.shown,
        f"it has neither {MAR_MANIFEST} (.mar) nor {LEGACY_MANIFEST} (.model)",
        "make one with model-archiver --model-name NAME --model-path DIR --handler FILE:FUNCTION",
    )


def _mar(archive: CheckedZip) -> Contents:
    manifest = _json_object(archive, MAR_MANIFEST)
    model = manifest.get("model")
    handler = model.get("handler") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(handler, str) or not handler:
        raise unservable(archive.shown, f"its {MAR_MANIFEST} names no handler")
    runtime = manifest.get("runtime")
    if runtime not in _RUNTIMES:
        cause = f"its manifest asks for the runtime {runtime!r}; this server has {' and '.join(_RUNTIMES)}"
        raise unservable(archive.shown, cause, "pack it again with --runtime python, once its code runs on Python 3")
    engine = manifest.get("engine")
    if engine is not None and not (isinstance(engine, dict) and engine.get("engineName")):
        raise unservable(archive.shown, "its manifest has an engine without an engineName")
    _check_handler(archive, handler)
    name = model.get("modelName")
    return Contents("mar", name if isinstance(name, str) else "", handler, _signature(archive, SIGNATURE), manifest)


def _legacy(archive: CheckedZip) -> Contents:
    manifest = _json_object(archive, LEGACY_MANIFEST)
    model = manifest.get("Model")
    if not isinstance(model, dict):
        raise unservable(archive.shown, f"its {LEGACY_MANIFEST} has no entry 'Model'")
    for entry, needed in (("Service", True), ("Signature", True), ("Symbol", False), ("Parameters", False)):
        name = model.get(entry)
        if not isinstance(name, str) or not name:
            if needed:
                raise unservable(archive.shown, f"its {LEGACY_MANIFEST} names no {entry}")
        elif name not in archive.names:
            raise unservable(archive.shown, f"its {LEGACY_MANIFEST} names the {entry} {name!r}, which is not in it")
    signature = _signature(archive, model["Signature"])
    assert signature is not None
    name = model.get("Model-Name")
    return Contents("model", name if isinstance(name, str) else "", model["Service"], signature, manifest)


def _signature(archive: CheckedZip, name: str) -> Signature | None:
    if name not in archive.names:
        return None
    signature = read_signature(archive.read(name))
    if isinstance(signature, str):
        raise unservable(archive.shown, f"its {name} cannot be used: {signature}")
    return signature


def _json_object(archive: CheckedZip, name: str) -> Mapping[str, Any]:
    try:
        value = json.loads(archive.read(name))
    except ValueError as error:
        raise unservable(archive.shown, f"its {name} is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise unservable(archive.shown, f"its {name} is no JSON object")
    return value


def _check_handler(archive: CheckedZip, handler: str) -> None:
    """The handler must be in the archive, as the server will look for it: MODULE[.py][:FUNCTION], or PACKAGE.MODULE."""
    module, _, function = handler.partition(":")
    path = module.removesuffix(".py")
    if "/" not in path:
        path = path.replace(".", "/")
    candidates = [f"{path}.py", f"{path}/__init__.py"]
    file = next((name for name in candidates if name in archive.names), None)
    if file is None:
        compiled = any(name.startswith(f"{path}.") and name.endswith((".so", ".pyc")) for name in archive.names)
        if compiled:
            return
        raise unservable(archive.shown, f"its handler is {handler!r}, and it has no {candidates[0]}")
    function = function or "handle"
    if not _may_define(archive.read(file), function):
        raise unservable(
            archive.shown, f"its handler is {handler!r}, and {file} has neither {function!r} nor one class"
        )


def _may_define(source: bytes, function: str) -> bool:
    """Whether the module has what MMS calls: the function, or a class alone. What cannot be told here may be so."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return True  # The server's Python may read what ours cannot, and names the line if it does not.
    classes = 0
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == function:
            return True
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == function:
            return True
        if isinstance(node, ast.alias) and (node.asname or node.name) in (function, "*"):
            return True
        classes += isinstance(node, ast.ClassDef)
    return classes >= 1
