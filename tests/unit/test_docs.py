"""The documentation names what there is, and nothing else."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from servemark import _loadgen, errors
from servemark.benchmarks import catalogue
from servemark.cli import SUBCOMMANDS
from servemark.cli.ab import parse_ab
from servemark.cli.calibrate import parse_calibrate
from servemark.cli.commands import NAME
from servemark.cli.commands import commands as cli_commands
from servemark.cli.options import parse_run, run_parser
from servemark.cli.other_tools import ELSEWHERE
from servemark.cli.report import report_parser
from servemark.cli.serve_options import parse_serve, serve_parser
from servemark.errors import ServemarkError
from servemark.records import RecordFile
from servemark.zoo.catalogue import ZOO

from ..pages import EXECUTED, FROM_TOP_TO_BOTTOM, NOT_HERE, PAGES, ROOT, commands, inline_commands

OPTION = re.compile(r"(?<![\w-])(--?[A-Za-z][a-z-]*)")


def _page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_readme_is_short():
    assert len(_page("README.md").splitlines()) <= 150


def test_the_pages_have_every_option_and_no_other():
    lines = [*_page("docs/reference/options.md").splitlines(), *_page("docs/reference/servers.md").splitlines()]
    documented = {word for line in lines if line.startswith("| `-") for word in OPTION.findall(line)}
    actions = [*run_parser("x", searches=True)._actions, *serve_parser("x")._actions]
    known = {word for action in actions for word in action.option_strings}
    assert documented >= known
    assert documented - known == set()


def test_the_page_of_options_tells_each_once_in_the_order_of_the_help():
    table = _page("docs/reference/options.md")
    told = [OPTION.findall(line.split(" | ")[0])[-1] for line in table.splitlines() if line.startswith("| `-")]
    assert told == [
        action.option_strings[-1] for action in run_parser("x", searches=True)._actions if action.option_strings
    ]


def test_the_pages_have_every_benchmark_and_model():
    for benchmark in catalogue().values():
        assert f"\n| `./benchmark.py {benchmark.name}` |" in _page("docs/reference/benchmarks.md")
    for model in ZOO:
        assert f"`{model.name}`" in _page("docs/reference/models.md")
        assert f"`{model.wire_name}`" in _page("docs/reference/models.md")


def test_the_page_of_benchmarks_has_every_parameter_with_its_default():
    page = _page("docs/reference/benchmarks.md")
    for benchmark in catalogue().values():
        for parameter in benchmark.parameters:
            (row,) = re.findall(rf"\| {benchmark.name} \| `{parameter.key}` \|.*\| (.*) \|", page)
            known = parameter.default if isinstance(parameter.default, tuple) else (parameter.default,)
            if known:  # of the others the page says in words what comes instead
                assert row == ",".join(map(str, known))
            assert row


def test_the_page_of_the_result_has_every_column_of_the_records_and_every_name_of_theirs_exists():
    page = _page("docs/reference/result.md")
    (told,) = re.findall(r"\nThe columns: (.*?)\n(?:\n|$)", page, re.DOTALL)
    names = set(re.findall(r"`(\w+)`", told))
    assert names == {name for name, _, _ in _loadgen.RECORD_COLUMNS}
    members = set(re.findall(r"\brecords\.(\w+)", page.split("\n## From Python\n")[1])) - {"bin"}
    assert members
    assert members <= {*dir(RecordFile), *RecordFile.__dataclass_fields__}


FENCED = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)


def _anchors(text: str) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them; the second of one name ends with "-1"."""
    names = [
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    ]
    return {
        name + (f"-{names[:place].count(name)}" if name in names[:place] else "") for place, name in enumerate(names)
    }


@pytest.mark.parametrize("page", sorted({*PAGES, "CHANGELOG.md", "SECURITY.md", "bench/PROOF.md", "bench/RESULTS.md"}))
def test_links_within_the_project_lead_somewhere(page):
    text = FENCED.sub("", _page(page))
    for target, anchor in re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)", text):
        there = (ROOT / page).parent / target if target else ROOT / page
        assert there.exists(), target
        if anchor:
            assert anchor in _anchors(there.read_text(encoding="utf-8")), f"{target}#{anchor}"


def test_anchors_are_told_as_github_makes_them():
    text = "# One\n\n## `--slo`, and *more*: [a link](x.md)\n\n## One\n\n```\n# no heading\n```\n"
    assert _anchors(text) == {"one", "--slo-and-more-a-link", "one-1"}


def test_the_drawn_tree_of_errors_is_the_real_one():
    drawn = re.findall(r"── (\w+Error)", errors.__doc__)
    real = {name for name, item in vars(errors).items() if isinstance(item, type) and issubclass(item, ServemarkError)}
    assert set(drawn) == real - {"ServemarkError"}


