"""Which server is meant: what of it can be refused without looking, and the launcher of one of our own.

Importing this needs only the standard library; launchers are imported when one is made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.environments.backends import Backend
from servemark.errors import UsageError
from servemark.servers.trust import Trust
from servemark.workload.endpoint import Endpoint, Place, parse_url, without_user
from servemark.workload.headers import Header

if TYPE_CHECKING:
    from servemark.engines import EngineName
    from servemark.servers.docker import DockerLauncher
    from servemark.servers.managed import ManagedLauncher
    from servemark.servers.servable import Serving
    from servemark.servers.source import SourceLauncher

#: What the kernel has room for, the zero behind it not counted.
_LONGEST_SOCKET = 107


def check_choice(
    *,
    running: str | None,
    gpus: int,
    backend: Backend | None,
    docker: bool,
    image: str | None,
    source: Path | None,
    build_command: str | None,
) -> None:
    """Refuse what contradicts itself, in the words of the command line; `running` is what ``--mms`` names.

    Raises:
        UsageError: two of them do not go together, one needs another, or one is empty.
    """
    given = {
        "-g": gpus > 0,
        "--docker": docker,
        "-d": image is not None,
        "--source": source is not None,
        "--build-command": build_command is not None,
    }
    for name in filter(given.get, given):
        if running is not None:
            raise UsageError(
                f"{name} and --mms do not go together",
                cause="one starts a server of our own, the other measures one that runs",
                next_step="leave one of them out",
            )
    if docker and image is not None:
        raise UsageError(
            "--docker and -d do not go together",
            cause="one is our image, the other names yours",
            next_step="leave one of them out",
        )
    if gpus and backend == "mxnet":
        raise UsageError(
            "-g and --backend mxnet do not go together",
            cause="MXNet's package has no CUDA",
            next_step="use --backend onnx, which computes on GPUs",
        )
    if build_command is not None and source is None:
        raise UsageError("--build-command needs --source", next_step="name the checkout that it builds")
    for name, text in (("-d", image), ("--build-command", build_command)):
        if text is not None and not text.strip():
            raise UsageError(f"{name} is empty", next_step="leave it out, or say which")


def check_running(running: str | None) -> None:
    """Refuse an address of a server that goes on with a path: that of a prediction, in the words of the command line.

    Raises:
        UsageError: says what of it is the server, and what the model.
    """
    match = re.fullmatch(r"((?:[A-Za-z][A-Za-z0-9+.-]*://)?[^/?#]+)(/[^/].*|/?[?#].*)", running or "", re.DOTALL)
    if match is None:
        return
    place, path = without_user(match[1]), match[2]
    model = re.match(r"/(?:predictions|models)/([^/?#]+)|/([^/?#]+)/predict(?:[/?#]|$)", path)
    named = f" -m {model[1] or model[2]}" if model else ""
    raise UsageError(
        f"--mms names a server, without the path {re.split('[?#]', path)[0]!r}",
        next_step=f"give --mms {place}{named}" + ("" if named else ", or measure that URL with the benchmark http"),
    )


def check_server_python(
    *,
    custom_model: bool,
    requirements: Path | None,
    python: Path | None,
    running: str | None,
    docker: bool,
    image: str | None,
) -> None:
    """Refuse what the Python of the server cannot be given, in the words of the command line.

    Raises:
        UsageError: there is no model of the user's that it is for, or the server has a Python of its own.
    """
    given = {"--server-requirements": requirements is not None, "--server-python": python is not None}
    names = list(filter(given.get, given))
    if len(names) > 1:
        why = "one has an environment made, the other is one"
        raise UsageError(f"{names[0]} and {names[1]} do not go together", cause=why)
    if not names:
        return
    if not custom_model:
        raise UsageError(f"{names[0]} needs -c", next_step="the models of the zoo need nothing else")
    for other, chosen in (("--mms", running is not None), ("--docker", docker), ("-d", image is not None)):
        if chosen:
            why = "that server has a Python of its own"
            raise UsageError(f"{names[0]} and {other} do not go together", cause=why)


def check_endpoint(
    benchmark: str,
    *,
    takes_url: bool,
    url: str | None,
    method: str | None,
    bodies: bool,
    running: str | None,
    headers: Sequence[Header],
    content_type: str | None,
    multipart: str | None,
    trust: Trust,
    connect_to: Place | None,
    unix_socket: Path | None,
    engine: EngineName,
) -> None:
    """Refuse what cannot be sent, or not to such a server, in the words of the command line.

    Raises:
        UsageError: two of them do not go together, or one is missing.
    """
    if takes_url and url is None:
        raise UsageError(f"{benchmark} needs --url", next_step="as in --url http://127.0.0.1:8080/health")
    only_of_http = {
        "--url": url is not None,
        "--method": method is not None,
        "--body-file": bodies,
        "--unix-socket": unix_socket is not None,
    }
    for name in filter(only_of_http.get, only_of_http):
        if not takes_url:
            next_step = "give -i" if name == "--body-file" else "measure any endpoint with the benchmark http"
            raise UsageError(f"{name} makes no sense with {benchmark}", cause="only http has it", next_step=next_step)
    for name, given in (("--content-type", content_type is not None), ("--multipart", multipart is not None)):
        if given and takes_url and not bodies:
            raise UsageError(f"{name} needs --body-file", cause="without a body there is nothing of that type")
    names = {header.name.lower() for header in headers}
    for option, text in (("--content-type", content_type), ("--multipart", multipart)):
        if text is not None and "content-type" in names:
            raise UsageError(f"-H Content-Type and {option} do not go together", cause="each says the type of the body")
    endpoint = parse_url(url) if url is not None else None
    if endpoint and endpoint.credentials and "authorization" in names:
        raise UsageError(
            "-H Authorization and a user in --url do not go together", cause="the user becomes that header"
        )
    if unix_socket is not None and endpoint is not None:
        _check_unix_socket(unix_socket, endpoint, connect_to, engine)
    connecting = {
        "--ca-file": trust.ca_file is not None,
        "--insecure": trust.insecure,
        "--client-cert": trust.client_cert is not None,
        "--client-key": trust.client_key is not None,
        "--connect-to": connect_to is not None,
    }
    for option in (name for name, given in connecting.items() if given):
        if endpoint is None and running is None:
            raise UsageError(f"{option} needs --mms", next_step="a server of our own has no use for it")
        if endpoint and endpoint.scheme == "http" and option != "--connect-to":
            raise UsageError(f"{option} makes no sense with an http URL", next_step="leave it out, or write https")
    if trust.client_key is not None and trust.client_cert is None:
        raise UsageError("--client-key needs --client-cert", next_step="name the certificate that it belongs to")


def _check_unix_socket(path: Path, endpoint: Endpoint, connect_to: Place | None, engine: EngineName) -> None:
    if endpoint.scheme != "http":
        raise UsageError(
            "--unix-socket makes no sense with an https URL", next_step=f"write http://{endpoint.authority}/..."
        )
    if connect_to is not None:
        raise UsageError("--unix-socket and --connect-to do not go together", cause="each says where to connect")
    if engine == "jmeter":
        raise UsageError("--engine jmeter and --unix-socket do not go together", cause="JMeter connects to ports")
    if not path.is_socket():
        missing = "it is no socket" if path.exists() else "no such file"
        raise UsageError(f"cannot connect to {path}", cause=missing, next_step="start the server that listens there")
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        raise UsageError(
            f"cannot connect to {path}",
            cause=f"the path of a Unix socket has at most {_LONGEST_SOCKET} bytes",
            next_step="go to its folder, and give its name",
        )


def own_launcher(
    serving: Serving,
    *,
    docker: bool = False,
    image: str | None = None,
    source: Path | None = None,
    build_command: str | None = None,
) -> ManagedLauncher | SourceLauncher | DockerLauncher:
    """What starts the server that was chosen: in a container, from a checkout, or the one that is installed.

    Args:
        serving: what it serves, and how.
        docker: in a container of our image, `source` too.
        image: in a container of this one, `source` too.
        source: the checkout that it is built from.
        build_command: what builds `source`, instead of its own Gradle script.

    Raises:
        UsageError: `source` is no checkout.
    """
    if docker or image is not None:
        from servemark.servers.docker import DockerLauncher

        return DockerLauncher(serving, image=image, source=source, build_command=build_command)
    if source is not None:
        from servemark.servers.source import SourceLauncher

        return SourceLauncher(source, serving, build_command=build_command)
    from servemark.servers.managed import ManagedLauncher

    return ManagedLauncher(serving)
