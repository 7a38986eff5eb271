"""Whether a web server answers, how fast in each phase, and how long its certificate is still good (RFC 9110, 9112)."""

import asyncio
import functools
import re
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

import msgspec

from agent.certificate import NotACertificate, valid_until_s
from agent.network.resolving import resolve
from agent.probe import ProbeFailed, Value, Values
from agent.probes.tcp import failure_of
from agent.spending.meter import Farewell, spent_tcp
from contract.outcome import Outcome
from contract.settings import Seconds, Target

_LINE_MAX_BYTES: Final = 32 * 1024
_HEADERS_MAX_COUNT: Final = 200
_DAY_S: Final = 86400.0
_URL: Final = r"^https?://[^\s/@?#]+([/?#]\S*)?$"
_PATH_SAFE: Final = "/%:@!$&'()*+,;=?~-._"
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_BODILESS: Final = (204, 304)
_TLS_BYTES: Final = 7000
_EXCHANGE_BYTES: Final = 1400
_BODY_BYTES: Final = 16_384
"""What a handshake with certificates, a bare request with its answer, and a page usually take."""


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """Sends one GET and reads the answer (RFC 9110, HTTP/1.1 as RFC 9112); follows no redirect, keeps no cookie.

    Any status is an answer, 401 and 403 too, unless `expect_status` lists the ones wanted; `expect_body` is a text that
    must be in the body. TLS that the PC does not trust is measured all the same (`tls_trusted_bool` 0): a device's own
    certificate or old ciphers are usual, and how long the certificate lasts is worth knowing. By hand on a socket,
    since no library tells the phases apart.
    """

    target: Target
    url: Annotated[str, msgspec.Meta(pattern=_URL, description="a URL with http:// or https://, without a user")]
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
        Value("tls_trusted_bool", "Whether the PC trusts the certificate for this name, and its ciphers."),
    )
    rights: ClassVar[str] = "None."
    example: ClassVar[dict[str, object]] = {"target": "lesson-zoom", "url": "https://zoom.us/"}

    @property
    def cost_bytes(self) -> int:
        """Handshakes, certificates where there are any, the request, and a body of ordinary length."""
        return (
            (_TLS_BYTES if self.url.startswith("https") else 0)
            + _EXCHANGE_BYTES
            + min(self.body_max_bytes, _BODY_BYTES)
        )

    @property
    def longest_s(self) -> float:
        """Resolving; connecting with TLS, and all of that again for a certificate that is not trusted; the answer."""
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
        way = _Way(host, found.address, port, asyncio.get_running_loop().time() + self.timeout_s)
        reader, writer = await self._connect(url.scheme, way, values)
        try:
            async with asyncio.timeout(self.timeout_s):
                answer = await self._ask(url, reader, writer, values)
        except TimeoutError:
            detail = f"{what}: connected, but no full answer within {self.timeout_s:g} s"
            raise ProbeFailed(Outcome.TIMEOUT, detail, values) from None
        except (OSError, EOFError, asyncio.LimitOverrunError, _Nonsense) as error:
            raise ProbeFailed(Outcome.BROKEN, f"{what}: {_said(error)}", values) from None
        finally:
            spent_tcp(writer.get_extra_info("socket"), Farewell.ABORTED)
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
        self, scheme: str, way: "_Way", values: Values
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if scheme != "https":
            return await self._open(way, values)
        trusting = await _trusting()
        reader, writer = await self._open(way, values)
        try:
            await self._begin_tls(writer, way, trusting, values)
            values["tls_trusted_bool"] = 1
        except OSError:
            reader, writer = await self._open(way, values)
            try:
                await self._begin_tls(writer, way, _looking(), values)
            except OSError as error:
                said = getattr(error, "reason", "the connection was closed") or error
                raise ProbeFailed(Outcome.BROKEN, f"http {self.url}: TLS: {said}", values) from None
            values["tls_trusted_bool"] = 0
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        if (der := shown.getpeercert(binary_form=True)) is not None:
            try:
                left_s = valid_until_s(der) - datetime.now(UTC).timestamp()
                values["tls_expires_days"] = left_s / _DAY_S
            except NotACertificate:
                pass  # a server may show what nobody can read; its answer is worth having all the same
        return reader, writer

    async def _open(self, way: "_Way", values: Values) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout_at(way.until_s):
                stream = await asyncio.open_connection(way.address, way.port, limit=_LINE_MAX_BYTES)
        except OSError as error:
            raise failure_of(error, f"http {self.url}", self.timeout_s, values) from None
        values["connect_ms"] = (time.perf_counter() - began_s) * 1000
        return stream

    async def _begin_tls(
        self, writer: asyncio.StreamWriter, way: "_Way", context: ssl.SSLContext, values: Values
    ) -> None:
        """The handshake. Raises OSError (SSLError is one), and ProbeFailed when it takes too long."""
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout_at(way.until_s):
                await writer.start_tls(context, server_hostname=way.host)
        except TimeoutError:
            spent_tcp(writer.get_extra_info("socket"), Farewell.ABORTED)
            writer.transport.abort()
            detail = f"http {self.url}: connected, but no TLS within {self.timeout_s:g} s"
            raise ProbeFailed(Outcome.TIMEOUT, detail, values) from None
        except BaseException:
            spent_tcp(writer.get_extra_info("socket"), Farewell.ABORTED)
            writer.transport.abort()
            raise
        values["tls_ms"] = (time.perf_counter() - began_s) * 1000

    async def _ask(
        self, url: SplitResult, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, values: Values
    ) -> "_Answer":
        path = quote(url.path or "/", _PATH_SAFE) + (f"?{quote(url.query, _PATH_SAFE)}" if url.query else "")
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {_ascii_host(url.netloc)}\r\nUser-Agent: sansang-agent\r\nAccept: */*\r\n"
            "Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
        )
        began_s = time.perf_counter()
        writer.write(request.encode("ascii"))
        await writer.drain()
        first = await reader.readexactly(1)
        values["first_byte_ms"] = (time.perf_counter() - began_s) * 1000
        status, headers = await _read_head(reader, first)
        while status < 200:  # noqa: PLR2004 - 1xx: the real answer follows
            status, headers = await _read_head(reader)
        if status in _BODILESS:
            return _Answer(status, b"")
        return _Answer(status, await self._read_body(reader, headers))

    async def _read_body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = bytearray()
            while len(body) < self.body_max_bytes:
                size = _number(await reader.readuntil(b"\n"), 16)
                if size == 0:
                    break
                body += await reader.readexactly(min(size, self.body_max_bytes - len(body)))
                if len(body) < self.body_max_bytes:
                    await reader.readuntil(b"\n")
            return bytes(body)
        if "content-length" in headers:
            length = _number(headers["content-length"].encode("latin-1"), 10)
            return await reader.readexactly(min(length, self.body_max_bytes))
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


class _Way(NamedTuple):
    """Whom to connect to, and when to give up; `host` is what the certificate must name."""

    host: str
    address: str
    port: int
    until_s: float


class _Answer(NamedTuple):
    status: int
    body: bytes


class _Nonsense(Exception):
    """What came is no HTTP; why."""


def _said(error: Exception) -> str:
    if isinstance(error, EOFError | ConnectionError):
        return "closed the connection before it had answered"
    if isinstance(error, asyncio.LimitOverrunError):
        return f"sent a line of more than {_LINE_MAX_BYTES} bytes"
    return str(error)


async def _read_head(reader: asyncio.StreamReader, begun: bytes = b"") -> tuple[int, dict[str, str]]:
    """Status and headers. The first line is looked at by itself: who speaks no HTTP may send no more."""
    first = (begun + await reader.readuntil(b"\n")).decode("latin-1").rstrip()
    found = re.fullmatch(r"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: .*)?", first)
    if found is None:
        raise _Nonsense("the answer is no HTTP")
    headers: dict[str, str] = {}
    for _ in range(_HEADERS_MAX_COUNT):
        line = (await reader.readuntil(b"\n")).decode("latin-1").strip()
        if not line:
            return int(found[1]), headers
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    raise _Nonsense(f"sent more than {_HEADERS_MAX_COUNT} headers")


def _number(text: bytes, base: Literal[10, 16]) -> int:
    """A length, as headers have it or before a chunk, where an extension may follow. Raises _Nonsense."""
    digits = text.split(b";")[0].strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}" if base == 16 else rb"[0-9]{1,15}", digits):  # noqa: PLR2004 - hexadecimal
        raise _Nonsense("a length that is no number")
    return int(digits, base)


def _ascii_host(netloc: str) -> str:
    """Host and port as they travel (RFC 9110 7.2); a name in other letters than ASCII as RFC 3490 writes it."""
    return netloc if netloc.isascii() else netloc.encode("idna").decode("ascii")


async def _trusting() -> ssl.SSLContext:
    """Believes what this PC believes. Reading a hundred authorities takes 50 ms, which no other probe shall wait."""
    return await asyncio.to_thread(_believing, _authorities())


@functools.lru_cache(maxsize=1)
def _believing(_authorities_now: tuple[object, ...]) -> ssl.SSLContext:
    return ssl.create_default_context()


def _authorities() -> tuple[object, ...]:
    """What tells that the PC's authorities may have changed: where they lie, since when, and the day.

    The day is for Windows, which keeps them in no file.
    """
    paths = ssl.get_default_verify_paths()
    places = [Path(path) for path in (paths.cafile, paths.capath) if path]
    since = [(path, path.stat().st_mtime) for path in places if path.exists()]
    return (*since, time.perf_counter() // _DAY_S)


def _looking() -> ssl.SSLContext:
    """Believes anything: only to see what is shown. Nothing is sent over it but a GET."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # an old camera's or codec's web server speaks what was usual in its day
    return context
