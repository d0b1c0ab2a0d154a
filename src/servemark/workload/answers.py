"""How ``--expect`` is written: ``same``, ``regex:R``, ``json:PATH``, ``not:`` the last two. Standard library only."""

from __future__ import annotations

from servemark.errors import UsageError
from servemark.workload.scenario import Expect

_FORMS = "give same, regex:R as in regex:tabby, json:PATH as in json:predictions.0.class, not:regex:R or not:json:PATH"


def parse_expect(text: str) -> Expect:
    """What `text` says of bodies. Whether an engine can use the expression or the path is the engine's to say.

    Raises:
        UsageError: it says nothing.
    """
    kind, colon, pattern = text.partition(":")
    if kind == "not" and colon:
        return _negated(text, pattern)
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
        next_step=_FORMS,
    )


def _negated(text: str, words: str) -> Expect:
    kind, _, pattern = words.partition(":")
    if kind == "regex" and pattern:
        return Expect("not_regex", pattern)
    if kind == "json" and pattern:
        return Expect("not_json", pattern)
    cause = "it is the body of some success" if words == "same" else "all JSON is excluded" if words == "json:" else ""
    raise UsageError(f"{text!r} does not say what a body must not be", cause=cause, next_step=_FORMS)
