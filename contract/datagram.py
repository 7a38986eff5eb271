"""Reads what the kernel says of a datagram besides its content: when it came, and its TTL. Does no I/O."""

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

# Linux's numbers, which Python's socket module lacks or other systems have otherwise.
SOL_SOCKET: Final = 1
SO_TIMESTAMPNS: Final = 35
IPPROTO_IP: Final = 0
IP_TTL: Final = 2
IP_RECVTTL: Final = 12
IPPROTO_IPV6: Final = 41
IPV6_HOPLIMIT: Final = 52
IPV6_RECVHOPLIMIT: Final = 51

ANCILLARY_BYTES: Final = 256
STAMPING_STARTS_S: Final = 0.02
"""Linux turns stamping on a moment after it was asked to; until then a stamp is the moment of reading."""
HEADERS_BYTES: Final = 28
"""Of IPv4 and UDP, which a line carries with each datagram."""

_TIMESPEC: Final = struct.Struct("@ll")
_INT: Final = struct.Struct("@i")
_NEWEST_NS: Final = 5_000_000_000
"""No datagram lies in a buffer for so long: a stamp older than this is of a clock that was set."""


class Told(NamedTuple):
    """The kernel's word, None where it said nothing."""

    wall_ns: int | None
    ttl: int | None


def told_by(ancillary: Iterable[tuple[int, int, bytes]]) -> Told:
    """What the ancillary data of `recvmsg` hold."""
    wall_ns = ttl = None
    for level, kind, content in ancillary:
        if (level, kind) == (SOL_SOCKET, SO_TIMESTAMPNS) and len(content) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(content)
            wall_ns = seconds * 1_000_000_000 + nanoseconds
        elif (level, kind) in ((IPPROTO_IP, IP_TTL), (IPPROTO_IPV6, IPV6_HOPLIMIT)) and len(content) >= _INT.size:
            ttl = _INT.unpack_from(content)[0]
    return Told(wall_ns, ttl)


def on_steady_clock(wall_ns: int | None, wall_now_ns: int, steady_now_ns: int) -> int:
    """A moment just past on the wall clock, as a steady clock had it; the present where that cannot be.

    So only a step of the wall clock within these microseconds can touch a measurement, and none during a flight.
    """
    if wall_ns is None or not 0 <= wall_now_ns - wall_ns <= _NEWEST_NS:
        return steady_now_ns
    return steady_now_ns - (wall_now_ns - wall_ns)
