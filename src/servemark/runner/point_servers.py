"""The servers of a benchmark's points, with their models: each point has the one that it asks for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from servemark.benchmarks import Point
from servemark.benchmarks.refusals import check_needs
from servemark.runner.entry import Entry
from servemark.runner.result_on_disk import ResultOnDisk
from servemark.servers import Launcher, LoadedModel, ModelSettings, Server, ServerSettings, default_workers


class PointServers:
    """The server of a benchmark's points, and its models, as each asks; a context manager.

    Points that follow each other and ask the same of the server share one, and those that ask the same of its models
    find them loaded.
    """

    def __init__(self, entry: Entry, launcher: Launcher, written: ResultOnDisk, note: Callable[[str], None]) -> None:
        self._entry = entry
        self._launcher = launcher
        self._redaction = written.redaction
        self._logs = written.logs_of(entry)
        self._note = note
        self._of_server, self._of_models = ExitStack(), ExitStack()
        self._has: tuple[ServerSettings, Server] | None = None
        self._has_models: tuple[ModelSettings, tuple[LoadedModel, ...]] | None = None

    def __enter__(self) -> PointServers:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.stop()

    def of(self, point: Point) -> tuple[Server, tuple[LoadedModel, ...]]:
        """The server that the point asks for, with its models.

        Raises:
            ServemarkError: it cannot be had.
        """
        settings = asked_of_server(point, self._entry)
        if self._has is None or settings != self._has[0] or point.fresh_server:
            self.stop()
            self._has = settings, self._started(settings)
        _, server = self._has
        if self._has_models is None or point.model != self._has_models[0]:
            self._of_models.close()
            self._has_models = None
            self._has_models = point.model, self._of_models.enter_context(server.serve_models(point.model))
        return server, self._has_models[1]

    def _started(self, settings: ServerSettings) -> Server:
        server = self._of_server.enter_context(self._launcher.serve(settings))
        check_needs(self._entry.benchmark, server.dialect)
        self._of_server.callback(self._redaction.folder, self._logs)
        self._of_server.callback(_save_logs, server, self._logs, self._note)
        return server

    def stop(self) -> None:
        """Stop the server, if there is one; the next point has another."""
        self._has = self._has_models = None
        with self._of_server:  # the models first, and the server whatever becomes of them
            self._of_models.close()


def asked_of_server(point: Point, entry: Entry) -> ServerSettings:
    """What a point asks of the server, with how many workers each model will have at most of those that share it."""
    settings = point.server
    if entry.request.output.force:
        return replace(settings, most_workers=None)
    if settings.gpus or settings.preload_model or settings.most_workers is not None:
        return settings
    sharing = [other.model for other in entry.points if other.server == settings]
    workers = max(model.workers or default_workers() for model in (point.model, *sharing))
    return replace(settings, workers=workers)


def _save_logs(server: Server, folder: Path, note: Callable[[str], None]) -> None:
    """Keep the server's logs; where they cannot be, the disk is full say, no error of the measurement is lost to it."""
    try:
        server.save_logs(folder)
    except OSError as error:
        note(f"the server's logs could not be kept in {folder}: {error.strerror or error}")
