"""install_dependencies.sh, against an apt that only writes down what it is asked to do."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from servemark.environments.jmeter import _key

pytestmark = pytest.mark.seconds

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "install_dependencies.sh"
TOOLS = ("bash", "sh", "cat", "sed", "grep", "sort", "tr", "env", "head", "ln", "mkdir", "cut")
MINIMAL = ["python3", "python3-venv", "gcc", "libc6-dev", "libgomp1", "libstdc++6", "libquadmath0", "ca-certificates"]
BASIS = [*MINIMAL, "make", "openssl"]
#: Where the script looks and writes besides PATH: each becomes a path in the state's folder.
OUTSIDE = ("/etc/security/limits.d", "/etc/apt", "/sys/bus/pci/devices", "/dev/nvidia", "/usr/lib/")

# $STATE holds a line "NAME" for each installed package, and "NAME VERSION" for each that apt knows.
FAKES = {
    "dpkg-query": 'for name; do :; done; grep -qx -- "$name" "$STATE/installed" && printf installed',
    "apt-cache": """
        case $1 in
            policy) echo "$2:"; echo "  Candidate: $(sed -n "s/^$2 //p" "$STATE/known" | grep . || echo '(none)')" ;;
            pkgnames) sed 's/ .*//' "$STATE/known" | grep "^$2" ;;
        esac""",
    "apt-get": """
        case "$*" in
            -s*) cat "$STATE/removals"; exit ;;
            *install*)
                for name; do
                    case $name in install|-*|Dpkg*) ;; *) echo "$name" >> "$STATE/installed" ;; esac
                done ;;
        esac
        echo "apt-get $*" "$DEBIAN_FRONTEND" "${SUDO:-}" >> "$STATE/asked" """,
    "dpkg": '[ "$(printf "%s\\n" "$4" "$2" | sort -V | head -1)" = "$4" ]',
    "id": """
        case $* in
            -u) cat "$STATE/uid" ;;
            -un) cat "$STATE/name" ;;
            -nG*) echo "users $(cat "$STATE/groups")" ;;
            -gn*) echo staff ;;
        esac""",
    "getent": """
        case $1 in
            group) [ -e "$STATE/docker-group" ] ;;
            passwd) echo "$2:x:1000:1000::/home/$2:/bin/sh" ;;
        esac""",
    "usermod": 'echo "usermod $*" >> "$STATE/asked"; echo docker > "$STATE/groups"',
    "runuser": """
        echo "runuser $2" >> "$STATE/asked"
        echo "$2" > "$STATE/name"
        shift 3
        exec "$@" """,
    "python3": "exit 0",
    "java": "echo 'openjdk version \"17.0.2\" 2022-01-18' >&2",
    "javac": "echo javac 17.0.2",
    "mvn": "exit 0",
    "docker": "exit 0",
}


@dataclass(frozen=True)
class System:
    """A machine of fakes: PATH is `bin` alone."""

    bin: Path
    state: Path
    links: Path

    def add(self, name: str, script: str) -> None:
        program = self.bin / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def write(self, name: str, *lines: str) -> None:
        (self.state / name).write_text("".join(f"{line}\n" for line in lines))

    def asked(self) -> list[str]:
        """What apt-get, usermod and runuser were asked to do."""
        file = self.state / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def remove(self, *names: str) -> None:
        for name in names:
            (self.bin / name).unlink()

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "STATE": str(self.state), "SERVEMARK_LINKS": str(self.links), **variables}
        script = self.state.parent / "install_dependencies.sh"
        return subprocess.run(
            [script, *words], env=environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )


@pytest.fixture
def system(tmp_path: Path) -> System:
    """A root shell on a Debian that has everything but Rust, and knows no Rust."""
    system = System(tmp_path / "bin", tmp_path / "state", tmp_path / "links")
    for folder in (system.bin, system.state, system.links):
        folder.mkdir()
    for name in TOOLS:
        (system.bin / name).symlink_to(shutil.which(name) or name)
    for name, script in FAKES.items():
        system.add(name, script)
    system.write("installed", *BASIS)
    system.write("known", *(f"{name} 1" for name in BASIS))
    system.write("removals")
    system.write("uid", "0")
    system.write("name", "root")
    system.write("groups")
    script = SCRIPT.read_text()
    for path in OUTSIDE:
        assert path in script
        script = script.replace(path, f"{system.state}{path}")
    (system.state / "etc" / "security" / "limits.d").mkdir(parents=True)
    (system.state / "etc" / "apt" / "sources.list.d").mkdir(parents=True)
    (tmp_path / "install_dependencies.sh").write_text(script)
    (tmp_path / "install_dependencies.sh").chmod(0o755)
    (tmp_path / "src").symlink_to(ROOT / "src")
    return system


INSTALL = "apt-get install -y -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 --no-install-recommends"


def has_rust(system: System, version: str = "1.85.0") -> None:
    system.add("cargo", f"echo 'cargo {version} (d73d2caf9 2024-12-31)'")
    system.add("rustc", "exit 0")


def test_a_complete_system_is_left_alone(system):
    has_rust(system)
    done = system.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "install_dependencies: nothing to do: everything is installed\n"
    assert system.asked() == []


def test_only_what_is_missing_is_installed_and_the_second_run_has_nothing_to_do(system):
    has_rust(system)
    system.write("installed", *(name for name in BASIS if name not in ("gcc", "openssl")))
    first = system.run()
    assert first.returncode == 0
    assert "installing gcc openssl\n" in first.stdout
    assert "done; next: ./benchmark.py latency" in first.stdout
    assert system.asked() == [
        "apt-get update -qq noninteractive ",
        f"{INSTALL} gcc openssl noninteractive ",
    ]
    assert "nothing to do" in system.run().stdout
    assert len(system.asked()) == 2


def test_a_package_that_this_processor_lacks_is_left_out(system):
    has_rust(system)
    basis = [name for name in BASIS if name != "libquadmath0"]
    system.write("installed", *basis)
    system.write("known", *(f"{name} 1" for name in basis))
    assert "nothing to do" in system.run().stdout


def test_a_normal_user_goes_through_sudo(system):
    has_rust(system)
    _is_alice(system)
    system.write("installed")
    system.add("sudo", 'case $1 in -n) exit 0 ;; esac; SUDO=through-sudo exec "$@"')
    assert system.run().returncode == 0
    assert [line.split()[-2:] for line in system.asked()] == [["noninteractive", "through-sudo"]] * 2


def _is_alice(system: System) -> None:
    system.write("uid", "1000")
    system.write("name", "alice")


@pytest.mark.parametrize("sudo", [None, "exit 1"], ids=["no sudo", "a sudo that refuses"])
def test_with_neither_root_nor_sudo_it_says_the_exact_commands(system, sudo):
    _is_alice(system)
    system.write("known", *(f"{name} 1" for name in [*BASIS, "docker.io"]), "cargo 1.85.0")
    system.write("installed", *(name for name in BASIS if name != "gcc"))
    system.remove("docker")
    if sudo:
        system.add("sudo", sudo)
    done = system.run("--realtime")
    assert done.returncode == 1
    limits = f"{system.state}/etc/security/limits.d/servemark.conf"
    assert done.stderr.splitlines() == [
        "install_dependencies: error: neither root nor sudo; as root run this script, or exactly:",
        "  apt-get update -qq",
        f"  {INSTALL} gcc docker.io",
        f"  {INSTALL} cargo rustc",
        "  usermod -aG docker alice",
        rf"  sh -c echo\ \'@staff\ -\ rtprio\ 20\'\ \>\>\ {limits}",
        "and then this script again as yourself, for JMeter",
    ]
    assert system.asked() == []


def test_without_root_a_complete_system_is_left_alone(system):
    has_rust(system)
    _is_alice(system)
    assert "nothing to do" in system.run().stdout


def test_minimal_leaves_out_what_only_some_options_need(system):
    has_rust(system)
    system.write("installed", *MINIMAL)
    system.remove("java", "javac", "mvn", "docker")
    system.add("python3", 'case "$*" in *jmeter*) exit 1 ;; esac')
    assert "nothing to do" in system.run("--minimal").stdout


def test_what_the_tests_look_at_is_installed_for_them_alone(system):
    has_rust(system)
    system.remove("mvn", "docker")
    system.write("known", *(f"{name} 1" for name in [*BASIS, "chromium", "zsh", "fish", "mandoc", "npm"]))
    assert system.run("--tests").returncode == 0
    assert system.asked()[-1] == f"{INSTALL} chromium zsh fish mandoc npm noninteractive "
    assert "nothing to do" in system.run("--tests").stdout


def test_an_npm_of_somewhere_else_will_do(system):
    has_rust(system)
    system.write("installed", *BASIS, "chromium", "zsh", "fish", "mandoc")
    system.add("npm", "exit 0")
    assert "nothing to do" in system.run("--tests").stdout


def test_everything_that_the_original_installed_is_installed(system):
    has_rust(system)
    system.remove("java", "javac", "mvn", "docker")
    known = [*BASIS, "maven", "docker.io", "docker-cli"]
    system.write("known", *(f"{name} 1" for name in known), "default-jdk-headless 2:1.17-74")
    assert system.run().returncode == 0
    assert system.asked()[-1] == f"{INSTALL} default-jdk-headless maven docker.io docker-cli noninteractive "


@pytest.mark.parametrize(
    ("known", "chosen"),
    [
        pytest.param(["default-jdk-headless 2:1.21-76", "openjdk-17-jdk-headless 17"], "default-jdk-headless", id="21"),
        pytest.param(
            ["default-jdk-headless 2:1.11-72", "openjdk-17-jdk-headless 17"], "openjdk-17-jdk-headless", id="11"
        ),
        pytest.param(
            ["default-jdk-headless 2:1.11-72", "openjdk-21-jdk-headless 21"], "openjdk-21-jdk-headless", id="no 17"
        ),
    ],
)
@pytest.mark.parametrize("old", ["java", "javac", None])
def test_the_jdk_is_the_systems_own_unless_that_is_too_old(system, known, chosen, old):
    has_rust(system)
    if old:
        system.add(old, {"java": "echo 'openjdk version \"11.0.2\"'", "javac": "echo javac 1.8.0_392"}[old])
    else:
        system.remove("javac")
    system.write("known", *known)
    assert system.run().returncode == 0
    assert system.asked()[-1] == f"{INSTALL} {chosen} noninteractive "


def test_the_user_behind_sudo_joins_the_group_docker_once(system):
    has_rust(system)
    system.write("docker-group")
    done = system.run(SUDO_USER="alice")
    assert "adding alice to the group docker: log in again" in done.stdout
    assert system.asked()[0] == "usermod -aG docker alice"
    system.write("name", "root")
    assert "nothing to do" in system.run(SUDO_USER="alice").stdout
    assert [line for line in system.asked() if "usermod" in line] == ["usermod -aG docker alice"]


def test_root_itself_and_a_docker_without_the_group_need_none(system):
    has_rust(system)
    assert "nothing to do" in system.run().stdout
    assert "nothing to do" in system.run(SUDO_USER="alice").stdout


def test_realtime_priority_is_granted_once_to_the_users_group(system):
    has_rust(system)
    limits = system.state / "etc" / "security" / "limits.d" / "servemark.conf"
    done = system.run("--minimal", "--realtime", SUDO_USER="alice")
    assert "allowing real-time priority up to 20 to the group staff" in done.stdout
    assert limits.read_text() == "@staff - rtprio 20\n"
    assert "nothing to do" in system.run("--minimal", "--realtime", SUDO_USER="alice").stdout
    assert limits.read_text() == "@staff - rtprio 20\n"


def test_root_needs_no_grant_of_realtime_priority(system):
    has_rust(system)
    assert "root needs no grant" in system.run("--realtime").stdout
    assert not list((system.state / "etc" / "security" / "limits.d").iterdir())


def test_jmeter_is_assembled_for_the_user_behind_sudo_unless_it_is_there(system, tmp_path):
    has_rust(system)
    (system.bin / "python3").unlink()
    (system.bin / "python3").symlink_to(sys.executable)
    system.remove("mvn")
    system.write("installed", *BASIS, "maven")  # so that nothing is wanted, and Maven fails at once
    cache = tmp_path / "cache"
    missing = system.run(SUDO_USER="alice", SERVEMARK_CACHE=str(cache))
    assert missing.returncode == 1
    assert "assembling JMeter and its plugins for alice" in missing.stdout
    assert "JMeter is assembled through Maven, and there is no mvn on PATH" in missing.stderr
    assert "error: JMeter is not assembled: see above" in missing.stderr
    assert set(system.asked()) == {"runuser alice"}
    (cache / _key()).mkdir(parents=True)
    (cache / _key() / ".complete").touch()
    assert "nothing to do" in system.run(SERVEMARK_CACHE=str(cache)).stdout
    assert "nothing to do" in system.run(SERVEMARK_CACHE="/nowhere", JMETER_HOME="/opt/jmeter").stdout


@pytest.fixture
def gpu(system) -> System:
    has_rust(system)
    device = system.state / "sys" / "bus" / "pci" / "devices" / "0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    return system


def test_a_gpu_brings_the_container_toolkit_that_apt_has(gpu):
    gpu.write("known", "nvidia-container-toolkit 1.18")
    assert "restart Docker" in gpu.run().stdout
    assert gpu.asked() == [f"{INSTALL} nvidia-container-toolkit noninteractive "]
    gpu.add("nvidia-ctk", "exit 0")
    assert "nothing to do" in gpu.run().stdout


def test_elsewhere_it_comes_from_nvidias_repository(gpu):
    gpu.add("dpkg", "case $1 in --print-architecture) echo arm64 ;; *) exit 0 ;; esac")
    assert gpu.run().returncode == 0
    assert gpu.asked()[-2:] == [
        "apt-get update -qq noninteractive ",
        f"{INSTALL} nvidia-container-toolkit noninteractive ",
    ]
    (source,) = (gpu.state / "etc" / "apt" / "sources.list.d").iterdir()
    assert source.read_text().startswith(
        f"deb [signed-by={gpu.state}/etc/apt/keyrings/nvidia-container-toolkit.asc] https://"
    )
    assert source.read_text().endswith("/stable/deb/arm64 /\n")


def test_where_nvidias_repository_is_out_of_reach_the_rest_is_installed_first(gpu):
    gpu.add("python3", 'case "$*" in *urllib*) exit 1 ;; *jmeter*found) exit 1 ;; esac')
    done = gpu.run()
    assert done.returncode == 1
    assert "assembling JMeter" in done.stdout
    assert "NVIDIA's container toolkit is not installed: https://" in done.stderr
    assert not list((gpu.state / "etc" / "apt" / "sources.list.d").iterdir())


def test_a_graphics_card_of_another_maker_brings_nothing(gpu):
    (device,) = (gpu.state / "sys" / "bus" / "pci" / "devices").iterdir()
    (device / "vendor").write_text("0x1002\n")
    assert "nothing to do" in gpu.run().stdout


def test_another_system_is_told_what_to_install(system):
    (system.bin / "apt-get").unlink()
    done = system.run()
    assert done.returncode == 1
    assert done.stderr.startswith("install_dependencies: error: this is not Debian or Ubuntu")
    for wanted in ("Python 3.10", "venv", "C compiler", "Rust 1.85", "JDK, 17", "Maven", "Docker", "openssl"):
        assert wanted in done.stderr


def test_a_failing_apt_is_an_error(system):
    has_rust(system)
    system.write("installed")
    system.add("apt-get", "exit 100")
    done = system.run()
    assert done.returncode == 1
    assert "error: apt-get update failed" in done.stderr
    assert "done" not in done.stdout


def test_help_names_every_package_and_installs_nothing(system):
    done = system.run("-h")
    assert done.returncode == 0
    for name in (*BASIS, "maven", "docker.io", "default-jdk-headless", "nvidia-container-toolkit", "--minimal"):
        assert name in done.stdout
    assert system.run("--nonsense").returncode == 2
    assert system.asked() == []


@pytest.mark.parametrize(
    ("known", "installed"),
    [
        pytest.param(
            ["cargo 1.85.0+dfsg3-1", "rust-clippy 1.85.0", "rustfmt 1.85.0"],
            "cargo rustc rust-clippy rustfmt",
            id="Debian 13",
        ),
        pytest.param(
            ["cargo 0.66.0+ds1-1", "cargo-web 1.96.0+dfsg1", "rustfmt-web 1.96.0", "rust-clippy 1.63.0"],
            "cargo-web rustc-web rustfmt-web",
            id="Debian 12",
        ),
        pytest.param(
            ["cargo 1.75.0", "cargo-1.9 1.9", "cargo-1.85 1.85.1", "cargo-1.100 1.100.0", "rustfmt-1.100 1.100.0"],
            "cargo-1.100 rustc-1.100 rustfmt-1.100",
            id="Ubuntu LTS",
        ),
    ],
)
def test_the_newest_rust_that_apt_has(system, known, installed):
    system.write("known", *known)
    assert system.run().returncode == 0
    assert system.asked()[-1] == f"{INSTALL} {installed} noninteractive "


def test_an_old_rust_does_not_count(system):
    has_rust(system, "1.84.1")
    system.write("known", "cargo 1.85.0")
    done = system.run()
    assert "cargo rustc" in system.asked()[-1]
    assert "an older Rust comes first on PATH" in done.stdout


def test_where_apt_has_no_rust_it_says_that_the_build_fetches_one(system):
    system.write("known", "cargo 0.66.0+ds1-1")
    done = system.run()
    assert done.returncode == 0
    assert "apt has no Rust 1.85 here: the first ./benchmark.py fetches one" in done.stdout


def test_rust_is_not_installed_where_apt_would_remove_other_packages(system):
    system.write("known", "cargo-web 1.96.0")
    system.write("removals", "Remv cargo [0.66.0]", "Remv librust-serde-dev [1]")
    done = system.run()
    assert done.returncode == 0
    assert "apt would remove librust-serde-dev;" in done.stdout
    assert not any("install" in line for line in system.asked())


def test_debians_own_old_rust_may_be_replaced(system):
    system.write("known", "cargo-web 1.96.0")
    system.write("removals", "Remv cargo [0.66.0]", "Remv rustc [1.63.0]", "Remv libstd-rust-dev [1.63.0]")
    system.run()
    assert "cargo-web rustc-web" in system.asked()[-1]


def test_versioned_rust_is_linked_by_its_plain_names_and_nothing_is_overwritten(system):
    folder = system.state / "usr" / "lib" / "rust-1.85" / "bin"
    folder.mkdir(parents=True)
    for name in ("cargo", "rustc"):
        (folder / name).touch()
    (system.links / "rustc").write_text("mine")
    system.write("known", "cargo-1.85 1.85.1")
    done = system.run()
    assert done.returncode == 0
    assert os.readlink(system.links / "cargo") == str(folder / "cargo")  # noqa: PTH115
    assert (system.links / "rustc").read_text() == "mine"
    assert f"left alone: {system.links}/rustc" in done.stdout
