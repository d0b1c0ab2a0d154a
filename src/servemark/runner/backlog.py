"""Whether a server falls behind an open loop: what waits for it grows, and will not end."""

from __future__ import annotations

from servemark.engines import ProgressReport
from servemark.units import NS_PER_S

#: Before so much of the measured time nothing is said, and it has to be so at each look for so long.
_NOT_BEFORE_S, _FOR_S = 4.0, 2.0
#: What comes now would wait for this many times the longest limit; and at least for this long.
_TIMES, _LEAST_S = 3.0, 0.5
#: And no fewer than this share of what was offered so far are under way.
_LEAST_SHARE = 0.05


class BacklogWatch:
    """Looks at the progress of a run at `rate_per_s`, of which the longest time that is allowed is `limit_s`.

    By Little's law what comes now waits for as long as the server takes for all that is under way before it. A run at
    a rate that the server can do has long queues, too, but not for long: so it has to be so at each look for 2 s, and
    the queue must have grown meanwhile.
    """

    def __init__(self, rate_per_s: float, limit_s: float, warmup_s: float) -> None:
        self._most = rate_per_s * max(_TIMES * limit_s, _LEAST_S)
        self._not_before_s = warmup_s + _NOT_BEFORE_S
        self._since: tuple[float, int] | None = None
        self.falls_behind = False

    def __call__(self, progress: ProgressReport) -> bool:
        """Whether it does, from now on."""
        at_s, waiting = progress.elapsed_ns / NS_PER_S, progress.in_flight
        if waiting <= max(self._most, _LEAST_SHARE * progress.scheduled):
            self._since = None
        elif self._since is None:
            self._since = at_s, waiting
        elif at_s >= max(self._not_before_s, self._since[0] + _FOR_S) and waiting > self._since[1]:
            self.falls_behind = True
        return self.falls_behind
