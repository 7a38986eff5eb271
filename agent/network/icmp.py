"""Sends and receives ICMP echoes on Linux: all pings of the process over one socket a family, stamped by the kernel.

icmplib opens the sockets, builds and sends the requests, and parses what comes back. The time of an answer is the
kernel's (SO_TIMESTAMPNS) and not the moment when Python gets round to it, as icmplib's own waiting has it: with a
hundred targets at once the two differ by milliseconds.
"""

import asyncio
import ctypes
import itertools
import os
import secrets
import socket
import struct
import time
from typing import Any, Final, NamedTuple, Self
from weakref import WeakKeyDictionary

from icmplib import (  # type: ignore[import-untyped]  # it has no annotations
    ICMPError,
    ICMPRequest,
    ICMPSocketError,
    ICMPv4Socket,
    ICMPv6Socket,
    SocketPermissionError,
)

from agent.network.echo import LOST, ORDINARY, Echo, Manner
from agent.probe import ProbeFailed
from agent.spending.meter import spent_echoes
from contract.outcome import Outcome

# Linux's numbers, which Python's socket module lacks.
_SO_ATTACH_FILTER: Final = 26
_SO_TIMESTAMPNS: Final = 35
_RECVERR: Final = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
_MTU_DISCOVER: Final = {socket.AF_INET: (socket.IPPROTO_IP, 10), socket.AF_INET6: (socket.IPPROTO_IPV6, 23)}
_BY_THE_TABLE: Final = 1
"""IP_PMTUDISC_WANT, Linux's own choice: packets are whole while the path is known to take them, else fragments."""
_WHOLE: Final = 3
"""IP_PMTUDISC_PROBE: whole, whatever is known of the path."""
_FROM_ICMP: Final = (2, 3)
"""SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6."""

_TIMESPEC: Final = struct.Struct("@ll")
_EXTENDED_ERROR: Final = struct.Struct("=IBBBxII")
_NONCE_BYTES: Final = 8
_BUFFER_BYTES: Final = 4 << 20
_TAKEN_AT_ONCE: Final = 512
_SENT_BEFORE_TAKING: Final = 64
_OTHERS_MAX_COUNT: Final = 3
_STAMPING_STARTS_S: Final = 0.02
_RIGHTS: Final = (
    'no right to send pings: give the program CAP_NET_RAW, or run sysctl -w net.ipv4.ping_group_range="0 2147483647"'
)


class _Socket4(ICMPv4Socket):  # type: ignore[misc]  # icmplib is not annotated
    REPLY: Final = 0
    TOLD: Final = (3, 11)
    """Destination unreachable and time exceeded (RFC 792)."""
    QUOTED_BYTES: Final = 20

    def parse(self, message: bytes, source: str) -> Any:  # noqa: ANN401 - an ICMPReply, or None
        return self._parse_reply(message, source, 0.0)


class _Socket6(ICMPv6Socket):  # type: ignore[misc]  # icmplib is not annotated
    REPLY: Final = 129
    TOLD: Final = (1, 3)
    """Destination unreachable and time exceeded (RFC 4443)."""
    QUOTED_BYTES: Final = 40

    def parse(self, message: bytes, source: str) -> Any:  # noqa: ANN401 - an ICMPReply, or None
        return self._parse_reply(message, source, 0.0)


class _Waiting(NamedTuple):
    nonce: bytes
    destination: bytes
    sent_s: float
    timeout_s: float
    answer: "asyncio.Future[Echo]"


