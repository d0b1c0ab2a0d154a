"""``benchmark.py`` in a checkout of its own, with a venv module, a pip, a compiler and a cargo that only pretend.

The fakes write down how they were called; nothing is built and nothing is downloaded.
"""

from __future__ import annotations

import ast
import json
import os
import re
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytestmark = pytest.mark.seconds

REPOSITORY = Path(__file__).parents[2]
PYTHON = Path(getattr(sys, "_base_executable", sys.executable)).resolve()

#: Runs in every fake Python: hides modules, and pretends to be another version.
SITE = """
import importlib.util, os, sys
real = importlib.util.find_spec
hidden = set(os.environ.get("HIDE_MODULES", "servemark").split())
importlib.util.find_spec = lambda name, package=None: None if name in hidden else real(name, package)
if os.environ.get("FAKE_FAULT"):
    os.walk = None
if os.environ.get("FAKE_VERSION"):
    sys.version_info = tuple(map(int, os.environ["FAKE_VERSION"].split(".")))
"""

#: ``python -m venv --clear DIR``
VENV = """
import pathlib, shutil, sys, os
folder = pathlib.Path(sys.argv[-1])
shutil.rmtree(folder, ignore_errors=True)
(folder / "bin").mkdir(parents=True)
fake = pathlib.Path(__file__).parent.parent / "pip.py"
(folder / "bin" / "python").write_text(f"#!{sys.executable}\\n" + fake.read_text())
(folder / "bin" / "python").chmod(0o755)
with open(os.environ["CALLS"], "a") as calls:
    calls.write("venv\\n")
"""

#: ``.venv/bin/python -m pip install ...``, ``-m servemark.environments.chart_library``, and
#: ``.venv/bin/python -I -c ... SOURCES WORDS``, which builds ahead.
PIP = """
import json, os, pathlib, shutil, sys, time
if sys.argv[1] == "-I":
    with open(os.environ["CALLS"] + "-ahead", "a") as calls:
        calls.write(json.dumps({"pid": os.getpid(), "sources": sys.argv[4], "words": sys.argv[5:]}) + "\\n")
    print(os.environ.get("AHEAD_SAYS", "building the server"), flush=True)
    while os.environ.get("HOLD_AHEAD") and os.path.exists(os.environ["HOLD_AHEAD"]):
        time.sleep(0.02)
    sys.exit(int(os.environ.get("AHEAD_STATUS", "0")))
if sys.argv[1:] == ["-m", "servemark.environments.chart_library"]:
    with open(os.environ["CALLS"] + "-charts", "a") as calls:
        calls.write(pathlib.Path(os.environ["CALLS"]).read_text().splitlines()[-1][:3] + "\\n")
    sys.exit(1)
with open(os.environ["CALLS"], "a") as calls:
    seen = {name: shutil.which(name) is not None for name in ("cargo", "rustc", "cc")}
    facts = {"pid": os.getpid(), "argv": sys.argv[1:], "environ": dict(os.environ), **seen}
    calls.write("pip " + json.dumps(facts) + "\\n")
while os.environ.get("HOLD") and os.path.exists(os.environ["HOLD"]):
    time.sleep(0.02)
if os.environ.get("FAKE_PIP"):
    print(os.environ["FAKE_PIP"])
    sys.exit(1)
program = pathlib.Path(sys.argv[0]).with_name("servemark")
called = "open(os.environ['CALLS'] + '-as', 'w').write(os.environ['SERVEMARK_CALLED_AS'])"
program.write_text(
    f"#!{sys.executable}\\nimport json, os, sys\\nprint('servemark', json.dumps(sys.argv[1:]))\\n{called}\\n"
)
program.chmod(0o755)
"""


