"""A server over HTTP that takes care of its models itself, or whose ``Hosting`` does: there, watched, and described.

That it is there, and still is, is told from TCP connects; of one that we started also from its process.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from servemark.errors import ServerDiedError, ServerError
from servemark.servers import InsideCounts, LoadedModel, ModelSettings
from servemark.servers.dialect import Dialect
from servemark.servers.http.reachability import refuses
from servemark.workload.address import Address
from servemark.workload.scenario import ApiName

if TYPE_CHECKING:  # it needs psutil, and an endpoint none of it
    from servemark.servers.own_process import OwnProcess

#: Looking whether it is alive takes at most this share of the time.
_WATCH_SHARE = 0.05
#: Removes the models that a load registered, and says which could not be and why.
Remove = Callable[[], Mapping[str, str]]


class Hosting(Protocol):
    """What is served, how that is changed for a point, and what the server says of it; see ``servers.Server``."""

    @property
    def dialect(self) -> Dialect:
        """What the server speaks, with what is known of its models."""
        ...

    def serve_models(self, settings: ModelSettings) -> AbstractContextManager[tuple[LoadedModel, ...]]:
        """The models, served with `settings` and proved to answer, as long as this is open."""
        ...

    def read_back(self) -> Mapping[str, Mapping[str, object]]:
        """Each served model's settings by its name."""
        ...

    def inside(self) -> Mapping[str, InsideCounts]:
        """What the server has counted of each served model."""
        ...

    def temporary_models(self, names: Sequence[str]) -> AbstractContextManager[Remove]:
        """While this is open the load may register models of these names."""
        ...


@dataclass(frozen=True)
class StillModels:
    """A ``Hosting`` that tells the server nothing: `models` gives its models, proved to answer, for what is asked."""

    dialect: Dialect
    models: Callable[[ModelSettings], tuple[LoadedModel, ...]] = lambda _: ()

    @contextmanager
    def serve_models(self, settings: ModelSettings) -> Iterator[tuple[LoadedModel, ...]]:
        """Its models, which stay as they are.

        Raises:
            UsageError: what `settings` ask cannot be had of it, or one needs an input.
            ModelError: one does not answer.
        """
        yield self.models(settings)

    def read_back(self) -> Mapping[str, Mapping[str, object]]:
        """Empty: it has no settings that could be asked for."""
        return {}

    def inside(self) -> Mapping[str, InsideCounts]:
        """Empty: it counts nothing that could be asked for."""
        return {}

    @contextmanager
    def temporary_models(self, names: Sequence[str]) -> Iterator[Remove]:
        """Nothing is registered there, so that nothing is left."""
        del names
        with nullcontext(dict) as remove:
            yield remove


class PlainServer:
    """A server that answers; see ``servemark.servers.Server``.

    Args:
        hosting: what it speaks, and its models.
        addresses: where its APIs listen.
        facts: what describes it in the result.
        called: what people call it.
        version: as far as it is known.
        process: of one that we started.
    """

    def __init__(
        self,
        hosting: Hosting,
        addresses: Mapping[ApiName, Address],
        facts: Mapping[str, object],
        *,
        called: str = "server",
        version: str | None = None,
        process: OwnProcess | None = None,
    ) -> None:
        self.launcher = "running" if process is None else "managed"
        self.product = hosting.dialect.product
        self.version = version
        self.addresses = addresses
        self.facts = facts
        self._hosting = hosting
        self._process = process
        self._called = called
        self._failed: ServerError | None = None
        self._next_watch_s = 0.0

    @property
    def dialect(self) -> Dialect:
        """What it speaks, with what is known of its models."""
        return self._hosting.dialect

    @property
    def pid(self) -> int | None:
        """The process that leads it, where we started it."""
        return self._process.pid if self._process else None

    def serve_models(self, settings: ModelSettings) -> AbstractContextManager[tuple[LoadedModel, ...]]:
        """See ``servemark.servers.Server``."""
        return self._hosting.serve_models(settings)

    def read_back(self) -> Mapping[str, Mapping[str, object]]:
        """Each served model's settings by its name, as the server reports them now; without what it cannot say."""
        return self._hosting.read_back()

    def inside(self) -> Mapping[str, InsideCounts]:
        """What it has counted of each served model by its name."""
        return self._hosting.inside()

    def memory_bytes(self) -> int | None:
        """What its processes hold in memory; None where they are not ours to look at."""
        return self._process.memory_bytes() if self._process else None

    def cpu_s(self) -> float | None:
        """The CPU time that its processes have used; None where they are not ours to look at."""
        return self._process.cpu_s() if self._process else None

    def temporary_models(self, names: Sequence[str]) -> AbstractContextManager[Remove]:
        """See ``servemark.servers.Server``."""
        return self._hosting.temporary_models(names)

    def failure(self) -> ServerError | None:
        """Why it can no longer be measured: it ended, or refuses connections; None as far as can be told from here."""
        started_s = time.monotonic()
        if self._failed is None and self._process:
            self._failed = self._process.death()
        if self._failed is None and started_s >= self._next_watch_s:
            address = self.addresses["inference"]
            if refuses(address):
                self._failed = ServerDiedError(
                    f"the {self._called} failed while it was measured",
                    cause=f"{address.url} refuses connections",
                    next_step="see the server's own log",
                )
            self._next_watch_s = time.monotonic() + (time.monotonic() - started_s) / _WATCH_SHARE
        return self._failed

    def incidents(self, since_unix_ns: int) -> Sequence[tuple[int, str]]:
        """Empty: its log is not ours to read."""
        del since_unix_ns
        return ()

    def log_tail(self) -> str:
        """The last lines of its log; empty where that is not ours to read."""
        return self._process.log_tail() if self._process else ""

    def save_logs(self, folder: Path) -> None:
        """Write what is known of it into ``server.json``, and the log of one that we started."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"facts": dict(self.facts)}, indent=2)
        (folder / "server.json").write_text(f"{text}\n", encoding="utf-8")
        if self._process:
            self._process.save_log(folder)
