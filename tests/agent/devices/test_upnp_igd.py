"""Routers by UPnP: of a script, well, broken and hostile; and Debian's miniupnpd, between two networks of its own."""

import asyncio
import contextlib
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from agent.devices.asking import Seen
from agent.devices.kind import Identity
from agent.devices.kinds.upnp_igd import KIND
from agent.identify import sentences
from agent.probe import ProbeFailed
from agent.probes.device import Device as DeviceProbe
from contract.outcome import Outcome
from contract.parts import Recognition, State
from tests.agent.devices.speaking import HASTY_S, Asked, Behave, a_device, babbling, both, listening, mute, rude
from tests.support.debian import require
from tests.support.network import ROUTER, SERVER, Network
from tests.support.ports import LOOPBACK

COMMON: Final = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"
IP: Final = "urn:schemas-upnp-org:service:WANIPConnection:1"
PPP: Final = "urn:schemas-upnp-org:service:WANPPPConnection:1"
GATEWAY: Final = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
WELL: Final = {
    "GetCommonLinkProperties": {
        "NewWANAccessType": "Ethernet",
        "NewLayer1UpstreamMaxBitRate": "50000000",
        "NewLayer1DownstreamMaxBitRate": "100000000",
        "NewPhysicalLinkStatus": "Up",
    },
    "GetTotalBytesSent": {"NewTotalBytesSent": "123456789"},
    "GetTotalBytesReceived": {"NewTotalBytesReceived": "4012345678"},
    "GetStatusInfo": {
        "NewConnectionStatus": "Connected",
        "NewLastConnectionError": "ERROR_NONE",
        "NewUptime": "86400",
    },
}
FIGURES: Final = {
    "if_up_bool": 1,
    "wan_up_bps": 50_000_000,
    "wan_down_bps": 100_000_000,
    "wan_sent_bytes_total": 123_456_789,
    "wan_received_bytes_total": 4_012_345_678,
    "wan_uptime_s": 86_400,
}
Says = dict[str, dict[str, str] | str]


def service(kind: str, control: str) -> str:
    return (
        f"<service><serviceType>{kind}</serviceType><serviceId>x</serviceId><controlURL>{control}</controlURL>"
        "<eventSubURL>/e</eventSubURL><SCPDURL>/s.xml</SCPDURL></service>"
    )


def description(*services: str, kind: str = GATEWAY, base: str = "", more: str = "") -> str:
    told = "".join(services or (service(COMMON, "/ctl/common"), service(IP, "/ctl/ip")))
    return (
        f'<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">{base}<device><deviceType>{kind}'
        "</deviceType><friendlyName>x</friendlyName><manufacturer>MadeUp</manufacturer><modelName>GPON 3000</modelName>"
        f"<modelNumber>v2</modelNumber>{more}<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:1"
        f"</deviceType><modelName>Inner</modelName><serviceList>{told}</serviceList></device></deviceList></device>"
        "</root>"
    )


class Router:
    """Answers SSDP and HTTP as a script says, and remembers what it was asked."""

    def __init__(self, says: Says | None = None, described: str | None = None) -> None:
        self.says: Says = {**WELL, **(says or {})}
        self.described = description() if described is None else described
        self.status = 200
        self.asked: list[str] = []
        self.searched: list[str] = []
        self.answers: Callable[[int], list[str]] = lambda port: [ssdp(f"http://{LOOPBACK}:{port}/igd.xml")]
        self.host = LOOPBACK
        self.port = 0

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        action = re.search(r'(?i)soapaction: "[^#]+#(\w+)"', head)
        self.asked.append(action[1] if action else head.split()[1])
        status, text = self.status, self.described
        if action:
            told = self.says[action[1]]
            status, text = (
                (500, "<a/>") if told == "500" else (200, told if isinstance(told, str) else soap(action[1], told))
            )
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(text.encode())}\r\n\r\n{text}".encode())
        await writer.drain()


def soap(action: str, told: dict[str, str]) -> str:
    values = "".join(f"<{name}>{value}</{name}>" for name, value in told.items())
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<u:{action}Response xmlns:u="x">{values}</u:{action}Response></s:Body></s:Envelope>'
    )


