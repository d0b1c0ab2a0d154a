"""Random draws as the native engine makes them (its ``draw.rs``): functions of the seed and of what is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from servemark.workload.plan import Group

#: Rows of draws of all users together when time ends the run, or the loops are more; after its last one a user begins
#: again.
_MOST_ROWS = 100_000
_MASK = (1 << 64) - 1


def draw(seed: int, size: int, *, step: int, position: int, user: int, loop: int) -> int:
    """Which request of a pool of `size` a user sends in a loop.

    `step` is the step's number in the plan, `position` its place in the scenario.
    """
    if size <= 1:
        return 0
    mixed = _splitmix64(_splitmix64(seed) ^ (step << 16 | position))
    return _splitmix64(_splitmix64(mixed ^ user) ^ loop) * size >> 64


def draw_weighted(seed: int, user: int, loop: int, weights: Sequence[int]) -> int:
    """Which of the steps that have these weights a user performs in a loop."""
    mixed = _splitmix64(_splitmix64(_splitmix64(~seed & _MASK) ^ user) ^ loop)
    left = mixed * sum(weights) >> 64
    for position, weight in enumerate(weights):
        if left < weight:
            return position
        left -= weight
    return 0


def table(seed: int, group: Group, pooled: Sequence[int], first_step: int, user: int) -> Iterator[list[int]]:
    """A row for each loop of a user: the request of each of the `pooled` steps, then the step if the group mixes them.

    They are the draws of the native engine, which no response moves: the same user sends the same in the same loop.
    """
    steps, weights, load = group.scenario.steps, group.scenario.weights, group.closed
    rows = -(-_MOST_ROWS // load.users)
    if load.loops and not group.background:
        rows = min(rows, load.loops)
    for loop in range(rows):
        inputs = [
            draw(seed, len(steps[at].requests), step=first_step + at, position=at, user=user, loop=loop)
            for at in pooled
        ]
        yield inputs + ([draw_weighted(seed, user, loop, weights)] if weights else [])


def _splitmix64(state: int) -> int:
    mixed = (state + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)
