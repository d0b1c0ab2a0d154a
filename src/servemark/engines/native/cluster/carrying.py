"""How records come to the driver while they are made: chunk by chunk, straight from shared memory into files.

A generator has one chunk on its way at a time, and all of them together so many that the driver's shared memory holds
them. What arrives is written to where the same bytes are in the generator's own file: in the end both are the same.
Where a generator writes its file anew when the run is over, with what was read in answers, all of it comes again: into
a file beside the first, whose place it takes once it is whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Sequence
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from servemark.errors import RecordingError

#: What of one generator's records is on its way at once.
CHUNK_BYTES = 8 << 20
#: And of all of them.
MOST_ON_THEIR_WAY = 16
#: How long a generator is left alone that had nothing more.
PAUSE_S = 1.0

#: What stands for a chunk that was asked for.
Asked = TypeVar("Asked", bound=Hashable)


class Chunks(Protocol[Asked]):
    """A source of chunks."""

    def ask(self, generator: int, offset: int, most_bytes: int) -> Asked:
        """Ask a generator for what is in its file from `offset` on."""
        ...

    def arrived(self, asked: Sequence[Asked], timeout_s: float) -> Sequence[Asked]:
        """Which of those that were asked for are here, or will never be; waits for the first."""
        ...

    def take(self, asked: Asked) -> memoryview | None:
        """What arrived, where it lies: empty where there is nothing more yet, None where its generator is gone."""
        ...


class Carrying(Generic[Asked]):
    """Files that fill with what generators record; a context manager.

    Args:
        chunks: where it comes from.
        files: where it goes, of each generator.

    Raises:
        RecordingError: one of the files cannot be written, here or in any turn.
    """

    def __init__(self, chunks: Chunks[Asked], files: Sequence[Path]) -> None:
        self._chunks, self._files = chunks, files
        self._offsets = [0] * len(files)
        self._sizes: list[int | None] = [None] * len(files)
        self._due_s = [0.0] * len(files)
        self._asked: dict[Asked, int] = {}
        self._outdated: set[Asked] = set()
        self._is_lost = [False] * len(files)
        #: When the last chunk was asked for, and of those that brought all there was the last.
        self._asked_ns = [time.monotonic_ns()] * len(files)
        self._up_to_ns = list(self._asked_ns)
        #: Where those come again that do, until they are whole.
        self._again: dict[int, Path] = {}
        with ExitStack() as self._close:
            self._opened = [self._open(file) for file in files]
            self._close = self._close.pop_all()

    def __enter__(self) -> Carrying[Asked]:
        return self

    def __exit__(self, *_error: object) -> None:
        self._close.close()

    def end_at(self, generator: int, size: int | None) -> None:
        """A generator has ended, and its file has `size` bytes; None where it is lost, and with it what is missing."""
        self._sizes[generator] = self._offsets[generator] if size is None else size
        self._is_lost[generator] = size is None
        self._due_s[generator] = 0.0
        self._settle(generator)

    def begin_again(self, generator: int) -> None:
        """What has come of a generator is no more what its file holds: have all of it, from the beginning.

        What has come stays until then, and for good where the generator is lost.
        """
        self._again[generator] = self._files[generator].with_suffix(".again")
        self._close.callback(self._again[generator].unlink, missing_ok=True)
        self._opened[generator].close()
        self._opened[generator] = self._open(self._again[generator])
        self._offsets[generator] = 0
        self._outdated |= {one for one, of in self._asked.items() if of == generator}

    def is_whole(self, generator: int) -> bool:
        """Whether it has ended, and everything is here that can be had."""
        size = self._sizes[generator]
        return size is not None and size <= self._offsets[generator]

    def up_to_ns(self, generator: int) -> int:
        """The instant, of the monotonic clock, up to which all is here that a generator had written."""
        return time.monotonic_ns() if self.is_whole(generator) else self._up_to_ns[generator]

    def turn(self, timeout_s: float) -> None:
        """Ask for what may be asked for, wait for what arrives first, and write all that is here."""
        now_s, busy = time.monotonic(), set(self._asked.values())
        for generator in sorted(range(len(self._files)), key=self._due_s.__getitem__):
            if len(self._asked) >= MOST_ON_THEIR_WAY or self._due_s[generator] > now_s:
                break
            size = self._sizes[generator]
            if generator not in busy and (size is None or self._offsets[generator] < size):
                self._asked_ns[generator] = time.monotonic_ns()
                self._asked[self._chunks.ask(generator, self._offsets[generator], CHUNK_BYTES)] = generator
        if not self._asked:
            time.sleep(timeout_s)
            return
        for one in self._chunks.arrived(list(self._asked), timeout_s):
            generator, chunk = self._asked.pop(one), self._chunks.take(one)
            if one not in self._outdated or chunk is None:
                self._write(generator, chunk)
            self._outdated.discard(one)

    def _open(self, file: Path) -> FileIO:
        try:
            return self._close.enter_context(file.open("wb", buffering=0))
        except OSError as error:
            raise RecordingError.unwritable(file, error.strerror or str(error)) from error

    def _settle(self, generator: int) -> None:
        """Put what came again in the place of what came first, when all of it is here."""
        if generator in self._again and self.is_whole(generator) and not self._is_lost[generator]:
            self._again.pop(generator).replace(self._files[generator])

    def _write(self, generator: int, chunk: memoryview | None) -> None:
        if chunk is None:
            self.end_at(generator, None)
            return
        written = 0
        while written < len(chunk):
            try:
                written += os.pwrite(
                    self._opened[generator].fileno(), chunk[written:], self._offsets[generator] + written
                )
            except OSError as error:
                raise RecordingError.unwritable(self._files[generator], error.strerror or str(error)) from error
        self._offsets[generator] += written
        has_more = written == CHUNK_BYTES
        if not has_more:
            self._up_to_ns[generator] = self._asked_ns[generator]
        self._due_s[generator] = time.monotonic() + (0.0 if has_more else PAUSE_S)
        self._settle(generator)
