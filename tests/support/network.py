"""A small network of its own in namespaces: a PC, its router, and a server behind it. Nothing in it reaches outside."""

import ctypes
import itertools
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import pytest

from tests.support.debian import require

T = TypeVar("T")
Behave = Callable[[bytes], Iterable[bytes]]
"""What a host says to an echo request: ICMP messages, in order."""

ROUTER: Final = "10.213.1.1"
SERVER: Final = "10.213.2.2"
ROUTER_6: Final = "fd13:1::1"
SERVER_6: Final = "fd13:2::2"
ROUTER_LINK_LOCAL: Final = "fe80::ff:fe00:1%lan"
REFUSED_BY_ROUTER: Final = "10.213.9.9"
REFUSED_BY_ROUTER_6: Final = "fd13:9::9"
FORBIDDEN: Final = "10.213.8.8"
"""An address that the PC itself forbids to send to."""
NO_ROUTE: Final = "192.0.2.1"

_CLONE_NEWNET: Final = 0x4000_0000
_ECHO_REQUEST: Final = 8
_numbers = itertools.count()


class Host:
    """One namespace: a network stack of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ip = require("ip")

    def ip(self, *lines: str) -> None:
        """Run `ip` here, a line after the other."""
        words = [self._ip, "-netns", self.name, "-batch", "-"]
        subprocess.run(words, input="\n".join(lines), check=True, capture_output=True, text=True)

    def nft(self, rules: str) -> None:
        """Add nftables rules here."""
        subprocess.run(self.inside(require("nft"), "-f", "-"), input=rules, check=True, capture_output=True, text=True)

    def run(self, *words: str) -> str:
        """Run a program here; what it printed."""
        done = subprocess.run(self.inside(*words), check=True, capture_output=True, text=True)
        return done.stdout

    def inside(self, *words: str) -> list[str]:
        """The words of a command that runs here."""
        return [self._ip, "netns", "exec", self.name, *words]

    def set(self, **values: str) -> None:
        """Set values below /proc/sys/net, slashes written as __."""

        def write() -> None:
            for name, value in values.items():
                Path("/proc/sys/net", *name.split("__")).write_text(value, encoding="ascii")

        self.do(write)

    def do(self, work: Callable[[], T]) -> T:
        """Do something here, in a thread of this process, and return or raise what it did."""
        results: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                self._move_here()
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again where the test waits
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def _move_here(self) -> None:
        with open(f"/run/netns/{self.name}", "rb") as file:  # noqa: PTH123 - its number is wanted, not its content
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    @contextmanager
    def answering(self, behave: Behave, *, options: bytes = b"") -> Iterator[None]:
        """Let this host answer echo requests as `behave` says instead of as its kernel would; IPv4.

        `options` are IP options that its answers carry.
        """
        self.set(ipv4__icmp_echo_ignore_all="1")

        def listen() -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            sock.settimeout(0.05)
            if options:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, options)
            return sock

        over = threading.Event()

        def serve(sock: socket.socket) -> None:
            while not over.is_set():
                try:
                    packet, source = sock.recvfrom(4096)
                except TimeoutError:
                    continue
                message = packet[(packet[0] & 0x0F) * 4 :]
                if message[0] == _ECHO_REQUEST:
                    for answer in behave(message):
                        sock.sendto(answer, source)

        sock = self.do(listen)
        thread = threading.Thread(target=serve, args=(sock,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            sock.close()


class Network:
    """The three hosts."""

    def __init__(self, pc: Host, router: Host, server: Host) -> None:
        self.pc, self.router, self.server = pc, router, server

    def allow_datagrams(self) -> None:
        """Let every user of the PC open ICMP sockets without rights, as most distributions do; else only root may."""
        self.pc.set(ipv4__ping_group_range="0 2147483647")


@pytest.fixture
def network() -> Iterator[Network]:
    with hosts("pc", "router", "server") as (pc, router, server):
        _join("lan", _End(pc, "10.213.1.2", "fd13:1::2", 2), _End(router, ROUTER, ROUTER_6, 1))
        _join("wan", _End(server, SERVER, SERVER_6, 4), _End(router, "10.213.2.1", "fd13:2::1", 3))
        router.set(ipv4__ip_forward="1", ipv6__conf__all__forwarding="1", ipv4__icmp_ratelimit="0")
        router.set(ipv6__icmp__ratelimit="0")
        pc.ip(
            f"route add 10.213.0.0/16 via {ROUTER}",
            f"route add fd13::/16 via {ROUTER_6}",
            f"route add prohibit {FORBIDDEN}",
        )
        server.ip("route add default via 10.213.2.1", "route add default via fd13:2::1")
        router.ip(f"route add unreachable {REFUSED_BY_ROUTER}", f"route add unreachable {REFUSED_BY_ROUTER_6}")
        yield Network(pc, router, server)


@contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Hosts that nothing connects yet, each with its loopback up; gone in the end."""
    ip = require("ip")
    if os.geteuid() != 0:
        pytest.skip("only root makes network namespaces")
    stem = f"sansang-{os.getpid()}-{next(_numbers)}"
    made: list[Host] = []
    try:
        for name in names:
            host = Host(f"{stem}-{name}")
            subprocess.run([ip, "netns", "add", host.name], check=True, capture_output=True)
            made.append(host)
            # Else each address takes a second to be believed.
            host.set(ipv6__conf__all__accept_dad="0", ipv6__conf__default__accept_dad="0")
            host.ip("link set lo up")
        yield made
    finally:
        for host in made:
            subprocess.run([ip, "netns", "delete", host.name], check=True, capture_output=True)


class _End(NamedTuple):
    """One end of a cable; the number makes its hardware address, and that its link-local one."""

    host: Host
    ipv4: str
    ipv6: str
    number: int

    @property
    def hardware(self) -> str:
        return f"02:00:00:00:00:{self.number:02x}"

    @property
    def link_local(self) -> str:
        return f"fe80::ff:fe00:{self.number:x}"


def _join(cable: str, one: _End, other: _End) -> None:
    peer = f"peer name {cable} address {other.hardware} netns {other.host.name}"
    one.host.ip(f"link add dev {cable} address {one.hardware} type veth {peer}")
    for end, beyond in ((one, other), (other, one)):
        end.host.ip(
            f"address add {end.ipv4}/24 dev {cable}",
            *(f"address add {address}/64 dev {cable} nodad" for address in (end.ipv6, end.link_local)),
            f"link set {cable} up",
            # Told, since a first question over a cable just plugged in is lost, and asked again after a second.
            *(
                f"neigh replace {address} lladdr {beyond.hardware} dev {cable} nud permanent"
                for address in (beyond.ipv4, beyond.ipv6, beyond.link_local)
            ),
        )


def reply_to(request: bytes, *, payload: bytes | None = None) -> bytes:
    """The echo reply to an ICMPv4 echo request, with its own payload or another."""
    return icmp_message(0, 0, request[4:8] + (request[8:] if payload is None else payload))


def icmp_message(kind: int, code: int, rest: bytes) -> bytes:
    """An ICMPv4 message; `rest` is all behind its checksum."""
    head = bytes([kind, code])
    return head + struct.pack("!H", _checksum(head + b"\0\0" + rest)) + rest


def _checksum(message: bytes) -> int:
    """RFC 1071."""
    padded = message + b"\0" * (len(message) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total
