"""The journal: what was committed is there after anything, each record once, and nothing goes before it may."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.storage.journal import QUARANTINE_MAX_COUNT, Boot, Gap, Journal, Kept, Stream
from contract.moment import Moment
from contract.reading import Reading, Record


def a_record(seq: int, detail: str = "") -> Record:
    reading = Reading(probe="ping", target="gateway", values={"rtt_avg_ms": 1.5 + seq}, detail=detail)
    return Record(taken=Moment(boot="boot", mono_s=float(seq), wall_s=1.8e9 + seq), readings=(reading,))


def a_kept(seq: int, *, agent: str = "agent-01", arrived_s: float = 1000.0, detail: str = "") -> Kept:
    record = a_record(seq, detail)
    return Kept(0, agent, "abcdefgh", seq, "room-01", "hagiang", arrived_s, arrived_s - 1, sure=True, record=record)


OpenJournal = Callable[[], Journal]


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[OpenJournal]:
    with contextlib.ExitStack() as opened:
        yield lambda: opened.enter_context(contextlib.closing(Journal(tmp_path / "journal.db")))


@pytest.fixture
def journal(open_journal: OpenJournal) -> Journal:
    return open_journal()


BOOT = Boot("agent-01", "boot", 99.5, 1.2e9, sure=True, heard_s=1000.0)


def keep(journal: Journal, *kept: Kept) -> None:
    with journal.transaction():
        for one in kept:
            journal.keep(one)


def seqs(journal: Journal) -> list[int]:
    return [one.seq for one in journal.since(0.0)]


def test_a_record_comes_back_as_it_was_kept(journal: Journal) -> None:
    kept = a_kept(7)
    keep(journal, kept)
    assert list(journal.since(0.0)) == [kept._replace(id=1)]


def test_a_record_is_kept_once_and_a_repeat_changes_nothing(journal: Journal) -> None:
    with journal.transaction():
        assert journal.keep(a_kept(1, detail="first")) is True
        assert journal.keep(a_kept(1, detail="again")) is False
        assert journal.keep(a_kept(1, agent="agent-02")) is True
    assert [one.record.readings[0].detail for one in journal.since(0.0)] == ["first", ""]


def test_what_fails_in_the_middle_did_not_happen(journal: Journal) -> None:
    with pytest.raises(sqlite3.Error), journal.transaction():
        journal.keep(a_kept(1))
        journal.save_boot(BOOT)
        journal._db.execute("INSERT INTO kept (agent) VALUES (NULL)")
    assert seqs(journal) == []
    assert journal.boot("agent-01", "boot") is None
    keep(journal, a_kept(1))
    assert seqs(journal) == [1]


def test_a_journal_opened_again_knows_everything(open_journal: OpenJournal) -> None:
    first = open_journal()
    with first.transaction():
        first.keep(a_kept(1))
        first.keep(a_kept(5))
        first.save_stream(Stream("agent-01", "abcdefgh", 1, 40, 3, 1000.0))
        first.save_gap(Gap("agent-01", "abcdefgh", 2, 3, 1000.0))
        first.save_boot(BOOT)
        first.save_quarantined(1000.0, "agent-02", "topic", "why", b"body")
    first.close()
    again = open_journal()
    assert seqs(again) == [1, 5]
    assert again.upto("agent-01", "abcdefgh") == 1
    assert again.ahead("agent-01", "abcdefgh", 1) == [5]
    assert again.streams() == [Stream("agent-01", "abcdefgh", 1, 40, 3, 1000.0)]
    assert again.gaps() == [Gap("agent-01", "abcdefgh", 2, 3, 1000.0)]
    assert again.boot("agent-01", "boot") == BOOT
    assert [(one.agent, one.why, one.body) for one in again.quarantined(10)] == [("agent-02", "why", b"body")]


def test_epochs_boots_and_gaps_not_heard_of_for_long_are_forgotten(journal: Journal) -> None:
    with journal.transaction():
        for boot, heard_s in (("old", 1000.0), ("new", 2000.0)):
            journal.save_boot(BOOT._replace(boot=boot, heard_s=heard_s))
            journal.save_stream(Stream("agent-01", boot, 1, 40, 3, heard_s))
            journal.save_gap(Gap("agent-01", boot, 2, 3, heard_s))
        journal.forget(1500.0)
    assert (journal.boot("agent-01", "old"), journal.upto("agent-01", "old")) == (None, 0)
    assert journal.boot("agent-01", "new") is not None
    assert [one.epoch for one in journal.streams()] == [one.epoch for one in journal.gaps()] == ["new"]


def test_an_epoch_never_heard_of_is_at_nothing(journal: Journal) -> None:
    assert journal.upto("agent-01", "zzzzzzzz") == 0
    assert journal.ahead("agent-01", "zzzzzzzz", 0) == []
    assert journal.last_id() == 0


def test_a_gap_told_twice_is_one(journal: Journal) -> None:
    with journal.transaction():
        journal.save_gap(Gap("agent-01", "abcdefgh", 2, 3, 1000.0))
        journal.save_gap(Gap("agent-01", "abcdefgh", 2, 3, 2000.0))
    assert journal.gaps() == [Gap("agent-01", "abcdefgh", 2, 3, 1000.0)]


def test_only_what_arrived_after_a_moment_is_recalled(journal: Journal) -> None:
    keep(journal, a_kept(1, arrived_s=100.0), a_kept(2, arrived_s=200.0), a_kept(3, arrived_s=300.0))
    assert [one.seq for one in journal.since(150.0)] == [2, 3]


def test_what_a_sink_lacks_or_what_is_young_is_not_let_go(journal: Journal) -> None:
    keep(journal, *(a_kept(seq, arrived_s=100.0 * seq) for seq in range(1, 6)))
    with journal.transaction():
        journal.save_stream(Stream("agent-01", "abcdefgh", 5, 5, 0, 500.0))
        assert journal.prune(fed_id=2, before_s=1e9) == 2
        assert journal.prune(fed_id=5, before_s=400.0) == 1
    assert seqs(journal) == [4, 5]


def test_what_lies_ahead_of_a_hole_is_not_let_go(journal: Journal) -> None:
    """It is what tells a repeat from something new after a restart."""
    keep(journal, a_kept(1), a_kept(2), a_kept(9))
    with journal.transaction():
        journal.save_stream(Stream("agent-01", "abcdefgh", 2, 3, 0, 1000.0))
        assert journal.prune(fed_id=100, before_s=1e9) == 2
    assert journal.ahead("agent-01", "abcdefgh", 2) == [9]


def test_an_id_is_never_used_again(journal: Journal) -> None:
    """Sinks remember how far they are by it: a reused id would be a record that no sink ever gets."""
    keep(journal, a_kept(1), a_kept(2))
    with journal.transaction():
        assert journal.prune(fed_id=2, before_s=1e9) == 2
    assert journal.last_id() == 2
    keep(journal, a_kept(3))
    assert [one.id for one in journal.since(0.0)] == [3]


def test_letting_go_is_done_in_small_steps(journal: Journal) -> None:
    keep(journal, *(a_kept(seq) for seq in range(1, 11)))
    with journal.transaction():
        assert journal.prune(fed_id=10, before_s=1e9, at_most=4) == 4
    assert seqs(journal) == list(range(5, 11))


def test_the_quarantine_keeps_the_newest_and_counts_all(journal: Journal) -> None:
    with journal.transaction():
        for number in range(QUARANTINE_MAX_COUNT + 50):
            journal.save_quarantined(float(number), "agent-01", "topic", f"why {number}", b"x" * 20_000)
    held = journal.quarantined(10_000)
    assert len(held) == QUARANTINE_MAX_COUNT
    assert held[0].why == f"why {QUARANTINE_MAX_COUNT + 49}"
    assert journal.quarantined_total() == QUARANTINE_MAX_COUNT + 50
    assert max(len(one.body) for one in held) == 16 * 1024


def test_a_sink_reads_in_order_of_id_while_the_writer_goes_on(journal: Journal) -> None:
    keep(journal, *(a_kept(seq) for seq in (3, 1, 2)))
    with contextlib.closing(journal.reader()) as reader:
        with journal.transaction():
            journal.keep(a_kept(4))
            assert [one.seq for one in reader.after(0, 10)] == [3, 1, 2], "what is not committed is not there"
        assert [one.seq for one in reader.after(1, 2)] == [1, 2]
        assert [one.id for one in reader.after(3, 10)] == [4]
        assert reader.last_id() == 4


def test_a_copy_is_whole_while_others_write(journal: Journal, tmp_path: Path) -> None:
    """Each transaction keeps two records: a copy holds both or none."""
    stop = threading.Event()

    def write() -> None:
        seq = 1
        while not stop.is_set():
            keep(writer, a_kept(seq), a_kept(seq + 1))
            seq += 2

    writer = Journal(journal.path)
    thread = threading.Thread(target=write)
    thread.start()
    try:
        while journal.last_id() < 20:
            pass
        journal.copy_to(tmp_path / "copy.db")
    finally:
        stop.set()
        thread.join()
        writer.close()
    with contextlib.closing(Journal(tmp_path / "copy.db")) as copy:
        held = seqs(copy)
    assert held == list(range(1, len(held) + 1))
    assert len(held) % 2 == 0
    assert len(held) >= 20


WRITER = """
import sys
from pathlib import Path
from collector.storage.journal import Journal, Stream
from tests.collector.storage.test_journal import a_kept
journal = Journal(Path(sys.argv[1]))
seq = journal.upto("agent-01", "abcdefgh")
while True:
    seq += 1
    with journal.transaction():
        journal.keep(a_kept(seq))
        journal.save_stream(Stream("agent-01", "abcdefgh", seq, seq, 0, 1000.0))
    print(seq, flush=True)
