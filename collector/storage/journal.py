"""The collector's disk queue: what is acknowledged to an agent is here, durably, before the ack leaves.

What was committed survives a power cut, and a full disk stops nothing but new records (`contract/durable_file.py`).
One thread writes; each sink reads through a connection of its own. A record that is not what was written is never
given out: the journal then says that it is damaged, and the next start salvages it (`collector/storage/recovery.py`).
"""

import contextlib
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from collector.derived import OWN_NAME
from collector.ledger import SLOT_S, Account, Evidence, Lost, Tally, Word
from collector.line.twins import Twin
from contract.batch import pack_record, unpack_record
from contract.durable_file import PAGE_BYTES, DurableFile, Shape, is_damage, is_full, quick_look, read_only_uri
from contract.reading import Record
from readiness.mains import Word as MainsWord

QUARANTINE_MAX_COUNT: Final = 1000
MAX_BYTES: Final = 16 << 30
"""How large the journal may become when nobody says otherwise."""
_LEAST_BYTES: Final = 1 << 20
_LEDGER_KEPT_S: Final = 60 * 86400.0
_QUARANTINE_BODY_BYTES: Final = 16 * 1024
_FIRST_BYTES: Final = 4 << 20
_STEP_BYTES: Final = 4 << 20
_CHECKPOINT_PAGES: Final = 1000
_CACHE_BYTES: Final = 8 << 20
_MARGIN_PAGES: Final = 64  # what is left when records are refused: for all else, and for deleting
_PAGES_A_RECORD: Final = 4  # a guess, and more than it is
_PRUNED_AT_ONCE: Final = 250  # touches at most some hundred pages of the index: the WAL has room for it on a full disk
IDS_SKIPPED: Final = 1_000_000
"""When ids may have been given out that the file knows nothing of: more than can have been."""

