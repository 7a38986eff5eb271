"""The letters, to the word: what a head teacher reads on a phone, and what mail programs make of it."""

import email.policy
import re
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from collector.alerting.decide import Notice, Reason, Recipient
from collector.alerting.letter import RoomFacts, compose, compose_test
from collector.alerting.sheet import LETTER_POLICY
from collector.web.letters import read_mail
from contract.catalogue import LANGUAGES, Language, entries
from readiness.causes import Cause, Certainty, Explanation, Witness
from readiness.codes import Code
from readiness.verdict import Finding, Level
from tests.collector.alerting.troubles import (
    CAMERA,
    DAY_S,
    FACTS,
    LAN,
    LOSSY,
    NARROW,
    NOW_S,
    PAGES,
    PAO,
    SENDER,
    SILENT,
    finding,
    incident,
    notice,
)


def write(
    one: Notice,
    *,
    language: Language = "vi",
    facts: RoomFacts = FACTS,
    now: float = NOW_S + 300,
    is_first: bool = False,
) -> EmailMessage:
    return compose(one, facts, language, sender=SENDER, now=now, base_url=PAGES, is_first=is_first)


def text_of(message: EmailMessage) -> str:
    return read_mail(message.as_bytes()).text.replace("\r\n", "\n")


def html_of(message: EmailMessage) -> str:
    return read_mail(message.as_bytes()).html


def first_line(message: EmailMessage) -> str:
    return text_of(message).splitlines()[0]


DASH = "\N{EN DASH}"
OPENED = notice(incident(LOSSY, CAMERA))
IN_THE_EVENING_S = NOW_S + 14 * 3600
ENDED = notice(replace(incident(LOSSY, CAMERA, ended_s=NOW_S + 1800)), Reason.ENDED)

# What it says


def test_a_letter_says_what_is_wrong_since_when_by_what_sign_and_what_to_do() -> None:
    message = write(OPENED, facts=replace(FACTS, contacts=(PAO, LAN)))
    assert (
        text_of(message)
        == """\
KHÔNG học được, từ 07:10 ngày 24/11.
THCS Lũng Cú, Phòng 1

VÌ SAO
- Đường truyền tới mạng trong nước mất gói 8,3 %; cần dưới 3 %. Hình và
  tiếng sẽ bị giật.
  Dấu hiệu: Mạng trong nước · Mất gói: 8,3 % (ngưỡng 3 %) · từ 07:00
  ngày 24/11
- Mất kết nối với camera 2: đầu bên kia sẽ không thấy hình của phòng.

CẦN LÀM GÌ
1. Tạm dừng tải xuống và cập nhật trên các máy khác trong trường. Nếu
   vẫn mất gói, gọi nhà mạng yêu cầu kiểm tra suy hao đường dây.
2. Người ở phòng: xem đèn của camera; cắm lại nguồn và cáp (USB hoặc
   mạng). Nếu đèn không sáng, thử ổ cắm hoặc cổng khác, rồi gọi cán bộ
   kỹ thuật.

Phòng: Phòng 1 (lung-cu-1)
Nơi: THCS Lũng Cú, Đồng Văn, Hà Giang
Người phụ trách: Giàng A Páo <pao@example.vn>, Cô Lan <lan@example.vn>
Xem phòng này: http://10.0.0.1:8080/rooms/lung-cu-1

Tình hình lúc 07:15 ngày 24/11, giờ Việt Nam. Khi phòng trở lại bình
thường, sẽ có thư báo tiếp. Thư tự động của Sẵn Sàng gửi Giàng A Páo,
người nhận tin về phòng này. Không cần trả lời.
"""
    )


