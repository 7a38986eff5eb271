"""Recorded lines, replayed in virtual time: what bursts and streams over them say, and how a room is then judged.

The traces lie where SANSANG_TRACES says, and are not ours to copy.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from agent.media.burst import Echo, figures
from agent.media.streaming import Result
from agent.media.sufficing import Answer, Found, decide
from agent.probe import Values
from agent.probes.sufficiency import Sufficiency, values_of
from agent.taking import sound
from contract import stream
from contract.datagram import HEADERS_BYTES
from contract.reading import Reading
from contract.stream import Data, Tally
from readiness.judge import judge
from readiness.profile import default_profiles
from readiness.state import RoomState
from readiness.verdict import Level, Verdict
from tests.support.reflector import Reflecting
from tests.support.udp_relay import Link, Steady, Traced, UdpRelay, moments_of_rates, read_moments

TRACES: Final = Path(os.environ.get("SANSANG_TRACES", ""))
pytestmark = pytest.mark.skipif("SANSANG_TRACES" not in os.environ, reason="SANSANG_TRACES names no folder of traces")
PROFILES: Final = default_profiles()
NOW_S: Final = 1_763_951_400.0
MINUTE_NS: Final = 60_000_000_000
TARGET: Final = "lesson.centre"


def burst_at(at_ns: int, up: Link, down: Link) -> Values:
    """The stamp probe's figures of the usual burst, begun at a time."""
    echoes = []
    order = []
    for seq in range(1000):
        sent_ns = at_ns + seq * 20_000_000
        there_ns = up.arrives_ns(sent_ns, 200 + HEADERS_BYTES)
        echoes.append(Echo(seq, sent_ns))
        if there_ns is not None:
            order.append((there_ns, seq))
    came = []
    for count, (there_ns, seq) in enumerate(sorted(order)):
        back_ns = down.arrives_ns(there_ns, 200 + HEADERS_BYTES)
        if back_ns is not None:
            came.append((back_ns, seq, there_ns, count))
    for place, (back_ns, seq, there_ns, count) in enumerate(sorted(came)):
        echoes[seq] = Echo(seq, echoes[seq].sent_ns, there_ns, there_ns, back_ns, count, place)
    return sound(figures(echoes, timeout_s=2.0, interval_s=0.02, is_stateful=True))


def stream_at(at_ns: int, link: Link, bps: float) -> Found:
    """What is decided of a stream over one direction."""
    tally, interval_s = Tally(5.0), stream.interval_s(bps)
    for seq in range(int(5.0 / interval_s)):
        sent_ns = at_ns + round(seq * interval_s * 1e9)
        came_ns = link.arrives_ns(sent_ns, stream.packet_bytes(bps) + HEADERS_BYTES)
        if came_ns is not None:
            tally.add(Data(seq, sent_ns), came_ns, interval_ns=interval_s * 1e9)
        found = decide(tally.windows, bps, interval_s, received=tally.received)
        if found.answer is not Answer.OPEN:
            return found
    return decide(tally.windows, bps, interval_s, received=tally.received, is_over=True)


class Room:
    """A room whose plan measures by test packets alone."""

    def __init__(self) -> None:
        self.state = RoomState("phong-101")
        self.state.hear("pc-101", "online", "", NOW_S)
        self.now = NOW_S

    def reads(self, probe: str, values: Values, at_s: float) -> None:
        self.now = NOW_S + at_s
        self.state.fold(Reading(probe=probe, target=TARGET, values=values), self.now, self.now + 1)

    def judged(self, profile: str) -> Verdict:
        return judge(PROFILES[profile], self.state, None, self.now + 2)


def bursts(minutes: int, up: Link, down: Link) -> Iterator[tuple[float, Values]]:
    for minute in range(minutes):
        yield minute * 60.0, burst_at(minute * MINUTE_NS, up, down)


def verdict_of_bursts(profile: str, up: Link, down: Link, minutes: int = 16) -> Verdict:
    room = Room()
    for at_s, values in bursts(minutes, up, down):
        room.reads("stamp", values, at_s)
    return room.judged(profile)


def verdict_of_streams(profile: str, moments: list[int], at_s: float) -> tuple[Verdict, Values]:
    limits = {limit.metric: limit.degraded or 0.0 for limit in PROFILES[profile].limits}
    up = stream_at(round(at_s * 1e9), Traced(moments), limits["uplink_bps"])
    down = stream_at(round(at_s * 1e9), Traced(moments), limits["downlink_bps"])
    result = Result(up=up, down=down, idle_rtt_ms=40.0, loaded_rtt_ms=None, used_bytes=1, took_s=5.0)
    room = Room()
    values = values_of(result)
    room.reads("stamp", burst_at(0, Steady(), Steady()), 0.0)
    room.reads("sufficiency", values, 10.0)
    return room.judged(profile), values


