"""The connection to a Ray cluster: one that runs, or one of this machine that is started for it."""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import servemark
from servemark.engines import Sharing
from servemark.engines.native.cluster.answering import check_answers, host_and_port
from servemark.engines.native.cluster.asking import attempted, tidied
from servemark.engines.native.cluster.driver import check_joins, is_alone, joins, leaves, own_address
from servemark.engines.native.cluster.local import local_cluster
from servemark.errors import ServemarkError, SetupError, UnreachableError
from servemark.interrupts import take_back

#: Once somebody answers at the address it is a matter of tenths of a second.
_WITHIN_S = 20.0
_ENDED_WITHIN_S = 5.0
#: A driver tells nobody what it does, starts no cluster of its own accord where a call finds none, and is not ended by
#: Ray, with all that was measured, when the head of its cluster was gone for a minute.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "1000000",
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


def check_cluster(cluster: Cluster) -> None:
    """See that this process may be connected to it, and that it answers where it is named.

    Raises:
        UsageError: the address is none, or this process is or was connected to another that does not go with it.
        UnreachableError: nobody answers there.
        ClusterLostError: Ray does not come back from what it was asked before.
    """
    check_joins(cluster.address, cluster.named_with)
    if cluster.address is not None:
        check_answers(cluster.address, cluster.named_with)


@contextmanager
def connected(cluster: Cluster) -> Iterator[bool]:
    """Be a driver on the cluster, as ``import ray`` has it from then on; what was started is ended after the block.

    Where this program is a driver already (of Python) it stays that, and the cluster is its own. Told is whether it is
    one of this machine alone, which was started for us.

    Raises:
        UsageError: the address is none, or this process is or was connected to another that does not go with it.
        UnreachableError: nobody answers there.
        SetupError: no cluster can be started, it does not let us in, or has another Ray or Python.
    """
    check_cluster(cluster)
    if own_address() is not None:
        yield is_alone()
        return
    with ExitStack() as started:
        address = cluster.address
        if address is None:
            local = started.enter_context(local_cluster())
            address = local.address
            started.enter_context(_variables(local.environ))
        started.enter_context(_variables(_SETTINGS))
        joins(cluster.address)
        started.callback(leaves)
        started.enter_context(_quiet())
        started.callback(_disconnect)
        _connect(address, cluster.ships)
        take_back()
        yield is_alone()


def _connect(address: str, ships: bool) -> None:
    """Connect in a thread of its own: Ray takes over the signals of the one that asks, and may wait without end."""
    import ray

    def connect() -> None:
        ray.init(
            address=address,
            namespace="servemark",
            configure_logging=False,
            log_to_driver=False,
            runtime_env={"py_modules": [str(Path(servemark.__file__).parent)]} if ships else None,
        )

    connecting = attempted(connect, _WITHIN_S)
    if not connecting.done():
        cause = f"Ray was not connected within {_WITHIN_S:g} s"
        raise UnreachableError(f"no Ray cluster answers at {address}", cause=cause)
    error = connecting.exception()
    if error is not None:
        raise _refusal(address, error) from error


def _disconnect() -> None:
    """Be no driver any more; where that cannot be done at once it is left to the cluster to notice that we are gone.

    Then the process ends without what Ray does in the end: it would wait without end, or crash, and so would what Ray
    has running in threads when their libraries are torn down.
    """
    import ray

    if not tidied(ray.shutdown, _ENDED_WITHIN_S):
        atexit.unregister(ray.shutdown)
        libc = ctypes.CDLL(None)
        libc.on_exit(libc._exit, None)  # it is given the exit status, when Python is done


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
