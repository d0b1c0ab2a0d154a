"""What is written to a terminal that knows no escape sequences, and how much of a long text is shown."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from servemark.cli import doctor
from servemark.errors import UsageError
from servemark.report.live import LiveView
from servemark.report.progress import RunUnderWay
from servemark.report.terminal import print_summary
from servemark.terminals import shortened, takes_escapes
from servemark.text_files import without_mark
from servemark.units import NS_PER_S
from servemark.workload.load import ClosedLoad

from .test_reports import result


@pytest.fixture
def on_a_terminal(monkeypatch):
    """Make standard output and error a terminal whose TERM is that; None is none at all."""

    def become(term: str | None) -> None:
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True)
        for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TERM"):
            monkeypatch.delenv(name, raising=False)
        if term is not None:
            monkeypatch.setenv("TERM", term)

    return become


@pytest.mark.parametrize("term", ["dumb", "unknown", "", None])
def test_a_terminal_without_escapes_gets_none(on_a_terminal, capsys, tmp_path, term):
    on_a_terminal(term)
    assert not takes_escapes(sys.stderr)
    assert not doctor._is_coloured()
    print_summary(result(), tmp_path)
    with LiveView() as view:
        for elapsed_s in (4, 6):
            counts = SimpleNamespace(elapsed_ns=elapsed_s * NS_PER_S, scheduled=6, succeeded=6, failed=0)
            view.show(RunUnderWay(counts, ClosedLoad(users=1, loops=1)))
            view.draw()
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert captured.err.splitlines() == ["measuring: 6 s, 6 succeeded; last 10 s: 1.00/s"], "every 5 s, as into a file"


def test_another_terminal_gets_them(on_a_terminal, capsys, tmp_path):
    on_a_terminal("xterm-256color")
    assert takes_escapes(sys.stderr)
    print_summary(result(), tmp_path)
    assert "\x1b[1" in capsys.readouterr().out


def test_what_is_no_terminal_gets_none(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert not takes_escapes(None)
    assert not takes_escapes(SimpleNamespace(isatty=lambda: False))


def test_a_long_text_loses_its_middle():
    assert shortened("x" * 200) == "x" * 200
    cut = shortened("a" * 100 + "b" * 100_000 + "c" * 100)
    assert len(cut) <= 200
    assert cut.startswith("aaaa")
    assert cut.endswith("cccc")
    assert " ... " in cut


def test_an_error_is_a_line_whatever_is_in_it():
    error = UsageError("cannot read " + "x" * 100_000, cause="y" * 100_000, next_step="try another")
    assert len(str(error)) < 2_100
    assert str(error).endswith("; try another")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_no_part_of_a_text(encoding):
    assert without_mark("a\xe4\n".encode(encoding)) == "a\xe4\n".encode()


def test_what_has_no_mark_stays_what_it_is():
    for content in (b"", b"\xff", b"\xef\xbb", b"\xfe\xfe", bytes(range(256))):
        assert without_mark(content) == content
