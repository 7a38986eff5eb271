"""An outage of a district, from the rooms to the mails: who answers for all of it gets one when it begins, few when it
ends.
"""

import random
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from collector.alerting.letter import RoomFacts
from collector.mail.desk import Desk
from collector.mail.mailer import Mailer
from collector.mail.outbox import Outbox
from collector.mail.relay import MailSettings
from collector.rooms.registry import Contact, RegistryView
from collector.storage.cases import Cases
from collector.storage.database import open_database, sqlite_url
from collector.watch import Review
from tests.causes.village import START_S, Village
from tests.collector.alerting.troubles import PAGES, SENDER

OFFICER: Final = "phong.gd@example.vn"
ROOMS_COUNT: Final = 8
GATHER_S: Final = 90.0


class Town(Village):
    """A village whose letters are written and sent. One officer answers for all rooms, a teacher for each besides."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = open_database(sqlite_url(folder / "collector.db"))
        self.outbox = Outbox(self.engine)
        super().__init__(random.Random(0), ROOMS_COUNT)
        settings = MailSettings(mode="folder", folder=folder / "mails", sender=SENDER)
        self._mailer = Mailer(self.outbox, settings, clock_s=lambda: self.now, language="en", base_url=PAGES)
        self._desk = Desk(
            self.outbox,
            Cases(self.engine),
            facts_of=self._facts_of,
            sender=SENDER,
            base_url=PAGES,
            gather_s=GATHER_S,
            is_restless=self._is_restless,
        )

    def _is_restless(self, room: str, now: float) -> bool:
        return self.watch.is_restless(room, now, GATHER_S)

    def contacts_of(self, room: str) -> tuple[Contact, ...]:
        return tuple(
            Contact(room=room, name="", address=address, language="vi", from_s=START_S, until_s=None)
            for address in (OFFICER, f"{room}@example.vn")
        )

    def registry(self) -> RegistryView:
        return replace(super().registry(), contacts={one.room: self.contacts_of(one.room) for one in self.houses})

    def on_review(self, review: Review) -> None:
        self._desk.owe(review.notices, self.watch.told, self.now)
        self._desk.write(self.now)
        self._mailer.send_due()
        self.watch.told.update(self.outbox.news())

    def _facts_of(self, room: str) -> RoomFacts:
        place = next(house.place for house in self.houses if house.room == room)
        outage = self.watch.outages.of(room)
        return RoomFacts(room=room, name=room, place=place, silence=outage.explanation if outage else None)

    def mails(self, to: str) -> list[tuple[str, int]]:
        """Subject of each, and about how many incidents it is, in the order in which they were sent."""
        found = []
        for path in sorted((self.folder / "mails").glob(f"*-{to}.eml")):
            message = message_from_bytes(path.read_bytes(), policy=policy.default)
            incidents = message["X-Sansang-Incidents"] or message["X-Sansang-Incident"]
            found.append((str(message["Subject"]), len(incidents.split())))
        return found


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path)
    yield town
    town.engine.dispose()


def test_an_outage_of_a_district_is_one_mail_to_whoever_answers_for_all_of_it(town: Town) -> None:
    town.run(1800.0)
    for house in town.district:
        house.provider = False
    town.run(3600.0)
    (subject, count), *more = town.mails(OFFICER)
    assert (count, more) == (ROOMS_COUNT, [])
    assert subject.startswith("[Sẵn Sàng] huyện 1, Hà Giang: 8 phòng chưa sẵn sàng")
    for house in town.district:
        house.provider = True
    town.run(3600.0)
    _, (subject, count), *more = town.mails(OFFICER)
    assert (count, more) == (ROOMS_COUNT, [])
    assert subject.startswith("[Sẵn Sàng] huyện 1, Hà Giang: 8 phòng đã hết sự cố")
    assert [count for _, count in town.mails("room-1-1@example.vn")] == [1, 1], "a teacher hears of the own room only"


def test_rooms_that_fall_silent_one_after_the_other_are_few_mails(town: Town) -> None:
    town.run(1800.0)
    for house in town.district:
        house.provider = False
        town.run(30.0)
    town.run(3600.0)
    mails = [count for _, count in town.mails(OFFICER)]
    assert sum(mails) == ROOMS_COUNT
    assert len(mails) <= 4


def test_a_room_alone_in_trouble_is_told_without_delay(town: Town) -> None:
    town.run(1800.0)
    town.house.provider = False
    began_s = town.now
    while not town.mails(OFFICER):
        town.run(30.0)
        assert town.now < began_s + 3600.0
    alone_s = town.now
    (letter,) = town.outbox.letters(1)
    assert letter.written_s == alone_s
