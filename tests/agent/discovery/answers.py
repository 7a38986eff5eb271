"""What devices answer to multicast questions: a camera by WS-Discovery, a television by SSDP, a sound box by mDNS."""

import re
import struct
from typing import Final

_MATCH: Final = """<?xml version="1.0" encoding="UTF-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope"
 xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"
 xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><SOAP-ENV:Header><wsa:RelatesTo>{message}</wsa:RelatesTo>
 </SOAP-ENV:Header><SOAP-ENV:Body><d:ProbeMatches><d:ProbeMatch><d:Types>{types}</d:Types>
 <d:Scopes>onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/{name}
 onvif://www.onvif.org/hardware/{hardware} onvif://www.onvif.org/Profile/Streaming</d:Scopes>
 <d:XAddrs>http://203.0.113.9/onvif/device_service</d:XAddrs></d:ProbeMatch></d:ProbeMatches></SOAP-ENV:Body>
</SOAP-ENV:Envelope>"""


def message_of(probe: bytes) -> str:
    """The MessageID of a WS-Discovery Probe."""
    found = re.search(rb"MessageID>([^<]+)<", probe)
    assert found is not None
    return found[1].decode()


def probe_match(
    message: str, *, name: str = "Camera%20nh%C3%A0", hardware: str = "AX-1", types: str = "dn:NetworkVideoTransmitter"
) -> bytes:
    """As a camera answers, whose XAddrs point to somewhere else."""
    return _MATCH.format(message=message, name=name, hardware=hardware, types=types).encode()


def ssdp_answer(kind: str, server: str = "Linux/5.4 UPnP/1.0 Telly/2.1") -> bytes:
    """As a UPnP device of this kind answers."""
    return (
        f"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nLOCATION: http://203.0.113.9/desc.xml\r\n"
        f"SERVER: {server}\r\nST: urn:schemas-upnp-org:device:{kind}:1\r\n"
        f"USN: uuid:1::urn:schemas-upnp-org:device:{kind}:1\r\n\r\n"
    ).encode()


def mdns_answer(query: bytes, service: str, instance: str) -> bytes:
    """As a responder answers a one-shot question: its ID and questions again, and one pointer to the instance."""
    number, _, questions_count, *_ = struct.unpack_from("!HHHHHH", query)
    owner = b"".join(bytes([len(part)]) + part for part in service.encode().split(b".")) + b"\0"
    label = instance.encode()
    where = len(query)  # the record's own name: what the instance's name goes on with
    told = bytes([len(label)]) + label + struct.pack("!H", 0xC000 | where)
    record = owner + struct.pack("!HHIH", 12, 1, 10, len(told)) + told
    return struct.pack("!HHHHHH", number, 0x8400, questions_count, 1, 0, 0) + query[12:] + record


def ring_of_pointers(query: bytes) -> bytes:
    """An answer whose name points to itself."""
    record = struct.pack("!HHHIH", 0xC000 | 12, 12, 1, 10, 2) + struct.pack("!H", 0xC000 | 12)
    return query[:2] + struct.pack("!HHHHH", 0x8400, 0, 1, 0, 0) + record


BOMB: Final = (
    b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><x>&b;</x>'
)
"""A small answer that grows as it is read."""
