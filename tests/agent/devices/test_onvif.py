"""ONVIF, of cameras whose clock is right or wrong, and of such that keep it to themselves."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from agent.devices.asking import Seen
from agent.devices.kind import Identity, Told
from agent.devices.kinds.onvif import KIND
from agent.devices.web import Request, fetch
from contract.outcome import Outcome
from contract.parts import Recognition
from tests.agent.devices.speaking import (
    HASTY_S,
    REFUSED,
    RIGHT,
    WRONG,
    Behave,
    a_device,
    ask,
    babbling,
    listening,
    mute,
    rude,
    seen,
)

SOAP: Final = "http://www.w3.org/2003/05/soap-envelope"
SCHEMA: Final = "http://www.onvif.org/ver10/schema"
ODD: Final = 'p<ss&w"rd'
DENIED: Final = (
    "<e:Fault><e:Code><e:Value>e:Sender</e:Value><e:Subcode><e:Value>ter:NotAuthorized</e:Value></e:Subcode></e:Code>"
    "</e:Fault>"
)
NAMES: Final = (
    "<d:GetDeviceInformationResponse xmlns:d='http://www.onvif.org/ver10/device/wsdl'><d:Manufacturer>MadeUp"
    "</d:Manufacturer><d:Model>Dome 4</d:Model><d:FirmwareVersion>1.2.3</d:FirmwareVersion>"
    "</d:GetDeviceInformationResponse>"
)


def envelope(body: str) -> str:
    return f"<?xml version='1.0'?><e:Envelope xmlns:e='{SOAP}' xmlns:ter='x'><e:Body>{body}</e:Body></e:Envelope>"


def date(moment: datetime) -> str:
    fields = {name: getattr(moment, name.lower()) for name in ("Hour", "Minute", "Second", "Year", "Month", "Day")}
    said = {name: f"<t:{name}>{number}</t:{name}>" for name, number in fields.items()}
    time, day = "".join(list(said.values())[:3]), "".join(list(said.values())[3:])
    return (
        f"<d:GetSystemDateAndTimeResponse xmlns:d='y' xmlns:t='{SCHEMA}'><d:SystemDateAndTime><t:UTCDateTime><t:Time>"
        f"{time}</t:Time><t:Date>{day}</t:Date></t:UTCDateTime></d:SystemDateAndTime></d:GetSystemDateAndTimeResponse>"
    )


Answer = tuple[int, str]


def camera(answer: Callable[[str], Answer], *, chunked: bool = False) -> Behave:
    """A camera's web server that answers each SOAP request so."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("POST /onvif/device_service HTTP/1.1\r\n")
        length = re.search(r"(?i)content-length: (\d+)", head)
        assert length is not None
        status, text = answer((await reader.readexactly(int(length[1]))).decode())
        body = text.encode()
        if chunked:
            halves = (body[: len(body) // 2], body[len(body) // 2 :], b"")
            body = b"".join(b"%x\r\n%s\r\n" % (len(half), half) for half in halves)
        how = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
        writer.write(
            f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/soap+xml\r\n{how}\r\n\r\n".encode() + body
        )
        await writer.drain()

    return behave


def clock(ahead: timedelta, password: str = "") -> Callable[[str], Answer]:
    """A camera that is so far ahead, and lets nobody in whose stamp is not of its own time."""

    def answer(request: str) -> Answer:
        now = datetime.now(UTC) + ahead
        if "GetSystemDateAndTime" in request:
            return 200, envelope(date(now))
        nonce, created, digest = (
            re.search(rf":{field}[^>]*>([^<]+)<", request) for field in ("Nonce", "Created", "Password")
        )
        if nonce is None or created is None or digest is None:
            return 400, envelope(DENIED)
        stamp = datetime.strptime(created[1], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        wanted = hashlib.sha1(base64.b64decode(nonce[1]) + created[1].encode() + password.encode())  # noqa: S324 - theirs
        is_right = base64.b64encode(wanted.digest()).decode() == digest[1]
        is_fresh = abs(stamp - now) < timedelta(minutes=2)
        return (200, envelope(NAMES)) if is_right and is_fresh else (400, envelope(DENIED))

    return answer


@pytest.mark.parametrize("ahead_s", [0, 3600, -7200, -56 * 365 * 86400], ids=["right", "ahead", "behind", "1970"])
@pytest.mark.parametrize("chunked", [False, True], ids=["plain", "chunked"])
def test_a_cameras_clock_is_compared_with_the_pcs(ahead_s: int, chunked: bool) -> None:  # noqa: FBT001 - a case
    asked = ask(KIND, camera(clock(timedelta(seconds=ahead_s)), chunked=chunked))
    assert asked.identity == Identity(kind="onvif", family="camera", by="ONVIF")
    assert asked.figures["device_clock_offset_s"] == pytest.approx(ahead_s, abs=30)
    assert asked.states == {}


@pytest.mark.parametrize("ahead_s", [0, -86400 * 365], ids=["right", "wrong"])
def test_a_login_tells_its_names_also_where_its_clock_is_wrong(ahead_s: int) -> None:
    asked = ask(KIND, camera(clock(timedelta(seconds=ahead_s), ODD)), user="ro<&m", password=ODD)
    assert asked.identity == Identity(
        kind="onvif", family="camera", vendor="MadeUp", model="Dome 4", firmware="1.2.3", by="ONVIF"
    )


def test_a_wrong_password_is_denied_and_not_told() -> None:
    failure = ask(KIND, camera(clock(timedelta(), RIGHT)), user="room", password=WRONG).failure
    assert failure.outcome is Outcome.DENIED
    assert failure.detail.endswith(REFUSED)
    assert WRONG not in failure.detail


@pytest.mark.parametrize("status", [400, 401, 500])
def test_one_that_tells_strangers_nothing_is_there_all_the_same(status: int) -> None:
    asked = ask(KIND, camera(lambda _: (status, envelope(DENIED))))
    assert isinstance(asked.identity, Identity)
    assert asked.told == Told()


@pytest.mark.parametrize(
    "moment",
    [
        "<t:Year>2026</t:Year><t:Month>0</t:Month><t:Day>0</t:Day>",
        "<t:Year>2026</t:Year>",
        "<t:Year>now</t:Year>",
        "<t:Year>99999</t:Year><t:Month>1</t:Month><t:Day>1</t:Day>",
    ],
)
def test_a_date_that_cannot_be_is_left_out(moment: str) -> None:
    odd = (
        f"<d:SystemDateAndTime xmlns:d='y' xmlns:t='{SCHEMA}'><t:UTCDateTime>{moment}<t:Hour>1</t:Hour>"
        "<t:Minute>1</t:Minute><t:Second>1</t:Second></t:UTCDateTime></d:SystemDateAndTime>"
    )
    assert ask(KIND, camera(lambda _: (200, envelope(odd)))).told == Told()


BOMB: Final = "<!DOCTYPE b [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]>" + envelope("&b;").removeprefix(
    "<?xml version='1.0'?>"
)


@pytest.mark.parametrize(
    ("status", "text"),
    [(404, "<html>not here</html>"), (405, ""), (401, ""), (200, "<html><body>"), (200, BOMB), (200, "\x00\x01")],
    ids=["404", "405", "401", "html", "bomb", "binary"],
)
def test_any_other_web_server_is_no_camera_and_is_there(status: int, text: str) -> None:
    asked = ask(KIND, camera(lambda _: (status, text)))
    assert asked.identity is None
    assert asked.failure.detail.endswith(f"answered with HTTP {status} and no SOAP")
    found = seen(KIND, camera(lambda _: (status, text)))
    assert isinstance(found, Seen)
    assert found.recognition is Recognition.SILENT


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<?xml")
    await writer.drain()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(100):
        writer.write(b"x" * 65536)
        await writer.drain()


async def ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-dropbear\r\n")
    await mute(reader, writer)


@pytest.mark.parametrize(
    ("behave", "sentence"),
    [
        (half, "closed the connection before it had answered"),
        (rude, "closed the connection before it had answered"),
        (endless, "sent more than 2097152 bytes"),
        (ssh, "HTTP was expected, and came 'SSH-2.0-dropbear'"),
        (babbling, "sent a line of more than 16384 bytes"),
    ],
)
def test_what_goes_wrong_is_said(behave: Behave, sentence: str) -> None:
    failure = ask(KIND, behave).failure
    assert failure.outcome is Outcome.BROKEN
    assert failure.detail.endswith(sentence)


def test_silence_is_a_timeout() -> None:
    failure = ask(KIND, mute, timeout_s=HASTY_S).failure
    assert (failure.outcome, failure.detail.partition(": onvif ")[0]) == (Outcome.TIMEOUT, "device 127.0.0.1")


# HTTP Digest, beside WS-UsernameToken or in place of it

USER: Final = "room"
REALM: Final = "AXIS_ACCC8E000000"
PAGE: Final = "<html>401</html>"


class Doorman:
    """Asks by HTTP who is there, as a camera's web server does, and reckons by itself what the answer must be."""

    def __init__(self, *algorithms: str, body: str = PAGE, basic: bool = False, good_for: int = 100) -> None:
        self._algorithms = algorithms
        self._body = body
        self._basic = basic
        self._good_for = good_for
        self._nonce = 0
        self.counts: list[int] = []
        """`nc` of each request that was let in, with the number of its nonce."""
        self.refusals = 0
        self.tokens = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        assert length is not None
        request = (await reader.readexactly(int(length[1]))).decode()
        self.tokens += "UsernameToken" in request
        said = re.search(r"(?m)^Authorization: (.*)\r$", head)
        if "GetSystemDateAndTime" in request:
            self._say(writer, 200, envelope(date(datetime.now(UTC))))
        elif said is not None and (verdict := self._judge(said[1])) == "in":
            self._say(writer, 200, envelope(NAMES))
        else:
            is_stale = said is not None and verdict == "stale"
            self.refusals += said is not None and not is_stale
            self._say(writer, 401, self._body, self._challenges(is_stale=is_stale))
        await writer.drain()

    def _say(self, writer: asyncio.StreamWriter, status: int, body: str, more: tuple[str, ...] = ()) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body.encode())}", *more]
        writer.write(("\r\n".join([*lines, "", ""]) + body).encode())

    def _challenges(self, *, is_stale: bool) -> tuple[str, ...]:
        self._nonce += 1
        rest = f'realm="{REALM}", qop="auth", nonce="n{self._nonce}", opaque="o"' + (", stale=true" if is_stale else "")
        digests = [f"WWW-Authenticate: Digest algorithm={one}, {rest}" for one in self._algorithms]
        return (*([f'WWW-Authenticate: Basic realm="{REALM}"'] if self._basic else []), *digests)

    def _judge(self, said: str) -> str:
        if said == "Basic " + base64.b64encode(f"{USER}:{RIGHT}".encode()).decode():
            return "in"
        fields = {name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', said)}
        algorithm = fields.get("algorithm", "")
        assert algorithm == self._algorithms[0], "the stronger is listed first here"

        def h(text: str) -> str:
            return hashlib.new({"MD5": "md5", "SHA-256": "sha256"}[algorithm], text.encode()).hexdigest()

        wanted = h(
            f"{h(f'{USER}:{REALM}:{RIGHT}')}:{fields['nonce']}:{fields['nc']}:{fields['cnonce']}:auth:"
            f"{h('POST:/onvif/device_service')}"
        )
        if fields["response"] != wanted or fields["uri"] != "/onvif/device_service" or fields["opaque"] != "o":
            return "wrong"
        count = int(fields["nc"], 16)
        if fields["nonce"] != f"n{self._nonce}" or count > self._good_for:
            return "stale"
        self.counts.append(count)
        return "in"


@pytest.mark.parametrize("algorithms", [("MD5",), ("SHA-256",), ("SHA-256", "MD5")], ids=" ".join)
@pytest.mark.parametrize("body", [PAGE, envelope(DENIED), ""], ids=["page", "soap", "nothing"])
def test_a_camera_that_asks_by_digest_is_answered_by_digest(algorithms: tuple[str, ...], body: str) -> None:
    doorman = Doorman(*algorithms, body=body, basic=True)
    asked = ask(KIND, doorman, user=USER, password=RIGHT)
    assert isinstance(asked.identity, Identity)
    assert (asked.identity.vendor, asked.identity.model, asked.identity.firmware) == ("MadeUp", "Dome 4", "1.2.3")
    assert (doorman.counts, doorman.tokens, doorman.refusals) == ([1], 0, 0)
    assert "device_clock_offset_s" in asked.figures


def test_a_wrong_password_goes_by_digest_once_and_by_no_other_way_after() -> None:
    doorman = Doorman("MD5", body=envelope(DENIED), basic=True)
    failure = ask(KIND, doorman, user=USER, password=WRONG).failure
    assert failure.detail.endswith(REFUSED)
    assert (doorman.refusals, doorman.tokens) == (1, 0)


def test_basic_is_not_answered_without_tls_unless_the_plan_says_so() -> None:
    doorman = Doorman(basic=True)
    failure = ask(KIND, doorman, user=USER, password=RIGHT, cleartext=False).failure
    assert failure.detail.endswith("takes the login only in clear, and it is not sent so without cleartext = true")
    asked = ask(KIND, doorman, user=USER, password=RIGHT, cleartext=True)
    assert isinstance(asked.identity, Identity)
    assert asked.identity.model == "Dome 4"


def test_basic_gives_way_to_the_token_of_a_camera_that_answers_by_soap() -> None:
    doorman = Doorman(body=envelope(DENIED), basic=True)
    ask(KIND, doorman, user=USER, password=RIGHT, cleartext=True)
    assert doorman.tokens == 1


def test_a_nonce_serves_for_further_requests_and_one_that_is_too_old_is_no_refusal() -> None:
    doorman = Doorman("SHA-256", good_for=2)

    async def run() -> list[int]:
        async with listening(doorman) as port:
            device = a_device(port, user=USER, password=RIGHT)
            request = Request(method="POST", path="/onvif/device_service", body=b"GetDeviceInformation")
            answers = [await fetch(device, "onvif", port, request, logs_in=True) for _ in range(5)]
            return [answer.status for answer in answers]

    assert asyncio.run(run()) == [200] * 5
    assert doorman.counts == [1, 2, 1, 2, 1]
    assert doorman.refusals == 0
