"""Apache JMeter with the original harness's plugins: the user's (JMETER_HOME), or one that Maven assembles once."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from servemark.environments.cache import Progress, build_once, cache_dir, is_built
from servemark.environments.commands import finish, run_command
from servemark.environments.maven import copy_jars, find_maven
from servemark.errors import SetupError

#: Oldest Java that JMeter and its plugins are used on here.
LEAST_JAVA = 17
#: Plugins of the original harness, each a jar in ``lib/ext``: what they add to JMeter.
PLUGINS = {
    "jmeter-plugins-synthesis": "the aggregate and synthesis reports (jpgc-synthesis)",
    "jmeter-plugins-filterresults": "filtered results (jpgc-filterresults)",
    "jmeter-plugins-mergeresults": "merged results (jpgc-mergeresults)",
    "jmeter-plugins-cmd": "reports from the command line (jpgc-cmd)",
    "jmeter-plugins-perfmon": "charts of the server's resources (jpgc-perfmon)",
}
_PARTS = ("ApacheJMeter_core", "ApacheJMeter_http", "ApacheJMeter_components")
_LEAST_JMETER = 5

_POM = Path(__file__).with_name("jmeter-pom.xml")
_PROBE_TIMEOUT_S = 30.0
#: Annotations that only compilers read, and a native library's Java side without the library.
_LEFT_OUT = re.compile(r"(annotations-[\d.]+|auto-service.*|apiguardian.*|sigar.*)\.jar$")
_VERSION = re.compile(r'version "(?P<text>(?:1\.)?(?P<major>\d+)[^"]*)"')
_INSTALL = "run ./install_dependencies.sh, or install"


@dataclass(frozen=True)
class JMeterHome:
    """An installation of JMeter with its plugins, and the Java that runs it.

    Attributes:
        root: the directory that holds ``bin`` and ``lib``.
        java: the ``java`` executable.
        versions: what is installed: jmeter, java, and each plugin by the name of its jar.
    """

    root: Path
    java: Path
    versions: Mapping[str, str]

    @property
    def launcher(self) -> Path:
        """The jar that starts JMeter."""
        return self.root / "bin" / "ApacheJMeter.jar"

    @property
    def command_runner(self) -> Path:
        """The jar that runs the plugins' command-line tools."""
        return next((self.root / "lib").glob("cmdrunner-*.jar"))


@dataclass(frozen=True)
class Java:
    """A Java that was run and said which version it is."""

    executable: Path
    version: str


def jmeter_home(progress: Progress) -> JMeterHome:
    """The JMeter to use: JMETER_HOME where that is set, else one in the cache, assembled through Maven on first use.

    Raises:
        SetupError: there is no Java 17 or no Maven (says what to install), JMETER_HOME lacks something (says what), or
            the parts could not be downloaded.
    """
    java = find_java()
    given = os.environ.get("JMETER_HOME")
    if given:
        root = Path(given).expanduser().absolute()
        _check_given(root)
    else:
        root = build_once(_key(), partial(_assemble, java, progress), progress)
    return JMeterHome(root=root, java=java.executable, versions={"java": java.version, **_versions(root)})


def assembled_home() -> Path | None:
    """The folder in the cache in which :func:`jmeter_home` has assembled a JMeter, if it has."""
    return cache_dir() / _key() if is_built(_key()) else None


def _key() -> str:
    return f"environments/jmeter-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"


def find_java() -> Java:
    """The Java of JAVA_HOME if that is new enough, else the one on PATH.

    Raises:
        SetupError: neither is Java 17 or newer; says what was found.
    """
    refused: list[str] = []
    for source, executable in _java_candidates():
        finished = finish([executable, "-version"], timeout_s=_PROBE_TIMEOUT_S)
        match = _VERSION.search(finished.output)
        if finished.status != 0 or not match:
            refused.append(f"{executable} ({source}) does not run")
        elif int(match["major"]) < LEAST_JAVA:
            refused.append(f"{executable} ({source}) is version {match['text']}")
        else:
            return Java(executable, match["text"])
    raise SetupError(
        f"JMeter needs Java {LEAST_JAVA} or newer",
        cause="; ".join(refused) or "there is no java on PATH, and JAVA_HOME is not set",
        next_step=f"{_INSTALL} it (Debian and Ubuntu: default-jre-headless) and put it on PATH or in JAVA_HOME",
    )


