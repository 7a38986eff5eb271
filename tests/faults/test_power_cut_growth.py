"""A file that grows when the power goes: no row is lost, and no page of it."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from contract.durable_file import DurableFile, Shape, quick_look
from tests.support.power_cut import HOW_MANY, Recording, TryCuts, told
from tests.support.reliability import Seen

SHAPE: Final = Shape(
    tables="CREATE TABLE IF NOT EXISTS row (number INTEGER PRIMARY KEY, body BLOB);",
    cap_bytes=8 << 20,
    first_bytes=256 << 10,
    step_bytes=1280 << 10,  # more than one chunk
    checkpoint_pages=32,
    cache_bytes=512 << 10,
)
WORK: Final = """
import os, sys
from pathlib import Path
from contract.durable_file import DurableFile, quick_look
from tests.faults.test_power_cut_growth import SHAPE, body_of
folder, marks = sys.argv[1:]
file = DurableFile(Path(folder) / "rows.db", SHAPE, look=quick_look)
handle = os.open(marks, os.O_WRONLY | os.O_APPEND)
for number in range(1, 121):
    if number == 40:
        assert file.grow()
    with file.transaction():
        if number == 80:
            assert file.grow()
        file.db.execute("INSERT INTO row VALUES (?, ?)", (number, body_of(number)))
    os.write(handle, f"{number}\\n".encode())
"""


def body_of(number: int) -> bytes:
    return number.to_bytes(2, "big") * 1000


def faults_of(folder: Path, marks: list[str]) -> Iterator[str]:
    committed = int(marks[-1]) if marks else 0
    try:
        with contextlib.closing(DurableFile(folder / "rows.db", SHAPE, look=quick_look)) as file:
            found = file.db.execute("PRAGMA integrity_check").fetchone()[0]
            if found != "ok":
                yield f"damaged: {found}"
            held = dict(file.db.execute("SELECT number, body FROM row"))
            if len(held) not in (committed, committed + 1):
                yield f"lost: {len(held)} rows after {committed} were committed"
            if held != {number: body_of(number) for number in range(1, len(held) + 1)}:
                yield "changed"
            if file.db.execute("SELECT count(*) FROM growing").fetchone()[0]:
                yield "holds on to what it took to grow"
    except sqlite3.DatabaseError as error:
        yield f"damaged: {error}"


@pytest.mark.parametrize("states", HOW_MANY)
def test_a_file_that_was_growing_lost_nothing(states: int, tmp_path: Path, try_cuts: TryCuts, seen: Seen) -> None:
    disk = Recording(tmp_path / "disk", tmp_path / "marks")
    disk.add(WORK)
    faults = try_cuts(disk, faults_of, states)
    seen(told("a growing file", states, faults))
    assert faults == []
