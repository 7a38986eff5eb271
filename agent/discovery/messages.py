"""The multicast questions by which devices are found, and what their answers mean; no sockets, and raises nothing."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from agent.discovery.sighting import Sighting, plain

WS_DISCOVERY: Final = ("239.255.255.250", 3702)
SSDP: Final = ("239.255.255.250", 1900)
MDNS: Final = ("224.0.0.251", 5353)
ANSWER_MAX_BYTES: Final = 65_535

_ADDRESSING: Final = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_DISCOVERY: Final = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
_PROBE: Final = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"'
    f' xmlns:w="{_ADDRESSING}" xmlns:d="{_DISCOVERY}" xmlns:dn="http://www.onvif.org/ver10/network/wsdl">'
    "<e:Header><w:MessageID>{message}</w:MessageID>"
    '<w:To e:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>'
    f'<w:Action e:mustUnderstand="true">{_DISCOVERY}/Probe</w:Action></e:Header>'
    "<e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"
)
_SEARCH: Final = (
    b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 2\r\nST: ssdp:all\r\n\r\n'
)
_SERVICES: Final = "_services._dns-sd._udp.local"
_WANTED: Final = (_SERVICES, "_rtsp._tcp.local", "_pjlink._tcp.local", "_netaudio-arc._udp.local")
_PTR: Final = 12
_ANSWER_TO_ME: Final = 0x8001
"""Class IN, and the wish to be answered directly (RFC 6762 5.4)."""
_HEAD: Final = struct.Struct("!HHHHHH")
_RECORD: Final = struct.Struct("!HHIH")
_IS_ANSWER: Final = 0x8000
_POINTER: Final = 0xC0
_RECORDS_MAX_COUNT: Final = 200
_LABELS_MAX_COUNT: Final = 128
"""More than a name can have (RFC 1035): pointers in a ring end here."""

_BY_SERVICE: Final = (
    ("_axis-video.", "camera"),
    ("_rtsp.", "camera"),
    ("_pjlink.", "projector"),
    ("_netaudio", "dsp"),
    ("_googlecast.", "screen"),
    ("_airplay.", "screen"),
)
"""What offers a service (DNS-SD's name of it begins so), and what that makes it; the surest first."""
_BY_UPNP: Final = (("InternetGatewayDevice", "router"), ("MediaRenderer", "screen"))


class Question(NamedTuple):
    """What was asked: by these marks an answer shows that it is one."""

    message: str
    """MessageID of WS-Discovery."""
    number: int
    """ID of the DNS message, 16 bits."""

    def datagrams(self) -> Iterator[tuple[bytes, tuple[str, int]]]:
        """What to send, and where to."""
        yield _PROBE.replace("{message}", self.message).encode(), WS_DISCOVERY
        yield _SEARCH, SSDP
        yield mdns_query(self.number), MDNS


def mdns_query(number: int) -> bytes:
    """Who offers what, as a one-shot question (RFC 6762 5.1, RFC 6763 9)."""
    questions = b"".join(_name_bytes(name) + struct.pack("!HH", _PTR, _ANSWER_TO_ME) for name in _WANTED)
    return _HEAD.pack(number, 0, len(_WANTED), 0, 0, 0) + questions


def _name_bytes(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def read_answer(data: bytes, address: str, question: Question) -> Sighting | None:
    """What a datagram says of the host that sent it; None for what is no answer to the question.

    The host is who sent it, never whom the answer names: an answer may say anything.
    """
    if data.lstrip()[:1] == b"<":
        return _read_probe_match(data, address, question.message)
    if data[:5] == b"HTTP/":
        return _read_ssdp(data, address)
    return _read_mdns(data, address, question.number)


def _read_probe_match(data: bytes, address: str, message: str) -> Sighting | None:
    try:
        root = fromstring(data)
    except (ParseError, DefusedXmlException, ValueError, LookupError):  # an encoding that is none is a LookupError
        return None
    if (root.findtext(f".//{{{_ADDRESSING}}}RelatesTo") or "").strip() != message:
        return None
    match = root.find(f".//{{{_DISCOVERY}}}ProbeMatch")
    if match is None:
        return None
    types = match.findtext(f"{{{_DISCOVERY}}}Types") or ""
    scopes = dict(_scopes(match.findtext(f"{{{_DISCOVERY}}}Scopes") or ""))
    is_camera = "NetworkVideoTransmitter" in types
    name, hardware = scopes.get("name", ""), scopes.get("hardware", "")
    said = name if hardware in name else f"{name} {hardware}"
    return Sighting(address=address, by="onvif", role="camera" if is_camera else "", name=plain(said))


def _scopes(text: str) -> Iterator[tuple[str, str]]:
    for scope in text.split():
        head, _, rest = scope.partition("onvif://www.onvif.org/")
        key, slash, value = rest.partition("/")
        if not head and slash:
            yield key.lower(), unquote(value)


def _read_ssdp(data: bytes, address: str) -> Sighting | None:
    lines = data[:ANSWER_MAX_BYTES].decode("utf-8", "replace").split("\r\n")
    if lines[0].split()[1:2] != ["200"]:
        return None
    fields = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
    what = f"{fields.get('st', '')} {fields.get('usn', '')}"
    if not what.strip():
        return None
    role = next((role for sign, role in _BY_UPNP if sign in what), "")
    return Sighting(address=address, by="ssdp", role=role, name=plain(fields.get("server", "")))


def _read_mdns(data: bytes, address: str, number: int) -> Sighting | None:
    try:
        pairs = list(_pointers(data, number))
    except (_Nonsense, struct.error, IndexError):
        return None
    if not pairs:
        return None
    services = [told if name == _SERVICES else name for name, told in pairs]
    named = [told.removesuffix(name).rstrip(".") for name, told in pairs if name != _SERVICES and told.endswith(name)]
    role = next((role for sign, role in _BY_SERVICE if any(one.startswith(sign) for one in services)), "")
    return Sighting(address=address, by="mdns", role=role, name=plain(named[0] if named else ""))


class _Nonsense(Exception):
    """No answer to us, or no DNS at all."""


def _pointers(data: bytes, number: int) -> Iterator[tuple[str, str]]:
    """(what was asked, what it points to) of each PTR record. Raises _Nonsense, struct.error or IndexError."""
    told, flags, questions_count, answers_count, _, _ = _HEAD.unpack_from(data)
    if told not in (number, 0) or not flags & _IS_ANSWER:
        raise _Nonsense
    place = _HEAD.size
    for _ in range(min(questions_count, _RECORDS_MAX_COUNT)):
        _, place = _read_name(data, place)
        place += 4
    for _ in range(min(answers_count, _RECORDS_MAX_COUNT)):
        name, place = _read_name(data, place)
        kind, _, _, length = _RECORD.unpack_from(data, place)
        place += _RECORD.size
        if kind == _PTR:
            yield name, _read_name(data, place)[0]
        place += length


def _read_name(data: bytes, place: int) -> tuple[str, int]:
    """A name and where it ends."""
    labels: list[str] = []
    after: int | None = None
    for _ in range(_LABELS_MAX_COUNT):
        length = data[place]
        if length >= _POINTER:
            after = place + 2 if after is None else after
            place = int.from_bytes(data[place : place + 2], "big") & 0x3FFF
            continue
        place += 1
        if length == 0:
            return ".".join(labels), place if after is None else after
        labels.append(data[place : place + length].decode("utf-8", "replace"))
        place += length
    raise _Nonsense
