"""A server of the Open Inference Protocol: its models, what is sent to them, and what it counts.

One that somebody else started is measured as it is. Only where a benchmark asks how a model scales or batches Triton is
told to load it otherwise, and afterwards as it was.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servemark.errors import ManagementError, UsageError
from servemark.servers import InsideCounts, LoadedModel, ModelSettings, ServerSettings
from servemark.servers.http.finding import Found
from servemark.servers.http.first_prediction import MOST_PROVED, first_prediction
from servemark.servers.http.model_names import no_such_model, not_named
from servemark.servers.http.plain import PlainServer, Remove
from servemark.servers.http.words import json_object
from servemark.servers.oip.asked import MADE, check_call, check_call_of_prompts
from servemark.servers.oip.calls import OipCalls, Signature
from servemark.servers.oip.dialect import (
    OF_ALL,
    OF_OWN_TRITON,
    OF_TRITON,
    OipDialect,
    with_batches,
    with_instances,
)
from servemark.servers.oip.made_inputs import made_inputs
from servemark.servers.oip.tensors import wrong_in
from servemark.servers.oip.told import counts_told, settings_told
from servemark.workload.address import Address
from servemark.workload.inputs import Input
from servemark.workload.scenario import ApiName
from servemark.zoo.catalogue import find
from servemark.zoo.custom_model import CustomModel

if TYPE_CHECKING:
    from servemark.servers.own_process import OwnProcess
    from servemark.servers.running import RunningLauncher

#: What a server says of itself that takes and gives tensors as bytes.
_BINARY = "binary_tensor_data"
#: The name that a configuration gives its model.
_OWN_NAME = re.compile(r'^\s*name:\s*"[^"]*"\s*$', re.MULTILINE)


@contextmanager
def running_server(asked: RunningLauncher, found: Found, settings: ServerSettings) -> Iterator[PlainServer]:
    """The server that was `found`.

    Raises:
        UsageError: a port is given for a management API, which is not apart.
    """
    if asked.management_port:
        product = found.dialect.product
        raise UsageError(f"--management-port makes no sense with a {product}", cause="its calls go to the same port")
    with OipCalls(found.address, asked.log) as calls:
        yield served(OipModels(asked, calls), calls, settings, {"target": asked.target})


def served(
    models: OipModels,
    calls: OipCalls,
    settings: ServerSettings,
    facts: Mapping[str, object],
    process: OwnProcess | None = None,
) -> PlainServer:
    """The server of `models`, which `facts` describe; `process` is that of one that we started."""
    address = calls.address
    known = {
        **facts,
        "url": address.url,
        "dialect": "oip",
        "extensions": list(models.about.extensions),
        "models": list(calls.models()),
        "requested": {"job_queue_size": settings.job_queue_size, "response_timeout_s": settings.response_timeout_s},
    }
    addresses: dict[ApiName, Address] = {"inference": address, "management": address}
    return PlainServer(models, addresses, known, version=models.about.version, process=process)


class OipModels:
    """The models of a server of the Open Inference Protocol; see ``servemark.servers.http.plain.Hosting``.

    Args:
        asked: which models, and what is sent to them.
        calls: to the server.
        repository: of a Triton of ours, into which models may be put.
        workers: that an MLServer of ours was started with, for all of its models.
        count_workers: gives how many it has.
    """

    def __init__(
        self,
        asked: RunningLauncher,
        calls: OipCalls,
        repository: Path | None = None,
        workers: int | None = None,
        count_workers: Callable[[], int] = lambda: 0,
    ) -> None:
        self.about = calls.about()
        product = OipDialect(self.about.name).product
        if asked.wants_prompts:
            check_call_of_prompts(asked.tensors.call, self.about.name, product)
        check_call(asked.tensors.call, self.about.name, product)
        of_triton = OF_OWN_TRITON if repository else OF_TRITON
        abilities = of_triton if self.about.name == "triton" else OF_ALL
        answers_text = asked.prompts is not None or asked.counts_tokens
        self.dialect = OipDialect(self.about.name, abilities, asked.tensors.call, answers_text=answers_text)
        self._repository = repository
        self._workers = workers
        self._count_workers = count_workers
        self._ask = asked
        self._calls = calls
        self._served: list[str] = []

    @contextmanager
    def serve_models(self, settings: ModelSettings) -> Iterator[tuple[LoadedModel, ...]]:
        """The models that are named, or the only one that there is; those that Triton loads otherwise are restored.

        Raises:
            UsageError: the server has no such model, nobody knows what it takes, or it cannot be served so.
            ModelError: one does not answer, or not as the server describes it.
        """
        with ExitStack() as stack:
            yield tuple([stack.enter_context(self._serve(name, settings)) for name in self._names()])

    def read_back(self) -> Mapping[str, Mapping[str, object]]:
        """Each served model's instances and batches, as Triton reports them now; of an MLServer of ours its workers.

        Empty of other servers, and where the server's own process predicts.
        """
        return {name: found for name in self._served if (found := self._settings_of(name))}

    def inside(self) -> Mapping[str, InsideCounts]:
        """What the server has counted of each served model, where it counts."""
        return {name: counts for name in self._served if (counts := self._counts_of(name)) is not None}

    @contextmanager
    def temporary_models(self, names: Sequence[str]) -> Iterator[Remove]:
        """While this is open, a repository of ours has the served model under these names, too, to be loaded."""
        if not names or self._repository is None:
            yield dict
            return
        (model,), left, failed = self._served, list(names), dict[str, str]()
        for name in names:
            shutil.copytree(self._repository / model, self._repository / name)
            config = self._repository / name / "config.pbtxt"
            text = _OWN_NAME.sub("", config.read_text(encoding="utf-8"))  # it is that of its folder
            config.write_text(text, encoding="utf-8")

        def remove() -> Mapping[str, str]:
            while left:
                name = left.pop()
                try:
                    self._calls.unload(name)
                except ManagementError as error:
                    failed[name] = error.message
                shutil.rmtree(self._repository / name, ignore_errors=True)  # type: ignore[operator]
            return failed

        try:
            yield remove
        finally:
            remove()

    def _names(self) -> tuple[str, ...]:
        """The names of the models on the server, as it spells them."""
        if any(isinstance(model, CustomModel) for model in self._ask.models):
            raise UsageError(
                f"a {self.dialect.product} cannot be given an archive of MMS",
                next_step="leave -c out, and say with -m which of its models is measured",
            )
        names = [str(model) for model in self._ask.models]
        if names and not self._ask.is_named:
            there = self._calls.models()
            if len(there) != 1:
                raise not_named(there)
            return there
        return tuple(self._spelled(name) for name in names)

    def _spelled(self, name: str) -> str:
        zoo = find(name)
        for spelling in dict.fromkeys((name, *(zoo.all_names if zoo else ()))):
            if self._calls.signature(spelling) is not None:
                return spelling
        raise no_such_model(name, self._calls.models())

    @contextmanager
    def _serve(self, name: str, settings: ModelSettings) -> Iterator[LoadedModel]:
        changes = settings if settings.workers != self._workers else replace(settings, workers=None)
        with self._changed(name, changes) if changes.changes else nullcontext():
            signature = self._calls.signature(name) or Signature((), ())
            prompts = self._ask.prompts
            inputs = (prompts.first,) if prompts else self._inputs(name, signature)
            for what in inputs[:MOST_PROVED]:
                first_prediction(
                    self.dialect,
                    self._calls.address,
                    name,
                    (what,),
                    self._check(signature, what),
                    self._ask.sending.expect_status,
                    or_else=self._other_inputs(),
                )
            self._served.append(name)
            if "scale" in self.dialect.abilities:
                self.dialect = replace(self.dialect, configs={**self.dialect.configs, name: self._calls.config(name)})
            try:
                yield LoadedModel(
                    name,
                    backend=None,
                    inputs=prompts or inputs,
                    url=name if self._repository else None,
                    cold_start_ms=None,
                    register_ms=None,
                    read_back=self._settings_of(name),
                    requested={**_requested(settings), **self._sent(inputs)},
                )
            finally:
                self._served.remove(name)

    def _inputs(self, name: str, signature: Signature) -> tuple[Input, ...]:
        if self._ask.inputs is not None:
            return self._ask.inputs
        asked = self._ask.tensors
        binary = asked.form == "binary" or (asked.form == "auto" and _BINARY in self.about.extensions)
        return made_inputs(name, signature.inputs, asked, binary=binary and asked.call == "infer")

    def _other_inputs(self) -> str:
        """How something else is sent, where a model does not take what is: each has options of its own."""
        if self._ask.prompts is not None:
            return self._ask.prompts.other_ones
        if self._ask.inputs is not None:
            return "give a request that it takes with -i, or tensors with --shape or --input-data"
        return "give what it takes with --shape or --input-data, or a whole request with -i"

    def _sent(self, inputs: tuple[Input, ...]) -> Mapping[str, object]:
        """How the model is asked, and with what where that is ours; wherever a file lies that says it."""
        sent: dict[str, object] = {"call": self.dialect.call}
        if self._ask.inputs is None and self._ask.prompts is None:
            binary, data = bool(inputs[0].headers), self._ask.tensors.data
            tensors = inputs[0].origin.removesuffix(" (1)").removeprefix(data).removeprefix(":")
            kind = data if data in MADE else "given"
            sent |= {"tensors": f"{kind}{tensors}", "written_as": "binary" if binary else "json"}
        return sent

    def _check(self, signature: Signature, what: Input) -> Callable[[bytes], str | None]:
        """What tells a right answer: by name, shape and data type; of a text or a stream, that it is no error."""
        if self.dialect.call == "infer":
            return lambda body: wrong_in(body, signature.outputs, what.body)
        return _error_in if self.dialect.call == "generate" else _error_in_events

    @contextmanager
    def _changed(self, name: str, settings: ModelSettings) -> Iterator[None]:
        """The model, loaded by Triton as `settings` say, and afterwards as its repository has it.

        Raises:
            UsageError: the server has no call for that, or the model takes no batches.
            ManagementError: it refuses.
        """
        if "scale" not in self.dialect.abilities:
            raise UsageError(
                f"how {name} is served cannot be changed",
                cause=f"{self.dialect.product} has no call for it",
                next_step="leave the option (-w) out",
            )
        config = self._calls.config(name)
        batches = settings.batches or settings.batch_size > 1
        if batches and not config.get("max_batch_size"):
            raise UsageError(
                f"the model {name} takes no batches",
                cause="its max_batch_size is 0",
                next_step="measure another, or give its configuration a max_batch_size",
            )
        wanted: dict[str, Any] = dict(config)
        if settings.workers is not None:
            wanted = with_instances(wanted, settings.workers)
        if batches:
            wanted = with_batches(wanted, settings.batch_size, settings.max_batch_delay_ms)
        self._ask.progress(f"loading {name} with other settings; afterwards with those that it has now")
        with ExitStack() as stack:
            stack.callback(self._restore, name, config)
            try:
                self._calls.load(name, wanted)
            except ManagementError as error:
                if error.status is not None and self._has_config(name, config):
                    stack.pop_all()  # it is refused, and nothing is to be restored
                raise
            yield

    def _has_config(self, name: str, config: Mapping[str, Any]) -> bool:
        try:
            return self._calls.config(name) == config
        except ManagementError:
            return False

    def _restore(self, name: str, config: Mapping[str, Any]) -> None:
        try:
            self._calls.load(name, config)  # without one Triton 2.51 keeps what it was told before
        except ManagementError as error:
            url = f"{self._calls.address.url}/v2/repository/models/{name}/load"
            self._ask.progress(
                f"{name} may be served with other settings still ({error}); restore it: curl -X POST {url}"
            )

    def _settings_of(self, name: str) -> Mapping[str, object]:
        if "scale" not in self.dialect.abilities:
            workers = self._count_workers()
            return {"workers": workers} if workers else {}
        try:
            return settings_told(self._calls.config(name))
        except ManagementError:
            return {}

    def _counts_of(self, name: str) -> InsideCounts | None:
        return counts_told(self._calls.statistics(name))


def _requested(settings: ModelSettings) -> Mapping[str, object]:
    asked: dict[str, object] = {} if settings.workers is None else {"workers": settings.workers}
    if settings.batches:
        asked |= {"batch_size": settings.batch_size, "max_batch_delay_ms": settings.max_batch_delay_ms}
    return asked


def _error_in(body: bytes) -> str | None:
    error = json_object(body).get("error")
    return f"it answered with an error: {error}" if error else None


def _error_in_events(body: bytes) -> str | None:
    data = (line.removeprefix(b"data:") for line in body.splitlines() if line.startswith(b"data:"))
    return next(filter(None, map(_error_in, data)), None)
