"""The agent's disk: a model of the spool in memory, and the real one, both of which can be cut, frozen and filled.

Whatever an operation returned from is durable, in either. A disk that lies about it comes back a few writes older.
"""

import contextlib
import copy
import random
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from contract.reading import Record
from contract.spool import Spool, SpoolFull, SpoolLimits

_ROW_BYTES = 150
_READING_BYTES = 40
_DROP_AT_ONCE = 16
_KEEP_ACKED_S = 7 * 86400.0
_LIES_BACK = 12


class EpochRows(Protocol):
    """One epoch, as the simulation looks at it."""

    @property
    def epoch(self) -> str: ...
    @property
    def low(self) -> int: ...
    @property
    def next_seq(self) -> int: ...
    @property
    def acked_upto(self) -> int: ...
    @property
    def made_count(self) -> int: ...
    @property
    def dropped_count(self) -> int: ...
    def read(self, first: int, *, max_count: int, max_bytes: int) -> list[tuple[int, Record]]: ...
    def acknowledge(self, upto: int, *, mono_s: float) -> None: ...


class AnySpool(Protocol):
    """A spool, real or modelled."""

    @property
    def epochs(self) -> Sequence[EpochRows]: ...
    def put(self, record: Record, *, mono_s: float) -> int: ...


class AgentDisk(Protocol):
    """What a PC keeps while it is off. `is_full` refuses everything that is to be written."""

    is_full: bool

    def open(self, *, boot: str, mono_s: float) -> AnySpool: ...
    def kill(self) -> None:
        """The process is gone; what it was writing did not happen."""
        ...

    def lie(self) -> None:
        """The power went, and the last writes had never reached the disk."""
        ...

    def freeze(self) -> None:
        """Remember how it is, for `thaw`."""
        ...

    def thaw(self) -> None:
        """Be again as it was when it was frozen."""
        ...


class MemoryEpoch:
    """One epoch of a `MemorySpool`."""

    def __init__(self, spool: "MemorySpool", epoch: str) -> None:
        self._spool = spool
        self.epoch = epoch
        self.next_seq = 1
        self.acked_upto = 0
        self.made_count = 0
        self.dropped_count = 0
        self.rows: dict[int, tuple[float, int, Record]] = {}

    @property
    def low(self) -> int:
        return next(iter(self.rows), self.next_seq)

    def read(self, first: int, *, max_count: int, max_bytes: int) -> list[tuple[int, Record]]:
        taken: list[tuple[int, Record]] = []
        size = 0
        for seq in range(max(first, self.low), self.next_seq):
            _, row_bytes, record = self.rows[seq]
            size += row_bytes
            if len(taken) == max_count or (taken and size > max_bytes):
                break
            taken.append((seq, record))
        return taken

    def acknowledge(self, upto: int, *, mono_s: float) -> None:
        self._spool.acknowledge(self, upto, mono_s)


class MemorySpool:
    """What contract/spool.py promises, in as few words as possible."""

    def __init__(self, limits: SpoolLimits, *, keeps_epoch: bool = False) -> None:
        """With `keeps_epoch` it does what the real one must not: go on with its epoch in another boot."""
        self._limits = limits
        self._keeps_epoch = keeps_epoch
        self.epochs: list[MemoryEpoch] = []
        self.is_full = False
        self.used_bytes = 0
        self._life_s = 0.0
        self._life_at_open_s = 0.0
        self._opened_mono_s = 0.0
        self.on_durable: Callable[[], None] = lambda: None

    def open(self, boot: str, mono_s: float, name: str) -> None:
        self._life_at_open_s, self._opened_mono_s = self._life_s, mono_s
        newest = self.epochs[-1].rows.get(self.epochs[-1].next_seq - 1) if self.epochs else None
        taken = newest[2].taken if newest else None
        is_of_boot = taken is not None and taken.boot == boot and taken.mono_s <= mono_s
        if not is_of_boot and not (self._keeps_epoch and self.epochs):
            self.epochs.append(MemoryEpoch(self, name))
        self._forget_empty()
        self.on_durable()

    def put(self, record: Record, *, mono_s: float) -> int:
        if self.is_full:
            raise SpoolFull("the disk is full")
        life_s = self._grow_older(mono_s)
        size = _ROW_BYTES + _READING_BYTES * len(record.readings)
        self._drop_older_than(life_s - self._limits.max_age_s, only_acked=False)
        while self.used_bytes + size > self._limits.max_bytes and self._drop_oldest():
            pass
        present = self.epochs[-1]
        seq = present.next_seq
        present.rows[seq] = (life_s, size, record)
        present.next_seq += 1
        present.made_count += len(record.readings)
        self.used_bytes += size
        self.on_durable()
        return seq

    def acknowledge(self, epoch: MemoryEpoch, upto: int, mono_s: float) -> None:
        epoch.acked_upto = min(upto, epoch.next_seq - 1)
        self._drop_older_than(self._grow_older(mono_s) - _KEEP_ACKED_S, only_acked=True)
        while self.used_bytes > self._limits.max_bytes // 2 and any(one.low <= one.acked_upto for one in self.epochs):
            self._drop_oldest()
        self.on_durable()

    def _grow_older(self, mono_s: float) -> float:
        self._life_s = self._life_at_open_s + max(0.0, mono_s - self._opened_mono_s)
        return self._life_s

    def _drop_older_than(self, life_s: float, *, only_acked: bool) -> None:
        for epoch in list(self.epochs):
            last = epoch.next_seq - 1
            is_present = epoch is self.epochs[-1]
            upto = epoch.acked_upto if only_acked else last if is_present or epoch.acked_upto == last else last - 1
            for seq in list(epoch.rows):
                if seq > upto:
                    break
                if epoch.rows[seq][0] >= life_s:
                    return
                self._drop(epoch, seq)

    def _drop_oldest(self) -> bool:
        for epoch in self.epochs:
            if epoch.low <= epoch.acked_upto:
                return self._drop_some(epoch, epoch.acked_upto)
        for spared_count in (1, 0):
            for epoch in self.epochs:
                if epoch.low <= epoch.next_seq - 1 - spared_count:
                    return self._drop_some(epoch, epoch.next_seq - 1 - spared_count)
        return False

    def _drop_some(self, epoch: MemoryEpoch, upto: int) -> bool:
        for seq in range(epoch.low, min(upto, epoch.low + _DROP_AT_ONCE - 1) + 1):
            self._drop(epoch, seq)
        return True

    def _drop(self, epoch: MemoryEpoch, seq: int) -> None:
        _, size, record = epoch.rows.pop(seq)
        self.used_bytes -= size
        if seq > epoch.acked_upto:
            epoch.dropped_count += len(record.readings)
        self._forget_empty()

    def _forget_empty(self) -> None:
        self.epochs = [epoch for epoch in self.epochs if epoch.rows or epoch is self.epochs[-1]]

    def copy(self) -> "MemorySpool":
        """As a disk holds it: records are never changed, so they are shared."""
        twin = copy.copy(self)
        twin.epochs = []
        for epoch in self.epochs:
            one = copy.copy(epoch)
            one.rows, one._spool = dict(epoch.rows), twin
            twin.epochs.append(one)
        return twin


