"""Asks a network who is there: one ping a host at a gentle pace, ARP, multicast questions and PJLink's greeting."""

import asyncio
import collections
import contextlib
import ctypes
import ipaddress
import secrets
import socket
import struct
import sys
import uuid
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from agent.conversation import converse
from agent.discovery.messages import ANSWER_MAX_BYTES, Question, read_answer
from agent.discovery.scope import Scope
from agent.discovery.sighting import Network, Sighting, plain
from agent.endpoint import Endpoint
from agent.network import arp
from agent.probe import ProbeFailed
from contract.outcome import Outcome

if sys.platform == "win32":
    from agent.network.icmp_windows import echo_all
else:
    from agent.network.icmp import echo_all

PING_TIMEOUT_S: Final = 1.0
LISTEN_S: Final = 4.0
ASK_TWICE_AFTER_S: Final = 1.0
PJLINK_PORT: Final = 4352
_PJLINK_TIMEOUT_S: Final = 2.0
_SIZE_BYTES: Final = 56
_DISCARD_PORT: Final = 9
_ANSWERS_MAX_COUNT: Final = 200
"""Datagrams of one host that are looked at: one that floods drowns no other."""
_BREATHE_EVERY: Final = 64
_BUFFER_BYTES: Final = 1 << 20
_GREETINGS_AT_ONCE: Final = 8
_ARP_COMPLETE: Final = 0x2
_IPNET_ROW: Final = struct.Struct("=II8s4sI")
"""MIB_IPNETROW: card's index, length and bytes of the hardware address, IPv4 address, type."""
_IPNET_KNOWN: Final = (3, 4)  # dynamic, static
_ERROR_INSUFFICIENT_BUFFER: Final = 122


async def who_is_there(scope: Scope) -> list[Sighting]:
    """Who answers a ping, ARP or a multicast question, within the scope."""
    swept, answers = await asyncio.gather(
        sweep(scope.addresses, scope.hosts_per_s, scope.card, scope.cable), multicast(scope.own, scope.cable)
    )
    # What only answered a multicast counts too, where it lies in what was to be looked at.
    return [*swept, *(one for one in answers if _lies_in(one.address, scope.swept))]


async def multicast(own: str, networks: Collection[Network], listen_s: float = LISTEN_S) -> list[Sighting]:
    """Ask by WS-Discovery, SSDP and mDNS (RFC 6762) from this address, and listen to hosts of these networks only.

    Nothing leaves the cable: the datagrams may pass no router (TTL 1). Empty where the card cannot multicast.
    """
    question = Question(f"uuid:{uuid.uuid4()}", secrets.randbelow(1 << 16))
    loop = asyncio.get_running_loop()
    found: dict[tuple[str, str], Sighting] = {}
    heard: collections.Counter[str] = collections.Counter()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            sock.bind((own, 0))
        except OSError:
            return []
        again = loop.call_later(ASK_TWICE_AFTER_S, _send_all, sock, question)
        _send_all(sock, question)
        try:
            async with asyncio.timeout(listen_s):
                while True:
                    try:
                        data, source = await loop.sock_recvfrom(sock, ANSWER_MAX_BYTES)
                    except ConnectionError:
                        continue  # Windows tells here that a host refused an earlier datagram
                    address = str(source[0])
                    heard[address] += 1
                    if heard[address] > _ANSWERS_MAX_COUNT:
                        if heard[address] % _BREATHE_EVERY == 0:
                            await asyncio.sleep(0)  # else a flood, always there at once, never lets time run out
                    elif address != own and _lies_in(address, networks):
                        sighting = read_answer(data, address, question)
                        if sighting is not None:
                            key = (address, sighting.by)
                            found[key] = _richer(found.get(key), sighting)
        except (TimeoutError, OSError):
            pass
        finally:
            again.cancel()
    return list(found.values())


def _send_all(sock: socket.socket, question: Question) -> None:
    for datagram, group in question.datagrams():
        with contextlib.suppress(OSError):  # no route for multicast, or no room: the other ways remain
            sock.sendto(datagram, group)


def _richer(before: Sighting | None, now: Sighting) -> Sighting:
    """A device answers once for each of its services: what any of them says of its role and name holds."""
    if before is None:
        return now
    return Sighting(address=now.address, by=now.by, role=before.role or now.role, name=before.name or now.name)


def _lies_in(address: str, networks: Collection[Network]) -> bool:
    return any(ipaddress.ip_address(address) in network for network in networks)