class Pinger:
    """One family's socket on one event loop. Opened at the first ping, closed when nobody waits any more.

    A datagram socket where the system allows it: the kernel then hands us nothing but answers to our own requests.
    Else a raw one with a filter in the kernel for our identifier, so that another program's flood does not push our
    answers out of the buffer.
    """

    def __init__(self, family: socket.AddressFamily) -> None:
        self._family = family
        self._socket: _Socket4 | _Socket6 | None = None
        self._identifier = secrets.randbelow(1 << 16)
        self._numbers = itertools.count(secrets.randbelow(1 << 16))
        self._waiting: dict[int, _Waiting] = {}
        self._users = 0
        self._stamping = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Use the socket; opens it for the first user. Raises ProbeFailed with DENIED or UNREACHABLE."""
        if self._socket is None:
            self._open()
            # Linux turns stamping on a moment after it was asked to; until then a stamp is the moment of reading
            # (5 ms too late in an experiment), which is what we came to avoid.
            asyncio.get_running_loop().call_later(_STAMPING_STARTS_S, self._stamping.set)
        self._users += 1
        try:
            await self._stamping.wait()
        except asyncio.CancelledError:
            self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """The last user closes it: an idle agent holds no socket and wakes for no stranger's ping."""
        self._leave()

    def _leave(self) -> None:
        self._users -= 1
        if self._users == 0 and self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.sock)
            self._socket.close()
            self._socket = None
            self._stamping = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether it holds a socket now."""
        return self._socket is not None

    def _open(self) -> None:
        opening = _Socket4 if self._family == socket.AF_INET else _Socket6
        failure = ProbeFailed(Outcome.DENIED, f"ping: {_RIGHTS}")
        for privileged in (False, True):
            try:
                opened = opening(privileged=privileged)
            except SocketPermissionError:
                continue
            except ICMPSocketError as error:
                failure = ProbeFailed(Outcome.UNREACHABLE, f"ping: no ICMP socket: {_system_error(error)}")
                continue
            break
        else:
            raise failure
        sock: socket.socket = opened.sock
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        if privileged:
            _admit_only(sock, opened, self._identifier)
        else:
            sock.setsockopt(*_RECVERR[self._family], 1)  # what routers say about our requests
        self._socket = opened
        asyncio.get_running_loop().add_reader(sock, self._receive)

    async def echo(self, address: str, size_bytes: int, timeout_s: float, manner: Manner = ORDINARY) -> Echo:
        """One request and what became of it."""
        opened = self._socket
        assert opened is not None  # noqa: S101 - used inside `async with`
        number = next(self._numbers) & 0xFFFF
        if number in self._waiting:
            return Echo(None, Outcome.BROKEN, "more than 65,536 requests at once")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        payload = nonce + os.urandom(size_bytes - _NONCE_BYTES)
        request = ICMPRequest(address, self._identifier, number, payload, ttl=manner.hops_max_count)
        began_s = time.perf_counter()
        try:
            self._send_past_others(opened, request, manner)
        except ICMPSocketError as error:
            return _unsent(error)
        loop = asyncio.get_running_loop()
        sent_s = _on_the_steady_clock(request.time, began_s) or began_s
        waiting = _Waiting(nonce, _packed(self._family, address), sent_s, timeout_s, loop.create_future())
        self._waiting[number] = waiting
        if number % _SENT_BEFORE_TAKING == 0:
            self._receive()  # hundreds of targets at once answer before the event loop looks: the buffer is not endless
        patience = loop.call_later(timeout_s, self._give_up, waiting)
        try:
            return await waiting.answer
        finally:
            patience.cancel()
            del self._waiting[number]

    def _send_past_others(self, opened: _Socket4 | _Socket6, request: ICMPRequest, manner: Manner) -> None:
        """Send. Raises ICMPSocketError, but not for another request's sake: what a router said of that one, the kernel
        hands to whoever sends next on the datagram socket, once. Our own reason comes each time.
        """
        for _ in range(0 if opened.is_privileged else _OTHERS_MAX_COUNT):
            try:
                self._send(opened, request, manner)
            except ICMPSocketError:
                self._receive_told(opened)
            else:
                return
        self._send(opened, request, manner)

    def _send(self, opened: _Socket4 | _Socket6, request: ICMPRequest, manner: Manner) -> None:
        """Send as wished. The socket is everybody's: what was set for this request is unset at once."""
        if manner.may_split:
            opened.send(request)
            return
        sock: socket.socket = opened.sock
        sock.setsockopt(*_MTU_DISCOVER[self._family], _WHOLE)
        try:
            opened.send(request)
        finally:
            sock.setsockopt(*_MTU_DISCOVER[self._family], _BY_THE_TABLE)

    def _give_up(self, waiting: _Waiting) -> None:
        self._receive()  # on a busy PC an answer may lie there since long before the timeout
        _finish(waiting, LOST)

    def _receive(self) -> None:
        opened = self._socket
        if opened is None:
            return
        if not opened.is_privileged:
            self._receive_told(opened)
        sock: socket.socket = opened.sock
        for _ in range(_TAKEN_AT_ONCE):  # whatever is left wakes the loop again, after everybody else's turn
            try:
                message, ancillary, _, source = sock.recvmsg(2048, 256)
            except OSError:
                return
            stamps = [
                content for level, kind, content in ancillary if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS)
            ]
            seconds, nanoseconds = _TIMESPEC.unpack(stamps[0]) if stamps else (0, 0)
            self._take(opened, _with_plain_header(opened, message), source[0], seconds + nanoseconds / 1e9)

    def _receive_told(self, opened: _Socket4 | _Socket6) -> None:
        """What routers said, from a datagram socket's queue of errors: our own request, and beside it the answer."""
        while True:
            try:
                request, ancillary, _, destination = opened.sock.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return
            for level, kind, content in ancillary:
                if (level, kind) == _RECVERR[self._family]:
                    _, origin, told, code, _, _ = _EXTENDED_ERROR.unpack_from(content)
                    if origin in _FROM_ICMP:
                        # As it came over the wire; of the quoted IP header only the destination is of interest.
                        head = bytes([told, code, 0, 0, 0, 0, 0, 0])
                        quoted = _packed(self._family, destination[0]).rjust(opened.QUOTED_BYTES, b"\0")
                        source = _offender(self._family, content[_EXTENDED_ERROR.size :])
                        self._take(opened, head + quoted + request, source, 0.0)

    def _take(self, opened: _Socket4 | _Socket6, message: bytes, source: str, stamp_s: float) -> None:
        reply = opened.parse(message, source)
        waiting = None if reply is None else self._waiting.get(reply.sequence)
        if waiting is None or (opened.is_privileged and reply.id != self._identifier):
            return
        body = message[20:] if opened.is_privileged and self._family == socket.AF_INET else message
        if reply.type == opened.REPLY and body[8 : 8 + _NONCE_BYTES] == waiting.nonce:
            # Whoever knows the nonce has seen the request: a host may answer from another of its addresses.
            arrived_s = _on_the_steady_clock(stamp_s, waiting.sent_s) or time.perf_counter()
            rtt_s = arrived_s - waiting.sent_s
            _finish(waiting, Echo(rtt_s) if rtt_s <= waiting.timeout_s else LOST)
        elif reply.type in opened.TOLD and body[8 : 8 + opened.QUOTED_BYTES].endswith(waiting.destination):
            try:
                reply.raise_for_status()
            except ICMPError as error:
                _finish(waiting, Echo(None, Outcome.UNREACHABLE, f"{source} says: {error}", source))


