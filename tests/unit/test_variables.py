"""What the programs that we start inherit: nothing that would steer them by accident, and all that they need."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest

from servemark.environments import mms
from servemark.environments.commands import finish
from servemark.environments.variables import JVM_OPTIONS, inherited, locale_for, passed_on
from servemark.result import schema_text

#: Each is read by what we start: MMS's start script, Java, Python, the runtimes, JMeter, git, pip and uv.
_STEERING = (
    "MMS_CONFIG_FILE TS_CONFIG_FILE LOG_LOCATION METRICS_LOCATION JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS "
    "CLASSPATH LOG4J_CONFIGURATION_FILE PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONOPTIMIZE VIRTUAL_ENV OMP_NUM_THREADS "
    "OMP_PROC_BIND KMP_AFFINITY MKL_NUM_THREADS OPENBLAS_NUM_THREADS MXNET_ENGINE_TYPE MXNET_CPU_WORKER_NTHREADS "
    "JVM_ARGS HEAP JMETER_OPTS GIT_DIR GIT_WORK_TREE PIP_TARGET PIP_PREFIX PIP_USER PIP_PYTHON PIP_CONSTRAINT "
    "PIP_NO_BINARY UV_TARGET UV_PYTHON UV_CONSTRAINT UV_SYSTEM_PYTHON"
)
_NEEDED = (
    "HOME PATH USER LANG LC_ALL TZ TMPDIR HTTP_PROXY https_proxy NO_PROXY ALL_PROXY SSL_CERT_FILE SSL_CERT_DIR "
    "REQUESTS_CA_BUNDLE CURL_CA_BUNDLE CUDA_VISIBLE_DEVICES LD_LIBRARY_PATH XDG_CACHE_HOME SERVEMARK_CACHE "
    "SERVEMARK_WORKER_THREADS DOCKER_HOST MAVEN_OPTS GRADLE_OPTS CARGO_HTTP_CAINFO RUSTFLAGS CC JAVA_HOME "
    "PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_NO_INDEX PIP_CERT PIP_PROXY PIP_CONFIG_FILE PIP_CACHE_DIR "
    "PIP_TRUSTED_HOST UV_INDEX_URL UV_DEFAULT_INDEX UV_INDEX_STRATEGY UV_NATIVE_TLS UV_CACHE_DIR UV_HTTP_TIMEOUT "
    "A_HANDLERS_OWN AWS_REGION"
)
STEERING, NEEDED = _STEERING.split(), _NEEDED.split()


def test_what_steers_is_left_out_and_what_is_needed_stays() -> None:
    given = dict.fromkeys([*STEERING, *NEEDED], "x")
    assert sorted(inherited(given)) == sorted(NEEDED)
    assert set(inherited(given, keep=JVM_OPTIONS)) == {*NEEDED, *JVM_OPTIONS}


def test_a_command_is_started_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*STEERING, "A_HANDLERS_OWN"):
        monkeypatch.setenv(name, "accident")
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    seen = json.loads(finish([sys.executable, "-I", "-c", show], timeout_s=20, environ={"OMP_NUM_THREADS": "3"}).output)
    assert {name for name, value in seen.items() if value == "accident"} == {"A_HANDLERS_OWN"}
    assert seen["OMP_NUM_THREADS"] == "3"
    kept = finish([sys.executable, "-I", "-c", show], timeout_s=20, keep=JVM_OPTIONS)
    assert set(JVM_OPTIONS) <= set(json.loads(kept.output))


def test_an_installer_goes_by_the_users_index_and_by_none_of_the_users_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "$PIP_TARGET$PYTHONPATH,$UV_INDEX_URL,$HTTPS_PROXY,$PIP_USER" > "$SAID"\n')
    uv.chmod(0o755)
    set_to = {"PIP_TARGET": "/there", "PYTHONPATH": "/there", "UV_INDEX_URL": "index", "HTTPS_PROXY": "proxy"}
    for name, value in {**set_to, "PIP_USER": "1", "SAID": str(tmp_path / "said"), "PATH": f"{tmp_path}:/bin"}.items():
        monkeypatch.setenv(name, value)
    mms.install_packages(Path("python"), ["package"])
    assert (tmp_path / "said").read_text() == ",index,proxy,0\n"


def test_the_result_has_what_was_passed_on_without_what_may_be_secret() -> None:
    given = {"AWS_SECRET_ACCESS_KEY": "s3cr3t", "LANG": "C", "OMP_NUM_THREADS": "8", "HTTPS_PROXY": "http://u:s3cr3t@h"}
    told = passed_on(given)
    assert told == {
        "inherited": {"AWS_SECRET_ACCESS_KEY": None, "HTTPS_PROXY": None, "LANG": "C"},
        "left_out": ["OMP_NUM_THREADS"],
    }
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator({**schema["$defs"]["environ"], "$defs": schema["$defs"]}).validate(told)
    assert passed_on({"_JAVA_OPTIONS": "-Xmx1g"}, keep=JVM_OPTIONS)["inherited"] == {"_JAVA_OPTIONS": "-Xmx1g"}


@pytest.mark.parametrize(
    ("folder", "environ", "more"),
    [
        ("/home/jörg", {}, {"LC_ALL": "C.UTF-8"}),
        ("/home/jörg", {"LANG": "C"}, {"LC_ALL": "C.UTF-8"}),
        ("/home/jörg", {"LANG": "de_DE.UTF-8", "LC_ALL": "POSIX"}, {"LC_ALL": "C.UTF-8"}),
        ("/home/jörg", {"LANG": "de_DE.UTF-8"}, {}),
        ("/home/jörg", {"LC_CTYPE": "en_US.utf8"}, {}),
        ("/home/joerg", {"LANG": "C"}, {}),
    ],
)
def test_java_can_read_folders_whose_letters_are_not_asciis(
    folder: str, environ: dict[str, str], more: dict[str, str]
) -> None:
    assert locale_for(Path(folder), environ) == more
