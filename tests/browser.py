"""A real Chromium without a network, in which reports are opened; and axe-core, which judges who can use them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NO_BROWSER = "no Chromium here"
NO_NPM, NO_AXE = "no npm here, which brings axe-core", "npm cannot bring axe-core here"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
#: However busy the machine is, a chart is drawn within this.
_PATIENCE_MS = 120_000
_AXE = "axe-core@4.10.3"
#: What is grave enough to keep somebody from using the page.
_GRAVE = {"serious", "critical"}


@dataclass
class Opened:
    """A page that is open: what its console said, and what it asked of the network, itself left out."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def charts(self) -> tuple[int, int]:
        """How many charts are drawn, of how many that can be seen."""
        seen = "Array.from(document.querySelectorAll('.chart')).filter(one => !one.closest('details.run:not([open])'))"
        drawn, places = self.page.evaluate(
            f"[{seen}.filter(one => one.querySelector('svg path')).length, {seen}.length]"
        )
        return drawn, places

    @property
    def width(self) -> int:
        """How wide it is, which is more than the window where one has to scroll."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth")
        return width


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; the test is skipped where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        # It opens nothing but what these tests wrote; as root, and in containers, there is no sandbox to be had.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, path: Path, *, dark: bool = False, width: int = 1200) -> Iterator[Opened]:
    """The page at `path`, when all of its charts that can be seen are drawn."""
    scheme = "dark" if dark else "light"
    context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": width, "height": 900})
    try:
        page = context.new_page()
        found = Opened(page)
        page.on("console", lambda message: found.said.append(message.text))
        page.on("pageerror", lambda error: found.said.append(str(error)))
        page.on("request", lambda request: found.asked.append(request.url))
        page.goto(path.resolve().as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached", timeout=_PATIENCE_MS)
        found.asked.remove(path.resolve().as_uri())
        yield found
    finally:
        context.close()


def axe_core(folder: Path) -> str:
    """The text of axe-core, which npm brings into `folder`; the test is skipped where it cannot be had."""
    if shutil.which("npm") is None:
        pytest.skip(NO_NPM)
    install = ["npm", "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", _AXE]
    if subprocess.run(install, capture_output=True, timeout=600).returncode != 0:
        pytest.skip(NO_AXE)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def grave_faults(page: Page, axe: str, rules: Sequence[str] = ()) -> list[str]:
    """What axe-core finds on the page that keeps people from using it, by `rules` or all: rule, and the first place."""
    page.evaluate(axe)
    options = json.dumps({"runOnly": {"type": "rule", "values": list(rules)}} if rules else {})
    found: dict[str, Any] = json.loads(
        page.evaluate(f"axe.run(document, {options}).then(found => JSON.stringify(found))")
    )
    assert found["passes"], "it looked at nothing"
    return [
        f"{one['id']} ({one['impact']}): {one['nodes'][0]['html']}"
        for one in found["violations"]
        if one["impact"] in _GRAVE
    ]
