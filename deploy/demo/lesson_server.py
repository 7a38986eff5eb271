"""Real servers on loopback for the demo's real agent to measure: a DNS server that knows one name."""

import asyncio
import struct
from typing import Final, cast

LESSON_NAME: Final = "lesson.demo"
_ANSWER_TTL_S: Final = 60


class _Answers(asyncio.DatagramProtocol):
    """Answers `A lesson.demo` with 127.0.0.1 and anything else with NXDOMAIN (RFC 1035, one question a message)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance: Python 3.11's own transport does not derive from what its documentation says.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = answer_to(data)
        if answer is not None:
            self._transport.sendto(answer, addr)


def answer_to(query: bytes) -> bytes | None:
    """The answer to a query, None to what is none."""
    question = query[12:]
    end = question.find(b"\0") + 5
    if len(query) < 17 or query[2] & 0x80 or query[4:6] != b"\0\1" or len(question) < end:  # noqa: PLR2004 - the shortest query
        return None
    question = question[:end]
    wanted = b"".join(bytes([len(part)]) + part.encode() for part in LESSON_NAME.split(".")) + b"\0"
    known = question[:-4].lower() == wanted
    is_a = known and question[-4:] == b"\0\1\0\1"
    flags = 0x8580 if known else 0x8583
    head = query[:2] + struct.pack("!HHHHH", flags, 1, int(is_a), 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, _ANSWER_TTL_S, 4) + bytes([127, 0, 0, 1])
    return head + question + (record if is_a else b"")


async def start_dns() -> tuple[asyncio.DatagramTransport, int]:
    """Serve on a free port of 127.0.0.1."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_Answers, local_addr=("127.0.0.1", 0))
    return transport, transport.get_extra_info("sockname")[1]
