"""The notebooks of the documentation: their cells are executed, from top to bottom, beside a file of real requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from servemark.report.formats import FORMATS
from servemark.report.recorded import RecordedResult
from servemark.result import Result

from ..pages import ROOT
from .test_formats import DATA, SECOND

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """The names that the cells have made."""
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    return names


def test_the_notebook_of_requests_tells_percentiles_over_time(tmp_path, monkeypatch):
    golden = Result.load(DATA / SECOND)
    FORMATS["parquet"].write(RecordedResult(golden, DATA / SECOND), tmp_path / "requests.parquet")
    monkeypatch.chdir(tmp_path)
    names = executed(json.loads((ROOT / "docs" / "notebooks" / "requests.ipynb").read_text(encoding="utf-8")))
    (step,) = golden.benchmarks[0].steps
    assert names["over_time"]["requests"].sum() == step.measured
    assert names["failures"].sum() == step.failed
    assert (names["over_time"][0.99] >= names["over_time"][0.5]).all()
    assert names["over_time"][0.99].max() <= step.headline_ms.max


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_what_it_printed(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