@dataclass
class Checkout:
    """A checkout, and a PATH on which there is nothing but what a test puts there."""

    root: Path
    fakes: Path
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, python: Path = PYTHON) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._command(words, python), **self._options(), capture_output=True, text=True)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command(words, PYTHON), **self._options(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def program(self, name: str, says: str = "", status: int = 0) -> None:
        """Put a program on PATH."""
        path = self.fakes / "bin" / name
        path.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
        path.chmod(0o755)

    def calls(self) -> list[str]:
        """What the fakes were called for: "venv", and for each pip a dict."""
        path = self.fakes / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def pip(self) -> dict[str, object]:
        """How pip was called, the last time."""
        return json.loads([line for line in self.calls() if line.startswith("pip ")][-1].removeprefix("pip "))

    def ahead(self) -> list[dict]:
        """How what builds ahead was called, each time."""
        path = self.fakes / "calls-ahead"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def hold(self, what: str = "HOLD") -> Path:
        """A file that keeps pip (HOLD) or what builds ahead (HOLD_AHEAD) from ending as long as it is there."""
        path = self.fakes / what
        path.touch()
        self.environ[what] = str(path)
        return path

    def wait_for_ahead(self) -> int:
        """The process that builds ahead, once it is there."""
        deadline = time.monotonic() + 20
        while not self.ahead():
            assert time.monotonic() < deadline, "nothing was built ahead"
            time.sleep(0.02)
        return self.ahead()[-1]["pid"]

    def wait_for_pip(self, count: int = 1) -> None:
        deadline = time.monotonic() + 20
        while sum(line.startswith("pip ") for line in self.calls()) < count:
            assert time.monotonic() < deadline, "pip was never run"
            time.sleep(0.02)

    def made(self) -> set[str]:
        """What the script has left in the checkout."""
        return {path.name for path in self.root.iterdir() if path.name.startswith(".venv")}

    def _command(self, words: tuple[str, ...], python: Path) -> list[str]:
        return [str(python), self.script, *words]

    @property
    def script(self) -> str:
        """What is called."""
        return str(self.root / "benchmark.py")

    def _options(self) -> dict:
        environ = {
            "PATH": str(self.fakes / "bin"),
            "PYTHONPATH": str(self.fakes),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CALLS": str(self.fakes / "calls"),
            **self.environ,
        }
        return {"cwd": self.fakes, "env": environ, "stdin": subprocess.DEVNULL}


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """The files of the repository that the script uses."""
    root = tmp_path_factory.mktemp("sources")
    for name in ("benchmark.py", "pyproject.toml", "constraints.txt", "Cargo.toml", "Cargo.lock"):
        shutil.copy(REPOSITORY / name, root / name)
    left_out = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(REPOSITORY / "src", root / "src", ignore=left_out)
    # Compiled once, as in a clone that was used before: else each test compiles what it imports of them.
    needed = "ahead, completion, doctor, manual, models, options, report, run, serve, serve_options"
    compiling = f"import sys; sys.path.insert(0, {str(root / 'src')!r}); from servemark.cli import {needed}"
    compiling += "; import servemark.telling, servemark.doctor, servemark.unexpected"
    subprocess.run([PYTHON, "-I", "-S", "-c", compiling], check=True)
    (root / "crates" / "one").mkdir(parents=True)
    (root / "crates" / "one" / "lib.rs").write_text("// Rust")
    return root


@pytest.fixture
def checkout(sources, tmp_path) -> Iterator[Checkout]:
    """A fresh clone on a machine with a C compiler and a recent Rust."""
    # Linked and not copied: a thousand files for each test would keep the disk busy for longer than all else. What a
    # test changes it writes anew.
    shutil.copytree(sources, tmp_path / "clone", copy_function=os.link)
    fakes = tmp_path / "fakes"
    (fakes / "bin").mkdir(parents=True)
    (fakes / "venv").mkdir()
    (fakes / "venv" / "__init__.py").write_text("")
    (fakes / "venv" / "__main__.py").write_text(VENV)
    (fakes / "pip.py").write_text(PIP)
    (fakes / "sitecustomize.py").write_text(SITE)
    made = Checkout(tmp_path / "clone", fakes)
    made.program("cc")
    made.program("cargo", "cargo 1.99.0 (abc 2026-01-01)")
    yield made
    for held in ("HOLD", "HOLD_AHEAD"):
        (fakes / held).unlink(missing_ok=True)  # whatever a failed test left waiting ends


def is_alive(pid: int) -> bool:
    """Whether there is still a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def error_line(answer) -> str:
    lines = [line for line in answer.stderr.splitlines() if line.startswith("servemark: error: ")]
    assert len(lines) == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("words", "becomes"),
    [
        (["latency", "-m", "noop"], ["run", "latency", "-m", "noop"]),
        (["-t", "50", "latency"], ["run", "-t", "50", "latency"]),
        (["run", "latency"], ["run", "latency"]),
        (["serve", "--tls", "--port", "8443"], ["serve", "--tls", "--port", "8443"]),
    ],
)
def test_it_sets_up_once_and_becomes_servemark(checkout, words, becomes):
    first = checkout.run(*words)
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"servemark {json.dumps(becomes)}\n"
    assert "setting up in .venv" in first.stderr
    second = checkout.run(*words)
    assert second.stdout == first.stdout
    assert second.stderr == ""
    assert [line.split()[0] for line in checkout.calls()] == ["venv", "pip"]


@pytest.mark.parametrize(
    ("script", "called"), [("./benchmark.py", "./benchmark.py"), ("benchmark.py", f"{PYTHON} benchmark.py")]
)
def test_what_it_becomes_is_told_how_it_was_called(checkout, script, called):
    subprocess.run([str(PYTHON), script, "latency"], **{**checkout._options(), "cwd": checkout.root}, check=True)
    assert (checkout.fakes / "calls-as").read_text() == called
    checkout.run("latency")
    assert (checkout.fakes / "calls-as").read_text() == checkout.script


def test_what_draws_charts_is_made_once_after_pip_and_nothing_rests_on_it(checkout):
    first = checkout.run("latency")
    assert first.returncode == 0, first.stderr  # although this one fails
    checkout.run("latency")
    assert (checkout.fakes / "calls-charts").read_text() == "pip\n"


def test_pip_installs_the_checkout_with_the_pinned_versions(checkout):
    checkout.run("latency")
    argv = checkout.pip()["argv"]
    assert argv[:3] == ["-m", "pip", "install"]
    assert argv[argv.index("--constraint") + 1] == str(checkout.root / "constraints.txt")
    assert argv[-1] == str(checkout.root)


def test_extras_are_installed_when_asked_for(checkout):
    checkout.run("--set-up-only")
    checkout.environ["SERVEMARK_EXTRAS"] = "dev"
    answer = checkout.run("--set-up-only")
    assert (answer.returncode, answer.stdout) == (0, "")
    assert checkout.pip()["argv"][-1] == f"{checkout.root}[dev]"


def test_a_source_that_changed_is_installed_again_in_the_same_environment(checkout):
    checkout.run("--set-up-only")
    sources = ("src/servemark/units.py", "crates/one/lib.rs", "Cargo.lock", "pyproject.toml")
    for count, changed in enumerate(sources, 2):
        text = (checkout.root / changed).read_text(encoding="utf-8")
        (checkout.root / changed).unlink()
        (checkout.root / changed).write_text(f"{text}\n# changed\n", encoding="utf-8")
        answer = checkout.run("--set-up-only")
        assert "again: the sources have changed" in answer.stderr, changed
        assert [line.split()[0] for line in checkout.calls()] == ["venv", *["pip"] * count], changed


def test_what_is_no_source_changes_nothing(checkout):
    checkout.run("latency")
    (checkout.root / "README.md").write_text("new words")
    (checkout.root / "src" / "servemark" / "_loadgen.abi3.so").write_text("built")
    (checkout.root / "src" / "servemark" / "__pycache__").mkdir(exist_ok=True)
    (checkout.root / "src" / "servemark" / "__pycache__" / "units.pyc").write_text("compiled")
    assert checkout.run("latency").stderr == ""
    assert len(checkout.calls()) == 2


def _children_cpu_s() -> float:
    """What those that have ended took: a busy machine lets them wait, and adds nothing."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["-h"], 0, "usage: ./benchmark.py"),
        (["run", "-h"], 0, "usage: ./benchmark.py"),
        (["doctor", "-h"], 0, "usage: ./benchmark.py doctor"),
        (["models", "-h"], 0, "usage: ./benchmark.py models"),
        (["--version"], 0, "servemark "),
        (["man"], 0, ".TH SERVEMARK 1"),
        (["--show-completion", "bash"], 0, "complete -F _servemark servemark"),
        (["--install-completion=csh"], 2, "no completion for the shell 'csh'"),
        (["serve", "-h"], 0, "usage: ./benchmark.py serve"),
        (["serve", "--port", "none"], 2, "'none' is not a whole number"),
        (["latency", "--source", "/"], 2, "/ is not a checkout of Multi Model Server"),
        ([], 2, "which benchmark?"),
        (["latncy"], 2, "did you mean latency?"),
        (["latency", "-t", "-1"], 2, "-1 is less than 1"),
        (["latency", "-i", "no-such-file"], 2, "cannot read no-such-file"),
        (["latency", "--nonsense"], 2, "unrecognized arguments: --nonsense"),
    ],
)
def test_help_and_usage_errors_are_answered_at_once_with_nothing_built(checkout, words, status, said):
    before_s = _children_cpu_s()
    answer = checkout.run(*words)
    assert _children_cpu_s() - before_s < 1
    assert answer.returncode == status
    said = said.replace("./benchmark.py", checkout.script)  # as it was called
    assert said in (answer.stdout if status == 0 else error_line(answer))
    assert checkout.made() == set()
    assert checkout.calls() == []


