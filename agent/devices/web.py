"""One request to a device's web server (HTTP/1.1, RFC 9112), over TLS that need not be trusted, and its answer."""

import functools
import re
import ssl
from typing import Final

import msgspec

from agent.devices.kind import Device
from agent.devices.talking import Wire, talk
from agent.probe import ProbeFailed
from contract.outcome import Outcome

_BODY_MAX_BYTES: Final = 2 << 20
_HEADERS_MAX_COUNT: Final = 100
_PART_BYTES: Final = 65536


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. Its headers may hold a password: it is never shown."""

    method: str
    path: str
    headers: tuple[str, ...] = ()
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Request({self.method} {self.path})"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    status: int
    body: bytes


async def fetch(
    device: Device,
    protocol: str,
    usual_port: int,
    request: Request,
    *,
    is_tls: bool = False,
    tries: int = 1,
    patience: int = 1,
) -> Answer:
    """One request on a connection of its own. Raises ProbeFailed."""

    async def exchange(wire: Wire) -> Answer:
        if is_tls:
            try:
                await wire.writer.start_tls(_any_certificate(), server_hostname=device.host)
            except ssl.SSLError as error:
                raise ProbeFailed(Outcome.BROKEN, f"{wire.what}: TLS: {error.reason or error}") from None
        host = f"[{device.host}]" if ":" in device.host else device.host
        head = [
            f"{request.method} {request.path} HTTP/1.1",
            f"Host: {host}",
            "User-Agent: sansang-agent",
            f"Content-Length: {len(request.body)}",
            "Connection: close",
            *request.headers,
        ]
        wire.write("\r\n".join([*head, "", ""]).encode() + request.body)
        await wire.writer.drain()
        return await _read(wire)

    return await talk(device, protocol, usual_port, exchange, tries=tries, patience=patience)


async def _read(wire: Wire) -> Answer:
    status = 100
    headers: dict[str, str] = {}
    while status < 200:  # noqa: PLR2004 - 1xx: the real answer follows
        first = await wire.read()
        found = re.fullmatch(r"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: .*)?", first)
        if found is None:
            raise wire.nonsense("HTTP", first)
        status, headers = int(found[1]), await headers_of(wire)
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return Answer(status=status, body=await _chunks(wire))
    length = headers.get("content-length", "")
    if re.fullmatch(r"[0-9]{1,9}", length):
        if int(length) > _BODY_MAX_BYTES:
            raise _too_long(wire.what)
        return Answer(status=status, body=await wire.reader.readexactly(int(length)))
    body = bytearray()
    while part := await wire.reader.read(_PART_BYTES):
        body += part
        if len(body) > _BODY_MAX_BYTES:
            raise _too_long(wire.what)
    return Answer(status=status, body=bytes(body))


async def headers_of(wire: Wire) -> dict[str, str]:
    """Headers until the empty line, by their names in small letters; of several alike all values, a line each."""
    headers: dict[str, str] = {}
    for _ in range(_HEADERS_MAX_COUNT):
        line = await wire.read()
        if not line:
            return headers
        name, _, value = line.partition(":")
        key = name.strip().lower()
        headers[key] = "\n".join([*([headers[key]] if key in headers else []), value.strip()])
    raise ProbeFailed(Outcome.BROKEN, f"{wire.what}: sent more than {_HEADERS_MAX_COUNT} headers")


async def _chunks(wire: Wire) -> bytes:
    body = bytearray()
    while True:
        digits = (await wire.read()).partition(";")[0].strip()
        if not re.fullmatch(r"[0-9A-Fa-f]{1,7}", digits):
            raise wire.nonsense("the length of a chunk", digits)
        if not int(digits, 16):
            return bytes(body)
        if len(body) + int(digits, 16) > _BODY_MAX_BYTES:
            raise _too_long(wire.what)
        body += await wire.reader.readexactly(int(digits, 16))
        await wire.read()


def _too_long(what: str) -> ProbeFailed:
    return ProbeFailed(Outcome.BROKEN, f"{what}: sent more than {_BODY_MAX_BYTES} bytes")


@functools.lru_cache(maxsize=1)
def _any_certificate() -> ssl.SSLContext:
    """Devices show certificates of their own making, and speak what was usual in their day."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context
