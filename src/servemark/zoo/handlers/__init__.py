"""What runs inside the server: one module a kind of model, each with the ``handle`` that the server calls.

This package travels in the archive and is imported by the server's Python (3.9 or later), where servemark is not
installed. Workers are the unit of parallelism, so each computes with one thread unless SERVEMARK_WORKER_THREADS says
otherwise; OpenMP reads its limit when a library is first loaded, hence here, before any other import.
"""

import os

THREADS = int(os.environ.get("SERVEMARK_WORKER_THREADS", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
