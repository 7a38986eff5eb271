"""What the reflector streams, and to whom: its core, the clock turned by hand."""

from typing import Any

import pytest

from collector.media.reflecting import Keys, Refused
from collector.media.streaming import Answer, StreamLimits, Streams
from contract import stamp, stream
from contract.stream import Ask, Data, Kind, Report, Why

SECRET = b"a secret of the tests"
HOME = ("198.51.100.7", 40_000)
ELSEWHERE = ("203.0.113.9", 40_000)
SECOND_NS = 1_000_000_000
KEY = stamp.derive_key(SECRET, "pc-1")


class Centre:
    """The streams, and a clock."""

    def __init__(self, **limits: Any) -> None:
        self.streams = Streams(Keys(SECRET), StreamLimits(**limits))
        self.now_ns = 1000 * SECOND_NS

    def hear(self, packet: bytes, source: tuple[str, int] = HOME) -> Answer | Refused | None:
        return self.streams.take(packet, source, received_ns=self.now_ns, now_ns=self.now_ns)

    def challenge(self, ask: Ask, source: tuple[str, int] = HOME) -> bytes:
        answer = self.hear(question(Kind.HELLO, ask), source)
        assert isinstance(answer, Answer)
        message = stream.peek(answer.packet)
        assert (message.kind, len(answer.packet), answer.source) == (Kind.CHALLENGE, stream.ASK_BYTES, source)
        return Ask.decode(message.body).cookie

    def start(self, ask: Ask) -> stream.Message:
        """What a proven question is answered."""
        answer = self.hear(question(Kind.START, ask._replace(cookie=self.challenge(ask))))
        assert isinstance(answer, Answer)
        assert stream.is_genuine(answer.packet, key_of(ask.agent))
        return stream.peek(answer.packet)

    def sent(self, seconds: float, session: int | None = None, *, decided: int = 0) -> list[stream.Message]:
        """All that goes out in some seconds, in which an agent pulses if its session is given."""
        messages = []
        for step in range(round(seconds * 1000)):
            self.now_ns += 1_000_000
            if session is not None and step % 100 == 0:
                body = stream.encode_pulse(self.now_ns)
                self.hear(stream.encode(KEY, Kind.PULSE, session, body, code=decided))
            messages += [stream.peek(answer.packet) for answer in self.streams.due(self.now_ns)]
        return messages


def key_of(agent: str) -> bytes:
    return stamp.derive_key(SECRET, agent)


def asked(agent: str = "pc-1", *, nonce: int = 1, bps: int = 2_000_000) -> Ask:
    return Ask(nonce.to_bytes(8), agent, 5, bps, bps, 5.0)


def question(kind: Kind, ask: Ask) -> bytes:
    return stream.encode(key_of(ask.agent), kind, 0, ask.encode(), size_bytes=stream.ASK_BYTES)


def data_in(messages: list[stream.Message]) -> list[Data]:
    return [Data.decode(message.body) for message in messages if message.kind is Kind.DATA]


def test_a_question_that_proves_its_address_gets_its_stream_evenly() -> None:
    centre = Centre()
    begun = centre.start(asked())
    assert begun.kind is Kind.REPORT
    found = data_in(centre.sent(2.0, begun.session))
    assert len(found) == pytest.approx(2.0 / stream.interval_s(2e6), abs=2)
    assert [one.seq for one in found] == list(range(len(found)))


def test_nothing_is_streamed_to_whoever_cannot_prove_the_address() -> None:
    centre = Centre()
    ask = asked()
    cookie = centre.challenge(ask, HOME)
    assert centre.hear(question(Kind.START, ask._replace(cookie=cookie)), ELSEWHERE) is Refused.REPLAYED
    assert centre.hear(question(Kind.START, ask)) is Refused.REPLAYED
    assert centre.sent(1.0) == []


def test_a_revoked_agent_is_streamed_nothing() -> None:
    centre = Centre()
    centre.streams = Streams(Keys(SECRET, {"pc-1"}.__contains__), StreamLimits())
    assert centre.hear(question(Kind.HELLO, asked())) is Refused.REVOKED
    assert isinstance(centre.hear(question(Kind.HELLO, asked("pc-2"))), Answer)


def test_a_proof_is_good_for_a_few_seconds_only() -> None:
    centre = Centre()
    ask = asked()
    proven = question(Kind.START, ask._replace(cookie=centre.challenge(ask)))
    centre.now_ns += 21 * SECOND_NS
    assert centre.hear(proven) is Refused.REPLAYED


def test_no_answer_before_the_proof_is_longer_than_its_question() -> None:
    centre = Centre()
    for size_bytes in range(0, stream.ASK_BYTES, 7):
        packet = stream.encode(KEY, Kind.HELLO, 0, asked().encode(), size_bytes=size_bytes)
        answer = centre.hear(packet)
        assert not isinstance(answer, Answer) or len(answer.packet) <= len(packet)


