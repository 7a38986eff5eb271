"""SIP (RFC 3261): whether something at port 5060 answers OPTIONS, by UDP or TCP. Any final answer will do."""

import asyncio
import re
import secrets
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from agent.devices.kind import Device, Identity, Told
from agent.devices.talking import TRIES, Wire, place, talk
from agent.network.resolving import resolve
from agent.probe import ProbeFailed
from agent.probes.tcp import failure_of
from contract.outcome import Outcome
from contract.parts import State

_PORT: Final = 5060
_FIRST_FINAL: Final = 200
_OVERLOADED: Final = 503
_AGAIN_S: Final = 0.5
"""T1 of RFC 3261: a request by UDP is sent again after so long, then after twice that."""
_MESSAGE_MAX_BYTES: Final = 65536
_SHORT: Final = {"i": "call-id", "v": "via", "l": "content-length"}


class _Answer(NamedTuple):
    status: int
    software: str


class _Call(NamedTuple):
    """What makes our request ours."""

    branch: str
    call_id: str
    tag: str


class Sip:
    """Sends OPTIONS both ways, and takes the first answer."""

    name = "sip"
    way = "sip"
    is_generic = True
    logs_in = False
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By any final answer to what we asked."""
        answer = await _options(device)
        return Identity(kind=self.name, model=answer.software, by="SIP")

    async def ask(self, device: Device) -> Told:
        """Whether it takes calls: 503 says that it cannot just now. Raises ProbeFailed."""
        for left in reversed(range(TRIES)):
            try:
                answer = await _options(device)
            except ProbeFailed as failure:
                if not left or failure.outcome is not Outcome.TIMEOUT:
                    raise
            else:
                return Told(parts={"sip": State.DEGRADED if answer.status == _OVERLOADED else State.OK})
        raise AssertionError  # unreachable: the last try returns or raises


async def _options(device: Device) -> _Answer:
    ways = [asyncio.ensure_future(_by_udp(device)), asyncio.ensure_future(_by_tcp(device))]
    failures: list[ProbeFailed] = []
    try:
        for done in asyncio.as_completed(ways):
            try:
                return await done
            except ProbeFailed as failure:
                failures.append(failure)
    finally:
        for one in ways:
            one.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    # By TCP many refuse what they take by UDP: silence is the worse news, and what was said is better than either.
    order = (Outcome.BROKEN, Outcome.TIMEOUT)
    raise next((one for outcome in order for one in failures if one.outcome is outcome), failures[0])


async def _by_tcp(device: Device) -> _Answer:
    async def exchange(wire: Wire) -> _Answer:
        call = _new_call()
        wire.write(_request(device, call, "TCP", wire.writer.get_extra_info("sockname")))
        while True:
            head = await wire.reader.readuntil(b"\r\n\r\n")
            length = _headers(head).get("content-length", "0")
            await wire.reader.readexactly(int(length) if re.fullmatch(r"[0-9]{1,5}", length) else 0)
            if (answer := _final(head, call)) is not None:
                return answer

    return await talk(device, "sip tcp", _PORT, exchange)


class _Datagrams(asyncio.DatagramProtocol):
    """Takes the first final answer to a call."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        self.answered: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        del addr
        answer = _final(data[:_MESSAGE_MAX_BYTES], self._call)
        if answer is not None and not self.answered.done():
            self.answered.set_result(answer)

    def error_received(self, exc: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(exc)


async def _by_udp(device: Device) -> _Answer:
    endpoint, what = place(device, "sip udp", _PORT)
    found = await resolve(endpoint.host, what, device.timeout_s)
    call = _new_call()
    transport: asyncio.DatagramTransport | None = None
    try:
        async with asyncio.timeout(device.timeout_s):
            transport, datagrams = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Datagrams(call), remote_addr=(found.address, endpoint.port)
            )
            request = _request(device, call, "UDP", transport.get_extra_info("sockname"))
            wait_s = _AGAIN_S
            while True:
                transport.sendto(request)
                await asyncio.wait([datagrams.answered], timeout=wait_s)
                if datagrams.answered.done():
                    return datagrams.answered.result()
                wait_s *= 2
    except OSError as error:
        raise failure_of(error, what, device.timeout_s, {}) from None
    finally:
        if transport is not None:
            transport.close()


def _new_call() -> _Call:
    # The branch begins with the cookie of RFC 3261 8.1.1.7.
    return _Call(f"z9hG4bK{secrets.token_hex(8)}", secrets.token_hex(16), secrets.token_hex(4))


def _request(device: Device, call: _Call, transport: str, own: tuple[Any, ...]) -> bytes:
    us, them = _host(str(own[0])), _host(device.host)
    uri = them if device.port in (None, _PORT) else f"{them}:{device.port}"
    lines = (
        f"OPTIONS sip:{uri} SIP/2.0",
        f"Via: SIP/2.0/{transport} {us}:{own[1]};branch={call.branch};rport",
        "Max-Forwards: 70",
        f"From: <sip:sansang@{us}>;tag={call.tag}",
        f"To: <sip:{uri}>",
        f"Call-ID: {call.call_id}",
        "CSeq: 1 OPTIONS",
        f"Contact: <sip:sansang@{us}:{own[1]}>",
        "Accept: application/sdp",
        "User-Agent: sansang-agent",
        "Content-Length: 0",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _final(message: bytes, call: _Call) -> _Answer | None:
    """The answer, if it is one, final, and to this call: our own request come back to us is none."""
    first, _, _ = message.partition(b"\r\n")
    found = re.fullmatch(rb"SIP/2\.0 ([1-6][0-9]{2})(?: .*)?", first)
    if found is None or int(found[1]) < _FIRST_FINAL:
        return None
    headers = _headers(message)
    branch = re.search(r";\s*branch\s*=\s*([^;,\s]+)", headers.get("via", ""))
    if headers.get("call-id") != call.call_id or branch is None or branch[1] != call.branch:
        return None
    software = headers.get("server") or headers.get("user-agent", "")
    return _Answer(int(found[1]), "".join(letter for letter in software if letter.isprintable())[:64])


def _headers(message: bytes) -> dict[str, str]:
    """The first of each name, short ones in full (RFC 3261 7.3.3)."""
    head = message.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    headers: dict[str, str] = {}
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        headers.setdefault(_SHORT.get(key, key), value.strip())
    return headers


KIND: Final = Sip()
