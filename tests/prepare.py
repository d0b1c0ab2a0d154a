"""Downloads and builds, once, all that the slow tests would else download and build among them; says how long it took.

``python -m tests.prepare``: on a cache that has everything it takes a moment. What cannot be had here is said, and left
to the tests, which know whether they can do without.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from itertools import product

from servemark.environments.chart_library import chart_library
from servemark.environments.jmeter import jmeter_home
from servemark.environments.mms import mms_environment
from servemark.environments.model_servers import INSTALLED_KINDS, server_environment
from servemark.errors import ServemarkError
from servemark.zoo.build import build_model
from servemark.zoo.catalogue import BACKENDS, ZOO


def _nothing(_line: str) -> None:
    """Tells nobody."""


def parts() -> dict[str, Callable[[], object]]:
    """What there is to make, by its name, in the order in which it is made."""
    servers = {f"the server with {one}": lambda one=one: mms_environment(one, _nothing) for one in BACKENDS}
    models = {
        f"{model.name} for {one}": lambda model=model, one=one: build_model(
            model, mms_environment(one, _nothing), _nothing
        )
        for one, model in product(BACKENDS, ZOO)
    }
    jmeter = {"JMeter": lambda: jmeter_home(_nothing)} if shutil.which("java") and shutil.which("mvn") else {}
    others = {f"the server {kind}": lambda kind=kind: server_environment(kind, _nothing) for kind in INSTALLED_KINDS}
    return {**servers, **others, **models, **jmeter, "what draws charts": chart_library}


def prepare(making: dict[str, Callable[[], object]], say: Callable[[str], None]) -> None:
    """Make each of them, and tell the time of those that took any, and of all."""
    began_s = time.monotonic()
    for name, make in making.items():
        part_s = time.monotonic()
        try:
            make()
        except ServemarkError as error:
            say(f"{name}: not here: {error}")
            continue
        took_s = time.monotonic() - part_s
        if took_s >= 1:
            say(f"{name}: {took_s:.0f} s")
    say(f"downloads and builds took {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    prepare(parts(), lambda line: print(line, flush=True))
