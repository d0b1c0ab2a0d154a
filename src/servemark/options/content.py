"""What is sent: to which model or URL, with which input and headers, and what a success is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from servemark.errors import UsageError
from servemark.options.kinds import (
    Headers,
    Inputs,
    OneOf,
    PathTo,
    Shapes,
    Status,
    Switch,
    Text,
    Whole,
    field_name,
    media_type,
    method,
    readable,
    readable_file,
)
from servemark.options.table import OptionGroup, option, refuse
from servemark.servers.oip.asked import CALLS, FORMS, GENERATING, MADE, CallName, Form, TensorsAsked, TensorShape
from servemark.workload.answers import parse_expect
from servemark.workload.endpoint import Endpoint, parse_url
from servemark.workload.headers import Header, parse_headers
from servemark.workload.inputs import STANDARD_INPUT, Input, Sending, read_inputs
from servemark.workload.made_prompts import made_prompts, prompts_of_trace
from servemark.workload.prompts import OUTPUT_TOKENS, PROMPT_TOKENS, Asked, Drawn, PromptForm, Prompts, prompts_in
from servemark.workload.scenario import TOKEN_FORMATS, Expect, Request, TokenFormat
from servemark.workload.trace_lengths import Lengths
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
        input_data: ``"zeros"``, ``"random"`` or a file, for the inputs that a server describes; None is random.
        shapes: of such inputs, where the server leaves them open.
        tensors: how such inputs are written, and `call` what is asked with them.
        content_type: of every input; None is what its file's suffix, or the model, says.
        multipart: send each input as the field of that name of a form; None sends it as the body.
        url: what the benchmark http measures, with `method`; None is POST with inputs, else GET.
        headers: of every request to the inference API or to `url`, as ``-H`` has them: ``NAME: VALUE``, in which
            ``$NAME`` is a variable of the environment.
        expect: of the body of a success: ``"same"``, ``"regex:R"``, ``"json:PATH"``, or ``"not:"`` before the last
            two; see ``scenario.Expect``.
        expect_status: of a success; None is any 2xx.
        tokens: how the tokens of answers are told; None reads none of them.
        prompts: JSONL file of what a server that generates text is asked.
        prompt_tokens: words of each prompt that is made instead, and `shared_prefix` how many of them are those of all.
        output_tokens: at most so many are asked for.
        ignore_eos: answers go on to that number whatever the model says, on servers that can.
        completions: texts are completed, instead of answered in a chat.
        no_stream: answers come whole.
        tokenizer: file of the tokenizer by which tokens are counted where a server does not.
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
    input_data: str | None = option(
        "--input-data",
        kind=Text(),
        metavar="zeros|random|FILE",
        heading="request",
        help="tensors to send: what the server says of the model, filled so, or with the values in FILE",
        of_suites=True,
        offers=MADE,
    )
    shapes: tuple[TensorShape, ...] = option(
        "--shape",
        kind=Shapes(),
        default=(),
        metavar="NAME:1,4",
        heading="request",
        help="shape of an input that the server leaves open; NAME:FP32:1,4 where it does not say the data type either",
        of_suites=True,
    )
    tensors: Form = option(
        "--tensors",
        kind=OneOf(FORMS),
        default="auto",
        heading="request",
        help="how tensors are written (default: binary where the server takes that)",
        of_suites=True,
    )
    call: CallName = option(
        "--call",
        kind=OneOf(CALLS),
        default="infer",
        heading="request",
        help="what a model is asked for (default: infer)",
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

    tokens: TokenFormat | None = option(
        "--tokens",
        kind=OneOf(TOKEN_FORMATS),
        heading="request",
        help="read the tokens of each answer: openai (chat, completions), oip (its streams), text (each event is text)",
        of_suites=True,
    )
    prompts: Path | None = option(
        "--prompts",
        kind=PathTo(),
        metavar="FILE",
        heading="request",
        help="prompts to ask a server with OpenAI's API: a JSONL file",
        of_suites=True,
    )
    prompt_tokens: int | None = option(
        "--prompt-tokens",
        kind=Whole(1),
        metavar="N",
        heading="request",
        help=f"make prompts of so many words, no two alike (default: {PROMPT_TOKENS})",
        of_suites=True,
    )
    shared_prefix: int | None = option(
        "--shared-prefix",
        kind=Whole(1),
        metavar="N",
        heading="request",
        help="the first N words are the same in all of them",
        of_suites=True,
    )
    output_tokens: int | None = option(
        "--output-tokens",
        kind=Whole(1),
        metavar="N",
        heading="request",
        help=f"ask for answers of at most so many tokens (default: {OUTPUT_TOKENS})",
        of_suites=True,
    )
    ignore_eos: bool = option(
        "--ignore-eos",
        kind=Switch(),
        default=False,
        heading="request",
        help="have answers go on to that number, on servers that can (vLLM, SGLang)",
        of_suites=True,
    )
    completions: bool = option(
        "--completions",
        kind=Switch(),
        default=False,
        heading="request",
        help="have texts completed, instead of answered in a chat",
        of_suites=True,
    )
    no_stream: bool = option(
        "--no-stream",
        kind=Switch(),
        default=False,
        heading="request",
        help="have each answer come whole, instead of as a stream",
        of_suites=True,
    )
    tokenizer: Path | None = option(
        "--tokenizer",
        kind=PathTo(),
        metavar="FILE",
        heading="request",
        help="count tokens by this tokenizer.json where the server does not",
        of_suites=True,
    )

    @cached_property
    def archive(self) -> ModelSource | None:
        """The source of the user's own archive."""
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
    def asks_prompts(self) -> bool:
        """Whether what is sent are prompts."""
        asked = (self.prompts, self.prompt_tokens, self.shared_prefix, self.output_tokens)
        return any(one is not None for one in asked) or self.ignore_eos or self.completions or self.no_stream

    @property
    def generates(self) -> bool:
        """Whether Triton is asked to generate, for which a prompt is a text and parameters."""
        return self.call in GENERATING

    @property
    def takes_lengths(self) -> bool:
        """Whether prompts may be as long as a trace has them: nothing else says what they are."""
        return not (self.prompts or self.prompt_tokens or self.shared_prefix or self.inputs)

    def prompts_asked(self, seed: int, lengths: Sequence[Lengths] | None = None, most: int | None = None) -> Prompts:
        """The prompts that are asked, as requests without the name of a model; those that are made go by `seed`.

        With `lengths` those of a trace are made. No more than `most` are needed.

        Raises:
            UsageError: their file cannot be read, or holds something else.
        """
        form: PromptForm = "generate" if self.generates else "completion" if self.completions else "message"
        streams = self.call == "generate_stream" if self.generates else not self.no_stream
        asked = Asked(self.output_tokens, streams, self.ignore_eos, form)
        if lengths:
            return prompts_of_trace(Drawn(seed), asked, lengths)
        asked = replace(asked, output_tokens=self.output_tokens or OUTPUT_TOKENS)
        if self.prompts is not None:
            return prompts_in(self.prompts, asked)
        tokens = self.prompt_tokens or PROMPT_TOKENS
        return made_prompts(Drawn(seed), asked, tokens=tokens, shared_prefix=self.shared_prefix or 0, most=most)

    @property
    def all_headers(self) -> tuple[Header, ...]:
        """The headers of every request: of the user in the URL, and those that are given."""
        credentials = self.endpoint.credentials if self.endpoint else None
        return (*((credentials,) if credentials else ()), *self.own_headers)

    @cached_property
    def expected_body(self) -> Expect | None:
        """What `expect` says of bodies."""
        return None if self.expect is None else parse_expect(self.expect)

    @cached_property
    def tensors_asked(self) -> TensorsAsked:
        """What is asked of a server that describes its models' inputs."""
        named = {
            "--input-data": self.input_data is not None,
            "--shape": bool(self.shapes),
            "--tensors": self.tensors != "auto",
            "--call": self.call != "infer",
        }
        data = self.input_data or TensorsAsked.data
        return TensorsAsked(data, self.shapes, self.tensors, self.call, tuple(filter(named.get, named)))

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
        self._check_tensors()
        names = {header.name.lower() for header in self.own_headers}
        for name, text in (("--content-type", self.content_type), ("--multipart", self.multipart)):
            if text is not None and "content-type" in names:
                raise refuse("-H Content-Type", name, "each says the type of the body")
        if self.endpoint and self.endpoint.credentials and "authorization" in names:
            raise refuse("-H Authorization", "a user in --url", "the user becomes that header")
        if self.custom_model is not None:
            model_source(self.custom_model)
        if self.tokenizer is not None:
            readable(self.tokenizer)
        if self.prompts is not None:
            if self.prompt_tokens or self.shared_prefix:
                made = "--prompt-tokens" if self.prompt_tokens else "--shared-prefix"
                raise refuse("--prompts", made, "one has the prompts, the other makes them")
            if self.prompts != STANDARD_INPUT:
                readable_file(self.prompts)
        if self.asks_prompts and self.inputs:
            raise refuse("-i", "--prompts, --prompt-tokens and what goes with them", "each says what is sent")
        self._check_call_of_prompts()
        for path in self.inputs:
            readable(path)

    def _check_call_of_prompts(self) -> None:
        """Refuse prompts of a call that takes none, and what only OpenAI's API has of one that does."""
        if self.call == "infer_stream" and self.asks_prompts:
            why = "it takes tensors"
            raise refuse("--call infer_stream", "prompts", why, "say with --input-data or -i what is sent")
        named = {"--completions": self.completions, "--no-stream": self.no_stream}
        for name in filter(named.get, named):
            if self.call != "infer":
                step = "give --call generate for answers that come whole" if self.no_stream else "leave it out"
                raise refuse(name, f"--call {self.call}", "it is of OpenAI's API", step)

    def _check_tensors(self) -> None:
        """Refuse tensors that contradict each other, or an input that is given."""
        made = [name for name in self.tensors_asked.named if name != "--call"]
        if self.inputs and made:
            raise refuse("-i", made[0], "-i is the body of the request as it is sent", "leave one of them out")
        if self.asks_prompts and made:
            raise refuse(made[0], "prompts", "each says what is sent", "leave one of them out")
        if self.tensors == "binary" and self.call != "infer":
            raise refuse("--tensors binary", f"--call {self.call}", "only infer takes bytes")
        if self.input_data == "":
            raise UsageError("--input-data is empty", next_step="give zeros, random or a file, or leave it out")
        if self.input_data is not None and self.input_data not in MADE:
            readable_file(Path(self.input_data))
        twice = [shape.name for shape in self.shapes if [other.name for other in self.shapes].count(shape.name) > 1]
        if twice:
            raise UsageError(f"--shape {twice[0]} is given twice", next_step="leave one of them out")
