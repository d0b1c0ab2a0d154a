"""Multi Model Server from source: a checkout is found, built with a JDK of its own, and kept with what it was made of.

The build runs in the checkout, as a developer's would, and leaves there what it always leaves. What is served is a copy
in the cache, named by a digest of the sources: so every change is noticed, a build that failed serves nothing, and
nothing that the server does reaches the checkout.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from servemark.environments.cache import Progress, build_once, cache_dir
from servemark.environments.commands import Finished, finish
from servemark.environments.variables import JVM_OPTIONS, passed_on
from servemark.errors import SetupError, UsageError

DEFAULT_BUILD_COMMAND = "frontend/gradlew -p frontend :server:jar"

_PARTS = ("setup.py", "mms/__init__.py", "mms/model_server.py", "frontend/gradlew")
_BUILD_SCRIPT = "frontend/gradlew"
#: What the server is made of.
_SOURCES = ("setup.py", "mms", "frontend", "serving-sdk", "plugins")
#: What building, running and measuring leave among them. A Java package may be called build: below src are sources.
_OUTPUTS = {
    "build",
    "out",
    "bin",
    "logs",
    "servemark-results",
    "__pycache__",
    ".git",
    ".gradle",
    ".idea",
    ".pytest_cache",
}
#: For git: what we write ourselves where we are called is no change of the checkout.
_NOT_RESULTS = ":(exclude,glob)**/servemark-results/**"
_INSTALLED = {"mms/frontend", "mms/plugins"}
_JARS = "frontend/server/build/libs"
#: Where ``setup.py`` puts the jar, and where the server's start script looks for it.
_SERVER_JAR = "mms/frontend/model-server.jar"

_BUILD_TIMEOUT_S = 1200.0
_LOOK_TIMEOUT_S = 30.0
_SHOWN_LINES = 40
_TRIES = 3
_KEPT_BUILDS = 4
_COMPILER_ERROR = re.compile(r"\berror: |\bERROR\b|^> .*(?:Could not|fail)|Could not determine java version")


@dataclass(frozen=True)
class Jdk:
    """A JDK that compiles: JAVA_HOME, and its version."""

    home: Path
    version: str


@dataclass(frozen=True)
class SourceBuild:
    """A server built from source.

    Attributes:
        root: a folder that holds ``mms`` with its jar: what to import the server from.
        version: what the sources call it.
        facts: for the result: path, commit and dirty (None when git does not know the checkout), sources_sha256,
            jar_sha256, build_command, build_java (None without a JDK).
    """

    root: Path
    version: str | None
    facts: Mapping[str, object]


class _ChangedMeanwhileError(Exception):
    """A source was edited while it was compiled: nobody knows what is in the jar."""


def check_checkout(folder: Path, *, own_build: bool = False) -> Path:
    """The absolute path of `folder`, proved to be a checkout of MMS; with `own_build` its build script may be missing.

    Raises:
        UsageError: it is none; says what is missing.
    """
    root = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100  links are left as the user wrote them
    missing = [part for part in _PARTS if not (root / part).is_file() and not (own_build and part == _BUILD_SCRIPT)]
    if not missing:
        return root
    what = "no such folder" if not root.is_dir() else f"it has no {' and no '.join(missing)}"
    raise UsageError(
        f"{root} is not a checkout of Multi Model Server",
        cause=what,
        next_step="give --source the folder that holds its setup.py, mms and frontend",
    )


def find_checkout(folder: Path) -> Path | None:
    """The checkout of MMS that `folder` is or lies in, or None."""
    here = Path(os.path.abspath(folder))  # noqa: PTH100
    return next((root for root in (here, *here.parents) if all((root / part).is_file() for part in _PARTS)), None)


def build_source(
    folder: Path, build_command: str | None, progress: Progress, log: Callable[[str], None] | None = None
) -> SourceBuild:
    """The server in the checkout `folder`; built, unless sources, command and JDK are those of an earlier build.

    `build_command` (a shell's, run in `folder`) replaces ``frontend/gradlew -p frontend :server:jar``. The JDK for it
    is JAVA_HOME's, else that of the ``javac`` on PATH. `log` is told the command and what it prints.

    Raises:
        UsageError: it is no checkout.
        SetupError: it cannot be built; `detail` has the compiler's last lines.
    """
    root = check_checkout(folder, own_build=build_command is not None)
    jdk = find_jdk()
    if jdk is None and build_command is None:
        raise SetupError(
            f"cannot build {root}",
            cause="found no JDK: no javac in JAVA_HOME or on PATH",
            next_step="install one that the checkout's Gradle runs on (MMS 1.1.11: JDK 8) and set JAVA_HOME to it",
        )
    command = build_command or DEFAULT_BUILD_COMMAND
    for _ in range(_TRIES):
        digest = sources_digest(root)
        key = f"{_prefix(root)}{_recipe_digest(digest, command, jdk)}"
        try:
            built = build_once(key, partial(_build, root, digest, command, jdk, progress, log), progress)
        except _ChangedMeanwhileError:
            progress("its files changed while it was built: building again")
            continue
        os.utime(built)
        _forget_old_builds(root)
        facts = {
            "path": str(root),
            **_git_state(root),
            "sources_sha256": digest,
            "jar_sha256": hashlib.sha256((built / _SERVER_JAR).read_bytes()).hexdigest(),
            "build_command": command,
            "build_java": jdk.version if jdk else None,
            "build_environ": passed_on(keep=JVM_OPTIONS),
        }
        return SourceBuild(built, _version(built), facts)
    raise SetupError(
        f"cannot build {root}",
        cause=f"its files changed while it was built, {_TRIES} times",
        next_step="stop what writes them, or run again",
    )


def sources_digest(root: Path) -> str:
    """A digest of the names and contents of everything in the checkout that the server is made of.

    Raises:
        SetupError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in _source_files(root):
            content = path.read_bytes() if path.exists() else os.fsencode(path.readlink())
            name = os.fsencode(path.relative_to(root))
            digest.update(b"%d %d %s\0" % (len(name), len(content), name) + content)
    except OSError as error:
        raise SetupError(
            f"cannot read the sources in {root}",
            cause=f"{error.filename}: {error.strerror}",
            next_step="make it readable, or run again if it was just being written",
        ) from error
    return digest.hexdigest()


def find_jdk() -> Jdk | None:
    """A JDK that compiles: JAVA_HOME's, else that of the ``javac`` on PATH."""
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    on_path = shutil.which("javac")
    if on_path:
        homes.append(Path(on_path).resolve().parent.parent)
    for home in homes:
        javac = home / "bin" / "javac"
        if javac.is_file():
            said = finish([javac, "-version"], timeout_s=_LOOK_TIMEOUT_S)
            version = re.search(r"javac (\S+)", said.output) if said.status == 0 else None
            if version:
                return Jdk(home, version[1])
    return None


def _source_files(root: Path) -> Iterator[Path]:
    for part in _SOURCES:
        top = root / part
        if top.is_file():
            yield top
        for folder, folders, files in os.walk(top):
            inside = Path(folder).relative_to(root)
            folders[:] = sorted(name for name in folders if not _is_output(inside / name))
            here = Path(folder)
            yield from (here / name for name in sorted(files) if not name.endswith((".pyc", ".swp", "~")))


def _is_output(folder: Path) -> bool:
    if folder.as_posix() in _INSTALLED or folder.name == "__pycache__":
        return True
    return folder.name in _OUTPUTS and "src" not in folder.parts


def _prefix(root: Path) -> str:
    """Of the keys of this checkout's builds in the cache."""
    return f"sources/{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}-"


def _recipe_digest(digest: str, command: str, jdk: Jdk | None) -> str:
    recipe = "\0".join((digest, command, str(jdk)))
    return hashlib.sha256(recipe.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _build(
    root: Path,
    digest: str,
    command: str,
    jdk: Jdk | None,
    progress: Progress,
    log: Callable[[str], None] | None,
    folder: Path,
) -> None:
    progress(f"building Multi Model Server from {root} ({command})")
    # So that what is there afterwards was made now: an old jar must never be served.
    for old in _built_jars(root):
        old.unlink()
    before = _identity(root / _SERVER_JAR)
    _run_build(root, command, jdk, log)
    jars = _built_jars(root)
    installed = root / _SERVER_JAR
    if not jars and _identity(installed) not in (None, before):
        jars = [installed]
    if not jars:
        raise SetupError(
            f"the build of {root} made no server",
            cause=f"{command!r} succeeded, but left no new jar in {_JARS} and none at {_SERVER_JAR}",
            next_step="give a --build-command that makes one there",
        )
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "tests")
    shutil.copytree(root / "mms", folder / "mms", ignore=ignored)
    for name in _INSTALLED:
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / _SERVER_JAR).parent.mkdir()
    # The server's jar holds everything that it needs: of several it is the largest.
    shutil.copyfile(max(jars, key=lambda jar: jar.stat().st_size), folder / _SERVER_JAR)
    if sources_digest(root) != digest:
        raise _ChangedMeanwhileError


