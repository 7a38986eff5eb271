#!/usr/bin/env python3
"""Builds the project's own Python environment and runs its commands in it; needs only Python 3.11 and pip's registry.

`python3 dev.py --help` lists the commands. The environment is `.venv` beside this file, or the folder in SANSANG_VENV.
"""

# Read by older Pythons too, far enough to say in one sentence that they are too old.
from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "requirements.lock"
PROJECT = ROOT / "pyproject.toml"
OLDEST_PYTHON = (3, 11)
# Resolved before anything is cleared: we may be run by the very environment that is built anew.
THIS_PYTHON = Path(sys.executable).resolve()
USAGE = 2

# Debian package: (a program of it, what for). Whoever needs another adds a line here, and asks for the program in a
# test with tests.support.debian.require().
TEST_PACKAGES = {
    "mosquitto": ("mosquitto", "the broker in front of the collector"),
    "victoria-metrics": ("victoria-metrics", "the time-series database"),
    "influxdb": ("influxd", "answers the InfluxQL of the dashboards"),
    "nut-server": ("upsd", "a UPS to ask"),
    "nut-client": ("upsc", "a second opinion on what the UPS says"),
    "fping": ("fping", "a second opinion on round-trip times"),
    "iproute2": ("ip", "network namespaces to cut and slow down"),
    "nftables": ("nft", "packet loss"),
    "miniupnpd": ("miniupnpd", "a router that tells of its line by UPnP"),
    "strace": ("strace", "records what reaches the disk"),
    "openssl": ("openssl", "a second opinion on our certificates"),
}
BENCH_PACKAGES = {
    **TEST_PACKAGES,
    "collectd-core": ("collectd", "a peer to compare with"),
    "zabbix-agent2": ("zabbix_agent2", "a peer to compare with"),
    "oping": ("oping", "brings the library that collectd's pings need"),
    "snmp": ("snmpget", "a peer to compare with"),
    "snmpd": ("snmpd", "devices to ask"),
}
PROGRAM_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/lib/nut")
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# Put here by dev.py while it installs, so that no service starts; delete me.\nexit 101\n"


class CannotGoOnError(Exception):
    """Something the person must do first, in one sentence."""


def main(arguments: Sequence[str]) -> int:
    """Run one command; its exit code, or 2 when it cannot begin."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else USAGE
    name, *rest = arguments
    if sys.version_info < OLDEST_PYTHON:
        return refuse(f"Python {dotted(OLDEST_PYTHON)} or newer is needed; this is {dotted(sys.version_info[:3])}.")
    if name not in COMMANDS:
        return refuse(f"There is no command '{name}'; there are {', '.join(COMMANDS)}.")
    os.chdir(ROOT)
    command, _ = COMMANDS[name]
    try:
        return command(rest)
    except CannotGoOnError as reason:
        return refuse(str(reason))
    except KeyboardInterrupt:
        return 130


def usage() -> str:
    """All commands with their sentences."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {sentence}" for name, (_, sentence) in COMMANDS.items()]
    return "\n".join(["usage: python3 dev.py COMMAND [ARGUMENT ...]", "", *lines])


def refuse(sentence: str) -> int:
    """Say why not, and the exit code that goes with it."""
    print(f"dev.py: {sentence}", file=sys.stderr)
    return USAGE


def dotted(version: Sequence[object]) -> str:
    """A version tuple as people write it."""
    return ".".join(map(str, version))


# --- commands -------------------------------------------------------------------------------------------------------


def demo(arguments: list[str]) -> int:
    """The whole system on this machine."""
    return become(python(), "-m", "deploy.demo", *arguments)


def test(arguments: list[str]) -> int:
    """All tests, several at a time; arguments go to pytest, and those that name tests, or `--long`, run them singly."""
    interpreter = python()
    want_programs(TEST_PACKAGES)
    return become(interpreter, "-m", "pytest", *manner(arguments), *arguments)


def manner(arguments: Sequence[str]) -> tuple[str, ...]:
    """How pytest runs what these arguments ask for."""
    several = all(one.startswith("-") and one not in ONE_AT_A_TIME for one in arguments)
    return SEVERAL_AT_A_TIME if several else ()


