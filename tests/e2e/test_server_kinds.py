"""``--server-kind``: a server of each kind is started, measured and gone, with the zoo's models or the user's."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from .conftest import Command

pytestmark = pytest.mark.slow

REPOSITORIES = Path(__file__).parents[1] / "contract" / "repositories"


@pytest.mark.parametrize(
    ("kind", "product", "version"),
    [
        ("triton", "Triton Inference Server", "2.51.0"),
        ("mlserver", "MLServer", "1.7.1"),
        ("torchserve", "TorchServe", "0.12.0"),
    ],
)
def test_a_model_of_the_zoo_is_measured_and_nothing_is_left(
    command: Command, kind: str, product: str, version: str
) -> None:
    run = command.run(f"latency --server-kind {kind} -m noop -l 20")
    assert run.status == 0, run.stderr
    server = run.result["server"]
    assert (server["product"], server["version"], server["launcher"]) == (product, version, "managed")
    assert run.step["succeeded"] == 20
    telemetry = run.benchmark["runs"][0]["telemetry"]
    assert telemetry["server_memory_before_mib"] > 10
    assert (run.folder / "server" / "server.log").exists()


def test_a_triton_of_ours_loads_a_model_many_times(command: Command) -> None:
    run = command.run("load --server-kind triton -m noop --options count 2")
    assert run.status == 0, run.stderr
    assert run.benchmark["steps"][0]["succeeded"] == 2
    assert len(run.benchmark["analysis"]["registrations"]["models"]) == 2


def test_a_server_that_is_kept_serves_the_users_models_until_ctrl_c(command: Command) -> None:
    line = f"--server-kind triton --model-repository {REPOSITORIES / 'triton'} --listen 127.0.0.2"
    with command.started(line, "serve") as serving:
        serving.wait_for_line("serving until Ctrl-C")
        url = next(word for word in serving.out.read_text().split() if word.startswith("http://127.0.0.2:"))
        measured = command.main("run", "latency", "-m", "linear", "-l", "5", "--server", url, "--json", "-")
        assert '"launcher": "running"' in measured.stdout, measured.stderr
        serving.interrupt(signal.SIGINT)
        assert serving.process.wait(60) == 0
    command.assert_nothing_left()


def test_a_repository_without_a_model_is_refused_before_anything_is_started(command: Command) -> None:
    run = command.run("latency --server-kind triton --model-repository .")
    assert run.status == 2
    assert "there is no model in the repository ." in run.error_line


@pytest.mark.parametrize(("text", "said"), [("{", "is no JSON"), ("[]", "holds no settings")])
def test_settings_of_a_repository_that_cannot_be_read_are_refused(
    command: Command, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "mine" / "m").mkdir(parents=True)
    (tmp_path / "mine" / "m" / "model-settings.json").write_text('{"name": "m", "implementation": "m.M"}')
    (tmp_path / "mine" / "settings.json").write_text(text)
    run = command.run(f"latency --server-kind mlserver --model-repository {tmp_path / 'mine'} -m m")
    assert run.status == 2
    assert f"the settings.json of the repository {said}" in run.error_line
