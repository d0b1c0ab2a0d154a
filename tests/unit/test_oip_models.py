"""The models of a server of the Open Inference Protocol, of which Triton is told to load one otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from servemark.errors import ManagementError
from servemark.servers import ModelSettings
from servemark.servers.oip.calls import About, Signature
from servemark.servers.oip.running import OipModels
from servemark.servers.running import RunningLauncher
from servemark.workload.address import Address

ONE, TWO = ({"instance_group": [{"kind": "KIND_CPU", "count": count}]} for count in (1, 2))


class Triton:
    """The calls to a Triton that refuses to load a model, and then has `after` as its configuration; None is none."""

    address = Address("127.0.0.1", "127.0.0.1", 1, None)

    def __init__(self, after: Mapping[str, Any] | None, status: int | None) -> None:
        self.loaded: list[Mapping[str, Any]] = []
        self._after = after
        self._status = status

    def about(self) -> About:
        return About("triton", "2.51.0", ())

    def signature(self, _: str) -> Signature:
        return Signature((), ())

    def config(self, model: str) -> Mapping[str, Any]:
        config = self._after if self.loaded else ONE
        if config is None:
            raise ManagementError(f"cannot ask how {model} is served", status=400, message="it is not there")
        return config

    def load(self, model: str, config: Mapping[str, Any]) -> float:
        self.loaded.append(config)
        raise ManagementError(f"cannot load {model}", status=self._status, message="not allowed")


@pytest.mark.parametrize(
    ("after", "status", "restored"), [(ONE, 503, []), (TWO, 400, [ONE]), (None, 400, [ONE]), (ONE, None, [ONE])]
)
def test_a_model_that_triton_refuses_to_load_is_restored_only_where_it_may_be_another(after, status, restored) -> None:
    triton, told = Triton(after, status), list[str]()
    models = OipModels(RunningLauncher("127.0.0.1:1", ("m",), progress=told.append), triton)  # type: ignore[arg-type]
    with pytest.raises(ManagementError, match="cannot load m"), models.serve_models(ModelSettings(2)):
        raise AssertionError("it is not served")
    assert triton.loaded == [TWO, *restored]
    assert [line for line in told if "may be served with other settings still" in line] == told[1:]
    assert len(told) == 1 + len(restored)
