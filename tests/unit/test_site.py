"""The documentation is built as ``make docs`` builds it: strictly, so that a link that leads nowhere is an error."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from servemark import _loadgen, errors
from servemark.benchmarks import catalogue
from servemark.cli.commands import commands
from servemark.cli.parser import is_listed
from servemark.suites import names

from ..pages import PAGES, ROOT

pytestmark = pytest.mark.seconds

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
        known = {"README.md": "index", "CONTRIBUTING.md": "project/CONTRIBUTING"}
        name = known.get(page, page.removeprefix("docs/").removesuffix(".md"))
        assert (site / f"{name}.html").exists(), page


def test_what_pages_link_to_outside_of_their_folder_comes_along(site: Path) -> None:
    for name in ("src/servemark/result.schema.json", "src/servemark/suites/all.toml", ".github/workflows/release.yml"):
        assert (site / "project" / name).read_bytes() == (ROOT / name).read_bytes()
    assert (site / "project" / "bench" / "PROOF.html").exists()


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
    page = (site / "reference" / "options.html").read_text(encoding="utf-8")
    assert "auto|on|off" in page
    assert "\\|" not in page


def _codes(site: Path, page: str) -> list[str]:
    """What a page of the reference shows as code."""
    text = (site / "reference" / f"{page}.html").read_text(encoding="utf-8")
    return [html.unescape(code) for code in re.findall(r"<code>([^<]*)</code>", text)]


def _section(site: Path, page: str, anchor: str) -> str:
    """The text of a section of a page of the reference, up to the next of its kind."""
    text = (site / "reference" / f"{page}.html").read_text(encoding="utf-8")
    return text.split(f'<h2 id="{anchor}">')[1].split("<h2 ")[0]


def test_every_option_of_every_command_is_in_the_reference(site: Path) -> None:
    for command in commands():
        section = _section(site, "command-line", "-".join(("servemark", *command.words)))
        shown = {word for code in re.findall(r"<code>([^<]*)</code>", section) for word in re.split(r"[ ,]+", code)}
        listed = filter(is_listed, command.parser._actions)
        assert shown >= {flag for action in listed for flag in action.option_strings}


def test_every_benchmark_parameter_and_suite_is_in_the_reference(site: Path) -> None:
    assert set(_codes(site, "catalogue")) >= set(names())
    for benchmark in catalogue().values():
        section = _section(site, "catalogue", benchmark.name)
        for word in (*(one.key for one in benchmark.parameters), *benchmark.refuses):
            assert f"<code>{word}</code>" in section


def test_every_check_that_a_run_gets_is_in_the_reference(site: Path) -> None:
    measured = ROOT / "tests" / "unit" / "data" / "result-schema-2" / "result.json"
    (benchmark,) = json.loads(measured.read_text(encoding="utf-8"))["benchmarks"]
    checks = [check["name"].split(" (")[0] for check in benchmark["certificate"]["checks"]]
    assert len(checks) > 10
    assert set(_codes(site, "checks")) >= {*checks, "probes", "trials", "imported"}


def test_every_warning_is_in_the_reference(site: Path) -> None:
    source = (ROOT / "src" / "servemark" / "certificate" / "conditions.py").read_text(encoding="utf-8")
    warnings = re.findall(r'yield Disturbance\("([^"]+)"', source)
    assert len(warnings) > 5
    assert set(_codes(site, "checks")) >= set(warnings)


def test_every_error_is_in_the_reference(site: Path) -> None:
    kinds = {name for name in vars(errors) if name.endswith("Error")} - {"ServemarkError"}
    assert set(_codes(site, "errors")) >= kinds | set(_loadgen.ERROR_KINDS[1:])


def test_every_field_of_the_result_is_in_the_reference(site: Path) -> None:
    schema = json.loads((ROOT / "src" / "servemark" / "result.schema.json").read_text(encoding="utf-8"))
    parts = [schema, *schema["$defs"].values()]
    assert set(_codes(site, "schema")) >= {name for part in parts for name in part.get("properties", ())}


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