def test_a_letter_speaks_english_to_those_who_want_it() -> None:
    assert (
        text_of(write(OPENED, language="en"))
        == """\
NOT usable for a lesson, since 07:10 on 24 November.
THCS Lũng Cú, Phòng 1

WHY
- 8.3 % of packets to the national network are lost; it should be below
  3 %. Picture and sound will break up.
  Sign: National network · Loss: 8.3 % (limit 3 %) · since 07:00 on 24
  November
- Camera 2 is lost: the other side will not see the room.

WHAT TO DO
1. Stop downloads and updates on the school's other PCs. If packets are
   still lost, ask the provider to check the line.
2. In the room: look at the camera's lamp; replug its power and its
   cable (USB or network). If it stays dark, try another socket or port,
   then call IT staff.

Room: Phòng 1 (lung-cu-1)
Place: THCS Lũng Cú, Đồng Văn, Hà Giang
See this room: http://10.0.0.1:8080/rooms/lung-cu-1

As things stood at 07:15 on 24 November, Vietnam time. Another mail will
tell when the room is well again. Sent by Sẵn Sàng itself to Giàng A
Páo, who is told about this room. No answer is needed.
"""
    )


def test_the_end_tells_the_whole_story_to_whoever_reads_only_that() -> None:
    assert (
        text_of(write(ENDED, now=NOW_S + 1980))
        == """\
ĐÃ TRỞ LẠI BÌNH THƯỜNG từ 07:40 ngày 24/11: phòng sẵn sàng cho giờ học.
THCS Lũng Cú, Phòng 1

Phòng không học được từ 07:10 đến 07:40 ngày 24/11 (kéo dài 30 phút).

CHUYỆN ĐÃ XẢY RA
- Đường truyền tới mạng trong nước mất gói 8,3 %; cần dưới 3 %. Hình và
  tiếng sẽ bị giật.
- Mất kết nối với camera 2: đầu bên kia sẽ không thấy hình của phòng.

CẦN LÀM GÌ
Không cần làm gì.

Phòng: Phòng 1 (lung-cu-1)
Nơi: THCS Lũng Cú, Đồng Văn, Hà Giang
Xem phòng này: http://10.0.0.1:8080/rooms/lung-cu-1

Tình hình lúc 07:43 ngày 24/11, giờ Việt Nam. Thư tự động của Sẵn Sàng
gửi Giàng A Páo, người nhận tin về phòng này. Không cần trả lời.
"""
    )


def test_an_end_with_the_room_degraded_says_what_is_still_to_do() -> None:
    over = replace(ENDED.incident, end_level=Level.DEGRADED, end_findings=(NARROW,))
    text = text_of(write(replace(ENDED, incident=over)))
    assert text.startswith("ĐÃ HỌC LẠI ĐƯỢC từ 07:40 ngày 24/11, nhưng còn điều cần chú ý.\n")
    assert "CÒN CẦN CHÚ Ý\n- Băng thông chỉ đạt 2,74 Mb/s; cần ít nhất 4 Mb/s.\n" in text
    assert "CẦN LÀM GÌ\nTạm dừng tải xuống, xem phim" in text


def test_an_end_tells_what_the_trouble_became_besides_what_it_began_with() -> None:
    over = replace(ENDED.incident, first_findings=(SILENT,), findings=(LOSSY,))
    text = text_of(write(replace(ENDED, incident=over)))
    story = text[text.index("CHUYỆN ĐÃ XẢY RA") : text.index("CẦN LÀM GÌ")]
    assert story.index("Phòng đột ngột mất liên lạc") < story.index("mất gói 8,3 %")


def test_the_end_of_a_room_that_is_watched_no_more_says_nothing_of_the_room() -> None:
    gone = replace(ENDED.incident, end_level=None)
    text = text_of(write(replace(ENDED, incident=gone)))
    assert text.startswith("Phòng này không còn được theo dõi, từ 07:40 ngày 24/11.\n")
    assert "CẦN LÀM GÌ" not in text


