"""Files that are no longer what was written: nothing false comes out, what can be read is saved, and all goes on."""

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from agent.store import Store
from collector.storage.journal import Journal, JournalDamaged, Kept, Stream, mark_of
from collector.storage.recovery import DAMAGED, open_journal
from contract.batch import pack_record
from contract.durable_file import PAGE_BYTES, is_damage, wal_of
from contract.moment import Moment
from contract.reading import Reading, Record
from contract.spool import Spool, SpoolDamaged, SpoolLimits

RECORDS: Final = 400
READINGS: Final = 3
LIMITS: Final = SpoolLimits(max_bytes=4 << 20)


def a_record(number: int) -> Record:
    chance = random.Random(number)
    return Record(
        taken=Moment(boot="boot", mono_s=float(number), wall_s=1.8e9 + number),
        readings=tuple(
            Reading(
                probe="ping", target=f"device-{place}", values={"rtt_avg_ms": 1.0}, detail=chance.randbytes(90).hex()
            )
            for place in range(READINGS)
        ),
    )


class Desk:
    """An agent's Store, and its file to damage; a folder of `a_full_spool` holds RECORDS records."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "spool.db"
        self.number = RECORDS if self.path.exists() else 0
        self.changes: list[Spool] = []
        self.begin()

    @property
    def now(self) -> Moment:
        return Moment(boot="boot", mono_s=float(self.number), wall_s=1.8e9 + self.number)

    def begin(self) -> None:
        self.store = Store(self.path, LIMITS, self.now, self.changes.append)

    def put(self) -> None:
        self.number += 1
        self.store.put(a_record(self.number), self.now)

    def close(self) -> None:
        self.store.close(self.now)

    def waiting(self) -> list[int]:
        """The numbers of what is waiting; it is unchanged."""
        found = list(self.store.spool.waiting())
        assert found == [a_record(int(one.taken.mono_s)) for one in found]
        return [int(one.taken.mono_s) for one in found]

    def parts_aside(self) -> list[str]:
        return sorted(path.name for path in self.path.parent.glob("spool-damaged-*"))


@pytest.fixture(scope="module")
def a_full_spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full-spool")
    desk = Desk(folder)
    for _ in range(RECORDS):
        desk.put()
    desk.close()
    return folder


@pytest.fixture
def desk(tmp_path: Path, a_full_spool: Path) -> Iterator[Desk]:
    made = Desk(shutil.copytree(a_full_spool, tmp_path / "agent"))
    assert made.waiting() == list(range(1, RECORDS + 1))
    yield made
    made.close()


def flip(path: Path, chance: random.Random, count: int, *, first: int = 0) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(count):
        content[chance.randrange(first, len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def pages_with(path: Path, wanted: bytes) -> Iterator[int]:
    content = path.read_bytes()
    for at in range(0, len(content), PAGE_BYTES):
        if wanted in content[at : at + PAGE_BYTES]:
            yield at


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // PAGE_BYTES // 3 * PAGE_BYTES)


def end_in_the_middle_of_a_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(10 * PAGE_BYTES + 100)


def spoil_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\x5a" * 100)


def spoil_the_first_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(random.Random(1).randbytes(PAGE_BYTES))


def spoil_all(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(1 << 20))
    wal_of(path).unlink()


def lose_the_wal(path: Path) -> None:
    wal_of(path).unlink()


def spoil_the_wal(path: Path) -> None:
    flip(wal_of(path), random.Random(1), 300)


def bring_a_foreign_wal(path: Path) -> None:
    other = Desk(path.parent.with_name("other"))
    for _ in range(RECORDS // 2):
        other.put()
    foreign = wal_of(other.path).read_bytes()
    other.close()
    wal_of(path).write_bytes(foreign)


def empty_it(path: Path) -> None:
    path.write_bytes(b"")


Damage = Callable[[Path], None]


@pytest.mark.parametrize(
    ("damage", "least_saved_count"),
    [
        (truncate, 1),
        (end_in_the_middle_of_a_page, 1),
        (spoil_the_header, RECORDS),
        (spoil_the_first_page, RECORDS),
        (spoil_all, 0),
        (bring_a_foreign_wal, RECORDS),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_damaged_spool_is_put_aside_and_what_can_be_read_is_sent_anew(
    damage: Damage, least_saved_count: int, desk: Desk
) -> None:
    epoch = desk.store.spool.present.epoch
    desk.close()
    damage(desk.path)
    desk.begin()
    desk.put()
    assert not desk.store.is_in_memory
    assert desk.store.spool.present.epoch != epoch
    waiting = desk.waiting()
    assert waiting[-1] == RECORDS + 1
    assert len(waiting) >= least_saved_count + 1
    assert desk.parts_aside()


def test_a_spool_whose_wal_was_lost_after_a_crash_gives_no_number_out_twice(desk: Desk) -> None:
    epoch = desk.store.spool.present.epoch
    desk.store.spool.abandon()
    desk.path.with_name("spool.db-shm").unlink()
    lose_the_wal(desk.path)
    desk.begin()
    assert desk.store.spool.present.epoch != epoch
    waiting = desk.waiting()
    assert waiting == list(range(1, len(waiting) + 1))
    desk.put()
    assert desk.waiting()[-1] == RECORDS + 1


def test_a_spool_that_was_closed_needs_no_wal(desk: Desk) -> None:
    epoch = desk.store.spool.present.epoch
    desk.close()
    lose_the_wal(desk.path)
    desk.begin()
    assert desk.store.spool.present.epoch == epoch
    assert desk.waiting() == list(range(1, RECORDS + 1))
    assert desk.parts_aside() == []


def test_a_spoilt_wal_costs_what_was_in_it_and_nothing_else(desk: Desk) -> None:
    desk.store.spool._file.checkpoint()
    for _ in range(20):
        desk.put()
    desk.store.spool.abandon()
    spoil_the_wal(desk.path)
    desk.begin()
    waiting = desk.waiting()
    assert waiting[:RECORDS] == list(range(1, RECORDS + 1))


def test_an_empty_file_is_a_new_spool(desk: Desk) -> None:
    desk.close()
    empty_it(desk.path)
    lose_the_wal(desk.path)
    desk.begin()
    desk.put()
    assert desk.waiting() == [RECORDS + 1]


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bits_never_change_a_reading_or_stop_the_agent(seed: int, desk: Desk) -> None:
    """Found at the start or later, while readings are put, sent and acknowledged."""
    chance = random.Random(seed)
    is_running = seed % 2 == 0
    if not is_running:
        desk.close()
    flip(desk.path, chance, chance.choice((1, 3, 30, 300)))
    if not is_running:
        desk.begin()
    else:
        desk.store.spool._db.execute("PRAGMA shrink_memory")
    for _ in range(30):
        desk.put()
    while True:
        try:
            waiting = desk.waiting()
            desk.store.spool.present.acknowledge(5, mono_s=desk.now.mono_s)
            break
        except sqlite3.DatabaseError as error:
            assert is_damage(error)
            desk.store.mend(error, desk.now)
    assert not desk.store.is_in_memory
    assert set(range(RECORDS + 1, RECORDS + 31)) <= set(waiting)
    assert len(waiting) == len(set(waiting))


def test_damage_that_shows_while_sending_costs_only_the_page_it_is_on(desk: Desk) -> None:
    desk.store.spool.present.acknowledge(50, mono_s=desk.now.mono_s)
    desk.store.spool._file.checkpoint()
    (spoilt,) = pages_with(desk.path, pack_record(a_record(200))[50:100])
    with desk.path.open("r+b") as file:  # the agent runs, and the disk loses a page under it
        file.seek(spoilt + 200)
        file.write(bytes(3000))
    desk.store.spool._db.execute("PRAGMA shrink_memory")  # as after a while: the page is not in memory any more
    with pytest.raises(SpoolDamaged, match=r"record \d+ is not what was written"):
        desk.waiting()
    try:
        desk.waiting()
    except sqlite3.DatabaseError as error:
        desk.store.mend(error, desk.now)
    assert len(desk.changes) == 1
    waiting = desk.waiting()
    lost = set(range(51, RECORDS + 1)) - set(waiting)
    assert 1 <= len(lost) <= PAGE_BYTES // 200
    assert desk.store.spool.dropped_count == READINGS * len(lost), "what is lost is known to the reading"
    desk.put()
    assert desk.waiting()[-1] == RECORDS + 1


def test_only_the_latest_damaged_spool_is_kept(desk: Desk) -> None:
    for _ in range(3):
        desk.close()
        spoil_the_header(desk.path)
        desk.begin()
        desk.put()
    assert len([name for name in desk.parts_aside() if name.endswith(".db")]) == 1
    assert desk.waiting() == list(range(1, desk.number + 1))


# The journal.

EPOCH: Final = "epoch000"
GROUP: Final = 10


def a_kept(number: int) -> Kept:
    agent = f"agent-{number % 4}"
    return Kept(
        0,
        agent,
        EPOCH,
        number // 4 + 1,
        "room-1",
        "hg",
        float(number),
        float(number),
        sure=True,
        record=a_record(number),
    )


def fill(journal: Journal) -> None:
    for first in range(0, RECORDS, GROUP):
        with journal.transaction():
            for one in map(a_kept, range(first, first + GROUP)):
                journal.keep(one)
                journal.save_stream(Stream(one.agent, EPOCH, one.seq, one.seq, 0, one.arrived_s))


@pytest.fixture(scope="module")
def a_full_journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full-journal")
    with contextlib.closing(Journal(folder / "journal.db")) as journal:
        fill(journal)
    return folder


@pytest.fixture
def journal_path(tmp_path: Path, a_full_journal: Path) -> Path:
    return shutil.copytree(a_full_journal, tmp_path / "collector") / "journal.db"


def check_saved(journal: Journal) -> int:
    """Nothing false is in it, and every agent will send again what is missing; how many records are in it."""
    held = list(journal.since(-1.0))
    assert [one._replace(id=0) for one in held] == [a_kept(int(one.arrived_s)) for one in held]
    for agent in {f"agent-{number}" for number in range(4)}:
        seqs = [one.seq for one in held if one.agent == agent]
        assert journal.upto(agent, EPOCH) <= min(seqs, default=1) - 1
    with journal.transaction():
        assert journal.keep(a_kept(100_000))
    assert journal.last_id() > RECORDS, "no id is given out twice"
    return len(held)


@pytest.mark.parametrize(
    ("damage", "least_saved_count"),
    [
        (truncate, 0),
        (end_in_the_middle_of_a_page, 0),
        (spoil_the_header, RECORDS),
        (spoil_the_first_page, RECORDS),
        (spoil_all, 0),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_damaged_journal_is_put_aside_and_a_new_one_has_what_can_be_read(
    damage: Damage, least_saved_count: int, journal_path: Path
) -> None:
    damage(journal_path)
    journal, problem = open_journal(journal_path, 1.8e9)
    with contextlib.closing(journal):
        assert problem == DAMAGED
        assert check_saved(journal) >= least_saved_count
    assert (journal_path.parent / "journal-damaged-1800000000.db").exists()
    journal, problem = open_journal(journal_path, 1.8e9)
    journal.close()
    assert problem == "", "it is said once"


def readings_in_the_ledger(journal: Journal) -> tuple[int, int]:
    """By ten minutes, and by epoch."""
    evidence = journal.evidence([f"agent-{number}" for number in range(4)])
    return (
        sum(tally.readings_count for tally in evidence.tallies),
        sum(account.stored_count for account in evidence.accounts),
    )


def test_what_is_sent_again_after_a_rescue_is_counted_once(journal_path: Path) -> None:
    with contextlib.closing(Journal(journal_path)) as journal:
        before = readings_in_the_ledger(journal)
    with contextlib.closing(sqlite3.connect(journal_path)) as db:
        db.execute("DELETE FROM kept WHERE id % 3 = 0")  # as unreadable pages take them
        db.commit()
    mark_of(journal_path).write_text("damaged", encoding="utf-8")
    journal, problem = open_journal(journal_path, 1.8e9)
    with contextlib.closing(journal):
        assert problem == DAMAGED
        with journal.transaction():
            refilled = [journal.keep(a_kept(number)) for number in range(RECORDS)]
        assert sum(refilled) == RECORDS // 3
        assert readings_in_the_ledger(journal) == before
        with journal.transaction():
            journal.keep(a_kept(RECORDS))
        assert readings_in_the_ledger(journal) == tuple(count + READINGS for count in before)


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bits_in_a_journal_are_found_at_the_start_or_when_they_are_read(seed: int, journal_path: Path) -> None:
    chance = random.Random(seed)
    flip(journal_path, chance, chance.choice((1, 3, 30, 300)))
    journal, problem = open_journal(journal_path, 1.8e9)
    try:
        check_saved(journal) if problem else list(journal.since(-1.0))
    except JournalDamaged as error:
        assert not problem
        assert journal.damage == str(error)
        journal.close()
        journal, problem = open_journal(journal_path, 1.8e9)
        assert problem == DAMAGED, "what a run came upon, the next start knows"
        assert check_saved(journal) > 0
    finally:
        journal.close()


def test_a_sink_that_comes_upon_damage_leaves_word_of_it(journal_path: Path) -> None:
    with contextlib.closing(Journal(journal_path)) as journal:
        journal._db.execute("UPDATE kept SET taken_s = 0 WHERE id = 77")
        with (
            contextlib.closing(journal.reader()) as reader,
            pytest.raises(JournalDamaged, match="record 77 is not what"),
        ):
            reader.after(0, 500)
        assert "record 77" in journal.damage
    assert mark_of(journal_path).exists()
    journal, problem = open_journal(journal_path, 1.8e9)
    with contextlib.closing(journal):
        assert problem == DAMAGED
        assert check_saved(journal) == RECORDS - 1
    assert not mark_of(journal_path).exists()


def test_a_disk_that_only_refuses_is_no_damage(journal_path: Path) -> None:
    with contextlib.closing(Journal(journal_path)) as journal:
        with pytest.raises(sqlite3.IntegrityError), journal.transaction():
            journal._db.execute("INSERT INTO kept (agent) VALUES (NULL)")
        assert journal.damage == ""


def test_a_journal_that_lost_its_wal_gives_no_id_out_twice(tmp_path: Path) -> None:
    """Sinks remember how far they are by it."""
    journal = Journal(tmp_path / "journal.db")
    fill(journal)
    last_id = journal.last_id()
    copy = tmp_path / "copied.db"
    copy.write_bytes((tmp_path / "journal.db").read_bytes())  # as it was at its last checkpoint
    journal.close()
    with contextlib.closing(Journal(copy)) as rolled_back:
        with rolled_back.transaction():
            rolled_back.keep(a_kept(100_000))
        assert rolled_back.last_id() > last_id


def test_power_that_goes_between_the_steps_of_a_rescue_costs_nothing(journal_path: Path) -> None:
    spoil_the_header(journal_path)
    journal, _ = open_journal(journal_path, 1.8e9)
    journal.close()
    journal_path.replace(journal_path.with_suffix(".salvaged"))
    wal_of(journal_path).unlink()
    journal, problem = open_journal(journal_path, 1.8e9)
    with contextlib.closing(journal):
        assert len(list(journal.since(-1.0))) == RECORDS
        assert problem == ""
