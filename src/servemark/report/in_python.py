"""A result as Python has it: the document, and the folder in which its records are."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from servemark import result as documents
from servemark.result import RunResult

if TYPE_CHECKING:
    import pandas as pd

#: Characters of the answers; more is no line any more.
_LONGEST_REPR = 300


@dataclass(frozen=True, kw_only=True, repr=False)
class Result(documents.Result):
    """A result that was written: all that its ``result.json`` says, its records, and what a notebook shows of it.

    `folder` is where it is, absolute; it is no part of the document, and two results that differ in it alone are equal.
    """

    folder: Path = field(compare=False, metadata=documents.NOT_WRITTEN)

    @classmethod
    def of(cls, result: documents.Result, folder: Path) -> Result:
        """`result`, which was written into `folder`; a link is followed now, since it may lead elsewhere later."""
        values = {known.name: getattr(result, known.name) for known in dataclasses.fields(result)}
        return cls(**{**values, "folder": folder.resolve()})

    @classmethod
    def load(cls, folder: Path | str) -> Result:
        """The result in `folder`, of this or an earlier version.

        Raises:
            RecordingError: there is none, or it cannot be read.
        """
        path = Path(folder)
        return cls.of(documents.load_result(path), path if path.is_dir() else path.parent)

    @property
    def run_names(self) -> tuple[str, ...]:
        """The names of all runs, in the order in which they were measured."""
        return tuple(run.name for benchmark in self.benchmarks for run in benchmark.runs)

    def records(self, run: RunResult | str | None = None, step: str | None = None) -> NDArray[np.void]:
        """What happened to each request, as a structured array: of all runs, or of one, and of all steps, or of one.

        `run` is one of ``run_names``, or a ``RunResult`` of this result. `run`, `step` and `error` ("ok" of a success)
        are names, times are int64 in nanoseconds from the run's start and -1 where they never came, `latency_ns` is
        what is reported, `warm_up` and `measured` are bool. Where answers were read for their tokens there are also
        `tokens`, `prompt_tokens`, `first_token_ns` and `time_per_output_token_ns`, -1 where an answer has none. A copy
        in memory.

        Raises:
            UsageError: there is no such run or step.
            RecordingError: the folder, or its records, are gone, condensed, cut short, or cannot be read.
        """
        from servemark.report.record_tables import record_array, record_table

        return record_array(record_table(self, self.folder, run, step))

    def to_pandas(self, run: RunResult | str | None = None, step: str | None = None) -> pd.DataFrame:
        """The columns of ``records()`` as a frame: names are categories, and a time that never came is missing.

        Raises:
            SetupError: pandas is not installed.
            UsageError: there is no such run or step.
            RecordingError: the folder, or its records, are gone, condensed, cut short, or cannot be read.
        """
        from servemark.report.record_tables import record_frame, record_table

        return record_frame(record_table(self, self.folder, run, step))

    def __repr__(self) -> str:
        from servemark.printable import printable
        from servemark.report.terminal import answer_lines
        from servemark.terminals import shortened

        answers = (line.plain for benchmark in self.benchmarks for line in answer_lines(benchmark))
        told = "; ".join(answers) or "nothing was measured"
        return printable(f"<servemark.Result {shortened(' '.join(told.split()), _LONGEST_REPR)}; in {self.folder}>")

    def _repr_html_(self) -> str:
        from servemark.report.notebook import result_html

        return result_html(self, self.folder)
