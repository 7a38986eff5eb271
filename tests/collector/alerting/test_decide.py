"""Who is told what, and when: each person once, by a decision that can be asked for again at any time."""

from collections.abc import Iterator, Mapping
from email import message_from_bytes
from pathlib import Path

import pytest
from msgspec.structs import replace

from collector.alerting.decide import Notice, Recipient, decide
from collector.alerting.incident import Incident, Incidents, Policy
from collector.alerting.letter import compose
from collector.alerting.told import Telling, Told
from collector.mail.outbox import Outbox
from collector.storage.cases import Cases
from collector.storage.database import Engine, open_database, sqlite_url
from readiness.verdict import Finding, Level
from tests.collector.alerting.troubles import (
    DAY_S,
    FACTS,
    LAN,
    LOSSY,
    NOW_S,
    PAGES,
    PAO,
    ROOM,
    SENDER,
    SILENT,
    incident,
    verdict,
)

POLICY = Policy()
BOTH: Mapping[str, tuple[Recipient, ...]] = {ROOM: (PAO, LAN)}
ONE: Mapping[str, tuple[Recipient, ...]] = {ROOM: (PAO,)}


def told_of(*notices: Notice, sent: bool = True, refused: bool = False, at_s: float = NOW_S) -> Told:
    return Told(
        Telling(
            key=one.key,
            incident=one.incident.incident,
            address=one.recipient.address,
            queued_s=at_s,
            sent_s=at_s if sent and not refused else None,
            refused_s=at_s if refused else None,
        )
        for one in notices
    )


def asked(
    one: Incident, told: Told, now: float = NOW_S + 300, recipients: Mapping[str, tuple[Recipient, ...]] = BOTH
) -> list[Notice]:
    return decide(Incidents(POLICY, [one]), told, POLICY, now, recipients)


def reasons(notices: list[Notice]) -> list[tuple[str, str]]:
    return [(one.reason.value, one.recipient.name) for one in notices]


def ended(one: Incident, ended_s: float = NOW_S + 1800) -> Incident:
    return replace(one, ended_s=ended_s, end_level=Level.FIT)


def test_each_person_is_told_of_a_new_incident() -> None:
    notices = asked(incident(), Told())
    assert reasons(notices) == [("opened", "Giàng A Páo"), ("opened", "Cô Lan")]
    assert notices[0].key == "20251124T001000001-lung-cu-1/opened/UNFIT/pao@example.vn"


@pytest.mark.parametrize("sent", [True, False], ids=["sent", "still waiting"])
def test_who_has_been_told_is_not_told_again(*, sent: bool) -> None:
    told = told_of(*asked(incident(), Told()), sent=sent)
    assert asked(incident(), told) == []


def test_a_room_without_contacts_tells_nobody() -> None:
    assert asked(incident(), Told(), recipients={}) == []


def test_who_stands_twice_in_the_registry_is_told_once() -> None:
    shouting = replace(PAO, address="PAO@example.vn", name="PÁO")
    assert reasons(asked(incident(), Told(), recipients={ROOM: (PAO, shouting, PAO)})) == [("opened", "Giàng A Páo")]


def test_who_becomes_a_contact_later_is_told_of_what_is_open() -> None:
    told = told_of(*asked(incident(), Told(), recipients=ONE))
    assert reasons(asked(incident(), told)) == [("opened", "Cô Lan")]


def test_a_worse_incident_is_told_once_more() -> None:
    first = incident(SILENT)
    told = told_of(*asked(first, Told()))
    worse = replace(first, level=Level.UNFIT, worst=Level.UNFIT, findings=(LOSSY,))
    notices = asked(worse, told)
    assert reasons(notices) == [("worsened", "Giàng A Páo"), ("worsened", "Cô Lan")]
    told.update(told_of(*notices).of(first.incident, PAO.address))
    told.update(told_of(*notices).of(first.incident, LAN.address))
    assert asked(worse, told) == []


def test_an_incident_that_gets_better_without_ending_is_not_told() -> None:
    told = told_of(*asked(incident(), Told()))
    assert asked(replace(incident(), level=Level.UNKNOWN, findings=(SILENT,)), told) == []


def test_who_first_hears_of_it_when_it_is_at_its_worst_hears_of_it_once() -> None:
    worse = replace(incident(SILENT), level=Level.UNFIT, worst=Level.UNFIT, findings=(LOSSY,))
    notices = asked(worse, Told(), recipients=ONE)
    assert reasons(notices) == [("opened", "Giàng A Páo")]
    assert asked(worse, told_of(*notices), recipients=ONE) == []


def test_a_reminder_comes_a_day_after_the_last_letter_and_then_every_day() -> None:
    told = told_of(*asked(incident(), Told(), recipients=ONE))
    numbers = []
    now = NOW_S
    while now <= NOW_S + 3.5 * DAY_S:
        for one in asked(incident(), told, now, ONE):
            numbers.append((one.reason.value, one.number, round((now - NOW_S) / DAY_S, 2)))
            told.update(told_of(one, at_s=now).of(one.incident.incident, PAO.address))
        now += 3600
    assert numbers == [("reminder", 1, 1.0), ("reminder", 2, 2.0), ("reminder", 3, 3.0)]


def test_nobody_is_reminded_of_a_letter_that_still_waits() -> None:
    told = told_of(*asked(incident(), Told(), recipients=ONE), sent=False)
    assert asked(incident(), told, NOW_S + 3 * DAY_S, ONE) == []


