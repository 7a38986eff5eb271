"""Letters through a real relay, with everything that relays do."""

import itertools
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import Engine, text

from collector.alerting.decide import Notice, Reason, Recipient
from collector.alerting.letter import compose
from collector.authority import Authority
from collector.mail.mailer import Mailer
from collector.mail.outbox import Outbox
from collector.mail.relay import MailFailed, MailSettings, send_test_mail
from collector.storage.database import DatabaseRefused, open_database, sqlite_url
from collector.web.letters import LetterState, LetterView
from contract.settings import SettingsError, build
from tests.collector.alerting.troubles import DAY_S, FACTS, LAN, NOW_S, PAGES, PAO, SENDER, incident, notice
from tests.support.hand_clock import HandClock
from tests.support.ports import LOOPBACK, free_port
from tests.support.smtp import Misdeed, Relay, StartRelay

AN_HOUR_S = 3600.0


class Post:
    """An outbox and a clock, and what a test does with them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.outbox = Outbox(engine)
        self.clock = HandClock(NOW_S)

    def put(self, *notices: Notice) -> None:
        for one in notices:
            message = compose(one, FACTS, one.recipient.language, sender=SENDER, now=self.clock.now, base_url=PAGES)
            self.outbox.put(one, message, self.clock.now)

    def mailer(self, settings: MailSettings) -> Mailer:
        return Mailer(self.outbox, settings, clock_s=self.clock, language="en")

    def states(self) -> list[tuple[str, str]]:
        """State and server's words of each letter, oldest first."""
        return [(one.state.value, one.server_words) for one in reversed(self.outbox.letters(100))]

    def newest(self) -> LetterView:
        return self.outbox.letters(1)[0]

    def await_due(self) -> None:
        """Let time pass until the next try."""
        due_s = self.outbox.next_try_s()
        assert due_s is not None
        self.clock.now = due_s


