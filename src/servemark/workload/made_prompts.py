"""Prompts that are made of words: as long as is asked, or as the lines of a trace say. Pure functions of what is drawn.

Standard library only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate

from servemark.errors import UsageError
from servemark.workload.inputs import Input
from servemark.workload.prompts import JSON, Asked, Drawn, Prompts
from servemark.workload.trace_lengths import Lengths

#: Prompts that are made, unless they are so long that they would take more memory than this.
_MADE, _MADE_BYTES, _FEWEST = 100_000, 96 << 20, 100
#: Those of a trace are as many as it has; neither these nor a few that are very long take more.
_MOST_BYTES = 2 << 30
#: Short and frequent words, each of which the vocabularies of the usual tokenizers hold as one token.
_TEXT = (
    "the of and to in is was for that on with as by at from his it an were are which this be had also one not have or "
    "but they first new two other who all time would there into more when its some them only over can made many been "
    "than then so any may such these could most now after people being between under both where during before year "
    "city water world school state part war home name house life group power area river music game line family story "
    "body book light land day way man long high old early large small north south east west great little white black "
    "red green blue open right left main public local national several often never always later again still near far "
    "took came went found used known called left held given built set won lost born died moved opened played wrote "
    "order work service field system number force team party law road church king film song class story market money "
    "paper stone wood iron gold air fire sea ship train bridge tower wall door window table chair bread milk horse "
    "dog"
)
_WORDS = tuple(_TEXT.split())
_A_WORD_BYTES = 6
#: Words of the text from which prompts are cut, and what keeps the places of one number far from those of the next.
_TEXT_WORDS, _STRIDE = 1 << 16, 40_503
#: Where in a request the prompt stands.
_PLACE = "@@"
#: What names the number of a block, in so many words: digits would be more tokens, in each of the short blocks.
_NAMES, _NAMING = tuple(dict.fromkeys(_WORDS)), 3


def made_prompts(drawn: Drawn, asked: Asked, *, tokens: int, shared_prefix: int, most: int | None = None) -> Prompts:
    """Prompts of `tokens` words each, of which the first `shared_prefix` are those of all, and the rest each one's own.

    The words after the prefix begin with the prompt's number, so that no two prompts share more than the prefix, and no
    cache of prefixes knows one of them; where something else is `drawn` all words behind it are others. There are
    100,000, unless fewer fit, or no more than `most` are needed.

    Raises:
        UsageError: the prefix leaves no word of its own, or all of them together are more than can be kept.
    """
    if shared_prefix >= tokens:
        raise UsageError(
            f"--shared-prefix {shared_prefix} leaves nothing of --prompt-tokens {tokens} to each prompt",
            next_step="give a smaller prefix",
        )
    words = _Words(drawn)
    prefix = f"{words.some(0, shared_prefix)} " if shared_prefix else ""
    before, behind = asked.body(_PLACE).decode().split(_PLACE)  # no word needs an escape

    def prompt(number: int) -> Input:
        text = f"{before}{prefix}{words.own(number, tokens - shared_prefix)}{behind}"
        return Input(text.encode(), JSON, f"prompt {number}")

    count = max(_FEWEST, min(_MADE, _MADE_BYTES // (tokens * _A_WORD_BYTES)))
    count = min(count, most or count)
    _check_memory(f"{count:,} prompts of {tokens:,} tokens", count * tokens, "give a smaller --prompt-tokens")
    others = partial(made_prompts, asked=asked, tokens=tokens, shared_prefix=shared_prefix, most=most)
    return Prompts(prompt(0), count, lambda: map(prompt, range(1, count + 1)), drawn=drawn, others=others)


def prompts_of_trace(drawn: Drawn, asked: Asked, lengths: Sequence[Lengths]) -> Prompts:
    """A prompt for each line of a trace, in their order: as many words as it had tokens, for as long an answer.

    Blocks that have the same number in two lines are the same words, as far as two lines have the same numbers from the
    start; what has no number is each prompt's own. Before the measurement another one is asked.

    Raises:
        UsageError: all of them together are more than can be kept.
    """
    tokens = sum(one.input_tokens for one in lengths)
    mean = f"{len(lengths):,} of them, of {tokens // len(lengths):,} tokens on the mean,"
    _check_memory(f"the prompts of the trace, {mean}", tokens, "send fewer of them, with -l or --duration")
    words = _Words(drawn)

    def prompts() -> Iterator[Input]:
        return (_of_line(asked, words, number, one) for number, one in enumerate(lengths, 1))

    first = _of_line(asked, words, 0, Lengths(0, lengths[0].input_tokens, lengths[0].output_tokens))
    others = partial(prompts_of_trace, asked=asked, lengths=lengths)
    return Prompts(first, len(lengths), prompts, is_in_order=True, drawn=drawn, others=others)


def _check_memory(what: str, tokens: int, next_step: str) -> None:
    if tokens * _A_WORD_BYTES > _MOST_BYTES:
        size = f"{tokens * _A_WORD_BYTES >> 20:,} MiB"
        raise UsageError(f"{what} would take {size} of memory", next_step=next_step)


def _of_line(asked: Asked, words: _Words, number: int, lengths: Lengths) -> Input:
    left, size, parts = lengths.input_tokens, lengths.block_tokens, []
    for block in lengths.blocks[: -(-left // size)]:
        parts.append(words.block(block, min(size, left)))
        left -= min(size, left)
    if left:
        parts.append(words.own(number, left))
    body = asked.body(" ".join(parts), lengths.output_tokens)
    return Input(body, JSON, f"line {lengths.line}" if lengths.line else "prompt 0")


class _Words:
    """A long text of words, drawn once, of which prompts are pieces: cutting one is far faster than drawing it."""

    def __init__(self, drawn: Drawn) -> None:
        by = f"{drawn.seed}/{drawn.run}" if drawn.run else f"{drawn.seed}"
        words = random.Random(f"{by} words").choices(_WORDS, k=_TEXT_WORDS)
        self._text = " ".join(words) + " "
        self._starts = [0, *accumulate(len(word) + 1 for word in words)]

    def some(self, start: int, count: int) -> str:
        """So many words from the one of that number on; the text begins again at its end."""
        start, pieces = start % _TEXT_WORDS, []
        while count > 0:
            end = min(start + count, _TEXT_WORDS)
            pieces.append(self._text[self._starts[start] : self._starts[end]])
            count -= end - start
            start = 0
        return "".join(pieces).rstrip()

    def own(self, number: int, count: int) -> str:
        """So many words, the first of which no other number has."""
        own = f"{number + 1}"
        return f"{own} {self.some(number * _STRIDE, count - 1)}" if count > 1 else own

    def block(self, number: int, count: int) -> str:
        """So many words, which the block of no other number has, but for a last one of a few words."""
        named = [_NAMES[number // len(_NAMES) ** place % len(_NAMES)] for place in range(min(_NAMING, count))]
        return " ".join([*named, self.some(number * _STRIDE, count - _NAMING)]).rstrip()
