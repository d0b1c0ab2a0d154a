"""``servemark serve``: a server of our own with a model, until Ctrl-C."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from argparse import Namespace
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.cli.called import measuring
from servemark.cli.checkout import or_here
from servemark.cli.serve_options import parse_serve
from servemark.errors import EXIT_OK
from servemark.printable import printable

if TYPE_CHECKING:
    from servemark.options.server import ServerOptions
    from servemark.servers.mms.archives import ServeRequest
    from servemark.servers.mms.managed import ManagedServer

_LOOK_EVERY_S = 0.5


def main(words: list[str], prog: str) -> int:
    """Serve what `words` ask for until Ctrl-C or SIGTERM; returns the exit status."""
    arguments = parse_serve(prog, words)

    from servemark.runner.launching import own_launcher
    from servemark.servers import ModelSettings, ServerSettings, default_workers

    say_what_is_open(arguments.listen)
    chosen = or_here(arguments.server, _say)
    if chosen.server_kind != "mms":
        return _serve_kind(arguments, chosen, measuring(prog))
    launcher = own_launcher(_serving(arguments), chosen)
    settings, gpus = ModelSettings(workers=chosen.workers), chosen.gpus or 0
    whole = ServerSettings(gpus=gpus, workers=None if gpus else chosen.workers or default_workers())
    with launcher.serve(whole) as server, server.serve_models(settings) as (served,):
        try:
            print(printable("\n".join(_description(server, served.name, measuring(prog)))), flush=True)
            _say("serving until Ctrl-C")
            while True:
                time.sleep(_LOOK_EVERY_S)
                server.check_alive()
        except KeyboardInterrupt:
            _say("stopping")
        finally:
            server.stop()  # first: Java may write a recording when it ends
            for path in server.files_of_others():
                _keep(path)
    return EXIT_OK


def _serve_kind(arguments: Namespace, chosen: ServerOptions, measure: str) -> int:
    """Serve with a server of another kind than Multi Model Server."""
    from servemark.runner.launching import launcher_of_kind
    from servemark.servers import ModelSettings, ServerSettings
    from servemark.servers.running import RunningLauncher

    log = _say if arguments.verbose else None
    models = () if chosen.model_repository else (arguments.model,)
    launcher = launcher_of_kind(
        RunningLauncher("", models, progress=_say, log=log), chosen, arguments.port, arguments.listen
    )
    if chosen.server_kind == "vllm" and arguments.model:
        launcher = replace(launcher, called=arguments.model)
    asked = ServerSettings(workers=chosen.workers)
    with launcher.serve(asked) as server, server.serve_models(ModelSettings(chosen.workers)) as served:
        try:
            inference = server.addresses["inference"]
            name = served[0].name if served else launcher.called or "MODEL"
            benchmark = ["latency", "-m", name, "--server", inference.url]
            lines = [f"inference    {inference.url}", f"process      {server.pid}, {server.product}"]
            if "management" in server.addresses:
                lines.insert(1, f"management   {server.addresses['management'].url}")
            print(printable("\n".join([*lines, f"measure      {measure} {shlex.join(benchmark)}"])), flush=True)
            _say("serving until Ctrl-C")
            while True:
                time.sleep(_LOOK_EVERY_S)
                if failure := server.failure():
                    raise failure
        except KeyboardInterrupt:
            _say("stopping")
    return EXIT_OK


def say_what_is_open(listen: str) -> None:
    """Say who may do what with a server at an address that others reach."""
    if not ip_address(listen).is_loopback:
        _say(
            f"whoever reaches {listen} may ask the server for predictions and have it load models, which run code; it "
            "asks for no password: let nobody through but who measures"
        )


def _keep(path: Path) -> None:
    """Move a file out of the server's directory, which is about to go, to where this was called."""
    here, number = Path(path.name), 1
    while here.exists():
        number += 1
        here = Path(f"{path.stem}-{number}{path.suffix}")
    try:
        shutil.move(path, here)
        _say(f"kept {here}, which was written into the server's folder")
    except OSError as error:
        _say(f"{path.name}, which was written into the server's folder, is lost: {error.strerror or error}")


def _serving(arguments: Namespace) -> ServeRequest:
    from servemark.servers.mms.archives import ServeRequest
    from servemark.zoo.catalogue import find

    model = find(arguments.model)
    assert model is not None  # parse_serve has looked
    return ServeRequest(
        models=(model,),
        backend=arguments.backend,
        tls=arguments.tls,
        ports=(arguments.port, arguments.port + 1) if arguments.port else None,
        listen=arguments.listen,
        progress=_say,
        log=_say if arguments.verbose else None,
    )


def _description(server: ManagedServer, model: str, measure: str) -> list[str]:
    """What somebody needs to know who wants to use, measure (by `measure`) or profile the server, a line each."""
    from servemark.servers.mms.managed import MAIN_CLASS

    inference, management = server.addresses["inference"], server.addresses["management"]
    trust = ["--ca-file", str(server.certificate)] if server.certificate else []
    benchmark = ["latency", "-m", model, "--mms", inference.url, *trust]
    lines = [f"inference    {inference.url}", f"management   {management.url}"]
    java = server.java
    if java:
        lines.append(f"process      {java.pid}, {MAIN_CLASS}")
        lines.append(f"jcmd         {server.java_home / 'bin' / 'jcmd'}")
    return [*lines, f"measure      {measure} {shlex.join(benchmark)}"]


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
