"""``-c``: archives of the real model-archiver and of MMS 0.x, by path and URL, with what their handlers import."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
import zipfile

import pytest

from servemark.environments.mms import _install_extra, mms_environment
from servemark.errors import SetupError
from servemark.servers import ModelSettings, ServerSettings
from servemark.servers.mms.archives import ModelArchive, ServeRequest, accept_any
from servemark.servers.mms.managed import ManagedLauncher
from servemark.zoo.build import build_model
from servemark.zoo.catalogue import find

from ..web_server import redirecting, sending, web_server

pytestmark = pytest.mark.slow

#: Answers what it was sent: the field, how long, and its type.
ECHO = """
def handle(data, context):
    if data is None:
        return None
    return [[[name, len(value), str(type(value).__name__)] for name, value in item.items()] for item in data]
"""
#: Answers only bodies of this file's own kind.
PICKY = """
from mms.service import PredictionException

def handle(data, context):
    if data is None:
        return None
    raise PredictionException("this model eats only fish", 422)
"""
#: MMS catches what `initialize` raises, and serves the model.
SILENT = """
class Service:
    def initialize(self, context):
        import a_package_that_is_not_there
    def handle(self, data, context):
        return [self.network(item) for item in data]
"""
NEEDY = "import emoji\n\ndef handle(data, context):\n    return data and [emoji.__version__] * len(data)\n"
#: As the services of MMS 0.x were: they import its log, and inherit from its classes.
OLD_SERVICE = """
from mms.log import get_logger
from mms.model_service.mxnet_vision_service import MXNetVisionService
logger = get_logger()

class OwnService(MXNetVisionService):
    def _postprocess(self, data):
        logger.info("mine")
        return super(OwnService, self)._postprocess(data)
"""


@pytest.fixture(scope="module")
def environment():
    return mms_environment(None, print)


@pytest.fixture(scope="module")
def mxnet():
    return mms_environment("mxnet", print)


@pytest.fixture(scope="module")
def archiver(environment, tmp_path_factory):
    """Makes NAME.mar of a handler's source with the real model-archiver."""

    def make(name, source, **files):
        folder, out = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("out")
        (folder / "service.py").write_text(source)
        for file, content in files.items():
            (folder / file).write_text(content)
        words = ["--model-name", name, "--model-path", folder, "--handler", "service:handle", "--export-path", out]
        subprocess.run([environment.root / "bin" / "model-archiver", *words], check=True, capture_output=True)
        return out / f"{name}.mar"

    return make


@pytest.fixture(scope="module")
def echo(archiver):
    return archiver("echo", ECHO)


@pytest.fixture(scope="module")
def legacy(mxnet, tmp_path_factory):
    """Makes a .model of the zoo's SqueezeNet, as MMS 0.4 did: (service file, its text, content type)."""
    built = build_model(find("squeezenet"), mxnet, print)

    def make(service, text, content_type):
        name = "squeeze"
        model = {
            "Service": service,
            "Symbol": f"{name}-symbol.json",
            "Parameters": f"{name}-0000.params",
            "Signature": "signature.json",
            "Model-Name": name,
            "Model-Format": "MXNet-Symbolic",
        }
        signature = {
            "input_type": content_type,
            "inputs": [{"data_name": "data", "data_shape": [0, 3, 224, 224]}],
            "output_type": "application/json",
            "outputs": [{"data_name": "softmax", "data_shape": [0, 1000]}],
        }
        path = tmp_path_factory.mktemp("legacy") / f"{name}.model"
        with zipfile.ZipFile(built.archive) as zoo, zipfile.ZipFile(path, "w") as archive:
            archive.writestr("MANIFEST.json", json.dumps({"Engine": {"MXNet": "1.1.0"}, "Model": model}))
            archive.writestr("signature.json", json.dumps(signature))
            archive.writestr("synset.txt", "".join(f"n{number:08} word {number}\n" for number in range(1000)))
            archive.writestr(service, text)
            archive.writestr(f"{name}-symbol.json", zoo.read("model-symbol.json"))
            archive.writestr(f"{name}-0000.params", zoo.read("model-0000.params"))
        return path

    return make


