"""What a run is asked, in six groups of options: which server, what is sent, how it arrives, what sends it, what is
asked of the figures, and where the result goes.

Each group is a file here, and stands there once for all: what its options are called, which values they have, and what
contradicts itself. The command line, suites and :func:`servemark.run` all end in a ``RunRequest``. A new option is a
field of its group. Nothing is executed, and standard library only.
"""

from __future__ import annotations

import difflib
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from servemark.engines.answers import check_expect
from servemark.environments.server_kinds import OWN_MODELS
from servemark.errors import UsageError
from servemark.options.content import ContentOptions
from servemark.options.generator import GeneratorOptions
from servemark.options.kinds import Inputs, nearest
from servemark.options.load import LoadOptions
from servemark.options.objectives import BETWEEN, OF_TOKENS, STREAMED
from servemark.options.output import OutputOptions
from servemark.options.question import QuestionOptions
from servemark.options.server import ServerOptions
from servemark.options.table import Option, OptionGroup, from_words, options_of, refuse
from servemark.workload.headers import Header
from servemark.zoo.catalogue import DEFAULT_MODEL, ZOO, find

#: The groups, by the field of ``RunRequest`` that has them.
GROUPS: dict[str, type[OptionGroup]] = {
    "content": ContentOptions,
    "server": ServerOptions,
    "load": LoadOptions,
    "generator": GeneratorOptions,
    "question": QuestionOptions,
    "output": OutputOptions,
}
#: What only an open loop has, and why a closed one has none.
_OF_OPEN_LOOPS = {
    "rate": "a closed loop has none",
    "arrival": "users of a closed loop ask when they have been answered",
    "max_connections": "users of a closed loop have one each",
}
#: What fills the field `inputs`, too, of a benchmark that takes a URL.
BODY_FILE = Option(
    ("--body-file",),
    Inputs(),
    "body that http sends: a file, a folder, a JSONL file, or - for standard input",
    metavar="FILE",
    heading="request",
    field="inputs",
    of_suites=True,
)


def all_options() -> Iterator[Option]:
    """Every option of every group."""
    for group in GROUPS.values():
        for known in options_of(group):
            yield known
            if known.name == "method":
                yield BODY_FILE


