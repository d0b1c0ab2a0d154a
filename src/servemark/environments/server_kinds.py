"""The servers that are started here besides Multi Model Server. Standard library only."""

from __future__ import annotations

from typing import Literal, get_args

ServerKind = Literal["mms", "triton", "mlserver", "torchserve"]
SERVER_KINDS: tuple[ServerKind, ...] = get_args(ServerKind)