def mms_source(mxnet, name):
    """A file of MMS's own Python; its exporter packed these as the services of archives that brought none."""
    (path,) = mxnet.root.glob(f"lib/python*/site-packages/mms/model_service/{name}")
    return path.read_text()


@pytest.fixture(scope="module")
def somebodys_server(mxnet):
    """A server of somebody's, with the model noop-v1.0, that decodes inputs as ours do for archives of the user's."""
    noop = build_model(find("noop"), mxnet, print)
    archive = ModelArchive("noop-v1.0", noop.archive, (noop.default_input,), accept_any)
    launcher = ManagedLauncher(ServeRequest((archive,)))
    with launcher.serve(ServerSettings()) as server, server.serve_models(ModelSettings(workers=1)):
        yield server


@pytest.fixture
def cat(tmp_path):
    """An image file; the model that echoes does not look at it."""
    path = tmp_path / "cat.JPG"
    path.write_bytes(b"\xff\xd8" + bytes(1000))
    return path


def test_an_archive_of_the_model_archiver_is_measured_from_a_url(command, echo, cat):
    """The original's example, verbatim: ``latency -c {modelUrl} -i {imageFilePath}``."""
    with web_server({"/Zoo/Echo.mar": redirecting("/real"), "/real": sending(echo.read_bytes())}) as url:
        address = url.replace("://", "://user:s3cr3t@") + "/Zoo/Echo.mar?token=t0k3n"
        run = command.run(f"latency -c {address} -i {cat} -l 5 -w 1")
    assert run.status == 0, run.stderr
    assert run.step["succeeded"] == 5
    assert run.benchmark["model"] == "echo"
    assert run.benchmark["archive"] == {
        "origin": f"{url}/Zoo/Echo.mar",
        "sha256": hashlib.sha256(echo.read_bytes()).hexdigest(),
        "size_bytes": echo.stat().st_size,
        "format": "mar",
        "handler": "service:handle",
    }
    assert f"downloading {url}/Zoo/Echo.mar" in run.stderr
    assert run.folder.name.endswith("-latency-Echo")
    assert f"{url}/Zoo/Echo.mar" in run.result["command"]
    written = [path for path in command.cwd.rglob("*") if path.is_file()]
    for secret in (b"s3cr3t", b"t0k3n"):
        assert [path for path in written if secret in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("options", "sent", "is_own"),
    [
        ("", ["body", 1002, "bytearray"], False),
        ("--multipart data", ["data", 1002, "bytearray"], False),
        ("--multipart img --content-type text/plain", ["img", 1002, "str"], True),
        ("--content-type text/plain", ["body", 1002, "str"], False),
    ],
)
def test_the_input_arrives_as_it_was_asked_to_be_sent(command, archiver, somebodys_server, cat, options, sent, is_own):
    """The handler refuses anything else; on a server of our own, or one that decodes as those do."""
    cat.write_bytes(b"x" * 1002)
    source = (
        ECHO
        + f"""
echo = handle
def handle(data, context):
    answer = echo(data, context)
    if answer is not None and answer != [[{sent!r}]] * len(data):
        raise ValueError(repr(answer))
    return answer
"""
    )
    archive = archiver("echo", source)
    where = "" if is_own else f"--mms {somebodys_server.addresses['inference'].url}"
    run = command.run(f"latency -c {archive} -i {cat} {options} -l 2 -w 1 {where}")
    assert run.status == 0, run.stderr


@pytest.mark.parametrize(
    ("service", "content_type"),
    [("mxnet_vision_service.py", "image/jpeg"), ("mxnet_model_service.py", "application/json")],
)
def test_an_archive_of_mms_0_is_measured_by_its_signature_alone(command, legacy, mxnet, service, content_type):
    archive = legacy(service, mms_source(mxnet, service), content_type)
    run = command.run(f"latency -c {archive} -l 3 -w 1")
    assert run.status == 0, run.stderr
    assert run.benchmark["model"] == "squeeze"
    assert run.benchmark["archive"]["format"] == "model"
    assert run.benchmark["archive"]["handler"] == service
    assert run.step["succeeded"] == 3


