"""Open loops from what people ask for: a rate, an arrival process, and a length; refused where they contradict.

Options are called by their names on the command line; the Python interface has the same ones.
"""

from __future__ import annotations

import math
from typing import get_args

from servemark.errors import UsageError
from servemark.units import NS_PER_S
from servemark.workload.load import (
    DEFAULT_MAX_CONNECTIONS,
    Arrivals,
    OpenLoad,
    ProcessName,
    RateSegment,
    TraceOrigin,
    Until,
)
from servemark.workload.rates import parse_rate
from servemark.workload.trace import read_trace

#: Beyond these a gamma process is constant, or silent for hours between two bursts.
_LEAST_CV, _MOST_CV = 0.001, 100.0
#: More than a client has ports for, to one address.
MOST_CONNECTIONS = 60_000
_ARRIVALS = "choose from constant, poisson, gamma:CV and trace:FILE"
_TRACE = "trace:"


def check_open_loop(
    *,
    rate: str | None,
    arrival: str | None,
    max_connections: int | None,
    threads: int | None,
    loops: int | None,
    duration_s: float | None,
    ramp_s: float,
    think_s: float,
) -> None:
    """Refuse what cannot be had of an open loop, as far as that can be told without reading a file.

    Raises:
        UsageError: names the options and the reason.
    """
    process, _ = parse_arrival(arrival)
    asked = "--rate" if rate is not None else "--arrival trace"
    if rate is None and process != "trace":
        for option, value in (("--arrival", arrival), ("--max-connections", max_connections)):
            if value is not None:
                raise UsageError(f"{option} needs --rate", next_step="say how many requests a second: --rate 100")
        return
    profile = parse_rate(rate) if rate is not None else ()
    ends = bool(profile) and profile[0].duration_s is not None
    if process == "trace" and ends:
        raise UsageError(
            f"--rate {rate} and --arrival {arrival} do not go together",
            cause="a trace has its own times",
            next_step="give one rate, to which its mean is scaled, or leave --rate out",
        )
    for other, given, why, instead in (
        ("-t", threads, "requests arrive by the rate, whoever is busy", "--max-connections limits what is under way"),
        ("--think", think_s, "nobody waits for an answer before the next request", ""),
        ("--ramp", ramp_s, "there are no users to start one by one", "say --rate A..B/Ss for a ramp"),
        ("--duration", duration_s if ends else None, "that rate has its own length", f"give --rate {rate} alone"),
        ("--loops", loops if ends else None, "that rate has its own length", f"give --rate {rate} alone"),
    ):
        if given:
            raise UsageError(f"{asked} and {other} do not go together", cause=why, next_step=instead)


def parse_arrival(text: str | None) -> tuple[ProcessName, float]:
    """The process that `text` names (None: constant), and the coefficient of variation of a gamma process (else 1).

    Raises:
        UsageError: it names none.
    """
    name, colon, value = ("constant", "", "") if text is None else text.partition(":")
    if name == "gamma":
        return "gamma", _cv(text, value)
    if name == "trace" and value:
        return "trace", 1.0
    if name == "trace":
        raise UsageError(f"--arrival {text}", cause="which file?", next_step="as in trace:times.txt")
    if name not in get_args(ProcessName):
        raise UsageError(f"--arrival {text}: there is no such process", next_step=_ARRIVALS)
    if colon:
        raise UsageError(f"--arrival {text}", cause=f"{name} takes no value", next_step=_ARRIVALS)
    return ("poisson" if name == "poisson" else "constant"), 1.0


def _cv(text: str | None, value: str) -> float:
    if not value:
        raise UsageError(
            f"--arrival {text}", cause="gamma needs its coefficient of variation", next_step="as in gamma:2"
        )
    try:
        cv = float(value)
    except ValueError:
        cv = math.nan
    if not _LEAST_CV <= cv <= _MOST_CV:
        raise UsageError(
            f"--arrival {text}",
            cause=f"{value!r} is not a coefficient of variation from {_LEAST_CV:g} to {_MOST_CV:g}",
            next_step="as in gamma:2; poisson has 1, constant 0",
        )
    return cv


def arrivals_of(rate: str | None, arrival: str | None) -> Arrivals | None:
    """What an open loop was asked for; None for a closed one. Reads the file of a trace.

    Raises:
        UsageError: it cannot be had; see ``check_open_loop``, which has to be called before, and ``read_trace``.
    """
    process, cv = parse_arrival(arrival)
    profile = parse_rate(rate) if rate is not None else ()
    if process != "trace":
        return Arrivals(process, cv, profile) if profile else None
    assert arrival is not None
    times_ns, origin = read_trace(arrival.removeprefix(_TRACE))
    return Arrivals("trace", times_ns=_scaled(times_ns, profile, origin), trace=origin)


def _scaled(times_ns: tuple[int, ...], profile: tuple[RateSegment, ...], origin: TraceOrigin) -> tuple[int, ...]:
    if not profile:
        return times_ns
    if not times_ns[-1]:
        raise UsageError(
            f"the trace {origin.file} cannot be scaled to a rate",
            cause="all its times are the same",
            next_step="leave --rate out",
        )
    factor = (len(times_ns) - 1) * NS_PER_S / (times_ns[-1] * profile[0].from_per_s)
    return tuple(round(time_ns * factor) for time_ns in times_ns)


def open_load(
    arrivals: Arrivals,
    *,
    requests: int | None,
    duration_s: float | None,
    until: Until,
    warmup_s: float | None,
    usual_warmup_s: float,
    max_connections: int | None,
) -> OpenLoad:
    """The open loop of `arrivals`: of exactly `requests`, for `duration_s`, for its profile's time, or `until`.

    A whole trace is exactly its times. `warmup_s` None is `usual_warmup_s` where the length is a time, and nothing in a
    trace, whose first seconds it would take from what is measured.

    Raises:
        UsageError: a trace is shorter than what is asked of it.
    """
    if arrivals.process == "trace":
        requests, duration_s = _length_of_trace(arrivals, requests, duration_s, warmup_s or 0.0)
        usual_warmup_s = 0.0
    elif requests is None and duration_s is None:
        duration_s = arrivals.length_s
    exact = requests is not None
    return OpenLoad(
        arrivals=arrivals,
        requests=requests,
        duration_s=duration_s,
        until=until if not exact and duration_s is None else None,
        warmup_s=warmup_s if warmup_s is not None else 0.0 if exact else usual_warmup_s,
        max_connections=max_connections or DEFAULT_MAX_CONNECTIONS,
    )


def _length_of_trace(
    arrivals: Arrivals, requests: int | None, duration_s: float | None, warmup_s: float
) -> tuple[int | None, float | None]:
    """How many of a trace's times are sent, or for how long after the warm-up; exactly one is not None."""
    times = len(arrivals.times_ns)
    length_s = arrivals.times_ns[-1] / NS_PER_S
    if requests is not None and requests > times:
        raise UsageError(f"-l {requests} is more than the {times} times of the trace", next_step="leave -l out")
    if requests is None and (duration_s or 0.0) + warmup_s > length_s:
        options = "--duration and --warmup" if duration_s and warmup_s else "--duration" if duration_s else "--warmup"
        raise UsageError(
            f"{options} are longer than the trace" if " " in options else f"{options} is longer than the trace",
            cause=f"which ends after {length_s:g} s",
            next_step=f"leave {options} out",
        )
    if requests is None and duration_s is None:
        if not warmup_s:
            return times, None
        return None, (arrivals.times_ns[-1] + 1_000) / NS_PER_S - warmup_s  # a microsecond, so that the last one is in
    return requests, duration_s
