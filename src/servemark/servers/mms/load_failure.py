"""Why a model cannot be loaded, found by loading it as the server's worker does, outside the server.

MMS stops reading a worker's output as soon as loading has failed, so the traceback often never reaches its log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from servemark.environments.commands import Finished, finish

_TIMEOUT_S = 60.0
_IMPORT_ERROR = re.compile(r"(?:ModuleNotFoundError|ImportError): (?P<what>.+)")
#: For the server's Python, whatever its version: ``unpacked`` and ``loaded`` do what MMS's worker does with an archive.
LOADER = """
import json, os, sys, tempfile, zipfile

def unpacked(archive, folder):
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    os.chdir(folder)
    sys.path.insert(0, folder)

def loaded(folder):
    with open("MAR-INF/MANIFEST.json", encoding="utf-8-sig") as manifest:
        model = json.load(manifest)["model"]
    from mms.model_loader import ModelLoaderFactory
    return ModelLoaderFactory.get_model_loader(folder).load(model["modelName"], folder, model["handler"], None, 1)
"""
_LOAD = """
with tempfile.TemporaryDirectory(prefix="servemark-") as folder:
    try:
        unpacked(sys.argv[1], folder)
    except (OSError, zipfile.BadZipFile):
        sys.exit()  # The server said so already.
    loaded(folder)
"""


def load_outside(
    python: Sequence[str | Path], archive: Path, environ: Mapping[str, str] | None = None
) -> Finished | None:
    """What loading the archive prints; its last line names the exception. None when it can be loaded or not unpacked.

    `python` is the command of the Python that the server's workers run in. It has a time limit; a traceback's last
    lines are in ``Finished.tail``.
    """
    finished = finish([*python, "-c", LOADER + _LOAD, archive], timeout_s=_TIMEOUT_S, environ=environ)
    return finished if finished.status not in (0, None) else None


def missing_import(exception: str) -> str:
    """What could not be imported, as Python says it, if that is what `exception` is about; else ''."""
    match = _IMPORT_ERROR.match(exception)
    return match["what"] if match else ""
