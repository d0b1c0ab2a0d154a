"""``servemark doctor`` on machines that are really broken: each fault is caused, not pretended."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.seconds

_SAY = """
import dataclasses, json, sys
from servemark.doctor import CHECKS
names = sys.argv[1].split()
print(json.dumps({check.name: dataclasses.asdict(check.examine()) for check in CHECKS if check.name in names}))
"""


def _examine(
    names: str,
    *,
    limits: Callable[[], None] | None = None,
    before: tuple[str, ...] = (),
    hide_engine: bool = False,
    **variables: str | None,
) -> dict[str, dict[str, str]]:
    """What the checks in `names` find in a process of their own; a variable that is None is unset."""
    environment = {key: value for key, value in {**os.environ, **variables}.items() if value is not None}
    hide = "import importlib.util as u; real = u.find_spec\n"
    hide += "u.find_spec = lambda name, *rest: None if name == 'servemark._loadgen' else real(name, *rest)\n"
    code = (hide if hide_engine else "") + _SAY
    done = subprocess.run(
        [*before, sys.executable, "-c", code, names],
        env=environment,
        preexec_fn=limits,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _only(names: str, **how: object) -> tuple[str, str, str]:
    (finding,) = _examine(names, **how).values()
    return finding["status"], finding["found"], finding["fix"]


def _limit(which: int, soft: int, hard: int | None = None) -> Callable[[], None]:
    return lambda: resource.setrlimit(which, (soft, hard if hard is not None else soft))


def test_a_cache_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "servemark").write_text("not a folder")
    status, found, fix = _only("cache", XDG_CACHE_HOME=str(tmp_path), SERVEMARK_CACHE=None)
    assert status == "failure"
    assert found.endswith("servemark is not a folder")
    assert "SERVEMARK_CACHE" in fix


def test_a_cache_that_cannot_be_written() -> None:
    status, found, fix = _only("cache", SERVEMARK_CACHE="/proc/servemark")
    assert status == "failure"
    assert "/proc/servemark: cannot write in /proc: " in found
    assert "SERVEMARK_CACHE" in fix


def test_no_home_for_a_cache() -> None:
    hidden = {"HOME": None, "XDG_CACHE_HOME": None, "SERVEMARK_CACHE": "~nobody-of-that-name/cache"}
    status, found, _ = _only("cache", **hidden)
    assert status == "failure"
    assert found.startswith("there is no home directory")


def _mounted(tmp_path: Path, options: str) -> tuple[str, ...]:
    """What to put before a command so that it sees a file system of its own, with `options`, at `tmp_path`."""
    unshare = ("unshare", "--mount", "--map-root-user", "--propagation", "private")
    within = (*unshare, "sh", "-c", f'mount -t tmpfs -o {options} tmpfs "{tmp_path}" && exec "$@"', "sh")
    if not shutil.which("unshare") or subprocess.run([*within, "true"], capture_output=True).returncode:
        pytest.skip("unshare and setpriv do not work here")
    return within


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ("size=1g", "warning", "little for results"),
        ("size=20m", "failure", "21 MB free, 700 MB needed"),
        ("size=3g,noexec", "failure", "programs there do not run"),
        ("size=3g,ro", "failure", "Read-only file system"),
        ("size=3g", "ok", "3.2 GB free"),
    ],
)
def test_file_systems_that_a_cache_cannot_be_on(tmp_path: Path, options: str, status: str, words: str) -> None:
    found = _only("cache", before=_mounted(tmp_path, options), SERVEMARK_CACHE=str(tmp_path / "cache"))
    assert found[0] == status
    assert words in found[1]


def test_a_loopback_address_that_is_down() -> None:
    within = ("unshare", "--net", "--map-root-user")
    if not shutil.which("unshare") or subprocess.run([*within, "true"], capture_output=True).returncode:
        pytest.skip("unshare and setpriv do not work here")
    status, found, fix = _only("ports", before=within)
    assert status == "failure"
    assert "127.0.0.1" in found
    assert "ip link set lo up" in fix


def test_few_file_descriptors() -> None:
    assert _only("file_descriptors", limits=_limit(resource.RLIMIT_NOFILE, 48))[0] == "failure"
    status, found, fix = _only("file_descriptors", limits=_limit(resource.RLIMIT_NOFILE, 256))
    assert status == "warning"
    assert found == "at most 256 (ulimit -Hn): enough for about 156 users at once"
    assert "ulimit -n 4000" in fix
    # Both sides raise their own limit to the hard one.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard >= 1100:
        assert _only("file_descriptors", limits=_limit(resource.RLIMIT_NOFILE, 256, hard))[0] == "ok"


def test_few_addresses() -> None:
    status, found, fix = _only("memory", limits=_limit(resource.RLIMIT_AS, 4_000_000_000))
    assert status == "failure"
    assert found.startswith("limited to 4.0 GB of addresses")
    assert fix == "ulimit -v unlimited"


def test_nothing_installed(tmp_path: Path) -> None:
    empty = {"PATH": str(tmp_path), "JAVA_HOME": None, "JMETER_HOME": None, "SERVEMARK_CACHE": str(tmp_path / "cache")}
    empty |= {"RUSTUP_DIST_SERVER": "http://127.0.0.1:1", "http_proxy": None, "HTTP_PROXY": None, "ALL_PROXY": None}
    findings = _examine("java jmeter docker rust c_compiler", hide_engine=True, **empty)
    assert {name: finding["status"] for name, finding in findings.items()} == {
        "java": "warning",
        "jmeter": "warning",
        "docker": "warning",
        "rust": "failure",  # the build would fetch one, and cannot
        "c_compiler": "failure",
    }
    assert "there is no java on PATH" in findings["java"]["found"]
    assert findings["jmeter"]["found"] == "none, and no Maven to assemble it with"
    assert "there is no docker command" in findings["docker"]["found"]
    assert all("./install_dependencies.sh" in finding["fix"] for finding in findings.values())
    built = _examine("rust c_compiler", **empty)
    assert [finding["status"] for finding in built.values()] == ["not_applicable", "ok"]


def test_a_jmeter_home_that_is_none(tmp_path: Path) -> None:
    status, found, fix = _only("jmeter", JMETER_HOME=str(tmp_path))
    assert status == "warning"
    has_java = _only("java", JMETER_HOME=str(tmp_path))[0] == "ok"
    assert (f"JMETER_HOME is {tmp_path}" if has_java else "JMeter needs Java") in found
    assert fix


def test_a_docker_host_that_leads_nowhere(tmp_path: Path) -> None:
    status, found, fix = _only("docker", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert status == "warning"
    if shutil.which("docker"):
        assert found.startswith("the Docker daemon does not answer")
        assert "DOCKER_HOST" in fix
    status, found, fix = _only("docker", DOCKER_HOST="tcp://192.0.2.1:2375")
    assert (status, fix.split(",")[0]) == ("warning", "unset DOCKER_HOST")


def test_a_temporary_folder_that_is_not_there() -> None:
    missing = {"TMPDIR": "/nowhere"}
    assert _only("temporary_folder", **missing)[0] == "warning"  # Python and Java look further
    assert _only("temporary_folder", hide_engine=True, **missing)[0] == "failure"


def test_realtime_priority_is_really_tried() -> None:
    found = _only("realtime")
    tried = subprocess.run(
        [sys.executable, "-c", "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"],
        capture_output=True,
    )
    assert (found[0] == "ok") is (tried.returncode == 0)


def test_realtime_priority_that_is_refused() -> None:
    without = ("setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice")
    if os.geteuid() == 0 and subprocess.run([*without, "true"], capture_output=True).returncode:
        pytest.skip("unshare and setpriv do not work here")
    status, _, fix = _only(
        "realtime", before=without if os.geteuid() == 0 else (), limits=_limit(resource.RLIMIT_RTPRIO, 0)
    )
    assert status == "warning"
    assert ("--cap-add SYS_NICE" if os.geteuid() == 0 else "--realtime") in fix


def test_the_command_on_a_broken_machine(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {**os.environ, "SERVEMARK_CACHE": str(tmp_path / "file")}
    for words in ((), ("--json",)):
        done = subprocess.run(
            [sys.executable, "-m", "servemark", "doctor", *words],
            env=environment,
            preexec_fn=_limit(resource.RLIMIT_NOFILE, 256),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 4
        assert done.stderr == ""
    document = json.loads(done.stdout)
    broken = {check["name"] for check in document["checks"] if check["status"] == "failure"}
    assert broken == {"cache"}
    assert not document["main_job_can_run"]
