"""A stand-in for a checkout of Multi Model Server, made at test time from the installed wheel, and never committed.

It keeps the contract of a real one: ``setup.py``, ``mms/``, and a ``frontend/gradlew -p frontend :server:jar`` that
compiles Java with the JDK in JAVA_HOME and leaves ``frontend/server/build/libs/server-1.0.jar``. Its only Java source
is an endpoint, ``GET /lab-build`` of the management API, that answers with a marker.

``make_gradle_checkout`` makes one with the real build files, whose Gradle cannot run on a JDK of today: two modules and
the jars that they name; the server's own classes are those of the wheel, as resources.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
import zipfile
from pathlib import Path

from servemark.environments.mms import MmsEnvironment

_ENDPOINT = Path("frontend/server/src/main/java/lab/LabBuild.java")
_JAVA = """
package lab;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import software.amazon.ai.mms.servingsdk.Context;
import software.amazon.ai.mms.servingsdk.ModelServerEndpoint;
import software.amazon.ai.mms.servingsdk.annotations.Endpoint;
import software.amazon.ai.mms.servingsdk.annotations.helpers.EndpointTypes;
import software.amazon.ai.mms.servingsdk.http.Request;
import software.amazon.ai.mms.servingsdk.http.Response;

@Endpoint(urlPattern = "lab-build", endpointType = EndpointTypes.MANAGEMENT, description = "which build this is")
public class LabBuild extends ModelServerEndpoint {
    @Override
    public void doGet(Request request, Response response, Context context) throws IOException {
        response.setStatus(200);
        response.getOutputStream().write("@MARKER@".getBytes(StandardCharsets.UTF_8));
    }
}
"""
_BUILD = """
import os, pathlib, shutil, subprocess, sys, zipfile

if sys.argv[1:] != ["-p", "frontend", ":server:jar"]:
    sys.exit(f"unexpected arguments {sys.argv[1:]}")
frontend = pathlib.Path("frontend/server").absolute()
wheel_jar, classes, libs = pathlib.Path(@WHEEL_JAR@), frontend / "build/classes", frontend / "build/libs"
with open("build-count.log", "a") as count:
    count.write("built\\n")
shutil.rmtree(classes, ignore_errors=True)
classes.mkdir(parents=True)
libs.mkdir(exist_ok=True)
javac = os.path.join(os.environ["JAVA_HOME"], "bin", "javac")
sources = map(str, frontend.glob("src/main/java/**/*.java"))
small = ["-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC"]  # of one file: to make javac itself fast takes longer
words = [*small, "--release", "8", "-Xlint:-options", "-cp", wheel_jar, "-d", classes, *sources]
compiled = subprocess.run([javac, *words])
if compiled.returncode:
    print("FAILURE: Build failed with an exception.")
    sys.exit(compiled.returncode)
service = "META-INF/services/software.amazon.ai.mms.servingsdk.ModelServerEndpoint"
with zipfile.ZipFile(wheel_jar) as base, zipfile.ZipFile(libs / "server-1.0.jar", "w") as jar:
    for entry in base.infolist():
        if entry.filename != service and not entry.is_dir():
            jar.writestr(entry, base.read(entry), zipfile.ZIP_STORED)
    for path in classes.rglob("*.class"):
        jar.write(path, path.relative_to(classes).as_posix())
    jar.writestr(service, "lab.LabBuild\\n")
