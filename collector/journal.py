"""The collector's disk queue: what is acknowledged to an agent is here, durably, before the ack leaves.

SQLite in WAL mode with synchronous FULL. One thread writes; each sink reads through a connection of its own.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from collector.derived import OWN_NAME
from collector.ledger import SLOT_S, Account, Evidence, Lost, Tally, Word
from contract.batch import pack_record, unpack_record
from contract.reading import Record

QUARANTINE_MAX_COUNT: Final = 1000
_LEDGER_KEPT_S: Final = 60 * 86400.0
_QUARANTINE_BODY_BYTES: Final = 16 * 1024

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS kept (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never reused: sinks remember how far they are by it
    agent TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    room TEXT NOT NULL, province TEXT NOT NULL,
    arrived_s REAL NOT NULL, taken_s REAL NOT NULL, sure INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (agent, epoch, seq)
);
CREATE INDEX IF NOT EXISTS kept_by_arrival ON kept (arrived_s);
CREATE TABLE IF NOT EXISTS stream (
    agent TEXT NOT NULL, epoch TEXT NOT NULL,
    upto INTEGER NOT NULL,                  -- every record up to here is kept, or lies in a gap
    made_count INTEGER NOT NULL, dropped_count INTEGER NOT NULL,
    heard_s REAL NOT NULL,
    PRIMARY KEY (agent, epoch)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gap (
    agent TEXT NOT NULL, epoch TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, noticed_s REAL NOT NULL,
    PRIMARY KEY (agent, epoch, first)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS boot (
    agent TEXT NOT NULL, boot TEXT NOT NULL,
    began_s REAL NOT NULL,                  -- true time at which the boot's monotonic clock read 0
    wall_began_s REAL NOT NULL,             -- what the PC's wall clock read then
    sure INTEGER NOT NULL,
    heard_s REAL NOT NULL,
    PRIMARY KEY (agent, boot)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally (         -- readings kept, by ten minutes of their true time: outlives `kept`
    agent TEXT NOT NULL, slot INTEGER NOT NULL, epoch TEXT NOT NULL,
    readings_count INTEGER NOT NULL, unsure_count INTEGER NOT NULL,
    PRIMARY KEY (agent, slot, epoch)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stored (        -- readings kept since the epoch began
    agent TEXT NOT NULL, epoch TEXT NOT NULL, readings_count INTEGER NOT NULL,
    PRIMARY KEY (agent, epoch)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS word (          -- what agents said of themselves, or was said of them
    agent TEXT NOT NULL, at_s REAL NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (agent, at_s)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    arrived_s REAL NOT NULL, agent TEXT NOT NULL, topic TEXT NOT NULL, why TEXT NOT NULL, body BLOB NOT NULL
);
"""


class Kept(NamedTuple):
    """One record of one agent. A reading in it was measured at `taken_s - reading.before_s` (Unix seconds)."""

    id: int
    agent: str
    epoch: str
    seq: int
    room: str
    province: str
    arrived_s: float
    taken_s: float
    sure: bool
    record: Record


class Stream(NamedTuple):
    """How far one epoch of one agent is: contiguous up to `upto`, and what the agent says that it made and dropped."""

    agent: str
    epoch: str
    upto: int
    made_count: int
    dropped_count: int
    heard_s: float


class Boot(NamedTuple):
    """One boot of an agent's PC: when its monotonic clock read 0, in true time and by the PC's own clock.

    Without `sure` the former is estimated.
    """

    agent: str
    boot: str
    began_s: float
    wall_began_s: float
    sure: bool
    heard_s: float


class Gap(NamedTuple):
    """Records that an agent declared lost: its spool had to give them up."""

    agent: str
    epoch: str
    first: int
    last: int
    noticed_s: float


class Quarantined(NamedTuple):
    """A message that breaks the contract, for an operator to look at; its body may be cut."""

    id: int
    arrived_s: float
    agent: str
    topic: str
    why: str
    body: bytes


