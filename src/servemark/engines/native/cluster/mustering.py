"""Generators started on the nodes of a Ray cluster; see ``servemark.engines.native.spread.Placement``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servemark.engines import Sharing
from servemark.engines.native.cluster.actor import GeneratorActor
from servemark.engines.native.cluster.asking import asked, tidied
from servemark.engines.native.cluster.connecting import Cluster, connected
from servemark.engines.native.cluster.generators import OwnRaylet, RayGenerator, RecordTraffic
from servemark.engines.native.cluster.placement import Node, Places, node_of, place, remove
from servemark.errors import SetupError

if TYPE_CHECKING:
    from ray.actor import ActorHandle
    from ray.util.placement_group import PlacementGroup

#: A worker has to start, and to load what it executes, on a machine that may be busy.
_STARTED_WITHIN_S, _LOOK_EVERY_S = 30.0, 0.25
_CLOSED_WITHIN_S = 5.0
#: Beyond that: what is said to the cluster itself.
_TOLD_WITHIN_S = 3.0
#: Of an actor's methods so many may be under way: its outcome, a chunk of records, its progress, and what stops it.
_AT_ONCE = 8

_UNTIDY = (
    "the Ray cluster does not answer, and was not tidied up: its generators hear nothing of servemark any more, and end"
)


class RayPlacement:
    """Generators on a cluster, which is connected to when the first are mustered.

    On a cluster of this machine alone they share its node. `note` takes a line for people.
    """

    silence_s: float | None = 1.0

    def __init__(self, spread: Sharing, note: Callable[[str], None] = lambda _line: None) -> None:
        self._note = note
        self._cluster = Cluster.of(spread)
        self._cpus_each = spread.cpus_each
        self._pack = spread.pack
        self._connection: ExitStack | None = None

    @contextmanager
    def muster(self, records: Sequence[Path], token: bytes, *, server_here: bool) -> Iterator[Sequence[RayGenerator]]:
        """See ``Placement``; none is on the node of a server that is here, unless they may share one."""
        self._connect()
        import ray

        here = ray.get_runtime_context().get_node_id() if server_here and not self._pack else None
        with self._tidying() as mustered:
            group = place(Places(len(records), self._cpus_each, self._pack, without=here))
            mustered.callback(remove, group)
            actors = asked(lambda: self._started(group, len(records), token))
            mustered.callback(_kill, actors)
            answers = _facts(actors, group)
            mustered.callback(_close, actors)
            generators = [RayGenerator(*one) for one in zip(actors, answers, records, strict=True)]
            traffic = RecordTraffic(generators, OwnRaylet(_raylet_address()))
            traffic.start()
            mustered.callback(traffic.stop)
            yield generators

    @contextmanager
    def _tidying(self) -> Iterator[ExitStack]:
        """What is to be done when those that were mustered are not wanted any more; done in a bounded time."""
        with ExitStack() as mustered:
            try:
                yield mustered
            finally:
                if not tidied(mustered.pop_all().close, _CLOSED_WITHIN_S + _TOLD_WITHIN_S):
                    self._note(_UNTIDY)

    def close(self) -> None:
        """See ``Placement``."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        if self._connection is None:
            with ExitStack() as connection:
                is_alone = connection.enter_context(connected(self._cluster))
                self._pack = self._pack or is_alone
                self._connection = connection.pop_all()

    def _started(self, group: PlacementGroup, number: int, token: bytes) -> list[ActorHandle[Any]]:
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        remote: Any = ray.remote(GeneratorActor)
        return [
            remote.options(
                num_cpus=self._cpus_each,
                max_restarts=0,
                max_concurrency=_AT_ONCE,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, place),
            ).remote(token)
            for place in range(number)
        ]


def _raylet_address() -> str:
    """Find where the raylet of this node listens."""
    import ray._private.worker as driver

    assert driver.global_worker.node
    address: str = driver.global_worker.node.raylet_socket_name
    return address


def _facts(actors: Sequence[ActorHandle[Any]], group: PlacementGroup) -> list[Any]:
    """What the generators say of themselves, when all have started.

    Raises:
        SetupError: one did not start; says on which node, and why.
        KeyboardInterrupt: Ctrl-C or its like came meanwhile.
    """
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    facts: list[Any] = asked(lambda: [actor.facts.remote() for actor in actors])
    until_s = time.monotonic() + _STARTED_WITHIN_S
    while time.monotonic() < until_s:
        ready, _ = asked(lambda: ray.wait(facts, num_returns=len(facts), timeout=_LOOK_EVERY_S))
        if len(ready) == len(facts):
            break
    found: list[Any] = []
    for number, one in enumerate(facts):
        try:
            found.append(asked(partial(ray.get, one, timeout=0)))
        except GetTimeoutError:
            why = f"not within {_STARTED_WITHIN_S:g} s"
            raise _not_started(number, asked(partial(node_of, group, number)), why) from None
        except RayError as error:
            raise _not_started(number, asked(partial(node_of, group, number)), str(error)) from error
    return found


def _not_started(number: int, node: Node | None, why: str) -> SetupError:
    """Say in words that a generator did not start."""
    where = f"generator {number + 1} did not start on {node.host if node else 'its node'}"
    lines = why.strip().splitlines() or [""]
    if "No module named 'servemark" in why:
        step = "install the same servemark there, or have this one sent with --ship"
        return SetupError(where, cause="that node has no servemark, or another one", next_step=step)
    return SetupError(where, cause=lines[-1].strip(), detail="\n".join(lines[-20:]))


def _close(actors: Sequence[ActorHandle[Any]]) -> None:
    """Have each end its generator and remove what it wrote."""
    import ray
    from ray.exceptions import RayError

    with suppress(RayError):
        ray.wait([one.close.remote() for one in actors], num_returns=len(actors), timeout=_CLOSED_WITHIN_S)


def _kill(actors: Sequence[ActorHandle[Any]]) -> None:
    """End each, whether it has started by now or not; those that are gone are so."""
    import ray
    from ray.exceptions import RayError

    for actor in actors:
        with suppress(RayError):
            ray.kill(actor)
