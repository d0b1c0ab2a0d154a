"""The dialect of the Open Inference Protocol over REST, and of Triton's extensions: its repository, and ``generate``.

After "Open Inference Protocol", version 2, and the extensions of Triton Inference Server. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from servemark.servers.dialect import Ability, Admin, Call, Proof
from servemark.servers.http.words import json_object, said
from servemark.servers.oip.asked import CallName
from servemark.workload.inputs import Input
from servemark.workload.scenario import Expect, Request, TokenFormat

#: What each server calls itself, and what people call it.
PRODUCTS = {"triton": "Triton Inference Server", "mlserver": "MLServer", "kserve": "KServe"}
#: How Triton says that a model has any number of answers to a request.
_IS_STREAM = "decoupled transaction policy"
#: What everybody can who speaks it.
OF_ALL: frozenset[Ability] = frozenset({"models", "health"})
#: What Triton's repository can do for a model that is there, by loading it with another configuration.
OF_TRITON: frozenset[Ability] = OF_ALL | {"scale", "batches"}
#: What it can do where models may be put into it: where it is ours.
OF_OWN_TRITON: frozenset[Ability] = OF_TRITON | {"load"}


def model_path(model: str) -> str:
    """The path of a model."""
    return f"/v2/models/{quote(model, safe='')}"


def repository_path(model: str, call: str) -> str:
    """The path at which a model is loaded or unloaded."""
    return f"/v2/repository/models/{quote(model, safe='')}/{call}"


def groups_apart(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The groups of instances in a configuration of Triton's, each GPU apart, since a group has its count on each."""
    apart: list[Mapping[str, Any]] = []
    for group in config.get("instance_group") or ():
        gpus = group.get("gpus") if group.get("kind") == "KIND_GPU" else None
        apart += [{**group, "gpus": [gpu]} for gpu in gpus] if gpus else [group]
    return apart


def with_instances(config: Mapping[str, Any], count: int) -> dict[str, Any]:
    """A configuration of Triton's with so many instances of the model, spread evenly over its groups and their GPUs."""
    apart = groups_apart(config) or [{}]
    groups = []
    for number, group in enumerate(apart):
        here = count // len(apart) + (number < count % len(apart))
        kept = {key: value for key, value in group.items() if key != "name"}  # which may be there once
        groups += [{"kind": "KIND_CPU", **kept, "count": here}] if here else []
    return {**config, "instance_group": groups}


def with_batches(config: Mapping[str, Any], size: int, max_delay_ms: int) -> dict[str, Any]:
    """A configuration of Triton's that has requests wait for each other, up to `size` of them; a size of 1 has none."""
    changed = {key: value for key, value in config.items() if key not in ("dynamic_batching", "sequence_batching")}
    changed["max_batch_size"] = size
    if size > 1:
        delay_us = max_delay_ms * 1000
        changed["dynamic_batching"] = {"preferred_batch_size": [size], "max_queue_delay_microseconds": delay_us}
    return changed


@dataclass(frozen=True)
class TritonAdmin:
    """Triton's repository; see ``servemark.servers.dialect.Admin``. `configs` are those that its models have."""

    configs: Mapping[str, Mapping[str, Any]]

    def list_models(self) -> Call:
        """What is in the repository, loaded or not."""
        return Call(Request("POST", "/v2/repository/index", body=b"{}"))

    def state(self, model: str) -> Call:
        """The configuration with which a model is loaded."""
        return Call(Request("GET", f"{model_path(model)}/config"))

    def load(
        self,
        model: str,
        url: str,
        *,
        workers: int,
        batch_size: int | None = None,
        max_batch_delay_ms: int | None = None,
    ) -> Call:
        """Load what lies in the repository under that name: a copy of the model that `url` names."""
        config = {**with_instances(self.configs[url], workers), "name": model}
        if batch_size is not None:
            config = with_batches(config, batch_size, max_batch_delay_ms or 0)
        return Call(load_with(model, config))

    def unload(self, model: str) -> Call:
        """Unload a model; answered before it is."""
        return Call(Request("POST", repository_path(model, "unload"), body=b"{}"))

    def scale(self, model: str, workers: int) -> Call:
        """Load a model again with so many instances; they are there when its configuration says so.

        How many the first group has, and how many groups have as many, tells how many all have.
        """
        config = with_instances(self.configs[model], workers)
        counts = [group["count"] for group in config["instance_group"]]
        done = Proof(self.state(model).request, b'"count":%d,' % counts[0], counts.count(counts[0]))
        return Call(load_with(model, config), proof=done)


