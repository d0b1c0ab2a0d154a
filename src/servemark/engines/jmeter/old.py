"""JTLs that others' JMeters wrote, from long ago or another plan: checked line by line, then as ours are, for ``jtl``.

Read is CSV, with a header that names the columns, whatever its delimiter, or without one in the order of JMeter 5. Each
label becomes a step, each thread a user; threads of one name but for the last number are a group. What a line lacks, or
holds that is none of JMeter's, is an error that names the line: a file that is not whole is no baseline.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from servemark.engines.jmeter.plan import WrittenPlan
from servemark.errors import RecordingError, UsageError
from servemark.record_header import WARM_UP
from servemark.text_files import lines_without_mark
from servemark.workload.load import ClosedLoad
from servemark.workload.plan import Group
from servemark.workload.scenario import Request, Scenario, Step

#: The columns of a JMeter 5 that was not told otherwise, in the order in which it writes them without a header.
_DEFAULT = (
    *("timeStamp", "elapsed", "label", "responseCode", "responseMessage", "threadName", "dataType", "success"),
    *("failureMessage", "bytes", "sentBytes", "grpThreads", "allThreads", "URL", "Latency", "IdleTime", "Connect"),
)
_REQUIRED = ("timeStamp", "elapsed", "label", "responseCode", "threadName", "success")
#: Whole numbers, of which those behind the first two may be missing.
_NUMBERS = ("timeStamp", "elapsed", "bytes", "sentBytes", "allThreads", "Latency", "Connect")
_WRITTEN = (
    *("timeStamp", "elapsed", "label", "responseCode", "responseMessage", "threadName", "success", "failureMessage"),
    *("bytes", "sentBytes", "Latency", "Connect"),
)
_DELIMITERS = ",;\t|"
_LONGEST_FIELD = 1 << 24
_LONGEST_SHOWN = 60
#: A label is a step with statistics of its own: a file with more labels has something else in them.
_MOST_LABELS = 1_000
#: Larger numbers are none of JMeter's: of times, in nanoseconds, the records would have no room for them.
_LAST_MS, _MOST, _MOST_STATUS = 5_000_000_000_000, 1_000_000_000, 999
#: So many labels an error names.
_MOST_NAMED = 10
#: What a sample without a label is called.
_UNNAMED = "request"


@dataclass(frozen=True)
class OldJtl:
    """What was read: the plan that its samples could be of, and how many threads there were at once, at most.

    `left_out` samples were of a warm-up, as a label says that is another's with the word behind it.
    """

    plan: WrittenPlan
    threads: int
    left_out: int


@dataclass
class _Threads:
    """The thread groups that were met, in that order: of each its users, by their numbers from 1, and its steps.

    `seen` are the labels as the file has them.
    """

    users: dict[str, dict[str, int]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    steps: dict[str, dict[str, None]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    most_at_once: int = 0

    def named(self, thread: str, step: str) -> str:
        """The name of a thread as our plans have it; notes it, and that it performed `step`."""
        group, dash, number = thread.rpartition("-")
        if not dash or not number.isdigit():
            group, number = "", thread
        place = self.numbers.setdefault(group, len(self.numbers) + 1)
        self.steps.setdefault(group, {}).setdefault(step)
        users = self.users.setdefault(group, {})
        return f"group {place}-{users.setdefault(number, len(users) + 1)}"

    def warm_up(self) -> frozenset[tuple[str, str]]:
        """The steps that are the warm-up of others, by their labels, with their groups' names; takes them away."""
        found = set()
        for group, steps in self.steps.items():
            own = [step for step in steps if step.endswith(WARM_UP) and step.removesuffix(WARM_UP) in steps]
            for step in own:
                del steps[step]
                found.add((f"group {self.numbers[group]}", step))
        return frozenset(found)

    def plan(self) -> WrittenPlan:
        """The groups with their users, each performing its steps."""
        groups = [
            Group(
                Scenario(tuple(Step(step, (Request("GET", "/"),)) for step in self.steps[group])),
                ClosedLoad(users=len(users), loops=1),
            )
            for group, users in self.users.items()
        ]
        return WrittenPlan(Path(), tuple(groups), {})


def read_old(jtl: Path, written: Path, names: Mapping[str, str]) -> OldJtl:
    """Read `jtl`, and write its samples to `written` as a JTL of the plan that is returned.

    `names` says what a label is to be called as a step.

    Raises:
        UsageError: it cannot be opened, or has no label that `names` speaks of.
        RecordingError: it is none, not whole, or empty; says the line, and why.
    """
    threads = _Threads()
    try:
        file = jtl.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {jtl}", cause=error.strerror or str(error)) from error
    with file, written.open("w", newline="", encoding="utf-8") as out:
        try:
            _rewrite(_text(lines_without_mark(file)), out, threads, names)
        except (ValueError, csv.Error) as error:
            raise _refused(jtl, str(error)) from error
    if not threads.users:
        raise _refused(jtl, "there is no sample in it")
    left_out = _leave_out(threads.warm_up(), written)
    unknown = sorted(set(names) - threads.seen)
    if unknown:
        raise UsageError(
            f"{jtl} has no label {unknown[0]!r}",
            next_step=f"choose from {', '.join(sorted(threads.seen)[:_MOST_NAMED])}",
        )
    return OldJtl(threads.plan(), threads.most_at_once or sum(map(len, threads.users.values())), left_out)