def test_every_word_of_the_vocabulary_has_a_home():
    """The words of docs/design.md are those of the code: the module or the folder beside each is there."""
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = design.split("\n## Words\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 20
    for word, _, where in rows:
        homes = re.findall(r"`([^`]+)`", where)
        assert homes, word
        for home in homes:
            assert [place for root in (ROOT, ROOT / "src" / "servemark") for place in root.glob(home)], (
                f"{word}: {home}"
            )


def test_every_room_is_in_the_table_of_rooms_and_every_one_there_is():
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = design.split("\n| room | what it knows |")[1].split("\n\n")[0]
    named = {name.rstrip("/") for line in table.splitlines() for name in re.findall(r"`([^`]+)`", line.split("|")[1])}
    source = ROOT / "src" / "servemark"
    files = {path.name for path in source.glob("*.py") if not path.name.startswith("__")}
    folders = {path.parent.name for path in source.glob("*/__init__.py")}
    crates = {f"crates/{path.parent.name}" for path in ROOT.glob("crates/*/Cargo.toml")}
    assert named == files | folders | crates


def test_the_files_that_the_design_names_are_there():
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([\w/.-]+\.(?:py|rs))`", design):
        patterns = (name, f"crates/*/src/{name}", f"src/servemark/{name}", f"src/servemark/**/{name}")
        assert [place for pattern in patterns for place in ROOT.glob(pattern)], name


def test_every_command_of_every_page_is_executed_or_has_its_reason():
    there = {command.text for page in PAGES if page not in FROM_TOP_TO_BOTTOM for command in commands(page)}
    reasons = {text: [begins for begins in NOT_HERE if text.startswith(begins)] for text in there}
    assert {text for text in there if text not in EXECUTED and not reasons[text]} == set()
    assert EXECUTED.keys() - there == set(), "no page has it any more"
    assert NOT_HERE.keys() - {begins for found in reasons.values() for begins in found} == set()
    assert all(NOT_HERE.values())
    assert min(len(commands(page)) for page in FROM_TOP_TO_BOTTOM) >= 7


def test_commands_are_told_from_what_they_print():
    texts = [command.text for page in PAGES for command in commands(page)]
    assert "./benchmark.py latency --rate 20" in texts, "without the remark behind it"
    assert "./benchmark.py latency -m squeezenet -l 20 --expect json:0.label" in texts, "without its prompt"
    assert not any("can run; 1 warning" in text for text in texts)


#: What stands in the pages for something of the reader's, and words without which a command says too little.
STANDS = {
    "--source DIR": "--source checkout",
    "-d IMAGE": "-d image:1",
    "HOST:PORT": "h:8080",
    "{imageFilePath}": "cat.jpg",
    "{modelUrl}": "https://h/m.model",
    "http": "http --url http://h/",
}


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A folder with the files that those commands name."""
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8")
    for part in ("setup.py", "mms/__init__.py", "mms/model_server.py", "frontend/gradlew"):
        path = tmp_path / "checkout" / part
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_the_text_is_understood(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for text in inline_commands(page):
        program, first, *words = shlex.split(text)
        if program == "make":
            if text != "make openssl":  # the packages of that name
                assert first in targets, text
        elif first == "serve":
            parse_serve("serve", words)
        elif first not in (*SUBCOMMANDS, "--set-up-only"):
            read = " ".join([first, *words])
            for stands, instead in STANDS.items():
                read = re.sub(rf"(?<!\S){re.escape(stands)}(?!\S)", instead, read)
            parse_run("run", read.split())


#: Tools whose commands name a model server, and not a URL.
OF_SERVERS = {"perf_analyzer", "AIPerf", "guidellm"}


def _shown_examples() -> list[tuple[str, ...]]:
    """The commands below "examples:" in the help of every command, as words without the program's name."""
    found = []
    for command in cli_commands():
        shown = re.search(r"^examples:\n((?: .*\n)+)", command.parser.epilog or "", re.MULTILINE)
        lines = shown[1].splitlines() if shown else []
        found += [re.split(r" {2,}| \| ", line.strip())[0] for line in lines if not line.startswith("   ")]
    assert all(line.startswith(f"{NAME} ") for line in found)
    return [tuple(shlex.split(line)[1:]) for line in found]


def _understand(words: Sequence[str]) -> None:
    """Parse a command line as the command does that it begins with, and check it as far as it needs nothing else."""
    name, *rest = words
    parsers = {
        "run": parse_run,
        "capacity": partial(parse_run, searches=True),
        "serve": parse_serve,
        "ab": parse_ab,
        "calibrate": parse_calibrate,
    }
    if name in parsers:
        parsers[name](f"{NAME} {name}", rest)
    else:
        named = (name, "list") if name == "history" else (name,)  # which is that without more words
        (parser,) = (command.parser for command in cli_commands() if command.words == named)
        parser.parse_args(rest)


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("example", _shown_examples(), ids=" ".join)
def test_every_example_that_help_shows_is_understood(example):
    words = ["https://h/m.model" if word == "URL" else word for word in example]
    _understand(words)


def test_help_of_each_command_that_measures_has_examples():
    shown = {words[0] for words in _shown_examples()}
    assert shown >= {"run", "capacity", "serve", "ab", "calibrate", "compare", "report"}


@pytest.mark.parametrize("searches", [False, True], ids=["run", "capacity"])
def test_help_has_every_exit_status_and_names_the_objective(searches):
    epilog = run_parser("x", searches=searches).epilog or ""
    told = epilog.partition("exit status:\n")[2]
    known = {status for name, status in vars(errors).items() if name.startswith("EXIT_")}
    assert {int(status) for status in re.findall(r"\b\d+\b", told)} == known
    assert "objective" in told
    assert max(map(len, epilog.splitlines())) <= 80


def _equals() -> dict[str, list[str]]:
    """By the tool that a section of the page is for: what stands in the last column of its table as code."""
    sections = _page("docs/coming-from.md").split("\n## ")[1:]
    rows = {section.splitlines()[0]: re.findall(r"^\| .* \| (.+) \|$", section, re.MULTILINE) for section in sections}
    return {tool: [code for row in found for code in re.findall(r"`([^`]+)`", row)] for tool, found in rows.items()}


def test_every_tool_that_people_come_from_has_its_section():
    tools = ["The MMS harness", "JMeter", "wrk and wrk2", "vegeta", "k6", "perf_analyzer", "AIPerf", "guidellm"]
    assert list(_equals()) == tools
    for section in _page("docs/coming-from.md").split("\n## ")[1:]:
        assert "\n- Here and not there: " in section
        assert "\n- Not here: " in section


@pytest.mark.parametrize("tool", list(_equals()))
def test_every_equal_of_another_tools_command_is_understood(tool, beside, monkeypatch):
    monkeypatch.setenv("TOKEN", "mine")
    for name in ("FILE", "requests.jsonl", "times.txt"):
        Path(name).touch()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("SOCKET")
    listening.listen()
    known = {*catalogue(), *SUBCOMMANDS}
    read = 0
    for code in _equals()[tool]:
        words = [word.replace("URL", "http://h/").replace("DIR", "checkout") for word in shlex.split(code)]
        if words[0] == "capacity":
            parse_run("capacity", words[1:], searches=True)
        elif words[0] == "report":
            report_parser("report").parse_args(words[1:])
        elif words[0] in known:
            parse_run("run", words)
        elif words[0].startswith("-"):
            url = "https://h/" if words[0] in ("--insecure", "--ca-file", "--client-cert") else "http://h/"
            parse_run("run", [*(["latency", "--server", "h"] if tool in OF_SERVERS else ["http", url]), *words])
        else:
            assert words in (["requests.jtl"], ["summary.csv"], ["report.html"]), code
            continue
        read += 1
    listening.close()
    assert read >= 5


def test_every_name_of_a_figure_on_the_page_of_other_tools_is_what_the_summary_says():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src/servemark/report").glob("*.py")]
    said = {name for source in sources for name in re.findall(r'"([a-z ]+)"', source)}
    named = set(re.findall(r"\*\*([^*]+)\*\*", _page("docs/coming-from.md")))
    assert {"first token", "per token", "in the server"} <= named
    assert named - said == set()


def test_what_another_tool_calls_an_option_is_none_of_ours_and_what_is_named_instead_is():
    ours = {flag for action in run_parser("x", searches=True)._actions for flag in action.option_strings}
    assert ELSEWHERE.keys() & ours == set()
    named = {flag for told in ELSEWHERE.values() for flag in re.findall(r"--[a-z][a-z-]+", told.partition(" is ")[2])}
    assert named - ours == set()
    assert {"--threads", "--rate", "--duration"} <= named


def test_the_script_that_tells_sizes_and_licences_runs(tmp_path):
    (script,) = [command.text for command in commands("docs/dependencies.md") if ".venv/bin/python -" in command.text]
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    ran = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch(
        r"(?:(?:numpy|httpx|rich|jinja2|vl-convert-python|psutil|certifi) [\w.]+ \d+\.\d MB \S.*\n){7}", ran.stdout
    ), ran.stdout
