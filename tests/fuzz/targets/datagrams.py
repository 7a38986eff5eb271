"""Test packets, which anybody may send: a reflector answers with no more than came, or refuses; an agent bears them."""

import contextlib
from typing import Final

from collector.media.reflecting import Keys, Limits, Reflector, Refused
from collector.media.streaming import Answer, StreamLimits, Streams
from contract import stamp, stream
from contract.stream import Ask, Data, Kind, Report, StreamError, Tally

AGENT: Final = "dongvan-01"
KEYS: Final = Keys(b"secret" * 6)
SOURCE: Final = ("192.0.2.1", 40_000)
WALL_NS: Final = 1_795_500_000 * 1_000_000_000
NOW_NS: Final = 5_000_000_000
WORDS: Final = (
    b"\xfc\x00\x0a",
    b"\x08\x00\x10",
    b"\x01\x00\x00",
    stream.MAGIC,
    b"\x00\x01",
    b"\xff\xff\xff\xff",
    b"\x80\x00",
)
_ASK: Final = Ask(b"n" * 16, AGENT, 1, 1_000_000, 1_000_000, 5.0)


def inputs() -> list[bytes]:
    """The first letter says whether the rest is signed (`s`), after it was spoilt, by who may sign."""
    key = KEYS.of(AGENT)
    report = Tally(5.0).report(1, 2)
    good = [
        stamp.encode_request(1, WALL_NS, ssid=7, size_bytes=200),
        stamp.encode_request(2, WALL_NS, ssid=9, size_bytes=200, key=key, agent=AGENT),
        stream.encode(key, Kind.HELLO, 0, _ASK.encode(), size_bytes=stream.ASK_BYTES),
        stream.encode(key, Kind.START, 0, _ASK.encode(), size_bytes=stream.ASK_BYTES),
        stream.encode(key, Kind.DATA, session(), Data(3, 4).encode(), size_bytes=200),
        stream.encode(key, Kind.PULSE, session(), stream.encode_pulse(5)),
        stream.encode(key, Kind.REPORT, session(), report.encode()),
    ]
    return [letter + packet for packet in good for letter in (b"s", b"p")]


def take(data: bytes) -> bool:
    packet = signed(data[1:]) if data[:1] == b"s" else data[1:]
    hear_as_agent(packet)
    if stream.is_ours(packet):
        found = STREAMS.take(packet, SOURCE, received_ns=NOW_NS, now_ns=NOW_NS)
        assert not isinstance(found, Answer) or len(found.packet) <= len(packet)
        assert STREAMS.running_count <= LIMITS.at_once
        return not isinstance(found, Refused)
    reflector = Reflector(KEYS, ssids=(7,), limits=Limits(), wall_ns=lambda: WALL_NS)
    assert reflector.admits(SOURCE[0], 1.0)
    answer = reflector.answer(packet, SOURCE, received_ns=WALL_NS, ttl=64, at_s=1.0)
    if isinstance(answer, Refused):
        return False
    assert len(answer) <= max(len(packet), stamp.BASE_BYTES)
    return True


def signed(packet: bytes) -> bytes:
    """With the right signature in its place: what is behind it must bear anything that an agent may send."""
    key = KEYS.of(AGENT)
    if stream.is_ours(packet):
        head, rest = packet[: stream._HEAD.size], packet[stream._BODY_AT :]
        return head + stream._mac(key, head + rest) + rest
    if len(packet) < stamp.AUTHENTICATED_BYTES:
        return packet
    head, rest = packet[: stamp._SIGNED_BYTES], packet[stamp.AUTHENTICATED_BYTES :]
    return head + stamp._mac(key, head) + rest


def hear_as_agent(packet: bytes) -> None:
    for key in (None, KEYS.of(AGENT)):
        with contextlib.suppress(stamp.StampError):
            stamp.decode_reply(packet, key)
    with contextlib.suppress(StreamError):
        message = stream.peek(packet)
        if message.kind is Kind.REPORT:
            Report.decode(message.body)
        elif message.kind is Kind.CHALLENGE:
            Ask.decode(message.body)
        elif message.kind is Kind.DATA:
            Tally(5.0).add(Data.decode(message.body), NOW_NS, interval_ns=1e7)


LIMITS: Final = StreamLimits()
STREAMS: Final = Streams(KEYS, LIMITS)


def session() -> int:
    """The number of a session that runs."""
    key = KEYS.of(AGENT)
    hello = stream.encode(key, Kind.HELLO, 0, _ASK.encode(), size_bytes=stream.ASK_BYTES)
    challenge = STREAMS.take(hello, SOURCE, received_ns=NOW_NS, now_ns=NOW_NS)
    assert isinstance(challenge, Answer)
    cookie = Ask.decode(stream.peek(challenge.packet).body).cookie
    start = stream.encode(key, Kind.START, 0, _ASK._replace(cookie=cookie).encode(), size_bytes=stream.ASK_BYTES)
    begun = STREAMS.take(start, SOURCE, received_ns=NOW_NS, now_ns=NOW_NS)
    assert isinstance(begun, Answer)
    return stream.peek(begun.packet).session
