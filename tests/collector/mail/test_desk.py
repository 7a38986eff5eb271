"""Letters that are owed, while the database that keeps them refuses."""

from collections.abc import Iterator, Sequence
from email import message_from_bytes
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from collector.alerting.decide import Notice, Reason
from collector.alerting.incident import COLLECTOR, Incident
from collector.alerting.told import Told
from collector.mail.desk import Desk
from collector.mail.mailer import ByHand
from collector.mail.outbox import Outbox, Taken
from collector.outages import Outage
from collector.portrait import Portrait
from collector.storage.cases import Cases
from collector.storage.database import DatabaseRefused, open_database, sqlite_url
from collector.web.letters import LetterState
from tests.collector.alerting.troubles import FACTS, NOW_S, PAGES, SENDER, finding, incident, notice
from tests.collector.centre import Centre

BROKER = finding("broker_lost", target="")


class Writing:
    """A desk, its outbox, and a database that can be made to refuse."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.outbox = Outbox(engine)
        self.by_hand = ByHand()
        self.told = Told()
        self.desk = Desk(
            self.outbox,
            Cases(engine),
            facts_of=lambda _room: FACTS,
            sender=SENDER,
            base_url=PAGES,
            by_hand=self.by_hand,
        )

    def refuse(self) -> None:
        self._run("ALTER TABLE letter RENAME TO away")

    def take(self) -> None:
        self._run("ALTER TABLE away RENAME TO letter")

    def _run(self, statement: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(statement))

    def owe(self, *notices: Notice) -> None:
        self.desk.owe(notices, self.told, NOW_S)

    def reasons(self) -> list[tuple[str, str]]:
        """Reason and state of each letter, oldest first."""
        found = []
        for one in reversed(self.outbox.letters(100)):
            raw = self.outbox.letter(one.letter)
            assert raw is not None
            found.append((message_from_bytes(raw)["X-Sansang-Reason"], one.state.value))
        return found


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Writing]:
    engine = open_database(sqlite_url(tmp_path / "collector.db"))
    yield Writing(engine)
    engine.dispose()


def test_what_began_and_ended_while_the_database_refused_is_one_letter_afterwards(writing: Writing) -> None:
    writing.refuse()
    writing.owe(notice())
    with pytest.raises(DatabaseRefused):
        writing.desk.write(NOW_S)
    writing.owe(notice(incident(ended_s=NOW_S + 1800), Reason.ENDED))
    with pytest.raises(DatabaseRefused):
        writing.desk.write(NOW_S + 1800)
    writing.take()
    assert writing.desk.write(NOW_S + 3600)
    assert not writing.desk.write(NOW_S + 3605)
    assert writing.reasons() == [("ended", "waiting")]


def test_what_is_owed_counts_as_queued(writing: Writing) -> None:
    writing.owe(notice())
    (telling,) = writing.told.of(incident().incident, "pao@example.vn")
    assert telling.waiting


def test_only_what_operators_must_know_goes_past_the_outbox(writing: Writing) -> None:
    own = notice(incident(BROKER, room=COLLECTOR))
    writing.owe(notice(), own)
    writing.desk.hand_over_own(NOW_S)
    (letter,) = writing.by_hand.take()
    assert letter.key == own.key
    assert message_from_bytes(letter.raw)["X-Sansang-Room"] == COLLECTOR


def test_what_was_sent_past_the_outbox_is_entered_as_sent_and_not_sent_again(writing: Writing) -> None:
    own = notice(incident(BROKER, room=COLLECTOR))
    writing.owe(own)
    writing.desk.hand_over_own(NOW_S)
    (letter,) = writing.by_hand.take()
    assert writing.by_hand.begin(letter)
    writing.desk.write(NOW_S)
    assert writing.reasons() == [], "nobody knows yet what becomes of it"
    writing.by_hand.end(letter, Taken(NOW_S + 2, "250 OK"))
    writing.desk.hand_over_own(NOW_S + 3)
    assert writing.by_hand.take() == ()
    writing.desk.write(NOW_S + 5)
    (shown,) = writing.outbox.letters(10)
    assert (shown.state, shown.server_words) == (LetterState.SENT, "250 OK")
    assert writing.outbox.due(NOW_S + 5, 10) == ()
    assert [one.sent_s for one in writing.outbox.news()] == [NOW_S + 2]


def test_what_the_outbox_has_taken_is_not_sent_past_it(writing: Writing) -> None:
    writing.owe(notice(incident(BROKER, room=COLLECTOR)))
    writing.desk.hand_over_own(NOW_S)
    (letter,) = writing.by_hand.take()
    writing.desk.write(NOW_S)
    assert not writing.by_hand.begin(letter)
    assert len(writing.outbox.due(NOW_S, 10)) == 1


def test_a_letter_that_the_relay_did_not_take_is_tried_again_past_the_outbox(writing: Writing) -> None:
    writing.owe(notice(incident(BROKER, room=COLLECTOR)))
    writing.desk.hand_over_own(NOW_S)
    (letter,) = writing.by_hand.take()
    assert writing.by_hand.begin(letter)
    writing.by_hand.end(letter, None)
    assert writing.by_hand.take() == (letter,)


class Past:
    """Incidents of the past, in a database that refuses at first."""

    def __init__(self) -> None:
        self.refuses = True

    def recent(self, _room: str, _limit: int) -> Sequence[Incident]:
        if self.refuses:
            raise OperationalError("SELECT", {}, Exception("the database is away"))
        return [incident()]

    def recent_outages(self, _room: str, _limit: int) -> Sequence[Outage]:
        return []


def test_a_database_that_refuses_stops_no_page_and_the_past_is_looked_up_again(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    portrait = Portrait(version="1", started_s=centre.now, generation="g")
    past = Past()

    def incidents_shown() -> list[int]:
        taken = portrait.take(
            centre.pipeline,
            centre.now,
            cases=past,
            post=Outbox(centre.engine),
            feeders=(),
            journal=centre.journal,
            changed=(),
            mail_proved_s=None,
        )
        return [len(room.incidents) for room in taken.rooms]

    assert incidents_shown() == [0]
    past.refuses = False
    assert incidents_shown() == [1]
    centre.close()
