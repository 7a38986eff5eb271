"""Copies everything that cannot be made again into one file, while the program runs, and puts it back."""

import contextlib
import gzip
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from collector.media.reflector import SECRET_NAME
from collector.storage.recovery import restored_mark

DATABASES: Final = ("journal.db", "collector.db", "series.db")
AUTHORITY: Final = "authority"
SECRET: Final = SECRET_NAME
_ALL: Final = (*DATABASES, AUTHORITY, SECRET)
_CHUNK_BYTES: Final = 1 << 20


class BackupError(Exception):
    """A backup cannot be made or put back: catalogue code and facts."""

    def __init__(self, code: str, **facts: object) -> None:
        super().__init__(code, facts)
        self.code = code
        self.facts: Mapping[str, object] = facts


def back_up(folder: Path, file: Path, *, secret: Path | None = None) -> None:
    """Write a .tar.gz of the databases, each a consistent copy by SQLite's own backup, of the authority's keys, and of
    the reflector's secret, which lies at `secret` (in the folder, unless told otherwise).

    The file is made whole under another name first, readable by its owner only: it holds the keys. Raises BackupError,
    also for a folder without any data: an empty backup would be found out on the day when it is needed.
    """
    if not any((folder / name).exists() for name in DATABASES):
        raise BackupError("operator.backup_nothing", folder=folder)
    draft = file.with_name(file.name + ".draft")
    try:
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        _write(folder, draft, secret or folder / SECRET)
        draft.replace(file)
    except (OSError, sqlite3.Error, tarfile.TarError) as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise BackupError("operator.backup_failed", file=file, reason=error) from error


def _write(folder: Path, draft: Path, secret: Path) -> None:
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
        if secret.exists():
            archive.add(secret.resolve(), SECRET, filter=_for_its_owner)


def _for_its_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode = 0o600
    return member


def restore(file: Path, folder: Path) -> None:
    """Unpack a backup into a data folder that holds no data yet. Raises BackupError."""
    if any((folder / name).exists() for name in _ALL):
        raise BackupError("operator.restore_not_empty", folder=folder)
    try:
        _look_through(file)
        with tarfile.open(file, "r:gz") as archive:
            names = set(archive.getnames())
            if "collector.db" not in names:
                raise BackupError("operator.restore_bad", file=file, reason="collector.db is not in it")
            folder.mkdir(parents=True, exist_ok=True)
            archive.extractall(folder, filter="data")
        restored_mark(folder / "journal.db").touch()
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise BackupError("operator.restore_bad", file=file, reason=error) from error


def _look_through(file: Path) -> None:
    """Read it to its end, where its checksum is: nothing of a spoilt one may be unpacked. Raises what gzip does."""
    with gzip.open(file) as stream:
        while stream.read(_CHUNK_BYTES):
            pass
