"""Generators on the nodes of a Ray cluster, as their driver sees them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servemark.engines.native.cluster.asking import in_words
from servemark.engines.native.cluster.carrying import CHUNK_BYTES, Carrying
from servemark.engines.native.spread import Counts, GeneratorFacts, Order
from servemark.errors import GeneratorLostError, RecordingError, ServemarkError
from servemark.event_files import condensed_path

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

    from servemark.engines import EngineRun

_TURN_S = 0.1


class RayGenerator:
    """One generator, in an actor; see ``RemoteGenerator``."""

    asked_every_s = 1.0
    lead_s = 0.5

    def __init__(self, actor: ActorHandle[Any], facts: GeneratorFacts, records: Path) -> None:
        self.actor = actor
        self.facts = facts
        self.records = records
        self.ended: Future[tuple[EngineRun | ServemarkError, dict[str, int]]] | None = None
        self.whole: Future[EngineRun] = Future()
        #: Whether its file of records is written anew when its run is over, and whether that is so by now.
        self.rewrites = self.is_over = False
        #: The instant, of the monotonic clock, up to which its records have come.
        self.up_to_ns = time.monotonic_ns()

    def arm(self, order: Order) -> Future[None]:
        """See ``RemoteGenerator``. A file that lies here and that it needs goes with it."""
        tokenizer = order.plan.tokenizer
        self.rewrites = order.plan.reads_answers
        return self._answer("arm", order, tokenizer.read_bytes() if tokenizer else b"")

    def begin_at(self, monotonic_ns: int) -> Future[None]:
        """See ``RemoteGenerator``."""
        return self._answer("ask", "begin_at", monotonic_ns)

    def progress(self) -> Future[Counts]:
        """See ``RemoteGenerator``."""
        return self._answer("ask", "progress")

    def stop_at(self, elapsed_ns: int) -> Future[int]:
        """See ``RemoteGenerator``."""
        return self._answer("ask", "stop_at", elapsed_ns)

    def stop(self, drain_s: float) -> Future[None]:
        """See ``RemoteGenerator``."""
        return self._answer("ask", "stop", drain_s)

    def behind_ns(self) -> int:
        """See ``RemoteGenerator``."""
        return time.monotonic_ns() - self.up_to_ns

    def outcome(self) -> Future[EngineRun]:
        """See ``RemoteGenerator``."""
        if self.ended is None:
            self.ended = self._answer("outcome")
        return self.whole

    def _answer(self, method: str, *arguments: Any) -> Future[Any]:
        try:
            asked = getattr(self.actor, method).remote(*arguments)
        except Exception as error:  # Ray itself, which has lost its cluster
            failed: Future[Any] = Future()
            failed.set_exception(in_words(error))
            return failed
        return answer_of(asked, self.facts.host)


class OwnRaylet:
    """The raylet of this node, through which all goes; that it is gone Ray says late, and of others. A context manager.

    Args:
        address: of its socket.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> OwnRaylet:
        self._socket.connect(self._address)
        self._socket.setblocking(False)
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def check(self) -> None:
        """See that it is there.

        Raises:
            ConnectionError: it is not.
        """
        with suppress(BlockingIOError):
            if not self._socket.recv(1):
                raise ConnectionResetError("the raylet of this node has gone")


