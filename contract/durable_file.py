"""One SQLite file that keeps its word when the power fails, and goes on working when the disk is full.

WAL mode with synchronous FULL: what a transaction committed survives. On a full disk a plain WAL database can neither
delete nor checkpoint, for ever, since both have to grow a file. So all room is taken in advance: the file has its free
pages on the disk already and may not grow by itself; its WAL is as long as it needs between two checkpoints, and stays
when the program ends; and a ballast file lies beside them, to be given up.
"""

import contextlib
import os
import secrets
import shutil
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

PAGE_BYTES: Final = 4096
BALLAST_BYTES: Final = 1 << 20
SPARE_DISK_BYTES: Final = 16 << 20
"""What growing leaves of the disk to others, but for the first step."""
_FRAME_BYTES: Final = PAGE_BYTES + 24
_WAL_HEADER_BYTES: Final = 32
_MARGIN_PAGES: Final = 64  # of the WAL: what the transaction may need that is followed by a checkpoint
_ZEROS_BYTES: Final = 1 << 16
_CHUNK_PAGES: Final = 256
_TREE_PAGES: Final = 4  # more than a row's own pages, it may need these for the tree above it
_GROW_AGAIN_AFTER: Final = 10  # requests, once the disk refused although it had said that it had room
_LOCK_BYTE: Final = 1 << 30  # SQLite locks bytes here, and Windows refuses to write to them; no page lies here
_READ_WRITE: Final = os.O_RDWR | getattr(os, "O_BINARY", 0)
_FULL: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_CORRUPT: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNREADABLE: Final = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
GROWING: Final = "CREATE TABLE IF NOT EXISTS growing (x BLOB);"
"""A table that takes pages and gives them back. It is empty."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A file's tables, and how it takes its room. WAL and ballast come on top of `cap_bytes`."""

    tables: str
    cap_bytes: int
    first_bytes: int
    step_bytes: int
    checkpoint_pages: int
    cache_bytes: int

    @property
    def wal_bytes(self) -> int:
        """The least length of the WAL: up to a checkpoint, and a chunk of growth on top."""
        pages = self.checkpoint_pages + _CHUNK_PAGES + _MARGIN_PAGES
        return _WAL_HEADER_BYTES + pages * _FRAME_BYTES


