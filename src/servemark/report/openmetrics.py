"""A result as OpenMetrics text (version 1.0.0), which Prometheus' textfile collector and others read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TextIO

from servemark.printable import printable
from servemark.report.metrics import METRICS, Metric, facts, samples
from servemark.report.recorded import RecordedResult

_UNITS = {"s": "seconds", "By": "bytes"}
#: A gauge, since Prometheus' textfile collector knows of no type info.
_RESULT = "servemark_result_info"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def metric_name(metric: Metric) -> str:
    """What OpenMetrics calls `metric`: with the unit at its end; that of a rate is none of OpenMetrics."""
    suffix = "per_second" if metric.unit.endswith("/s") else _UNITS.get(metric.unit)
    return "_".join(filter(None, ("servemark", metric.name, suffix)))


def report(out: TextIO, recorded: RecordedResult) -> None:
    """Write the metrics of the result to `out`."""
    out.write(f"# TYPE {_RESULT} gauge\n# HELP {_RESULT} What was measured, when, by what and on which machine.\n")
    out.write(f"{_RESULT}{_labels(facts(recorded.result))} 1\n")
    lines = defaultdict(list)
    for sample in samples(recorded.result):
        lines[sample.metric].append(f"{_labels(sample.labels)} {sample.value!r}\n")
    for metric in METRICS.values():
        if metric.name not in lines:
            continue
        name = metric_name(metric)
        out.write(f"# TYPE {name} gauge\n")
        if metric.unit in _UNITS:
            out.write(f"# UNIT {name} {_UNITS[metric.unit]}\n")
        out.write(f"# HELP {name} {metric.title}\n")
        out.writelines(f"{name}{line}" for line in lines[metric.name])
    out.write("# EOF\n")


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{printable(value).translate(_ESCAPES)}"' for name, value in labels.items()) + "}"