def test_a_suite_is_read_after_the_set_up_where_python_reads_no_toml(checkout):
    checkout.environ["FAKE_VERSION"] = "3.10.0"
    assert checkout.run("--all").returncode == 0
    assert checkout.calls() != []


@pytest.mark.parametrize(
    ("hidden", "compiler", "named", "packages"),
    [
        ("ensurepip", True, "Python's venv module missing", "python3-venv"),
        ("", False, "a C compiler missing", "gcc libc6-dev"),
        ("ensurepip", False, "Python's venv module and a C compiler missing", "python3-venv gcc libc6-dev"),
    ],
)
def test_everything_that_is_missing_is_said_at_once_as_a_line_to_paste(checkout, hidden, compiler, named, packages):
    checkout.environ["HIDE_MODULES"] = f"servemark {hidden}"
    checkout.program("apt-get")
    if not compiler:
        (checkout.fakes / "bin" / "cc").unlink()
    answer = checkout.run("latency")
    assert answer.returncode == 4
    sudo = "" if os.geteuid() == 0 else "sudo "
    assert error_line(answer).endswith(f"{named}; run: {sudo}apt-get update && {sudo}apt-get install -y {packages}")
    assert checkout.calls() == []


@pytest.mark.parametrize(("program", "line"), [("dnf", "dnf install -y"), (None, "with your system's package manager")])
def test_other_systems_are_told_in_their_own_words(checkout, program, line):
    (checkout.fakes / "bin" / "cc").unlink()
    if program:
        checkout.program(program)
    assert line in error_line(checkout.run("latency"))


