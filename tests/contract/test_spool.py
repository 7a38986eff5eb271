"""The spool: what put returned from survives, what is dropped is counted, what was delivered can be sent again."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from contract.durable_file import BALLAST_BYTES
from contract.moment import Moment
from contract.reading import Reading, Record
from contract.spool import Spool, SpoolFull, SpoolLimits, SpoolReader


def a_record(number: int, readings: int = 1) -> Record:
    return Record(
        taken=Moment(boot="boot", mono_s=float(number), wall_s=1.8e9 + number),
        readings=tuple(
            Reading(
                probe="ping",
                target=f"device-{place}",
                values={"rtt_avg_ms": float(number)},
                detail=os.urandom(60).hex(),
            )
            for place in range(readings)
        ),
    )


def open_spool(
    path: Path | None, *, max_bytes: int = 1 << 20, max_age_s: float = 86400.0, mono_s: float = 0.0
) -> Spool:
    return Spool(path, SpoolLimits(max_bytes=max_bytes, max_age_s=max_age_s), mono_s=mono_s)


def read_all(spool: Spool) -> list[tuple[int, Record]]:
    return spool.read(1, max_count=100_000, max_bytes=1 << 30)


def test_records_come_back_in_order_with_their_numbers(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db")
    records = [a_record(number) for number in range(5)]
    assert [spool.put(record, mono_s=1.0) for record in records] == [1, 2, 3, 4, 5]
    assert read_all(spool) == list(enumerate(records, start=1))


def test_a_spool_opened_again_goes_on_where_it_was(tmp_path: Path) -> None:
    first = open_spool(tmp_path / "spool.db")
    first.put(a_record(1, readings=3), mono_s=1.0)
    first.acknowledge(1, mono_s=1.0)
    epoch = first.epoch
    first.close()
    again = open_spool(tmp_path / "spool.db")
    assert (again.epoch, again.next_seq, again.acked_upto, again.made_count) == (epoch, 2, 1, 3)
    assert again.put(a_record(2), mono_s=1.0) == 2


def test_numbers_are_never_used_twice_even_when_everything_was_dropped(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db", max_age_s=3600)
    spool.put(a_record(1), mono_s=0.0)
    spool.put(a_record(2), mono_s=10_000.0)
    spool.put(a_record(3), mono_s=20_000.0)
    assert [seq for seq, _ in read_all(spool)] == [3]
    spool.close()
    assert open_spool(tmp_path / "spool.db").next_seq == 4


def test_the_oldest_make_room_and_are_counted_exactly(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db", max_bytes=1 << 20)
    put_count = 0
    while spool.dropped_count == 0:
        spool.put(a_record(put_count, readings=3), mono_s=1.0)
        put_count += 1
    held = read_all(spool)
    assert held[-1][0] == put_count
    assert spool.low == held[0][0] > 1
    assert spool.dropped_count == 3 * (put_count - len(held))
    assert spool.made_count == 3 * put_count


def test_what_was_delivered_is_not_counted_as_dropped(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db", max_age_s=3600)
    for number in range(3):
        spool.put(a_record(number), mono_s=0.0)
    spool.acknowledge(2, mono_s=0.0)
    spool.put(a_record(9), mono_s=90_000.0)
    assert spool.dropped_count == 1


def test_acknowledged_records_are_kept_and_can_be_sent_again(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db")
    for number in range(3):
        spool.put(a_record(number), mono_s=0.0)
    spool.acknowledge(3, mono_s=0.0)
    assert (spool.stat().waiting_count, spool.stat().kept_count) == (0, 3)
    spool.acknowledge(1, mono_s=0.0)
    assert spool.stat().waiting_count == 2
    assert [seq for seq, _ in spool.read(2, max_count=10, max_bytes=1 << 20)] == [2, 3]


def test_acknowledged_records_go_after_a_week_of_running_time(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db", max_age_s=30 * 86400.0)
    spool.put(a_record(1), mono_s=0.0)
    spool.put(a_record(2), mono_s=8 * 86400.0)
    spool.acknowledge(2, mono_s=8 * 86400.0)
    assert [seq for seq, _ in read_all(spool)] == [2]
    assert spool.dropped_count == 0


def test_acknowledged_records_never_fill_more_than_half(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db", max_bytes=1 << 20)
    while spool.stat().used_bytes < 700_000:
        seq = spool.put(a_record(1, readings=5), mono_s=0.0)
    spool.acknowledge(seq, mono_s=0.0)
    assert 0 < spool.stat().used_bytes <= 1 << 19
    assert spool.dropped_count == 0


def test_a_batch_is_read_in_contiguous_numbers_and_within_its_bytes(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db")
    for number in range(10):
        spool.put(a_record(number), mono_s=0.0)
    assert [seq for seq, _ in spool.read(3, max_count=4, max_bytes=1 << 20)] == [3, 4, 5, 6]
    assert [seq for seq, _ in spool.read(3, max_count=4, max_bytes=1)] == [3]


def test_a_reader_looks_in_without_changing_anything(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db")
    spool.put(a_record(1), mono_s=0.0)
    reader = SpoolReader(tmp_path / "spool.db")
    assert reader.stat() == spool.stat()
    assert list(reader.records()) == read_all(spool)
    with pytest.raises(sqlite3.OperationalError):
        reader._db.execute("DELETE FROM record")


def test_the_file_is_grown_in_advance_and_has_a_ballast_beside_it(tmp_path: Path) -> None:
    open_spool(tmp_path / "spool.db", max_bytes=8 << 20)
    assert (tmp_path / "spool.db").stat().st_size + (tmp_path / "spool.db-wal").stat().st_size >= 4 << 20
    assert (tmp_path / "spool.ballast").stat().st_size == BALLAST_BYTES


def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    path.write_bytes(b"this is no database, it only lies here" * 200)
    with pytest.raises(sqlite3.DatabaseError):
        open_spool(path)


def test_a_spool_in_memory_works_where_no_disk_can_be_written() -> None:
    spool = open_spool(None)
    assert spool.put(a_record(1), mono_s=0.0) == 1
    assert len(read_all(spool)) == 1


WRITER = """
import sys
from pathlib import Path
from tests.contract.test_spool import a_record, open_spool
spool = open_spool(Path(sys.argv[1]), max_bytes=8 << 20)
while True:
    print(spool.put(a_record(spool.next_seq), mono_s=0.0), flush=True)
