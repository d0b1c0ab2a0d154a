"""What sends the requests: which engine, with how many threads, by which clock, and what it keeps."""

from __future__ import annotations

from dataclasses import dataclass

from servemark.engines import ENGINES, WHERE, EngineName, Sharing, Where
from servemark.options.kinds import OneOf, Switch, Text, Whole
from servemark.options.table import OptionGroup, option, refuse
from servemark.workload.engine_plan import RECEIVE_CLOCKS, SWITCHES, ReceiveClock
from servemark.workload.engine_plan import Switch as Setting

_OF_NATIVE = "it is for the native engine's threads"


@dataclass(frozen=True)
class GeneratorOptions(OptionGroup):
    """What sends the requests.

    Attributes:
        generators: over how many the load is spread; `on` says where these run.
        ray_address: of the Ray cluster on which they do; None is that of RAY_ADDRESS, else one of this machine alone.
        pack: several may be on one node of the cluster.
        ship: nodes get a copy of this servemark.
        max_records: so many records of several generators are kept; of more there are counts instead.
        realtime: real-time priority for the generator's threads; "auto" asks for it in an open loop.
        receive_clock: whose time of arrival a response has: "kernel", "user" (when the generator read it), or "auto".
        keep_awake: keep idle CPUs from halting; "auto" does so in an open loop where they wake late.
        record_events: keep the time of every server-sent event.
    """

    engine: EngineName = option(
        "--engine",
        kind=OneOf(ENGINES),
        default="native",
        heading="load",
        help="what sends the requests (default: native)",
    )
    generator_threads: int = option(
        "--generator-threads",
        kind=Whole(1),
        default=1,
        metavar="N",
        heading="load",
        help="threads that send (default: 1)",
    )
    generators: int = option(
        "--generators",
        kind=Whole(1),
        default=1,
        metavar="N",
        heading="load",
        help="generators, each of which sends a share of the load (default: 1)",
    )
    on: Where = option(
        "--on",
        kind=OneOf(WHERE),
        default="processes",
        heading="load",
        help="where they run (default: processes, of this machine)",
    )
    ray_address: str | None = option(
        "--ray-address",
        kind=Text(),
        metavar="HOST:PORT",
        heading="load",
        help="the Ray cluster of --on ray (default: RAY_ADDRESS, else one of this machine alone, for the run)",
    )
    pack: bool = option(
        "--pack", kind=Switch(), default=False, heading="load", help="with --on ray several share a node"
    )
    ship: bool = option(
        "--ship", kind=Switch(), default=False, heading="load", help="with --on ray send nodes this servemark"
    )
    max_records: int = option(
        "--max-records",
        kind=Whole(1),
        default=100_000_000,
        metavar="N",
        heading="load",
        help="records of several generators that are kept; beyond them counts are (default: 100 million)",
    )
    record_events: bool = option(
        "--record-events",
        kind=Switch(),
        default=False,
        heading="load",
        help="keep the time of every server-sent event",
    )
    realtime: Setting = option(
        "--realtime",
        kind=OneOf(SWITCHES),
        default="auto",
        heading="load",
        help="real-time priority for them (default: auto, in an open loop where it is permitted)",
    )
    receive_clock: ReceiveClock = option(
        "--receive-clock",
        kind=OneOf(RECEIVE_CLOCKS),
        default="auto",
        heading="load",
        help="whose time of arrival a response has (default: auto, the kernel's where it has one)",
    )
    keep_awake: Setting = option(
        "--keep-awake",
        kind=OneOf(SWITCHES),
        default="auto",
        heading="load",
        help="keep idle CPUs from halting (default: auto, in an open loop where CPUs wake late, until they are busy)",
    )

    def check(self) -> None:
        """Refuse what is for a cluster without one, and what JMeter has not."""
        for name, value in (("--ray-address", self.ray_address), ("--pack", self.pack), ("--ship", self.ship)):
            if value and self.on != "ray":
                raise refuse(name, f"--on {self.on}", "it is for generators on a Ray cluster", "add --on ray")
        if self.engine != "jmeter":
            return
        if self.on == "ray":
            raise refuse("--engine jmeter", "--on ray", "JMeter sends from one process", "leave --engine out")
        if self.generators > 1:
            raise refuse("--engine jmeter", "--generators", "JMeter sends from one process", "leave --engine out")
        if self.generator_threads > 1:
            raise refuse("--engine jmeter", "--generator-threads", "JMeter has a thread for each user")
        for name, value in (
            ("--realtime", self.realtime),
            ("--receive-clock", self.receive_clock),
            ("--keep-awake", self.keep_awake),
        ):
            if value != "auto":
                raise refuse("--engine jmeter", name, _OF_NATIVE)
        if self.record_events:
            raise refuse("--engine jmeter", "--record-events", "events are not told by JMeter")

    @property
    def spread(self) -> Sharing:
        """Over which generators the load is spread."""
        return Sharing(
            generators=self.generators,
            on=self.on,
            ray_address=self.ray_address,
            pack=self.pack,
            ship=self.ship,
            cpus_each=self.generator_threads,
        )
