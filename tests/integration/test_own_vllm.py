"""``--server-kind vllm``: the user's vllm is started with a model's folder and goes with all that it started.

A few lines of Python stand in for it here; the real one is measured in ``make test-servers``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil
import pytest

from servemark.cli import main
from servemark.cli.serve_options import parse_serve

from ..caches import fresh_cache
from ..validity import status_but_for_the_machine

pytestmark = pytest.mark.seconds

#: Answers as vLLM does, with as many tokens as are asked for, and has an engine in a process that has lost its
#: variables and does not end when it is asked to. It writes down how it was called.
VLLM = """#!{python}
import http.server, json, os, subprocess, sys, time
words = sys.argv[1:]
given = dict(zip(words[2::2], words[3::2]))
ignores = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
engine = subprocess.Popen([sys.executable, "-c", ignores], env={{}}, stdout=subprocess.PIPE)
engine.stdout.readline()
with open({called!r}, "w") as file:
    json.dump({{"words": words, "environ": dict(os.environ), "pids": [os.getpid(), engine.pid]}}, file)

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(json.dumps({{"version": "1.2.3"}} if self.path == "/version" else {{}}).encode())

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        count = asked["max_tokens"]
        told = [{{"choices": [{{"index": 0, "delta": {{"content": "word "}}}}]}}] * count
        told.append({{"choices": [{{"index": 0, "delta": {{}}, "finish_reason": "length"}}]}})
        told.append({{"choices": [], "usage": {{"prompt_tokens": 1, "completion_tokens": count}}}})
        self.answer(b"".join(b"data: %s\\n\\n" % json.dumps(one).encode() for one in told) + b"data: [DONE]\\n\\n")

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer((given["--host"], int(given["--port"])), Handler).serve_forever()
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a model; the cache is a fresh one, and PATH a folder without vllm."""
    monkeypatch.setenv("SERVEMARK_CACHE", str(fresh_cache(tmp_path / "cache", ())))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for folder in ("bin", "tiny"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    return tmp_path / "tiny"


def have_vllm(folder: Path, program: str = VLLM) -> Path:
    """Put `program` on PATH, as vllm; where it writes down how it was called."""
    program_file, called = folder / "bin" / "vllm", folder / "called.json"
    program_file.write_text(program.format(python=sys.executable, called=str(called)))
    program_file.chmod(0o755)
    return called


def run(model: Path, line: str = "") -> tuple[int, Path]:
    out = model.parent / "out"
    words = ["--server-kind", "vllm", "--model-repository", str(model), "--no-report", "--no-history", "-o", str(out)]
    return main(["run", "latency", "-l", "5", "--output-tokens", "4", *words, *line.split()]), out


@pytest.mark.parametrize(("named", "called"), [("", "tiny"), ("-m some/name", "some/name")])
def test_the_users_vllm_is_measured_and_goes_with_all_that_it_started(
    model: Path, monkeypatch: pytest.MonkeyPatch, named: str, called: str
) -> None:
    own = {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    (model / "vllm.yaml").write_text("dtype: float32\n")
    told = have_vllm(model.parent)
    status, out = run(model, named)
    result = json.loads((out / "result.json").read_text())
    assert status_but_for_the_machine(status, result) == 0
    server, step = result["server"], result["benchmarks"][0]["steps"][0]
    assert (server["product"], server["version"], server["launcher"]) == ("vLLM", "1.2.3", "managed")
    assert (step["succeeded"], step["tokens"]["output_tokens"]["count"]) == (5, 20)
    asked = json.loads(told.read_text())
    at = ["--host", "127.0.0.1", "--port", server["url"].rpartition(":")[2], "--disable-uvicorn-access-log"]
    assert asked["words"] == [
        *("serve", str(model), "--served-model-name", called, "--config", str(model / "vllm.yaml")),
        *at,
    ]
    assert asked["environ"].items() >= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", **own}.items()
    assert [pid for pid in asked["pids"] if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"] == []


def test_where_there_is_no_vllm_it_is_said_how_it_is_installed(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = run(model)
    assert status == 4
    said = capsys.readouterr().err
    assert "there is no vllm on PATH: it is never installed for you; install it (pip install vllm" in said


def test_a_vllm_whose_python_is_gone_is_not_said_to_be_ours_to_install(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    have_vllm(model.parent, "#!/nowhere/python\n")
    status, _ = run(model)
    assert status == 4
    assert "vllm: No such file or directory; install it (pip install vllm" in capsys.readouterr().err


def test_the_last_lines_of_one_that_does_not_come_up_are_shown(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    have_vllm(model.parent, "#!{python}\nprint('loading')\nraise SystemExit('no kernel for this CPU')")
    status, _ = run(model)
    assert status == 4
    said = capsys.readouterr().err
    assert "the server ended while it was starting: exit status 1, no kernel for this CPU" in said
    assert "loading\n" in said


def test_a_folder_without_a_model_is_refused_before_vllm_is_started(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called = have_vllm(model.parent)
    (model / "config.json").unlink()
    status, _ = run(model)
    assert status == 2
    said = capsys.readouterr().err
    assert f"there is no model in {model}: it has no config.json; give --model-repository the folder with the" in said
    assert not called.exists()


def test_a_vllm_that_is_kept_serves_its_model_under_any_name(model: Path) -> None:
    words = ["--server-kind", "vllm", "--model-repository", str(model)]
    assert parse_serve("servemark serve", [*words, "-m", "some/name"]).model == "some/name"
    assert parse_serve("servemark serve", words).model is None
