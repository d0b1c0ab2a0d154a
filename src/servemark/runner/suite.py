"""A suite: its entries in their places, how far each came, and an earlier result that is gone on with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from servemark.errors import UsageError
from servemark.options import GROUPS, RunRequest
from servemark.result import Result, Suite, SuiteEntry, SuiteStatus, read_result
from servemark.runner.entry import Entry
from servemark.version import version
from servemark.workload.endpoint import without_user

#: What changes nothing that is measured.
_NOT_ASKED = {"output", "force", "no_history", "no_report", "otlp", "against", "threshold_share"}


def placed(entries: Sequence[Entry]) -> list[Entry]:
    """The entries of a suite, each with its place, and a label that no other has."""
    return [
        replace(entry, label=f"{place + 1}-{entry.title}", place=place, count=len(entries), in_suite=True)
        for place, entry in enumerate(entries)
    ]


def untouched(name: str, entries: Sequence[Entry]) -> Suite:
    """A suite of which nothing has been run yet."""
    return Suite(name, tuple(SuiteEntry(entry.title, "not run", _asked_sha256(entry.request)) for entry in entries))


def with_status(suite: Suite, place: int, status: SuiteStatus) -> Suite:
    """`suite`, with what became of the entry at `place`."""
    changed = replace(suite.entries[place], status=status)
    return replace(suite, entries=(*suite.entries[:place], changed, *suite.entries[place + 1 :]))


def read_earlier(folder: Path, suite: Suite) -> Result:
    """The result in `folder`, to be gone on with by `suite`, which has to ask the same.

    Raises:
        UsageError: there is none, or it is of another suite, of other options, or of another servemark.
    """
    path = folder / "result.json"
    try:
        earlier = read_result(path)
    except OSError as error:
        raise UsageError(
            f"cannot go on with {folder}",
            cause=f"{error.strerror or error}: {path.name}",
            next_step="give --resume the folder of a suite's result",
        ) from error
    except ValueError as error:
        raise UsageError(f"cannot go on with {folder}", cause=f"its {path.name} cannot be read: {error}") from error
    why = _unlike(earlier, suite)
    if why:
        again = f"it was made by: {earlier.command[0]} {shlex.join(earlier.command[1:])}" if earlier.command else ""
        raise UsageError(f"cannot go on with {folder}", cause=why, next_step=again)
    return earlier


def _unlike(earlier: Result, suite: Suite) -> str:
    """Why `earlier` cannot be gone on with; empty if it can."""
    if earlier.suite is None:
        return "it is the result of no suite"
    if earlier.suite.name != suite.name:
        return f"it is of the suite {earlier.suite.name}, not of {suite.name}"
    if earlier.tool.version != version():
        return f"it was measured by servemark {earlier.tool.version}, and this is {version()}"
    known, asked = earlier.suite.entries, suite.entries
    if len(known) != len(asked):
        return f"its suite {suite.name} had {len(known)} benchmarks, and now has {len(asked)}"
    for number, (before, now) in enumerate(zip(known, asked, strict=True), 1):
        if (before.name, before.asked_sha256) != (now.name, now.asked_sha256):
            return f"benchmark {number} ({before.name}) was asked something else"
    return ""


def _asked_sha256(request: RunRequest) -> str:
    """A digest of what is asked, with secrets as they are shown."""
    groups = [getattr(request, name) for name in GROUPS]
    facts = {
        field.name: getattr(group, field.name)
        for group in groups
        for field in dataclasses.fields(group)
        if field.name not in _NOT_ASKED
    }
    content = request.content
    facts |= {"benchmark": request.benchmark, "parameters": dict(request.parameters)}
    facts["headers"] = [header.shown for header in content.own_headers]
    facts |= {name: without_user(facts[name]) for name in ("url", "server") if facts[name] is not None}
    if content.archive is not None:
        facts["custom_model"] = content.archive.shown
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
