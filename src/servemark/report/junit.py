"""Verdicts as JUnit's XML, which every CI shows: a test suite a benchmark, a test case a question."""

from __future__ import annotations

from typing import TextIO
from xml.etree import ElementTree

from servemark.report.recorded import RecordedResult
from servemark.result import BenchmarkResult, Result, Verdict

#: What a verdict's outcome is there; what is met is a case without any of these.
_ELEMENTS = {"missed": "failure", "undecided": "skipped"}


def report(out: TextIO, recorded: RecordedResult) -> None:
    """Write the verdicts of the result to `out`."""
    out.write(junit_text(recorded.result, allow_invalid=recorded.allow_invalid, strict=recorded.strict))


def junit_text(result: Result, *, allow_invalid: bool, strict: bool = False) -> str:
    """The verdicts of `result`, and of each benchmark whether it is valid; `strict` has what is undecided fail.

    A question that is no condition (a finding) has no case. A benchmark that failed, or that is INVALID, is a case with
    an error.
    """
    root = ElementTree.Element("testsuites", name="servemark")
    for benchmark in result.benchmarks:
        suite = ElementTree.SubElement(root, "testsuite", name=_name(benchmark), timestamp=result.started_at)
        _add_measurement(suite, benchmark, allow_invalid=allow_invalid)
        for verdict in benchmark.verdicts:
            if verdict.outcome != "finding":
                _add(suite, benchmark, verdict, strict=strict)
        cases = suite.findall("testcase")
        suite.set("tests", str(len(cases)))
        for attribute, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(attribute, str(sum(case.find(element) is not None for case in cases)))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _name(benchmark: BenchmarkResult) -> str:
    return _fit(f"{benchmark.name} {benchmark.model}" if benchmark.model else benchmark.name)


def _add_measurement(suite: ElementTree.Element, benchmark: BenchmarkResult, *, allow_invalid: bool) -> None:
    """The case that the measurement itself is."""
    case = ElementTree.SubElement(suite, "testcase", classname=_name(benchmark), name="measured")
    certificate = benchmark.certificate
    if benchmark.failure:
        ElementTree.SubElement(case, "error", message=_fit(benchmark.failure.message))
    elif certificate is not None and not certificate.valid and not allow_invalid:
        reasons = "; ".join(f"{check.name}: {check.reason}" for check in certificate.checks if check.passed is False)
        ElementTree.SubElement(case, "error", message=_fit(f"INVALID: {reasons}"))


def _add(suite: ElementTree.Element, benchmark: BenchmarkResult, verdict: Verdict, *, strict: bool) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=_name(benchmark), name=_fit(verdict.question))
    ElementTree.SubElement(case, "system-out").text = _fit(verdict.answer)
    element = _ELEMENTS.get(verdict.outcome)
    if element == "skipped" and strict:
        element = "failure"
    if element:
        ElementTree.SubElement(case, element, message=_fit(verdict.answer))


def _fit(text: str) -> str:
    """`text` without what XML cannot hold."""
    return "".join(
        one if one in "\t\n" or " " <= one < "\ud800" or "\ue000" <= one < "\ufffe" else "\ufffd" for one in text
    )
