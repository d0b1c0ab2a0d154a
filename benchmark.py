#!/usr/bin/env python3
"""Run servemark from its sources: make the environment on first use, then become ``servemark run ARGUMENTS``.

Standard library only, and nothing is changed outside this folder. The environment is ``.venv`` beside this file; it is
made again, under a lock, whenever the sources have changed since. Help and usage errors need no environment at all.
"""

import errno
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "servemark-sources"
LOG = ROOT / ".venv.log"
LOCK = ROOT / ".venv.lock"
SOURCES = ("pyproject.toml", "constraints.txt", "Cargo.toml", "Cargo.lock", "crates", "src")
LEAST_PYTHON = (3, 10)
LEAST_RUST = (1, 85)
INSTALL_TIMEOUT_S = 1800
#: How long what is built ahead may take to stop its installers.
END_AHEAD_S = 10
#: What builds ahead what a server of ours needs: from the sources, with nothing of the current folder's.
AHEAD = """\
import sys
sys.path.insert(0, sys.argv.pop(1))
from servemark.cli.ahead import main
sys.exit(main(sys.argv[1:]))
"""
EXIT_USAGE, EXIT_SETUP_FAILED, EXIT_INTERRUPTED = 2, 4, 130
#: The one option of this script itself: make the environment and stop there.
SET_UP_ONLY = "--set-up-only"
#: Extra requirements of the package: the Makefile asks for "dev".
EXTRAS = os.environ.get("SERVEMARK_EXTRAS", "")
#: What pip prints where maturin's build requirement was to fetch a Rust toolchain; what cargo prints where it did.
NO_RUST, HAD_RUST = re.compile(r"puccinialin|rustup-init"), re.compile(r"failed to download|Compiling \w+ v")


class SetUpError(Exception):
    """The environment cannot be made; says why and what to do, in one line."""


def main(words):
    """Run the command line in `words`; does not return when it becomes servemark."""
    if sys.version_info < LEAST_PYTHON:
        wanted, have = (".".join(map(str, version[:2])) for version in (LEAST_PYTHON, sys.version_info))
        return fail(f"Python {wanted} or newer is needed, this is {have}; run: python{wanted} benchmark.py ...")
    if words != [SET_UP_ONLY] and is_importable():
        from servemark.cli import main as servemark_main

        return servemark_main(subcommand(words), called_as())
    sys.path.insert(0, str(ROOT / "src"))  # for the option tables and the like, which are standard library only
    from servemark.telling import guarded

    with guarded():
        return set_up_and_become(words)


