"""The server that costs are measured against: nginx with a 50-byte JSON, and a counter of its own."""

from __future__ import annotations

import http.client
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.peers import Installed
from bench.process import Process
from servemark.errors import ServerStartError

#: Where requests go; perf_analyzer knows no other path.
PATH = "/predictions/bench"
#: The body of every request: 100 bytes.
BODY = b'{"input": "' + b"x" * 87 + b'"}'
#: The body of every response: 50 bytes.
RESPONSE = b'{"class": "tabby cat", "probability": 0.283746192}'
assert len(BODY) == 100
assert len(RESPONSE) == 50

_START_S = 10.0
# One worker; nothing is logged, no connection is closed for its age, and no limit is near.
_CONFIGURATION = """
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile {files};
pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections {connections}; }}
http {{
    access_log off; keepalive_timeout 1h; keepalive_requests 1000000000; default_type application/json;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=8192;
        location / {{ return 200 '{response}'; }}
        location = /counter {{ stub_status; }}
    }}
}}
"""


class Server:
    """A running nginx."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._counter = http.client.HTTPConnection("127.0.0.1", port, timeout=10.0)
        self._asked = 0

    @property
    def url(self) -> str:
        """Where a request goes."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    def requests(self) -> int:
        """How many requests it has answered since it started, those for this number left out."""
        self._counter.request("GET", "/counter")
        words = self._counter.getresponse().read().split()
        self._asked += 1
        return int(words[words.index(b"requests") + 3]) - self._asked


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def nginx(program: Installed, connections: int = 8192) -> Iterator[Server]:
    """Run nginx on a free port.

    Raises:
        ServerStartError: it did not come up.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="servemark-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        text = _CONFIGURATION.format(
            folder=folder, port=port, connections=connections, files=connections * 2, response=RESPONSE.decode()
        )
        (folder / "nginx.conf").write_text(text, encoding="ascii")
        with Process([program.program, "-p", folder, "-c", folder / "nginx.conf"], folder) as process:
            yield _await(port, process)


def _await(port: int, process: Process) -> Server:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and not process.has_ended:
        with suppress(OSError, http.client.HTTPException):
            server = Server(port)
            server.requests()
            return server
        time.sleep(0.02)
    raise ServerStartError("nginx did not come up", cause=process.complaint)


def cpus() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
