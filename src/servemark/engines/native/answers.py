"""The answers of a run, read for their tokens when it is over: its records get what each of them said.

The engine has kept the bodies as they came, and nothing of them was looked at meanwhile. A record whose answer says
that it failed becomes an application failure: that is what happened to the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from servemark import _loadgen
from servemark.errors import RecordingError, UsageError
from servemark.event_files import bodies_path
from servemark.record_header import BODIES_MAGIC, MAGIC, packed, read_header, with_size
from servemark.records import RecordFile, open_records
from servemark.workload.engine_plan import EnginePlan, EngineStep
from servemark.workload.prompts import AnswerAsked, answer_asked
from servemark.workload.scenario import TokenFormat

#: Texts that are counted at once.
_TEXTS_AT_ONCE = 256


class Tokenizer(Protocol):
    """What counts tokens."""

    def counts(self, texts: Sequence[str]) -> list[int]:
        """How many each text has."""
        ...


@dataclass(frozen=True)
class _Loaded:
    """A tokenizer of the package tokenizers."""

    tokenizer: Any

    def counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, without those that frame a prompt."""
        encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in the file at `path`; nothing is downloaded, and the file is read again only where it has changed.

    Raises:
        UsageError: the package tokenizers is not installed, or the file is of another kind.
    """
    try:
        found = path.stat()
    except OSError:
        return _loaded(path, 0, 0)  # which says what is wrong
    return _loaded(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1)
def _loaded(path: Path, mtime_ns: int, size: int) -> Tokenizer:
    del mtime_ns, size  # by which it is known
    try:
        from tokenizers import Tokenizer as Loaded
    except ImportError as error:
        raise UsageError(
            "--tokenizer needs the package tokenizers",
            cause="it is not installed",
            next_step="export SERVEMARK_EXTRAS=tokens for benchmark.py, or pip install '.[tokens]' in its folder",
        ) from error
    try:
        loaded = Loaded.from_file(str(path))
    except Exception as error:
        raise UsageError(
            f"{path} is no tokenizer",
            cause=str(error),
            next_step="give --tokenizer the tokenizer.json that the model's makers publish",
        ) from error
    # Files may ask for either, for batches that a model is trained with.
    loaded.no_padding()
    loaded.no_truncation()
    return _Loaded(loaded)


def read_answers(plan: EnginePlan, record_path: Path) -> _loadgen.AnswersRead | None:
    """Read the answers of a run that has ended, and write what they said into its records; None where none were kept.

    The bodies go away then, unless the plan has events recorded.

    Raises:
        UsageError: the file of the tokenizer is none.
        RecordingError: they cannot be read, or the records not be written.
    """
    formats = [step.tokens for step in plan.steps]
    if not any(formats):
        return None
    bodies = bodies_path(record_path)
    out = record_path.with_suffix(".read")
    try:
        with bodies.open("rb") as file:
            header_bytes = read_header(file, bodies, BODIES_MAGIC, "a file of bodies")["header_bytes"]
        with record_path.open("rb") as file:
            out.write_bytes(_header_with_answers(read_header(file, record_path, MAGIC, "a record file")))
        tokenizer = load_tokenizer(plan.tokenizer) if plan.tokenizer else None
        counted = _count(bodies, header_bytes, formats, tokenizer) if tokenizer else {}
        records = open_records(record_path)
        asked = [_asked(step, number, records) for number, step in enumerate(plan.steps)]
        read = _loadgen.read_answers(
            records,
            str(bodies),
            header_bytes=header_bytes,
            formats=formats,
            counted=counted,
            tokens=[[one.tokens for one in of_step] for of_step in asked],
            streams=[[one.is_stream for one in of_step] for of_step in asked],
            warmup_ns=records.warmup_ns,
            out=str(out),
        )
        out.replace(record_path)
        if not plan.record_events:
            bodies.unlink()
    except OSError as error:
        out.unlink(missing_ok=True)
        raise RecordingError(f"cannot read the answers in {bodies}", cause=error.strerror or str(error)) from error
    return read


def _header_with_answers(header: dict[str, Any]) -> bytes:
    """The header of a record file, for rows that have the columns of answers behind their own."""
    width = header["row_bytes"]
    columns = [{"name": name, "dtype": dtype, "offset": width + at} for name, dtype, at in _loadgen.ANSWER_COLUMNS]
    wider = {
        **header,
        "row_bytes": width + _loadgen.ANSWER_ROW_BYTES,
        "columns": [*header["columns"], *columns],
        "finish_names": list(_loadgen.FINISH_NAMES),
    }
    return packed(with_size(wider))


def _asked(step: EngineStep, number: int, records: RecordFile) -> list[AnswerAsked]:
    """What each request of a step's pool asks of its answer, as far as it was sent."""
    if step.tokens is None:
        return []
    sent = np.unique(records["input"][records["step"] == number])
    found = [AnswerAsked(0, is_stream=False)] * (int(sent.max()) + 1 if len(sent) else 0)
    for place in sent.tolist():
        found[place] = answer_asked(step.requests[place].body)
    return found


def _count(
    bodies: Path, header_bytes: int, formats: Sequence[TokenFormat | None], tokenizer: Tokenizer
) -> dict[int, int]:
    """The tokens of each answer's whole text, by the number of its request."""
    texts = _loadgen.AnswerTexts(str(bodies), header_bytes=header_bytes, formats=list(formats))
    counted: dict[int, int] = {}
    while found := texts.next(_TEXTS_AT_ONCE):
        counts = tokenizer.counts([text for _, text in found])
        counted |= {seq: count for (seq, _), count in zip(found, counts, strict=True)}
    return counted
