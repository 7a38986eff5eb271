"""The outbox on a real SQLite file: durable, each notice once, and who was told what."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from collector.alerting.decide import Notice, Reason
from collector.alerting.health import Daily
from collector.alerting.letter import compose
from collector.alerting.told import Telling
from collector.mail.outbox import KEPT_S, Outbox
from collector.storage.database import open_database, sqlite_url
from collector.web.letters import Letters, LetterState, read_mail
from tests.collector.alerting.troubles import DAY_S, FACTS, LAN, NOW_S, PAGES, PAO, SENDER, incident, notice


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(sqlite_url(tmp_path / "collector.db"))
    yield made
    made.dispose()


@pytest.fixture
def outbox(engine: Engine) -> Outbox:
    return Outbox(engine)


def put(outbox: Outbox, one: Notice, now: float = NOW_S) -> bool:
    message = compose(one, FACTS, one.recipient.language, sender=SENDER, now=now, base_url=PAGES)
    return outbox.put(one, message, now)


def states(outbox: Outbox) -> list[str]:
    """Of each letter, oldest first."""
    return [one.state.value for one in reversed(outbox.letters(100))]


def test_a_notice_is_written_once_however_often_it_is_put(engine: Engine, outbox: Outbox) -> None:
    assert put(outbox, notice())
    assert not put(outbox, notice(), NOW_S + 5)
    assert not put(Outbox(engine), notice(), NOW_S + 10), "nor after a restart"
    (only,) = outbox.letters(10)
    assert (only.written_s, only.state, only.to) == (NOW_S, LetterState.WAITING, ("pao@example.vn",))
    assert outbox.waiting_count() == 1


def test_a_letter_that_was_sent_is_not_put_again(outbox: Outbox) -> None:
    put(outbox, notice())
    outbox.sent((1,), NOW_S + 1, "250 OK")
    assert not put(outbox, notice(), NOW_S + 5)
    assert states(outbox) == ["sent"]


def test_only_whose_letter_left_counts_as_told_of_an_incident(outbox: Outbox) -> None:
    one, other = incident(number=1), incident(number=2)
    put(outbox, notice(one))
    put(outbox, notice(one, recipient=LAN))
    put(outbox, notice(other))
    outbox.sent((1,), NOW_S + 1, "250 OK")
    assert outbox.addressees([one.incident, other.incident]) == {one.incident: ("pao@example.vn",)}
    outbox.sent((2,), NOW_S + 2, "250 OK")
    assert outbox.addressees([one.incident]) == {one.incident: ("pao@example.vn", LAN.address)}


def test_a_newer_letter_takes_the_place_of_one_that_still_waits(outbox: Outbox) -> None:
    put(outbox, notice())
    put(outbox, notice(incident(ended_s=NOW_S + 1800), Reason.ENDED), NOW_S + 2000)
    assert states(outbox) == ["merged", "waiting"]
    assert [one.letter for one in outbox.due(NOW_S + 2000, 10)] == [2]
    assert outbox.waiting_count() == 1


def test_a_letter_takes_no_place_of_another_person_or_another_incident(outbox: Outbox) -> None:
    put(outbox, notice(incident(number=1)))
    put(outbox, notice(incident(number=1), recipient=LAN))
    put(outbox, notice(incident(number=2)))
    assert states(outbox) == ["waiting"] * 3


def test_a_letter_that_was_sent_before_keeps_its_place(outbox: Outbox) -> None:
    put(outbox, notice())
    outbox.sent((1,), NOW_S + 1, "250 OK")
    put(outbox, notice(incident(ended_s=NOW_S + 1800), Reason.ENDED), NOW_S + 2000)
    assert states(outbox) == ["sent", "waiting"]


def test_a_letter_that_left_while_a_newer_one_was_written_counts_as_sent(outbox: Outbox) -> None:
    put(outbox, notice())
    (underway,) = outbox.due(NOW_S, 10)
    assert outbox.claim(underway, NOW_S + 60)
    put(outbox, notice(incident(ended_s=NOW_S + 1800), Reason.ENDED), NOW_S + 2000)
    outbox.sent((underway.letter,), NOW_S + 2001, "250 OK")
    assert states(outbox) == ["sent", "waiting"]


def test_a_letter_is_claimed_by_one_only(engine: Engine, outbox: Outbox) -> None:
    put(outbox, notice())
    (seen,) = outbox.due(NOW_S, 10)
    (seen_by_another,) = Outbox(engine).due(NOW_S, 10)
    assert outbox.claim(seen, NOW_S + 60)
    assert not outbox.claim(seen_by_another, NOW_S + 60)
    assert outbox.due(NOW_S, 10) == ()
    assert outbox.next_try_s() == NOW_S + 60


def test_the_news_are_what_has_become_of_letters_since_the_last_call(outbox: Outbox) -> None:
    opened, ended = notice(), notice(incident(ended_s=NOW_S + 1800), Reason.ENDED)
    put(outbox, opened)

    def telling(one: Notice, queued_s: float) -> Telling:
        return Telling(key=one.key, incident=one.incident.incident, address="pao@example.vn", queued_s=queued_s)

    assert outbox.news() == (telling(opened, NOW_S),)
    assert outbox.news() == ()
    put(outbox, ended, NOW_S + 2000)
    assert outbox.news() == (
        telling(ended, NOW_S + 2000),
        replace(telling(opened, NOW_S), merged_s=NOW_S + 2000),
    )
    outbox.refused(2, NOW_S + 2001, "550 no such user")
    assert outbox.news() == (replace(telling(ended, NOW_S + 2000), refused_s=NOW_S + 2001),)


def test_what_was_told_is_known_again_after_a_restart(engine: Engine, outbox: Outbox) -> None:
    first, other = notice(), notice(recipient=LAN)
    put(outbox, first)
    put(outbox, other, NOW_S + 1)
    outbox.sent((1,), NOW_S + 7, "250 OK")
    told = Outbox(engine).told()
    incident_id = first.incident.incident
    assert told.find(incident_id, first.key) == Telling(
        key=first.key, incident=incident_id, address="pao@example.vn", queued_s=NOW_S, sent_s=NOW_S + 7
    )
    waiting = told.find(incident_id, other.key)
    assert waiting is not None
    assert waiting.waiting


def test_the_pages_see_the_newest_letters_first_and_the_mails_themselves(outbox: Outbox) -> None:
    pages: Letters = outbox
    for number in range(5):
        put(outbox, notice(incident(number=number)), NOW_S + number)
    outbox.failed(5, "450  come\r\nback")
    shown = pages.letters(2)
    assert [(one.letter, one.written_s, one.server_words) for one in shown] == [
        ("5", NOW_S + 4, "450 come back"),
        ("4", NOW_S + 3, ""),
    ]
    raw = pages.letter("5")
    assert raw is not None
    assert read_mail(raw).subject == shown[0].subject
    assert read_mail(raw).to == "Giàng A Páo <pao@example.vn>"


@pytest.mark.parametrize("name", ["6", "0", "-1", "", "abc", "1.0", "९", "9" * 40, "1;drop table letter"])
def test_a_letter_that_is_not_there_is_none(name: str, outbox: Outbox) -> None:
    put(outbox, notice())
    assert outbox.letter(name) is None


def test_a_server_that_talks_too_much_is_cut_short(outbox: Outbox) -> None:
    put(outbox, notice())
    outbox.failed(1, "450 " + "x" * 10_000)
    words = outbox.letters(1)[0].server_words
    assert len(words) == 500
    assert words.endswith("x…")


def test_what_waits_is_counted_again_after_a_restart(engine: Engine, outbox: Outbox) -> None:
    for number in range(4):
        put(outbox, notice(incident(number=number)))
    outbox.refused(1, NOW_S, "550 no")
    outbox.sent((2,), NOW_S, "250 OK")
    for one in (outbox, Outbox(engine)):
        assert (one.waiting_count(), one.refused_count()) == (2, 1)


def test_old_letters_are_forgotten_with_their_incident(outbox: Outbox) -> None:
    put(outbox, notice(incident(number=1)))
    outbox.sent((1,), NOW_S, "250 OK")
    put(outbox, notice(incident(number=2)))
    outbox.prune(NOW_S + KEPT_S)
    assert states(outbox) == ["sent", "waiting"]
    outbox.prune(NOW_S + KEPT_S + 1)
    assert states(outbox) == ["waiting"], "what waits is never forgotten"


def test_the_first_letter_of_a_long_incident_is_kept_as_long_as_people_are_reminded(outbox: Outbox) -> None:
    put(outbox, notice())
    outbox.sent((1,), NOW_S, "250 OK")
    put(outbox, notice(reason=Reason.REMINDER, number=1), NOW_S + 89 * DAY_S)
    outbox.sent((2,), NOW_S + 89 * DAY_S, "250 OK")
    outbox.prune(NOW_S + 120 * DAY_S)
    assert states(outbox) == ["sent", "sent"]


def test_a_letter_takes_the_place_of_those_whose_story_it_tells(outbox: Outbox) -> None:
    first, second = (incident(number=number, ended_s=NOW_S + number) for number in (1, 2))
    put(outbox, notice(first, Reason.ENDED))
    put(outbox, notice(first, Reason.ENDED, recipient=LAN))
    assert outbox.untold([first.incident, second.incident], PAO.address) == {first.incident}
    message = compose(notice(second), FACTS, "vi", sender=SENDER, now=NOW_S, base_url=PAGES)
    assert outbox.put(notice(second), message, NOW_S + 60, instead_of=[first.incident])
    assert states(outbox) == ["merged", "waiting", "waiting"]
    assert outbox.untold([first.incident, second.incident], PAO.address) == {first.incident, second.incident}


def test_whoever_has_got_a_letter_since_has_been_told(outbox: Outbox) -> None:
    first, second = (incident(number=number, ended_s=NOW_S + number) for number in (1, 2))
    put(outbox, notice(first))
    put(outbox, notice(first, Reason.ENDED))
    put(outbox, notice(second))
    outbox.sent((3,), NOW_S + 1, "250 OK")
    assert outbox.untold([first.incident, second.incident], PAO.address) == frozenset()


def test_a_letter_after_which_one_left_does_not_tell_that_mail_is_stuck(engine: Engine, outbox: Outbox) -> None:
    assert outbox.unheeded_since_s() is None
    put(outbox, notice(incident(number=1)))
    put(outbox, notice(incident(number=2)), NOW_S + 60)
    assert outbox.unheeded_since_s() == NOW_S
    outbox.sent((2,), NOW_S + 70, "250 OK")
    for one in (outbox, Outbox(engine)):
        assert one.unheeded_since_s() is None, "mail leaves: it is the one letter that is not taken"
    put(outbox, notice(incident(number=3)), NOW_S + 80)
    for one in (outbox, Outbox(engine)):
        assert one.unheeded_since_s() == NOW_S + 80


def test_an_address_is_refused_until_a_letter_is_taken(engine: Engine, outbox: Outbox) -> None:
    put(outbox, notice(incident(number=1)))
    put(outbox, notice(incident(number=2)))
    outbox.refused(1, NOW_S + 5, "550 no such user")
    for one in (outbox, Outbox(engine)):
        assert one.refused_addresses() == {PAO.address: NOW_S + 5}
    outbox.sent((2,), NOW_S + 9, "250 OK")
    for one in (outbox, Outbox(engine)):
        assert one.refused_addresses() == {}


def test_old_daily_mails_are_forgotten_though_new_ones_come(outbox: Outbox) -> None:
    for number in range(2):
        written_s = NOW_S + number * (KEPT_S + DAY_S)
        daily = Daily(day=f"2025-11-{number}", recipient=PAO)
        message = compose(notice(), FACTS, "vi", sender=SENDER, now=written_s, base_url=PAGES)
        outbox.put(daily, message, written_s)
        outbox.sent((number + 1,), written_s, "250 OK")
    outbox.prune(NOW_S + KEPT_S + DAY_S)
    assert [one.written_s for one in outbox.letters(9)] == [NOW_S + KEPT_S + DAY_S]


def test_many_threads_put_send_and_look_at_once(outbox: Outbox) -> None:
    troubles: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(5):
                put(outbox, notice(incident(number=number * 10 + step)))
                for due in outbox.due(NOW_S, 3):
                    if outbox.claim(due, NOW_S + 60):
                        outbox.sent((due.letter,), NOW_S, "250 OK")
                outbox.letters(10)
        except BaseException as error:  # noqa: BLE001 - brought to the test's own thread
            troubles.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert sorted(one.letter for one in outbox.letters(100)) == sorted(str(number) for number in range(1, 31))
    told_sent = [one for one in outbox.news() if one.sent_s is not None]
    assert len(told_sent) == len({one.key for one in told_sent}) == 30 - outbox.waiting_count()
