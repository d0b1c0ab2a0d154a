"""What is asked of the figures, beyond that they are right: is an objective met, are they slower than before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

from servemark.errors import UsageError
from servemark.options.kinds import Grid, OneOf, PathTo, Seconds, Share, Text
from servemark.options.objectives import Condition, parse_objective
from servemark.options.table import OptionGroup, option
from servemark.result import By

DEFAULT_THRESHOLD_SHARE = 0.02
DEFAULT_SEARCH_BUDGET_S = 600.0
#: What a search may be repeated over.
CONFIGURABLE = ("workers", "batch_size", "max_batch_delay")


@dataclass(frozen=True)
class QuestionOptions(OptionGroup):
    """What is asked of the figures.

    Attributes:
        slo: the objective that they are to meet, as ``objectives.parse_objective`` has it; None is none.
        against: the result that they are compared with: its folder, ``latest``, or the name of a baseline.
        threshold_share: a change of less than this share is no difference.
        by: what is searched for the most that meets the objective, ``"rate"`` or ``"threads"``; None searches nothing.
        search_budget_s: for how long a search may send; what it waits for then comes on top.
        over: of settings of the model the values to try, each with each; a search of its own for each of them.
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
        offers=("latest",),
        of_searches=False,
    )
    threshold_share: float = option(
        "--threshold",
        kind=Share(),
        default=DEFAULT_THRESHOLD_SHARE,
        metavar="SHARE",
        heading="question",
        help="a change of less than this is no difference (default: 2%%)",
        of_searches=False,
    )

    by: By | None = option(
        "--by",
        kind=OneOf(get_args(By)),
        heading="capacity",
        help="what is searched: the rate of an open loop (default), or the threads of a closed one",
    )
    search_budget_s: float = option(
        "--search-budget",
        kind=Seconds(above_zero=True),
        default=DEFAULT_SEARCH_BUDGET_S,
        metavar="S",
        heading="capacity",
        help="for how long the search may send; its last answers are awaited (default: 600)",
    )

    over: tuple[tuple[str, tuple[int, ...]], ...] | None = option(
        "--over",
        kind=Grid(CONFIGURABLE),
        metavar="KEY=VALUES",
        heading="capacity",
        help="search it for each of these: workers=1,2,4 batch_size=1,8 max_batch_delay=10,50; and recommend one",
        offers=tuple(f"{key}=" for key in CONFIGURABLE),
    )

    @cached_property
    def objective(self) -> tuple[Condition, ...]:
        """The conditions of the objective; none where none is asked for."""
        return () if self.slo is None else parse_objective(self.slo)

    def check(self) -> None:
        """Refuse what is no objective, and a threshold of nothing."""
        _ = self.objective
        if self.by is None and self.search_budget_s != DEFAULT_SEARCH_BUDGET_S:
            raise UsageError("--search-budget needs --by", next_step="say what is to be searched")
        if self.by is None and self.over is not None:
            raise UsageError("--over needs --by", next_step="say what is to be searched")
        if self.by is not None and not self.objective:
            raise UsageError("a search for the capacity needs --slo", next_step="as in --slo 'p99<50ms'")
        of_rate = [one.text for one in self.objective if one.figure == "rate"] if self.by is not None else []
        if of_rate:
            raise UsageError(f"--slo {of_rate[0]}: the rate is what is searched", next_step="leave it out")
        if self.by is not None and self.against is not None:
            raise UsageError("a search for the capacity and --against do not go together")
        if self.against is None and self.threshold_share != DEFAULT_THRESHOLD_SHARE:
            raise UsageError("--threshold needs --against", next_step="name the result to compare with")
