"""A probe that hangs while its agent goes on: what rested on it is unknown, and the probe is named."""

import pytest

from contract.outcome import Outcome
from contract.reading import Reading
from readiness.telling import sentence
from readiness.verdict import Level
from tests.readiness.rooms import Room, codes, fails, top, well

PERIPHERALS = Reading(probe="peripherals", target="pc", values={"cameras_count": 1, "camera1_status_code": 0})


def hung(probe: str, target: str) -> Reading:
    return fails(probe, target, Outcome.BROKEN)


def but(*left_out: str) -> list[Reading]:
    return [one for one in [*well(), PERIPHERALS] if one.probe not in left_out]


@pytest.mark.parametrize(("probe", "target"), [("host", "pc"), ("power", "ups"), ("peripherals", "pc")])
def test_what_rests_on_a_probe_that_hangs_is_unknown(probe: str, target: str) -> None:
    room = Room()
    room.minutes(3, but)
    began_s = room.now + 60
    verdict = room.minutes(5, lambda: [*but(probe), hung(probe, target)])
    found = top(verdict)
    assert (verdict.level, codes(verdict)) == (Level.UNKNOWN, ["PROBE_STUCK"])
    assert (found.target, found.note, found.since_s) == (target, probe, began_s)
    assert probe in sentence(found, "vi")


def test_a_probe_that_hangs_once_or_twice_is_not_called_stuck() -> None:
    room = Room()
    room.minutes(3, but)
    assert room.minutes(2, lambda: [*but("power"), hung("power", "ups")]).level is Level.FIT


def test_a_probe_that_goes_on_again_is_not_stuck_any_more() -> None:
    room = Room()
    room.minutes(3, but)
    room.minutes(5, lambda: [*but("power"), hung("power", "ups")])
    assert room.minutes(1, but).level is Level.FIT


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.ABSENT, Outcome.DENIED])
def test_a_ups_that_is_silent_or_not_there_is_no_stuck_probe(outcome: Outcome) -> None:
    room = Room()
    room.minutes(3, but)
    verdict = room.minutes(5, lambda: [*but("power"), fails("power", "ups", outcome)])
    assert "PROBE_STUCK" not in codes(verdict)


def test_a_probe_of_which_nothing_comes_any_more_is_stuck_too() -> None:
    room = Room()
    room.state.every_s = {("power", "ups"): 60.0, ("host", ""): 60.0}
    room.minutes(3, but)
    last_s = room.now
    assert room.minutes(9, lambda: but("power", "host")).level is Level.FIT
    verdict = room.minutes(3, lambda: but("power", "host"))
    assert verdict.level is Level.UNKNOWN
    assert [(one.code, one.target, one.note, one.since_s) for one in verdict.findings] == [
        ("PROBE_STUCK", "pc", "host", last_s),
        ("PROBE_STUCK", "ups", "power", last_s),
    ]


def test_two_stuck_probes_of_one_target_are_one_finding() -> None:
    room = Room()
    room.minutes(3, but)
    verdict = room.minutes(4, lambda: [*but("host", "peripherals"), hung("host", "pc"), hung("peripherals", "pc")])
    assert [(one.code, one.note) for one in verdict.findings] == [("PROBE_STUCK", "host, peripherals")]


def test_a_probe_that_the_plan_wants_once_an_hour_is_not_missed_after_ten_minutes() -> None:
    room = Room()
    room.state.every_s = {("power", "ups"): 3600.0}
    room.minutes(3, but)
    assert "PROBE_STUCK" not in codes(room.minutes(170, lambda: but("power")))


def test_a_room_that_has_just_come_back_has_no_stuck_probe() -> None:
    room = Room()
    room.state.every_s = {("power", "ups"): 60.0}
    room.minutes(3, but)
    room.state.hear("pc-101", "lost", "", room.now)
    room.now += 900.0
    room.state.hear("pc-101", "online", "", room.now)
    assert "PROBE_STUCK" not in codes(room.minutes(1, lambda: but("power")))


def test_a_probe_of_a_pc_that_is_off_beside_another_is_not_stuck() -> None:
    room = Room()
    room.state.every_s = {("power", "ups"): 60.0}
    room.minutes(3, but)
    room.state.hear("pc-102", "lost", "", room.now)
    verdict = room.minutes(20, lambda: but("power"))
    assert codes(verdict) == ["ONE_PC_SILENT"]
