"""How figures read in the terminal: units, digits, intervals, and a line with its label."""

from __future__ import annotations

from urllib.parse import urlsplit

from rich.table import Table
from rich.text import Text

from servemark.printable import printable
from servemark.result import BenchmarkResult, Statistic, StepSummary
from servemark.units import format_ms

LABEL_WIDTH = 15
#: Space between columns, as few as leaves a table readable in 80.
COLUMN_PADDING = (0, 2, 0, 0)


def subject(benchmark: BenchmarkResult) -> Text:
    """What was measured, behind what must be known of the measurement."""
    line = Text()
    if benchmark.failure:
        line.append("FAILED ", style="bold red")
    elif benchmark.partial:
        line.append("PARTIAL ", style="bold yellow")
    if benchmark.certificate and not benchmark.certificate.valid:
        line.append("INVALID ", style="bold red")
    what = benchmark.model or urlsplit(benchmark.options.get("url", "")).netloc
    named = f"{benchmark.name} {what}" if what else benchmark.name
    return line.append(f"{named}: ", style="bold")


def fact(label: str, text: str, style: str = "") -> Table:
    """A line with its label; a long text goes on below itself."""
    line = Table.grid()
    line.add_column(width=LABEL_WIDTH)
    line.add_column()
    line.add_row(Text(label, style="dim"), Text(text, style=style))
    return line


def columns(first: str, *others: str) -> Table:
    """An empty table: its first column names the rows, the others hold figures."""
    table = Table(box=None, pad_edge=False, padding=COLUMN_PADDING)
    table.add_column(first, style="dim")
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def counted(how_many: int, noun: str) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{how_many:,} {noun}" if how_many == 1 else f"{how_many:,} {noun}s"


def ms(value: Statistic | float | None) -> str:
    """A time in milliseconds, in the unit that a person reads."""
    plain = value.value if isinstance(value, Statistic) else value
    return "-" if plain is None else format_ms(plain)


def per_s(statistic: Statistic) -> str:
    """A rate."""
    return "-" if statistic.value is None else f"{statistic.value:.{digits_of(statistic.value)}f}/s"


def per_s_interval(statistic: Statistic) -> str:
    """The interval of a rate, in brackets."""
    if statistic.ci95 is None:
        return f"(no interval below {statistic.needs_n} requests)"
    digits = digits_of(statistic.ci95[1])
    return f"({statistic.ci95[0]:.{digits}f} to {statistic.ci95[1]:.{digits}f})"


def interval(statistic: Statistic, digits: int) -> str:
    """An interval, or how many values it would take."""
    if statistic.ci95 is None:
        return f"- needs {statistic.needs_n:,}"
    return f"{decimal(statistic.ci95[0], digits)} to {decimal(statistic.ci95[1], digits)}"


def decimal(value: float | None, digits: int) -> str:
    """A number with that many decimals."""
    return "-" if value is None else f"{value:,.{digits}f}"


def digits_of(value: float | None) -> int:
    """Decimals that leave about four significant digits, at most three."""
    size = abs(value or 0.0)
    return 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0


def first_error(step: StepSummary) -> str:
    """How many failures of which kind, and what the first of them was."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in step.errors.items())
    if not step.error_examples:
        return kinds
    example = min(step.error_examples, key=lambda item: item.at_s)
    return f"{kinds}; first at {example.at_s:.3f} s: {' '.join(printable(example.message).split())}"
