"""One letter of several about rooms near each other: which belong together, and what it says."""

import re
from collections.abc import Sequence
from email.message import EmailMessage

import pytest
from msgspec.structs import replace

from collector.alerting.decide import Notice, Reason, Recipient
from collector.alerting.gathering import Part, area_of, gathered, part_of
from collector.alerting.incident import AGENTS, COLLECTOR, Incidents, Policy
from collector.alerting.letter import RoomFacts
from readiness.causes import Cause, Certainty, Explanation, Witness
from readiness.verdict import Finding, Level
from tests.collector.alerting.troubles import (
    CAMERA,
    LAN,
    LOSSY,
    NARROW,
    NOW_S,
    PAGES,
    PAO,
    SENDER,
    SILENT,
    incident,
    notice,
    verdict,
)

LATELY_S = 90.0
BLACKOUT = Explanation(
    cause=Cause.AREA_POWER, certainty=Certainty.LIKELY, evidence=(Witness.NEIGHBOURS_SILENT, Witness.WAS_ON_BATTERY)
)


def facts(number: int, *, district: str = "Đồng Văn", silence: Explanation | None = BLACKOUT) -> RoomFacts:
    school = f"THCS {number}"
    place = ("Hà Giang", district, school) if district else ("Hà Giang", school)
    return RoomFacts(room=f"room-{number}", name="Phòng 1", place=place, silence=silence)


def about(number: int, *findings: Finding, reason: Reason = Reason.OPENED, to: Recipient = PAO) -> Notice:
    ended_s = NOW_S + 3600 + number if reason is Reason.ENDED else None
    one = incident(*(findings or (SILENT,)), opened_s=NOW_S + number, ended_s=ended_s, room=f"room-{number}")
    return notice(one, reason, to)


def part(of: Notice, says: RoomFacts) -> Part:
    found = part_of(of, says, now=NOW_S + 400, base_url=PAGES)
    assert found is not None
    return found


def parts(numbers: Sequence[int], reason: Reason = Reason.OPENED, to: Recipient = PAO) -> dict[str, Part]:
    notices = [about(number, reason=reason, to=to) for number in numbers]
    return {one.key: part(one, facts(number)) for one, number in zip(notices, numbers, strict=True)}


def mail(of: dict[str, Part], now: float = NOW_S + 400) -> EmailMessage:
    return gathered(of, PAO.address, sender=SENDER, now=now, base_url=PAGES)


def text(message: EmailMessage) -> str:
    plain = message.get_body(("plain",))
    assert plain is not None
    return " ".join(str(plain.get_content()).split())


def test_fifteen_rooms_are_one_letter_that_says_where_why_and_what_to_do() -> None:
    message = mail(parts(range(1, 16)))
    assert message["Subject"] == "[Sẵn Sàng] Đồng Văn, Hà Giang: 15 phòng chưa sẵn sàng (07:10 24/11)"
    assert message["To"] == "Giàng A Páo <pao@example.vn>"
    said = text(message)
    assert said.startswith("15 phòng ở Đồng Văn, Hà Giang chưa sẵn sàng cho giờ học, từ 07:10 ngày 24/11.")
    assert "Nguyên nhân ở tất cả các phòng này: Mất điện cả khu vực (rất có thể)." in said
    assert "1. Gọi điện lực của khu vực" in said
    assert said.count("CHƯA RÕ") == 0, "what is so in all of them is said once"
    for number in range(1, 16):
        assert f"THCS {number}, Phòng 1" in said
        assert f"{PAGES}/rooms/room-{number}" in said
    assert "Sẵn Sàng gửi Giàng A Páo" in said


@pytest.mark.parametrize(
    ("causes", "asked"),
    [
        ((Cause.AREA_POWER, Cause.UPS_EMPTY, Cause.UNKNOWN), "Call the power company of the area"),
        ((Cause.AREA_LINE, Cause.AREA_LINE, Cause.UNKNOWN), "Call the provider of the area, tell them that 3 rooms"),
        ((Cause.UNKNOWN,) * 3, "call the power company and the provider"),
        ((Cause.AREA_LINE, Cause.AREA_POWER, Cause.UNKNOWN), "call the power company and the provider"),
        ((Cause.AREA_POWER, Cause.PC_CRASHED, Cause.AREA_POWER), None),
    ],
    ids=["power", "line", "nobody knows", "both", "one of its own"],
)
def test_who_can_know_of_all_rooms_is_called_first(causes: Sequence[Cause], asked: str | None) -> None:
    there = {}
    for number, cause in enumerate(causes, 1):
        one = about(number, to=replace(PAO, language="en"))
        silence = Explanation(cause=cause, certainty=Certainty.LIKELY if cause is not Cause.UNKNOWN else Certainty.NONE)
        there[one.key] = part(one, facts(number, silence=silence))
    said = text(mail(there))
    assert (asked in said) if asked else ("company" not in said and "provider of the area" not in said)


def test_the_same_steps_are_asked_for_once() -> None:
    one, many = text(mail(parts([1]))), text(mail(parts(range(1, 9))))
    step = part(about(1), facts(1)).steps[0]
    assert one.count(step) == many.count(step) == 1


def test_rooms_with_causes_of_their_own_say_them_each() -> None:
    notices = [about(1, LOSSY), about(2, CAMERA), about(3, LOSSY)]
    said = text(mail({one.key: part(one, facts(number, silence=None)) for number, one in enumerate(notices, 1)}))
    assert "Nguyên nhân ở tất cả" not in said
    causes = {part(one, facts(1, silence=None)).cause for one in notices}
    assert len(causes) == 2
    assert all(cause.casefold() in said.casefold() for cause in causes)