def ssdp(location: str, *, st: str = GATEWAY, status: str = "200 OK") -> str:
    return f"HTTP/1.1 {status}\r\nCACHE-CONTROL: max-age=120\r\nST: {st}\r\nLOCATION: {location}\r\nEXT:\r\n\r\n"


class _Ssdp(asyncio.DatagramProtocol):
    def __init__(self, router: Router) -> None:
        self._router = router

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._router.searched.append(data.decode())
        # As many routers do, from a port of its own.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((self._router.host, 0))
            for answer in self._router.answers(self._router.port):
                sock.sendto(answer.encode(), addr)


@contextlib.asynccontextmanager
async def serving(router: Router, behave: Behave | None = None) -> AsyncIterator[int]:
    """The port of its SSDP."""
    async with listening(behave or router.http) as router.port:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Ssdp(router), local_addr=(LOOPBACK, 0)
        )
        try:
            yield transport.get_extra_info("sockname")[1]
        finally:
            transport.close()


def asked(router: Router, behave: Behave | None = None, **given: Any) -> Asked:
    async def ask() -> Asked:
        async with serving(router, behave) as port:
            return await both(KIND, a_device(port, **given))

    return asyncio.run(ask())


def unfound(router: Router) -> ProbeFailed:
    """Why nothing was found where nothing that will do is answered."""

    async def recognise() -> Identity | None:
        async with serving(router) as port:
            return await KIND.recognise(a_device(port, timeout_s=BRIEF_S))

    with pytest.raises(ProbeFailed) as caught:
        asyncio.run(recognise())
    return caught.value


def seen(router: Router, behave: Behave | None = None, **given: Any) -> Seen | ProbeFailed:
    """As the device probe looks at it when the plan names its kind."""

    async def look() -> Seen | ProbeFailed:
        async with serving(router, behave) as port:
            fields = {"timeout_s": 20.0, "ports": (router.port,), **given}
            try:
                return await DeviceProbe(target="router", address=LOOPBACK, kind="upnp_igd", port=port, **fields).look()
            except ProbeFailed as failure:
                return failure

    return asyncio.run(look())


def test_a_router_tells_that_its_line_is_up_since_when_how_fast_and_how_much_went_over_it() -> None:
    router = Router()
    found = asked(router)
    assert found.identity == Identity(
        kind="upnp_igd", family="router", vendor="MadeUp", model="GPON 3000 v2", by="UPnP"
    )
    assert found.states == {"wan": "OK"}
    assert found.figures == FIGURES


def test_it_is_asked_alone_and_only_for_what_it_reads() -> None:
    router = Router()
    asked(router)
    assert set(router.asked) == {"/igd.xml", *WELL}
    assert all(one.startswith("M-SEARCH * HTTP/1.1\r\n") for one in router.searched)
    assert {re.findall(r"(?m)^ST: (\S+)", one)[0] for one in router.searched} == {GATEWAY, f"{GATEWAY[:-1]}2"}
    assert all('MAN: "ssdp:discover"' in one and f"HOST: {LOOPBACK}:" in one for one in router.searched)


def test_its_firmware_is_told_where_it_tells_it() -> None:
    router = Router(described=description(more="<firmwareVersion> V1.0.3 </firmwareVersion>"))
    identity = asked(router).identity
    assert isinstance(identity, Identity)
    assert identity.firmware == "V1.0.3"


def test_the_device_probe_and_identify_name_it() -> None:
    found = seen(Router(described=description(more="<modelDescription>x</modelDescription>")))
    assert isinstance(found, Seen)
    assert (found.recognition, found.alive_by) == (Recognition.RECOGNISED, "upnp")
    text = "\n".join(sentences("192.168.1.1", found, "en"))
    assert "MadeUp GPON 3000 v2" in text
    assert "Connection to the provider: ok" in text
    assert "uptime_s" not in found.told.figures, "the line's is not the router's"


def status(said: str, **changed: str) -> Says:
    return {"GetStatusInfo": {**WELL["GetStatusInfo"], "NewConnectionStatus": said, **changed}}