def test_one_bit_flipped_anywhere_is_refused() -> None:
    centre = Centre()
    packet = question(Kind.HELLO, asked())
    for bit in range(len(packet) * 8):
        spoilt = bytearray(packet)
        spoilt[bit // 8] ^= 1 << bit % 8
        assert isinstance(centre.hear(bytes(spoilt)), Refused), bit


def test_a_stream_ends_within_a_second_of_its_agents_silence() -> None:
    centre = Centre()
    begun = centre.start(asked())
    centre.sent(1.0, begun.session)
    assert len(data_in(centre.sent(3.0))) <= 1.0 / stream.interval_s(2e6) + 1
    assert centre.sent(2.0) == []


def test_a_stream_ends_with_its_time_whatever_the_agent_says() -> None:
    centre = Centre()
    begun = centre.start(asked())
    assert len(data_in(centre.sent(20.0, begun.session))) <= 5.0 / stream.interval_s(2e6) + 1


def test_a_stream_that_is_decided_ends_at_once() -> None:
    centre = Centre()
    begun = centre.start(asked())
    centre.sent(0.5, begun.session)
    assert data_in(centre.sent(2.0, begun.session, decided=stream.DOWN_DECIDED))[1:] == []


def test_what_came_is_reported_by_tenths_of_a_second_and_a_repeat_counts_once() -> None:
    centre = Centre()
    begun = centre.start(asked())
    for seq in [*range(0, 40, 2), 38, 38]:
        sent_ns = 7_000 + round(seq * stream.interval_s(2e6) * 1e9)
        packet = stream.encode(KEY, Kind.DATA, begun.session, Data(seq, sent_ns).encode(), size_bytes=1200)
        assert centre.hear(packet) is None
    reports = [Report.decode(one.body) for one in centre.sent(0.3, begun.session) if one.kind is Kind.REPORT]
    assert reports[-1].received == 20
    assert sum(window.received for window in reports[-1].windows) == 20
    assert reports[-1].windows[-1].top_seq == 38


def test_a_session_is_deaf_to_others() -> None:
    centre = Centre()
    begun = centre.start(asked())
    pulse = stream.encode(KEY, Kind.PULSE, begun.session, stream.encode_pulse(1))
    assert centre.hear(pulse, ELSEWHERE) is Refused.UNKNOWN
    forged = stream.encode(key_of("pc-2"), Kind.PULSE, begun.session, stream.encode_pulse(1))
    assert centre.hear(forged) is Refused.FORGED


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"at_once": 0}, Why.BUSY),
        ({"most_bps": 1e6}, Why.TOO_FAST),
        ({"agent_bytes_per_day": 1_000_000.0}, Why.SPENT),
        ({"total_bytes_per_hour": 1_000_000.0}, Why.SPENT),
    ],
    ids=["places", "bitrate", "the agent's day", "everybody's hour"],
)
def test_what_is_beyond_the_limits_is_refused_with_its_reason(limits: dict[str, Any], why: Why) -> None:
    refused = Centre(**limits).start(asked())
    assert (refused.kind, refused.code) == (Kind.REFUSED, why)


def test_a_repeated_question_begins_no_second_stream() -> None:
    centre = Centre(at_once=1)
    first, again = centre.start(asked()), centre.start(asked())
    assert first.session == again.session
    assert centre.streams.running_count == 1


def test_an_agent_that_asks_anew_gives_its_last_test_up() -> None:
    centre = Centre(at_once=1)
    first = centre.start(asked())
    second = centre.start(asked(nonce=2))
    assert (second.kind, second.session == first.session) == (Kind.REPORT, False)
    assert {one.session for one in centre.sent(1.0, second.session)} == {second.session}


def test_what_a_test_did_not_use_is_given_back() -> None:
    centre = Centre(agent_bytes_per_day=4_000_000.0)
    for nonce in range(1, 30):
        begun = centre.start(asked(nonce=nonce))
        if begun.kind is Kind.REFUSED:
            break
        centre.sent(0.2, begun.session)
        centre.sent(3.0, begun.session, decided=stream.UP_DECIDED | stream.DOWN_DECIDED)
        centre.sent(3.0)
    # Reserved whole, two would fit into a day; each used 50 kB.
    assert nonce > 10


def test_ended_sessions_are_forgotten() -> None:
    centre = Centre(at_once=1000)
    for number in range(50):
        centre.start(asked(f"pc-{number}"))
    assert centre.streams.running_count == 50
    centre.sent(4.0)
    assert centre.streams.running_count == 0
    assert centre.streams.next_ns(centre.now_ns) is None
