"""Sends and receives ICMP echoes on Linux: all pings of the process over one socket a family, stamped by the kernel.

icmplib opens the sockets, builds the requests, and parses what routers say. The time of an answer is the kernel's
(SO_TIMESTAMPNS) and not the moment when Python gets round to it, as icmplib's own waiting has it: with a hundred
targets at once the two differ by milliseconds.
"""

import asyncio
import ctypes
import heapq
import itertools
import math
import os
import secrets
import socket
import struct
import time
from typing import Any, Final, NamedTuple, Self
from weakref import WeakKeyDictionary

from icmplib import (  # type: ignore[import-untyped]  # it has no annotations
    ICMPError,
    ICMPSocketError,
    SocketPermissionError,
)
from icmplib.sockets import ICMPSocket, ICMPv4Socket, ICMPv6Socket  # type: ignore[import-untyped]  # as above

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
_ECHO: Final = struct.Struct("!BxxxxxH8s")
"""An answer's type, number and nonce."""
_NONCE_BYTES: Final = 8
_BUFFER_BYTES: Final = 4 << 20
_TAKEN_AT_ONCE: Final = 8192
"""More than the buffer holds: what comes meanwhile waits for everybody else's turn."""
_SENT_BEFORE_TAKING: Final = 64
_OTHERS_MAX_COUNT: Final = 3
_STAMPING_STARTS_S: Final = 0.02
_RIGHTS: Final = (
    'no right to send pings: give the program CAP_NET_RAW, or run sysctl -w net.ipv4.ping_group_range="0 2147483647"'
)


class _Socket(ICMPSocket):  # type: ignore[misc]  # icmplib is not annotated
    """What we add to icmplib's sockets of either family."""

    __slots__ = ()
    REPLY: int
    TOLD: tuple[int, int]
    """Destination unreachable and time exceeded."""
    QUOTED_BYTES: int
    """Of an IP header, with the destination at its end."""

    def build(self, identifier: int, number: int, payload: bytes) -> bytes:
        """An echo request."""
        return self._create_packet(identifier, number, payload)  # type: ignore[no-any-return]  # as above

    def parse(self, message: bytes, source: str) -> Any:  # noqa: ANN401 - an ICMPReply, or None
        """From the ICMP header on; before it icmplib wants to skip an IP header without options."""
        header = bytes(self._ICMP_HEADER_OFFSET) if self._privileged else b""
        return self._parse_reply(header + message, source, 0.0)

    def limit_hops(self, hops_max_count: int) -> None:
        """For all requests from now on."""
        self._set_ttl(hops_max_count)


class _Socket4(_Socket, ICMPv4Socket):  # type: ignore[misc]  # as above
    __slots__ = ()
    REPLY = 0
    TOLD = (3, 11)  # RFC 792
    QUOTED_BYTES = 20

    def start_of(self, message: bytes) -> int:
        """Where ICMP begins: a raw socket has the IP header before it."""
        return (message[0] & 0x0F) * 4 if self._privileged and message else 0

    def _checksum(self, data: bytes) -> int:
        """RFC 1071's sum at one stroke: icmplib's own, word by word, takes longer than all else about a ping."""
        return -int.from_bytes(data + bytes(len(data) % 2), "big") % 0xFFFF


class _Socket6(_Socket, ICMPv6Socket):  # type: ignore[misc]  # as above
    __slots__ = ()
    REPLY = 129
    TOLD = (1, 3)  # RFC 4443
    QUOTED_BYTES = 40

    def start_of(self, _message: bytes) -> int:
        """Where ICMP begins: here at once."""
        return 0

    def _checksum(self, _data: bytes) -> int:
        """Left to the kernel, who knows the source address that goes into it (RFC 3542, 3.1)."""
        return 0


class _Flight(NamedTuple):
    """One request on its way."""

    number: int
    row: "_Row"
    place: int
    nonce: bytes
    sent_s: float


class _Row:
    """The echoes that somebody wants to an address: what is sent of them and on its way, and what came of the rest."""

    def __init__(
        self,
        family: socket.AddressFamily,
        address: str,
        *,
        count: int,
        spacing_s: float,
        timeout_s: float,
        size_bytes: int,
        manner: Manner,
    ) -> None:
        """Raises OSError when the address is of a network interface that is gone."""
        found = socket.getaddrinfo(address, None, family, socket.SOCK_RAW, flags=socket.AI_NUMERICHOST)
        self.destination = found[0][4]
        self.packed = _packed(family, address)
        self.count, self.spacing_s, self.timeout_s, self.manner = count, spacing_s, timeout_s, manner
        self.nonces = secrets.token_bytes(count * _NONCE_BYTES)
        self.padding = os.urandom(size_bytes - _NONCE_BYTES)
        self.sent_count = 0
        self.flights: dict[int, _Flight] = {}
        """By number, in order of sending."""
        self.echoes = [LOST] * count
        self.ended: asyncio.Future[list[Echo]] = asyncio.get_running_loop().create_future()
        self.began_s = time.perf_counter()

    @property
    def oldest(self) -> _Flight | None:
        """Of what is on its way, the one sent first."""
        return next(iter(self.flights.values()), None)

    def due_s(self) -> float:
        """When there is something to do next: the next request, and after the last one the oldest's end of patience.

        Answers move it on, never back.
        """
        if self.sent_count < self.count:
            return self.began_s + self.sent_count * self.spacing_s
        return self.oldest.sent_s + self.timeout_s if self.oldest else math.inf

    def end_if_done(self) -> None:
        """Tell whoever waits, unless something is still to send or on its way."""
        if self.sent_count == self.count and not self.flights and not self.ended.done():
            self.ended.set_result(self.echoes)


