"""What happens to real rooms, one mishap for each row of the table of causes; each lasts as long as its context."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final, NamedTuple

from readiness.causes import Cause
from readiness.codes import Code
from tests.agent.breaks import HOLE, LINE_OUT, Break, drops, lines, silenced
from tests.causes.street import CAMERA, PORTAL_PORT, Address, Room, Street
from tests.support.pc import BOOT_TOOK_S, Ending
from tests.support.way import BROKER_PORT, GATEWAY, INTERNATIONAL

Happens = Callable[[Street, list[Room]], AbstractContextManager[None]]
_HEARD_S: Final = 7.0
"""So long a room goes on in between, so that it can tell of what has happened so far."""
_RESET_S: Final = 7.0


class Mishap(NamedTuple):
    """One thing that happens to a room, or to several at once, and the right answers to why it is silent.

    `live` is the right guess while it lasts; UNKNOWN where no witness can speak then. `found` is what is to be found
    in the room instead, or afterwards.
    """

    name: str
    happens: Happens
    truth: Cause | None
    live: Cause = Cause.UNKNOWN
    rooms: tuple[Address, ...] = ()
    spare: tuple[Address, ...] = ()
    """Rooms to which nothing happens."""
    found: Code | None = None
    also: frozenset[Cause] = frozenset()
    """What a witness may say, too, before all have spoken."""


def _slept(_: Street, rooms: list[Room]) -> AbstractContextManager[None]:
    return _around(rooms[0].pc.sleep, rooms[0].pc.wake)


@contextmanager
def _around(begin: Callable[[], object], end: Callable[[], object]) -> Iterator[None]:
    begin()
    try:
        yield
    finally:
        end()


def _dark(ending: Ending, *, says_so: bool = False) -> Happens:
    """The PC goes, and comes back in a new boot."""

    @contextmanager
    def happens(_: Street, rooms: list[Room]) -> Iterator[None]:
        pc = rooms[0].pc
        with _around(pc.shut_down if says_so else pc.lose_power, pc.plug_in):
            yield
        pc.boot(ending)

    return happens


def _serviced(_: Street, rooms: list[Room]) -> AbstractContextManager[None]:
    return _around(rooms[0].pc.stop_agent, rooms[0].pc.start_agent)


def _killed(_: Street, rooms: list[Room]) -> AbstractContextManager[None]:
    return _around(rooms[0].pc.kill_agent, rooms[0].pc.start_agent)


@contextmanager
def _on_battery(room: Room, runtime_s: int) -> Iterator[None]:
    if room.ups is not None:
        room.ups.tell("OB", runtime_s)
    try:
        yield
    finally:
        if room.ups is not None:
            room.ups.tell("OL", 3600)


@contextmanager
def _ups_empty(_: Street, rooms: list[Room]) -> Iterator[None]:
    (room,) = rooms
    with _on_battery(room, 120):
        time.sleep(_HEARD_S)
        with _around(room.pc.lose_power, room.pc.plug_in), room.without_router():
            yield
    room.pc.boot(Ending.CUT)


@contextmanager
def _router_not_on_ups(_: Street, rooms: list[Room]) -> Iterator[None]:
    """The router has a battery of its own, for a moment."""
    with _on_battery(rooms[0], 3600):
        time.sleep(_HEARD_S)
        with rooms[0].without_router():
            yield


@contextmanager
def _mains_fail(_: Street, rooms: list[Room]) -> Iterator[None]:
    (room,) = rooms
    with _around(room.pc.lose_power, room.pc.plug_in), room.without_router():
        yield
    room.pc.boot(Ending.CUT)


@contextmanager
def _wrong_clock(_: Street, rooms: list[Room]) -> Iterator[None]:
    (room,) = rooms
    with _around(room.pc.lose_power, room.pc.plug_in):
        yield
    room.pc.dial.set_wall(1_262_304_000.0)  # the BIOS was made in 2010
    room.pc.boot(Ending.CUT)


def _breaks(broken: Break, *, resets: bool = False) -> Happens:
    """The way breaks; with `resets` so that a connection which stands has to be made anew."""

    @contextmanager
    def happens(_: Street, rooms: list[Room]) -> Iterator[None]:
        with broken(rooms[0].way):
            if resets:
                _reset(rooms[0])
            yield

    return happens


def _reset(room: Room) -> None:
    with room.way.filtering(room.way.provider, f"tcp dport {BROKER_PORT} reject with tcp reset"):
        time.sleep(_RESET_S)


_NO_CABLE: Final = lines("gateway", ("link set dev pc down",), ("link set dev pc up",))
_NO_NAMES: Final = drops("provider", "udp dport 53 drop")
_NO_DHCP: Final = lines(
    "pc",
    ("address delete 192.168.7.2/24 dev lan", "address add 169.254.3.4/16 dev lan"),
    (
        "address delete 169.254.3.4/16 dev lan",
        "address add 192.168.7.2/24 dev lan",
        f"route add default via {GATEWAY}",
    ),
)


def _portal(*, drops_rest: bool) -> Happens:
    rule = "tcp dport != 80" if drops_rest else f"tcp dport {BROKER_PORT}"

    @contextmanager
    def happens(_: Street, rooms: list[Room]) -> Iterator[None]:
        way = rooms[0].way
        with ExitStack() as stack:
            stack.enter_context(way.captured(80, PORTAL_PORT))
            stack.enter_context(way.filtering(way.gateway, f"{rule} reject with tcp reset"))
            if drops_rest:
                stack.enter_context(way.filtering(way.gateway, "icmp type echo-request drop"))
            yield

    return happens


@contextmanager
def _refused(street: Street, rooms: list[Room]) -> Iterator[None]:
    """Enrolled anew, and the PC has its old file still."""
    (room,) = rooms
    text = street.renew(room)
    _reset(room)
    yield
    room.pc.kill_agent()
    room.write_config(text)
    room.pc.start_agent()


@contextmanager
def _cloned(street: Street, rooms: list[Room]) -> Iterator[None]:
    """The folder of an agent is copied to another PC; in the end the agent is enrolled anew."""
    own, other = rooms
    shutil.rmtree(other.pc.folder / "spool", ignore_errors=True)
    shutil.copytree(own.pc.folder / "spool", other.pc.folder / "spool")
    text = own.pc.config.read_text(encoding="utf-8")
    other.pc.config.write_text(text.replace(str(own.pc.folder), str(other.pc.folder)), encoding="utf-8")
    other.pc.config.chmod(0o600)
    (other.pc.folder / "plan.toml").write_text(other.plan(), encoding="utf-8")
    other.pc.start_agent()
    yield
    other.pc.kill_agent()
    own.pc.kill_agent()
    street.enrol(own)
    own.pc.start_agent()


@contextmanager
def _area_line(street: Street, rooms: list[Room]) -> Iterator[None]:
    with street.town.cut_off(rooms[0].address.area):
        yield


@contextmanager
def _area_power(_: Street, rooms: list[Room]) -> Iterator[None]:
    """The mains fail in all rooms; some have a UPS for the PC and for the router, which lasts not long enough."""
    with ExitStack() as stack:
        for room in rooms:
            stack.enter_context(_on_battery(room, 1200))
        time.sleep(_HEARD_S)
        for room in rooms:
            room.pc.lose_power()
            stack.enter_context(room.without_router())
        yield
    for room in rooms:
        room.pc.plug_in()
        room.pc.boot(Ending.CUT)


@contextmanager
def _restarted_meanwhile(_: Street, rooms: list[Room]) -> Iterator[None]:
    """The provider fails, and somebody believes that it helps to restart the PC."""
    (room,) = rooms
    with LINE_OUT(room.way):
        yield
        room.pc.lose_power()
        time.sleep(BOOT_TOOK_S + 1.0)
        room.pc.plug_in()
        room.pc.boot(Ending.ORDERLY)
        time.sleep(_HEARD_S)


@contextmanager
def _snmp_off(_: Street, rooms: list[Room]) -> Iterator[None]:
    codec = rooms[0].devices["codec"]
    codec.is_silenced = True
    try:
        yield
    finally:
        codec.is_silenced = False


def _alone(name: str, **more: object) -> tuple[Address, ...]:
    """A room alone in its province, so that no other's silence speaks of it."""
    return (Address(name, province=f"Tỉnh {name}", **more),)  # type: ignore[arg-type] # the fields of an address