"""


def test_everything_that_put_returned_from_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    returned = 0
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for line in writer.stdout:
            returned = int(line)
            if returned % 50 == 0:
                writer.send_signal(signal.SIGKILL)
                break
        returned = max([returned, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        writer.wait()
        writer.stdout.close()
    numbers = [seq for seq, _ in read_all(open_spool(path, max_bytes=8 << 20))]
    assert numbers[:returned] == list(range(1, returned + 1))
    assert len(numbers) - returned in (0, 1, 2, 3)  # a put that had committed but not yet returned, once a kill


@pytest.mark.skipif(os.geteuid() != 0 if hasattr(os, "geteuid") else True, reason="mounting a small disk needs root")
def test_a_disk_filled_by_others_stops_nothing_and_the_count_is_exact(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)], check=True)
    try:
        spool = open_spool(disk / "spool.db", max_bytes=24 << 20)
        filler = disk / "video.mp4"
        with filler.open("wb") as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        put_count = 0
        while spool.dropped_count == 0 or put_count % 500:
            assert put_count < 30_000
            spool.put(a_record(put_count, readings=20), mono_s=0.0)
            put_count += 1
        held = read_all(spool)
        assert held[-1][0] == put_count
        assert 0 < spool.dropped_count == 20 * (put_count - len(held))
        spool.acknowledge(put_count, mono_s=0.0)
        assert spool.put(a_record(1), mono_s=0.0) == put_count + 1
    finally:
        spool.close()
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_refuses_everything_is_told_to_the_caller(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db")
    spool._db.execute("PRAGMA query_only=ON")
    with pytest.raises(SpoolFull):
        spool.put(a_record(1), mono_s=0.0)
