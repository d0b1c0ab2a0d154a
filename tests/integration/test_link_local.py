"""Link-local addresses, in a network namespace of their own: the zone leads to the server and is not sent to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.seconds

_ADDRESS = "fe80::7"
_WITHIN = ("unshare", "--net", "--map-root-user", "sh", "-c")
_MAKE = f"ip link set lo up && ip -6 address add {_ADDRESS}/64 dev lo nodad"
_CODE = """
import json, socket, ssl, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from servemark.cli import main

class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 64

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        hosts.append(self.headers["Host"])
        body = b'{"status": "Healthy"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

hosts, folder = [], sys.argv[1]
server = Server(("fe80::7", 0, 0, socket.if_nametoindex("lo")), Handler)
if sys.argv[2]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
port = server.server_address[1]
threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
words = [word.replace("PORT", str(port)) for word in sys.argv[3:]]
words += ["-l", "5", "-t", "2", "--allow-invalid", "-o", folder + "/out", "--json", folder + "/json"]
status = main(["run", *words])
print(json.dumps({"status": status, "port": port, "hosts": sorted(set(hosts)), "requests": len(hosts)}))
"""


def _run(folder: Path, *words: str, certificate: Path | None = None) -> tuple[dict[str, Any], str]:
    """What became of ``servemark run`` with `words` beside a server at the link-local address, and what it said."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("no network namespace with a link-local address can be made here")
    if subprocess.run([*_WITHIN, _MAKE], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace with a link-local address can be made here")
    python = [sys.executable, "-c", _CODE, str(folder), str(certificate or ""), *words]
    done = subprocess.run(
        [*_WITHIN, f'{_MAKE} && exec "$0" "$@"', *python], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.parametrize(
    ("words", "host"),
    [
        (("http", "--url", "http://[fe80::7%25lo]:PORT/x"), "[fe80::7]:PORT"),
        (("http", "--url", "http://[fe80::7%lo]:PORT/x"), "[fe80::7]:PORT"),
        (("http", "--url", "http://[fe80::7%251]:PORT/x"), "[fe80::7]:PORT"),  # lo by its number
        (("http", "--url", "http://h.example/x", "--connect-to", "[fe80::7%25lo]:PORT"), "h.example"),
        (("ping", "--mms", "[fe80::7%25lo]:PORT"), "[fe80::7]:PORT"),
    ],
)
def test_a_zone_leads_to_the_server_and_is_not_sent(tmp_path: Path, words: tuple[str, ...], host: str) -> None:
    told, said = _run(tmp_path, *words)
    assert told["status"] == 0, said
    assert told["hosts"] == [host.replace("PORT", str(told["port"]))]
    assert told["requests"] >= 10
    (step,) = json.loads((tmp_path / "json").read_text())["benchmarks"][0]["steps"]
    assert (step["succeeded"], step["errors"]) == (10, {})


def test_over_tls_the_name_has_no_zone(tmp_path: Path) -> None:
    subject = ["-subj", "/CN=test", "-addext", f"subjectAltName=IP:{_ADDRESS}"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    key, certificate, both = (tmp_path / name for name in ("own.key", "own.pem", "both.pem"))
    words = ["openssl", "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    url = ("http", "--url", "https://[fe80::7%25lo]:PORT/")
    told, said = _run(tmp_path, *url, "--ca-file", str(certificate), certificate=both)
    assert (told["status"], told["requests"]) == (0, 10), said
    (tmp_path / "again").mkdir()
    told, said = _run(tmp_path / "again", *url, certificate=both)
    assert told["status"] == 4
    assert "%25lo" in said
    assert "is not trusted" in said


def test_a_zone_that_is_not_there_is_named(tmp_path: Path) -> None:
    told, said = _run(tmp_path, "http", "--url", "http://[fe80::7%25eth7]:PORT/")
    assert told["status"] == 4
    assert "this machine has no network interface 'eth7': it has lo; name the one" in said
