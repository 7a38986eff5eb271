"""UDP is called blocked only on evidence: silent tests, a living way, and a reflector that answered another room."""

from collections.abc import Sequence

import pytest

from contract.catalogue import Language
from contract.outcome import Outcome
from contract.reading import Reading
from readiness.codes import Code
from readiness.profile import Profile
from readiness.telling import action, sentence
from readiness.verdict import Level, Verdict
from tests.readiness.rooms import CODEC, NOW_S, PROFILES, ZOOM, Room, codes, dead, dns, fails, ping, top, well

CENTRE = "lesson.centre"


def unanswered(probe: str = "stamp", *, sent: int = 1000) -> Reading:
    values: dict[str, int | float] = {"sent_count": sent, "received_count": 0} if probe == "stamp" else {}
    return Reading(probe=probe, target=CENTRE, outcome=Outcome.TIMEOUT, values=values)


def answered(probe: str = "stamp") -> Reading:
    return Reading(probe=probe, target=CENTRE, values={"sent_count": 1000, "received_count": 1000})


def after(
    *tests: Reading, profile: Profile = ZOOM, others_s: float | None = 0.0, probe: str = "stamp",
    but: Sequence[Reading] = (),
) -> Verdict:  # fmt: skip
    """A room whose tests went so, one a minute; its reflector answered another room so long ago, or never."""
    room = Room(profile)
    room.minutes(3)
    kept = {(one.probe, one.target): one for one in [*well(), ping("codec")]}
    kept |= {(one.probe, one.target): one for one in but}
    for test in tests:
        readings = [*kept.values(), test]
        room.minutes(1, lambda readings=readings: readings)  # type: ignore[misc]  # mypy infers no default of a lambda
        if others_s is not None:
            room.state.answered_s[probe, CENTRE] = room.now - others_s
    return room.judged()


SILENT = [unanswered()] * 4


@pytest.mark.parametrize(
    ("profile", "level"),
    [(ZOOM, Level.DEGRADED), (CODEC, Level.UNFIT), (PROFILES["audio-only"], Level.DEGRADED)],
    ids=lambda one: one.name,
)
def test_blocked_udp_degrades_what_falls_back_to_tcp_and_stops_a_codec(profile: Profile, level: Level) -> None:
    verdict = after(*SILENT, profile=profile)
    assert (verdict.level, codes(verdict)) == (level, ["UDP_BLOCKED"])
    assert top(verdict).target == CENTRE
    assert top(verdict).since_s == NOW_S + 4 * 60


@pytest.mark.parametrize(
    ("why", "verdict"),
    [
        ("the reflector answered nobody", after(*SILENT, others_s=None)),
        ("the reflector answered others before, and not since", after(*SILENT, others_s=600.0)),
        ("two tests only", after(*SILENT[:2])),
        ("too few packets", after(*[unanswered(sent=5)] * 4)),
        ("a test was answered between", after(unanswered(), unanswered(), answered(), unanswered(), unanswered())),
        ("somebody refused", after(*SILENT, fails("stamp", CENTRE, Outcome.REFUSED))),
        ("the reflector turned it away", after(*SILENT, fails("stamp", CENTRE, Outcome.DENIED))),
        ("loss elsewhere, too", after(*SILENT, but=[ping(one, lost=5) for one in ("isp", "national", "lesson-zoom")])),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_udp_is_not_called_blocked_without_proof(why: str, verdict: Verdict) -> None:
    assert "UDP_BLOCKED" not in codes(verdict), why


def test_a_dead_line_is_no_firewall() -> None:
    lost = [dead(one) for one in ("isp", "national", "international", "lesson-zoom")]
    verdict = after(*SILENT, but=[*lost, fails("dns", "dns")])
    assert codes(verdict)[0] == "ISP_DOWN"
    assert "UDP_BLOCKED" not in codes(verdict)


def test_another_kind_of_test_that_is_answered_came_by_udp_too() -> None:
    room = Room()
    room.minutes(3)
    for _ in range(4):
        room.minutes(1, lambda: [*well(), unanswered(), answered("sufficiency")])
        room.state.answered_s["stamp", CENTRE] = room.now
    assert "UDP_BLOCKED" not in codes(room.judged())


def test_tests_of_bitrates_that_are_not_answered_tell_as_well() -> None:
    verdict = after(*[unanswered("sufficiency")] * 4, probe="sufficiency")
    assert codes(verdict) == ["UDP_BLOCKED"]


def test_old_silence_says_nothing_of_now() -> None:
    room = Room()
    room.minutes(1)
    room.minutes(4, lambda: [*well(), unanswered()])
    room.minutes(40)
    room.state.answered_s["stamp", CENTRE] = room.now
    assert "UDP_BLOCKED" not in codes(room.judged())


def test_names_that_are_resolved_alone_prove_no_living_way() -> None:
    """A name server may stand in the school."""
    room = Room()
    room.minutes(4, lambda: [dns(), ping("gateway"), unanswered()])
    room.state.answered_s["stamp", CENTRE] = room.now
    assert "UDP_BLOCKED" not in codes(room.judged())


@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize(("profile", "port"), [(ZOOM, "8801-8810"), (CODEC, "3230-3253")], ids=["zoom", "codec"])
def test_the_finding_names_the_ports_of_the_rooms_platform(profile: Profile, port: str, language: Language) -> None:
    found = top(after(*SILENT, profile=profile))
    assert found.code == Code.UDP_BLOCKED
    assert port in sentence(found, language)
    assert "UDP" in action(found, language)
