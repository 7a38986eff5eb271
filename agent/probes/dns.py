"""Whether names resolve, how fast, and to what: by a named server, or as the PC itself would (RFC 1035)."""

import asyncio
import ipaddress
import secrets
import socket
import struct
import sys
import time
from typing import Annotated, ClassVar, Final, NamedTuple

import msgspec

from agent.network.resolving import resolve, resolve_all
from agent.probe import ProbeFailed, Value, Values
from agent.probes.tcp import failure_of
from agent.spending.meter import Farewell, spent_datagrams, spent_tcp
from contract.outcome import Outcome
from contract.settings import Port, Seconds, Target

_TYPES: Final = {"A": (1, 4), "AAAA": (28, 16)}
_FAMILIES: Final = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}
_CLASS_IN: Final = 1
_QUERY: Final = 0x0100  # recursion desired
_RECVERR: Final = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
"""Linux's option, which Python's socket module lacks."""
_IS_ANSWER: Final = 0x8000
_RCODE_BITS: Final = 0x0F
_TRUNCATED: Final = 0x0200
_RCODES: Final = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_HEAD: Final = struct.Struct("!HHHHHH")
_RECORD: Final = struct.Struct("!HHIH")
_LABEL_MAX_BYTES: Final = 63
_POINTER: Final = 0xC0
_MESSAGE_MAX_BYTES: Final = 4096
_HEADERS_BYTES: Final = 46
"""Of a question: IP, UDP and DNS."""
_RECORDS_BYTES: Final = 120
"""What an answer usually holds."""