class Trust(NamedTuple):
    """A relay's certificate, and what to set so that it is believed; the login that it wants."""

    server: ssl.SSLContext
    ca: Path
    password_file: Path
    login: tuple[str, str] = ("sansang", "hoa ban trang")

    @property
    def settings(self) -> dict[str, object]:
        return {"user": self.login[0], "password_file": str(self.password_file), "ca": str(self.ca)}


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    engine = open_database(sqlite_url(tmp_path / "collector.db"))
    yield Post(engine)
    engine.dispose()


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("hoa ban trang\n", encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.fixture
def trust(tmp_path: Path, password_file: Path) -> Trust:
    authority = Authority(tmp_path / "authority", time.time())
    issued = authority.issue_server(["localhost"], [LOOPBACK])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (tmp_path / "relay.crt").write_text(issued.certificate, encoding="ascii")
    (tmp_path / "relay.key").write_text(issued.key, encoding="ascii")
    context.load_cert_chain(tmp_path / "relay.crt", tmp_path / "relay.key")
    return Trust(context, authority.certificate_path, password_file)


def settings_for(relay: Relay, **changed: object) -> MailSettings:
    wanted = {"mode": "smtp", "sender": SENDER, "host": relay.host, "port": relay.port, "security": "none"}
    return build({**wanted, **changed}, MailSettings, source="test")


def to(recipient: Recipient, number: int = 1) -> Notice:
    return notice(incident(number=number), recipient=recipient)


def in_time(holds: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + 30
    while not holds():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.01)
    return True


# Delivered


def test_a_letter_is_delivered_as_it_was_written(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    post.put(to(PAO))
    post.clock.advance(2)
    post.mailer(settings_for(relay)).send_due()
    (delivered,) = relay.letters
    assert (delivered.sender, delivered.to) == ("sansang@example.vn", ("pao@example.vn",))
    assert delivered.raw == post.outbox.letter(post.newest().letter)
    assert delivered.message["Subject"] == post.newest().subject
    assert delivered.message["To"] == "Giàng A Páo <pao@example.vn>"
    assert post.states() == [("sent", "250 2.0.0 taken")]
    assert [(one.queued_s, one.sent_s) for one in post.outbox.news()] == [(NOW_S, None), (NOW_S, NOW_S + 2)]


def test_many_letters_go_over_one_connection(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    post.put(*(to(PAO, number) for number in range(20)))
    post.mailer(settings_for(relay)).send_due()
    assert (len(relay.letters), relay.connections_count) == (20, 1)
    assert post.outbox.waiting_count() == 0


def test_the_thread_sends_when_it_is_woken(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    mailer = post.mailer(settings_for(relay))
    mailer.start()
    post.put(to(PAO))
    mailer.wake()
    assert in_time(lambda: post.outbox.waiting_count() == 0)
    mailer.stop()
    assert len(relay.letters) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_letter_goes_over_tls_after_a_login(security: str, post: Post, mail_relay: StartRelay, trust: Trust) -> None:
    late = security == "starttls"
    relay = mail_relay(tls=None if late else trust.server, starttls=trust.server if late else None, login=trust.login)
    post.put(to(PAO))
    post.mailer(settings_for(relay, security=security, **trust.settings)).send_due()
    assert post.states() == [("sent", "250 2.0.0 taken")]
    assert relay.logins == [trust.login]
    assert len(relay.greetings) == (2 if late else 1), "what was learned before TLS is asked again"


def test_a_letter_goes_over_starttls_to_a_relay_that_wants_no_login(
    post: Post, mail_relay: StartRelay, trust: Trust
) -> None:
    relay = mail_relay(starttls=trust.server)
    post.put(to(PAO))
    post.mailer(settings_for(relay, security="starttls", ca=str(trust.ca))).send_due()
    assert post.states() == [("sent", "250 2.0.0 taken")]


def test_the_relay_is_greeted_with_a_name_or_an_address(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    for helo in ("giam-sat.example.vn", ""):
        post.put(to(PAO, len(helo)))
        post.mailer(settings_for(relay, helo=helo)).send_due()
    assert relay.greetings[0] == "giam-sat.example.vn"
    assert relay.greetings[1] == "[127.0.0.1]" or "." in relay.greetings[1]


# Put off


def test_greylisting_is_waited_out(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    relay.then("RCPT", "450 4.7.1 come back in a minute")
    mailer = post.mailer(settings_for(relay))
    post.put(to(PAO), to(LAN))
    mailer.send_due()
    words = f"mail relay 127.0.0.1:{relay.port}: recipient pao@example.vn refused: 450 4.7.1 come back in a minute"
    assert post.states() == [("waiting", words), ("sent", "250 2.0.0 taken")]
    post.clock.advance(59)
    mailer.send_due()
    assert post.outbox.waiting_count() == 1
    post.clock.advance(20)
    mailer.send_due()
    assert post.states()[0] == ("sent", "250 2.0.0 taken")
    assert [one.to for one in relay.letters] == [("lan@example.vn",), ("pao@example.vn",)]


def test_the_waits_double_up_to_an_hour_and_end_after_five_days(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    relay.then("RCPT", *["451 4.3.0 not now"] * 1000)
    mailer = post.mailer(settings_for(relay))
    post.put(to(PAO))
    tried_s: list[float] = []
    while post.outbox.waiting_count():
        mailer.send_due()
        if post.newest().tries_count > len(tried_s):
            tried_s.append(post.clock.now - NOW_S)
        if post.outbox.waiting_count():
            post.await_due()
    waits_s = [after - before for before, after in itertools.pairwise(tried_s)]
    assert 60 <= waits_s[0] <= 72
    assert all(1 <= after / before <= 2.41 for before, after in itertools.pairwise(waits_s[:6]))
    assert all(AN_HOUR_S <= wait_s <= 1.2 * AN_HOUR_S for wait_s in waits_s[10:])
    assert 100 < len(tried_s) < 140
    assert 5 * DAY_S <= post.clock.now - NOW_S <= 5 * DAY_S + 2 * AN_HOUR_S
    last = f"mail relay 127.0.0.1:{relay.port}: recipient pao@example.vn refused: 451 4.3.0 not now"
    assert post.states() == [("refused", f"gave up after 5 days; the last time: {last}")]


def test_a_clock_that_jumps_years_ahead_gives_up_no_letter(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    post.clock.now = 0.0
    post.put(to(PAO))
    post.clock.now = NOW_S
    post.mailer(settings_for(relay)).send_due()
    assert len(relay.letters) == 1


def test_a_clock_that_is_set_back_years_holds_back_no_letter(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    relay.then("RCPT", "450 4.7.1 later")
    post.clock.now = NOW_S + 900 * DAY_S
    mailer = post.mailer(settings_for(relay))
    post.put(to(PAO))
    mailer.send_due()
    post.clock.now = NOW_S
    mailer.send_due()
    assert len(relay.letters) == 1


def test_a_relay_that_is_down_for_a_day_loses_nothing(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    relay.stop()
    mailer = post.mailer(settings_for(relay))
    post.put(*(to(PAO, number) for number in range(5)))
    rounds_count = 0
    while post.clock.now < NOW_S + DAY_S:
        mailer.send_due()
        rounds_count += 1
        post.await_due()
    words = f"mail relay 127.0.0.1:{relay.port}: no connection: Connection refused"
    assert post.states() == [("waiting", words)] * 5
    assert rounds_count < 40, "all letters wait for the relay together"
    relay.start()
    mailer.send_due()
    assert len(relay.letters) == 5
    assert relay.connections_count == 1
    assert post.outbox.waiting_count() == 0


def test_when_the_relay_is_back_for_one_letter_it_gets_all(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    relay.stop()
    mailer = post.mailer(settings_for(relay))
    post.put(to(PAO, 1), to(PAO, 2))
    mailer.send_due()
    post.clock.advance(5)
    relay.start()
    mailer.send_due()
    assert relay.letters == [], "neither is due yet"
    post.put(to(PAO, 3))
    mailer.send_due()
    assert len(relay.letters) == 3


# Refused


@pytest.mark.parametrize(
    ("command", "answer", "what"),
    [
        ("RCPT", "550 5.1.1 no such user", "recipient pao@example.vn"),
        ("DATA", "554 5.7.1 looks like spam", "letter"),
        ("DOT", "554 5.6.0 looks like spam", "letter"),
    ],
)
def test_a_letter_refused_for_good_is_shown_and_stops_no_other(
    command: str, answer: str, what: str, post: Post, mail_relay: StartRelay
) -> None:
    relay = mail_relay()
    relay.then(command, answer)
    mailer = post.mailer(settings_for(relay))
    post.put(to(PAO), to(LAN))
    mailer.send_due()
    words = f"mail relay 127.0.0.1:{relay.port}: {what} refused: {answer}"
    assert post.states() == [("refused", words), ("sent", "250 2.0.0 taken")]
    assert (post.outbox.refused_count(), post.outbox.waiting_count()) == (1, 0)
    assert [one.refused_s for one in post.outbox.news() if one.address == PAO.address] == [None, NOW_S]
    post.clock.advance(DAY_S)
    mailer.send_due()
    assert [one.to for one in relay.letters] == [("lan@example.vn",)]


def test_a_sender_that_is_refused_waits_for_somebody_to_mend_the_settings(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    relay.then("MAIL", "553 5.7.1 not your address")
    post.put(to(PAO))
    post.mailer(settings_for(relay)).send_due()
    words = f"mail relay 127.0.0.1:{relay.port}: sender sansang@example.vn refused: 553 5.7.1 not your address"
    assert post.states() == [("waiting", words)]


@pytest.mark.parametrize(
    ("command", "answer", "problem"),
    [
        ("CONNECT", "554 5.7.1 on a list", "does not welcome us: 554 5.7.1 on a list"),
        ("CONNECT", Misdeed.DROP, "connection lost at connect: Connection unexpectedly closed"),
        ("STARTTLS", "454 4.7.0 no certificate", "STARTTLS refused: 454 4.7.0 no certificate"),
        ("AUTH", "535 5.7.8 wrong password", "login of sansang refused: 535 5.7.8 wrong password"),
        ("AUTH", "454 4.7.0 try later", "login of sansang refused: 454 4.7.0 try later"),
    ],
)
def test_a_relay_that_lets_nobody_in_is_quoted_and_tried_again(  # noqa: PLR0917 - a table and the parts it needs
    command: str, answer: str | Misdeed, problem: str, post: Post, mail_relay: StartRelay, trust: Trust
) -> None:
    relay = mail_relay(starttls=trust.server, login=trust.login)
    relay.then(command, answer)
    if command == "AUTH":
        relay.then(command, answer)  # smtplib tries the next mechanism
    mailer = post.mailer(settings_for(relay, security="starttls", **trust.settings))
    post.put(to(PAO))
    mailer.send_due()
    ((state, words),) = post.states()
    assert state == "waiting"
    assert words == f"mail relay 127.0.0.1:{relay.port}: {problem}"
    assert post.newest().tries_count == 1
    post.clock.advance(80)
    mailer.send_due()
    assert post.states() == [("sent", "250 2.0.0 taken")]


def test_no_password_and_no_letter_goes_to_a_relay_without_starttls(
    post: Post, mail_relay: StartRelay, trust: Trust
) -> None:
    relay = mail_relay(login=trust.login)
    post.put(to(PAO))
    post.mailer(settings_for(relay, security="starttls", **trust.settings)).send_due()
    advice = 'offers no STARTTLS; if it is the right relay, set security = "tls" or "none"'
    assert post.states() == [("waiting", f"mail relay 127.0.0.1:{relay.port}: {advice}")]
    assert relay.logins == []


def test_a_relay_that_nobody_vouches_for_gets_nothing(post: Post, mail_relay: StartRelay, trust: Trust) -> None:
    relay = mail_relay(starttls=trust.server, login=trust.login)
    post.put(to(PAO))
    without_ca = {name: one for name, one in trust.settings.items() if name != "ca"}
    post.mailer(settings_for(relay, security="starttls", **without_ca)).send_due()
    ((state, words),) = post.states()
    assert state == "waiting"
    assert words.startswith(f"mail relay 127.0.0.1:{relay.port}: TLS failed: ")
    assert "certificate" in words
    assert relay.logins == []


def test_a_relay_that_takes_no_login_says_what_to_leave_out(
    post: Post, mail_relay: StartRelay, password_file: Path
) -> None:
    relay = mail_relay()
    relay.then("EHLO", "250 relay.test")
    post.put(to(PAO))
    post.mailer(settings_for(relay, user="sansang", password_file=str(password_file))).send_due()
    words = f"mail relay 127.0.0.1:{relay.port}: takes no login (AUTH); leave out user and password_file"
    assert post.states() == [("waiting", words)]


def test_a_password_that_no_login_can_carry_is_named(post: Post, mail_relay: StartRelay, password_file: Path) -> None:
    relay = mail_relay(login=("sansang", "hoa ban trang"))
    password_file.write_text("mật khẩu", encoding="utf-8")
    post.put(to(PAO))
    post.mailer(settings_for(relay, user="sansang", password_file=str(password_file))).send_due()
    words = (
        f"mail relay 127.0.0.1:{relay.port}: the name sansang or its password is not plain ASCII, which no login takes"
    )
    assert post.states() == [("waiting", words)]


def test_a_password_file_that_has_gone_is_named(post: Post, mail_relay: StartRelay, password_file: Path) -> None:
    relay = mail_relay(login=("sansang", "hoa ban trang"))
    settings = settings_for(relay, user="sansang", password_file=str(password_file))
    password_file.unlink()
    post.put(to(PAO))
    post.mailer(settings).send_due()
    assert post.states() == [("waiting", f"cannot read the password file {password_file}: No such file or directory")]


# Broken off


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "DOT"])
def test_a_connection_that_breaks_holds_up_only_the_letter_in_hand(
    command: str, post: Post, mail_relay: StartRelay
) -> None:
    relay = mail_relay()
    relay.then(command, Misdeed.DROP)
    mailer = post.mailer(settings_for(relay))
    post.put(to(PAO), to(LAN))
    mailer.send_due()
    step = {"MAIL": "MAIL FROM", "RCPT": "RCPT TO", "DOT": "DATA"}.get(command, command)
    (state, words), other = post.states()
    assert state == "waiting"
    assert words.startswith(f"mail relay 127.0.0.1:{relay.port}: connection lost at {step}: Connection unexpectedly")
    assert other == ("sent", "250 2.0.0 taken")
    post.clock.advance(80)
    mailer.send_due()
    assert [one.to for one in relay.letters] == [("lan@example.vn",), ("pao@example.vn",)]


def test_a_relay_that_closes_before_its_250_gets_the_same_letter_again(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    relay.then("DOT", Misdeed.LATE_DROP)
    mailer = post.mailer(settings_for(relay))
    post.put(to(PAO))
    mailer.send_due()
    assert post.outbox.waiting_count() == 1, "what no 250 was said to may be lost"
    post.clock.advance(80)
    mailer.send_due()
    first, again = relay.letters
    assert first == again
    assert first.message["Message-ID"] == again.message["Message-ID"]


def test_a_relay_that_has_had_enough_is_greeted_anew(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    mailer = post.mailer(settings_for(relay))
    relay.then("DOT", "250 2.0.0 taken", "421 4.7.0 enough letters for one connection")
    post.put(to(PAO, 1), to(PAO, 2), to(PAO, 3))
    mailer.send_due()
    assert (len(relay.letters), relay.connections_count) == (2, 2)
    post.clock.advance(80)
    mailer.send_due()
    assert len(relay.letters) == 3


def test_letters_over_which_the_relay_breaks_off_do_not_stand_before_all_others(
    post: Post, mail_relay: StartRelay
) -> None:
    relay = mail_relay()
    mailer = post.mailer(settings_for(relay))
    post.put(*(to(PAO, number) for number in range(5)))
    relay.then("DATA", Misdeed.DROP, Misdeed.DROP, Misdeed.DROP)
    mailer.send_due()
    assert relay.letters == []
    assert relay.connections_count == 3, "three in a row: it is the relay, not a letter"
    post.await_due()
    mailer.send_due()
    numbers = [one.message["X-Sansang-Incident"] for one in relay.letters]
    assert [number[15:18] for number in numbers] == ["003", "004", "000", "001", "002"]


def test_stopping_waits_for_no_relay_that_hangs(post: Post, mail_relay: StartRelay) -> None:
    for command in ("CONNECT", "DOT"):
        relay = mail_relay()
        relay.then(command, Misdeed.HANG)
        mailer = post.mailer(settings_for(relay))
        post.put(to(PAO, len(post.outbox.letters(9))))
        mailer.start()
        assert relay.hangs.wait(20)
        mailer.stop()
        assert not [one for one in threading.enumerate() if one.name == "mailer"], command
        post.clock.advance(AN_HOUR_S)
    assert post.outbox.waiting_count() == 2


def test_a_relay_that_says_nothing_for_too_long_is_left(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    relay.then("RCPT", Misdeed.HANG)
    post.put(to(PAO), to(LAN))
    post.mailer(settings_for(relay, timeout_s=1)).send_due()
    words = f"mail relay 127.0.0.1:{relay.port}: connection lost at RCPT TO: Connection unexpectedly closed: timed out"
    assert post.states() == [("waiting", words), ("sent", "250 2.0.0 taken")]


def test_stopping_one_that_sleeps_takes_no_time(post: Post, mail_relay: StartRelay) -> None:
    mailer = post.mailer(settings_for(mail_relay()))
    mailer.start()
    mailer.stop()
    assert not [one for one in threading.enumerate() if one.name == "mailer"]


# Written down

KILLED_BETWEEN = """
import os, sys
from collector.storage.database import open_database
from collector.mail.mailer import Mailer
from collector.mail.relay import MailSettings
from collector.mail.outbox import Outbox

class Killed(Outbox):
    def sent(self, letters, now, words, *, mail=None):
        os._exit(9)  # as a power cut would: after the relay's 250, before ours is on disk

url, host, port, sender, now = sys.argv[1:]
settings = MailSettings(mode="smtp", sender=sender, host=host, port=int(port), security="none")
Mailer(Killed(open_database(url)), settings, clock_s=lambda: float(now)).send_due()
"""


def test_a_kill_between_sending_and_writing_it_down_repeats_exactly_one_letter(
    post: Post, mail_relay: StartRelay
) -> None:
    relay = mail_relay()
    post.put(to(PAO, 1), to(PAO, 2), to(PAO, 3))
    arguments = [str(post.engine.url), relay.host, str(relay.port), SENDER, str(post.clock.now)]
    killed = subprocess.run([sys.executable, "-c", KILLED_BETWEEN, *arguments], check=False, timeout=60)
    assert killed.returncode == 9
    assert len(relay.letters) == 1
    mailer = post.mailer(settings_for(relay))
    mailer.send_due()
    assert len(relay.letters) == 3, "the one in doubt is not sent again at once: it might be what kills us"
    post.clock.advance(80)
    mailer.send_due()
    post.clock.advance(DAY_S)
    mailer.send_due()
    ids = [one.message["Message-ID"] for one in relay.letters]
    assert (len(ids), len(set(ids))) == (4, 3)
    assert post.outbox.letters(9)[2].state is LetterState.SENT


def test_a_letter_that_cannot_be_written_down_as_sent_is_not_sent_again_meanwhile(
    post: Post, mail_relay: StartRelay
) -> None:
    relay = mail_relay()
    mailer = post.mailer(settings_for(relay))
    post.put(to(PAO, 1), to(PAO, 2))
    with post.engine.begin() as connection:
        connection.execute(text(FULL_DISK))
    with pytest.raises(DatabaseRefused):
        mailer.send_due()
    for _ in range(3):
        post.clock.advance(AN_HOUR_S)
        with pytest.raises(DatabaseRefused):
            mailer.send_due()
    assert len(relay.letters) == 1
    with post.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER full_disk"))
    mailer.send_due()
    assert len(relay.letters) == 2
    assert [one.state.value for one in post.outbox.letters(2)] == ["sent", "sent"]


FULL_DISK = """
CREATE TRIGGER full_disk BEFORE UPDATE OF state ON letter WHEN NEW.state = 'sent'
BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END
"""


def test_a_letter_overtaken_by_a_newer_one_is_not_sent(post: Post, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    relay.stop()
    mailer = post.mailer(settings_for(relay))
    post.put(to(PAO))
    mailer.send_due()
    post.clock.advance(1800)
    post.put(notice(incident(ended_s=post.clock.now), Reason.ENDED))
    relay.start()
    mailer.send_due()
    post.clock.advance(DAY_S)
    mailer.send_due()
    (only,) = relay.letters
    assert only.message["X-Sansang-Reason"] == "ended"
    assert [state for state, _ in post.states()] == ["merged", "sent"]


# Without a relay


def test_without_mail_letters_are_kept_and_say_why_they_wait(post: Post) -> None:
    mailer = post.mailer(MailSettings())
    post.put(to(PAO))
    mailer.send_due()
    why = "no mail is configured ([mail] mode), so this letter is kept and nobody gets it"
    assert post.states() == [("waiting", why)]
    post.clock.advance(5 * DAY_S + 1)
    mailer.send_due()
    assert post.states() == [("refused", f"gave up after 5 days; the last time: {why}")]
    post.clock.advance(90 * DAY_S)
    mailer.send_due()
    assert post.states() == []


def test_once_mail_is_configured_what_waited_is_sent(post: Post, mail_relay: StartRelay) -> None:
    post.put(to(PAO))
    post.mailer(MailSettings()).send_due()
    relay = mail_relay()
    post.mailer(settings_for(relay)).send_due()
    assert post.states() == [("sent", "250 2.0.0 taken")]


def test_a_folder_gets_files_that_sort_by_time_and_open_as_mails(post: Post, tmp_path: Path) -> None:
    folder = tmp_path / "mail" / "out"
    mailer = post.mailer(MailSettings(mode="folder", folder=folder))
    post.put(to(PAO))
    mailer.send_due()
    post.clock.advance(61)
    post.put(to(LAN))
    mailer.send_due()
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["20251124T001000Z-000001-pao@example.vn.eml", "20251124T001101Z-000002-lan@example.vn.eml"]
    message = message_from_bytes((folder / names[0]).read_bytes(), policy=policy.default)
    assert message["To"] == "Giàng A Páo <pao@example.vn>"
    assert [state for state, _ in post.states()] == ["sent", "sent"]


def test_a_folder_that_cannot_be_written_is_named_and_tried_again(post: Post, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.write_text("a file stands in the way", encoding="utf-8")
    mailer = post.mailer(MailSettings(mode="folder", folder=folder))
    post.put(to(PAO))
    mailer.send_due()
    assert post.states() == [("waiting", f"mail folder {folder}: cannot write: File exists")]
    folder.unlink()
    post.clock.advance(80)
    mailer.send_due()
    assert [path.suffix for path in folder.iterdir()] == [".eml"]


# A test mail


def test_a_test_mail_goes_out_at_once(mail_relay: StartRelay) -> None:
    relay = mail_relay()
    assert send_test_mail(settings_for(relay), "lan@example.vn", "vi", NOW_S) == "250 2.0.0 taken"
    (delivered,) = relay.letters
    assert delivered.to == ("lan@example.vn",)
    assert delivered.message["Subject"] == "[Sẵn Sàng] Thư thử"


def test_a_test_mail_that_fails_says_what_was_tried_and_what_came_back(mail_relay: StartRelay) -> None:
    relay = mail_relay()
    relay.then("RCPT", "550 5.1.1 không có người này".encode("ascii", "replace").decode())
    with pytest.raises(MailFailed) as failed:
        send_test_mail(settings_for(relay), "lan@example.vn", "vi", NOW_S)
    assert str(failed.value) == (
        f"mail relay 127.0.0.1:{relay.port}: recipient lan@example.vn refused: 550 5.1.1 kh?ng c? ng??i n?y"
    )
    assert failed.value.permanent
    assert failed.value.text("vi").startswith(f"máy chủ thư 127.0.0.1:{relay.port}: từ chối người nhận lan@example.vn")


def test_a_test_mail_to_nobody_is_not_tried(mail_relay: StartRelay) -> None:
    relay = mail_relay()
    with pytest.raises(MailFailed, match=r"^cô Lan is not a mail address$"):
        send_test_mail(settings_for(relay), "cô Lan", "vi", NOW_S)
    assert relay.connections_count == 0


def test_a_test_mail_to_a_relay_that_is_not_there_is_no_traceback() -> None:
    port = free_port()
    settings = MailSettings(mode="smtp", sender=SENDER, host=LOOPBACK, port=port, security="none")
    with pytest.raises(MailFailed, match=f"^mail relay 127.0.0.1:{port}: no connection: Connection refused$") as failed:
        send_test_mail(settings, "lan@example.vn", "vi", NOW_S)
    assert not failed.value.permanent


# Settings


AN_ADDRESS = 'expected a mail address such as sansang@school.edu.vn or "Sẵn Sàng <sansang@school.edu.vn>"'


def problems(**raw: object) -> list[str]:
    try:
        build(raw, MailSettings, source="collector.toml")
    except SettingsError as error:
        return error.text("en").splitlines()
    return []


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"mode": "smtp", "sender": SENDER}, 'host: mode = "smtp" needs host = "…"'),
        ({"mode": "smtp", "host": "10.0.0.5"}, 'sender: mode = "smtp" needs sender = "…@…"'),
        ({"mode": "folder"}, 'folder: mode = "folder" needs folder = "…"'),
        ({"mode": "pigeon"}, "mode: expected one of none, smtp, folder, got 'pigeon'"),
        (
            {"sender": "Sẵn Sàng"},
            f"sender: {AN_ADDRESS}, got 'Sẵn Sàng'",
        ),
        (
            {"mode": "smtp", "sender": SENDER, "host": "10.0.0.5", "user": "sansang"},
            "user: user needs password_file",
        ),
        (
            {"mode": "smtp", "sender": SENDER, "host": "10.0.0.5", "ca": "/nowhere/ca.crt"},
            "ca: there is no file /nowhere/ca.crt",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_in_words(raw: dict[str, object], problem: str) -> None:
    assert problems(**raw) == [f"collector.toml: {problem}"]


def test_a_password_in_the_clear_is_for_this_machine_only(password_file: Path) -> None:
    raw = {
        "mode": "smtp", "sender": SENDER, "security": "none", "user": "sansang", "password_file": str(password_file),
    }  # fmt: skip
    assert problems(**raw, host="127.0.0.1") == []
    assert problems(**raw, host="10.0.0.5") == ['collector.toml: security: user needs security = "starttls" / "tls"']


def test_a_password_never_leaves_in_the_clear_whatever_the_settings_say(
    password_file: Path, mail_relay: StartRelay
) -> None:
    relay = mail_relay(login=("sansang", "hoa ban trang"))
    unchecked = MailSettings(
        mode="smtp",
        sender=SENDER,
        host="LOCALHOST",
        port=relay.port,
        security="none",
        user="sansang",
        password_file=password_file,
    )  # fmt: skip - a name that might lead anywhere
    with pytest.raises(MailFailed) as failed:
        send_test_mail(unchecked, "lan@example.vn", "vi", NOW_S)
    assert str(failed.value) == (
        f'mail relay LOCALHOST:{relay.port}: no password is sent without TLS; set security = "starttls" or "tls"'
    )
    assert relay.logins == []
