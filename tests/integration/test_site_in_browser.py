"""The documentation's site in a real browser, opened from files without a network: its search finds what pages say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from ..browser import chromium
from ..pages import ROOT

pytestmark = pytest.mark.slow
pytest.importorskip("mkdocs", reason="no mkdocs here, which the extra docs brings")
#: However busy the machine is, the index is read within this.
_PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder))
    subprocess.run(words, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, timeout=300, check=True)
    return folder


@pytest.mark.parametrize("page", ["index.html", "reference/exit-status.html"])
def test_the_search_works_from_disk(site: Path, page: str) -> None:
    with chromium() as browser:
        opened = browser.new_context(offline=True, viewport={"width": 1300, "height": 900}).new_page()
        said: list[str] = []
        asked: list[str] = []
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.on("request", lambda request: asked.append(request.url))
        opened.goto((site / page).as_uri())
        opened.click("input[name=query]")
        opened.wait_for_function("typeof __index === 'object'", timeout=_PATIENCE_MS)
        opened.keyboard.type("goodput", delay=30)
        found = opened.locator(".md-search-result__link").first
        found.wait_for(state="attached", timeout=_PATIENCE_MS)
        target = urlsplit(found.evaluate("link => link.href"))
        assert target.scheme == "file"
        assert "goodput" in Path(unquote(target.path)).read_text(encoding="utf-8").lower()
        assert said == []
        assert [url for url in asked if not url.startswith("file:")] == []
