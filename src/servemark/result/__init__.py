"""Results: everything about one invocation, as frozen data.

The field names are the names in ``result.json`` (schema ``servemark/result/2``, beside this package as
``result.schema.json``); each carries its unit. ``document`` has the whole from the invocation down to a step,
``figures``, ``loads``, ``trials`` and ``analysis`` what it is made of, ``fingerprint`` what comparisons hold against
each other, ``comparison`` what these say, and ``reading`` turns it into JSON and back. Behaviour lives elsewhere:
``stats`` computes, ``report`` writes.
"""

from __future__ import annotations

from servemark.result.analysis import Analysis as Analysis
from servemark.result.analysis import Background as Background
from servemark.result.analysis import NotFitted as NotFitted
from servemark.result.analysis import Predictions as Predictions
from servemark.result.analysis import Registration as Registration
from servemark.result.analysis import Registrations as Registrations
from servemark.result.analysis import Scalability as Scalability
from servemark.result.analysis import Scaling as Scaling
from servemark.result.analysis import ScalingCalls as ScalingCalls
from servemark.result.analysis import Stage as Stage
from servemark.result.capacity import By as By
from servemark.result.capacity import Capacity as Capacity
from servemark.result.capacity import CapacityProbe as CapacityProbe
from servemark.result.capacity import Ending as Ending
from servemark.result.capacity import Estimate as Estimate
from servemark.result.capacity import ProbeOutcome as ProbeOutcome
from servemark.result.capacity import ProbeShare as ProbeShare
from servemark.result.comparison import ANSWERS as ANSWERS
from servemark.result.comparison import ERRORS as ERRORS
from servemark.result.comparison import Answer as Answer
from servemark.result.comparison import Change as Change
from servemark.result.comparison import ComparedBenchmark as ComparedBenchmark
from servemark.result.comparison import Comparison as Comparison
from servemark.result.document import IMPORTED as IMPORTED
from servemark.result.document import INTERRUPTED as INTERRUPTED
from servemark.result.document import NOT_WRITTEN as NOT_WRITTEN
from servemark.result.document import SCHEMA as SCHEMA
from servemark.result.document import STATISTICS as STATISTICS
from servemark.result.document import AskedOptions as AskedOptions
from servemark.result.document import BenchmarkResult as BenchmarkResult
from servemark.result.document import Certificate as Certificate
from servemark.result.document import Check as Check
from servemark.result.document import CondensedRecords as CondensedRecords
from servemark.result.document import Disturbance as Disturbance
from servemark.result.document import Environment as Environment
from servemark.result.document import ErrorExample as ErrorExample
from servemark.result.document import Failure as Failure
from servemark.result.document import GeneratorResult as GeneratorResult
from servemark.result.document import HeadlineLatency as HeadlineLatency
from servemark.result.document import Incident as Incident
from servemark.result.document import InsideServer as InsideServer
from servemark.result.document import Outcome as Outcome
from servemark.result.document import PromptsSent as PromptsSent
from servemark.result.document import Result as Result
from servemark.result.document import RunResult as RunResult
from servemark.result.document import Skipped as Skipped
from servemark.result.document import StepSummary as StepSummary
from servemark.result.document import Suite as Suite
from servemark.result.document import SuiteEntry as SuiteEntry
from servemark.result.document import SuiteStatus as SuiteStatus
from servemark.result.document import Telemetry as Telemetry
from servemark.result.document import Tool as Tool
from servemark.result.document import Verdict as Verdict
from servemark.result.document import answering as answering
from servemark.result.document import error_name as error_name
from servemark.result.document import mapping_in as mapping_in
from servemark.result.document import trials_by_point as trials_by_point
from servemark.result.figures import Distribution as Distribution
from servemark.result.figures import EventSummary as EventSummary
from servemark.result.figures import GapSummary as GapSummary
from servemark.result.figures import Histogram as Histogram
from servemark.result.figures import LatencySummary as LatencySummary
from servemark.result.figures import OutputTokens as OutputTokens
from servemark.result.figures import Spread as Spread
from servemark.result.figures import Statistic as Statistic
from servemark.result.figures import TokenSource as TokenSource
from servemark.result.figures import TokenSummary as TokenSummary
from servemark.result.figures import Trend as Trend
from servemark.result.fingerprint import Fingerprint as Fingerprint
from servemark.result.fingerprint import asked_beforehand as asked_beforehand
from servemark.result.fingerprint import asked_of_point as asked_of_point
from servemark.result.fingerprint import differences as differences
from servemark.result.fingerprint import fingerprint as fingerprint
from servemark.result.fingerprint import matchable as matchable
from servemark.result.fingerprint import served_by as served_by
from servemark.result.fingerprint import spread_over as spread_over
from servemark.result.fingerprint import told_apart as told_apart
from servemark.result.loads import KERNEL_CLOCK as KERNEL_CLOCK
from servemark.result.loads import OWN_CLOCK as OWN_CLOCK
from servemark.result.loads import UNSTAMPED_CLOCK as UNSTAMPED_CLOCK
from servemark.result.loads import USER_CLOCK as USER_CLOCK
from servemark.result.loads import AdaptiveLength as AdaptiveLength
from servemark.result.loads import ClosedLoadResult as ClosedLoadResult
from servemark.result.loads import LoadResult as LoadResult
from servemark.result.loads import OpenLoadResult as OpenLoadResult
from servemark.result.loads import RateSegmentResult as RateSegmentResult
from servemark.result.loads import TraceResult as TraceResult
from servemark.result.reading import benchmark_from_json as benchmark_from_json
from servemark.result.reading import comparison_text as comparison_text
from servemark.result.reading import from_json as from_json
from servemark.result.reading import load_result as load_result
from servemark.result.reading import read_result as read_result
from servemark.result.reading import schema_text as schema_text
from servemark.result.reading import to_json as to_json
from servemark.result.trials import PointTrials as PointTrials
from servemark.result.trials import StepTrials as StepTrials
from servemark.result.trials import Trials as Trials
from servemark.result.trials import TrialStatistic as TrialStatistic