def _leave_out(steps: frozenset[tuple[str, str]], written: Path) -> int:
    """Take the samples of `steps`, each with its thread group's name, out of `written`; returns how many there were."""
    if not steps:
        return 0
    kept, left_out = written.with_suffix(".kept"), 0
    with written.open(newline="", encoding="utf-8") as samples, kept.open("w", newline="", encoding="utf-8") as out:
        rows = csv.DictReader(samples)
        writer = csv.DictWriter(out, _WRITTEN, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            if (row["threadName"].rpartition("-")[0], row["label"]) in steps:
                left_out += 1
            else:
                writer.writerow(row)
    kept.replace(written)
    return left_out


def _rewrite(lines: Iterator[str], out: TextIO, threads: _Threads, names: Mapping[str, str]) -> None:
    csv.field_size_limit(_LONGEST_FIELD)
    whole = _Lines(lines)
    first = next(iter(whole), "")
    if first.lstrip().startswith("<"):
        raise ValueError("it is XML; only JMeter's CSV is read (jmeter.save.saveservice.output_format=csv)")
    columns, delimiter = _columns(first)
    has_header = columns[0] == first.split(delimiter)[0].strip('"')
    samples = csv.reader(whole if has_header else whole.again(first), delimiter=delimiter)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_WRITTEN)
    ended = 0
    for fields in samples:
        number, ended = ended + 1 + int(has_header), samples.line_num
        if not fields:
            continue
        sample = _checked(fields, columns, number)
        if not whole.ended:
            raise ValueError(f"line {number} has no end: it may be cut off; remove it, or end it")
        threads.seen.add(sample["label"])
        if len(threads.seen) > _MOST_LABELS:
            raise ValueError(f"it has more than {_MOST_LABELS:,} labels, each of which would be a step")
        threads.most_at_once = max(threads.most_at_once, int(sample.get("allThreads") or 0))
        sample["label"] = names.get(sample["label"], sample["label"]) or _UNNAMED
        sample["threadName"] = threads.named(sample["threadName"], sample["label"])
        writer.writerow([sample.get(name, "") for name in _WRITTEN])


def _columns(first: str) -> tuple[tuple[str, ...], str]:
    """The columns, and what is between them, as the first line says."""
    line = first.rstrip("\r\n")
    if not line:
        raise ValueError("it is empty, or its first line is; give JMeter's CSV, with a header or in JMeter 5's order")
    names_them = line.lstrip('"').startswith(_DEFAULT[0])
    delimiter = ","
    if names_them:
        rest = line.lstrip('"').removeprefix(_DEFAULT[0]).lstrip('"')
        delimiter = rest[:1] if rest[:1] in tuple(_DELIMITERS) else ","
    found = tuple(next(csv.reader([line], delimiter=delimiter), []))
    if not names_them:
        if len(found) == len(_DEFAULT) and found[0].isdigit():
            return _DEFAULT, delimiter
        raise ValueError(
            f"line 1 is neither a header that begins with {_DEFAULT[0]} nor a sample with the {len(_DEFAULT)} columns "
            f"of JMeter 5: {_short(line)}"
        )
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        raise ValueError(f"line 1: the header has no column {', '.join(missing)}")
    return found, delimiter


def _checked(fields: Sequence[str], columns: Sequence[str], number: int) -> dict[str, str]:
    """A sample, by column."""
    if len(fields) != len(columns):
        cut = " (was it cut off?)" if len(fields) < len(columns) else ""
        raise ValueError(f"line {number} has {len(fields)} of {len(columns)} columns{cut}: {_short(','.join(fields))}")
    sample = dict(zip(columns, fields, strict=True))
    for name in _NUMBERS:
        text = sample.get(name, "")
        if not text and name not in _REQUIRED:
            continue
        most = _LAST_MS if name == "timeStamp" else _MOST
        if not (text.isascii() and text.isdigit()) or int(text) > most:
            what = "milliseconds since 1970" if name == "timeStamp" else "a whole number"
            raise ValueError(f"line {number}: {name} is {_short(text)!r}, not {what} up to {most:,}")
    if sample["responseCode"].isdigit() and int(sample["responseCode"]) > _MOST_STATUS:
        raise ValueError(f"line {number}: responseCode is {_short(sample['responseCode'])!r}, no status")
    if sample["success"] not in {"true", "false"}:
        raise ValueError(f"line {number}: success is {_short(sample['success'])!r}, not true or false")
    return sample


class _Lines:
    """The lines of a file; `ended` says whether the last one that was read has its end."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.ended = True
        self._lines = lines

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.ended = line.endswith("\n")
        return line.replace("\0", "")

    def again(self, first: str) -> Iterator[str]:
        """All of them, when `first` has been read."""
        yield first
        yield from self


def _text(lines: Iterator[bytes]) -> Iterator[str]:
    return (line.decode("utf-8", "replace") for line in lines)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _refused(jtl: Path, why: str) -> RecordingError:
    return RecordingError(f"cannot make a result of {jtl}", cause=why)
