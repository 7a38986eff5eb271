"""A room's whole way to the Internet in namespaces, to be broken rung by rung: PC, gateway, provider, and a world.

PC 192.168.7.2 - 192.168.7.1 gateway 100.64.7.2 - 100.64.7.1 provider 203.0.113.1 - the world's many addresses
"""

import itertools
import os
import select
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from tests.support.debian import require
from tests.support.network import Host

GATEWAY: Final = "192.168.7.1"
PROVIDER: Final = "100.64.7.1"
NATIONAL: Final = "203.0.113.10"
INTERNATIONAL: Final = "198.51.100.10"
COLLECTOR: Final = "203.0.113.20"
LESSON: Final = "203.0.113.30"
RESOLVER: Final = "203.0.113.53"
OWN_RESOLVER: Final = "203.0.113.54"
WRONG: Final = "203.0.113.99"
BROKER_PORT: Final = 8883
COLLECTOR_NAME: Final = "giam-sat.example"
LESSON_NAME: Final = "lop-hoc.example"
ABSENT: Final = "khong-co.example"
WORLD: Final = ("203.0.113.2", NATIONAL, COLLECTOR, LESSON, RESOLVER, OWN_RESOLVER, WRONG)
"""The world's addresses at home; the first is its router towards all that is abroad."""
_POLL_S: Final = 0.05

_numbers = itertools.count()
Serve = Callable[[socket.socket], None]


class Way:
    """The four hosts, the world's servers, and how they are to lie. The PC asks `own_resolver` for names."""

    def __init__(
        self, pc: Host, gateway: Host, provider: Host, world: Host, folder: Path, *, own_resolver: str = OWN_RESOLVER
    ) -> None:
        self.pc, self.gateway, self.provider, self.world = pc, gateway, provider, world
        self.names = {COLLECTOR_NAME: COLLECTOR, LESSON_NAME: LESSON}
        self.own_names: dict[str, str] = self.names
        """What the PC's own resolver knows; the empty name stands for all that it does not."""
        self._resolv = folder / "resolv.conf"
        self._resolv.write_text(f"nameserver {own_resolver}\noptions timeout:1 attempts:1\n", encoding="ascii")
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    def on_pc(self, *words: str | Path, mounts: Mapping[Path, str] = MappingProxyType({})) -> list[str]:
        """The words of a command that runs on the PC, with the provider's resolver as its own, and with other files
        and folders in the places of the system's.
        """
        wanted = {self._resolv: "/etc/resolv.conf", **mounts}
        steps = [f"mount --bind {own} {place}" for own, place in wanted.items()]
        script = " && ".join([*steps, 'exec "$@"'])
        return self.pc.inside("sh", "-c", script, "sh", *map(str, words))

    def listen(self, host: Host, address: str, port: int, serve: Serve) -> None:
        """Take TCP connections at a host of the way; each is served in this process, one after the other."""

        def opened() -> socket.socket:
            return socket.create_server((address, port))

        sock = host.do(opened)

        def accept() -> None:
            connection, _ = sock.accept()
            with connection:
                connection.settimeout(5.0)
                try:
                    serve(connection)
                except OSError:
                    return  # whoever asked went, as somebody does who was cut off

        self.serve(sock, accept)

    def resolve(self, address: str, names: Callable[[], dict[str, str]]) -> None:
        """Answer questions for names at an address of the world."""

        def opened() -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((address, 53))
            return sock

        sock = self.world.do(opened)

        def answer() -> None:
            query, source = sock.recvfrom(4096)
            sock.sendto(answer_to(query, names()), source)

        self.serve(sock, answer)

    def serve(self, sock: socket.socket, work: Callable[[], None]) -> None:
        def serve() -> None:
            while not self._over.is_set():
                if select.select([sock], [], [], _POLL_S)[0]:
                    work()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self._threads.append(thread)
        self._sockets.append(sock)

    def close(self) -> None:
        """Stop the servers."""
        self._over.set()
        for thread in self._threads:
            thread.join(10)
        for sock in self._sockets:
            sock.close()

    @contextmanager
    def filtering(self, host: Host, *rules: str, hook: str = "forward") -> Iterator[None]:
        """Let a host drop what the rules say; `hook` is nftables' (forward, input, output)."""
        lines, table = "\n".join(rules), f"broken_{next(_numbers)}"
        host.nft(f"table ip {table} {{\nchain broken {{\ntype filter hook {hook} priority 0\n{lines}\n}}\n}}\n")
        try:
            yield
        finally:
            host.nft(f"delete table ip {table}\n")

    @contextmanager
    def captured(self, port: int, by: int) -> Iterator[None]:
        """Let the gateway answer connections to a port of the world itself, at another of its own, as portals do."""
        rule = f"tcp dport {port} redirect to :{by}"
        self.gateway.nft(f"table ip portal {{\nchain p {{\ntype nat hook prerouting priority -100\n{rule}\n}}\n}}\n")
        try:
            yield
        finally:
            self.gateway.nft("delete table ip portal\n")

    @contextmanager
    def lines(self, host: Host, broken: tuple[str, ...], healed: tuple[str, ...]) -> Iterator[None]:
        """Change a host by `ip`, and change it back."""
        host.ip(*broken)
        try:
            yield
        finally:
            host.ip(*healed)


