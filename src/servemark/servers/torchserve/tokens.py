"""The tokens that TorchServe asks for: its ``key_file.json``, which it writes anew at each start."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servemark.errors import UsageError
from servemark.workload.headers import Header

_NEXT_STEP = "give the key_file.json that TorchServe wrote into the folder in which it was started"


@dataclass(frozen=True)
class Tokens:
    """A header for each of its two APIs."""

    inference: Header
    management: Header


def read_tokens(path: Path) -> Tokens:
    """The tokens in the file at `path`, as TorchServe has written it.

    Raises:
        UsageError: it cannot be read, or holds none. Nothing of it is shown.
    """
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the tokens in {path}", cause=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"there are no tokens in {path}", cause="it is no JSON", next_step=_NEXT_STEP) from error
    keys = {}
    for api in ("inference", "management"):
        try:
            keys[api] = value[api]["key"]
        except (KeyError, TypeError):
            keys[api] = None
        if not isinstance(keys[api], str) or not keys[api].isprintable() or not keys[api]:
            raise UsageError(f"there are no tokens in {path}", cause=f"it has no key for {api}", next_step=_NEXT_STEP)
    return Tokens(_bearer(keys["inference"]), _bearer(keys["management"]))


def _bearer(token: str) -> Header:
    return Header("Authorization", f"Bearer {token}", secrets=(token,), given="--token-file", shown="Bearer ...")
