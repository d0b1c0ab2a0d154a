"""Which server is measured: one that runs, or one of our own, how it is started, and how it is reached."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from servemark.environments.backends import BACKENDS, Backend
from servemark.environments.server_kinds import OWN_MODELS, SERVER_KINDS, ServerKind
from servemark.errors import UsageError
from servemark.options.kinds import OneOf, PathTo, Switch, Text, Whole, readable_file
from servemark.options.table import OptionGroup, option, refuse
from servemark.servers.dialect import DialectName
from servemark.servers.http.trust import Trust
from servemark.servers.torchserve.tokens import Tokens, read_tokens
from servemark.workload.endpoint import Endpoint, Place, parse_place, without_user
from servemark.workload.headers import Header

#: What the kernel has room for, the zero behind it not counted.
_LONGEST_SOCKET = 107
_ONE_STARTS = "one starts a server of our own, the other measures one that runs"


@dataclass(frozen=True)
class ServerOptions(OptionGroup):
    """Which server, and how it is reached.

    Attributes:
        server: ``[SCHEME://]HOST[:PORT]`` of one that runs; None starts one.
        dialect: what that speaks; ``"auto"`` is told from its answers.
        mms: the same as `server`, of one whose dialect is ``"mms"``.
        token_file: where a TorchServe that runs has written the tokens that it asks for.
        server_kind: of one that is started.
        model_repository: what such a server serves, in the form of its kind; None is the zoo, which a vLLM has not.
        docker: start it in a container of our image; or of `image`.
        source: the checkout of MMS that is built and started; `build_command` replaces its own Gradle script.
        workers: of each model; None is one a GPU with `gpus`, else one a CPU.
        gpus: how many NVIDIA GPUs to compute on; None is the CPU.
        server_requirements: a file of pip's: what the handler of a model of the user's imports.
        server_python: an interpreter that has what that handler imports, and the server.
        client_cert: certificate of the client, a PEM file; its key is in it, or in `client_key`.
        connect_to: where to connect instead of the host and port that are named.
        unix_socket: of this machine, to connect to instead of the host and port of a URL.
    """

    workers: int | None = option(
        "-w",
        "--workers",
        kind=Whole(1),
        metavar="N",
        help="workers (default: one a CPU, or with -g one a GPU)",
        of_suites=True,
    )
    server: str | None = option(
        "--server",
        kind=Text(),
        metavar="[SCHEME://]HOST[:PORT]",
        heading="server",
        help="measure a server that is already running",
    )
    dialect: DialectName | Literal["auto"] = option(
        "--dialect",
        kind=OneOf(("auto", *get_args(DialectName))),
        default="auto",
        heading="server",
        help="what it speaks (default: auto, told from its answers)",
    )
    mms: str | None = option(
        "--mms",
        kind=Text(),
        metavar="[SCHEME://]HOST[:PORT]",
        heading="server",
        help="as --server with --dialect mms",
    )
    token_file: Path | None = option(
        "--token-file",
        kind=PathTo(),
        metavar="FILE",
        heading="server",
        help="key_file.json of a TorchServe that wants its tokens",
    )
    server_kind: ServerKind = option(
        "--server-kind",
        kind=OneOf(SERVER_KINDS),
        default="mms",
        heading="server",
        help="which server is started (default: mms, Multi Model Server)",
    )
    model_repository: Path | None = option(
        "--model-repository",
        kind=PathTo(),
        metavar="DIR",
        heading="server",
        help="what a server of --server-kind triton, mlserver or vllm serves, instead of the zoo",
    )
    docker: bool = option(
        "--docker", kind=Switch(), default=False, heading="server", help="run it in a container of our image"
    )
    image: str | None = option(
        "-d",
        "--docker-image",
        kind=Text(),
        metavar="IMAGE",
        heading="server",
        help="run it in a container of this image, which has the server",
    )
    source: Path | None = option(
        "--source",
        kind=PathTo(),
        metavar="DIR",
        heading="server",
        help="build and run the checkout of MMS in DIR (default: that in which this is called, if any)",
    )
    build_command: str | None = option(
        "--build-command",
        kind=Text(),
        metavar="COMMAND",
        heading="server",
        help="what builds DIR (default: its Gradle script, or javac)",
    )
    management_port: int | None = option(
        "--management-port",
        kind=Whole(1, 65535),
        metavar="P",
        heading="server",
        help="its management port (default: port + 1)",
    )
    gpus: int | None = option(
        "-g",
        "--gpus",
        kind=Whole(1),
        metavar="N",
        heading="server",
        help="compute on N NVIDIA GPUs",
        of_suites=True,
    )
    backend: Backend | None = option(
        "--backend",
        kind=OneOf(BACKENDS),
        heading="server",
        help="what computes the zoo's models (default: mxnet if it can)",
    )
    ca_file: Path | None = option(
        "--ca-file", kind=PathTo(), metavar="FILE", heading="server", help="certificates to trust"
    )
    insecure: bool = option("--insecure", kind=Switch(), default=False, heading="server", help="trust any certificate")
    server_requirements: Path | None = option(
        "--server-requirements",
        kind=PathTo(),
        metavar="FILE",
        heading="your own model",
        help="pip requirements: what its handler imports",
    )
    server_python: Path | None = option(
        "--server-python",
        kind=PathTo(),
        metavar="PATH",
        heading="your own model",
        help="a Python with the server and what its handler imports",
    )
    connect_to: Place | None = option(
        "--connect-to",
        kind=Text(parse_place),
        metavar="HOST:PORT",
        heading="request",
        help="connect there; Host and SNI stay those of --url or --server",
    )
    unix_socket: Path | None = option(
        "--unix-socket",
        kind=PathTo(),
        metavar="PATH",
        heading="request",
        help="connect to this socket; Host stays that of --url",
        of_suites=True,
    )
    client_cert: Path | None = option(
        "--client-cert", kind=PathTo(), metavar="FILE", heading="request", help="certificate of the client, PEM"
    )
    client_key: Path | None = option(
        "--client-key",
        kind=PathTo(),
        metavar="FILE",
        heading="request",
        help="its key, PEM (default: in the file of --client-cert)",
    )

    def __post_init__(self) -> None:
        if self.gpus == 0:  # in Python another word for the CPU
            object.__setattr__(self, "gpus", None)
        if self.mms is not None and self.server is None and self.dialect in ("auto", "mms"):
            object.__setattr__(self, "server", self.mms)
            object.__setattr__(self, "dialect", "mms")
        super().__post_init__()

    @property
    def named_with(self) -> str:
        """The option that names the running server."""
        return "--mms" if self.mms is not None else "--server"

    @property
    def trust(self) -> Trust:
        """How far certificates are checked, and the client's own."""
        return Trust(self.ca_file, self.insecure, self.client_cert, self.client_key)

    @cached_property
    def tokens(self) -> Tokens | None:
        """The tokens in `token_file`; it is read when first asked for.

        Raises:
            UsageError: it cannot be read, or holds none.
        """
        return None if self.token_file is None else read_tokens(self.token_file)

    @property
    def secret_headers(self) -> tuple[Header, ...]:
        """Headers that carry what may be written nowhere, besides those that the user gives."""
        return (self.tokens.inference, self.tokens.management) if self.tokens else ()

    @property
    def workers_of_model(self) -> int | None:
        """How many workers a model has; None is one a CPU."""
        return self.workers or self.gpus

    def check(self) -> None:
        """Refuse a server that cannot be had, as far as that can be told without looking for it."""
        own = {
            "-g": self.gpus,
            "--docker": self.docker,
            "-d": self.image is not None,
            "--source": self.source is not None,
            "--build-command": self.build_command is not None,
        }
        if self.mms is not None and (self.server, self.dialect) != (self.mms, "mms"):
            other = "--server" if self.dialect in ("auto", "mms") else f"--dialect {self.dialect}"
            raise refuse("--mms", other, "--mms is --server with --dialect mms", "leave one of them out")
        if self.dialect != "auto" and self.server is None:
            step = "which server is started is --server-kind's to say, a Multi Model Server by default"
            raise UsageError("--dialect needs --server", next_step=step)
        for name in filter(own.get, own):
            if self.server is not None:
                raise refuse(name, self.named_with, _ONE_STARTS, "leave one of them out")
        if self.docker and self.image is not None:
            raise refuse("--docker", "-d", "one is our image, the other names yours", "leave one of them out")
        if self.gpus and self.backend == "mxnet":
            step = "use --backend onnx, which computes on GPUs"
            raise refuse("-g", "--backend mxnet", "MXNet's package has no CUDA", step)
        if self.build_command is not None and self.source is None:
            raise UsageError("--build-command needs --source", next_step="name the checkout that it builds")
        for name, text in (("-d", self.image), ("--build-command", self.build_command)):
            if text is not None and not text.strip():
                raise UsageError(f"{name} is empty", next_step="leave it out, or say which")
        self._check_kind()
        self._check_python()
        self._check_address()
        if self.ca_file and self.insecure:
            raise refuse("--ca-file", "--insecure", "one checks the certificate, the other does not")
        if self.client_key is not None and self.client_cert is None:
            raise UsageError("--client-key needs --client-cert", next_step="name the certificate that it belongs to")
        if self.token_file is not None and self.server is None:
            raise UsageError("--token-file needs --server", next_step="a server of our own asks for no token")
        files = (
            self.token_file,
            self.server_requirements,
            self.server_python,
            self.ca_file,
            self.client_cert,
            self.client_key,
        )
        for file in filter(None, files):
            readable_file(file)
        if self.source is not None:
            # What knows checkouts knows compilers, too, which most have no use for.
            from servemark.environments.source import check_checkout

            check_checkout(self.source, own_build=self.build_command is not None)

    def _check_kind(self) -> None:
        """Refuse what only another kind of server can be started with."""
        others = {
            self.named_with: self.server is not None,
            "-g": bool(self.gpus),
            "--docker": self.docker,
            "-d": self.image is not None,
            "--source": self.source is not None,
            "--backend": self.backend is not None,
            "--server-requirements": self.server_requirements is not None,
            "--server-python": self.server_python is not None,
        }
        if self.server_kind != "mms":
            for name in filter(others.get, others):
                why = _ONE_STARTS if name == self.named_with else "only a Multi Model Server is started so"
                raise refuse(f"--server-kind {self.server_kind}", name, why, "leave one of them out")
        if self.model_repository is not None and self.server_kind not in OWN_MODELS:
            step = "give --server-kind triton, mlserver or vllm, or an archive with -c"
            raise UsageError("--model-repository needs --server-kind", next_step=step)
        if self.server_kind == "vllm":
            if self.model_repository is None:
                step = "name the folder with the model's config.json, tokenizer and weights"
                raise UsageError("--server-kind vllm needs --model-repository", next_step=step)
            if self.workers is not None:
                step = "leave -w out; what vLLM itself is told stands in vllm.yaml in the model's folder"
                raise refuse("-w", "--server-kind vllm", "one engine answers all requests", step)

    def _check_python(self) -> None:
        given = {"--server-requirements": self.server_requirements, "--server-python": self.server_python}
        names = list(filter(given.get, given))
        if len(names) > 1:
            raise refuse(names[0], names[1], "one has an environment made, the other is one")
        others = {self.named_with: self.server is not None, "--docker": self.docker, "-d": self.image is not None}
        for other in filter(others.get, others):
            if names:
                raise refuse(names[0], other, "that server has a Python of its own")

    def _check_address(self) -> None:
        if self.server is None:
            if self.management_port:
                raise UsageError("--management-port needs --server", next_step="a server of our own has no use for it")
            return
        match = re.fullmatch(r"((?:[A-Za-z][A-Za-z0-9+.-]*://)?[^/?#]+)(/[^/].*|/?[?#].*)", self.server, re.DOTALL)
        if match is None:
            return
        place, path = without_user(match[1]), match[2]
        model = re.match(r"/(?:predictions|models)/([^/?#]+)|/([^/?#]+)/predict(?:[/?#]|$)", path)
        named = f" -m {model[1] or model[2]}" if model else ""
        raise UsageError(
            f"{self.named_with} names a server, without the path {re.split('[?#]', path)[0]!r}",
            next_step=f"give {self.named_with} {place}{named}"
            + ("" if named else ", or measure that URL with the benchmark http"),
        )

    def check_reachability(self, endpoint: Endpoint | None, *, by_jmeter: bool) -> None:
        """Refuse ways to connect that make no sense with `endpoint`, or with a server of our own.

        Raises:
            UsageError: says which, and why.
        """
        if self.unix_socket is not None and endpoint is not None:
            self._check_unix_socket(self.unix_socket, endpoint, by_jmeter=by_jmeter)
        connecting = {
            "--ca-file": self.ca_file,
            "--insecure": self.insecure,
            "--client-cert": self.client_cert,
            "--client-key": self.client_key,
            "--connect-to": self.connect_to,
        }
        for name in filter(connecting.get, connecting):
            if endpoint is None and self.server is None:
                raise UsageError(f"{name} needs --server", next_step="a server of our own has no use for it")
            if endpoint and endpoint.scheme == "http" and name != "--connect-to":
                raise UsageError(f"{name} makes no sense with an http URL", next_step="leave it out, or write https")

    def _check_unix_socket(self, path: Path, endpoint: Endpoint, *, by_jmeter: bool) -> None:
        if endpoint.scheme != "http":
            raise UsageError(
                "--unix-socket makes no sense with an https URL", next_step=f"write http://{endpoint.authority}/..."
            )
        if self.connect_to is not None:
            raise refuse("--unix-socket", "--connect-to", "each says where to connect")
        if by_jmeter:
            raise refuse("--engine jmeter", "--unix-socket", "JMeter connects to ports")
        if not path.is_socket():
            missing = "it is no socket" if path.exists() else "no such file"
            raise UsageError(
                f"cannot connect to {path}", cause=missing, next_step="start the server that listens there"
            )
        if len(os.fsencode(path)) > _LONGEST_SOCKET:
            raise UsageError(
                f"cannot connect to {path}",
                cause=f"the path of a Unix socket has at most {_LONGEST_SOCKET} bytes",
                next_step="go to its folder, and give its name",
            )
