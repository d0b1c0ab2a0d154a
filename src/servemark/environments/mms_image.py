"""Images with Multi Model Server: ours, built on first use from the pins of the managed environment; or another's."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from servemark.environments.backends import Backend
from servemark.environments.cache import Progress, cache_dir
from servemark.environments.commands import finish
from servemark.environments.docker_cli import DockerEngine, docker, docker_error, inspect_image
from servemark.environments.mms import (
    RUNTIME_MODULES,
    MmsEnvironment,
    install_packages,
    pins,
    uses_uv,
)
from servemark.errors import SetupError

#: The variable that names another image to build ours on, where the usual one cannot be had.
BASE_VARIABLE = "SERVEMARK_DOCKER_BASE"
DEFAULT_BASE = "debian:12-slim"
#: What an image that is not ours must have on its PATH or as its entrypoint.
SERVER_COMMANDS = ("multi-model-server", "mxnet-model-server")

_DOCKERFILE = Path(__file__).parent / "image" / "Dockerfile"
_PYTHON_MINOR = 11
_GLIBC_MINOR = 36
_OLDEST_GLIBC_MINOR = 17
_BUILD_TIMEOUT_S = 1200.0
_PULL_TIMEOUT_S = 1800.0
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
#: Starts the server in an image whose entrypoint does something else.
_FIND_SERVER = f"""
for server in {" ".join(SERVER_COMMANDS)}; do
    if command -v "$server" > /dev/null; then exec "$server" "$@"; fi
done
echo "ImageError: this image has no {SERVER_COMMANDS[0]} on its PATH"; exit 127
"""


@dataclass(frozen=True)
class MmsImage:
    """An image to run a server from.

    Attributes:
        name: as it was asked for, or our tag.
        image_id: its digest.
        backend: the runtime in it, when it is ours.
        python_path: its PYTHONPATH.
        entrypoint: what replaces its entrypoint; None when that starts the server.
        arguments: what comes before the server's own arguments.
    """

    name: str
    image_id: str
    backend: Backend | None
    python_path: str = ""
    entrypoint: str | None = None
    arguments: tuple[str, ...] = ()


def our_image(environment: MmsEnvironment, engine: DockerEngine, progress: Progress) -> MmsImage:
    """Our image with the backend of `environment`, built on first use on SERVEMARK_DOCKER_BASE (``debian:12-slim``).

    Raises:
        SetupError: it could not be built.
    """
    base = os.environ.get(BASE_VARIABLE) or DEFAULT_BASE
    backend = environment.backend
    assert environment.requirements, "only a Python of the user's has none"
    packages = [f"{name}=={version}" for name, version in pins(environment.requirements, _PYTHON_MINOR).items()]
    recipe = "\0".join((_DOCKERFILE.read_text(encoding="utf-8"), base, engine.architecture, *packages))
    tag = f"servemark/mms-{environment.variant}:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    found = inspect_image(tag)
    if found is None:
        progress(f"building the image {tag} on {base} (once, a few minutes)")
        _build(tag, base, packages, environment, engine)
        found = inspect_image(tag)
    if found is None:
        raise SetupError(f"the image {tag} is not there after it was built", next_step="see docker images")
    return _image(tag, found, backend)


def other_image(name: str, progress: Progress) -> MmsImage:
    """The image `name`, pulled if it is not here. It must have one of SERVER_COMMANDS on its PATH or as entrypoint.

    Raises:
        SetupError: there is none of that name, or it cannot be pulled.
    """
    found = inspect_image(name)
    if found is None:
        progress(f"pulling the image {name}")
        pulled = finish(["docker", "pull", "--quiet", name], timeout_s=_PULL_TIMEOUT_S)
        found = inspect_image(name) if pulled.status == 0 else None
        if found is None:
            raise docker_error(
                pulled,
                f"get the image {name}, which is not on this machine",
                "check its name and the network; docker images lists what is here",
            )
    image = _image(name, found, None)
    entrypoint = (found.get("Config") or {}).get("Entrypoint") or ()
    if entrypoint and PurePosixPath(entrypoint[0]).name in SERVER_COMMANDS:
        return image
    return replace(image, entrypoint="sh", arguments=("-c", _FIND_SERVER, "sh"))


def _image(name: str, found: Mapping[str, Any], backend: Backend | None) -> MmsImage:
    """What the daemon knows of an image, as one of ours or another's."""
    variables = dict(line.split("=", 1) for line in (found.get("Config") or {}).get("Env") or () if "=" in line)
    return MmsImage(name, str(found.get("Id", "")), backend, python_path=variables.get("PYTHONPATH", ""))


def _build(tag: str, base: str, packages: list[str], environment: MmsEnvironment, engine: DockerEngine) -> None:
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="image-", dir=cache_dir()) as folder:
        context = Path(folder)
        shutil.copyfile(_DOCKERFILE, context / "Dockerfile")
        # Downloaded here, where the network, its proxies and its certificates are set up.
        target = context / "packages"
        install_packages(environment.python, [*_foreign(engine.architecture), "--target", target, *packages])
        # Scripts for the Python of this machine.
        shutil.rmtree(target / "bin", ignore_errors=True)
        assert environment.backend
        runtime = RUNTIME_MODULES[environment.backend]
        proxies = [name for name in _PROXIES if os.environ.get(name)]
        arguments = [f"--build-arg={argument}" for argument in (f"BASE={base}", f"RUNTIME={runtime}", *proxies)]
        docker(
            ["build", "--force-rm", "--network", "host", "--tag", tag, *arguments, context],
            what=f"build the image {tag} on {base}",
            timeout_s=_BUILD_TIMEOUT_S,
            next_step=f"check the network, or set {BASE_VARIABLE} to an image of Debian 12 that is here",
        )


def _foreign(architecture: str) -> Sequence[str]:
    """The installer's options that choose packages for the image's Python instead of this machine's."""
    python = f"3.{_PYTHON_MINOR}"
    if uses_uv():
        return ("--python-version", python, "--python-platform", f"{architecture}-manylinux_2_{_GLIBC_MINOR}")
    platforms = [f"manylinux_2_{minor}" for minor in range(_GLIBC_MINOR, _OLDEST_GLIBC_MINOR - 1, -1)]
    named = [f"{platform}_{architecture}" for platform in (*platforms, "manylinux2014", "manylinux2010", "manylinux1")]
    abis = (f"cp3{_PYTHON_MINOR}", "abi3", "none")
    return (
        *("--no-compile", "--python-version", python, "--implementation", "cp"),
        *(f"--abi={abi}" for abi in abis),
        *(f"--platform={platform}" for platform in named),
    )
