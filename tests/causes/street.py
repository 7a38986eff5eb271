"""Rooms that are real but for their bricks: shipping programs, each behind a way of its own, and a real broker.

What happens to them is in `mishaps.py`; what the collector makes of it is read where it keeps it.
"""

import contextlib
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

import deploy
import dev
from collector.authority import Authority
from collector.outages import Outage
from collector.rooms.enrolment import BrokerAddress, enrol, equip_broker
from collector.rooms.registry import Registry
from collector.storage.cases import Cases
from collector.storage.database import open_database, sqlite_url
from readiness.causes import Cause
from tests.support.debian import require
from tests.support.dial import build_shim
from tests.support.network import Host
from tests.support.nut import launch_nut
from tests.support.pc import Pc
from tests.support.processes import Program, Programs
from tests.support.scripted_devices import SnmpDevice, serve_snmp
from tests.support.town import DEVICES, Lot, School, Town, open_town
from tests.support.way import (
    BROKER_PORT,
    COLLECTOR,
    COLLECTOR_NAME,
    GATEWAY,
    INTERNATIONAL,
    LESSON,
    LESSON_NAME,
    NATIONAL,
    PROVIDER,
    echo_page,
    nothing,
    portal_page,
)

PATIENCE_S: Final = 180.0
TICK_S: Final = 3
CODEC, CAMERA = DEVICES[:2]
PORTAL_PORT: Final = 8080

_MOSQUITTO: Final = Path(deploy.__file__).parent / "mosquitto"
_ADDRESS: Final = BrokerAddress(host=COLLECTOR_NAME, port=BROKER_PORT, tls=True)
_SETTINGS: Final = f"""\
data_dir = "{{folder}}/centre"
[broker]
mode = "mqtt"
host = "{COLLECTOR}"
port = {BROKER_PORT}
tls = true
ca = "{{folder}}/broker/ca.crt"
certificate = "{{folder}}/broker/collector.crt"
key = "{{folder}}/broker/collector.key"
[agents]
host = "{COLLECTOR_NAME}"
[alerts]
hold_off_s = {{short_s}}
clear_after_s = 2
grace_s = {{grace_s}}
silent_after_s = {{silent_s}}
review_every_s = 0.5
"""
_PLAN: Final = f"""\
tick_s = {TICK_S}
backlog_bps = 1e6
profile = "{{profile}}"

[[probe]]
name = "host"
sample_s = 0.1

[[probe]]
name = "boot"
every_s = 15

[[probe]]
name = "link"
gateway = "auto"
national = "{NATIONAL}:443"
international = "{INTERNATIONAL}"
name_wanted = "{COLLECTOR_NAME}"
name_addresses = ["{COLLECTOR}"]
portal_url = "http://{COLLECTOR}/probe?{{{{nonce}}}}"
portal_body = "sansang {{{{nonce}}}}"
mtu_address = "{COLLECTOR}"
collector = "{COLLECTOR_NAME}:{BROKER_PORT}"
thorough_every_count = 2
every_s = 18
timeout_s = 0.6

[[probe]]
name = "dns"
target = "dns"
name_wanted = "{LESSON_NAME}"
timeout_s = 1
"""
_PINGED: Final = (
    ("gateway", GATEWAY),
    ("isp", PROVIDER),
    ("national", NATIONAL),
    ("international", INTERNATIONAL),
    ("lesson-zoom", LESSON),
)
_PING: Final = """
[[probe]]
name = "ping"
target = "{target}"
address = "{address}"
count = 3
spacing_s = 0.02
timeout_s = 0.5
"""
_SNMP: Final = """
[[probe]]
name = "snmp"
target = "{target}"
address = "{address}"
timeout_s = 0.7
retries = 0
"""
_TCP: Final = """
[[probe]]
name = "tcp"
target = "{target}"
address = "{address}"
port = {port}
timeout_s = 0.7
"""
_POWER: Final = """
[[probe]]
name = "power"
target = "ups"
nut = "{nut}"
timeout_s = 1
"""
_UPS: Final = "ups.status: {status}\nbattery.charge: 90\nbattery.runtime: {runtime_s}\n"


class Pace(NamedTuple):
    """How quickly all goes: the collector's waits, beside those that are its own."""

    grace_s: float
    short_s: float = 5.0
    silent_s: float = 10.0


class Address(NamedTuple):
    """Where a room stands, and what is in it. `name` is its id, and its school."""

    name: str
    province: str
    district: str = "Huyện 1"
    area: str = "elsewhere"
    has_ups: bool = False
    has_devices: bool = False
    shows_portal: bool = False
    profile: str = "zoom-720p"
    is_taught_abroad: bool = False
    """Whether one of its lessons' servers is abroad."""
    has_agent: bool = True

    @property
    def agent(self) -> str:
        return f"pc-{self.name}"


