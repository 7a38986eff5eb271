"""The spool after a power cut: what put returned from is there, unchanged, and what is dropped is counted."""

import contextlib
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from contract.moment import Moment
from contract.reading import Reading, Record
from contract.spool import Spool, SpoolLimits, SpoolReader
from tests.support.power_cut import HOW_MANY, POWER_CUTS, STATES, Recording, TryCuts, told
from tests.support.reliability import Seen

LIMITS: Final = SpoolLimits(max_bytes=512 << 10)


def a_record(number: int) -> Record:
    """Record `number`, from 1; some are longer than a page of the file."""
    chance = random.Random(number)
    readings = tuple(
        Reading(probe="ping", target=f"device-{place}", values={"rtt_avg_ms": 1.0}, detail=chance.randbytes(90).hex())
        for place in range(readings_of(number))
    )
    return Record(taken=Moment(boot="boot", mono_s=float(number), wall_s=1.8e9 + number), readings=readings)


def readings_of(number: int) -> int:
    return 40 if number % 25 == 0 else number % 4 + 1


WORK: Final = """
import os, sys
from pathlib import Path
from contract.spool import Spool
from tests.faults.test_power_cut_spool import LIMITS, a_record
folder, marks, synchronous, kind, boot, first, last = sys.argv[1:]
spool = Spool(Path(folder) / "spool.db", LIMITS, boot=boot, mono_s=float(first))
spool._db.execute(f"PRAGMA synchronous={synchronous}")
handle = os.open(marks, os.O_WRONLY | os.O_APPEND)
def mark(text):
    os.write(handle, (text + "\\n").encode())
for number in range(int(first), int(last) + 1):
    mark(f"putting {number}")
    spool.put(a_record(number), mono_s=float(number))
    mark(f"put {number}")
    if "acked" in kind and number % 7 == 0:
        mark(f"acking {number - 2}")
        for epoch in list(spool.epochs):
            epoch.acknowledge(min(number - 2, epoch.last_seq) - epoch.facts.base, mono_s=float(number))
        mark(f"acked {number - 2}")
if "killed" in kind:
    os._exit(0)
spool.close()
"""


class Marks(NamedTuple):
    """How far the program was when the power went, in numbers of the whole spool."""

    putting: int = 0
    put: int = 0
    acking: int = 0
    acked: int = 0


def faults_of(folder: Path, marks: list[str]) -> Iterator[str]:
    """What is wrong with a spool found after a cut."""
    last = Marks(**{name: int(number) for name, number in map(str.split, marks)})
    path = folder / "spool.db"
    try:
        with (
            contextlib.closing(Spool(path, LIMITS, boot="boot", mono_s=1e6)) as spool,
            contextlib.closing(SpoolReader(path)) as reader,
        ):
            yield from _faults_of(spool, dict(reader.records()), last)
    except sqlite3.DatabaseError as error:
        yield f"damaged: {error}"


def _faults_of(spool: Spool, held: dict[int, Record], marks: Marks) -> Iterator[str]:
    found = spool._db.execute("PRAGMA integrity_check").fetchone()[0]
    if found != "ok":
        yield f"damaged: {found}"
    last = spool.last_seq
    if not marks.put <= last <= marks.putting:
        yield f"lost: up to {last} after {marks.put} were put"
    if held != {number: a_record(number) for number in held}:
        yield "changed"
    acked = {number for number in range(1, last + 1) if spool._facts.is_acked(number)}
    if any(number not in acked for number in held if number <= marks.acked):
        yield "forgot an ack"
    if max(acked, default=0) > marks.acking:
        yield "acknowledged by nobody"
    missing = set(range(1, last + 1)) - held.keys()
    lost_count = sum(map(readings_of, (number for number in missing if number > marks.acking)))
    if spool.dropped_count != lost_count:
        yield f"lost: {lost_count} readings are missing, {spool.dropped_count} of them counted"
    if spool.made_count != sum(map(readings_of, range(1, last + 1))):
        yield f"miscounted: {spool.made_count} readings made"
    spool.put(a_record(last + 1), mono_s=0.0)
    if spool.last_seq != last + 1:
        yield "goes on elsewhere"


@pytest.fixture
def disk(tmp_path: Path) -> Recording:
    return Recording(tmp_path / "disk", tmp_path / "marks")


def record_delivery(disk: Recording, *, synchronous: str = "FULL") -> None:
    """Readings are stored and acknowledged; the agent is closed, killed, and started with the PC."""
    disk.add(WORK, synchronous, "acked", "boot-1", "1", "40")
    disk.add(WORK, synchronous, "acked,killed", "boot-2", "41", "80")
    disk.add(WORK, synchronous, "acked", "boot-3", "81", "120")


def record_offline(disk: Recording) -> None:
    """Readings are stored until the spool is full, and dropped from then on."""
    disk.add(WORK, "FULL", "killed", "boot-1", "1", "280")
    disk.add(WORK, "FULL", "", "boot-2", "281", "380")


@pytest.mark.parametrize("situation", [record_delivery, record_offline])
@pytest.mark.parametrize("states", HOW_MANY)
def test_what_put_returned_from_survives_a_power_cut(
    situation: Callable[[Recording], None],
    states: int,
    disk: Recording,
    try_cuts: TryCuts,
    seen: Seen,
) -> None:
    situation(disk)
    faults = try_cuts(disk, faults_of, states)
    seen(told(f"spool, {situation.__name__.removeprefix('record_')}", states, faults))
    assert faults == []


@POWER_CUTS
@pytest.mark.parametrize("synchronous", ["NORMAL", pytest.param("OFF", marks=pytest.mark.long)])
def test_the_same_cuts_find_what_a_spool_without_syncs_loses(
    synchronous: str, disk: Recording, try_cuts: TryCuts, seen: Seen
) -> None:
    record_delivery(disk, synchronous=synchronous)
    faults = try_cuts(disk, faults_of, STATES)
    seen(told(f"a spool with synchronous = {synchronous}, to show that the cuts bite", STATES, faults))
    assert len(faults) > STATES / 10