class Dns(msgspec.Struct, frozen=True, kw_only=True):
    """Asks once for a name's addresses (RFC 1035; over TCP when the answer is cut, RFC 7766).

    With `server` that server is asked, twice within the time limit when it stays silent; without it the PC's own
    resolver, which may answer from its cache. `expect` are addresses that may come: anything else, and somebody tampers
    with names (`expected_bool` 0). NXDOMAIN is NO_NAME, and so is SERVFAIL, which a resolver says that cannot reach the
    internet itself: the name does not resolve for this room. A server that refuses us is DENIED.
    """

    name_wanted: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    target: Target = "dns"
    server: str = ""
    port: Port = 53
    kind: Annotated[str, msgspec.Meta(pattern="^(A|AAAA)$", description="A or AAAA")] = "A"
    expect: tuple[str, ...] = ()
    timeout_s: Annotated[Seconds, msgspec.Meta(ge=0.1, le=30)] = 3.0

    values: ClassVar[tuple[Value, ...]] = (
        Value("answer_ms", "From the first question to the answer, also when a second was needed."),
        Value("answers_count", "Addresses in the answer."),
        Value(
            "rcode_code", "The server's answer code (RFC 1035 4.1.1): 0 no error, 2 failure, 3 no such name, 5 refused."
        ),
        Value("ttl_min_s", "How long the answer may be kept: the shortest of its records; only from a named server."),
        Value("expected_bool", "Whether all addresses are among those expected; absent when none are."),
    )
    rights: ClassVar[str] = "None."
    example: ClassVar[dict[str, object]] = {"target": "dns", "name_wanted": "zoom.us", "server": "8.8.8.8"}

    @property
    def cost_bytes(self) -> int:
        """Question and answer, twice when the first is lost; what the system's resolver asks is taken for the same."""
        return 2 * (2 * _HEADERS_BYTES + 2 * len(self.name_wanted) + _RECORDS_BYTES)

    @property
    def longest_s(self) -> float:
        """Resolving the server's own name, and the question."""
        return 2 * self.timeout_s

    async def measure(self) -> Values:
        """Ask. Raises ProbeFailed with TIMEOUT, REFUSED, UNREACHABLE, NO_NAME, DENIED or BROKEN."""
        if not self.server:
            return await self._ask_system()
        what = f"dns {self.name_wanted} at {self.server}"
        found = await resolve(self.server, what, self.timeout_s)
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout_s):
                answer = await self._ask(found.family, found.address)
        except OSError as error:  # TimeoutError is one
            raise failure_of(error, what, self.timeout_s, {}) from None
        except _Nonsense as error:
            raise ProbeFailed(Outcome.BROKEN, f"{what}: an answer that makes no sense: {error}") from None
        values: Values = {"answer_ms": (time.perf_counter() - began_s) * 1000, "rcode_code": answer.rcode}
        if answer.rcode:
            raise ProbeFailed(_outcome_of(answer.rcode), f"{what}: {_RCODES.get(answer.rcode, answer.rcode)}", values)
        values["answers_count"] = len(answer.addresses)
        if answer.addresses:
            values["ttl_min_s"] = float(answer.ttl_min_s)
        return self._compared(what, values, answer.addresses)

    async def _ask_system(self) -> Values:
        what = f"dns {self.name_wanted}"
        found = await resolve_all(self.name_wanted, what, self.timeout_s, _FAMILIES[self.kind])
        values: Values = {"answers_count": len(found)}
        if found[0].took_ms is not None:
            values["answer_ms"] = found[0].took_ms
        return self._compared(what, values, [one.address for one in found])

    def _compared(self, what: str, values: Values, addresses: list[str]) -> Values:
        if not addresses:
            raise ProbeFailed(Outcome.ABSENT, f"{what}: the name has no {self.kind} address", values)
        if self.expect:
            wanted = {_canonical(one) for one in self.expect}
            values["expected_bool"] = int(all(_canonical(one) in wanted for one in addresses))
        return values

    async def _ask(self, family: socket.AddressFamily, address: str) -> "_Answer":
        number = secrets.randbelow(1 << 16)
        query = _query(number, self.name_wanted, self.kind)
        raw = await self._over_udp(family, address, query)
        if int.from_bytes(raw[2:4], "big") & _TRUNCATED:
            raw = await self._over_tcp(address, query)
            if not _is_answer_to(raw, query):
                raise _Nonsense("over TCP it answers something else")
        return _read(raw, len(query), self.kind)

    async def _over_udp(self, family: socket.AddressFamily, address: str, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        transport, listener = await loop.create_datagram_endpoint(
            lambda: _Listener(query, loop), remote_addr=(address, self.port), family=family
        )
        if sys.platform == "linux":
            # Else Linux keeps a router's "host unreachable" to itself, and the question ends as a timeout.
            transport.get_extra_info("socket").setsockopt(*_RECVERR[family], 1)
        sent_count, answer = 1, b""
        try:
            transport.sendto(query)
            try:
                async with asyncio.timeout(self.timeout_s / 2):
                    answer = await asyncio.shield(listener.answer)
            except TimeoutError:
                sent_count = 2
                transport.sendto(query)  # one packet lost is no resolver lost
                answer = await listener.answer
            return answer
        finally:
            spent_datagrams(family, sent=(sent_count, sent_count * len(query)), received=(bool(answer), len(answer)))
            listener.answer.cancel()
            transport.close()

    async def _over_tcp(self, address: str, query: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(address, self.port)
        try:
            writer.write(struct.pack("!H", len(query)) + query)
            await writer.drain()
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            return await reader.readexactly(length)
        except asyncio.IncompleteReadError:
            raise _Nonsense("over TCP it is cut short") from None
        finally:
            spent_tcp(writer.get_extra_info("socket"), Farewell.ABORTED)
            writer.transport.abort()


class _Nonsense(Exception):
    """An answer that is none; why."""


class _Answer(NamedTuple):
    rcode: int
    addresses: list[str]
    ttl_min_s: int


class _Listener(asyncio.DatagramProtocol):
    """Waits for the answer to one question: what is none (another number, another question) is passed over."""

    def __init__(self, query: bytes, loop: asyncio.AbstractEventLoop) -> None:
        self._query = query
        self.answer: asyncio.Future[bytes] = loop.create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - the socket is connected
        if not self.answer.done() and _is_answer_to(data, self._query):
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def _is_answer_to(data: bytes, query: bytes) -> bool:
    """The same number and the same question, which a server may leave out that could not read it.

    Its letters may come back in the other case: some cheap routers do that.
    """
    if len(data) < _HEAD.size or data[:2] != query[:2] or not int.from_bytes(data[2:4], "big") & _IS_ANSWER:
        return False
    if data[4:6] == b"\0\0":
        return data[3] & _RCODE_BITS != 0
    return data[_HEAD.size : len(query)].lower() == query[_HEAD.size :].lower()


def _query(number: int, name: str, kind: str) -> bytes:
    """The question as a message. Raises ProbeFailed for what can be no name."""
    try:
        labels = name.rstrip(".").encode("idna").split(b".")
    except UnicodeError:
        labels = []
    if not labels or not all(0 < len(label) <= _LABEL_MAX_BYTES for label in labels):
        raise ProbeFailed(Outcome.NO_NAME, f"dns {name}: this can be no name")
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return _HEAD.pack(number, _QUERY, 1, 0, 0, 0) + question + struct.pack("!HH", _TYPES[kind][0], _CLASS_IN)


def _read(data: bytes, begins_at: int, kind: str) -> _Answer:
    """The addresses in an answer whose question has been looked at. Raises _Nonsense."""
    _, flags, questions_count, answers_count, _, _ = _HEAD.unpack_from(data)
    rcode = flags & _RCODE_BITS
    if rcode:
        return _Answer(rcode, [], 0)
    place = begins_at if questions_count else _HEAD.size
    wanted, size = _TYPES[kind]
    addresses, ttls_s = [], []
    for _ in range(answers_count):
        place = _after_name(data, place)
        if place + _RECORD.size > len(data):
            raise _Nonsense("it is cut short")
        record, family, ttl_s, length = _RECORD.unpack_from(data, place)
        place += _RECORD.size
        if place + length > len(data):
            raise _Nonsense("it is cut short")
        if record == wanted and family == _CLASS_IN and length == size:
            addresses.append(str(ipaddress.ip_address(data[place : place + length])))
            ttls_s.append(ttl_s)
        place += length
    return _Answer(rcode, addresses, min(ttls_s, default=0))


def _after_name(data: bytes, place: int) -> int:
    """Where a name ends. A pointer ends it, so that none is followed: no loop can hold us."""
    while place < len(data):
        length = data[place]
        if length >= _POINTER:
            return place + 2
        if length > _LABEL_MAX_BYTES:
            break
        place += 1 + length
        if length == 0:
            return place
    raise _Nonsense("a name has no end")


def _outcome_of(rcode: int) -> Outcome:
    if _RCODES.get(rcode) in ("NXDOMAIN", "SERVFAIL"):
        return Outcome.NO_NAME
    return Outcome.DENIED if _RCODES.get(rcode) == "REFUSED" else Outcome.BROKEN


def _canonical(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address
