"""The actor that is a generator on its node: an agent as on the driver's own machine, and the files that it writes.

When its raylet is killed Ray leaves an actor alone for seconds; so it looks after that itself, and ends.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servemark.engines.native.spread import GeneratorFacts, Order
from servemark.engines.native.spread.agent import Agent
from servemark.errors import RecordingError, ServemarkError
from servemark.record_header import MAGIC, read_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from servemark.engines import EngineRun

_NAME, _TOKENIZER = "records", "tokenizer.json"
_LOOK_EVERY_S = 0.1
#: Once it was closed.
_GONE_AFTER_S = 2.0
#: Removes the folder $0 once its standard input ends. Ray kills the children of an actor with it: this is a grandchild.
_SWEEP = 'exec 3<&0; { cat <&3 > /dev/null; rm -rf -- "$0"; } &'


class GeneratorActor:
    """One generator; several of its methods may be under way at once.

    Args:
        token: with which datagrams to its clock begin; it answers at this node's address.
    """

    def __init__(self, token: bytes) -> None:
        import ray.util

        self._files = ExitStack()
        self._folder = self._files.enter_context(_folder())
        host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        self._agent = Agent(token, host, alone=self._end)
        threading.Thread(target=self._mind, args=(os.getppid(),), name="raylet", daemon=True).start()

    def facts(self) -> GeneratorFacts:
        """What it is."""
        return self._agent.facts()

    def arm(self, order: Order, tokenizer: bytes) -> None:
        """Make everything ready; see ``Agent``. The records go into a folder of this node's, as does the tokenizer."""
        _be_as_nice_as_others()
        plan = order.plan
        if plan.tokenizer:
            plan = replace(plan, tokenizer=self._folder / _TOKENIZER)
            _write(self._folder / _TOKENIZER, tokenizer)
        self._agent.arm(replace(order, plan=plan, records=self._folder / f"{_NAME}.bin"))

    def ask(self, what: str, *arguments: Any) -> Any:
        """What one of the agent's methods answers."""
        return getattr(self._agent, what)(*arguments)

    def outcome(self) -> tuple[EngineRun | ServemarkError, dict[str, int]]:
        """What its run was, or what it failed of; and of each file that it left the suffix and the size in bytes.

        The records are the first of these.
        """
        run: EngineRun | ServemarkError
        try:
            run = self._agent.outcome()
        except ServemarkError as error:  # its disk is full: what is on it is to be had all the same
            run = error
        files = sorted(self._folder.glob(f"{_NAME}.*"), key=lambda path: path.name != f"{_NAME}.bin")
        return run, {path.name.removeprefix(_NAME): path.stat().st_size for path in files}

    def read(self, suffix: str, offset: int, most_bytes: int, *, is_over: bool) -> NDArray[np.uint8]:
        """What is in one of its files from `offset` on: at most so many bytes, none where there are no more yet.

        Nor are there any of records that are to be others in the end, or whose header does not yet say when they begin,
        unless who asks knows that its run `is_over`.
        """
        import numpy as np

        path = self._folder / f"{_NAME}{suffix}"
        found = np.empty(0, dtype=np.uint8)
        if path.exists() and (is_over or offset or _says_when_it_began(path)):
            found = np.fromfile(path, dtype=np.uint8, count=most_bytes, offset=offset)
        # Looked at afterwards: what was read before its place was given back is whole.
        return found[:0] if suffix == ".bin" and not is_over and self._agent.changes_records else found

    def close(self) -> None:
        """End what it sends, remove its folder, and go: also where Ray, which is to end it now, does not."""
        self._agent.abandon()
        self._files.close()
        threading.Timer(_GONE_AFTER_S, self._end).start()

    def _mind(self, raylet: int) -> None:
        """End as soon as the raylet that started this process is gone."""
        while os.getppid() == raylet:
            time.sleep(_LOOK_EVERY_S)
        self._agent.abandon()
        self._end()

    def _end(self) -> None:
        os._exit(1)  # with its threads, which are Ray's; the folder is swept


def _says_when_it_began(records: Path) -> bool:
    """Whether the header of the records is what it stays: it is written when they are armed, and at their start."""
    with records.open("rb") as file, suppress(RecordingError):
        return bool(read_header(file, records, MAGIC, "a record file")["started_unix_ns"])
    return False  # it is being written


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise RecordingError.unwritable(path, error.strerror or str(error)) from error


def _be_as_nice_as_others() -> None:
    """Give up the niceness of 15 that Ray gives its workers, where that is allowed: what sends gives way to nobody.

    Threads have one each, and begin with that of the thread that starts them.
    """
    with suppress(OSError):
        for thread in Path("/proc/self/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), 0)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that is removed after the block, also where this process is killed before."""
    folder = tempfile.mkdtemp(prefix="servemark-generator-")
    sweeper = subprocess.Popen(["/bin/sh", "-c", _SWEEP, folder], stdin=subprocess.PIPE, start_new_session=True)
    sweeper.wait()  # what sweeps is a child of its own
    assert sweeper.stdin
    try:
        yield Path(folder)
    finally:
        sweeper.stdin.close()
