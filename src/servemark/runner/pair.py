"""Two benchmarks measured in turns, ABBA, so that what drifts meanwhile is in both alike."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from servemark.benchmarks.trials import TRIALS_A_BLOCK
from servemark.engines import Engine, Job
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.options.load import LoadOptions
from servemark.report.words import counted
from servemark.runner.entry import Entry
from servemark.runner.invocation import Invocation, WrittenResult, check_outside, failing
from servemark.runner.listener import Listener
from servemark.runner.measuring import trial_by_trial
from servemark.runner.result_on_disk import ResultOnDisk
from servemark.runner.suite import placed

#: The least blocks that can show a difference in the statistics of one point.
_OF_ONE_POINT = 7
NAMES = ("A", "B")


@dataclass(frozen=True)
class PairRequest:
    """Two benchmarks, and how they are compared.

    Attributes:
        requests: what is asked of A and of B; where the result goes, its command and seed are those of A.
        blocks: how often each is measured twice; None is the least that can show a difference.
        both_up: have the servers of both run all the time, instead of starting one for each trial.
        threshold_share: a change of less than this is no difference.
    """

    requests: tuple[RunRequest, RunRequest]
    blocks: int | None
    both_up: bool
    threshold_share: float

    def entries(self) -> list[Entry]:
        """Both as they are measured.

        Raises:
            UsageError: one of them cannot be had, or is sent by another engine.
        """
        if len({request.generator.engine for request in self.requests}) > 1:
            raise UsageError("A and B have different engines", next_step="give both the same --engine")
        asked = [replace(request, load=self._load(request)) for request in self.requests]
        return [replace(entry, last=False) for entry in placed([Entry.of(request) for request in asked])]

    def settled(self, listener: Listener) -> tuple[int, list[Entry]]:
        """The blocks, and what is measured in them; that so few as were asked for can show nothing is said.

        Raises:
            UsageError: as ``entries`` says.
        """
        from servemark.assessment.judging import JUDGED
        from servemark.stats.comparison import least_pairs

        entries = self.entries()
        ours, theirs = ({tuple(point.values.items()) for point in entry.points} for entry in entries)
        needed = least_pairs(len(JUDGED) * max(1, len(ours & theirs)))
        if self.blocks is not None:
            if self.blocks < needed:
                listener.note(f"{counted(self.blocks, 'block')} can show nothing, {needed} could")
            return self.blocks, entries
        return needed, entries if needed == _OF_ONE_POINT else replace(self, blocks=needed).entries()

    def _load(self, request: RunRequest) -> LoadOptions:
        ours = request.server.server is None and request.content.url is None
        return replace(
            request.load, trials=TRIALS_A_BLOCK * (self.blocks or _OF_ONE_POINT), fresh_server=ours and not self.both_up
        )


def order_of(blocks: int, seed: int) -> tuple[int, ...]:
    """Whose turn it is, 0 or 1: each block is ABBA or BAAB, as `seed` draws it."""
    draw = random.Random(seed)
    return tuple(place for _ in range(blocks) for place in draw.choice(((0, 1, 1, 0), (1, 0, 0, 1))))


def perform_pair(asked: PairRequest, listener: Listener) -> WrittenResult:
    """Measure both in turns, compare them by block, and write their result, which has both benchmarks.

    Raises:
        ServemarkError: something failed; what was measured before is in the result.
        KeyboardInterrupt: interrupted before anything was measured.
    """
    check_outside(asked.requests)
    blocks, entries = asked.settled(listener)
    invocation = Invocation(entries, listener)
    order = order_of(blocks, asked.requests[0].load.seed)
    return invocation.perform(
        partial(_measure_in_turns, invocation, entries, order), lambda: _judge(asked, invocation.written)
    )


def _measure_in_turns(
    invocation: Invocation, entries: Sequence[Entry], order: Sequence[int], engine: Engine, jobs: list[Job]
) -> None:
    """Measure a trial of one of `entries` after the other, and add what the engine was asked for to `jobs`."""
    written, listener = invocation.written, invocation.listener
    turns = [trial_by_trial(entry, invocation.launchers, engine, written, listener) for entry in entries]
    of_each: list[list[Job]] = [[] for _ in entries]
    in_block = 2 * TRIALS_A_BLOCK
    try:
        for number, place in enumerate(order):
            where = (
                f"block {number // in_block + 1} of {len(order) // in_block}: {NAMES[place]}, {entries[place].title}"
            )
            listener.note(where)
            listener.place(0, where)
            with failing(written, entries[place], listener):
                of_each[place] = next(turns[place])
            if written.interrupted:
                break
    finally:
        for turn in turns:
            turn.close()
        jobs += chain(*of_each)


def _judge(asked: PairRequest, written: ResultOnDisk) -> None:
    """Compare what was measured, and write that into its result."""
    written.nothing_more()
    from servemark.assessment.pair import compare_pair
    from servemark.report.comparison import answer_in_words
    from servemark.verdict import no_slower

    comparison = compare_pair(written.result, NAMES, asked.threshold_share)
    (one,) = comparison.benchmarks
    base, new = written.result.benchmarks
    verdict = no_slower("A", asked.threshold_share, one.answer, answer_in_words(one))
    written.compared(comparison, (base, replace(new, verdicts=(*new.verdicts, verdict))))
