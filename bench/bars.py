"""The bars: what servemark promises of itself, and what `make bench` fails for.

A bar is held or missed. A missed one is shown; what fails is a regression: a figure more than 20% over its bar, or, of
those that are ratios to the floor and to wrk in the same run, over the committed one (``figures.json``). So a slower
machine changes nothing. That a peer is cheaper than it was is not a regression.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FIGURES = Path(__file__).with_name("figures.json")
REGRESSION = 1.2


@dataclass(frozen=True)
class Bar:
    """A promise: `value` is at most `limit`, in `unit`.

    Attributes:
        figure: what it was when it was last accepted; None where the limit alone counts.
        fails: whether a regression of it fails `make bench`.
    """

    name: str
    value: float
    limit: float
    unit: str
    figure: float | None = None
    fails: bool = True

    @property
    def is_held(self) -> bool:
        """Whether the promise is kept."""
        return self.value <= self.limit

    @property
    def reference(self) -> float:
        """What a regression is counted from."""
        return self.limit if self.figure is None else self.figure

    @property
    def regression(self) -> str | None:
        """What to say when it has become more than 20% worse, else None."""
        if not self.fails or self.value <= REGRESSION * self.reference:
            return None
        over = self.value / self.reference - 1 if self.reference else float("inf")
        what = "its bar" if self.figure is None else "the committed figure"
        return f"{self.name}: {self.value:.3g} {self.unit}, {over:.0%} over {what} ({self.reference:.3g})".replace(
            "  ", " "
        )


def committed_figures() -> Mapping[str, float]:
    """Figures of ratios by the name of the bar; none where none were committed."""
    return json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}


def keep_figures(bars: Sequence[Bar]) -> None:
    """Write the ratios of this run, for later ones to be compared with."""
    figures = {bar.name: round(bar.value, 3) for bar in bars if bar.unit == "x" and bar.fails}
    FIGURES.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
