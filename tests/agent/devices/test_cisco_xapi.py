"""Cisco's xAPI, of codecs with TC and with CE software, as their API guides spell it."""

import asyncio
import base64
import ssl
from collections.abc import Mapping
from typing import Any, Final

import pytest

from agent.devices.kind import Identity
from agent.devices.kinds.cisco_xapi import KIND, told_of
from agent.devices.markup import tree
from contract.outcome import Outcome
from tests.agent.devices.certificates import certificate_of_its_own
from tests.agent.devices.speaking import HASTY_S, REFUSED, RIGHT, WANTED, WRONG, Asked, Behave, a_device, both, mute
from tests.support.ports import LOOPBACK

CE: Final = """<?xml version="1.0"?>
<Status product="Cisco Codec" version="ce9.15.0" apiVersion="4">
  <Audio><Input><Connectors>
    <Microphone item="1"><ConnectionStatus>Connected</ConnectionStatus></Microphone>
    <Microphone item="2"><ConnectionStatus>NotConnected</ConnectionStatus></Microphone>
  </Connectors></Input><Microphones><Mute>Off</Mute></Microphones></Audio>
  <Cameras>
    <Camera item="1"><Connected>True</Connected></Camera><Camera item="2"><Connected>False</Connected></Camera>
  </Cameras>
  <Diagnostics><Message item="1"><Description>NTP is away</Description><Level>Warning</Level></Message></Diagnostics>
  <H323><Gatekeeper><Address>10.0.0.1</Address><Status>Inactive</Status></Gatekeeper></H323>
  <SIP><Registration item="1"><Status>Registered</Status><URI>room@example.org</URI></Registration></SIP>
  <Standby><State>Off</State></Standby>
  <SystemUnit><Hardware><Temperature>58.5</Temperature></Hardware><ProductId>Cisco TelePresence SX80</ProductId>
    <Software><Version>ce9.15.0.11</Version></Software><State><System>Initialized</System></State>
    <Uptime>86400</Uptime></SystemUnit>
  <Video><Input>
    <Connector item="1"><Connected>True</Connected><SignalState>OK</SignalState></Connector>
    <Connector item="2"><Connected>False</Connected><SignalState>Unknown</SignalState></Connector>
    <Connector item="3"><Connected>True</Connected><SignalState>Unsupported</SignalState></Connector>
  </Input></Video>
</Status>"""
TC: Final = """<?xml version="1.0"?>
<XmlDoc resultId=""><Status product="Cisco Codec" version="TC7.3.5" apiVersion="2">
  <Camera item="1" maxOccurrence="n"><Connected item="1">True</Connected></Camera>
  <H323 item="1"><Gatekeeper item="1"><Status item="1">Rejected</Status></Gatekeeper></H323>
  <SIP item="1"><Profile item="1"><Registration item="1"><Status item="1">Failed</Status></Registration></Profile></SIP>
  <Standby item="1"><Active item="1">On</Active></Standby>
  <SystemUnit item="1"><ProductId item="1">Cisco TelePresence SX20</ProductId>
    <Software item="1"><Version item="1">TC7.3.5.a93bdb1</Version></Software></SystemUnit>
</Status></XmlDoc>"""
CALL: Final = """
  <Call item="3"><Status>Connected</Status><ReceiveCallRate>2048</ReceiveCallRate>
    <TransmitCallRate>1024</TransmitCallRate></Call>
  <MediaChannels><Call item="3">
    <Channel item="1"><Netstat><Jitter>12</Jitter><Loss>5</Loss><Packets>995</Packets></Netstat></Channel>
    <Channel item="2"><Netstat><Jitter>31</Jitter><Loss>500</Loss><Packets>500</Packets>
      <LastIntervalLost>1</LastIntervalLost><LastIntervalReceived>49</LastIntervalReceived></Netstat></Channel>
    <Channel item="3"><Netstat><Jitter></Jitter><Loss>0</Loss><Packets>0</Packets></Netstat></Channel>
  </Call></MediaChannels>"""


