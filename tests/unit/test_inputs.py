"""What is sent: files with the type of their suffix, another type, forms as a reader of forms understands them."""

from __future__ import annotations

from email import message_from_bytes

import pytest

from servemark.workload.inputs import Input, Sending, as_form, read_input


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
    what = read_input(tmp_path / name)
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
    form = Sending(form_field="data").apply(read_input(tmp_path / "cat.jpg"))
    assert parts_of(form) == [("data", "cat.jpg", "image/jpeg", body)]
    typed = Sending("image/png", "data").apply(read_input(tmp_path / "cat.jpg"))
    assert parts_of(typed)[0][2] == "image/png"


def test_names_in_a_form_are_quoted():
    form = as_form([('fi"eld', Input(b"x", "text/plain", "", file_name='a"\r\nb.txt'))], "")
    assert b'name="fi%22eld"; filename="a%22%0D%0Ab.txt"\r\n' in form.body


def test_a_boundary_is_never_in_what_it_bounds():
    once = as_form([("data", Input(b"x", "text/plain", ""))], "")
    boundary = once.content_type.split("boundary=")[1]
    assert once.body.count(boundary.encode()) == 2
    assert as_form([("data", Input(b"x", "text/plain", ""))], "") == once
