"""The page on Python: each of its examples, as it stands there, on a server that answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadgen_servers import OK, read_request, serving

pytestmark = pytest.mark.seconds

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def _answer(connection) -> None:
    while read_request(connection):
        connection.sendall(OK)


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What all examples of the page have named, from top to bottom, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    with serving(_answer) as server:
        for block in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
            here = block.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}").replace("duration_s=5", "duration_s=0.5")
            exec(compile(here, str(PAGE), "exec"), found)
            if "servemark.run(" in block:
                found["returned"] = found["result"]
    return found


def test_every_example_runs_and_the_records_are_those_of_the_figures(
    names: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, step, measured = names["result"], names["step"], names["measured"]
    assert result == names["returned"], "loaded through the link"
    assert result.folder == names["returned"].folder
    assert result.folder.parent == tmp_path / "servemark-results"
    assert len(measured) == step.measured > 0
    for name, percent in (("p50", 50), ("p99", 99)):
        value_ms = np.percentile(measured["latency_ns"], percent, method="inverted_cdf") / 1e6
        assert value_ms == getattr(step.headline_ms, name).value
    assert len(names["rows"]) == len(names["frame"]) == step.requests
    assert int(names["rows"]["warm_up"].sum()) > 0
    assert re.match("<servemark.Result (INVALID )?http 127.0.0.1", repr(result))
    assert "<svg" in result._repr_html_()
