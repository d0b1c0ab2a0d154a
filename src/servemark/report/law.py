"""The scalability law in words: what was seen, and what is only the law's beyond it."""

from __future__ import annotations

from servemark.result import NotFitted, Scalability

#: A share of serial work from which on the throughput of a law without other costs is the same at any number.
_SERIAL_SIGMA = 0.995


def law_in_words(found: Scalability | NotFitted) -> str:
    """A fitted law, or why there is none."""
    if isinstance(found, NotFitted):
        return f"not fitted: {found.refused}"
    least, most = found.least_users, found.most_users
    one = f"{found.lambda_per_s:.1f}/s alone"
    if least > 1:
        one += f" by the law (measured from {least:.0f} threads on)"
    shares = f"sigma {found.sigma:.3f}, kappa {found.kappa:.2g}"
    shares += "" if found.off_share is None else f", off by {found.off_share:.1%} at most"
    return f"{one}; {_where_most(found, least, most)} ({shares})"


def _where_most(found: Scalability, least: float, most: float) -> str:
    peak = found.peak_users
    if peak is None:
        if found.sigma >= _SERIAL_SIGMA:
            return f"the same from {least:.0f} to {most:.0f} threads: one thing after the other"
        grows = "it only flattens" if found.sigma else "it grows in proportion"
        return f"no peak up to {most:.0f} threads, {grows}"
    if peak > most:
        return f"most at about {peak:.0f} threads by the law, which nobody saw: measured up to {most:.0f}"
    if peak <= least:
        return f"most at {least:.0f} thread{'s' * (least > 1)}, it falls from there"
    return f"most at {peak:.0f} threads"
