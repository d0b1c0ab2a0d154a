"""Which Ray cluster is meant, and what is said where none is there: before Ray itself is asked, or loaded."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from servemark.cli import main
from servemark.engines import Sharing
from servemark.engines.native.cluster import answering
from servemark.engines.native.cluster.answering import check_answers
from servemark.engines.native.cluster.connecting import Cluster
from servemark.errors import UnreachableError, UsageError
from servemark.options.generator import GeneratorOptions
from servemark.report import extras


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of who answers one connection."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(64)
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_who_answers_with_settings_may_be_a_cluster():
    with listening(lambda one: one.sendall(b"\0\0\x06\x04\0\0\0\0\0" + b"\0\x05\0\0\x40\0")) as address:
        check_answers(address, "--ray-address")


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\0\0\0\x07\0\0\0\0\0"])
def test_somebody_else_is_none(said):
    refusal = r"^no Ray cluster answers at 127\.0\.0\.1:\d+: something else listens there; give the HOST:PORT that"
    with listening(lambda one: one.sendall(said)) as address, pytest.raises(UnreachableError, match=refusal):
        check_answers(address, "--ray-address")


def test_who_says_nothing_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr(answering, "_WITHIN_S", 0.2)
    over = threading.Event()
    with listening(lambda _: over.wait(30)) as address:
        with pytest.raises(UnreachableError, match=r"no answer within 0\.2 s"):
            check_answers(address, "--ray-address")
        over.set()


def test_an_address_that_nobody_answers_is_exit_4_in_words_and_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        began_s = time.monotonic()
        words = ["run", "http", url, "-t", "2", "-l", "2", "--generators", "2", "--on", "ray"]
        assert main([*words, "--ray-address", f"127.0.0.1:{port}"]) == 4
    assert time.monotonic() - began_s < 30
    assert (
        f"servemark: error: no Ray cluster answers at 127.0.0.1:{port}: Connection refused; " in capsys.readouterr().err
    )
    assert "ray" not in sys.modules


@pytest.mark.parametrize("address", ["nowhere", "host:0", "host:65536", "http://host:8265", "host:port", ":6379"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(UsageError, match=r"is no HOST:PORT; give the HOST:PORT that ray start --head printed"):
        Cluster.of(Sharing(on="ray", ray_address=address))


def test_a_ray_client_is_refused_which_cannot_carry_records():
    with pytest.raises(
        UsageError, match=r"^--ray-address ray://host:10001: a Ray client cannot carry records: .*HOST:PORT$"
    ):
        Cluster.of(Sharing(on="ray", ray_address="ray://host:10001"))


def test_the_environment_names_a_cluster_where_no_option_does(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert Cluster.of(Sharing(on="ray")) == Cluster("head:6379", "RAY_ADDRESS")
    assert Cluster.of(Sharing(on="ray", ray_address="[::1]:1")) == Cluster("[::1]:1", "--ray-address")
    monkeypatch.setenv("RAY_ADDRESS", "")
    assert Cluster.of(Sharing(on="ray")).address is None, "set to nothing is not set, as Ray has it"
    monkeypatch.delenv("RAY_ADDRESS")
    assert Cluster.of(Sharing(on="ray", ship=True)).address is None


_ONE = "http http://127.0.0.1:9/ --generators 2 --on ray"


@pytest.mark.parametrize("words", [["run", *_ONE.split()], ["ab", _ONE, "--", _ONE]], ids=["run", "ab"])
def test_what_the_environment_names_is_looked_at_before_anything_is_begun(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    assert main([*words, "-o", "out"]) == 2
    refusal = "servemark: error: RAY_ADDRESS http://head:8265 is no HOST:PORT; give the HOST:PORT that ray start"
    assert capsys.readouterr().err.startswith(refusal)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("option", "value"), [("ray_address", "head:6379"), ("pack", True), ("ship", True)])
def test_what_is_for_a_cluster_is_refused_without_one(option, value):
    flag = f"--{option.replace('_', '-')}"
    with pytest.raises(UsageError, match=rf"^{flag} and --on processes do not go together: .*; add --on ray$"):
        GeneratorOptions(**{option: value})


def test_jmeter_is_no_generator_of_a_cluster():
    with pytest.raises(
        UsageError, match=r"^--engine jmeter and --on ray do not go together: JMeter sends from one process"
    ):
        GeneratorOptions(engine="jmeter", on="ray")


def test_without_ray_it_is_said_how_to_have_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(extras.EXTRAS, "ray", "a_package_that_is_not_there")
    assert main(["run", "http", "http://127.0.0.1:9/", "--generators", "2", "--on", "ray"]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "error" in one]
    assert line.startswith("servemark: error: --on ray needs ")
    assert "pip install '.[ray]'" in line
