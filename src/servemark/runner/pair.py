"""Two benchmarks measured in turns, ABBA, so that what drifts meanwhile is in both alike."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from servemark.benchmarks.trials import TRIALS_A_BLOCK
from servemark.engines import Job
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.options.load import MOST_TRIALS, LoadOptions
from servemark.report.words import counted
from servemark.runner import WrittenResult
from servemark.runner.afterwards import draw, remember
from servemark.runner.entry import Entry
from servemark.runner.invocation import begun_result, failing, merge
from servemark.runner.launching import Launchers, check_clusters, engine_of
from servemark.runner.listener import Listener
from servemark.runner.measuring import trial_by_trial
from servemark.runner.redaction import Redaction
from servemark.runner.result_on_disk import ResultOnDisk
from servemark.runner.suite import placed

MOST_BLOCKS = MOST_TRIALS // TRIALS_A_BLOCK
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
    check_clusters(asked.requests)
    blocks, entries = asked.settled(listener)
    redaction = Redaction(header for entry in entries for header in entry.request.secret_headers)
    listener = redaction.listener(listener)
    written = begun_result([entry.request for entry in entries], entries, redaction, None, None)
    launchers = Launchers(listener)
    with failing(written, None, listener):
        written.folder.write(written.result)
        engine = engine_of(asked.requests[0].generator.engine, listener)
        written.versions(engine)
    turns = [trial_by_trial(entry, launchers, engine, written, listener) for entry in entries]
    jobs: list[list[Job]] = [[], []]
    try:
        for number, place in enumerate(order_of(blocks, asked.requests[0].load.seed)):
            block = number // (2 * TRIALS_A_BLOCK) + 1
            where = f"block {block} of {blocks}: {NAMES[place]}, {entries[place].title}"
            listener.note(where)
            listener.place(0, where)
            with failing(written, entries[place], listener):
                jobs[place] = next(turns[place])
            if written.interrupted:
                break
    except KeyboardInterrupt:
        if not written.result.benchmarks:
            raise
    finally:
        for turn in turns:
            turn.close()
        engine.close()
    merge(engine, [job for one in jobs for job in one], written.folder, listener)
    if written.interrupted:
        written.cut_off()
        listener.note("interrupted")
    else:
        written.nothing_more()
        _judge(asked, written)
    written.folder.become_latest()
    if not asked.requests[0].output.no_report:
        draw(written.result, written.folder, listener)
    if not any(request.output.no_history for request in asked.requests):
        remember(written.result, written.folder.path, listener)
    written.folder.release()
    return WrittenResult(written.result, written.folder.path)


def _judge(asked: PairRequest, written: ResultOnDisk) -> None:
    """Compare what was measured, and write that into its result."""
    from servemark.assessment.pair import compare_pair
    from servemark.report.comparison import answer_in_words
    from servemark.verdict import no_slower

    comparison = compare_pair(written.result, NAMES, asked.threshold_share)
    (one,) = comparison.benchmarks
    base, new = written.result.benchmarks
    verdict = no_slower("A", asked.threshold_share, one.answer, answer_in_words(one))
    written.compared(comparison, (base, replace(new, verdicts=(*new.verdicts, verdict))))