def test_a_python_that_is_too_old_is_told_so(checkout):
    checkout.environ["FAKE_VERSION"] = "3.8.10"
    answer = checkout.run("latency")
    assert answer.returncode == 4
    assert "Python 3.10 or newer is needed, this is 3.8" in error_line(answer)
    assert checkout.made() == set()


def test_a_python_that_is_too_old_can_read_the_script():
    ast.parse((REPOSITORY / "benchmark.py").read_text(), feature_version=(3, 7))


def test_a_recent_cargo_is_used(checkout):
    checkout.run("latency")
    assert checkout.pip()["cargo"] is True


@pytest.mark.parametrize(("says", "status"), [("cargo 1.60.0 (abc 2022-04-01)", 0), ("no default toolchain", 1)])
def test_a_cargo_that_is_too_old_or_broken_is_hidden_so_that_one_is_fetched(checkout, says, status):
    checkout.program("cargo", says, status)
    checkout.program("rustc", "rustc 1.60.0")
    answer = checkout.run("latency")
    assert answer.returncode == 0, answer.stderr
    seen = checkout.pip()
    assert (seen["cargo"], seen["rustc"], seen["cc"]) == (False, False, True)
    assert (checkout.fakes / "bin" / "cargo").exists()


def test_without_any_cargo_pip_may_fetch_one(checkout):
    (checkout.fakes / "bin" / "cargo").unlink()
    assert checkout.run("latency").returncode == 0
    assert checkout.pip()["cargo"] is False


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (
            "NewConnectionError: Failed to establish a new connection",
            "packages could not be downloaded; check the network",
        ),
        ("Temporary failure in name resolution", "packages could not be downloaded; check the network"),
        ("puccinialin: could not download rustup-init", "no Rust 1.85 or newer is installed and none could be fetched"),
        (
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
            "a certificate on the way is not trusted (CERTIFICATE_VERIFY_FAILED), as behind a company's proxy; give",
        ),
        ("puccinialin: [SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT=FILE SSL_CERT_FILE=FILE CARGO_HTTP_CAINFO=FILE"),
        ("error: something else entirely", "see "),
    ],
)
def test_an_installation_that_fails_says_why(checkout, output, why):
    checkout.environ["FAKE_PIP"] = output
    answer = checkout.run("--set-up-only")
    assert answer.returncode == 4
    assert "building servemark and installing what it needs failed: " in error_line(answer)
    assert why in error_line(answer)
    assert answer.stderr.splitlines()[-2] == output
    assert output in (checkout.root / ".venv.log").read_text()


