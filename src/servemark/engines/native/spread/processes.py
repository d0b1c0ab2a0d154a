"""Generators that are processes of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from servemark.engines import EngineRun
from servemark.engines.native.spread import Counts, GeneratorFacts, Order, RemoteGenerator
from servemark.engines.native.spread.channel import Channel
from servemark.errors import GeneratorLostError, SetupError
from servemark.interrupts import INTERRUPTS, heed

#: What the process executes: it imports what this one does, whatever lies in the current folder.
_SCRIPT = "import sys; sys.path[:] = sys.argv[2:]; from servemark.engines.native.spread.child import main; main()"
_STARTED_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.05
#: Once the channel is closed it ends by itself.
_ENDED_WITHIN_S = 2.0
_LONGEST_COMPLAINT = 2000


class Processes:
    """A placement whose generators are processes of this machine."""

    #: The end of the channel tells at once, and a driver that was stopped goes on with its generators.
    silence_s: float | None = None

    @contextmanager
    def muster(
        self,
        records: Sequence[Path],
        token: bytes,
        *,
        server_here: bool,  # noqa: ARG002 - it may be
    ) -> Iterator[Sequence[RemoteGenerator]]:
        """See ``Placement``."""
        with ExitStack() as running:
            started = [running.enter_context(GeneratorProcess(path, token)) for path in records]
            for one in started:  # afterwards all are let go of, and then each is awaited
                running.callback(one.let_go)
            for one in started:
                one.await_facts()
            yield started

    def close(self) -> None:
        """Nothing outlives a run."""


class GeneratorProcess:
    """A generator, and the process that it is; a context manager, after whose block the process is gone."""

    asked_every_s = 0.2
    #: Long for a word from here to there: on a machine that is busy, and its processes wait for a CPU.
    lead_s = 0.25
    facts: GeneratorFacts

    def __init__(self, records: Path, token: bytes) -> None:
        self.records = records
        self._token = token
        self._lock = threading.Lock()
        self._asked: dict[int, Future[Any]] = {}
        self._number = 0
        self._is_lost = False

    def __enter__(self) -> GeneratorProcess:
        self._complaint = tempfile.TemporaryFile()
        own, theirs = socket.socketpair()
        paths = [path for path in sys.path if path]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)  # it inherits that, until it ignores them
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _SCRIPT, str(theirs.fileno()), *paths],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaint,
                pass_fds=[theirs.fileno()],
            )
        except OSError as error:
            own.close()
            self._complaint.close()
            raise SetupError("a generator could not be started", cause=error.strerror or str(error)) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        self._channel = Channel(own)
        self._hearing = threading.Thread(target=self._hear, name="generator", daemon=True)
        self._hearing.start()
        with suppress(OSError):  # who hears will say that it is gone
            self._channel.send(self._token)
        self._facts = self._ask("facts")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.let_go()
        try:
            self._process.wait(_ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # it waits for a disk that does not answer
                self._process.wait(_ENDED_WITHIN_S)
        self._hearing.join()
        self._complaint.close()

    @property
    def pid(self) -> int:
        """The process by its number."""
        return self._process.pid

    def await_facts(self) -> None:
        """Wait until it has said what it is.

        Raises:
            SetupError: it did not come up.
            KeyboardInterrupt: Ctrl-C or its like came meanwhile.
        """
        until_s = time.monotonic() + _STARTED_WITHIN_S
        while wait([self._facts], timeout=_LOOK_EVERY_S).not_done:
            heed()
            if time.monotonic() > until_s:
                raise SetupError(f"a generator did not come up within {_STARTED_WITHIN_S:g} s")
        self.facts = self._facts.result()

    def let_go(self) -> None:
        """Close its channel, upon which it ends by itself."""
        self._channel.close()

    def arm(self, order: Order) -> Future[None]:
        """See ``RemoteGenerator``; so for the others."""
        return self._ask("arm", order)

    def begin_at(self, monotonic_ns: int) -> Future[None]:
        """Begin at that instant."""
        return self._ask("begin_at", monotonic_ns)

    def progress(self) -> Future[Counts]:
        """Its counts so far."""
        return self._ask("progress")

    def behind_ns(self) -> int:
        """Nothing: it writes to the file itself."""
        return 0

    def stop_at(self, elapsed_ns: int) -> Future[int]:
        """Schedule nothing new from then on."""
        return self._ask("stop_at", elapsed_ns)

    def stop(self, drain_s: float) -> Future[None]:
        """Schedule nothing new from now."""
        return self._ask("stop", drain_s)

    def outcome(self) -> Future[EngineRun]:
        """What its run was."""
        return self._ask("outcome")

    def _ask(self, name: str, *arguments: object) -> Future[Any]:
        asked: Future[Any] = Future()
        with self._lock:
            self._number += 1
            number, is_lost = self._number, self._is_lost
            if not is_lost:  # from here on it is who hears that answers it
                self._asked[number] = asked
        if is_lost:
            asked.set_exception(self._lost())
            return asked
        with suppress(OSError):  # who hears will say that it is gone
            self._channel.send((number, name, arguments))
        return asked

    def _hear(self) -> None:
        """Hand on what it answers, until it is gone."""
        try:
            while True:
                number, is_value, value = self._channel.receive()
                with self._lock:
                    asked = self._asked.pop(number)
                if is_value:
                    asked.set_result(value)
                else:
                    asked.set_exception(value)
        except EOFError:
            pass
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDED_WITHIN_S)
        with self._lock:
            self._is_lost = True
            left = list(self._asked.values())
            self._asked.clear()
        for asked in left:
            asked.set_exception(self._lost())

    def _lost(self) -> GeneratorLostError:
        """Say that it is gone, and what it said in the end."""
        status = self._process.returncode
        how = "closed its channel" if status is None else f"ended with status {status}"
        if status is not None and status < 0:
            how = f"was ended by signal {-status} ({signal.Signals(-status).name})"
        said = self._said()
        return GeneratorLostError(
            f"its process {self._process.pid} {how}", cause="".join(said.splitlines()[-1:]), detail=said
        )

    def _said(self) -> str:
        with suppress(OSError, ValueError):
            end = self._complaint.seek(0, os.SEEK_END)
            self._complaint.seek(max(0, end - _LONGEST_COMPLAINT))
            return self._complaint.read().decode("utf-8", "replace").strip()
        return ""