"""


#: Build files of the real MMS.
MMS_CHECKOUT = Path(__file__).parents[1] / "mms_checkout"
_MARKER = Path("frontend/modelarchive/src/main/java/lab/archive/Marker.java")
_ENDPOINTS = "META-INF/services/software.amazon.ai.mms.servingsdk.ModelServerEndpoint"
_OWN_CLASSES = {"modelarchive": "com/amazonaws/ml/mms/archive/", "server": "com/amazonaws/ml/mms/"}


def make_checkout(folder: Path, environment: MmsEnvironment, marker: str = "first") -> Path:
    """Make a checkout in `folder`, of the server that `environment` has."""
    (site_packages,) = environment.root.glob("lib/python3*/site-packages")
    ignored = shutil.ignore_patterns("frontend", "__pycache__")
    shutil.copytree(site_packages / "mms", folder / "mms", ignore=ignored)
    wheel_jar = site_packages / "mms" / "frontend" / "model-server.jar"
    build = folder / "frontend" / "tools" / "build.py"
    build.parent.mkdir(parents=True)
    build.write_text(_BUILD.replace("@WHEEL_JAR@", repr(str(wheel_jar))), encoding="utf-8")
    gradlew = folder / "frontend" / "gradlew"
    gradlew.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} frontend/tools/build.py "$@"\n', encoding="utf-8"
    )
    (folder / "setup.py").write_text("# of a stand-in\n", encoding="utf-8")
    (folder / ".gitignore").write_text("build/\n*.log\n__pycache__/\nmms/frontend\n", encoding="utf-8")
    mark_java(folder, marker)
    mark_python(folder, marker)
    return folder


def make_gradle_checkout(folder: Path, environment: MmsEnvironment, marker: str = "first") -> Path:
    """Make a checkout in `folder` whose build files are those of MMS, and whose modules both have Java to compile."""
    (site_packages,) = environment.root.glob("lib/python3*/site-packages")
    shutil.copytree(MMS_CHECKOUT / "frontend", folder / "frontend")
    ignored = shutil.ignore_patterns("frontend", "__pycache__")
    shutil.copytree(site_packages / "mms", folder / "mms", ignore=ignored)
    (folder / "setup.py").write_text("# of a stand-in\n", encoding="utf-8")
    with zipfile.ZipFile(site_packages / "mms" / "frontend" / "model-server.jar") as wheel:
        for name in wheel.namelist():
            module = next((one for one, start in _OWN_CLASSES.items() if name.startswith(start)), None)
            if name == "log4j2.xml":
                module = "server"
            if module and not name.endswith("/"):
                wheel.extract(name, folder / "frontend" / module / "src/main/resources")
    service = folder / "frontend/server/src/main/resources" / _ENDPOINTS
    service.parent.mkdir(parents=True)
    service.write_text("lab.LabBuild\n", encoding="utf-8")
    mark_java(folder, "@MARKER@")
    endpoint = folder / _ENDPOINT
    text = endpoint.read_text(encoding="utf-8").replace('"@MARKER@"', "lab.archive.Marker.text()")
    endpoint.write_text(text, encoding="utf-8")
    mark_archive(folder, marker)
    mark_python(folder, marker)
    return folder


def mark_archive(checkout: Path, marker: str) -> None:
    """Have ``GET /lab-build`` of a checkout of ``make_gradle_checkout`` answer with `marker` from the next build on."""
    path = checkout / _MARKER
    path.parent.mkdir(parents=True, exist_ok=True)
    java = f'public final class Marker {{ public static String text() {{ return "{marker}"; }} }}'
    path.write_text(f"package lab.archive;\n\n{java}\n", encoding="utf-8")


def mark_java(checkout: Path, marker: str) -> None:
    """Have ``GET /lab-build`` answer with `marker` from the next build on."""
    path = checkout / _ENDPOINT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(_JAVA).replace("@MARKER@", marker), encoding="utf-8")


def break_java(checkout: Path) -> None:
    """Make an error that the compiler finds."""
    path = checkout / _ENDPOINT
    path.write_text(path.read_text(encoding="utf-8").replace("setStatus(200);", "setStatus(200)"), encoding="utf-8")


def mark_python(checkout: Path, marker: str) -> None:
    """Have ``mms.lab.MARKER`` be `marker`."""
    (checkout / "mms" / "lab.py").write_text(f"MARKER = {marker!r}\n", encoding="utf-8")


def builds(checkout: Path) -> int:
    """How often it was built."""
    log = checkout / "build-count.log"
    return len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0
