"""UPnP Internet Gateway Device (UPnP Device Architecture 1.1): a school's router, and whether its WAN is up.

It is found by a question to its own address alone, described by XML, and asked by SOAP. Only what reads is ever asked:
no port is opened, no connection is made or ended. What points to another host than the one asked is passed over, since
a router's answers could otherwise send the agent to any address.
"""

import asyncio
import contextlib
import ipaddress
import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit
from xml.etree.ElementTree import Element

import msgspec

from agent.devices.kind import Device, Identity, Told
from agent.devices.markup import texts, tree
from agent.devices.parts import plausible
from agent.devices.talking import TRIES, place
from agent.devices.web import Request, fetch
from agent.network.resolving import resolve
from agent.probe import ProbeFailed, Values
from agent.probes.tcp import failure_of
from contract.outcome import Outcome
from contract.parts import State

_PORT: Final = 1900
_HTTP_PORT: Final = 80
_PORT_MAX: Final = 65535
_OK: Final = 200
_GATEWAY: Final = "urn:schemas-upnp-org:device:InternetGatewayDevice:"
_AGAIN_S: Final = 0.5
_ANSWERS_MAX_COUNT: Final = 50
"""Datagrams that are looked at: one that floods costs no more than its time."""
_ANSWER_MAX_BYTES: Final = 4096
_DESCRIPTION_MAX_BYTES: Final = 256 << 10
_SERVICES_MAX_COUNT: Final = 6
_TEXT_MAX_CHARS: Final = 64
_ALL_ONES: Final = frozenset({0xFFFF_FFFF, 0x7FFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF})
"""What counters of 32 and 64 bits say for "don't know"."""
_RUN_OVER: Final = frozenset(gigabits * 10**9 % 2**32 for gigabits in (5, 10, 25, 40, 100))
"""What is left in 32 bits of the speeds of fast ports, as some routers give them."""
_SEARCH: Final = (
    "M-SEARCH * HTTP/1.1\r\nHOST: {host}:{port}\r\n"
    'MAN: "ssdp:discover"\r\nMX: 1\r\nST: {what}\r\nUSER-AGENT: sansang-agent\r\n\r\n'
)
"""By the standard a question to one host needs no MX; routers of the standard's first edition ignore one without."""
_ENVELOPE: Final = (
    '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:{action} xmlns:u="{service}"/></s:Body>'
    "</s:Envelope>"
)
_CONNECTION: Final = re.compile(r"urn:schemas-upnp-org:service:WAN(?:IP|PPP)Connection:[1-9]")
_INTERFACE: Final = re.compile(r"urn:schemas-upnp-org:service:WANCommonInterfaceConfig:[1-9]")
_STATES: Final = {
    "connected": State.OK,
    "pendingdisconnect": State.DEGRADED,
    "connecting": State.FAILED,
    "authenticating": State.FAILED,
    "disconnecting": State.FAILED,
    "disconnected": State.FAILED,
    "unconfigured": State.DISABLED,
}
"""ConnectionStatus (WANIPConnection:1, 2.2.2). What is about to be connected passes no packets yet."""
_LINK: Final = {"up": 1, "down": 0}
"""PhysicalLinkStatus (WANCommonInterfaceConfig:1); Initializing and Unavailable say neither."""


class _Place(NamedTuple):
    """Where something of the router's is, on its own host."""

    port: int
    path: str


class _Service(NamedTuple):
    """A service, by its full type, and where it is asked."""

    kind: str
    place: _Place


class _Described(NamedTuple):
    """What a router says of itself."""

    identity: Identity
    services: tuple[_Service, ...]


class UpnpIgd:
    """Asks whether its connection to the provider is up, since when, how fast, and how much went over it."""

    name = "upnp_igd"
    way = "upnp"
    is_generic = True
    logs_in = False
    signs: Sequence[str] = ()

    async def recognise(self, device: Device) -> Identity | None:
        """By an answer to SSDP, and a description that says that it is a gateway."""
        described = await _describe(device)
        return described.identity if described is not None else None

    async def ask(self, device: Device) -> Told:
        """The WAN's state and counters. Raises ProbeFailed."""
        described = await _describe(device, tries=TRIES)
        _, what = place(device, self.way, _PORT)
        if described is None:
            raise ProbeFailed(Outcome.BROKEN, f"{what}: describes no Internet gateway")
        asked = _Asked(device)
        figures: Values = {}
        states: list[State] = []
        for service in described.services:
            if _INTERFACE.fullmatch(service.kind):
                figures |= await _interface(asked, service)
            else:
                state, uptime = await _connection(asked, service)
                states += [state] if state is not None else []
                figures |= uptime
        if asked.failure is not None and not asked.is_answered:
            raise asked.failure
        wan = _wan(states, figures.get("if_up_bool"))
        if wan is not State.OK:
            figures.pop("wan_uptime_s", None)
        return Told(parts={} if wan is None else {"wan": wan}, figures=plausible(figures), identity=described.identity)


