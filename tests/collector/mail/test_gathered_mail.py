"""Letters about rooms near each other leave as one mail, and what becomes of it is written on each of them."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from collector.alerting.decide import Notice, Reason, Recipient
from collector.alerting.letter import RoomFacts
from collector.alerting.told import Told
from collector.mail.desk import Desk
from collector.mail.mailer import Mailer
from collector.mail.outbox import Outbox
from collector.mail.relay import MailSettings
from collector.storage.cases import Cases
from collector.storage.database import open_database, sqlite_url
from contract.settings import build
from tests.collector.alerting.troubles import LAN, NOW_S, PAGES, PAO, SENDER, SILENT, incident, notice
from tests.support.hand_clock import HandClock
from tests.support.smtp import Misdeed, Relay, StartRelay

AN_HOUR_S: Final = 3600.0
GATHER_S: Final = 90.0


def facts_of(room: str) -> RoomFacts:
    return RoomFacts(room=room, name="Phòng 1", place=("Hà Giang", "Đồng Văn", f"THCS {room}"))


def opened(number: int, to: Recipient = PAO) -> Notice:
    return notice(incident(SILENT, room=f"room-{number}", number=number), recipient=to)


def ended(number: int) -> Notice:
    one = incident(SILENT, room=f"room-{number}", number=number, ended_s=NOW_S + 1800)
    return notice(one, Reason.ENDED)


class Office:
    """A desk, its outbox and a clock."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.outbox = Outbox(engine)
        self.clock = HandClock(NOW_S)
        self.is_restless = False
        self.told = Told()
        self._desk = Desk(
            self.outbox, Cases(engine), facts_of=facts_of, sender=SENDER, base_url=PAGES,
            gather_s=GATHER_S, is_restless=lambda _room, _now: self.is_restless,
        )  # fmt: skip

    def write(self, *notices: Notice) -> None:
        self._desk.owe(notices, self.told, self.clock.now)
        self._desk.write(self.clock.now)

    def mailer(self, relay: Relay) -> Mailer:
        wanted = {"mode": "smtp", "sender": SENDER, "host": relay.host, "port": relay.port, "security": "none"}
        settings = build(wanted, MailSettings, source="test")
        return Mailer(self.outbox, settings, clock_s=self.clock, language="en", base_url=PAGES)

    def await_due(self) -> None:
        due_s = self.outbox.next_try_s()
        assert due_s is not None
        self.clock.now = due_s

    def states(self) -> list[tuple[str, str]]:
        return [(one.state.value, one.server_words) for one in reversed(self.outbox.letters(100))]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    engine = open_database(sqlite_url(tmp_path / "collector.db"))
    yield Office(engine)
    engine.dispose()


def counts(relay: Relay) -> list[int]:
    """About how many incidents each mail is that the relay took."""
    return [len(str(one.message.get("X-Sansang-Incidents", "x")).split()) for one in relay.letters]


