"""Disks that fill up, by us or by others, at any moment: nothing is raised that stops us, and every gap is counted."""

import contextlib
import os
import random
import resource
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from agent.store import MEMORY_BYTES, TRY_AGAIN_S, Store
from collector.storage.journal import Journal, JournalFull, Kept, Stream
from contract.durable_file import BALLAST_BYTES, PAGE_BYTES, SPARE_DISK_BYTES
from contract.moment import Moment
from contract.reading import Reading, Record
from contract.spool import RecordTooLarge, Spool, SpoolFull, SpoolLimits, SpoolReader
from readiness.verdict import Level
from tests.collector.test_doubt import Centre
from tests.support.disks import MakeDisk, SmallDisk
from tests.support.reliability import Seen

READINGS = 20
FULL_DISK: Final = pytest.mark.bar(
    "disk full",
    load="a small disk that we fill ourselves, or others fill, at any moment: during a put, an ack, a start; spool, "
    "journal, the whole agent and the whole collector",
)


def a_record(number: int, readings: int = READINGS) -> Record:
    return Record(
        taken=Moment(boot="boot", mono_s=float(number), wall_s=1.8e9 + number),
        readings=tuple(
            Reading(probe="ping", target=f"device-{place}", values={"rtt_avg_ms": 1.0}, detail=os.urandom(60).hex())
            for place in range(readings)
        ),
    )


@contextlib.contextmanager
def a_spool(path: Path, *, max_bytes: int = 64 << 20, max_age_s: float = 1e9) -> Iterator[Spool]:
    with contextlib.closing(
        Spool(path, SpoolLimits(max_bytes=max_bytes, max_age_s=max_age_s), boot="boot", mono_s=1e6)
    ) as spool:
        yield spool


def put_many(spool: Spool, count: int) -> None:
    for _ in range(count):
        spool.put(a_record(spool.last_seq + 1), mono_s=0.0)


def numbers_in(path: Path) -> list[int]:
    with contextlib.closing(SpoolReader(path)) as reader:
        return [seq for seq, _ in reader.records()]


def check_count(spool: Spool, path: Path) -> None:
    """Every record that was put is there, or counted reading by reading."""
    held = numbers_in(path)
    assert held == list(range(held[0], spool.last_seq + 1))
    assert spool.dropped_count == READINGS * (spool.last_seq - len(held))
    assert spool.made_count == READINGS * spool.last_seq


@FULL_DISK
def test_we_fill_no_disk_ourselves(make_disk: MakeDisk, seen: Seen) -> None:
    disk = make_disk(32 << 20)
    path = disk.folder / "spool.db"
    with a_spool(path) as spool:
        while spool.dropped_count == 0:
            assert spool.last_seq < 30_000
            put_many(spool, 100)
        check_count(spool, path)
    assert shutil.disk_usage(disk.folder).free > SPARE_DISK_BYTES - (1 << 20)
    assert path.stat().st_size > 4 << 20
    seen("what we filled ourselves left others 15 MiB")


def test_a_spool_on_a_disk_filled_by_others_works_until_it_grows_again(make_disk: MakeDisk) -> None:
    disk = make_disk(64 << 20)
    path = disk.folder / "spool.db"
    with a_spool(path) as spool:
        disk.fill()
        put_many(spool, 6000)
        assert spool.dropped_count > 0
        check_count(spool, path)
        size_bytes, dropped_count = path.stat().st_size, spool.dropped_count
        assert (disk.folder / "spool.ballast").exists(), "nothing had to be given up"
        disk.clear()
        put_many(spool, 60)
        assert path.stat().st_size > size_bytes, "within 60 records the room is used that came back"
        put_many(spool, 1000)
        assert spool.dropped_count - dropped_count <= 60 * READINGS
        check_count(spool, path)


def test_a_spool_is_opened_acknowledged_and_closed_on_a_disk_without_a_free_byte(make_disk: MakeDisk) -> None:
    disk = make_disk(32 << 20)
    path = disk.folder / "spool.db"
    with a_spool(path) as spool:
        put_many(spool, 300)
    disk.fill()
    for round_number in range(1, 4):
        with a_spool(path) as spool:
            spool.present.acknowledge(100 * round_number, mono_s=0.0)
            assert spool.present.acked_upto == 100 * round_number
            put_many(spool, 500)
            assert numbers_in(path)[-1] == spool.last_seq
            assert spool.dropped_count == 0
            assert wal_bytes(path) > 1 << 20, "the room of the WAL is not given away"
        assert wal_bytes(path) > 1 << 20


