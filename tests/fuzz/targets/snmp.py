"""What an SNMP device answers: each answer comes spoilt and then, so that nobody waits, as it should be."""

import asyncio
from typing import Any, Final

from agent.probe import ProbeFailed
from agent.probes.snmp import Snmp
from agent.snmp import client as snmp
from agent.snmp.mib2 import uptime
from tests.fuzz.speaker import Loop
from tests.support.ports import LOOPBACK

UPTIME: Final = "1.3.6.1.2.1.1.3.0"
COLUMN: Final = "1.3.6.1.2.1.2.2.1.3"
WORDS: Final = (
    *(
        b"\x30\x82",
        b"\x02\x01",
        b"\x43\x04",
        b"\x46\x08",
        b"\x04\x00",
        b"\x05\x00",
        b"\x80\x00",
        b"\x81\x00",
        b"\x82\x00",
    ),
    *(
        b"\x06\x08",
        b"\x30\x80",
        b"\x00\x00",
        b"\xff" * 9,
        b"\x02\x84\xff\xff\xff\xff",
        b"\xa8",
        b"\x09\x03\x80\x01\x02",
    ),
)
GOOD: Final = 5
"""Hundredths of a second: what the good answer tells."""
_NUMBER: Final = b"NUMB"
"""Stands for the number of the request, four bytes, in what is to be answered."""


FOUND: Final = (b"lo", b"\x30\x00", b"")


def inputs() -> list[bytes]:
    return [
        response(UPTIME, b"\x43\x03\x01\x02\x03"),
        response(f"{COLUMN}.7", b"\x02\x01\x06"),
        response(UPTIME, b"\x80\x00"),
        response(UPTIME, b"\x05\x00", status=2),
        response(UPTIME, b"\x04\x05hello"),
        response(UPTIME, b"\x06\x03\x2b\x06\x01"),
        *FOUND,
    ]


def response(oid: str, value: bytes, *, status: int = 0) -> bytes:
    """A response of version 2c with one object (RFC 3416), its number to be filled in."""
    pdu = b"\x02\x04" + _NUMBER + b"\x02\x01" + bytes([status]) + b"\x02\x01" + bytes([1 if status else 0])
    bindings = _told(0x30, _told(0x30, _oid(oid) + value))
    return _told(0x30, b"\x02\x01\x01\x04\x06public" + _told(0xA2, pdu + bindings))


def _told(tag: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([tag, len(content)]) + content


def _oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    return _told(0x06, bytes([40 * first + second, *rest]))


class Device(asyncio.DatagramProtocol):
    """Answers each request with `words`, and then with a good answer."""

    def __init__(self) -> None:
        self.words = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        for answer in (self.words[:60_000], response(UPTIME, b"\x43\x01" + bytes([GOOD]))):
            self._transport.sendto(answer.replace(_NUMBER, number_of(data)), addr)


def number_of(request: bytes) -> bytes:
    """The request's number, as four bytes (BER does not mind zeros before it)."""
    place = request.index(b"public") + len(b"public") + 2  # behind the PDU's tag and length
    assert request[place] == 0x02, "no number where one should be"
    length = request[place + 1]
    return int.from_bytes(request[place + 2 : place + 2 + length], "big").to_bytes(4, "big")


class Asking:
    """Set up once for a process."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.answering = Device()
        port = self.loop.run(self._listen())
        probe = Snmp(target="switch", address=LOOPBACK, community="public", port=port)
        self.device = snmp.Device(LOOPBACK, port, probe.login, 0.3, 0, "snmp")

    async def _listen(self) -> int:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self.answering, local_addr=(LOOPBACK, 0))
        port: int = transport.get_extra_info("sockname")[1]
        return port

    async def ask(self) -> bool:
        """Whatever came before it, the good answer ends the waiting, and no time-out does."""
        try:
            async with asyncio.timeout(5.0):
                told = await snmp.get(self.device, [UPTIME])
                uptime(told)
                rows = await snmp.get_rows(self.device, [COLUMN], 3)
        except ProbeFailed as failure:
            assert failure.detail
            return False
        assert len(rows) <= 3
        return told != {UPTIME: GOOD}


_asking: Final[list[Asking]] = []


def take(data: bytes) -> bool:
    if not _asking:
        _asking.append(Asking())
    (asking,) = _asking
    asking.answering.words = data
    is_good: bool = asking.loop.run(asking.ask())
    return is_good
