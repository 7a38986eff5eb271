"""One request to a device's web server (HTTP/1.1, RFC 9112), over TLS with a certificate of its own, and its answer."""

import functools
import hashlib
import re
import ssl
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from agent.devices.key import Turns
from agent.devices.kind import Device
from agent.devices.login import Login
from agent.devices.talking import Wire, door_of, talk
from agent.probe import ProbeFailed
from contract.outcome import Outcome

_BODY_MAX_BYTES: Final = 2 << 20
_HEADERS_MAX_COUNT: Final = 100
_PART_BYTES: Final = 65536


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `signed` makes the body in place of `body`, of a login that goes hashed in the body."""

    method: str
    path: str
    headers: tuple[str, ...] = ()
    body: bytes = b""
    signed: Callable[[Login], bytes] | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """By names in small letters; several alike in one, a line each."""
    body: bytes

    @property
    def challenge(self) -> str:
        """How it asks who is there."""
        return self.headers.get("www-authenticate", "")


async def fetch(
    device: Device,
    protocol: str,
    usual_port: int,
    request: Request,
    *,
    is_tls: bool = False,
    logs_in: bool = False,
    tries: int = 1,
    patience: int = 1,
) -> Answer:
    """One request on a connection of its own; with `logs_in` once more where it is asked who is there. Raises
    ProbeFailed, and LoginFailed when not let in: 401 is an answer only to whom has no login, or is not asked for it.
    """
    turns = Turns(device.key if logs_in else None)

    async def exchange(wire: Wire) -> Answer:
        if is_tls:
            try:
                await wire.writer.start_tls(_any_certificate(), server_hostname=device.host)
            except ssl.SSLError as error:
                raise ProbeFailed(Outcome.BROKEN, f"{wire.what}: TLS: {error.reason or error}") from None
            wire = wire._replace(door=wire.door._replace(certificate=_certificate_of(wire)))
        host = f"[{device.host}]" if ":" in device.host else device.host
        body = request.body if request.signed is None else request.signed(wire.login(in_clear=False))
        head = [
            f"{request.method} {request.path} HTTP/1.1",
            f"Host: {host}",
            "User-Agent: sansang-agent",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *request.headers,
            *turns.headers(wire.door, request.method, request.path),
        ]
        wire.write("\r\n".join([*head, "", ""]).encode() + body)
        await wire.writer.drain()
        return await _read(wire)

    door = door_of(device, protocol, usual_port)
    while True:
        answer = await talk(device, protocol, usual_port, exchange, tries=tries, patience=patience)
        if not turns.goes_on(door, answer.status, answer.challenge):
            return answer


def _certificate_of(wire: Wire) -> str:
    """Its SHA-256 as `openssl x509 -fingerprint -sha256` has it, without colons and in small letters."""
    tls = wire.writer.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    return hashlib.sha256(certificate or b"").hexdigest()


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
        return Answer(status=status, headers=headers, body=await _chunks(wire))
    length = headers.get("content-length", "")
    if re.fullmatch(r"[0-9]{1,9}", length):
        if int(length) > _BODY_MAX_BYTES:
            raise _too_long(wire.what)
        return Answer(status=status, headers=headers, body=await wire.reader.readexactly(int(length)))
    body = bytearray()
    while part := await wire.reader.read(_PART_BYTES):
        body += part
        if len(body) > _BODY_MAX_BYTES:
            raise _too_long(wire.what)
    return Answer(status=status, headers=headers, body=bytes(body))


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