@dataclass(frozen=True)
class RunRequest:
    """What one benchmark is asked.

    Attributes:
        benchmark: its name.
        parameters: the benchmark's own, by key; those that are not given have their defaults.
        words: the names of the options that stood on the command line, whatever their values.
        command: the words of the command line, for the result.
    """

    benchmark: str
    content: ContentOptions = field(default_factory=ContentOptions)
    server: ServerOptions = field(default_factory=ServerOptions)
    load: LoadOptions = field(default_factory=LoadOptions)
    generator: GeneratorOptions = field(default_factory=GeneratorOptions)
    question: QuestionOptions = field(default_factory=QuestionOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    command: tuple[str, ...] = ()

    @classmethod
    def of(cls, benchmark: str, **options: Any) -> RunRequest:
        """The request of a benchmark with `options` by their names in Python, and with `parameters`.

        A path may be a string, one input or header stand alone, and a time have a unit.

        Raises:
            TypeError: there is no such option; names the one that is meant.
            UsageError: options contradict each other, or have no such value.
        """
        groups: dict[str, dict[str, Any]] = {name: {} for name in GROUPS}
        homes = {known.field: name for name, group in GROUPS.items() for known in options_of(group)}
        parameters = options.pop("parameters", {})
        for name, value in options.items():
            if name not in homes:
                raise TypeError(f"run() has no argument {name!r}{_meant(name, homes)}")
            groups[homes[name]][name] = value
        _check_closed(options.get("by"), {name for name, value in options.items() if value is not None})
        made: dict[str, Any] = {name: group(**groups[name]) for name, group in GROUPS.items()}
        return cls(benchmark, parameters=parameters, **made)

    @classmethod
    def from_words(cls, arguments: Namespace) -> RunRequest:
        """The request in what was parsed of a command line.

        Raises:
            UsageError: options contradict each other.
        """
        _check_closed(getattr(arguments, "by", None), arguments.given)
        values = Namespace(**{**vars(arguments), "input": tuple(arguments.input or arguments.body_file)})
        made: dict[str, Any] = {name: from_words(group, values) for name, group in GROUPS.items()}
        return cls(arguments.benchmark, parameters=arguments.parameters, words=arguments.given, **made)

    def __post_init__(self) -> None:
        content, server = self.content, self.server
        by_jmeter = self.generator.engine == "jmeter"
        self._check_models()
        server.check_reachability(content.endpoint, by_jmeter=by_jmeter)
        if by_jmeter and self.load.is_open:
            asked = "--rate" if self.load.rate is not None else "--arrival trace"
            raise refuse(asked, "--engine jmeter", "its threads wait for their answers", "leave --engine out")
        if by_jmeter and self.load.precision_share is not None:
            raise refuse("--precision", "--engine jmeter", "it writes its times at the end", "leave --engine out")
        self._check_answers(by_jmeter=by_jmeter)
        if self.question.by is not None:
            self._check_search(by_jmeter=by_jmeter)
        elif self.load.precision_share is not None and self.load.duration_s is not None:
            raise refuse("--precision", "--duration", "that says how long it is")
        if self.load.fresh_server and server.server is not None:
            raise refuse("--fresh-server", "--server", "only a server of our own is restarted", "leave one of them out")
        if content.expect == "same" and self.generator.generators > 1:
            why = "each generator would compare with the first body that it got itself"
            raise refuse("--expect same", "--generators", why, "say what the body is: regex:R or json:PATH")
        if content.expected_body is not None and by_jmeter:
            check_expect(content.expected_body, self.generator.engine)
        own_models = server.server is not None or server.model_repository is not None
        if not own_models and content.model is not None and find(content.model) is None:
            names = [name for model in ZOO for name in model.all_names]
            raise UsageError(f"unknown model {content.model!r}", next_step=nearest(content.model, names))

    def _check_models(self) -> None:
        """Refuse what is said of models and their inputs where the server that is chosen has no use for it."""
        content, server = self.content, self.server
        for name, value in (
            ("--server-requirements", server.server_requirements),
            ("--server-python", server.server_python),
        ):
            if value and content.custom_model is None:
                raise UsageError(f"{name} needs -c", next_step="the models of the zoo need nothing else")
        describes = server.dialect in ("auto", "oip") if server.server else server.server_kind in ("triton", "mlserver")
        if content.tensors_asked.named and not describes:
            needs = "--dialect oip" if server.server else "--server, or --server-kind triton or mlserver"
            step = "it is for servers that describe their models' inputs; say with -i what to send"
            raise UsageError(f"{content.tensors_asked.named[0]} needs {needs}", next_step=step)
        if content.custom_model is not None and server.server_kind in OWN_MODELS:
            why = "it takes no archives of Multi Model Server"
            raise refuse("-c", f"--server-kind {server.server_kind}", why, "give --model-repository DIR")

    def _check_answers(self, *, by_jmeter: bool) -> None:
        """Refuse what is asked of answers that nobody reads for it, and prompts for a server that takes none."""
        content, server = self.content, self.server
        of_streams = [one.text for one in self.question.objective if one.figure in STREAMED]
        if of_streams and (content.no_stream or content.call == "generate"):
            whole = "--no-stream" if content.no_stream else "--call generate"
            step = "leave it out" if content.no_stream else "give --call generate_stream"
            raise refuse(f"--slo {of_streams[0]}", whole, "an answer that comes whole has no such time", step)
        of_tokens = [one.text for one in self.question.objective if one.figure in OF_TOKENS]
        of_url = content.url is not None and content.tokens is None
        if of_url and (of_tokens or content.tokenizer):
            asked = f"--slo {of_tokens[0]}" if of_tokens else "--tokenizer"
            raise UsageError(f"{asked} needs --tokens", cause="without it no answer is read for its tokens")
        takes_prompts = server.server_kind == "vllm" or (server.server_kind == "triton" and content.generates)
        if content.asks_prompts and server.server is None and not takes_prompts:
            raise UsageError(
                "prompts need --server",
                cause="they are for a server with OpenAI's API, which has to run already",
                next_step="or give --server-kind vllm, or triton with --call generate_stream",
            )
        if by_jmeter and content.tokens is not None:
            raise refuse("--tokens", "--engine jmeter", "it knows of no events", "leave --engine out")
        of_events = [one.text for one in self.question.objective if one.figure in ("first_event", "between_events")]
        if by_jmeter and of_events:
            asked = f"--slo {of_events[0]}"
            raise refuse(asked, "--engine jmeter", "it knows of no events", "leave --engine out")

    def _check_search(self, *, by_jmeter: bool) -> None:
        """Refuse what a search for the capacity says itself, or cannot be had of it."""
        load, search = self.load, "a search for the capacity"
        if by_jmeter:
            raise refuse(search, "--engine jmeter", "it cannot be ended early", "leave --engine out")
        if load.trials > 1:
            raise refuse(search, "--trials", "it measures as often as it takes", "leave --trials out")
        for name, value in (("--loops", load.loops), ("--max-duration", load.max_duration_s)):
            if value is not None:
                raise refuse(search, name, "it says how long each probe lasts", "see --search-budget")
        if self.question.over is not None and (self.server.server is not None or self.content.url is not None):
            raise refuse("--over", "--server" if self.server.server else "--url", "only a server of ours is configured")
        profile = load.arrivals.profile if load.is_open and load.arrivals else ()
        if load.is_open and (len(profile) != 1 or profile[0].from_per_s != profile[0].to_per_s):
            raise UsageError(f"{search} begins at one --rate", cause="this one changes", next_step="give one number")
        if self.question.by == "rate":
            for name, users in (("--threads", load.threads), ("--think", load.think_s), ("--ramp", load.ramp_s)):
                if users:
                    raise refuse("--by rate", name, "an open loop has no users", "see --by threads")

    @property
    def model(self) -> str:
        """The model of the zoo, or of the server that runs."""
        return self.content.model or DEFAULT_MODEL

    @property
    def finds_warm_up(self) -> bool:
        """Whether what is left of the warm-up is looked for.

        Nothing can be cut afterwards from the times between events, which are added up while they come: where a
        condition is on them, everything is of the time after the warm-up that was asked for.
        """
        on_events = any(one.figure in BETWEEN for one in self.question.objective)
        return self.load.finds_warm_up and not on_events

    @property
    def secret_headers(self) -> tuple[Header, ...]:
        """All headers of its requests, of which some hold what may be written nowhere."""
        return (*self.content.all_headers, *self.server.secret_headers)

    @property
    def given(self) -> Mapping[str, Option]:
        """The options that are given, by name: that stood on the command line, or say something else than nothing."""
        named = {known.name: known for known in all_options()}
        differ = {known.name for name in GROUPS for known in getattr(self, name).given()}
        if "input" in differ and self.content.url is not None and "input" not in self.words:
            differ = differ - {"input"} | {BODY_FILE.name}
        return {name: named[name] for name in named if name in self.words or name in differ}


def _check_closed(by: str | None, given: Collection[str]) -> None:
    """Refuse what only an open loop has of a search for users: the load by itself would ask for the rest of it.

    Raises:
        UsageError: names the option.
    """
    if by == "threads":
        for name, why in _OF_OPEN_LOOPS.items():
            if name in given:
                raise refuse("--by threads", f"--{name.replace('_', '-')}", why, "leave it out")


def _meant(name: str, known: Mapping[str, str]) -> str:
    """The name of an option, where `name` is what the command line calls it, or is near to one."""
    by_word = {option.name: option.field for option in all_options()} | {"options": "parameters"}
    near = difflib.get_close_matches(name, [*known, "parameters"], n=1, cutoff=0.6)
    meant = by_word.get(name) or next(iter(near), "")
    return f"; did you mean {meant}?" if meant else ""
