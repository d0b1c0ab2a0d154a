"""``servemark models``: the whole zoo, and of each model what is cached, with nothing installed or built for it."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from servemark.cli import main
from servemark.environments import mms
from servemark.environments.cache import build_once
from servemark.environments.mms import choose_backend, installed_environment
from servemark.errors import UsageError
from servemark.zoo.build import built_model, model_key
from servemark.zoo.catalogue import ZOO, find

VERSIONS = {"python": "3.11.7", "multi-model-server": "1.1.11", "onnxruntime": "1.32.0"}
ARCHIVE_BYTES, IMAGE_BYTES = 46_900_000, 45_300


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _install(variant: str) -> None:
    """The environment of that variant, as if it were installed."""
    facts = json.dumps({"java_home": "/jdk", "versions": VERSIONS})
    build_once(
        mms._key(variant, choose_backend("onnx")[1]),
        lambda folder: (folder / "environment.json").write_text(facts, encoding="utf-8"),
        lambda _: None,
    )


@pytest.fixture
def environment():
    _install("onnx")
    return installed_environment("onnx")


@pytest.fixture
def resnet(environment) -> Path:
    """A ResNet in the cache: sparse files of the usual sizes."""

    def build(folder: Path) -> None:
        for name, size in (("resnet-18.mar", ARCHIVE_BYTES), ("input.jpg", IMAGE_BYTES)):
            with (folder / name).open("wb") as file:
                file.truncate(size)

    return build_once(model_key(find("resnet"), environment), build, lambda _: None)


def _document(capsys) -> dict:
    assert main(["models", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_empty_cache_lists_the_whole_zoo_and_stays_empty(capsys, cache):
    document = _document(capsys)
    assert document["schema"] == "servemark/models/1"
    assert document["cache"] == str(cache)
    assert [model["name"] for model in document["models"]] == [model.name for model in ZOO]
    assert [model["name"] for model in document["models"] if model["default"]] == ["resnet"]
    for model in document["models"]:
        assert find(model["wire_name"]).aliases == tuple(model["aliases"])
        assert [built["backend"] for built in model["built"]] == ["mxnet", "onnx"]
        assert all(built["folder"] is None and built["archive_bytes"] is None for built in model["built"])
    assert all(backend["environment"] is None for backend in document["backends"])
    assert not cache.exists()


def test_what_is_cached_is_listed_with_its_size_and_folder(capsys, cache, resnet):
    document = _document(capsys)
    (model,) = (model for model in document["models"] if model["name"] == "resnet")
    (built,) = (built for built in model["built"] if built["backend"] == "onnx")
    assert built == {
        "backend": "onnx",
        "folder": str(resnet),
        "archive_bytes": ARCHIVE_BYTES,
        "input_bytes": IMAGE_BYTES,
        "input_content_type": "image/jpeg",
    }
    (backend,) = (backend for backend in document["backends"] if backend["name"] == "onnx")
    assert backend["versions"] == VERSIONS
    assert Path(backend["environment"]).is_relative_to(cache)


def test_a_model_built_with_other_packages_is_not_the_cached_one(environment, resnet, monkeypatch):
    assert built_model(find("resnet"), environment).archive == resnet / "resnet-18.mar"
    other = mms.MmsEnvironment(**{**vars(environment), "versions": {**VERSIONS, "onnxruntime": "1.33.0"}})
    assert built_model(find("resnet"), other) is None


def test_people_get_a_line_a_backend_within_80_columns(capsys, resnet):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-1])) <= 80  # the last one is the folder of the cache
    at = lines.index("resnet      ResNet-18, image classification (default)")
    assert lines[at + 1].strip() == "on the server resnet-18, also resnet18, also resnet-18-v1"
    assert lines[at + 3].split() == ["onnx", "46.9", "MB,", "input", "45.3", "KB", f"zoo/{resnet.name}"]
    assert "            mxnet    not built" in lines


def test_the_environment_for_gpus_is_listed_once_it_is_installed(capsys, monkeypatch):
    monkeypatch.setattr(mms, "_GPU_PLATFORM", (platform.system(), platform.machine()))
    _install("onnx-gpu")
    document = _document(capsys)
    assert [backend["name"] for backend in document["backends"]] == ["mxnet", "onnx", "onnx-gpu"]
    assert [built["backend"] for built in document["models"][0]["built"]] == ["mxnet", "onnx", "onnx-gpu"]
    assert document["backends"][2]["environment"]
    assert document["backends"][1]["environment"] is None


def test_a_backend_that_cannot_be_had_says_why(capsys, monkeypatch):
    cause = "MXNet needs CPython 3.9 to 3.11, and /usr/bin/python3 is Python 3.13.5; /usr/local/bin/python3 is too"

    def refuse(backend):
        raise UsageError("the backend cannot be had here", cause=cause)

    monkeypatch.setattr(mms, "choose_backend", refuse)
    document = _document(capsys)
    assert [backend["available"] for backend in document["backends"]] == [False, False]
    assert document["backends"][0]["refusal"] == f"the backend cannot be had here: {cause}"
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert f"the backend cannot be had here: {cause}" in " ".join(text.split())
    assert max(map(len, text.splitlines()[:-1])) <= 80


def test_help_and_usage_errors(capsys):
    with pytest.raises(SystemExit) as end:
        main(["models", "-h"])
    assert end.value.code == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    assert main(["models", "resnet"]) == 2
    assert "unrecognized arguments: resnet" in capsys.readouterr().err
