"""Test packets as evidence: they bring what pings cannot, and outrank them."""

import pytest

from contract.outcome import Outcome
from contract.reading import Reading
from readiness.verdict import Level, Verdict
from tests.readiness.rooms import Room, dead, ping, tcp, well

LESSON = "lesson-zoom"


def stamp(*, lost: int = 0, sent: int = 1000, target: str = LESSON, **changed: float) -> Reading:
    values: dict[str, int | float] = {
        "sent_count": sent, "received_count": sent - lost, "loss_ratio": lost / sent, "rtt_p50_ms": 40.0,
        "jitter_ms": 3.0, "pdv_p95_ms": 8.0, "burst_ratio": 0.0, "longest_gap_s": 0.05, "reorder_ratio": 0.0,
        "audio_mos": 4.3,
    }  # fmt: skip
    return Reading(probe="stamp", target=target, values=values | changed)


def sufficiency(**values: float) -> Reading:
    return Reading(probe="sufficiency", target=LESSON, values=values)


def codes(verdict: Verdict) -> list[str]:
    return [finding.code for finding in verdict.findings]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"lost": 100}, "LINK_LOSSY"),
        ({"burst_ratio": 0.2}, "LINK_LOSSY"),
        ({"rtt_p50_ms": 700.0}, "LINK_SLOW"),
        ({"pdv_p95_ms": 150.0}, "LINK_JITTERY"),
        ({"jitter_ms": 150.0}, "LINK_JITTERY"),
        ({"reorder_ratio": 0.2}, "LINK_JITTERY"),
        ({"longest_gap_s": 9.0}, "LINK_DROPS"),
        ({"audio_mos": 2.0}, "AUDIO_POOR"),
    ],
    ids=str,
)
def test_each_figure_of_a_burst_makes_a_room_unfit(changed: dict[str, float], code: str) -> None:
    room = Room()
    room.minutes(5)
    verdict = room.but(5, stamp(**changed))  # type: ignore[arg-type]  # a table's
    assert (verdict.level, codes(verdict)) == (Level.UNFIT, [code])


def test_pings_that_are_lost_while_test_packets_are_not_are_no_loss() -> None:
    room = Room()
    room.minutes(5)
    assert codes(room.but(5, ping(LESSON, lost=4))) == ["LINK_LOSSY"]
    assert room.but(5, ping(LESSON, lost=4), stamp()).level is Level.FIT


def test_pings_that_are_slow_while_test_packets_are_not_are_no_delay() -> None:
    room = Room()
    room.minutes(5)
    assert room.but(5, ping(LESSON, rtt_ms=900.0, jitter_ms=300.0), stamp()).level is Level.FIT


def test_test_packets_say_how_bad_it_is() -> None:
    room = Room()
    room.minutes(5)
    verdict = room.but(5, ping(LESSON, lost=4), stamp(lost=25))
    assert (verdict.level, codes(verdict)) == (Level.DEGRADED, ["LINK_LOSSY"])
    assert verdict.findings[0].measured == pytest.approx(0.025)


def test_a_burst_from_before_the_trouble_excuses_no_pings() -> None:
    room = Room()
    room.but(5, stamp())
    assert codes(room.but(5, ping(LESSON, lost=4))) == ["LINK_LOSSY"]


def test_a_burst_to_another_host_excuses_no_pings() -> None:
    room = Room()
    room.minutes(5)
    assert codes(room.but(5, ping(LESSON, lost=4), stamp(target="lesson-centre"))) == ["LINK_LOSSY"]


def test_a_lesson_that_answers_no_pings_is_known_by_test_packets() -> None:
    room = Room()
    assert codes(room.but(5, dead(LESSON), tcp(LESSON))) == ["QUALITY_UNKNOWN"]
    assert room.but(5, dead(LESSON), tcp(LESSON), stamp()).level is Level.FIT


def test_a_room_that_is_measured_by_test_packets_alone_is_known() -> None:
    room = Room()
    rest = [reading for reading in well() if reading.probe != "ping" or reading.target != LESSON]
    assert room.minutes(5, lambda: [*rest, stamp()]).level is Level.FIT


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.REFUSED, Outcome.UNREACHABLE, Outcome.NO_NAME])
def test_a_reflector_that_is_silent_says_nothing_of_the_lesson(outcome: Outcome) -> None:
    room = Room()
    room.minutes(5)
    lost: dict[str, int | float] = {"sent_count": 1000, "received_count": 0, "loss_ratio": 1.0, "longest_gap_s": 20.0}
    silent = Reading(probe="stamp", target=LESSON, outcome=outcome, values=lost)
    assert room.but(10, silent).level is Level.FIT


# The bitrate


@pytest.mark.parametrize(
    ("values", "level", "value"),
    [
        ({"up_holds_bool": 1, "up_bps": 1.8e6, "down_holds_bool": 1, "down_bps": 2.6e6}, Level.FIT, ""),
        ({"up_holds_bool": 1, "up_bps": 1.8e6, "down_holds_bool": 0, "down_bps": 1.4e6}, Level.DEGRADED, "down_bps"),
        ({"up_holds_bool": 0, "up_bps": 0.5e6, "down_holds_bool": 1, "down_bps": 2.6e6}, Level.UNFIT, "up_bps"),
    ],
    ids=["holds", "narrow down", "far too narrow up"],
)
def test_a_bitrate_that_does_not_fit_narrows_the_room(values: dict[str, float], level: Level, value: str) -> None:
    room = Room()
    room.minutes(5)
    verdict = room.but(1, sufficiency(**values))
    assert verdict.level is level
    assert [(one.code, one.value) for one in verdict.findings] == ([("LINK_NARROW", value)] if value else [])


def test_a_delay_that_grows_under_load_is_told() -> None:
    room = Room()
    room.minutes(5)
    verdict = room.but(1, sufficiency(loaded_rtt_extra_ms=250.0))
    assert (verdict.level, codes(verdict)) == (Level.DEGRADED, ["LINK_CONGESTED"])


def test_a_bitrate_stands_for_six_hours() -> None:
    room = Room()
    room.minutes(5)
    room.but(1, sufficiency(down_bps=0.5e6))
    assert codes(room.minutes(340)) == ["LINK_NARROW"]
    assert room.minutes(30).level is Level.FIT
