"""The sink that needs no server: time series in one SQLite file, raw for a month, then by the hour for years.

The account of what was fed is changed in the transaction that stores the samples, so a sample is here exactly once by
construction. Samples older than `raw_days` are merged into a row for their hour and deleted, in one transaction, so
that none counts twice. A late sample of such an hour is stored raw and merged at the next sweep. The limit: should
the very same sample come again after its hour was merged, it counts again in that hour. That takes a journal restored
from a backup and, from it, records that were more than `raw_days` old; all other repeats find the sample still raw.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from collector.sample import Sample
from collector.sinks.sink import SinkDown, Written

log = logging.getLogger(__name__)

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY,
    room TEXT NOT NULL, measurement TEXT NOT NULL, field TEXT NOT NULL, target TEXT NOT NULL,
    role TEXT NOT NULL, reason TEXT NOT NULL, agent TEXT NOT NULL, province TEXT NOT NULL,
    UNIQUE (room, measurement, field, target, role, reason, agent, province)
);
CREATE TABLE IF NOT EXISTS sample (
    series INTEGER NOT NULL, measured_ms INTEGER NOT NULL, value NOT NULL,
    PRIMARY KEY (series, measured_ms)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hourly (
    series INTEGER NOT NULL, hour INTEGER NOT NULL,     -- hours since 1970
    count INTEGER NOT NULL, least NOT NULL, most NOT NULL, total REAL NOT NULL,
    PRIMARY KEY (series, hour)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS account (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), fed_id INTEGER NOT NULL);
"""
# total() and not sum(): SQLite's sum of whole numbers fails when it overflows, and a counter may be near 2**63.
_MERGE: Final = """
INSERT INTO hourly SELECT series, measured_ms / 3600000, count(*), min(value), max(value), total(value)
FROM sample WHERE series = ? AND measured_ms < ? GROUP BY measured_ms / 3600000
ON CONFLICT DO UPDATE SET count = count + excluded.count, least = min(least, excluded.least),
    most = max(most, excluded.most), total = total + excluded.total
"""
_FIND: Final = """
SELECT id FROM series WHERE room = ? AND measurement = ? AND field = ? AND target = ? AND role = ? AND reason = ?
AND agent = ? AND province = ?
"""
_HOUR_MS: Final = 3_600_000
_DAY_S: Final = 86400.0
_KNOWN_MAX_COUNT: Final = 200_000
_SWEEP_SERIES_COUNT: Final = 500
_SWEEP_ROWS_COUNT: Final = 20_000

_Tags = tuple[str, str, str, str, str, str, str]