class MemoryDisk:
    """A disk that holds a `MemorySpool`."""

    def __init__(self, limits: SpoolLimits, chance: random.Random, *, may_lie: bool, keeps_epoch: bool = False) -> None:
        self._chance = chance
        self._may_lie = may_lie
        self._spool = MemorySpool(limits, keeps_epoch=keeps_epoch)
        self._past: deque[MemorySpool] = deque(maxlen=_LIES_BACK)
        self._frozen: MemorySpool | None = None

    @property
    def is_full(self) -> bool:
        return self._spool.is_full

    @is_full.setter
    def is_full(self, value: bool) -> None:
        self._spool.is_full = value

    def open(self, *, boot: str, mono_s: float) -> MemorySpool:
        self._spool.on_durable = self._remember if self._may_lie else lambda: None
        self._spool.open(boot, mono_s, f"{self._chance.getrandbits(64):016x}")
        return self._spool

    def _remember(self) -> None:
        self._past.append(self._spool.copy())

    def kill(self) -> None:
        self._spool = self._spool.copy()  # so that a process that is gone, and goes on, would be noticed

    def lie(self) -> None:
        if self._past:
            self._spool = self._chance.choice(self._past).copy()
            self._past.clear()

    def freeze(self) -> None:
        self._frozen = self._spool.copy()

    def thaw(self) -> None:
        if self._frozen is not None:
            self._spool = self._frozen.copy()
            self._past.clear()


class SqliteDisk:
    """A folder that holds the real `Spool`. A kill leaves the files as they are, and the connection behind."""

    def __init__(self, folder: Path, limits: SpoolLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._life = 0
        self._spool: Spool | None = None
        self._now().mkdir(parents=True)
        self.is_full = False

    def _now(self) -> Path:
        return self._folder / f"life-{self._life}"

    def open(self, *, boot: str, mono_s: float) -> Spool:
        self._spool = Spool(self._now() / "spool.db", self._limits, boot=boot, mono_s=mono_s)
        return self._spool

    def kill(self) -> None:
        before, self._life = self._now(), self._life + 1
        _copy(before, self._now())
        if self._spool is not None:
            self._spool._file.close()  # not the spool: that would tidy up first
        self._spool = None
        shutil.rmtree(before)

    def lie(self) -> None:
        """The real one does not; what it would mean is shown by the model."""

    def freeze(self) -> None:
        shutil.rmtree(self._folder / "frozen", ignore_errors=True)
        _copy(self._now(), self._folder / "frozen")

    def thaw(self) -> None:
        if (self._folder / "frozen").exists():
            shutil.rmtree(self._now())
            _copy(self._folder / "frozen", self._now())

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()
        with contextlib.suppress(OSError):
            shutil.rmtree(self._folder)


def _copy(source: Path, target: Path) -> None:
    """As a disk holds it: without the shared memory that the processes had."""
    target.mkdir()
    for file in source.iterdir():
        if not file.name.endswith("-shm"):
            shutil.copyfile(file, target / file.name)