@pytest.mark.parametrize(
    ("reason", "what", "vi", "en"),
    [
        (Reason.OPENED, LOSSY, "KHÔNG học được, từ 07:10 ngày 24/11.",
         "NOT usable for a lesson, since 07:10 on 24 November."),
        (Reason.OPENED, SILENT, "CHƯA RÕ phòng có học được không, từ 07:10 ngày 24/11.",
         "NOT KNOWN whether a lesson would work, since 07:10 on 24 November."),
        (Reason.OPENED, NARROW, "Phòng CẦN CHÚ Ý, từ 07:10 ngày 24/11.",
         "The room NEEDS ATTENTION, since 07:10 on 24 November."),
        (Reason.WORSENED, LOSSY, "ĐÃ NẶNG HƠN: nay KHÔNG học được. Sự cố bắt đầu từ 07:10 ngày 24/11.",
         "WORSE than before: now NOT usable for a lesson. The trouble began at"),
        (Reason.REMINDER, LOSSY, "VẪN KHÔNG học được, đã 14 giờ (từ 07:10 ngày 24/11).",
         "STILL NOT usable for a lesson, after 14 h (since 07:10 on 24 November)."),
        (Reason.REMINDER, SILENT, "VẪN CHƯA RÕ phòng có học được không, đã 14 giờ (từ 07:10 ngày 24/11).",
         "STILL NOT KNOWN whether a lesson would work, after 14 h (since 07:10 on"),
    ],
    ids=lambda value: value if isinstance(value, Reason) else getattr(value, "code", ""),
)  # fmt: skip
def test_the_first_line_says_how_things_stand(reason: Reason, what: object, vi: str, en: str) -> None:
    assert isinstance(what, type(LOSSY))
    one = notice(incident(what), reason)
    assert first_line(write(one, now=IN_THE_EVENING_S)) == vi
    assert first_line(write(one, language="en", now=IN_THE_EVENING_S)) == en


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("reason", Reason)
def test_there_are_words_for_every_reason_and_level(reason: Reason, level: Level, language: Language) -> None:
    ended_s = NOW_S + 60 if reason is Reason.ENDED else None
    one = replace(incident(finding(level=level), ended_s=ended_s), end_level=level if ended_s else None)
    assert "{" not in text_of(write(notice(one, reason), language=language))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", [*Code, "SOMETHING_NEWER"])
def test_there_are_words_for_every_code_measured_or_not(code: str, language: Language) -> None:
    bare = finding(code)
    measured = finding(code, value="loss_ratio", measured=0.5, needed=0.03)
    for message in (write(notice(incident(one)), language=language) for one in (bare, measured)):
        assert "{" not in text_of(message) + str(message["Subject"])


def test_an_incident_without_reasons_is_told_all_the_same() -> None:
    one = replace(incident(SILENT), findings=(), first_findings=())
    message = write(notice(one))
    assert first_line(message) == "CHƯA RÕ phòng có học được không, từ 07:10 ngày 24/11."
    assert (
        message["Subject"]
        == f"[Sẵn Sàng] THCS Lũng Cú, Phòng 1: CHƯA RÕ tình trạng {DASH} chưa rõ nguyên nhân (07:10 24/11)"
    )


def test_times_are_those_of_vietnam_with_the_year_when_it_is_another() -> None:
    new_year_s = 1_767_200_400.0  # 00:00 on 1 January 2026 in Vietnam, 17:00 the day before in UTC
    late = notice(incident(LOSSY, opened_s=new_year_s - 60))
    assert first_line(write(late, now=new_year_s - 1)) == "KHÔNG học được, từ 23:59 ngày 31/12."
    assert first_line(write(late, now=new_year_s)) == "KHÔNG học được, từ 23:59 ngày 31/12/2025."
    over = notice(incident(LOSSY, opened_s=new_year_s - 60, ended_s=new_year_s + 3600), Reason.ENDED)
    story = "từ 23:59 ngày 31/12/2025 đến 01:00 ngày 1/1 (kéo dài 61 phút)"
    assert story in " ".join(text_of(write(over, now=new_year_s + 3780)).split())


# The subject, and what mail programs make of it


def test_the_subject_says_which_room_and_what() -> None:
    assert write(OPENED)["Subject"] == (
        f"[Sẵn Sàng] THCS Lũng Cú, Phòng 1: KHÔNG học được {DASH} đường truyền mất gói (07:10 24/11)"
    )
    assert write(OPENED, language="en")["Subject"] == (
        f"[Sẵn Sàng] THCS Lũng Cú, Phòng 1: NOT usable {DASH} the link loses packets (07:10 24 Nov)"
    )


