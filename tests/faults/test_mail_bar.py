"""The row "mail": relays that are away, slow, greylist or refuse, and a collector that is killed at every step.

Every incident is told to everybody who answers for its room, nobody is told history, and no letter comes twice unless
a crash, or the relay, broke off between its "taken" and our note of it.
"""

import itertools
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from agent.link import Broker
from collector.alerting.decide import decide
from collector.alerting.gathering import FEWEST
from collector.alerting.incident import Incident, Incidents, Policy
from collector.alerting.letter import RoomFacts
from collector.mail.desk import Desk
from collector.mail.mailer import Mailer
from collector.mail.outbox import Outbox
from collector.mail.relay import MailSettings
from collector.rooms.registry import Registry
from collector.storage.cases import Cases
from collector.storage.database import Engine, open_database, sqlite_url
from contract.settings import build
from tests.collector.alerting.troubles import CAMERA, DAY_S, LAN, LOSSY, NOW_S, PAGES, PAO, SENDER, verdict
from tests.support.collector import QUICK, RunningCollector, StartCollector
from tests.support.hand_clock import HandClock
from tests.support.mosquitto import StartMosquitto
from tests.support.reliability import Seen
from tests.support.sender import Sender
from tests.support.smtp import Delivered, Misdeed, Relay, StartRelay

POLICY: Final = Policy()
STEP_S: Final = 120.0
"""Longer than the pause between two reviews, and short enough for every wait to be noticed."""
PEOPLE: Final = (PAO, LAN)
ROOMS: Final = tuple(f"phong-{number}" for number in range(4))


class PowerCut(BaseException):
    """The collector is no more."""


class Cut(Outbox):
    """An outbox whose program may be cut off after the relay's 250, before that is written down."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.is_cut = False

    def sent(self, letters: Sequence[int], now: float, words: str, *, mail: bytes | None = None) -> None:
        if self.is_cut:
            raise PowerCut
        super().sent(letters, now, words, mail=mail)


class Centre:
    """Steps 10 to 13 of the line as the collector runs them, by a clock turned by hand, with a real relay."""

    def __init__(self, engine: Engine, relay: Relay) -> None:
        self._engine = engine
        self._settings = build(
            {
                "mode": "smtp",
                "sender": SENDER,
                "host": relay.host,
                "port": relay.port,
                "security": "none",
                "timeout_s": 1,
            },
            MailSettings,
            source="test",
        )
        self.clock = HandClock(NOW_S)
        self.crashes_count = 0
        self.start()

    def start(self) -> None:
        """Begin with what is on the disk."""
        self.outbox = Cut(self._engine)
        self.cases = Cases(self._engine)
        self.incidents = Incidents(POLICY, self.cases.unfinished(self.clock.now))
        self.told = self.outbox.told()
        self.desk = Desk(
            self.outbox,
            self.cases,
            facts_of=facts_of,
            sender=SENDER,
            base_url=PAGES,
            gather_s=90.0,
            is_restless=lambda room, now: self.incidents.restless_count({*ROOMS} - {room}, now, 90.0) >= FEWEST - 1,
        )
        self.mailer = Mailer(self.outbox, self._settings, clock_s=self.clock, language="en")

    def crash(self) -> None:
        """Lose everything that is not on the disk."""
        self.crashes_count += 1
        self.start()

    def step(self, bad: set[str]) -> None:
        """Two minutes pass; these rooms are in trouble."""
        now = self.clock.now
        for room in ROOMS:
            trouble = (LOSSY, CAMERA) if room in bad else ()
            self.cases.save(self.incidents.observe(verdict(*trouble, at_s=now, room=room), now))
        notices = decide(self.incidents, self.told, POLICY, now, dict.fromkeys(ROOMS, PEOPLE))
        self.desk.owe(notices, self.told, now)
        self.desk.write(now)
        self.told.update(self.outbox.news())
        try:
            self.mailer.send_due()
        except PowerCut:
            self.crash()
        self.told.update(self.outbox.news())
        self.clock.advance(STEP_S)


def facts_of(room: str) -> RoomFacts:
    return RoomFacts(room=room, name=room, place=("Hà Giang",))


def tellings(letters: list[Delivered]) -> Iterator[tuple[str, str, str]]:
    """(incident, person, what was told of it): of the letter's own incidents, and of those in whose place it came."""
    for one in letters:
        reason = one.message["X-Sansang-Reason"]
        for incident in about(one):
            yield incident, one.to[0], reason
        for earlier in str(one.message.get("X-Sansang-Earlier", "")).split():
            yield earlier, one.to[0], "ended"


