"""What a worker of a model costs, measured by loading and forking as Multi Model Server's worker does.

That it can be measured proves that the model can be loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from servemark.environments.cache import Progress, build_once
from servemark.environments.commands import Finished
from servemark.errors import ModelError
from servemark.machine.memory import WorkerMemory
from servemark.servers.mms.load_failure import LOADER
from servemark.workload.inputs import Input

#: What a worker adds besides what loading and forking tell: Java's threads and buffers for it (2 MiB measured), its log
#: and its metrics (up to 3 MiB).
_IN_SERVER_BYTES = 5 << 20
#: How much of what loading or a prediction took is given back again differs by this share from one process to the next.
_ALLOCATORS_SHARE = 0.1
_FACTS = "memory.json"
MEASURE_TIMEOUT_S = 180.0
_RESULT = "SERVEMARK-MEMORY "

#: Runs in the server's Python, after LOADER: an archive, and a file with a request's body (or nothing) and its type.
#: The parent imports what MMS's worker imports before it forks; children are forked and ended as MMS's are.
_MEASURE = """
import multiprocessing, signal, time, traceback
signal.alarm(180)  # in a container nothing else would end it if we were killed
os.environ.setdefault("OMP_NUM_THREADS", "1")  # as MMS's worker does
os.environ.setdefault("MXNET_USE_OPERATOR_TUNING", "0")
import psutil
import mms.model_loader, mms.service, mms.protocol.otf_message_handler

CHILDREN = 3
SETTLED_S = 0.5
fork = multiprocessing.get_context("fork")
archive, body, content_type = sys.argv[1:]

def fields(pid):
    with open("/proc/%d/smaps_rollup" % pid) as rollup:
        rollup.readline()  # whose memory it is
        return {name: 1024 * int(rest.split()[0]) for name, rest in (line.split(":") for line in rollup)}

# Neither counts files that are mapped: workers share a runtime's, and our part of them shrinks and grows when a server
# that has nothing to do with us starts or ends.
def private(pid):
    try:
        return fields(pid)["Private_Dirty"]
    except OSError:
        return psutil.Process(pid).memory_full_info().uss

def held(pids):
    try:
        found = [fields(pid) for pid in pids]
        return sum(one["Pss_Anon"] + one["Pss_Shmem"] for one in found)
    except (OSError, KeyError):  # before Linux 5.3
        found = [psutil.Process(pid).memory_full_info() for pid in pids]
        return sum(getattr(info, "pss", info.uss) for info in found)

def settled(read):
    # The largest of what it reads until that grows no more: MXNet copies weights for a while after it says it is done.
    largest, grew = read(), time.monotonic()
    while time.monotonic() < grew + SETTLED_S:
        time.sleep(0.05)
        now = read()
        if now > largest + 100000:
            grew = time.monotonic()
        largest = max(largest, now)
    return largest

def predict(service):
    with open(body, "rb") as file:
        value = bytearray(file.read())
    field = {"name": "body", "contentType": content_type, "value": value}
    service.predict([{"requestId": b"0", "headers": [], "parameters": [field]}])

def work(orders, service, folder, says_why):
    # A worker: loads the model if it has none yet, then does as it is told.
    try:
        service = service or loaded(folder)
    except BaseException:
        if says_why:
            traceback.print_exc()
        os._exit(1)
    orders.send("ready")
    while orders.recv() == "predict":
        predict(service)
        orders.send("done")
    sys.stdout.flush()
    os._exit(0)

class Worker:
    def __init__(self, service, folder, says_why=True):
        self.orders, theirs = fork.Pipe()
        self.process = fork.Process(target=work, args=(theirs, service, folder, says_why), daemon=True)
        self.process.start()
        theirs.close()
        self.pid = self.process.pid

    def ready(self):
        try:
            self.orders.recv()
        except EOFError:
            sys.exit(1)  # Its traceback is printed.
        return self

    def answering(self, others):
        # What a first prediction adds; nothing is known of one that ends the worker.
        before = held([self.pid, *others])
        try:
            self.orders.send("predict")
            self.orders.recv()
            return settled(lambda: held([self.pid, *others])) - before
        except (EOFError, OSError, psutil.Error):
            return 0

    def end(self):
        try:
            self.orders.send("end")
        except OSError:
            pass
        self.process.join()

