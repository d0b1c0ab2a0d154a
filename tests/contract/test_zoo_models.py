"""Every zoo model on every backend, run by MMS's own worker code in the server's environment (without its frontend)."""

from __future__ import annotations

import base64
import json
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from servemark.environments.mms import MmsEnvironment, mms_environment
from servemark.servers.mms.dialect import DIALECT
from servemark.workload.inputs import Input
from servemark.zoo.build import BuiltModel, build_model
from servemark.zoo.catalogue import BACKENDS, ZOO, Backend, ZooModel, find
from servemark.zoo.pack.mar import manifest
from servemark.zoo.predictions import check_prediction

pytestmark = pytest.mark.slow

#: Runs in the server's environment. Loads the model as a worker does, then answers each batch that it was given with
#: MMS's own Service, whose reply it takes apart as the frontend does (mms/protocol/otf_message_handler.py).
_WORKER = """
import base64, json, struct, sys
from mms.model_loader import ModelLoaderFactory
from mms.protocol.otf_message_handler import retrieve_msg  # noqa: the module that the frontend speaks to

folder, batches = sys.argv[1], json.load(sys.stdin)
sys.path.insert(0, folder)
manifest = json.load(open(folder + "/MAR-INF/MANIFEST.json"))["model"]
loader = ModelLoaderFactory.get_model_loader(folder)
service = loader.load(manifest["modelName"], folder, manifest["handler"], None, 3)

def value(content_type, body):
    # As _retrieve_input_data decodes it.
    if content_type == "application/json":
        return json.loads(body.decode())
    return body.decode() if content_type.startswith("text") else bytearray(body)

def request(index, item):
    body = base64.b64decode(item["body"])
    parameters = []
    if body:
        parameters = [{"name": "body", "contentType": item["type"], "value": value(item["type"], body)}]
    return {"requestId": str(index).encode(), "headers": [], "parameters": parameters}

class Reply:
    def __init__(self, message):
        self.message, self.at = bytes(message), 0
    def integer(self):
        self.at += 4
        return struct.unpack_from("!i", self.message, self.at - 4)[0]
    def text(self):
        length = self.integer()
        self.at += length
        return self.message[self.at - length:self.at]

def answers(message, count):
    reply, found = Reply(message), []
    reply.integer(), reply.text()
    for _ in range(count):
        reply.text(), reply.text()
        status = reply.integer()
        reply.text()
        for _ in range(reply.integer()):
            reply.text(), reply.text()
        found.append([status, base64.b64encode(reply.text()).decode()])
    assert reply.integer() == -1
    return found

replies = [answers(service.predict([request(i, item) for i, item in enumerate(b)]), len(b)) for b in batches]
print("REPLIES " + json.dumps(replies))
"""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