def about(letter: Delivered) -> list[str]:
    """The incidents that it tells of; several where letters were gathered."""
    named = letter.message["X-Sansang-Incidents"] or letter.message["X-Sansang-Incident"]
    return str(named).split()


def repeats(letters: list[Delivered]) -> int:
    return len(letters) - len({one.message["Message-ID"] for one in letters})


def all_incidents(cases: Cases) -> list[Incident]:
    return [one for room in ROOMS for one in cases.recent(room, 10_000)]


MISDEEDS: Final = (
    ("RCPT", "450 4.7.1 greylisted, come back"),
    ("RCPT", "452 4.2.2 mailbox full for now"),
    ("DATA", "451 4.3.0 not now"),
    ("DOT", "451 4.7.1 too busy"),
    ("CONNECT", "421 4.3.2 too many connections"),
    ("MAIL", Misdeed.DROP),
    ("DATA", Misdeed.DROP),
    ("DOT", Misdeed.DROP),
    ("DOT", Misdeed.LATE_DROP),
)


def weeks_of_trouble(centre: Centre, relay: Relay, *, days: int, seed: int) -> int:
    """Rooms fail and recover, the relay misbehaves, is away for a day each week, the program crashes; how often the
    relay took a letter without having said so.
    """
    chance = random.Random(seed)
    bad: set[str] = set()
    unsaid_count = 0
    is_away = False
    away_from_s = NOW_S + DAY_S / 4
    for _ in range(round(days * DAY_S / STEP_S)):
        now = centre.clock.now
        if is_away != (0 <= (now - away_from_s) % (7 * DAY_S) < DAY_S and now >= away_from_s):
            is_away = not is_away
            relay.stop() if is_away else relay.start()
        for room in ROOMS:
            if chance.random() < (0.02 if room in bad else 0.004):
                bad ^= {room}
        if not is_away and chance.random() < 0.05:
            command, answer = chance.choice(MISDEEDS)
            if not relay.script[command]:
                relay.then(command, answer)
                unsaid_count += answer is Misdeed.LATE_DROP
        centre.outbox.is_cut = chance.random() < 0.05
        centre.step(bad)
        if chance.random() < 0.002:
            centre.crash()
    if is_away:
        relay.start()
    relay.script.clear()
    for _ in range(90):
        centre.step(set())
    return unsaid_count


@pytest.mark.bar(
    "mail", load="relay away for a day each week, 4xx, connections broken at every step, crashes between send and note"
)
@pytest.mark.parametrize(
    ("days", "seed"), [(2, 1), pytest.param(56, 2, marks=pytest.mark.long)], ids=["2 days", "8 weeks"]
)
def test_every_incident_is_told_and_only_a_crash_repeats_a_letter(
    days: int, seed: int, tmp_path: Path, mail_relay: StartRelay, seen: Seen
) -> None:
    relay = mail_relay()
    engine = open_database(sqlite_url(tmp_path / "collector.db"))
    centre = Centre(engine, relay)
    unsaid_count = weeks_of_trouble(centre, relay, days=days, seed=seed)
    told = set(tellings(relay.letters))
    incidents = all_incidents(centre.cases)
    untold = [
        (one.incident, person.address)
        for one in incidents
        for person in PEOPLE
        if (one.incident, person.address, "ended") not in told
    ]
    again = repeats(relay.letters)
    seen(f"{len(untold)} of {len(incidents)} incidents untold to either of {len(PEOPLE)} people in {days} days")
    seen(f"{again} letters repeated in {centre.crashes_count} crashes and {unsaid_count} answers cut off")
    assert incidents
    assert untold == []
    assert again <= centre.crashes_count + unsaid_count
    assert (centre.outbox.waiting_count(), centre.outbox.refused_count()) == (0, 0)
    engine.dispose()


