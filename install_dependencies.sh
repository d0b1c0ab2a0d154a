#!/usr/bin/env bash
# Install the system packages that servemark needs, on Debian and Ubuntu. Run it again at any time: what is there stays.
set -euo pipefail

readonly LEAST_RUST=1.85
readonly LEAST_PYTHON=3.10
readonly LEAST_JAVA=17
HERE=$(cd "${BASH_SOURCE[0]%"${BASH_SOURCE[0]##*/}"}." && pwd)
readonly HERE
readonly LINKS="${SERVEMARK_LINKS:-/usr/local/bin}"

# What each group is for, and its packages. One that this system does not know is left out if it is in OPTIONAL.
readonly MINIMAL_GROUPS=(
    "Python and its venv module|python3 python3-venv"
    "C compiler, for the TLS library|gcc libc6-dev"
    "libraries that MXNet loads|libgomp1 libstdc++6 libquadmath0"
    "certificates of download servers|ca-certificates"
)
readonly TEST_GROUP="make test|make openssl"
# What some tests look at; without it they are skipped, and say so.
readonly LOOKED_AT_GROUPS=(
    "a browser, which opens reports|chromium"
    "shells, a reader of man pages|zsh fish mandoc"
)
readonly NPM_GROUP="npm, for axe-core|npm"
readonly MAVEN_GROUP="Maven, which assembles JMeter|maven"
readonly DOCKER_GROUP="servers in containers|docker.io docker-cli"
readonly OPTIONAL=" libquadmath0 docker-cli " # the first on x86 and POWER only, the second apart since Debian 13
# The JDK is the system's own where that is new enough, else the first of these that apt has.
readonly JDKS="default-jdk-headless openjdk-17-jdk-headless openjdk-21-jdk-headless openjdk-25-jdk-headless"

readonly NVIDIA_REPOSITORY=https://nvidia.github.io/libnvidia-container
readonly NVIDIA_KEY=/etc/apt/keyrings/nvidia-container-toolkit.asc
readonly NVIDIA_SOURCE=/etc/apt/sources.list.d/nvidia-container-toolkit.list
readonly FETCH='
import sys, urllib.request
try:
    content = urllib.request.urlopen(sys.argv[1], timeout=60).read()
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
open(sys.argv[2], "wb").write(content)'
readonly JMETER='
import os, sys
from servemark.environments.jmeter import assembled_home, jmeter_home
from servemark.errors import ServemarkError
if sys.argv[1] == "found":
    sys.exit(not (os.environ.get("JMETER_HOME") or assembled_home()))
try:
    jmeter_home(lambda _: None)
except ServemarkError as error:
    sys.exit(f"{error}\n{error.detail}".strip())'
readonly LIMITS=/etc/security/limits.d/servemark.conf
readonly PRIORITY=20 # below the kernel's own threads, which have 50

full=true tests=false realtime=false
changed=false    # whether anything was done
root_commands=() # what could not be done, there being neither root nor sudo
failures=()      # what failed, of the steps on which no other depends

main() {
    local word
    for word in "$@"; do
        case "$word" in
            --minimal) full=false ;;
            --tests) full=false tests=true ;;
            --realtime) realtime=true ;;
            -h | --help) help && return 0 ;;
            *) fail 2 "unknown option $word; see ./install_dependencies.sh -h" ;;
        esac
    done
    if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then other_system; fi
    choose_user
    choose_root

    install_what_is_missing
    if $full; then
        join_docker_group
        install_nvidia_toolkit
    fi
    if $realtime; then grant_realtime; fi
    if [[ ${#root_commands[@]} -gt 0 ]]; then say_root_commands; fi
    if $full; then assemble_jmeter; fi
    check_python
    closing
}

help() {
    cat << END
usage: ./install_dependencies.sh [-h] [--minimal | --tests] [--realtime]

Installs what servemark needs and this Debian or Ubuntu lacks, as root or through sudo, without asking:
$(describe "${MINIMAL_GROUPS[@]}")
$(line "Rust $LEAST_RUST or newer" "where none is on PATH: the newest that apt has (cargo, cargo-web, cargo-1.NN)")
and, without --minimal, what only some options need:
$(describe "$TEST_GROUP")
$(line "JDK $LEAST_JAVA or newer" "where none is on PATH: the first that apt has of")
$(line "" "${JDKS% openjdk-2*-* *}")
$(line "" "${JDKS#* * }")
$(describe "$MAVEN_GROUP")
$(line "JMeter 5.6.3 and its plugins" "assembled through Maven in your cache (72 MB), unless JMETER_HOME is set")
$(describe "$DOCKER_GROUP")
$(line "" "you are added to the group docker, whose members can become root")
$(line "containers with GPUs" "nvidia-container-toolkit, where there is an NVIDIA GPU")

  --minimal   only what ./benchmark.py latency needs
  --tests     that, and what make test looks at, of which it skips what is not there:
$(describe "$TEST_GROUP" "${LOOKED_AT_GROUPS[@]}" "$NPM_GROUP")
  --realtime  allow your group real-time priority up to $PRIORITY, in $LIMITS

A second run finds nothing to do. Everything else comes from pip and cargo, into folders of yours.
END
}

describe() {
    local group
    for group in "$@"; do line "${group%%|*}" "${group#*|}"; done
}

line() { printf '  %-34s %s\n' "$1" "$2"; }

say() { echo "install_dependencies: $*"; }

act() {
    changed=true
    if [[ $root != nobody ]]; then say "$@"; fi
}

fail() {
    local status=$1
    shift
    echo "install_dependencies: error: $*" >&2
    exit "$status"
}

other_system() {
    echo "install_dependencies: error: this is not Debian or Ubuntu (no apt-get); install by hand:" >&2
    cat >&2 << END
  - Python $LEAST_PYTHON or newer with the modules venv and ensurepip
  - a C compiler and the headers of the C library
  - the libraries libgomp, libstdc++ and libquadmath (GCC's), for MXNet
  - Rust $LEAST_RUST or newer with cargo (https://rustup.rs); without it a network that lets the build fetch one
  - for --engine jmeter and --source: a JDK, $LEAST_JAVA or newer, and Maven; for --docker: Docker
  - for make test: make, openssl, and Rust's clippy and rustfmt
The README lists them all, for macOS too.
END
    exit 1
}

closing() {
    if [[ ${#failures[@]} -gt 0 ]]; then
        printf 'install_dependencies: error: %s\n' "${failures[@]}" >&2
        exit 1
    elif $changed; then
        say "done; next: ./benchmark.py latency"
    else
        say "nothing to do: everything is installed"
    fi
}

# --- who does it, and for whom --------------------------------------------------------------------------------------

user=

# Whoever started this, through sudo or not.
choose_user() {
    user=$(id -un)
    if [[ $(id -u) -eq 0 && -n ${SUDO_USER:-} ]]; then user=$SUDO_USER; fi
}

# Sets `root` to how commands become root's: "root" itself, "sudo", or "nobody".
root=nobody

choose_root() {
    if [[ $(id -u) -eq 0 ]]; then
        root=root
    elif command -v sudo > /dev/null && { sudo -n true 2> /dev/null || { [[ -t 0 ]] && sudo true; }; }; then
        root=sudo
    fi
}

# Runs a command as root, or keeps it for whoever can. sudo drops the environment, so what apt must see goes through env.
as_root() {
    case $root in
        root) env DEBIAN_FRONTEND=noninteractive "$@" ;;
        sudo) sudo env DEBIAN_FRONTEND=noninteractive "$@" ;;
        nobody) root_commands+=("$(printf '%q ' "$@")") ;;
    esac
}

say_root_commands() {
    echo "install_dependencies: error: neither root nor sudo; as root run this script, or exactly:" >&2
    printf '  %s\n' "${root_commands[@]% }" >&2
    if $full; then echo "and then this script again as yourself, for JMeter" >&2; fi
    exit 1
}

# Runs a command as the user, in the user's home.
as_user() {
    if [[ $user == "$(id -un)" ]]; then
        "$@"
    else
        runuser -u "$user" -- env HOME="$(getent passwd "$user" | cut -d: -f6)" PATH="$PATH" "$@"
    fi
}

# --- packages -------------------------------------------------------------------------------------------------------

install_what_is_missing() {
    local missing=()
    find_missing
    if [[ ${#missing[@]} -eq 0 ]] && rust_is_new_enough; then return; fi
    act "reading the package lists"
    as_root apt-get update -qq || fail 1 "apt-get update failed: see above; check the network and the package sources"
    find_missing # now knowing what this system has
    if [[ ${#missing[@]} -gt 0 ]]; then install_packages "${missing[@]}"; fi
    rust_is_new_enough || install_rust
}

is_installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null) == installed ]]
}

# The version that apt would install, empty where it knows none.
candidate() {
    LC_ALL=C apt-cache policy "$1" 2> /dev/null | sed -n 's/^  Candidate: //p' | grep -vx '(none)' || true
}

# Sets `missing` to the packages that are wanted and not installed.
find_missing() {
    local group package groups=("${MINIMAL_GROUPS[@]}")
    if $full; then
        groups+=("$TEST_GROUP")
        jdk_is_new_enough || groups+=("|$(jdk_package)")
        command -v mvn > /dev/null || groups+=("$MAVEN_GROUP")
        command -v docker > /dev/null || groups+=("$DOCKER_GROUP")
    fi
    if $tests; then
        groups+=("$TEST_GROUP" "${LOOKED_AT_GROUPS[@]}")
        command -v npm > /dev/null || groups+=("$NPM_GROUP")
    fi
    missing=()
    for group in "${groups[@]}"; do
        for package in ${group#*|}; do
            is_installed "$package" && continue
            [[ $OPTIONAL == *" $package "* && -z $(candidate "$package") ]] && continue
            missing+=("$package")
        done
    done
}

install_packages() {
    act "installing $*"
    as_root apt-get install -y -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" ||
        fail 1 "apt-get could not install $*: see above; check the network and the package sources" \
            "(Ubuntu needs universe), then run this again"
}

at_least() {
    local version
    version=$(candidate "$1")
    [[ -n $version ]] && dpkg --compare-versions "$version" ge "$2"
}

# --- Java -----------------------------------------------------------------------------------------------------------

# Both halves: the first java and javac on PATH need not be of one JDK.
jdk_is_new_enough() {
    local program
    for program in java javac; do
        [[ $("$program" -version 2>&1) =~ (javac\ |version\ \")(1\.)?([0-9]+) ]] || return 1
        [[ ${BASH_REMATCH[3]} -ge $LEAST_JAVA ]] || return 1
    done
}

jdk_package() {
    local name
    for name in $JDKS; do
        # Debian's default-jdk has the version 2:1.17-74 for Java 17.
        case $name in
            default-*) at_least "$name" "2:1.$LEAST_JAVA" ;;
            *) [[ -n $(candidate "$name") ]] ;;
        esac && echo "$name" && return
    done
    echo "${JDKS%% *}"
}

# --- Rust -----------------------------------------------------------------------------------------------------------

rust_is_new_enough() {
    local version
    # In the root folder, where no rust-toolchain file of a project applies.
    version=$(cd / && cargo --version 2> /dev/null) && (cd / && rustc --version) > /dev/null 2>&1 || return 1
    version=${version#cargo }
    dpkg --compare-versions "${version%% *}" ge "$LEAST_RUST"
}

# Debian 13 has a new cargo; Debian 12 has it as cargo-web; Ubuntu LTS has cargo-1.NN beside an older cargo.
install_rust() {
    local name
    if at_least cargo "$LEAST_RUST"; then
        install_rust_packages cargo rustc rust-clippy rustfmt
    elif at_least cargo-web "$LEAST_RUST"; then
        install_rust_packages cargo-web rustc-web rustfmt-web
    elif name=$(versioned_cargo) && [[ -n $name ]]; then
        install_rust_packages "$name" "${name/cargo/rustc}" "${name/cargo/rust}-clippy" "${name/cargo/rustfmt}"
        link_versioned "/usr/lib/${name/cargo/rust}/bin"
    else
        say "apt has no Rust $LEAST_RUST here: the first ./benchmark.py fetches one into your cache (about 800 MB)," \
            "or install it from https://rustup.rs"
        return
    fi
    hash -r
    [[ $root == nobody ]] || rust_is_new_enough ||
        say "an older Rust comes first on PATH ($(command -v cargo || echo none)): servemark hides it" \
            "and fetches a new one; to use the one just installed, put its folder first"
}

# The newest package cargo-1.NN that is new enough, empty where there is none.
versioned_cargo() {
    local name
    for name in $(apt-cache pkgnames cargo-1. | sort -rV); do
        [[ $name =~ ^cargo-1\.[0-9]+$ ]] && at_least "$name" "$LEAST_RUST" && echo "$name" && return
    done
    return 0
}

# Installs cargo and the compiler, and of clippy and rustfmt what this system has. Only Debian's own older Rust may go.
install_rust_packages() {
    local packages=("$1" "$2") tool removed
    for tool in "${@:3}"; do
        if at_least "$tool" "$LEAST_RUST"; then packages+=("$tool"); fi
    done
    removed=$(apt-get -s install --no-install-recommends "${packages[@]}" | sed -n 's/^Remv \([^ ]*\).*/\1/p' |
        grep -vxE 'cargo|rustc|rust-clippy|rustfmt|libstd-rust-dev|rust-[a-z]+|(cargo|rustc)-doc' | tr '\n' ' ' || true)
    if [[ -n $removed ]]; then
        say "not installing ${packages[*]}: apt would remove ${removed% }; servemark fetches its own Rust instead"
        return
    fi
    install_packages "${packages[@]}"
}

# cargo calls rustc, clippy and rustfmt by their plain names, which the versioned packages do not install.
link_versioned() {
    local folder=$1 program
    [[ -d $folder ]] || return 0
    for program in "$folder"/*; do
        if [[ -e $LINKS/${program##*/} ]]; then
            say "left alone: $LINKS/${program##*/}"
        else
            act "linking $LINKS/${program##*/} to $program"
            as_root ln -s "$program" "$LINKS/${program##*/}"
        fi
    done
}

# --- Docker and GPUs ------------------------------------------------------------------------------------------------

# A Docker without that group (Docker Desktop, podman, rootless) has its own ways of letting its user in.
join_docker_group() {
    local coming=false # with the packages that nobody could install yet
    if [[ $root == nobody ]] && ! command -v docker > /dev/null; then coming=true; fi
    if [[ $user == root ]] || ! { $coming || getent group docker > /dev/null; }; then return; fi
    if [[ " $(id -nG "$user") " == *" docker "* ]]; then return; fi
    act "adding $user to the group docker: log in again for it to count"
    as_root usermod -aG docker "$user"
}

gpu_is_present() {
    local device
    if [[ -e /dev/nvidia0 || -e /dev/nvidiactl ]]; then return; fi
    for device in /sys/bus/pci/devices/*; do
        if [[ -r $device/vendor && $(cat "$device/vendor") == 0x10de && $(cat "$device/class") == 0x03* ]]; then
            return
        fi
    done
    return 1
}

# From the distribution where it has it, else from NVIDIA's own repository.
install_nvidia_toolkit() {
    if ! gpu_is_present || command -v nvidia-ctk > /dev/null; then return; fi
    if [[ -z $(candidate nvidia-container-toolkit) ]]; then
        local entry
        entry="deb [signed-by=$NVIDIA_KEY] $NVIDIA_REPOSITORY/stable/deb/$(dpkg --print-architecture) /"
        act "adding NVIDIA's package repository, $NVIDIA_REPOSITORY"
        as_root mkdir -p "${NVIDIA_KEY%/*}"
        if ! as_root python3 -c "$FETCH" "$NVIDIA_REPOSITORY/gpgkey" "$NVIDIA_KEY"; then
            failures+=("NVIDIA's container toolkit is not installed: $NVIDIA_REPOSITORY cannot be reached; run this again")
            return
        fi
        as_root sh -c "echo '$entry' > $NVIDIA_SOURCE"
        as_root apt-get update -qq || fail 1 "apt-get update failed: see above; removing $NVIDIA_SOURCE undoes this step"
    fi
    install_packages nvidia-container-toolkit
    say "restart Docker so that it finds the GPUs: sudo systemctl restart docker (its containers end)"
}

# --- real-time priority ---------------------------------------------------------------------------------------------

grant_realtime() {
    local limit
    if [[ $user == root ]]; then
        say "root needs no grant of real-time priority"
        return
    fi
    limit="@$(id -gn "$user") - rtprio $PRIORITY"
    if [[ -r $LIMITS && $(cat "$LIMITS") == *"$limit"* ]]; then return; fi
    act "allowing real-time priority up to $PRIORITY to the group $(id -gn "$user"): log in again for it to count"
    as_root sh -c "echo '$limit' >> $LIMITS"
}

# --- JMeter ---------------------------------------------------------------------------------------------------------

# As the user, with what servemark itself does on first use: the standard library is enough for it.
assemble_jmeter() {
    if ! python_is_new_enough || jmeter found; then return; fi
    act "assembling JMeter and its plugins for $user"
    jmeter assembled || failures+=("JMeter is not assembled: see above; check the network, then run this again")
}

jmeter() { as_user env PYTHONPATH="$HERE/src" PYTHONDONTWRITEBYTECODE=1 python3 -c "$JMETER" "$1"; }

python_is_new_enough() {
    python3 -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (${LEAST_PYTHON/./, }))" 2> /dev/null
}

check_python() {
    python_is_new_enough && return
    say "note: $(command -v python3) is not Python $LEAST_PYTHON or newer with venv; start servemark with one that is:" \
        "python$LEAST_PYTHON benchmark.py latency"
}

main "$@"
