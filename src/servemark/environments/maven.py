"""Jars through Maven: what a project file names, with all that it needs to run, copied into a folder.

Standard library only, as ``jmeter.py``, which ``install_dependencies.sh`` runs.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from servemark.environments.commands import finish
from servemark.errors import SetupError

_DOWNLOAD_TIMEOUT_S = 900.0
#: What Maven prints when it cannot reach its repository.
_NO_DOWNLOAD = ("unknown host", "connect timed out", "connection refused", "could not transfer", "offline mode")
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
    )
    if finished.status == 0:
        return
    unreachable = any(sign in finished.output.lower() for sign in _NO_DOWNLOAD)
    told = next((found[1] for found in map(_ERROR.match, finished.output.splitlines()) if found), "")
    raise SetupError(
        f"{what} could not be downloaded",
        cause="Maven cannot reach its repository" if unreachable else told or f"Maven ended with {finished.status}",
        next_step="check the network and Maven's settings and run again; what was downloaded is kept",
        detail=finished.tail,
        log=finished.output,
    )
