"""What operators read: about the collector itself, about agents, and every day; and what a letter tells in place of
those that never left.
"""

import re
from email.message import EmailMessage
from pathlib import Path

import msgspec
import pytest

import collector
from collector.alerting.decide import Notice, Reason
from collector.alerting.health import FOUND_HERE
from collector.alerting.incident import AGENTS, COLLECTOR, Incident
from collector.alerting.letter import RoomFacts, Today, compose, compose_daily
from collector.web.letters import read_mail
from contract.catalogue import LANGUAGES, Language, entries
from readiness.verdict import Finding, Level
from tests.collector.alerting.test_letter import Elements
from tests.collector.alerting.troubles import (
    CAMERA,
    FACTS,
    LOSSY,
    NOW_S,
    PAGES,
    PAO,
    SENDER,
    SILENT,
    finding,
    incident,
    notice,
)

BROKER = finding("broker_lost", target="")
STEP = finding("clock_stepped", Level.DEGRADED, "", value="clock_offset_s", measured=-3600.0)
CLONED = finding("agent_cloned", Level.DEGRADED, "dongvan-pc1")
FLOODS = finding("agent_floods", Level.DEGRADED, "dongvan-pc2")
COLLECTOR_FACTS = RoomFacts(room=COLLECTOR, name=COLLECTOR, place=())


def own(*findings: Finding, room: str = COLLECTOR, ended_s: float | None = None) -> Incident:
    return incident(*findings, room=room, ended_s=ended_s)


def write(one: Notice, *, language: Language = "vi", earlier: tuple[Incident, ...] = ()) -> EmailMessage:
    facts = FACTS if one.incident.room == FACTS.room else COLLECTOR_FACTS
    return compose(one, facts, language, sender=SENDER, now=NOW_S + 300, base_url=PAGES, earlier=earlier)


def text_of(message: EmailMessage) -> str:
    return read_mail(message.as_bytes()).text.replace("\r\n", "\n")


def test_a_lost_broker_is_told_with_whose_fault_it_is_and_what_to_do() -> None:
    message = write(notice(own(BROKER)))
    subject = "[Sẵn Sàng] Trung tâm giám sát: KHÔNG làm được việc – mất kết nối với broker (07:10 24/11)"  # noqa: RUF001 - as it is written
    assert message["Subject"] == subject
    assert (
        text_of(message)
        == """\
Trung tâm giám sát KHÔNG làm được việc của mình, từ 07:10 ngày 24/11.
Lỗi không phải của các phòng.

VÌ SAO
- Mất kết nối với broker: không biết tình trạng các phòng, tạm dừng cảnh
  báo.

CẦN LÀM GÌ
Xem dịch vụ MQTT và đường mạng từ trung tâm tới đó. Các phòng giữ số đo
và gửi lại sau; cảnh báo về phòng tạm dừng.

Xem trang Hệ thống: http://10.0.0.1:8080/about

Tình hình lúc 07:15 ngày 24/11, giờ Việt Nam. Khi trung tâm trở lại bình
thường, sẽ có thư báo tiếp. Thư tự động của Sẵn Sàng gửi Giàng A Páo,
người quản trị hệ thống này. Không cần trả lời.
"""
    )


def test_its_end_tells_the_whole_story() -> None:
    message = write(notice(own(BROKER, ended_s=NOW_S + 1800), Reason.ENDED), language="en")
    assert text_of(message).startswith(
        "The monitoring centre is WELL AGAIN since 07:40 on 24 November.\n\n"
        "The centre was not doing its work from 07:10 to 07:40 on 24 November\n(for 30 min)."
    )
    assert message["Subject"].startswith("Re: ")


def test_a_step_of_the_clock_is_told_with_how_far() -> None:
    assert "  Sign: Clock offset: -60 min\n" in text_of(write(notice(own(STEP)), language="en"))


def test_matters_of_agents_name_them_all() -> None:
    text = text_of(write(notice(own(CLONED, FLOODS, room=AGENTS)), language="en"))
    assert "- Two PCs speak as agent dongvan-pc1, so neither is believed" in text
    assert "- Agent dongvan-pc2 sends far too much" in text
    assert "1. Enrol the right PC anew" in text


def test_a_refused_plan_is_told_with_its_room_and_the_first_line_of_the_refusal() -> None:
    note = "Phòng 1 (dong-van-01): plan: probe[2].address: missing"
    refused = msgspec.structs.replace(finding("plan_refused", Level.DEGRADED, "dongvan-pc1"), note=note)
    text = " ".join(text_of(write(notice(own(refused, room=AGENTS)), language="en")).split())
    assert f"Agent dongvan-pc1 refuses its new plan and goes on with the old one. {note} " in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize(("room", "one"), [(COLLECTOR, BROKER), (COLLECTOR, STEP), (AGENTS, CLONED)])