class Ups:
    """The UPS of a room, which tells a real upsd of it."""

    def __init__(self, programs: Programs, folder: Path, host: Host) -> None:
        nut = launch_nut(programs, folder, {"ups": _UPS.format(status="OL", runtime_s=3600)}, host=host)
        self.address = nut.address("ups")
        self._dump = next(folder.glob("nut-*/ups.dev"))

    def tell(self, status: str, runtime_s: int) -> None:
        """OL on mains, OB on battery."""
        written = self._dump.with_suffix(".new")
        written.write_text(_UPS.format(status=status, runtime_s=runtime_s), encoding="ascii")
        written.replace(self._dump)


class Room:
    """One room: its way, its PC, what stands in it."""

    def __init__(self, address: Address, school: School, shim: Path, programs: Programs, folder: Path) -> None:
        self.address = address
        self.name = address.name
        self.way = school
        self.pc = Pc(school, folder, shim, programs)
        self.devices: dict[str, SnmpDevice] = {}
        self.ups = Ups(programs, folder, school.pc) if address.has_ups else None
        if address.has_devices and school.devices is not None:
            for target, host, where in (("router", school.gateway, GATEWAY), ("codec", school.devices, CODEC)):
                self.devices[target] = SnmpDevice()
                serve_snmp(school, host, where, self.devices[target])
            school.listen(school.devices, CODEC, 1720, nothing)
        if address.shows_portal:
            school.listen(school.gateway, GATEWAY, PORTAL_PORT, portal_page)

    def plan(self) -> str:
        """What its agent measures."""
        text = _PLAN.format(profile=self.address.profile)
        text += "".join(_PING.format(target=target, address=address) for target, address in _PINGED)
        text += _TCP.format(target="lesson-zoom", address=LESSON_NAME, port=443)
        if self.ups is not None:
            text += _POWER.format(nut=self.ups.address)
        if self.devices:
            text += _SNMP.format(target="router", address=GATEWAY) + _SNMP.format(target="codec", address=CODEC)
            text += _PING.format(target="codec", address=CODEC) + _PING.format(target="camera", address=CAMERA)
            text += _TCP.format(target="codec", address=CODEC, port=1720)
        if self.address.is_taught_abroad:
            text += _PING.format(target="lesson-teams", address=INTERNATIONAL)
        return text

    def write_config(self, text: str) -> None:
        """The PC's small file, with a plan of its own until the collector sends one."""
        plan = self.pc.folder / "plan.toml"
        plan.write_text(self.plan(), encoding="utf-8")
        own = f'data_dir = "{self.pc.folder}/spool"\nplan = "{plan}"\n'
        self.pc.config.write_text(own + text, encoding="utf-8")
        self.pc.config.chmod(0o600)

    @contextlib.contextmanager
    def without_router(self) -> Iterator[None]:
        """The gateway, which is the switch too, has no power; the devices neither."""
        off = ("link set dev pc down", "link set dev wan down")
        on = ("link set dev pc up", "link set dev wan up", f"route replace default via {PROVIDER}")
        self.way.gateway.ip(*off)
        try:
            yield
        finally:
            for device in self.devices.values():
                device.start_anew()
            self.way.gateway.ip(*on)