class RecordTraffic(threading.Thread):
    """Carries the records of generators while they send, and gives each its outcome when they are whole.

    `raylet` is that of this node.
    """

    def __init__(self, generators: Sequence[RayGenerator], raylet: OwnRaylet) -> None:
        super().__init__(name="record traffic", daemon=True)
        self._generators = generators
        self._raylet = raylet
        self._carrying = Carrying(RayChunks(generators), [one.records for one in generators])
        self._stopped = threading.Event()

    def run(self) -> None:
        """Carry until ``stop``; what ends it before, whatever it is, all are told who wait for an outcome."""
        try:
            with self._carrying, self._raylet:
                while not self._stopped.is_set():
                    self._raylet.check()
                    self._carrying.turn(_TURN_S)
                    for number, generator in enumerate(self._generators):
                        generator.up_to_ns = self._carrying.up_to_ns(number)
                        self._look_at(number, generator)
        except Exception as error:  # the disk here is full, or the cluster is gone
            for generator in self._generators:
                if not generator.whole.done():
                    generator.whole.set_exception(in_words(error))

    def stop(self) -> None:
        """Carry no more, and wait until nothing is written any more."""
        self._stopped.set()
        self.join()

    def _look_at(self, number: int, generator: RayGenerator) -> None:
        if generator.ended is None or not generator.ended.done() or generator.whole.done():
            return
        try:
            run, sizes = generator.ended.result()
            if not generator.is_over:
                generator.is_over = True
                if generator.rewrites:
                    self._carrying.begin_again(number)
            self._carrying.end_at(number, next(iter(sizes.values()), 0))
            if not self._carrying.is_whole(number):
                return
            for suffix, size in list(sizes.items())[1:]:
                self._fetch(generator, suffix, size)
            if condensed_path(generator.records).exists():  # what came of the records before is in it
                os.truncate(generator.records, sizes[".bin"])
            if isinstance(run, ServemarkError):
                raise run
        except Exception as error:
            self._carrying.end_at(number, None)
            generator.whole.set_exception(in_words(error))
            return
        (one,) = run.generators
        generator.whole.set_result(replace(run, generators=(replace(one, records=generator.records),)))

    def _fetch(self, generator: RayGenerator, suffix: str, size: int) -> None:
        """Have a file that lies beside the records, too, as large as it is."""
        import ray

        def read(offset: int) -> Any:
            try:
                asked: Any = generator.actor.read.remote(suffix, offset, CHUNK_BYTES, is_over=True)
                return ray.get(asked)
            except OSError as error:  # no fault of the disk's
                raise in_words(error) from error

        path = generator.records.with_suffix(suffix)
        try:
            with path.open("wb") as file:
                while file.tell() < size:
                    file.write(read(file.tell()))
        except OSError as error:
            raise RecordingError.unwritable(path, error.strerror or str(error)) from error


class RayChunks:
    """Chunks of what actors read; see ``Chunks``."""

    def __init__(self, generators: Sequence[RayGenerator]) -> None:
        self._generators = generators

    def ask(self, generator: int, offset: int, most_bytes: int) -> ObjectRef[Any]:
        """See ``Chunks``."""
        one = self._generators[generator]
        return one.actor.read.remote(".bin", offset, most_bytes, is_over=one.is_over)

    def arrived(self, asked: Sequence[ObjectRef[Any]], timeout_s: float) -> Sequence[ObjectRef[Any]]:
        """See ``Chunks``."""
        import ray

        ready: Sequence[ObjectRef[Any]] = ray.wait(list(asked), num_returns=1, timeout=timeout_s)[0]
        return ready

    def take(self, asked: ObjectRef[Any]) -> memoryview | None:
        """See ``Chunks``."""
        import ray
        from ray.exceptions import RayError

        try:
            return memoryview(ray.get(asked))
        except RayError:
            return None


def answer_of(asked: ObjectRef[Any], host: str) -> Future[Any]:
    """What an actor on `host` answers, its errors in our words."""
    answer: Future[Any] = Future()

    def pass_on(done: Future[Any]) -> None:
        error = done.exception()
        if error is None:
            answer.set_result(done.result())
        else:
            answer.set_exception(understood(error, host))

    asked.future().add_done_callback(pass_on)
    return answer


def understood(error: BaseException, host: str) -> BaseException:
    """The error that an actor on `host` met, or that it is gone, or the whole cluster."""
    from ray.exceptions import RayError, RayTaskError

    if isinstance(error, RayTaskError):
        cause: BaseException = error.cause
        return cause if isinstance(cause, ServemarkError) else error
    error = in_words(error)
    if isinstance(error, RayError):
        return GeneratorLostError(f"the generator on {host} is gone", cause=str(error).partition("\n")[0])
    return error
