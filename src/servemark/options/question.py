"""What is asked of the figures, beyond that they are right: whether they meet an objective."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from servemark.options.kinds import Text
from servemark.options.objectives import Condition, parse_objective
from servemark.options.table import OptionGroup, option


@dataclass(frozen=True)
class QuestionOptions(OptionGroup):
    """What is asked of the figures.

    Attributes:
        slo: the objective that they are to meet, as ``objectives.parse_objective`` has it; None is none.
    """

    slo: str | None = option(
        "--slo",
        kind=Text(),
        metavar="SLO",
        heading="question",
        help="is it met? as in 'p99<50ms,errors<0.1%%,rate>100/s'; exit 1 where it is missed",
        of_suites=True,
    )

    @cached_property
    def objective(self) -> tuple[Condition, ...]:
        """The conditions of the objective; none where none is asked for."""
        return () if self.slo is None else parse_objective(self.slo)

    def check(self) -> None:
        """Refuse what is no objective."""
        _ = self.objective