def _finish(waiting: _Waiting, echo: Echo) -> None:
    if not waiting.answer.done():  # a duplicate finds it done, and changes nothing
        waiting.answer.set_result(echo)


def _on_the_steady_clock(wall_s: float, earliest_s: float) -> float | None:
    """A moment just past on the wall clock, as `perf_counter` had it, or None if that cannot be.

    So only a step of the wall clock within these microseconds could touch a measurement, and not one during the
    flight of a packet; such a one mostly yields a moment before `earliest_s`, or one yet to come.
    """
    wall_now_s, now_s = time.time(), time.perf_counter()
    moment_s = now_s - (wall_now_s - wall_s)
    return moment_s if earliest_s <= moment_s <= now_s else None


def _system_error(error: Exception) -> str:
    """What the system said; icmplib's errors keep it as their context."""
    cause = error.__context__
    return (cause.strerror or str(cause)) if isinstance(cause, OSError) else str(error)


def _unsent(error: Exception) -> Echo:
    cause = error.__context__
    if isinstance(cause, BlockingIOError):
        return LOST  # no room in the send buffer: what a full line does to packets
    outcome = Outcome.DENIED if isinstance(cause, PermissionError) else Outcome.UNREACHABLE
    return Echo(None, outcome, _system_error(error))


def _with_plain_header(opened: _Socket4 | _Socket6, message: bytes) -> bytes:
    """A raw IPv4 message with its IP header cut to the 20 bytes that icmplib counts on."""
    if isinstance(opened, _Socket4) and opened.is_privileged and message:
        return message[max(0, (message[0] & 0x0F) * 4 - 20) :]
    return message


def _packed(family: socket.AddressFamily, address: str) -> bytes:
    return socket.inet_pton(family, address.partition("%")[0])


def _offender(family: socket.AddressFamily, address: bytes) -> str:
    """Who sent the error: the address in a sockaddr_in or sockaddr_in6."""
    return socket.inet_ntop(family, address[4:8] if family == socket.AF_INET else address[8:24])


def _admit_only(sock: socket.socket, opened: _Socket4 | _Socket6, identifier: int) -> None:
    """Lets the kernel drop all but answers to our identifier and errors (a classic BPF program, bpf(4)).

    A raw IPv4 socket sees the IP header first, whose length goes into X; a raw IPv6 one sees none.
    """
    load_byte, load_half, load_x_header, load_x = 0x50, 0x48, 0xB1, 0x01
    if_equal, accept = 0x15, 0x06
    unreachable, exceeded = opened.TOLD
    program = [
        (load_x_header, 0, 0, 0) if isinstance(opened, _Socket4) else (load_x, 0, 0, 0),
        (load_byte, 0, 0, 0),  # the ICMP type
        (if_equal, 5, 0, unreachable),
        (if_equal, 4, 0, exceeded),
        (if_equal, 0, 2, opened.REPLY),
        (load_half, 0, 0, 4),  # the identifier
        (if_equal, 1, 0, identifier),
        (accept, 0, 0, 0),  # nothing of it
        (accept, 0, 0, 0xFFFF),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code)))


_pingers: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[socket.AddressFamily, Pinger]]" = WeakKeyDictionary()
"""The one of each event loop and family; they go with their loop."""


def pinger(family: socket.AddressFamily) -> Pinger:
    """The running loop's one for a family."""
    mine = _pingers.setdefault(asyncio.get_running_loop(), {})
    return mine.setdefault(family, Pinger(family))


async def echo_all(
    address: str, count: int, spacing_s: float, timeout_s: float, size_bytes: int, *, manner: Manner = ORDINARY
) -> list[Echo]:
    """So many echoes to an address, `spacing_s` apart, in order of sending. Raises ProbeFailed: no socket."""
    one = pinger(socket.AF_INET6 if ":" in address else socket.AF_INET)

    async def send(place: int) -> Echo:
        await asyncio.sleep(place * spacing_s)
        return await one.echo(address, size_bytes, timeout_s, manner)

    async with one, asyncio.TaskGroup() as group:
        sending = [group.create_task(send(place)) for place in range(count)]
    echoes = [task.result() for task in sending]
    spent_echoes(address, size_bytes, echoes)
    return echoes
