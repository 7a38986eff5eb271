"""The spool: what put returned from survives, what is dropped is counted, what was delivered can be sent again."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from contract.batch import Batch, decode_batch, encode_batch, pack_record
from contract.durable_file import BALLAST_BYTES
from contract.moment import Moment
from contract.outcome import Outcome
from contract.reading import Reading, Record
from contract.spool import RECORD_MAX_BYTES, Epoch, Spool, SpoolFull, SpoolLimits, SpoolReader


def a_record(number: int, readings: int = 1, boot: str = "boot") -> Record:
    return Record(
        taken=Moment(boot=boot, mono_s=0.0, wall_s=1.8e9 + number),
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
    path: Path | None,
    *,
    max_bytes: int = 1 << 20,
    max_age_s: float = 86400.0,
    boot: str = "boot",
    mono_s: float = 0.0,
) -> Spool:
    return Spool(path, SpoolLimits(max_bytes=max_bytes, max_age_s=max_age_s), boot=boot, mono_s=mono_s)


def read_all(spool: Spool, epoch: Epoch | None = None) -> list[tuple[int, Record]]:
    """All that it holds of the present epoch, or another."""
    found: list[tuple[int, Record]] = []
    while more := (epoch or spool.present).read(found[-1][0] + 1 if found else 1, max_count=1000, max_bytes=1 << 30):
        found += more
    return found


def test_records_come_back_in_order_with_their_numbers(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db")
    records = [a_record(number) for number in range(5)]
    assert [spool.put(record, mono_s=1.0) for record in records] == [1, 2, 3, 4, 5]
    assert read_all(spool) == list(enumerate(records, start=1))


def test_a_spool_opened_again_goes_on_where_it_was(tmp_path: Path) -> None:
    first = open_spool(tmp_path / "spool.db")
    first.put(a_record(1, readings=3), mono_s=1.0)
    first.present.acknowledge(1, mono_s=1.0)
    epoch = first.present.epoch
    first.close()
    again = open_spool(tmp_path / "spool.db")
    present = again.present
    assert (present.epoch, present.next_seq, present.acked_upto, again.made_count) == (epoch, 2, 1, 3)
    assert again.put(a_record(2), mono_s=1.0) == 2


def test_numbers_are_never_used_twice_even_when_everything_was_dropped(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db", max_age_s=3600)
    spool.put(a_record(1), mono_s=0.0)
    spool.put(a_record(2), mono_s=10_000.0)
    spool.put(a_record(3), mono_s=20_000.0)
    assert [seq for seq, _ in read_all(spool)] == [3]
    spool.close()
    assert open_spool(tmp_path / "spool.db").present.next_seq == 4


def test_the_oldest_make_room_and_are_counted_exactly(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db", max_bytes=1 << 20)
    put_count = 0
    while spool.dropped_count == 0:
        spool.put(a_record(put_count, readings=3), mono_s=1.0)
        put_count += 1
    held = read_all(spool)
    assert held[-1][0] == put_count
    assert spool.present.low == held[0][0] > 1
    assert spool.dropped_count == 3 * (put_count - len(held))
    assert spool.made_count == 3 * put_count


def test_what_was_delivered_is_not_counted_as_dropped(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db", max_age_s=3600)
    for number in range(3):
        spool.put(a_record(number), mono_s=0.0)
    spool.present.acknowledge(2, mono_s=0.0)
    spool.put(a_record(9), mono_s=90_000.0)
    assert spool.dropped_count == 1


def test_acknowledged_records_are_kept_and_can_be_sent_again(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db")
    for number in range(3):
        spool.put(a_record(number), mono_s=0.0)
    spool.present.acknowledge(3, mono_s=0.0)
    assert (spool.stat().waiting_count, spool.stat().kept_count) == (0, 3)
    spool.present.acknowledge(1, mono_s=0.0)
    assert spool.stat().waiting_count == 2
    assert [seq for seq, _ in spool.present.read(2, max_count=10, max_bytes=1 << 20)] == [2, 3]


def test_acknowledged_records_go_after_a_week_of_running_time(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db", max_age_s=30 * 86400.0)
    spool.put(a_record(1), mono_s=0.0)
    spool.put(a_record(2), mono_s=8 * 86400.0)
    spool.present.acknowledge(2, mono_s=8 * 86400.0)
    assert [seq for seq, _ in read_all(spool)] == [2]
    assert spool.dropped_count == 0


def test_acknowledged_records_never_fill_more_than_half(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db", max_bytes=1 << 20)
    while spool.stat().used_bytes < 700_000:
        seq = spool.put(a_record(1, readings=5), mono_s=0.0)
    spool.present.acknowledge(seq, mono_s=0.0)
    assert 0 < spool.stat().used_bytes <= 1 << 19
    assert spool.dropped_count == 0


def test_a_batch_is_read_in_contiguous_numbers_and_within_its_bytes(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db")
    for number in range(10):
        spool.put(a_record(number), mono_s=0.0)
    assert [seq for seq, _ in spool.present.read(3, max_count=4, max_bytes=1 << 20)] == [3, 4, 5, 6]
    assert [seq for seq, _ in spool.present.read(3, max_count=4, max_bytes=1)] == [3]


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


def test_each_boot_numbers_from_one_and_the_epochs_before_it_are_still_there(tmp_path: Path) -> None:
    for boot in ("first", "second", "third"):
        spool = open_spool(tmp_path / "spool.db", boot=boot)
        assert [spool.put(a_record(number, boot=boot), mono_s=0.0) for number in (1, 2, 3)] == [1, 2, 3]
        spool.close()
    again = open_spool(tmp_path / "spool.db", boot="third")
    assert [len(read_all(again, epoch)) for epoch in again.epochs] == [3, 3, 3]
    assert len({epoch.epoch for epoch in again.epochs}) == 3
    again.epochs[0].acknowledge(2, mono_s=0.0)
    assert [epoch.acked_upto for epoch in again.epochs] == [2, 0, 0]
    assert (again.stat().waiting_count, again.stat().kept_count) == (7, 2)


def test_a_disk_that_comes_back_as_it_was_gives_no_number_out_twice(tmp_path: Path) -> None:
    """Freezing programs do this to a PC at every boot, and a disk that lied about having written at a power cut."""
    spool = open_spool(tmp_path / "spool.db", boot="installing")
    spool.put(a_record(0, boot="installing"), mono_s=0.0)
    spool.close()
    image = {path: path.read_bytes() for path in tmp_path.iterdir()}
    seen: dict[tuple[str, int], Record] = {}
    for boot in ("monday", "tuesday", "wednesday"):
        for path in tmp_path.iterdir():
            path.unlink()
        for path, content in image.items():
            path.write_bytes(content)
        spool = open_spool(tmp_path / "spool.db", boot=boot)
        for number in range(3):
            spool.put(a_record(number, boot=boot), mono_s=0.0)
        for epoch in spool.epochs:
            for seq, record in read_all(spool, epoch):
                assert seen.setdefault((epoch.epoch, seq), record) == record
        spool.close()
    assert len(seen) == 1 + 3 * 3


def test_two_boots_of_one_name_are_told_apart_by_a_clock_that_ran_back(tmp_path: Path) -> None:
    first = open_spool(tmp_path / "spool.db", mono_s=0.0)
    first.put(a_record(1), mono_s=0.0)
    first.close()
    assert open_spool(tmp_path / "spool.db", mono_s=-1.0).present.epoch != first.present.epoch


def test_an_epoch_goes_with_its_last_record(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db", boot="first")
    spool.put(a_record(1, boot="first"), mono_s=0.0)
    spool.close()
    spool = open_spool(tmp_path / "spool.db", boot="second", max_age_s=3600)
    spool.epochs[0].acknowledge(1, mono_s=0.0)
    spool.put(a_record(2, boot="second"), mono_s=9_000.0)
    assert len(spool.epochs) == 1
    spool.close()
    again = open_spool(tmp_path / "spool.db", boot="second", max_age_s=3600)
    assert (len(again.epochs), again.last_seq) == (1, 2)


def test_an_epoch_ends_where_it_ended_also_when_the_next_has_gone_before_it(tmp_path: Path) -> None:
    for boot in ("first", "second", "third"):
        spool = open_spool(tmp_path / "spool.db", boot=boot, max_age_s=1e9)
        for number in range(5):
            spool.put(a_record(number, boot=boot), mono_s=0.0)
        spool.close()
    spool = open_spool(tmp_path / "spool.db", boot="third")
    first, second, _ = spool.epochs
    second.acknowledge(5, mono_s=8 * 86400.0)
    assert [epoch.epoch for epoch in spool.epochs] == [first.epoch, spool.present.epoch]
    spool.close()
    again = open_spool(tmp_path / "spool.db", boot="fourth")
    assert [(epoch.low, epoch.next_seq) for epoch in again.epochs] == [(1, 6), (1, 6), (1, 1)]
    assert again.stat().waiting_count == 10


def test_room_is_made_by_what_was_delivered_then_by_the_oldest_and_the_last_of_an_epoch_goes_last(
    tmp_path: Path,
) -> None:
    for boot in ("first", "second"):
        spool = open_spool(tmp_path / "spool.db", boot=boot)
        for number in range(20):
            spool.put(a_record(number, boot=boot), mono_s=0.0)
        spool.close()
    spool = open_spool(tmp_path / "spool.db", boot="third")
    first, second, present = spool.epochs
    second.acknowledge(15, mono_s=0.0)
    while second.low == 1:
        assert first.low == 1, "what is unsent goes after what was delivered"
        spool.put(a_record(1, readings=20, boot="third"), mono_s=0.0)
    while present.low == 1:
        spool.put(a_record(1, readings=20, boot="third"), mono_s=0.0)
    assert [seq for seq, _ in read_all(spool, first)] == [20]
    assert [seq for seq, _ in read_all(spool, second)] == [20]
    assert spool.dropped_count == 19 + 4 + 20 * (present.low - 1)
    assert [epoch.dropped_count for epoch in spool.epochs] == [19, 4, 20 * (present.low - 1)]
    assert [epoch.made_count for epoch in spool.epochs] == [20, 20, 20 * (present.next_seq - 1)]


def test_a_record_too_large_for_a_batch_is_stored_in_parts(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db", max_bytes=4 << 20)
    large = a_record(1, readings=1200)
    last = spool.put(large, mono_s=0.0)
    parts = [record for _, record in read_all(spool)]
    assert len(parts) == last > 1
    assert all(len(pack_record(part)) <= RECORD_MAX_BYTES for part in parts)
    assert all(part.taken == large.taken for part in parts)
    assert [reading for part in parts for reading in part.readings] == list(large.readings)
    assert spool.made_count == 1200


def test_a_night_without_internet_travels_in_batches_that_a_collector_reads(tmp_path: Path) -> None:
    """Failures repeat, so they deflate to next to nothing: bytes alone do not bound what a batch inflates to."""
    spool = open_spool(tmp_path / "spool.db", max_bytes=4 << 20)
    detail = (
        "ping {}: no answer to 10 echo requests within 20 s; the gateway 192.168.1.1 answers, what is beyond does not"
    )
    for number in range(300):
        readings = tuple(
            Reading(probe="ping", target=f"device-{place}", outcome=Outcome.UNREACHABLE, detail=detail.format(place))
            for place in range(80)
        )
        spool.put(Record(taken=a_record(number).taken, readings=readings), mono_s=0.0)
    now = Moment(boot="boot", mono_s=1.0, wall_s=1.8e9)
    first = 1
    while rows := spool.present.read(first, max_count=240, max_bytes=48 << 10):
        batch = Batch(
            epoch=spool.present.epoch,
            low=1,
            first=rows[0][0],
            now=now,
            made_count=0,
            dropped_count=0,
            records=tuple(record for _, record in rows),
        )
        assert decode_batch(encode_batch(batch)) == batch
        first = batch.last + 1
    assert first == 301


WRITER = """
import sys
from pathlib import Path
from tests.contract.test_spool import a_record, open_spool
spool = open_spool(Path(sys.argv[1]), max_bytes=8 << 20)
while True:
    print(spool.put(a_record(spool.present.next_seq), mono_s=0.0), flush=True)
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
        spool.present.acknowledge(put_count, mono_s=0.0)
        assert spool.put(a_record(1), mono_s=0.0) == put_count + 1
    finally:
        spool.close()
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_refuses_everything_is_told_to_the_caller(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.db")
    spool._db.execute("PRAGMA query_only=ON")
    with pytest.raises(SpoolFull):
        spool.put(a_record(1), mono_s=0.0)
