"""The options of the load: how long, how much, in which loop, and what sends it.

Standard library only, as ``cli/options.py``.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import NoReturn

from servemark.cli.converters import seconds, share, whole_number
from servemark.engines import ENGINES
from servemark.errors import UsageError
from servemark.workload.load import DEFAULT_MAX_CONNECTIONS
from servemark.workload.open_loop import MOST_CONNECTIONS, check_open_loop
from servemark.workload.plan import RECEIVE_CLOCKS, SWITCHES


def add_load(parser: ArgumentParser) -> None:
    """The options that :func:`check_load` reads, besides ``-t`` and ``-l``."""
    group = parser.add_argument_group("load")
    group.add_argument(
        "--duration",
        metavar="S",
        type=seconds(above_zero=True),
        help="measure for S seconds (default: until 400 successes and at least 10 s, at most 60 s)",
    )
    group.add_argument(
        "--warmup", metavar="S", type=seconds(above_zero=False), help="load before the measured time (default: 2)"
    )
    group.add_argument(
        "--rate",
        metavar="R",
        help="open loop: R requests a second, whatever becomes of them; a ramp 100..2000/60s, steps 100,200,400/20s",
    )
    group.add_argument(
        "--arrival",
        metavar="A",
        help="how they arrive: constant (default), poisson, gamma:CV, or trace:FILE[:COLUMN[:UNIT]], recorded times",
    )
    group.add_argument(
        "--max-connections",
        metavar="N",
        type=whole_number(1, MOST_CONNECTIONS),
        help=f"connections of an open loop at once (default: {DEFAULT_MAX_CONNECTIONS:,})",
    )
    group.add_argument("--ramp", metavar="S", type=seconds(above_zero=False), default=0.0, help="start users over S")
    group.add_argument(
        "--think", metavar="S", type=seconds(above_zero=False), default=0.0, help="pause between a user's requests"
    )
    group.add_argument(
        "--timeout", metavar="S", type=seconds(above_zero=True), default=120.0, help="limit on a request (default: 120)"
    )
    group.add_argument("--seed", metavar="N", type=whole_number(0), default=0, help="seed of every random draw")
    group.add_argument("--engine", choices=ENGINES, default="native", help="what sends the requests (default: native)")
    group.add_argument(
        "--generator-threads", metavar="N", type=whole_number(1), default=1, help="threads that send (default: 1)"
    )
    group.add_argument("--record-events", action="store_true", help="keep the time of every server-sent event")
    group.add_argument(
        "--realtime",
        choices=SWITCHES,
        default="auto",
        help="real-time priority for them (default: auto, in an open loop where it is permitted)",
    )
    group.add_argument(
        "--receive-clock",
        choices=RECEIVE_CLOCKS,
        default="auto",
        help="whose time of arrival a response has (default: auto, the kernel's where it has one)",
    )
    group.add_argument(
        "--keep-awake",
        choices=SWITCHES,
        default="auto",
        help="keep idle CPUs from halting (default: auto, in an open loop where CPUs wake late, until they are busy)",
    )
    group.add_argument(
        "--max-errors", metavar="SHARE", type=share, default=0.01, help="failures allowed (default: 1%%)"
    )
    group.add_argument(
        "--go-on-errors",
        action="store_true",
        help="go on to the end although the server fails or is away meanwhile, and report what was measured",
    )
    group.add_argument("--allow-invalid", action="store_true", help="exit 0 even if the measurement is INVALID")


def check_load(arguments: Namespace) -> None:
    """Refuse what contradicts itself, or names no load.

    Raises:
        UsageError: says which options, and why.
    """

    def refuse(first: str, second: str, why: str) -> NoReturn:
        raise UsageError(f"{first} and {second} do not go together", cause=why)

    if arguments.loops is not None and arguments.duration is not None:
        refuse("--loops", "--duration", "one says how many requests, the other how long")
    if arguments.loops is not None and arguments.warmup:
        refuse("--loops", "--warmup", "with --loops every request is measured")
    if arguments.engine == "jmeter" and arguments.generator_threads > 1:
        refuse("--engine jmeter", "--generator-threads", "JMeter has a thread for each user")
    for option, value in (
        ("--realtime", arguments.realtime),
        ("--receive-clock", arguments.receive_clock),
        ("--keep-awake", arguments.keep_awake),
    ):
        if arguments.engine == "jmeter" and value != "auto":
            refuse("--engine jmeter", option, "it is for the native engine's threads")
    if arguments.engine == "jmeter" and arguments.record_events:
        refuse("--engine jmeter", "--record-events", "events are not told by JMeter")
    check_open_loop(
        rate=arguments.rate,
        arrival=arguments.arrival,
        max_connections=arguments.max_connections,
        threads=arguments.threads,
        loops=arguments.loops,
        duration_s=arguments.duration,
        ramp_s=arguments.ramp,
        think_s=arguments.think,
        engine=arguments.engine,
    )
