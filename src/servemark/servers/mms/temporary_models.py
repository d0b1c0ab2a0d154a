"""Models that a load registers itself: none of them is there before it, and none is left after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from servemark.errors import ManagementError, UsageError
from servemark.interrupts import held_back
from servemark.servers.mms.management import ManagementClient, Refusal, refusal_of

_REMOVE_TIMEOUT_S = 30.0
#: For how long a registration that nobody waits for any more is awaited, and how often the server is asked for it.
_LATE_S, _LOOK_EVERY_S = 10.0, 0.25
#: Removes them; those that could not be are named with the reason.
Remove = Callable[[], Mapping[str, str]]


def removing(management: ManagementClient, name: str) -> str:
    """The command that removes a model when we could not."""
    address = management.address
    return f"curl {'-k ' if address.tls else ''}-X DELETE {address.url}/models/{name}"


@contextmanager
def temporary_models(
    management: ManagementClient,
    names: Sequence[str],
    *,
    tell: Callable[[str], None],
    is_alive: Callable[[], bool] = lambda: True,
    may_be_late: bool = True,
) -> Iterator[Remove]:
    """While this is open, models of these names may be registered. It gives what removes them before its end.

    What is still there then is removed if the server `is_alive`; `tell` hears what could not be. A registration that
    the load no longer waits for may go on in the server. With `may_be_late` it is awaited for up to 10 s: a name that
    the server does not know is looked for again until it has come and gone, and a model whose workers are not ready
    yet is removed when they are. (Removed before, it comes back: the server puts it into its list once more when it
    has started the model's process, and removes whatever has its name when its workers then fail.)

    Raises:
        UsageError: the server has one of them already.
    """
    taken = {model.name for model in management.list_models()} & set(names) if names else set()
    if taken:
        raise UsageError(
            f"the server has a model {min(taken)} already",
            next_step="remove what an earlier run has left there, or measure a server of our own",
        )
    left, unknown, failed = list(names), set[str](), dict[str, str]()

    def remove() -> Mapping[str, str]:
        failures = {}
        deadline_s = time.monotonic() + (_LATE_S if may_be_late else 0)
        while left:
            name = left[0]
            try:
                _await_workers(management, name, deadline_s)
                management.unregister(name, timeout_s=_REMOVE_TIMEOUT_S)
            except ManagementError as error:
                if refusal_of(error) is Refusal.UNKNOWN:  # it was never registered, which its record says; or not yet
                    unknown.add(name)
                else:
                    failures[name] = error.message
            left.pop(0)
        failed.update(failures)
        return failures

    try:
        yield remove
    finally:
        with held_back():
            if is_alive():
                failures = remove()
                if may_be_late:
                    failures = _remove_late(management, unknown, failed)
                for name, reason in failures.items():
                    tell(f"{name} may still be on the server ({reason}); remove it with {removing(management, name)}")


def _await_workers(management: ManagementClient, name: str, deadline_s: float) -> None:
    """Return when the model has all the workers that it shall have, which ends its registration, or at the deadline.

    A model has none to have (`min_workers` 0) as long as the server starts its process. `deadline_s` is monotonic.

    Raises:
        ManagementError: the server does not know it, or does not answer.
    """
    while time.monotonic() < deadline_s:
        model = management.describe(name)
        if 0 < model.min_workers <= model.ready_workers:
            return
        time.sleep(_LOOK_EVERY_S)


def _remove_late(management: ManagementClient, unknown: set[str], failed: Mapping[str, str]) -> Mapping[str, str]:
    """Remove those of `unknown` that the server comes to know yet, and those that `failed` to be removed.

    A server that is asked to remove a model while it still registers it answers that it could not, and keeps it: it is
    asked again. Gives those that could not be removed, with the reason.
    """
    failures, left = dict(failed), unknown | failed.keys()
    deadline_s = time.monotonic() + _LATE_S
    while left and time.monotonic() < deadline_s:
        try:
            there = {model.name for model in management.list_models()}
        except ManagementError as error:
            return {**failures, **dict.fromkeys(left, error.message)}
        for name in sorted(failures.keys() - there):  # it is gone all the same
            del failures[name]
        for name in sorted(left & there):
            try:
                _await_workers(management, name, deadline_s)
                management.unregister(name, timeout_s=_REMOVE_TIMEOUT_S)
            except ManagementError as error:
                failures[name] = error.message
            else:
                left.discard(name)
                failures.pop(name, None)
        if left:
            time.sleep(_LOOK_EVERY_S)
    return failures
