"""The topic, which alone says who speaks."""

from typing import Final

from collector.inlet import BadArrival, read_arrival
from contract import names
from contract.names import parse_topic

WORDS: Final = (b"sansang/v1/", b"/up/batch", b"/up/state", b"/down/ack", b"/down/plan", b"/", b"\n", b"+", b"#", b"..")


def inputs() -> list[bytes]:
    return [
        b"sansang/v1/dongvan-01/up/batch",
        b"sansang/v1/dongvan-01/up/state",
        b"sansang/v1/dongvan-01/down/ack",
        b"sansang/v1/abc/down/plan",
        b"$SYS/broker/uptime",
    ]


def take(data: bytes) -> bool:
    text = data.decode("utf-8", "surrogateescape")
    topic = parse_topic(text)
    if topic is not None:
        assert str(topic) == text
        assert names.is_id(topic.agent)
        assert text.isascii()
        assert "\n" not in text
    arrival = read_arrival(text, b"", retained=False, arrived_s=1.8e9)
    assert isinstance(arrival, BadArrival)
    names.role_of(text)
    if names.is_tag(text):
        assert len(text) <= 64
        assert "\\" not in text
    return topic is not None
