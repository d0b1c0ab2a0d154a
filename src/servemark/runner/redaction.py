"""Secrets: what of the user's headers may be sent, and written nowhere.

A server may say a secret back, in an error that is shown or in a log that is kept. Everything that leaves this program
for a file or a screen, and may hold a server's words, goes through a ``Redaction``.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from servemark.engines import EngineRun
from servemark.errors import ServemarkError
from servemark.runner.listener import Listener
from servemark.workload.headers import MASK, Header

#: What is shorter is not looked for: it is in every text, and guessed at once.
_SHORTEST = 4
#: A server's words are cut somewhere; of a secret so much is masked where the rest is missing.
_BEGINNING = 8
#: Records hold numbers alone.
_NUMBERS = ".bin"


#: How a server may say it back, and how that is read here.
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    lambda secret: quote(secret, errors="surrogateescape"),
    lambda secret: secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
    lambda secret: json.dumps(secret)[1:-1],
    lambda secret: secret.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
    lambda secret: secret.encode("utf-8", "surrogateescape").decode("latin-1"),
    lambda secret: secret.encode("latin-1", "replace").decode("utf-8", "replace"),
    lambda secret: secret.encode("latin-1", "replace").decode("utf-8", "surrogateescape"),
)


class Redaction:
    """Masks the secrets of `headers`, and their beginnings, in whatever it is given."""

    def __init__(self, headers: Iterable[Header]) -> None:
        found = {secret for header in headers for secret in header.secrets}
        spelled = {spell(secret) for secret in found for spell in _SPELLINGS}
        self._secrets = tuple(text for text in spelled if len(text) >= _SHORTEST)
        self._beginning = re.compile("|".join({re.escape(secret[:_BEGINNING]) for secret in self._secrets}))

    def text(self, text: str) -> str:
        """`text` without them."""
        if not self._secrets:
            return text
        parts: list[str] = []
        position = 0
        while found := self._beginning.search(text, position):
            parts += [text[position : found.start()], MASK]
            position = max(_end_of(secret, text, found.start()) for secret in self._secrets)
        return "".join([*parts, text[position:]])

    def error(self, error: BaseException) -> None:
        """Take them out of an error of ours."""
        if self._secrets and isinstance(error, ServemarkError):
            error.what, error.cause = self.text(error.what), self.text(error.cause)
            error.next_step, error.detail = self.text(error.next_step), self.text(error.detail)
            error.log = self.text(error.log)
            error.args = (error.what,)

    def run(self, run: EngineRun) -> EngineRun:
        """The run, without them in the examples of its failures."""
        if not self._secrets:
            return run
        examples = {
            step: tuple(
                replace(example, message=self.text(example.message), body=self.text(example.body)) for example in found
            )
            for step, found in run.examples.items()
        }
        stop_reason = None if run.stop_reason is None else self.text(run.stop_reason)
        return replace(run, examples=examples, stop_reason=stop_reason)

    def listener(self, listener: Listener) -> Listener:
        """One who hears the same without them."""
        if not self._secrets:
            return listener
        log = listener.log
        return replace(
            listener,
            note=lambda line: listener.note(self.text(line)),
            log=None if log is None else lambda line: log(self.text(line)),
        )

    def folder(self, folder: Path) -> None:
        """Take them out of the files in `folder` and below, logs of a server or of JMeter; those are few."""
        if not self._secrets:
            return
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.suffix != _NUMBERS:
                self._file(path)

    def _file(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            content = path.read_bytes()
            # Whatever else is in the file stays as it is.
            masked = self.text(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
            if masked != content:
                partial = path.with_name(f".{path.name}.partial")
                partial.write_bytes(masked)
                partial.replace(path)


def _end_of(secret: str, text: str, start: int) -> int:
    """The end in `text` of `secret`, or of as much of it as is there; `start` when it does not begin there."""
    if not text.startswith(secret[:_BEGINNING], start):
        return start
    length = next((at for at, letter in enumerate(secret) if text[start + at : start + at + 1] != letter), len(secret))
    return start + length
