"""The certificate that a server shows: until when it is valid, or NotACertificate."""

from datetime import UTC, datetime
from typing import Final

from agent.certificate import NotACertificate, valid_until_s

WORDS: Final = (
    b"\x30\x82",
    b"\x17\x0d",
    b"\x18\x0f",
    b"\xa0\x03\x02\x01\x02",
    b"\x84\xff\xff\xff\xff",
    b"20991231235959Z",
)
_ALGORITHM: Final = bytes.fromhex("300a06082a8648ce3d040302")


def inputs() -> list[bytes]:
    return [_certificate(b"\x17\x0d491231235959Z"), _certificate(b"\x18\x0f20991231235959Z")]


def _certificate(not_after: bytes) -> bytes:
    """As much of one as is read."""
    validity = _sequence(b"\x17\x0d000101000000Z" + not_after)
    signed = b"\xa0\x03\x02\x01\x02" + b"\x02\x01\x07" + _ALGORITHM + _sequence(b"") + validity + _sequence(b"")
    return _sequence(_sequence(signed) + _ALGORITHM)


def _sequence(content: bytes) -> bytes:
    return b"\x30\x82" + len(content).to_bytes(2, "big") + content


def take(data: bytes) -> bool:
    try:
        until_s = valid_until_s(data)
    except NotACertificate:
        return False
    assert datetime.fromtimestamp(until_s, UTC).year >= 1
    return True
