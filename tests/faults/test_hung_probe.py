"""A measurement that never returns, in the real agent: it is told, delays nothing else, is tried anew, and the agent
still ends when it is asked to.

What hangs is a driver: reading a sound card's name blocks for ever, as it does when a device has gone wrong. A web
server that takes connections and says nothing is another matter: that is the server's fault, and told as such.
"""

import contextlib
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

import dev
from contract.outcome import Outcome
from contract.reading import Reading
from contract.spool import SpoolReader
from tests.support.debian import require
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Program, Programs

PATIENCE_S: Final = 120.0
CARD: Final = "sys/class/sound/card0"
SICK_DRIVER: Final = f"""
mount -t tmpfs none /sys/class &&
mkdir -p /{CARD}/pcmC0D0c &&
mkfifo /{CARD}/id &&
exec "$@"
"""
PLAN: Final = """
tick_s = 1
[[probe]]
name = "peripherals"
every_s = 13
[[probe]]
name = "boot"
every_s = 15
[[probe]]
name = "http"
target = "lesson-web"
url = "http://{host}:{port}/"
timeout_s = 1
every_s = 3
[[probe]]
name = "tcp"
timeout_s = 1
every_s = 6
target = "lesson-mcu"
address = "{host}"
port = {port}
"""


@pytest.fixture
def mute_server() -> Iterator[int]:
    """Its kernel takes connections; nobody ever reads or writes. Its port."""
    with socket.create_server((LOOPBACK, 0), backlog=512) as sock:
        yield sock.getsockname()[1]


@pytest.fixture
def agent(tmp_path: Path, programs: Programs, mute_server: int) -> Program:
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    (tmp_path / "plan.toml").write_text(PLAN.format(host=LOOPBACK, port=mute_server), encoding="utf-8")
    config = tmp_path / "agent.toml"
    config.write_text(
        f'agent = "pc-101"\ndata_dir = "data"\nplan = "plan.toml"\n'
        f'[broker]\nhost = "{LOOPBACK}"\nport = {free_port()}\ntls = false\n',
        encoding="utf-8",
    )
    command: list[str | Path] = [sys.executable, "-m", "agent", "run", "--config", config]
    return programs.start(
        [require("unshare"), "--mount", "sh", "-c", SICK_DRIVER, "sh", *command],
        ready=(tmp_path / "data" / "spool.db").exists,
        folder=dev.ROOT,
    )


def readings(tmp_path: Path) -> list[Reading]:
    with contextlib.closing(SpoolReader(tmp_path / "data" / "spool.db")) as spool:
        try:
            return [reading for _, record in spool.records() for reading in record.readings]
        except sqlite3.DatabaseError:
            return []  # it is just being made


def wait_for(holds: Callable[[], bool], agent: Program) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until_s, agent.tail()
        time.sleep(0.2)


def test_a_driver_that_hangs_is_told_and_tried_anew_and_stops_nothing_else(tmp_path: Path, agent: Program) -> None:
    def of(probe: str) -> list[Reading]:
        return [one for one in readings(tmp_path) if one.probe == probe]

    wait_for(lambda: bool(of("peripherals")), agent)
    hung = of("peripherals")[0]
    assert (hung.outcome, hung.detail) == (Outcome.BROKEN, "peripherals pc: no result within 11 s")
    assert {one.outcome for one in of("boot")} == {Outcome.OK}
    assert {one.outcome for one in of("tcp")} == {Outcome.OK}
    assert {one.outcome for one in of("http")} == {Outcome.TIMEOUT}
    assert len(of("http")) >= 2, "it was measured all the while"

    # The driver works again; whoever waited for it waits on.
    well = Path(f"/proc/{agent.pid}/root") / CARD
    (well / "name").write_text("USB Audio", encoding="ascii")
    (well / "name").replace(well / "id")
    wait_for(lambda: any(one.outcome is Outcome.OK for one in of("peripherals")), agent)
    assert of("peripherals")[-1].values["microphones_count"] == 1

    assert agent.stop(within_s=60.0) == 0, "a thread that hangs still holds nothing up"
    assert "Traceback" not in agent.tail()