@pytest.mark.bar("mail", load="relay away for a day while rooms fail and recover many times")
def test_after_a_day_without_a_relay_each_room_is_one_letter_to_each_person(
    tmp_path: Path, mail_relay: StartRelay, seen: Seen
) -> None:
    relay = mail_relay()
    engine = open_database(sqlite_url(tmp_path / "collector.db"))
    centre = Centre(engine, relay)
    relay.stop()
    for hour in range(24):
        for minute in range(0, 60, 2):
            centre.step({ROOMS[0]} if minute < 30 and hour < 23 else set())
    opened = all_incidents(centre.cases)
    assert len(opened) == 23
    assert centre.outbox.waiting_count() == 2
    relay.start()
    for _ in range(90):
        centre.step(set())
    seen(f"{len(opened)} incidents of that day: {len(relay.letters)} letters to {len(PEOPLE)} people")
    assert Counter(one.to[0] for one in relay.letters) == {PAO.address: 1, LAN.address: 1}
    assert {incident for incident, _, _ in tellings(relay.letters)} == {one.incident for one in opened}
    text = relay.letters[0].message.get_body(("plain",))
    assert text is not None
    shown = text.get_content().replace("\r\n", "\n")
    assert "ĐÃ TRỞ LẠI BÌNH THƯỜNG" in shown
    assert "TRƯỚC ĐÓ, KHI THƯ CHƯA GỬI ĐƯỢC\n- Và 17 lần nữa trước đó." in shown
    engine.dispose()


@pytest.mark.bar("mail", load="5xx for one person of two")
def test_whoever_is_refused_is_shown_and_the_others_are_told(
    tmp_path: Path, mail_relay: StartRelay, seen: Seen
) -> None:
    relay = mail_relay()
    engine = open_database(sqlite_url(tmp_path / "collector.db"))
    centre = Centre(engine, relay)
    relay.then("RCPT", "550 5.1.1 no such user")  # the first letter is Páo's
    for minute in range(0, 60, 2):
        centre.step({ROOMS[0]} if minute < 20 else set())
    assert [one.to[0] for one in relay.letters] == [LAN.address, LAN.address]
    assert centre.outbox.refused_addresses().keys() == {PAO.address}
    assert centre.outbox.refused_count() == 1
    seen("1 person refused, shown; 1 told of beginning and end")
    engine.dispose()


# The real program, killed


def rooms_that_will_fall_silent(folder: Path) -> None:
    engine = open_database(sqlite_url(folder / "collector.db"))
    registry = Registry(engine)
    for number, room in enumerate(ROOMS):
        registry.add_room(room, name=room, province="Hà Giang", school="THCS")
        registry.set_contact(room, time.time(), name="Lan", address="lan@example.vn", language="vi")
        registry.add_agent(f"pc-{number}", room, time.time())
    engine.dispose()


def settings(relay: Relay, broker_port: int) -> str:
    return (
        f'[broker]\nmode = "mqtt"\nhost = "127.0.0.1"\nport = {broker_port}\n'
        f'[mail]\nmode = "smtp"\nhost = "{relay.host}"\nport = {relay.port}\nsecurity = "none"\n'
        f'sender = "Sẵn Sàng <sansang@example.vn>"\n{QUICK}'
    )


def make_due(folder: Path) -> None:
    """Shorten the wait before the next try; the program does not run."""
    with sqlite3.connect(folder / "collector.db") as database:
        database.execute("UPDATE letter SET next_try_s = 0 WHERE state = 'waiting'")
    database.close()


