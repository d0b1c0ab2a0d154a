"""How long the prompts and answers of a trace were: what its lines have beside their times.

Of traces as they are published: JSON lines of Mooncake and of Qwen-Bailian (``input_length``, ``output_length``, and
``hash_ids``, which number the blocks of the prompt, of 512 tokens or of 16), and tables with the columns of Azure's LLM
traces (``ContextTokens``, ``GeneratedTokens``) or of BurstGPT (``Request tokens``, ``Response tokens``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from servemark.errors import UsageError
from servemark.workload.trace_tables import OF_BAILIAN, decoded, rows_of

_OF_OBJECTS = ("input_length", "output_length")
_BLOCKS = "hash_ids"
#: Tokens of a block in the traces of Mooncake, and of Bailian.
_BLOCK_TOKENS, _OF_BAILIAN_TOKENS = 512, 16
#: Of tables, in small letters.
_OF_ROWS = (("contexttokens", "generatedtokens"), ("request tokens", "response tokens"))
#: More tokens than any model takes, or writes.
_MOST_TOKENS = 10_000_000


@dataclass(frozen=True, slots=True)
class Lengths:
    """What a line says: how many tokens the prompt and its answer had; its blocks by number, and their size."""

    line: int
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()
    block_tokens: int = _BLOCK_TOKENS


def lengths_in(content: bytes, file: str, most: int) -> tuple[Lengths, ...] | None:
    """What the lines of a trace say of lengths, at most so many of them; None where its kind says nothing of them.

    Raises:
        UsageError: a line does not say what the first ones do; names it.
    """
    text = decoded(content)
    found = _of_objects(text, file) if text.lstrip()[:1] == "{" else _of_rows(text, file)
    return None if found is None else tuple(islice(found, most))


def _of_objects(text: str, file: str) -> Iterator[Lengths] | None:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    first = json.loads(lines[0][1])  # the times of the trace were read before
    if not all(name in first for name in _OF_OBJECTS):
        return None
    block_tokens = _OF_BAILIAN_TOKENS if OF_BAILIAN in first else _BLOCK_TOKENS
    return (_of_object(file, number, json.loads(line), block_tokens) for number, line in lines)


def _of_object(file: str, number: int, value: dict[str, Any], block_tokens: int) -> Lengths:
    asked, answered = (_tokens(file, number, name, value.get(name)) for name in _OF_OBJECTS)
    blocks = value.get(_BLOCKS, [])
    if not isinstance(blocks, list) or not all(type(block) is int and block >= 0 for block in blocks):
        raise _refusal(file, f"line {number}: {_BLOCKS} is no list of numbers", "write whole numbers, or leave it out")
    return Lengths(number, asked, answered, tuple(blocks), block_tokens)


def _of_rows(text: str, file: str) -> Iterator[Lengths] | None:
    rows = rows_of(text, file)
    _, first = next(rows, (0, []))
    heading = [cell.strip().lower() for cell in first]
    named = next((pair for pair in _OF_ROWS if all(name in heading for name in pair)), None)
    if named is None:
        return None
    places = [heading.index(name) for name in named]
    return (_of_row(file, number, row, heading, places) for number, row in rows)


def _of_row(file: str, number: int, row: list[str], heading: list[str], places: list[int]) -> Lengths:
    cells = [row[place].strip() if place < len(row) else "" for place in places]
    numbers = [int(cell) if cell.isdecimal() and cell.isascii() else cell for cell in cells]
    asked, answered = (
        _tokens(file, number, heading[place], found) for place, found in zip(places, numbers, strict=True)
    )
    return Lengths(number, asked, answered)


def _tokens(file: str, number: int, name: str, value: object) -> int:
    """A length; an answer of nothing, which failed when the trace was recorded, is asked for as one of a token."""
    if type(value) is not int or not 0 <= value <= _MOST_TOKENS:
        shown = ascii(value)[:40] if value not in (None, "") else "nothing"
        raise _refusal(file, f"line {number}: {name} is {shown}", "write a whole number of tokens")
    return max(value, 1)


def _refusal(file: str, cause: str, next_step: str) -> UsageError:
    return UsageError(f"cannot use the lengths in the trace {file}", cause=cause, next_step=next_step)