def _run_build(root: Path, command: str, jdk: Jdk | None, log: Callable[[str], None] | None) -> None:
    words = ["sh", "-c", command]
    if command == DEFAULT_BUILD_COMMAND:
        # An archive that was unpacked without its modes has a script that cannot be executed.
        words = ["sh", *command.split()]
    # No daemon of Gradle's that would stay.
    environ = {"GRADLE_OPTS": f"{os.environ.get('GRADLE_OPTS', '')} -Dorg.gradle.daemon=false".strip()}
    if jdk:
        path = f"{jdk.home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        environ.update({"JAVA_HOME": str(jdk.home), "PATH": path})
    if log:
        log(f"command: {command}")
    # The build may have to download: behind a proxy what that takes is often in Java's own variables.
    finished = finish(words, timeout_s=_BUILD_TIMEOUT_S, environ=environ, keep=JVM_OPTIONS, cwd=root)
    if log:
        for line in finished.output.splitlines():
            log(f"build: {line}")
    if finished.status != 0:
        raise _build_error(root, finished, jdk)


def _build_error(root: Path, finished: Finished, jdk: Jdk | None) -> SetupError:
    lines = finished.last_lines(_SHOWN_LINES).splitlines()
    told = next((line.strip() for line in lines if _COMPILER_ERROR.search(line)), lines[-1].strip() if lines else "")
    return SetupError(
        f"the build of {root} failed",
        cause=told or f"exit status {finished.status}",
        next_step=f"see its last lines below; it was built with JDK {jdk.version if jdk else '(none)'}",
        detail="\n".join(lines),
    )