class _Asked:
    """One router in the course of being asked by SOAP: an action that it does not know costs nothing else."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.is_answered = False
        self.failure: ProbeFailed | None = None

    async def get(self, service: _Service, action: str, *names: str) -> list[str]:
        """Values of the answer by their names; empty texts where there is none."""
        request = Request(
            method="POST",
            path=service.place.path,
            headers=('Content-Type: text/xml; charset="utf-8"', f'SOAPAction: "{service.kind}#{action}"'),
            body=_ENVELOPE.format(action=action, service=service.kind).encode(),
        )
        nothing = [""] * len(names)
        if self.failure is not None and self.failure.outcome is Outcome.TIMEOUT:
            return nothing  # a router that has fallen silent is not waited for once more each time
        try:
            there = msgspec.structs.replace(self._device, port=service.place.port, key=None)
            answer = await fetch(there, "upnp", _HTTP_PORT, request)
        except ProbeFailed as failure:
            self.failure = self.failure or failure
            return nothing
        self.is_answered = True
        root = tree(answer.body) if answer.status == _OK else None
        answered = None if root is None else root.find(f".//{{*}}{action}Response")
        return texts(answered, *names)


async def _interface(asked: _Asked, service: _Service) -> Values:
    """GetCommonLinkProperties and the counters of WANCommonInterfaceConfig."""
    up, down, link = await asked.get(
        service,
        "GetCommonLinkProperties",
        "NewLayer1UpstreamMaxBitRate",
        "NewLayer1DownstreamMaxBitRate",
        "NewPhysicalLinkStatus",
    )
    (sent,) = await asked.get(service, "GetTotalBytesSent", "NewTotalBytesSent")
    (received,) = await asked.get(service, "GetTotalBytesReceived", "NewTotalBytesReceived")
    figures: Values = {}
    if link.lower() in _LINK:
        figures["if_up_bool"] = _LINK[link.lower()]
    for name, said in (("wan_up_bps", up), ("wan_down_bps", down)):
        bps = _number(said)
        if bps and bps not in _RUN_OVER:  # 0 is of a router that does not know
            figures[name] = bps
    counts = {"wan_sent_bytes_total": _number(sent), "wan_received_bytes_total": _number(received)}
    if any(counts.values()):  # all 0 is of a router that does not count
        figures |= {name: count for name, count in counts.items() if count is not None}
    return figures


async def _connection(asked: _Asked, service: _Service) -> tuple[State | None, Values]:
    """GetStatusInfo of WANIPConnection or WANPPPConnection."""
    status, uptime = await asked.get(service, "GetStatusInfo", "NewConnectionStatus", "NewUptime")
    state = _STATES.get(status.lower())
    seconds = _number(uptime)
    return state, {"wan_uptime_s": seconds} if state is State.OK and seconds else {}


def _wan(states: Sequence[State], link: float | None) -> State | None:
    """Of several ways to connect the one that works is the one in use; others are not configured, or reserves."""
    wan = next((state for state in (State.OK, State.DEGRADED, State.FAILED, State.DISABLED) if state in states), None)
    if link == 0:
        return State.UNKNOWN if wan in (State.OK, State.DEGRADED) else State.FAILED
    return wan


def _number(said: str) -> int | None:
    """A count of up to 64 bits; None for anything else, and for "don't know"."""
    if not re.fullmatch(r"[0-9]{1,20}", said):
        return None
    number = int(said)
    return None if number in _ALL_ONES or number >= 1 << 63 else number


async def _describe(device: Device, *, tries: int = 1) -> _Described | None:
    """What the router says of itself; None of what is none. Raises ProbeFailed."""
    found = await _search(device)
    there = msgspec.structs.replace(device, port=found.place.port, key=None)
    answer = await fetch(there, "upnp", _HTTP_PORT, Request(method="GET", path=found.place.path), tries=tries)
    if answer.status != _OK or len(answer.body) > _DESCRIPTION_MAX_BYTES:
        return None
    root = tree(answer.body)
    described = None if root is None else root.find("{*}device")
    if root is None or described is None or not _text(described, "deviceType").startswith(_GATEWAY):
        return None
    base = _text(root, "URLBase") or found.url
    services = tuple(_services(described, base, found.address))[:_SERVICES_MAX_COUNT]
    model, number = _text(described, "modelName"), _text(described, "modelNumber")
    return _Described(
        Identity(
            kind=UpnpIgd.name,
            family="router",
            vendor=_text(described, "manufacturer"),
            model=model if number in model else f"{model} {number}".strip()[:_TEXT_MAX_CHARS],
            firmware=_text(described, "firmwareVersion") or _text(described, "softwareVersion"),
            by="UPnP",
        ),
        services,
    )


def _text(element: Element, name: str) -> str:
    """The text of a child, on one line and of bounded length."""
    child: Any = element.find(f"{{*}}{name}")
    said = "" if child is None else " ".join((child.text or "").split())
    return "".join(letter for letter in said if letter.isprintable())[:_TEXT_MAX_CHARS]


def _services(described: Element, base: str, address: str) -> Iterator[_Service]:
    for service in described.iter():
        if not isinstance(service.tag, str) or service.tag.rpartition("}")[2] != "service":
            continue
        kind, control = texts(service, "serviceType", "controlURL")
        if _CONNECTION.fullmatch(kind) or _INTERFACE.fullmatch(kind):
            with contextlib.suppress(ValueError):
                there = _on_host(urljoin(base, control), address)
                if there is not None:
                    yield _Service(kind, there)


def _on_host(url: str, address: str) -> _Place | None:
    """Where a URL points to, if that is on this very host, by plain HTTP. Raises ValueError."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = _HTTP_PORT if parts.port is None else parts.port
    if parts.scheme != "http" or not parts.hostname or parts.username is not None or not 0 < port <= _PORT_MAX:
        return None
    is_same = ipaddress.ip_address(parts.hostname) == ipaddress.ip_address(address)
    return _Place(port, path) if is_same and re.fullmatch(r"/[!-~]{0,500}", path) else None


