"""Sends and receives ICMP echoes for all pings of the process, over one socket a family, stamped by the kernel.

icmplib builds and parses the packets; the time of an answer is the kernel's (SO_TIMESTAMPNS), not the moment when
Python gets round to it: with a hundred targets at once that differs by milliseconds.
"""

import asyncio
import itertools
import os
import secrets
import socket
import struct
import time
from typing import Final, NamedTuple

from agent.probe import ProbeFailed
from contract.outcome import Outcome

_SO_TIMESTAMPNS: Final = 35
_TIMESPEC: Final = struct.Struct("@qq")
_ECHO: Final = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
_UNREACHABLE: Final = {socket.AF_INET: 3, socket.AF_INET6: 1}
_HEADER: Final = struct.Struct("!BBHHH")
_NONCE_BYTES: Final = 8
_BUFFER_BYTES: Final = 4 << 20
_STEP_TOLERANCE_S: Final = 0.05
_RIGHTS: Final = (
    'no right to send pings: give the program CAP_NET_RAW, or run sysctl -w net.ipv4.ping_group_range="0 2147483647"'
)


class Echo(NamedTuple):
    """One request's fate: `rtt_s` None when nothing came in time; `unreachable` when a router said so."""

    rtt_s: float | None
    unreachable: bool


class _Waiting(NamedTuple):
    nonce: bytes
    address: str
    sent_wall_s: float
    sent_mono_s: float
    answer: "asyncio.Future[Echo]"


class Pinger:
    """One family's socket on one event loop. Opened at the first ping, closed when nobody waits any more."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self._family = family
        self._socket: socket.socket | None = None
        self._is_raw = False
        self._waiting: dict[tuple[int, int], _Waiting] = {}
        self._numbers = itertools.count(secrets.randbelow(1 << 16))
        self._users = 0

    async def __aenter__(self) -> "Pinger":
        """Use the socket; opens it for the first user. Raises ProbeFailed(DENIED)."""
        if self._socket is None:
            self._open()
        self._users += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        """The last user closes it: an idle agent holds no socket and wakes for no stranger's ping."""
        self._users -= 1
        if self._users == 0 and self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _open(self) -> None:
        protocol = socket.IPPROTO_ICMP if self._family == socket.AF_INET else socket.IPPROTO_ICMPV6
        for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                opened = socket.socket(self._family, kind, protocol)
            except PermissionError:
                continue
            except OSError as error:
                raise ProbeFailed(Outcome.UNREACHABLE, f"ping: no ICMP socket: {error.strerror}") from None
            break
        else:
            raise ProbeFailed(Outcome.DENIED, f"ping: {_RIGHTS}")
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._socket, self._is_raw = opened, kind == socket.SOCK_RAW
        asyncio.get_running_loop().add_reader(opened, self._receive)

    async def echo(self, address: str, size_bytes: int, timeout_s: float) -> Echo:
        """One request and its answer. Raises ProbeFailed(UNREACHABLE) when it cannot even be sent."""
        sock = self._socket
        assert sock is not None  # noqa: S101 - used inside `async with`
        number = next(self._numbers)
        key = ((number >> 16) & 0xFFFF, number & 0xFFFF) if self._is_raw else (0, number & 0xFFFF)
        if key in self._waiting:
            raise ProbeFailed(Outcome.BROKEN, "ping: more than 65,536 requests at once")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        packet = _request(self._family, key, nonce, size_bytes)
        answer: asyncio.Future[Echo] = asyncio.get_running_loop().create_future()
        self._waiting[key] = _Waiting(nonce, address, time.time(), time.monotonic(), answer)
        try:
            sock.sendto(packet, (address, 0))
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            return Echo(None, unreachable=False)
        except BlockingIOError:
            return Echo(None, unreachable=False)  # the socket's buffer is full: not sent in time is lost
        except PermissionError as error:
            raise ProbeFailed(Outcome.DENIED, f"ping {address}: {error.strerror}") from None
        except OSError as error:
            raise ProbeFailed(Outcome.UNREACHABLE, f"ping {address}: {error.strerror}") from None
        finally:
            self._waiting.pop(key, None)

    def _receive(self) -> None:
        sock = self._socket
        while sock is not None:
            try:
                data, ancillary, _, source = sock.recvmsg(2048, 256)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier send, told to a datagram socket; its request times out
            arrived_s = time.time()
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = _TIMESPEC.unpack(content[: _TIMESPEC.size])
                    arrived_s = seconds + nanoseconds / 1e9
            self._take(data, source[0], arrived_s)

    def _take(self, data: bytes, source: str, arrived_s: float) -> None:
        if self._is_raw and self._family == socket.AF_INET:
            data = data[(data[0] & 0x0F) * 4 :] if data else data
        if len(data) < _HEADER.size:
            return
        kind, _, _, identifier, sequence = _HEADER.unpack(data[: _HEADER.size])
        request, reply = (8, 0) if self._family == socket.AF_INET else (128, 129)
        if kind == reply:
            waiting = self._waiting.get((identifier if self._is_raw else 0, sequence))
            nonce = data[_HEADER.size : _HEADER.size + _NONCE_BYTES]
            if waiting is not None and waiting.nonce == nonce and source.split("%", maxsplit=1)[0] == waiting.address.split("%")[0]:
                _finish(waiting, _round_trip_s(waiting, arrived_s))
        elif kind == _UNREACHABLE[self._family]:
            inner = data[8:]
            inner = inner[(inner[0] & 0x0F) * 4 :] if self._family == socket.AF_INET and inner else inner[40:]
            if len(inner) >= _HEADER.size:
                quoted, _, _, identifier, sequence = _HEADER.unpack(inner[: _HEADER.size])
                waiting = self._waiting.get((identifier if self._is_raw else 0, sequence))
                if quoted == request and waiting is not None:
                    _finish(waiting, None)


