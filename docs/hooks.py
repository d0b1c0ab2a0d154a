"""What mkdocs is told beyond mkdocs.yml: README.md is the first page, and files that pages link to come along.

A page is written for whoever reads it in the repository; links are turned into those of the site here.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files
from reference_pages import pages

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(\]\()(?![a-z]+:)([^)\s#]+)")
_FENCED = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`")
#: Where what lies outside of docs/ is on the site.
_OUTSIDE = "project/"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made of the code, README.md, all files that pages link to, and those that these link to."""
    for uri, text in pages().items():
        files.append(File.generated(config, uri, content=text))
    texts = {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    waiting = ["README.md", *(target for page, text in texts.items() for target in _targets(page, text))]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen or path.startswith("docs/"):
            continue
        seen.add(path)
        if path.endswith(".md"):
            text = (_ROOT / path).read_text(encoding="utf-8")
            waiting += _targets(path, text)
            files.append(File.generated(config, _on_site(path), content=text))
        else:
            files.append(File.generated(config, _on_site(path), abs_src_path=str(_ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its links as the site has them, and tables as this Markdown reads them."""
    del config, files
    here = _in_repository(page.file.src_uri)
    pieces, end = [], 0
    for block in _FENCED.finditer(markdown):
        pieces += [_for_site(markdown[end : block.start()], here), block[0]]
        end = block.end()
    return "".join([*pieces, _for_site(markdown[end:], here)])


def _for_site(text: str, here: str) -> str:
    """Text outside of blocks: its links, and bars in the code of its tables, which need no backslash here."""
    folder = posixpath.dirname(_on_site(here))
    text = _LINK.sub(lambda link: link[1] + posixpath.relpath(_on_site(_target(here, link[2])), folder or "."), text)
    rows = text.split("\n")
    return "\n".join(
        _CODE.sub(lambda code: code[0].replace(r"\|", "|"), row) if row.startswith("|") else row for row in rows
    )


def _targets(page: str, text: str) -> list[str]:
    """The files that a page links to, from the root of the repository."""
    return [_target(page, link[2]) for link in _LINK.finditer(_FENCED.sub("", text))]


def _target(page: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _on_site(path: str) -> str:
    """Where a file of the repository is in the sources of the site."""
    if path == "README.md":
        return "index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else _OUTSIDE + path


def _in_repository(uri: str) -> str:
    """The inverse of `_on_site`."""
    if uri == "index.md":
        return "README.md"
    return uri.removeprefix(_OUTSIDE) if uri.startswith(_OUTSIDE) else f"docs/{uri}"
