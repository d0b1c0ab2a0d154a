"""The Gradle of a checkout of Multi Model Server: its wrapper, whether that can work here, and its build files.

MMS 1.1.11 has Gradle 4.9, which runs on Java 7 to 10 and has to be downloaded. What its build files say of the server
suffices to build it without: modules, jars by name and version, and the Java that is compiled for.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from servemark.environments.commands import Finished
from servemark.environments.jdk import Jdk
from servemark.errors import SetupError

#: The script that gets the Gradle of a checkout and runs it.
WRAPPER = "frontend/gradlew"
_FRONTEND = "frontend"
_WRAPPER_PROPERTIES = "frontend/gradle/wrapper/gradle-wrapper.properties"
_SERVER = "server"
_MAIN_CLASS = "com.amazonaws.ml.mms.ModelServer"
_JAVA_RELEASE = 8

_DISTRIBUTION = re.compile(r"gradle-(\d+)\.(\d+)(?:[.-][\w.-]+)?-(?:bin|all)\.zip")
#: From which Gradle on the newest Java that it runs on is which (Gradle's compatibility matrix); of later ones nothing
#: is known.
_NEWEST_JAVA = {
    (0, 0): 8,
    (4, 3): 9,
    (4, 7): 10,
    (5, 0): 11,
    (5, 4): 12,
    (6, 0): 13,
    (6, 3): 14,
    (6, 7): 15,
    (7, 0): 16,
    (7, 3): 17,
    (7, 5): 18,
    (7, 6): 19,
    (8, 3): 20,
    (8, 5): 21,
    (8, 8): 22,
    (8, 10): 23,
    (8, 14): 24,
}
_KNOWN_UNTIL = (9, 0)

_COMPILED = re.compile(r"\.\w+:\d+: error: |error: warnings found")
#: What says that Gradle, or what it needs, could not be had; or that it does not run on this Java.
_NOT_HAD = re.compile(
    r"UnknownHostException|ConnectException|SocketException|SocketTimeoutException|NoRouteToHostException"
    r"|SSLHandshakeException|SSLException|Could not install Gradle distribution"
    r"|Could not (?:resolve|GET|HEAD|download)\b"
    r"|Could not determine java version|Unsupported class file major version|Could not initialize class org\.codehaus"
    r"|(?:find or load main class|ClassNotFoundException:) org\.gradle\.wrapper|Unable to access jarfile"
)

_COMMENT = re.compile(r"/\*.*?\*/|(?:^|(?<=\s))//[^\n]*", re.DOTALL | re.MULTILINE)
_CONFIGURATION = re.compile(r"(?:compile|implementation|api|compileOnly|runtime|runtimeOnly)\b[ \t(]+(.+)")
_PROJECT = re.compile(r"project\(\s*(?:path\s*:\s*)?[\"']:?([\w-]+)[\"']")
_MAP = re.compile(
    r"group\s*:\s*[\"'](?P<group>[^\"']+)[\"'],\s*name\s*:\s*[\"'](?P<name>[^\"']+)[\"']"
    r",\s*version\s*:\s*[\"'](?P<version>[^\"']+)[\"']"
)
_STRING = re.compile(r"[\"']([^\"']+)[\"']")
_COORDINATES = re.compile(r"([\w.-]+):([\w.-]+):(\w[\w.-]*)(?::([\w.-]+))?(?:@jar)?")
_VARIABLE = re.compile(r"\$(?:\{(?:rootProject\.|project\.)?(\w+)\}|(\w+))")
_ASSIGNED = re.compile(r"(?:\bext\.|\bdef\s+|^\s*)(\w+)\s*=\s*[\"']([^\"'$]+)[\"']", re.MULTILINE)
_RELEASE = re.compile(r"\btargetCompatibility\s*=?\s*[\"']?(?:JavaVersion\.VERSION_)?(?:1[._])?(\d+)")
_MAIN = re.compile(r"[\"']Main-Class[\"']\s*:\s*[\"']([\w.$]+)[\"']")


@dataclass(frozen=True)
class Jar:
    """A jar, as Maven knows it."""

    group: str
    name: str
    version: str
    classifier: str | None = None


@dataclass(frozen=True)
class Module:
    """A part of the frontend: its folder, relative to the checkout, and the modules that it is compiled against."""

    name: str
    folder: Path
    needs: tuple[str, ...]


@dataclass(frozen=True)
class GradleBuild:
    """What the build files say of the server.

    Attributes:
        modules: each after those that it needs; the last one is the server.
        jars: what is named, of several versions the newest.
        java_release: the Java that is compiled for.
        main_class: of the server.
    """

    modules: tuple[Module, ...]
    jars: tuple[Jar, ...]
    java_release: int
    main_class: str


def script_command(script: Path, root: Path) -> list[str]:
    """The words that run `script` in `root` as its first line asks; it may have been unpacked without its modes."""
    with (root / script).open("rb") as file:
        first = file.readline(256).decode("utf-8", "replace")
    asked = first[2:].strip().split(maxsplit=1) if first.startswith("#!") else []
    return [*(asked or ["sh"]), str(script)]


def wrapper_refusal(root: Path, jdk: Jdk) -> str:
    """Why the wrapper in `root` cannot work here, as far as that is known before it is run; else ''."""
    interpreter, *rest = script_command(Path(WRAPPER), root)
    if Path(interpreter).name == "env" and len(rest) > 1 and not rest[0].startswith("-"):
        interpreter = rest[0]
    if shutil.which(interpreter) is None:
        return f"{WRAPPER} asks for {interpreter}, which is not here"
    version = _gradle_version(root)
    if version is None or version > _KNOWN_UNTIL:
        return ""
    newest = _NEWEST_JAVA[max(known for known in _NEWEST_JAVA if known <= version)]
    if jdk.major <= newest:
        return ""
    return f"its Gradle {version[0]}.{version[1]} runs on Java {newest} at most, and this is JDK {jdk.version}"


def wrapper_failure(finished: Finished) -> str:
    """The line that says that the wrapper could not work here, when it has failed for that; else ''."""
    if not finished.status or _COMPILED.search(finished.output):
        return ""
    return next((line.strip(" >") for line in finished.output.splitlines() if _NOT_HAD.search(line)), "")


def read_build(root: Path) -> GradleBuild:
    """What the build files in `root` say of the server.

    Raises:
        SetupError: they say something that is not understood; names it.
    """
    shared = _read(root / _FRONTEND / "build.gradle")
    modules: dict[str, Module] = {}
    seen: set[str] = set()
    jars: dict[tuple[str, str, str | None], Jar] = {}

    def visit(name: str) -> None:
        seen.add(name)
        folder = Path(_FRONTEND, name)
        script = _read(root / folder / "build.gradle")
        known = _properties(root, folder, shared + script)
        needs = []
        for dependency in _dependencies(_without(shared, "buildscript") + script, known, folder / "build.gradle"):
            if isinstance(dependency, Jar):
                key = (dependency.group, dependency.name, dependency.classifier)
                jars[key] = max(dependency, jars.get(key, dependency), key=lambda jar: _order(jar.version))
                continue
            needs.append(dependency)
            if dependency not in seen:
                visit(dependency)
        modules[name] = Module(name, folder, tuple(needs))

    visit(_SERVER)
    release = _RELEASE.search(_read(root / _FRONTEND / _SERVER / "build.gradle")) or _RELEASE.search(shared)
    main = _MAIN.search(_read(root / _FRONTEND / _SERVER / "build.gradle"))
    return GradleBuild(
        modules=tuple(modules.values()),
        jars=tuple(jars[key] for key in sorted(jars, key=str)),
        java_release=int(release[1]) if release else _JAVA_RELEASE,
        main_class=main[1] if main else _MAIN_CLASS,
    )


def _gradle_version(root: Path) -> tuple[int, int] | None:
    path = root / _WRAPPER_PROPERTIES
    found = _DISTRIBUTION.search(path.read_text("utf-8", "replace")) if path.is_file() else None
    return (int(found[1]), int(found[2])) if found else None


def _read(path: Path) -> str:
    """A build file without its comments."""
    try:
        return _COMMENT.sub("", path.read_text("utf-8", "replace"))
    except OSError as error:
        raise SetupError(
            "cannot build without Gradle",
            cause=f"{path}: {error.strerror}",
            next_step="give a --build-command that builds it",
        ) from error


def _properties(root: Path, folder: Path, scripts: str) -> dict[str, str]:
    """What names in the build files stand for."""
    known = {found[1]: found[2] for found in _ASSIGNED.finditer(scripts)}
    for where in (Path(_FRONTEND), folder):
        path = root / where / "gradle.properties"
        for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else ():
            name, equals, value = line.partition("=")
            if equals and not line.lstrip().startswith(("#", "!")):
                known[name.strip()] = value.strip()
    return known


def _dependencies(script: str, known: Mapping[str, str], path: Path) -> Iterator[Jar | str]:
    """The jars and the modules, by name, that a build file says it needs to compile or run."""
    for block in _blocks(script, "dependencies"):
        for line in re.sub(r",\s*\n\s*", ", ", block).splitlines():
            found = _CONFIGURATION.match(line.strip())
            if found is None:
                continue
            projects = _PROJECT.findall(found[1])
            if projects:
                yield from projects
                continue
            named = _MAP.search(found[1])
            before_braces = re.split(r"(?<!\$)\{", found[1])[0]
            texts = [":".join(named.group("group", "name", "version"))] if named else _STRING.findall(before_braces)
            matches = [_COORDINATES.fullmatch(_VARIABLE.sub(_value(known), text)) for text in texts]
            jars = [Jar(match[1], match[2], match[3], match[4]) for match in matches if match]
            if not jars or len(jars) != len(texts):
                raise SetupError(
                    "cannot build without Gradle",
                    cause=f"{path}: cannot tell which jar is meant by {line.strip()!r}",
                    next_step="give a --build-command that builds it",
                )
            yield from jars


def _value(known: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    return lambda found: known.get(found[1] or found[2], found[0])


def _blocks(script: str, name: str) -> Iterator[str]:
    """What stands in the braces after each `name`."""
    for found in re.finditer(rf"\b{name}\s*\{{", script):
        yield script[found.end() : _closing(script, found.end())]


def _without(script: str, name: str) -> str:
    """`script` without its blocks called `name`."""
    for block in list(_blocks(script, name)):
        script = script.replace(block, "")
    return script


def _closing(script: str, start: int) -> int:
    """Find the end of the brace that was opened before `start`. Strings have them in pairs, as in ``${version}``."""
    depth = 1
    for at in range(start, len(script)):
        depth += {"{": 1, "}": -1}.get(script[at], 0)
        if not depth:
            return at
    return len(script)


def _order(version: str) -> tuple[tuple[int, str], ...]:
    """Versions in their order, as far as numbers make it."""
    parts = re.split(r"[.-]", version)
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)