class _Found(NamedTuple):
    """Where the description is, at the address that was asked."""

    address: str
    url: str
    place: _Place


class _Datagrams(asyncio.DatagramProtocol):
    """Takes the first answer of one host that is a gateway's and points to itself."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._heard = 0
        self.answered: asyncio.Future[_Found] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        # From any of its ports: many routers answer from another than the one that was asked.
        self._heard += 1
        if self._heard > _ANSWERS_MAX_COUNT or self.answered.done() or str(addr[0]) != self._address:
            return
        found = _read(data[:_ANSWER_MAX_BYTES], self._address)
        if found is not None:
            self.answered.set_result(found)

    def error_received(self, exc: Exception) -> None:
        del exc  # the host refuses the port, perhaps only this once: silence will tell


def _read(data: bytes, address: str) -> _Found | None:
    lines = data.decode("utf-8", "replace").split("\r\n")
    if lines[0].split()[:2] not in (["HTTP/1.1", "200"], ["HTTP/1.0", "200"]):
        return None
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if _GATEWAY not in f"{fields.get('st', '')} {fields.get('usn', '')}":
        return None
    url = fields.get("location", "")
    try:
        there = _on_host(url, address)
    except ValueError:
        return None
    return None if there is None else _Found(address, url, there)


async def _search(device: Device) -> _Found:
    """Ask the router for itself by SSDP. Raises ProbeFailed: TIMEOUT when no answer came that will do."""
    endpoint, what = place(device, "upnp", _PORT)
    found = await resolve(endpoint.host, what, device.timeout_s)
    host = f"[{found.address}]" if ":" in found.address else found.address
    questions = [
        _SEARCH.format(host=host, port=endpoint.port, what=f"{_GATEWAY}{version}").encode() for version in (1, 2)
    ]
    own = "::" if found.family is socket.AF_INET6 else "0.0.0.0"  # noqa: S104 - takes answers of the one host only
    transport: asyncio.DatagramTransport | None = None
    try:
        async with asyncio.timeout(device.timeout_s):
            transport, datagrams = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Datagrams(found.address), local_addr=(own, 0)
            )
            wait_s = _AGAIN_S
            while True:
                for question in questions:
                    transport.sendto(question, (found.address, endpoint.port))
                await asyncio.wait([datagrams.answered], timeout=wait_s)
                if datagrams.answered.done():
                    return datagrams.answered.result()
                wait_s *= 2
    except OSError as error:
        raise failure_of(error, what, device.timeout_s, {}) from None
    finally:
        if transport is not None:
            transport.close()


KIND: Final = UpnpIgd()
