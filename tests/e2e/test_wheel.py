"""A wheel of these sources: what is in it, and what it does on a machine without Rust and without this repository."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest

from servemark.version import version

from ..caches import fresh_cache
from ..pages import ROOT, commands
from ..rust import needs_cargo
from ..validity import status_but_for_the_machine
from ..web_server import pythons_web_server

pytestmark = pytest.mark.slow

_LIMIT_S = 1200
SOURCES = ROOT / "src" / "servemark"
#: Beside this Python, as the extra ``dev`` installs them.
TOOLS = ("pipx", "uv", "uvx")


def _call(*command: str | Path, **more: Any) -> str:
    """What a command that succeeds prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False, **more)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as pip builds it; what cargo has compiled for ``.venv`` is not compiled again."""
    needs_cargo()
    folder = tmp_path_factory.mktemp("wheel")
    _call(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The programs of an environment with the wheel alone, and variables with a PATH where there is nothing else."""
    folder = tmp_path_factory.mktemp("clean")
    _call(sys.executable, "-m", "venv", folder / "venv")
    programs = folder / "venv" / "bin"
    kept = {
        name: os.environ[name] for name in os.environ if not name.startswith(("PYTHON", "CARGO", "RUST", "VIRTUAL"))
    }
    environ = {**kept, "PATH": str(programs), "HOME": str(folder), "SERVEMARK_CACHE": str(folder / "cache")}
    assert [name for name in ("cargo", "rustc", "cc") if shutil.which(name, path=environ["PATH"])] == []
    _call(programs / "python", "-m", "pip", "install", "--only-binary=:all:", wheel, env=environ, cwd=folder)
    return programs, environ


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """The URL of Python's own web server."""
    with pythons_web_server(tmp_path) as url:
        yield url


def _sources() -> set[str]:
    """The files of the package, as a wheel names them."""
    return {
        f"servemark/{path.relative_to(SOURCES).as_posix()}"
        for path in SOURCES.rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so")
    }


def test_its_name_says_every_python_from_3_10_on_and_this_linux(wheel: Path) -> None:
    tag = rf"cp310-abi3-(?:manylinux_2_\d+|linux)_{platform.machine()}"
    assert re.fullmatch(rf"servemark-{re.escape(version())}-{tag}\.whl", wheel.name)


def test_it_has_the_package_with_its_data_its_licence_and_its_bill_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        info = f"servemark-{version()}.dist-info"
        metadata = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode())
        licence = archive.read(f"{info}/licenses/LICENSE")
    package = {name for name in names if name.startswith("servemark/")}
    assert package == _sources() | {"servemark/_loadgen.abi3.so"}
    assert package >= {f"servemark/{name}" for name in ("py.typed", "_loadgen.pyi", "result.schema.json")}
    beside = {name.removeprefix(f"{info}/") for name in names - package}
    assert {name for name in beside if not name.startswith("sboms/")} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }
    assert any(name.endswith(".cyclonedx.json") for name in beside)
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("Apache-2.0", ">=3.10")
    assert metadata["Version"] == version()


def test_without_rust_on_the_path_it_is_installed_and_measures_a_server(clean, endpoint: str, tmp_path: Path) -> None:
    programs, environ = clean
    told = _call(programs / "servemark", "--version", env=environ, cwd=tmp_path)
    assert version() in told
    words = ["run", "http", endpoint, "-t", "2", "-l", "50", "-o", "out", "--no-history"]
    done = subprocess.run(
        [programs / "servemark", *words], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=_LIMIT_S
    )
    result = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert status_but_for_the_machine(done.returncode, result) == 0, done.stderr
    assert result["benchmarks"][0]["steps"][0]["succeeded"] == 100
    assert result["tool"]["version"] == version()


def test_without_this_repository_it_sets_up_a_model_server_and_measures_that(clean, tmp_path: Path) -> None:
    programs, environ = clean
    for folder in ("cache", "elsewhere"):
        (tmp_path / folder).mkdir()
    environ = {**environ, "SERVEMARK_CACHE": str(fresh_cache(tmp_path / "cache"))}
    command = [programs / "servemark", "run", "latency", "-m", "noop", "-l", "20", "-o", "out", "--no-history"]
    done = subprocess.run(
        command, env=environ, cwd=tmp_path / "elsewhere", capture_output=True, text=True, timeout=_LIMIT_S
    )
    result = json.loads((tmp_path / "elsewhere" / "out" / "result.json").read_text(encoding="utf-8"))
    assert status_but_for_the_machine(done.returncode, result) == 0, done.stderr
    assert result["server"]["launcher"] == "managed"
    assert result["benchmarks"][0]["steps"][0]["succeeded"] == 20


def test_a_program_that_uses_it_sees_its_types(clean, tmp_path: Path) -> None:
    programs, environ = clean
    (tmp_path / "program.py").write_text("import servemark\nreveal_type(servemark.open_records('x').rows)\n")
    mypy = [sys.executable, "-m", "mypy", "--python-executable", programs / "python", "--cache-dir", tmp_path / "types"]
    told = _call(*mypy, "program.py", env=environ, cwd=tmp_path)
    assert 'Revealed type is "int"' in told.replace("builtins.int", "int")


@pytest.mark.parametrize("tool", ["pipx install", "uv tool install", "uvx --from"])
def test_the_tools_that_install_tools_take_it(wheel: Path, tmp_path: Path, tool: str) -> None:
    """Each with its folders below one of the test's; the command is that of docs/release.md."""
    (line,) = (one.text for one in commands("docs/release.md") if one.text.startswith(tool))
    tools, installed = tmp_path / "tools", tmp_path / "installed"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(Path(sys.executable).with_name(name))
    shutil.copy(wheel, tmp_path)
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))},
        "PATH": f"{installed}:{tools}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(installed),
        "PIPX_MAN_DIR": str(tmp_path / "man"),
        "UV_TOOL_DIR": str(tmp_path / "uv"),
        "UV_TOOL_BIN_DIR": str(installed),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_PYTHON": os.path.realpath(sys.executable),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    told = _call("bash", "-c", line, env=environ, cwd=tmp_path)
    if tool != "uvx --from":
        assert sorted(path.name for path in installed.iterdir()) == ["servemark"]
        told = _call("bash", "-c", "servemark --version", env=environ, cwd=tmp_path)
    assert version() in told


def test_the_source_distribution_has_what_a_wheel_is_built_of(tmp_path: Path) -> None:
    needs_cargo()
    uv = Path(sys.executable).with_name("uv")
    environ = {**os.environ, "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_PYTHON": sys.executable}
    _call(uv, "build", "--sdist", "--out-dir", tmp_path / "dist", ROOT, env=environ)
    (made,) = (tmp_path / "dist").glob("*.tar.gz")
    assert made.name == f"servemark-{version()}.tar.gz"
    with tarfile.open(made) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert names >= {"PKG-INFO", "pyproject.toml", "Cargo.toml", "Cargo.lock", "LICENSE", "README.md"}
    assert {f"src/{name}" for name in _sources()} <= names
    assert {f"crates/servemark-{crate}/Cargo.toml" for crate in ("py", "loadgen", "records")} <= names
    assert [name for name in names if name.startswith(("tests/", ".venv", "target/"))] == []
