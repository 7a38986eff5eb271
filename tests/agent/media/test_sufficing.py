"""When it is certain whether a bitrate fits: streams over model lines, in virtual time."""

import random
from typing import NamedTuple

import pytest

from agent.media.sufficing import HOLDS_FROM_COUNT, NARROW_FROM_COUNT, Answer, Found, decide
from contract import stream
from contract.datagram import HEADERS_BYTES
from contract.stream import Data, Report, Tally
from tests.support.udp_relay import Link, Steady

BPS = 2e6
LONGEST_S = 5.0


class Decided(NamedTuple):
    found: Found
    after_s: float


def send(link: Link, *, bps: float = BPS, jitter_s: float = 0.0, seed: int = 0, pace: float = 1.0) -> Decided:
    """Send a stream over a link until it is decided, looking each tenth of a second as the agent does."""
    chance = random.Random(seed)
    tally = Tally(LONGEST_S)
    interval_s = stream.interval_s(bps)
    size_bytes = stream.packet_bytes(bps) + HEADERS_BYTES
    looked_s = 0.0
    for seq in range(int(LONGEST_S / interval_s)):
        sent_s = seq * interval_s / pace
        if sent_s > LONGEST_S:
            break
        arrives_ns = link.arrives_ns(round(sent_s * 1e9), size_bytes)
        if arrives_ns is not None:
            came_ns = arrives_ns + round(chance.expovariate(1 / jitter_s) * 1e9 if jitter_s else 0)
            tally.add(Data(seq, round(sent_s * 1e9)), came_ns, interval_ns=interval_s * 1e9)
        if sent_s - looked_s >= 0.1:
            looked_s = sent_s
            found = decide(tally.windows, bps, interval_s, received=tally.received)
            if found.answer is not Answer.OPEN:
                return Decided(found, sent_s)
    return Decided(decide(tally.windows, bps, interval_s, received=tally.received, is_over=True), LONGEST_S)


@pytest.mark.parametrize("bps", [0.15e6, 1e6, 2e6, 4e6])
@pytest.mark.parametrize("queue_s", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.9, 1.1, 1.3, 5.0])
def test_a_line_is_told_from_its_bitrate_whatever_it_loses_by_chance(share: float, queue_s: float, bps: float) -> None:
    wrong = []
    for seed in range(24):
        loss = (0.0, 0.01, 0.03, 0.05)[seed % 4]
        capacity = share * bps
        queue_bytes = max(3000, int(capacity * queue_s / 8))
        link = Steady(bps=capacity, queue_bytes=queue_bytes, delay_s=0.05, loss=loss, seed=seed)
        decided = send(link, bps=bps, jitter_s=0.003, seed=seed)
        if decided.found.answer is not (Answer.HOLDS if share > 1 else Answer.NARROW):
            wrong.append((loss, decided))
    assert len(wrong) <= 1, wrong


def test_a_line_without_limit_holds_after_two_seconds() -> None:
    decided = send(Steady(loss=0.01))
    assert (decided.found.answer, decided.found.bps) == (Answer.HOLDS, BPS)
    assert decided.after_s == pytest.approx(HOLDS_FROM_COUNT / 10, abs=0.3)


def test_a_line_far_too_narrow_is_told_after_one_second() -> None:
    decided = send(Steady(bps=0.3e6, queue_bytes=20_000))
    assert decided.found.answer is Answer.NARROW
    assert decided.found.bps == pytest.approx(0.3e6, rel=0.15)
    assert decided.after_s == pytest.approx(NARROW_FROM_COUNT / 10, abs=0.4)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_what_came_through_is_the_lines_bitrate(share: float) -> None:
    assert send(Steady(bps=share * BPS)).found.bps == pytest.approx(share * BPS, rel=0.1)


def test_a_policer_that_keeps_nobody_waiting_is_told_by_its_loss() -> None:
    decided = send(Steady(bps=0.8 * BPS, queue_bytes=2_500))
    assert decided.found.answer is Answer.NARROW


def test_a_burst_let_through_at_first_deceives_nobody() -> None:
    class Shaper(Steady):
        """Lets the first 100 kB pass at once."""

        credit_bytes = 100_000

        def arrives_ns(self, at_ns: int, size_bytes: int) -> int | None:
            if self.credit_bytes > 0:
                self.credit_bytes -= size_bytes
                return at_ns
            return super().arrives_ns(at_ns, size_bytes)

    assert send(Shaper(bps=BPS / 2)).found.answer is Answer.NARROW


def test_a_short_disturbance_is_no_narrow_line() -> None:
    class Disturbed(Steady):
        """Holds everything back for 150 ms, once."""

        def arrives_ns(self, at_ns: int, size_bytes: int) -> int | None:
            out_ns = super().arrives_ns(at_ns, size_bytes)
            is_held = 1_000_000_000 <= at_ns < 1_150_000_000
            return max(out_ns, 1_150_000_000) if out_ns is not None and is_held else out_ns

    assert send(Disturbed(bps=2 * BPS)).found.answer is Answer.HOLDS


def test_a_sender_that_did_not_keep_up_proves_nothing() -> None:
    assert send(Steady(), pace=0.7).found.answer is Answer.OPEN


def test_nothing_received_decides_nothing() -> None:
    assert decide([], BPS, 0.005, received=0, is_over=True).answer is Answer.OPEN
    assert send(Steady(loss=1.0)).found.answer is Answer.OPEN


def test_reports_that_were_lost_on_the_way_are_made_up_for() -> None:
    link, interval_s = Steady(bps=3e6, loss=0.05, seed=3), stream.interval_s(BPS)
    tally = Tally(LONGEST_S)
    windows: list[stream.Window] = []
    received = 0
    for seq in range(900):
        sent_ns = round(seq * interval_s * 1e9)
        came_ns = link.arrives_ns(sent_ns, 1228)
        if came_ns is not None:
            tally.add(Data(seq, sent_ns), came_ns, interval_ns=interval_s * 1e9)
        if seq % 300 == 299:  # one report in a second and a half, and all others lost
            report = Report.decode(tally.report(1, 2).encode())
            windows, received = stream.merged(windows, report), report.received
    told = decide(windows, BPS, interval_s, received=received)
    known = decide(tally.windows, BPS, interval_s, received=tally.received)
    assert told.answer is known.answer
    assert told.loss_ratio == pytest.approx(known.loss_ratio)
