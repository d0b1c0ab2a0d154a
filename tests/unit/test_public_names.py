"""The public surface is what ``__all__`` says, importable, and nothing heavy is loaded before it is used."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import servemark
from servemark import errors


def test_every_public_name_can_be_had_and_is_documented():
    assert sorted(servemark.__all__) == servemark.__all__
    for name in servemark.__all__:
        assert getattr(servemark, name).__doc__


def test_what_is_public_is_seen_before_it_is_loaded():
    code = "import servemark, sys; names = dir(servemark); print('numpy' in sys.modules, *names)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, *names = done.stdout.split()
    assert loaded == "False"
    assert set(servemark.__all__) <= set(names)
    assert {"__name__", "__doc__"} <= set(names)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = servemark.nothing


def test_every_error_is_public_and_has_an_exit_status():
    tree = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, Exception)]
    assert {item.__name__ for item in tree} <= set(servemark.__all__)
    for item in tree:
        if item is not errors.ServemarkError:
            assert item.exit_status in {2, 4, 70}


def test_the_root_of_the_tree_is_never_raised_bare():
    with pytest.raises(TypeError):
        errors.ServemarkError("x")


def test_an_error_reads_as_one_line():
    error = errors.UsageError("cannot do it", cause="no\nway", next_step="try another")
    assert str(error) == "cannot do it: no way; try another"


@pytest.mark.seconds
@pytest.mark.parametrize(
    "code",
    [
        "from servemark.cli.options import parse_run; parse_run('x', ['latency'])",
        "from servemark.cli.completion import SHELLS, script; [script(shell) for shell in SHELLS]",
        "from servemark.cli.manual import manual_page; manual_page()",
        "from servemark.doctor import diagnose; diagnose()",
        "from servemark.environments import jmeter",  # install_dependencies.sh assembles JMeter with it
    ],
    ids=["help", "completion", "the manual page", "the doctor", "assembling JMeter"],
)
def test_what_has_to_work_before_anything_is_installed_imports_nothing_heavy(code):
    loaded = "sorted({'numpy', 'rich', 'httpx', 'psutil', 'servemark._loadgen'} & set(sys.modules))"
    code = f"import sys; {code}; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.seconds
def test_what_the_command_computes_with_has_no_threads_of_its_own(monkeypatch):
    """They would look for work, on CPUs that the server needs. What servers inherit stays as the user has it."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    code = (
        "import os; from servemark.cli import main; main(['--version']); import numpy; "
        "print(len(os.listdir('/proc/self/task')), 'OPENBLAS_NUM_THREADS' in os.environ)"
    )
    environ = dict(os.environ)  # without what `main` of a test before it has put beside it
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1 False"
