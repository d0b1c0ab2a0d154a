"""What a process that is the driver of a Ray cluster, or was, may be connected to: said before anything is started."""

from __future__ import annotations

import socket
import sys
from types import SimpleNamespace

import pytest

from servemark.engines import Sharing
from servemark.engines.native.cluster import connecting, driver
from servemark.engines.native.cluster.connecting import Cluster, check_cluster, connected
from servemark.engines.native.cluster.driver import check_joins
from servemark.engines.native.cluster.mustering import RayPlacement
from servemark.errors import UsageError

NAMED = ("127.0.0.1:6379", "--ray-address")
LOCAL = (None, "RAY_ADDRESS")
NO_OTHERS = r" before, and Ray keeps in a process who may join; use a process of its own for each$"


@pytest.fixture(autouse=True)
def _new(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was connected to nothing, with no cluster named or to be started."""
    monkeypatch.setattr(driver, "_first", None)
    monkeypatch.setattr(driver, "_now", None)
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(connecting, "check_answers", lambda *_: None)
    monkeypatch.setattr(connecting, "local_cluster", lambda: pytest.fail("no cluster is started"))


@pytest.fixture
def drives(monkeypatch: pytest.MonkeyPatch):
    """Makes this process the driver of the cluster at an address."""

    def drives(address: str) -> None:
        context = SimpleNamespace(gcs_address=address)
        ray = SimpleNamespace(is_initialized=lambda: True, get_runtime_context=lambda: context)
        monkeypatch.setitem(sys.modules, "ray", ray)

    return drives


def test_after_a_named_cluster_one_of_this_machine_is_refused_and_the_other_way_round():
    check_joins(*LOCAL)
    driver.joins("127.0.0.1:6379")
    driver.leaves()
    check_joins("127.0.0.1:6380", "--ray-address")
    alone = "^this process cannot be connected to a Ray cluster of this machine alone: it was to the Ray cluster at "
    with pytest.raises(UsageError, match=alone + r"127\.0\.0\.1:6379" + NO_OTHERS):
        check_cluster(Cluster(*LOCAL))


def test_after_one_of_this_machine_a_named_one_is_refused():
    driver.joins(None)
    driver.leaves()
    check_joins(*LOCAL)
    named = r"^this process cannot be connected to the Ray cluster at 127\.0\.0\.1:6379: it was to a Ray cluster of "
    with pytest.raises(UsageError, match=named + "this machine alone" + NO_OTHERS):
        check_cluster(Cluster(*NAMED))


def test_the_cluster_of_a_program_that_is_a_driver_is_measured_from_and_none_is_started(drives):
    drives("127.0.0.1:6379")
    for cluster in (Cluster(*LOCAL), Cluster(*NAMED), Cluster("localhost:6379", "--ray-address")):
        with connected(cluster) as is_alone:
            assert not is_alone


@pytest.mark.parametrize("pack", [False, True])
def test_generators_share_nodes_of_the_cluster_of_a_program_only_where_that_is_asked_for(drives, pack):
    drives("127.0.0.1:6379")
    placement = RayPlacement(Sharing(2, "ray", pack=pack))
    placement._connect()
    assert placement._pack is pack
    placement.close()


@pytest.mark.parametrize("other", ["127.0.0.1:6380", "192.0.2.77:6379"])
def test_another_cluster_than_that_of_the_program_is_refused(drives, other):
    drives("127.0.0.1:6379")
    refusal = r" is not the Ray cluster that this process is connected to, 127\.0\.0\.1:6379; leave it out, or use a "
    with pytest.raises(UsageError, match=rf"^--ray-address {other}{refusal}"):
        check_cluster(Cluster(other, "--ray-address"))


def test_addresses_of_this_machine_are_of_one_cluster_where_their_port_is(drives, monkeypatch):
    drives("127.0.0.1:6379")
    known = {"127.0.0.1": "127.0.0.1", "head": "127.0.0.2", "far": "192.0.2.77"}
    monkeypatch.setattr(
        driver.socket, "getaddrinfo", lambda host, *_, **__: [(socket.AF_INET, 0, 0, "", (known[host], 0))]
    )
    check_joins("head:6379", "--ray-address")
    with pytest.raises(UsageError, match=r"^--ray-address far:6379 is not the Ray cluster"):
        check_joins("far:6379", "--ray-address")
