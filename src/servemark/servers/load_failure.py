"""Why a model cannot be loaded, found by loading it as the server's worker does, outside the server.

MMS stops reading a worker's output as soon as loading has failed, so the traceback often never reaches its log.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from servemark.environments.commands import Finished, finish
from servemark.environments.mms import MmsEnvironment

_TIMEOUT_S = 60.0
_LOAD = """
import json, os, pathlib, sys
folder = sys.argv[1]
os.chdir(folder)
sys.path.insert(0, folder)
model = json.loads(pathlib.Path("MAR-INF/MANIFEST.json").read_text())["model"]
from mms.model_loader import ModelLoaderFactory
ModelLoaderFactory.get_model_loader(folder).load(model["modelName"], folder, model["handler"], None, 1)
"""


def load_outside(archive: Path, environment: MmsEnvironment) -> Finished | None:
    """What loading the archive prints; its last line names the exception. None when it can be loaded or not unpacked.

    It runs in the server's Python with a time limit; a traceback's last lines are in ``Finished.tail``.
    """
    with tempfile.TemporaryDirectory(prefix="servemark-") as folder:
        try:
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)
        except (OSError, zipfile.BadZipFile):
            return None  # The server said so already.
        finished = finish([environment.python, "-c", _LOAD, folder], timeout_s=_TIMEOUT_S)
    return finished if finished.status not in (0, None) else None