def set_up_and_become(words):
    """Make the environment where it is missing, and become servemark, unless `words` ask for less."""
    try:
        if not is_current():
            status = None if words == [SET_UP_ONLY] else answer_without_environment(words)
            if status is not None:
                return status
            listen()
            set_up(words)
        return 0 if words == [SET_UP_ONLY] else become(words)
    except SetUpError as error:
        status = fail(str(error))
        say(f"{called_as()} doctor checks what else this machine lacks")
        return status
    except KeyboardInterrupt:
        print("servemark: interrupted while setting up; the next start begins again", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        from servemark.cli.options import print_error
        from servemark.unexpected import explained

        known = explained(error)
        print_error(known)
        return known.exit_status


def become(words):
    """Become servemark in the environment that there is now."""
    program = str(VENV / "bin" / "servemark")
    os.environ["SERVEMARK_CALLED_AS"] = called_as()  # which it cannot see, and what it names itself by
    try:
        return os.execv(program, [program, *subcommand(words)])  # noqa: S606 - it becomes that program
    except OSError as error:
        return fail(f"cannot start {program}: {error.strerror}; remove the folder .venv, and run again")


def called_as():
    """How this script was called, as its user would type it again."""
    script = sys.argv[0]
    return shlex.quote(script) if "/" in script else f"{shlex.quote(sys.orig_argv[0])} {shlex.quote(script)}"


def listen():
    """Have what ends a program politely do as Ctrl-C, so that the installer is stopped, too; ignored stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def is_importable():
    """Whether this Python has servemark, engine and all."""
    return bool(importlib.util.find_spec("servemark") and importlib.util.find_spec("servemark._loadgen"))


def fail(line):
    """Say `line` on stderr; the exit status of a set-up that failed."""
    print(f"servemark: error: {line}", file=sys.stderr)
    return EXIT_SETUP_FAILED


def subcommand(words):
    """The words of the ``servemark`` command: ``run`` goes before them unless they name a subcommand."""
    from servemark.cli import FIRST_OPTIONS, SUBCOMMANDS

    first = words[0].partition("=")[0] if words else ""
    return list(words) if first in (*SUBCOMMANDS, *FIRST_OPTIONS) else ["run", *words]


def answer_without_environment(words):
    """The exit status of help, usage errors and what needs no environment, or None when something else is to be run."""
    from servemark.cli import FIRST_OPTIONS
    from servemark.cli import main as servemark_main
    from servemark.cli.ab import parse_ab
    from servemark.cli.calibrate import parse_calibrate
    from servemark.cli.compare import compare_parser
    from servemark.cli.models import models_parser
    from servemark.cli.options import parse_run, print_error
    from servemark.cli.report import report_parser
    from servemark.cli.serve_options import parse_serve
    from servemark.errors import UsageError

    name, *rest = subcommand(words)
    called = called_as()
    if name in ("doctor", "man") or name.partition("=")[0] in FIRST_OPTIONS:
        return servemark_main([name, *rest], called)
    try:
        if name == "run":
            parse_run(called, rest)
        elif name == "capacity":
            parse_run(f"{called} capacity", rest, searches=True)
        elif name == "models":
            models_parser(f"{called} models").parse_args(rest)
        elif name == "report":
            report_parser(f"{called} report").parse_args(rest)
        elif name == "ab":
            parse_ab(f"{called} ab", rest)
        elif name == "calibrate":
            parse_calibrate(f"{called} calibrate", rest)
        elif name == "compare":
            compare_parser(f"{called} compare").parse_args(rest)
        elif name == "serve":
            parse_serve(f"{called} serve", rest)
    except UsageError as error:
        print_error(error)
        return EXIT_USAGE
    except SystemExit as end:
        return end.code
    except ModuleNotFoundError as error:
        if error.name != "tomli":
            raise
        # A suite, and a Python that reads no TOML: what is wrong with it is said once that can be read.
    return None


def is_current():
    """Whether ``.venv`` was made from the sources as they are now, and its Python is still there."""
    try:
        return STAMP.read_text() == sources_digest() and has_python()
    except OSError:
        return False


def has_python():
    """Whether the Python of ``.venv`` is there: it is a link to the one that made it, which may have been removed."""
    return os.access(VENV / "bin" / "python", os.X_OK)


def sources_digest():
    """A digest of names, sizes and modification times of all sources, and of this Python."""
    digest = hashlib.sha256(f"{sys.version} {ROOT} {EXTRAS}".encode())
    for name in SOURCES:
        top = ROOT / name
        folders = os.walk(top) if top.is_dir() else [(ROOT, [], [name] if top.exists() else [])]
        for folder, subfolders, files in folders:
            subfolders[:] = sorted(sub for sub in subfolders if sub != "__pycache__")
            for file in sorted(files):
                if not file.endswith((".so", ".pyc")):
                    facts = os.stat(f"{folder}/{file}")  # noqa: PTH116 - a Path for each costs half the start-up
                    digest.update(f"{folder}/{file} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


@contextmanager
def locked():
    """Hold the lock of this checkout's environment; another holder is waited for."""
    import fcntl

    try:
        file = LOCK.open("w")
    except OSError as error:
        raise SetUpError(f"cannot write in {ROOT}: {error.strerror}; clone into a folder of your own") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("waiting for another servemark that is setting up")
            fcntl.flock(file, fcntl.LOCK_EX)
        # The steps hold it too: a pip that outlives a killed set-up must not write under the next one.
        os.set_inheritable(file.fileno(), True)
        yield


def set_up(words):
    """Make ``.venv`` for the command line in `words`, unless another process did so while this one waited."""
    with locked():
        if is_current():
            return
        try:
            make_environment(words)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise SetUpError(f"cannot set up in .venv: {error.strerror}{where}; {remedy(error)}") from error


def remedy(error):
    """What to do about an error of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free disk space, or clone into a folder on another disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "clone into a folder of your own"
    return "remove the folder .venv, and run again"


def make_environment(words):
    """Make ``.venv`` and install the package; the stamp is written last, so a broken one is never trusted.

    What the command line in `words` will need of a server of ours is built beside it.
    """
    from servemark.environments.variables import inherited

    check_tools()
    check_temporary_folder()
    started = time.monotonic()
    digest = sources_digest()
    gone = STAMP.exists() and not has_python()
    fresh = gone or not STAMP.exists()
    why = " again: its Python is gone" if gone else " again: the sources have changed"
    say("setting up in .venv" + (" (once, about 2 minutes)" if fresh and not gone else why))
    if not has_rust():
        say("no Rust 1.85 or newer on PATH: the build fetches one (once, about 800 MB in your cache)")
    with build_path() as environment, LOG.open("w") as log:
        STAMP.unlink(missing_ok=True)
        if fresh:
            run([sys.executable, "-m", "venv", "--clear", str(VENV)], environment, log, "making the environment")
        package = f"{ROOT}[{EXTRAS}]" if EXTRAS else str(ROOT)
        install = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
        install += ["--constraint", str(ROOT / "constraints.txt"), package]
        with ahead(words) as beside:
            what = "building servemark and installing what it needs"
            run(install, inherited(environment), log, what, beside.tell)
            make_chart_library(log)
            STAMP.write_text(digest)
            beside.wait()
    say(f"set up in {time.monotonic() - started:.0f} s")


def make_chart_library(log):
    """Make what draws the charts of a report, so that no run has to; where that fails, the run says why."""
    command = [str(VENV / "bin" / "python"), "-m", "servemark.environments.chart_library"]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)


def say(line):
    """A line of progress on stderr."""
    print(f"servemark: {line}", file=sys.stderr, flush=True)


def check_temporary_folder():
    """Builds write temporary files; unlike Python, Rust's tools do not look further when TMPDIR is wrong."""
    chosen = os.environ.get("TMPDIR")
    try:
        with tempfile.TemporaryFile(dir=chosen):
            pass
    except OSError as error:
        where = f"TMPDIR={chosen}" if chosen else "the temporary folder"
        raise SetUpError(f"cannot write in {where}: {error.strerror}; set TMPDIR to another folder") from error


def check_tools():
    """Everything that is missing, said at once as one line to paste."""
    missing = []
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        missing.append("python3-venv")
    if not shutil.which(os.environ.get("CC", "cc")):
        missing.append("gcc")
    if not missing:
        return
    what = {"python3-venv": "Python's venv module", "gcc": "a C compiler"}
    named = " and ".join(what[package] for package in missing)
    raise SetUpError(f"{named} missing; run: {install_command(missing)}")


def install_command(packages):
    """The line that installs Debian's `packages`, or their like, on this system."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    if shutil.which("apt-get"):
        libc = ["libc6-dev"] if "gcc" in packages else []
        return f"{sudo}apt-get update && {sudo}apt-get install -y {' '.join([*packages, *libc])}"
    if shutil.which("dnf"):
        return f"{sudo}dnf install -y {' '.join(package.replace('python3-venv', 'python3') for package in packages)}"
    if sys.platform == "darwin":
        return "xcode-select --install"
    return f"install {' and '.join(packages)} with your system's package manager"


@contextmanager
def build_path():
    """The process environment to build in: a Rust that is too old is hidden, so that a newer one is fetched."""
    environment = dict(os.environ)
    if has_rust():
        yield environment
        return
    with tempfile.TemporaryDirectory(prefix="servemark-path-") as shadows:
        folders = []
        for number, folder in enumerate(os.environ.get("PATH", os.defpath).split(os.pathsep)):
            folders.append(without_rust(Path(folder), Path(shadows) / str(number)))
        environment["PATH"] = os.pathsep.join(folders)
        yield environment


def has_rust():
    """Whether the cargo on PATH works and is new enough."""
    try:
        answer = subprocess.run(["cargo", "--version"], capture_output=True, text=True, timeout=60, cwd=ROOT)
    except (OSError, subprocess.TimeoutExpired):
        return False
    match = re.search(r"cargo (\d+)\.(\d+)", answer.stdout)
    return answer.returncode == 0 and match is not None and (int(match[1]), int(match[2])) >= LEAST_RUST


def without_rust(folder, shadow):
    """`folder`, or, if Rust's programs are in it, a folder of links to everything else."""
    rust = {"cargo", "rustc", "rustup", "rustdoc"}
    if not os.access(folder, os.R_OK | os.X_OK):  # somebody else's: nothing is found there
        return str(folder)
    if not any((folder / name).exists() for name in rust):
        return str(folder)
    shadow.mkdir()
    for entry in folder.iterdir():
        if entry.name not in rust:
            (shadow / entry.name).symlink_to(entry.resolve())
    return str(shadow)


def run(command, environment, log, what, each_second=lambda: None):
    """Run one step of the set-up; its output goes to `log`, and its last lines to the error when it fails."""
    from servemark.interrupts import held_back

    begun = log.tell()
    started = time.monotonic()
    process, told = None, -1
    try:
        with held_back():  # an interruption within Popen would leave a process that nobody knows
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                close_fds=False,  # the lock
            )
        while True:
            try:
                status = process.wait(timeout=1)
                break
            except subprocess.TimeoutExpired:
                each_second()
                told = heartbeat(what, int(time.monotonic() - started), told)
                if time.monotonic() - started > INSTALL_TIMEOUT_S:
                    raise SetUpError(f"{what} took over {INSTALL_TIMEOUT_S} s; see {LOG}") from None
    finally:
        if told >= 0:
            clear_line()
        if process and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if status != 0:
        with LOG.open(errors="replace") as written:
            written.seek(begun)
            raise SetUpError(explain(what, written.read()))
    say(f"{what}: done in {time.monotonic() - started:.0f} s")


