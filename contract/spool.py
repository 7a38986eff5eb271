"""The agent's disk queue: records stay here until the collector has them on its own disk.

SQLite in WAL mode with synchronous FULL: what `put` returned from survives kill -9 and a power cut. The file is grown
in advance and never shrinks, and a ballast file lies beside it, so that a disk filled by others stops nothing.
"""

import contextlib
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from contract.batch import pack_record, unpack_record
from contract.reading import Record

BALLAST_BYTES: Final = 1 << 20
_FIRST_BYTES: Final = 4 << 20
_STEP_BYTES: Final = 1 << 20
_SPARE_DISK_BYTES: Final = 16 << 20
_PAGE_BYTES: Final = 4096
_FILLING: Final = 0.8  # of the file's pages, what records may fill: the rest is trees, ends of pages, free lists
_ROW_OVERHEAD_BYTES: Final = 24
_GROW_AGAIN_AFTER: Final = 60  # puts, once the disk had no room to grow
_DROP_AT_ONCE: Final = 64
_KEEP_ACKED_S: Final = 7 * 86400.0

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS record (
    seq INTEGER PRIMARY KEY,
    life_s REAL NOT NULL,       -- the spool's age when the record came, in seconds of running time
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""


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
    """The record could not be stored, even after giving up older ones: what the disk said."""


class Spool:
    """One file, one thread. Records are numbered from 1 within an epoch, which is as old as the file.

    Opening raises sqlite3.DatabaseError for a damaged file and OSError or sqlite3.OperationalError for a disk that
    refuses. `mono_s` is the present monotonic time wherever it is asked for.
    """

    def __init__(self, path: Path | None, limits: SpoolLimits, *, mono_s: float) -> None:
        """Open or make the spool at `path`; None keeps it in memory, for a disk that cannot be written."""
        self._limits = limits
        self._path = path
        self._ballast = path.with_suffix(".ballast") if path else None
        self._puts_until_growth = 0
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        try:
            self._open()
        except BaseException:
            self._db.close()
            raise
        self._opened_mono_s = mono_s

    def _open(self) -> None:
        self._db.executescript(
            f"PRAGMA page_size={_PAGE_BYTES}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "PRAGMA journal_size_limit=-1; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-512; PRAGMA busy_timeout=5000;"
        )
        check = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if check != "ok":
            raise sqlite3.DatabaseError(check)
        self._db.executescript(_TABLES)
        facts: dict[str, Any] = dict(self._db.execute("SELECT name, value FROM fact"))
        if "epoch" not in facts:
            facts = self._begin_epoch()
        self.epoch: str = facts["epoch"]
        self._acked_upto: int = facts["acked_upto"]
        self._made_count: int = facts["made_count"]
        self._dropped_count: int = facts["dropped_count"]
        row = self._db.execute("SELECT min(seq), max(seq), max(life_s), sum(length(body)), count(*) FROM record")
        first, last, life_s, size, count = row.fetchone()
        self._next_seq: int = max(facts["next_seq"], (last or 0) + 1)
        self._low: int = first or self._next_seq
        self._life_at_open_s: float = max(facts["life_s"], life_s or 0.0)
        self._used_bytes: int = (size or 0) + (count or 0) * _ROW_OVERHEAD_BYTES
        self._measure_file()
        if self._file_bytes < min(_FIRST_BYTES, self._limits.max_bytes):
            self._grow(min(_FIRST_BYTES, self._limits.max_bytes) - self._file_bytes)
        self._lay_ballast()

    def _measure_file(self) -> None:
        """Note the file's size and forbid SQLite to grow it by itself: on a full disk that would end in a database
        that can neither checkpoint nor delete.
        """
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        self._db.execute(f"PRAGMA max_page_count={pages}")
        self._file_bytes: int = pages * _PAGE_BYTES

    def _begin_epoch(self) -> dict[str, Any]:
        epoch = secrets.token_hex(8)
        facts: dict[str, Any] = {
            "epoch": epoch,
            "acked_upto": 0,
            "made_count": 0,
            "dropped_count": 0,
            "next_seq": 1,
            "life_s": 0.0,
        }
        with self._transaction():
            self._db.executemany("INSERT INTO fact VALUES (?, ?)", facts.items())
        return facts

    def _grow(self, size_bytes: int) -> bool:
        """Take pages of the file, and as many of its WAL, while the disk has room; False when it has not."""
        if self._path is not None and shutil.disk_usage(self._path.parent).free < _SPARE_DISK_BYTES + 2 * size_bytes:
            return False
        self._db.execute("PRAGMA max_page_count=4294967294")
        try:
            with self._transaction():
                self._db.execute("CREATE TABLE growing (x BLOB)")
                for _ in range(max(1, size_bytes // 65536)):
                    self._db.execute("INSERT INTO growing VALUES (zeroblob(65536))")
            with self._transaction():
                self._db.execute("DROP TABLE growing")
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.OperationalError:
            return False
        finally:
            self._measure_file()
        return True

    def _lay_ballast(self) -> None:
        if self._path is None or self._ballast is None or self._ballast.exists():
            return
        if shutil.disk_usage(self._path.parent).free > _SPARE_DISK_BYTES:
            # Without room for it now, the next start tries again: a ballast is a help, not a promise.
            with contextlib.suppress(OSError):
                self._ballast.write_bytes(b"\0" * BALLAST_BYTES)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # After SQLITE_FULL the engine may have rolled back by itself; a second ROLLBACK would hide the first error.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @property
    def low(self) -> int:
        """The lowest number that can still be sent; the next number when there is none."""
        return self._low

    @property
    def next_seq(self) -> int:
        """The number that the next record gets."""
        return self._next_seq

    @property
    def acked_upto(self) -> int:
        """The highest number that the collector has acknowledged, it and all below."""
        return self._acked_upto

    @property
    def made_count(self) -> int:
        """Readings stored since the epoch began."""
        return self._made_count

    @property
    def dropped_count(self) -> int:
        """Readings given up unsent since the epoch began."""
        return self._dropped_count

    def put(self, record: Record, *, mono_s: float) -> int:
        """Store a record durably; its number. Makes room by dropping the oldest, counted. Raises SpoolFull."""
        body = pack_record(record)
        life_s = self._life_at_open_s + max(0.0, mono_s - self._opened_mono_s)
        self._make_room(len(body) + _ROW_OVERHEAD_BYTES, life_s)
        try:
            return self._store(body, life_s, len(record.readings))
        except sqlite3.OperationalError as first:
            # No page left after all, or the disk itself refuses: the ballast makes room for a checkpoint, and that
            # for what is dropped.
            try:
                self._drop_ballast()
                self._drop_oldest(_DROP_AT_ONCE)
                return self._store(body, life_s, len(record.readings))
            except sqlite3.OperationalError as error:
                raise SpoolFull(str(error)) from first

    def _drop_ballast(self) -> None:
        if self._ballast is not None:
            with contextlib.suppress(OSError):
                self._ballast.unlink()
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _store(self, body: bytes, life_s: float, readings_count: int) -> int:
        seq = self._next_seq
        made_count = self._made_count + readings_count
        with self._transaction():
            self._db.execute("INSERT INTO record VALUES (?, ?, ?)", (seq, life_s, body))
            self._remember(made_count=made_count, next_seq=seq + 1)
        self._next_seq, self._made_count = seq + 1, made_count
        self._used_bytes += len(body) + _ROW_OVERHEAD_BYTES
        return seq

    def _remember(self, **facts: float) -> None:
        self._db.executemany(
            "UPDATE fact SET value = ? WHERE name = ?", ((value, name) for name, value in facts.items())
        )

    def _make_room(self, size: int, life_s: float) -> None:
        self._drop_older_than(life_s - self._limits.max_age_s)
        self._puts_until_growth -= 1
        while self._used_bytes + size > self._file_bytes * _FILLING:
            may_grow = self._file_bytes + _STEP_BYTES <= self._limits.max_bytes and self._puts_until_growth <= 0
            if may_grow and self._grow(_STEP_BYTES):
                continue
            if may_grow:
                self._puts_until_growth = _GROW_AGAIN_AFTER
            if self._low == self._next_seq:
                break
            self._drop_oldest(_DROP_AT_ONCE)

    def _drop_older_than(self, life_s: float, upto: int | None = None) -> None:
        """Drop from the oldest on while they are from before `life_s`, and numbered at most `upto`."""
        while self._low < self._next_seq and (upto is None or self._low <= upto):
            row = self._db.execute("SELECT life_s FROM record WHERE seq = ?", (self._low,)).fetchone()
            if row is None or row[0] >= life_s:
                return
            bound = min(self._low + _DROP_AT_ONCE, upto or self._next_seq)
            query = "SELECT max(seq) FROM record WHERE seq <= ? AND life_s < ?"
            self._delete_upto(self._db.execute(query, (bound, life_s)).fetchone()[0])

    def _drop_oldest(self, count: int) -> None:
        row = self._db.execute(
            "SELECT max(seq) FROM (SELECT seq FROM record ORDER BY seq LIMIT ?)", (count,)
        ).fetchone()
        if row[0] is not None:
            self._delete_upto(row[0])

    def _delete_upto(self, upto: int) -> None:
        """Delete from the oldest on; what the collector does not have is counted as dropped."""
        gone = self._db.execute("SELECT seq, body FROM record WHERE seq <= ? ORDER BY seq", (upto,)).fetchall()
        lost_count = sum(len(unpack_record(body).readings) for seq, body in gone if seq > self._acked_upto)
        with self._transaction():
            self._db.execute("DELETE FROM record WHERE seq <= ?", (upto,))
            self._remember(dropped_count=self._dropped_count + lost_count)
        self._dropped_count += lost_count
        self._used_bytes -= sum(len(body) + _ROW_OVERHEAD_BYTES for _, body in gone)
        lowest = self._db.execute("SELECT min(seq) FROM record").fetchone()[0]
        self._low = lowest or self._next_seq

    def read(self, first: int, *, max_count: int, max_bytes: int) -> list[tuple[int, Record]]:
        """Records with contiguous numbers from the first one held at or above `first`, bounded in count and bytes.

        At least one when there is any; the bytes are those of each record packed alone, so a batch is smaller.
        """
        taken: list[tuple[int, Record]] = []
        size = 0
        rows = self._db.execute("SELECT seq, body FROM record WHERE seq >= ? ORDER BY seq LIMIT ?", (first, max_count))
        for seq, body in rows:
            size += len(body)
            if taken and (size > max_bytes or seq != taken[-1][0] + 1):
                break
            taken.append((seq, unpack_record(body)))
        return taken

    def acknowledge(self, upto: int, *, mono_s: float) -> None:
        """Note that the collector has everything up to `upto`, and let go of what need not be kept any longer.

        `upto` may go back: a collector restored from a backup asks for what it lost. Acknowledged records are kept a
        week of running time, or until they fill half of the spool.
        """
        upto = min(upto, self._next_seq - 1)
        life_s = self._life_at_open_s + max(0.0, mono_s - self._opened_mono_s)
        with self._transaction():
            self._remember(acked_upto=upto, life_s=life_s)
        self._acked_upto = upto
        self._drop_older_than(life_s - _KEEP_ACKED_S, upto)
        while self._used_bytes > self._limits.max_bytes // 2 and self._low <= upto:
            self._delete_upto(min(upto, self._low + _DROP_AT_ONCE))

    def stat(self) -> SpoolStat:
        """What is in it now."""
        return _stat(self._db)

    def close(self) -> None:
        """Let go of the file; everything in it is safe already."""
        self._db.close()


class SpoolReader:
    """Looks into a spool that an agent may be using, and changes nothing. Raises sqlite3.DatabaseError."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)

    def stat(self) -> SpoolStat:
        """What is in it now."""
        return _stat(self._db)

    def records(self) -> Iterator[tuple[int, Record]]:
        """Everything in it, oldest first, with its number."""
        for seq, body in self._db.execute("SELECT seq, body FROM record ORDER BY seq"):
            yield seq, unpack_record(body)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def _stat(db: sqlite3.Connection) -> SpoolStat:
    facts: dict[str, Any] = dict(db.execute("SELECT name, value FROM fact"))
    row = db.execute(
        "SELECT min(seq), coalesce(sum(length(body)), 0) + count(*) * ?, count(*) FILTER (WHERE seq > ?),"
        " count(*) FILTER (WHERE seq <= ?) FROM record",
        (_ROW_OVERHEAD_BYTES, facts["acked_upto"], facts["acked_upto"]),
    ).fetchone()
    low, used_bytes, waiting_count, kept_count = row
    return SpoolStat(
        epoch=facts["epoch"],
        low=low or facts["next_seq"],
        next_seq=facts["next_seq"],
        acked_upto=facts["acked_upto"],
        waiting_count=waiting_count,
        kept_count=kept_count,
        used_bytes=used_bytes,
        made_count=facts["made_count"],
        dropped_count=facts["dropped_count"],
    )