def _built_jars(root: Path) -> list[Path]:
    jars = (root / _JARS).glob("*.jar")
    return [jar for jar in jars if not jar.stem.endswith(("-sources", "-javadoc"))]


def _identity(path: Path) -> tuple[int, ...] | None:
    """What changes when the file at `path` is written; None when there is none."""
    if not path.exists():
        return None
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _forget_old_builds(root: Path) -> None:
    """Remove this checkout's oldest builds from the cache. A running server has a copy of its own."""
    pattern = cache_dir() / f"{_prefix(root)}*"
    builds = [path for path in pattern.parent.glob(pattern.name) if path.is_dir()]
    for old in sorted(builds, key=lambda path: path.stat().st_mtime_ns, reverse=True)[_KEPT_BUILDS:]:
        shutil.rmtree(old, ignore_errors=True)


def _git_state(root: Path) -> Mapping[str, object]:
    """The commit that is checked out, and whether anything differs from it; None, None when git does not know it."""
    git = ("git", "--no-optional-locks", "-C", str(root))
    tracked = finish([*git, "ls-files", "--error-unmatch", "setup.py"], timeout_s=_LOOK_TIMEOUT_S)
    head = finish([*git, "rev-parse", "HEAD"], timeout_s=_LOOK_TIMEOUT_S)
    status = finish([*git, "status", "--porcelain", "-uall", "--", ".", _NOT_RESULTS], timeout_s=_LOOK_TIMEOUT_S)
    commit = re.search(r"^[0-9a-f]{40,64}$", head.output, re.MULTILINE)
    if tracked.status != 0 or head.status != 0 or status.status != 0 or commit is None:
        return {"commit": None, "dirty": None}
    return {"commit": commit[0], "dirty": bool(re.search(r"^[ MADRCTU?!]{2} ", status.output, re.MULTILINE))}


def _version(built: Path) -> str | None:
    path = built / "mms" / "version.py"
    found = (
        re.search(r"__version__\s*=\s*['\"]([^'\"]+)", path.read_text("utf-8", "replace")) if path.exists() else None
    )
    return found[1].strip() if found else None
