"""The files of tests that take longest: those that are begun first where several run at once.

A file is one worker's (``--dist loadfile``), so that one which is begun last is waited for by all the others. What each
took is told at the end of such a run, in the order in which it belongs here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

#: Below ``tests/``, the longest first. What is not named comes after them.
LONGEST = (
    "e2e/test_pages.py",
    "e2e/test_custom_models.py",
    "e2e/test_suites.py",
    "contract/test_source_server.py",
    "integration/test_ray.py",
    "e2e/test_wheel.py",
    "contract/test_worker_memory.py",
    "e2e/test_jmeter_runs.py",
    "e2e/test_managed_runs.py",
    "integration/test_reports_in_browser.py",
    "contract/test_managed_server.py",
    "e2e/test_running_servers.py",
    "e2e/test_management_benchmarks.py",
    "integration/test_capacity_search.py",
    "contract/test_jmeter_engine.py",
    "contract/test_zoo_models.py",
    "e2e/test_faults.py",
    "contract/test_jmeter_plans.py",
    "e2e/test_source_and_docker_runs.py",
    "e2e/test_serve.py",
    "e2e/test_trials.py",
    "integration/test_certificate_faults.py",
    "e2e/test_terminal.py",
    "unit/test_benchmark_script.py",
    "e2e/test_server_kinds.py",
    "integration/test_contributing.py",
    "integration/test_completion.py",
    "e2e/test_points.py",
)
#: How many are told.
_TOLD = 25


def longest_first(items: list[pytest.Item]) -> None:
    """Order `items` by their files; those of a file stay in their order."""
    place = {f"tests/{name}": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))


def longest_files(reports: Iterable[pytest.TestReport]) -> list[str]:
    """A line for each of the files that took longest, with its seconds, from the `reports` on their tests."""
    took_s: Counter[str] = Counter()
    for report in reports:
        took_s[report.nodeid.partition("::")[0]] += report.duration  # type: ignore[assignment]
    return [f"{seconds:6.0f} s  {file}" for file, seconds in took_s.most_common(_TOLD)]
