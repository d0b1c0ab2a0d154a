"""Random draws as the native engine makes them (its ``request.rs``): functions of the seed and of what is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, product

from servemark.workload.plan import Group

#: Rows of draws when time ends the run, or the loops are more; after the last one JMeter begins again.
_MOST_ROWS = 100_000
_MASK = (1 << 64) - 1


def draw(seed: int, step: int, seq: int, size: int) -> int:
    """Which request of a pool of `size` request number `seq` is."""
    if size <= 1:
        return 0
    mixed = _splitmix64(_splitmix64(_splitmix64(seed) ^ step) ^ seq)
    return mixed * size >> 64


def draw_weighted(seed: int, user: int, loop: int, weights: Sequence[int]) -> int:
    """Which of the steps that have these weights a user performs in a loop."""
    mixed = _splitmix64(_splitmix64(_splitmix64(~seed & _MASK) ^ user) ^ loop)
    left = mixed * sum(weights) >> 64
    for position, weight in enumerate(weights):
        if left < weight:
            return position
        left -= weight
    return 0


def mix(seed: int, group: Group, first_user: int) -> Iterator[int]:
    """The step of each loop of a group that mixes its steps, the first loops of all users first.

    They are the draws of the native engine, so that the same loops perform the same steps; only which of its users
    performs which loop is left to JMeter.
    """
    load = group.closed
    users = range(first_user, first_user + load.users)
    loops = range(load.loops) if load.loops and not group.background else range(-(-_MOST_ROWS // load.users))
    return (draw_weighted(seed, user, loop, group.scenario.weights) for loop, user in product(loops, users))


def table(seed: int, group: Group, pooled: Sequence[int], first_step: int, first_user: int) -> Iterator[list[int]]:
    """A row for each loop of a group: the request of each of the `pooled` steps, then the step if it mixes them."""
    steps, load = group.scenario.steps, group.closed
    rows = _MOST_ROWS
    if load.loops and not group.background:
        rows = min(rows, load.users * load.loops)
    mixed = mix(seed, group, first_user) if group.scenario.weights else None
    for row in range(rows):
        inputs = [draw(seed, first_step + at, row * len(steps) + at, len(steps[at].requests)) for at in pooled]
        yield inputs + (list(islice(mixed, 1)) if mixed else [])


def _splitmix64(state: int) -> int:
    mixed = (state + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)
