"""The oracle's program, built once, and the modules that this folder's tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from oracle import NoCargoError, build_oracle


@pytest.fixture(scope="session")
def program() -> Path:
    """The oracle, as ``cargo build`` makes it."""
    try:
        return build_oracle()
    except NoCargoError as error:
        pytest.skip(str(error))
