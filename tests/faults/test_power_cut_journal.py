"""The journal after a power cut: what was committed, and so may have been acknowledged, is there, unchanged."""

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from collector.storage.journal import Gap, Journal, Kept, Stream
from contract.moment import Moment
from contract.reading import Reading, Record
from tests.support.power_cut import HOW_MANY, POWER_CUTS, STATES, Recording, TryCuts, told
from tests.support.reliability import Seen

MAX_BYTES: Final = 1 << 20
GROUP: Final = 4


def a_kept(number: int) -> Kept:
    """Record `number`, from 1, of one of three agents; some are longer than a page of the file."""
    chance = random.Random(number)
    readings = tuple(
        Reading(probe="ping", target=f"device-{place}", values={"rtt_avg_ms": 1.0}, detail=chance.randbytes(90).hex())
        for place in range(40 if number % 25 == 0 else 2)
    )
    record = Record(taken=Moment(boot="boot", mono_s=float(number), wall_s=1.8e9 + number), readings=readings)
    agent, seq = f"agent-{number % 3}", number // 3 + 1
    return Kept(0, agent, "epoch000", seq, "room-1", "hg", float(number), float(number), sure=True, record=record)


WORK: Final = """
import os, sys
from pathlib import Path
from collector.storage.journal import Gap, Journal, Stream
from tests.faults.test_power_cut_journal import GROUP, MAX_BYTES, a_kept
folder, marks, synchronous, kind, first, last = sys.argv[1:]
journal = Journal(Path(folder) / "journal.db", max_bytes=MAX_BYTES)
journal._db.execute(f"PRAGMA synchronous={synchronous}")
handle = os.open(marks, os.O_WRONLY | os.O_APPEND)
def mark(text):
    os.write(handle, (text + "\\n").encode())
for number in range(int(first), int(last) + 1, GROUP):
    group = range(number, number + GROUP)
    mark(f"keeping {group[-1]}")
    with journal.transaction():
        for one in map(a_kept, group):
            journal.keep(one)
            journal.save_stream(Stream(one.agent, one.epoch, one.seq, one.seq, 0, one.arrived_s))
        journal.save_gap(Gap("agent-1", "epoch000", number, number, 1.0))
    mark(f"kept {group[-1]}")
    if number % 11 == 0:
        mark(f"pruning {number - 20}")
        journal.prune(fed_id=number, before_s=number - 20.5)
if kind == "killed":
    os._exit(0)
journal.close()
"""


def faults_of(folder: Path, marks: list[str]) -> Iterator[str]:
    """What is wrong with a journal found after a cut."""
    last = {name: int(number) for name, number in map(str.split, marks)}
    try:
        with contextlib.closing(Journal(folder / "journal.db", max_bytes=MAX_BYTES, check=True)) as journal:
            yield from _faults_of(journal, last)
    except sqlite3.DatabaseError as error:
        yield f"damaged: {error}"


def _faults_of(journal: Journal, marks: dict[str, int]) -> Iterator[str]:
    found = journal._db.execute("PRAGMA integrity_check").fetchone()[0]
    if found != "ok":
        yield f"damaged: {found}"
    held = {int(one.arrived_s): one for one in journal.since(0.0)}
    committed, begun, pruned = (marks.get(name, 0) for name in ("kept", "keeping", "pruning"))
    if lost := set(range(max(1, pruned + 1), committed + 1)) - held.keys():
        yield f"lost: {sorted(lost)}"
    if any(one._replace(id=0) != a_kept(number) for number, one in held.items()):
        yield "changed"
    last = max(held, default=0)
    if last not in (committed, begun):
        yield f"half a group: {last} is here, and {committed} was the last of a group"
    if [one.id for one in held.values()] != list(held):
        yield "other ids"
    uptos = {one.agent: one.seq for one in map(a_kept, range(1, last + 1))}
    if {one.agent: one.upto for one in journal.streams()} != uptos:
        yield "streams: not as far as the records"
    if journal.gaps() != [Gap("agent-1", "epoch000", first, first, 1.0) for first in range(1, last + 1, GROUP)]:
        yield "gaps: not those of the records"
    with journal.transaction():
        if not journal.keep(a_kept(100_000)):
            yield "goes on elsewhere"
        journal.save_stream(Stream("agent-9", "epoch000", 1, 1, 0, 1.0))


@pytest.fixture
def disk(tmp_path: Path) -> Recording:
    return Recording(tmp_path / "disk", tmp_path / "marks")


def record_day(disk: Recording, synchronous: str) -> None:
    """Groups of records are kept, and old ones pruned; the collector is killed once."""
    disk.add(WORK, synchronous, "killed", "1", "120")
    disk.add(WORK, synchronous, "closed", "121", "180")


@pytest.mark.parametrize("states", HOW_MANY)
def test_what_was_committed_survives_a_power_cut(states: int, disk: Recording, try_cuts: TryCuts, seen: Seen) -> None:
    record_day(disk, "FULL")
    faults = try_cuts(disk, faults_of, states)
    seen(told("journal", states, faults))
    assert faults == []


@POWER_CUTS
@pytest.mark.parametrize("synchronous", ["NORMAL", pytest.param("OFF", marks=pytest.mark.long)])
def test_the_same_cuts_find_what_a_journal_without_syncs_loses(
    synchronous: str, disk: Recording, try_cuts: TryCuts, seen: Seen
) -> None:
    record_day(disk, synchronous)
    faults = try_cuts(disk, faults_of, STATES)
    seen(told(f"a journal with synchronous = {synchronous}, to show that the cuts bite", STATES, faults))
    assert len(faults) > STATES / 10
