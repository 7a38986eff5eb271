"""What the kernel says of a datagram, and when that was on a clock that nobody sets."""

import socket
import struct
import sys
import time

import pytest

from contract import datagram


def test_the_kernels_stamp_and_ttl_are_read() -> None:
    stamp = struct.pack("@ll", 1_795_500_000, 123_456_789)
    found = datagram.told_by([(1, 35, stamp), (0, 2, struct.pack("@i", 57))])
    assert found == (1_795_500_000_123_456_789, 57)
    assert datagram.told_by([(41, 52, struct.pack("@i", 58))]) == (None, 58)


@pytest.mark.parametrize("ancillary", [[], [(1, 35, b"short")], [(1, 99, b"x" * 16)], [(0, 2, b"")]], ids=str)
def test_what_is_not_said_is_none(ancillary: list[tuple[int, int, bytes]]) -> None:
    assert datagram.told_by(ancillary) == (None, None)


@pytest.mark.parametrize(
    ("wall_ns", "steady_ns"),
    [(9_000, 400), (10_000, 1_400), (None, 1_400), (10_001, 1_400), (10_000 - 6_000_000_000, 1_400)],
    ids=["just past", "now", "not said", "in the future", "of a clock that was set"],
)
def test_a_moment_just_past_is_found_on_the_steady_clock(wall_ns: int | None, steady_ns: int) -> None:
    assert datagram.on_steady_clock(wall_ns, 10_000, 1_400) == steady_ns


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps so")
def test_linux_stamps_as_we_read_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10.0)
        sock.setsockopt(datagram.SOL_SOCKET, datagram.SO_TIMESTAMPNS, 1)
        sock.setsockopt(datagram.IPPROTO_IP, datagram.IP_RECVTTL, 1)
        before_ns = time.time_ns()
        sock.sendto(b"x", sock.getsockname())
        told = datagram.told_by(sock.recvmsg(10, datagram.ANCILLARY_BYTES)[1])
    assert told.ttl == 64
    assert told.wall_ns is not None
    assert before_ns - 1_000_000 <= told.wall_ns <= time.time_ns()
