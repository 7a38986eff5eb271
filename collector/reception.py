"""Keeps count of what has come from each agent: what is new, what is missing, how far to acknowledge. Sans-IO."""

from collections.abc import Iterable
from typing import NamedTuple

from contract.batch import Batch


class Received(NamedTuple):
    """What a batch brought: its records that are not repeats, and a stretch the agent declared lost, if any."""

    new: tuple[int, ...]
    lost: tuple[int, int] | None


class Reception:
    """One epoch of one agent. `upto` never passes a number silently: it is kept, or the agent declared it lost."""

    def __init__(self, upto: int = 0, ahead: Iterable[int] = ()) -> None:
        self.upto = upto
        self._ahead = set(ahead)
        self._advance()

    def receive(self, batch: Batch) -> Received:
        """Take a batch's numbers in. Call only for what is then committed to the journal."""
        lost = None
        if batch.low > self.upto + 1:
            # Below the low-water mark nothing can come any more. What came ahead of it is not lost.
            first, last = self.upto + 1, batch.low - 1
            while first in self._ahead:
                first += 1
            while last in self._ahead:
                last -= 1
            lost = (first, last) if first <= last else None
            self.upto = batch.low - 1
            self._ahead = {seq for seq in self._ahead if seq > self.upto}
        numbers = range(batch.first, batch.last + 1)
        new = tuple(seq for seq in numbers if seq > self.upto and seq not in self._ahead)
        self._ahead.update(new)
        self._advance()
        return Received(new, lost)

    def _advance(self) -> None:
        while self.upto + 1 in self._ahead:
            self.upto += 1
            self._ahead.discard(self.upto)
