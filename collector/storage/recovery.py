"""Opens the journal at a start; of a damaged one it makes a new one that holds all that can still be read."""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from collector.storage.journal import IDS_SKIPPED, MAX_BYTES, TABLES, Journal, JournalDamaged, is_sound, mark_of
from contract.durable_file import GROWING, PAGE_BYTES, is_damage
from contract.salvage import move_aside, replace_first_page, rows_between, ways_in

log = logging.getLogger(__name__)

DAMAGED: Final = "journal_damaged"
RESTORED: Final = "journal_restored"
"""The problems that the collector's health shows from then on until its next start."""
_CHECKED_BYTES: Final = 256 << 20  # a larger one is not looked at as a whole at each start: that would take minutes
_PRUNED_AFTER_S: Final = 2 * 86400.0  # younger records are there, whatever the sinks have
_NOT_COPIED: Final = ("fact", "growing")


def open_journal(path: Path, now_s: float, *, max_bytes: int = MAX_BYTES) -> tuple[Journal, str]:
    """The journal at `path`, and DAMAGED if it had to be salvaged, RESTORED if it came from a backup, else "".

    What is damaged is moved aside; the new journal asks the agents for what it lacks, which they keep for a week.
    Raises sqlite3.Error or OSError for a disk that refuses.
    """
    draft = path.with_suffix(".salvaged")
    mark = mark_of(path)
    if not path.exists() and draft.exists():
        draft.replace(path)  # the power went when the damaged one had just been moved
    try:
        if mark.exists():
            raise JournalDamaged(mark.read_text(encoding="utf-8", errors="replace"))
        check = path.exists() and path.stat().st_size <= _CHECKED_BYTES
        journal = Journal(path, max_bytes=max_bytes, check=check)
        return journal, RESTORED if _was_restored(path) else ""
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        log.error("%s is damaged (%s): taking out of it what can be read", path, error)  # noqa: TRY400 - a disk's state
    try:
        count = _salvage(path, draft)
    except (sqlite3.DatabaseError, OSError) as error:
        draft.unlink(missing_ok=True)
        log.error("nothing could be taken out of %s: %s", path, error)  # noqa: TRY400 - as above
    else:
        log.warning("took %d records out of %s; the agents send again what is missing", count, path)
    aside = move_aside(path, now_s)
    if draft.exists():
        draft.replace(path)
    mark.unlink(missing_ok=True)
    log.warning("the damaged journal lies in %s", aside)
    journal = Journal(path, max_bytes=max_bytes)
    # Sinks remember how far they are by ids, and of an unknown number of them nothing is left.
    journal.skip_ids(IDS_SKIPPED if journal.last_id() else int(now_s))
    return journal, DAMAGED


def restored_mark(path: Path) -> Path:
    """The file by which a journal that was put back from a backup is known until it is opened."""
    return path.with_suffix(".restored")


def _was_restored(path: Path) -> bool:
    mark = restored_mark(path)
    if not mark.exists():
        return False
    log.warning("%s was put back from a backup; the agents send again what is newer, as far as they have it", path)
    mark.unlink()
    return True


def _salvage(path: Path, draft: Path) -> int:
    """Make of a damaged journal, which nobody uses, one that holds what can still be read; how many records."""
    draft.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as new:
        # Sure only at the end, when it is synced as a whole; until then the damaged one is still in its place.
        new.executescript(f"PRAGMA page_size={PAGE_BYTES}; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")
        new.executescript(TABLES + GROWING)
        new.execute("BEGIN")
        if not _copy_all(path, new):
            replace_first_page(path, TABLES)
            _copy_all(path, new)
        count: int = new.execute("SELECT count(*) FROM kept").fetchone()[0]
        _ask_again(new)
        new.execute("INSERT OR REPLACE INTO fact VALUES ('is_closed', 1)")
        new.execute("COMMIT")
    with draft.open("r+b") as file:
        os.fsync(file.fileno())
    return count


def _copy_all(path: Path, new: sqlite3.Connection) -> bool:
    """Copy every row that can be read and is sound; False when there was none at all."""
    before = new.total_changes
    tables = [
        name
        for (name,) in new.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'")
    ]
    for old in ways_in(path):
        for table in tables:
            if table in _NOT_COPIED:
                continue
            columns = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
            if columns[0] == "id":
                query = f"SELECT * FROM {table} WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"  # noqa: S608 - names of ours
                rows = rows_between(old, query, 0, 1 << 62)
                _insert(new, "IGNORE", table, len(columns), (row for row in rows if table != "kept" or is_sound(row)))
                continue
            for direction in ("ASC", "DESC"):  # what lies behind a damaged page is read from the other end
                query = f"SELECT * FROM {table} ORDER BY {columns[0]} {direction}"  # noqa: S608 - as above
                _insert(new, "REPLACE", table, len(columns), _until_damage(old, query))
    return new.total_changes > before


def _insert(new: sqlite3.Connection, otherwise: str, table: str, columns: int, rows: Iterator[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" * columns)
    for row in rows:
        with contextlib.suppress(sqlite3.IntegrityError):  # damage may have made a row that our tables do not take
            new.execute(f"INSERT OR {otherwise} INTO {table} VALUES ({marks})", row)  # noqa: S608 - as above


def _until_damage(db: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    with contextlib.suppress(sqlite3.DatabaseError):
        yield from db.execute(query)


def _ask_again(new: sqlite3.Connection) -> None:
    """Set every stream back to before its first record that is still here, so that agents fill what is missing.

    What is here is not sent in vain: a reception knows it. Of an agent that was heard within the last two days and of
    which nothing is here, all may be lost: it is asked for all that it has. What comes again is in the ledger already,
    where that could be read.
    """
    new.execute(
        "INSERT OR REPLACE INTO counted SELECT agent, epoch, max(stream.upto, coalesce(counted.upto, 0))"
        " FROM stream JOIN stored USING (agent, epoch) LEFT JOIN counted USING (agent, epoch)"
    )
    new.execute(
        "UPDATE stream SET upto = min(upto, coalesce("
        "(SELECT min(seq) - 1 FROM kept WHERE kept.agent = stream.agent AND kept.epoch = stream.epoch),"
        " iif(heard_s > (SELECT max(heard_s) FROM stream) - ?, 0, upto)))",
        (_PRUNED_AFTER_S,),
    )