class Pinger:
    """One family's socket on one event loop. Opened at the first ping, closed when nobody waits any more.

    A datagram socket where the system allows it: the kernel then hands us nothing but answers to our own requests.
    Else a raw one with a filter in the kernel for our identifier, so that another program's flood does not push our
    answers out of the buffer.

    All rows share one timer, and what is due at its turn is sent in one go: a task and a timer of its own for each
    echo cost more than the echo.
    """

    def __init__(self, family: socket.AddressFamily) -> None:
        self._family = family
        self._socket: _Socket4 | _Socket6 | None = None
        self._identifier = secrets.randbelow(1 << 16)
        self._numbers = itertools.count(secrets.randbelow(1 << 16))
        self._flights: dict[int, _Flight] = {}
        self._agenda: list[tuple[float, int, _Row]] = []
        """A heap: when at the earliest each row has something to do, and a number to tell equal moments apart."""
        self._entries = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_s = math.inf
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
        opened.limit_hops(ORDINARY.hops_max_count)
        if privileged:
            _admit_only(sock, opened, self._identifier)
        else:
            sock.setsockopt(*_RECVERR[self._family], 1)  # what routers say about our requests
        self._socket = opened
        asyncio.get_running_loop().add_reader(sock, self._look)

    async def echoes(
        self,
        address: str,
        count: int,
        spacing_s: float,
        timeout_s: float,
        size_bytes: int,
        *,
        manner: Manner = ORDINARY,
    ) -> list[Echo]:
        """So many requests, the first at once, and what became of each in order of sending."""
        try:
            row = _Row(
                self._family,
                address,
                count=count,
                spacing_s=spacing_s,
                timeout_s=timeout_s,
                size_bytes=size_bytes,
                manner=manner,
            )
        except OSError as error:
            return [_unsent(error)] * count
        try:
            self._act(row, row.began_s)
            self._set_timer()
            return await row.ended
        finally:
            row.ended.cancel()
            for number in list(row.flights):
                self._land(number)
            self._set_timer()

    def _act(self, row: _Row, now_s: float) -> None:
        """Give up what took too long, send what is due, and enter when there is more to do."""
        while (oldest := row.oldest) is not None and oldest.sent_s + row.timeout_s <= now_s:
            self._land(oldest.number)
        if row.sent_count < row.count and row.due_s() <= now_s:
            self._send(row)
        row.end_if_done()
        if not row.ended.done():
            heapq.heappush(self._agenda, (row.due_s(), next(self._entries), row))

    def _set_timer(self) -> None:
        """For the soonest thing to do; rows whose turn has moved on since, by answers, wake nobody."""
        agenda = self._agenda
        while agenda:
            due_s, entry, row = agenda[0]
            if row.ended.done():
                heapq.heappop(agenda)
            elif row.due_s() > due_s:
                heapq.heapreplace(agenda, (row.due_s(), entry, row))
            else:
                break
        soonest_s = agenda[0][0] if agenda else math.inf
        if soonest_s == self._timer_due_s:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_due_s = soonest_s
        if agenda:
            delay_s = max(0.0, soonest_s - time.perf_counter())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._take_turn)

    def _take_turn(self) -> None:
        self._timer, self._timer_due_s = None, math.inf
        now_s = time.perf_counter()
        self._receive()  # on a busy PC an answer may lie there since long before its time was up
        while self._agenda and self._agenda[0][0] <= now_s:
            _, _, row = heapq.heappop(self._agenda)
            if row.ended.done():
                continue
            try:
                self._act(row, now_s)
            except Exception as error:  # noqa: BLE001 - the callback's border: who waits is told, and others go on
                row.ended.set_exception(error)
        self._set_timer()

    def _send(self, row: _Row) -> None:
        """The row's next request."""
        opened = self._socket
        assert opened is not None  # noqa: S101 - used inside `async with`
        place = row.sent_count
        row.sent_count += 1
        number = next(self._numbers) & 0xFFFF
        if number in self._flights:
            row.echoes[place] = Echo(None, Outcome.BROKEN, "more than 65,536 requests at once")
            return
        nonce = row.nonces[place * _NONCE_BYTES : (place + 1) * _NONCE_BYTES]
        packet = opened.build(self._identifier, number, nonce + row.padding)
        try:
            sent_s = self._send_past_others(opened, packet, row)
        except OSError as error:
            row.echoes[place] = _unsent(error)
            return
        row.flights[number] = self._flights[number] = _Flight(number, row, place, nonce, sent_s)
        if number % _SENT_BEFORE_TAKING == 0:
            self._receive()  # hundreds of targets at once answer before the event loop looks: the buffer is not endless

    def _send_past_others(self, opened: _Socket4 | _Socket6, packet: bytes, row: _Row) -> float:
        """Send, and tell when. Raises OSError, but not for another request's sake: what a router said of that one, the
        kernel hands to whoever sends next on the datagram socket, once. Our own reason comes each time.
        """
        for _ in range(0 if opened.is_privileged else _OTHERS_MAX_COUNT):
            try:
                return self._send_as_wished(opened, packet, row)
            except OSError:
                self._receive_told(opened)
        return self._send_as_wished(opened, packet, row)

    def _send_as_wished(self, opened: _Socket4 | _Socket6, packet: bytes, row: _Row) -> float:
        """The socket is everybody's: what is set for this request is unset at once."""
        sock: socket.socket = opened.sock
        if row.manner == ORDINARY:
            sent_s = time.perf_counter()
            sock.sendto(packet, row.destination)
            return sent_s
        opened.limit_hops(row.manner.hops_max_count)
        sock.setsockopt(*_MTU_DISCOVER[self._family], _BY_THE_TABLE if row.manner.may_split else _WHOLE)
        try:
            sent_s = time.perf_counter()
            sock.sendto(packet, row.destination)
        finally:
            opened.limit_hops(ORDINARY.hops_max_count)
            sock.setsockopt(*_MTU_DISCOVER[self._family], _BY_THE_TABLE)
        return sent_s

    def _look(self) -> None:
        self._receive()
        self._set_timer()

    def _receive(self) -> None:
        """Everything that lies there."""
        opened = self._socket
        if opened is None:
            return
        if not opened.is_privileged:
            self._receive_told(opened)
        sock: socket.socket = opened.sock
        for _ in range(_TAKEN_AT_ONCE):
            try:
                message, ancillary, _, source = sock.recvmsg(2048, 256)
            except BlockingIOError:
                return
            except OSError:  # what a router said just now, which the kernel tells us here once more
                self._receive_told(opened)
                continue
            seconds, nanoseconds = 0, 0
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                    seconds, nanoseconds = _TIMESPEC.unpack(content)
            self._take(opened, message, source[0], seconds + nanoseconds / 1e9)

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
                        self._take_word(opened, head + quoted + request, source)

    def _take(self, opened: _Socket4 | _Socket6, message: bytes, source: str, stamp_s: float) -> None:
        start = opened.start_of(message)
        if len(message) < start + _ECHO.size:
            return
        kind, number, nonce = _ECHO.unpack_from(message, start)
        if kind != opened.REPLY:
            self._take_word(opened, message[start:], source)
            return
        flight = self._flights.get(number)
        # Whoever knows the nonce has seen the request: a host may answer from another of its addresses.
        if flight is not None and nonce == flight.nonce:  # a duplicate finds no flight, and changes nothing
            arrived_s = _on_the_steady_clock(stamp_s, flight.sent_s) or time.perf_counter()
            rtt_s = arrived_s - flight.sent_s
            self._land(number, Echo(rtt_s) if rtt_s <= flight.row.timeout_s else LOST)

    def _take_word(self, opened: _Socket4 | _Socket6, message: bytes, source: str) -> None:
        """A router's word about a request, which it quotes from its IP header on."""
        reply = opened.parse(message, source)
        flight = None if reply is None else self._flights.get(reply.sequence)
        if flight is None or reply.type not in opened.TOLD or (opened.is_privileged and reply.id != self._identifier):
            return
        if message[8 : 8 + opened.QUOTED_BYTES].endswith(flight.row.packed):
            try:
                reply.raise_for_status()
            except ICMPError as error:
                self._land(reply.sequence, Echo(None, Outcome.UNREACHABLE, f"{source} says: {error}", source))

    def _land(self, number: int, echo: Echo = LOST) -> None:
        """A request's fate is known."""
        flight = self._flights.pop(number)
        row = flight.row
        del row.flights[number]
        row.echoes[flight.place] = echo
        row.end_if_done()


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


def _unsent(error: OSError) -> Echo:
    if isinstance(error, BlockingIOError):
        return LOST  # no room in the send buffer: what a full line does to packets
    outcome = Outcome.DENIED if isinstance(error, PermissionError) else Outcome.UNREACHABLE
    return Echo(None, outcome, error.strerror or str(error))


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
    if family not in mine:
        mine[family] = Pinger(family)
    return mine[family]


async def echo_all(
    address: str, count: int, spacing_s: float, timeout_s: float, size_bytes: int, *, manner: Manner = ORDINARY
) -> list[Echo]:
    """So many echoes to an address, `spacing_s` apart, in order of sending. Raises ProbeFailed: no socket."""
    async with pinger(socket.AF_INET6 if ":" in address else socket.AF_INET) as one:
        echoes = await one.echoes(address, count, spacing_s, timeout_s, size_bytes, manner=manner)
    spent_echoes(address, size_bytes, echoes)
    return echoes
