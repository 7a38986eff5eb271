"""SIP's OPTIONS, by UDP and TCP, of what answers, refuses, loses packets, or sends back what it is sent."""

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

import pytest

from agent.devices.asking import Seen, look
from agent.devices.kind import Identity
from agent.devices.kinds.sip import KIND
from agent.probe import ProbeFailed
from contract.outcome import Outcome
from contract.parts import Recognition
from tests.agent.devices.speaking import HASTY_S, PATIENT_S, Asked, a_device, both
from tests.support.ports import LOOPBACK, free_port

Reply = Callable[[bytes], list[bytes]]
"""What is sent back for a request; several messages, or none."""


def answer(status: int, *, spoil: tuple[str, str] = ("", ""), short: bool = False) -> Reply:
    """An answer as RFC 3261 8.2.6 has it: Via, From, To, Call-ID and CSeq as in the request."""

    def reply(request: bytes) -> list[bytes]:
        head = request.decode().partition("\r\n\r\n")[0].split("\r\n")
        kept = [line for line in head[1:] if line.partition(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
        lines = [f"SIP/2.0 {status} Whatever", *kept, "Server: MadeUp/7", "Content-Length: 0"]
        text = "\r\n".join([*lines, "", ""])
        if short:
            text = text.replace("Via:", "v:").replace("Call-ID:", "i:").replace("Content-Length:", "l:")
        return [(re.sub(*spoil, text) if spoil[0] else text).encode()]

    return reply


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        for message in self._reply(data):
            self._transport.sendto(message, addr)


async def with_phone(udp: Reply | None, tcp: Reply | None, done: Callable[[int], Any]) -> Any:
    """A phone that answers so by each of both; None: nobody listens."""
    port = free_port()
    loop = asyncio.get_running_loop()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            for message in tcp(request) if tcp is not None else []:
                writer.write(message)
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the agent has hung up, or the test is over
        finally:
            writer.close()

    server = None if tcp is None else await asyncio.start_server(behave, LOOPBACK, port)
    transport = None
    if udp is not None:
        transport, _ = await loop.create_datagram_endpoint(lambda: Datagrams(udp), local_addr=(LOOPBACK, port))
    try:
        return await done(port)
    finally:
        if server is not None:
            server.close()
        if transport is not None:
            transport.close()


def ask(udp: Reply | None, tcp: Reply | None, timeout_s: float = PATIENT_S) -> Asked:
    async def done(port: int) -> Asked:
        return await both(KIND, a_device(port, timeout_s=timeout_s))

    found = asyncio.run(with_phone(udp, tcp, done))
    assert isinstance(found, Asked)
    return found


def silent(request: bytes) -> list[bytes]:
    del request
    return []


def mirror(request: bytes) -> list[bytes]:
    return [request]


def test_the_request_is_as_the_standard_wants_it() -> None:
    asked: list[str] = []

    def reply(request: bytes) -> list[bytes]:
        asked.append(request.decode())
        return answer(200)(request)

    ask(reply, None)
    first, _, rest = asked[0].partition("\r\n")
    assert re.fullmatch(r"OPTIONS sip:127\.0\.0\.1:\d+ SIP/2\.0", first)
    head, _, body = rest.partition("\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.split("\r\n"))
    assert re.fullmatch(r"SIP/2\.0/UDP 127\.0\.0\.1:\d+;branch=z9hG4bK[0-9a-f]{16};rport", fields["Via"])
    assert re.fullmatch(r"<sip:sansang@127\.0\.0\.1>;tag=[0-9a-f]{8}", fields["From"])
    assert re.fullmatch(r"<sip:127\.0\.0\.1:\d+>", fields["To"])
    assert (fields["CSeq"], fields["Max-Forwards"], fields["Content-Length"]) == ("1 OPTIONS", "70", "0")
    assert (len(fields["Call-ID"]) > 20, body) == (True, "")
    other = dict(line.split(": ", 1) for line in asked[1].partition("\r\n\r\n")[0].split("\r\n")[1:])
    assert other["Call-ID"] != fields["Call-ID"], "each is a call of its own"


@pytest.mark.parametrize("status", [200, 301, 401, 403, 404, 405, 480, 486, 500, 603])
@pytest.mark.parametrize("way", ["udp", "tcp"])
def test_any_final_answer_is_a_sign_of_life(status: int, way: str) -> None:
    asked = ask(answer(status), None) if way == "udp" else ask(None, answer(status))
    assert asked.identity == Identity(kind="sip", model="MadeUp/7", by="SIP")
    assert asked.states == {"sip": "OK"}


def test_one_that_has_too_much_to_do_is_degraded() -> None:
    assert ask(answer(503), None).states == {"sip": "DEGRADED"}


def test_short_names_of_headers_will_do() -> None:
    assert ask(answer(200, short=True), None).states == {"sip": "OK"}
    assert ask(None, answer(200, short=True)).states == {"sip": "OK"}


def test_a_provisional_answer_is_waited_on() -> None:
    def reply(request: bytes) -> list[bytes]:
        return [*answer(100)(request), *answer(180)(request), *answer(503)(request)]

    assert ask(reply, None).states == {"sip": "DEGRADED"}
    assert ask(None, reply).states == {"sip": "DEGRADED"}


def test_what_listens_by_tcp_and_answers_by_udp_only_is_heard() -> None:
    assert ask(answer(200), silent).states == {"sip": "OK"}
    assert ask(silent, answer(200)).states == {"sip": "OK"}


def test_a_lost_packet_is_sent_again() -> None:
    requests: list[bytes] = []

    def reply(request: bytes) -> list[bytes]:
        requests.append(request)
        return answer(200)(request) if len(requests) % 2 == 0 else []

    assert ask(reply, None).states == {"sip": "OK"}
    assert requests[0] == requests[1], "the same request, so that its answer is the same call's"


NOT_OURS: Final = {
    "our own request": mirror,
    "another call": answer(200, spoil=(r"Call-ID: \w", "Call-ID: z")),
    "another branch": answer(200, spoil=(r"branch=z9hG4bK\w", "branch=z9hG4bKz")),
    "no branch": answer(200, spoil=(r";branch=[^;]*", "")),
    "provisional only": answer(100),
    "another protocol": lambda _: [b"HTTP/1.1 200 OK\r\n\r\n"],
    "rubbish": lambda _: [b"\x00\xff\xfe", b"SIP/2.0", b"", b"SIP/2.0 200 OK\r\n\r\n"],
    "nothing": silent,
}


@pytest.mark.parametrize("reply", NOT_OURS.values(), ids=NOT_OURS)
def test_what_answers_nothing_of_ours_is_no_sign_of_life(reply: Reply) -> None:
    asked = ask(reply, reply, HASTY_S)
    assert isinstance(asked.identity, ProbeFailed)
    assert asked.failure.outcome is Outcome.TIMEOUT


def test_where_nobody_listens_the_host_is_alive_and_sip_silent() -> None:
    async def done(port: int) -> Seen:
        return await look(a_device(port), [KIND], lambda: 0.0, is_known=True, ports=(port,))

    found = asyncio.run(with_phone(None, None, done))
    assert isinstance(found, Seen)
    assert (found.recognition, found.silent_to) == (Recognition.SILENT, ("sip",))
    assert ask(None, None).failure.outcome is Outcome.REFUSED
