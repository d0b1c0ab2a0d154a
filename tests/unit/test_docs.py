"""The documentation names what there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from servemark import _loadgen
from servemark.benchmarks import catalogue
from servemark.cli.options import run_parser
from servemark.cli.serve_options import serve_parser
from servemark.errors import ServemarkError
from servemark.records import RecordFile
from servemark.zoo.catalogue import ZOO

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPTION = re.compile(r"(?<![\w-])(--?[A-Za-z][a-z-]*)")


def test_the_readme_has_every_option_and_no_other():
    documented = {word for line in README.splitlines() if line.startswith("| `-") for word in OPTION.findall(line)}
    actions = [*run_parser("x")._actions, *serve_parser("x")._actions]
    known = {word for action in actions for word in action.option_strings}
    assert documented >= known
    assert documented - known == set()


def test_the_readme_tells_each_option_once_in_the_order_of_the_help():
    table = README.split("\n## Options\n")[1].split("\n## ")[0].split("Parameters that")[0]
    told = [OPTION.findall(line.split(" | ")[0])[-1] for line in table.splitlines() if line.startswith("| `-")]
    assert told == [action.option_strings[-1] for action in run_parser("x")._actions if action.option_strings]


def test_the_readme_has_every_benchmark_and_model():
    for benchmark in catalogue().values():
        assert f"`./benchmark.py {benchmark.name}`" in README
    for model in ZOO:
        assert f"`{model.name}`" in README
        assert f"`{model.wire_name}`" in README


def test_the_readme_has_every_parameter_with_its_default():
    for benchmark in catalogue().values():
        for parameter in benchmark.parameters:
            (row,) = re.findall(rf"\| {benchmark.name} \| `{parameter.key}` \|.*\| (.*) \|", README)
            known = parameter.default if isinstance(parameter.default, tuple) else (parameter.default,)
            if known:  # of the others the page says in words what comes instead
                assert row == ",".join(map(str, known))
            assert row


def test_the_readme_has_every_column_of_the_records_and_every_name_of_theirs_exists():
    (told,) = re.findall(r"\nThe columns: (.*?)\n\n", README, re.DOTALL)
    names = set(re.findall(r"`(\w+)`", told))
    assert names == {name for name, _, _ in _loadgen.RECORD_COLUMNS}
    members = set(re.findall(r"\brecords\.(\w+)", README.split("### From Python")[1].split("\n## ")[0])) - {"bin"}
    assert members
    assert members <= {*dir(RecordFile), *RecordFile.__dataclass_fields__}


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_drawn_tree_of_errors_is_the_real_one():
    from servemark import errors

    drawn = re.findall(r"── (\w+Error)", errors.__doc__)
    real = {name for name, item in vars(errors).items() if isinstance(item, type) and issubclass(item, ServemarkError)}
    assert set(drawn) == real - {"ServemarkError"}
