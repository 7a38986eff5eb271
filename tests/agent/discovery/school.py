"""A school's network in namespaces: a PC, a bridge, and devices on it that answer as real ones do, or badly."""

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from tests.agent.discovery.answers import BOMB, mdns_answer, message_of, probe_match, ring_of_pointers, ssdp_answer
from tests.support.network import Host, hosts

SUBNET: Final = "10.214.0.0/27"
PC: Final = "10.214.0.2"
GATEWAY: Final = "10.214.0.1"
ADDRESSES: Final = {
    "gateway": GATEWAY,
    "camera": "10.214.0.5",
    "television": "10.214.0.6",
    "sound": "10.214.0.7",
    "projector": "10.214.0.8",
    "snmp": "10.214.0.9",
    "shy": "10.214.0.10",
    "liar": "10.214.0.11",
}
"""Who stands where. `shy` answers no ping; `liar` answers everything, and says nonsense."""
ABSENT: Final = "10.214.0.20"
_GROUPS: Final = {3702: "239.255.255.250", 1900: "239.255.255.250", 5353: "224.0.0.251"}

Answer = Callable[[bytes], list[bytes]]


class School(NamedTuple):
    """The PC, and the host of each device by its name."""

    pc: Host
    devices: dict[str, Host]

    def agent(self, *words: str) -> str:
        """Run `sansang-agent` on the PC; what it printed."""
        return self.pc.run(sys.executable, "-m", "agent", *words)


@contextlib.contextmanager
def school() -> Iterator[School]:
    """All of it; gone in the end."""
    with hosts("pc", "bridge", *ADDRESSES) as (pc, bridge, *others):
        devices = dict(zip(ADDRESSES, others, strict=True))
        bridge.ip("link add name hub type bridge mcast_snooping 0", "link set hub up")
        for number, (host, address) in enumerate([(pc, PC), *((devices[one], ADDRESSES[one]) for one in ADDRESSES)]):
            plug = f"port{number}"
            host.ip(f"link add dev lan type veth peer name {plug} netns {bridge.name}")
            bridge.ip(f"link set {plug} master hub", f"link set {plug} up")
            host.ip(f"address add {address}/27 dev lan", "link set lan up", "route add 224.0.0.0/4 dev lan")
        pc.ip(f"route add default via {GATEWAY}")
        devices["shy"].set(ipv4__icmp_echo_ignore_all="1")
        with contextlib.ExitStack() as running:
            for device, port, answer in _TALKERS:
                running.enter_context(_talking(devices[device], ADDRESSES[device], port, answer))
            running.enter_context(_greeting(devices["projector"], ADDRESSES["projector"], _project))
            running.enter_context(_greeting(devices["liar"], ADDRESSES["liar"], _babble))
            yield School(pc, devices)


def _nonsense(question: bytes) -> list[bytes]:
    few = [b"", b"\0" * 3, b"<" * 2000, BOMB, ring_of_pointers(question), b"HTTP/1.1 200 OK\r\nST\r\n\r\n", question]
    return [b"<flood/>"] * 500 + few


_TALKERS: Final[list[tuple[str, int, Answer]]] = [
    ("camera", 3702, lambda question: [probe_match(message_of(question))]),
    ("television", 1900, lambda _: [ssdp_answer("MediaRenderer")]),
    ("sound", 5353, lambda question: [mdns_answer(question, "_netaudio-arc._udp.local", "Ceiling")]),
    ("liar", 3702, _nonsense),
    ("liar", 1900, _nonsense),
    ("liar", 5353, _nonsense),
]


@contextlib.contextmanager
def _talking(host: Host, own: str, port: int, answer: Answer) -> Iterator[None]:
    """Let a host answer the multicast questions that come to a port."""

    def listen() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", port))
        member = struct.pack("4s4s", socket.inet_aton(_GROUPS[port]), socket.inet_aton(own))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        sock.settimeout(0.05)
        return sock

    sock = host.do(listen)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                question, source = sock.recvfrom(4096)
            except TimeoutError:
                continue
            if answer is not _nonsense:
                over.wait(0.1)  # as the standards have it, lest all answer at once (RFC 6762 6)
            for told in answer(question):
                sock.sendto(told, source)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sock.close()


@contextlib.contextmanager
def _greeting(host: Host, own: str, talk: Callable[[socket.socket], None]) -> Iterator[None]:
    """Let a host take connections at PJLink's port."""
    server = host.do(lambda: socket.create_server((own, 4352)))
    server.settimeout(0.05)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                client, _ = server.accept()
            except TimeoutError:
                continue
            with client, contextlib.suppress(OSError):
                client.settimeout(5)
                talk(client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        server.close()


def _project(client: socket.socket) -> None:
    client.sendall(b"PJLINK 0\r")
    said = {b"INF1": b"Epsilon", b"INF2": b"EB-2611"}
    for line in _lines(client):
        client.sendall(line[:6] + b"=" + said.get(line[2:6], b"ERR1") + b"\r")


def _lines(client: socket.socket) -> Iterator[bytes]:
    held = b""
    while more := client.recv(256):
        held += more
        while b"\r" in held:
            line, _, held = held.partition(b"\r")
            yield line


def _babble(client: socket.socket) -> None:
    client.sendall(b"PJLINK" * 5000)
