"""The http probe against servers of the test's making, over TCP and TLS."""

import asyncio
import contextlib
import datetime as dt
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from agent.certificate import NotACertificate, valid_until_s
from agent.probe import ProbeFailed, Values
from agent.probes import load_probe
from agent.probes.http import Http
from contract.outcome import Outcome
from contract.settings import SettingsError
from tests.support.network import FORBIDDEN, NO_ROUTE, REFUSED_BY_ROUTER, SERVER, Network

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def saying(answer: bytes, *, seen: list[bytes] | None = None) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(request)
        writer.write(answer)
        await writer.drain()
        writer.close()

    return talk


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@asynccontextmanager
async def serving(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    ends: list[asyncio.StreamWriter] = []

    async def note_and_talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(writer)
        with contextlib.suppress(ConnectionError):
            await talk(reader, writer)

    server = await asyncio.start_server(note_and_talk, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in ends:
            writer.transport.abort()
        await asyncio.sleep(0)


def get(talk: Talk, *, context: ssl.SSLContext | None = None, path: str = "/", **settings: object) -> Values:
    async def run() -> Values:
        async with serving(talk, context) as port:
            scheme = "https" if context else "http"
            host = settings.pop("host", "127.0.0.1")
            url = f"{scheme}://{host}:{port}{path}"
            plain: dict[str, object] = {"target": "lesson-x", "url": url, "timeout_s": 2.0}
            try:
                return await Http(**(plain | settings)).measure()  # type: ignore[arg-type] # as a plan's settings come
            except ProbeFailed as failure:
                failure.detail = failure.detail.replace(url, "URL")
                raise

    return asyncio.run(run())


def failing(talk: Talk, **settings: object) -> tuple[Outcome, str, Values]:
    with pytest.raises(ProbeFailed) as caught:
        get(talk, **settings)  # type: ignore[arg-type] # settings of the probe
    return caught.value.outcome, caught.value.detail, caught.value.values


def test_an_answer_brings_its_status_and_the_time_of_each_phase() -> None:
    values = get(saying(OK))
    assert (values["status_code"], values["body_bytes"], values["redirect_bool"]) == (200, 5, 0)
    assert 0 < values["connect_ms"] < values["total_ms"]
    assert 0 < values["first_byte_ms"] < values["total_ms"]
    assert "resolve_ms" not in values  # an address was given
    assert "tls_ms" not in values
    assert set(values) <= {value.name for value in Http.values}


def test_a_slow_server_shows_in_the_first_byte_and_not_in_the_connection() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await saying(OK)(reader, writer)

    values = get(slow)
    assert values["first_byte_ms"] > 290
    assert values["connect_ms"] < values["first_byte_ms"]


def test_a_name_is_resolved_and_said_to_the_server() -> None:
    seen: list[bytes] = []
    values = get(saying(OK, seen=seen), host="localhost", path="/a?b=c")
    assert values["resolve_ms"] > 0
    first, host, *_ = seen[0].split(b"\r\n")
    assert first == b"GET /a?b=c HTTP/1.1"
    assert host.startswith(b"Host: localhost:")


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_any_status_is_an_answer(status: int) -> None:
    assert get(saying(b"HTTP/1.1 %d No\r\n\r\n" % status))["status_code"] == status


def test_a_redirect_is_told_and_not_followed() -> None:
    values = get(saying(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/login\r\nContent-Length: 0\r\n\r\n"))
    assert (values["status_code"], values["redirect_bool"]) == (302, 1)


def test_a_status_that_was_not_wanted_is_broken_with_all_that_was_measured() -> None:
    found, detail, values = failing(saying(b"HTTP/1.1 503 No\r\n\r\n"), expect_status=(200, 204))
    assert (found, detail) == (Outcome.BROKEN, "http URL: status 503, not 200, 204")
    assert values["status_code"] == 503


def test_a_foreign_page_is_told_by_its_body() -> None:
    assert get(saying(OK), expect_body="hell")["status_code"] == 200
    found, detail, _ = failing(saying(OK), expect_body="Microsoft Connect Test")
    assert (found, detail) == (Outcome.BROKEN, "http URL: 'Microsoft Connect Test' is not in the answer")


@pytest.mark.parametrize(
    ("answer", "body_bytes"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", 11),
        (b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 1000, 1000),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, 2000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n" + b"x" * 100_000, 2000),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 0),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 2),
    ],
    ids=["chunks", "until closed", "too long", "a chunk too long", "no content", "continue first"],
)
def test_a_body_is_read_as_it_is_sent_and_no_further_than_allowed(answer: bytes, body_bytes: int) -> None:
    assert get(saying(answer), body_max_bytes=2000)["body_bytes"] == body_bytes


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is no HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "the answer is no HTTP"),
        (b"", "closed the connection before it had answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", "closed the connection before it had answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a length that is no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", "a length that is no number"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "a length that is no number"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n", "a length that is no number"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 100_000,
            "sent a line of more than 32768 bytes",
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "sent a line of more than 32768 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300, "sent more than 200 headers"),
    ],
    ids=[
        "no http", "no status", "nothing", "cut short", "length below 0", "endless length", "bad chunk",
        "chunk below 0", "endless chunk", "endless line", "endless head",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_broken_and_no_crash(answer: bytes, said: str) -> None:
    found, detail, values = failing(saying(answer))
    assert (found, detail) == (Outcome.BROKEN, f"http URL: {said}")
    assert "connect_ms" in values


def test_a_server_that_takes_us_and_says_nothing_is_a_timeout() -> None:
    async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    found, detail, values = failing(silent, timeout_s=0.3)
    assert (found, detail) == (Outcome.TIMEOUT, "http URL: connected, but no full answer within 0.3 s")
    assert "connect_ms" in values


def test_a_port_where_nobody_listens_is_refused() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        probe = Http(target="lesson-x", url=f"http://127.0.0.1:{held.getsockname()[1]}/")
        with pytest.raises(ProbeFailed, match=f"^http {probe.url}: connection refused; the host is alive$") as caught:
            asyncio.run(probe.measure())
    assert caught.value.outcome is Outcome.REFUSED


def test_a_server_that_hangs_up_amid_the_answer_is_broken() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nsho")
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
        writer.transport.abort()

    found, detail, _ = failing(reset)
    assert (found, detail) == (Outcome.BROKEN, "http URL: closed the connection before it had answered")


@pytest.mark.parametrize(
    ("address", "outcome", "said"),
    [
        (NO_ROUTE, Outcome.UNREACHABLE, "Network is unreachable"),
        (REFUSED_BY_ROUTER, Outcome.UNREACHABLE, "No route to host"),
        (FORBIDDEN, Outcome.DENIED, "Permission denied"),
        (SERVER, Outcome.TIMEOUT, "no answer within 0.3 s"),
    ],
)
def test_a_server_that_cannot_be_reached_says_why(network: Network, address: str, outcome: Outcome, said: str) -> None:
    network.router.nft("""
        add table ip t
        add chain ip t through { type filter hook forward priority 0; }
        add rule ip t through tcp dport 80 drop
    """)
    probe = Http(target="lesson-x", url=f"http://{address}/", timeout_s=0.3)
    with pytest.raises(ProbeFailed) as caught:
        network.pc.do(lambda: asyncio.run(probe.measure()))
    assert (caught.value.outcome, caught.value.detail) == (outcome, f"http http://{address}/: {said}")


def test_a_name_that_does_not_resolve_is_no_name(network: Network) -> None:
    probe = Http(target="lesson-x", url="https://lesson.invalid/")
    detail = "^http https://lesson.invalid/: lesson.invalid does not resolve: "
    with pytest.raises(ProbeFailed, match=detail) as caught:
        network.pc.do(lambda: asyncio.run(probe.measure()))
    assert caught.value.outcome is Outcome.NO_NAME


@pytest.mark.parametrize(
    "url", ["zoom.us", "ftp://zoom.us/", "http://", "http://me:secret@zoom.us/", "http://zoom.us/a b", "http://a\r\nb"]
)
def test_what_is_no_url_is_refused_before_it_is_tried(url: str) -> None:
    with pytest.raises(SettingsError, match="url"):
        load_probe("http", {"target": "lesson-x", "url": url})


def test_a_port_that_cannot_be_is_broken() -> None:
    with pytest.raises(ProbeFailed, match=r"^http http://127.0.0.1:99999/: Port out of range 0-65535$") as caught:
        asyncio.run(Http(target="lesson-x", url="http://127.0.0.1:99999/").measure())
    assert caught.value.outcome is Outcome.BROKEN


def test_letters_beyond_ascii_travel_encoded() -> None:
    seen: list[bytes] = []
    get(saying(OK, seen=seen), path="/lớp?tên=Đồng Văn%20".replace(" ", "+"))
    assert seen[0].startswith(b"GET /l%E1%BB%9Bp?t%C3%AAn=%C4%90%E1%BB%93ng+V%C4%83n%20 HTTP/1.1\r\n")


def test_an_ipv6_address_is_said_with_its_brackets_and_port() -> None:
    seen: list[bytes] = []

    async def run() -> None:
        server = await asyncio.start_server(saying(OK, seen=seen), "::1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await Http(target="lesson-x", url=f"http://[::1]:{port}/").measure()
            assert f"\r\nHost: [::1]:{port}\r\n".encode() in seen[0]

    asyncio.run(run())


# TLS


Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def certificate(
    folder: Path, *, until: dt.datetime, name: str = "localhost", key: Key | None = None
) -> tuple[ssl.SSLContext, bytes]:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    plain = serialization.NoEncryption()
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # a test may want a short key
    context.load_cert_chain(file)
    return context, made.public_bytes(serialization.Encoding.DER)


def in_days(days: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=days)


def test_a_certificate_that_nobody_vouches_for_is_measured_all_the_same(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path, until=in_days(30))
    values = get(saying(OK), context=context, host="localhost")
    assert (values["status_code"], values["tls_trusted_bool"]) == (200, 0)
    assert values["tls_ms"] > 0
    assert values["tls_expires_days"] == pytest.approx(30, abs=0.1)


def test_an_expired_certificate_has_days_below_zero(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path, until=in_days(-3))
    assert get(saying(OK), context=context)["tls_expires_days"] == pytest.approx(-3, abs=0.1)


def test_a_certificate_that_the_pc_trusts_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, _ = certificate(tmp_path, until=in_days(30))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    assert get(saying(OK), context=context, host="localhost")["tls_trusted_bool"] == 1


def test_a_plain_server_behind_https_is_broken_with_tlss_own_word(tmp_path: Path) -> None:
    del tmp_path

    async def run() -> None:
        async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()

        async with serving(plain) as port:
            await Http(target="lesson-x", url=f"https://127.0.0.1:{port}/", timeout_s=2.0).measure()

    with pytest.raises(ProbeFailed, match=r"^http https://127\.0\.0\.1:\d+/: TLS: ") as caught:
        asyncio.run(run())
    assert caught.value.outcome is Outcome.BROKEN


def test_a_server_that_hangs_up_amid_the_handshake_is_broken() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    found, detail, values = failing_tls(hang_up)
    assert (found, detail) == (Outcome.BROKEN, "http URL: TLS: the connection was closed")
    assert set(values) == {"connect_ms"}


def test_a_server_that_takes_us_and_never_begins_tls_is_a_timeout() -> None:
    async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    found, detail, values = failing_tls(silent, timeout_s=0.3)
    assert (found, detail) == (Outcome.TIMEOUT, "http URL: connected, but no TLS within 0.3 s")
    assert set(values) == {"connect_ms"}


def failing_tls(talk: Talk, **settings: object) -> tuple[Outcome, str, Values]:
    async def run() -> Values:
        async with serving(talk) as port:
            url = f"https://127.0.0.1:{port}/"
            try:
                return await Http(target="lesson-x", url=url, **settings).measure()  # type: ignore[arg-type] # as a plan's
            except ProbeFailed as failure:
                failure.detail = failure.detail.replace(url, "URL")
                raise

    with pytest.raises(ProbeFailed) as caught:
        asyncio.run(run())
    return caught.value.outcome, caught.value.detail, caught.value.values


def test_a_cameras_short_key_is_not_trusted_and_measured(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the short key is the point
    context, _ = certificate(tmp_path, until=in_days(30), key=key)
    values = get(saying(OK), context=context, host="localhost")
    assert (values["status_code"], values["tls_trusted_bool"]) == (200, 0)


def test_an_old_codecs_ciphers_are_not_trusted_and_measured(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path, until=in_days(30), key=rsa.generate_private_key(65537, 2048))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")  # no forward secrecy
    values = get(saying(OK), context=context, host="localhost")
    assert (values["status_code"], values["tls_trusted_bool"]) == (200, 0)
    assert values["tls_expires_days"] == pytest.approx(30, abs=0.1)


def test_a_certificate_for_another_name_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, _ = certificate(tmp_path, until=in_days(30), name="zoom.us")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    values = get(saying(OK), context=context, host="localhost")
    assert (values["status_code"], values["tls_trusted_bool"]) == (200, 0)


def test_authorities_that_change_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, _ = certificate(tmp_path, until=in_days(30))
    trusted = tmp_path / "trusted.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    other = tmp_path / "other"
    other.mkdir()
    certificate(other, until=in_days(30))
    found = []
    for age_s, folder in ((100, other), (50, tmp_path), (0, other)):
        trusted.write_bytes((folder / "server.pem").read_bytes())
        os.utime(trusted, (0, 1_000_000 - age_s))
        found.append(get(saying(OK), context=context, host="localhost")["tls_trusted_bool"])
    assert found == [0, 1, 0]


@pytest.mark.parametrize("year", [1999, 2009, 2026, 2049, 2050, 2099])
def test_the_last_day_is_read_from_both_ways_of_writing_it(tmp_path: Path, year: int) -> None:
    until = dt.datetime(max(year, 2001), 12, 31, 23, 59, 58, tzinfo=dt.UTC)
    _, der = certificate(tmp_path, until=until)
    assert valid_until_s(der) == until.timestamp()


@given(st.binary(max_size=400))
def test_bytes_that_are_no_certificate_are_refused_and_no_crash(der: bytes) -> None:
    with pytest.raises(NotACertificate):
        valid_until_s(der)
