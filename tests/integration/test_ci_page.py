"""docs/ci.md: its script and the commands of its jobs are executed as they stand there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from dialect_servers import answering

from ..pages import ROOT, commands
from ..validity import failed_checks, skip_where_too_busy, status_but_for_the_machine

_PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
_ANSWERS = {"GET /predict": (200, b"OK")}
#: What compares, or runs a benchmark.
_BENCHMARK = f"""#!/bin/sh
if [ "$1" = compare ]; then exec {sys.executable} -m servemark "$@"; fi
exec {sys.executable} -m servemark run "$@"
"""
#: What measures nothing, and exits as it is told.
_MEASURED = """#!/bin/sh
if [ "$1" = compare ]; then exit 2; fi
mkdir bench-result
echo new > bench-result/result.json
echo "servemark: error: no" >&2
exit "$STATUS"
"""
#: What the runner's own tools were given, one argument a line.
_TOOL = '#!/bin/sh\nprintf "%s\\n" "$0" "$@" >> "$CALLED"\n'


def _script() -> str:
    (found,) = [command.text for command in commands("docs/ci.md") if command.text.startswith("#!")]
    return found


def _of_job(key: str) -> list[str]:
    """The commands of the page's jobs below `key`: of GitHub ``run: ...``, of GitLab ``- ...`` below ``script:``."""
    if key == "run":
        return re.findall(r"^ +(?:- )?run: (.*)$", _PAGE, re.MULTILINE)
    block = re.search(rf"^  {key}:\n((?:    - .*\n)+)", _PAGE, re.MULTILINE)
    assert block is not None
    return [line.removeprefix("    - ") for line in block[1].splitlines()]


