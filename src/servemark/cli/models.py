"""``servemark models``: what is in the zoo, what it can run on here, and what is cached. Nothing is built."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.cli.json_output import print_json
from servemark.cli.lines import wrapped
from servemark.cli.options import Parser, listing_parser
from servemark.errors import EXIT_OK, ServemarkError
from servemark.printable import printable
from servemark.zoo.catalogue import BACKENDS, DEFAULT_MODEL, ZOO, Backend, ZooModel

if TYPE_CHECKING:
    from servemark.environments.mms import MmsEnvironment
    from servemark.zoo.build import BuiltModel

SCHEMA = "servemark/models/1"
_EPILOG = """\
A model is built when it is first used; "not built" says no more than that.
"""


@dataclass(frozen=True)
class BackendHere:
    """A backend on this machine: `name` is the environment's variant, as in "onnx" or, with CUDA, "onnx-gpu".

    `refusal` says why it cannot be had; `environment` is None until it is installed.
    """

    name: str
    refusal: str
    environment: MmsEnvironment | None


@dataclass(frozen=True)
class Listing:
    """A model of the zoo, and what is cached of it by backend."""

    model: ZooModel
    built: dict[str, BuiltModel | None]


def models_parser(prog: str) -> Parser:
    """The parser of ``servemark models``."""
    return listing_parser(prog, "List the zoo: models, aliases, backends, sizes, and what is cached.", _EPILOG, SCHEMA)


def main(words: list[str], prog: str) -> int:
    """List the zoo; returns the exit status."""
    arguments = models_parser(prog).parse_args(words)

    from servemark.environments.cache import cache_dir

    backends = [_backend_here(name) for name in BACKENDS]
    with_gpu = _backend_here("onnx", gpu=True)
    backends += [with_gpu] if with_gpu.environment else []  # 3.4 GB that few have: not worth a "not installed"
    listings = [_listing(model, backends) for model in ZOO]
    if arguments.json:
        print_json(json.dumps(document(cache_dir(), backends, listings), indent=2) + "\n")
    else:
        print(printable("\n".join(_lines(cache_dir(), backends, listings))))
    return EXIT_OK


def _backend_here(backend: Backend, *, gpu: bool = False) -> BackendHere:
    from servemark.environments.mms import installed_environment

    name = f"{backend}-gpu" if gpu else backend
    try:
        return BackendHere(name, "", installed_environment(backend, gpu=gpu))
    except ServemarkError as error:
        return BackendHere(name, f"{error.what}: {error.cause}", None)


def _listing(model: ZooModel, backends: Sequence[BackendHere]) -> Listing:
    from servemark.zoo.build import built_model

    return Listing(
        model,
        {here.name: built_model(model, here.environment) if here.environment else None for here in backends},
    )


def document(cache: Path, backends: Sequence[BackendHere], listings: Sequence[Listing]) -> dict[str, object]:
    """What ``--json`` prints. Sizes are in bytes; what is not cached is null."""
    return {
        "schema": SCHEMA,
        "cache": str(cache),
        "backends": [
            {
                "name": here.name,
                "available": not here.refusal,
                "refusal": here.refusal or None,
                "environment": str(here.environment.root) if here.environment else None,
                "versions": dict(here.environment.versions) if here.environment else None,
            }
            for here in backends
        ],
        "models": [
            {
                "name": listing.model.name,
                "wire_name": listing.model.wire_name,
                "title": listing.model.title,
                "aliases": list(listing.model.aliases),
                "default": listing.model.name == DEFAULT_MODEL,
                "built": [_built_document(name, built) for name, built in listing.built.items()],
            }
            for listing in listings
        ],
    }


def _built_document(backend: str, built: BuiltModel | None) -> dict[str, object]:
    return {
        "backend": backend,
        "folder": str(built.archive.parent) if built else None,
        "archive_bytes": built.archive.stat().st_size if built else None,
        "input_bytes": len(built.default_input.body) if built else None,
        "input_content_type": built.default_input.content_type if built else None,
    }


def _lines(cache: Path, backends: Sequence[BackendHere], listings: Sequence[Listing]) -> Iterator[str]:
    for listing in listings:
        model = listing.model
        default = " (default)" if model.name == DEFAULT_MODEL else ""
        yield from _behind(model.name, f"{model.title}{default}")
        yield from _behind("", f"on the server {model.wire_name}" + "".join(f", also {name}" for name in model.aliases))
        for name, built in listing.built.items():
            yield f"{'':12}{name:9}{_built_line(built)}"
    yield ""
    for here in backends:
        yield from _behind(here.name, _backend_line(here))
    yield f"{'cache':12}{cache}"


def _behind(label: str, text: str) -> Iterator[str]:
    first, *others = wrapped(text, behind=12)
    yield f"{label:12}{first}"
    yield from (f"{'':12}{line}" for line in others)


def _built_line(built: BuiltModel | None) -> str:
    if built is None:
        return "not built"
    sizes = f"{_size(built.archive.stat().st_size):>8}, input {_size(len(built.default_input.body)):>7}"
    return f"{sizes}  zoo/{built.archive.parent.name}"


def _backend_line(here: BackendHere) -> str:
    if here.refusal:
        return here.refusal
    if here.environment is None:
        return "not installed yet"
    return f"environments/{here.environment.root.name}"


def _size(size: int) -> str:
    for unit, least in (("MB", 1_000_000), ("KB", 1_000)):
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size} B"
