"""Which JMeter and which Java are used, and what is said when there is none."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from servemark.environments import jmeter
from servemark.environments.jmeter import PLUGINS, find_java, jmeter_home
from servemark.errors import SetupError

_NOTES: list[str] = []


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty PATH (but for the shell that fake programs run in), an empty cache, and no homes."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("JMETER_HOME", raising=False)


def _program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def _java(path: Path, version: str) -> Path:
    return _program(path, f"echo 'openjdk version \"{version}\" 2025-01-01' >&2")


@pytest.fixture
def java(tmp_path: Path) -> Path:
    return _java(tmp_path / "bin" / "java", "17.0.15")


@pytest.fixture
def make_home(tmp_path: Path) -> Callable[..., Path]:
    """A folder laid out as an official JMeter with plugins, less the files named."""

    def make(*without: str, version: str = "5.6.3") -> Path:
        root = tmp_path / "apache-jmeter"
        names = ["bin/ApacheJMeter.jar", "bin/jmeter.properties", "lib/cmdrunner-2.3.jar"]
        names += [
            f"lib/ext/{part}.jar" for part in ("ApacheJMeter_core", "ApacheJMeter_http", "ApacheJMeter_components")
        ]
        names += [f"lib/ext/{name}-2.1.jar" for name in PLUGINS]
        for name in names:
            if name in without:
                continue
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(path, "w") as jar:
                jar.writestr("META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\nImplementation-Version: {version}\n")
        return root

    return make


def _refusal() -> SetupError:
    with pytest.raises(SetupError) as refused:
        jmeter_home(_NOTES.append)
    assert refused.value.exit_status == 4
    return refused.value


def test_without_java_the_error_says_what_to_install() -> None:
    text = str(_refusal())
    assert "JMeter needs Java 17 or newer" in text
    assert "./install_dependencies.sh" in text
    assert "default-jre-headless" in text


def test_an_old_java_is_named_with_its_version(tmp_path: Path) -> None:
    old = _java(tmp_path / "bin" / "java", "1.8.0_392")
    assert f"{old} (PATH) is version 1.8.0_392" in str(_refusal())


def test_a_java_that_does_not_run_is_named(tmp_path: Path) -> None:
    broken = _program(tmp_path / "bin" / "java", "exit 1")
    assert f"{broken} (PATH) does not run" in str(_refusal())


def test_the_java_of_java_home_goes_first(tmp_path: Path, java: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = _java(tmp_path / "jdk" / "bin" / "java", "21")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert find_java().executable == other
    _java(other, "11.0.2")
    assert find_java().executable == java


@pytest.mark.usefixtures("java")
def test_without_maven_the_error_says_what_to_install(tmp_path: Path) -> None:
    text = str(_refusal())
    assert "there is no mvn on PATH" in text
    assert "./install_dependencies.sh" in text
    assert "maven" in text
    assert "JMETER_HOME" in text
    assert not list((tmp_path / "cache").glob("environments/jmeter-*/*")), "a half-built JMeter was left"


@pytest.mark.usefixtures("java")
@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("Could not transfer artifact x from/to central", "Maven cannot reach its repository"),
        ("PKIX path building failed: unable to find valid certification path", "(CERTIFICATE_VERIFY_FAILED)"),
        ("Unsupported class file", "Maven ended with 1"),
    ],
)
def test_a_failed_download_is_told_with_its_last_lines(tmp_path: Path, said: str, cause: str) -> None:
    _program(tmp_path / "bin" / "mvn", f"echo '{said}'; exit 1")
    refused = _refusal()
    assert cause in str(refused)
    assert said in refused.detail


@pytest.mark.usefixtures("java")
def test_jmeter_home_is_used_as_it_is(make_home: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_home()
    monkeypatch.setenv("JMETER_HOME", str(root))
    home = jmeter_home(_NOTES.append)
    assert home.root == root
    assert home.command_runner == root / "lib" / "cmdrunner-2.3.jar"
    assert home.versions["jmeter"] == "5.6.3"
    assert home.versions["java"] == "17.0.15"
    assert home.versions["jmeter-plugins-perfmon"] == "2.1"


@pytest.mark.usefixtures("java")
@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("bin/ApacheJMeter.jar", "has no bin/ApacheJMeter.jar"),
        ("lib/ext/ApacheJMeter_http.jar", "has no lib/ext/ApacheJMeter_http.jar"),
        ("lib/cmdrunner-2.3.jar", "cmdrunner"),
        *((f"lib/ext/{name}-2.1.jar", name) for name in PLUGINS),
    ],
)
def test_a_jmeter_home_that_lacks_something_is_refused_by_name(
    missing: str, said: str, make_home: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JMETER_HOME", str(make_home(missing)))
    text = str(_refusal())
    assert said in text
    assert re.search(r"unset (JMETER_HOME|it)\b", text)


@pytest.mark.usefixtures("java")
def test_a_jmeter_that_is_too_old_is_refused(make_home: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMETER_HOME", str(make_home(version="2.13")))
    assert "is version 2.13" in str(_refusal())


@pytest.mark.usefixtures("java")
def test_the_jars_that_maven_brings_are_laid_out_as_jmeter_is(tmp_path: Path) -> None:
    """Maven is a fake that copies empty jars of the real names."""
    names = ["ApacheJMeter-5.6.3", "ApacheJMeter_core-5.6.3", "ApacheJMeter_config-5.6.3"]
    names += ["jmeter-plugins-cmn-jmeter-0.8", "cmdrunner-2.3"]
    names += [*(f"{name}-2.0" for name in PLUGINS), "sigar-1.6.4", "apiguardian-api-1.1.2", "annotations-13.0"]
    copies = " ".join(f'"$to/{name}.jar"' for name in names)
    config = tmp_path / "config.jar"
    with zipfile.ZipFile(config, "w") as jar:
        jar.writestr("bin/jmeter.properties", "language=en\n")
        jar.writestr("META-INF/MANIFEST.MF", "Implementation-Version: 5.6.3\n")
    _program(
        tmp_path / "bin" / "mvn",
        'for word in "$@"; do case "$word" in -DoutputDirectory=*) to="${word#*=}";; esac; done\n'
        f'/bin/mkdir -p "$to"; for jar in {copies}; do /bin/cp {config} "$jar"; done',
    )
    home = jmeter_home(_NOTES.append)
    assert home.launcher.exists()
    assert (home.root / "bin" / "jmeter.properties").exists()
    inside = {str(path.relative_to(home.root / "lib")) for path in (home.root / "lib").rglob("*.jar")}
    assert inside == {
        "cmdrunner-2.3.jar",
        "jmeter-plugins-cmn-jmeter-0.8.jar",
        "ext/ApacheJMeter_core-5.6.3.jar",
        "ext/ApacheJMeter_config-5.6.3.jar",
        *(f"ext/{name}-2.0.jar" for name in PLUGINS),
    }
    assert not (home.root / "jars").exists()
    again = jmeter_home(lambda note: pytest.fail(note))
    assert again.root == home.root
    assert again.versions["jmeter"] == "5.6.3"


def test_the_parts_are_pinned() -> None:
    pom = jmeter._POM.read_text()
    assert "5.6.3" in pom
    assert "http://maven.apache.org/POM/4.0.0" in pom
    assert pom.count("http") == 1 + pom.count("ApacheJMeter_http"), "the pom names no repository: Maven's settings do"
    for name in PLUGINS:
        assert f"<artifactId>{name}</artifactId>" in pom
