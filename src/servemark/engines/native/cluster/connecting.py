"""The connection to a Ray cluster: one that runs, or one of this machine that is started for it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import servemark
from servemark.engines import Sharing
from servemark.engines.native.cluster.answering import check_answers, host_and_port
from servemark.engines.native.cluster.local import local_cluster
from servemark.errors import ServemarkError, SetupError, UnreachableError
from servemark.interrupts import take_back

#: Once somebody answers at the address it is a matter of tenths of a second.
_WITHIN_S = 20.0
#: Neither tells anybody what it does, nor starts a cluster of its own accord where a call finds none.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_SAME = "use the Ray and the Python that the nodes have, to the last number"


@dataclass(frozen=True)
class Cluster:
    """Which cluster: that at `address`, as `named_with` has it, or one of this machine alone where that is None.

    With `ships`, nodes need no servemark: they get a copy of this one.
    """

    address: str | None
    named_with: str
    ships: bool = False

    @classmethod
    def of(cls, spread: Sharing) -> Cluster:
        """The one that is asked for.

        Raises:
            UsageError: its address is none.
        """
        given, environ = spread.ray_address, os.environ.get("RAY_ADDRESS") or None
        cluster = cls(given or environ, "--ray-address" if given else "RAY_ADDRESS", spread.ship)
        if cluster.address is not None:
            host_and_port(cluster.address, cluster.named_with)
        return cluster


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Be a driver on the cluster, as ``import ray`` has it from then on; what was started is ended after the block.

    Where this program is a driver already (of Python) it stays that, and the cluster is its own.

    Raises:
        UsageError: the address is none.
        UnreachableError: nobody answers there.
        SetupError: no cluster can be started, it does not let us in, or has another Ray or Python.
    """
    with ExitStack() as started:
        address = cluster.address
        if address is None:
            local = started.enter_context(local_cluster())
            address = local.address
            started.enter_context(_variables(local.environ))
        else:
            check_answers(address, cluster.named_with)
        started.enter_context(_variables(_SETTINGS))
        import ray

        if not ray.is_initialized():
            started.enter_context(_quiet())
            started.callback(ray.shutdown)
            _connect(address, cluster.ships)
            take_back()
        yield


def _connect(address: str, ships: bool) -> None:
    """Connect in a thread of its own: Ray takes over the signals of the one that asks, and may wait without end."""
    import ray

    failed: list[BaseException] = []

    def connect() -> None:
        try:
            ray.init(
                address=address,
                namespace="servemark",
                configure_logging=False,
                log_to_driver=False,
                runtime_env={"py_modules": [str(Path(servemark.__file__).parent)]} if ships else None,
            )
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_WITHIN_S)
    if thread.is_alive():
        cause = f"Ray was not connected within {_WITHIN_S:g} s"
        raise UnreachableError(f"no Ray cluster answers at {address}", cause=cause)
    if failed:
        raise _refusal(address, failed[0]) from failed[0]


def _refusal(address: str, error: BaseException) -> ServemarkError:
    """What Ray's error means."""
    text = " ".join(str(error).split())
    if "ersion mismatch" in text:
        return SetupError(f"the Ray cluster at {address} is of another Ray or Python", cause=text, next_step=_SAME)
    if "token" in text.lower() or "nauthenticated" in text:
        step = "export RAY_AUTH_MODE=token, and its RAY_AUTH_TOKEN"
        return SetupError(f"the Ray cluster at {address} does not let us in", cause=text, next_step=step)
    if isinstance(error, (ConnectionError, RuntimeError, ValueError, TimeoutError)):
        step = "run servemark on a node of that cluster, where ray status answers"
        return UnreachableError(f"no connection to the Ray cluster at {address}", cause=text, next_step=step)
    raise error


@contextmanager
def _quiet() -> Iterator[None]:
    """Have Ray tell nothing for the block: on stdout, where it would, a result may be printed."""
    import ray._private.worker as driver

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    printing, driver.print_to_stdstream = driver.print_to_stdstream, lambda *_told, **_how: None
    try:
        yield
    finally:
        driver.print_to_stdstream = printing


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Have `values` in our environment for the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
