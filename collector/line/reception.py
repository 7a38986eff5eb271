"""Keeps count of what has come from each agent: what is new, what is missing, how far to acknowledge. Sans-IO."""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

from contract.batch import Batch


class Received(NamedTuple):
    """What a batch brought: its records that are no repeats, and the stretches (first, last) that are lost for good."""

    new: tuple[int, ...]
    lost: tuple[tuple[int, int], ...]


class Reception:
    """One epoch of one agent. `upto` never passes a number silently: it is kept, or the agent declared it lost."""

    def __init__(self, upto: int = 0, ahead: Iterable[int] = ()) -> None:
        self.upto = upto
        self._ahead = set(ahead)
        self._advance()

    def receive(self, batch: Batch) -> Received:
        """Take a batch's numbers in. Call only for what is then committed to the journal."""
        lost = self._pass_to(batch.low - 1)
        numbers = range(batch.first, batch.last + 1)
        new = tuple(seq for seq in numbers if seq > self.upto and seq not in self._ahead)
        self._ahead.update(new)
        self._advance()
        return Received(new, lost)

    def _pass_to(self, upto: int) -> tuple[tuple[int, int], ...]:
        """Below the low-water mark nothing can come any more; what came ahead of it is not lost."""
        if upto <= self.upto:
            return ()
        came = sorted(seq for seq in self._ahead if seq <= upto)
        self._ahead.difference_update(came)
        edges = [self.upto, *came, upto + 1]
        self.upto = upto
        return tuple((before + 1, after - 1) for before, after in itertools.pairwise(edges) if after - before > 1)

    @property
    def missing_count(self) -> int:
        """How many numbers below the highest that came are still to come."""
        return max(self._ahead) - self.upto - len(self._ahead) if self._ahead else 0

    def _advance(self) -> None:
        while self.upto + 1 in self._ahead:
            self.upto += 1
            self._ahead.discard(self.upto)
