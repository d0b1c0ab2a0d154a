"""KubeRay's own definition of a RayJob, which Go's tool brings: it has 1.3 MB, too much to be kept here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

NO_GO, NO_DEFINITION = "no Go here, which brings KubeRay's definitions", "Go cannot bring KubeRay's definitions here"
_MODULE, _SUM = "github.com/ray-project/kuberay/ray-operator@v1.5.0", "h1:KCjCQ7PSsvs9Ke+90CZbbs498nuaIJ/JkXk4vd54EVg="
_FILE = "config/crd/bases/ray.io_rayjobs.yaml"
#: Where Go's own archive puts it, which not every PATH has.
_GO_FOLDER = "/usr/local/go/bin"


def ray_job_schema(version: str, folder: Path) -> dict[str, Any]:
    """The schema of a RayJob of that version, brought into `folder`; the test is skipped where it cannot be had."""
    go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", os.defpath), _GO_FOLDER]))
    if go is None:
        pytest.skip(NO_GO)
    # What came is held against the sum here, and nobody else is asked for one.
    own = {"GOMODCACHE": str(folder), "GOFLAGS": "-modcacherw", "GOSUMDB": "off", "GOTOOLCHAIN": "local"}
    told = subprocess.run(
        [go, "mod", "download", "-json", _MODULE],
        capture_output=True,
        cwd=folder,
        env={**os.environ, **own},
        text=True,
        timeout=600,
    )
    if told.returncode != 0:
        pytest.skip(NO_DEFINITION)
    module = json.loads(told.stdout)
    assert module["Sum"] == _SUM
    text = (Path(module["Dir"]) / _FILE).read_text(encoding="utf-8")
    versions = yaml.load(text, Loader=yaml.CSafeLoader)["spec"]["versions"]
    (schema,) = [one["schema"]["openAPIV3Schema"] for one in versions if one["name"] == version]
    return dict(schema)
