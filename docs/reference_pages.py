"""Pages of the site that are made of the code: commands, benchmarks, checks, errors and schemas."""

from __future__ import annotations

import argparse
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from servemark import _loadgen, errors
from servemark.assessment.trials import MOST_INVALID_SHARE
from servemark.benchmarks import catalogue
from servemark.certificate import conditions, effects, generator, records, spread
from servemark.certificate.pauses import Pauses, ThreadPauses
from servemark.cli.commands import NAME, commands
from servemark.cli.parser import Parser, is_listed
from servemark.result import IMPORTED, Disturbance
from servemark.suites import names as suite_names

_ROOT = Path(__file__).parents[1]
_PACKAGE = _ROOT / "src" / "servemark"
#: Those of a whole result, which are no functions of a run.
_RESULT_CHECKS = (
    ("`each generator`", "Of several generators: what is judged of all together holds for each of them by itself."),
    ("`probes`", f"Of a search: at most {MOST_INVALID_SHARE:.0%} of its probes were INVALID."),
    ("`trials`", f"With `--trials`: at most {MOST_INVALID_SHARE:.0%} of the trials of a point were INVALID."),
    (f"`{IMPORTED}`", "Of a file that another tool wrote: not applicable, for nothing vouches for its figures."),
)


def pages() -> dict[str, str]:
    """The text of each page by its place among the sources of the site."""
    made: dict[str, Callable[[], Iterator[str]]] = {
        "command-line": _command_line,
        "catalogue": _catalogue,
        "checks": _checks,
        "errors": _errors,
        "schema": _schema,
    }
    return {f"reference/{name}.md": "\n".join(page()) + "\n" for name, page in made.items()}


def _command_line() -> Iterator[str]:
    yield "# Command line\n"
    yield "Every command with its arguments, as `servemark COMMAND -h` tells them. In a clone `./benchmark.py` is"
    yield "`servemark run`, and takes the other commands, too.\n"
    for command in commands():
        yield f"## {NAME} {' '.join(command.words)}\n"
        yield f"{_text(_sentence(command.summary))}\n"
        for group in command.parser._action_groups:
            rows = [_argument(command.parser, action) for action in group._group_actions if is_listed(action)]
            if rows:
                yield f"{_sentence(group.title or '')[:-1]}:\n"
                yield from _table(("argument", "meaning"), rows)
        if command.parser.epilog:
            yield f"```text\n{command.parser.epilog.strip()}\n```\n"


def _argument(parser: Parser, action: argparse.Action) -> tuple[str, str]:
    """What an argument is called, with what stands for its value, and what it means."""
    formatter = parser._get_formatter()
    return _code(formatter._format_action_invocation(action)), _text(formatter._expand_help(action))


def _catalogue() -> Iterator[str]:
    yield "# Catalogue of benchmarks\n"
    yield "What each benchmark says of itself; [Benchmarks](benchmarks.md) tells what they are for.\n"
    for benchmark in catalogue().values():
        yield f"## {benchmark.name}\n"
        yield f"{_text(_sentence(benchmark.summary))}\n"
        yield f"- headline: {benchmark.headline}"
        yield f"- threads: {benchmark.threads or 'a rule of its own'}"
        yield f"- needs of the server: {', '.join(sorted(benchmark.needs)) or 'nothing'}\n"
        keys = [(_code(one.key), _text(one.meaning), _default(one.default)) for one in benchmark.parameters]
        if keys:
            yield from _table(("`--options` key", "meaning", "default"), keys)
        refused = [(_code(name), _text(why)) for name, why in sorted(benchmark.refuses.items())]
        if refused:
            yield from _table(("it refuses", "because"), refused)
    yield "## Suites\n"
    yield from _table(("`--suite`",), [(_code(name),) for name in suite_names()])


def _default(value: Any) -> str:
    return _text(",".join(map(str, value)) if isinstance(value, tuple) else str(value)) or "none"


def _checks() -> Iterator[str]:
    yield "# Checks of the certificate\n"
    yield "A check passed, failed or is not applicable; only one that failed makes a run INVALID. The name of a step,"
    yield "or of a point, stands behind it in parentheses.\n"
    found = [check for module in (records, generator, spread) for check in _checks_of(module)]
    yield from _table(("check", "what it looks at"), [*found, *_RESULT_CHECKS])
    yield "## How much is too much\n"
    yield f"{_paragraphs(effects)[1]}\n"
    yield f"The share is {effects.LIMIT_SHARE:.0%}, the least {effects.LIMIT_MS} ms.\n"
    yield "## What is a warning\n"
    yield f"{_paragraphs(conditions.disturbances)[0]}\n"
    disturbed = conditions.disturbances(_at_worst())
    rows = [(_code(one.name), _text(one.reason), _limit(one)) for one in disturbed]
    yield from _table(("warning", "what it says, of a run that has them all", "above"), rows)


