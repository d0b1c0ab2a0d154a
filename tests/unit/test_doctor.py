"""``servemark doctor``: its answers in both forms, and the checks whose faults no test can cause.

Frequencies, steal, quotas and clocks are read from a tree that is written here as the kernel writes its own; what a
test can break for real is broken in tests/integration/test_doctor_faults.py.
"""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from pathlib import Path

import jsonschema
import pytest

from servemark import doctor
from servemark.cli import doctor as command
from servemark.cli import main
from servemark.doctor import CHECKS, Check, Diagnosis, Finding, diagnose, machine, main_job_can_run, programs, room
from servemark.errors import SetupError
from servemark.machine import cgroups, counters
from servemark.machine.gpus import Gpus

from ..web_server import sending, web_server

SCHEMA = json.loads(Path(doctor.__file__).parents[1].joinpath("doctor.schema.json").read_text(encoding="utf-8"))
CPUS = 2


@pytest.fixture(autouse=True)
def two_cpus(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(CPUS)), raising=False)


@pytest.fixture
def write(tmp_path):
    """Write a file of the tree, in which this process is in the control group /own of version 2."""

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")

    write("proc/self/cgroup", "0::/slice/own\n")
    write("proc/meminfo", "MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n")
    (tmp_path / "sys" / "fs" / "cgroup" / "slice" / "own").mkdir(parents=True)
    return write


def _finding(status: str, found: str = "something") -> Finding:
    return Finding(status, found, "do this" if status in ("warning", "failure") else "")


def _diagnosis(status: str, found: str = "something") -> Diagnosis:
    return Diagnosis(Check("python", "Python", "it matters", lambda: _finding(status)), _finding(status, found))


@pytest.mark.parametrize(
    ("statuses", "status"),
    [(["ok", "not_applicable"], 0), (["ok", "warning"], 0), (["warning", "failure"], 4)],
)
def test_only_a_failure_says_that_the_main_job_cannot_run(monkeypatch, capsys, statuses, status):
    monkeypatch.setattr(command, "diagnose", lambda: [_diagnosis(each) for each in statuses])
    assert main(["doctor"]) == status
    assert f"latency {'cannot' if status else 'can'} run" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == status
    assert json.loads(capsys.readouterr().out)["main_job_can_run"] is (status == 0)


def test_a_fix_stands_beside_every_warning_and_failure_and_beside_nothing_else():
    for status, fix in (("warning", ""), ("failure", ""), ("ok", "x"), ("not_applicable", "x")):
        with pytest.raises(ValueError, match="have a fix"):
            Finding(status, "x", fix)


def test_the_schema_and_the_issues_list_name_the_same_checks():
    names = [check.name for check in CHECKS]
    assert SCHEMA["properties"]["checks"]["items"]["properties"]["name"]["enum"] == names
    asked_for = {"python", "rust", "java", "cache", "ports", "file_descriptors", "memory", "cpu_governor", "cpu_steal"}
    assert set(names) >= asked_for | {"cpu_quota", "docker", "gpu", "jmeter", "realtime", "clock"}


def test_the_diagnosis_of_this_machine_follows_the_schema_and_fits_80_columns(capsys):
    status = main(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert len(document["checks"]) == len(CHECKS)
    assert (status == 0) is document["main_job_can_run"]
    main(["doctor"])
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    for check in CHECKS:
        assert f" {check.title} " in text


def test_the_schema_refuses_a_failure_without_a_fix():
    document = command.document([_diagnosis("failure")])
    jsonschema.validate(document, SCHEMA)
    document["checks"][0]["fix"] = None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


def test_what_was_found_fits_80_columns_and_does_not_steer_the_terminal(monkeypatch, capsys):
    found = "/very/long" * 20 + "\x1b[31m\r\n" + "words " * 30
    monkeypatch.setattr(command, "diagnose", lambda: [_diagnosis("failure", found)])
    main(["doctor"])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert text.splitlines()[-4:-2] == [" " * 29 + "why: it matters", " " * 29 + "fix: do this"]


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_path_and_a_command_stay_in_one_piece_and_lines_as_wide_as_the_terminal(monkeypatch, capsys, width):
    words = ["/home/somebody/.cache/servemark/environments/mms", *["words"] * 30]
    monkeypatch.setattr(command, "diagnose", lambda: [_diagnosis("failure", " ".join(words))])
    monkeypatch.setenv("COLUMNS", str(width))
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert width - 10 < max(map(len, lines)) <= width
    assert words[0] in " ".join(lines).split()


def test_a_terminal_gets_colours_unless_it_wants_none(monkeypatch, capsys):
    monkeypatch.setattr(command, "diagnose", lambda: [_diagnosis("failure")])
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    main(["doctor"])
    text = capsys.readouterr().out
    assert "\x1b[1;31mFAILURE" in text
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in text.splitlines()) <= 80
    monkeypatch.setenv("NO_COLOR", "1")
    main(["doctor"])
    assert "\x1b" not in capsys.readouterr().out


