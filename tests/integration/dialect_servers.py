"""Servers that answer what a table says, as a server of a dialect would."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: By method and path the status and the body; anything else is answered with 404.
Answers = Mapping[str, tuple[int, bytes]]
HEALTHY = (200, b'{"status": "Healthy!"}')
MMS: Answers = {"GET /ping": HEALTHY, "OPTIONS /": (200, b'{"paths": {"/predictions/{model_name}": {}}}')}


@contextlib.contextmanager
def answering(
    answers: Answers, came: list[str] | None = None, *, service_s: float = 0.0, in_turn: bool = False
) -> Iterator[int]:
    """The port of a server with these answers, `service_s` after each request; it keeps in `came` what it was asked.

    With `in_turn` it has one worker, which takes so long for each.
    """
    worker = threading.Lock() if in_turn else contextlib.nullcontext()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = f"{self.command} {self.path}"
            if came is not None:
                came.append(asked)
            with worker:
                time.sleep(service_s)
            status, body = answers.get(asked, (404, b"no such page"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_OPTIONS = do_DELETE = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # whoever asked may have left
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