def _round_trip_s(waiting: _Waiting, arrived_s: float) -> float:
    """By the kernel's stamp, unless the wall clock was stepped meanwhile: then the monotonic clock's upper bound."""
    by_stamp_s = arrived_s - waiting.sent_wall_s
    by_mono_s = time.monotonic() - waiting.sent_mono_s
    wall_passed_s = time.time() - waiting.sent_wall_s
    if by_stamp_s <= 0 or abs(wall_passed_s - by_mono_s) > _STEP_TOLERANCE_S:
        return by_mono_s
    return by_stamp_s


def _finish(waiting: _Waiting, rtt_s: float | None) -> None:
    if not waiting.answer.done():  # a duplicate finds it done, and raises nothing
        waiting.answer.set_result(Echo(rtt_s, unreachable=rtt_s is None))


def _request(family: socket.AddressFamily, key: tuple[int, int], nonce: bytes, size_bytes: int) -> bytes:
    payload = nonce + os.urandom(max(0, size_bytes - len(nonce)))
    head = _HEADER.pack(_ECHO[family][0], 0, 0, *key)
    return _HEADER.pack(_ECHO[family][0], 0, _checksum(head + payload), *key) + payload


def _checksum(data: bytes) -> int:
    """RFC 1071; the kernel fills in ICMPv6's, which covers addresses that only it knows."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


_pingers: dict[tuple[int, socket.AddressFamily], Pinger] = {}
"""The one of each event loop and family; a closed loop's is empty and costs nothing."""


async def echo_all(address: str, count: int, spacing_s: float, timeout_s: float, size_bytes: int) -> list[Echo]:
    """So many echoes to an address, `spacing_s` apart, in order of sending. Raises ProbeFailed."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = _pingers.setdefault((id(asyncio.get_running_loop()), family), Pinger(family))

    async def send(place: int) -> Echo:
        await asyncio.sleep(place * spacing_s)
        return await one.echo(address, size_bytes, timeout_s)

    async with one:
        return list(await asyncio.gather(*(send(place) for place in range(count))))
