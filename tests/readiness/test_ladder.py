"""What the walk of the `link` probe says to the judge: only where no target knows better, and only while it stands."""

import pytest

from contract.reading import Reading
from contract.rung import Rung
from readiness.verdict import Level, Verdict
from tests.readiness.rooms import CODEC, DEVICES, ZOOM, Room, codes, dead, fails, host, link, ping, power, top

FEW = (host(), power(), *map(ping, DEVICES))
"""A plan without targets on the way."""


def walked(rung: Rung, *others: Reading, minutes: int = 4) -> Verdict:
    """The verdict of a room whose walks have found this for a while."""
    room = Room()
    room.minutes(3, lambda: [*others, link(Rung.NONE)])
    return room.minutes(minutes, lambda: [*others, link(rung)])


@pytest.mark.parametrize(
    ("rung", "code", "target"),
    [
        (Rung.NIC, "NIC_DOWN", "pc"),
        (Rung.ADDRESS, "NO_ADDRESS", "pc"),
        (Rung.GATEWAY, "GATEWAY_DOWN", "gateway"),
        (Rung.ISP, "ISP_DOWN", "isp"),
        (Rung.NATIONAL, "NO_INTERNET", "national"),
        (Rung.INTERNATIONAL, "INTERNATIONAL_DOWN", "international"),
        (Rung.DNS, "DNS_FAILS", "dns"),
        (Rung.DNS_LIES, "DNS_LIES", "dns"),
        (Rung.PORTAL, "CAPTIVE_PORTAL", "gateway"),
        (Rung.MTU, "MTU_HOLE", "gateway"),
        (Rung.LESSON, "LESSON_UNREACHABLE", "lesson"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_rung_that_no_target_tells_of_is_named(rung: Rung, code: str, target: str) -> None:
    found = {finding.code: finding for finding in walked(rung, *FEW).findings}
    assert code in found
    assert found[code].target == target


@pytest.mark.parametrize("rung", [rung for rung in Rung if rung >= Rung.COLLECTOR_NAME], ids=lambda rung: rung.name)
def test_what_is_wrong_with_the_collector_is_not_the_rooms_fault(rung: Rung) -> None:
    assert "UNFIT" not in walked(rung, *FEW).level.name
    assert set(codes(walked(rung, *FEW))) == {"NO_READING"}


def test_a_gateway_that_is_gone_with_everything_in_the_lan_is_the_lan() -> None:
    assert top(walked(Rung.GATEWAY, host(), power())).code == "LAN_DOWN"


def test_one_walk_is_no_verdict() -> None:
    room = Room()
    room.minutes(3, lambda: [*FEW, link(Rung.NONE)])
    assert "CAPTIVE_PORTAL" not in codes(room.minutes(1, lambda: [*FEW, link(Rung.PORTAL)]))
    assert "CAPTIVE_PORTAL" in codes(room.minutes(1, lambda: [*FEW, link(Rung.PORTAL)]))
    assert "CAPTIVE_PORTAL" not in codes(room.minutes(1, lambda: [*FEW, link(Rung.NONE)]))


@pytest.mark.parametrize("rung", [Rung.NIC, Rung.ADDRESS, Rung.GATEWAY, Rung.ISP, Rung.NATIONAL, Rung.DNS, Rung.LESSON])
def test_a_lesson_that_answers_refutes_the_walk(rung: Rung) -> None:
    room = Room()
    room.minutes(3)
    assert room.but(5, link(rung)).level is Level.FIT


def test_a_portal_explains_a_lesson_that_is_lost() -> None:
    room = Room()
    room.minutes(3)
    verdict = room.but(5, link(Rung.PORTAL), dead("lesson-zoom"), fails("tcp", "lesson-zoom"))
    assert (verdict.level, codes(verdict)) == (Level.UNFIT, ["CAPTIVE_PORTAL"])


@pytest.mark.parametrize(("rung", "code"), [(Rung.MTU, "MTU_HOLE"), (Rung.DNS_LIES, "DNS_LIES")])
def test_lies_and_holes_stop_only_the_lessons_that_they_hit(rung: Rung, code: str) -> None:
    room = Room()
    room.minutes(3)
    verdict = room.but(5, link(rung))
    assert (verdict.level, codes(verdict)) == (Level.DEGRADED, [code])
    verdict = room.but(5, link(rung), dead("lesson-zoom"))
    assert (verdict.level, codes(verdict)) == (Level.UNFIT, [code])


def test_a_cut_that_the_targets_show_keeps_their_word() -> None:
    room = Room()
    room.minutes(3)
    beyond = [dead(target) for target in ("isp", "national", "international", "lesson-zoom")]
    verdict = room.but(5, link(Rung.PORTAL), *beyond, fails("dns", "dns"))
    assert codes(verdict) == ["ISP_DOWN"], "where nothing passes, no page came either"


def test_a_codec_dials_by_address_whatever_the_walk_says_of_names() -> None:
    def readings(rung: Rung) -> list[Reading]:
        return [*FEW, ping("codec"), link(rung)]

    room = Room(CODEC)
    room.minutes(3, lambda: readings(Rung.NONE))
    verdict = room.minutes(4, lambda: readings(Rung.DNS))
    found = {finding.code: finding.level for finding in verdict.findings}
    assert found["DNS_FAILS"] is Level.DEGRADED
    assert ZOOM.needs_dns


def test_walks_that_come_late_change_nothing_that_is_live() -> None:
    room = Room()
    room.minutes(3)
    for minutes in range(4):
        measured_s = room.now - 3600 + minutes * 60
        assert not room.state.fold(link(Rung.ISP), measured_s, room.now)
    assert room.judged().level is Level.FIT