@contextmanager
def ahead(words):
    """Build in the cache what `words` need of a server of ours, beside what the block does; ended where that fails.

    It has a session of its own, which Ctrl-C does not reach: it is ended by what ends this.
    """
    from servemark.interrupts import held_back

    command = ahead_command(words)
    if command is None:
        yield Beside(None, None)
        return
    with tempfile.TemporaryFile() as said:
        process = None
        try:
            with held_back():  # an interruption within Popen would leave a process that nobody knows
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
                )
            yield Beside(process, said)
        finally:
            if process and process.poll() is None:
                end_ahead(process)


def ahead_command(words):
    """What builds that; None where `words` need no server that we install, or cannot be read yet."""
    from servemark.cli.ahead import preparations

    if words == [SET_UP_ONLY]:
        return None
    try:
        needed = preparations(subcommand(words))
    except ModuleNotFoundError:  # a suite, and a Python that reads no TOML
        return None
    # The Python that the run will have: where the environment is in the cache goes by it.
    python = str(VENV / "bin" / "python")
    return [python, "-I", "-c", AHEAD, str(ROOT / "src"), *subcommand(words)] if needed else None


def end_ahead(process):
    """End it politely, so that it stops its own installers and removes what is half built."""
    process.terminate()
    try:
        process.wait(timeout=END_AHEAD_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Beside:
    """What is built ahead, and the file that it writes its progress into; None where nothing is."""

    def __init__(self, process, said):
        self._process, self._said, self._told = process, said, 0

    def tell(self):
        """Say what it has said since, line by line."""
        from servemark.printable import printable

        if self._process is None:
            return
        # By its own position: that of the file is shared with the process that writes.
        new = os.pread(self._said.fileno(), 1 << 20, self._told)
        whole = new[: new.rfind(b"\n") + 1]
        self._told += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            clear_line()
            say(printable(line))

    def wait(self):
        """Wait for it; that it failed is said, and no more, for the run tries again and knows more to say."""
        if self._process is None:
            return
        started, told = time.monotonic(), -1
        while True:
            try:
                self._process.wait(timeout=1)
                break
            except subprocess.TimeoutExpired:
                self.tell()
                told = heartbeat("waiting for the server's environment", int(time.monotonic() - started), told)
        clear_line()
        self.tell()
        if self._process.returncode != 0:
            say("the server's environment could not be built ahead; the run tries again")


def clear_line():
    """Take away the line that counts, where there is one."""
    from servemark.terminals import takes_escapes

    if takes_escapes(sys.stderr):
        print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def heartbeat(what, elapsed_s, told):
    """Show that the step goes on: a line that counts on a terminal, a line every 30 s elsewhere."""
    from servemark.terminals import takes_escapes

    if takes_escapes(sys.stderr):
        print(f"\r\x1b[2Kservemark: {what}: {elapsed_s} s", end="", file=sys.stderr, flush=True)
        return elapsed_s
    if elapsed_s // 30 > told:
        say(f"{what}" + (f": {elapsed_s} s" if elapsed_s >= 30 else ""))
        return elapsed_s // 30
    return told


def explain(what, output):
    """Why a step failed, from its output, and what to do about it; the output's end goes below."""
    from servemark.environments.network_failures import TRUST_IT, UNTRUSTED, is_unreachable, is_untrusted
    from servemark.printable import printable

    tail = printable("\n".join(output.strip().splitlines()[-12:]))
    if is_untrusted(output):
        why = f"{UNTRUSTED}; {TRUST_IT}"
    elif NO_RUST.search(output) and not HAD_RUST.search(output):
        why = "no Rust 1.85 or newer is installed and none could be fetched; install it: ./install_dependencies.sh"
    elif is_unreachable(output):
        why = "packages could not be downloaded; check the network, or set the proxy (HTTPS_PROXY) or pip's index"
    else:
        why = f"see {LOG}"
    return f"{what} failed: {why}\n{tail}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