def wal_bytes(path: Path) -> int:
    return path.with_name(path.name + "-wal").stat().st_size


def test_the_wal_stays_as_long_as_it_began(make_disk: MakeDisk) -> None:
    disk = make_disk(48 << 20)
    path = disk.folder / "spool.db"
    with a_spool(path) as spool:
        began_bytes = wal_bytes(path)
        for _ in range(30):
            put_many(spool, 100)
            spool.present.acknowledge(spool.present.next_seq - 1, mono_s=0.0)
        assert wal_bytes(path) == began_bytes
    assert wal_bytes(path) == began_bytes


def test_whoever_takes_every_byte_at_once_stops_nothing(make_disk: MakeDisk) -> None:
    disk = make_disk(48 << 20)
    desk = Desk(disk.folder)
    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            disk.fill()

    taker = threading.Thread(target=take)
    taker.start()
    try:
        for _ in range(5):
            desk.put(300)
            spool = desk.store.spool
            spool.present.acknowledge(spool.present.next_seq - 100, mono_s=0.0)
            assert not desk.store.is_in_memory
            assert desk.waiting() == list(range(int(desk.mono_s) - 99, int(desk.mono_s)))
        for _ in range(5):
            desk.store.close(desk.now)
            desk.begin()  # on disk or, when the taker was faster than SQLite, in memory
            desk.put(1)
            assert desk.waiting()[-1] == desk.mono_s - 1
    finally:
        done.set()
        taker.join()
        desk.store.close(desk.now)


def test_what_is_too_old_goes_on_a_full_disk_as_well(make_disk: MakeDisk) -> None:
    disk = make_disk(32 << 20)
    path = disk.folder / "spool.db"
    with a_spool(path, max_age_s=100.0) as spool:
        put_many(spool, 500)
        disk.fill()
        spool.put(a_record(1000), mono_s=1e6 + 1000.0)
        assert numbers_in(path) == [501]
        assert spool.dropped_count == 500 * READINGS


