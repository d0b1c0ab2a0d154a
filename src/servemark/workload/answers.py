"""How ``--expect`` is written: ``same``, ``regex:R`` or ``json:PATH``. Standard library only."""

from __future__ import annotations

from servemark.errors import UsageError
from servemark.workload.scenario import Expect


def parse_expect(text: str) -> Expect:
    """What `text` says of bodies. Whether an engine can use the expression or the path is the engine's to say.

    Raises:
        UsageError: it says nothing.
    """
    kind, colon, pattern = text.partition(":")
    if kind == "same" and not colon:
        return Expect("same")
    if kind == "regex" and pattern:
        return Expect("regex", pattern)
    if kind == "json" and colon:
        return Expect("json", pattern)
    cause = "an empty expression is found in every body" if text == "regex:" else ""
    raise UsageError(
        f"{text!r} does not say what a body must be",
        cause=cause,
        next_step="give same, regex:R as in regex:tabby, or json:PATH as in json:predictions.0.class",
    )
