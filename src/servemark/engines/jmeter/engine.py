"""The engine as the runner sees it: JMeter runs the plan, samples the server for PerfMon, and makes its own reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from servemark.engines import EngineName, EngineRun, Job
from servemark.engines.jmeter import run, tools
from servemark.engines.jmeter.perfmon import ResourceSampler
from servemark.engines.jmeter.process import RESULTS
from servemark.engines.watching import watch_machine
from servemark.environments.jmeter import JMeterHome
from servemark.environments.variables import passed_on
from servemark.errors import UsageError
from servemark.units import NS_PER_S

_RESOURCES = "perfmon.jtl"


class JMeterEngine:
    """A real Apache JMeter, from its home."""

    name: EngineName = "jmeter"

    def __init__(self, home: JMeterHome) -> None:
        self.versions = home.versions
        self.environ: Mapping[str, object] | None = passed_on()
        self._home = home

    def execute(self, job: Job) -> EngineRun:
        """See ``Engine``.

        Raises:
            SetupError: JMeter sent nothing.
        """
        if job.compiled.threads > 1:
            raise UsageError("JMeter has its own threads", next_step="leave --generator-threads out")
        if job.compiled.record_events:
            raise UsageError("JMeter does not tell events", next_step="leave --record-events out")
        with ExitStack() as sampling:
            if job.server_pid is not None:
                job.folder.mkdir(parents=True, exist_ok=True)
                sampling.enter_context(ResourceSampler(job.server_pid, self._resources(job)))
            return run.execute(
                job.plan,
                job.addresses,
                record_path=job.record_path,
                folder=job.folder,
                timeout_s=job.compiled.timeout_ns / NS_PER_S,
                connect_timeout_s=job.compiled.connect_timeout_ns / NS_PER_S,
                seed=job.compiled.seed,
                watch=job.watch,
                machine=watch_machine(job.addresses.values(), job.server_cpu_s),
                home=self._home,
            )

    def report(self, job: Job) -> None:
        """Aggregate and synthesis tables, filtered results, dashboard, and PerfMon's chart of the server."""
        resources = self._resources(job)
        tools.write_reports(
            self._home,
            job.folder / RESULTS,
            job.folder,
            labels=list(dict.fromkeys(step.name for group in job.plan.groups for step in group.scenario.steps)),
            warmup_s=job.compiled.warmup_ns / NS_PER_S,
            resources=resources if resources.exists() else None,
        )

    def merge(self, jobs: Sequence[Job], folder: Path) -> None:
        """Filtered results of all jobs in one, each label with its job's name, and their aggregate table."""
        runs = [tools.MergedRun(job.folder / tools.FILTERED, f"{job.folder.name}: ") for job in jobs]
        tools.merge_results(self._home, runs, folder)

    def close(self) -> None:
        """Nothing of it outlives a job."""

    def _resources(self, job: Job) -> Path:
        return job.folder / _RESOURCES
