"""What Ray is asked in a thread of its own: it may wait without end for a cluster that is gone, and hears no Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from servemark.errors import ClusterLostError
from servemark.interrupts import heed

#: What is asked of a cluster that is there is answered within tenths of a second.
_ANSWERED_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.05
#: For how long what nobody waits for any more may be under way until Ray counts as stuck in it.
_STUCK_AFTER_S = 1.0

Answer = TypeVar("Answer")

#: What nobody waits for any more.
_left: list[Future[Any]] = []


def attempted(what: Callable[[], Answer], within_s: float, *, heeds: bool = True) -> Future[Answer]:
    """What became of `what`, which asks Ray: it is not done where Ray did not come back within `within_s`.

    Raises:
        KeyboardInterrupt: Ctrl-C or its like came meanwhile, and this `heeds` it; nobody waits for it any more.
    """
    answer: Future[Answer] = Future()

    def ask() -> None:
        try:
            answer.set_result(what())
        except BaseException as error:
            answer.set_exception(error)

    if heeds:
        heed()
    threading.Thread(target=ask, name="asking Ray", daemon=True).start()
    until_s = time.monotonic() + within_s
    try:
        while wait([answer], timeout=_LOOK_EVERY_S).not_done and time.monotonic() < until_s:
            if heeds:
                heed()
    finally:
        if not answer.done():
            _left.append(answer)
    return answer


def asked(what: Callable[[], Answer]) -> Answer:
    """What `what` returns, which asks Ray and is answered at once where the cluster is there.

    Raises:
        ClusterLostError: it is not, or does not answer.
        KeyboardInterrupt: Ctrl-C or its like came meanwhile.
    """
    answer = attempted(what, _ANSWERED_WITHIN_S)
    if not answer.done():
        cause = f"no word of it within {_ANSWERED_WITHIN_S:g} s"
        raise ClusterLostError("the Ray cluster does not answer", cause=cause)
    error = answer.exception()
    if error is not None:
        raise in_words(error) from error
    return answer.result()


def in_words(error: BaseException) -> BaseException:
    """The error that was met here with Ray, in words where it says that the connection to the cluster is gone."""
    from ray.exceptions import RayError, RaySystemError, RpcError

    is_here = isinstance(error, OSError) and not isinstance(error, RayError)  # some are both, and of an actor
    if is_here or isinstance(error, (RaySystemError, RpcError)):
        cause = str(error).partition("\n")[0]
        return ClusterLostError("the connection to the Ray cluster is lost", cause=cause)
    return error


def is_stuck() -> bool:
    """Whether Ray does not come back from what it was asked: then nothing more is to be asked of it."""
    return bool(wait(_left, timeout=_STUCK_AFTER_S).not_done)


def tidied(what: Callable[[], object], within_s: float) -> bool:
    """Whether `what` gave back to Ray what is its own; not where Ray is stuck, or the cluster is gone."""
    if is_stuck():
        return False
    done = attempted(what, within_s, heeds=False)
    return done.done() and done.exception() is None
