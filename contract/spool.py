"""The agent's disk queue: records stay here until the collector has them on its own disk.

What `put` returned from survives kill -9 and a power cut, and a disk filled by others stops nothing
(`contract/durable_file.py`). Every record carries a checksum, so that what comes out is what went in, or an error.

Records are numbered within an epoch, and every boot of the PC begins one. A disk may come back as it was some time ago
(protected by a freezing program, put back from an image, or one that only said that it had written), and nothing on it
can tell; were its numbers given out again, the collector would take new records for repeats. So no boot ever adds to an
epoch that it did not begin, and what an older epoch still holds is sent as it is.
"""

import contextlib
import math
import secrets
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from contract.batch import ContractError, pack_record, unpack_measured, unpack_record
from contract.durable_file import PAGE_BYTES, DurableFile, Shape, is_damage, quick_look, read_only_uri, wal_of
from contract.reading import Record
from contract.salvage import replace_first_page, rows_between, ways_in

PLAIN_ROOM_BYTES: Final = 1 << 20
"""What the records of one batch may inflate to: half of what a collector bears."""
RECORD_MAX_BYTES: Final = 48 << 10
READINGS_MAX_COUNT: Final = 500
"""A record that is larger is stored as several: no batch could carry it."""
_FIRST_BYTES: Final = 4 << 20
_STEP_BYTES: Final = 1 << 20
_LEAST_BYTES: Final = 24 * PAGE_BYTES
_CHECKPOINT_PAGES: Final = 128
_CACHE_BYTES: Final = 512 << 10
_TREE_PAGES: Final = 8  # what a record may take besides its own pages, and what deleting may take meanwhile
_ROW_OVERHEAD_BYTES: Final = 32
_DROP_MAX_COUNT: Final = 64
_DROP_BYTES: Final = 64 << 10
_MOVE_AT_ONCE: Final = 64
_KEEP_ACKED_S: Final = 7 * 86400.0

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS record (
    seq INTEGER PRIMARY KEY,    -- runs through all epochs: an epoch's own numbers are these less its base
    life_s REAL NOT NULL,       -- the spool's age when the record came, in seconds of running time
    readings_count INTEGER NOT NULL,
    crc INTEGER NOT NULL,       -- over all of the row, and the name of the spool
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS fact (only INTEGER PRIMARY KEY CHECK (only = 1), crc INTEGER NOT NULL, body BLOB NOT NULL);
"""
_ROW: Final = "SELECT seq, life_s, readings_count, crc, body FROM record"


class SpoolLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much the spool may hold. Age counts the agent's running time: a PC's calendar cannot be trusted with it."""

    max_bytes: int = 64 << 20
    max_age_s: float = 45 * 86400.0


class SpoolStat(NamedTuple):
    """What the spool holds: `waiting` records are not yet acknowledged, `kept` ones are.

    Numbers are those of the present epoch, counts those of all since the spool was made.
    """

    epoch: str
    low: int
    next_seq: int
    acked_upto: int
    waiting_count: int
    kept_count: int
    used_bytes: int
    made_count: int
    dropped_count: int


class SpoolFull(Exception):
    """The disk cannot take a record, even after older ones were given up: what it said."""


class RecordTooLarge(SpoolFull):
    """The record alone is larger than the whole spool may be."""


class SpoolDamaged(sqlite3.DatabaseError):
    """The file does not hold what was written: what was found. `salvage` takes out what is still there."""


class _EpochFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a spool remembers of an epoch. Its records have the numbers above `base`, up to `end`."""

    epoch: str
    base: int
    end: int | None = None  # None for the present one; the next may have gone before it, so its base does not tell
    acked_upto: int = 0  # by its own numbers, which begin at 1
    made_count: int = 0
    dropped_count: int = 0


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a spool remembers besides its records. The counts are of readings, since the spool was made."""

    name: str
    epochs: tuple[_EpochFacts, ...] = ()
    next_seq: int = 1
    made_count: int = 0
    dropped_count: int = 0
    waiting_count: int = 0
    life_s: float = 0.0
    is_closed: bool = False  # and all of it is in the file itself: the WAL is not needed

    def is_acked(self, seq: int) -> bool:
        """Whether the collector has a record."""
        epoch = next((one for one in reversed(self.epochs) if one.base < seq), None)
        return epoch is not None and seq <= epoch.base + epoch.acked_upto


class Epoch:
    """One epoch's part of a spool, as a Forwarder sends from it. Numbers are the epoch's own, from 1."""

    def __init__(self, spool: "Spool", facts: _EpochFacts) -> None:
        self._spool = spool
        self.facts = facts
        self.low_seq: int | None = None  # of its lowest record, by the whole spool's numbers

    @property
    def end(self) -> int | None:
        """Its last number by the whole spool's numbers; None for the present one."""
        return self.facts.end

    @property
    def epoch(self) -> str:
        """Its name, random."""
        return self.facts.epoch

    @property
    def last_seq(self) -> int:
        """The number of its last record ever, by the whole spool's numbers."""
        return self._spool.last_seq if self.end is None else self.end

    @property
    def acked_seq(self) -> int:
        """The highest number acknowledged, by the whole spool's numbers."""
        return self.facts.base + self.facts.acked_upto

    @property
    def low(self) -> int:
        """The lowest number that can still be sent; the next number when there is none."""
        return self.next_seq if self.low_seq is None else self.low_seq - self.facts.base

    @property
    def next_seq(self) -> int:
        """The number that the next record gets, or would have got."""
        return self.last_seq - self.facts.base + 1

    @property
    def acked_upto(self) -> int:
        """The highest number that the collector has acknowledged, it and all below."""
        return self.facts.acked_upto

    @property
    def made_count(self) -> int:
        """Readings stored since the epoch began."""
        return self.facts.made_count

    @property
    def dropped_count(self) -> int:
        """Readings given up unsent since the epoch began."""
        return self.facts.dropped_count

    def read(self, first: int, *, max_count: int, max_bytes: int) -> list[tuple[int, Record]]:
        """Records with contiguous numbers from the first one held at or above `first`, bounded in count and bytes.

        At least one when there is any; the bytes are those of each record packed alone, so a batch is smaller.
        """
        return self._spool.read(self, first, max_count=max_count, max_bytes=max_bytes)

    def acknowledge(self, upto: int, *, mono_s: float) -> None:
        """Note that the collector has everything up to `upto`, and let go of what need not be kept any longer.

        `upto` may go back: a collector restored from a backup asks for what it lost. Acknowledged records are kept a
        week of running time, or until they fill half of the spool.
        """
        self._spool.acknowledge(self, upto, mono_s=mono_s)


class Spool:
    """One file, one thread; the last of `epochs` is the present one, which alone grows.

    Whatever it does raises sqlite3.OperationalError for a disk that refuses, and any other sqlite3.DatabaseError (often
    SpoolDamaged) for a damaged file; `is_damage` tells them apart. `mono_s` is the present monotonic time, and
    `boot` the PC's present boot.
    """

    def __init__(self, path: Path | None, limits: SpoolLimits, *, boot: str, mono_s: float) -> None:
        """Open or make the spool at `path`; None keeps it in memory, for a disk that cannot be written.

        Raises SpoolFull when there is no room for a single record, and OSError, besides what is said above.
        """
        self._limits = limits
        shape = Shape(
            tables=_TABLES,
            cap_bytes=max(limits.max_bytes, _LEAST_BYTES),
            first_bytes=_FIRST_BYTES,
            step_bytes=_STEP_BYTES,
            checkpoint_pages=_CHECKPOINT_PAGES,
            cache_bytes=_CACHE_BYTES,
        )
        self._is_new = True
        self._life_at_open_s = 0.0
        self._used_bytes = 0
        self._file = DurableFile(path, shape, look=self._look_at_all)
        self._db = self._file.db
        self.is_in_memory = path is None
        try:
            self._open(boot, mono_s)
        except BaseException:
            self._file.close()
            raise
        self._opened_mono_s = mono_s

    def _open(self, boot: str, mono_s: float) -> None:
        if self._is_new:
            self._facts = _Facts(name=secrets.token_hex(8))
        elif not self._facts.is_closed and not self._file.had_wal:
            raise SpoolDamaged("its write-ahead log has gone, and the latest records with it")
        self._life_at_open_s = max(self._life_at_open_s, self._facts.life_s)
        self._open_epochs(boot, mono_s)
        # This also finds out whether the disk takes anything. It must be in the file itself before the first record is
        # stored: only then does a WAL that has gone show.
        self._change(is_closed=False)
        self._file.checkpoint()
        if not self._used_bytes and self._file.free_pages() < _TREE_PAGES:
            raise SpoolFull("the disk has no room for a spool")

    def _look_at_all(self, db: sqlite3.Connection) -> None:
        """Read every record: what is found now to be damaged cannot stop anything later. Raises SpoolDamaged."""
        quick_look(db)
        waiting_count = seq = 0
        self._used_bytes = 0  # it may be looked at twice
        has_tables = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'fact'").fetchone()[0]
        try:
            facts = _read_facts(db) if has_tables else None
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            raise SpoolDamaged(f"it is another program's, or another version's: {error}") from error
        self._is_new = facts is None
        if facts is None:
            if has_tables and db.execute("SELECT count(*) FROM record").fetchone()[0]:
                raise SpoolDamaged("it holds records, and no facts about them")
            return
        self._facts = facts
        key = _key(facts.name)
        for row in map(_Row._make, db.execute(f"{_ROW} ORDER BY seq")):
            if row.key() != key:
                raise SpoolDamaged(f"record {row.seq} is not what was written")
            seq = row.seq
            self._life_at_open_s = max(self._life_at_open_s, row.life_s)
            self._used_bytes += len(row.body) + _ROW_OVERHEAD_BYTES
            if not facts.is_acked(seq):
                waiting_count += row.readings_count
        if seq >= facts.next_seq:
            raise SpoolDamaged(f"it holds a record {seq}, and would number the next {facts.next_seq}")
        if waiting_count != facts.waiting_count:
            raise SpoolDamaged(f"{facts.waiting_count} readings should be waiting in it, not {waiting_count}")

    def _open_epochs(self, boot: str, mono_s: float) -> None:
        """Know the epochs that still hold something, and go on with the last if it is of this very boot."""
        self.epochs: list[Epoch] = [Epoch(self, facts) for facts in self._facts.epochs]
        if not self.epochs or not self._is_of(boot, mono_s):
            self.epochs = [
                epoch for epoch in self.epochs if epoch.facts.base < self.last_seq
            ]  # the rest never held any
            if self.epochs and self.present.end is None:
                self.present.facts = msgspec.structs.replace(self.present.facts, end=self.last_seq)
            self.epochs.append(Epoch(self, _EpochFacts(epoch=secrets.token_hex(8), base=self.last_seq)))
        for epoch in self.epochs:
            self._find_low(epoch)
        self._forget_empty()

    def _is_of(self, boot: str, mono_s: float) -> bool:
        """Whether the last record was stored in this boot."""
        row = self._db.execute(f"{_ROW} WHERE seq = ?", (self.last_seq,)).fetchone()
        if row is None:
            return False
        taken = _Row._make(row).record(_key(self._facts.name)).taken
        # Some PCs name a boot by the second at which it began: a clock that runs backwards tells two of them apart.
        return taken.boot == boot and taken.mono_s <= mono_s

    def _find_low(self, epoch: Epoch) -> None:
        span = (epoch.facts.base, epoch.last_seq)
        epoch.low_seq = self._db.execute("SELECT min(seq) FROM record WHERE seq > ? AND seq <= ?", span).fetchone()[0]

    def _forget_empty(self) -> None:
        """Let go of epochs of which nothing is left; the present one stays. The next change takes it to the disk."""
        self.epochs = [epoch for epoch in self.epochs if epoch.low_seq is not None or epoch.end is None]

    @property
    def present(self) -> Epoch:
        """The epoch to which records are added."""
        return self.epochs[-1]

    @property
    def last_seq(self) -> int:
        """The number of the last record, by the whole spool's numbers."""
        return self._facts.next_seq - 1

    @property
    def made_count(self) -> int:
        """Readings stored since the spool was made."""
        return self._facts.made_count

    @property
    def dropped_count(self) -> int:
        """Readings given up unsent since the spool was made."""
        return self._facts.dropped_count

    def put(self, record: Record, *, mono_s: float) -> int:
        """Store a record durably; its number, or its last part's. Makes room by dropping the oldest, counted.

        Raises SpoolFull.
        """
        self._append((record,), mono_s)
        return self.present.next_seq - 1

    def take_over(self, records: Iterable[Record], *, mono_s: float) -> int:
        """Store many, in few transactions; how many there were. Raises SpoolFull when some of them are not stored."""
        count = 0
        pending: list[Record] = []
        for record in records:
            pending.append(record)
            count += 1
            if len(pending) == _MOVE_AT_ONCE:
                self._append(pending, mono_s)
                pending = []
        if pending:
            self._append(pending, mono_s)
        return count

    def give_up(self, readings_count: int) -> None:
        """Count readings as dropped that could not even be stored; told with the next change to the file."""
        facts, present = self._facts, self.present
        self._facts = msgspec.structs.replace(
            facts,
            made_count=facts.made_count + readings_count,
            dropped_count=facts.dropped_count + readings_count,
        )
        present.facts = msgspec.structs.replace(
            present.facts,
            made_count=present.facts.made_count + readings_count,
            dropped_count=present.facts.dropped_count + readings_count,
        )

    def _append(self, records: Iterable[Record], mono_s: float) -> None:
        life_s = self._life_s(mono_s)
        packed = [(len(part.readings), body) for record in records for part, body in _parts(record)]
        readings_count = sum(count for count, _ in packed)
        facts = self._facts
        rows = [
            _Row(seq, life_s, count, 0, body).sealed(_key(facts.name))
            for seq, (count, body) in enumerate(packed, start=facts.next_seq)
        ]
        try:
            self._file.tend()
            self._drop_older_than(life_s - self._limits.max_age_s, only_acked=False)
            self._make_room(math.ceil(sum(_pages(body) for _, body in packed)))
            facts, made_count = self._facts, self.present.facts.made_count + readings_count
            self._write(
                [("INSERT INTO record VALUES (?, ?, ?, ?, ?)", row) for row in rows],
                epoch=self.present,
                epoch_facts=msgspec.structs.replace(self.present.facts, made_count=made_count),
                next_seq=facts.next_seq + len(rows),
                made_count=facts.made_count + readings_count,
                waiting_count=facts.waiting_count + readings_count,
            )
        except sqlite3.OperationalError as error:
            if is_damage(error):
                raise
            raise SpoolFull(str(error)) from error
        self._used_bytes += sum(len(body) + _ROW_OVERHEAD_BYTES for _, body in packed)
        if self.present.low_seq is None and rows:
            self.present.low_seq = rows[0].seq

    def _write(
        self,
        statements: Iterable[tuple[str, tuple[object, ...]]],
        *,
        epoch: Epoch | None = None,
        epoch_facts: _EpochFacts | None = None,
        **changes: Any,  # noqa: ANN401 - fields of _Facts
    ) -> None:
        """Execute the statements and change the facts, and those of an epoch, durably: all or nothing."""
        epochs = tuple(epoch_facts if one is epoch and epoch_facts else one.facts for one in self.epochs)
        facts = msgspec.structs.replace(self._facts, epochs=epochs, **changes)
        body = msgspec.json.encode(facts)

        def work() -> None:
            for statement, values in statements:
                self._db.execute(statement, values)
            self._db.execute("INSERT OR REPLACE INTO fact VALUES (1, ?, ?)", (zlib.crc32(body), body))

        self._file.write(work)
        self._facts = facts
        if epoch is not None and epoch_facts is not None:
            epoch.facts = epoch_facts

    def _change(self, **changes: Any) -> None:  # noqa: ANN401 - as above
        self._write([], **changes)

    def _life_s(self, mono_s: float) -> float:
        return self._life_at_open_s + max(0.0, mono_s - self._opened_mono_s)

    def _make_room(self, pages: int) -> None:
        """Have so many pages free, and some for the trees: by growing while cap and disk allow, then by dropping."""
        needed = pages + _TREE_PAGES
        if needed > max(self._limits.max_bytes, _LEAST_BYTES) // PAGE_BYTES - _TREE_PAGES:
            raise RecordTooLarge(f"{pages * PAGE_BYTES} bytes do not fit into a spool of {self._limits.max_bytes}")
        while self._file.free_pages() < needed:
            if self._file.grow():
                continue
            is_hopeless = needed > self._file.most_pages() - _TREE_PAGES
            if is_hopeless or not self._drop_oldest(max(_DROP_BYTES, pages * PAGE_BYTES)):
                raise SpoolFull(f"the disk leaves the spool {self._file.size_bytes} bytes, and a record needs more")

    def _drop_older_than(self, life_s: float, *, only_acked: bool) -> None:
        """Drop from the oldest on while they are from before `life_s`."""
        for epoch in list(self.epochs):
            upto = epoch.last_seq
            if only_acked or epoch.acked_seq == upto:
                upto = epoch.acked_seq
            elif epoch.end is not None:
                upto -= 1  # the last record stays, to carry the news of what was dropped
            while epoch.low_seq is not None and epoch.low_seq <= upto:
                bound = min(epoch.low_seq + _DROP_MAX_COUNT - 1, upto)
                query = "SELECT max(seq) FROM record WHERE seq >= ? AND seq <= ? AND life_s < ?"
                last = self._db.execute(query, (epoch.low_seq, bound, life_s)).fetchone()[0]
                if last is None:
                    return  # it is too young, and so is all that follows
                self._delete_upto(epoch, last)

    def _drop_oldest(self, size_bytes: int) -> bool:
        """Drop as many as make up so many bytes, and not more than _DROP_MAX_COUNT; False when there are none.

        First goes what the collector has. The last record of an epoch goes after all others: only a record can carry
        the news of what was dropped.
        """
        for epoch in self.epochs:
            if epoch.low_seq is not None and epoch.low_seq <= epoch.acked_seq:
                self._drop_some(epoch, epoch.acked_seq, size_bytes)
                return True
        for spared_count in (1, 0):
            for epoch in self.epochs:
                if epoch.low_seq is not None and epoch.low_seq <= epoch.last_seq - spared_count:
                    self._drop_some(epoch, epoch.last_seq - spared_count, size_bytes)
                    return True
        return False

    def _drop_some(self, epoch: Epoch, upto: int, size_bytes: int) -> None:
        last = upto
        rows = self._db.execute(
            "SELECT seq, length(body) FROM record WHERE seq >= ? AND seq <= ? ORDER BY seq LIMIT ?",
            (epoch.low_seq, upto, _DROP_MAX_COUNT),
        )
        with contextlib.closing(rows):
            for seq, length in rows:
                last = seq
                size_bytes -= length + _ROW_OVERHEAD_BYTES
                if size_bytes <= 0:
                    break
        self._delete_upto(epoch, last)

    def _delete_upto(self, epoch: Epoch, upto: int) -> None:
        """Delete an epoch's oldest records; what the collector does not have is counted as dropped."""
        facts = self._facts
        size_bytes, lost_count = self._db.execute(
            "SELECT sum(length(body) + ?), sum(iif(seq > ?, readings_count, 0)) FROM record WHERE seq > ? AND seq <= ?",
            (_ROW_OVERHEAD_BYTES, epoch.acked_seq, epoch.facts.base, upto),
        ).fetchone()
        self._write(
            [("DELETE FROM record WHERE seq > ? AND seq <= ?", (epoch.facts.base, upto))],
            epoch=epoch,
            epoch_facts=msgspec.structs.replace(
                epoch.facts, dropped_count=epoch.facts.dropped_count + (lost_count or 0)
            ),
            dropped_count=facts.dropped_count + (lost_count or 0),
            waiting_count=facts.waiting_count - (lost_count or 0),
        )
        self._used_bytes -= size_bytes or 0
        self._find_low(epoch)
        self._forget_empty()

    # What a Forwarder does, by epoch.

    def read(self, epoch: Epoch, first: int, *, max_count: int, max_bytes: int) -> list[tuple[int, Record]]:
        """As `Epoch.read`."""
        taken: list[tuple[int, Record]] = []
        size = plain_size = 0
        key = _key(self._facts.name)
        base = epoch.facts.base
        rows = self._db.execute(
            f"{_ROW} WHERE seq >= ? AND seq <= ? ORDER BY seq LIMIT ?", (base + first, epoch.last_seq, max_count)
        )
        with contextlib.closing(rows):  # a reader that stops halfway would keep the WAL from beginning anew
            for row in map(_Row._make, rows):
                record, plain_bytes = row.measured(key)
                size, plain_size = size + len(row.body), plain_size + plain_bytes
                is_too_much = size > max_bytes or plain_size > PLAIN_ROOM_BYTES
                if taken and (is_too_much or row.seq - base != taken[-1][0] + 1):
                    break
                taken.append((row.seq - base, record))
        return taken

    def acknowledge(self, epoch: Epoch, upto: int, *, mono_s: float) -> None:
        """As `Epoch.acknowledge`."""
        upto = min(upto, epoch.next_seq - 1)
        changed = msgspec.structs.replace(epoch.facts, acked_upto=upto)
        life_s = self._life_s(mono_s)
        low, high = sorted((changed.base + upto, epoch.acked_seq))
        query = "SELECT coalesce(sum(readings_count), 0) FROM record WHERE seq > ? AND seq <= ?"
        count = self._db.execute(query, (low, high)).fetchone()[0]
        waiting_count = self._facts.waiting_count + (count if upto < epoch.acked_upto else -count)
        self._write([], epoch=epoch, epoch_facts=changed, life_s=life_s, waiting_count=waiting_count)
        self._drop_older_than(life_s - _KEEP_ACKED_S, only_acked=True)
        while self._used_bytes > self._limits.max_bytes // 2 and self._holds_acked():
            self._drop_oldest(_DROP_BYTES)

    def _holds_acked(self) -> bool:
        return any(epoch.low_seq is not None and epoch.low_seq <= epoch.acked_seq for epoch in self.epochs)

    def waiting(self) -> Iterator[Record]:
        """All that is not yet acknowledged, oldest first."""
        for epoch in self.epochs:
            first = epoch.acked_upto + 1
            while found := epoch.read(first, max_count=_MOVE_AT_ONCE, max_bytes=1 << 30):
                yield from (record for _, record in found)
                first = found[-1][0] + 1

    def stat(self) -> SpoolStat:
        """What is in it now."""
        return _stat(self._db, self._facts)

    def close(self) -> None:
        """Let go of the file; everything in it is safe already."""
        # On a disk that refuses even this, the WAL stays, and is needed at the next start.
        with contextlib.suppress(sqlite3.DatabaseError):
            self._file.checkpoint()
            self._change(is_closed=True)
            self._file.checkpoint()
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file as it is, as a crash would: for one that is damaged, or refuses."""
        self._file.close()


class SpoolReader:
    """Looks into a spool that an agent may be using, and changes nothing. Raises sqlite3.DatabaseError."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(read_only_uri(path), uri=True, isolation_level=None)

    def stat(self) -> SpoolStat:
        """What is in it now."""
        return _stat(self._db, self._facts())

    def _facts(self) -> _Facts:
        facts = _read_facts(self._db)
        if facts is None:
            raise SpoolDamaged("there are no facts in it")
        return facts

    def records(self) -> Iterator[tuple[int, Record]]:
        """Everything in it, oldest first, with its number in the whole spool."""
        key = _key(self._facts().name)
        for row in map(_Row._make, self._db.execute(f"{_ROW} ORDER BY seq")):
            yield row.seq, row.record(key)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


class Salvaged(NamedTuple):
    """What a damaged spool still held unacknowledged, packed, and how many readings are lost, if that can be known."""

    bodies: list[bytes]
    lost_count: int | None

    def records(self) -> Iterator[Record]:
        """The records, oldest first."""
        return map(unpack_record, self.bodies)


def salvage(path: Path) -> Salvaged:
    """Take out of a damaged spool, which nobody uses any more, what can still be read and is what was written."""
    views = _look_into(path)
    if not any(rows for _, rows in views):
        with contextlib.suppress(OSError):
            replace_first_page(path, _TABLES)
            views = _look_into(path)
    key = next((key for facts, rows in views if (key := _key_of(facts, rows)) is not None), None)
    known = [facts for facts, _ in views if facts is not None and _key(facts.name) == key]
    facts = max(known, key=lambda one: one.next_seq, default=None)
    whole = {row.seq: row for _, rows in views for row in rows if row.key() == key}
    found = {seq: row for seq, row in whole.items() if facts is None or not facts.is_acked(seq)}
    lost_count = None
    if facts is not None and (facts.is_closed or wal_of(path).exists()):
        lost_count = max(0, facts.waiting_count - sum(row.readings_count for row in found.values()))
    return Salvaged([found[seq].body for seq in sorted(found)], lost_count)


def _look_into(path: Path) -> "list[tuple[_Facts | None, list[_Row]]]":
    views = []
    for db in ways_in(path):
        facts = None
        with contextlib.suppress(sqlite3.DatabaseError):
            facts = _read_facts(db)
        rows = rows_between(db, f"{_ROW} WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?", 0, 1 << 53)
        views.append((facts, [row for row in map(_Row._make, rows) if row.key() is not None]))
    return views


def _key_of(facts: _Facts | None, rows: "list[_Row]") -> int | None:
    """The key of the spool; when its name cannot be read, the one under which most rows are sealed."""
    if facts is not None:
        return _key(facts.name)
    ((key, _),) = Counter(row.key() for row in rows).most_common(1) or [(None, 0)]
    return key


class _Row(NamedTuple):
    """A record as it lies in the file. Its checksum tells also whether it belongs to this spool: a WAL may not."""

    seq: int
    life_s: float
    readings_count: int
    crc: int
    body: bytes

    def _sum(self) -> int:
        return zlib.crc32(f"{self.seq} {self.life_s!r} {self.readings_count} ".encode() + self.body)

    def sealed(self, key: int) -> "_Row":
        """With its checksum."""
        return self._replace(crc=self._sum() ^ key)

    def key(self) -> int | None:
        """The key under which it was sealed, if it is what was written; None when it cannot be."""
        try:
            return self._sum() ^ self.crc
        except TypeError:  # damage may have made a text of a blob
            return None

    def record(self, key: int) -> Record:
        """The record in it. Raises SpoolDamaged."""
        return self.measured(key)[0]

    def measured(self, key: int) -> tuple[Record, int]:
        """The record in it, and what it measures as plain text. Raises SpoolDamaged."""
        if self.key() != key:
            raise SpoolDamaged(f"record {self.seq} is not what was written")
        try:
            return unpack_measured(self.body)
        except ContractError as error:
            raise SpoolDamaged(f"record {self.seq}: {error}") from error


def _parts(record: Record) -> Iterator[tuple[Record, bytes]]:
    """The record, packed, or the parts of one that is too large for a batch."""
    body, half = pack_record(record), len(record.readings) // 2
    if half and (len(body) > RECORD_MAX_BYTES or len(record.readings) > READINGS_MAX_COUNT):
        yield from _parts(msgspec.structs.replace(record, readings=record.readings[:half]))
        yield from _parts(msgspec.structs.replace(record, readings=record.readings[half:]))
    else:
        yield record, body


def _key(name: str) -> int:
    return zlib.crc32(name.encode())


def _pages(body: bytes) -> float:
    """Pages that a record takes, on average, at the worst: two that are longer than half a page share none."""
    return len(body) / PAGE_BYTES + 1 if len(body) >= PAGE_BYTES else 2 * (len(body) + _ROW_OVERHEAD_BYTES) / PAGE_BYTES


def _read_facts(db: sqlite3.Connection) -> _Facts | None:
    row = db.execute("SELECT crc, body FROM fact WHERE only = 1").fetchone()
    if row is None:
        return None
    crc, body = row
    try:
        if zlib.crc32(body) != crc:
            raise SpoolDamaged("its facts are not what was written")
        return msgspec.json.decode(body, type=_Facts)
    except (TypeError, msgspec.DecodeError) as error:
        raise SpoolDamaged(f"its facts are not what was written: {error}") from error


def _stat(db: sqlite3.Connection, facts: _Facts) -> SpoolStat:
    count, used_bytes = db.execute(
        "SELECT count(*), coalesce(sum(length(body)), 0) + count(*) * ? FROM record", (_ROW_OVERHEAD_BYTES,)
    ).fetchone()
    ends = [facts.next_seq - 1 if one.end is None else one.end for one in facts.epochs]
    waiting_count = sum(
        db.execute(
            "SELECT count(*) FROM record WHERE seq > ? AND seq <= ?", (one.base + one.acked_upto, end)
        ).fetchone()[0]
        for one, end in zip(facts.epochs, ends, strict=True)
    )
    present = facts.epochs[-1]
    low_seq = db.execute("SELECT min(seq) FROM record WHERE seq > ?", (present.base,)).fetchone()[0]
    next_seq = facts.next_seq - present.base
    return SpoolStat(
        epoch=present.epoch,
        low=next_seq if low_seq is None else low_seq - present.base,
        next_seq=next_seq,
        acked_upto=present.acked_upto,
        waiting_count=waiting_count,
        kept_count=count - waiting_count,
        used_bytes=used_bytes,
        made_count=facts.made_count,
        dropped_count=facts.dropped_count,
    )
