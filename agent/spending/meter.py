"""Counts the bytes that cross the school's line, all headers included, as a packet capture on the line would.

A probe says what it sent and received (`spent`, `spent_tcp`); whoever called it learns the sum. What stays inside the
school costs nothing and is not counted.
"""

import contextlib
import enum
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Final, NamedTuple

from agent.network.echo import Echo

TELLS_TCP: Final = sys.platform == "linux"
"""Whether the system tells what a connection has cost. Where it does not, costs are estimated by whoever knows more."""
IP_UDP_BYTES: Final = {socket.AF_INET: 28, socket.AF_INET6: 48}
"""Headers of a datagram, by the family of its address (RFC 791, RFC 8200, RFC 768); an ICMP echo's are as long."""
_IP_TCP_BYTES: Final = {socket.AF_INET: 40, socket.AF_INET6: 60}
_TIMESTAMPS_BYTES: Final = 12
_SYN_MORE_BYTES: Final = 8
"""What a SYN's options take beyond those of every segment (MSS, SACK, window scale)."""
_TCP_INFO: Final = 11
_TCP_INFO_BYTES: Final = 216
_HAS_TIMESTAMPS: Final = 0x1


class Farewell(enum.Enum):
    """How a connection ends after it was looked at, as the segments that we still send and receive."""

    NONE = (0, 0)  # it never came about, or goes on
    CLOSED = (2, 2)  # each side's FIN, and the ACK of the other's
    ABORTED = (2, 0)  # an ACK that was held back, and a reset


class Wire(NamedTuple):
    """Bytes on the line, headers included."""

    sent_bytes: int = 0
    received_bytes: int = 0

    def plus(self, other: "Wire") -> "Wire":
        """Both together."""
        return Wire(self.sent_bytes + other.sent_bytes, self.received_bytes + other.received_bytes)

    @property
    def total_bytes(self) -> int:
        """Both ways."""
        return self.sent_bytes + self.received_bytes


class Tally:
    """What one measurement has cost so far. Tasks and threads that it starts count into the same."""

    def __init__(self) -> None:
        self.wire = Wire()


_tally: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextlib.contextmanager
def counting() -> Iterator[Tally]:
    """Count what is spent inside."""
    tally = Tally()
    token = _tally.set(tally)
    try:
        yield tally
    finally:
        _tally.reset(token)


def spent(*, sent_bytes: int = 0, received_bytes: int = 0) -> None:
    """So many bytes have crossed the line, headers included; nobody may be counting."""
    tally = _tally.get()
    if tally is not None:
        tally.wire = tally.wire.plus(Wire(sent_bytes, received_bytes))


def spent_datagrams(family: int, *, sent: tuple[int, int] = (0, 0), received: tuple[int, int] = (0, 0)) -> None:
    """Datagrams, each way as (how many, their payloads' bytes together)."""
    header_bytes = IP_UDP_BYTES.get(socket.AddressFamily(family), 28)
    spent(sent_bytes=sent[0] * header_bytes + sent[1], received_bytes=received[0] * header_bytes + received[1])


def spent_echoes(address: str, size_bytes: int, echoes: Sequence[Echo]) -> None:
    """ICMP echo requests and what came back of them: replies, or a router's word about one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    answered = sum(echo.rtt_s is not None or bool(echo.by) for echo in echoes)
    spent_datagrams(family, sent=(len(echoes), len(echoes) * size_bytes), received=(answered, answered * size_bytes))


def spent_tcp(sock: object, farewell: Farewell = Farewell.CLOSED) -> None:
    """A connection has done its work, or never came about: call this before it is closed."""
    wire = tcp_wire(sock, farewell)
    spent(sent_bytes=wire.sent_bytes, received_bytes=wire.received_bytes)


def tcp_wire(sock: object, farewell: Farewell = Farewell.NONE) -> Wire:
    """What a connection has cost since it was made, from the kernel's own count of its segments (Linux' TCP_INFO).

    `farewell` adds the segments that its end will take. Nothing where the system does not tell.
    """
    if not TELLS_TCP or not hasattr(sock, "getsockopt"):
        return Wire()
    try:
        told: bytes = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _TCP_INFO_BYTES)
        family = socket.AddressFamily(getattr(sock, "family", socket.AF_INET))
    except (OSError, ValueError):
        return Wire()  # closed meanwhile
    return parse_tcp_info(told, family, farewell)


def parse_tcp_info(told: bytes, family: int, farewell: Farewell = Farewell.NONE) -> Wire:
    """The bytes in Linux' `struct tcp_info` (include/uapi/linux/tcp.h); nothing from a kernel too old to count them."""
    if len(told) < 208:  # noqa: PLR2004 - up to tcpi_bytes_sent, Linux 4.19
        return Wire()
    has_timestamps = told[5] & _HAS_TIMESTAMPS
    (received_bytes,) = struct.unpack_from("=Q", told, 128)
    segments_out, segments_in = struct.unpack_from("=II", told, 136)
    (sent_bytes,) = struct.unpack_from("=Q", told, 200)
    header_bytes = _IP_TCP_BYTES.get(socket.AddressFamily(family), 40) + (_TIMESTAMPS_BYTES if has_timestamps else 0)
    more_out, more_in = farewell.value
    segments_out, segments_in = segments_out + more_out, segments_in + more_in
    return Wire(
        sent_bytes + segments_out * header_bytes + (_SYN_MORE_BYTES if segments_out else 0),
        received_bytes + segments_in * header_bytes + (_SYN_MORE_BYTES if segments_in else 0),
    )
