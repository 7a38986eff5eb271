"""Puts a damaged SQLite file aside and takes out of it what can still be read."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from contract.durable_file import GROWING, PAGE_BYTES, read_only_uri, wal_of

_FAILURES_MAX_COUNT: Final = 5000
_ROWS_AT_ONCE: Final = 1000
_PAGE_COUNT_AT: Final = slice(28, 32)  # of the first page (SQLite's file format, 1.3)
_FREE_PAGES_AT: Final = slice(32, 40)


def move_aside(path: Path, wall_s: float) -> Path:
    """Rename the file and its WAL, and give the new name; what was put aside before goes. Raises OSError."""
    aside = path.with_name(f"{path.stem}-damaged-{int(wall_s)}{path.suffix}")
    for older in path.parent.glob(f"{path.stem}-damaged-*{path.suffix}*"):
        older.unlink()
    path.replace(aside)
    if wal_of(path).exists():
        wal_of(path).replace(wal_of(aside))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    return aside


def ways_in(path: Path) -> Iterator[sqlite3.Connection]:
    """Connections that change nothing, each of which may show what the others do not.

    First without the WAL, which may be another file's; then with it.
    """
    for uri in (read_only_uri(path, immutable=True), read_only_uri(path)):
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
            yield db


def rows_between(db: sqlite3.Connection, query: str, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """The rows whose key lies between two numbers, but for those on pages that cannot be read.

    The query has three parameters - least key, greatest key, how many rows - and the key as its first column, rising.
    """
    stretches = [(first, last)]
    failures_count = 0
    while stretches:
        low, high = stretches.pop()
        try:
            found = db.execute(query, (low, high, _ROWS_AT_ONCE)).fetchall()
        except sqlite3.DatabaseError:
            failures_count += 1
            if low < high and failures_count < _FAILURES_MAX_COUNT:
                middle = (low + high) // 2
                stretches += [(middle + 1, high), (low, middle)]
            continue
        yield from found
        if len(found) == _ROWS_AT_ONCE and found[-1][0] < high:
            stretches.append((found[-1][0] + 1, high))


def replace_first_page(path: Path, tables: str) -> None:
    """Give a file whose first page is beyond reading that of a new file with the same tables. Raises OSError.

    Tables made by the same statements begin on the same pages in every file, and the first page says on which.
    """
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.executescript(f"PRAGMA page_size={PAGE_BYTES};" + tables + GROWING)
        page = bytearray(db.serialize()[:PAGE_BYTES])
    page[_PAGE_COUNT_AT] = (path.stat().st_size // PAGE_BYTES).to_bytes(4, "big")
    page[_FREE_PAGES_AT] = bytes(8)
    with path.open("r+b") as file:
        file.write(page)
