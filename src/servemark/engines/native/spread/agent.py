"""What one generator of several does, in the process that sends: whoever carries the words to it, this is what it does.

The generator's threads never touch Python, and nothing here waits for the driver once the run has begun: words are
heard, and the clock is answered, in threads of their own. A driver that is gone is noticed, and ends the run at once.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable

from servemark import _loadgen
from servemark.engines import EngineRun
from servemark.engines.native.answers import load_tokenizer
from servemark.engines.native.awake import awake_or_not
from servemark.engines.native.loopback import measure_loopback
from servemark.engines.native.sending import build, ended, started
from servemark.engines.native.spread import ClockFault, Counts, GeneratorFacts, Order
from servemark.engines.native.spread.clocks import ClockAnswers
from servemark.engines.native.spread.condensing import Condenser
from servemark.engines.watching import watch_machine
from servemark.errors import SetupError
from servemark.machine.counters import MachineWatch
from servemark.machine.processes import boot_id, network_id
from servemark.units import NS_PER_S
from servemark.version import version

#: How often it is looked whether the run has ended, and whether the driver has given a sign.
_LOOK_EVERY_S = 0.1
#: Beyond the time that connections may take.
_READY_WITHIN_S = 30.0
#: For how long records of a run that nobody wants any more are written yet.
_WRITTEN_WITHIN_S = 0.5


class Agent:
    """One generator.

    Args:
        token: what questions to its clock begin with.
        host: the address at which its clock answers.
        alone: called when the driver has given no sign for too long, after the run was ended.
    """

    def __init__(self, token: bytes, host: str = "127.0.0.1", alone: Callable[[], None] = lambda: None) -> None:
        self._clock = ClockAnswers(token, host, self._now_ns)
        self._host = host
        self._alone = alone
        self._fault = ClockFault()
        self._begins_ns: int | None = None
        self._order: Order | None = None
        self._run: _loadgen.Run | None = None
        self._machine: MachineWatch | None = None
        self._condenser: Condenser | None = None
        self._loopback_p50_ns: int | None = None
        self._not_kept = ""
        self._reads_answers = self._is_stopped = False
        self._is_over = threading.Event()

    def facts(self) -> GeneratorFacts:
        """What it is."""
        return GeneratorFacts(
            host=platform.node(),
            pid=os.getpid(),
            version=version(),
            build=build(),
            python=platform.python_version(),
            boot=boot_id(),
            network=network_id(),
            clock=(self._host, self._clock.port),
        )

    def arm(self, order: Order) -> None:
        """Make everything ready, and return when nothing is left to do but to begin.

        Raises:
            ServemarkError: the machine, or the folder for the records, does not allow it.
        """
        self._order, self._fault = order, order.fault
        if order.plan.tokenizer:  # before silence counts: none of its threads runs meanwhile
            load_tokenizer(order.plan.tokenizer)
        if order.silence_s is not None:
            self._clock.hear()
            threading.Thread(target=self._mind_driver, args=(order.silence_s,), name="driver", daemon=True).start()
        self._loopback_p50_ns = measure_loopback(order.plan.fault, reads_clock=order.plan.reads_clock)
        plan, self._not_kept = awake_or_not(order.plan, order.server_pid)
        run = started(plan, order.records, _loadgen.arm)
        self._run = run
        if order.condensing is not None:
            self._condenser = Condenser(order.records, order.condensing, order.most_records)
        if self._is_stopped:  # while there was no run to stop
            run.stop(0.0)
        longest_s = plan.connect_timeout_ns / NS_PER_S + _READY_WITHIN_S
        until_s = time.monotonic() + longest_s
        while not (run.wait_ready(_LOOK_EVERY_S) or self._is_stopped):
            if time.monotonic() > until_s:
                raise SetupError("the generator was not ready in time", cause=f"it took more than {longest_s:g} s")
        self._machine = watch_machine(plan.addresses, lambda: None)

    def begin_at(self, monotonic_ns: int) -> None:
        """Begin at that instant of its own clock.

        Raises:
            SetupError: that is too near, or past.
        """
        try:
            self._armed().begin_at(monotonic_ns - self._fault.skew_ns)
        except ValueError as error:
            raise SetupError("the generator could not begin with the others", cause=str(error)) from error
        self._begins_ns = monotonic_ns - self._fault.skew_ns

    @property
    def changes_records(self) -> bool:
        """Whether what stands in the file of records is nothing to be read, or no more what stood there before.

        They are being condensed, or written anew with what their answers say.
        """
        is_condensing = self._condenser is not None and self._condenser.is_condensing
        return is_condensing or self._reads_answers

    def progress(self) -> Counts:
        """Its counts so far; none before it is armed."""
        if self._run is None:
            return Counts()
        found = self._run.progress()
        return Counts(
            elapsed_ns=found.elapsed_ns,
            scheduled=found.scheduled,
            succeeded=found.succeeded,
            failed=found.failed,
            in_flight=found.in_flight,
            measured_succeeded=found.measured_succeeded,
        )

    def stop_at(self, elapsed_ns: int) -> int:
        """Schedule nothing new from `elapsed_ns` on; the time that took effect."""
        return self._armed().stop_at(elapsed_ns)

    def stop(self, drain_s: float) -> None:
        """Schedule nothing new from now, and cut off what is under way `drain_s` later; nothing is sent before it."""
        self._is_stopped = True
        if self._run is not None:
            self._run.stop(drain_s)

    def outcome(self) -> EngineRun:
        """What its run was; waits until it has ended.

        Raises:
            RecordingError: records could not be written.
        """
        run, order = self._armed(), self._order
        assert order
        assert self._machine
        while not run.wait(_LOOK_EVERY_S):
            pass
        self._reads_answers = order.plan.reads_answers
        found = ended(
            run,
            order.plan,
            order.records,
            machine=self._machine,
            loopback_p50_ns=self._loopback_p50_ns,
            not_kept=self._not_kept,
        )
        if self._condenser:
            self._condenser.finish()
        self._is_over.set()
        return found

    def abandon(self) -> None:
        """End at once, since nobody is there any more for whom to send; what was recorded is written."""
        self.close()
        self.stop(0.0)
        if self._run is not None:
            # What cannot be written in time is given up: its folder is the driver's, who is gone.
            writing = threading.Thread(target=self._run.finish, daemon=True)
            writing.start()
            writing.join(_WRITTEN_WITHIN_S)

    def close(self) -> None:
        """Answer no more."""
        self._is_over.set()
        if self._condenser:
            self._condenser.abandon()
        self._clock.close()

    def _armed(self) -> _loadgen.Run:
        if self._run is None:
            raise SetupError("the generator has nothing to send yet")
        return self._run

    def _now_ns(self) -> int:
        """What its clock says."""
        now_ns = time.monotonic_ns()
        has_begun = self._begins_ns is not None and now_ns >= self._begins_ns
        return now_ns + self._fault.skew_ns + (self._fault.step_ns if has_begun else 0)

    def _mind_driver(self, silence_s: float) -> None:
        """End the run when the driver has given no sign for so long."""
        while not self._is_over.wait(_LOOK_EVERY_S):
            if self._clock.silent_s > silence_s:
                self.abandon()
                self._alone()
                return
