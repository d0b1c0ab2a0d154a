"""The release: what its workflow calls exists, may no more than it needs, and publishes only what the tag names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet

from scripts.release_notes import ReleaseError, notes
from scripts.sbom import TARGETS, pins, version_of

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
CARGO = '[workspace.package]\nversion = "1.2.3"\n'
CHANGELOG = (
    "# Changelog\n\n## [Unreleased]\n\n- later\n\n## [1.2.3] - 2026-11-29\n\n- what is new\n\n## [1.2.2] - 2026-01-01\n"
)


#: From the oldest that servemark is for to the newest, the first release of each, and the one of which markers speak.
_PYTHONS = ("3.10.0", "3.11.0", "3.11.5", "3.12.0", "3.13.0", "3.14.0")


def _is(python: str) -> dict[str, str]:
    """What markers see in that Python."""
    return {"python_full_version": python, "python_version": python.rpartition(".")[0]}


def _installed(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _workflow(name: str) -> dict[Any, Any]:
    found = yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))
    found["on"] = found.pop(True)  # which "on" is in YAML 1.1
    return found


RELEASE = _workflow("release.yml")
JOBS: dict[str, dict[str, Any]] = RELEASE["jobs"]


def _steps(job: str, key: str) -> list[Any]:
    return [step[key] for step in JOBS[job].get("steps", []) if key in step]


def _with(job: str, action: str) -> list[dict[str, Any]]:
    """What the steps of `job` give to an action."""
    return [step.get("with", {}) for step in JOBS[job].get("steps", []) if step.get("uses", "").startswith(action)]


def _all_steps() -> list[tuple[str, dict[str, Any]]]:
    """Every step of every workflow, with the name of its file."""
    return [
        (path.name, step)
        for path in sorted(WORKFLOWS.glob("*.yml"))
        for job in _workflow(path.name)["jobs"].values()
        for step in job.get("steps", [])
    ]


def test_every_script_and_target_that_a_workflow_calls_is_there():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    called = [step["run"] for _, step in _all_steps() if "run" in step]
    scripts = {word for line in called for word in re.findall(r"(?<![\w/])(?:\./|\.ci/|scripts/)[\w./-]+", line)}
    assert scripts == {"./install_dependencies.sh", ".ci/run", "scripts/release_notes.py", "scripts/sbom.py"}
    for script in scripts:
        assert os.access(ROOT / script, os.X_OK), script
    made = {target for line in called for target in re.findall(r"\bmake ([a-z-]+)", line)}
    assert made == {"setup"}
    assert made <= set(targets)


def test_a_pull_request_is_tested_as_a_person_tests_and_so_is_a_release():
    ci = _workflow("ci.yml")
    assert ci["on"].keys() == {"pull_request", "push", "workflow_call"}
    (job,) = ci["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["./install_dependencies.sh", ".ci/run"]
    assert JOBS["test"]["uses"] == "./.github/workflows/ci.yml"


def test_only_a_tag_releases_and_only_what_was_tested_and_approved_is_published():
    assert RELEASE["on"] == {"push": {"tags": ["v*"]}}
    assert set(JOBS["publish"]["needs"]) == {"test", "wheel", "sdist", "bill"}
    assert JOBS["publish"]["environment"] == "release"
    assert [name for name, job in JOBS.items() if "environment" in job] == ["publish"]
    assert JOBS["release"]["needs"] == "publish"
    assert all(job["needs"] == "notes" for name, job in JOBS.items() if name in ("test", "wheel", "sdist", "bill"))


def test_no_job_may_more_than_it_needs_and_none_has_a_secret():
    assert RELEASE["permissions"] == _workflow("ci.yml")["permissions"] == {"contents": "read"}
    more = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert more == {"publish": {"id-token": "write"}, "release": {"contents": "write"}}
    for path in WORKFLOWS.glob("*.yml"):
        assert "secrets" not in path.read_text(encoding="utf-8")


def test_no_name_of_a_branch_or_a_tag_is_pasted_into_a_command():
    assert [(name, step["run"]) for name, step in _all_steps() if "${{" in step.get("run", "")] == []


def test_every_action_has_its_version():
    used = [step["uses"] for _, step in _all_steps() if "uses" in step]
    assert len(used) > 10
    assert [one for one in used if not re.fullmatch(r"[\w-]+/[\w-]+@(?:release/)?v\d+|[\w/-]+@[0-9a-f]{40}", one)] == []


def test_wheels_are_those_of_the_bill_built_by_the_pinned_maturin():
    built = JOBS["wheel"]["strategy"]["matrix"]["include"]
    assert [f"{one['target']}-unknown-linux-gnu" for one in built] == list(TARGETS)
    assert [one["runner"] for one in built] == ["ubuntu-24.04", "ubuntu-24.04-arm"], "each is installed where it runs"
    (wheel,), (sdist,) = _with("wheel", "PyO3/maturin-action"), _with("sdist", "PyO3/maturin-action")
    (maturin,) = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))["maturin"]
    assert wheel["maturin-version"] == sdist["maturin-version"] == f"v{maturin.version}"
    assert (wheel["manylinux"], wheel["args"]) == ("2_28", "--release --locked --out dist")
    assert (sdist["command"], sdist["args"]) == ("sdist", "--out dist")


def test_what_is_pinned_can_be_installed_by_the_oldest_python_that_its_marker_admits():
    """Distributions stay with the first releases of a Python: Debian 12 has 3.11.2."""
    looked_at = []
    for name, pinned in pins((ROOT / "constraints.txt").read_text(encoding="utf-8")).items():
        for pin in pinned:
            if (found := _installed(name)) is None or found.version != pin.version:
                continue
            oldest = next(python for python in _PYTHONS if not pin.marker or Marker(pin.marker).evaluate(_is(python)))
            needs = SpecifierSet(found.metadata.get("Requires-Python") or "")
            assert oldest in needs, f"{name} {pin.version} needs Python {needs}"
            looked_at.append(name)
    assert len(looked_at) > 50


def test_one_wheel_serves_every_python_from_the_oldest_on():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    binding = (ROOT / "crates" / "servemark-py" / "Cargo.toml").read_text(encoding="utf-8")
    assert 'requires-python = ">=3.10"' in project
    assert "abi3-py310" in binding
    assert [one["python-version"] for one in _with("sdist", "actions/setup-python")] == ["3.10"]


@pytest.mark.parametrize("job", ["wheel", "sdist"])
def test_what_is_built_is_installed_and_called_before_it_is_kept(job):
    install, call = _steps(job, "run")
    assert install.startswith("python -m venv clean && clean/bin/python -m pip install ")
    assert ("--only-binary=:all:" in install) == (job == "wheel")
    assert call == "clean/bin/servemark --version"


def test_everything_that_is_fetched_was_kept_and_nothing_but_wheels_and_sources_is_published():
    kept = [one["name"] for job in JOBS for one in _with(job, "actions/upload-artifact")]
    assert kept == ["notes", "dist-${{ matrix.target }}", "dist-sdist", "bill"]
    (published,) = _with("publish", "actions/download-artifact")
    assert published == {"pattern": "dist-*", "path": "dist", "merge-multiple": True}
    (released,) = _with("release", "actions/download-artifact")
    assert released == {"path": "made", "merge-multiple": True}


def test_the_release_has_the_files_their_sums_and_the_notes(tmp_path):
    made = ("servemark-1.2.3-cp310-abi3-manylinux_2_28_x86_64.whl", "servemark-1.2.3.tar.gz", "servemark.cdx.json")
    for name in (*made, "notes.md"):
        (tmp_path / name).write_text(name)
    (tmp_path / "gh").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > called\n')
    (tmp_path / "gh").chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_REF_NAME": "v1.2.3"}
    for command in _steps("release", "run"):
        subprocess.run(["bash", "-e", "-c", command], cwd=tmp_path, env=environ, check=True)
    assert all(name in (tmp_path / "SHA256SUMS").read_text() for name in made)
    called = (tmp_path / "called").read_text().splitlines()
    assert called[:3] == ["release", "create", "v1.2.3"]
    assert called[-4:] == [*made, "SHA256SUMS"]
    assert called[called.index("--notes-file") + 1] == "notes.md"


def test_the_notes_of_a_tag_are_its_section_of_the_changelog():
    assert notes("v1.2.3", CARGO, CHANGELOG) == "- what is new\n"


@pytest.mark.parametrize(
    ("tag", "changelog", "said"),
    [
        ("v1.2.4", CHANGELOG, "the tag is v1.2.4 and Cargo.toml has version 1.2.3: tag v1.2.3, or change Cargo.toml"),
        ("1.2.3", CHANGELOG, "the tag is 1.2.3 and"),
        ("v1.2.3", CHANGELOG.replace(" - 2026-11-29", ""), r"no section '## [1.2.3] - YYYY-MM-DD'"),
        ("v1.2.3", CHANGELOG.replace("- what is new\n", ""), "says nothing of 1.2.3"),
    ],
    ids=["another version", "no v", "no date", "nothing said"],
)
def test_nothing_is_released_of_which_tag_sources_and_changelog_do_not_say_the_same(tag, changelog, said):
    with pytest.raises(ReleaseError, match=re.escape(said)):
        notes(tag, CARGO, changelog)


@pytest.mark.parametrize("words", [[], ["v1.2.3", "v1.2.4"], ["v0.0.0"]], ids=["none", "two", "not this version"])
def test_the_notes_need_the_tag_of_these_sources(words):
    script = ROOT / "scripts" / "release_notes.py"
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"release_notes\.py: error: .+\n", done.stderr)


def test_the_changelog_has_what_is_to_come_first_and_each_version_once():
    told = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert told[0] == "Unreleased"
    assert len(told) == len(set(told))
    assert re.fullmatch(r"\d+\.\d+\.\d+", version_of(ROOT))
