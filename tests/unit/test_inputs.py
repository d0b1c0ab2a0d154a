"""What is sent: files with the type of their suffix, another type, forms as a reader of forms understands them."""

from __future__ import annotations

import hashlib
import io
import sys
from email import message_from_bytes

import pytest

from servemark.errors import UsageError
from servemark.workload import inputs
from servemark.workload.address import Address
from servemark.workload.compiling import compile_request
from servemark.workload.inputs import STANDARD_INPUT, Input, Sending, as_form, checksum, lines_in, read_inputs
from servemark.workload.scenario import Request


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.JPG", "image/jpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.png", "image/png"),
        ("a.json", "application/json"),
        ("a.txt", "text/plain"),
        ("a.nothing-known", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_the_content_type_follows_the_suffix_unless_given(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"x")
    what = read_inputs([tmp_path / name])[0]
    assert Sending().apply(what) == what
    assert what.content_type == kind
    assert Sending(content_type="a/b").apply(what).content_type == "a/b"


def parts_of(what: Input):
    """The form's parts, as Python's reader of MIME sees them: (field, file name, type, body)."""
    message = message_from_bytes(b"Content-Type: " + what.content_type.encode() + b"\r\n\r\n" + what.body)
    assert message.is_multipart()
    assert not message.defects
    return [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_content_type(),
            part.get_payload(decode=True),
        )
        for part in message.get_payload()
    ]


def test_a_form_holds_the_file_under_its_field(tmp_path):
    body = bytes(range(256)) * 4 + b"\r\n--servemark-\r\n"
    (tmp_path / "cat.jpg").write_bytes(body)
    form = Sending(form_field="data").apply(read_inputs([tmp_path / "cat.jpg"])[0])
    assert parts_of(form) == [("data", "cat.jpg", "image/jpeg", body)]
    typed = Sending("image/png", "data").apply(read_inputs([tmp_path / "cat.jpg"])[0])
    assert parts_of(typed)[0][2] == "image/png"


def test_names_in_a_form_are_quoted():
    form = as_form([('fi"eld', Input(b"x", "text/plain", "", file_name='a"\r\nb.txt'))], "")
    assert b'name="fi%22eld"; filename="a%22%0D%0Ab.txt"\r\n' in form.body


def test_a_boundary_is_never_in_what_it_bounds():
    once = as_form([("data", Input(b"x", "text/plain", ""))], "")
    boundary = once.content_type.split("boundary=")[1]
    assert once.body.count(boundary.encode()) == 2
    assert as_form([("data", Input(b"x", "text/plain", ""))], "") == once


def bodies(*paths):
    return [what.body for what in read_inputs(paths)]


def test_a_folder_is_its_files_by_name_without_hidden_ones_and_folders(tmp_path):
    for name in ("b.txt", "a.json", "C.png", ".hidden"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.txt").write_bytes(b"d")
    found = read_inputs([tmp_path])
    assert [what.body for what in found] == [b"C.png", b"a.json", b"b.txt"]
    assert [what.content_type for what in found] == ["image/png", "application/json", "text/plain"]
    assert bodies(tmp_path / "b.txt", tmp_path) == [b"b.txt", b"C.png", b"a.json", b"b.txt"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.NDJSON"])
def test_each_line_of_a_jsonl_file_is_an_input_as_it_stands(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b'{"a": 1,  "b":2}\n\n  [3]  \r\n"\xc3\xa4"\n \t\nnull')
    found = read_inputs([path])
    assert [what.body for what in found] == [b'{"a": 1,  "b":2}', b"[3]", b'"\xc3\xa4"', b"null"]
    assert {what.content_type for what in found} == {"application/json"}
    assert [what.origin for what in found] == [f"{path} line {number}" for number in (1, 3, 4, 6)]
    assert bodies(tmp_path) == bodies(path), "in a folder, too"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n\n{"a": 1\n', "a.jsonl line 3 is no JSON: Expecting ',' delimiter: column 8"),
        (b"[1]\n[1] [2]\n", "a.jsonl line 2 is no JSON: Extra data"),
        (b"NaN\n", "a.jsonl line 1 is no JSON: NaN is no JSON"),
        (b"[1]\n\xff\n", "a.jsonl line 2 is no JSON: 'utf-8' codec"),
        (b"[" * 100_000, "a.jsonl line 1 is no JSON"),
        (b"\n \n", "there is no input in"),
        (b"", "there is no input in"),
    ],
)
def test_a_jsonl_file_that_is_none_is_named_with_its_line(tmp_path, content, message):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(UsageError, match=r"\w") as refused:
        read_inputs([tmp_path / "a.jsonl"])
    assert message in str(refused.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_jsonl_file_may_begin_with_a_byte_order_mark(tmp_path, encoding):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "\xe4"}\r\n[2]\r\n', encoding=encoding)
    assert bodies(path) == ['{"a": "\xe4"}'.encode(), b"[2]"]
    assert [what.origin for what in read_inputs([path])] == [f"{path} line 1", f"{path} line 2"]


def test_a_jsonl_file_that_is_not_what_its_mark_says_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe[")
    with pytest.raises(UsageError, match=r"cannot read the input .*a.jsonl: .*; write it in UTF-8"):
        read_inputs([tmp_path / "a.jsonl"])


@pytest.fixture
def standard_input(monkeypatch):
    def hold(content: bytes | None) -> None:
        monkeypatch.setattr(sys, "stdin", None if content is None else io.TextIOWrapper(io.BytesIO(content)))

    inputs._standard_input.cache_clear()
    yield hold
    inputs._standard_input.cache_clear()


def test_standard_input_is_one_input_that_is_read_once(standard_input):
    standard_input(b"\xef\xbb\xbf[1]\n[2]\n")
    (what,) = read_inputs([STANDARD_INPUT])
    assert what == Input(b"\xef\xbb\xbf[1]\n[2]\n", "application/octet-stream", "standard input", "stdin")
    assert read_inputs([STANDARD_INPUT, STANDARD_INPUT]) == (what, what), "a suite's benchmarks all have it"


def test_standard_input_may_be_read_by_its_lines(standard_input):
    standard_input(b"\xef\xbb\xbf[1]\n[2]\n")
    for _ in range(2):
        assert [line.body for line in lines_in(STANDARD_INPUT)] == [b"[1]", b"[2]"]


@pytest.mark.parametrize("content", [b"", None])
def test_nothing_in_standard_input_is_refused(standard_input, content):
    standard_input(content)
    with pytest.raises(UsageError, match="there is no input in standard input; pipe it into the command"):
        read_inputs([STANDARD_INPUT])


def test_an_empty_folder_and_a_file_that_is_not_there_are_refused(tmp_path):
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"there is no input in the folder .*empty; put files into it"):
        read_inputs([tmp_path / "empty"])
    with pytest.raises(UsageError, match=r"cannot read the input .*none: No such file"):
        read_inputs([tmp_path / "none"])


def test_the_checksum_is_that_of_all_bodies_one_after_the_other(tmp_path):
    (tmp_path / "a").write_bytes(b"ab")
    (tmp_path / "b").write_bytes(b"c")
    assert checksum(bodies(tmp_path)) == hashlib.sha256(b"abc").hexdigest()
    assert checksum(bodies(tmp_path)) != checksum(bodies(tmp_path / "b", tmp_path / "a"))


def test_what_is_sent_as_it_is_is_in_memory_once(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100)
    (what,) = read_inputs([tmp_path / "a"])
    assert Sending().apply(what) is what
    request = Request("POST", "/", (), what.body)
    assert compile_request(request, Address("h", "127.0.0.1", 80)).body is what.body
