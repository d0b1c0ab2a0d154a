"""A result made of a JTL that a JMeter wrote: what ``servemark report FILE.jtl`` does."""

from __future__ import annotations

import argparse
import hashlib
import re
import tempfile
from argparse import Namespace
from datetime import datetime, timezone
from pathlib import Path

from servemark.benchmarks import catalogue
from servemark.cli.options import Parser, offer
from servemark.errors import EXIT_OK, UsageError
from servemark.zoo.catalogue import ZOO

_OPTIONS = {"force": "--force", "benchmark": "--benchmark", "model": "-m", "step": "--step"}
#: One user is that of the original's latency, more those of its throughput.
_OF_ONE, _OF_MORE = "latency", "throughput"
_READ_BYTES = 1 << 20
_LONGEST_NAME = 100


def add_import_options(parser: Parser) -> None:
    """Add the options that say what becomes of a JTL."""
    group = parser.add_argument_group("of a JTL")
    group.add_argument("--force", action="store_true", help="write into DIR although it is not empty")
    group.add_argument(
        "--benchmark",
        metavar="B",
        choices=tuple(catalogue()),
        help=f"what it is taken for (default: {_OF_ONE} of one thread, {_OF_MORE} of more)",
    )
    model = group.add_argument("-m", "--model", metavar="NAME", help="the model that it is of")
    offer(model, (known.name for known in ZOO))
    group.add_argument(
        "--step",
        metavar="LABEL=NAME",
        type=_renaming,
        action="append",
        default=[],
        help="call the label so, as in 'Inference Request=predict'. Repeatable",
    )


def check_no_import_options(arguments: Namespace) -> None:
    """Refuse what is for a JTL alone.

    Raises:
        UsageError: one of these options was given.
    """
    given = [option for name, option in _OPTIONS.items() if name in arguments.given]
    if given:
        raise UsageError(f"{given[0]} goes with a JTL", cause=f"{arguments.path} is no file", next_step="leave it out")


def import_jtl(jtl: Path, arguments: Namespace, command: tuple[str, ...]) -> int:
    """Make a result of `jtl`, and print it; returns the exit status.

    Raises:
        UsageError: the file cannot be opened, or lacks a label that is to be renamed.
        OutputError: the result cannot be written where it was asked for.
        RecordingError: nor can its records, or the file is no whole JTL.
        SetupError: what draws the charts of its page cannot be had.
    """
    from servemark.assessment.imported import imported_benchmark, imported_result
    from servemark.engines.jmeter.jtl import convert
    from servemark.engines.jmeter.old import read_old
    from servemark.records import open_records
    from servemark.report.directory import ResultDirectory
    from servemark.report.terminal import print_summary

    with tempfile.TemporaryDirectory(prefix="servemark-jtl-") as scratch:
        ours = Path(scratch) / "ours.jtl"
        old = read_old(jtl, ours, dict(arguments.step))
        name = arguments.benchmark or (_OF_ONE if old.threads == 1 else _OF_MORE)
        title = f"{name}-{re.sub(r'[^A-Za-z0-9._-]+', '_', jtl.stem)[:_LONGEST_NAME]}"
        directory = ResultDirectory.create(arguments.output, title, datetime.now(timezone.utc), force=arguments.force)
        try:
            path = directory.new_record_path(name)
            found = convert(ours, old.plan, path, warmup_ns=0, stopped_unix_ms=None, kept_bodies=Path(scratch) / "none")
            records = open_records(path)
            without = f", without the {old.left_out:,} samples of its warm-up" if old.left_out else ""
            source = f"{jtl.name}{without}"
            benchmark = imported_benchmark(name, arguments.model, records, old.threads, found.examples, source)
            result = imported_result(benchmark, records, jtl, _sha256(jtl), command)
            directory.write(result)
            directory.write_page(result)
        except BaseException:
            directory.discard(words=True)
            raise
    print_summary(result, directory.path)
    return EXIT_OK


def _renaming(text: str) -> tuple[str, str]:
    label, equals, name = text.rpartition("=")
    if not equals or not label or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not LABEL=NAME")
    return label, name


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
