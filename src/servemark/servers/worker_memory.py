"""What a worker of a model costs, measured by loading and forking as Multi Model Server's worker does.

That it can be measured proves that the model can be loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from servemark.environments.cache import Progress, build_once
from servemark.environments.commands import finish
from servemark.errors import ModelError
from servemark.servers.load_failure import LOADER
from servemark.servers.memory import WorkerMemory
from servemark.workload.inputs import Input

#: What a worker adds besides what loading and forking tell: Java's threads and buffers for it (2 MiB measured), its log
#: and its metrics (up to 3 MiB).
_IN_SERVER_BYTES = 5 << 20
_FACTS = "memory.json"
_MEASURE_TIMEOUT_S = 180.0
_RESULT = "SERVEMARK-MEMORY "

#: Runs in the server's Python, after LOADER: an archive, and a file with a request's body (or nothing) and its type.
#: The parent imports what MMS's worker imports before it forks; children are forked and ended as MMS's are.
_MEASURE = """
import multiprocessing, time
os.environ.setdefault("OMP_NUM_THREADS", "1")  # as MMS's worker does
os.environ.setdefault("MXNET_USE_OPERATOR_TUNING", "0")
import psutil
import mms.model_loader, mms.service, mms.protocol.otf_message_handler

CHILDREN = 3
SETTLED_S = 0.5
fork = multiprocessing.get_context("fork")
archive, body, content_type = sys.argv[1:]

def private(pid):
    # Not the files of the runtime: workers share them, as may a server that happens to run meanwhile.
    try:
        with open("/proc/%d/smaps_rollup" % pid) as rollup:
            return next(1024 * int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty:"))
    except OSError:
        return psutil.Process(pid).memory_full_info().uss

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

def held(pids):
    found = [psutil.Process(pid).memory_full_info() for pid in pids]
    return sum(getattr(info, "pss", info.uss) for info in found)

def predict(service):
    with open(body, "rb") as file:
        value = bytearray(file.read())
    field = {"name": "body", "contentType": content_type, "value": value}
    service.predict([{"requestId": b"0", "headers": [], "parameters": [field]}])

def work(orders, service, folder):
    # A worker: loads the model if it has none yet, then does as it is told.
    service = service or loaded(folder)
    orders.send("ready")
    while orders.recv() == "predict":
        predict(service)
        orders.send("done")
    sys.stdout.flush()
    os._exit(0)

class Worker:
    def __init__(self, service, folder):
        self.orders, theirs = fork.Pipe()
        self.process = fork.Process(target=work, args=(theirs, service, folder), daemon=True)
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
    alone = [Worker(None, folder) for _ in range(2)]  # together, as a server's load
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
    result["forked_bytes"] = (settled(lambda: held(pids)) - before) // CHILDREN
    if body:
        answering.append(workers[-1].answering(pids[:-1]))
    for worker in workers:
        worker.end()
    result["answering_bytes"] = max(0, *answering)
    sys.stdout.write("\\nSERVEMARK-MEMORY " + json.dumps(result) + "\\n")
"""


def worker_memory(
    name: str,
    archive: Path,
    what: Input | None,
    python: Sequence[str | Path],
    *,
    environment_id: str,
    environ: Mapping[str, str] | None = None,
    progress: Progress = lambda _: None,
) -> WorkerMemory:
    """What workers of `archive` cost, measured by loading it and forking as MMS's worker does; so it can be loaded.

    It takes seconds, once for each archive, input and environment.

    Args:
        name: of the model, for people.
        what: an input that it answers; None measures no prediction.
        python: the command of the Python that the server's workers run in.
        environment_id: names that Python's packages: what is known of them is reused.
        environ: variables that the server's workers get besides ours.

    Raises:
        ModelError: it cannot be loaded; the exception (an ImportError, say) is in the error's line.
        SetupError: the cache cannot be written.
    """
    digest = hashlib.sha256(archive.read_bytes())
    for part in (environment_id, LOADER, _MEASURE, json.dumps(dict(environ or {}), sort_keys=True)):
        digest.update(b"\0" + part.encode())
    if what:
        digest.update(b"\0" + what.content_type.encode() + b"\0" + what.body)
    key = f"memory/{digest.hexdigest()[:16]}"
    folder = build_once(key, partial(_measure, name, archive, what, python, environ, progress), progress)
    return WorkerMemory(**json.loads((folder / _FACTS).read_text(encoding="utf-8")))


def _measure(
    name: str,
    archive: Path,
    what: Input | None,
    python: Sequence[str | Path],
    environ: Mapping[str, str] | None,
    progress: Progress,
    folder: Path,
) -> None:
    progress(f"measuring what a worker of {name} costs (once, a few seconds)")
    body: list[str | Path] = ["", ""]
    if what:
        (folder / "body").write_bytes(what.body)
        body = [folder / "body", what.content_type]
    command = [*python, "-c", LOADER + _MEASURE, archive, *body]
    finished = finish(command, timeout_s=_MEASURE_TIMEOUT_S, environ=environ)
    told = finished.output.rpartition(_RESULT)[2]
    if finished.status != 0 or told == finished.output:
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
        alone_bytes=measured.alone_bytes + _IN_SERVER_BYTES,
        forked_bytes=measured.forked_bytes + _IN_SERVER_BYTES,
    )
    (folder / _FACTS).write_text(json.dumps(asdict(memory)), encoding="utf-8")
