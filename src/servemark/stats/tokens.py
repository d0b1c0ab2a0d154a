"""Tokens of the answers that were read: what they add up to, and who counted them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from servemark import _loadgen
from servemark.result import OutputTokens, Statistic, TokenSource
from servemark.stats.events import spread
from servemark.stats.samples import Sample

FloatArray = NDArray[np.float64]

_MS_PER_S = 1000


@dataclass(frozen=True, kw_only=True)
class TokenEvidence:
    """What the answers of a step add up to, of the measured successes.

    Attributes:
        found: the counts, as the pass has them (``_loadgen.TallyAnswers``).
        times_ns: of streams with content, by name: ``first_token``, ``first_said``, ``time_per_output_token``,
            ``longest_gap`` and ``tail``.
        first_token_sums: by batch, of the times to the first event with content, and `first_token_counts` of how many.
        tokens: of each answer whose tokens are known.
        by_batch: tokens of the successes that ended in the window, by when they ended.
    """

    found: _loadgen.TallyAnswers
    times_ns: Mapping[str, Sample]
    first_token_sums: FloatArray
    first_token_counts: FloatArray
    tokens: Sample
    by_batch: FloatArray


#: The samples that are times of streams with content.
TIMES = ("first_token", "first_said", "time_per_output_token", "longest_gap", "tail")


def token_evidence(step: _loadgen.TallyStep, samples: Mapping[str, Sample]) -> TokenEvidence | None:
    """What the answers of a step add up to; None where none was read."""
    if not step.answers.count:
        return None
    return TokenEvidence(
        found=step.answers,
        times_ns={name: samples[name] for name in TIMES},
        first_token_sums=np.array(step.batch_first_token_sums_ns, dtype=np.float64),
        first_token_counts=np.array(step.batch_first_token, dtype=np.float64),
        tokens=samples["tokens"],
        by_batch=np.array(step.batch_tokens, dtype=np.float64),
    )


def output_tokens(tokens: TokenEvidence, per_s: Statistic, time_per_token_ms: Statistic) -> OutputTokens:
    """How many tokens there were, and who counted them; `per_s` is their rate, over all users.

    That of one user is the inverse of the median time per output token, which no pause before or after a stream is in.
    """
    found = tokens.found
    both_tokens, contents = found.tokens_of_contents
    return OutputTokens(
        count=tokens.tokens.total if tokens.tokens.count else None,
        answers=tokens.tokens.count,
        per_s=per_s,
        per_user_per_s=_inverse(time_per_token_ms),
        source=_source(found),
        per_request=spread(tokens.tokens),
        per_event=both_tokens / contents if contents else None,
        by_usage_and_tokenizer=found.both if found.both[0] or found.both[1] else None,
    )


def _source(found: _loadgen.TallyAnswers) -> TokenSource:
    """Who counted: the tokenizer's number counts where the server told none."""
    if not found.usage[1]:
        return "tokenizer" if found.counted[1] else "none"
    return "usage" if found.usage[1] == found.count or not found.counted[1] else "usage, else tokenizer"


def _inverse(time_ms: Statistic) -> Statistic:
    if not time_ms.value:
        return Statistic(None, None, time_ms.needs_n, time_ms.needs_s)
    ends = None
    if time_ms.ci95 and all(time_ms.ci95):
        ends = (_MS_PER_S / time_ms.ci95[1], _MS_PER_S / time_ms.ci95[0])
    return Statistic(_MS_PER_S / time_ms.value, ends, time_ms.needs_n, time_ms.needs_s)