_AV: Final[dict[str, object]] = {"has_devices": True, "profile": "h323-720p"}

MISHAPS: Final = (
    Mishap("sleeps without a word", _slept, Cause.PC_ASLEEP, rooms=_alone("asleep")),
    Mishap(
        "switched off, says so", _dark(Ending.ORDERLY, says_so=True), Cause.PC_SWITCHED_OFF, Cause.PC_SWITCHED_OFF,
        _alone("off-said"),
    ),
    Mishap("switched off without a word", _dark(Ending.ORDERLY), Cause.PC_SWITCHED_OFF, rooms=_alone("off-unsaid")),
    Mishap("service stopped, says so", _serviced, Cause.MAINTENANCE, Cause.MAINTENANCE, _alone("serviced")),
    Mishap(
        "mains fail, UPS runs empty", _ups_empty, Cause.UPS_EMPTY, Cause.UPS_EMPTY, _alone("ups-empty", has_ups=True)
    ),
    Mishap(
        "mains fail, router not on the UPS", _router_not_on_ups, Cause.POWER_CUT_NETWORK, Cause.POWER_CUT_NETWORK,
        _alone("router-dark", has_ups=True),
    ),
    Mishap("mains fail, no UPS", _mains_fail, Cause.POWER_CUT, rooms=_alone("mains", has_devices=True)),
    Mishap("PC unplugged", _dark(Ending.CUT), Cause.PC_LOST_POWER, rooms=_alone("unplugged", has_devices=True)),
    Mishap("PC crashes", _dark(Ending.PANIC), Cause.PC_CRASHED, rooms=_alone("panic")),
    Mishap(
        "PC unplugged, its clock's battery dead", _wrong_clock, Cause.PC_LOST_POWER,
        rooms=_alone("cmos", has_devices=True), found=Code.CLOCK_WRONG,
    ),
    Mishap("agent killed", _killed, Cause.AGENT_CRASHED, rooms=_alone("killed")),
    Mishap("cable pulled", _breaks(_NO_CABLE), Cause.CABLE, rooms=_alone("cable")),
    Mishap("no address from DHCP", _breaks(_NO_DHCP), Cause.NO_ADDRESS, rooms=_alone("dhcp")),
    Mishap("router hangs", _breaks(silenced), Cause.ROUTER, rooms=_alone("router")),
    Mishap("provider fails", _breaks(LINE_OUT), Cause.ISP, rooms=_alone("isp")),
    Mishap("provider fails, PC restarted meanwhile", _restarted_meanwhile, Cause.ISP, rooms=_alone("isp-restart")),
    Mishap("names do not resolve", _breaks(_NO_NAMES, resets=True), Cause.DNS, rooms=_alone("names")),
    Mishap(
        "foreign page, all else passes", _portal(drops_rest=False), Cause.CAPTIVE_PORTAL,
        rooms=_alone("portal", shows_portal=True),
    ),
    Mishap(
        "foreign page, nothing else passes", _portal(drops_rest=True), Cause.CAPTIVE_PORTAL,
        rooms=_alone("portal-strict", shows_portal=True),
    ),
    Mishap("certificate refused", _refused, Cause.CREDENTIALS, rooms=_alone("refused")),
    Mishap(
        "identity copied", _cloned, Cause.CLONED, Cause.CLONED,
        (*_alone("cloned"), Address("thief", province="", has_agent=False)),
    ),
    Mishap(
        "provider fails in the district", _area_line, Cause.AREA_LINE,
        rooms=tuple(Address(f"line-{number}", "Hà Giang", area="line") for number in range(3)),
        spare=(Address("line-far", "Hà Giang", "Huyện 2"),),
    ),
    Mishap(
        "mains fail in the district", _area_power, Cause.AREA_POWER, Cause.AREA_POWER,
        tuple(Address(f"mains-{number}", "Lào Cai", area="power", has_ups=number < 2) for number in range(3)),
        also=frozenset({Cause.POWER_CUT_NETWORK}),
    ),
    Mishap(
        "only what is abroad is lost", _breaks(drops("provider", f"ip daddr {INTERNATIONAL} drop")), None,
        rooms=_alone("abroad", is_taught_abroad=True), found=Code.INTERNATIONAL_DOWN,
    ),
    Mishap(
        "names do not resolve, and the connection stands", _breaks(_NO_NAMES), None, rooms=_alone("nameless"),
        found=Code.DNS_FAILS,
    ),
    Mishap("large packets vanish", _breaks(HOLE), None, rooms=_alone("hole"), found=Code.MTU_HOLE),
    Mishap(
        "the codec takes no calls", _breaks(drops("devices", "tcp dport 1720 reject with tcp reset", "input")), None,
        rooms=_alone("no-calls", **_AV), found=Code.SERVICE_DOWN,
    ),
    Mishap(
        "one device is gone", _breaks(drops("devices", f"ip daddr {CAMERA} drop", "input")), None,
        rooms=_alone("no-camera", **_AV), found=Code.CAMERA_LOST,
    ),
    Mishap(
        "all devices are gone", _breaks(lines("gateway", ("link set dev av down",), ("link set dev av up",))), None,
        rooms=_alone("no-av", **_AV), found=Code.AV_ALL_LOST,
    ),
    Mishap("the codec's SNMP is off", _snmp_off, None, rooms=_alone("no-snmp", **_AV), found=Code.SNMP_SILENT),
)  # fmt: skip
