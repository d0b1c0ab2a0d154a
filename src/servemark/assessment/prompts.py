"""Which of the prompts that were sent began as one that had been sent before, which a server may have in its cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from servemark.records import RecordFile
from servemark.result import PromptsSent
from servemark.workload.engine_plan import EnginePlan
from servemark.workload.prompts import Drawn, prompt_text

#: Prompts that are the same for so many characters share a prefix: about a block of 16 tokens, as caches have them.
SHARED_CHARACTERS = 64


def prompts_sent(plan: EnginePlan, records: Sequence[RecordFile], drawn: Drawn | None = None) -> PromptsSent | None:
    """The prompts of a run of `plan` in the order in which they were sent; None where no answer was read for tokens.

    `drawn` is by what those that are made are drawn.

    A prompt shares a prefix with one that was sent before if the first 64 characters of both are the same, or all of
    both where it has fewer.

    Raises:
        RecordingError: the records cannot be read.
    """
    if not any(step.tokens for step in plan.steps):
        return None
    steps, inputs = _in_order(records)
    asks = np.isin(steps, [number for number, step in enumerate(plan.steps) if step.tokens])
    keys = (steps[asks] << 32) | inputs[asks]
    unique, firsts = np.unique(keys, return_index=True)
    sent, shared, repeated = 0, 0, 0
    begun: set[str] = set()
    whole: set[int] = set()
    times = dict(zip(*np.unique(keys, return_counts=True), strict=True))
    for key in unique[np.argsort(firsts)].tolist():
        text = prompt_text(plan.steps[key >> 32].requests[key & 0xFFFF_FFFF].body)
        if not text:
            continue
        begins, again = text[:SHARED_CHARACTERS], int(times[key]) - 1
        sent += 1 + again
        shared += again + (begins in begun)
        repeated += again + (hash(text) in whole)
        begun.add(begins)
        whole.add(hash(text))
    found = PromptsSent(sent, shared, repeated, SHARED_CHARACTERS) if sent else None
    return replace(found, seed=drawn.seed, run=drawn.run) if found and drawn else found


def _in_order(records: Sequence[RecordFile]) -> tuple[np.ndarray, np.ndarray]:
    """The step and the place in its pool of each request that was sent, in the order in which they were."""
    sent = np.concatenate([file["sent"] for file in records])
    order = np.argsort(sent, kind="stable")[int((sent < 0).sum()) :]
    columns = (np.concatenate([file[name] for file in records])[order].astype(np.int64) for name in ("step", "input"))
    steps, inputs = columns
    return steps, inputs