def load_with(model: str, config: Mapping[str, Any] | None = None) -> Request:
    """The request that loads a model with that configuration; None is what the repository says."""
    body = {} if config is None else {"parameters": {"config": json.dumps(config)}}
    headers = (("Content-Type", "application/json"),)
    return Request("POST", repository_path(model, "load"), headers, json.dumps(body).encode())


@dataclass(frozen=True)
class OipDialect:
    """What a server of the Open Inference Protocol speaks; see ``servemark.servers.dialect.Dialect``.

    Attributes:
        server: what it calls itself; empty of one that is not known yet.
        abilities: of that server; of one that is not known yet, all that any of them has.
        call: what models are asked for.
        configs: of Triton's models, as they are loaded.
        answers_text: whether what is generated is a text: of prompts, or where somebody has its tokens counted.
    """

    server: str = ""
    abilities: frozenset[Ability] = OF_OWN_TRITON
    call: CallName = "infer"
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    answers_text: bool = False
    name = "oip"

    @property
    def product(self) -> str:
        """What people call the server."""
        return PRODUCTS.get(self.server, self.server or "server of the Open Inference Protocol")

    @property
    def admin(self) -> Admin | None:
        """Triton's repository; None of any other server, which has no call that changes how a model is served."""
        return TritonAdmin(self.configs) if "scale" in self.abilities else None

    @property
    def expects(self) -> Expect | None:
        """Expect no `error` of ``generate``: what goes wrong once Triton has begun to answer comes with the status 200.

        What is too long to be looked into is no failure: nobody asked for that.
        """
        return Expect("not_json_if_whole", "error") if self.call == "generate" else None

    @property
    def tokens(self) -> TokenFormat | None:
        """How answers tell what was generated, and streams that they failed: their status was sent before that."""
        is_text = self.call == "generate" and self.answers_text
        return "oip" if is_text or self.call in ("generate_stream", "infer_stream") else None

    def health(self) -> Request:
        """The request for its health."""
        return Request("GET", "/v2/health/live")

    def is_health(self, status: int, body: bytes) -> bool:
        """Whether it is 200, whatever it says."""
        del body
        return status == 200

    def sign(self) -> Request:
        """The request for what the server says of itself."""
        return Request("GET", "/v2")

    def is_sign(self, status: int, body: bytes) -> bool:
        """Whether it says what it is called, and which extensions it has."""
        about = json_object(body)
        return status == 200 and isinstance(about.get("name"), str) and isinstance(about.get("extensions"), list)

    def prediction(self, model: str, what: Input) -> Request:
        """The request that asks the model of that name."""
        headers = (("Content-Type", what.content_type), *what.headers)
        return Request("POST", f"{model_path(model)}/{self.call}", headers, what.body)

    def decode(self, body: bytes) -> object:
        """What it answered, as JSON has it, without the bytes behind it; the body itself where it begins with none."""
        try:
            value: object = json.JSONDecoder().raw_decode(body.decode("latin-1"))[0]
        except (ValueError, RecursionError):
            return body
        return value

    def explain(self, status: int, body: bytes | str, *, reason: str = "", ready_workers: int | None = None) -> str:
        """What its body says, and of a model that answers with streams alone how it is asked.

        The protocol has no words for what a failure means.

        Triton refuses what would be a stream with an event, whatever the status.
        """
        del reason, ready_workers
        event = b"data: " if isinstance(body, bytes) else "data: "
        words = said("", body.removeprefix(event), status)  # type: ignore[arg-type]
        return f"it answers with a stream: give --call generate_stream ({words})" if _IS_STREAM in words else words


DIALECT = OipDialect()
#: What those that we start speak, and can.
TRITON, MLSERVER = OipDialect("triton", OF_OWN_TRITON), OipDialect("mlserver", OF_ALL)
