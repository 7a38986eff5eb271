"""Many rooms, each with its own PC, switch, router and provider, in areas of one world; nothing reaches outside.

PC and devices 192.168.7.x - 192.168.7.1 gateway 100.64.7.2 - 100.64.7.1 provider 203.0.113.1xx - area - world

Each room is a `Way` to be broken as any other. The providers hide their rooms behind their own addresses, so that all
rooms can be alike.
"""

import functools
import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.support.debian import require
from tests.support.network import Host
from tests.support.way import GATEWAY, INTERNATIONAL, PROVIDER, WORLD, Way

DEVICES: Final = tuple(f"192.168.7.{number}" for number in range(20, 30))
_CARD: Final = "lan"

_numbers = itertools.count()


class Lot(NamedTuple):
    """A room to be built: its name, its area, and whether it has devices beside its PC."""

    name: str
    area: str = "elsewhere"
    has_devices: bool = False


class School(Way):
    """One room's way. Its PC and its devices are plugged into the gateway, which is a switch too."""

    devices: Host | None = None


class Town(NamedTuple):
    """All of it. A host of `areas` is all that its schools reach the world by."""

    world: Host
    areas: dict[str, Host]
    schools: dict[str, School]

    @contextmanager
    def cut_off(self, area: str) -> Iterator[None]:
        """The line that an area shares is cut; its providers' own routers live on."""
        self.areas[area].ip("link set dev trunk down")
        try:
            yield
        finally:
            self.areas[area].ip("link set dev trunk up")


@contextmanager
def open_town(folder: Path, lots: Sequence[Lot]) -> Iterator[Town]:
    """Build it; needs root."""
    ip = require("ip")
    if os.geteuid() != 0:
        pytest.skip("only root makes network namespaces")
    stem = f"sansang-town-{os.getpid()}-{next(_numbers)}"
    with ExitStack() as stack:

        def host(name: str) -> Host:
            made = Host(f"{stem}-{name}")
            subprocess.run([ip, "netns", "add", made.name], check=True, capture_output=True)
            stack.callback(subprocess.run, [ip, "netns", "delete", made.name], check=True, capture_output=True)
            made.ip("link set lo up")
            return made

        world = host("world")
        world.ip(
            "link add core type bridge",
            *(f"address add {one}/24 dev core" for one in WORLD),
            f"address add {INTERNATIONAL}/32 dev core",
            "link set core up",
        )
        areas = {name: host(name) for name in dict.fromkeys(lot.area for lot in lots)}
        for number, area in enumerate(areas.values()):
            area.ip(
                "link add core type bridge",
                f"link add trunk type veth peer name area{number} netns {world.name}",
                "link set trunk master core",
                "link set trunk up",
                "link set core up",
            )
            world.ip(f"link set area{number} master core", f"link set area{number} up")
        schools: dict[str, School] = {}
        for number, lot in enumerate(lots):
            inside = folder / lot.name
            inside.mkdir()
            pc, gateway, provider = (host(f"{lot.name}-{name}") for name in ("pc", "gateway", "provider"))
            devices = host(f"{lot.name}-av") if lot.has_devices else None
            _join(number, pc, gateway, provider, areas[lot.area])
            if devices is not None:
                _plug_in(devices, gateway)
            resolver = f"203.0.113.{200 + number}"
            world.ip(f"address add {resolver}/24 dev core")
            school = schools[lot.name] = School(pc, gateway, provider, world, inside, own_resolver=resolver)
            school.devices = devices
            stack.callback(school.close)
            school.resolve(resolver, functools.partial(getattr, school, "own_names"))
        yield Town(world, areas, schools)


def _join(number: int, pc: Host, gateway: Host, provider: Host, area: Host) -> None:
    gateway.ip(
        "link add lan type bridge",
        f"link add pc type veth peer name {_CARD} netns {pc.name}",
        "link set pc master lan",
        "link set pc up",
        f"address add {GATEWAY}/24 dev lan",
        "link set lan up",
        f"link add wan type veth peer name wan netns {provider.name}",
        "address add 100.64.7.2/24 dev wan",
        "link set wan up",
    )
    pc.ip(f"address add 192.168.7.2/24 dev {_CARD}", f"link set {_CARD} up", f"route add default via {GATEWAY}")
    provider.ip(
        f"address add {PROVIDER}/24 dev wan",
        "link set wan up",
        f"link add core type veth peer name p{number} netns {area.name}",
        f"address add 203.0.113.{100 + number}/24 dev core",
        "link set core up",
        "route add 192.168.7.0/24 via 100.64.7.2",
        f"route add 198.51.100.0/24 via {WORLD[0]}",
    )
    area.ip(f"link set p{number} master core", f"link set p{number} up")
    gateway.ip(f"route add default via {PROVIDER}")
    for router in (gateway, provider):
        router.set(ipv4__ip_forward="1", ipv4__icmp_ratelimit="0")
    rule = "type nat hook postrouting priority 100\noifname core masquerade"
    provider.nft(f"table ip hide {{\nchain out {{\n{rule}\n}}\n}}\n")


def _plug_in(devices: Host, gateway: Host) -> None:
    gateway.ip(f"link add av type veth peer name lan netns {devices.name}", "link set av master lan", "link set av up")
    devices.ip(
        *(f"address add {one}/24 dev lan" for one in DEVICES), "link set lan up", f"route add default via {GATEWAY}"
    )
