"""What the slow tests need is made before they start, and how long that took is told apart."""

from __future__ import annotations

import re
import time

from servemark.environments.model_servers import INSTALLED_KINDS
from servemark.errors import SetupError
from servemark.zoo.catalogue import BACKENDS, ZOO
from tests import prepare


def test_the_parts_that_took_a_while_are_told_and_all_of_them_together():
    said: list[str] = []
    made: list[str] = []

    def slow() -> None:
        time.sleep(1.1)
        made.append("slow")

    def missing() -> None:
        raise SetupError("no network")

    prepare.prepare({"a": slow, "b": missing, "c": lambda: made.append("quick")}, said.append)
    assert made == ["slow", "quick"], "what cannot be had keeps nothing from being made"
    assert [re.sub(r"\d+ s$", "N s", line) for line in said] == [
        "a: N s",
        "b: not here: no network",
        "downloads and builds took N s",
    ]


def test_every_model_is_made_for_every_backend_after_its_server():
    names = [name for name in prepare.parts() if name not in {"JMeter", "what draws charts"}]
    servers = [f"the server with {backend}" for backend in BACKENDS]
    servers += [f"the server {kind}" for kind in INSTALLED_KINDS]
    assert names == [*servers, *(f"{model.name} for {backend}" for backend in BACKENDS for model in ZOO)]
