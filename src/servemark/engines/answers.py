"""What the body of a success must be, shown to the engine that will look at it before anything is started."""

from __future__ import annotations

from servemark.engines import EngineName
from servemark.errors import UsageError
from servemark.workload.engine_plan import EngineExpect
from servemark.workload.scenario import Expect

#: Why JMeter cannot do it.
NOT_JMETER = "its expressions and paths are others, and it compares no answers"


def check_expect(expect: Expect, engine: EngineName) -> None:
    """Refuse what `engine` cannot look for.

    Raises:
        UsageError: says why.
    """
    if engine == "jmeter":
        raise UsageError("--engine jmeter and --expect do not go together", cause=NOT_JMETER)
    # A machine that has not built it yet can still say everything else that is wrong.
    from servemark import _loadgen

    try:
        _loadgen.check_expect(EngineExpect(expect.kind, expect.pattern))
    except ValueError as error:
        raise UsageError(f"--expect {expect.kind.replace('_', ':')}", cause=str(error)) from None
