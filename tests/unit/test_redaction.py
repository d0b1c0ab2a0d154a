"""Secrets are masked wherever a server may have said them back, in each spelling and when they are cut."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from servemark.engines import EngineRun
from servemark.errors import ModelError
from servemark.result import ErrorExample
from servemark.runner import Listener
from servemark.runner.redaction import Redaction
from servemark.workload.headers import parse_headers

SECRET = 's3cr$t"<\\> \xe4-with-a-tail'
REDACTION = Redaction(parse_headers(["Authorization: Bearer $TOKEN"], {"TOKEN": SECRET}))


@pytest.mark.parametrize(
    "said",
    [
        SECRET,
        json.dumps(SECRET),
        quote(SECRET),
        SECRET.replace("<", "&lt;").replace(">", "&gt;"),
        SECRET.encode("latin-1").decode("utf-8", "replace"),
        SECRET[:9],
    ],
)
def test_each_spelling_is_masked(said):
    masked = REDACTION.text(f"you said {said}, and {said}!")
    assert masked.strip('"').startswith("you said ")
    assert masked.count("***") == 2
    assert "s3cr" not in masked
    assert "tail" not in masked
    assert masked.endswith("!")


def test_what_is_no_secret_stays():
    assert REDACTION.text("s3cr, Bearer, ***") == "s3cr, Bearer, ***"
    assert Redaction(()).text(SECRET) == SECRET
    assert Redaction(parse_headers(["X-Api-Key: ab"], {})).text("about") == "about", "too short to be looked for"


def test_errors_examples_and_lines_lose_them():
    error = ModelError(f"what {SECRET}", cause=SECRET, next_step=SECRET, detail=f"1\n{SECRET}", log=SECRET)
    REDACTION.error(error)
    assert "s3cr" not in str(error) + error.detail + error.log + repr(error.args)
    run = EngineRun(
        generators=(),
        scheduling_ended_ns=0,
        ended_ns=0,
        interrupted=False,
        stop_reason=SECRET,
        examples={0: (ErrorExample("http_status:500", 0.0, SECRET, f"body {SECRET}"),)},
    )
    assert "s3cr" not in repr(REDACTION.run(run))
    told: list[str] = []
    listener = REDACTION.listener(Listener(note=told.append, log=told.append))
    listener.note(SECRET)
    assert listener.log is not None
    listener.log(f"header: {SECRET}")
    assert told == ["***", "header: ***"]


def test_files_lose_them_and_nothing_else(tmp_path):
    (tmp_path / "deep").mkdir()
    log, other, records = tmp_path / "deep" / "a.log", tmp_path / "image", tmp_path / "r.bin"
    log.write_bytes(b"\xff\x00 " + SECRET.encode() + b" \xfe " + SECRET.encode("latin-1") + b"\n")
    other.write_bytes(bytes(range(256)))
    records.write_bytes(SECRET.encode())
    before = other.stat().st_mtime_ns
    REDACTION.folder(tmp_path)
    assert log.read_bytes() == b"\xff\x00 *** \xfe ***\n"
    assert other.stat().st_mtime_ns == before
    assert records.read_bytes() == SECRET.encode(), "records are numbers"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.log", "deep", "image", "r.bin"]
    REDACTION.folder(tmp_path / "missing")
