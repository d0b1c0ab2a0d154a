"""CONTRIBUTING.md: each example is applied to a copy of the sources as it stands there, and does what it says."""

from __future__ import annotations

import compileall
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dialect_servers import answering

from servemark import _loadgen

from ..pages import ROOT
from ..validity import status_but_for_the_machine
from ..web_server import pythons_web_server

pytestmark = pytest.mark.seconds

_PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
_EXAMPLES = dict(re.findall(r"^### \.\.\. an? (\w+)\n.*?^```diff\n(.*?)^```$", _PAGE, re.DOTALL | re.MULTILINE))
#: What is not sources: made here, large, or of no use to Python.
_NOT_COPIED = (".git", ".venv*", "target", "dist", "build", "servemark-results", "fuzz", "*.so", ".*_cache")
_MOST_LINES = 60
_LIMIT_S = 120


class Example:
    """A copy of the sources with examples applied; `changed` are the files of these that are Python."""

    def __init__(self, sources: Path, folder: Path, *patches: str) -> None:
        self.folder = folder
        shutil.copytree(sources, folder, copy_function=os.link)  # what is changed is written anew
        paths = [path for patch in patches for path in applied(patch, folder)]
        self.changed = [path for path in paths if path.endswith(".py")]

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the copy, whose servemark is the copy's; what it printed is told where it is of use."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environ["PYTHONPATH"] = str(self.folder / "src")
        return subprocess.run(
            command, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )

    def run(self, line: str) -> dict[str, Any]:
        """The result of ``servemark run LINE``, which succeeds."""
        command = [sys.executable, "-m", "servemark", "run", *line.split(), "-o", "out", "--no-history"]
        done = self.call(*command)
        result = json.loads((self.folder / "out" / "result.json").read_text(encoding="utf-8"))
        assert status_but_for_the_machine(done.returncode, result) == 0, done.stderr
        return dict(result)


def applied(patch: str, folder: Path) -> list[str]:
    """Apply a unified diff to the files in `folder`; each hunk by what it says, which has to be there exactly once."""
    paths = []
    for old, path, hunks in re.findall(
        r"^--- (\S+)\n\+\+\+ b/(\S+)\n((?:[@ +-].*\n(?!--- ))*[@ +-].*\n)", patch, re.MULTILINE
    ):
        file = folder / path
        assert file.exists() == (old != "/dev/null"), path
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        for head, body in re.findall(r"^(@@ .* @@)\n((?:[ +-].*\n)+)", hunks, re.MULTILINE):
            lines = body.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] != "+")
            after = "".join(line[1:] for line in lines if line[0] != "-")
            counts = re.fullmatch(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@", head)
            assert counts is not None, head
            assert [int(count or 1) for count in counts.groups()] == [before.count("\n"), after.count("\n")], head
            if before:
                assert f"\n{text}".count(f"\n{before}") == 1, f"not once in {path}:\n{before}"
            text = f"\n{text}".replace(f"\n{before}", f"\n{after}", 1)[1:] if before else after
        file.unlink(missing_ok=True)
        file.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, compiled: each example has Python compile what it changes, and no more."""
    folder = tmp_path_factory.mktemp("sources") / "servemark"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    shutil.copy(_loadgen.__file__, folder / "src" / "servemark")
    compileall.compile_dir(folder / "src", quiet=1)
    return folder


@pytest.fixture(scope="module")
def example(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Example]:
    """Makes the copy with the example of that name."""
    return lambda name: Example(sources, tmp_path_factory.mktemp(name) / "servemark", _EXAMPLES[name])


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """The URL of Python's own web server."""
    with pythons_web_server(tmp_path) as url:
        yield url


def test_there_is_an_example_of_each_and_none_is_long() -> None:
    assert _EXAMPLES.keys() == {"benchmark", "option", "dialect", "report"}
    for name, patch in _EXAMPLES.items():
        assert len(patch.splitlines()) < _MOST_LINES, name


@pytest.mark.slow
def test_the_examples_keep_the_rules_of_the_project(sources: Path, tmp_path: Path) -> None:
    """All in one copy: no two are about the same lines, and the tests of the rules take longest."""
    made = Example(sources, tmp_path / "servemark", *_EXAMPLES.values())
    ruff = str(Path(sys.executable).with_name("ruff"))
    for command in ([ruff, "check", "--no-cache"], [ruff, "format", "--check", "--no-cache"]):
        done = made.call(*command, *made.changed)
        assert done.returncode == 0, done.stdout
    tests = [f"tests/unit/test_{name}.py" for name in ("docs", "formats", "reports", "results_read")]
    done = made.call(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests)
    assert done.returncode == 0, done.stdout


def test_the_benchmark_measures_an_endpoint_and_is_in_the_help(
    example: Callable[[str], Example], endpoint: str
) -> None:
    made = example("benchmark")
    result = made.run(f"http_latency {endpoint} -l 20")
    (benchmark,) = result["benchmarks"]
    assert (benchmark["name"], benchmark["options"]["threads"]) == ("http_latency", 1)
    assert benchmark["steps"][0]["succeeded"] == 20
    told = made.call(sys.executable, "-m", "servemark", "run", "-h").stdout
    assert "  http_latency          any HTTP endpoint, by --url: one user\n" in told


def test_the_option_is_understood_and_lands_in_the_result(example: Callable[[str], Example], endpoint: str) -> None:
    made = example("option")
    result = made.run(f"http {endpoint} -t 1 -l 5 --remark upgraded")
    assert result["remark"] == "upgraded"
    schema = json.loads((made.folder / "src" / "servemark" / "result.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(result)
    assert "remark" not in made.run(f"http {endpoint} -t 1 -l 5 --force")
    refused = made.call(sys.executable, "-m", "servemark", "run", "http", endpoint, "--remark")
    assert refused.returncode == 2


def test_the_dialect_knows_its_server_and_measures_it(example: Callable[[str], Example]) -> None:
    made = example("dialect")
    (made.folder / "input.txt").write_text("hello", encoding="utf-8")
    came: list[str] = []
    known = (200, b'{"server": "echo"}')
    with answering({"GET /": known, "OPTIONS /": known, "POST /echo": (200, b"hello")}, came) as port:
        result = made.run(f"latency --server 127.0.0.1:{port} -i input.txt -l 10")
    assert (result["server"]["dialect"], result["server"]["product"]) == ("echo", "echo server")
    assert result["benchmarks"][0]["steps"][0]["succeeded"] == 10
    assert came.count("POST /echo") == 11, "the first prediction proves that it answers"


def test_the_report_is_a_format_of_any_result(example: Callable[[str], Example], endpoint: str) -> None:
    made = example("report")
    made.run(f"http {endpoint}missing -t 1 -l 5 --max-errors 100%")
    told = made.call(sys.executable, "-m", "servemark", "report", "out", "--format", "errors", "-o", "-")
    assert told.stdout.splitlines() == [
        "benchmark,point,trial,step,error,requests",
        "http,,1,request,http_status:404,5",
    ]