def test_a_rooms_name_that_says_its_school_is_enough() -> None:
    named = replace(FACTS, name="Phòng trực tuyến THCS Lũng Cú")
    assert str(write(OPENED, facts=named)["Subject"]).startswith("[Sẵn Sàng] Phòng trực tuyến THCS Lũng Cú: KHÔNG học")
    placeless = replace(FACTS, place=())
    assert str(write(OPENED, facts=placeless)["Subject"]).startswith("[Sẵn Sàng] Phòng 1: KHÔNG học")


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        (replace(incident(SILENT), worst=Level.UNFIT, level=Level.UNFIT, findings=(LOSSY,)), Reason.WORSENED),
        (replace(incident(SILENT), findings=(CAMERA,)), Reason.REMINDER),
        (incident(SILENT, ended_s=NOW_S + 1800), Reason.ENDED),
    ],
    ids=lambda value: value if isinstance(value, Reason) else "",
)
def test_all_letters_of_an_incident_to_a_person_are_one_conversation(later: object, reason: Reason) -> None:
    assert isinstance(later, type(OPENED.incident))
    opening = write(notice(incident(SILENT)))
    following = write(notice(later, reason), now=NOW_S + 2 * DAY_S)
    assert following["Subject"] == f"Re: {opening['Subject']}"
    assert following["References"] == following["In-Reply-To"] == opening["Message-ID"]
    assert opening["References"] is None
    to_another = write(notice(later, reason, LAN))
    assert to_another["References"] != opening["Message-ID"]


def test_the_first_letter_that_somebody_gets_is_no_reply_whatever_it_tells() -> None:
    worse = notice(replace(incident(SILENT), worst=Level.UNFIT, level=Level.UNFIT, findings=(LOSSY,)), Reason.WORSENED)
    assert write(worse, is_first=True)["Subject"] == (
        f"[Sẵn Sàng] THCS Lũng Cú, Phòng 1: KHÔNG học được {DASH} đường truyền mất gói (07:10 24/11)"
    )
    assert write(ENDED, is_first=True)["Subject"] == (
        f"[Sẵn Sàng] THCS Lũng Cú, Phòng 1: đã ổn {DASH} đường truyền mất gói (07:10 24/11 đến 07:40 24/11)"
    )


def test_whoever_is_told_first_when_it_is_worse_gets_a_subject_of_today() -> None:
    worse = notice(replace(incident(SILENT), worst=Level.UNFIT, level=Level.UNFIT, findings=(LOSSY,)))
    assert f"KHÔNG học được {DASH} đường truyền mất gói" in write(worse)["Subject"]


def test_the_same_notice_bears_the_same_id_and_every_other_another() -> None:
    assert write(OPENED)["Message-ID"] == write(OPENED, now=NOW_S + DAY_S)["Message-ID"]
    others = [
        OPENED,
        notice(recipient=LAN),
        notice(incident(number=2)),
        ENDED,
        notice(reason=Reason.REMINDER, number=1),
        notice(reason=Reason.REMINDER, number=2),
    ]
    ids = [write(one)["Message-ID"] for one in others]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"<[0-9a-f]{32}@example\.vn>", one) for one in ids)


def test_no_holiday_reply_comes_back_and_filters_find_what_they_need() -> None:
    message = write(OPENED)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["X-Sansang-Room"] == "lung-cu-1"
    assert message["X-Sansang-Incident"] == "20251124T001000001-lung-cu-1"
    assert message["X-Sansang-Reason"] == "opened"
    assert message["Date"] == "Mon, 24 Nov 2025 07:15:00 +0700"
    assert message["Content-Language"] == "vi"


def test_a_letter_is_small_and_plain_ascii_in_short_lines() -> None:
    findings = (LOSSY, CAMERA, finding("ROOM_SILENT_ON_BATTERY"))
    for language in LANGUAGES:
        raw = write(notice(incident(*findings)), language=language).as_bytes()
        assert raw.isascii()
        assert max(len(line) for line in raw.split(b"\r\n")) <= 78
        assert b"\n" not in raw.replace(b"\r\n", b"")
        assert len(raw) < 20_000


# The subject over the wire. gh-92081: what the standard library folds, it may not read again

