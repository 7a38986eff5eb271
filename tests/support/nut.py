"""A real upsd of Network UPS Tools over dummy-ups drivers, each of which plays a dump or a script of a UPS."""

import getpass
import itertools
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from tests.support.debian import require
from tests.support.network import Host
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Program, Programs


class Nut(NamedTuple):
    """A running upsd, and the drivers behind it by the names of their UPSes."""

    upsd: Program
    drivers: Mapping[str, Program]
    port: int

    def address(self, ups: str) -> str:
        """`HOST:PORT/UPS`."""
        return f"{LOOPBACK}:{self.port}/{ups}"


class StartNut(Protocol):
    """Starts upsd and drivers that end with the test."""

    def __call__(self, dumps: Mapping[str, str]) -> Nut:
        """Play these dumps (name of a UPS -> text of a .dev file, or of a .seq file when it has a TIMER)."""
        ...


def launch_nut(programs: Programs, folder: Path, dumps: Mapping[str, str], *, host: Host | None = None) -> Nut:
    """Start one that ends with `programs`, for fixtures that outlive a test; on this machine, or on another host."""
    driver = require("dummy-ups")
    port = free_port()
    inside = folder / f"nut-{port}"
    inside.mkdir()
    config = ["maxretry = 3", "pollinterval = 1"]
    for name, text in dumps.items():
        dump = inside / f"{name}.{'seq' if 'TIMER' in text else 'dev'}"
        dump.write_text(text, encoding="utf-8")
        config += [f"[{name}]", "driver = dummy-ups", f"port = {dump}"]
    _write(inside / "ups.conf", *config)
    _write(inside / "upsd.conf", f"LISTEN {LOOPBACK} {port}", "MAXAGE 600")  # a loaded machine makes no data stale
    _write(inside / "upsd.users")
    state = str(programs.short_folder())
    paths = {"NUT_CONFPATH": str(inside), "NUT_STATEPATH": state, "NUT_ALTPIDPATH": state}
    user = getpass.getuser() if os.geteuid() else "root"

    def there(*words: str) -> list[str]:
        return [*words] if host is None else host.inside(*words)

    def is_ready() -> bool:
        return all(_plays(port, name, dump) for name, dump in dumps.items())

    drivers = {
        name: programs.start(there(driver, "-F", "-a", name, "-u", user), ready=lambda: True, environment=paths)
        for name in dumps
    }  # all at once, since each takes a second; upsd waits for them
    upsd = programs.start(
        there(require("upsd"), "-F", "-u", user),
        ready=is_ready if host is None else lambda: host.do(is_ready),
        environment=paths,
    )
    return Nut(upsd, drivers, port)


def _write(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    path.chmod(0o600)


def _plays(port: int, ups: str, dump: str) -> bool:
    """Whether the driver has told upsd all of the dump, up to its end or its first pause."""
    lines = itertools.takewhile(lambda line: not line.startswith("TIMER"), dump.splitlines())
    names = [line.partition(":")[0].strip() for line in lines if ":" in line]
    wanted = [name for name in names if not name.startswith(("#", "driver."))]
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2.0) as sock, sock.makefile("rb") as answers:
            sock.sendall(f"GET VAR {ups} ups.status\nGET VAR {ups} {wanted[-1]}\n".encode())
            status, last = answers.readline(), answers.readline()
    except OSError:
        return False
    return status.startswith(b"VAR") and b"WAIT" not in status and last.startswith(b"VAR")


@pytest.fixture
def nut(programs: Programs, tmp_path: Path) -> StartNut:
    def start(dumps: Mapping[str, str]) -> Nut:
        return launch_nut(programs, tmp_path, dumps)

    return start