def let_no_letter_be_noted(folder: Path) -> None:
    with sqlite3.connect(folder / "collector.db") as database:
        database.execute(
            "CREATE TRIGGER full_disk BEFORE UPDATE OF state ON letter WHEN NEW.state = 'sent' "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    database.close()


def let_letters_be_noted(folder: Path) -> None:
    with sqlite3.connect(folder / "collector.db") as database:
        database.execute("DROP TRIGGER full_disk")
    database.close()


def letters_in(folder: Path) -> Counter[str]:
    with sqlite3.connect(folder / "collector.db") as database:
        counted = Counter(dict(database.execute("SELECT state, count(*) FROM letter GROUP BY state").fetchall()))
    database.close()
    return counted


def incidents_in(folder: Path) -> set[str]:
    engine = open_database(sqlite_url(folder / "collector.db"))
    found = {one.incident for one in Cases(engine).unfinished(time.time()) if one.room in ROOMS}
    engine.dispose()
    return found


def silence(tmp_path: Path, broker_port: int) -> None:
    """Every room says one word, and no more."""
    for number in range(len(ROOMS)):
        broker = Broker(host="127.0.0.1", port=broker_port, tls=False)
        sender = Sender(f"pc-{number}", tmp_path, broker, seed=number)
        sender.start()
        sender.put({"sent_count": 10, "received_count": 10, "loss_ratio": 0.0, "rtt_p50_ms": 20.0})
        until_s = time.monotonic() + 60
        while sender.waiting_count():
            assert time.monotonic() < until_s
            time.sleep(0.05)
        sender.stop()


def longest_pause_s(centre: RunningCollector, for_s: float) -> float:
    """The longest time from one review of the rooms to the next."""
    until_s = time.monotonic() + for_s
    taken_s: list[float] = []
    while time.monotonic() < until_s:
        taken_s.append(centre.figure("sansang_reviewed_timestamp_seconds"))
        time.sleep(0.05)
    return max(after - before for before, after in itertools.pairwise(taken_s))


STEPS: Final = (
    ("CONNECT", Misdeed.HANG),
    ("EHLO", Misdeed.HANG),
    ("MAIL", Misdeed.HANG),
    ("RCPT", Misdeed.HANG),
    ("DATA", Misdeed.HANG),
    ("DOT", Misdeed.HANG),
    ("DOT", Misdeed.LATE_HANG),
)


@pytest.mark.bar("mail", load="the real program killed at each step of SMTP, and between send and note")
@pytest.mark.parametrize(
    ("steps", "rounds"),
    [(STEPS[::3], 1), pytest.param(STEPS, 10, marks=pytest.mark.long)],
    ids=["three steps", "each step ten times"],
)
def test_a_collector_killed_at_any_step_tells_every_incident_and_repeats_at_most_one_letter_a_kill(  # noqa: PLR0917 - its servers
    steps: Sequence[tuple[str, Misdeed]],
    rounds: int,
    tmp_path: Path,
    collector: StartCollector,
    mosquitto: StartMosquitto,
    mail_relay: StartRelay,
    seen: Seen,
) -> None:
    relay, broker = mail_relay(), mosquitto()
    relay.then("CONNECT", Misdeed.HANG)
    centre = collector(settings(relay, broker.port), prepare=rooms_that_will_fall_silent)
    centre.wait_for(lambda: centre.figure("sansang_broker_connected_bool") == 1)
    silence(tmp_path, broker.port)
    centre.wait_for(lambda: centre.figure("sansang_outbox_waiting") == len(ROOMS))
    assert relay.hangs.wait(60)
    pause_s = longest_pause_s(centre, 3.0)
    kills = 0
    for _ in range(rounds):
        for command, how in steps:
            kills += 1
            centre.program.kill()
            relay.hangs.clear()
            relay.script.clear()
            make_due(centre.folder)
            relay.then(command, how)
            centre.program.start()
            assert relay.hangs.wait(60), f"nothing came to {command}"
    taken_before = len(relay.letters)
    kills += 1
    centre.program.kill()
    relay.script.clear()
    let_no_letter_be_noted(centre.folder)
    make_due(centre.folder)
    centre.program.start()
    centre.wait_for(lambda: len(relay.letters) > taken_before)
    kills += 1
    centre.program.kill()
    let_letters_be_noted(centre.folder)
    make_due(centre.folder)
    centre.program.start()
    centre.wait_for(lambda: letters_in(centre.folder)["waiting"] == 0)
    told = {incident for one in relay.letters for incident in about(one)}
    again = repeats(relay.letters)
    assert told == incidents_in(centre.folder)
    assert len(told) == len(ROOMS)
    assert letters_in(centre.folder) == {"sent": len(ROOMS)}
    assert again <= kills
    seen(f"{kills} kills: {len(told)} of {len(ROOMS)} incidents told, {again} letters repeated")
    seen(f"rooms judged at least every {pause_s:.1f} s while the relay hung (0.5 s wanted)")
    assert pause_s < 5