VIETNAMESE = (
    "aàáảãạăằắẳẵặâầấẩẫậbcdđeèéẻẽẹêềếểễệghiìíỉĩịklmnoòóỏõọôồốổỗộơờớởỡợpqrstuùúủũụưừứửữựvxyỳýỷỹỵ"
    "AÀÁẢÃẠĂÂBCDĐEÊGHIKLMNOÔƠPQRSTUƯVXY0123456789"
)
WORDS = st.text(st.sampled_from(VIETNAMESE), min_size=1, max_size=12)
SENTENCES = st.lists(WORDS, min_size=1, max_size=30).map(" ".join)
NAMES = st.one_of(
    SENTENCES,
    st.lists(st.one_of(WORDS, st.sampled_from([DASH, "(2)", '"A"', "<b>", ",", ";", "\\", "@", "."])), min_size=1).map(
        " ".join
    ),
)


def over_the_wire(message: EmailMessage) -> EmailMessage:
    return message_from_bytes(message.as_bytes(), policy=email.policy.default)


@settings(deadline=None)
@given(SENTENCES)
def test_a_vietnamese_subject_arrives_as_it_was_written(subject: str) -> None:
    message = EmailMessage(policy=LETTER_POLICY)
    message["Subject"] = subject
    message.set_content("")
    raw = message.as_bytes()
    assert all(len(line) <= 76 for line in raw.split(b"\r\n"))
    assert over_the_wire(message)["Subject"] == subject
    assert message.as_string().encode().splitlines() == raw.splitlines()


@settings(deadline=None)
@given(NAMES, NAMES)
def test_whatever_a_room_and_a_person_are_called_their_names_arrive(room: str, person: str) -> None:
    facts = replace(FACTS, name=room, place=())
    message = write(notice(recipient=Recipient(address="pao@example.vn", name=person, language="vi")), facts=facts)
    read = over_the_wire(message)
    assert room in read["Subject"]
    assert named(message, "To") == (person, "pao@example.vn")
    assert named(message, "From") == ("Sẵn Sàng", "sansang@example.vn")
    assert not any(part.defects for part in (read, read["Subject"], read["To"], read["From"]))


def named(message: EmailMessage, header: str) -> tuple[str, str]:
    """Name and address in a header, by RFC 2047. (The library's newer reader puts a space into names that are long.)"""
    phrase, spec = parseaddr(message_from_bytes(message.as_bytes())[header])
    return str(make_header(decode_header(phrase))), spec


@pytest.mark.parametrize("break_", ["\r\n", "\n", "\u2028", "\x85", "\x00", "\t"])
def test_no_name_can_put_a_header_of_its_own_into_a_letter(break_: str) -> None:
    name = f"Phòng 1{break_}Bcc: all@example.vn"
    facts = replace(FACTS, name=name)
    read = over_the_wire(write(notice(recipient=replace(PAO, name=name)), facts=facts))
    assert read["Bcc"] is None
    assert "Phòng 1 Bcc: all@example.vn" in read["Subject"]
    assert [one.addr_spec for one in read["To"].addresses] == ["pao@example.vn"]


@pytest.mark.parametrize(
    "sender", ["sansang@example.vn", "SanSang <sansang@example.vn>", '"Sở GD&ĐT, Hà Giang" <so@example.vn>']
)
def test_a_sender_may_have_any_name_or_none(sender: str) -> None:
    read = over_the_wire(compose(OPENED, FACTS, "vi", sender=sender, now=NOW_S, base_url=PAGES))
    (shown,) = read["From"].addresses
    assert sender.endswith(f"{shown.addr_spec}>") or sender == shown.addr_spec
    assert shown.display_name in sender


# HTML


