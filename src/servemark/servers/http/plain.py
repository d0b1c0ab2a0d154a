"""A server that somebody else runs, and that is told nothing: what it receives are the requests of the plan.

That it is there, and still is, is told from TCP connects.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from servemark.errors import ServerDiedError, ServerError
from servemark.servers import LoadedModel, ModelSettings
from servemark.servers.dialect import Dialect
from servemark.servers.http.reachability import refuses
from servemark.workload.plan import Address
from servemark.workload.scenario import ApiName

#: Looking whether it is alive takes at most this share of the time.
_WATCH_SHARE = 0.05


class PlainServer:
    """A server that answers; see ``servemark.servers.Server``.

    Args:
        dialect: what it speaks.
        address: where it listens.
        facts: what describes it in the result.
        called: what people call it.
        models: gives its models, proved to answer, for what is asked of them.
    """

    launcher = "running"
    version: str | None = None

    def __init__(
        self,
        dialect: Dialect,
        address: Address,
        facts: Mapping[str, object],
        *,
        called: str = "server",
        models: Callable[[ModelSettings], tuple[LoadedModel, ...]] = lambda _: (),
    ) -> None:
        self.dialect = dialect
        self.product = dialect.product
        self.addresses: Mapping[ApiName, Address] = {"inference": address}
        self.facts = facts
        self._address = address
        self._called = called
        self._models = models
        self._failed: ServerError | None = None
        self._next_watch_s = 0.0

    @property
    def pid(self) -> int | None:
        """None: its process is not ours."""
        return None

    @contextmanager
    def serve_models(self, settings: ModelSettings) -> Iterator[tuple[LoadedModel, ...]]:
        """Its models, which stay as they are.

        Raises:
            UsageError: what `settings` ask cannot be had of it, or one needs an input.
            ModelError: one does not answer.
        """
        yield self._models(settings)

    def read_back(self) -> Mapping[str, Mapping[str, object]]:
        """Empty: it has no settings that could be asked for."""
        return {}

    def memory_bytes(self) -> int | None:
        """None: its processes are not ours to look at."""
        return None

    def cpu_s(self) -> float | None:
        """None: its processes are not ours to look at."""
        return None

    @contextmanager
    def temporary_models(self, names: Sequence[str]) -> Iterator[Callable[[], Mapping[str, str]]]:
        """Nothing is registered there, so that nothing is left."""
        del names
        with nullcontext(dict) as remove:
            yield remove

    def failure(self) -> ServerError | None:
        """Why it can no longer be measured: it refuses connections; None as far as can be told from here."""
        started_s = time.monotonic()
        if self._failed is None and started_s >= self._next_watch_s:
            if refuses(self._address):
                self._failed = ServerDiedError(
                    f"the {self._called} failed while it was measured",
                    cause=f"{self._address.url} refuses connections",
                    next_step="see the server's own log",
                )
            self._next_watch_s = time.monotonic() + (time.monotonic() - started_s) / _WATCH_SHARE
        return self._failed

    def incidents(self, since_unix_ns: int) -> Sequence[tuple[int, str]]:
        """Empty: its log is not ours to read."""
        del since_unix_ns
        return ()

    def log_tail(self) -> str:
        """Empty: its log is not ours to read."""
        return ""

    def save_logs(self, folder: Path) -> None:
        """Write what is known of it into ``server.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"facts": dict(self.facts)}, indent=2)
        (folder / "server.json").write_text(f"{text}\n", encoding="utf-8")