class Street:
    """The rooms, and the centre that hears them."""

    def __init__(self, town: Town, folder: Path, programs: Programs, pace: Pace, addresses: Sequence[Address]) -> None:
        self.town, self.folder = town, folder
        self._programs = programs
        self._programs_of_rooms: list[Programs] = []
        self._pace = pace
        self._shim = build_shim(folder)
        self._engine = open_database(sqlite_url(self._made("centre") / "collector.db"))
        self._registry = Registry(self._engine)
        self._authority = Authority(folder / "centre" / "authority", time.time())
        self._cases = Cases(self._engine)
        self.told: dict[str, list[Outage]] = {one.name: [] for one in addresses}
        """All that was ever said of each room's silences, in order."""
        self._over = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        with ThreadPoolExecutor(8) as pool:
            rooms = pool.map(self._settle, addresses)
            self.rooms = {room.name: room for room in rooms}
        self.broker = self._start_broker()
        self.collector = self._start_collector()
        self._listener.start()

    def _made(self, name: str) -> Path:
        made = self.folder / name
        made.mkdir()
        return made

    def _settle(self, address: Address) -> Room:
        folder = self._made(f"room-{address.name}")
        programs = Programs(folder)
        self._programs_of_rooms.append(programs)
        return Room(address, self.town.schools[address.name], self._shim, programs, folder)

    def _start_broker(self) -> Program:
        folder = self.folder / "broker"
        equip_broker(self._authority, folder, (COLLECTOR_NAME, COLLECTOR))
        shutil.copy(_MOSQUITTO / "sansang.acl", folder)
        text = (_MOSQUITTO / "sansang.conf").read_text(encoding="utf-8").replace("/etc/mosquitto/sansang", str(folder))
        config = folder / "mosquitto.conf"
        config.write_text(f"user root\n{text}", encoding="utf-8")
        command = self.town.world.inside(require("mosquitto"), "-c", str(config))
        return self._programs.start(command, ready=lambda: self.town.world.do(_takes_connections))

    def _start_collector(self) -> Program:
        config = self.folder / "collector.toml"
        config.write_text(_SETTINGS.format(folder=self.folder, **self._pace._asdict()), encoding="utf-8")
        for room in self.rooms.values():
            one = room.address
            if one.has_agent:
                self._registry.add_room(
                    one.name, name=one.name, province=one.province, school=one.name, district=one.district,
                    profile=one.profile,
                )  # fmt: skip
                self.enrol(room)
        command = self.town.world.inside(sys.executable, "-m", "collector", "run", "--config", str(config))
        return self._programs.start(
            command, ready=lambda: self.get("/healthz") is not None, within_s=60, folder=dev.ROOT
        )

    def enrol(self, room: Room) -> None:
        """Give the room's agent a credential, which ends the one before, and its PC the file."""
        room.write_config(self.renew(room))

    def renew(self, room: Room) -> str:
        """Give the room's agent a credential that its PC does not have yet; the text of the file."""
        one = room.address
        enrolled = enrol(self._registry, self._authority, one.agent, one.name, broker=_ADDRESS, now_s=time.time())
        if enrolled.renewed:
            shutil.copy(self._authority.crl_path, self.folder / "broker" / "ca.crl")
            self.broker.signal(signal.SIGHUP)
        return enrolled.text

    def get(self, path: str) -> Any:
        """One of the collector's pages, as JSON where it is; None while there is none."""

        def ask() -> Any:
            try:
                answer = httpx.get(f"http://127.0.0.1:8080{path}", trust_env=False, timeout=5.0)
            except httpx.TransportError:
                return None
            return answer.json() if path.endswith(".json") and answer.is_success else answer.text

        return self.town.world.do(ask)

    def findings(self, room: str) -> dict[str, str]:
        """What is wrong in a room now: code -> target."""
        return {one["code"]: one["target"] for one in self._shown(room).get("findings", ())}

    def is_heard(self, room: str) -> bool:
        """Whether its agent has sent something."""
        return any(one["last_heard_s"] is not None for one in self._shown(room).get("agents", ()))

    def _shown(self, room: str) -> dict[str, Any]:
        document = self.get("/rooms.json")
        return next((one for one in document["rooms"] if one["room"] == room), {}) if document else {}

    @property
    def monitored(self) -> list[str]:
        """The rooms that have an agent."""
        return [name for name, room in self.rooms.items() if room.address.has_agent]

    def start_agents(self) -> None:
        """Switch all PCs on, and wait until they are heard."""
        for name in self.monitored:
            self.rooms[name].pc.start_agent()
        self.wait_for(lambda: all(map(self.is_heard, self.monitored)), "all rooms are heard")

    def _listen(self) -> None:
        while not self._over.wait(0.3):
            for name, told in self.told.items():
                for one in reversed(self._cases.recent_outages(name, 3)):
                    known = next((known for known in reversed(told) if known.outage == one.outage), None)
                    if known is None or (known.explanation, known.is_settled, known.silence.until_s) != (
                        one.explanation, one.is_settled, one.silence.until_s,
                    ):  # fmt: skip
                        told.append(one)

    def comes_true(self, holds: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
        """Whether something holds before long."""
        until_s = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > until_s:
                return False
            time.sleep(0.3)
        return True

    def wait_for(self, holds: Callable[[], bool], what: str) -> None:
        """Fails with the end of the collector's log when it does not come true."""
        if not self.comes_true(holds):
            pytest.fail(f"not in {PATIENCE_S:g} s: {what}\n{self.collector.tail()[-3000:]}")

    def guesses(self, room: str, since_s: float) -> list[Cause]:
        """What was said while the room was silent, in order."""
        said = [one for one in self.told[room] if one.silence.since_s >= since_s and one.silence.until_s is None]
        return [one.explanation.cause for one in said]

    def settled(self, room: str, since_s: float) -> Outage | None:
        """What is said for good of its silence since then."""
        said = [one for one in self.told[room] if one.silence.since_s >= since_s and one.is_settled]
        return said[-1] if said else None

    def close(self) -> None:
        self._over.set()
        if self._listener.is_alive():
            self._listener.join(10)
        for room in self.rooms.values():
            room.pc.close()
        for programs in self._programs_of_rooms:
            programs.stop_all()
        self._engine.dispose()


def _takes_connections() -> bool:
    with socket.socket() as sock:
        sock.settimeout(1.0)
        return sock.connect_ex((COLLECTOR, BROKER_PORT)) == 0


@contextlib.contextmanager
def open_street(folder: Path, programs: Programs, addresses: Sequence[Address], pace: Pace) -> Iterator[Street]:
    """All of it, running and heard; it ends with its context."""
    require("mosquitto")
    lots = [Lot(one.name, one.area, one.has_devices) for one in addresses]
    with open_town(folder, lots) as town:
        lesson = town.schools[addresses[0].name]
        lesson.listen(town.world, NATIONAL, 443, nothing)
        lesson.listen(town.world, LESSON, 443, nothing)
        lesson.listen(town.world, COLLECTOR, 80, echo_page)
        street = Street(town, folder, programs, pace, addresses)
        try:
            street.start_agents()
            yield street
        finally:
            street.close()
            programs.stop_all()