TABLES: Final = """
CREATE TABLE IF NOT EXISTS kept (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never reused: sinks remember how far they are by it
    agent TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    room TEXT NOT NULL, province TEXT NOT NULL,
    arrived_s REAL NOT NULL, taken_s REAL NOT NULL, sure INTEGER NOT NULL,
    body BLOB NOT NULL,
    crc INTEGER NOT NULL,                   -- over all but the id
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
    heard_s REAL NOT NULL,                  -- true time of the batch that told began_s: the clocks drift apart since
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
CREATE TABLE IF NOT EXISTS mains (         -- what was said of the mains before and after each change
    agent TEXT NOT NULL, target TEXT NOT NULL, room TEXT NOT NULL, at_s REAL NOT NULL, on_battery INTEGER NOT NULL,
    PRIMARY KEY (agent, target, at_s)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS twin (          -- identities that two PCs have, until they are told apart
    agent TEXT PRIMARY KEY, credential TEXT NOT NULL, noticed_s REAL NOT NULL, one TEXT NOT NULL, other TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    arrived_s REAL NOT NULL, agent TEXT NOT NULL, topic TEXT NOT NULL, why TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS counted (       -- records up to here are in the ledger, though damage may have taken them
    agent TEXT NOT NULL, epoch TEXT NOT NULL, upto INTEGER NOT NULL,
    PRIMARY KEY (agent, epoch)
) WITHOUT ROWID;
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

    Without `sure` the former is estimated. `heard_s` is when the batch was written that told it.
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


class JournalFull(sqlite3.OperationalError):
    """No new record can be kept before old ones go: how large the journal is, and may be."""

    sqlite_errorcode = sqlite3.SQLITE_FULL


class JournalDamaged(sqlite3.DatabaseError):
    """A record in it is not what was written."""


class _Answers:
    """What may be asked from either side."""

    _db: sqlite3.Connection

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

    def gaps(self) -> list[Gap]:
        """All gaps."""
        return [Gap(*row) for row in self._db.execute("SELECT * FROM gap ORDER BY noticed_s")]

    def quarantined(self, limit: int) -> list[Quarantined]:
        """The newest messages in quarantine."""
        return [
            Quarantined(*row) for row in self._db.execute("SELECT * FROM quarantine ORDER BY id DESC LIMIT ?", (limit,))
        ]


class Journal(_Answers):
    """The one writer's side. Raises sqlite3.Error for a disk that refuses, a journal at its cap, and a damaged one."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, check: bool = False) -> None:
        """Open or make it. With `check` all of it is looked at; WAL and ballast come on top of `max_bytes`."""
        self.path = path
        is_new = not path.exists()
        self._file = DurableFile(path, _shape(max_bytes), look=quick_look if check else None)
        self._db = self._file.db
        self._spare_pages = 0
        self._damage = ""
        self._counted: dict[tuple[str, str], int] = {}
        try:
            self._counted = {(row[0], row[1]): row[2] for row in self._db.execute("SELECT * FROM counted")}
            if not is_new and not self._file.had_wal and not self._is_closed():
                # The WAL has gone, or this is a copy of a running journal: ids above the last may have been given out.
                self.skip_ids(IDS_SKIPPED)
            self._set_closed(0)
            self._file.checkpoint()
        except BaseException:
            self._file.close()
            raise

    def _is_closed(self) -> bool:
        row = self._db.execute("SELECT value FROM fact WHERE name = 'is_closed'").fetchone()
        return row is None or bool(row[0])

    def _set_closed(self, value: int) -> None:
        def work() -> None:
            self._db.execute("INSERT OR REPLACE INTO fact VALUES ('is_closed', ?)", (value,))

        self._file.write(work)

    def skip_ids(self, count: int) -> None:
        """Let so many ids of records be given to none."""
        with self._file.transaction():
            if not self._db.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'kept'", (count,)).rowcount:
                self._db.execute("INSERT INTO sqlite_sequence VALUES ('kept', ?)", (count,))

    @property
    def damage(self) -> str:
        """What was found to be damaged in it, by whichever thread; empty when nothing was. A new start mends it."""
        return self._damage

    def _note(self, error: sqlite3.Error) -> None:
        """Leave word of a damage for the next start, which may not come upon it by itself."""
        if is_damage(error) and not self._damage:
            self._damage = str(error)
            with contextlib.suppress(OSError):
                mark_of(self.path).write_text(self._damage, encoding="utf-8")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is durable when it ends, or did not happen."""
        try:
            self._prepare()
            with self._file.transaction():
                yield
        except JournalFull:
            raise
        except sqlite3.Error as error:
            self._note(error)
            if isinstance(error, sqlite3.OperationalError) and is_full(error):
                self._file.relieve()  # what is tried next finds a WAL that begins anew
            raise

    def _prepare(self) -> None:
        """Have room in advance. It is taken within a transaction only when one is very large."""
        self._file.tend()
        if not self._file.is_whole:
            self._file.checkpoint()  # a WAL that the disk has left too short must begin anew each time
        self._spare_pages = self._file.free_pages()
        if self._spare_pages < 2 * _MARGIN_PAGES and self._file.grow():
            self._spare_pages = self._file.free_pages()

    def _take_room(self, size_bytes: int) -> None:
        """Make sure that a record finds pages, with a margin for what need not be refused. Raises JournalFull."""
        pages = size_bytes // PAGE_BYTES + _PAGES_A_RECORD
        self._spare_pages -= pages
        if self._spare_pages >= _MARGIN_PAGES:
            return
        self._spare_pages = self._file.free_pages() - pages
        while self._spare_pages < _MARGIN_PAGES:
            if not self._file.grow():
                raise JournalFull(f"the journal has {self._file.size_bytes} bytes, and cap or disk leave it no more")
            self._spare_pages = self._file.free_pages() - pages

    def keep(self, kept: Kept) -> bool:
        """Add a record (its `id` is ignored); False when it is here already, which changes nothing."""
        row = (*kept[1:9], pack_record(kept.record))
        self._take_room(len(row[-1]))
        cursor = self._db.execute(
            "INSERT OR IGNORE INTO kept (agent, epoch, seq, room, province, arrived_s, taken_s, sure, body, crc)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, _crc(row)),
        )
        if cursor.rowcount != 1:
            return False
        if kept.agent != OWN_NAME and kept.seq > self._counted.get((kept.agent, kept.epoch), 0):
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

    def save_mains(self, agent: str, target: str, room: str, words: Iterable[MainsWord]) -> None:
        """Note what an agent said of the mains of one UPS, instead of what was noted before."""
        self._db.execute("DELETE FROM mains WHERE agent = ? AND target = ?", (agent, target))
        rows = [(agent, target, room, word.at_s, int(word.is_on_battery)) for word in words]
        self._db.executemany("INSERT OR IGNORE INTO mains VALUES (?, ?, ?, ?, ?)", rows)

    def mains(self) -> dict[tuple[str, str, str], list[MainsWord]]:
        """All that was noted of the mains, by agent, target and room, in the order of time."""
        found: dict[tuple[str, str, str], list[MainsWord]] = {}
        rows = self._db.execute("SELECT * FROM mains ORDER BY agent, target, at_s")
        for agent, target, room, at_s, on_battery in rows:
            found.setdefault((agent, target, room), []).append(MainsWord(at_s, bool(on_battery)))
        return found

    def save_twin(self, twin: Twin) -> None:
        """Note that two PCs have one identity."""
        row = (twin.agent, twin.credential, twin.noticed_s, *twin.boots)
        self._db.execute("INSERT OR REPLACE INTO twin VALUES (?, ?, ?, ?, ?)", row)

    def forget_twin(self, agent: str) -> None:
        """They have been told apart."""
        self._db.execute("DELETE FROM twin WHERE agent = ?", (agent,))

    def twins(self) -> list[Twin]:
        """All identities in doubt."""
        rows = self._db.execute("SELECT * FROM twin")
        return [Twin(agent, credential, noticed_s, (one, other)) for agent, credential, noticed_s, one, other in rows]

    def last_words(self) -> list[Word]:
        """The last word of each agent."""
        return [
            Word(*row) for row in self._db.execute("SELECT agent, max(at_s), state, reason FROM word GROUP BY agent")
        ]

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
        """Move the beginnings of all boots, and all words about the mains: our own clock, by which they are told, was
        set by so many seconds.
        """
        self._db.execute("UPDATE boot SET began_s = began_s + ?, heard_s = heard_s + ?", (step_s, step_s))
        self._db.execute("UPDATE OR IGNORE mains SET at_s = at_s + ?", (step_s,))

    def save_quarantined(self, arrived_s: float, agent: str, topic: str, why: str, body: bytes) -> None:
        """Put a bad message aside; the oldest beyond QUARANTINE_MAX_COUNT go."""
        row = (arrived_s, agent, topic, why[:500], body[:_QUARANTINE_BODY_BYTES])
        self._take_room(len(row[-1]))
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

    def quarantined_total(self) -> int:
        """How many were ever put aside."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'quarantine'").fetchone()
        return row[0] if row else 0

    def since(self, arrived_s: float) -> Iterator[Kept]:
        """Records that arrived after a moment, in order of arrival: to rebuild what was known."""
        with _noting(self._note):
            for row in self._db.execute("SELECT * FROM kept WHERE arrived_s > ? ORDER BY id", (arrived_s,)):
                yield _kept(row)

    def last_id(self) -> int:
        """Id of the newest record ever kept, 0 when there was none."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'kept'").fetchone()
        return row[0] if row else 0

    def prune(self, *, fed_id: int, before_s: float, at_most: int = 20_000) -> int:
        """Let go of records that every sink has (ids up to `fed_id`) and that arrived before a moment; how many went.

        When the journal can grow no more, younger ones go as well, until a quarter of it is free. What lies ahead of a
        stream's `upto` stays: it is what tells a repeat from something new. Best not within a transaction: a small one
        of its own needs little of the WAL, and a full disk has no more.
        """
        if self._db.in_transaction:
            return self._prune(fed_id, before_s, at_most)
        count = 0
        try:
            self._file.write(lambda: self._prune_tally(before_s))
            while count < at_most:
                gone = self._prune_slice(fed_id, before_s, min(_PRUNED_AT_ONCE, at_most - count))
                count += gone
                if gone < _PRUNED_AT_ONCE:
                    break
        except sqlite3.Error as error:
            self._note(error)
            raise
        return count

    def _prune_slice(self, fed_id: int, before_s: float, at_most: int) -> int:
        gone = 0

        def work() -> None:
            nonlocal gone
            gone = self._prune(fed_id, float("inf") if self._is_crowded() else before_s, at_most)

        self._file.write(work)
        return gone

    def _is_crowded(self) -> bool:
        return not self._file.can_grow and 4 * self._file.free_pages() * PAGE_BYTES < self._file.size_bytes

    def _prune(self, fed_id: int, before_s: float, at_most: int) -> int:
        return self._db.execute(
            "DELETE FROM kept WHERE id IN (SELECT kept.id FROM kept LEFT JOIN stream USING (agent, epoch)"
            " WHERE kept.id <= ? AND kept.arrived_s < ? AND kept.seq <= coalesce(stream.upto, kept.seq)"
            " ORDER BY kept.id LIMIT ?)",
            (fed_id, before_s, at_most),
        ).rowcount

    def _prune_tally(self, before_s: float) -> None:
        slot = int((before_s - _LEDGER_KEPT_S) // SLOT_S)
        self._db.execute("DELETE FROM tally WHERE slot < ? AND agent IN (SELECT agent FROM stored)", (slot,))

    def forget(self, before_s: float) -> None:
        """Let go of epochs and boots that were not heard of since: every boot of every PC adds one of each."""
        self._db.execute("DELETE FROM stream WHERE heard_s < ?", (before_s,))
        self._db.execute("DELETE FROM counted WHERE (agent, epoch) NOT IN (SELECT agent, epoch FROM stream)")
        self._db.execute("DELETE FROM boot WHERE heard_s < ?", (before_s,))
        self._db.execute("DELETE FROM mains WHERE at_s < ?", (before_s,))
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
        return JournalReader(self.path, self._note)

    def close(self) -> None:
        """Let go of the file. Readers are to be closed before."""
        with contextlib.suppress(sqlite3.DatabaseError):
            self._file.checkpoint()
            self._set_closed(1)
            self._file.checkpoint()
        self._file.close()


class JournalReader(_Answers):
    """The side of a sink, or of an operator: reads what is kept, and changes nothing. Raises sqlite3.Error."""

    def __init__(self, path: Path, on_error: Callable[[sqlite3.Error], None] = lambda _: None) -> None:
        self._db = sqlite3.connect(read_only_uri(path), uri=True, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA busy_timeout=10000")
        self._on_error = on_error

    def stand_still(self) -> None:
        """Let all that is read from now on be of one moment, whatever the collector keeps meanwhile."""
        self._db.execute("BEGIN")

    def after(self, after_id: int, limit: int) -> list[Kept]:
        """Records with an id above `after_id`, ascending, at most `limit`."""
        with _noting(self._on_error):
            rows = self._db.execute("SELECT * FROM kept WHERE id > ? ORDER BY id LIMIT ?", (after_id, limit))
            return [_kept(row) for row in rows]

    def last_id(self) -> int:
        """Id of the newest record, 0 when there is none."""
        with _noting(self._on_error):
            last: int = self._db.execute("SELECT coalesce(max(id), 0) FROM kept").fetchone()[0]
            return last

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


@contextlib.contextmanager
def _noting(on_error: Callable[[sqlite3.Error], None]) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        on_error(error)
        raise


def _kept(row: tuple[int, str, str, int, str, str, float, float, int, bytes, int]) -> Kept:
    number, agent, epoch, seq, room, province, arrived_s, taken_s, sure, body, crc = row
    if _crc(row[1:10]) != crc:
        raise JournalDamaged(f"record {number} is not what was written")
    return Kept(number, agent, epoch, seq, room, province, arrived_s, taken_s, bool(sure), unpack_record(body))


def _crc(row: Sequence[Any]) -> int:
    """The checksum over a row of `kept`, from agent to body. Raises JournalDamaged when a blob has become a text."""
    *rest, sure, body = row
    try:
        return zlib.crc32("\0".join(map(repr, (*rest, int(sure)))).encode() + body)
    except (TypeError, ValueError) as error:
        raise JournalDamaged(f"a record is not what was written: {error}") from error


def is_sound(row: Sequence[Any]) -> bool:
    """Whether a row of `kept` is what was written."""
    with contextlib.suppress(JournalDamaged):
        return bool(_crc(row[1:10]) == row[10])
    return False


def _shape(max_bytes: int) -> Shape:
    return Shape(
        tables=TABLES,
        cap_bytes=max(max_bytes, _LEAST_BYTES),
        first_bytes=_FIRST_BYTES,
        step_bytes=_STEP_BYTES,
        checkpoint_pages=_CHECKPOINT_PAGES,
        cache_bytes=_CACHE_BYTES,
    )


def mark_of(path: Path) -> Path:
    """The file that tells the next start of a damage."""
    return path.with_suffix(".damaged")