with tempfile.TemporaryDirectory(prefix="servemark-") as folder:
    unpacked(archive, folder)
    alone = [Worker(None, folder, says_why=number == 0) for number in range(2)]  # together, as a server's load
    for worker in alone:
        worker.ready()
    result = {"alone_bytes": settled(lambda: max(private(worker.pid) for worker in alone))}
    answering = [alone[0].answering([])] if body else [0]
    for worker in alone:
        worker.end()
    service = loaded(folder)
    workers = [Worker(service, folder).ready()]
    pids = [os.getpid(), workers[0].pid]
    before = settled(lambda: held(pids))
    for _ in range(CHILDREN):
        workers.append(Worker(service, folder).ready())
        pids.append(workers[-1].pid)
    result["forked_bytes"] = max(0, settled(lambda: held(pids)) - before) // CHILDREN
    if body:
        answering.append(workers[-1].answering(pids[:-1]))
    for worker in workers:
        worker.end()
    result["answering_bytes"] = max(0, *answering)
    sys.stdout.write("\\nSERVEMARK-MEMORY " + json.dumps(result) + "\\n")
"""


@dataclass(frozen=True)
class WorkerPython:
    """The Python that a server's workers run in.

    Attributes:
        environment_id: names its packages: what was measured with them is reused.
        run: runs it with the arguments it is given, within MEASURE_TIMEOUT_S; it must be able to read the files given
            second, under the paths that they have here.
    """

    environment_id: str
    run: Callable[[Sequence[str | Path], Sequence[Path]], Finished]


def worker_memory(
    name: str, archive: Path, what: Input | None, python: WorkerPython, progress: Progress
) -> WorkerMemory:
    """What workers of the model `name` cost, measured by loading its `archive` as MMS's worker does: so it can be.

    That takes seconds, once for each archive, input and environment. `what` is an input that it answers; None leaves
    out what a prediction costs.

    Raises:
        ModelError: it cannot be loaded; the exception (an ImportError, say) is in the error's line.
        SetupError: the cache cannot be written.
    """
    digest = hashlib.sha256(Path(__file__).read_bytes() + archive.read_bytes())
    for part in (python.environment_id, LOADER, what.content_type if what else ""):
        digest.update(b"\0" + part.encode())
    digest.update(b"\0" + what.body if what else b"")
    key = f"memory/{digest.hexdigest()[:16]}"
    folder = build_once(key, partial(_measure, name, archive, what, python, progress), progress)
    return WorkerMemory(**json.loads((folder / _FACTS).read_text(encoding="utf-8")))


def _measure(
    name: str, archive: Path, what: Input | None, python: WorkerPython, progress: Progress, folder: Path
) -> None:
    progress(f"measuring what a worker of {name} costs (once, a few seconds)")
    arguments: list[str | Path] = ["-c", LOADER + _MEASURE, archive, "", ""]
    files = [archive]
    if what:
        body = folder / "body"
        body.write_bytes(what.body)
        arguments[-2:] = [body, what.content_type]
        files.append(body)
    finished = python.run(arguments, files)
    _, found, told = finished.output.rpartition(_RESULT)
    if finished.status != 0 or not found:
        lines = finished.tail.splitlines()
        raise ModelError(
            f"the server cannot load the model {name}",
            cause=lines[-1].strip() if lines else f"exit status {finished.status}",
            next_step="see the last lines below",
            detail=finished.tail,
        )
    measured = WorkerMemory(**json.loads(told.splitlines()[0]))
    memory = replace(
        measured,
        alone_bytes=round(measured.alone_bytes * (1 + _ALLOCATORS_SHARE)) + _IN_SERVER_BYTES,
        forked_bytes=measured.forked_bytes + _IN_SERVER_BYTES,
        answering_bytes=round(measured.answering_bytes * (1 + _ALLOCATORS_SHARE)),
    )
    (folder / _FACTS).write_text(json.dumps(asdict(memory)), encoding="utf-8")
