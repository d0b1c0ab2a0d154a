"""The catalogue, the archives, and what is taken for a right answer."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import servemark
from servemark.environments.mms import MmsEnvironment
from servemark.errors import SetupError
from servemark.servers.http.words import decoded
from servemark.zoo.build import build_model, model_key
from servemark.zoo.catalogue import BACKENDS, DEFAULT_MODEL, ZOO, Backend, ZooModel, find
from servemark.zoo.pack import mar
from servemark.zoo.pack.mar import write_archive
from servemark.zoo.predictions import check_prediction

_ZOO = Path(mar.__file__).parent.parent


def _model(name: str) -> ZooModel:
    model = find(name)
    assert model is not None
    return model


def _environment(python: Path, backend: Backend = "onnx", **versions: str) -> MmsEnvironment:
    nowhere = Path("/nowhere")
    return MmsEnvironment(nowhere, python, nowhere, nowhere, backend, {"numpy": "1", **versions}, nowhere, backend)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("resnet", "resnet"),
        ("resnet-18", "resnet"),
        ("ResNet18", "resnet"),
        ("squeezenet", "squeezenet"),
        ("squeezenet_v1.1", "squeezenet"),
        ("lstm", "lstm"),
        ("lstm_ptb", "lstm"),
        ("lstm-ptb", "lstm"),
        ("noop", "noop"),
        ("noop-v1.0", "noop"),
    ],
)
def test_every_spelling_of_the_original_finds_its_model(spelling: str, name: str) -> None:
    assert _model(spelling).name == name


def test_no_spelling_belongs_to_two_models_and_an_unknown_one_to_none() -> None:
    spellings = [spelling.lower() for model in ZOO for spelling in set(model.all_names)]
    assert len(spellings) == len(set(spellings))
    assert find("resnet-50") is None
    assert find(DEFAULT_MODEL) is not None


def test_the_catalogue_needs_only_the_standard_library() -> None:
    code = "import sys, servemark.zoo.catalogue; sys.exit(bool({'numpy', 'httpx', 'psutil'} & set(sys.modules)))"
    source = str(Path(servemark.__path__[0]).parent)
    ended = subprocess.run([sys.executable, "-S", "-c", code], env={"PYTHONPATH": source}, timeout=30, check=False)
    assert ended.returncode == 0


@pytest.mark.parametrize("folder", ["graphs", "handlers"])
def test_what_runs_in_the_servers_environment_never_imports_servemark(folder: str) -> None:
    sources = sorted((_ZOO / folder).glob("*.py"))
    assert sources
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            assert not [name for name in names if name.startswith("servemark")], source
            assert not (isinstance(node, ast.ImportFrom) and node.level > 1), f"{source} reaches out of its package"


def test_an_archive_holds_its_files_and_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"\0\1")
    path = tmp_path / "m.mar"
    write_archive(path, model_name="resnet-18", handler="handlers.x:handle", files={"model.bin": tmp_path / "weights"})

    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["model.bin", "MAR-INF/MANIFEST.json"]
        assert archive.read("model.bin") == b"\0\1"
        assert json.loads(archive.read("MAR-INF/MANIFEST.json")) == {
            "runtime": "python",
            "model": {"modelName": "resnet-18", "handler": "handlers.x:handle"},
            "modelServerVersion": "1.0",
            "implementationVersion": "1.0",
            "specificationVersion": "1.0",
        }


def test_the_same_files_give_the_same_archive(tmp_path: Path) -> None:
    archives = []
    for name in ("a", "b"):
        (tmp_path / name).write_text("same")
        path = tmp_path / f"{name}.mar"
        write_archive(path, model_name="m", handler="h:handle", files={"file": tmp_path / name})
        archives.append(path.read_bytes())
    assert archives[0] == archives[1]


def test_noop_is_built_without_a_runtime_and_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path))
    messages: list[str] = []
    environment = _environment(Path("/nowhere/python"))

    first = build_model(_model("noop"), environment, messages.append)
    second = build_model(_model("noop"), environment, messages.append)

    assert first == second
    assert first.archive.name == "noop-v1.0.mar"
    assert messages == ["building the model noop for onnx (once, a few seconds)"]
    with zipfile.ZipFile(first.archive) as archive:
        handler = json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]["handler"]
        assert f"{handler.partition(':')[0].replace('.', '/')}.py" in archive.namelist()


@pytest.mark.parametrize("model", ZOO, ids=lambda model: model.name)
def test_every_model_has_a_handler_that_exists(model: ZooModel) -> None:
    module, _, function = mar._HANDLERS[model.name].partition(":")
    source = ast.parse((_ZOO / f"{module.replace('.', '/')}.py").read_text())
    assert function in {node.name for node in source.body if isinstance(node, ast.FunctionDef)}


def test_a_model_is_built_again_when_its_backend_or_a_package_changed() -> None:
    python = Path("python")
    environments = [_environment(python, backend) for backend in BACKENDS] + [_environment(python, onnxruntime="2")]
    keys = {model_key(model, environment) for model in ZOO for environment in environments}
    assert len(keys) == len(ZOO) * len(environments)


def test_a_build_that_fails_shows_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path))
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho Traceback; echo 'ImportError: no onnx'; exit 1\n")
    broken.chmod(0o755)

    with pytest.raises(SetupError, match="cannot build the zoo's resnet: ImportError: no onnx") as raised:
        build_model(_model("resnet"), _environment(broken), lambda message: None)

    assert raised.value.detail == "Traceback\nImportError: no onnx"
    assert not list(tmp_path.glob("zoo/*/"))


def _entries(name: str = "class", *probabilities: float) -> list[dict[str, object]]:
    chosen = probabilities or (0.5, 0.2, 0.1, 0.1, 0.05)
    return [{name: index, "probability": p} for index, p in enumerate(chosen)]


def test_right_answers_pass() -> None:
    for name in ("resnet", "squeezenet"):
        assert check_prediction(_model(name), decoded(json.dumps(_entries()).encode())) is None
    assert check_prediction(_model("lstm"), decoded(json.dumps(_entries("token")).encode())) is None
    assert check_prediction(_model("noop"), decoded(b"OK")) is None


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"", "expected JSON, got ''"),
        (b"Prediction failed", "expected JSON"),
        (b"\xff\xfe", "expected JSON"),
        ({"code": 503}, "expected a list of 5"),
        ([], "expected a list of 5"),
        (_entries()[:4], "expected a list of 5"),
        ([1, 2, 3, 4, 5], "expected entries of class and probability"),
        (_entries("token"), "expected entries of class and probability"),
        ([{**entry, "class": "cat"} for entry in _entries()], "expected a class from 0 to 999"),
        ([{**entry, "class": 1000} for entry in _entries()], "expected a class from 0 to 999"),
        (_entries("class", 0.5, 0.2, 0.1, 0.1, 0.0), "expected a probability above 0"),
        (_entries("class", 1.5, 0.2, 0.1, 0.1, 0.1), "expected a probability above 0 and up to 1"),
        (_entries("class", float("nan"), 0.2, 0.1, 0.1, 0.1), "expected a probability above 0 and up to 1"),
        (_entries("class", 0.1, 0.2, 0.1, 0.1, 0.1), "expected the most probable class first"),
        (_entries("class", 0.9, 0.8, 0.7, 0.6, 0.5), "sum to at most 1"),
    ],
)
def test_wrong_answers_are_told_apart(answer: object, complaint: str) -> None:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    told = check_prediction(_model("resnet"), decoded(body))
    assert told is not None
    assert complaint in told


def test_a_noop_that_answers_something_else_is_wrong() -> None:
    assert check_prediction(_model("noop"), decoded(b"NO")) == "expected 'OK', got 'NO'"
