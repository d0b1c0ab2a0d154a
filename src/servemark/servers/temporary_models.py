"""Models that a load registers itself: none of them is there before it, and none is left after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from servemark.errors import ManagementError, UsageError
from servemark.interrupts import held_back
from servemark.servers.management import ManagementClient, Refusal, refusal_of

_REMOVE_TIMEOUT_S = 30.0
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
) -> Iterator[Remove]:
    """While this is open, models of these names may be registered. It gives what removes them before its end.

    What is still there then is removed if the server `is_alive`; `tell` hears what could not be.

    Raises:
        UsageError: the server has one of them already.
    """
    taken = {model.name for model in management.list_models()} & set(names) if names else set()
    if taken:
        raise UsageError(
            f"the server has a model {min(taken)} already",
            next_step="remove what an earlier run has left there, or measure a server of our own by leaving out --mms",
        )
    left = list(names)

    def remove() -> Mapping[str, str]:
        failures = {}
        while left:
            name = left[0]
            try:
                management.unregister(name, timeout_s=_REMOVE_TIMEOUT_S)
            except ManagementError as error:
                if refusal_of(error) is not Refusal.UNKNOWN:  # it was never registered, which its record says
                    failures[name] = error.message
            left.pop(0)
        return failures

    try:
        yield remove
    finally:
        with held_back():
            if is_alive():
                for name, reason in remove().items():
                    tell(f"{name} may still be on the server ({reason}); remove it with {removing(management, name)}")