def test_nothing_to_do_is_said_only_where_nobody_has_to_do_anything() -> None:
    well = parts([1, 2, 3], Reason.ENDED)
    assert "Không cần làm gì" in text(mail(well))
    one = incident(SILENT, opened_s=NOW_S, ended_s=NOW_S + 3600, room="room-4")
    ailing = notice(replace(one, end_level=Level.DEGRADED, end_findings=(NARROW,)), Reason.ENDED)
    well[ailing.key] = part(ailing, facts(4))
    assert "Không cần làm gì" not in text(mail(well))


def test_a_silence_of_earlier_today_does_not_explain_another_trouble() -> None:
    assert part(about(1, CAMERA), facts(1)).why == "CAMERA_LOST"
    assert part(about(1), facts(1)).why == "AREA_POWER"


def test_the_end_is_a_letter_too() -> None:
    message = mail(parts([1, 2, 3], Reason.ENDED), NOW_S + 4000)
    assert message["Subject"] == "[Sẵn Sàng] Đồng Văn, Hà Giang: 3 phòng đã hết sự cố (08:10 24/11)"
    assert text(message).startswith("3 phòng ở Đồng Văn, Hà Giang đã hết sự cố; phòng cuối cùng lúc 08:10 ngày 24/11.")
    assert "sẽ có thư báo tiếp" not in text(message)


def test_the_worst_rooms_stand_first_and_no_letter_is_endless() -> None:
    many = parts(range(100, 200))
    bad = about(7, LOSSY)
    many[bad.key] = part(bad, facts(7, silence=None))
    said = text(mail(many))
    assert said.index("THCS 7,") < said.index("THCS 100,")
    assert len(re.findall(r"rooms/room-\d+", said)) == 60
    assert "và 41 phòng nữa" in said


def test_the_same_notices_are_the_same_mail_in_whatever_order() -> None:
    there = parts([1, 2, 3])
    back = dict(reversed(there.items()))
    assert mail(there)["Message-ID"] == mail(back, NOW_S + 9000)["Message-ID"]
    assert mail(parts([1, 2, 4]))["Message-ID"] != mail(there)["Message-ID"]
    assert mail(there)["X-Sansang-Incidents"].split() == sorted(key.partition("/")[0] for key in there)


def test_english_readers_read_english() -> None:
    of = parts([1, 2, 3], to=replace(PAO, language="en"))
    assert text(mail(of)).startswith("3 rooms in Đồng Văn, Hà Giang are not ready for lessons, since 07:10")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(part(about(2), facts(2, district="Mèo Vạc")), id="another district"),
        pytest.param(part(about(2, reason=Reason.ENDED), facts(2)), id="the end"),
        pytest.param(part(about(2, to=replace(PAO, language="en")), facts(2)), id="another language"),
    ],
)
def test_what_does_not_belong_together_has_another_tag(other: Part) -> None:
    assert part(about(1), facts(1)).tag == part(about(2, reason=Reason.REMINDER), facts(2)).tag
    assert part(about(1), facts(1)).tag != other.tag


def test_without_districts_a_school_is_an_area() -> None:
    assert area_of(("Hà Giang", "THCS 1")) == ("Hà Giang", "THCS 1")
    assert part(about(1), facts(1, district="")).area == "THCS 1, Hà Giang"


@pytest.mark.parametrize("room", [COLLECTOR, AGENTS])
def test_what_the_collector_says_of_itself_stands_alone(room: str) -> None:
    own = notice(incident(room=room), recipient=LAN)
    assert part_of(own, facts(1), now=NOW_S, base_url=PAGES) is None
    assert part_of(about(1), replace(facts(1), place=()), now=NOW_S, base_url=PAGES) is None


def test_a_room_is_restless_while_somebody_is_about_to_be_told_of_it_or_has_just_been() -> None:
    incidents = Incidents(Policy(hold_off_s=300, clear_after_s=180))

    def counts(now: float) -> int:
        return incidents.restless_count(["lung-cu-1", "elsewhere"], now, LATELY_S)

    def see(*findings: Finding, from_s: float, to_s: float) -> None:
        for second in range(int(from_s), int(to_s), 30):
            incidents.observe(verdict(*findings, at_s=NOW_S + second), NOW_S + second)

    assert counts(NOW_S) == 0
    see(SILENT, from_s=0, to_s=100)
    assert counts(NOW_S + 100) == 1, "it is beginning"
    see(SILENT, from_s=100, to_s=400)
    assert counts(NOW_S + 330 + LATELY_S - 30) == 1, "it has just been told"
    assert counts(NOW_S + 330 + LATELY_S + 30) == 0
    see(from_s=1000, to_s=1100)
    assert counts(NOW_S + 1100) == 1, "it is ending"
    see(from_s=1100, to_s=1300)
    assert counts(NOW_S + 1180 + LATELY_S) == 1, "its end has just been told"
    assert counts(NOW_S + 1180 + LATELY_S + 60) == 0
    assert incidents.restless_count([], NOW_S, LATELY_S) == 0


def test_a_part_says_how_bad_it_is() -> None:
    assert part(about(1), facts(1)).level is Level.UNKNOWN
    assert part(about(1, LOSSY), facts(1)).level is Level.UNFIT
