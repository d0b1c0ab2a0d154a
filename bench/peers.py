"""The peers: which versions are measured, and how each is found or installed.

Nothing is installed outside the user's cache, except the few system packages, which need root. What cannot be had is
left out, and the report says why.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from servemark.environments.cache import Progress, build_once
from servemark.environments.commands import finish, run_command
from servemark.environments.jmeter import jmeter_home
from servemark.errors import SetupError

How = Literal["apt", "go", "cargo", "pip", "jmeter"]


@dataclass(frozen=True)
class Recipe:
    """How one program is had.

    `source` is the package, module or crate; `version` is pinned, except that of apt, whose packages are the system's.
    """

    name: str
    how: How
    source: str
    version: str = ""
    also: tuple[str, ...] = ()


#: Every program that is measured or measured with, and its version.
RECIPES: tuple[Recipe, ...] = (
    Recipe("nginx", "apt", "nginx-light"),
    Recipe("wrk", "apt", "wrk"),
    Recipe("ab", "apt", "apache2-utils"),
    Recipe("hey", "go", "github.com/rakyll/hey", "v0.1.5"),
    Recipe("vegeta", "go", "github.com/tsenart/vegeta/v12", "v12.13.0"),
    Recipe("fortio", "go", "fortio.org/fortio", "v1.63.7"),
    Recipe("k6", "go", "go.k6.io/k6", "v1.8.1"),
    Recipe("oha", "cargo", "oha", "1.16.0", also=("--no-default-features", "--features", "rustls")),
    Recipe("locust", "pip", "locust", "2.47.0"),
    # Newer ones need a newer glibc than Debian 12 has.
    Recipe(
        "perf_analyzer",
        "pip",
        "tritonclient",
        "2.51.0",
        also=("nvidia-cuda-runtime-cu12==12.9.79",),
    ),
    # Of the parts that are about tokens alone: 0.9 GB.
    Recipe("aiperf", "pip", "aiperf", "0.13.0"),
    Recipe("jmeter", "jmeter", "org.apache.jmeter", "5.6.3"),
)

_BUILD_TIMEOUT_S = 1800.0
_PROBE_TIMEOUT_S = 30.0
_SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin"
_GO_FOLDER = "/usr/local/go/bin"


@dataclass(frozen=True)
class Installed:
    """A program that can be run: its path, its version, and what its environment needs besides ours."""

    name: str
    program: Path
    version: str
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peers:
    """What there is, by name, and of the rest why there is not."""

    installed: Mapping[str, Installed]
    missing: Mapping[str, str]


def find_peers(names: frozenset[str], progress: Progress) -> Peers:
    """Every program of :data:`RECIPES` among `names`, installed now where it was not; the first time takes minutes."""
    installed: dict[str, Installed] = {}
    missing: dict[str, str] = {}
    for recipe in RECIPES:
        if recipe.name not in names:
            continue
        try:
            installed[recipe.name] = _WAYS[recipe.how](recipe, progress)
        except SetupError as error:
            missing[recipe.name] = str(error)
            progress(f"{recipe.name} is left out: {error}")
    return Peers(installed, missing)


def _from_apt(recipe: Recipe, progress: Progress) -> Installed:
    program = _which(recipe.name)
    if program is None:
        _apt_install(recipe.source, progress)
        program = _which(recipe.name)
    if program is None:
        raise SetupError(f"the package {recipe.source} has no {recipe.name}")
    words = {"nginx": ["-v"], "wrk": ["-v"], "ab": ["-V"]}[recipe.name]
    match = re.search(r"\d+\.\d+(\.\d+)?", finish([program, *words], timeout_s=_PROBE_TIMEOUT_S).output)
    return Installed(recipe.name, program, match[0] if match else "unknown")


def _which(name: str) -> Path | None:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}:{_GO_FOLDER}")
    return Path(found) if found else None


def _apt_install(package: str, progress: Progress) -> None:
    """Install a system package.

    Raises:
        SetupError: there is no apt-get, or no right to use it: says what to run.
    """
    apt = shutil.which("apt-get")
    if apt is None:
        raise SetupError(f"{package} is not installed, and there is no apt-get")
    rights = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if rights and finish([*rights, "true"], timeout_s=_PROBE_TIMEOUT_S).status != 0:
        raise SetupError(f"{package} is not installed", next_step=f"run sudo apt-get install {package}")
    progress(f"installing {package}")
    run_command(
        [*rights, apt, "install", "-y", "--no-install-recommends", package],
        what=f"install {package}",
        timeout_s=_BUILD_TIMEOUT_S,
        next_step="run apt-get update and try again",
        environ={"DEBIAN_FRONTEND": "noninteractive"},
    )


def _from_go(recipe: Recipe, progress: Progress) -> Installed:
    go = _which("go")

    def build(folder: Path) -> None:
        if go is None:
            raise SetupError(
                f"{recipe.name} is built by go, which is not on PATH", next_step="install Go 1.24 or newer"
            )
        progress(f"building {recipe.name} {recipe.version} (once, 1 to 3 minutes)")
        run_command(
            [go, "install", f"{recipe.source}@{recipe.version}"],
            what=f"build {recipe.name} {recipe.version}",
            timeout_s=_BUILD_TIMEOUT_S,
            environ={"GOBIN": str(folder), "GOFLAGS": "-buildvcs=false"},
        )

    folder = build_once(f"bench/{recipe.name}-{recipe.version}", build, progress)
    return Installed(recipe.name, folder / recipe.name, recipe.version.lstrip("v"))


def _from_cargo(recipe: Recipe, progress: Progress) -> Installed:
    cargo = _which("cargo")

    def build(folder: Path) -> None:
        if cargo is None:
            raise SetupError(f"{recipe.name} is built by cargo, which is not on PATH", next_step="install Rust")
        progress(f"building {recipe.name} {recipe.version} (once, 4 to 10 minutes)")
        run_command(
            [cargo, "install", recipe.source, "--version", recipe.version, "--locked", *recipe.also, "--root", folder],
            what=f"build {recipe.name} {recipe.version}",
            timeout_s=_BUILD_TIMEOUT_S,
            # Our own build folder would keep its parts for ever.
            environ={"CARGO_TARGET_DIR": str(folder / "target")},
        )
        shutil.rmtree(folder / "target", ignore_errors=True)

    folder = build_once(f"bench/{recipe.name}-{recipe.version}", build, progress)
    return Installed(recipe.name, folder / "bin" / recipe.name, recipe.version)


def _from_pip(recipe: Recipe, progress: Progress) -> Installed:
    def build(folder: Path) -> None:
        progress(f"installing {recipe.source} {recipe.version} (once, under a minute)")
        run_command([sys.executable, "-m", "venv", folder / "venv"], what="make a venv", timeout_s=_BUILD_TIMEOUT_S)
        packages = [f"{recipe.source}=={recipe.version}", *recipe.also]
        run_command(
            [folder / "venv" / "bin" / "python", "-m", "pip", "install", "-q", "--no-input", *packages],
            what=f"install {recipe.source} {recipe.version}",
            timeout_s=_BUILD_TIMEOUT_S,
        )

    key = f"bench/{recipe.name}-{recipe.version}-py{sys.version_info[0]}{sys.version_info[1]}"
    folder = build_once(key, build, progress)
    program = folder / "venv" / "bin" / recipe.name
    environ = _libraries(folder, progress) if recipe.name == "perf_analyzer" else {}
    return Installed(recipe.name, program, recipe.version, environ)


def _libraries(folder: Path, progress: Progress) -> dict[str, str]:
    """What perf_analyzer loads: the CUDA runtime's wheel, and libb64 of the system."""
    if not list(Path("/usr/lib").glob("**/libb64.so.0d")):
        _apt_install("libb64-0d", progress)
    runtime = next(folder.glob("venv/lib/python*/site-packages/nvidia/cuda_runtime/lib"), None)
    return {"LD_LIBRARY_PATH": str(runtime)} if runtime else {}


def _from_maven(recipe: Recipe, progress: Progress) -> Installed:
    home = jmeter_home(progress)
    environ = {"JMETER_JAVA": str(home.java)}
    return Installed(recipe.name, home.launcher, home.versions["jmeter"], environ)


_WAYS: Mapping[How, Callable[[Recipe, Progress], Installed]] = {
    "apt": _from_apt,
    "go": _from_go,
    "cargo": _from_cargo,
    "pip": _from_pip,
    "jmeter": _from_maven,
}
