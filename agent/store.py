"""Keeps readings wherever it can: in the spool on disk, in memory while the disk refuses, in a new one after damage."""

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from contract.durable_file import is_damage
from contract.moment import Moment
from contract.reading import Record
from contract.salvage import move_aside
from contract.spool import RecordTooLarge, Salvaged, Spool, SpoolFull, SpoolLimits, salvage

log = logging.getLogger(__name__)

MEMORY_BYTES: Final = 8 << 20
"""What readings may take in memory: days of them, and no burden for a PC."""
TRY_AGAIN_S: Final = 60.0


class Store:
    """One spool at a time, `spool`. One thread.

    `on_change` is told when it has become another one: what is not acknowledged has been brought along, with new
    numbers, and is sent from there.
    """

    def __init__(self, path: Path, limits: SpoolLimits, now: Moment, on_change: Callable[[Spool], None]) -> None:
        self._path = path
        self._limits = limits
        self._on_change = on_change
        self._tried_mono_s = now.mono_s
        self._loses = False
        try:
            self.spool = self._open(now)
        except (sqlite3.DatabaseError, SpoolFull, OSError) as error:
            self.spool = self._without_disk(error, now)

    def _open(self, now: Moment) -> Spool:
        """The spool on disk; for a damaged one a new one with all that could be saved."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._open_file(now)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return self._replace(error, now)

    def _open_file(self, now: Moment) -> Spool:
        return Spool(self._path, self._limits, boot=now.boot, mono_s=now.mono_s)

    def _replace(self, error: Exception, now: Moment) -> Spool:
        aside = move_aside(self._path, now.wall_s)
        log.error("%s is damaged (%s): moved aside as %s, a new one begins", self._path, error, aside.name)
        try:
            found = salvage(aside)
        except (sqlite3.DatabaseError, OSError) as unreadable:
            log.error("nothing could be saved of %s: %s", aside, unreadable)  # noqa: TRY400 - a disk's state
            found = Salvaged([], None)
        lost = "an unknown number" if found.lost_count is None else found.lost_count
        log.warning("saved %d unsent records of it, lost %s of their readings", len(found.bodies), lost)
        try:
            return _filled(self._open_file(now), found, now)
        except (sqlite3.DatabaseError, SpoolFull, OSError) as refused:
            return _filled(self._without_disk(refused, now), found, now)

    def _without_disk(self, error: Exception, now: Moment) -> Spool:
        log.error("%s cannot be used (%s): readings are kept in memory until it can", self._path, error)
        self._tried_mono_s = now.mono_s
        limits = msgspec.structs.replace(self._limits, max_bytes=min(self._limits.max_bytes, MEMORY_BYTES))
        return Spool(None, limits, boot=now.boot, mono_s=now.mono_s)

    @property
    def is_in_memory(self) -> bool:
        """Whether the disk refuses at present."""
        return self.spool.is_in_memory

    def put(self, record: Record, now: Moment) -> None:
        """Keep a record as safely as is possible now; one that cannot be kept at all is counted as given up."""
        if self.is_in_memory and now.mono_s - self._tried_mono_s >= TRY_AGAIN_S:
            self._return_to_disk(now)
        try:
            self._put(record, now)
        except (SpoolFull, sqlite3.DatabaseError) as error:
            self.spool.give_up(len(record.readings))
            if not self._loses:
                log.error("readings are lost: %s", error)  # noqa: TRY400 - a disk's state
            self._loses = True
        else:
            if self._loses:
                log.info("readings are kept again")
            self._loses = False

    def _put(self, record: Record, now: Moment) -> None:
        try:
            self.spool.put(record, mono_s=now.mono_s)
        except RecordTooLarge:
            raise
        except (SpoolFull, sqlite3.DatabaseError) as error:
            self.mend(error, now)
            self.spool.put(record, mono_s=now.mono_s)

    def mend(self, error: Exception, now: Moment) -> None:
        """Go on with another spool: this one could not be read or written, and said `error`."""
        self.spool.abandon()
        try:
            if self.is_in_memory or not (isinstance(error, sqlite3.Error) and is_damage(error)):
                spool = self._without_disk(error, now)
            else:
                spool = self._replace(error, now)
        except (sqlite3.DatabaseError, SpoolFull, OSError) as refused:
            spool = self._without_disk(refused, now)
        self._change(spool)

    def _return_to_disk(self, now: Moment) -> None:
        """Take everything from memory to the disk, if it can be used again."""
        self._tried_mono_s = now.mono_s
        try:
            spool = self._open(now)
        except (sqlite3.DatabaseError, SpoolFull, OSError) as error:
            log.debug("%s still cannot be used: %s", self._path, error)
            return
        try:
            spool.take_over(self.spool.waiting(), mono_s=now.mono_s)
            spool.give_up(self.spool.dropped_count)
        except (sqlite3.DatabaseError, SpoolFull) as error:
            log.debug("%s still cannot be used: %s", self._path, error)
            spool.abandon()
            return
        if not spool.is_in_memory:
            log.info("%s can be used again", self._path)
        self.spool.close()
        self._change(spool)

    def _change(self, spool: Spool) -> None:
        self.spool = spool
        self._on_change(spool)

    def close(self, now: Moment) -> None:
        """Let go of the disk; what is in memory gets a last chance to come there."""
        if self.is_in_memory:
            self._return_to_disk(now)
        self.spool.close()


def _filled(spool: Spool, found: Salvaged, now: Moment) -> Spool:
    """The spool with what was saved of another."""
    try:
        spool.take_over(found.records(), mono_s=now.mono_s)
    except BaseException:
        spool.abandon()
        raise
    spool.give_up(found.lost_count or 0)
    return spool