def _limit(found: Disturbance) -> str:
    return f"{found.limit:.0%}" if found.unit == "share" else f"{found.limit:g} {found.unit}"


def _checks_of(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The checks of a module, in their order: the name that each gives itself, and what it says it looks at."""
    for name, function in vars(module).items():
        if name.startswith("check_"):
            (called,) = re.findall(r'^    name = f?"([a-z -]+\w)', inspect.getsource(function), re.MULTILINE)
            yield _code(called), _text(_paragraphs(function)[0])


def _at_worst() -> conditions.RunConditions:
    """A run in which everything was disturbed that a machine can be."""
    machine = conditions.MachineUse(
        elapsed_s=10.0,
        cpus=2,
        busy_cpu_s=20.0,
        steal_cpu_s=2.0,
        own_cpu_s=9.0,
        server_cpu_s=5.0,
        memory_stalled_s=1.0,
        remote=False,
        throttled_s=2.0,
    )
    return conditions.RunConditions(
        open_loop=False,
        users=1,
        machine=machine,
        generator_cpu_s=9.0,
        generator_s=10.0,
        threads=1,
        pauses=Pauses((ThreadPauses(1_000_000_000),)),
        idle_share=0.5,
    )


def _errors() -> Iterator[str]:
    yield "# Errors\n"
    yield "## Exit statuses\n"
    (told,) = re.findall(r"exit status:\n(?:.+\n)+", next(commands()).parser.epilog or "")
    yield f"```text\n{told.rstrip()}\n```\n"
    yield "[Exit status](exit-status.md) says which counts where several apply.\n"
    yield "## What ends a run\n"
    yield "From Python these are exceptions, each a `servemark.ServemarkError`; the command line prints one line.\n"
    kinds = [
        (_code(name), str(kind.exit_status), _text(_paragraphs(kind)[0]))
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.ServemarkError) and hasattr(kind, "exit_status")
    ]
    yield from _table(("error", "exit status", "when"), kinds)
    yield "## How a request fails\n"
    yield "A request that failed is counted by its kind, and is data.\n"
    source = (_ROOT / "crates" / "servemark-loadgen" / "src" / "error.rs").read_text(encoding="utf-8")
    variants = re.findall(r"/// (.+)\n    \w+(?: = 0)?,", source.split("pub enum Kind {")[1].split("\n}")[0])
    rows = zip(map(_code, _loadgen.ERROR_KINDS), map(_text, variants), strict=True)
    yield from _table(("kind", "what happened"), list(rows)[1:])


def _schema() -> Iterator[str]:
    yield "# Schemas\n"
    yield "The fields of `result.json`, `compare --json` and `doctor --json`. A field of an optional part is there"
    yield "where that part is.\n"
    for file in ("result.schema.json", "doctor.schema.json"):
        schema = json.loads((_PACKAGE / file).read_text(encoding="utf-8"))
        yield f"## {schema.get('title', file)}\n"
        yield f"[{file}](../../src/servemark/{file}). {_text(schema.get('description', ''))}\n"
        yield from _table(("field", "type", "what it is"), list(_fields(schema, "")))
        for name, part in schema.get("$defs", {}).items():
            yield f"### {name}\n"
            yield f"{_text(part.get('description', ''))}\n"
            yield from _table(("field", "type", "what it is"), list(_fields(part, "")))


def _fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    """The fields of a part of a schema, and of what stands in it: path, type, description."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        optional = "" if name in required else " (optional)"
        yield _code(f"{path}{name}"), _text(_type(field)) + optional, _text(field.get("description", ""))
        yield from _fields(field, f"{path}{name}.")
    for inner, mark in ((schema.get("items"), "[]."), (schema.get("additionalProperties"), "*.")):
        if isinstance(inner, dict):
            yield from _fields(inner, f"{path.removesuffix('.')}{mark}")
    for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _fields(one, path)


def _type(schema: dict[str, Any]) -> str:
    """The type of a field in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(map(_type, schema[several]))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " or ".join(map(json.dumps, schema["enum"]))
    if schema.get("type") == "array" and "items" in schema:
        return f"array of {_type(schema['items'])}"
    known = schema.get("type", "anything")
    return known if isinstance(known, str) else " or ".join(known)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(row)} |"
    yield ""


def _paragraphs(documented: object) -> list[str]:
    """The paragraphs of a docstring, each as one line."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", inspect.getdoc(documented) or "")]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def _code(text: str) -> str:
    return f"`{text}`"


def _text(text: str) -> str:
    """`text` as a cell shows it: what is no code of it is no markup either."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.replace("``", "`").split()))
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_\[\]<>|])", r"\\\1", part) for part in parts)
