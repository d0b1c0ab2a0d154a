"""What all tests share: record files made by hand, and the account of what was skipped."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from servemark.records import RecordFile, open_records, row_dtype, write_records

from .longest import longest_files, longest_first

#: Why a test may be skipped in CI, and the command that enables it elsewhere.
ALLOWED_SKIPS: dict[str, str] = {
    "no Java or no Maven: JMeter cannot be assembled": "apt-get install default-jre-headless maven",
    "only Linux ends a child with its parent": "run the tests on Linux",
    "fewer than 10,100 open files are allowed": "ulimit -Hn 20000, as root",
    "no NVIDIA GPU here": "run the tests on a machine with one and its driver (nvidia-smi lists it)",
    "no javac on PATH": "./install_dependencies.sh, or apt-get install default-jdk-headless",
    "no mvn on PATH": "./install_dependencies.sh, or apt-get install maven",
    "no cargo for Rust 1.85 or newer here: the oracle server cannot be built": "./install_dependencies.sh",
    "no cargo for Rust 1.85 or newer here": "./install_dependencies.sh",
    "real-time priority is not permitted here": "run the tests as root, or ./install_dependencies.sh --realtime",
    "no control group with a quota of CPU time can be made here": (
        "run the tests as root where /sys/fs/cgroup/cpu can be written"
    ),
    "this machine is too busy: no run of several was valid": "run the tests on a machine that does nothing else",
    "no network namespace with a link-local address can be made here": "run the tests as root, with iproute2",
    "no Go here, which brings KubeRay's definitions": "install Go 1.24 or newer",
    "Go cannot bring KubeRay's definitions here": "run the tests where Go reaches its module proxy",
    "no file system can be mounted here": "run the tests as root on Linux, with util-linux",
    "unshare and setpriv do not work here": "run the tests as root on Linux, with util-linux",
    "zsh is not installed": "./install_dependencies.sh --tests",
    "fish is not installed": "./install_dependencies.sh --tests",
    "mandoc is not installed": "./install_dependencies.sh --tests",
    "no Chromium here": "./install_dependencies.sh --tests",
    "no npm here, which brings axe-core": "./install_dependencies.sh --tests",
    "npm cannot bring axe-core here": "run the tests where npm reaches its registry",
    "no Docker daemon runs, and none can be started here": (
        "sudo systemctl start docker, or apt-get install docker.io debootstrap and run the tests as root"
    ),
    "no base image can be had: neither pulled nor made by debootstrap": (
        "set SERVEMARK_DOCKER_BASE to an image of Debian 12, or apt-get install debootstrap and run the tests as root"
    ),
}

#: A busy machine takes as long as it takes, to run an example and to think one out.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

#: So often, and so far apart, is looked whether a thread that is left waits at last.
_LOOKS, _BETWEEN_LOOKS_S = 50, 0.02

MakeRecords = Callable[..., RecordFile]


def write_record_file(
    path: Path, rows: int, columns: dict[str, object], *, steps: tuple[str, ...] = ("predict",), warmup_ns: int = 0
) -> None:
    """A record file of the engine's format; columns that are not given are those of a successful request."""
    table = np.zeros(rows, dtype=row_dtype())
    table["seq"] = np.arange(rows)
    table["status"] = 200
    table["first_event"] = table["last_event"] = -1
    for name, values in columns.items():
        table[name] = values
    if "read" not in columns:
        table["read"] = table["end"]
    write_records(path, [table], steps=steps, started_unix_ns=1_700_000_000_000_000_000, warmup_ns=warmup_ns)


@pytest.fixture
def make_records(tmp_path: Path) -> MakeRecords:
    """``make_records(rows, steps=..., warmup_ns=..., column=values, ...)``: a record file, opened."""

    def make(rows: int, *, steps: tuple[str, ...] = ("predict",), warmup_ns: int = 0, **columns: object) -> RecordFile:
        path = tmp_path / f"records-{len(list(tmp_path.iterdir()))}.bin"
        write_record_file(path, rows, columns, steps=steps, warmup_ns=warmup_ns)
        return open_records(path)

    return make


@pytest.fixture(scope="session", autouse=True)
def history_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No run of a test's, here or in what is started, is in the user's history.

    It lies among the folders of the tests, which pytest removes, also those of a run of it that was killed.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.delenv("SERVEMARK_HISTORY", raising=False)
        yield


@pytest.fixture(scope="module", autouse=True)
def no_thread_of_a_test_computes_on() -> Iterator[None]:
    """What a test leaves behind waits, or every later test of this process is measured beside it."""
    yield
    for _ in range(_LOOKS):
        left = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
        if not any(map(_computes, left)):
            return
        time.sleep(_BETWEEN_LOOKS_S)
    frames = sys._current_frames()
    where = [line for thread in left for line in traceback.format_stack(frames.get(thread.ident or 0))[-2:]]
    pytest.fail(f"a thread that a test began computes on and on, one of these:\n{''.join(where)}")


def _computes(thread: threading.Thread) -> bool:
    """Whether it runs or waits for a CPU just now; never so where the system does not tell."""
    try:
        said = Path(f"/proc/self/task/{thread.native_id}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return said.rpartition(")")[2].split()[0] == "R"


def pytest_configure() -> None:
    """Have signals do what they do by default, here and in what is started: ignored ones stay ignored in servemark.

    A shell has those of what it runs in the background ignored, and nohup SIGHUP.
    """
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    longest_first(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was skipped, and the command that enables it; and which files took longest, where that matters."""
    if config.getoption("dist", "no") == "loadfile":
        reports = [report for found in terminalreporter.stats.values() for report in found]
        told = longest_files(report for report in reports if isinstance(report, pytest.TestReport))
        terminalreporter.section("the files that took longest, see tests/longest.py")
        terminalreporter.write_line("\n".join(told))
    for reason in sorted({str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])}):
        plain = reason.removeprefix("Skipped: ")
        terminalreporter.write_line(f"skipped: {plain}; to enable it: {ALLOWED_SKIPS.get(plain, 'see the test')}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip that is not listed above is a failure: nothing goes untested unseen."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    reasons = {str(report.longrepr[2]).removeprefix("Skipped: ") for report in reporter.stats.get("skipped", [])}
    if reasons - set(ALLOWED_SKIPS):
        session.exitstatus = 1
