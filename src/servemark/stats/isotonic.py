"""Isotonic regression: the values nearest to what was seen that never fall."""

from __future__ import annotations

from collections.abc import Sequence


def rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """`values`, of positive `weights`, as their weighted least-squares fit that never falls.

    Source: pool adjacent violators (Ayer, Brunk, Ewing, Reid and Silverman, Ann. Math. Statist. 26, 1955).
    """
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        block = (value, weight, 1)
        while blocks and blocks[-1][0] >= block[0]:
            before, heavy, number = blocks.pop()
            total = heavy + block[1]
            block = ((before * heavy + block[0] * block[1]) / total, total, number + block[2])
        blocks.append(block)
    return [value for value, _, number in blocks for _ in range(number)]
