"""The image of servemark itself, by what its file says; ``tests/contract/test_container_image.py`` builds it."""

from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _instructions() -> list[tuple[str, str]]:
    """The instructions of the file, each on one line."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [
        (word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines.split("\n") if line)
    ]


INSTRUCTIONS = _instructions()
_LAST = max(place for place, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM")
BUILD, FINAL = INSTRUCTIONS[:_LAST], INSTRUCTIONS[_LAST:]


def _of(word: str, stage: list[tuple[str, str]] = INSTRUCTIONS) -> list[str]:
    return [rest for name, rest in stage if name == word]


def _packages(stage: list[tuple[str, str]]) -> set[str]:
    """What a stage installs of the system's packages."""
    found = [re.findall(r"--no-install-recommends ([a-z0-9 +-]+)", run) for run in _of("RUN", stage)]
    return {name for names in found for each in names for name in each.split()}


def test_rust_and_a_compiler_are_in_the_stage_that_builds_alone():
    assert _of("FROM") == ["${BASE} AS build", "${BASE}"]
    assert {"cargo-web", "gcc"} <= _packages(BUILD)
    assert _packages(FINAL) == {"ca-certificates", "libgomp1", "libquadmath0", "libstdc++6", "python3", "python3-venv"}
    assert _of("COPY", FINAL) == ["--from=build /opt/servemark /opt/servemark"]


def test_the_base_is_a_version_and_can_be_another():
    (base,) = _of("ARG")
    assert re.fullmatch(r"BASE=docker\.io/library/debian:\d+-slim", base)


def test_nothing_runs_as_root_and_the_command_is_servemark():
    assert FINAL[-3:-2] == [("USER", "10001")], "what comes behind it runs nothing more"
    assert [json.loads(words) for words in (*_of("ENTRYPOINT"), *_of("CMD"))] == [["servemark"], ["--help"]]
    assert "--uid 10001 servemark" in " ".join(_of("RUN", FINAL))


def test_it_is_what_is_tested_at_the_pinned_versions_and_leaves_no_lists():
    (install,) = (run for run in _of("RUN", BUILD) if "pip install" in run)
    assert "--constraint constraints.txt" in install
    updating = [run for run in _of("RUN") if "apt-get update" in run]
    assert len(updating) == 2
    assert all(run.endswith("rm -rf /var/lib/apt/lists/*") for run in updating)


def test_all_that_it_copies_is_there_and_is_let_through_and_nothing_else_is():
    copied = [name for words in _of("COPY", BUILD) for name in words.split()[:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    rules = [
        line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#")
    ]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(copied)
    left_out = [rule.removeprefix("**/") for rule in rules[1:] if not rule.startswith("!")]
    assert [name for name in copied for rule in left_out if fnmatch.fnmatch(name, rule)] == []


def test_no_secret_and_nothing_from_elsewhere_is_in_it():
    assert _of("ADD") == []
    assert not re.search(r"(?i)token|secret|password|credential|https?://", "\n".join(map(" ".join, INSTRUCTIONS)))


def test_everything_that_building_needs_is_copied():
    """What pyproject.toml, and the manifests of the crates, name beside themselves."""
    copied = {name for words in _of("COPY", BUILD) for name in words.split()[:-1]}
    assert copied >= {"pyproject.toml", "Cargo.toml", "Cargo.lock", "README.md", "LICENSE", "crates", "src"}
