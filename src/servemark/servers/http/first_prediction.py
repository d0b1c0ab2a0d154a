"""The first prediction of a model: whether it answers, and rightly, before anything is measured."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from servemark.errors import InputRefusedError, ModelError
from servemark.servers.dialect import Dialect
from servemark.servers.http.connection import Answer, send_once
from servemark.servers.http.words import WHERE_NOT_ALLOWED
from servemark.workload.address import Address
from servemark.workload.inputs import Input

FIRST_PREDICTION_TIMEOUT_S = 120.0
_NOT_ALLOWED = (401, 403)
#: What to do about an input that a model refuses, where nothing but -i says what is sent.
_INPUT_IT_TAKES = "give an input that it takes with -i"
#: Of a pool of thousands the first few prove that the model takes its kind; the records tell of the others.
MOST_PROVED = 16


def first_prediction(
    dialect: Dialect,
    address: Address,
    name: str,
    inputs: tuple[Input, ...],
    check: Callable[[bytes], str | None],
    expect_status: int | None = None,
    timeout_s: float = FIRST_PREDICTION_TIMEOUT_S,
    or_else: str = _INPUT_IT_TAKES,
) -> float:
    """Send the first inputs once and check the answers; the time of the first, in ms, is the cold start.

    `expect_status` is that of a right answer, None any 2xx; what any other than a 2xx says is not looked at. `or_else`
    is how the user sends something else, where the model does not take these.

    Raises:
        InputRefusedError: the model refused an input.
        ModelError: the model failed, gave no answer, or gave a wrong one.
    """
    sample = inputs[:MOST_PROVED]
    answers = [_checked(dialect, address, name, what, check, expect_status, timeout_s, or_else) for what in sample]
    return answers[0].elapsed_ms


def _checked(
    dialect: Dialect,
    address: Address,
    name: str,
    what: Input,
    check: Callable[[bytes], str | None],
    expect_status: int | None,
    timeout_s: float,
    or_else: str,
) -> Answer:
    try:
        answer = send_once(address, dialect.prediction(name, what), timeout_s)
    except httpx.TimeoutException as error:
        raise ModelError(
            f"the model {name} did not answer its first prediction in {timeout_s:g} s", next_step="see its log (-v)"
        ) from error
    except httpx.TransportError as error:
        raise ModelError(
            f"the connection broke in the first prediction of {name}", cause=str(error), next_step="see its log (-v)"
        ) from error
    is_success = 200 <= answer.status < 300
    if answer.status == expect_status and not is_success:
        return answer
    if is_success and expect_status not in (None, answer.status):
        raise ModelError(
            f"the model {name} answered {what.origin} with {answer.status}, not {expect_status}",
            next_step="check --expect-status",
        )
    if not is_success:
        cause = f"HTTP {answer.status}, {dialect.explain(answer.status, answer.body)}"
        if answer.status in _NOT_ALLOWED:
            raise ModelError(f"the model {name} may not be asked", cause=cause, next_step=WHERE_NOT_ALLOWED)
        if 400 <= answer.status < 500 and answer.status != 404:
            raise InputRefusedError(f"the model {name} refused the input {what.origin}", cause=cause, next_step=or_else)
        # Triton and MLServer say of a request that they cannot read that they failed.
        or_so = f", or {or_else}" if dialect.name == "oip" else ""
        raise ModelError(
            f"the model {name} failed on the input {what.origin}",
            cause=cause,
            next_step=f"see the server's log (-v){or_so}",
        )
    wrong = check(answer.body)
    if wrong:
        raise ModelError(
            f"the model {name} gave a wrong answer to {what.origin}",
            cause=wrong,
            next_step=f"{or_else}; or check what is registered under that name",
        )
    return answer
