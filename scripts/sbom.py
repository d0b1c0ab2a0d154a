#!/usr/bin/env python3
"""The software bill of materials of a release, as CycloneDX 1.6: what is built into a wheel, and what it installs.

Rust's crates are those that `cargo tree` finds for the targets of the wheels, with the checksums of ``Cargo.lock``;
Python's packages are those that servemark needs when it runs, directly or not, at the versions of ``constraints.txt``.
Runs in the environment that `make setup` makes, whose metadata says what each package needs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
#: Those of the wheels, as Rust calls them.
TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
_BINDING = "servemark-py"
#: What is in the library, and what else takes part in building it.
_BUILT_IN, _BUILDING = "normal,no-proc-macro", "normal,build"
_TREE_LINE = re.compile(r"(?P<name>\S+) v(?P<version>[^\s|]+)[^|]*\|(?P<licence>.*?)(?: \(\*\))?")


class BillError(Exception):
    """The bill cannot be made; says why and what to do, in one line."""


@dataclass(frozen=True)
class Component:
    """A crate or a package of one version.

    Attributes:
        kind: whose it is, as package URLs call them.
        licence: an SPDX expression; empty where it says none in this form.
        sha256: of the archive of a crate; None of what is in this repository, and of wheels, which are one a platform.
        built_in: whether it is there when servemark runs, and not only when it is built.
        needs: the package URLs of what it needs itself.
        marker: for which Pythons it is; empty for all.
    """

    kind: Literal["cargo", "pypi"]
    name: str
    version: str
    licence: str
    sha256: str | None
    built_in: bool
    needs: tuple[str, ...]
    marker: str = ""

    @property
    def purl(self) -> str:
        """Its package URL."""
        return package_url(self.kind, self.name, self.version)


@dataclass(frozen=True)
class Pin:
    """A line of ``constraints.txt``: a version, and for which Pythons it is."""

    version: str
    marker: str


def package_url(kind: Literal["cargo", "pypi"], name: str, version: str) -> str:
    """What a package of that name and version is called everywhere."""
    return f"pkg:{kind}/{canonicalize_name(name) if kind == 'pypi' else name}@{version}"


def version_of(root: Path) -> str:
    """The version of servemark, which its crates share."""
    return str(tomllib.loads((root / "Cargo.toml").read_text("utf-8"))["workspace"]["package"]["version"])


def crates(root: Path) -> tuple[Component, ...]:
    """The crates of the binding, those of its build among them, in the order of their names.

    Raises:
        BillError: there is no cargo that can tell.
    """
    built_in = _tree(root, _BUILT_IN)
    licences = {**_tree(root, _BUILDING), **built_in}
    locked = {
        (one["name"], one["version"]): one
        for one in tomllib.loads((root / "Cargo.lock").read_text("utf-8"))["package"]
        if (one["name"], one["version"]) in licences
    }
    found = []
    for (name, version), one in sorted(locked.items()):
        needed = [tuple(words.split()) for words in one.get("dependencies", ())]
        urls = tuple(package_url("cargo", *key) for key in sorted(locked) if key in needed or key[:1] in needed)
        licence = licences[name, version].replace("/", " OR ")
        built = (name, version) in built_in
        found.append(Component("cargo", name, version, licence, one.get("checksum"), built, urls))
    return tuple(found)


def _tree(root: Path, edges: str) -> dict[tuple[str, str], str]:
    """Name and version of the crates below the binding, over `edges`, for any of the targets; and their licences."""
    found = {}
    for target in TARGETS:
        command = ["cargo", "tree", "--locked", "--package", _BINDING, "--edges", edges, "--target", target]
        command += ["--prefix", "none", "--format", "{p}|{l}"]
        try:
            told = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
        except OSError as error:
            raise BillError(
                "there is no cargo here, which tells what is built in: ./install_dependencies.sh"
            ) from error
        except subprocess.CalledProcessError as error:
            raise BillError(f"cargo tree failed: {error.stderr.strip().splitlines()[-1]}") from error
        for line in filter(None, told.splitlines()):
            match = _TREE_LINE.fullmatch(line)
            if match is None:
                raise BillError(f"cargo tree says {line!r}, which this script cannot read")
            found[match["name"], match["version"]] = match["licence"]
    return found


def pins(text: str) -> Mapping[str, tuple[Pin, ...]]:
    """The lines of a constraints file, by the canonical name of their package."""
    found: dict[str, tuple[Pin, ...]] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].strip()
        if words:
            pinned = Requirement(words)
            (version,) = (one.version for one in pinned.specifier)
            name = canonicalize_name(pinned.name)
            found[name] = (*found.get(name, ()), Pin(version, str(pinned.marker or "")))
    return found


def packages(root: Path) -> tuple[Component, ...]:
    """The packages that servemark needs when it runs, directly or not, each at every version that is pinned.

    Raises:
        BillError: one is not pinned, or is installed here at another version.
    """
    pinned = pins((root / "constraints.txt").read_text("utf-8"))
    needs: dict[str, tuple[str, ...]] = {}
    to_see = list(_direct(root))
    while to_see:
        name = to_see.pop()
        if name not in needs:
            needs[name] = tuple(_needed_by(name, pinned))
            to_see += needs[name]
    found = []
    for name in sorted(needs):
        urls = tuple(package_url("pypi", one, pin.version) for one in sorted(needs[name]) for pin in pinned[one])
        found += [
            Component("pypi", name, pin.version, _licence(name, pin.version), None, True, urls, pin.marker)
            for pin in pinned[name]
        ]
    return tuple(found)


def _direct(root: Path) -> Iterator[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return (canonicalize_name(Requirement(line).name) for line in project["dependencies"])


def _needed_by(name: str, pinned: Mapping[str, tuple[Pin, ...]]) -> Iterator[str]:
    """What a package needs by its metadata here, extras left out; nothing where it is not for this Python."""
    if name not in pinned:
        raise BillError(f"{name} is needed and not pinned: add it to constraints.txt")
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return
    if found.version not in {pin.version for pin in pinned[name]}:
        raise BillError(f"{name} {found.version} is installed, which constraints.txt does not pin: run make setup")
    for line in found.requires or ():
        needed = Requirement(line)
        applies = needed.marker is None or needed.marker.evaluate({"extra": ""})
        # One for another Python is pinned, one for another system is not.
        if applies or ("extra" not in str(needed.marker) and canonicalize_name(needed.name) in pinned):
            yield canonicalize_name(needed.name)


def _licence(name: str, version: str) -> str:
    """The licence of the package that is installed here, if that is this version."""
    try:
        said = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    return said["License-Expression"] or "" if said["Version"] == version else ""


def bill(
    version: str, rust: tuple[Component, ...], python: tuple[Component, ...], direct: set[str], made_at: datetime
) -> dict[str, Any]:
    """The bill of servemark `version` as CycloneDX 1.6 has it; `direct` are the names of packages that it asks for."""
    purl = package_url("pypi", "servemark", version)
    binding = [one.purl for one in rust if one.name == _BINDING]
    needs = {one.purl: one.needs for one in (*rust, *python)}
    needs[purl] = (*binding, *(one.purl for one in python if one.name in direct))
    main = {"type": "application", "bom-ref": purl, "name": "servemark", "version": version, "purl": purl}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": made_at.isoformat(timespec="seconds"),
            "component": {**main, "licenses": [{"expression": "Apache-2.0"}]},
        },
        "components": [_as_json(one) for one in (*rust, *python)],
        "dependencies": [{"ref": ref, "dependsOn": sorted(of)} for ref, of in sorted(needs.items())],
    }


def _as_json(one: Component) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": one.purl,
        "name": one.name,
        "version": one.version,
        "scope": "required" if one.built_in else "excluded",
        **({"hashes": [{"alg": "SHA-256", "content": one.sha256}]} if one.sha256 else {}),
        **({"licenses": [{"expression": one.licence}]} if one.licence else {}),
        "purl": one.purl,
        **({"properties": [{"name": "servemark:python", "value": one.marker}]} if one.marker else {}),
    }


def made_at() -> datetime:
    """The time of the bill: that of SOURCE_DATE_EPOCH, so that the same sources make the same bill, else now."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(given), timezone.utc) if given else datetime.now(timezone.utc)


def main(words: list[str]) -> int:
    """Print the bill of this repository; the exit status."""
    if words:
        print(f"sbom.py: error: it takes no words, and {words[0]!r} is one: it prints the bill", file=sys.stderr)
        return 2
    try:
        found = bill(version_of(ROOT), crates(ROOT), packages(ROOT), set(_direct(ROOT)), made_at())
    except BillError as error:
        print(f"sbom.py: error: {error}", file=sys.stderr)
        return 4
    print(json.dumps(found, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
