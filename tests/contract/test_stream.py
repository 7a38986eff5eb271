"""The messages of the bitrate test: they come back as they went, and count what they should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import stream
from contract.stream import Ask, Data, Kind, Report, StreamError, Tally, Window

KEY = b"k" * 32

u64 = st.integers(0, (1 << 64) - 1)
u32 = st.integers(0, (1 << 32) - 1)
windows = st.lists(
    st.builds(Window, st.integers(0, 0xFFFF), st.integers(-(10**13), 10**13).map(lambda n: n // 10_000 * 10_000), u32),
    max_size=stream.REPORTED_COUNT,
)


@given(st.builds(Report, u64, u64, u32, st.integers(0, 0xFFFF), windows.map(tuple)))
def test_a_report_comes_back_as_it_went(report: Report) -> None:
    assert Report.decode(report.encode()) == report


@given(st.binary(min_size=8, max_size=8), st.from_regex(r"\A[a-z0-9][a-z0-9-]{2,31}\Z"), u64, u32, u32)
def test_a_question_comes_back_as_it_went(nonce: bytes, agent: str, sent_ns: int, up: int, down: int) -> None:
    ask = Ask(nonce, agent, sent_ns, up, down, 5.0)
    assert Ask.decode(ask.encode()) == ask


@given(st.sampled_from(Kind), u64, st.binary(max_size=300), st.integers(0, 400), st.integers(0, 255))
def test_a_message_comes_back_as_it_went_without_its_padding(
    kind: Kind, session: int, body: bytes, size: int, code: int
) -> None:
    packet = stream.encode(KEY, kind, session, body, code=code, size_bytes=size)
    assert stream.is_genuine(packet, KEY)
    assert stream.peek(packet) == (kind, code, session, body)


@given(st.binary(max_size=400))
def test_whatever_comes_is_a_message_or_none(packet: bytes) -> None:
    for octets in (packet, stream.MAGIC + packet):
        try:
            message = stream.peek(octets)
        except StreamError:
            continue
        assert len(message.body) <= len(octets)
        assert not stream.is_genuine(octets, KEY)


def test_a_delay_beyond_all_measure_is_cut_and_breaks_nothing() -> None:
    report = Report(1, 2, 3, 0, (Window(70_000, 10**18, 5), Window(1, -(10**18), 6)))
    cut = Report.decode(report.encode())
    assert [one.received for one in cut.windows] == [0xFFFF, 1]
    assert cut.windows[0].delay_ns == -cut.windows[1].delay_ns == ((1 << 31) - 1) * 10_000


def test_the_first_packet_lost_moves_no_window() -> None:
    whole, late = Tally(5.0), Tally(5.0)
    for seq in range(100):
        data = Data(seq, 1_000 + seq * 5_000_000)
        whole.add(data, data.sent_ns + 7, interval_ns=5e6)
        if seq >= 10:
            late.add(data, data.sent_ns + 7, interval_ns=5e6)
    assert len(whole.windows) == len(late.windows) == 5
    assert whole.windows[1:] == late.windows[1:]
    assert late.windows[0].received == whole.windows[0].received - 10


@pytest.mark.parametrize("data", [Data(5, 10**18), Data(5, 0)], ids=["long after", "long before"])
def test_what_lies_outside_of_the_test_is_not_counted(data: Data) -> None:
    tally = Tally(5.0)
    tally.add(Data(100, 10**15), 10**15, interval_ns=5e6)
    tally.add(data, 10**15, interval_ns=5e6)
    assert tally.received == 1


@pytest.mark.parametrize("bps", [0.1e6, 0.15e6, 1e6, 2e6, 10e6])
def test_a_stream_is_of_its_bitrate_in_at_least_some_packets_a_second(bps: float) -> None:
    a_second = 1 / stream.interval_s(bps)
    assert (stream.packet_bytes(bps) + 28) * 8 * a_second == pytest.approx(bps)
    assert a_second >= 50
    assert stream.SHORTEST_BYTES <= stream.packet_bytes(bps) <= stream.LONGEST_BYTES