def test_there_are_words_for_every_reason(room: str, one: Finding, reason: Reason, language: Language) -> None:
    what = own(one, room=room, ended_s=NOW_S + 1800 if reason is Reason.ENDED else None)
    assert text_of(write(notice(what, reason), language=language))


def test_every_problem_that_the_collector_can_have_is_told_in_both_languages() -> None:
    source = Path(collector.__file__).parent
    written = "".join(path.read_text(encoding="utf-8") for path in source.glob("*.py"))
    codes = set(re.findall(r'problems\.add\("(\w+)"\)', written)) | FOUND_HERE
    assert len(codes) >= 8
    wanted = {
        f"health.{code}{end}" for code in codes - {"agent_cloned", "agent_floods"} for end in ("", ".short", ".do")
    }
    for code in ("agent_cloned", "agent_floods", "agent_restored", "plan_refused", "recipient_refused"):
        wanted |= {f"health.{code}{end}" for end in (".one", ".short", ".do")}
    assert sorted(code for code in wanted if set(entries().get(code, ())) != set(LANGUAGES)) == []


# The daily mail

TODAY = Today(
    rooms={Level.FIT: 80, Level.DEGRADED: 3, Level.UNFIT: 2, Level.UNKNOWN: 1},
    waiting_count=0,
    refused_count=1,
    findings=(),
)


def daily(today: Today = TODAY, language: Language = "vi") -> EmailMessage:
    recipient = PAO if language == "vi" else PAO.__class__(address=PAO.address, name=PAO.name, language=language)
    return compose_daily(
        recipient, today, sender=SENDER, now=NOW_S, base_url=PAGES, at="06:30", missing_at="07:00"
    )  # fmt: skip


def test_the_daily_mail_says_how_things_stand_and_what_its_absence_means() -> None:
    message = daily()
    assert message["Subject"] == "[Sẵn Sàng] Thư mỗi ngày: 80/86 phòng sẵn sàng (07:10 24/11)"
    assert (
        text_of(message)
        == """\
Sẵn Sàng đang hoạt động, và thư gửi đi được.

86 phòng: 80 sẵn sàng, 3 cần chú ý, 2 không học được, 1 chưa rõ.

Thư báo khác: 0 đang chờ gửi, 1 bị từ chối.

Xem trang Hệ thống: http://10.0.0.1:8080/about

Tình hình lúc 07:10 ngày 24/11, giờ Việt Nam. Thư này đến mỗi ngày lúc
06:30. Nếu đến 07:00 mà chưa có thư thì chính Sẵn Sàng hoặc đường gửi
thư có trục trặc: hãy mở http://10.0.0.1:8080/about, rồi xem máy chủ
thư.
"""
    )


def test_the_daily_mail_lists_what_waits_for_its_reader() -> None:
    today = Today(rooms=TODAY.rooms, waiting_count=2, refused_count=0, findings=(CLONED, FLOODS))
    text = text_of(daily(today, "en"))
    assert text.startswith("Sẵn Sàng runs and its mail leaves, but SOMETHING NEEDS AN OPERATOR.")
    assert "FOR THE OPERATOR\n- Two PCs speak as agent dongvan-pc1" in text
    assert "Agent dongvan-pc2 sends far too much" in text


def test_text_and_html_of_the_daily_mail_say_the_same() -> None:
    today = Today(rooms=TODAY.rooms, waiting_count=2, refused_count=0, findings=(CLONED, BROKER))
    message = daily(today)
    shown = " ".join(Elements(read_mail(message.as_bytes()).html).words).lower()
    for line in text_of(message).splitlines():
        words = re.sub(r"^(- |\d+\. )", "", line.strip()).lower()
        assert words.removesuffix(f" {PAGES}/about").removesuffix(":") in shown


# In place of letters that never left


def test_a_letter_tells_of_what_happened_while_no_mail_left() -> None:
    before = (
        incident(LOSSY, opened_s=NOW_S - 7200, ended_s=NOW_S - 5400, number=2),
        incident(SILENT, CAMERA, opened_s=NOW_S - 3600, ended_s=NOW_S - 1800, number=3),
    )
    message = write(notice(), earlier=before)
    assert message["X-Sansang-Earlier"] == " ".join(one.incident for one in before)
    assert """
TRƯỚC ĐÓ, KHI THƯ CHƯA GỬI ĐƯỢC
- Đường truyền mất gói: từ 05:10 đến 05:40 ngày 24/11 (kéo dài 30 phút).
- Mất liên lạc với phòng, mất camera: từ 06:10 đến 06:40 ngày 24/11 (kéo
  dài 30 phút).
""" in text_of(message)


def test_of_many_only_the_latest_are_told_each() -> None:
    before = tuple(
        incident(LOSSY, opened_s=NOW_S - 3600 * number, ended_s=NOW_S - 3600 * number + 60, number=number)
        for number in range(20, 0, -1)
    )
    text = text_of(write(notice(), language="en", earlier=before))
    assert "- And 15 more times before." in text
    assert text.count("- The link loses packets: from ") == 5