class DurableFile:
    """The one writer's side. Raises sqlite3.OperationalError or OSError for a disk that refuses, and any other
    sqlite3.DatabaseError for a damaged file.
    """

    def __init__(self, path: Path | None, shape: Shape, *, look: Callable[[sqlite3.Connection], None] | None) -> None:
        """Open or make the file; None keeps it in memory.

        `look` is called before anything is changed, and raises sqlite3.DatabaseError when it finds damage; SQLite's own
        `quick_look` for instance. A damaged file is left as it was found, its WAL too.
        """
        self._path = path
        self._shape = shape
        self._look = look
        self._ballast = path.with_suffix(".ballast") if path else None
        self._keeper: sqlite3.Connection | None = None
        self._let_go: Callable[[], object] | None = None
        self.is_whole = path is None
        """Whether ballast and WAL are as long as they should be."""
        self._patience_count = 0
        self.had_wal = path is not None and _size_bytes(wal_of(path)) > _WAL_HEADER_BYTES
        try:
            self._open()
        except sqlite3.OperationalError as error:
            if not is_full(error) or not self._drop_ballast():
                raise
            self._open()

    def _open(self) -> None:
        self.db = sqlite3.connect(self._path or ":memory:", isolation_level=None, check_same_thread=False)
        try:
            self._set_up()
            if self._path is not None:
                self._hold(self._path)
            if self._look is not None:
                self._look(self.db)
            self.db.executescript(self._shape.tables + GROWING)
            self._take_first_room()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        # secure_delete, which some systems switch on, would write once more what is only given up.
        self.db.executescript(
            f"PRAGMA busy_timeout=10000; PRAGMA page_size={PAGE_BYTES}; PRAGMA synchronous=FULL;"
            f"PRAGMA secure_delete=OFF; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-{self._shape.cache_bytes >> 10};"
        )
        mode = self.db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != ("wal" if self._path else "memory"):
            raise OSError(f"{self._path}: no write-ahead log is possible here, only {mode!r}")
        # A reader that took its time, or one huge transaction, may have made the WAL much longer than it needs to be.
        self.db.execute(f"PRAGMA journal_size_limit={8 * self._shape.wal_bytes}")
        self.db.execute(f"PRAGMA wal_autocheckpoint={self._shape.checkpoint_pages}")

    def _hold(self, path: Path) -> None:
        """Open what is let go of last: a handle of our own, and a connection that only reads.

        The handle takes room at the file's end; POSIX would drop SQLite's locks with it if it were closed before SQLite
        is done with the file. The last connection to close would bring the WAL into the file, be it damaged or not, and
        delete it, with the room that it has on the disk; one that only reads does neither.
        """
        self._handle = os.open(path, _READ_WRITE)
        self._let_go = weakref.finalize(self, os.close, self._handle)
        self._keeper = sqlite3.connect(read_only_uri(path), uri=True, isolation_level=None, check_same_thread=False)
        self._keeper.execute("PRAGMA schema_version").fetchone()

    def close(self) -> None:
        """Let go of the file; everything in it is safe already."""
        self.db.close()
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        if self._let_go is not None:
            self._let_go()

    # Transactions.

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is durable when it ends, or did not happen."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            # The engine may have rolled back by itself; a second ROLLBACK would hide the first error.
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            with contextlib.suppress(sqlite3.OperationalError):
                self._pin()  # what it grew was undone with it
            raise

    def write(self, work: Callable[[], None]) -> None:
        """Do the work in a transaction; on a full disk give up the ballast, and do it again."""
        try:
            with self.transaction():
                work()
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            self.relieve()
            with self.transaction():
                work()

    def checkpoint(self) -> None:
        """Bring what the WAL holds into the file, as far as nobody reads it, so that the WAL begins anew."""
        self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    # Room.

    @property
    def size_bytes(self) -> int:
        """Size of the file, free pages and all."""
        return self._pages() * PAGE_BYTES

    def free_pages(self) -> int:
        """Pages that can be written without a byte more of disk."""
        free: int = self.db.execute("PRAGMA freelist_count").fetchone()[0]
        return free + max(0, self.most_pages() - self._pages())

    def most_pages(self) -> int:
        """Pages that the file may have without growing."""
        most: int = self.db.execute("PRAGMA max_page_count").fetchone()[0]
        return most

    def _pages(self) -> int:
        pages: int = self.db.execute("PRAGMA page_count").fetchone()[0]
        return pages

    def _pin(self) -> None:
        """Forbid SQLite to grow the file by itself."""
        pages = self._pages() if self._path else max(1, self._shape.cap_bytes // PAGE_BYTES)
        self.db.execute(f"PRAGMA max_page_count={pages}")

    def _take_first_room(self) -> None:
        self._pin()
        if self._path is None:
            return
        self.checkpoint()
        self._give_back()  # a power cut in the middle of growing leaves what was claimed
        first_bytes = min(self._shape.first_bytes, self._shape.cap_bytes)
        if self.size_bytes < first_bytes and not self._grow_to(first_bytes, spare_bytes=SPARE_DISK_BYTES):
            # The very first chunk is taken from a disk that is all but full, too: without it nothing can be kept.
            self._grow_to(min(first_bytes, _CHUNK_PAGES * PAGE_BYTES), spare_bytes=0)
        self.tend()

    @property
    def can_grow(self) -> bool:
        """Whether cap and disk have room for one step more."""
        step_bytes = self._shape.step_bytes
        return self._may_grow and self._free_disk_bytes() >= SPARE_DISK_BYTES + 2 * step_bytes

    @property
    def _may_grow(self) -> bool:
        return self._path is not None and self.size_bytes + self._shape.step_bytes <= self._shape.cap_bytes

    def grow(self) -> bool:
        """Take one step more, if cap and disk allow. Within a transaction too: it is undone with it."""
        if self._patience_count > 0:
            self._patience_count -= 1
            return False
        return self._may_grow and self._grow_to(self.size_bytes + self._shape.step_bytes, spare_bytes=SPARE_DISK_BYTES)

    def _grow_to(self, target_bytes: int, *, spare_bytes: int) -> bool:
        more_bytes = target_bytes - self.size_bytes
        if self._free_disk_bytes() < spare_bytes + 2 * more_bytes:  # once for the WAL, which may not be as long yet
            return False
        target_pages = target_bytes // PAGE_BYTES
        is_nested = self.db.in_transaction
        try:
            if is_nested:
                self._claim(target_pages)
                self.db.execute("DELETE FROM growing")
            else:
                self._grow_in_chunks(target_pages)
            self._pin()
        except (OSError, sqlite3.OperationalError):
            self._patience_count = _GROW_AGAIN_AFTER
            if is_nested and not self.db.in_transaction:
                raise  # the engine rolled back: what follows must not be committed without what came before
            return False
        return True

    def _grow_in_chunks(self, target_pages: int) -> None:
        """One transaction a chunk, and a checkpoint behind each, so that the WAL need not be as long as the growth."""
        try:
            while (missing_pages := target_pages - self._pages()) > _TREE_PAGES:
                self.checkpoint()
                with self.transaction():
                    self._claim(self._pages() + min(missing_pages, _CHUNK_PAGES))
            self.checkpoint()
        finally:
            self._give_back()

    def _claim(self, pages: int) -> None:
        """Take the disk's blocks first, and only then tell SQLite of the pages: no checkpoint can fail on them."""
        _append_zeros(self._handle, pages * PAGE_BYTES)
        self.db.execute(f"PRAGMA max_page_count={pages}")
        while (missing_pages := pages - self._pages() - _TREE_PAGES) > 0:
            size_bytes = min(missing_pages, 16) * (PAGE_BYTES - 4)
            self.db.execute("INSERT INTO growing VALUES (zeroblob(?))", (size_bytes,))

    def _give_back(self) -> None:
        if self.db.execute("SELECT count(*) FROM growing").fetchone()[0]:
            with self.transaction():
                self.db.execute("DELETE FROM growing")

    def tend(self) -> None:
        """Lay what was given up anew, once the disk has room again. Cheap when there is nothing to do."""
        if self.is_whole or self._path is None:
            return
        if self._patience_count > 0:
            self._patience_count -= 1
            return
        wal = wal_of(self._path)
        wanted_bytes = self._shape.wal_bytes - _size_bytes(wal) + BALLAST_BYTES
        if self._free_disk_bytes() < SPARE_DISK_BYTES + wanted_bytes:
            return
        try:
            handle = os.open(wal, _READ_WRITE)
            try:
                _append_zeros(handle, self._shape.wal_bytes)
            finally:
                os.close(handle)
            self._lay_ballast()
        except OSError:
            self._patience_count = _GROW_AGAIN_AFTER
        else:
            self.is_whole = True

    def _lay_ballast(self) -> None:
        if self._ballast is None or _size_bytes(self._ballast) >= BALLAST_BYTES:
            return
        with self._ballast.open("wb", buffering=0) as file:
            # Not zeros: a disk that compresses would set no room aside for them.
            file.write(secrets.token_bytes(BALLAST_BYTES))
            os.fsync(file.fileno())

    def _drop_ballast(self) -> bool:
        if self._ballast is None or not self._ballast.exists():
            return False
        self.is_whole = False
        with contextlib.suppress(OSError):
            self._ballast.unlink()
        return True

    def relieve(self) -> None:
        """Make room on a full disk: the ballast goes, and the WAL begins anew."""
        self._drop_ballast()
        with contextlib.suppress(sqlite3.OperationalError):
            self.checkpoint()

    def _free_disk_bytes(self) -> int:
        if self._path is None:
            return 0
        try:
            return shutil.disk_usage(self._path.parent).free
        except OSError:
            return 0


def _append_zeros(handle: int, upto_bytes: int) -> None:
    """Make the file as long as that, with blocks on the disk behind it; or leave it as it was, and raise OSError.

    SQLite takes no notice of what lies behind its last page, or its last frame.
    """
    end = was = os.lseek(handle, 0, os.SEEK_END)
    try:
        while end < upto_bytes:
            size = min(_ZEROS_BYTES, upto_bytes - end)
            if not end <= _LOCK_BYTE < end + size:
                os.lseek(handle, end, os.SEEK_SET)
                size = os.write(handle, bytes(size))
            end += size
        if end > was:
            os.fsync(handle)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, was)
        raise


def quick_look(db: sqlite3.Connection) -> None:
    """Let SQLite look at every page and how they hang together. Raises sqlite3.DatabaseError."""
    if (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(found)


def is_full(error: sqlite3.OperationalError) -> bool:
    """Whether an error of SQLite's means that the disk, or the file up to its cap, has no room."""
    return getattr(error, "sqlite_errorcode", None) in _FULL


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is not what was written, or cannot be read: not that the disk refuses."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # said by ourselves, or by Python of a text that it cannot decode
        return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError)
    return code & 0xFF in _CORRUPT or code in _UNREADABLE


def wal_of(path: Path) -> Path:
    """Where SQLite keeps the write-ahead log of a file."""
    return path.with_name(path.name + "-wal")


def read_only_uri(path: Path, *, immutable: bool = False) -> str:
    """What opens the file for reading only; `immutable` without its WAL, as it was at the last checkpoint."""
    return path.absolute().as_uri() + ("?immutable=1" if immutable else "?mode=ro")


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