class SqliteSink:
    """Writes. Opened at the first use, and again after an error: a file that cannot be written is a sink that is
    down.
    """

    name = "sqlite"
    settle_s = 0.0

    def __init__(self, path: Path, *, raw_days: int = 30, hourly_days: int = 3653) -> None:
        self._path = path
        self._raw_days = raw_days
        self._hourly_days = hourly_days
        self._db: sqlite3.Connection | None = None
        self._known: dict[_Tags, dict[str, int]] = {}
        self._known_count = 0
        self._sweep_before_ms = 0
        self._sweep_from_id: int | None = None

    def fed_id(self) -> int:
        """How far the journal is stored here. Raises SinkDown."""
        with self._transaction() as db:
            row = db.execute("SELECT fed_id FROM account").fetchone()
            return int(row[0]) if row else 0

    def write(self, samples: Sequence[Sample], fed_id: int) -> Written:
        """Store the samples and how far the journal is stored, or neither. What is there already stays as it is."""
        with self._transaction() as db:
            rows = [
                (self._series_id(db, sample, field), sample.measured_ms, value)
                for sample in samples
                for field, value in sample.fields.items()
            ]
            db.executemany("INSERT OR IGNORE INTO sample VALUES (?, ?, ?)", rows)
            db.execute("INSERT OR REPLACE INTO account VALUES (1, ?)", (fed_id,))
        return Written(len(samples))

    def run_mark(self) -> str:
        """There is no server that could restart."""
        return ""

    def tidy(self, now_s: float) -> None:
        """Merge and delete what has grown old: a sweep over all series each hour, a few hundred series a call."""
        before_ms = int((now_s - self._raw_days * _DAY_S) // 3600) * _HOUR_MS
        if before_ms != self._sweep_before_ms:
            self._sweep_before_ms, self._sweep_from_id = before_ms, 0
        if self._sweep_from_id is None:
            return
        hourly_before = int((now_s - self._hourly_days * _DAY_S) // 3600)
        with self._transaction() as db:
            query = "SELECT id FROM series WHERE id > ? ORDER BY id LIMIT ?"
            found = db.execute(query, (self._sweep_from_id, _SWEEP_SERIES_COUNT)).fetchall()
            merged_count, last_id = 0, None
            for (series_id,) in found:
                db.execute(_MERGE, (series_id, before_ms))
                old = db.execute("DELETE FROM sample WHERE series = ? AND measured_ms < ?", (series_id, before_ms))
                db.execute("DELETE FROM hourly WHERE series = ? AND hour < ?", (series_id, hourly_before))
                merged_count += old.rowcount
                last_id = series_id
                if merged_count >= _SWEEP_ROWS_COUNT:
                    break
        self._sweep_from_id = last_id

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):  # on a broken disk even this fails
                self._db.close()
        self._db = None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            db = self._db or self._open()
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._forget()
            raise SinkDown(f"{self._path}: {error}") from error
        except BaseException:
            self._forget()
            raise

    def _open(self) -> sqlite3.Connection:
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._db.executescript(
            # FULL: the journal lets go of what is stored here, so "stored" must outlive a power cut.
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=10000; PRAGMA cache_size=-16384;"
            + _TABLES
        )
        return self._db

    def _forget(self) -> None:
        """Drop the connection, and with it the open transaction and the series that it made."""
        self.close()
        self._known.clear()
        self._known_count = 0

    def _series_id(self, db: sqlite3.Connection, sample: Sample, field: str) -> int:
        tags = sample[:7]
        fields = self._known.get(tags)
        if fields is None:
            if self._known_count >= _KNOWN_MAX_COUNT:
                self._known.clear()
                self._known_count = 0
            fields = self._known[tags] = {}
        series_id = fields.get(field)
        if series_id is None:
            series_id = fields[field] = self._find_or_make(db, sample, field)
            self._known_count += 1
        return series_id

    def _find_or_make(self, db: sqlite3.Connection, sample: Sample, field: str) -> int:
        row = (
            sample.room, sample.measurement, field, sample.target,
            sample.role, sample.reason, sample.agent, sample.province,
        )  # fmt: skip
        found = db.execute(_FIND, row).fetchone()
        if found is None:
            insert = "INSERT INTO series (room, measurement, field, target, role, reason, agent, province)"
            found = db.execute(f"{insert} VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id", row).fetchone()
        return int(found[0])


class Series(NamedTuple):
    """One field of one target."""

    room: str
    measurement: str
    field: str
    target: str
    role: str
    reason: str
    agent: str
    province: str


class Point(NamedTuple):
    """One sample (`samples_count` 1), or all samples of the hour that begins at `from_s` (Unix seconds)."""

    from_s: float
    samples_count: int
    least: float
    most: float
    mean: float


class SqliteHistory:
    """Reads, from any thread, while the sink writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def series(self, room: str | None = None) -> list[Series]:
        """All series, or all of one room, in order of their names."""
        query = "SELECT room, measurement, field, target, role, reason, agent, province FROM series"
        with self._reading() as db:
            if room is None:
                return [Series(*row) for row in db.execute(f"{query} ORDER BY 1, 2, 3, 4, 6, 7, 8")]
            return [Series(*row) for row in db.execute(f"{query} WHERE room = ? ORDER BY 2, 3, 4, 6, 7, 8", (room,))]

    def points(
        self, *, room: str, measurement: str, field: str, target: str, from_s: float, to_s: float
    ) -> list[Point]:
        """What was measured in [from_s, to_s), oldest first, over all series of these names (other agents, reasons).

        Older than the sink's `raw_days` it is by the hour; an hour that a late sample has just reached shows as two
        points until the sink's next sweep.
        """
        chosen = "SELECT id FROM series WHERE room = ? AND measurement = ? AND field = ? AND target = ?"
        query = (
            f"SELECT measured_ms / 1000.0, 1, value, value, value FROM sample WHERE series IN ({chosen})"  # noqa: S608 - constants only
            " AND measured_ms >= ? AND measured_ms < ? UNION ALL"
            f" SELECT hour * 3600.0, count, least, most, total / count FROM hourly WHERE series IN ({chosen})"
            " AND hour * 3600.0 >= ? AND hour * 3600.0 < ? ORDER BY 1"
        )
        names = (room, measurement, field, target)
        with self._reading() as db:
            rows = db.execute(query, (*names, from_s * 1000, to_s * 1000, *names, from_s, to_s))
            return [Point(*row) for row in rows]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to the file, or to nothing with the same tables while the sink has not made it."""
        if self._path.exists():
            db = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        else:
            db = sqlite3.connect(":memory:", isolation_level=None)
            db.executescript(_TABLES)
        with contextlib.closing(db):
            db.execute("PRAGMA busy_timeout=10000")
            yield db
