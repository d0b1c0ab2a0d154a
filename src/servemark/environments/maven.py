"""Jars through Maven: what a project file names, with all that it needs to run, copied into a folder.

Standard library only, as ``jmeter.py``, which ``install_dependencies.sh`` runs.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from servemark.environments.commands import finish
from servemark.environments.network_failures import TRUST_IT_IN_JAVA, UNTRUSTED, is_unreachable, is_untrusted
from servemark.environments.variables import JVM_OPTIONS
from servemark.errors import SetupError

_DOWNLOAD_TIMEOUT_S = 900.0
_ERROR = re.compile(r"\[ERROR\] (.*?)(?: -> \[Help|$)")


def find_maven(why: str, otherwise: str) -> Path:
    """The ``mvn`` on PATH.

    Raises:
        SetupError: there is none; `why` says what it is for, and `otherwise` what may be done instead.
    """
    maven = shutil.which("mvn")
    if not maven:
        raise SetupError(
            f"{why} through Maven, and there is no mvn on PATH",
            next_step=f"run ./install_dependencies.sh, or install it (Debian and Ubuntu: maven), or {otherwise}",
        )
    return Path(maven)


def copy_jars(maven: Path, pom: Path, folder: Path, *, what: str, java_home: Path | None) -> None:
    """Copy into `folder` the jars that the project in `pom` needs to run; `what` is what people call them.

    Maven runs on the Java in `java_home`; None is the one that it finds itself.

    Raises:
        SetupError: they could not be downloaded; says if nothing could.
    """
    options = ("-DincludeScope=runtime", f"-DoutputDirectory={folder}")
    finished = finish(
        [maven, "-B", "-q", "-f", pom, "dependency:copy-dependencies", *options],
        timeout_s=_DOWNLOAD_TIMEOUT_S,
        environ={"JAVA_HOME": str(java_home)} if java_home else {},
        keep=JVM_OPTIONS,
    )
    if finished.status == 0:
        return
    told = next((found[1] for found in map(_ERROR.match, finished.output.splitlines()) if found), "")
    cause, step = told or f"Maven ended with {finished.status}", "check the network and Maven's settings and run again"
    if is_untrusted(finished.output):
        cause, step = UNTRUSTED, TRUST_IT_IN_JAVA
    elif is_unreachable(finished.output):
        cause = "Maven cannot reach its repository"
    raise SetupError(
        f"{what} could not be downloaded",
        cause=cause,
        next_step=f"{step}; what was downloaded is kept",
        detail=finished.tail,
        log=finished.output,
    )
