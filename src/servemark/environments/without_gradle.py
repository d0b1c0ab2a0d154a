"""The server's jar without Gradle: javac, and the jars that the build files name through Maven.

The jar is what Gradle's ``:server:jar`` makes: classes and resources of the modules, and everything that they need, in
one file. The same sources make the same bytes. Nothing is written into the checkout.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from servemark.environments.build_log import BuildLog
from servemark.environments.cache import Progress, build_once
from servemark.environments.commands import finish
from servemark.environments.gradle import Jar, Module, read_build
from servemark.environments.jdk import Jdk
from servemark.environments.maven import copy_jars, find_maven

_COMPILE_TIMEOUT_S = 600.0
_OLDEST_WITH_RELEASE = 9
_SOURCES = Path("src/main/java")
_RESOURCES = Path("src/main/resources")
#: What the server's build file leaves out of the jars that it packs together, and their signatures, which would not
#: hold for it.
_LEFT_OUT = re.compile(r"META-INF/(?:maven/|INDEX\.LIST|MANIFEST|LICENSE|NOTICE|[^/]*\.(?:SF|RSA|DSA|EC)$)")
_SERVICES = "META-INF/services/"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_POM = """<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>servemark</groupId>
  <artifactId>mms-jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}  </dependencies>
</project>
"""


def build_jar(root: Path, jdk: Jdk, jar: Path, work: Path, progress: Progress, log: BuildLog) -> tuple[str, list[str]]:
    """Make `jar` from the sources in `root`; `work` is an empty folder for what comes between.

    Returns what was done, in words of the result, and the names of the jars that are in it.

    Raises:
        SetupError: the build files are not understood, the jars cannot be had, or something does not compile.
    """
    build = read_build(root)
    folder = build_once(_key(build.jars), partial(_fetch, build.jars, jdk, progress), progress)
    jars = sorted(folder.glob("*.jar"))
    classes: dict[str, Path] = {}
    for module in build.modules:
        classes[module.name] = work / module.name
        classes[module.name].mkdir(parents=True)
        class_path = [*(classes[name] for name in _all_needs(module, build.modules)), *jars]
        _compile(root, module, build.java_release, jdk, classes[module.name], class_path, log)
    parts = [part for module in build.modules for part in (classes[module.name], root / module.folder / _RESOURCES)]
    _pack(jar, build.main_class, reversed(parts), jars)
    done = f"javac {' '.join(_release(build.java_release, jdk))}, with the jars of its build files from Maven"
    return done, [path.name for path in jars]


def _key(jars: Iterable[Jar]) -> str:
    return f"environments/mms-jars-{hashlib.sha256(_pom(jars).encode()).hexdigest()[:12]}"


def _fetch(jars: tuple[Jar, ...], jdk: Jdk, progress: Progress, folder: Path) -> None:
    maven = find_maven("the jars that the server is built with are had", "give a --build-command that builds it")
    progress("fetching the jars that its build files name, through Maven (once, 5 to 60 s)")
    pom = folder / "pom.xml"
    pom.write_text(_pom(jars), encoding="utf-8")
    copy_jars(maven, pom, folder, what="the jars that the server is built with", java_home=jdk.home)


def _pom(jars: Iterable[Jar]) -> str:
    """A project that needs `jars`."""
    dependencies = ""
    for jar in jars:
        values = {"groupId": jar.group, "artifactId": jar.name, "version": jar.version, "classifier": jar.classifier}
        told = "".join(f"<{key}>{value}</{key}>" for key, value in values.items() if value)
        dependencies += f"    <dependency>{told}</dependency>\n"
    return _POM.format(dependencies=dependencies)


def _all_needs(module: Module, modules: tuple[Module, ...]) -> list[str]:
    """The modules that `module` needs, and those that these need."""
    by_name = {one.name: one for one in modules}
    found: dict[str, None] = {}
    waiting = list(module.needs)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting += by_name[name].needs
    return list(found)


def _release(java_release: int, jdk: Jdk) -> list[str]:
    if jdk.major >= _OLDEST_WITH_RELEASE:
        return ["--release", str(java_release)]
    return ["-source", str(java_release), "-target", str(java_release)]


def _compile(
    root: Path, module: Module, java_release: int, jdk: Jdk, classes: Path, class_path: list[Path], log: BuildLog
) -> None:
    """Compile a module of `root` into `classes`.

    Raises:
        SetupError: it does not compile.
    """
    sources = [path.relative_to(root) for path in sorted((root / module.folder / _SOURCES).rglob("*.java"))]
    if not sources:
        return
    options = [*_release(java_release, jdk), "-encoding", "UTF-8", "-proc:none", "-Xlint:-options"]
    # In a file, where a quote and a backslash have to be quoted: there may be more than a command takes.
    words = ["-classpath", os.pathsep.join(map(str, class_path)), "-d", str(classes), *map(str, sources)]
    quoted = ['"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words]
    arguments = classes.with_name(f"{module.name}.arguments")
    arguments.write_text("\n".join(quoted) + "\n", encoding="utf-8", errors="surrogateescape")
    log.command(f"javac {' '.join(options)} {module.folder / _SOURCES} ({len(sources)} files)")
    command = [str(jdk.home / "bin" / "javac"), *options, f"@{arguments}"]
    finished = finish(command, timeout_s=_COMPILE_TIMEOUT_S, environ=jdk.environ(), cwd=root)
    log.printed(finished.output)
    if finished.status != 0:
        raise log.failure(f"the build of {root}", finished, f"JDK {jdk.version}, without Gradle")


def _pack(jar: Path, main_class: str, folders: Iterable[Path], jars: list[Path]) -> None:
    """Pack `folders`, then what is in `jars`, into `jar`; of files of one name the first, and services all together."""
    services: dict[str, list[bytes]] = {}
    packed: set[str] = set()
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as out:
        _add(out, "META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\r\nMain-Class: {main_class}\r\n\r\n".encode())
        for name, content in _contents(folders, jars):
            if name.startswith(_SERVICES):
                services.setdefault(name, []).append(content.strip() + b"\n")
            elif name not in packed:
                packed.add(name)
                _add(out, name, content)
        for name, contents in services.items():
            _add(out, name, b"".join(dict.fromkeys(contents)))


def _contents(folders: Iterable[Path], jars: list[Path]) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path.read_bytes()
    for path in jars:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not name.endswith("/") and not _LEFT_OUT.match(name):
                    yield name, archive.read(name)


def _add(out: zipfile.ZipFile, name: str, content: bytes) -> None:
    out.writestr(zipfile.ZipInfo(name, _LONG_AGO), content, zipfile.ZIP_DEFLATED)
