"""Copies everything that cannot be made again into one file, while the program runs, and puts it back."""

import contextlib
import sqlite3
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

DATABASES: Final = ("journal.db", "collector.db", "series.db")
AUTHORITY: Final = "authority"


class BackupError(Exception):
    """A backup cannot be made or put back: catalogue code and facts."""

    def __init__(self, code: str, **facts: object) -> None:
        super().__init__(code, facts)
        self.code = code
        self.facts: Mapping[str, object] = facts


def back_up(folder: Path, file: Path) -> None:
    """Write a .tar.gz of the databases, each a consistent copy by SQLite's own backup, and of the authority's keys.

    The file is made whole under another name first, readable by its owner only: it holds the keys.
    """
    draft = file.with_name(file.name + ".draft")
    draft.touch(mode=0o600)
    with tempfile.TemporaryDirectory(prefix="sansang-") as scratch, tarfile.open(draft, "w:gz") as archive:
        for name in DATABASES:
            if (folder / name).exists():
                copy = Path(scratch) / name
                with (
                    contextlib.closing(sqlite3.connect(f"file:{folder / name}?mode=ro", uri=True)) as source,
                    contextlib.closing(sqlite3.connect(copy)) as target,
                ):
                    source.backup(target)
                archive.add(copy, name)
        if (folder / AUTHORITY).exists():
            archive.add(folder / AUTHORITY, AUTHORITY)
    draft.replace(file)


def restore(file: Path, folder: Path) -> None:
    """Unpack a backup into a data folder that holds no data yet. Raises BackupError."""
    if any((folder / name).exists() for name in (*DATABASES, AUTHORITY)):
        raise BackupError("operator.restore_not_empty", folder=folder)
    try:
        with tarfile.open(file, "r:gz") as archive:
            names = set(archive.getnames())
            if "collector.db" not in names:
                raise BackupError("operator.restore_bad", file=file, reason="collector.db is not in it")
            folder.mkdir(parents=True, exist_ok=True)
            archive.extractall(folder, filter="data")
    except (OSError, tarfile.TarError, EOFError) as error:
        raise BackupError("operator.restore_bad", file=file, reason=error) from error