ONE_AT_A_TIME = ("--long", "--pdb", "-s")
# More than there are cores, since most tests wait for others most of the time; but each worker wants 200 MB of memory.
# A file stays with one worker, which starts its servers once; the longest do not come last in the order of their names.
SEVERAL_AT_A_TIME = (
    "-n",
    str(min(8, 2 * (os.cpu_count() or 1))),
    "--dist",
    "loadfile",
    "--no-loadscope-reorder",
)


def bench(arguments: list[str]) -> int:
    """The benchmarks named, or all."""
    interpreter = python()
    want_programs(BENCH_PACKAGES)
    return become(interpreter, "-m", "bench", *arguments)


def check(arguments: list[str]) -> int:
    """Each tool in turn, all of them even when one finds fault; the first bad exit code counts."""
    if arguments:
        raise CannotGoOnError("'check' takes no arguments.")
    interpreter = python()
    codes = [run(interpreter, "-m", *tool) for tool in CHECKS]
    return next((code for code in codes if code), 0)


CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy", "--strict"),
    ("mypy", "--strict", "dev.py"),
    ("pytest", "-q", "tests/test_architecture.py", "-k", "not tools"),  # the tools have just run
)


def docs(arguments: list[str]) -> int:
    """Write the generated documents anew; `--check` only says whether they are current."""
    return become(python(), "docs/generate.py", *arguments)


def grafana(arguments: list[str]) -> int:
    """Write Grafana's dashboards and provisioning anew; `--check` only says whether they are current."""
    return become(python(), "-m", "grafana.generate", *arguments)


def setup(arguments: list[str]) -> int:
    """The environment alone."""
    if arguments:
        raise CannotGoOnError("'setup' takes no arguments.")
    print(python())
    return 0


def lock(arguments: list[str]) -> int:
    """Both lock files anew, from pyproject.toml: exact versions and hashes, for Linux and Windows.

    Compiled by uv, in an environment that is thrown away: pip-compile leaves out what only Windows needs.
    """
    import tomllib  # noqa: PLC0415 - not there in the older Pythons that must still be told so

    builder = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["build-system"]["requires"]
    everything = ["--extra", "collector", "--extra", "dev", "--extra", "windows"]
    with tempfile.TemporaryDirectory() as folder:
        make_venv(Path(folder))
        interpreter = venv_python(Path(folder))
        must("uv could not be installed", run(interpreter, *PIP, "install", "--quiet", "uv"))
        for name, extras, also in (
            ("requirements.lock", everything, builder),
            ("requirements-agent.lock", ["--extra", "windows"], []),
        ):
            print(f"dev.py: writing {name}", flush=True)
            more = Path(folder, "more.in")
            more.write_text("\n".join(also), encoding="utf-8")
            code = run(
                interpreter, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes",
                "--python-version", dotted(OLDEST_PYTHON), "--no-annotate", "--no-emit-index-url",
                "--no-emit-find-links", "--custom-compile-command", "python3 dev.py lock", *extras, *arguments,
                "--output-file", name, "pyproject.toml", str(more),
            )  # fmt: skip
            must(f"{name} could not be compiled", code)
    return 0


COMMANDS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "demo": (demo, "run the whole system on this machine with simulated rooms (--help shows its options)"),
    "test": (test, "run all tests, several at a time; arguments go to pytest; --long adds the long ones"),
    "bench": (bench, "run the benchmarks named, or all"),
    "check": (check, "run ruff, mypy --strict and the architecture test"),
    "docs": (docs, "write the generated documents anew; --check only says whether they are current"),
    "grafana": (grafana, "regenerate Grafana's dashboards; --check only says whether they are current"),
    "setup": (setup, "build or refresh the environment and print its Python"),
    "lock": (lock, "compile both lock files anew from pyproject.toml; --upgrade takes newer versions"),
}


