"""install_dependencies.sh, against an apt that only writes down what it is asked to do."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "install_dependencies.sh"
TOOLS = ("bash", "sh", "cat", "sed", "grep", "sort", "tr", "env", "head", "ln")
BASIS = ["python3", "python3-venv", "gcc", "libc6-dev", "libgomp1", "libstdc++6", "libquadmath0", "ca-certificates"]
BASIS += ["make", "openssl"]

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
    "id": 'cat "$STATE/uid"',
    "python3": "exit 0",
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
        """What apt-get was asked to do."""
        file = self.state / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "STATE": str(self.state), "SERVEMARK_LINKS": str(self.links)}
        return subprocess.run([SCRIPT, *words], env=environment, capture_output=True, text=True, timeout=60)


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
    return system


INSTALL = "apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends"


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
    system.write("uid", "1000")
    system.write("installed")
    system.add("sudo", 'SUDO=through-sudo exec "$@"')
    assert system.run().returncode == 0
    assert [line.split()[-2:] for line in system.asked()] == [["noninteractive", "through-sudo"]] * 2


def test_neither_root_nor_sudo_is_an_error(system):
    system.write("uid", "1000")
    done = system.run()
    assert done.returncode == 1
    assert "error: neither root nor sudo" in done.stderr
    assert system.asked() == []


def test_another_system_is_told_what_to_install(system):
    (system.bin / "apt-get").unlink()
    done = system.run()
    assert done.returncode == 1
    assert done.stderr.startswith("install_dependencies: error: this is not Debian or Ubuntu")
    for wanted in ("Python 3.10", "venv", "C compiler", "Rust 1.85", "openssl"):
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
    assert all(name in done.stdout for name in BASIS)
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
    folder = system.state / "rust-1.85" / "bin"
    folder.mkdir(parents=True)
    for name in ("cargo", "rustc"):
        (folder / name).touch()
    (system.links / "rustc").write_text("mine")
    # The one path that the script does not take from PATH: where Ubuntu puts the programs.
    script = SCRIPT.read_text().replace("/usr/lib/", f"{system.state}/")
    copy = system.state / "script.sh"
    copy.write_text(script)
    system.write("known", "cargo-1.85 1.85.1")
    environment = {"PATH": str(system.bin), "STATE": str(system.state), "SERVEMARK_LINKS": str(system.links)}
    done = subprocess.run(["bash", copy], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert os.readlink(system.links / "cargo") == str(folder / "cargo")  # noqa: PTH115
    assert (system.links / "rustc").read_text() == "mine"
    assert f"left alone: {system.links}/rustc" in done.stdout