def test_a_record_larger_than_the_spool_costs_none_of_those_in_it(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with a_spool(path, max_bytes=1) as spool:  # as small as a spool can be
        put_many(spool, 10)
        with pytest.raises(RecordTooLarge, match=r"\d+ bytes do not fit into a spool of 1"):
            spool.put(a_record(11, readings=1000), mono_s=0.0)
        check_count(spool, path)
        assert spool.dropped_count == 0
        put_many(spool, 100)
        check_count(spool, path)
        assert spool.dropped_count > 0


def test_the_file_keeps_to_its_cap(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with a_spool(path, max_bytes=2 << 20) as spool:
        put_many(spool, 3000)
        check_count(spool, path)
        assert spool.dropped_count > 0
        assert path.stat().st_size <= 2 << 20
        assert wal_bytes(path) <= 2 << 20
        used_bytes = spool.stat().used_bytes
    assert used_bytes > 0.7 * (2 << 20), "and uses most of it"


class Desk:
    """A Store on a disk, with a clock to turn by hand."""

    def __init__(self, folder: Path) -> None:
        self.mono_s = 1000.0
        self.path = folder / "agent" / "spool.db"
        self.changes = 0
        self.begin()

    def begin(self) -> None:
        """Start the agent, again perhaps."""
        self.store = Store(self.path, SpoolLimits(), self.now, self._note)

    @property
    def now(self) -> Moment:
        return Moment(boot="boot", mono_s=self.mono_s, wall_s=1.8e9 + self.mono_s)

    def _note(self, _spool: Spool) -> None:
        self.changes += 1

    def put(self, count: int) -> None:
        for _ in range(count):
            self.store.put(a_record(int(self.mono_s)), self.now)
            self.mono_s += 1.0

    def waiting(self) -> list[int]:
        return [int(record.taken.mono_s) for record in self.store.spool.waiting()]


def test_an_agent_that_starts_on_a_full_disk_moves_to_it_within_a_minute_of_room(make_disk: MakeDisk) -> None:
    disk = make_disk(48 << 20)
    disk.fill()
    desk = Desk(disk.folder)
    assert desk.store.is_in_memory
    desk.put(150)
    assert desk.store.is_in_memory
    disk.clear()
    desk.put(int(TRY_AGAIN_S) + 1)
    assert not desk.store.is_in_memory
    assert desk.changes == 1
    desk.put(10)
    assert desk.waiting() == list(range(1000, int(desk.mono_s)))
    assert desk.store.spool.dropped_count == 0
    desk.store.close(desk.now)
    assert len(numbers_in(desk.path)) == desk.mono_s - 1000


def test_an_agent_on_a_full_disk_holds_no_more_than_its_share_of_memory(make_disk: MakeDisk) -> None:
    disk = make_disk(1 << 20)
    disk.fill()
    desk = Desk(disk.folder)
    while desk.store.spool.dropped_count == 0:
        assert desk.mono_s < 30_000
        desk.put(100)
    spool = desk.store.spool
    assert spool.stat().used_bytes < MEMORY_BYTES
    assert spool.dropped_count == READINGS * (desk.mono_s - 1000 - len(desk.waiting()))
    assert desk.waiting()[-1] == desk.mono_s - 1


@contextlib.contextmanager
def no_writing() -> Iterator[None]:
    """No file of this process can be written: as on a disk that fails, or that the system has made read-only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_agent_whose_disk_stops_taking_anything_goes_on_in_memory_and_comes_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.put(50)
    with no_writing():
        desk.put(100)
        assert desk.store.is_in_memory
        assert desk.waiting() == list(range(1050, 1150)), "the older ones wait on the disk"
    desk.put(int(TRY_AGAIN_S) + 1)
    assert not desk.store.is_in_memory
    assert sorted(desk.waiting()) == list(range(1000, int(desk.mono_s)))
    assert desk.store.spool.dropped_count == 0
    assert desk.changes == 2
    desk.store.close(desk.now)


def test_an_agent_on_a_read_only_disk_keeps_readings_in_memory(make_disk: MakeDisk) -> None:
    disk = make_disk(32 << 20)
    desk = Desk(disk.folder)
    desk.put(20)
    desk.store.close(desk.now)
    disk.make_read_only()
    again = Desk(disk.folder)
    again.mono_s = desk.mono_s
    again.put(100)
    assert again.store.is_in_memory
    assert len(again.waiting()) == 100
    disk.make_writable()
    again.put(int(TRY_AGAIN_S) + 1)
    assert not again.store.is_in_memory
    assert sorted(again.waiting()) == list(range(1000, int(again.mono_s)))
    again.store.close(again.now)


class Schedule(NamedTuple):
    """How often a disk fills or empties, and by which chance."""

    rounds: int
    seed: int


HOW_LONG: Final = [Schedule(12, 1), pytest.param(Schedule(300, 2), marks=[pytest.mark.long, FULL_DISK])]


def number_of(record: Record) -> int:
    return int(record.taken.mono_s)


def acknowledge_all(desk: Desk) -> set[int]:
    """What the collector acknowledges now, as far as it could be noted."""
    before = set(desk.waiting())
    for epoch in list(desk.store.spool.epochs):
        try:
            epoch.acknowledge(epoch.next_seq - 1, mono_s=desk.mono_s)
        except sqlite3.DatabaseError as error:
            desk.store.mend(error, desk.now)
            return set()  # it is sent again
    return before - set(desk.waiting())


@pytest.mark.parametrize("schedule", HOW_LONG, ids=["short", "long"])
def test_a_disk_that_fills_and_empties_at_any_moment_costs_only_what_is_counted(
    schedule: Schedule, make_disk: MakeDisk, seen: Seen
) -> None:
    """During a put, an ack, a start; whoever fills it. After a minute with room everything is on the disk again."""
    chance = random.Random(schedule.seed)
    disk = make_disk(40 << 20)
    if chance.random() < 0.5:
        disk.fill()
    desk = Desk(disk.folder)
    acked, forgotten = set[int](), set[int]()
    filled_count = in_memory_count = 0
    for turn in range(schedule.rounds):
        if chance.random() < 0.7:
            disk.fill(but_bytes=chance.choice((0, 0, 5_000, 70_000, 3_000_000)))
            filled_count += 1
        for _ in range(chance.randrange(1, 5)):
            what = chance.choice(("put", "put", "ack", "start"))
            if what == "put":
                desk.put(chance.randrange(1, 80))
            elif what == "ack":
                acked |= acknowledge_all(desk)
            else:
                forgotten |= start_again(desk)
        in_memory_count += desk.store.is_in_memory
        if chance.random() < 0.7 or turn == schedule.rounds - 1:
            disk.clear()
            desk.put(int(TRY_AGAIN_S) + 1)
            assert not desk.store.is_in_memory, f"turn {turn}: there has been room for a minute"
            check_all(desk, acked | forgotten)
    desk.store.close(desk.now)
    put_count = int(desk.mono_s) - 1000
    seen(f"spool: filled {filled_count:,} times, {in_memory_count:,} times on in memory")
    seen(f"of {put_count:,} records {len(forgotten):,} ended in memory with a process that no disk had taken them from")
    seen("0 lost uncounted, 0 uncaught, all on the disk again within 60 s of room")


def start_again(desk: Desk) -> set[int]:
    """The agent is stopped and started; what was in memory only and found no room on the disk to the last."""
    held = set(desk.waiting()) if desk.store.is_in_memory else set[int]()
    desk.store.close(desk.now)
    desk.begin()
    return held - set(desk.waiting())


def check_all(desk: Desk, settled: set[int]) -> None:
    """Every record that was put waits once, is settled, or is counted reading by reading."""
    waiting = desk.waiting()
    assert len(waiting) == len(set(waiting))
    gone = set(range(1000, int(desk.mono_s))) - set(waiting) - settled
    assert desk.store.spool.dropped_count == READINGS * len(gone)


# The journal.


def a_kept(number: int) -> Kept:
    record = a_record(number, readings=4)
    return Kept(
        0, "agent-1", "epoch000", number, "room-1", "hg", float(number), float(number), sure=True, record=record
    )


def keep(journal: Journal, first: int, count: int = 10) -> None:
    with journal.transaction():
        for number in range(first, first + count):
            journal.keep(a_kept(number))
        journal.save_stream(Stream("agent-1", "epoch000", first + count - 1, 0, 0, 1.0))


def keep_until_refused(journal: Journal, first: int, count: int = 10) -> int:
    """The number of the first record of the group that was refused."""
    while True:
        try:
            keep(journal, first, count)
        except sqlite3.Error:
            return first
        first += count


def check_journal(journal: Journal, upto: int) -> None:
    assert [one.seq for one in journal.since(0.0)] == list(range(1, upto))
    assert journal.upto("agent-1", "epoch000") == upto - 1


def test_a_journal_on_a_full_disk_refuses_whole_groups_and_goes_on_at_once_when_there_is_room(
    make_disk: MakeDisk,
) -> None:
    disk = make_disk(64 << 20)
    with contextlib.closing(Journal(disk.folder / "journal.db")) as journal:
        disk.fill()
        refused = keep_until_refused(journal, 1)
        assert refused > 1000, "the room taken in advance is used"
        for _ in range(100):
            with pytest.raises(JournalFull, match="cap or disk leave it no more"):
                keep(journal, refused)
        check_journal(journal, refused)
        disk.clear()
        keep(journal, refused)
        check_journal(journal, refused + 10)


@pytest.mark.parametrize("schedule", HOW_LONG, ids=["short", "long"])
def test_a_journal_whose_disk_fills_and_empties_keeps_whole_groups_and_goes_on_at_once(
    schedule: Schedule, make_disk: MakeDisk, seen: Seen
) -> None:
    chance = random.Random(schedule.seed)
    disk = make_disk(64 << 20)
    path = disk.folder / "journal.db"
    journal = Journal(path)
    following, refused_count, pruned_upto = 1, 0, 0
    for _ in range(schedule.rounds):
        disk.fill(but_bytes=chance.choice((0, 0, 70_000, 3_000_000)))
        for _ in range(chance.randrange(1, 6)):
            count = chance.choice((1, 10, 2500))
            try:
                keep(journal, following, count)
            except sqlite3.Error:
                refused_count += 1
            else:
                following += count
        if chance.random() < 0.3:
            journal.close()
            journal = Journal(path, check=chance.random() < 0.2)
        if chance.random() < 0.5:
            pruned_upto += journal.prune(fed_id=following - 1, before_s=following - 9000.0)
        disk.clear()
        keep(journal, following)
        following += 10
        assert not journal.damage
    assert [one.seq for one in journal.since(0.0)] == list(range(pruned_upto + 1, following))
    journal.close()
    seen(f"journal: filled {schedule.rounds:,} times, {refused_count:,} groups refused whole, {following - 1:,} kept")
    assert refused_count > 0


def test_a_journal_on_a_full_disk_lets_go_of_what_every_sink_has_and_takes_new_records(make_disk: MakeDisk) -> None:
    disk = make_disk(64 << 20)
    with contextlib.closing(Journal(disk.folder / "journal.db")) as journal:
        disk.fill()
        refused = keep_until_refused(journal, 1)
        assert journal.prune(fed_id=0, before_s=0.0) == 0, "unfed records never go"
        gone_count = journal.prune(fed_id=refused // 2, before_s=0.0)
        assert gone_count > 0, "young ones do, when the disk leaves no choice"
        more = keep_until_refused(journal, refused)
        assert more > refused + gone_count / 2
        assert [one.seq for one in journal.since(0.0)] == list(range(gone_count + 1, more))


def test_a_collector_with_a_full_disk_acknowledges_nothing_judges_what_is_live_and_recovers(
    make_disk: MakeDisk,
) -> None:
    disk = make_disk(64 << 20)
    centre = Centre(disk.folder)
    centre.link(up=True)
    centre.run(600)
    disk.fill()
    keep_until_refused(centre.journal, keep_until_refused(centre.journal, 1), 1)
    centre.answers.acks.clear()
    assert centre.run(600)[-1].verdicts["room-1"].level is Level.FIT, "it is not silent"
    centre.now += 30.0
    centre.mono_s += 30.0
    for _ in range(3):
        centre.measure(loss_ratio=0.5)
        centre.now += 30.0
        centre.mono_s += 30.0
    assert centre.review().verdicts["room-1"].level is not Level.FIT
    centre.link(up=False)
    assert not centre.pipeline.broker_connected, "what is no record is heard as well"
    assert "journal_refuses" in centre.pipeline.problems
    assert centre.answers.acks == []
    disk.clear()
    centre.link(up=True)
    centre.run(600)
    assert centre.review().verdicts["room-1"].level is Level.FIT
    assert "journal_refuses" not in centre.pipeline.problems
    assert centre.answers.acks[-1][1].upto < centre.seq, "what was refused is asked for again"
    centre.journal.close()
    centre.engine.dispose()


def test_a_journal_is_opened_and_closed_on_a_disk_without_a_free_byte(make_disk: MakeDisk) -> None:
    disk = make_disk(64 << 20)
    path = disk.folder / "journal.db"
    with contextlib.closing(Journal(path)) as journal:
        keep(journal, 1)
    disk.fill()
    for number in range(11, 311, 10):
        with contextlib.closing(Journal(path)) as journal:
            keep(journal, number)
    with contextlib.closing(Journal(path, check=True)) as journal:
        check_journal(journal, 311)


def test_a_journal_at_its_cap_refuses_new_records_and_keeps_unfed_ones(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with contextlib.closing(Journal(path, max_bytes=2 << 20)) as journal:
        refused = keep_until_refused(journal, 1)
        for _ in range(3):
            with pytest.raises(JournalFull):
                keep(journal, refused)
        check_journal(journal, refused)
        assert path.stat().st_size <= 2 << 20
        assert path.with_suffix(".ballast").stat().st_size == BALLAST_BYTES
        assert not journal.damage
        journal.prune(fed_id=refused - 1, before_s=0.0)
        keep(journal, refused)


def test_a_journal_with_room_keeps_what_is_young(tmp_path: Path) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.db")) as journal:
        keep(journal, 1, 100)
        assert journal.prune(fed_id=100, before_s=50.5) == 50


def test_a_journal_takes_a_group_larger_than_the_room_it_has(tmp_path: Path) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.db")) as journal:
        size_bytes = journal.size_bytes()
        keep(journal, 1, 12_000)
        check_journal(journal, 12_001)
        assert journal.size_bytes() > size_bytes
        with pytest.raises(ZeroDivisionError), journal.transaction():
            for number in range(30_000, 40_000):
                journal.keep(a_kept(number))
            raise ZeroDivisionError
        check_journal(journal, 12_001)
        keep(journal, 12_001)


def test_nobody_else_is_left_without_a_byte_by_a_journal(make_disk: MakeDisk) -> None:
    disk = make_disk(48 << 20)
    with contextlib.closing(Journal(disk.folder / "journal.db")) as journal:
        keep_until_refused(journal, 1)
        assert shutil.disk_usage(disk.folder).free > SPARE_DISK_BYTES - (1 << 20)
        assert journal.size_bytes() % PAGE_BYTES == 0


def test_the_smallest_disk_is_found_too_small_before_anything_is_promised(make_disk: MakeDisk) -> None:
    disk: SmallDisk = make_disk(64 << 10)
    with pytest.raises((SpoolFull, sqlite3.OperationalError)):
        Spool(disk.folder / "spool.db", SpoolLimits(), boot="boot", mono_s=0.0)
