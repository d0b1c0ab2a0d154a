"""What is sent: to which model or URL, with which input and headers, and what a success is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from servemark.errors import UsageError
from servemark.options.kinds import Headers, Inputs, Status, Text, field_name, media_type, method, readable
from servemark.options.table import OptionGroup, option, refuse
from servemark.workload.answers import parse_expect
from servemark.workload.endpoint import Endpoint, parse_url
from servemark.workload.headers import Header, parse_headers
from servemark.workload.inputs import Input, Sending, read_inputs
from servemark.workload.scenario import Expect, Request
from servemark.zoo.catalogue import DEFAULT_MODEL, ZOO
from servemark.zoo.model_source import ModelSource, model_source


def _expected(text: str) -> str:
    parse_expect(text)
    return text


@dataclass(frozen=True)
class ContentOptions(OptionGroup):
    """What is sent.

    Attributes:
        model: a name in the zoo, or on the server that runs; None is the zoo's first.
        inputs: files, folders and JSONL files of what to send; empty for the model's own input, of a URL for no body.
        custom_model: path or http(s) URL of an archive to serve instead of `model`.
        content_type: of every input; None is what its file's suffix, or the model, says.
        multipart: send each input as the field of that name of a form; None sends it as the body.
        url: what the benchmark http measures, with `method`; None is POST with inputs, else GET.
        headers: of every request to the inference API or to `url`, as ``-H`` has them: ``NAME: VALUE``, in which
            ``$NAME`` is a variable of the environment.
        expect: of the body of a success: ``"same"``, ``"regex:R"``, ``"json:PATH"``, or ``"not:"`` before the last
            two; see ``scenario.Expect``.
        expect_status: of a success; None is any 2xx.
    """

    model: str | None = option(
        "-m",
        "--model",
        kind=Text(),
        help=f"model to serve (default: {DEFAULT_MODEL})",
        of_suites=True,
        offers=tuple(known.name for known in ZOO),
    )
    inputs: tuple[Path, ...] = option(
        "-i",
        "--input",
        kind=Inputs(),
        default=(),
        metavar="FILE",
        help="input to send: a file, a folder, a JSONL file, or - for standard input (default: the model's own)",
        of_suites=True,
    )
    custom_model: str | None = option(
        "-c",
        "--custom-model",
        kind=Text(),
        metavar="URL|PATH",
        heading="your own model",
        help="your own .mar or .model instead of -m",
        of_suites=True,
    )
    content_type: str | None = option(
        "--content-type",
        kind=Text(media_type),
        metavar="T",
        heading="your own model",
        help="of the input (default: by the file's suffix)",
        of_suites=True,
    )
    multipart: str | None = option(
        "--multipart",
        kind=Text(field_name),
        metavar="FIELD",
        heading="your own model",
        help="send the input as that field of a form, e.g. data",
        of_suites=True,
    )
    url: str | None = option(
        "--url",
        kind=Text(),
        metavar="URL",
        heading="request",
        help="what http measures; it may stand alone behind http",
        of_suites=True,
    )
    method: str | None = option(
        "--method",
        kind=Text(method),
        metavar="M",
        heading="request",
        help="of http (default: GET, with a body POST)",
        of_suites=True,
    )
    headers: tuple[str, ...] = option(
        "-H",
        "--header",
        kind=Headers(),
        default=(),
        metavar="'K: V'",
        heading="request",
        help="send this header; $NAME in it is a variable of the environment, and is written nowhere",
        of_suites=True,
    )
    expect: str | None = option(
        "--expect",
        kind=Text(_expected),
        metavar="WHAT",
        heading="request",
        help="body of a success: same (as the first with that input), regex:R (found in it), json:PATH (is in it), "
        "not:regex:R, not:json:PATH",
        of_suites=True,
        offers=("same", "regex:", "json:", "not:regex:", "not:json:"),
    )
    expect_status: int | None = option(
        "--expect-status",
        kind=Status(),
        metavar="N",
        heading="request",
        help="the status of a success (default: any 2xx)",
        of_suites=True,
    )

    @cached_property
    def archive(self) -> ModelSource | None:
        """Where the archive of the user's is."""
        return None if self.custom_model is None else model_source(self.custom_model)

    @cached_property
    def endpoint(self) -> Endpoint | None:
        """What `url` names."""
        return None if self.url is None else parse_url(self.url)

    @cached_property
    def own_headers(self) -> tuple[Header, ...]:
        """The headers that are given."""
        return parse_headers(self.headers, os.environ)

    @property
    def all_headers(self) -> tuple[Header, ...]:
        """Those of every request: of the user in the URL, and those that are given."""
        credentials = self.endpoint.credentials if self.endpoint else None
        return (*((credentials,) if credentials else ()), *self.own_headers)

    @cached_property
    def expected_body(self) -> Expect | None:
        """What `expect` says of bodies."""
        return None if self.expect is None else parse_expect(self.expect)

    @cached_property
    def sending(self) -> Sending:
        """How inputs are sent."""
        return Sending(self.content_type, self.multipart, self.expect_status)

    @cached_property
    def bodies(self) -> tuple[Input, ...]:
        """The inputs as they are sent; they are read when first asked for.

        Raises:
            UsageError: one cannot be read.
        """
        return tuple(map(self.sending.apply, read_inputs(self.inputs)))

    @cached_property
    def requests(self) -> tuple[Request, ...]:
        """What is sent to the endpoint: a request for each input, or the one without a body; empty without a URL."""
        if self.endpoint is None:
            return ()
        if not self.bodies:
            return (Request(self.method or "GET", self.endpoint.target),)
        return tuple(
            Request(self.method or "POST", self.endpoint.target, (("Content-Type", body.content_type),), body.body)
            for body in self.bodies
        )

    def check(self) -> None:
        """Refuse what cannot be sent, as far as that can be told without reading inputs."""
        if self.custom_model is not None and self.model is not None:
            raise refuse("-c", "-m", "one benchmark measures one model")
        if self.model == "":
            raise UsageError("-m is empty", next_step=f"leave it out for {DEFAULT_MODEL}")
        names = {header.name.lower() for header in self.own_headers}
        for name, text in (("--content-type", self.content_type), ("--multipart", self.multipart)):
            if text is not None and "content-type" in names:
                raise refuse("-H Content-Type", name, "each says the type of the body")
        if self.endpoint and self.endpoint.credentials and "authorization" in names:
            raise refuse("-H Authorization", "a user in --url", "the user becomes that header")
        if self.custom_model is not None:
            model_source(self.custom_model)
        for path in self.inputs:
            readable(path)
