"""The formats in which a result is reported, in one table: a format more is a file and a line of it.

The function ``report`` of a format's module writes it: text to a stream, anything else to a path. Modules are loaded
when they are used. Standard library only, since help lists the formats.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from servemark.errors import OutputError, RecordingError
from servemark.report.extras import check_extra
from servemark.report.replacing import replacing, replacing_file, replacing_folder

if TYPE_CHECKING:
    from servemark.report.recorded import RecordedResult


@dataclass(frozen=True)
class Format:
    """A format of reports.

    Attributes:
        name: what ``--format`` calls it.
        file: what it is called in the folder of the result.
        module: what of this package writes it.
        title: what it is.
        shape: text can go to a stream, too; a folder has files of one kind, by their suffix.
        needs_records: whether the records have to be there.
        extra: what has to be installed for it besides.
    """

    name: str
    file: str
    module: str
    title: str
    shape: Literal["text", "file", "folder"] = "text"
    needs_records: bool = False
    extra: str | None = None

    def path(self, folder: Path) -> Path:
        """The file that it goes to if nothing else is said: beside the result in `folder`."""
        return folder / self.file

    def check(self, target: Path, folder: Path | None = None) -> None:
        """See that it could be written to `target`, and has what it needs; a result in `folder` may have it replaced.

        Raises:
            UsageError: something is not installed.
            OutputError: it cannot be written there, or something of a result would be lost.
        """
        if self.extra is not None:
            check_extra(self.extra, f"--format {self.name}")
        if folder is None or target.resolve() != self.path(folder).resolve():
            check_no_result(target)
        try:
            if target.is_dir() and self.shape != "folder":
                raise _unwritable(target, "it is a folder")
            if target.exists() and not target.is_dir() and self.shape == "folder":
                raise _unwritable(target, f"it is no folder, and {self.name} makes several files")
            if self.shape == "folder" and target.is_dir():
                self._check_own(target)
            if target.exists() and not target.is_file() and not target.is_dir():
                return
            with tempfile.TemporaryFile(dir=target.resolve().parent):
                pass
        except OSError as error:
            raise _unwritable(target, error.strerror or str(error)) from error

    def text(self, recorded: RecordedResult) -> str:
        """The report as text.

        Raises:
            RecordingError: it needs records, and these cannot be read.
        """
        out = io.StringIO()
        self._report(out, recorded)
        return out.getvalue()

    def write(self, recorded: RecordedResult, target: Path) -> None:
        """Write the report to `target`: whole, or not at all.

        Raises:
            RecordingError: it needs records, and these cannot be read; or the disk is full.
        """
        with saying_why_not(target):
            if self.shape == "text":
                with replacing(target) as out:
                    self._report(out, recorded)
            elif self.shape == "file":
                with replacing_file(target) as partial:
                    self._report(partial, recorded)
            else:
                with replacing_folder(target) as partial:
                    self._report(partial, recorded)

    def _report(self, out: Any, recorded: RecordedResult) -> None:
        import_module(f"servemark.report.{self.module}").report(out, recorded)

    def _check_own(self, target: Path) -> None:
        """See that nothing in the folder `target` would be lost but what was made so before."""
        for entry in sorted(target.iterdir()):
            if entry.suffix != f".{self.name}":
                raise _unwritable(target, f"it holds {entry.name}, which is no .{self.name} file")


#: By their names, in the order in which help has them.
FORMATS = {
    one.name: one
    for one in (
        Format("text", "summary.txt", "terminal", "the summary, as it is printed"),
        Format("html", "report.html", "html", "the page, with its charts"),
        Format("json", "result.json", "json", "the whole result"),
        Format("csv", "summary.csv", "csv", "JMeter's aggregate report, a row a step"),
        Format("jtl", "requests.jtl", "jtl", "up to 100,000 requests, for JMeter", needs_records=True),
        Format("junit", "verdicts.xml", "junit", "the verdicts, a test case a condition"),
        Format("markdown", "summary.md", "markdown", "the answers, for a comment on a pull request"),
        Format("openmetrics", "metrics.prom", "openmetrics", "gauges, for Prometheus"),
        Format("hgrm", "hgrm", "hgrm", "percentiles, for HdrHistogram's plotter", "folder", needs_records=True),
        Format(
            "parquet",
            "requests.parquet",
            "parquet",
            "all requests, a row each",
            "file",
            needs_records=True,
            extra="parquet",
        ),
    )
}


#: What a run writes into the folder of its result; what else is there was asked for.
WRITTEN_BY_RUNS = ("result.json", "summary.csv", "requests.jtl", "report.html")
_RECORDS = "records"


def check_no_result(target: Path) -> None:
    """See that `target` is nothing that a run wrote into the folder of its result.

    Raises:
        OutputError: it is.
    """
    path = target.resolve()
    is_record = path.parent.name == _RECORDS and (path.parents[1] / WRITTEN_BY_RUNS[0]).exists()
    if is_record or (path.name in WRITTEN_BY_RUNS and (path.parent / _RECORDS).is_dir()):
        raise OutputError(f"cannot write {target}", cause="it is part of a result", next_step="name another file")


def _unwritable(target: Path, cause: str) -> OutputError:
    return OutputError(f"cannot write {target}", cause=cause, next_step="name a place that you may write")


@contextmanager
def saying_why_not(target: Path) -> Iterator[None]:
    """Have what a system says of writing to `target` be an error of ours.

    Raises:
        RecordingError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise RecordingError(
            f"cannot write {target}",
            cause=error.strerror or str(error),
            next_step="free some space, or name a place on another disk",
        ) from error
