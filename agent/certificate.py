"""Reads until when a certificate is valid (X.509, RFC 5280) from its DER bytes; nothing else of it, and no trust."""

from datetime import UTC, datetime
from typing import Final, NamedTuple

_SEQUENCE: Final = 0x30
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_VERSION: Final = 0xA0
_LONG: Final = 0x80
_FIFTIES: Final = 50


class NotACertificate(Exception):
    """The bytes are none that we can read."""


class _Element(NamedTuple):
    tag: int
    content: bytes
    rest: bytes


def valid_until_s(der: bytes) -> float:
    """`notAfter` as Unix seconds (RFC 5280 4.1.2.5). Raises NotACertificate."""
    signed = _take(_take(der, _SEQUENCE).content, _SEQUENCE).content
    element = _take(signed)
    if element.tag == _VERSION:
        element = _take(element.rest)
    rest = element.rest  # behind the serial number
    for _ in range(2):  # signature algorithm, issuer
        rest = _take(rest, _SEQUENCE).rest
    validity = _take(rest, _SEQUENCE).content
    not_after = _take(_take(validity).rest)
    return _moment_s(not_after)


def _take(data: bytes, wanted: int | None = None) -> _Element:
    """The first DER element (X.690): its tag, its content, and what follows it."""
    if len(data) < 2:  # noqa: PLR2004 - tag and length
        raise NotACertificate("it is cut short")
    tag, length, begin = data[0], data[1], 2
    if length & _LONG:
        begin = 2 + (length & ~_LONG)
        length = int.from_bytes(data[2:begin], "big")
    if begin + length > len(data) or (wanted is not None and tag != wanted):
        raise NotACertificate(f"not what should stand there (tag {tag:#x}, {length} bytes)")
    return _Element(tag, data[begin : begin + length], data[begin + length :])


def _moment_s(element: _Element) -> float:
    text = element.content.decode("ascii", "replace")
    try:
        if element.tag == _UTC_TIME:
            year = int(text[:2])
            text = f"{year + (1900 if year >= _FIFTIES else 2000)}{text[2:]}"
        elif element.tag != _GENERALIZED_TIME:
            raise NotACertificate(f"no time, but tag {element.tag:#x}")
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise NotACertificate(f"no time: {text!r}") from error