def test_a_reminder_counts_from_when_the_letter_left() -> None:
    (first,) = asked(incident(), Told(), recipients=ONE)
    told = told_of(first)
    told.update([replace(one, sent_s=NOW_S + 7200) for one in told.of(first.incident.incident, PAO.address)])
    assert asked(incident(), told, NOW_S + DAY_S, ONE) == []
    assert len(asked(incident(), told, NOW_S + DAY_S + 7200, ONE)) == 1


def test_whose_letter_was_refused_gets_another_the_day_after() -> None:
    told = told_of(*asked(incident(), Told(), recipients=ONE), refused=True)
    assert asked(incident(), told, NOW_S + DAY_S - 1, ONE) == []
    assert reasons(asked(incident(), told, NOW_S + DAY_S, ONE)) == [("reminder", "Giàng A Páo")]


def test_the_end_is_told_to_those_who_were_told_and_to_nobody_else() -> None:
    told = told_of(*asked(incident(), Told(), recipients=ONE))
    notices = asked(ended(incident()), told)
    assert reasons(notices) == [("ended", "Giàng A Páo")]
    told.update(told_of(*notices).of(incident().incident, PAO.address))
    assert asked(ended(incident()), told) == []


def test_the_end_is_told_to_whose_first_letter_still_waits() -> None:
    told = told_of(*asked(incident(), Told(), recipients=ONE), sent=False)
    assert reasons(asked(ended(incident()), told)) == [("ended", "Giàng A Páo")]


def test_the_end_is_not_told_where_every_letter_was_refused() -> None:
    told = told_of(*asked(incident(), Told(), recipients=ONE), refused=True)
    assert asked(ended(incident()), told) == []


def test_an_end_that_was_refused_is_not_tried_again() -> None:
    told = told_of(*asked(incident(), Told(), recipients=ONE))
    told.update(told_of(*asked(ended(incident()), told), refused=True).of(incident().incident, PAO.address))
    assert asked(ended(incident()), told) == []


def test_an_incident_that_nobody_was_told_of_ends_in_silence() -> None:
    assert asked(ended(incident()), Told()) == []


# With the stores that outlast a restart


class Line:
    """Steps 10 to 12 as the collector runs them, on a database; `restart` begins anew from what is stored."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.now = NOW_S
        self.restart()

    def restart(self) -> None:
        self.outbox = Outbox(self._engine)
        self._cases = Cases(self._engine)
        self.incidents = Incidents(POLICY, self._cases.unfinished(self.now))
        self._told = self.outbox.told()

    def lasts(self, for_s: float, *findings: Finding, step_s: float = 5.0, stores_letters: bool = True) -> None:
        until_s = self.now + for_s
        while self.now < until_s:
            self._cases.save(self.incidents.observe(verdict(*findings, at_s=self.now), self.now))
            for one in decide(self.incidents, self._told, POLICY, self.now, BOTH) if stores_letters else ():
                message = compose(one, FACTS, "vi", sender=SENDER, now=self.now, base_url=PAGES)
                self.outbox.put(one, message, self.now)
            self._told.update(self.outbox.news())
            self.now += step_s

    def send(self) -> None:
        for due in self.outbox.due(self.now, 100):
            self.outbox.sent((due.letter,), self.now, "250 OK")

    @property
    def written(self) -> list[tuple[str, str, str]]:
        """Reason, person and state of each letter, oldest first."""
        found = []
        for one in reversed(self.outbox.letters(1000)):
            raw = self.outbox.letter(one.letter)
            assert raw is not None
            found.append((message_from_bytes(raw)["X-Sansang-Reason"], one.to[0].split("@")[0], one.state.value))
        return found


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    engine = open_database(sqlite_url(tmp_path / "collector.db"))
    yield Line(engine)
    engine.dispose()


def test_restarts_at_any_time_tell_nobody_twice_and_nobody_too_little(line: Line) -> None:
    line.lasts(310, LOSSY)
    line.restart()
    line.lasts(60, LOSSY)
    line.send()
    line.restart()
    line.lasts(600, LOSSY)
    line.lasts(100)
    line.restart()
    line.lasts(300)
    line.restart()
    line.send()
    line.lasts(300)
    assert line.written == [
        ("opened", "pao", "sent"), ("opened", "lan", "sent"), ("ended", "pao", "sent"), ("ended", "lan", "sent"),
    ]  # fmt: skip


def test_letters_that_could_not_be_stored_are_written_after_the_restart(line: Line) -> None:
    line.lasts(400, LOSSY, stores_letters=False)
    line.restart()
    line.lasts(10, LOSSY)
    assert [reason for reason, _, _ in line.written] == ["opened", "opened"]


def test_while_mail_is_down_an_incident_becomes_one_letter_that_tells_it_whole(line: Line) -> None:
    line.lasts(600, SILENT)
    line.lasts(600, LOSSY)
    line.restart()
    line.lasts(600)
    line.send()
    assert [row for row in line.written if row[1] == "pao"] == [
        ("opened", "pao", "merged"),
        ("worsened", "pao", "merged"),
        ("ended", "pao", "sent"),
    ]


def test_a_long_incident_is_reminded_of_daily_across_restarts_and_prunings(line: Line) -> None:
    line.lasts(600, LOSSY)
    for _ in range(100):
        for _ in range(4):
            line.lasts(DAY_S / 4, LOSSY, step_s=DAY_S / 4)
            line.send()
        line.outbox.prune(line.now)
        line.restart()
    letters = [reason for reason, to, _ in line.written if to == "pao"]
    assert letters == ["opened"] + ["reminder"] * (len(letters) - 1)
    assert 75 <= len(letters) <= 101