@pytest.fixture(scope="module")
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    file = certificate_of_its_own(tmp_path_factory.mktemp("codec") / "codec.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def codec(status: str, *, is_old: bool = False, cut: int = 0) -> Behave:
    """Serves its status to whoever has the password; an old one by `/status.xml` only."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        login = base64.b64encode(f"viewer:{RIGHT}".encode()).decode()
        if f"Authorization: Basic {login}\r\n" not in head:
            writer.write(
                b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="Cisco Codec"\r\nContent-Length: 0\r\n\r\n'
            )
        elif path in ("/getxml?location=/Status/SystemUnit", "/status.xml" if is_old else "/getxml?location=/Status"):
            body = status.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[: len(body) - cut])
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    return behave


def ask(behave: Behave, context: ssl.SSLContext | None, **given: Any) -> Asked:
    async def run() -> Asked:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await behave(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass  # the agent has hung up, or the test is over
            finally:
                writer.close()

        server = await asyncio.start_server(connected, LOOPBACK, 0, ssl=context)
        try:
            return await both(KIND, a_device(server.sockets[0].getsockname()[1], **given))
        finally:
            server.close()

    return asyncio.run(run())


def read(text: str) -> tuple[dict[str, str], Mapping[str, float]]:
    status = tree(text.encode())
    assert status is not None
    told = told_of(status)
    return {part: state.name for part, state in told.parts.items()}, told.figures


WELL_CE: Final = {
    "camera1": "OK", "camera2": "DISABLED", "microphone1": "OK", "microphone2": "DISABLED", "video1": "OK",
    "video2": "DISABLED", "video3": "DEGRADED", "sip_registration": "OK", "h323_registration": "DISABLED",
    "power": "OK", "system": "OK",
}  # fmt: skip


def test_a_codec_with_ce_is_read_over_its_own_certificate(own_certificate: ssl.SSLContext) -> None:
    asked = ask(codec(CE), own_certificate, user="viewer", password=RIGHT)
    assert asked.identity == Identity(
        kind="cisco_xapi", family="codec", vendor="Cisco", model="TelePresence SX80", firmware="ce9.15.0.11", by="xAPI"
    )
    assert asked.states == WELL_CE
    assert asked.figures == {"uptime_s": 86400, "temperature_celsius": 58.5, "calls_count": 0, "call_active_bool": 0}


def test_a_codec_with_tc_is_read_by_its_older_page(own_certificate: ssl.SSLContext) -> None:
    asked = ask(codec(TC, is_old=True), own_certificate, user="viewer", password=RIGHT)
    assert isinstance(asked.identity, Identity)
    assert (asked.identity.model, asked.identity.firmware) == ("TelePresence SX20", "TC7.3.5.a93bdb1")
    assert asked.states == {
        "camera1": "OK", "sip_registration": "FAILED", "h323_registration": "FAILED", "power": "STANDBY",
    }  # fmt: skip


def test_a_call_tells_how_good_it_is() -> None:
    _, figures = read(CE.replace("</Status>\n", "</Status>").removesuffix("</Status>") + CALL + "</Status>")
    assert {name: number for name, number in figures.items() if name.startswith("call")} == pytest.approx(
        {
            "calls_count": 1,
            "call_active_bool": 1,
            "call_received_bps": 2_048_000,
            "call_sent_bps": 1_024_000,
            "call_jitter_ms": 31,
            "call_loss_ratio": 0.02,
        }
    )


@pytest.mark.parametrize(
    ("old", "new", "part", "state"),
    [
        ("<Mute>Off</Mute>", "<Mute>On</Mute>", "microphone1", "MUTED"),
        ("<Level>Warning", "<Level>Error", "system", "DEGRADED"),
        ("<Level>Warning", "<Level>Critical", "system", "FAILED"),
        ("<State>Off", "<State>Standby", "power", "STANDBY"),
        ("<Status>Registered", "<Status>Failed", "sip_registration", "FAILED"),
        ("<Status>Registered", "<Status>Registering", "sip_registration", "UNKNOWN"),
        ("<Connected>True</Connected></Camera>", "<Connected>False</Connected></Camera>", "camera1", "FAILED"),
    ],
    ids=lambda text: text[:20],
)
def test_each_spelling_means_its_state(old: str, new: str, part: str, state: str) -> None:
    assert old in CE
    assert read(CE.replace(old, new))[0][part] == state


@pytest.mark.parametrize("text", ["<Status/>", "<html/>", "<XmlDoc><Status/></XmlDoc>"])
def test_what_says_nothing_tells_nothing(text: str) -> None:
    assert read(text) == ({}, {"calls_count": 0, "call_active_bool": 0})


def test_a_wrong_password_is_denied_and_not_told(own_certificate: ssl.SSLContext) -> None:
    asked = ask(codec(CE), own_certificate, user="viewer", password=WRONG)
    assert isinstance(asked.identity, Identity)
    assert asked.failure.outcome is Outcome.DENIED
    assert asked.failure.detail.endswith(REFUSED)
    assert WRONG not in asked.failure.detail


def test_without_a_login_it_is_known_for_a_codec_that_wants_one(own_certificate: ssl.SSLContext) -> None:
    asked = ask(codec(CE), own_certificate)
    assert asked.identity == Identity(kind="cisco_xapi", family="codec", vendor="Cisco", by="xAPI")
    assert asked.failure.detail.endswith(WANTED)


def test_half_an_answer_is_said_to_be_half(own_certificate: ssl.SSLContext) -> None:
    failure = ask(codec(CE, cut=100), own_certificate, user="viewer", password=RIGHT).failure
    assert failure.outcome is Outcome.BROKEN
    assert failure.detail.endswith("closed the connection before it had answered")


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


def test_a_port_without_tls_is_named() -> None:
    failure = ask(plain, None).failure
    assert failure.outcome is Outcome.BROKEN
    assert ": xapi " in failure.detail
    assert ": TLS: " in failure.detail


def test_silence_is_a_timeout() -> None:
    assert ask(mute, None, timeout_s=HASTY_S).failure.outcome is Outcome.TIMEOUT


def test_a_codec_that_asks_without_a_name_is_known_by_its_front_page(own_certificate: ssl.SSLContext) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
        page = b"<html><head>\r\n<title> Cisco Webex </title></head></html>" if path == "/" else b""
        status = b"200 OK" if page else b"401 Unauthorized"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(page)) + page)
        await writer.drain()

    identity = ask(behave, own_certificate).identity
    assert isinstance(identity, Identity)
    assert (identity.kind, identity.vendor) == ("cisco_xapi", "Cisco")
