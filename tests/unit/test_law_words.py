"""The scalability law in words: what was seen, and what is only the law's."""

from __future__ import annotations

import numpy as np
import pytest

from servemark.report.law import law_in_words
from servemark.result import NotFitted
from servemark.stats.scalability import fit_scalability


def _words(users: list[float], rates: list[float]) -> str:
    fit = fit_scalability(np.array(users), np.array(rates))
    return law_in_words(NotFitted(fit) if isinstance(fit, str) else fit)


def _law(users: list[float], sigma: float, kappa: float) -> list[float]:
    return [50.0 * n / (1 + sigma * (n - 1) + kappa * n * (n - 1)) for n in users]


FROM_1, FROM_4 = [1.0, 4.0, 7.0, 10.0, 13.0], [4.0, 8.0, 16.0, 24.0]


@pytest.mark.parametrize(
    ("users", "rates", "words"),
    [
        (FROM_1, [50.0] * 5, "50.0/s alone; the same from 1 to 13 threads: one thing after the other (sigma 1.000"),
        (FROM_1, _law(FROM_1, 0.0, 0.0), "50.0/s alone; no peak up to 13 threads, it grows in proportion (sigma 0.000"),
        (FROM_1, _law(FROM_1, 0.2, 0.0), "50.0/s alone; no peak up to 13 threads, it only flattens (sigma 0.200"),
        (FROM_1, _law(FROM_1, 0.1, 0.02), "50.0/s alone; most at 7 threads (sigma 0.100"),
        (
            FROM_1,
            _law(FROM_1, 0.05, 0.003),
            "most at about 18 threads by the law, which nobody saw: measured up to 13 (sigma 0.050",
        ),
        (FROM_1, _law(FROM_1, 1.0, 0.02), "50.0/s alone; most at 1 thread, it falls from there (sigma 1.000"),
        (FROM_4, _law(FROM_4, 0.2, 0.0), "50.0/s alone by the law (measured from 4 threads on); no peak up to 24"),
        (FROM_4, _law(FROM_4, 0.2, 0.2), "most at 4 threads, it falls from there"),
        ([1.0, 2.0], [1.0, 2.0], "not fitted: a fit needs at least 4 different numbers of threads"),
    ],
)
def test_what_is_said_of_a_law(users, rates, words):
    assert words in _words(users, rates)
