"""What is asked of the figures, beyond that they are right: is an objective met, are they slower than before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from servemark.errors import UsageError
from servemark.options.kinds import PathTo, Share, Text
from servemark.options.objectives import Condition, parse_objective
from servemark.options.table import OptionGroup, option

DEFAULT_THRESHOLD_SHARE = 0.02


@dataclass(frozen=True)
class QuestionOptions(OptionGroup):
    """What is asked of the figures.

    Attributes:
        slo: the objective that they are to meet, as ``objectives.parse_objective`` has it; None is none.
        against: the result that they are compared with: its folder, ``latest``, or the name of a baseline.
        threshold_share: a change of less than this share is no difference.
    """

    slo: str | None = option(
        "--slo",
        kind=Text(),
        metavar="SLO",
        heading="question",
        help="is it met? as in 'p99<50ms,errors<0.1%%,rate>100/s'; exit 1 where it is missed",
        of_suites=True,
    )

    against: Path | None = option(
        "--against",
        kind=PathTo(),
        metavar="RESULT",
        heading="question",
        help="compare with an earlier result, a folder, latest or a baseline: exit 1 where this one is slower",
    )
    threshold_share: float = option(
        "--threshold",
        kind=Share(),
        default=DEFAULT_THRESHOLD_SHARE,
        metavar="SHARE",
        heading="question",
        help="a change of less than this is no difference (default: 2%%)",
    )

    @cached_property
    def objective(self) -> tuple[Condition, ...]:
        """The conditions of the objective; none where none is asked for."""
        return () if self.slo is None else parse_objective(self.slo)

    def check(self) -> None:
        """Refuse what is no objective, and a threshold of nothing."""
        _ = self.objective
        if self.against is None and self.threshold_share != DEFAULT_THRESHOLD_SHARE:
            raise UsageError("--threshold needs --against", next_step="name the result to compare with")