def test_an_installation_that_failed_is_tried_again(checkout):
    checkout.environ["FAKE_PIP"] = "error: something else entirely"
    assert checkout.run("latency").returncode == 4
    del checkout.environ["FAKE_PIP"]
    again = checkout.run("latency")
    assert again.returncode == 0
    assert [line.split()[0] for line in checkout.calls()] == ["venv", "pip", "venv", "pip"]


def test_a_python_that_is_gone_is_made_again_and_said_so(checkout):
    assert checkout.run("latency").returncode == 0
    python = checkout.root / ".venv" / "bin" / "python"
    for broken in (python.unlink, lambda: (python.unlink(), python.symlink_to("/nowhere/python3"))):
        broken()
        again = checkout.run("latency")
        assert again.returncode == 0
        assert "setting up in .venv again: its Python is gone" in again.stderr
        assert "disk" not in again.stderr
        assert os.access(python, os.X_OK)
    assert checkout.run("latency").stderr == ""


def test_a_program_that_is_gone_is_named_with_what_to_do(checkout):
    assert checkout.run("latency").returncode == 0
    (checkout.root / ".venv" / "bin" / "servemark").unlink()
    answer = checkout.run("latency")
    assert answer.returncode == 4
    assert "servemark: No such file or directory; remove the folder .venv, and run again" in error_line(answer)


def test_the_installer_goes_by_the_users_index_and_by_none_of_the_users_places(checkout):
    steering = {"PIP_TARGET": "/there", "PIP_PYTHON": "/there", "OMP_NUM_THREADS": "3"}
    needed = {"PIP_INDEX_URL": "index", "HTTPS_PROXY": "proxy", "SSL_CERT_FILE": "file", "CARGO_HOME": "cargo"}
    checkout.environ |= {**steering, **needed}
    assert checkout.run("latency").returncode == 0
    environ = checkout.pip()["environ"]
    assert {name: environ[name] for name in needed} == needed
    assert not {*steering, "PYTHONPATH"} & set(environ)


