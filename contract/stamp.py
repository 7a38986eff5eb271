"""STAMP on the wire (RFC 8762, RFC 8972): builds and reads test packets of both modes; sends nothing, asks no clock.

Times are Unix nanoseconds. A packet's T1 and T2 are when the request left and came, T3 and T4 the same of the reply.
"""

import enum
import hmac
import math
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

BASE_BYTES: Final = 44
AUTHENTICATED_BYTES: Final = 112
SHORTEST_BYTES: Final = 14
"""TWAMP Light (RFC 5357 App. I) may send no more than number, time and error; what is missing counts as zero."""
MAC_BYTES: Final = 16
_SIGNED_BYTES: Final = AUTHENTICATED_BYTES - MAC_BYTES
UNKNOWN_TTL: Final = 255
NUMBERS: Final = 1 << 32

_REQUEST: Final = struct.Struct("!I8sHH28x")
_REPLY: Final = struct.Struct("!I8sHH8sI8sHxxB3x")
_SIGNED_REQUEST: Final = struct.Struct("!I12x8sHH68x")
_SIGNED_REPLY: Final = struct.Struct("!I12x8sHH4x8s8xI12x8sH6xB15x")
_UNUSED_WHEN_SIGNED: Final = slice(4, 16)
_TLV: Final = struct.Struct("!BBH")
_TIME: Final = struct.Struct("!II")

_SECOND_NS: Final = 1_000_000_000
_FROM_1900_S: Final = 2_208_988_800
_ERA: Final = 1 << 32
_ERA_0_AGAIN: Final = 1 << 31


class StampError(ValueError):
    """A packet that is no STAMP packet, or not from who it should be from: what is wrong with it."""


class Clockwork(enum.IntEnum):
    """The two timestamp formats, as the Z bit of the error estimate names them."""

    NTP = 0
    PTP = 1


