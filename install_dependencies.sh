#!/usr/bin/env bash
# Install the system packages that servemark needs, on Debian and Ubuntu. Run it again at any time: what is there stays.
set -euo pipefail

readonly LEAST_RUST=1.85
readonly LEAST_PYTHON=3.10
readonly LINKS="${SERVEMARK_LINKS:-/usr/local/bin}"

# What each group is for, and its packages. A package that this system does not know is left out if it is in OPTIONAL.
readonly GROUPS_OF_PACKAGES=(
    "Python and its venv module|python3 python3-venv"
    "C compiler, for the TLS library|gcc libc6-dev"
    "libraries that MXNet loads|libgomp1 libstdc++6 libquadmath0"
    "certificates of download servers|ca-certificates"
    "make test|make openssl"
)
readonly OPTIONAL=" libquadmath0 " # on x86 and POWER only

main() {
    case "${1:-}" in
        "") ;;
        -h | --help) help && return 0 ;;
        *) fail 2 "unknown option $1; see ./install_dependencies.sh -h" ;;
    esac
    if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then other_system; fi
    choose_sudo

    local missing=() closing="nothing to do: everything is installed"
    find_missing
    if [[ ${#missing[@]} -gt 0 ]] || ! rust_is_new_enough; then
        say "reading the package lists"
        as_root apt-get update -qq || fail 1 "apt-get update failed: see above; check the network and the package sources"
        find_missing # now knowing what this system has
        [[ ${#missing[@]} -eq 0 ]] || install_packages "${missing[@]}"
        rust_is_new_enough || install_rust
        closing="done; next: ./benchmark.py latency"
    fi
    check_python
    say "$closing"
}

help() {
    cat << END
usage: ./install_dependencies.sh [-h]

Installs what servemark needs and this Debian or Ubuntu lacks, as root or through sudo, without asking:
$(describe)
A second run finds nothing to do. Everything else comes from pip and cargo, into folders of yours.
END
}

describe() {
    local group
    for group in "${GROUPS_OF_PACKAGES[@]}"; do
        printf '  %-34s %s\n' "${group%%|*}" "${group#*|}"
    done
    printf '  %-34s %s\n' "Rust $LEAST_RUST or newer" "where none is on PATH: the newest that apt has (cargo, cargo-web, cargo-1.NN)"
}

say() { echo "install_dependencies: $*"; }

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
  - for make test: make, openssl, and Rust's clippy and rustfmt
END
    exit 1
}

sudo=()

choose_sudo() {
    [[ $(id -u) -eq 0 ]] && return
    command -v sudo > /dev/null || fail 1 "neither root nor sudo: run it as root, for example: su -c ./install_dependencies.sh"
    sudo=(sudo)
}

# Runs a command as root. sudo drops the environment, so what apt must see goes through env.
as_root() { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive "$@"; }

is_installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null) == installed ]]
}

# The version that apt would install, empty where it knows none.
candidate() {
    LC_ALL=C apt-cache policy "$1" 2> /dev/null | sed -n 's/^  Candidate: //p' | grep -vx '(none)' || true
}

# Sets `missing` to the packages of all groups that are not installed.
find_missing() {
    local group package
    missing=()
    for group in "${GROUPS_OF_PACKAGES[@]}"; do
        for package in ${group#*|}; do
            is_installed "$package" && continue
            [[ $OPTIONAL == *" $package "* && -z $(candidate "$package") ]] && continue
            missing+=("$package")
        done
    done
}

install_packages() {
    say "installing $*"
    as_root apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" ||
        fail 1 "apt-get could not install $*: see above; check the network, then run this again"
}

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
    if at_least cargo; then
        install_rust_packages cargo rustc rust-clippy rustfmt
    elif at_least cargo-web; then
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
    rust_is_new_enough || say "an older Rust comes first on PATH ($(command -v cargo || echo none)): servemark hides it" \
        "and fetches a new one; to use the one just installed, put its folder first"
}

at_least() {
    local version
    version=$(candidate "$1")
    [[ -n $version ]] && dpkg --compare-versions "$version" ge "$LEAST_RUST"
}

# The newest package cargo-1.NN that is new enough, empty where there is none.
versioned_cargo() {
    local name
    for name in $(apt-cache pkgnames cargo-1. | sort -rV); do
        [[ $name =~ ^cargo-1\.[0-9]+$ ]] && at_least "$name" && echo "$name" && return
    done
    return 0
}

# Installs cargo and the compiler, and of clippy and rustfmt what this system has. Only Debian's own older Rust may go.
install_rust_packages() {
    local packages=("$1" "$2") tool removed
    for tool in "${@:3}"; do
        if at_least "$tool"; then packages+=("$tool"); fi
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
            say "linking $LINKS/${program##*/} to $program"
            as_root ln -s "$program" "$LINKS/${program##*/}"
        fi
    done
}

check_python() {
    python3 -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (${LEAST_PYTHON/./, }))" 2> /dev/null && return
    say "note: $(command -v python3) is not Python $LEAST_PYTHON or newer with venv; start servemark with one that is:" \
        "python$LEAST_PYTHON benchmark.py latency"
}

main "$@"
