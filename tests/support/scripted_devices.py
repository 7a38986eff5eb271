"""Devices of a room, of a script: what they answer by SNMP, and since when they run."""

import contextlib
import socket
import time
from typing import Any, Final

from pyasn1.codec.ber import decoder, encoder
from pyasn1.error import PyAsn1Error
from pysnmp.proto import api
from pysnmp.proto.rfc1905 import EndOfMibView, NoSuchObject

from tests.support.network import Host
from tests.support.way import Way

_V2C: Final = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
_UPTIME: Final = (1, 3, 6, 1, 2, 1, 1, 3, 0)
_GET: Final = _V2C.GetRequestPDU.tagSet


class SnmpDevice:
    """Tells its uptime to whoever knows the community, and nothing else (SNMPv2-MIB); silent while it is silenced."""

    def __init__(self, community: str = "public", *, age_s: float = 400_000.0) -> None:
        self.community = community
        self._since_s = time.monotonic() - age_s
        self.is_silenced = False

    def start_anew(self) -> None:
        """It has lost its power, and has it again."""
        self._since_s = time.monotonic()

    def answer(self, question: bytes) -> bytes | None:
        """The response to a request; None for silence."""
        try:
            message, _ = decoder.decode(question, asn1Spec=_V2C.Message())
        except PyAsn1Error:
            return None
        if self.is_silenced or bytes(_V2C.apiMessage.get_community(message)) != self.community.encode():
            return None
        asked = _V2C.apiMessage.get_pdu(message)
        response = _V2C.apiMessage.get_response(message)
        found = [self._found(oid, asked.tagSet == _GET) for oid, _ in _V2C.apiPDU.get_varbinds(asked)]
        _V2C.apiPDU.set_varbinds(_V2C.apiMessage.get_pdu(response), found)
        return bytes(encoder.encode(response))

    def _found(self, oid: Any, is_get: bool) -> tuple[Any, Any]:  # noqa: FBT001 - private
        if is_get and tuple(oid) == _UPTIME:
            return oid, _V2C.TimeTicks(round((time.monotonic() - self._since_s) * 100))
        return oid, NoSuchObject("") if is_get else EndOfMibView("")


def serve_snmp(way: Way, host: Host, address: str, device: SnmpDevice) -> None:
    """Let a device answer at an address of a host."""

    def opened() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, 161))
        return sock

    sock = host.do(opened)

    def answer() -> None:
        question, source = sock.recvfrom(4096)
        if (response := device.answer(question)) is not None:
            with contextlib.suppress(OSError):  # whoever asked went meanwhile
                sock.sendto(response, source)

    way.serve(sock, answer)