class Worker:
    """A built model, its archive unpacked, and the environment it runs in."""

    def __init__(self, built: BuiltModel, environment: MmsEnvironment, folder: Path) -> None:
        self.built = built
        self._environment = environment
        self._folder = folder
        with zipfile.ZipFile(built.archive) as archive:
            archive.extractall(folder)

    def predict(self, *batches: list[Input]) -> tuple[list[list[Answer]], str]:
        """The answers to each batch, from one worker, and its log."""
        requests = [[{"type": i.content_type, "body": base64.b64encode(i.body).decode()} for i in b] for b in batches]
        ended = subprocess.run(
            [self._environment.python, "-c", _WORKER, self._folder],
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self._folder,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        line = next(line for line in ended.stdout.splitlines() if line.startswith("REPLIES "))
        replies = json.loads(line.removeprefix("REPLIES "))
        return [[Answer(status, base64.b64decode(body)) for status, body in batch] for batch in replies], ended.stderr


@pytest.fixture(scope="module", params=BACKENDS)
def environment(request: pytest.FixtureRequest) -> MmsEnvironment:
    backend: Backend = request.param
    return mms_environment(backend, lambda message: None)


@pytest.fixture(scope="module", params=ZOO, ids=lambda model: model.name)
def worker(
    request: pytest.FixtureRequest, environment: MmsEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Worker:
    model: ZooModel = request.param
    built = build_model(model, environment, lambda message: None)
    return Worker(built, environment, tmp_path_factory.mktemp("worker"))


def _model(name: str) -> ZooModel:
    model = find(name)
    assert model is not None
    return model


def _json(value: object) -> Input:
    return Input(json.dumps(value).encode(), "application/json", "test")


#: Another right input of each model, and inputs that it must refuse.
def _other_input(model: ZooModel, default: Input) -> Input:
    return _json({"tokens": [1, 2, 3]}) if model.name == "lstm" else default


_BAD_IMAGES = [
    Input(b"", "image/jpeg", "nothing"),
    Input(b"not an image at all", "image/jpeg", "no image"),
    Input(b"\xff\xd8\xff\xe0 broken", "image/jpeg", "a broken JPEG"),
    Input(b"hello", "text/plain", "text"),
    _json({"tokens": [1]}),
]
_BAD_TOKENS = [
    Input(b"", "application/json", "nothing"),
    *map(_json, ({"tokens": []}, {"tokens": ["the"]}, {"tokens": [10_000]}, {"tokens": [-1]}, {"tokens": [True]})),
    *map(_json, ({"tokens": [1.5]}, {"tokens": 7}, [1, 2], "the", None, {}, {"tokens": [1] * 513})),
    Input(b"\xff\xd8", "image/jpeg", "no JSON, sent as something else"),
]
_BAD_INPUTS = {"resnet": _BAD_IMAGES, "squeezenet": _BAD_IMAGES, "lstm": _BAD_TOKENS, "noop": []}


@dataclass(frozen=True)
class Answered:
    """What one process of a worker answered, one batch after the other, and its log."""

    twice: list[list[Answer]]
    together: list[Answer]
    alone: list[list[Answer]]
    beside_bad: list[list[Answer]]
    log: str


@pytest.fixture(scope="module")
def answered(worker: Worker) -> Answered:
    """All that the tests ask of each model: loading it takes longer than answering."""
    model, good = worker.built.model, worker.built.default_input
    batch = [good, _other_input(model, good), good]
    bad = [[good, one, good] for one in _BAD_INPUTS[model.name]]
    replies, log = worker.predict([good], [good], batch, *[[one] for one in batch], *bad)
    return Answered(replies[:2], replies[2], replies[3:6], replies[6:], log)


def test_prediction_has_the_right_shape_and_the_same_input_gives_the_same_output(
    worker: Worker, answered: Answered
) -> None:
    (first,), (second,) = answered.twice
    ((again,),), _ = worker.predict([worker.built.default_input])

    assert check_prediction(worker.built.model, DIALECT.decode(first.body)) is None
    assert first == second == again
    assert first.status == 200


#: As published; of ResNet with the means and variances of its batch normalisation, which MXNet counts too.
_PARAMETERS = {"resnet": 11_699_112, "squeezenet": 1_235_496, "lstm": 4_653_200}
#: How many numbers a model holds, in the server's environment.
_COUNT = {
    "mxnet": """
import sys, mxnet
print(sum(weight.size for weight in mxnet.nd.load(sys.argv[1] + "/model-0000.params").values()))
""",
    "onnx": """
import math, sys, onnx
weights = onnx.load(sys.argv[1] + "/model.onnx").graph.initializer
print(sum(math.prod(w.dims) for w in weights if w.data_type == onnx.TensorProto.FLOAT))
""",
}


@pytest.mark.parametrize("name", _PARAMETERS)
def test_a_model_has_as_many_parameters_as_the_original(name: str, environment: MmsEnvironment, tmp_path: Path) -> None:
    with zipfile.ZipFile(build_model(_model(name), environment, lambda message: None).archive) as archive:
        archive.extractall(tmp_path)
    count = [environment.python, "-c", _COUNT[environment.backend], tmp_path]
    counted = subprocess.run(count, capture_output=True, text=True, timeout=120, check=True)
    assert int(counted.stdout) == _PARAMETERS[name]


def test_a_batch_of_three_equals_three_singles(answered: Answered) -> None:
    for in_batch, (single,) in zip(answered.together, answered.alone, strict=True):
        assert _rounded(in_batch.body) == _rounded(single.body)


def test_bad_input_is_a_client_error_and_does_not_harm_its_batch(worker: Worker, answered: Answered) -> None:
    (reference,) = answered.twice[0]
    for bad, (before, refused, after) in zip(_BAD_INPUTS[worker.built.model.name], answered.beside_bad, strict=True):
        assert refused.status == 400, bad.origin
        assert json.loads(refused.body)["type"] == "BadInput"
        assert before.status == after.status == 200
        assert _rounded(before.body) == _rounded(after.body) == _rounded(reference.body)


def test_the_worker_says_what_it_computes_with(worker: Worker, answered: Answered, environment: MmsEnvironment) -> None:
    lines = answered.log.splitlines()
    reports = [line.removeprefix("servemark-worker ") for line in lines if "servemark-worker " in line]
    if worker.built.model.name == "noop":
        assert not reports
        return
    (report,) = map(json.loads, reports)
    assert report["backend"] == environment.backend
    assert (report["device"], report["threads"]) == ("cpu", 1)


def test_another_input_gives_another_answer(environment: MmsEnvironment, tmp_path: Path) -> None:
    worker = Worker(build_model(_model("lstm"), environment, lambda message: None), environment, tmp_path)
    (answers,), _ = worker.predict([_json({"tokens": tokens}) for tokens in ([1, 2, 3], [3, 2, 1], [1, 2, 4])])
    assert len({answer.body for answer in answers}) == 3


def test_an_image_of_another_size_and_mode_is_taken(environment: MmsEnvironment, tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    draw = f"from PIL import Image; Image.linear_gradient('L').resize((300, 200)).save({str(path)!r})"
    subprocess.run([environment.python, "-c", draw], check=True, timeout=60)
    built = build_model(_model("squeezenet"), environment, lambda message: None)
    worker = Worker(built, environment, tmp_path / "model")

    ((answer, usual),), _ = worker.predict([Input(path.read_bytes(), "image/png", "test"), built.default_input])

    assert check_prediction(built.model, DIALECT.decode(answer.body)) is None
    assert answer.body != usual.body


def test_the_manifest_is_what_model_archiver_writes(environment: MmsEnvironment, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "service.py").write_text("def handle(data, context): return data\n")
    words = ["--model-name", "m", "--handler", "service:handle", "--model-path", "model", "--export-path", "."]
    archiver = environment.python.parent / "model-archiver"
    subprocess.run([archiver, *words], check=True, timeout=60, cwd=tmp_path)

    with zipfile.ZipFile(tmp_path / "m.mar") as archive:
        assert json.loads(archive.read("MAR-INF/MANIFEST.json")) == manifest("m", "service:handle")


def test_the_pinned_packages_are_complete(environment: MmsEnvironment) -> None:
    check = [environment.python, "-m", "pip", "check"]
    ended = subprocess.run(check, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_default_image_is_about_45_kb(environment: MmsEnvironment) -> None:
    built = build_model(_model("resnet"), environment, lambda message: None)
    assert 40_000 < len(built.default_input.body) < 50_000


def _rounded(body: bytes) -> object:
    """An answer whose probabilities are rounded: batches of different sizes are summed in different orders."""
    if body == b"OK":
        return body
    answer = json.loads(body)
    return [{**entry, "probability": float(f"{entry['probability']:.4g}")} for entry in answer]
