"""What the build files of Multi Model Server say, and when its Gradle cannot work."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from servemark.environments.commands import Finished, finish
from servemark.environments.gradle import (
    Jar,
    read_build,
    script_command,
    wrapper_failure,
    wrapper_refusal,
)
from servemark.environments.jdk import Jdk
from servemark.errors import SetupError

#: Build files as they are in MMS.
REAL = Path(__file__).parents[1] / "mms_checkout"
PROPERTIES = "frontend/gradle/wrapper/gradle-wrapper.properties"


def jdk(version: str) -> Jdk:
    return Jdk(Path("/jdk"), version)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    shutil.copytree(REAL / "frontend", root / "frontend")
    return root


@pytest.fixture
def write(checkout: Path) -> Callable[[str, str], None]:
    """Writes a build file of the checkout."""

    def write(name: str, text: str) -> None:
        (checkout / "frontend" / name).write_text(text)

    return write


def test_the_build_files_of_mms_are_understood(checkout: Path) -> None:
    build = read_build(checkout)
    assert [(module.name, module.needs) for module in build.modules] == [
        ("modelarchive", ()),
        ("server", ("modelarchive",)),
    ]
    assert [f"{jar.group}:{jar.name}:{jar.version}" for jar in build.jars] == [
        "com.google.code.gson:gson:2.8.9",
        "com.lmax:disruptor:3.4.4",
        "commons-cli:commons-cli:1.3.1",
        "commons-io:commons-io:2.6",
        "io.netty:netty-all:4.1.109.Final",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.17.1",
        "org.slf4j:slf4j-api:1.7.32",
        "software.amazon.ai:mms-plugins-sdk:1.0.1",
    ]
    assert build.java_release == 8
    assert build.main_class == "com.amazonaws.ml.mms.ModelServer"


def test_other_ways_to_write_the_same_are_understood(checkout: Path, write: Callable[[str, str], None]) -> None:
    write("gradle.properties", "# a comment\nnetty_version = 4.2.0.Final\n")
    write("build.gradle", "buildscript { dependencies { classpath 'a:plugin:1' } }\ntargetCompatibility = '11'\n")
    write(
        "server/build.gradle",
        """
        ext.gson_version = '2.9'
        def old = "1.0"
        dependencies {
            // compile "commented:out:1"
            /* compile "commented:out:2" */
            implementation("io.netty:netty-all:$netty_version") { exclude group: 'x' }
            implementation project(path: ':modelarchive')
            api group: 'com.google.code.gson', name: 'gson', version: "${rootProject.gson_version}"
            runtimeOnly 'io.netty:netty-transport-native-epoll:4.2.0.Final:linux-x86_64', // with https://a.link
                "a.b:c:${old}@jar"
            testImplementation "for:tests:1"
            annotationProcessor "for:compiling:1"
        }
        """,
    )
    write("modelarchive/build.gradle", "dependencies { \n compile 'io.netty:netty-all:4.10.0' \n }")
    build = read_build(checkout)
    assert set(build.jars) == {
        Jar("io.netty", "netty-all", "4.10.0"),
        Jar("com.google.code.gson", "gson", "2.9"),
        Jar("io.netty", "netty-transport-native-epoll", "4.2.0.Final", "linux-x86_64"),
        Jar("a.b", "c", "1.0"),
    }
    assert build.java_release == 11


@pytest.mark.parametrize(
    "line",
    [
        'compile "io.netty:netty-all:${a_version_that_is_nowhere}"',
        "compile 'io.netty:netty-all:4.1.+'",
        "compile files('libs/own.jar')",
        "compile libs.netty",
    ],
)
def test_what_is_not_understood_is_named_and_nothing_left_out(
    checkout: Path, write: Callable[[str, str], None], line: str
) -> None:
    write("server/build.gradle", f"dependencies {{\n    {line}\n}}\n")
    with pytest.raises(SetupError, match="cannot build without Gradle") as error:
        read_build(checkout)
    assert line in error.value.cause.replace("\\'", "'")
    assert "frontend/server/build.gradle" in error.value.cause
    assert "--build-command" in error.value.next_step


@pytest.mark.parametrize(
    ("gradle", "version", "reason"),
    [
        ("4.9", "1.8.0_412", ""),
        ("4.9", "10.0.2", ""),
        ("4.9", "11.0.27", "its Gradle 4.9 runs on Java 10 at most, and this is JDK 11.0.27"),
        ("4.9", "17.0.15", "its Gradle 4.9 runs on Java 10 at most, and this is JDK 17.0.15"),
        ("4.9", "25.0.3", "its Gradle 4.9 runs on Java 10 at most, and this is JDK 25.0.3"),
        ("3.5", "9", "its Gradle 3.5 runs on Java 8 at most, and this is JDK 9"),
        ("7.3.3", "17.0.15", ""),
        ("7.3.3", "18", "its Gradle 7.3 runs on Java 17 at most, and this is JDK 18"),
        ("8.14-rc-1", "25", "its Gradle 8.14 runs on Java 24 at most, and this is JDK 25"),
        ("9.2.1", "30", ""),
    ],
)
def test_a_jdk_that_is_too_new_for_its_gradle_is_known_before_anything_is_downloaded(
    checkout: Path, gradle: str, version: str, reason: str
) -> None:
    properties = checkout / PROPERTIES
    properties.write_text(properties.read_text().replace("gradle-4.9-bin", f"gradle-{gradle}-bin"))
    assert wrapper_refusal(checkout, jdk(version)) == reason


def test_without_a_wrapper_of_a_known_version_it_is_tried(checkout: Path) -> None:
    (checkout / PROPERTIES).unlink()
    assert wrapper_refusal(checkout, jdk("25")) == ""


def test_a_script_runs_as_its_first_line_asks_executable_or_not(checkout: Path, tmp_path: Path) -> None:
    assert script_command(Path("frontend/gradlew"), checkout) == ["/usr/bin/env", "bash", "frontend/gradlew"]
    script = tmp_path / "script"
    script.write_text("#!/bin/bash -e\nwords=(a b)\necho ${words[1]} $1\n")
    assert finish([*script_command(Path("script"), tmp_path), "c"], timeout_s=10, cwd=tmp_path).output == "b c\n"
    script.write_text("echo $1\n")
    assert finish([*script_command(Path("script"), tmp_path), "c"], timeout_s=10, cwd=tmp_path).output == "c\n"


def test_an_interpreter_that_is_not_here_is_named(checkout: Path) -> None:
    script = checkout / "frontend" / "gradlew"
    script.write_text("#!/usr/bin/env a-shell-of-nobody\n")
    assert wrapper_refusal(checkout, jdk("8")) == "frontend/gradlew asks for a-shell-of-nobody, which is not here"
    script.write_text("#!/opt/a-shell-of-nobody\n")
    assert wrapper_refusal(checkout, jdk("8")) == "frontend/gradlew asks for /opt/a-shell-of-nobody, which is not here"


@pytest.mark.parametrize(
    "line",
    [
        'Exception in thread "main" java.net.UnknownHostException: services.gradle.org',
        "java.net.ConnectException: Connection timed out (Connection timed out)",
        "Caused by: javax.net.ssl.SSLHandshakeException: PKIX path building failed",
        "Could not determine java version from '17.0.15'.",
        "Error: Could not find or load main class org.gradle.wrapper.GradleWrapperMain",
        "   > Could not resolve com.google.googlejavaformat:google-java-format:1.6.",
        "   > Could not GET 'https://jcenter.example/netty-all.pom'.",
    ],
)
def test_a_wrapper_that_could_not_work_is_told_from_a_build_that_failed(line: str) -> None:
    printed = f"Downloading something\n{line}\n    at java.net.Here.there(Here.java:1)\n"
    assert wrapper_failure(Finished(1, printed)) == line.strip(" >")
    assert wrapper_failure(Finished(0, printed)) == ""
    assert wrapper_failure(Finished(None, printed)) == ""
    compiled = f"Server.java:3: error: cannot find symbol\n  class ConnectException\n{line}\n"
    assert wrapper_failure(Finished(1, compiled)) == ""
    assert wrapper_failure(Finished(1, "FAILURE: Build failed with an exception.\n> Compilation failed\n")) == ""