def test_a_second_start_waits_for_the_first_and_builds_nothing_itself(checkout):
    held = checkout.hold()
    first = checkout.start("latency")
    checkout.wait_for_pip()
    second = checkout.start("ping")
    assert second.stderr.readline() == "servemark: waiting for another servemark that is setting up\n"
    held.unlink()
    assert first.communicate(timeout=20)[0] == 'servemark ["run", "latency"]\n'
    assert second.communicate(timeout=20)[0] == 'servemark ["run", "ping"]\n'
    assert [line.split()[0] for line in checkout.calls()] == ["venv", "pip"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_interrupting_the_set_up_stops_the_installer_and_what_is_built_ahead(checkout, number):
    held, held_ahead = checkout.hold(), checkout.hold("HOLD_AHEAD")
    started = checkout.start("latency")
    checkout.wait_for_pip()
    built_ahead = checkout.wait_for_ahead()
    started.send_signal(number)
    _, stderr = started.communicate(timeout=20)
    assert started.returncode == 130
    assert stderr.splitlines()[-1] == "servemark: interrupted while setting up; the next start begins again"
    assert not is_alive(built_ahead)
    assert not is_alive(checkout.pip()["pid"])
    if number != signal.SIGINT:
        return
    held_ahead.unlink()
    # Were the installer alive, it would hold the lock on, and this would wait for ever.
    del checkout.environ["HOLD"]
    again = checkout.run("latency")
    assert again.returncode == 0
    assert "waiting for another" not in again.stderr
    held.unlink()


@pytest.mark.parametrize(
    "words",
    [["latency"], ["run", "ping"], ["serve"]],
    ids=" ".join,
)
def test_what_a_server_of_ours_needs_is_built_ahead_by_the_python_that_the_run_will_have(checkout, words):
    assert checkout.run(*words).returncode == 0
    (called,) = checkout.ahead()
    assert called["sources"] == str(checkout.root / "src")
    assert called["words"] == (words if words[0] in ("run", "serve") else ["run", *words])


@pytest.mark.parametrize(
    "words",
    [
        ["--set-up-only"],
        ["http", "--url", "http://127.0.0.1:8000/"],
        ["models"],
    ],
    ids=" ".join,
)
def test_what_needs_no_server_that_we_install_has_none_built(checkout, words):
    assert checkout.run(*words).returncode == 0
    assert checkout.calls() != []
    assert checkout.ahead() == []


def test_the_server_is_built_while_pip_runs_and_waited_for_and_each_part_says_how_long_it_took(checkout):
    held, held_ahead = checkout.hold(), checkout.hold("HOLD_AHEAD")
    started = checkout.start("latency")
    checkout.wait_for_pip()
    checkout.wait_for_ahead()
    held.unlink()
    said = []
    while not said or not said[-1].startswith("servemark: waiting for the server's environment"):
        said.append(started.stderr.readline())
        assert said[-1], "it ended"
    assert started.poll() is None
    held_ahead.unlink()
    stdout, last = started.communicate(timeout=20)
    assert stdout == 'servemark ["run", "latency"]\n'
    lines = "".join(said).splitlines()
    assert "servemark: building the server" in lines
    for part in ("making the environment", "building servemark and installing what it needs"):
        assert any(re.fullmatch(rf"servemark: {part}: done in \d+ s", line) for line in lines), lines
    assert re.fullmatch(r"servemark: set up in \d+ s\n", last)


def test_a_server_that_could_not_be_built_ahead_is_left_to_the_run(checkout):
    checkout.environ |= {"AHEAD_STATUS": "4", "AHEAD_SAYS": "no network"}
    answer = checkout.run("latency")
    assert (answer.returncode, answer.stdout) == (0, 'servemark ["run", "latency"]\n')
    told = [
        "servemark: no network",
        "servemark: the server's environment could not be built ahead; the run tries again",
    ]
    lines = answer.stderr.splitlines()
    assert lines[lines.index(told[0]) :][:2] == told
    assert checkout.run("latency").stderr == ""


@pytest.mark.parametrize("ends", [True, False], ids=["ended", "runs"])
def test_where_servemark_cannot_be_built_that_is_the_error_and_nothing_goes_on(checkout, ends):
    checkout.environ |= {"FAKE_PIP": "error: something else entirely", "AHEAD_STATUS": "4"}
    if not ends:
        checkout.hold("HOLD_AHEAD")
    held = checkout.hold()
    started = checkout.start("latency")
    built_ahead = checkout.wait_for_ahead()
    held.unlink()
    _, stderr = started.communicate(timeout=20)
    assert started.returncode == 4
    assert stderr.splitlines()[-2] == "error: something else entirely"
    assert "ahead" not in stderr
    assert not is_alive(built_ahead)


def test_signals_that_are_ignored_from_the_start_do_not_stop_the_set_up(checkout):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

    def ignore():
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    held = checkout.hold()
    command, options = checkout._command(("latency",), PYTHON), checkout._options()
    started = subprocess.Popen(command, **options, stdout=subprocess.PIPE, text=True, preexec_fn=ignore)
    checkout.wait_for_pip()
    for number in numbers:
        started.send_signal(number)
    held.unlink()
    assert started.communicate(timeout=20)[0] == 'servemark ["run", "latency"]\n'
    assert started.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("stream", ["full", "closed", "left"])
def test_no_stream_of_people_stops_the_set_up(checkout, stream):
    reader, left = os.pipe()
    os.close(reader)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = subprocess.run(
            checkout._command(("latency",), PYTHON),
            **checkout._options(),
            stdout=subprocess.PIPE,
            stderr={"full": full, "closed": None, "left": left}[stream],
            preexec_fn=(lambda: os.close(2)) if stream == "closed" else None,
            text=True,
            timeout=60,
        )
    finally:
        os.close(left)
        os.close(full)
    assert done.stdout == 'servemark ["run", "latency"]\n'
    assert done.returncode == 0


def test_a_fault_of_the_script_itself_is_one_line_and_a_file(checkout, tmp_path):
    checkout.environ |= {"FAKE_FAULT": "1", "TMPDIR": str(tmp_path)}
    answer = checkout.run("latency")
    assert answer.returncode == 70
    assert "unexpected TypeError: 'NoneType' object is not callable; this is a fault of servemark" in error_line(answer)
    (path,) = tmp_path.glob("servemark-traceback-*.txt")
    assert error_line(answer).endswith(str(path))
    assert "sources_digest" in path.read_text()


def test_a_set_up_that_was_killed_is_made_again_once_its_installer_has_ended(checkout):
    held = checkout.hold()
    killed = checkout.start("latency")
    checkout.wait_for_pip()
    killed.kill()
    killed.communicate(timeout=20)
    second = checkout.start("latency")
    assert "waiting for another servemark" in second.stderr.readline()
    held.unlink()
    stdout, _ = second.communicate(timeout=20)
    assert stdout == 'servemark ["run", "latency"]\n'
    assert [line.split()[0] for line in checkout.calls()] == ["venv", "pip", "venv", "pip"]


def test_a_checkout_that_cannot_be_written_is_said_so(checkout):
    if os.geteuid() == 0:  # root may write everywhere
        (checkout.root / ".venv.lock").mkdir()
    else:
        checkout.root.chmod(0o500)
    try:
        answer = checkout.run("latency")
    finally:
        checkout.root.chmod(0o700)
    assert answer.returncode == 4
    assert f"cannot write in {checkout.root}: " in error_line(answer)
    assert "clone into a folder of your own" in error_line(answer)


def test_where_servemark_is_installed_that_one_is_used(tmp_path):
    shutil.copy(REPOSITORY / "benchmark.py", tmp_path / "benchmark.py")
    answer = subprocess.run(
        [sys.executable, tmp_path / "benchmark.py", "-h"], cwd=tmp_path, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert f"usage: {tmp_path / 'benchmark.py'} [BENCHMARK]" in answer.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["benchmark.py"]


def test_the_doctor_answers_where_nothing_could_be_set_up(checkout):
    checkout.environ["HIDE_MODULES"] = "servemark servemark._loadgen ensurepip"
    (checkout.fakes / "bin" / "cc").unlink()
    answer = checkout.run("doctor")
    assert (answer.returncode, answer.stderr) == (4, "")
    lines = answer.stdout.splitlines()
    assert any(line.startswith("FAILURE  Python ") for line in lines)
    assert any(line.startswith("FAILURE  C compiler ") for line in lines)
    assert lines[-1].startswith(f"{checkout.script} latency cannot run; ")
    assert checkout.calls() == []
    assert checkout.made() == set()
    failed = checkout.run("latency")
    assert failed.returncode == 4
    assert failed.stderr.splitlines()[-1] == f"servemark: {checkout.script} doctor checks what else this machine lacks"


def test_the_version_is_that_of_the_sources(checkout):
    (version,) = re.findall(r'^version = "(.+)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)
    assert checkout.run("--version").stdout == f"servemark {version}\n"
    assert checkout.calls() == []


def test_asked_to_set_up_only_it_does_so_even_where_servemark_is_installed(checkout):
    checkout.environ["HIDE_MODULES"] = "nothing"
    site = checkout.fakes
    for name in ("__init__.py", "_loadgen.py"):
        (site / "servemark").mkdir(exist_ok=True)
        (site / "servemark" / name).touch()
    done = checkout.run("--set-up-only")
    assert done.returncode == 0, done.stderr
    assert checkout.calls()[0] == "venv"


def test_it_needs_nothing_but_the_standard_library():
    tree = ast.parse((REPOSITORY / "benchmark.py").read_text())
    top = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert top <= sys.stdlib_module_names


def test_a_folder_of_the_path_that_may_not_be_looked_into_stays_as_it_is(tmp_path, monkeypatch):
    without_rust = runpy.run_path(str(REPOSITORY / "benchmark.py"))["without_rust"]
    folder, shadow = tmp_path / "bin", tmp_path / "shadow"
    folder.mkdir()
    for name in ("cargo", "cc"):
        (folder / name).touch()
    assert without_rust(folder, shadow) == str(shadow)
    assert [path.name for path in shadow.iterdir()] == ["cc"]
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may look everywhere
    assert without_rust(folder, tmp_path / "another") == str(folder)
