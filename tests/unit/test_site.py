"""The documentation is built as ``make docs`` builds it: strictly, so that a link that leads nowhere is an error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..pages import PAGES, ROOT

pytest.importorskip("mkdocs", reason="no mkdocs here, which the extra docs brings")


def _built(folder: Path, *config: str) -> subprocess.CompletedProcess[str]:
    """mkdocs when it has built the site into `folder`."""
    words = ("build", "--strict", "--site-dir", str(folder), *config)
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", *words],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = _built(folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    for page in PAGES:
        folder = {"README.md": ".", "CONTRIBUTING.md": "project/CONTRIBUTING"}
        name = folder.get(page, page.removeprefix("docs/").removesuffix(".md"))
        assert (site / name / "index.html").exists(), page


def test_what_pages_link_to_outside_of_their_folder_comes_along(site: Path) -> None:
    for name in ("src/servemark/result.schema.json", "src/servemark/suites/all.toml", ".github/workflows/release.yml"):
        assert (site / "project" / name).read_bytes() == (ROOT / name).read_bytes()
    assert (site / "project" / "bench" / "PROOF" / "index.html").exists()


def test_a_reader_asks_nothing_of_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"?([^\s\">]+)", text)
        loaded += re.findall(r"<link[^>]*rel=\"?(?:stylesheet|preconnect|icon)[^>]*href=\"?([^\s\">]+)", text)
        loaded += re.findall(r"<link[^>]*href=\"?([^\s\">]+)[^>]*rel=\"?(?:stylesheet|preconnect|icon)", text)
        assert loaded
        assert [one for one in loaded if re.match(r"(?:[a-z]+:)?//", one)] == [], page


def test_a_bar_in_the_code_of_a_table_has_no_backslash(site: Path) -> None:
    page = (site / "reference" / "options" / "index.html").read_text(encoding="utf-8")
    assert "auto|on|off" in page
    assert "\\|" not in page


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    config = tmp_path / "mkdocs.yml"
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.md").write_text("[here](#nothing) [there](nowhere.md)\n")
    strict = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nvalidation:")[1].split("\nnav:")[0]
    config.write_text(f"site_name: x\ndocs_dir: {pages}\nvalidation:{strict}\n")
    built = _built(tmp_path / "out", "--config-file", str(config))
    assert built.returncode == 1
    assert "#nothing" in built.stderr
    assert "nowhere.md" in built.stderr
