"""The messages by which an agent and a reflector find out whether a line carries a bitrate: built, signed, read.

Each message is signed by the agent's key (`contract.stamp.derive_key`). Times are nanoseconds of the sender's own
steady clock, whatever its beginning.
"""

import enum
import hmac
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from contract.datagram import HEADERS_BYTES

MAGIC: Final = b"SSB1"
MAC_BYTES: Final = 16
WINDOW_NS: Final = 100_000_000
"""Packets are counted by tenths of a second of their sender's clock."""
REPORT_NS: Final = 200_000_000
"""The reflector reports so often, asked or not: in a full queue pulses are lost."""
REPORTED_COUNT: Final = 16
"""So many windows, the latest, are in each report, so that a lost one is made up for."""
ASK_BYTES: Final = 160
"""Of the messages before it is proved where the agent is: each answer is as long as its question."""
SHORTEST_BYTES: Final = 160
LONGEST_BYTES: Final = 1200
_PACKETS_PER_S: Final = 50
_BITS: Final = 8

_HEAD: Final = struct.Struct("!4sBBHQ")  # magic, kind, code, length of what is not padding, session
_ASK: Final = struct.Struct("!8s16sQ32sIIH")  # nonce, cookie, sent, agent, up and down in bit/s, seconds * 10
_DATA: Final = struct.Struct("!IQ")  # number, sent
_PULSE: Final = struct.Struct("!Q")  # sent
_REPORT: Final = struct.Struct("!QQIH")  # the pulse's time, how long it was held, received in all, first window
_WINDOW: Final = struct.Struct("!HiI")  # received, shortest delay / 10 us, highest number
_BODY_AT: Final = _HEAD.size + MAC_BYTES
_DELAY_UNIT_NS: Final = 10_000
_DELAY_MOST: Final = (1 << 31) - 1


class StreamError(ValueError):
    """A message that is none of ours, or forged."""


class Kind(enum.IntEnum):
    """What a message says."""

    HELLO = 1  # agent: I would like to
    CHALLENGE = 2  # reflector: prove that you hear this
    START = 3  # agent: I do; begin
    REFUSED = 4  # reflector: not now (code says why)
    DATA = 5  # either: one packet of the stream
    PULSE = 6  # agent, ten times a second: I am still here (code says which streams are decided)
    REPORT = 7  # reflector, five times a second: your last pulse, and what has come of your stream


class Why(enum.IntEnum):
    """Of REFUSED."""

    BUSY = 1  # others measure
    SPENT = 2  # this agent's bytes of the day, or all of the hour's, are spent
    TOO_FAST = 3  # a bitrate beyond what the reflector was told to give


UP_DECIDED: Final = 1
DOWN_DECIDED: Final = 2


class Message(NamedTuple):
    """What all have in common, and the rest as it came."""

    kind: Kind
    code: int
    session: int
    body: bytes


def encode(key: bytes, kind: Kind, session: int, body: bytes, *, code: int = 0, size_bytes: int = 0) -> bytes:
    """A signed message, padded with zeros."""
    head = _HEAD.pack(MAGIC, kind, code, len(body), session)
    padded = body.ljust(size_bytes - _BODY_AT, b"\0")
    return head + _mac(key, head + padded) + padded


def _mac(key: bytes, octets: bytes) -> bytes:
    return hmac.digest(key, octets, "sha256")[:MAC_BYTES]


def peek(packet: bytes) -> Message:
    """A message whose signature was not looked at yet. Raises StreamError."""
    if len(packet) < _BODY_AT or packet[:4] != MAGIC:
        raise StreamError("not a message of ours")
    _, kind, code, length, session = _HEAD.unpack_from(packet)
    if length > len(packet) - _BODY_AT or kind not in frozenset(Kind):
        raise StreamError("not a message of ours")
    return Message(Kind(kind), code, session, packet[_BODY_AT : _BODY_AT + length])


def is_genuine(packet: bytes, key: bytes) -> bool:
    """Whether it is by who has the key."""
    return hmac.compare_digest(packet[_HEAD.size : _BODY_AT], _mac(key, packet[: _HEAD.size] + packet[_BODY_AT:]))


def is_ours(packet: bytes) -> bool:
    """Whether it may be such a message, and not STAMP."""
    return packet.startswith(MAGIC)


class Ask(NamedTuple):
    """Of HELLO and CHALLENGE (`cookie` is the answer's), and of START, which repeats it."""

    nonce: bytes
    agent: str
    sent_ns: int
    up_bps: int
    down_bps: int
    longest_s: float
    cookie: bytes = bytes(16)

    def encode(self) -> bytes:
        """The body."""
        agent = self.agent.encode("ascii")
        return _ASK.pack(
            self.nonce, self.cookie, self.sent_ns, agent, self.up_bps, self.down_bps, round(self.longest_s * 10)
        )

    @classmethod
    def decode(cls, body: bytes) -> "Ask":
        """Raises StreamError."""
        try:
            nonce, cookie, sent_ns, agent, up_bps, down_bps, tenths = _ASK.unpack(body)
            return cls(nonce, agent.rstrip(b"\0").decode("ascii"), sent_ns, up_bps, down_bps, tenths / 10, cookie)
        except (struct.error, UnicodeDecodeError) as error:
            raise StreamError(f"no question of ours: {error}") from None


