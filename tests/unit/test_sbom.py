"""The bill of materials: everything that is built in and that is installed, at the versions that are pinned."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import sbom
from servemark import _loadgen

from ..rust import cargo, needs_cargo

pytestmark = pytest.mark.seconds

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = sbom.ROOT
SCRIPT = ROOT / "scripts" / "sbom.py"


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    needs_cargo()
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _of(bill: dict[str, Any], kind: str, scope: str = "") -> set[tuple[str, str]]:
    """Name and version of its components of a kind, as package URLs have it."""
    return {
        (one["name"], one["version"])
        for one in bill["components"]
        if one["purl"].startswith(f"pkg:{kind}/") and scope in ("", one["scope"])
    }


def test_it_is_a_valid_bill(bill):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    wrong = {**bill, "components": [{"type": "library"}]}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(wrong)) is not None


def test_every_crate_that_the_library_names_is_built_in(bill):
    """Where a crate may panic its library names the file, in the folder of the crate's version."""
    found = re.findall(rb"/registry/src/[^/]+/([a-z][a-z0-9_-]*?)-(\d+\.[^/]+)/", Path(_loadgen.__file__).read_bytes())
    named = {(name.decode(), version.decode()) for name, version in found}
    assert {"rustls", "ring", "pyo3", "hdrhistogram"} <= {name for name, _ in named}
    assert named <= _of(bill, "cargo", "required")


def test_no_crate_is_in_it_that_is_only_tested_with_or_for_another_system(bill):
    """Every one is among those that ``cargo metadata`` resolves: for the whole workspace, and so some more."""
    linked, building = set(), set()
    for target in sbom.TARGETS:
        found = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", target))
        named = {one["id"]: one for one in found["packages"]}
        nodes = {one["id"]: one for one in found["resolve"]["nodes"]}
        (binding,) = (key for key, one in named.items() if one["name"] == "servemark-py")
        to_see, seen = [(binding, True)], set()
        while to_see:
            key, in_library = to_see.pop()
            if (key, in_library) in seen:
                continue
            seen.add((key, in_library))
            (linked if in_library else building).add((named[key]["name"], named[key]["version"]))
            for edge in nodes[key]["deps"]:
                kinds = {kind["kind"] for kind in edge["dep_kinds"]} - {"dev"}
                macro = any("proc-macro" in made["kind"] for made in named[edge["pkg"]]["targets"])
                to_see += [(edge["pkg"], in_library and kind is None and not macro) for kind in kinds]
    assert _of(bill, "cargo", "required") <= linked
    assert _of(bill, "cargo", "excluded") <= building
    assert len(_of(bill, "cargo")) > 50


def test_each_crate_has_the_checksum_of_the_lock_file_and_a_licence(bill):
    locked = {one["name"]: one.get("checksum") for one in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    for one in bill["components"]:
        if one["purl"].startswith("pkg:cargo/"):
            assert [each["content"] for each in one.get("hashes", [])] == list(filter(None, [locked[one["name"]]]))
            assert one["licenses"][0]["expression"]
            assert "/" not in one["licenses"][0]["expression"]


def test_it_has_every_package_that_servemark_asks_for_at_its_pin(bill):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    pinned = {
        (canonicalize_name(one.name), str(one.specifier).removeprefix("=="))
        for one in map(Requirement, (ROOT / "constraints.txt").read_text().split("\n", 2)[2].splitlines())
    }
    there = _of(bill, "pypi")
    assert there <= pinned
    assert {pin for pin in pinned if pin[0] in direct} <= there
    assert {name for name, _ in there} >= direct | {"anyio", "h11", "httpcore", "idna", "markdown-it-py", "pygments"}
    assert {name for name, _ in there} & {"pytest", "ruff", "maturin", "uv"} == set()


def test_it_says_what_needs_what(bill):
    refs = {one["bom-ref"] for one in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    needs = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    assert needs.keys() == refs
    assert {ref for of in needs.values() for ref in of} == refs - {bill["metadata"]["component"]["bom-ref"]}
    (rustls,) = (ref for ref in refs if ref.startswith("pkg:cargo/rustls@"))
    assert any(ref.startswith("pkg:cargo/ring@") for ref in needs[rustls])


def test_the_same_sources_at_the_same_time_make_the_same_bill():
    needs_cargo()
    environ = {**os.environ, "SOURCE_DATE_EPOCH": "1764374400"}
    made = {subprocess.run([sys.executable, SCRIPT], env=environ, capture_output=True).stdout for _ in range(2)}
    assert len(made) == 1
    assert json.loads(made.pop())["metadata"]["timestamp"] == "2025-11-29T00:00:00+00:00"


def _copied(folder: Path, **changed: tuple[str, str]) -> Path:
    """The files that the bill is made of, with a text in the place of another in some."""
    for name in ("constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for stem, (old, new) in changed.items():
        (path,) = folder.glob(f"{stem}.*")
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    return folder


def test_what_is_needed_and_not_pinned_is_an_error(tmp_path):
    root = _copied(tmp_path, constraints=("h11==", "h12=="))
    with pytest.raises(sbom.BillError, match=r"^h11 is needed and not pinned: add it to constraints\.txt$"):
        sbom.packages(root)


def test_what_is_installed_at_another_version_is_an_error(tmp_path):
    root = _copied(tmp_path, constraints=("psutil==", "psutil==0."))
    with pytest.raises(sbom.BillError, match=r"^psutil [\d.]+ is installed, which constraints\.txt does not pin: "):
        sbom.packages(root)


def test_without_cargo_there_is_no_bill_and_one_line_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(sbom.BillError, match=r"no cargo here"):
        sbom.crates(ROOT)


def test_it_takes_no_words():
    done = subprocess.run([sys.executable, SCRIPT, "out.json"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "sbom.py: error: it takes no words, and 'out.json' is one: it prints the bill\n"
