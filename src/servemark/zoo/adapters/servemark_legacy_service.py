"""The handler of archives of MMS 0.x (.model): speaks to the service class that they bring.

Runs in the server's Python, from the root of the model's folder. ``mms.model_service`` has the classes that services
inherit from. What 0.x did and 1.x does not is done here: the module ``mms.log``, several inputs, batches, and lists
where Python 3 gives a ``map``.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import logging
import sys
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BAD_REQUEST = 400
_service: Any = None


class _BadInputError(Exception):
    """The request holds no input that the model takes."""


def handle(items: list[dict[str, Any]] | None, context: Any) -> list[Any] | None:
    """What the server calls: once with None to load the model, then with each batch of requests."""
    global _service
    if _service is None:
        _service = _load(context)
    if items is None:
        return None
    return [_answer(item, context, index) for index, item in enumerate(items)]


def _answer(item: dict[str, Any], context: Any, index: int) -> Any:
    try:
        outputs = _service.inference(_inputs(item, _service.signature))
    except (_BadInputError, AssertionError) as error:  # The base class asserts that shapes are as in the signature.
        traceback.print_exc()
        context.set_response_status(_BAD_REQUEST, "Bad Request", index)
        return {"code": _BAD_REQUEST, "type": "BadInput", "message": str(error) or "the model refused the input"}
    return outputs[0] if isinstance(outputs, list) and len(outputs) == 1 else outputs


def _inputs(item: dict[str, Any], signature: dict[str, Any]) -> list[Any]:
    """The request's inputs in the signature's order: fields of a form, or for a single one the body."""
    entries = signature["inputs"]
    found = []
    for entry in entries:
        name = entry["data_name"]
        value = item.get(name)
        if value is None and len(entries) == 1:
            value = item.get("body", item.get("data"))
        if value is None:
            raise _BadInputError(f"the request has no field {name!r}")
        found.append(_parsed(value) if signature.get("input_type") == "application/json" else value)
    return found


def _parsed(value: Any) -> Any:
    """JSON, or a Python literal, which 0.x took."""
    if not isinstance(value, (bytes, bytearray, str)):
        return value
    text = value if isinstance(value, str) else value.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise _BadInputError(f"the input is not JSON: {text[:80]!r}") from error


def _load(context: Any) -> Any:
    folder = Path(context.system_properties["model_dir"])
    manifest = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8-sig"))
    model = manifest["Model"]
    _offer_log()
    name = model.get("Model-Name") or context.model_name  # Its parameters' file name starts with it.
    service = _service_class(folder / model["Service"], model)(
        name, str(folder), manifest, context.system_properties.get("gpu_id")
    )
    service._context = context
    if getattr(service, "_signature", None) is None:
        service._signature = json.loads((folder / model["Signature"]).read_text(encoding="utf-8-sig"))
    if inspect.ismethod(service.signature):
        service.signature = service._signature
    preprocess = service._preprocess

    def preprocessed(data: list[Any]) -> Any:
        try:
            prepared = preprocess(data)
            return list(prepared) if isinstance(prepared, Iterator) else prepared
        except Exception as error:
            raise _BadInputError(f"the service cannot read the input: {error}".splitlines()[0]) from error

    service._preprocess = preprocessed
    return service


def _service_class(path: Path, model: dict[str, Any]) -> Any:
    """The service that the file defines: of its classes the one that none other inherits from."""
    from mms.model_service import model_service  # type: ignore[import-not-found, unused-ignore]

    # Under the name that it has inside of MMS, so that its relative imports find their neighbours there.
    spec = importlib.util.spec_from_file_location(f"mms.model_service.{path.stem}_of_archive", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    own = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, model_service.SingleNodeService) and member.__module__ == module.__name__
    ]
    leaves = [one for one in own if not any(other is not one and issubclass(other, one) for other in own)]
    if len(leaves) > 1:  # A copy of MMS's own file, which has the bases of all formats.
        gluon = str(model.get("Model-Format", "")).startswith("Gluon")
        leaves = [one for one in leaves if one.__name__.startswith("Gluon") == gluon]
    if len(leaves) != 1:
        raise ValueError(f"{path.name} must define one service class, and defines {len(leaves)}")
    return leaves[0]


def _offer_log() -> None:
    """The module ``mms.log`` of 0.x, which 1.x has no more."""
    if importlib.util.find_spec("mms.log") is None:
        log = types.ModuleType("mms.log")
        log.get_logger = log.getLogger = lambda name=None, *_, **__: logging.getLogger(name)  # type: ignore[attr-defined]
        sys.modules["mms.log"] = log
