"""Asks by ARP (RFC 826) whether a neighbour is there that answers no ping; where that needs a right, looks it up."""

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_ETHERTYPE: Final = 0x0806
_ETHERNET: Final = struct.Struct("!6s6sH")
_BODY: Final = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET_KIND: Final = 1
_IPV4: Final = 0x0800
_REQUEST: Final = 1
_REPLY: Final = 2
_BROADCAST: Final = b"\xff" * 6
_TRIES: Final = 2
_FLAG_COMPLETE: Final = 0x2
SETTLED_AFTER_S: Final = 9.0
"""Linux believes in a neighbour that it has heard: it waits 5 s, asks it thrice, a second apart, and forgets it."""
_LOOK_AGAIN_S: Final = 0.5
_NEIGHBOUR_ROW: Final = struct.Struct("=H2x4s20xIQ32sIIII")
"""MIB_IPNET_ROW2: family, IPv4 address, (rest of the address), card's index, LUID, hardware address, its length..."""
_AF_INET: Final = 2


async def answers(address: str, card: str, timeout_s: float) -> bool | None:
    """Whether the IPv4 neighbour is there, after a ping to it went unanswered; None when it cannot be told."""
    if ":" in address:
        return None  # a router of IPv6 that no ping reaches is not looked for
    if sys.platform == "win32":
        return await asyncio.to_thread(_ask_windows, address)
    try:
        return await _ask(address, card, timeout_s)
    except OSError:
        return await _look_up(address)


async def _ask(address: str, card: str, timeout_s: float) -> bool:
    """Ask whoever has the address, and wait. Raises OSError without the right to (CAP_NET_RAW)."""
    if sys.platform != "linux":
        raise OSError("packet sockets are Linux's")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE)) as sock:
        sock.setblocking(False)
        sock.bind((card, _ETHERTYPE))
        hardware = sock.getsockname()[4]
        if len(hardware) != len(_BROADCAST):
            raise OSError(f"{card} is no Ethernet")
        own = _address_towards(address)
        loop = asyncio.get_running_loop()
        for _ in range(_TRIES):
            sock.send(request(hardware, own, address))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s / _TRIES):
                    while True:
                        if is_reply(await loop.sock_recv(sock, 128), address):
                            return True
        return False


def request(hardware: bytes, own: str, wanted: str) -> bytes:
    """Who has the address? As a whole Ethernet frame."""
    body = _BODY.pack(
        *(_ETHERNET_KIND, _IPV4, 6, 4, _REQUEST),
        *(hardware, socket.inet_aton(own), bytes(6), socket.inet_aton(wanted)),
    )
    return _ETHERNET.pack(_BROADCAST, hardware, _ETHERTYPE) + body


def is_reply(frame: bytes, wanted: str) -> bool:
    """Whether a frame says where the address is."""
    if len(frame) < _ETHERNET.size + _BODY.size:
        return False
    _, _, _, _, operation, _, sender, _, _ = _BODY.unpack_from(frame, _ETHERNET.size)
    return bool(operation == _REPLY and sender == socket.inet_aton(wanted))


def _address_towards(address: str) -> str:
    """Our own address on the cable to a neighbour. Connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, 9))
        return str(sock.getsockname()[0])


async def _look_up(address: str) -> bool | None:
    """What the system's own table says once it has found out by itself."""
    until_s = asyncio.get_running_loop().time() + SETTLED_AFTER_S
    while True:
        found = _found_now(address)
        if not found or asyncio.get_running_loop().time() >= until_s:
            return found
        await asyncio.sleep(_LOOK_AGAIN_S)


def _found_now(address: str) -> bool | None:
    try:
        return parse_table(Path("/proc/net/arp").read_text(encoding="ascii").splitlines(), address)
    except OSError:
        return None


def parse_table(lines: Iterable[str], address: str) -> bool:
    """Whether /proc/net/arp has a hardware address for the neighbour."""
    rows = (line.split() for line in lines)
    return any(
        len(row) > 2 and row[0] == address and int(row[2], 16) & _FLAG_COMPLETE  # noqa: PLR2004 - columns
        for row in rows
    )


def neighbour_row(address: str, index: int) -> bytes:
    """A neighbour of a card, as Windows' MIB_IPNET_ROW2."""
    return _NEIGHBOUR_ROW.pack(_AF_INET, socket.inet_aton(address), index, 0, b"", 0, 0, 0, 0)


def _ask_windows(address: str) -> bool | None:
    """ResolveIpNetEntry2 forgets what it knew of the neighbour, and asks."""
    if sys.platform != "win32":
        return None
    library = ctypes.WinDLL("iphlpapi")
    index = ctypes.c_uint32()
    if library.GetBestInterface(int.from_bytes(socket.inet_aton(address), "little"), ctypes.byref(index)):
        return None
    row = ctypes.create_string_buffer(neighbour_row(address, index.value), _NEIGHBOUR_ROW.size)
    return int(library.ResolveIpNetEntry2(row, None)) == 0