"""


def test_what_was_committed_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    committed = 0
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for line in writer.stdout:
            committed = int(line)
            if committed % 40 == 0:
                writer.send_signal(signal.SIGKILL)
                break
        committed = max([committed, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        writer.wait()
        writer.stdout.close()
    with contextlib.closing(Journal(path)) as journal:
        held = seqs(journal)
        assert held == list(range(1, len(held) + 1))
        assert journal.upto("agent-01", "abcdefgh") == len(held) >= committed >= 120


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_was_full_is_written_again_once_it_has_room(small_disk: Path) -> None:
    """A refused commit must leave no transaction open behind it, or nothing is ever kept again."""
    with contextlib.closing(Journal(small_disk / "journal.db")) as journal:
        keep(journal, a_kept(1))
        filler = small_disk / "video.mp4"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        kept, refused_count = [1], 0
        for seq in range(2, 50_000):
            if refused_count > 10:
                break
            try:
                keep(journal, a_kept(seq, detail=os.urandom(90).hex()))
                kept.append(seq)
            except sqlite3.Error:
                refused_count += 1
        assert refused_count > 10
        assert len(kept) > 100, "room taken in advance is used up before anything is refused"
        filler.unlink()
        keep(journal, a_kept(100_000))
        assert seqs(journal) == [*kept, 100_000]
