"""Verdicts as JUnit's XML, which every CI shows: a test suite a benchmark, a test case a question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TextIO
from xml.etree import ElementTree

from servemark.report.recorded import RecordedResult
from servemark.report.suite import rows_of_suite
from servemark.report.terminal import headline
from servemark.report.words import first_error, named
from servemark.result import BenchmarkResult, Result, Verdict, told_apart
from servemark.verdict import has_failed

#: What a verdict's outcome is there; what is met is a case without any of these.
_ELEMENTS = {"missed": "failure", "undecided": "skipped"}


def report(out: TextIO, recorded: RecordedResult) -> None:
    """Write the verdicts of the result to `out`."""
    out.write(junit_text(recorded.result, allow_invalid=recorded.allow_invalid, strict=recorded.strict))


def junit_text(result: Result, *, allow_invalid: bool, strict: bool = False) -> str:
    """The verdicts of `result`, and of each benchmark whether it is valid; `strict` has what is undecided fail.

    A question that is no condition (a finding) has no case. A benchmark that failed, of which nothing succeeded, or
    that is INVALID, is a case with an error; an entry of a suite that was skipped or not run is one that is skipped.
    What else ended the run with a status other than 0 is an error of a suite of its own: there is a failure or an error
    where ``verdict.exit_status`` is not 0. No two cases have the same class and name: CI would take them for one.
    """
    root = ElementTree.Element("testsuites", name="servemark")
    entries: list[tuple[str, BenchmarkResult | str | Mapping[str, str]]] = [
        (named(one), one) for one in result.benchmarks
    ]
    for place, row in enumerate(rows_of_suite(result, headline)):
        if row.place is None:
            entries.insert(place, (row.name, row.text or row.status))
    if of_run := dict(_errors_of_run(result)):
        entries.append(("run", of_run))
    names = told_apart(_fit(name) for name, _ in entries)
    for name, (_, entry) in zip(names, entries, strict=True):
        suite = ElementTree.SubElement(root, "testsuite", name=name, timestamp=_fit(result.started_at))
        if isinstance(entry, str):
            _add_unmeasured(suite, name, entry)
        elif isinstance(entry, Mapping):
            _add_errors(suite, name, entry)
        else:
            _add_measurement(suite, name, entry, allow_invalid=allow_invalid)
            _add_conditions(suite, name, entry, strict=strict)
        cases = suite.findall("testcase")
        suite.set("tests", str(len(cases)))
        for attribute, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(attribute, str(sum(case.find(element) is not None for case in cases)))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _errors_of_run(result: Result) -> Iterator[tuple[str, str]]:
    """What of a whole run was not to be, and is in none of its benchmarks: what it was to do, and why it did not."""
    if result.error and result.error not in {one.failure.message for one in result.benchmarks if one.failure}:
        yield "finished", result.error
    if result.comparison is not None and result.comparison.refused:
        yield "compared", result.comparison.refused
    if result.skipped and not result.benchmarks:
        yield "measured", "; ".join(f"{one.name}: {one.reason}" for one in result.skipped)


def _add_errors(suite: ElementTree.Element, name: str, errors: Mapping[str, str]) -> None:
    """A case each of what was to be done."""
    for what, why in errors.items():
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=what)
        ElementTree.SubElement(case, "error", message=_fit(why))


def _add_unmeasured(suite: ElementTree.Element, name: str, why: str) -> None:
    """The case that the measurement would have been."""
    case = ElementTree.SubElement(suite, "testcase", classname=name, name="measured")
    ElementTree.SubElement(case, "skipped", message=_fit(why))


def _add_measurement(suite: ElementTree.Element, name: str, benchmark: BenchmarkResult, *, allow_invalid: bool) -> None:
    """The case that the measurement itself is."""
    case = ElementTree.SubElement(suite, "testcase", classname=name, name="measured")
    certificate = benchmark.certificate
    if benchmark.failure:
        ElementTree.SubElement(case, "error", message=_fit(benchmark.failure.message))
    elif has_failed(benchmark):
        ElementTree.SubElement(case, "error", message=_fit(_why_failed(benchmark)))
    elif certificate is not None and not certificate.valid and not allow_invalid:
        reasons = "; ".join(f"{check.name}: {check.reason}" for check in certificate.checks if check.passed is False)
        ElementTree.SubElement(case, "error", message=_fit(f"INVALID: {reasons}"))


def _add_conditions(suite: ElementTree.Element, name: str, benchmark: BenchmarkResult, *, strict: bool) -> None:
    """A case each question that is a condition."""
    conditions = [verdict for verdict in benchmark.verdicts if verdict.outcome != "finding"]
    for case, verdict in zip(told_apart(_fit(one.question) for one in conditions), conditions, strict=True):
        _add(suite, name, case, verdict, strict=strict)


def _why_failed(benchmark: BenchmarkResult) -> str:
    """What is said of a benchmark without an answer: of a step whose requests all failed the first of these."""
    steps = (step for run in benchmark.runs for step in run.steps) if benchmark.capacity is None else ()
    failed = next((step for step in steps if step.requests and not step.succeeded), None)
    return (
        headline(benchmark).plain if failed is None else f"{failed.name}: every request failed: {first_error(failed)}"
    )


def _add(suite: ElementTree.Element, classname: str, name: str, verdict: Verdict, *, strict: bool) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=classname, name=name)
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