def link(said: str) -> Says:
    return {"GetCommonLinkProperties": {**WELL["GetCommonLinkProperties"], "NewPhysicalLinkStatus": said}}


@pytest.mark.parametrize(
    ("says", "states"),
    [
        (status("Disconnected"), {"wan": "FAILED"}),
        (status("Connecting"), {"wan": "FAILED"}),
        (status("PendingDisconnect"), {"wan": "DEGRADED"}),
        (status("Unconfigured"), {"wan": "DISABLED"}),
        (status("connected"), {"wan": "OK"}),
        (status("Verbunden"), {}),
        (status(""), {}),
        ({**status("Disconnected"), **link("Down")}, {"wan": "FAILED"}),
        ({"GetStatusInfo": "500", **link("Down")}, {"wan": "FAILED"}),
        (link("Down"), {"wan": "UNKNOWN"}),
        (link("Initializing"), {"wan": "OK"}),
    ],
    ids=[
        "disconnected",
        "connecting",
        "about to go",
        "unconfigured",
        "small letters",
        "a word of no standard",
        "nothing",
        "no light",
        "no light and no status",
        "it contradicts itself",
        "it does not know its light",
    ],
)
def test_what_it_says_of_its_connection(says: Says, states: dict[str, str]) -> None:
    found = asked(Router(says))
    assert found.states == states
    assert ("wan_uptime_s" in found.figures) is (states == {"wan": "OK"})


def test_of_two_ways_to_connect_the_one_in_use_counts() -> None:
    described = description(service(PPP, "/ctl/ppp"), service(IP, "/ctl/ip"))

    class Two(Router):
        async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # The first service asked is PPP, which nobody uses.
            told = "Unconfigured" if self.asked.count("GetStatusInfo") % 2 == 0 else "Connected"
            self.says |= status(told)
            await super().http(reader, writer)

    assert asked(Two(described=described)).states == {"wan": "OK"}


@pytest.mark.parametrize(
    ("says", "missing"),
    [
        ({"GetTotalBytesSent": {"NewTotalBytesSent": "-1"}}, {"wan_sent_bytes_total"}),
        ({"GetTotalBytesSent": {"NewTotalBytesSent": "4294967295"}}, {"wan_sent_bytes_total"}),
        ({"GetTotalBytesSent": {"NewTotalBytesSent": "1e9"}}, {"wan_sent_bytes_total"}),
        ({"GetTotalBytesSent": {"NewTotalBytesSent": "9" * 400}}, {"wan_sent_bytes_total"}),
        ({"GetTotalBytesSent": "500"}, {"wan_sent_bytes_total"}),
        (
            {
                "GetTotalBytesSent": {"NewTotalBytesSent": "0"},
                "GetTotalBytesReceived": {"NewTotalBytesReceived": "0"},
            },
            {"wan_sent_bytes_total", "wan_received_bytes_total"},
        ),
        (status("Connected", NewUptime="0"), {"wan_uptime_s"}),
        (status("Connected", NewUptime="99999999999"), {"wan_uptime_s"}),
        (
            {
                "GetCommonLinkProperties": {
                    "NewLayer1UpstreamMaxBitRate": "0",
                    "NewLayer1DownstreamMaxBitRate": "1410065408",
                }
            },
            {"wan_up_bps", "wan_down_bps", "if_up_bool"},
        ),
        ({"GetCommonLinkProperties": "<not xml"}, {"wan_up_bps", "wan_down_bps", "if_up_bool"}),
        ({"GetCommonLinkProperties": soap("GetOther", {})}, {"wan_up_bps", "wan_down_bps", "if_up_bool"}),
    ],
    ids=[
        "minus one",
        "all ones",
        "no count",
        "too long",
        "500",
        "does not count",
        "0 s",
        "3000 years",
        "0",
        "no XML",
        "another answer",
    ],
)
def test_what_cannot_be_becomes_no_value(says: Says, missing: set[str]) -> None:
    found = asked(Router(says))
    assert found.states == {"wan": "OK"}
    assert FIGURES.keys() - found.figures.keys() == missing