class Data(NamedTuple):
    """One packet of a stream."""

    seq: int
    sent_ns: int

    def encode(self) -> bytes:
        """The body."""
        return _DATA.pack(*self)

    @classmethod
    def decode(cls, body: bytes) -> "Data":
        """Raises StreamError."""
        try:
            return cls(*_DATA.unpack(body))
        except struct.error as error:
            raise StreamError(f"no packet of a stream: {error}") from None


def encode_pulse(sent_ns: int) -> bytes:
    """The body of a PULSE."""
    return _PULSE.pack(sent_ns)


def decode_pulse(body: bytes) -> int:
    """Raises StreamError."""
    try:
        return int(_PULSE.unpack(body)[0])
    except struct.error as error:
        raise StreamError(f"no pulse: {error}") from None


class Window(NamedTuple):
    """A tenth of a second of a stream, as it arrived. Delays are above that of the first packet that came."""

    received: int
    delay_ns: int
    """The shortest."""
    top_seq: int


class Report(NamedTuple):
    """Of REPORT."""

    pulse_ns: int
    held_ns: int
    received: int
    first: int
    """Number of the first of `windows`."""
    windows: tuple[Window, ...]

    def encode(self) -> bytes:
        """The body."""
        return _REPORT.pack(self.pulse_ns, self.held_ns, self.received, self.first) + b"".join(
            _WINDOW.pack(
                min(one.received, 0xFFFF),
                max(-_DELAY_MOST, min(one.delay_ns // _DELAY_UNIT_NS, _DELAY_MOST)),
                one.top_seq,
            )
            for one in self.windows
        )

    @classmethod
    def decode(cls, body: bytes) -> "Report":
        """Raises StreamError."""
        try:
            pulse_ns, held_ns, received, first = _REPORT.unpack_from(body)
            found = list(_WINDOW.iter_unpack(body[_REPORT.size :]))
        except struct.error as error:
            raise StreamError(f"no report: {error}") from None
        windows = tuple(Window(count, delay * _DELAY_UNIT_NS, top) for count, delay, top in found)
        return cls(pulse_ns, held_ns, received, first, windows)


class Tally:
    """What has come of one stream, by windows of its sender's clock. A repeat counts once, if it comes soon."""

    def __init__(self, longest_s: float) -> None:
        self._most = int(longest_s * 1e9) // WINDOW_NS + 20
        self._first_delay_ns: int | None = None
        self._began_ns = 0
        self._seen: set[int] = set()
        self.windows: list[Window] = []
        self.received = 0
        self.top_seq = -1
        self.span_ns = 0
        """Between the first and the last sent of what came."""

    def add(self, data: Data, received_ns: int, *, interval_ns: float) -> None:
        """One packet. `interval_ns` between two tells when the first was sent, should that one be lost."""
        if data.seq in self._seen:
            return
        delay_ns = received_ns - data.sent_ns
        if self._first_delay_ns is None:
            self._first_delay_ns = delay_ns
            self._began_ns = data.sent_ns - round(data.seq * interval_ns)
        place = (data.sent_ns - self._began_ns) // WINDOW_NS
        if not 0 <= place < self._most:
            return
        self._seen.add(data.seq)
        while len(self.windows) <= place:
            self.windows.append(Window(0, 0, max(0, self.top_seq)))
        delay_ns -= self._first_delay_ns
        one = self.windows[place]
        shortest_ns = min(one.delay_ns, delay_ns) if one.received else delay_ns
        self.windows[place] = Window(one.received + 1, shortest_ns, max(one.top_seq, data.seq))
        self.received += 1
        self.top_seq = max(self.top_seq, data.seq)
        self.span_ns = max(self.span_ns, data.sent_ns - self._began_ns)

    def report(self, pulse_ns: int, held_ns: int) -> Report:
        """The latest windows."""
        first = max(0, len(self.windows) - REPORTED_COUNT)
        return Report(pulse_ns, held_ns, self.received, first, tuple(self.windows[first:]))


def packet_bytes(bps: float) -> int:
    """How long a stream's packets are: at least fifty a second, and none that a line must cut."""
    return max(SHORTEST_BYTES, min(LONGEST_BYTES, int(bps / _BITS / _PACKETS_PER_S) - HEADERS_BYTES))


def interval_s(bps: float) -> float:
    """Between two packets of a stream, the bitrate being the line's: with IP and UDP around each."""
    return (packet_bytes(bps) + HEADERS_BYTES) * _BITS / bps


def merged(known: Sequence[Window], report: Report) -> list[Window]:
    """All windows so far, with what a report says of the latest; one that no report told of is empty."""
    windows = list(known[: report.first])
    while len(windows) < report.first:
        windows.append(Window(0, 0, windows[-1].top_seq if windows else 0))
    return windows + list(report.windows)
