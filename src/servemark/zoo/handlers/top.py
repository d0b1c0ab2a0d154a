"""The most probable entries of a distribution, as they are answered."""

from __future__ import annotations

from typing import Any

import numpy as np

_COUNT = 5


def most_probable(probabilities: Any, name: str) -> list[dict[str, Any]]:
    """The five most probable indices of a vector, best first: ``{name: index, "probability": p}``; ties by index."""
    best = np.argsort(-probabilities, kind="stable")[:_COUNT]
    return [{name: int(index), "probability": float(probabilities[index])} for index in best]
