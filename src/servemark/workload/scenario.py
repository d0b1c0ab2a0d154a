"""Scenarios: the ordered steps that each virtual user performs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: The two addresses of a model server that a step can go to.
ApiName = Literal["inference", "management"]
#: The ways to say what a body must be; see ``Expect``.
ExpectKind = Literal["same", "regex", "json", "not_regex", "not_json", "not_json_if_whole"]
#: How the tokens of an answer are told: ``openai`` as OpenAI's API has it, chat and completions, streamed or not;
#: ``oip`` as the streams of the Open Inference Protocol have it; ``text`` that the data of each event is text.
TokenFormat = Literal["openai", "oip", "text"]
TOKEN_FORMATS: tuple[TokenFormat, ...] = ("openai", "oip", "text")
#: Which request of a pool is sent when: ``any`` of all each time, ``each_once`` each before any is sent again, and
#: ``in_order`` the n-th by the n-th arrival, as a trace has them.
Draws = Literal["any", "each_once", "in_order"]

#: Stand-ins in a numbered request's path or body that the engine overwrites, in place, for each request:
#: the virtual user's number, and the request's sequence number, as zero-padded decimals of this width.
USER_MARK = "{user:010d}"
SEQ_MARK = "{seq:020d}"


@dataclass(frozen=True, slots=True)
class Request:
    """One concrete HTTP request. `path` is the request target; `body` is sent with its Content-Length.

    In a `numbered` request USER_MARK and SEQ_MARK are replaced, for each request sent, by the numbers they name.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    numbered: bool = False


@dataclass(frozen=True)
class RepeatUntil:
    """What the body of a success must say before its user goes on: `text`, exactly `times` times.

    Until then the step is repeated every `interval_s`; each of its requests has a record. When it has been repeated for
    longer than `limit_s`, its request is an application error and the user goes on. So is one whose body is longer than
    the 256 KiB in which the native engine counts.
    """

    text: bytes
    times: int
    interval_s: float = 0.1
    limit_s: float = 120.0


@dataclass(frozen=True)
class Expect:
    """What the body of a success must be; a success whose body is something else is an application error.

    - ``same``: that of the first success with the same input, byte for byte. `pattern` is empty.
    - ``regex``: `pattern`, a regular expression, is found in it.
    - ``json``: it is JSON, and holds something other than null and false at `pattern`: keys and indices from the
      outside in, separated by dots (``predictions.0.class``; a backslash makes a dot part of a key); empty is all.
    - ``not_regex``: `pattern` is not found in it.
    - ``not_json``: it is JSON, and holds nothing, null or false at `pattern`.
    - ``not_json_if_whole``: the same, or too long to be read. ``--expect`` has none: a dialect expects it, unasked.

    All but the first look at the first 256 KiB. That must be the whole for ``json`` and ``not_json``, and for what is
    not to be found.
    """

    kind: ExpectKind
    pattern: str = ""


@dataclass(frozen=True)
class Step:
    """A named request, and the pool of concrete requests it draws from (by the run's seed).

    A response succeeds when its status is `expect_status`, or 2xx when that is None, and its body what `expect` says.
    With `tokens` its body is recorded, and read afterwards as that says; one that says that it failed is a failure.
    """

    name: str
    requests: tuple[Request, ...]
    api: ApiName = "inference"
    expect_status: int | None = None
    until: RepeatUntil | None = None
    expect: Expect | None = None
    tokens: TokenFormat | None = None
    draws: Draws = "any"


@dataclass(frozen=True)
class Scenario:
    """The steps that a virtual user performs in every loop: in order, or with `weights` one of them.

    `weights` gives each step its share; which one a loop performs is drawn by the run's seed.
    """

    steps: tuple[Step, ...]
    weights: tuple[int, ...] = ()