def test_counters_of_64_bits_are_taken_whole() -> None:
    says: Says = {"GetTotalBytesReceived": {"NewTotalBytesReceived": "5000000000000"}}
    assert asked(Router(says)).figures["wan_received_bytes_total"] == 5_000_000_000_000


# Hostile answers


STRANGER: Final = "127.0.0.2"
BRIEF_S: Final = 0.2


@pytest.mark.parametrize(
    "location",
    [
        "http://{stranger}:{port}/igd.xml",
        "http://{host}@{stranger}:{port}/igd.xml",
        "http://user:pass@{host}:{port}/igd.xml",
        "http://localhost:{port}/igd.xml",
        "https://{host}:{port}/igd.xml",
        "file:///etc/passwd",
        "http://{host}:0/igd.xml",
        "http://{host}:99999/igd.xml",
        "http://{host}:{port}/a b",
        "http://[::1/igd.xml",
        "",
    ],
)
def test_an_answer_that_points_elsewhere_is_passed_over(location: str) -> None:
    router = Router()
    router.answers = lambda port: [ssdp(location.format(stranger=STRANGER, host=LOOPBACK, port=port))]
    assert unfound(router).outcome is Outcome.TIMEOUT
    assert router.searched
    assert router.asked == []


def test_an_answer_of_another_host_is_passed_over() -> None:
    router = Router()
    router.host = STRANGER
    failure = unfound(router)
    assert failure.outcome is Outcome.TIMEOUT
    assert failure.detail.endswith("no answer within 0.2 s")
    assert router.searched
    assert router.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        ssdp("http://127.0.0.1:{port}/igd.xml", st="urn:schemas-upnp-org:device:MediaRenderer:1"),
        ssdp("http://127.0.0.1:{port}/igd.xml", status="404 No"),
        "NOTIFY * HTTP/1.1\r\n\r\n",
        "\r\n",
        "",
        "\x00\xff" * 2000,
    ],
    ids=["a screen", "404", "no answer", "an empty line", "nothing", "noise"],
)
def test_what_is_no_gateways_answer_is_passed_over_and_the_right_one_still_heard(answer: str) -> None:
    router = Router()
    router.answers = lambda port: [answer.replace("{port}", str(port)), ssdp(f"http://{LOOPBACK}:{port}/igd.xml")]
    assert asked(router).states == {"wan": "OK"}


def test_a_control_url_on_another_host_is_not_asked() -> None:
    async def ask() -> tuple[Asked, list[str]]:
        heard: list[str] = []

        async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append((await reader.readuntil(b"\r\n")).decode())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        async with listening(other, socket.create_server((STRANGER, 0))) as elsewhere:
            url = f"http://{STRANGER}:{elsewhere}"
            base = f"<URLBase>{url}/</URLBase>"
            for described in (
                description(service(COMMON, f"{url}/ctl"), service(IP, "/ctl/ip")),
                description(service(COMMON, f"//{STRANGER}:{elsewhere}/ctl"), service(IP, "/ctl/ip")),
                description(base=base),
            ):
                async with serving(Router(described=described)) as port:
                    found = await both(KIND, a_device(port))
        return found, heard

    found, heard = asyncio.run(ask())
    assert heard == []
    assert (found.states, found.figures) == ({}, {})


BOMB: Final = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]>'
    "<root><device><deviceType>&c;</deviceType></device></root>"
)


@pytest.mark.parametrize(
    "described",
    [
        BOMB,
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + description(more="<modelURL>&x;</modelURL>"),
        description(kind="urn:schemas-upnp-org:device:MediaRenderer:1"),
        "<root/>",
        "<html>hello",
        "",
        description(more=f"<x>{'y' * 300_000}</x>"),
    ],
    ids=["a bomb", "a file", "a screen", "nothing in it", "a page", "empty", "too long"],
)
def test_a_description_that_is_none_makes_no_router(described: str) -> None:
    router = Router(described=described)
    found = asked(router)
    assert found.identity is None
    assert found.failure.outcome is Outcome.BROKEN
    assert set(router.asked) == {"/igd.xml"}


def test_many_services_are_not_all_asked() -> None:
    router = Router(described=description(*[service(IP, f"/ctl/{number}") for number in range(100)]))
    assert asked(router).states == {"wan": "OK"}
    assert router.asked.count("GetStatusInfo") <= 6