def _java_candidates() -> Iterator[tuple[str, Path]]:
    java_home = os.environ.get("JAVA_HOME")
    if java_home:
        yield "JAVA_HOME", Path(java_home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield "PATH", Path(on_path)


def _check_given(root: Path) -> None:
    """Whether JMETER_HOME holds a JMeter that is new enough, and every plugin.

    Raises:
        SetupError: it does not; names what is missing.
    """
    missing = [
        f"bin/{name}" for name in ("ApacheJMeter.jar", "jmeter.properties") if not (root / "bin" / name).exists()
    ]
    missing += [f"lib/ext/{part}.jar" for part in _PARTS if not _jar(root / "lib" / "ext", part)]
    if missing:
        raise SetupError(
            f"JMETER_HOME is {root}, which is no installation of JMeter",
            cause=f"it has no {', '.join(missing)}",
            next_step="set it to the folder that holds JMeter's bin and lib, or unset it to have one assembled",
        )
    version = _versions(root)["jmeter"]
    if int(re.sub(r"\D.*", "", version) or 0) < _LEAST_JMETER:
        raise SetupError(
            f"the JMeter in JMETER_HOME ({root}) is version {version}",
            cause=f"plans and reports are for version {_LEAST_JMETER} and newer",
            next_step="install a newer one, or unset JMETER_HOME to have one assembled",
        )
    plugins = [f"{name}: {what}" for name, what in PLUGINS.items() if not _jar(root / "lib" / "ext", name)]
    if not _jar(root / "lib", "cmdrunner"):
        plugins.append("cmdrunner, in lib: runs the plugins' tools")
    if plugins:
        raise SetupError(
            f"the JMeter in JMETER_HOME ({root}) lacks plugins",
            cause="; ".join(plugins),
            next_step="install them with its plugins manager, or unset JMETER_HOME to have one assembled with them",
        )


def _jar(folder: Path, name: str) -> Path | None:
    """The jar called `name` in `folder`, with or without a version in its name."""
    pattern = re.compile(re.escape(name) + r"(-\d[^/]*)?\.jar")
    return next((path for path in sorted(folder.glob(f"{name}*.jar")) if pattern.fullmatch(path.name)), None)


def _versions(root: Path) -> dict[str, str]:
    folder = root / "lib" / "ext"
    core = _jar(folder, "ApacheJMeter_core")
    versions = {"jmeter": _manifest_version(core) if core else "unknown"}
    for name in PLUGINS:
        jar = _jar(folder, name)
        if jar:
            versions[name] = jar.stem.removeprefix(name).lstrip("-") or "unknown"
    return versions


def _manifest_version(jar: Path) -> str:
    """What the manifest of `jar` says of its version."""
    try:
        with zipfile.ZipFile(jar) as archive:
            manifest = archive.read("META-INF/MANIFEST.MF").decode("utf-8", "replace")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise SetupError(
            f"cannot read {jar}", cause=str(error), next_step="install JMeter again, or unset JMETER_HOME"
        ) from error
    match = re.search(r"^Implementation-Version: *(\S+)", manifest, re.MULTILINE)
    return match[1] if match else "unknown"


def _assemble(java: Java, progress: Progress, root: Path) -> None:
    """Have Maven copy every jar, and lay them out as JMeter's own distribution does."""
    maven = find_maven("JMeter is assembled", "set JMETER_HOME to a JMeter with its plugins")
    progress("assembling Apache JMeter and its plugins through Maven (once, 10 to 100 s)")
    jars = root / "jars"
    shutil.copyfile(_POM, root / "pom.xml")
    copy_jars(maven, root / "pom.xml", jars, what="JMeter and its plugins", java_home=_maven_home(java))
    _lay_out(jars, root)
    shutil.rmtree(jars)
    launcher = root / "bin" / "ApacheJMeter.jar"
    run_command(
        [java.executable, "-Djava.awt.headless=true", "-jar", launcher, "-v", "-j", root / "first-start.log"],
        what="start the JMeter that was just assembled",
        timeout_s=_PROBE_TIMEOUT_S * 2,
    )


def _maven_home(java: Java) -> Path | None:
    """Maven runs on our Java too, where that lies in an installation that Maven can use."""
    home = java.executable.resolve().parent.parent
    return home if (home / "bin" / "java").exists() else None


def _lay_out(jars: Path, root: Path) -> None:
    library, extensions = root / "lib", root / "lib" / "ext"
    for folder in (root / "bin", extensions, library / "junit"):
        folder.mkdir(parents=True)
    for jar in sorted(jars.glob("*.jar")):
        if re.fullmatch(r"ApacheJMeter-[\d.]+\.jar", jar.name):
            jar.rename(root / "bin" / "ApacheJMeter.jar")
        elif jar.name.startswith("ApacheJMeter_config-"):
            _unpack_configuration(jar, root)
            jar.rename(extensions / jar.name)
        elif jar.name.startswith(("jmeter-plugins-cmn-", "jmeter-plugins-charts-")):
            jar.rename(library / jar.name)
        elif jar.name.startswith(("ApacheJMeter_", "jmeter-plugins-")):
            jar.rename(extensions / jar.name)
        elif not _LEFT_OUT.match(jar.name):
            jar.rename(library / jar.name)


def _unpack_configuration(jar: Path, root: Path) -> None:
    with zipfile.ZipFile(jar) as archive:
        archive.extractall(root, [name for name in archive.namelist() if name.startswith("bin/")])
