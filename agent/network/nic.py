"""Reads what the PC knows of its own network: card, addresses, default gateway (psutil); asks nobody."""

import ctypes
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import psutil

_UNKNOWN_SPEED: Final = 65535  # what some drivers report for "don't know"
_BPS_PER_MBIT: Final = 1e6
_RTF_UP: Final = 0x1
_RTF_GATEWAY: Final = 0x2
_ANYWHERE: Final = "192.0.2.1"
"""TEST-NET-1 (RFC 5737): only ever looked up in this PC's own routing table."""
_FORWARD_ROW: Final = struct.Struct("=III4sI36x")
"""MIB_IPFORWARDROW: destination, mask, policy, next hop, index of the card, and nine more DWORDs."""


class Card(NamedTuple):
    """One network card, as the system describes it; None where it does not tell."""

    name: str
    is_up: bool
    speed_bps: float | None = None
    is_full_duplex: bool | None = None
    mtu_bytes: int | None = None
    addresses: tuple[str, ...] = ()


class Route(NamedTuple):
    """The default route: through which card, to which router (empty where a line has none, as of a modem)."""

    card: str
    gateway: str


def choose_card(wanted: str = "") -> str:
    """The card to speak of: the one wanted, else that of the default route, else the first that is up.

    Empty when the PC has none but loopback. KeyError when the one wanted is not there.
    """
    stats = psutil.net_if_stats()
    if wanted:
        return wanted if stats[wanted] else ""
    route = default_route()
    if route is not None and route.card in stats:
        return route.card
    real = [name for name in sorted(stats) if not _is_loopback(name)]
    up = [name for name in real if stats[name].isup]
    return (up or real or [""])[0]


def read_card(name: str) -> Card:
    """What the system tells of a card now; one that is not there (any more) is not up."""
    stats = psutil.net_if_stats().get(name)
    if stats is None:
        return Card(name, is_up=False)
    return Card(
        name,
        is_up=bool(stats.isup),
        speed_bps=stats.speed * _BPS_PER_MBIT if 0 < stats.speed < _UNKNOWN_SPEED else None,
        is_full_duplex=None if stats.duplex == psutil.NIC_DUPLEX_UNKNOWN else stats.duplex == psutil.NIC_DUPLEX_FULL,
        mtu_bytes=stats.mtu or None,
        addresses=tuple(_addresses(name)),
    )


def networks_of(name: str) -> list[ipaddress.IPv4Interface]:
    """A card's own IPv4 addresses, each with the network that it lies in; none for a card that is not there."""
    return [
        ipaddress.IPv4Interface(f"{one.address}/{one.netmask}")
        for one in psutil.net_if_addrs().get(name, [])
        if one.family == socket.AF_INET and one.netmask
    ]


def is_usable(address: str) -> bool:
    """Whether an address can reach beyond the cable: not one that the PC gave itself (RFC 3927, RFC 4291)."""
    parsed = ipaddress.ip_address(address)
    return not (parsed.is_link_local or parsed.is_loopback or parsed.is_unspecified)


def is_outside(address: str) -> bool:
    """Whether an address lies outside the school: public, or of the shared space of providers (RFC 6598)."""
    parsed = ipaddress.ip_address(address)
    return not any(parsed in network for network in _INSIDE if network.version == parsed.version)


_INSIDE: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "0.0.0.0/8",
        "fc00::/7", "fe80::/10", "::1/128",
    )
)  # fmt: skip
"""Private networks (RFC 1918, RFC 4193) and what never leaves a cable."""


def default_route() -> Route | None:
    """The IPv4 default route, None when there is none or the system does not tell."""
    if sys.platform == "linux":
        try:
            lines = Path("/proc/net/route").read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        return parse_routes(lines)
    own = _own_address()
    card = next((name for name, found in psutil.net_if_addrs().items() if own in {one.address for one in found}), "")
    return Route(card, _gateway_of_windows()) if own and card else None


def parse_routes(lines: Iterable[str]) -> Route | None:
    """The default route with the lowest metric in /proc/net/route."""
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) < 8 or fields[1] != "00000000" or fields[7] != "00000000":  # noqa: PLR2004 - columns
            continue
        flags = int(fields[3], 16)
        if flags & _RTF_UP:
            gateway = socket.inet_ntoa(struct.pack("=L", int(fields[2], 16))) if flags & _RTF_GATEWAY else ""
            found.append((int(fields[6]), Route(fields[0], gateway)))
    return min(found)[1] if found else None


def parse_forward_row(row: bytes) -> str:
    """The router in Windows' MIB_IPFORWARDROW; empty when the line has none."""
    gateway: bytes = _FORWARD_ROW.unpack_from(row)[3]
    return "" if gateway == bytes(4) else socket.inet_ntoa(gateway)


def _own_address() -> str:
    """The address that would be used. Connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((_ANYWHERE, 9))
        except OSError:
            return ""
        return str(sock.getsockname()[0])


def _gateway_of_windows() -> str:
    if sys.platform != "win32":
        return ""
    row = ctypes.create_string_buffer(_FORWARD_ROW.size)
    somewhere = int.from_bytes(socket.inet_aton(_ANYWHERE), "little")
    failed = ctypes.WinDLL("iphlpapi").GetBestRoute(somewhere, 0, row)
    return "" if failed else parse_forward_row(row.raw)


def _addresses(name: str) -> Iterable[str]:
    for one in psutil.net_if_addrs().get(name, []):
        if one.family in (socket.AF_INET, socket.AF_INET6):
            yield one.address.partition("%")[0]


def _is_loopback(name: str) -> bool:
    found = list(_addresses(name))
    return name == "lo" or (bool(found) and all(ipaddress.ip_address(address).is_loopback for address in found))