def test_a_service_of_mms_0_has_its_log_and_answers_batches(command, legacy):
    archive = legacy("own_service.py", OLD_SERVICE, "image/jpeg")
    run = command.run(f"batching -c {archive} --options batch_size 4 max_batch_delay 50 workers 1 --duration 1")
    assert run.status == 0, run.stderr
    for one in run.benchmark["runs"]:  # two, where the first was INVALID
        assert one["server"]["read_back"]["batch_size"] == 4
        assert one["steps"][0]["errors"] == {}


def test_an_input_that_the_service_of_mms_0_cannot_read_ends_the_run_before_measuring(command, legacy, mxnet):
    archive = legacy("mxnet_vision_service.py", mms_source(mxnet, "mxnet_vision_service.py"), "image/jpeg")
    wrong = command.cwd / "wrong.jpg"
    wrong.write_text("no image")
    run = command.run(f"latency -c {archive} -i {wrong} -l 3 -w 1")
    assert run.status == 4
    assert "the model squeeze refused the input" in run.error_line
    assert "the service cannot read the input: " in run.error_line
    assert run.result is None


def test_an_input_that_the_model_refuses_ends_the_run_with_the_servers_message(command, archiver, cat):
    run = command.run(f"latency -c {archiver('picky', PICKY)} -i {cat} -l 3 -w 1")
    assert run.status == 4
    assert "HTTP 422, this model eats only fish; give an input that it takes with -i" in run.error_line
    assert run.result is None


def test_without_signature_and_input_it_asks_for_one_and_starts_no_server(command, echo):
    run = command.run(f"latency -c {echo} -l 3")
    assert run.status == 2
    assert run.error_line.endswith("there is no signature.json in it; say with -i what to send to it")
    assert "starting" not in run.stderr


def test_the_signature_of_a_mar_is_used_too(command, archiver, somebodys_server):
    signature = {"input_type": "application/json", "inputs": [{"data_name": "data", "data_shape": [0, 4]}]}
    archive = archiver("echo", ECHO, **{"signature.json": json.dumps(signature)})
    run = command.run(f"latency -c {archive} -l 2 -w 1 --mms {somebodys_server.addresses['inference'].url}")
    assert run.status == 0, run.stderr


def test_a_broken_archive_is_named_before_a_server_starts(command, tmp_path):
    (tmp_path / "broken.mar").write_bytes(b"PK\x03\x04 and no more")
    run = command.run(f"latency -c {tmp_path / 'broken.mar'} -l 1")
    assert run.status == 4
    assert "broken.mar is no model archive that can be served: it is cut off or damaged" in run.error_line
    assert "starting" not in run.stderr


def test_a_page_instead_of_a_model_is_named(command):
    with web_server({"/m.mar": sending(b"<html>sign in</html>", kind="text/html")}) as url:
        run = command.run(f"latency -c {url}/m.mar -l 1")
    assert run.status == 4
    assert f"{url}/m.mar is no archive: the server sent a web page (text/html)" in run.error_line


def test_an_interrupted_download_leaves_nothing_in_the_cache(command, echo, tmp_path):
    command.cache = tmp_path / "cache"
    more = threading.Event()

    def half(request):
        sending(echo.read_bytes()[:100], length=echo.stat().st_size)(request)
        more.wait(600)

    with web_server({"/m.mar": half}) as url:
        with command.started(f"latency -c {url}/m.mar -l 1") as started:
            started.wait_for("the download", lambda: list(command.cache.glob("downloads/*.partial")))
            started.interrupt()
            run = started.end(timeout_s=60)
        more.set()
    assert run.status == 130
    assert list((command.cache / "downloads").iterdir()) == []