def time_bytes(unix_ns: int, clockwork: Clockwork = Clockwork.NTP) -> bytes:
    """A time as eight octets: NTP's seconds since 1900 and 2^-32 s, or PTP's seconds and nanoseconds."""
    seconds, rest_ns = divmod(unix_ns, _SECOND_NS)
    if clockwork is Clockwork.PTP:
        return _TIME.pack(seconds % _ERA, rest_ns)
    # Rounded up, so that reading it again yields the same nanosecond.
    fraction = -(-(rest_ns << 32) // _SECOND_NS)
    return _TIME.pack((seconds + _FROM_1900_S) % _ERA, fraction)


def time_of(octets: bytes, clockwork: Clockwork = Clockwork.NTP) -> int:
    """The Unix nanoseconds of eight octets.

    NTP's seconds begin again at 0 on 7 February 2036: as RFC 4330 advises, those with the highest bit are of the era
    before that day, the others of the era after it.
    """
    seconds, fraction = _TIME.unpack(octets)
    if clockwork is Clockwork.PTP:
        return int(seconds) * _SECOND_NS + int(fraction)
    era_s = 0 if seconds >= _ERA_0_AGAIN else _ERA
    return int(seconds + era_s - _FROM_1900_S) * _SECOND_NS + ((int(fraction) * _SECOND_NS) >> 32)


_Z: Final = 1 << 14
_MULTIPLIER: Final = 0xFF
_NO_MULTIPLIER: Final = "an error estimate whose multiplier is 0"


class ErrorEstimate(NamedTuple):
    """How wrong a clock may be (RFC 4656 4.1.2), and in which format it writes (RFC 8186)."""

    is_synced: bool = False
    clockwork: Clockwork = Clockwork.NTP
    error_s: float = 2.0**-32

    def encode(self) -> int:
        """Sixteen bits: S, Z, scale (6), multiplier (8). The error is rounded up."""
        error = max(self.error_s, 2.0**-32) * 2.0**32
        scale = max(0, math.frexp(error)[1] - 8)
        multiplier = math.ceil(error / 2.0**scale)
        if multiplier > 0xFF:  # noqa: PLR2004 - rounding up filled the eight bits
            scale, multiplier = scale + 1, 0x80
        if scale > 0x3F:  # noqa: PLR2004 - six bits
            scale, multiplier = 0x3F, 0xFF
        return self.is_synced << 15 | self.clockwork << 14 | scale << 8 | multiplier

    @classmethod
    def decode(cls, bits: int) -> "ErrorEstimate":
        """Raises StampError for a multiplier of 0, which RFC 4656 calls a corrupt packet."""
        multiplier, scale = bits & 0xFF, bits >> 8 & 0x3F
        if not multiplier:
            raise StampError(_NO_MULTIPLIER)
        return cls(bool(bits >> 15), Clockwork(bits >> 14 & 1), multiplier * 2.0 ** (scale - 32))


class Flag(enum.IntFlag):
    """Of a TLV (RFC 8972 4)."""

    UNRECOGNIZED = 0x80
    MALFORMED = 0x40
    INTEGRITY = 0x20


class Kind(enum.IntEnum):
    """Types of TLV that we know."""

    PADDING = 1
    HMAC = 8
    AGENT = 252  # of the private range: the agent's id, by which a reflector derives its key


_KNOWN: Final = frozenset(Kind)


class Tlv(NamedTuple):
    """One extension."""

    kind: int
    value: bytes
    flags: int = Flag.UNRECOGNIZED

    def encode(self) -> bytes:
        """As it travels."""
        return _TLV.pack(self.flags, self.kind, len(self.value)) + self.value


def tlvs_in(octets: bytes) -> Iterator[Tlv]:
    """The whole TLVs at the beginning of some octets; plain zeros, as TWAMP Light pads, are none."""
    for head, value in _split(octets):
        flags, kind, _ = _TLV.unpack(head)
        yield Tlv(kind, value, flags)


def _split(octets: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + _TLV.size <= len(octets):
        head = octets[place : place + _TLV.size]
        _, kind, length = _TLV.unpack(head)
        end = place + _TLV.size + length
        if not kind or end > len(octets):
            return
        yield head, octets[place + _TLV.size : end]
        place = end


class Request(NamedTuple):
    """A session-sender's packet. `sent` is T1 as it travels, `error` the estimate's bits: a reply repeats both."""

    seq: int
    ssid: int
    sent: bytes
    error: int
    is_signed: bool
    tlvs: bytes = b""

    @property
    def sent_ns(self) -> int:
        """T1."""
        return time_of(self.sent, Clockwork.PTP if self.error & _Z else Clockwork.NTP)

    @property
    def agent(self) -> str:
        """The agent that it names, empty for none."""
        for tlv in tlvs_in(self.tlvs):
            if tlv.kind == Kind.AGENT:
                return tlv.value.decode("ascii", errors="replace")
        return ""


def derive_key(secret: bytes, agent: str) -> bytes:
    """The key of one agent (or of a `ssid-<n>`, for a sender that cannot name itself), from the reflector's secret."""
    return hmac.digest(secret, b"sansang stamp key 1\0" + agent.encode("ascii"), "sha256")


def _mac(key: bytes, octets: bytes) -> bytes:
    return hmac.digest(key, octets, "sha256")[:MAC_BYTES]


def encode_request(
    seq: int,
    sent_ns: int,
    *,
    ssid: int,
    size_bytes: int = 0,
    key: bytes | None = None,
    agent: str = "",
    error: ErrorEstimate = ErrorEstimate(),  # noqa: B008 - a frozen value
) -> bytes:
    """A request, signed when there is a key; padded to `size_bytes` by a TLV, as far as one fits."""
    sent = time_bytes(sent_ns, error.clockwork)
    layout = _REQUEST if key is None else _SIGNED_REQUEST
    base = layout.pack(seq % NUMBERS, sent, error.encode(), ssid)
    if key is not None:
        base += _mac(key, base)
    more = Tlv(Kind.AGENT, agent.encode("ascii")).encode() if agent else b""
    if key is not None and more:
        more += _hmac_tlv(key, base[:4], more, Flag.UNRECOGNIZED)
    room = size_bytes - len(base) - len(more) - _TLV.size
    if room >= 0:
        more += Tlv(Kind.PADDING, bytes(room)).encode()
    return base + more


def _hmac_tlv(key: bytes, seq: bytes, before: bytes, flags: int) -> bytes:
    """The HMAC TLV (RFC 8972 4.8), which signs the number and the TLVs before it."""
    return Tlv(Kind.HMAC, _mac(key, seq + before), flags).encode()


def decode_request(packet: bytes) -> Request:
    """A request of either mode, its signature not yet looked at (`is_genuine`). Raises StampError.

    The modes do not mark themselves: a signed packet has zeros where the other has its time.
    """
    if len(packet) < SHORTEST_BYTES:
        raise StampError(f"{len(packet)} octets are too few")
    is_signed = len(packet) >= AUTHENTICATED_BYTES and not any(packet[_UNUSED_WHEN_SIGNED])
    layout, base_bytes = (_SIGNED_REQUEST, AUTHENTICATED_BYTES) if is_signed else (_REQUEST, BASE_BYTES)
    seq, sent, error, ssid = layout.unpack_from(packet.ljust(BASE_BYTES, b"\0"))
    if not error & _MULTIPLIER:
        raise StampError(_NO_MULTIPLIER)
    return Request(seq, ssid, sent, error, is_signed, packet[base_bytes:])


def is_genuine(packet: bytes, key: bytes) -> bool:
    """Whether a signed packet, of either direction, is by who has the key. Takes as long either way."""
    mac = packet[_SIGNED_BYTES:AUTHENTICATED_BYTES]
    return len(packet) >= AUTHENTICATED_BYTES and hmac.compare_digest(mac, _mac(key, packet[:_SIGNED_BYTES]))


class Reply(NamedTuple):
    """A session-reflector's packet."""

    seq: int
    """Its own count, when the reflector is stateful; else the request's."""
    ssid: int
    sent_ns: int
    error: ErrorEstimate
    received_ns: int
    sender_seq: int
    sender_sent: bytes
    """T1 as the request had it."""
    ttl: int
    """What was left of the request's."""


def reflect(
    packet: bytes,
    request: Request,
    *,
    seq: int,
    received_ns: int,
    sent_ns: int,
    ttl: int = UNKNOWN_TTL,
    error: ErrorEstimate = ErrorEstimate(),  # noqa: B008 - a frozen value
    key: bytes | None = None,
) -> bytes:
    """The reply to a request (`packet` as it came), as long as it; one shorter than 44 octets is answered with 44."""
    received, sent = time_bytes(received_ns, error.clockwork), time_bytes(sent_ns, error.clockwork)
    layout = _SIGNED_REPLY if key is not None else _REPLY
    head = (seq % NUMBERS, sent, error.encode(), request.ssid, received)
    base = layout.pack(*head, request.seq, request.sent, request.error, ttl)
    if key is not None:
        base += _mac(key, base)
    return base + _reflect_tlvs(request.tlvs, packet[:4], base[:4], key)


def _reflect_tlvs(octets: bytes, seq: bytes, reply_seq: bytes, key: bytes | None) -> bytes:
    """The TLVs as a reply carries them: known ones without the U flag, a cut one with M, all with I if forged."""
    before = b""
    spoiled = Flag(0)
    whole = list(_split(octets))
    place = 0
    for head, value in whole:
        _, kind, _ = _TLV.unpack(head)
        if kind == Kind.HMAC and key is not None:
            is_sound = hmac.compare_digest(value, _mac(key, seq + octets[:place]))
            spoiled = Flag(0) if is_sound else Flag.INTEGRITY
        place += len(head) + len(value)
    reflected = bytearray()
    for head, value in whole:
        flags, kind, _ = _TLV.unpack(head)
        is_known = kind in _KNOWN and (kind != Kind.HMAC or key is not None)
        flags = (flags & ~Flag.UNRECOGNIZED if is_known else flags | Flag.UNRECOGNIZED) | spoiled
        before = bytes(reflected)
        if kind == Kind.HMAC and key is not None and len(value) == MAC_BYTES:
            reflected += _hmac_tlv(key, reply_seq, before, flags)
        else:
            reflected += Tlv(kind, value, flags).encode()
    rest = bytearray(octets[place:])
    if len(rest) >= _TLV.size and rest[1]:
        rest[0] |= Flag.MALFORMED
    return bytes(reflected + rest)


def decode_reply(packet: bytes, key: bytes | None = None) -> Reply:
    """A reply of the mode that the key says. Raises StampError, also when it is forged."""
    if key is not None and not is_genuine(packet, key):
        raise StampError("a reply without the right signature")
    if len(packet) < BASE_BYTES:
        raise StampError(f"{len(packet)} octets are too few")
    layout = _REPLY if key is None else _SIGNED_REPLY
    seq, sent, error, ssid, received, sender_seq, sender_sent, _, ttl = layout.unpack_from(packet)
    estimate = ErrorEstimate.decode(error)
    return Reply(
        seq=seq,
        ssid=ssid,
        sent_ns=time_of(sent, estimate.clockwork),
        error=estimate,
        received_ns=time_of(received, estimate.clockwork),
        sender_seq=sender_seq,
        sender_sent=sender_sent,
        ttl=ttl,
    )
