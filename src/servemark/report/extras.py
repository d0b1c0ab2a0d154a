"""Packages that only some reports, and generators on a cluster, need: extras of servemark's own package."""

from __future__ import annotations

import importlib.util

from servemark.errors import UsageError

#: What each extra has to bring, by the module that tells whether it is there.
EXTRAS = {
    "parquet": "pyarrow",
    "otlp": "opentelemetry.exporter.otlp.proto.http",
    "ray": "ray",
}


def check_extra(extra: str, what: str) -> None:
    """See that the packages of `extra` are installed, which `what` needs.

    Raises:
        UsageError: they are not; says how to have them.
    """
    if not _is_there(EXTRAS[extra]):
        raise UsageError(
            f"{what} needs {EXTRAS[extra].replace('.', '-')}",
            cause="it is not installed",
            next_step=f"export SERVEMARK_EXTRAS={extra} for benchmark.py, or pip install '.[{extra}]' in its folder",
        )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # one of the packages that it is in
        return False