class Journal:
    """The one writer's side."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=-1; PRAGMA busy_timeout=10000;"
            "PRAGMA cache_size=-8192;" + _TABLES
        )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is durable when it ends, or did not happen."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def keep(self, kept: Kept) -> bool:
        """Add a record (its `id` is ignored); False when it is here already, which changes nothing."""
        cursor = self._db.execute(
            "INSERT OR IGNORE INTO kept (agent, epoch, seq, room, province, arrived_s, taken_s, sure, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*kept[1:9], pack_record(kept.record)),
        )
        if cursor.rowcount != 1:
            return False
        if kept.agent != OWN_NAME:
            self._count(kept)
        return True

    def _count(self, kept: Kept) -> None:
        """Enter a record in the ledger, in the transaction that keeps it."""
        count = len(kept.record.readings)
        self._db.execute(
            "INSERT INTO tally VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " readings_count = readings_count + excluded.readings_count,"
            " unsure_count = unsure_count + excluded.unsure_count",
            (kept.agent, int(kept.taken_s // SLOT_S), kept.epoch, count, 0 if kept.sure else count),
        )
        self._db.execute(
            "INSERT INTO stored VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET"
            " readings_count = readings_count + excluded.readings_count",
            (kept.agent, kept.epoch, count),
        )

    def save_word(self, word: Word) -> None:
        """Note what an agent said of itself, unless it is what it said last."""
        row = self._db.execute(
            "SELECT state, reason FROM word WHERE agent = ? ORDER BY at_s DESC LIMIT 1", (word.agent,)
        ).fetchone()
        if row != (word.state, word.reason):
            self._db.execute("INSERT OR REPLACE INTO word VALUES (?, ?, ?, ?)", word)

    def evidence(self, agents: Sequence[str]) -> Evidence:
        """What the ledger of these agents is made from."""
        marks = ", ".join("?" * len(agents))
        tallies = self._db.execute(
            "SELECT agent, epoch, slot, readings_count, unsure_count FROM tally"  # noqa: S608 - only question marks
            f" WHERE agent IN ({marks})",
            agents,
        )
        accounts = self._db.execute(
            "SELECT agent, epoch, made_count, dropped_count, coalesce(stored.readings_count, 0)"  # noqa: S608 - as above
            f" FROM stream LEFT JOIN stored USING (agent, epoch) WHERE agent IN ({marks}) ORDER BY heard_s",
            agents,
        )
        words = self._db.execute(
            f"SELECT * FROM word WHERE agent IN ({marks}) ORDER BY at_s",  # noqa: S608 - as above
            agents,
        )
        lost = self._db.execute(
            "SELECT agent, last - first + 1, (SELECT max(taken_s) FROM kept WHERE kept.agent = gap.agent"  # noqa: S608 - as above
            f" AND kept.epoch = gap.epoch AND seq < first), noticed_s FROM gap WHERE agent IN ({marks})",
            agents,
        )
        suspects = self._db.execute(
            f"SELECT arrived_s FROM quarantine WHERE agent IN ({marks})",  # noqa: S608 - as above
            agents,
        )
        return Evidence(
            tallies=[Tally(*row) for row in tallies],
            accounts=[Account(*row) for row in accounts],
            words=[Word(*row) for row in words],
            lost=[Lost(*row) for row in lost],
            quarantined_s=[row[0] for row in suspects],
        )

    def save_stream(self, stream: Stream) -> None:
        """Note how far an agent is."""
        self._db.execute("INSERT OR REPLACE INTO stream VALUES (?, ?, ?, ?, ?, ?)", stream)

    def save_gap(self, gap: Gap) -> None:
        """Note what an agent declared lost."""
        self._db.execute("INSERT OR IGNORE INTO gap VALUES (?, ?, ?, ?, ?)", gap)

    def save_boot(self, boot: Boot) -> None:
        """Note when a boot of a PC began."""
        self._db.execute("INSERT OR REPLACE INTO boot VALUES (?, ?, ?, ?, ?, ?)", boot)

    def boot(self, agent: str, boot: str) -> Boot | None:
        """What is known of one boot."""
        row = self._db.execute("SELECT * FROM boot WHERE agent = ? AND boot = ?", (agent, boot)).fetchone()
        return Boot._make(row)._replace(sure=bool(row[4])) if row else None

    def shift_boots(self, step_s: float) -> None:
        """Move the beginnings of all boots: our own clock, by which they are told, was set by so many seconds."""
        self._db.execute("UPDATE boot SET began_s = began_s + ?", (step_s,))

    def save_quarantined(self, arrived_s: float, agent: str, topic: str, why: str, body: bytes) -> None:
        """Put a bad message aside; the oldest beyond QUARANTINE_MAX_COUNT go."""
        row = (arrived_s, agent, topic, why[:500], body[:_QUARANTINE_BODY_BYTES])
        cursor = self._db.execute("INSERT INTO quarantine (arrived_s, agent, topic, why, body) VALUES (?,?,?,?,?)", row)
        self._db.execute("DELETE FROM quarantine WHERE id <= ?", ((cursor.lastrowid or 0) - QUARANTINE_MAX_COUNT,))

    def upto(self, agent: str, epoch: str) -> int:
        """How far one epoch of one agent is, 0 for one never heard of."""
        row = self._db.execute("SELECT upto FROM stream WHERE agent = ? AND epoch = ?", (agent, epoch)).fetchone()
        return row[0] if row else 0

    def streams(self) -> list[Stream]:
        """All streams."""
        return [Stream(*row) for row in self._db.execute("SELECT * FROM stream")]

    def ahead(self, agent: str, epoch: str, upto: int) -> list[int]:
        """Numbers above `upto` that are here already, ascending: live records that overtook a backlog."""
        query = "SELECT seq FROM kept WHERE agent = ? AND epoch = ? AND seq > ? ORDER BY seq"
        return [seq for (seq,) in self._db.execute(query, (agent, epoch, upto))]

    def gaps(self) -> list[Gap]:
        """All gaps."""
        return [Gap(*row) for row in self._db.execute("SELECT * FROM gap ORDER BY noticed_s")]

    def quarantined(self, limit: int) -> list[Quarantined]:
        """The newest messages in quarantine."""
        return [
            Quarantined(*row) for row in self._db.execute("SELECT * FROM quarantine ORDER BY id DESC LIMIT ?", (limit,))
        ]

    def quarantined_total(self) -> int:
        """How many were ever put aside."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'quarantine'").fetchone()
        return row[0] if row else 0

    def since(self, arrived_s: float) -> Iterator[Kept]:
        """Records that arrived after a moment, in order of arrival: to rebuild what was known."""
        rows = self._db.execute("SELECT * FROM kept WHERE arrived_s > ? ORDER BY id", (arrived_s,))
        yield from map(_kept, rows)

    def last_id(self) -> int:
        """Id of the newest record ever kept, 0 when there was none."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'kept'").fetchone()
        return row[0] if row else 0

    def prune(self, *, fed_id: int, before_s: float, at_most: int = 5000) -> int:
        """Let go of records that every sink has (ids up to `fed_id`) and that arrived before a moment; how many went.

        What lies ahead of a stream's `upto` stays: it is what tells a repeat from something new.
        """
        cursor = self._db.execute(
            "DELETE FROM kept WHERE id IN (SELECT kept.id FROM kept LEFT JOIN stream USING (agent, epoch)"
            " WHERE kept.id <= ? AND kept.arrived_s < ? AND kept.seq <= coalesce(stream.upto, kept.seq)"
            " ORDER BY kept.id LIMIT ?)",
            (fed_id, before_s, at_most),
        )
        slot = int((before_s - _LEDGER_KEPT_S) // SLOT_S)
        self._db.execute("DELETE FROM tally WHERE slot < ? AND agent IN (SELECT agent FROM stored)", (slot,))
        return cursor.rowcount

    def forget(self, before_s: float) -> None:
        """Let go of epochs and boots that were not heard of since: every boot of every PC adds one of each."""
        self._db.execute("DELETE FROM stream WHERE heard_s < ?", (before_s,))
        self._db.execute("DELETE FROM boot WHERE heard_s < ?", (before_s,))
        self._db.execute("DELETE FROM gap WHERE noticed_s < ?", (before_s,))

    def size_bytes(self) -> int:
        """Size of the file."""
        return int(self.path.stat().st_size)

    def copy_to(self, path: Path) -> None:
        """A consistent copy, while others read and write."""
        with contextlib.closing(sqlite3.connect(path)) as target:
            self._db.backup(target)

    def reader(self) -> "JournalReader":
        """A reader of its own for one more thread."""
        return JournalReader(self.path)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


class JournalReader:
    """One sink's side: reads what is kept, in order of id. The connection is made at first use, in the using thread."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA busy_timeout=10000")

    def after(self, after_id: int, limit: int) -> list[Kept]:
        """Records with an id above `after_id`, ascending, at most `limit`."""
        rows = self._db.execute("SELECT * FROM kept WHERE id > ? ORDER BY id LIMIT ?", (after_id, limit))
        return [_kept(row) for row in rows]

    def last_id(self) -> int:
        """Id of the newest record, 0 when there is none."""
        last: int = self._db.execute("SELECT coalesce(max(id), 0) FROM kept").fetchone()[0]
        return last

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def _kept(row: tuple[int, str, str, int, str, str, float, float, int, bytes]) -> Kept:
    number, agent, epoch, seq, room, province, arrived_s, taken_s, sure, body = row
    return Kept(number, agent, epoch, seq, room, province, arrived_s, taken_s, bool(sure), unpack_record(body))
