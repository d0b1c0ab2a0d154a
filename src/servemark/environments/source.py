"""Multi Model Server from source: a checkout is found, built with a JDK of its own, and kept with what it was made of.

The build runs in the checkout, as a developer's would, and leaves there what it always leaves. Where its Gradle cannot
work it is done by ``without_gradle``, which leaves nothing there. What is served is a copy in the cache, named by a
digest of the sources: so every change is noticed, a build that failed serves nothing, and nothing that the server does
reaches the checkout.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from servemark.environments import without_gradle
from servemark.environments.build_log import BUILD_LOG, BuildLog
from servemark.environments.cache import Progress, build_once, cache_dir
from servemark.environments.commands import finish
from servemark.environments.gradle import WRAPPER, script_command, wrapper_failure, wrapper_refusal
from servemark.environments.jdk import Jdk, find_jdk
from servemark.environments.variables import JVM_OPTIONS, passed_on
from servemark.errors import SetupError, UsageError

DEFAULT_BUILD_COMMAND = f"{WRAPPER} -p frontend :server:jar"

_PARTS = ("setup.py", "mms/__init__.py", "mms/model_server.py", WRAPPER)
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
_TRIES = 3
_KEPT_BUILDS = 4
_HOW = "build.json"
#: A part of the recipe: raised when the same sources are built otherwise than before.
_RECIPE = "2"


@dataclass(frozen=True)
class SourceBuild:
    """A server built from source.

    Attributes:
        root: a folder that holds ``mms`` with its jar: what to import the server from.
        version: what the sources call it.
        facts: for the result: path, commit and dirty (None when git does not know the checkout), sources_sha256,
            jar_sha256, build_command, build_java (None without a JDK), without_gradle (why it was built so; None where
            Gradle or the user's command built it), and then build_jars, the names of the jars that were used.
    """

    root: Path
    version: str | None
    facts: Mapping[str, object]


@dataclass(frozen=True)
class _How:
    """How a server was built; see the facts of ``SourceBuild``."""

    build_command: str
    without_gradle: str | None = None
    build_jars: list[str] | None = None


class _ChangedMeanwhileError(Exception):
    """A source was edited while it was compiled: nobody knows what is in the jar."""


def check_checkout(folder: Path, *, own_build: bool = False) -> Path:
    """The absolute path of `folder`, proved to be a checkout of MMS; with `own_build` its build script may be missing.

    Raises:
        UsageError: it is none; says what is missing.
    """
    root = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100  links are left as the user wrote them
    missing = [part for part in _PARTS if not (root / part).is_file() and not (own_build and part == WRAPPER)]
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

    `build_command` (a shell's, run in `folder`) replaces ``frontend/gradlew -p frontend :server:jar``. Where that
    cannot work here (no network to its Gradle, a JDK that is too new for it) javac and Maven do, which `progress` is
    told, with the reason. The JDK is JAVA_HOME's, else that of the ``javac`` on PATH. `log` is told the commands and
    what they print.

    Raises:
        UsageError: it is no checkout.
        SetupError: it cannot be built; `detail` begins with the first error, and `log` has all that was printed.
    """
    root = check_checkout(folder, own_build=build_command is not None)
    jdk = find_jdk()
    if jdk is None and build_command is None:
        raise SetupError(
            f"cannot build {root}",
            cause="found no JDK: no javac in JAVA_HOME or on PATH",
            next_step="run ./install_dependencies.sh, or install one (Debian and Ubuntu: default-jdk-headless)",
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
            **json.loads((built / _HOW).read_text(encoding="utf-8")),
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
    """What the keys of this checkout's builds in the cache begin with."""
    return f"sources/{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}-"


def _recipe_digest(digest: str, command: str, jdk: Jdk | None) -> str:
    recipe = "\0".join((_RECIPE, digest, command, str(jdk)))
    return hashlib.sha256(recipe.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _build(
    root: Path,
    digest: str,
    command: str,
    jdk: Jdk | None,
    progress: Progress,
    tell: Callable[[str], None] | None,
    folder: Path,
) -> None:
    log, jar = BuildLog(tell), folder / "server.jar"
    how = _make_jar(root, command, jdk, progress, log, jar)
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "tests")
    shutil.copytree(root / "mms", folder / "mms", ignore=ignored)
    for name in _INSTALLED:
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / _SERVER_JAR).parent.mkdir()
    jar.rename(folder / _SERVER_JAR)
    if sources_digest(root) != digest:
        raise _ChangedMeanwhileError
    (folder / _HOW).write_text(json.dumps(asdict(how)), encoding="utf-8", errors="backslashreplace")
    (folder / BUILD_LOG).write_text(log.text, encoding="utf-8", errors="backslashreplace")


def _make_jar(root: Path, command: str, jdk: Jdk | None, progress: Progress, log: BuildLog, jar: Path) -> _How:
    """Make `jar` from the sources in `root`, by `command` where that can work."""
    by_gradle = command == DEFAULT_BUILD_COMMAND and jdk is not None
    without = wrapper_refusal(root, jdk) if by_gradle and jdk else ""
    if not without:
        progress(f"building Multi Model Server from {root} ({command})")
        words = [*script_command(Path(WRAPPER), root), *command.split()[1:]] if by_gradle else ["sh", "-c", command]
        without = _run_build(root, words, command, jdk, log, jar, by_gradle=by_gradle)
    if not without or jdk is None:
        return _How(command)
    progress(f"building Multi Model Server from {root} without its Gradle, by javac and Maven: {without}")
    with tempfile.TemporaryDirectory(prefix="classes-", dir=jar.parent) as work:
        done, jars = without_gradle.build_jar(root, jdk, jar, Path(work), progress, log)
    return _How(done, without, jars)


def _run_build(
    root: Path, words: list[str], command: str, jdk: Jdk | None, log: BuildLog, jar: Path, *, by_gradle: bool
) -> str:
    """Run `words` in `root` and copy what they made to `jar`; or why Gradle cannot work here, if it is that."""
    # So that what is there afterwards was made now: an old jar must never be served.
    for old in _built_jars(root):
        old.unlink()
    installed = root / _SERVER_JAR
    before = _identity(installed)
    # No daemon of Gradle's that would stay.
    environ = {"GRADLE_OPTS": f"{os.environ.get('GRADLE_OPTS', '')} -Dorg.gradle.daemon=false".strip()}
    if jdk:
        environ.update(jdk.environ())
    log.command(command)
    # The build may have to download: behind a proxy what that takes is often in Java's own variables.
    finished = finish(words, timeout_s=_BUILD_TIMEOUT_S, environ=environ, keep=JVM_OPTIONS, cwd=root)
    log.printed(finished.output)
    without = wrapper_failure(finished) if by_gradle else ""
    if without:
        return without
    if finished.status != 0:
        raise log.failure(f"the build of {root}", finished, f"JDK {jdk.version if jdk else '(none)'}")
    jars = _built_jars(root)
    if not jars and _identity(installed) not in (None, before):
        jars = [installed]
    if not jars:
        raise SetupError(
            f"the build of {root} made no server",
            cause=f"{command!r} succeeded, but left no new jar in {_JARS} and none at {_SERVER_JAR}",
            next_step="give a --build-command that makes one there",
            log=log.text,
        )
    # The server's jar holds everything that it needs: of several it is the largest.
    shutil.copyfile(max(jars, key=lambda made: made.stat().st_size), jar)
    return ""


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