def test_help_and_usage_errors(capsys):
    with pytest.raises(SystemExit) as end:
        main(["doctor", "-h"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "--json" in text
    assert "exit status" in text
    assert max(map(len, text.splitlines())) <= 80
    assert main(["doctor", "--yaml"]) == 2
    assert capsys.readouterr().err == "servemark: error: unrecognized arguments: --yaml; see servemark doctor -h\n"


def test_a_check_that_fails_itself_keeps_no_other_from_its_answer():
    def broken(error: Exception) -> Check:
        def examine() -> Finding:
            raise error

        return Check("python", "Python", "it matters", examine)

    errors = (SetupError("no home", next_step="set HOME"), SetupError("no home"), ValueError("what is this?"))
    found = diagnose([*map(broken, errors), Check("rust", "Rust", "it matters", lambda: _finding("ok"))])
    assert [each.finding.status for each in found] == ["warning", "warning", "warning", "ok"]
    assert (found[0].finding.found, found[0].finding.fix) == ("no home", "set HOME")
    assert found[2].finding.found == "this could not be looked at: ValueError: what is this?"


def test_without_a_home_only_the_cache_fails(monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SERVEMARK_CACHE", "~nobody-of-that-name/cache")
    checks = [check for check in CHECKS if check.name != "cpu_steal"]  # which takes a second
    found = {each.check.name: each.finding for each in diagnose(checks)}
    assert found["cache"].status == "failure"
    assert found["cache"].found.startswith("there is no home directory")
    assert found["jmeter"].status == "warning"
    assert not [name for name, finding in found.items() if "could not be looked at" in finding.found]


@pytest.mark.parametrize(
    ("answer", "status", "found"),
    [
        (sending(b"abc"), "warning", "the first run downloads a Rust of 800 MB"),
        (sending(b"", status=404), "warning", "the first run downloads a Rust of 800 MB"),
        (sending(b"", status=403), "failure", "and none can be downloaded: .* answers 403"),
        (None, "failure", "and none can be downloaded: .*refused"),
    ],
)
def test_the_doctor_knows_whether_rust_can_be_had(monkeypatch, tmp_path, answer, status, found):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "is_set_up", lambda: False)
    with web_server({"/dist/channel-rust-stable.toml.sha256": answer} if answer else {}) as url:
        monkeypatch.setenv("RUSTUP_DIST_SERVER", url if answer else "http://127.0.0.1:1")
        finding = programs.rust()
    assert finding.status == status
    assert re.search(found, finding.found)
    assert "./install_dependencies.sh" in finding.fix


def test_a_company_that_opens_every_connection_is_told_from_no_network(monkeypatch, tmp_path):
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=company"]
    words = ["openssl", "req", "-x509", *kind, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(programs, "is_set_up", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with web_server({}, (certificate, key)) as url:
        monkeypatch.setenv("RUSTUP_DIST_SERVER", url)
        finding = programs.rust()
    assert finding.status == "failure"
    assert "CERTIFICATE_VERIFY_FAILED" in finding.found
    assert "PIP_CERT=FILE" in finding.fix


def test_a_home_that_is_not_there_is_said_and_nobody_is_to_own_the_system(monkeypatch, tmp_path):
    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(room.tempfile, "TemporaryDirectory", refuse)
    home = f"/home-{uuid.uuid4().hex}"  # which nothing else has made
    monkeypatch.setenv("HOME", f"{home}/of/nobody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("SERVEMARK_CACHE", raising=False)
    finding = room.cache()
    assert finding.status == "failure"
    assert finding.found.endswith(f"cannot write in /: Permission denied, and there is no {home}")
    assert finding.fix == "set SERVEMARK_CACHE to a folder of yours"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert room.cache().fix.startswith(f'sudo chown "$USER" {tmp_path}, or set')


def test_the_checks_of_this_machine_are_run_in_their_order():
    checks = [Check(name, name, "why", lambda: _finding("ok")) for name in "abc"]
    assert [diagnosis.check.name for diagnosis in diagnose(checks)] == ["a", "b", "c"]
    assert main_job_can_run(diagnose(checks))


@pytest.mark.parametrize(
    ("governors", "status", "found"),
    [
        ([], "not_applicable", "cannot set frequencies"),
        (["performance", "performance"], "ok", "performance on 2 CPUs"),
        (["performance", "powersave"], "warning", "performance, powersave on 2 CPUs"),
    ],
)
def test_the_governor(tmp_path, write, governors, status, found):
    for index, name in enumerate(governors):
        write(f"sys/devices/system/cpu/cpu{index}/cpufreq/scaling_governor", f"{name}\n")
    finding = machine.governor(tmp_path)
    assert (finding.status, found in finding.found) == (status, True)
    assert finding.fix.startswith("echo performance | sudo tee /sys/") is (status == "warning")


@pytest.mark.parametrize(("stolen", "status"), [(5, "ok"), (11, "warning")])
def test_steal_above_one_percent_is_a_warning(tmp_path, write, stolen, status):
    write("proc/stat", f"cpu  {1000 - stolen} 0 0 0 0 0 0 {stolen} 900 900\ncpu0 1\n")
    finding = machine.steal(tmp_path, watch_s=0.0)
    assert finding.status == status
    assert f"{stolen / 1000:.1%} since the start" in finding.found


def test_steal_is_watched_for_a_while(tmp_path, write, monkeypatch):
    write("proc/stat", "cpu  1000000 0 0 0 0 0 0 0 0 0\n")
    monkeypatch.setattr(
        "time.sleep", lambda _: write("proc/stat", "cpu  1000050 0 0 0 0 0 0 50 0 0\n")
    )  # half of what passed meanwhile
    finding = machine.steal(tmp_path)
    assert finding.status == "warning"
    assert finding.found.startswith("50.0% in 1 s, 0.0% since")


def test_where_steal_is_not_counted_the_check_does_not_apply(tmp_path):
    assert machine.steal(tmp_path).status == "not_applicable"


def test_the_quota_that_held_a_run_back_is_the_one_that_held_its_group_back_for_longest_meanwhile(tmp_path, write):
    def counted(own_us, times, of_all_us):
        write("sys/fs/cgroup/slice/own/cpu.stat", f"nr_throttled {times}\nthrottled_usec {own_us}\n")
        write("sys/fs/cgroup/slice/cpu.stat", f"nr_throttled 9000\nthrottled_usec {of_all_us}\n")
        return cgroups.throttled(tmp_path)

    before = counted(1_000_000, 20, 900_000_000)
    assert counters.most_throttled(before, counted(3_000_000, 60, 900_000_000)) == (2.0, 40)
    assert counters.most_throttled({}, {}) == (None, 0)


def test_a_quota_of_version_2_counts_wherever_it_is_set(tmp_path, write):
    write("sys/fs/cgroup/slice/own/cpu.max", "max 100000\n")
    assert machine.quota(tmp_path) == Finding("ok", "2 CPUs, no quota")
    write("sys/fs/cgroup/slice/cpu.max", "150000 100000\n")
    write("sys/fs/cgroup/slice/cpu.stat", "usage_usec 5\nnr_throttled 7\n")
    finding = machine.quota(tmp_path)
    assert finding.status == "warning"
    assert finding.found == "1.5 CPUs' worth of time on 2 CPUs; throttled 7 times so far"
    write("sys/fs/cgroup/slice/cpu.max", "200000 100000\n")
    assert machine.quota(tmp_path).status == "ok"


def test_a_quota_of_version_1_counts_too(tmp_path, write):
    write("proc/self/cgroup", "2:cpu,cpuacct:/own\n1:memory:/other\n")
    write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert machine.quota(tmp_path).status == "ok"
    write("sys/fs/cgroup/cpu,cpuacct/own/cpu.cfs_quota_us", "50000\n")
    write("sys/fs/cgroup/cpu,cpuacct/own/cpu.cfs_period_us", "100000\n")
    assert machine.quota(tmp_path).found.startswith("0.5 CPUs' worth of time on 2 CPUs")


def test_one_cpu_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3})
    assert machine.quota(tmp_path).status == "warning"


@pytest.mark.parametrize(
    ("source", "others", "status", "fix"),
    [
        ("tsc", "tsc hpet", "ok", ""),
        ("kvm-clock", "tsc kvm-clock", "ok", ""),
        ("arch_sys_counter", "arch_sys_counter", "ok", ""),
        ("hpet", "hpet acpi_pm kvm-clock tsc", "warning", "echo tsc | sudo tee /sys/"),
        ("acpi_pm", "acpi_pm hpet", "warning", "tsc=reliable"),
    ],
)
def test_a_clock_that_is_slow_to_read_is_a_warning(tmp_path, write, source, others, status, fix):
    write("sys/devices/system/clocksource/clocksource0/current_clocksource", f"{source}\n")
    write("sys/devices/system/clocksource/clocksource0/available_clocksource", f"{others}\n")
    finding = machine.clock(tmp_path)
    assert finding.status == status
    assert finding.found.startswith(f"{source}, resolution ")
    assert fix in finding.fix


def test_memory_is_what_the_machine_has_left(tmp_path, write):
    assert room.memory(tmp_path).status == "ok"
    write("proc/meminfo", "MemAvailable: 800000 kB\n")
    assert room.memory(tmp_path).status == "warning"
    write("proc/meminfo", "MemAvailable: 500000 kB\n")
    finding = room.memory(tmp_path)
    assert finding.status == "failure"
    assert finding.found == "512 MB available; ResNet-18 with 2 workers needs 600 MB"


@pytest.mark.parametrize(
    ("groups", "folder", "names"),
    [
        ("0::/slice/own\n", "sys/fs/cgroup/slice", ("memory.max", "memory.current", "inactive_file")),
        (
            "1:memory:/host/path\n",  # as seen from a container, which has its own at the top
            "sys/fs/cgroup/memory",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_memory_is_what_the_control_groups_leave(tmp_path, write, groups, folder, names):
    write("proc/self/cgroup", groups)
    for name, value in zip(names, ("1000000000", "700000000", "inactive_file 200000000"), strict=True):
        if name.endswith("inactive_file"):
            write(f"{folder}/memory.stat", f"cache 1\n{name} 200000000\n")
        else:
            write(f"{folder}/{name}", f"{value}\n")
    finding = room.memory(tmp_path)
    assert finding.status == "failure"
    assert finding.found.startswith("500 MB available")


def test_a_disk_that_is_nearly_full(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "cache"))
    usage = type("Usage", (), {"free": 600_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    finding = room.cache()
    assert finding.status == "failure"
    assert finding.found.endswith("600 MB free, 700 MB needed")
    usage.free = 1_500_000_000
    assert room.cache().status == "warning"
    assert list(tmp_path.iterdir()) == [], "the doctor left something behind"


def test_a_gpu_without_its_driver_is_a_warning_and_other_cards_are_none(tmp_path, write, monkeypatch):
    monkeypatch.setattr(programs, "gpus_here", lambda: Gpus((), None, "no driver"))
    assert programs.gpu(tmp_path).status == "not_applicable"
    write("sys/bus/pci/devices/0000:00:02.0/vendor", "0x8086\n")
    assert programs.gpu(tmp_path).status == "not_applicable"
    write("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
    finding = programs.gpu(tmp_path)
    assert (finding.status, finding.found) == ("warning", "there is one, but no driver")
    monkeypatch.setattr(programs, "gpus_here", lambda: Gpus((), "580.1", "CUDA_VISIBLE_DEVICES= shows 0 of 1"))
    assert programs.gpu(tmp_path).fix.startswith("unset CUDA_VISIBLE_DEVICES")


def test_gpus_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "gpus_here", lambda: Gpus(("NVIDIA H200", "NVIDIA H200"), "580.1"))
    assert programs.gpu(tmp_path) == Finding("ok", "NVIDIA H200, NVIDIA H200; driver 580.1")
