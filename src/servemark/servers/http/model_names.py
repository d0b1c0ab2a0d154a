"""Which models a server has, in words: where the one that was named is none of them, or none was named."""

from __future__ import annotations

from collections.abc import Sequence

from servemark.errors import UsageError

#: So many names are told.
_MOST_NAMES = 8


def listed(names: Sequence[str]) -> str:
    """The models of a server, as many as a line has room for."""
    more = len(names) - _MOST_NAMES
    return (", ".join(names[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")) or "none that it lists"


def no_such_model(name: str, names: Sequence[str] | None, said: str = "") -> UsageError:
    """The server has no model of that name; `names` are those that it has, None where it does not list them.

    Then `said` is what it says itself.
    """
    cause = said if names is None else f"it has {listed(names)}"
    next_step = "give -m one that it has" if not names else "give -m one of these"
    return UsageError(f"the server has no model {name!r}", cause=cause, next_step=next_step)


def not_named(names: Sequence[str] | None, besides: str = "") -> UsageError:
    """Nobody knows which of its models is measured; `besides` is what has to be given, too."""
    cause = "" if names is None else f"the server has {listed(names)}"
    next_step = f"give -m NAME{besides}" if not names else f"give -m one of these{besides}"
    return UsageError("the model is not named", cause=cause, next_step=next_step)
