"""The earlier result that a run is compared with: read before anything starts, and compared when all is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.report.directory import result_at
from servemark.result import Environment, Result, differences
from servemark.runner.environment import environment_here
from servemark.runner.result_on_disk import ResultOnDisk
from servemark.version import version

_COMPARED_ALL_THE_SAME = "--force compares them all the same"
#: What of a machine comparisons hold against each other, and is known before a run.
_OF_MACHINE = ("machine", "cpus", "kernel", "cpu_model", "governor", "python")


@dataclass(frozen=True)
class Baseline:
    """The earlier result, and how a run is compared with it."""

    result: Result
    threshold_share: float
    force: bool

    @classmethod
    def of(cls, requests: Sequence[RunRequest]) -> Baseline | None:
        """The one that is asked for, with which a run of `requests` on this machine can be compared.

        Raises:
            UsageError: it cannot be read, has nothing that could be compared, or is of another environment.
        """
        first = requests[0]
        if first.question.against is None:
            return None
        baseline = cls(result_at(first.question.against), first.question.threshold_share, first.output.force)
        baseline._check(requests)
        return baseline

    def _check(self, requests: Sequence[RunRequest]) -> None:
        result, asked = self.result, {request.benchmark for request in requests}
        known = [benchmark for benchmark in result.benchmarks if benchmark.name in asked]
        if not known:
            there = ", ".join(benchmark.name for benchmark in result.benchmarks) or "nothing"
            raise UsageError(f"{result.id} has no {', '.join(sorted(asked))} to compare with", cause=f"it has {there}")
        if not any(runs for benchmark in known for runs in benchmark.valid_trials.values()):
            raise UsageError(f"{result.id} has no valid trial to compare with")
        unlike = _unlike_machines(result.environment, environment_here())
        engine = (result.tool.engine, result.tool.version), (requests[0].generator.engine, version())
        if engine[0] != engine[1]:
            unlike.append(f"engine {' '.join(engine[0])} and {' '.join(engine[1])}")
        if unlike and not self.force:
            raise UsageError(
                f"{result.id} and a run here are unlike", cause="; ".join(unlike), next_step=_COMPARED_ALL_THE_SAME
            )

    def judge(self, written: ResultOnDisk) -> None:
        """Compare what was measured, and write that into its result."""
        from servemark.assessment.comparing import Judging, compare, named
        from servemark.report.comparison import answer_in_words
        from servemark.result import Comparison
        from servemark.verdict import no_slower

        base, new = self.result, written.result
        try:
            comparison = compare(base, new, Judging(self.threshold_share, force=self.force))
        except UsageError as error:
            comparison = Comparison(base.id, new.id, self.threshold_share, "undecided", (), refused=str(error))
        answers = {one.name: one for one in comparison.benchmarks}
        judged = {
            name: no_slower(base.id, self.threshold_share, one.answer, comparison.refused or answer_in_words(one))
            for name, one in answers.items()
        }
        benchmarks = [
            replace(benchmark, verdicts=(*benchmark.verdicts, *([judged[name]] if name in judged else [])))
            for name, benchmark in named(new).items()
        ]
        written.compared(comparison, benchmarks)


def _unlike_machines(own: Environment, other: Environment) -> list[str]:
    """What differs; what either does not tell is not held against them."""
    facts = [{name: getattr(machine, name) for name in _OF_MACHINE} for machine in (own, other)]
    return [f"{name} {one} and {two}" for name, (one, two) in differences(*facts).items()]