def answer_to(query: bytes, names: dict[str, str]) -> bytes:
    """The A records of a question, or NXDOMAIN (RFC 1035); the empty name answers for every other one."""
    labels, place = [], 12
    while query[place]:
        labels.append(query[place + 1 : place + 1 + query[place]])
        place += 1 + query[place]
    question = query[12 : place + 5]
    address = names.get(b".".join(labels).decode().lower()) or names.get("")
    if address is None:
        return query[:2] + struct.pack("!HHHHH", 0x8183, 1, 0, 0, 0) + question
    is_a = question[-4:] == b"\0\1\0\1"
    head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, int(is_a), 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address)
    return head + question + (record if is_a else b"")


def echo_page(connection: socket.socket) -> None:
    """Our own page: it says again what stands behind the question mark."""
    nonce = _asked(connection).partition("?")[2]
    _say(connection, 200, f"sansang {nonce}")


def changed_page(connection: socket.socket) -> None:
    """Our page as a provider passes it on that sells advertisements."""
    nonce = _asked(connection).partition("?")[2]
    _say(connection, 200, f"sansang {nonce}<script src=http://ads.example/></script>")


def portal_page(connection: socket.socket) -> None:
    """What a captive portal says to everything."""
    _asked(connection)
    _say(connection, 302, "", f"Location: http://{GATEWAY}/login\r\n")


def nothing(connection: socket.socket) -> None:
    """Takes a connection, and no more."""
    connection.recv(100)


def _asked(connection: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(4096)
        if not part:
            break
        head += part
    return head.split(b" ")[1].decode() if b" " in head else ""


def _say(connection: socket.socket, status: int, body: str, headers: str = "") -> None:
    head = f"HTTP/1.1 {status} said\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    connection.sendall((head + body).encode())


def speaking_tls(context: ssl.SSLContext) -> Serve:
    """Shakes hands, and no more."""

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(100)

    return serve


@contextmanager
def open_way(folder: Path) -> Iterator[Way]:
    """Make it all, whole; needs root."""
    ip = require("ip")
    if os.geteuid() != 0:
        pytest.skip("only root makes network namespaces")
    stem = f"sansang-way-{os.getpid()}-{next(_numbers)}"
    hosts = [Host(f"{stem}-{name}") for name in ("pc", "gateway", "provider", "world")]
    pc, gateway, provider, world = hosts
    made: list[Host] = []
    way = Way(pc, gateway, provider, world, folder)
    try:
        for host in hosts:
            subprocess.run([ip, "netns", "add", host.name], check=True, capture_output=True)
            made.append(host)
            host.ip("link set lo up")
        for one, other, cable, ours, theirs in (
            (pc, gateway, "lan", "192.168.7.2/24", f"{GATEWAY}/24"),
            (gateway, provider, "wan", "100.64.7.2/24", f"{PROVIDER}/24"),
            (world, provider, "core", "203.0.113.2/24", "203.0.113.1/24"),
        ):
            one.ip(f"link add dev {cable} type veth peer name {cable} netns {other.name}")
            for host, address in ((one, ours), (other, theirs)):
                host.ip(f"address add {address} dev {cable}", f"link set dev {cable} up")
        for host in (gateway, provider):
            host.set(ipv4__ip_forward="1", ipv4__icmp_ratelimit="0")
        pc.ip(f"route add default via {GATEWAY}")
        gateway.ip(f"route add default via {PROVIDER}")
        provider.ip("route add 192.168.7.0/24 via 100.64.7.2", "route add 198.51.100.0/24 via 203.0.113.2")
        world.ip(
            "route add default via 203.0.113.1",
            *(f"address add {one}/32 dev core" for one in (*WORLD[1:], INTERNATIONAL)),
        )
        way.resolve(RESOLVER, lambda: way.names)
        way.resolve(OWN_RESOLVER, lambda: way.own_names)
        yield way
    finally:
        way.close()
        for host in made:
            subprocess.run([ip, "netns", "delete", host.name], check=True, capture_output=True)
