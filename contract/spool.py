"""The agent's disk queue: records stay here until the collector has them on its own disk.

What `put` returned from survives kill -9 and a power cut, and a disk filled by others stops nothing
(`contract/durable_file.py`). Every record carries a checksum, so that what comes out is what went in, or an error.
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

from contract.batch import ContractError, pack_record, unpack_record
from contract.durable_file import PAGE_BYTES, DurableFile, Shape, is_damage, read_only_uri, wal_of
from contract.reading import Record
from contract.salvage import replace_first_page, rows_between, ways_in

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
    seq INTEGER PRIMARY KEY,
    life_s REAL NOT NULL,       -- the spool's age when the record came, in seconds of running time
    readings_count INTEGER NOT NULL,
    crc INTEGER NOT NULL,       -- over all of the row, and the epoch
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
    """What the spool holds: `waiting` records are not yet acknowledged, `kept` ones are."""

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


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a spool remembers besides its records. The counts are of readings, since the epoch began."""

    epoch: str
    next_seq: int = 1
    acked_upto: int = 0
    made_count: int = 0
    dropped_count: int = 0
    waiting_count: int = 0
    life_s: float = 0.0
    is_closed: bool = False  # and all of it is in the file itself: the WAL is not needed


class Spool:
    """One file, one thread. Records are numbered from 1 within an epoch, which is as old as the file.

    Whatever it does raises sqlite3.OperationalError for a disk that refuses, and any other sqlite3.DatabaseError (often
    SpoolDamaged) for a damaged file; `is_damage` tells them apart. `mono_s` is the present monotonic time.
    """

    def __init__(self, path: Path | None, limits: SpoolLimits, *, mono_s: float) -> None:
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
        self._file = DurableFile(path, shape, check=True)
        self._db = self._file.db
        try:
            self._open(is_on_disk=path is not None)
        except BaseException:
            self._file.close()
            raise
        self._opened_mono_s = mono_s

    def _open(self, *, is_on_disk: bool) -> None:
        facts = _read_facts(self._db)
        if facts is None:
            facts = _Facts(epoch=secrets.token_hex(8))
            if self._db.execute("SELECT count(*) FROM record").fetchone()[0]:
                raise SpoolDamaged("it holds records, and no facts about them")
        elif is_on_disk and not facts.is_closed and not self._file.had_wal:
            raise SpoolDamaged("its write-ahead log has gone, and the latest records with it")
        row = self._db.execute("SELECT min(seq), max(seq), max(life_s), sum(length(body)), count(*) FROM record")
        first, last, life_s, size, count = row.fetchone()
        if last is not None and last >= facts.next_seq:
            raise SpoolDamaged(f"it holds a record {last}, and would number the next {facts.next_seq}")
        self._facts = facts
        self._low: int = first or facts.next_seq
        self._life_at_open_s: float = max(facts.life_s, life_s or 0.0)
        self._used_bytes: int = (size or 0) + (count or 0) * _ROW_OVERHEAD_BYTES
        # This also finds out whether the disk takes anything. It must be in the file itself before the first record is
        # stored: only then does a WAL that has gone show.
        self._change(is_closed=False)
        self._file.checkpoint()
        if not count and self._file.free_pages() < _TREE_PAGES:
            raise SpoolFull("the disk has no room for a spool")

    @property
    def epoch(self) -> str:
        """The name under which the records are numbered: random, made with the file."""
        return self._facts.epoch

    @property
    def low(self) -> int:
        """The lowest number that can still be sent; the next number when there is none."""
        return self._low

    @property
    def next_seq(self) -> int:
        """The number that the next record gets."""
        return self._facts.next_seq

    @property
    def acked_upto(self) -> int:
        """The highest number that the collector has acknowledged, it and all below."""
        return self._facts.acked_upto

    @property
    def made_count(self) -> int:
        """Readings stored since the epoch began."""
        return self._facts.made_count

    @property
    def dropped_count(self) -> int:
        """Readings given up unsent since the epoch began."""
        return self._facts.dropped_count

    def put(self, record: Record, *, mono_s: float) -> int:
        """Store a record durably; its number. Makes room by dropping the oldest, counted. Raises SpoolFull."""
        self._append((record,), mono_s)
        return self._facts.next_seq - 1

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
        facts = self._facts
        self._facts = msgspec.structs.replace(
            facts,
            made_count=facts.made_count + readings_count,
            dropped_count=facts.dropped_count + readings_count,
        )

    def _append(self, records: Iterable[Record], mono_s: float) -> None:
        life_s = self._life_s(mono_s)
        packed = [(len(record.readings), pack_record(record)) for record in records]
        readings_count = sum(count for count, _ in packed)
        facts = self._facts
        rows = [
            _Row(seq, life_s, count, 0, body).sealed(_key(facts.epoch))
            for seq, (count, body) in enumerate(packed, start=facts.next_seq)
        ]
        try:
            self._file.tend()
            self._drop_older_than(life_s - self._limits.max_age_s)
            self._make_room(math.ceil(sum(_pages(body) for _, body in packed)))
            facts = self._facts
            self._write(
                [("INSERT INTO record VALUES (?, ?, ?, ?, ?)", row) for row in rows],
                next_seq=facts.next_seq + len(rows),
                made_count=facts.made_count + readings_count,
                waiting_count=facts.waiting_count + readings_count,
            )
        except sqlite3.OperationalError as error:
            if is_damage(error):
                raise
            raise SpoolFull(str(error)) from error
        self._used_bytes += sum(len(body) + _ROW_OVERHEAD_BYTES for _, body in packed)

    def _write(self, statements: Iterable[tuple[str, tuple[object, ...]]], **changes: Any) -> None:  # noqa: ANN401 - fields of _Facts
        """Execute the statements and change the facts, durably, both or neither."""
        facts = msgspec.structs.replace(self._facts, **changes)
        body = msgspec.json.encode(facts)

        def work() -> None:
            for statement, values in statements:
                self._db.execute(statement, values)
            self._db.execute("INSERT OR REPLACE INTO fact VALUES (1, ?, ?)", (zlib.crc32(body), body))

        self._file.write(work)
        self._facts = facts

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
            if self._low == self._facts.next_seq or needed > self._file.most_pages() - _TREE_PAGES:
                raise SpoolFull(f"the disk leaves the spool {self._file.size_bytes} bytes, and a record needs more")
            self._drop_oldest(max(_DROP_BYTES, pages * PAGE_BYTES))

    def _drop_older_than(self, life_s: float, upto: int | None = None) -> None:
        """Drop from the oldest on while they are from before `life_s`, and numbered at most `upto`."""
        while self._low < self._facts.next_seq and (upto is None or self._low <= upto):
            row = self._db.execute("SELECT life_s FROM record WHERE seq = ?", (self._low,)).fetchone()
            if row is None or row[0] >= life_s:
                return
            bound = min(self._low + _DROP_MAX_COUNT, upto or self._facts.next_seq)
            query = "SELECT max(seq) FROM record WHERE seq <= ? AND life_s < ?"
            self._delete_upto(self._db.execute(query, (bound, life_s)).fetchone()[0])

    def _drop_oldest(self, size_bytes: int) -> None:
        """Drop as many as make up so many bytes, and not more than _DROP_MAX_COUNT."""
        last = self._low
        for seq, length in self._db.execute(
            "SELECT seq, length(body) FROM record ORDER BY seq LIMIT ?", (_DROP_MAX_COUNT,)
        ):
            last = seq
            size_bytes -= length + _ROW_OVERHEAD_BYTES
            if size_bytes <= 0:
                break
        self._delete_upto(last)

    def _delete_upto(self, upto: int) -> None:
        """Delete from the oldest on; what the collector does not have is counted as dropped."""
        facts = self._facts
        size_bytes, lost_count = self._db.execute(
            "SELECT sum(length(body) + ?), sum(iif(seq > ?, readings_count, 0)) FROM record WHERE seq <= ?",
            (_ROW_OVERHEAD_BYTES, facts.acked_upto, upto),
        ).fetchone()
        self._write(
            [("DELETE FROM record WHERE seq <= ?", (upto,))],
            dropped_count=facts.dropped_count + (lost_count or 0),
            waiting_count=facts.waiting_count - (lost_count or 0),
        )
        self._used_bytes -= size_bytes or 0
        lowest = self._db.execute("SELECT min(seq) FROM record").fetchone()[0]
        self._low = lowest or facts.next_seq

    def read(self, first: int, *, max_count: int, max_bytes: int) -> list[tuple[int, Record]]:
        """Records with contiguous numbers from the first one held at or above `first`, bounded in count and bytes.

        At least one when there is any; the bytes are those of each record packed alone, so a batch is smaller.
        """
        taken: list[tuple[int, Record]] = []
        size = 0
        key = _key(self.epoch)
        rows = self._db.execute(f"{_ROW} WHERE seq >= ? ORDER BY seq LIMIT ?", (first, max_count))
        with contextlib.closing(rows):  # a reader that stops halfway would keep the WAL from beginning anew
            for row in map(_Row._make, rows):
                record = row.record(key)
                size += len(row.body)
                if taken and (size > max_bytes or row.seq != taken[-1][0] + 1):
                    break
                taken.append((row.seq, record))
        return taken

    def acknowledge(self, upto: int, *, mono_s: float) -> None:
        """Note that the collector has everything up to `upto`, and let go of what need not be kept any longer.

        `upto` may go back: a collector restored from a backup asks for what it lost. Acknowledged records are kept a
        week of running time, or until they fill half of the spool.
        """
        facts = self._facts
        upto = min(upto, facts.next_seq - 1)
        life_s = self._life_s(mono_s)
        between = sorted((upto, facts.acked_upto))
        query = "SELECT coalesce(sum(readings_count), 0) FROM record WHERE seq > ? AND seq <= ?"
        count = self._db.execute(query, between).fetchone()[0]
        waiting_count = facts.waiting_count + (count if upto < facts.acked_upto else -count)
        self._change(acked_upto=upto, life_s=life_s, waiting_count=waiting_count)
        self._drop_older_than(life_s - _KEEP_ACKED_S, upto)
        while self._used_bytes > self._limits.max_bytes // 2 and self._low <= upto:
            self._delete_upto(min(upto, self._low + _DROP_MAX_COUNT))

    def waiting(self) -> Iterator[tuple[int, Record]]:
        """All that is not yet acknowledged, oldest first, with its number."""
        first = self.acked_upto + 1
        while found := self.read(first, max_count=_MOVE_AT_ONCE, max_bytes=1 << 30):
            yield from found
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
        """Everything in it, oldest first, with its number."""
        key = _key(self._facts().epoch)
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
    known = [facts for facts, _ in views if facts is not None and _key(facts.epoch) == key]
    facts = max(known, key=lambda one: one.next_seq, default=None)
    acked_upto = facts.acked_upto if facts else 0
    found = {row.seq: row for _, rows in views for row in rows if row.key() == key and row.seq > acked_upto}
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
    """The key of the epoch; when its name cannot be read, the one under which most rows are sealed."""
    if facts is not None:
        return _key(facts.epoch)
    ((key, _),) = Counter(row.key() for row in rows).most_common(1) or [(None, 0)]
    return key


class _Row(NamedTuple):
    """A record as it lies in the file. Its checksum tells also whether it belongs to this epoch: a WAL may not."""

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
        if self.key() != key:
            raise SpoolDamaged(f"record {self.seq} is not what was written")
        try:
            return unpack_record(self.body)
        except ContractError as error:
            raise SpoolDamaged(f"record {self.seq}: {error}") from error


def _key(epoch: str) -> int:
    return zlib.crc32(epoch.encode())


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
    row = db.execute(
        "SELECT min(seq), coalesce(sum(length(body)), 0) + count(*) * ?, count(*) FILTER (WHERE seq > ?),"
        " count(*) FILTER (WHERE seq <= ?) FROM record",
        (_ROW_OVERHEAD_BYTES, facts.acked_upto, facts.acked_upto),
    ).fetchone()
    low, used_bytes, waiting_count, kept_count = row
    return SpoolStat(
        epoch=facts.epoch,
        low=low or facts.next_seq,
        next_seq=facts.next_seq,
        acked_upto=facts.acked_upto,
        waiting_count=waiting_count,
        kept_count=kept_count,
        used_bytes=used_bytes,
        made_count=facts.made_count,
        dropped_count=facts.dropped_count,
    )
