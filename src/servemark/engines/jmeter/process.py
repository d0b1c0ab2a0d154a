"""JMeter's process: started headless with settings that are its own, asked to stop, and never left running."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from servemark.engines.jmeter.elements import property_text
from servemark.engines.jmeter.plan import PLAN, WrittenPlan
from servemark.engines.jmeter.progress import Counts, SampleCounter
from servemark.environments.jmeter import JMeterHome
from servemark.environments.variables import inherited, locale_for
from servemark.units import ns_from_s

RESULTS = "results.jtl"
LOG = "jmeter.log"
OUTPUT = "jmeter.out"
#: Java keeps the preferences of GUI programs; these are thrown away.
_PREFERENCES = "preferences"

#: Memory of JMeter's objects: its own, and for each user a request, a response and what it says of them.
_HEAP_MIB, _HEAP_MIB_PER_USER, _MOST_HEAP_MIB = 512, 1, 4096
#: What JMeter saves of each sample, and how it sends, whatever the properties of its installation say.
_PROPERTIES = {
    "jmeter.save.saveservice.output_format": "csv",
    "jmeter.save.saveservice.default_delimiter": ",",
    "jmeter.save.saveservice.timestamp_format": "ms",
    "jmeter.save.saveservice.print_field_names": "true",
    **{
        f"jmeter.save.saveservice.{column}": "true"
        for column in ("time", "timestamp", "label", "response_code", "response_message", "thread_name", "data_type")
    },
    **{
        f"jmeter.save.saveservice.{column}": "true"
        for column in ("successful", "bytes", "sent_bytes", "thread_counts", "url", "latency", "idle_time")
    },
    "jmeter.save.saveservice.connect_time": "true",
    "jmeter.save.saveservice.assertion_results_failure_message": "true",
    "jmeter.save.saveservice.hostname": "false",
    "jmeter.save.saveservice.encoding": "false",
    "jmeter.save.saveservice.sample_count": "false",
    # Each sample is on disk at once: the results of a killed run are there, and progress can be seen.
    "jmeter.save.saveservice.autoflush": "true",
    "sampleresult.timestamp.start": "true",
    "sampleresult.useNanoTime": "true",
    # Nothing is sent twice, and a connection is kept as long as the server keeps it.
    "httpclient4.retrycount": "0",
    "httpclient4.time_to_live": "0",
    "httpclient.reset_state_on_thread_group_iteration": "false",
    "https.use.cached.ssl.context": "true",
    "timer.factor": "1.0",
    "summariser.interval": "3600",
    # It waits for threads that never come, after the run.
    "jmeter.exit.check.pause": "0",
    "language": "en",
}
#: Has the kernel kill JMeter when servemark is killed, then becomes JMeter (Linux; elsewhere only the latter).
_TIED = (
    "import ctypes, os, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, 9)\n"
    "if os.getppid() != int(sys.argv[1]): sys.exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


class Running:
    """JMeter's process, while the block lasts; afterwards it is gone, and `cpu_s` is known."""

    def __init__(self, plan: WrittenPlan, folder: Path, home: JMeterHome, warmup_ns: int) -> None:
        self.cpu_s = 0.0
        self.samples = SampleCounter(folder / RESULTS, warmup_ns, plan.groups)
        self._plan = plan
        self._folder = folder.absolute()
        self._home = home
        self._cpu_before_s = 0.0
        self._started_s = time.monotonic()
        self._control_port = _free_udp_port()

    def __enter__(self) -> Running:
        with (self._folder / OUTPUT).open("wb") as output, _readable(self._plan.secrets) as secrets:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _TIED, str(os.getpid()), *self._command(secrets)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
                pass_fds=secrets,
                env={**inherited(), **locale_for(self._folder)},
            )
        return self

    def __exit__(self, *_: object) -> None:
        while True:
            try:
                self._kill()
                shutil.rmtree(self._folder / _PREFERENCES, ignore_errors=True)
                return
            except KeyboardInterrupt:
                continue  # Nothing is left running first.

    def _command(self, secrets: tuple[int, ...]) -> list[str]:
        variables = self._plan.variables
        properties = {
            **_PROPERTIES,
            **({"sample_variables": ",".join(variables)} if variables else {}),
            "jmeterengine.nongui.port": str(self._control_port),
            "jmeterengine.nongui.maxport": str(self._control_port),
        }
        heap_mib = min(
            _MOST_HEAP_MIB, _HEAP_MIB + _HEAP_MIB_PER_USER * sum(group.closed.users for group in self._plan.groups)
        )
        return [
            str(self._home.java),
            f"-Xmx{heap_mib}m",
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=100",
            "-Djava.awt.headless=true",
            f"-Djava.util.prefs.userRoot={self._folder / _PREFERENCES}",
            "-jar",
            str(self._home.launcher),
            *("-n", "-t", PLAN, "-l", RESULTS, "-j", LOG),
            *(word for number in secrets for word in ("-q", f"/dev/fd/{number}")),
            *(f"-J{name}={value}" for name, value in properties.items()),
        ]

    def ended(self) -> bool:
        """Whether the process has ended by itself."""
        if self._process.returncode is None:
            self._reap(os.WNOHANG)
        return self._process.returncode is not None

    def counts(self) -> Counts:
        """Progress so far. Before the first sample, the time since JMeter was started."""
        began = self.samples.records > 0
        self.samples.look()
        if not began:
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(self._process.pid).cpu_times()
                self._cpu_before_s = times.user + times.system if not self.samples.records else self._cpu_before_s
        waited_ns = ns_from_s(time.monotonic() - self._started_s)
        return self.samples.counts(waited_ns)

    def ask(self, command: str) -> None:
        """Tell JMeter ``Shutdown`` (nothing new) or ``StopTestNow`` (abort), as its own scripts do."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control, contextlib.suppress(OSError):
            control.sendto(command.encode(), ("127.0.0.1", self._control_port))

    def _reap(self, options: int) -> None:
        pid, status, usage = os.wait4(self._process.pid, options)
        if pid:
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_s = max(0.0, usage.ru_utime + usage.ru_stime - self._cpu_before_s)

    def _kill(self) -> None:
        # While it is not reaped its number cannot have gone to another process.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._reap(0)


@contextlib.contextmanager
def _readable(properties: Mapping[str, str]) -> Iterator[tuple[int, ...]]:
    """A pipe from which JMeter can read `properties`: on no disk, and in no list of processes. Nothing without any."""
    if not properties:
        yield ()
        return
    reader, writer = os.pipe()
    try:
        with open(writer, "w", encoding="ascii") as out:  # noqa: PTH123
            out.writelines(f"{name}={property_text(value)}\n" for name, value in properties.items())
        yield (reader,)
    finally:
        os.close(reader)


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