async def sweep(
    addresses: Sequence[str], hosts_per_s: float, card: str, on_cable: Collection[Network]
) -> list[Sighting]:
    """Ping each address once, at this pace; hosts on the cable that answer no ping are seen by ARP (RFC 826)."""
    pinging: list[asyncio.Task[bool]] = []
    async with asyncio.TaskGroup() as group:
        for address in addresses:
            pinging.append(group.create_task(_answers_ping(address)))
            await asyncio.sleep(1 / hosts_per_s)
    answered = {address for address, task in zip(addresses, pinging, strict=True) if task.result()}
    # Of those that were silent, only such are worth a further question as the system itself has heard of.
    heard = await asyncio.to_thread(neighbours)
    silent = [one for one in addresses if one not in answered and one in heard and _lies_in(one, on_cable)]
    there = await asyncio.gather(*(arp.answers(address, card, PING_TIMEOUT_S) for address in silent))
    return [
        *(Sighting(address=address, by="ping") for address in addresses if address in answered),
        *(Sighting(address=address, by="arp") for address, is_there in zip(silent, there, strict=True) if is_there),
    ]


async def _answers_ping(address: str) -> bool:
    try:
        (echo,) = await echo_all(address, 1, 0.0, PING_TIMEOUT_S, _SIZE_BYTES)
    except ProbeFailed as failure:
        if failure.outcome is Outcome.DENIED:
            _nudge(address)
        return False
    return echo.rtt_s is not None


def _nudge(address: str) -> None:
    """Without the right to ping: one datagram that nobody takes, so that the system asks for the neighbour by ARP."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto(b"", (address, _DISCARD_PORT))


def neighbours() -> set[str]:
    """The IPv4 neighbours whose hardware address the system knows, or has known lately."""
    if sys.platform == "win32":
        return _of_windows()
    try:
        return set(parse_arp(Path("/proc/net/arp").read_text(encoding="ascii").splitlines()))
    except OSError:
        return set()


def parse_arp(lines: Sequence[str]) -> Iterator[str]:
    """The neighbours in /proc/net/arp that have a hardware address."""
    for line in lines[1:]:
        fields = line.split()
        if len(fields) > 3 and int(fields[2], 16) & _ARP_COMPLETE:  # noqa: PLR2004 - address, type, flags, hardware
            yield fields[0]


def parse_ipnet_table(table: bytes) -> Iterator[str]:
    """The neighbours in Windows' MIB_IPNETTABLE that have a hardware address."""
    (count,) = struct.unpack_from("=I", table)
    for place in range(count):
        _, length, _, address, kind = _IPNET_ROW.unpack_from(table, 4 + place * _IPNET_ROW.size)
        if length and kind in _IPNET_KNOWN:
            yield socket.inet_ntoa(address)


def _of_windows() -> set[str]:
    if sys.platform != "win32":
        return set()
    library = ctypes.WinDLL("iphlpapi")
    size = ctypes.c_uint32(0)
    table = ctypes.create_string_buffer(4)
    while library.GetIpNetTable(table, ctypes.byref(size), 0) == _ERROR_INSUFFICIENT_BUFFER:
        table = ctypes.create_string_buffer(size.value)
    return set(parse_ipnet_table(table.raw)) if size.value else set()


async def greeted(addresses: Sequence[str]) -> list[Sighting]:
    """Projectors among these hosts: what greets by PJLink. One that wants no password is asked for its maker and model.

    One connection a host, closed at once: a projector talks to one client at a time.
    """
    few = asyncio.Semaphore(_GREETINGS_AT_ONCE)

    async def greet(address: str) -> Sighting | None:
        async with few:
            return await _pjlink(address)

    found = await asyncio.gather(*(greet(address) for address in addresses))
    return [one for one in found if one is not None]


async def _pjlink(address: str) -> Sighting | None:
    said: list[str] = []
    is_projector = False
    try:
        async with converse(Endpoint(address, PJLINK_PORT), f"pjlink {address}", _PJLINK_TIMEOUT_S) as (reader, writer):
            greeting = await reader.readuntil(b"\r")
            is_projector = greeting.startswith(b"PJLINK ")
            for command in (b"INF1", b"INF2") if greeting.startswith(b"PJLINK 0") else ():
                writer.write(b"%1" + command + b" ?\r")
                answer = await reader.readuntil(b"\r")
                head, equals, value = answer.decode("utf-8", "replace").partition("=")
                if equals and head.endswith(command.decode()) and not value.startswith("ERR"):
                    said.append(value)
    except ProbeFailed:
        pass  # nobody listens, or it stopped amid its answers: what it said until then holds
    return (
        Sighting(address=address, by="pjlink", role="projector", name=plain(" ".join(said))) if is_projector else None
    )