def codes(verdict: Verdict) -> set[str]:
    return {finding.code for finding in verdict.findings}


def mahimahi(name: str) -> list[int]:
    return read_moments(TRACES / "mahimahi" / name)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_line_of_3g_while_driving_is_unfit_for_anything(profile: str) -> None:
    up, down = mahimahi("Verizon-EVDO-driving.up"), mahimahi("Verizon-EVDO-driving.down")
    verdict = verdict_of_bursts(profile, Traced(up), Traced(down))
    assert verdict.level is Level.UNFIT
    assert {"LINK_JITTERY", "AUDIO_POOR"} <= codes(verdict)


def test_the_longest_gaps_of_3g_are_found() -> None:
    up, down = mahimahi("Verizon-EVDO-driving.up"), mahimahi("Verizon-EVDO-driving.down")
    assert max(values["longest_gap_s"] for _, values in bursts(16, Traced(up), Traced(down))) > 8


@pytest.mark.parametrize("profile", ["h323-720p", "h323-1080p", "zoom-720p"])
def test_a_line_of_umts_while_driving_is_fit_only_while_three_bursts_were_good(profile: str) -> None:
    moments = mahimahi("TMobile-UMTS-driving.up")
    room = Room()
    gaps_s: list[float] = []
    levels = []
    for at_s, values in bursts(16, Traced(moments), Traced(moments)):
        room.reads("stamp", values, at_s)
        levels.append(room.judged(profile).level)
        gaps_s.append(values["longest_gap_s"])
        if levels[-1] is Level.FIT and len(levels) > 1:
            assert max(gaps_s[-3:]) < 1
    assert levels.count(Level.UNFIT) >= 3


NORWAY = ["norway_car_2.txt", "norway_metro_4.txt", "norway_tram_44.txt"]
FCC = [
    "trace_32551_http---www.amazon.com.txt",
    "trace_5294_http---www.youtube.com.txt",
    "trace_925806_http---www.amazon.com.txt",
]


@pytest.mark.parametrize("at_s", [10, 60, 120, 200])
@pytest.mark.parametrize("name", NORWAY)
def test_a_megabit_of_3g_is_too_narrow_for_video_and_holds_sound(name: str, at_s: float) -> None:
    moments = moments_of_rates(TRACES / "norway3g" / name)
    video, values = verdict_of_streams("zoom-720p", moments, at_s)
    assert (video.level in (Level.DEGRADED, Level.UNFIT), codes(video)) == (True, {"LINK_NARROW"})
    assert 0.2e6 < values["down_bps"] < 2.6e6
    assert verdict_of_streams("audio-only", moments, at_s)[0].level is Level.FIT


@pytest.mark.parametrize("at_s", [10, 60, 120, 200])
@pytest.mark.parametrize("name", FCC)
def test_the_worst_dsl_lines_are_unfit_for_video(name: str, at_s: float) -> None:
    path = TRACES / "fcc" / name
    verdict, values = verdict_of_streams("zoom-720p", moments_of_rates(path), at_s)
    assert (verdict.level, codes(verdict)) == (Level.UNFIT, {"LINK_NARROW"})
    # What came through is what the trace had in these seconds.
    rates = [(float(at), float(rate) * 1e6) for at, rate in map(str.split, path.read_text().splitlines())]
    here = [rate for at, rate in rates if rates[0][0] + at_s - 10 < at < rates[0][0] + at_s + 10]
    assert 0.8 * min(here) <= values["down_bps"] <= 1.2 * max(here)


def test_a_trace_is_judged_the_same_through_the_relay_in_real_time(reflecting: Reflecting) -> None:
    moments = moments_of_rates(TRACES / "norway3g" / "norway_car_2.txt")
    begin_ns = time.monotonic_ns() - 5_000_000_000
    up, down = (Traced(moments, begin_ns=begin_ns) for _ in range(2))
    with UdpRelay(reflecting.port, up, down) as relay:
        probe = Sufficiency(**reflecting.probe(relay.port, up_bps=1.8e6, down_bps=2.6e6))
        values = asyncio.run(probe.measure())
    assert (values["up_holds_bool"], values["down_holds_bool"]) == (0, 0)
    assert values["down_bps"] == pytest.approx(0.8e6, rel=0.4)