@pytest.mark.parametrize(("source", "module"), [(NEEDY, "emoji"), (SILENT, "a_package_that_is_not_there")])
def test_a_missing_module_is_the_first_line_of_the_error(command, archiver, cat, source, module):
    run = command.run(f"latency -c {archiver('needy', source)} -i {cat} -l 1 -w 1")
    assert run.status == 4
    assert run.error_line == (
        f"servemark: error: No module named '{module}' (the handler of needy imports it); "
        "give --server-requirements FILE or --server-python PATH"
    )


@pytest.fixture(scope="module")
def forgotten_environments(cache):
    """Afterwards there is no environment of requirements in the tests' cache, hundreds of megabytes each."""
    yield
    for path in cache.glob("environments/custom-*"):
        subprocess.run(["rm", "-r", str(path)], check=True)


@pytest.mark.usefixtures("forgotten_environments")
def test_what_the_handler_imports_comes_from_requirements_or_from_a_python_that_has_it(command, archiver, cat):
    archive, wanted = archiver("needy", NEEDY), command.cwd / "requirements.txt"
    wanted.write_text("emoji==2.14.0\n")
    line = f"latency -c {archive} -i {cat} -l 2 -w 1"
    run = command.run(f"{line} --server-requirements {wanted} --backend onnx")
    assert run.status == 0, run.stderr
    assert f"installing what {wanted} names (once)" in run.stderr
    assert run.result["server"]["versions"]["emoji"] == "2.14.0"

    again = command.run(f"{line} --server-requirements {wanted} --backend onnx")
    assert "installing" not in again.stderr

    (made,) = (command.cache / "environments").glob("custom-onnx-*/lib/python*/site-packages/emoji")
    python = made.parents[3] / "bin" / "python"
    run = command.run(f"{line} --server-python {python}")
    assert run.status == 0, run.stderr
    assert run.result["server"]["versions"]["emoji"] == "2.14.0"

    # What cannot be had is installed behind a server of its own, too, which is there by now.
    wanted.write_text("no-such-package-at-all==9.9\n")
    with pytest.raises(SetupError, match=f"what {re.escape(str(wanted))} names could not be ") as refused:
        _install_extra(python, wanted)
    assert refused.value.exit_status == 4


def test_a_python_without_the_server_is_told_what_to_install(command, echo, cat):
    run = command.run(f"latency -c {echo} -i {cat} -l 1 --server-python {sys.executable}")
    assert run.status == 4
    assert f"{sys.executable} has no multi-model-server" in run.error_line


def test_an_archive_is_offered_to_a_running_server_and_removed(
    command, somebodys_server, echo, archiver, legacy, mxnet, cat
):
    old = legacy("own_service.py", OLD_SERVICE, "image/jpeg")
    target, management = somebodys_server.addresses["inference"].url, somebodys_server.management
    for archive, options in ((echo, f"-i {cat} --multipart data"), (old, "")):
        run = command.run(f"latency -c {archive} {options} --mms {target} -l 2 -w 1")
        assert run.status == 0, run.stderr
        assert run.benchmark["archive"]["origin"] == str(archive)
        assert [model.name for model in management.list_models()] == ["noop-v1.0"]
    run = command.run(f"latency -c {archiver('needy', NEEDY)} -i {cat} --mms {target} -l 2 -w 1")
    assert run.status == 4
    assert "the Python that they run in probably lacks what the handler imports" in run.error_line
    run = command.run(f"latency -c {archiver('noop-v1.0', ECHO)} -i {cat} --mms {target} -l 2 -w 1")
    assert run.status == 2
    assert "the server has a model noop-v1.0 already, and that one is not changed" in run.error_line
    assert [model.name for model in management.list_models()] == ["noop-v1.0"]


def test_zoo_models_are_sent_as_asked_too(command):
    run = command.run("latency -m squeezenet --multipart data -l 2 -w 1")
    assert run.status == 0, run.stderr
