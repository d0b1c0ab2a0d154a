"""The command as a user runs it, against real Multi Model Servers, with an account of everything it leaves behind.

Environments and models come from the user's cache (made on first use); instances live in a cache of the session's own,
so that what other servemarks do on this machine disturbs no test, and no test disturbs them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import jsonschema
import psutil
import pytest

import servemark
from servemark import _loadgen
from servemark.result import schema_text

from ..caches import fresh_cache
from ..processes import command_line
from ..validity import status_but_for_the_machine

#: Carried by everything that a test starts, and by everything which that starts.
MARK = "SERVEMARK_TEST_MARK"
RECORD_HEADER_BYTES = 4096
#: Of what has ended long before where it does not hang, however busy the machine is.
LIMIT_S = 600.0
_VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema_text()))


@dataclass(frozen=True)
class Run:
    """How one command ended. `folder` and `result` are None when it made none."""

    status: int
    stdout: str
    stderr: str
    folder: Path | None
    result: dict | None

    @property
    def benchmark(self) -> dict:
        assert self.result is not None
        assert len(self.result["benchmarks"]) == 1, self.stderr
        return self.result["benchmarks"][0]

    @property
    def step(self) -> dict:
        assert len(self.benchmark["steps"]) == 1
        return self.benchmark["steps"][0]

    @property
    def answering(self) -> dict[int, dict]:
        """The runs that answer for their points, by their place among all: one that was INVALID is measured again."""
        last = {json.dumps(one["point"]): place for place, one in enumerate(self.benchmark["runs"])}
        return {place: self.benchmark["runs"][place] for place in last.values()}

    @property
    def records(self) -> Path:
        return self.folder / self.benchmark["runs"][0]["records"]

    @property
    def error_line(self) -> str:
        """The one line that says what went wrong; there must be exactly one."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("servemark: error: ")]
        assert len(lines) == 1, self.stderr
        return lines[0]


@dataclass
class Command:
    """The ``servemark`` command in a folder of its own."""

    cwd: Path
    cache: Path
    environ: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def run(self, line: str, **popen: object) -> Run:
        """``servemark run LINE`` to its end, everything it left behind checked."""
        with self.started(line, **popen) as started:
            return started.end()

    def main(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *words], cwd=self.cwd, env=self._environ(), capture_output=True, text=True, timeout=LIMIT_S
        )

    @contextmanager
    def started(self, line: str, subcommand: str = "run", **popen: object) -> Iterator[Started]:
        """``servemark run LINE`` under way; killed with all that it started if a test leaves it so."""
        number = len(list(self.cwd.glob("stderr-*")))
        out, err = self.cwd / f"stdout-{number}", self.cwd / f"stderr-{number}"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [*PROGRAM, subcommand, *line.split()],
                cwd=self.cwd,
                env=self._environ(),
                stdin=subprocess.DEVNULL,
                **{"stdout": stdout, "stderr": stderr, "start_new_session": True, **popen},
            )
        try:
            yield Started(self, process, out, err, line)
        finally:
            for left in [process, *self.processes()]:
                with suppress(psutil.Error, ProcessLookupError):
                    left.kill()
            process.wait()

    def processes(self) -> list[psutil.Process]:
        """Everything alive that a command of this test started, directly or not."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def instances(self) -> list[str]:
        """What there is of servers' directories."""
        folder = self.cache / "instances"
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def assert_nothing_left(self) -> None:
        assert [(process.pid, command_line(process)) for process in self.processes()] == []
        assert self.instances() == []
        half_written = [path for path in self.cwd.rglob("*") if path.name.endswith((".partial", ".new"))]
        assert half_written == []

    def _environ(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}}
        return {**kept, "SERVEMARK_CACHE": str(self.cache), MARK: self.mark, **self.environ}


@dataclass
class Started:
    """A command under way."""

    command: Command
    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    line: str

    def wait_for(self, what: str, condition: Callable[[], object], timeout_s: float = LIMIT_S) -> None:
        """Wait until `condition` holds; the command must not end before."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, f"ended before {what}:\n{self.stderr}"
            assert time.monotonic() < deadline, f"no {what} in {timeout_s} s:\n{self.stderr}"
            time.sleep(0.02)

    def wait_for_line(self, text: str) -> None:
        """Wait until it has said `text` on stderr."""
        self.wait_for(repr(text), lambda: text in self.stderr)

    def wait_until_measuring(self, records: int = 1) -> None:
        """Wait until the first records are on disk: so many of one generator."""
        least_bytes = RECORD_HEADER_BYTES + records * _loadgen.RECORD_ROW_BYTES

        def recording() -> bool:
            return any(path.stat().st_size >= least_bytes for path in self.command.cwd.rglob("records/*.bin"))

        self.wait_for("records", recording)

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def server_processes(self, part: str) -> list[psutil.Process]:
        """The processes of its server whose command line has `part` in it."""
        return [process for process in self.command.processes() if part in command_line(process)]

    @property
    def stderr(self) -> str:
        return self.err.read_text(errors="replace")

    def end(self, timeout_s: float = LIMIT_S) -> Run:
        """How it ended. Nothing of it may be left, and what it wrote must be valid."""
        status = self.process.wait(timeout=timeout_s)
        self.command.assert_nothing_left()
        folder = self._folder()
        result = None
        if folder is not None and (folder / "result.json").exists():
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            problems = [f"{error.json_path}: {error.message}" for error in _VALIDATOR.iter_errors(result)]
            assert problems == []
        own_frames = rf'^  File "{re.escape(str(Path(servemark.__file__).parent))}/'  # not those of a user's handler
        assert not re.search(own_frames, self.stderr, re.MULTILINE), self.stderr
        # A busy machine may keep the generator from running; that is no failure of these tests.
        status = status_but_for_the_machine(status, result)
        return Run(status, self.out.read_text(errors="replace"), self.stderr, folder, result)

    def _folder(self) -> Path | None:
        chosen = re.search(r"(?:^| )(?:-o|--output)[ =](\S+)", self.line)
        if chosen:
            return self.command.cwd / chosen[1]
        results = self.command.cwd / "servemark-results"
        made = sorted(results.glob("[0-9]*"), key=lambda path: path.stat().st_mtime_ns)
        return made[-1] if made else None


def _program() -> list[str]:
    beside = Path(sys.executable).with_name("servemark")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "servemark"]


PROGRAM = _program()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of most tests' commands."""
    return fresh_cache(tmp_path_factory.mktemp("cache"), short_java=True)


@pytest.fixture
def command(tmp_path: Path, cache: Path) -> Command:
    """The command in an empty folder."""
    return Command(tmp_path, cache)


@pytest.fixture(scope="module")
def module_command(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Callable[[], Command]:
    """Makes commands whose runs several tests of a module look at, each in an empty folder."""
    return lambda: Command(tmp_path_factory.mktemp("run"), cache)