@pytest.fixture
def runner(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A checkout with the script, and the environment of a job, whose tools say what they were called with."""
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "bench.sh").write_text(_script() + "\n", encoding="utf-8")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("gh", "curl"):
        (tools / name).write_text(_TOOL, encoding="utf-8")
        (tools / name).chmod(0o755)
    servemark = tools / "benchmark.py"
    servemark.write_text(_BENCHMARK, encoding="utf-8")
    servemark.chmod(0o755)
    environment = dict(
        os.environ,
        PATH=f"{tools}:{os.environ['PATH']}",
        CALLED=str(tmp_path / "called"),
        SERVEMARK=str(servemark),
        DURATION="1",
        NUMBER="17",
        COMMENT_TOKEN="secret",
        CI_API_V4_URL="https://HOST/api/v4",
        CI_PROJECT_ID="3",
        CI_MERGE_REQUEST_IID="17",
    )
    return tmp_path, environment


def _sh(command: str, folder: Path, environment: Mapping[str, str]) -> int:
    return subprocess.run(["bash", "-c", command], cwd=folder, env=environment, check=False).returncode


def _result(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "bench-result" / "result.json").read_text(encoding="utf-8")))


@pytest.mark.slow
def test_the_script_and_the_jobs_do_what_the_page_says(runner) -> None:
    folder, environment = runner
    start, measure, comment = _of_job("run")
    assert (start, measure) == ("./start-my-server.sh", "bash ci/bench.sh")
    baseline = folder / "bench-baseline" / "result.json"
    with answering(_ANSWERS, service_s=0.01) as port:
        quick = environment | {"URL": f"http://127.0.0.1:{port}/predict"}
        status = _sh(measure, folder, quick | {"RENEW": "1"})
        base = _result(folder)
        assert status_but_for_the_machine(status, base) == 0
        skip_where_too_busy(failed_checks([base["benchmarks"][0]["certificate"]]))  # nothing can be compared with it
        assert baseline.read_bytes() == (folder / "bench-result" / "result.json").read_bytes()
    with answering(_ANSWERS, service_s=0.05) as port:
        slow = environment | {"URL": f"http://127.0.0.1:{port}/predict", "SLO": "p50<20ms"}
        status = _sh(measure, folder, slow)
        new = _result(folder)
        assert status_but_for_the_machine(status, new) == 1
        summary = (folder / "summary.md").read_text(encoding="utf-8")
        assert "**SLO missed: " in summary
        if all(result["benchmarks"][0]["certificate"]["valid"] for result in (base, new)):
            assert summary.startswith("**slower: request ")
            assert "| --- | --- | --- | --- | --- | --- | --- |" in summary
        suites = ElementTree.parse(folder / "verdicts.xml").getroot()
        assert suites.find(".//failure") is not None
        assert _sh(comment, folder, slow) == 0
        called = (folder / "called").read_text(encoding="utf-8").splitlines()
        assert called[1:] == ["pr", "comment", "17", "--body-file", "summary.md", "--edit-last", "--create-if-none"]
        base["environment"]["kernel"] = "another"
        baseline.write_text(json.dumps(base), encoding="utf-8")
        assert _sh(measure, folder, slow) == 2
        summary = (folder / "summary.md").read_text(encoding="utf-8")
        assert summary.startswith("**Nothing was measured, exit status 2:**\n\n    servemark: error: ")
        assert "a run here are unlike: kernel another and " in summary
        status = _sh(measure, folder, slow | {"RENEW": "1"})
        renewed = _result(folder)
    assert status_but_for_the_machine(status, renewed) == 1
    skip_where_too_busy(failed_checks([renewed["benchmarks"][0]["certificate"]]))
    assert json.loads(baseline.read_text(encoding="utf-8")) == renewed


@pytest.mark.parametrize("renew", ["", "1"], ids=["pull request", "main"])
@pytest.mark.parametrize("status", range(5))
def test_the_main_branch_keeps_what_is_valid_however_it_compares_and_a_pull_request_nothing(
    runner, status, renew
) -> None:
    folder, environment = runner
    Path(environment["SERVEMARK"]).write_text(_MEASURED, encoding="utf-8")
    (folder / "bench-baseline").mkdir()
    baseline = folder / "bench-baseline" / "result.json"
    baseline.write_text("old\n", encoding="utf-8")
    told = environment | {"URL": "http://127.0.0.1:1", "RENEW": renew, "STATUS": str(status)}
    assert _sh("bash ci/bench.sh", folder, told) == status
    assert baseline.read_text(encoding="utf-8") == ("new\n" if renew and status <= 1 else "old\n")
    assert "**Compared with nothing" not in (folder / "summary.md").read_text(encoding="utf-8")


def test_a_pull_request_without_a_baseline_says_that_it_is_compared_with_nothing(runner, capfd) -> None:
    folder, environment = runner
    Path(environment["SERVEMARK"]).write_text(_MEASURED, encoding="utf-8")
    told = environment | {"URL": "http://127.0.0.1:1", "STATUS": "0"}
    assert _sh("bash ci/bench.sh", folder, told) == 0
    says = "**Compared with nothing: there is no baseline of the main branch.**\n"
    assert (folder / "summary.md").read_text(encoding="utf-8").endswith(says)
    assert capfd.readouterr().err.endswith(says)
    assert not (folder / "bench-baseline").exists()


def test_pull_requests_read_what_the_main_branch_keeps_whatever_became_of_its_run() -> None:
    github, gitlab = _PAGE.split("\n## GitLab\n")
    assert "RENEW: ${{ github.event_name == 'push' && '1' || '' }}\n" in github
    assert "concurrency: servemark-${{ github.ref }}\n" in github
    (save,) = re.findall(r"- if: (.*)\n +uses: actions/cache/save@", github)
    assert save == "always() && github.event_name == 'push'"
    (main,) = re.findall(r"if: \$CI_COMMIT_BRANCH == \$CI_DEFAULT_BRANCH\n +variables:\n((?: {8}.*\n)+)", gitlab)
    assert main.split() == ["RENEW:", '"1"', "POLICY:", "pull-push"]
    (cache,) = re.findall(r"^  cache:\n((?:    .*\n)+)", gitlab, re.MULTILINE)
    assert {"unprotect: true", "policy: $POLICY", "when: always"} <= set(map(str.strip, cache.splitlines()))


def test_the_other_jobs_commands_do_what_the_page_says(runner) -> None:
    folder, environment = runner
    clone, start, measure = _of_job("script")
    assert clone.startswith("git clone ")
    assert (start, measure) == ("./start-my-server.sh", "bash ci/bench.sh")
    (comment,) = _of_job("after_script")
    assert _sh(comment, folder, environment) == 0
    called = (folder / "called").read_text(encoding="utf-8").splitlines()
    assert called[-1] == "https://HOST/api/v4/projects/3/merge_requests/17/notes"
    assert "body@summary.md" in called
    assert _sh(comment, folder, environment | {"CI_MERGE_REQUEST_IID": ""}) == 0
    assert (folder / "called").read_text(encoding="utf-8").splitlines() == called


def test_the_script_is_whole(runner) -> None:
    folder, environment = runner
    assert _sh("bash -n ci/bench.sh", folder, environment) == 0
    without_url = {name: value for name, value in environment.items() if name != "URL"}
    assert _sh("bash ci/bench.sh", folder, without_url) == 1