def test_long_and_odd_names_are_cut() -> None:
    described = description().replace("MadeUp", "Made\u202eUp\u0085" + "x" * 5000)
    identity = asked(Router(described=described)).identity
    assert isinstance(identity, Identity)
    assert (len(identity.vendor), identity.vendor.isprintable()) == (64, True)


@pytest.mark.parametrize("behave", [rude, babbling, mute], ids=["hangs up", "babbles", "says nothing"])
def test_a_router_that_answers_ssdp_and_no_http_is_there_and_tells_nothing(behave: Behave) -> None:
    found = seen(Router(), behave, timeout_s=HASTY_S)
    assert isinstance(found, Seen)
    assert (found.recognition, found.told.parts, found.silent_to) == (Recognition.SILENT, {}, ("upnp",))


def test_a_router_that_falls_silent_amid_its_answers_is_waited_for_once() -> None:
    router = Router()

    async def falls_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(router.asked) >= 3:
            router.asked.append("silence")
            await mute(reader, writer)
        else:
            await router.http(reader, writer)

    found = asked(router, falls_silent, timeout_s=2.0)
    assert found.figures.keys() == {"if_up_bool", "wan_up_bps", "wan_down_bps"}
    assert router.asked.count("silence") == 1


def test_a_host_without_upnp_is_none_of_these() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        port = sock.getsockname()[1]
    found = asyncio.run(both(KIND, a_device(port, timeout_s=HASTY_S)))
    assert isinstance(found.identity, ProbeFailed)
    assert found.identity.outcome is Outcome.TIMEOUT


# Debian's miniupnpd


class RealRouter:
    """miniupnpd between the two cables of a network."""

    def __init__(self, network: Network, folder: Path) -> None:
        self._network = network
        self._config = folder / "miniupnpd.conf"
        self._pid = folder / "miniupnpd.pid"
        lines = (
            "ext_ifname=wan",
            "listening_ip=lan",
            "http_port=0",
            "ipv6_disable=yes",
            f"lease_file={folder}/leases",
            "uuid=d889b5ea-18d7-4914-aae8-52ee3594a49b",
            "manufacturer_name=MadeUp",
            "model_name=Gateway",
            "model_number=7",
            "deny 0-65535 0.0.0.0/0 0-65535",
        )
        self._config.write_text("\n".join([*lines, ""]), encoding="ascii")

    @contextlib.contextmanager
    def running(self, program: str) -> Iterator[None]:
        words = self._network.router.inside(program, "-d", "-f", str(self._config), "-P", str(self._pid))
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                yield
            finally:
                process.terminate()
                process.wait(30)

    def seen(self) -> Seen:
        """What the device probe sees from the PC, as soon as the router answers."""
        probe = DeviceProbe(target="router", address=ROUTER, kind="upnp_igd", timeout_s=1.0, ports=(9,))
        for _ in range(60):
            found = self._network.pc.do(lambda: asyncio.run(probe.look()))
            if found.recognition is Recognition.RECOGNISED:
                return found
        raise AssertionError(f"miniupnpd does not answer: {found}")


def test_a_real_router_is_named_counts_what_passes_and_says_when_its_line_is_cut(
    network: Network, tmp_path: Path
) -> None:
    router = RealRouter(network, tmp_path)
    with router.running(require("miniupnpd")):
        before = router.seen()
        assert before.identity == Identity(
            kind="upnp_igd", family="router", vendor="MadeUp", model="Gateway 7", by="UPnP"
        )
        assert (before.told.parts, before.told.figures["if_up_bool"]) == ({"wan": State.OK}, 1)

        network.pc.do(send_megabyte)
        after = router.seen()
        sent = [seen.told.figures["wan_sent_bytes_total"] for seen in (before, after)]
        assert sent[1] - sent[0] >= 1_000_000

        network.router.ip("link set wan down")
        assert router.seen().told.parts == {"wan": State.FAILED}


def send_megabyte() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(1000):
            sock.sendto(bytes(1000), (SERVER, 9))