class Elements(HTMLParser):
    """Tags with their attributes, and the visible words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "title" not in self.open:
            self.words += data.split()


@pytest.mark.parametrize("one", [OPENED, ENDED], ids=["opened", "ended"])
def test_text_and_html_say_the_same(one: Notice) -> None:
    message = write(one, facts=replace(FACTS, contacts=(PAO,)))
    shown = " ".join(Elements(html_of(message)).words).lower()
    # A phone shows it beside the subject, which stays the first letter's: there it is read that the trouble is over.
    assert shown.startswith(text_of(message).splitlines()[0].lower())
    for block in text_of(message).split("\n\n"):
        for line in block.splitlines():
            words = re.sub(r"^(- |\d+\. )", "", line.strip()).lower()
            assert words.removesuffix(" http://10.0.0.1:8080/rooms/lung-cu-1").removesuffix(":") in shown


def test_html_loads_nothing_and_forces_no_colour_of_text_or_ground() -> None:
    found = Elements(html_of(write(OPENED)))
    assert found.open == []
    assert {tag for tag, _ in found.tags} <= {
        "html", "head", "meta", "title", "body", "div", "p", "h2", "ol", "li", "a", "span",
    }  # fmt: skip
    links = [(name, value) for _, given in found.tags for name, value in given.items() if name in ("href", "src")]
    assert links == [("href", "http://10.0.0.1:8080/rooms/lung-cu-1")]
    styles = " ".join(given.get("style") or "" for _, given in found.tags)
    assert "url(" not in styles
    assert "background" not in styles
    assert re.search(r"(?<![-\w])color\s*:", styles) is None
    assert ("meta", {"name": "color-scheme", "content": "light dark"}) in found.tags


def test_no_name_becomes_html() -> None:
    sly = "<script>alert(1)</script>"
    facts = replace(FACTS, name=sly, place=(sly,), contacts=(replace(PAO, name=sly),))
    message = compose(
        notice(incident(replace(LOSSY, target=f"lesson.{sly}")), recipient=replace(PAO, name=sly)),
        facts,
        "vi",
        sender=SENDER,
        now=NOW_S,
        base_url=f'{PAGES}/"{sly}',
    )
    html = html_of(message)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert {tag for tag, _ in Elements(html).tags}.isdisjoint({"script"})


def test_a_test_mail_says_that_nothing_is_wrong() -> None:
    message = compose_test("lan@example.vn", "vi", sender=SENDER, now=NOW_S)
    assert message["Subject"] == "[Sẵn Sàng] Thư thử"
    assert (
        text_of(message)
        == """\
Đường gửi thư hoạt động.

Đây là thư thử, do người quản trị gửi bằng lệnh sansang-collector
test-mail. Không phòng nào có sự cố.

Tình hình lúc 07:10 ngày 24/11, giờ Việt Nam.
"""
    )


def test_every_sentence_of_letters_stands_in_both_languages() -> None:
    ours = {code: texts for code, texts in entries().items() if code.startswith(("letter.", "mail."))}
    assert ours
    assert [code for code, texts in ours.items() if set(texts) != set(LANGUAGES)] == []
    marks = {
        code: {language: set(re.findall(r"{\w+}", texts[language])) for language in LANGUAGES}
        for code, texts in ours.items()
    }
    assert [code for code, found in marks.items() if found["vi"] != found["en"]] == []


SILENCE = replace(FACTS, silence=Explanation(
    cause=Cause.AREA_POWER, certainty=Certainty.LIKELY,
    evidence=(Witness.NEIGHBOURS_SILENT, Witness.WAS_ON_BATTERY), against=(Witness.DEVICES_RAN_ON,),
))  # fmt: skip


def test_a_letter_about_a_silent_room_says_why_it_is_not_heard_how_surely_and_by_what() -> None:
    text = " ".join(text_of(write(notice(incident(SILENT)), facts=SILENCE)).split())
    assert "Mất điện cả khu vực (rất có thể)." in text
    assert "các phòng lân cận cũng mất liên lạc cùng lúc, lần cuối liên lạc, phòng đang chạy bằng bộ lưu điện" in text
    assert "Điều không khớp: các thiết bị khác vẫn chạy liên tục." in text


@pytest.mark.parametrize(
    ("findings", "facts"),
    [
        pytest.param((CAMERA,), SILENCE, id="the letter is about a camera"),
        pytest.param((SILENT,), FACTS, id="nothing is known of a silence"),
        pytest.param((SILENT,), replace(FACTS, silence=Explanation()), id="nobody knows why"),
    ],
)
def test_a_letter_gives_no_cause_of_a_silence_that_it_is_not_about_or_that_nobody_knows(
    findings: tuple[Finding, ...], facts: RoomFacts
) -> None:
    assert "Vì sao mất liên lạc" not in text_of(write(notice(incident(*findings)), facts=facts))
