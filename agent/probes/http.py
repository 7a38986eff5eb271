"""Whether a web server answers, how fast in each phase, and how long its certificate is still good (RFC 9110, 9112)."""

import asyncio
import ipaddress
import ssl
import time
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import msgspec

from agent.certificate import NotACertificate, valid_until_s
from agent.probe import ProbeFailed, Value, Values
from agent.probes.tcp import failure_of
from agent.resolving import resolve
from contract.outcome import Outcome
from contract.settings import Seconds, Target

_HEAD_MAX_BYTES: Final = 32 * 1024
_DAY_S: Final = 86400.0
_REDIRECTS: Final = range(300, 400)
_BODILESS: Final = (204, 304)


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """Sends one GET and reads the answer (RFC 9110, HTTP/1.1 as RFC 9112); follows no redirect, keeps no cookie.

    Any status is an answer, 401 and 403 too, unless `expect_status` lists the ones wanted; `expect_body` is a text that
    must be in the body. A certificate that the PC does not trust is measured all the same (`tls_trusted_bool` 0): a
    device's own is usual, and how long it lasts is worth knowing. By hand on a socket, since no library tells the
    phases apart.
    """

    target: Target
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/@?#]+", description="a URL with http:// or https://")]
    expect_status: tuple[Annotated[int, msgspec.Meta(ge=100, le=599)], ...] = ()
    expect_body: str = ""
    body_max_bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 20)] = 64 * 1024
    timeout_s: Annotated[Seconds, msgspec.Meta(ge=0.1, le=60)] = 5.0

    values: ClassVar[tuple[Value, ...]] = (
        Value("status_code", "Status of the answer (RFC 9110 section 15)."),
        Value("resolve_ms", "Resolving the name; absent when the URL holds an address."),
        Value("connect_ms", "The TCP handshake."),
        Value("tls_ms", "The TLS handshake; only of https."),
        Value("first_byte_ms", "From the request until the first byte of the answer."),
        Value("total_ms", "From the first question for the name until the answer was read."),
        Value("body_bytes", "Bytes of the body that were read, at most `body_max_bytes`."),
        Value("redirect_bool", "Whether the answer sends elsewhere; a captive portal does."),
        Value("tls_expires_days", "Until the certificate ends; negative when it has; by the PC's own clock."),
        Value("tls_trusted_bool", "Whether the PC trusts the certificate for this name."),
    )
    example: ClassVar[dict[str, object]] = {"target": "lesson-zoom", "url": "https://zoom.us/"}

    @property
    def longest_s(self) -> float:
        """Resolving, and all the rest; twice the rest when a certificate is not trusted and asked for again."""
        return 3 * self.timeout_s

    async def measure(self) -> Values:
        """One request. Raises ProbeFailed with REFUSED, TIMEOUT, UNREACHABLE, NO_NAME, or BROKEN."""
        what = f"http {self.url}"
        try:
            url = urlsplit(self.url)
            host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        except ValueError as error:
            raise ProbeFailed(Outcome.BROKEN, f"{what}: {error}") from None
        began_s = time.perf_counter()
        found = await resolve(host, what, self.timeout_s)
        values: Values = {} if found.took_ms is None else {"resolve_ms": found.took_ms}
        try:
            async with asyncio.timeout(self.timeout_s):
                stream = await self._connect(url, found.address, port, values)
        except ssl.SSLError as error:
            raise ProbeFailed(Outcome.BROKEN, f"{what}: TLS: {error.reason or error}", values) from None
        except OSError as error:
            raise failure_of(error, what, self.timeout_s, values) from None
        reader, writer = stream
        try:
            async with asyncio.timeout(self.timeout_s):
                answer = await self._ask(url, host, reader, writer, values)
        except TimeoutError:
            detail = f"{what}: connected, but no full answer within {self.timeout_s:g} s"
            raise ProbeFailed(Outcome.TIMEOUT, detail, values) from None
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, _Nonsense) as error:
            raise ProbeFailed(Outcome.BROKEN, f"{what}: {_said(error)}", values) from None
        finally:
            writer.transport.abort()
        values |= {
            "status_code": answer.status,
            "body_bytes": len(answer.body),
            "redirect_bool": int(answer.status in _REDIRECTS),
            "total_ms": (time.perf_counter() - began_s) * 1000,
        }
        self._look_at(answer, what, values)
        return values

    async def _connect(
        self, url: SplitResult, address: str, port: int, values: Values
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        began_s = time.perf_counter()
        reader, writer = await asyncio.open_connection(address, port, limit=_HEAD_MAX_BYTES)
        values["connect_ms"] = (time.perf_counter() - began_s) * 1000
        if url.scheme != "https":
            return reader, writer
        host = url.hostname or ""
        began_s = time.perf_counter()
        try:
            await writer.start_tls(_trusting(), server_hostname=host)
        except ssl.SSLCertVerificationError:
            values["tls_trusted_bool"] = 0
            writer.transport.abort()
            reader, writer = await asyncio.open_connection(address, port, limit=_HEAD_MAX_BYTES)
            began_s = time.perf_counter()
            name = None if _is_address(host) else host
            await writer.start_tls(_looking(), server_hostname=name or "")
        except BaseException:
            writer.transport.abort()
            raise
        else:
            values["tls_trusted_bool"] = 1
        values["tls_ms"] = (time.perf_counter() - began_s) * 1000
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        if (der := shown.getpeercert(binary_form=True)) is not None:
            try:
                left_s = valid_until_s(der) - datetime.now(UTC).timestamp()
                values["tls_expires_days"] = left_s / _DAY_S
            except NotACertificate:
                pass  # a server may show what nobody can read; its answer is worth having all the same
        return reader, writer

    async def _ask(
        self, url: SplitResult, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, values: Values
    ) -> "_Answer":
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        shown_host = url.netloc if ":" not in host else f"[{host}]"
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {shown_host}\r\nUser-Agent: sansang-agent\r\nAccept: */*\r\n"
            "Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
        )
        began_s = time.perf_counter()
        writer.write(request.encode("ascii", "replace"))
        await writer.drain()
        first = await reader.readexactly(1)
        values["first_byte_ms"] = (time.perf_counter() - began_s) * 1000
        status, headers = _read_head(first + await reader.readuntil(b"\r\n\r\n"))
        while status < 200:  # noqa: PLR2004 - 1xx: the real answer follows
            status, headers = _read_head(await reader.readuntil(b"\r\n\r\n"))
        if status in _BODILESS:
            return _Answer(status, b"")
        return _Answer(status, await self._read_body(reader, headers))

    async def _read_body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = bytearray()
            while len(body) < self.body_max_bytes:
                size = _chunk_size(await reader.readline())
                if size == 0:
                    break
                body += await reader.readexactly(min(size, self.body_max_bytes - len(body)))
                if len(body) < self.body_max_bytes:
                    await reader.readline()
            return bytes(body)
        length = headers.get("content-length", "")
        if length.isdecimal():
            return await reader.readexactly(min(int(length), self.body_max_bytes))
        body = bytearray()
        while len(body) < self.body_max_bytes and (part := await reader.read(self.body_max_bytes - len(body))):
            body += part
        return bytes(body)

    def _look_at(self, answer: "_Answer", what: str, values: Values) -> None:
        if self.expect_status and answer.status not in self.expect_status:
            wanted = ", ".join(map(str, self.expect_status))
            raise ProbeFailed(Outcome.BROKEN, f"{what}: status {answer.status}, not {wanted}", values)
        if self.expect_body and self.expect_body.encode() not in answer.body:
            raise ProbeFailed(Outcome.BROKEN, f"{what}: {self.expect_body!r} is not in the answer", values)


class _Answer(NamedTuple):
    status: int
    body: bytes


class _Nonsense(Exception):
    """What came is no HTTP; why."""


def _said(error: Exception) -> str:
    if isinstance(error, asyncio.IncompleteReadError):
        return "closed the connection before it had answered"
    if isinstance(error, asyncio.LimitOverrunError):
        return f"sent a head of more than {_HEAD_MAX_BYTES} bytes"
    return str(error)


def _read_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if not words[0].startswith("HTTP/1.") or len(words) < 2 or not words[1].isdecimal():  # noqa: PLR2004 - version, status
        raise _Nonsense("the answer is no HTTP")
    pairs = (line.partition(":") for line in lines if line)
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.split(b";")[0].strip() or b"x", 16)
    except ValueError:
        raise _Nonsense("a chunk without a size") from None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _trusting() -> ssl.SSLContext:
    return ssl.create_default_context()


def _looking() -> ssl.SSLContext:
    """Believes anything: only to see what is shown. Nothing is sent over it but a GET."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
