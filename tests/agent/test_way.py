"""The whole agent and its doctor on a way that breaks: it goes on measuring, comes back by itself, and says why."""

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import pytest

import dev
from contract.moment import Moment
from contract.rung import Rung
from contract.spool import SpoolReader
from tests.agent.breaks import LINE_OUT, NO_PINGS, Break, both, collector_forgotten, drops, lines, silenced
from tests.support.processes import Program, Programs
from tests.support.reliability import Seen
from tests.support.way import (
    BROKER_PORT,
    COLLECTOR,
    COLLECTOR_NAME,
    GATEWAY,
    INTERNATIONAL,
    NATIONAL,
    Way,
    echo_page,
    nothing,
    open_way,
)

AGENT: Final = "pc-101"
PLAN: Final = f"""\
tick_s = 2

[[probe]]
name = "host"
sample_s = 0.1
every_s = 4

[[probe]]
name = "link"
gateway = "auto"
national = "{NATIONAL}:443"
international = "{INTERNATIONAL}"
name_wanted = "{COLLECTOR_NAME}"
name_addresses = ["{COLLECTOR}"]
portal_url = "http://{COLLECTOR}/probe?{{nonce}}"
portal_body = "sansang {{nonce}}"
mtu_address = "{COLLECTOR}"
collector = "{COLLECTOR_NAME}:{BROKER_PORT}"
thorough_every_count = 1
timeout_s = 1
every_s = 24
"""
PATIENCE_S: Final = 150.0