def test_fifteen_letters_to_one_person_about_one_district_are_one_mail(office: Office, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    office.write(*(opened(number) for number in range(1, 16)))
    office.mailer(relay).send_due()
    assert counts(relay) == [15]
    assert relay.letters[0].to == (PAO.address,)
    assert office.states() == [("sent", "sent in one mail about 15 rooms: 250 2.0.0 taken")] * 15
    shown = office.outbox.letter(office.outbox.letters(1)[0].letter)
    assert shown == relay.letters[0].raw, "what is shown of each is what was sent"
    office.told.update(office.outbox.news())
    assert all(one.sent_s == office.clock.now for one in office.told.all())
    office.clock.advance(30 * AN_HOUR_S)
    office.mailer(relay).send_due()
    assert len(relay.letters) == 1


def test_two_rooms_are_two_letters(office: Office, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    office.write(opened(1), opened(2))
    office.mailer(relay).send_due()
    assert counts(relay) == [1, 1]


def test_each_person_gets_what_is_theirs(office: Office, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    office.write(*(opened(number) for number in range(1, 5)), opened(1, LAN))
    office.mailer(relay).send_due()
    assert sorted((one.to[0], count) for one, count in zip(relay.letters, counts(relay), strict=True)) == [
        (LAN.address, 1), (PAO.address, 4),
    ]  # fmt: skip


def test_the_end_is_told_by_a_mail_of_its_own(office: Office, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    mailer = office.mailer(relay)
    office.write(*(opened(number) for number in range(1, 5)))
    mailer.send_due()
    office.clock.advance(1900)
    office.write(*(ended(number) for number in range(1, 5)), opened(9))
    mailer.send_due()
    assert counts(relay) == [4, 4, 1]
    assert "đã hết sự cố" in relay.letters[1].message["Subject"]


def test_a_letter_that_others_are_likely_to_follow_waits_for_them_and_no_longer(
    office: Office, mail_relay: StartRelay
) -> None:
    relay = mail_relay()
    mailer = office.mailer(relay)
    office.is_restless = True
    for number in range(1, 9):
        office.write(opened(number))
        mailer.send_due()
        office.clock.advance(10)
    assert relay.letters == []
    office.await_due()
    assert office.clock.now == NOW_S + GATHER_S
    mailer.send_due()
    assert counts(relay) == [8], "those not due yet went with the first"
    office.write(opened(20))
    office.await_due()
    mailer.send_due()
    assert counts(relay) == [8, 1]


def test_a_letter_that_stands_alone_waits_for_nobody(office: Office, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    office.write(opened(1))
    office.mailer(relay).send_due()
    assert counts(relay) == [1]
    assert relay.letters[0].message["X-Sansang-Incident"] == opened(1).incident.incident


def test_a_mail_that_is_refused_for_good_is_taken_apart(office: Office, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    mailer = office.mailer(relay)
    relay.script["DOT"].append("554 5.7.1 this is spam")
    office.write(*(opened(number) for number in range(1, 5)))
    mailer.send_due()
    assert relay.letters == []
    assert {state for state, _ in office.states()} == {"waiting"}
    for _ in range(4):
        office.clock.advance(90)
        mailer.send_due()
    assert counts(relay) == [1, 1, 1, 1]
    assert {state for state, _ in office.states()} == {"sent"}


def test_an_address_that_is_refused_for_good_is_refused_in_each_letter(office: Office, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    mailer = office.mailer(relay)
    relay.script["RCPT"].extend(["550 5.1.1 no such user"] * 9)
    office.write(*(opened(number) for number in range(1, 4)))
    for _ in range(4):
        mailer.send_due()
        office.clock.advance(90)
    assert relay.letters == []
    assert [state for state, _ in office.states()] == ["refused"] * 3


def test_a_relay_that_is_away_gets_one_mail_once_it_is_back(office: Office, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    mailer = office.mailer(relay)
    relay.script["CONNECT"].extend(["421 4.3.2 not now"] * 6)
    for number in range(1, 7):
        office.write(opened(number))
        mailer.send_due()
        office.clock.advance(5)
    office.clock.advance(AN_HOUR_S)
    mailer.send_due()
    assert counts(relay) == [6]
    assert {state for state, _ in office.states()} == {"sent"}


def test_what_ended_before_it_could_be_told_is_told_by_its_end_alone(office: Office, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    mailer = office.mailer(relay)
    office.is_restless = True
    office.write(*(opened(number) for number in range(1, 5)))
    office.write(ended(1))
    office.await_due()
    mailer.send_due()
    assert sorted(counts(relay)) == [1, 3]
    assert [state for state, _ in office.states()] == ["merged", "sent", "sent", "sent", "sent"]


def test_a_relay_that_closes_before_its_250_gets_the_same_mail_again(office: Office, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    mailer = office.mailer(relay)
    relay.script["DOT"].append(Misdeed.LATE_DROP)
    office.write(*(opened(number) for number in range(1, 5)))
    mailer.send_due()
    office.clock.advance(90)
    mailer.send_due()
    assert counts(relay) == [4, 4]
    assert len({one.message["Message-ID"] for one in relay.letters}) == 1
    assert {state for state, _ in office.states()} == {"sent"}


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


def test_a_kill_before_it_is_written_down_repeats_the_very_same_mail(office: Office, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    office.write(*(opened(number) for number in range(1, 7)))
    arguments = [str(office.engine.url), relay.host, str(relay.port), SENDER, str(office.clock.now)]
    killed = subprocess.run([sys.executable, "-c", KILLED_BETWEEN, *arguments], check=False, timeout=60)
    assert killed.returncode == 9
    assert counts(relay) == [6]
    office.clock.advance(90)
    office.mailer(relay).send_due()
    assert counts(relay) == [6, 6]
    assert len({one.message["Message-ID"] for one in relay.letters}) == 1
    assert {state for state, _ in office.states()} == {"sent"}


@pytest.mark.parametrize("places", [(), ("Hà Giang",) * 2], ids=["no place", "one area"])
def test_rooms_without_a_place_are_not_gathered(places: Sequence[str], tmp_path: Path, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    engine = open_database(sqlite_url(tmp_path / "other.db"))
    office = Office(engine)
    desk = Desk(
        office.outbox, Cases(engine), facts_of=lambda room: replace(facts_of(room), place=tuple(places)),
        sender=SENDER, base_url=PAGES,
    )  # fmt: skip
    desk.owe([opened(number) for number in range(1, 4)], office.told, NOW_S)
    desk.write(NOW_S)
    office.mailer(relay).send_due()
    assert counts(relay) == ([3] if places else [1, 1, 1])
    engine.dispose()


def test_parts_of_letters_that_have_left_are_not_kept(office: Office, mail_relay: StartRelay) -> None:
    relay = mail_relay()
    mailer = office.mailer(relay)
    office.write(*(opened(number) for number in range(1, 5)))
    mailer.send_due()
    office.clock.advance(2 * AN_HOUR_S)
    mailer.send_due()
    with office.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM letter_part").scalar() == 0