# --- running programs -----------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """What the programs we run see: nothing that would make pip or Python look outside the environment."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "__PYVENV_LAUNCHER__")}
    return {**kept, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def run(program: Path, *arguments: str, holding: int | None = None) -> int:
    """Run a program to its end; its exit code.

    With `holding`, a lock's descriptor, it holds that lock too: killed ourselves, we may leave a pip behind that goes
    on writing, and whoever comes next must wait for it.
    """
    handed = () if holding is None or os.name != "posix" else (holding,)
    return subprocess.run([program, *arguments], env=environment(), pass_fds=handed, check=False).returncode


def become(program: Path, *arguments: str) -> int:
    """Run a program in our place, so that signals, Ctrl-C and its exit code are its own."""
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(program, [str(program), *arguments], environment())  # noqa: S606 - no shell wanted
    # Windows' exec returns to the shell at once; there we wait, and leave Ctrl-C to the child, which gets it too.
    child = subprocess.Popen([program, *arguments], env=environment())
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            return child.wait()


def must(failure: str, code: int) -> None:
    """Stop unless the exit code is 0."""
    if code:
        raise CannotGoOnError(f"{failure} (exit code {code}); what it said stands above.")


# --- the environment ------------------------------------------------------------------------------------------------

PIP = ("-m", "pip", "--no-input")
SETUP_LOCK = "sansang-setup.lock"
STAMP = "sansang-stamp"


def python() -> Path:
    """The environment's Python, once everything in requirements.lock is installed beside it.

    The stamp is taken away first and written last: a set-up that was interrupted has none, and is built anew.
    """
    folder = Path(os.environ.get("SANSANG_VENV") or ROOT / ".venv").absolute()
    if stamp_of(folder) == (foundation(folder), contents()):
        return venv_python(folder)
    if folder.exists() and not is_ours(folder):
        raise CannotGoOnError(f"{folder} holds something else than a Python environment; name another in SANSANG_VENV.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with only_one(folder / SETUP_LOCK) as held:
            build(folder, held)
    except OSError as error:
        raise CannotGoOnError(f"The environment {folder} cannot be built: {error}.") from error
    return venv_python(folder)


def build(folder: Path, held: int) -> None:
    """Make the environment what it should be; does nothing when another process has just done it.

    `held` is the descriptor of the lock that keeps others out.
    """
    stamp = stamp_of(folder)
    if stamp == (foundation(folder), contents()):
        return
    (folder / STAMP).unlink(missing_ok=True)
    if stamp is None or stamp[0] != foundation(folder):
        print(f"dev.py: building the Python environment in {folder} (a minute or two, once)", file=sys.stderr)
        clear(folder)
        make_venv(folder, holding=held)
    else:
        print(f"dev.py: refreshing the Python environment in {folder}", file=sys.stderr)
    install = (*PIP, "install", "--quiet", "--no-warn-script-location")
    interpreter = venv_python(folder)
    must(
        "Installing requirements.lock failed",
        run(interpreter, *install, "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK), holding=held),
    )
    # The builder is in the lock too: without isolation pip fetches nothing that has no hash.
    must(
        "Installing the project itself failed",
        run(interpreter, *install, "--no-deps", "--no-build-isolation", "--editable", str(ROOT), holding=held),
    )
    packages = [name for name in ("agent", "collector", "contract", "readiness", "deploy") if (ROOT / name).is_dir()]
    run(interpreter, "-m", "compileall", "-q", *packages, holding=held)  # only saves time: a failure shows at import
    (folder / STAMP).write_text("\n".join((foundation(folder), contents())), encoding="utf-8")


def venv_python(folder: Path) -> Path:
    """Where a virtual environment keeps its Python."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def foundation(folder: Path) -> str:
    """Fingerprint of what no pip can change: which Python, and where things lie. When it differs, all is built anew."""
    # Not the patch level: installing python3.11-venv may upgrade Python under our feet, and environments live on.
    return fingerprint(sys.implementation.name, dotted(sys.version_info[:2]), sys.base_prefix, str(folder), str(ROOT))


def contents() -> str:
    """Fingerprint of what should be installed."""
    return fingerprint(*(path.read_text(encoding="utf-8") for path in (LOCK, PROJECT)))


def fingerprint(*parts: str) -> str:
    """A short name for these texts together."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def stamp_of(folder: Path) -> tuple[str, str] | None:
    """The fingerprints a finished set-up left, or None when there is none."""
    try:
        first, second = (folder / STAMP).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return (first, second) if venv_python(folder).exists() else None


def is_ours(folder: Path) -> bool:
    """Whether this folder may be cleared: a virtual environment, one half made, or nothing at all."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {"a file"}
    return not names or bool(names & {"pyvenv.cfg", SETUP_LOCK})


def clear(folder: Path) -> None:
    """Empty the folder but for the lock file, which we hold."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != SETUP_LOCK:
            path.unlink()


def make_venv(folder: Path, *, holding: int | None = None) -> None:
    """A bare virtual environment with pip, from the Python that runs us (or the one behind our environment)."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        package = f"python{dotted(sys.version_info[:2])}-venv"
        if not is_debian_root():
            raise CannotGoOnError(f"Python's venv is missing: install it first with 'sudo apt-get install {package}'.")
        if not apt_install([package]):
            raise CannotGoOnError(f"Installing the Debian package {package} failed; what apt-get said stands above.")
    must("Making the virtual environment failed", run(THIS_PYTHON, "-m", "venv", str(folder), holding=holding))


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[int]:
    """Hold a lock file, whose descriptor it gives; waits while another process does.

    The system lets go of the lock when the last process that holds it ends.
    """
    with path.open("a+b") as file:
        if os.name == "posix":
            import fcntl  # noqa: PLC0415 - not on Windows

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("dev.py: another set-up is at work; waiting for it", file=sys.stderr)
                fcntl.flock(file, fcntl.LOCK_EX)
        else:
            lock_on_windows(file.fileno())
        yield file.fileno()


def lock_on_windows(descriptor: int) -> None:
    """Lock the file's first byte, which lasts until the file is closed."""
    import msvcrt  # noqa: PLC0415 - only on Windows
    import time  # noqa: PLC0415 - only wanted here

    windows: dict[str, object] = vars(msvcrt)  # mypy on Linux does not see what the module holds
    locking = windows["locking"]
    assert callable(locking)  # noqa: S101 - for mypy
    while True:
        try:
            locking(descriptor, windows["LK_NBLCK"], 1)
            break
        except OSError:
            time.sleep(0.5)


# --- Debian packages ------------------------------------------------------------------------------------------------


def want_programs(packages: dict[str, tuple[str, str]]) -> None:
    """Install the packages whose programs are missing, as root on Debian; elsewhere say which they are, and go on."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *PROGRAM_FOLDERS))
    missing = {name: why for name, (program, why) in packages.items() if shutil.which(program, path=path) is None}
    if not missing:
        return
    if is_debian_root():
        print(f"dev.py: installing the Debian packages {', '.join(missing)}", file=sys.stderr)
        if apt_install(list(missing)):
            return
    print(
        "dev.py: going on without these Debian packages; tests that want them are skipped, or fail when CI is set:",
        file=sys.stderr,
    )
    for name, why in missing.items():
        print(f"  {name}: {why}", file=sys.stderr)
    if shutil.which("apt-get"):
        print(
            f"dev.py: to have them: sudo apt-get install --no-install-recommends {' '.join(missing)}", file=sys.stderr
        )


def is_debian_root() -> bool:
    """Whether we may install Debian packages here."""
    return os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(packages: list[str]) -> bool:
    """Install Debian packages and start none of their services; whether it worked."""
    apt_get = [shutil.which("apt-get") or "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    install = ["install", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", *packages]
    quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with no_service_starts():
        # A failed update is no failure yet: the lists may be fresh enough, or another apt-get holds their lock.
        codes = [run_unbroken([*apt_get, *arguments], quietly) for arguments in (["update"], install)]
    return codes[-1] == 0


def run_unbroken(command: list[str], variables: dict[str, str]) -> int:
    """Run apt-get without input, show what it said only when it fails, and see it out even on Ctrl-C; its exit code.

    Ctrl-C reaches apt-get too, which then stops where it safely can; killed in the middle, dpkg refuses all later work.
    """
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            command, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            code = child.wait()
        except KeyboardInterrupt:
            child.wait()
            raise
        if code:
            output.seek(0)
            print(output.read().decode(errors="replace"), file=sys.stderr)
    return code


@contextlib.contextmanager
def no_service_starts() -> Iterator[None]:
    """Debian asks policy-rc.d before a freshly installed package starts its service; ours says no.

    A policy-rc.d of the machine's own is left as it is; one of ours that a killed run left behind is taken away.
    """
    ours = not POLICY.exists() or POLICY.read_text(encoding="utf-8", errors="replace") == POLICY_TEXT
    if ours:
        POLICY.write_text(POLICY_TEXT, encoding="utf-8")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
