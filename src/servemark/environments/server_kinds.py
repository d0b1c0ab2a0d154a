"""The servers that are started here besides Multi Model Server. Standard library only."""

from __future__ import annotations

from typing import Literal, get_args

ServerKind = Literal["mms", "triton", "mlserver", "torchserve", "vllm"]
SERVER_KINDS: tuple[ServerKind, ...] = get_args(ServerKind)
#: Those that serve what the user gives them in a form of their own, and no archives of Multi Model Server.
OWN_MODELS: tuple[ServerKind, ...] = ("triton", "mlserver", "vllm")
