"""What an engine reads, and all that it reads: addresses, the parts of requests as bytes, times in nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from servemark.workload.address import Address
from servemark.workload.load import ProcessName
from servemark.workload.scenario import Draws, ExpectKind, TokenFormat

#: Whether the generator does something to send more exactly: what it costs is not worth it everywhere.
Switch = Literal["auto", "on", "off"]
SWITCHES: tuple[Switch, ...] = ("auto", "on", "off")
ReceiveClock = Literal["auto", "kernel", "user"]
RECEIVE_CLOCKS: tuple[ReceiveClock, ...] = ("auto", "kernel", "user")


@dataclass(frozen=True)
class EnginePatch:
    """A decimal number that the engine writes into a request: ``part[offset:offset+width]``, zero-padded.

    `value` is ``"user"`` or ``"seq"``.
    """

    part: Literal["target", "body"]
    offset: int
    width: int
    value: str


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One request, however a protocol writes it: it adds what frames the body, unless `headers` have that.

    The engine reads `body` where it is, so that a pool of them is in memory once.
    """

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    patches: tuple[EnginePatch, ...] = ()


@dataclass(frozen=True)
class EngineStep:
    """A step: index into the plan's addresses, and the pool from which each user draws in each loop, or each arrival.

    `expect_status` None accepts any 2xx; `until` repeats the step; `expect` looks at the body of each success. The
    successes of the steps that are `is_headline` are those whose number ends a run of adaptive length. `tokens` says
    how the bodies of its responses, which are recorded then, are read afterwards.
    """

    name: str
    address: int
    requests: tuple[EngineRequest, ...]
    expect_status: int | None = None
    until: EngineUntil | None = None
    expect: EngineExpect | None = None
    is_headline: bool = True
    tokens: TokenFormat | None = None
    draws: Draws = "any"

    @property
    def keeps_bodies(self) -> bool:
        """Whether the bodies of its responses are recorded as they come."""
        return self.tokens is not None


@dataclass(frozen=True)
class EngineExpect:
    """What the body of a success must be: see ``scenario.Expect``."""

    kind: ExpectKind
    pattern: str


@dataclass(frozen=True)
class EngineUntil:
    """A step is repeated until the body holds `text` exactly `times` times; see ``scenario.Until``."""

    text: bytes
    times: int
    interval_ns: int
    limit_ns: int


@dataclass(frozen=True)
class EngineRateSegment:
    """A rate that goes straight from one value to another; `duration_ns` 0 goes on without end."""

    from_per_s: float
    to_per_s: float
    duration_ns: int


@dataclass(frozen=True)
class EngineArrivals:
    """An open loop's arrivals: see ``load.Arrivals``.

    `count` 0 means until the group's `duration_ns`; `stream` tells the draws of one group from those of another.
    """

    process: ProcessName
    cv: float
    profile: tuple[EngineRateSegment, ...]
    times_ns: tuple[int, ...]
    count: int
    max_connections: int
    stream: int


@dataclass(frozen=True)
class EngineGroup:
    """A group: indices into the plan's steps, and how often they are performed. `loops` 0 means until `duration_ns`.

    `weights` empty means all steps in order; `background` that it ends when the others have done their loops. With
    `arrivals` it is an open loop: `users` and `loops` are 0, each arrival performs the scenario once.
    """

    steps: tuple[int, ...]
    users: int
    loops: int
    duration_ns: int
    ramp_ns: int
    think_ns: int
    weights: tuple[int, ...] = ()
    background: bool = False
    arrivals: EngineArrivals | None = None


@dataclass(frozen=True)
class EngineShare:
    """The users and arrivals of a plan whose number leaves `index` when divided by `of`.

    Several generators that have a share each, and begin together, send what one would have sent.
    """

    index: int
    of: int


#: Ways in which the native engine can be told to go wrong.
FaultName = Literal["late_wake_up", "lost_record", "skipped_arrival", "slow_parse", "clock_step"]


@dataclass(frozen=True)
class EngineFault:
    """What the native engine is to do wrong, so that tests see the certificate find it; measurements have none.

    `amount` is a number of nanoseconds: by which every tenth request is begun late (late_wake_up), or for which the
    thread is busy before it parses a response (slow_parse), or by which the wall clock is set ahead after half a second
    (clock_step). Or it is an n: every n-th record is not written (lost_record), every n-th arrival of an open loop is
    not begun (skipped_arrival).
    """

    kind: FaultName
    amount: int


@dataclass(frozen=True)
class EnginePlan:
    """All that an engine needs.

    Attributes:
        warmup_ns: records scheduled before it carry the warm-up flag.
        timeout_ns: limit on a request, from `sent` to the end of its response.
        connect_timeout_ns: limit on TCP connect and TLS handshake together.
        share: what this generator sends of it; the rest is others'.
        beside: the shares, by their index, of others that take their ports and memory of the same machine.
        threads: generator threads, which divide that share.
        keep_body_bytes: how much of the first failed response of each kind is kept.
        seed: from which every random draw is derived.
        record_events: the time of every server-sent event goes to a file beside the records.
        tokenizer: a file of the tokenizers package, by which tokens are counted where the server does not.
        realtime: real-time priority for the generator threads: "auto" asks for it in an open loop and goes without
            where it is refused, "on" asks always and does not start without, "off" never.
        receive_clock: whose time of arrival a response has: "auto" is the kernel's where it has one, else the time at
            which the thread read it; "kernel" does not start where that is refused, "user" is the time of reading.
        keep_awake: keep the CPUs from halting during the run; with "auto" where it helps, and only until the machine is
            busy by itself, where that would keep others from a CPU.
        fault: for tests of the certificate only.
    """

    addresses: tuple[Address, ...]
    steps: tuple[EngineStep, ...]
    groups: tuple[EngineGroup, ...]
    warmup_ns: int
    timeout_ns: int
    connect_timeout_ns: int
    share: EngineShare = EngineShare(0, 1)
    beside: tuple[int, ...] = ()
    threads: int = 1
    keep_body_bytes: int = 2048
    seed: int = 0
    realtime: Switch = "auto"
    record_events: bool = False
    receive_clock: ReceiveClock = "auto"
    keep_awake: Switch = "off"
    tokenizer: Path | None = None
    fault: EngineFault | None = None

    @property
    def reads_clock(self) -> bool:
        """Whether answers have the time of reading, since that is asked for, or a Unix socket has no other."""
        return self.receive_clock == "user" or any(address.unix_socket for address in self.addresses)

    @property
    def reads_answers(self) -> bool:
        """Whether its records are written anew when the run is over, with what is read in the answers."""
        return any(step.keeps_bodies for step in self.steps)
