from email.message import EmailMessage

from collector.web.letters import read_mail
from tests.collector.web import demo


def test_a_mail_is_read_with_its_vietnamese_subject() -> None:
    mail = read_mail(demo.mail())
    assert mail.subject == demo.SUBJECT
    assert mail.sender == "Sẵn Sàng <sansang@example.org>"
    assert mail.text.startswith("Kính gửi thầy,")
    assert "Không học được" in mail.html


def test_a_mail_of_text_alone_has_no_html() -> None:
    message = EmailMessage()
    message.set_content("chào")
    mail = read_mail(message.as_bytes())
    assert (mail.text, mail.html, mail.subject, mail.dated_s) == ("chào\n", "", "", None)


def test_an_unknown_charset_is_read_as_well_as_can_be() -> None:
    raw = "Content-Type: text/plain; charset=x-moon\nContent-Transfer-Encoding: 8bit\nDate: soon\n\nđường truyền\n"
    mail = read_mail(raw.encode())
    assert mail.text == "đường truyền\n"
    assert mail.dated_s is None


def test_bytes_that_are_no_mail_do_not_break_the_page() -> None:
    assert read_mail(b"\x00\xff\xfe").html == ""