class Room:
    """A way, a collector at its far end, and the file and the plan of an agent at its near one."""

    def __init__(self, way: Way, folder: Path, collector: Program) -> None:
        self.way, self.collector = way, collector
        self.config = folder / f"{AGENT}.toml"
        self.spool = folder / "pc" / "spool.db"
        self._series = folder / "centre" / "series.db"

    def agent(self, *words: str) -> list[str]:
        """The words of the agent's program on the PC."""
        return self.way.on_pc(sys.executable, "-m", "agent", *words, "--config", self.config)

    def doctor(self) -> list[str]:
        done = subprocess.run(
            self.agent("doctor", "--lang", "en"), cwd=dev.ROOT, capture_output=True, text=True, check=False, timeout=100
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    def walks(self) -> "list[Walk]":
        """All that the agent has found, in order."""
        with contextlib.closing(SpoolReader(self.spool)) as spool:
            return [
                Walk(record.taken, Rung(int(reading.values["failed_rung_code"])))
                for _, record in spool.records()
                for reading in record.readings
                if reading.probe == "link" and "failed_rung_code" in reading.values
            ]

    def waiting_count(self) -> int:
        with contextlib.closing(SpoolReader(self.spool)) as spool:
            assert spool.stat().dropped_count == 0
            return spool.stat().waiting_count

    def stored(self, since_s: float) -> list[int]:
        """The codes that the collector's series hold since then, in order of their time."""
        query = (
            "SELECT value FROM sample JOIN series ON series.id = sample.series"
            " WHERE measurement = 'link' AND field = 'failed_rung_code'"
            " AND measured_ms >= ? ORDER BY measured_ms"
        )
        with contextlib.closing(sqlite3.connect(f"file:{self._series}?mode=ro", uri=True)) as database:
            return [int(value) for (value,) in database.execute(query, (since_s * 1000,))]

    def wait_for(self, holds: Callable[[], bool], agent: Program) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > until_s:
                found = [walk.rung.name for walk in self.walks()][-12:]
                pytest.fail(f"did not come true in {PATIENCE_S:g} s; the last walks: {found}\n{agent.tail()}")
            time.sleep(0.2)

    def wait_for_walks(self, rung: Rung, agent: Program, count: int = 2) -> None:
        """Until so many walks in a row have named the rung, all begun from now on."""
        known_count = len(self.walks())
        self.wait_for(lambda: [walk.rung for walk in self.walks()[known_count:]][-count:] == [rung] * count, agent)


class Walk(NamedTuple):
    taken: Moment
    rung: Rung


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    tmp_path = tmp_path_factory.mktemp("room")
    programs = Programs(tmp_path)
    centre = tmp_path / "collector.toml"
    centre.write_text(
        f'data_dir = "centre"\n'
        f'[broker]\nhost = "{COLLECTOR}"\nport = {BROKER_PORT}\ntls = true\n'
        f'[agents]\nhost = "{COLLECTOR_NAME}"\nport = {BROKER_PORT}\ntls = true\n',
        encoding="utf-8",
    )
    config = tmp_path / f"{AGENT}.toml"
    for words in (
        ("rooms", "add", "phong-101", "--name", "Phòng 101", "--province", "Hà Giang", "--school", "THCS Lũng Cú"),
        ("agents", "add", AGENT, "--room", "phong-101", "--file", str(config)),
    ):
        command = [sys.executable, "-m", "collector", *words, "--config", str(centre)]
        subprocess.run(command, check=True, cwd=dev.ROOT, capture_output=True)
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    own = f'data_dir = "{tmp_path}/pc"\nplan = "{tmp_path}/plan.toml"\n'
    config.write_text(own + config.read_text(encoding="utf-8"), encoding="utf-8")
    with open_way(tmp_path) as way:
        way.listen(way.world, NATIONAL, 443, nothing)
        way.listen(way.world, COLLECTOR, 80, echo_page)

        def is_up() -> bool:
            try:
                return httpx.get("http://127.0.0.1:8080/healthz", trust_env=False, timeout=1.0).is_success
            except httpx.TransportError:
                return False

        command = way.world.inside(sys.executable, "-m", "collector", "run", "--config", str(centre))
        collector = programs.start(command, ready=lambda: way.world.do(is_up), within_s=60, folder=dev.ROOT)
        try:
            yield Room(way, tmp_path, collector)
        finally:
            programs.stop_all()


class Fault(NamedTuple):
    rung: Rung
    breaks: Break


REFUSED: Final = Fault(Rung.COLLECTOR_TCP, drops("provider", f"tcp dport {BROKER_PORT} reject with tcp reset"))
CUT: Final = Fault(Rung.ISP, LINE_OUT)
HALF_OPEN: Final = Fault(Rung.COLLECTOR_TLS, drops("provider", f"tcp sport {BROKER_PORT} ip length > 60 drop"))
GATEWAY_GONE: Final = Fault(Rung.GATEWAY, silenced)
NO_DHCP: Final = Fault(
    Rung.ADDRESS,
    lines(
        "pc",
        ("address delete 192.168.7.2/24 dev lan", "address add 169.254.3.4/16 dev lan"),
        (
            "address delete 169.254.3.4/16 dev lan",
            "address add 192.168.7.2/24 dev lan",
            f"route add default via {GATEWAY}",
        ),
    ),
)
NO_CABLE: Final = Fault(Rung.NIC, lines("gateway", ("link set dev lan down",), ("link set dev lan up",)))
NO_NAMES: Final = Fault(Rung.DNS, drops("provider", "udp dport 53 drop"))
BEYOND: Final = Fault(Rung.NATIONAL, drops("provider", "iifname wan drop"))
HOLE: Final = Fault(Rung.MTU, drops("provider", "ip length > 1400 drop"))


BROKER: Final = f"{COLLECTOR_NAME}:{BROKER_PORT}"


@pytest.mark.parametrize(
    ("breaks", "sentence"),
    [
        pytest.param(both(), "", id="all is well"),
        pytest.param(
            GATEWAY_GONE.breaks, f"The school's router does not answer: {GATEWAY} answers neither ping nor ARP.",
            id="gateway gone"),
        pytest.param(HOLE.breaks, "Large packets vanish without a word (only 1400 bytes pass to ", id="MTU hole"),
        pytest.param(HALF_OPEN.breaks, f"{BROKER} takes connections but is not the project's broker", id="half-open"),
        pytest.param(NO_CABLE.breaks, "The network card has no link (lan).", id="cable out", marks=pytest.mark.long),
        pytest.param(
            NO_DHCP.breaks, "The PC has no usable network address (it has: 169.254.3.4", id="no DHCP",
            marks=pytest.mark.long),
        pytest.param(
            both(NO_PINGS, LINE_OUT), f"There is no Internet: tcp {NATIONAL}:443: no answer within 1 s.", id="line out",
            marks=pytest.mark.long),
        pytest.param(NO_NAMES.breaks, "Names do not resolve: ", id="no names", marks=pytest.mark.long),
        pytest.param(collector_forgotten, "Names do not resolve: ", id="name forgotten", marks=pytest.mark.long),
        pytest.param(
            REFUSED.breaks, f"{BROKER} cannot be reached: connection refused", id="refused", marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_the_doctor_names_the_first_rung_that_fails_and_no_other(room: Room, breaks: Break, sentence: str) -> None:
    with breaks(room.way):
        ill = first_ill(room, sentence)
    assert [line.startswith(sentence) for line in ill] == [True] * bool(sentence), ill


def first_ill(room: Room, sentence: str) -> list[str]:
    """What the doctor finds ill of the way; looked at again while a break has not taken hold, or an old one let go."""
    found: list[str] = []
    for _ in range(4):
        lines = [line[5:] for line in room.doctor() if line.startswith("!!   ")]
        found = [line for line in lines if "pings" not in line]
        if [line.startswith(sentence) for line in found] == [True] * bool(sentence):
            break
    return found


def endure(room: Room, programs: Programs, faults: list[Fault], *, healing: bool) -> int:
    """Break one thing after the other under a running agent, then heal all: how many walks it made meanwhile.

    Without `healing` in between the agent stays cut off from the first to the last.
    """
    room.spool.unlink(missing_ok=True)  # of the run before
    began_s = time.time()
    agent = programs.start(room.agent("run"), ready=room.spool.exists, folder=dev.ROOT)
    room.wait_for(lambda: "connected to" in agent.tail() and len(room.walks()) > 0, agent)
    room.wait_for(lambda: room.walks()[-1].rung is Rung.NONE, agent)
    with ExitStack() as broken:
        for fault in faults:
            stack = ExitStack()
            stack.enter_context(fault.breaks(room.way))
            broken.close()
            broken.enter_context(stack)
            room.wait_for_walks(fault.rung, agent)
            if healing:
                broken.close()
                room.wait_for_walks(Rung.NONE, agent)
    room.wait_for_walks(Rung.NONE, agent, count=1)
    room.wait_for(lambda: room.waiting_count() == 0, agent)
    agent.stop()
    made = [walk.rung.value for walk in room.walks()]
    room.wait_for(lambda: room.stored(began_s) == made, room.collector)
    assert {fault.rung.value for fault in faults} <= set(made)
    return len(made)


def test_an_agent_that_was_cut_off_comes_back_and_tells_why(room: Room, programs: Programs) -> None:
    endure(room, programs, [REFUSED, CUT, GATEWAY_GONE, HALF_OPEN], healing=False)


@pytest.mark.long
@pytest.mark.bar("weak links", load="a whole agent behind nine breaks, one after the other, healed in between")
def test_whatever_broke_every_walk_is_stored(room: Room, programs: Programs, seen: Seen) -> None:
    faults = [NO_CABLE, NO_DHCP, GATEWAY_GONE, CUT, BEYOND, NO_NAMES, HOLE, REFUSED, HALF_OPEN]
    walks_count = endure(room, programs, faults, healing=True)
    seen(f"0 of {walks_count} walks of an agent lost, each break in the collector's series")
