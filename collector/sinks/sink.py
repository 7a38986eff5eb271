"""What a sink is: the place to which one feeder writes samples."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from collector.sample import Sample


class Refused(NamedTuple):
    """Something that will never be stored: what it was, and why, in the words of whoever refused it."""

    line: str
    why: str


class Written(NamedTuple):
    """What became of the samples of one write."""

    written_count: int
    refused: tuple[Refused, ...] = ()


class SinkDown(Exception):
    """Nothing can be stored now; what was tried, where, and what came back. Trying again later is right."""


class Sink(Protocol):
    """Stores samples, a repeat changing nothing. Used by one thread, its feeder's; a write may block for long.

    `settle_s` is how long after a write a crash of the database can still lose it: 0 when a write that returned is
    on disk.
    """

    name: str
    settle_s: float

    def fed_id(self) -> int | None:
        """How far the journal is stored, by the sink's own account; None when it keeps none. Raises SinkDown."""
        ...

    def write(self, samples: Sequence[Sample], fed_id: int) -> Written:
        """Store the samples, which bring the sink up to `fed_id` of the journal, or raise SinkDown.

        A sink that keeps an account of its own changes it in the same transaction.
        """
        ...

    def run_mark(self) -> str:
        """What changes when the database is started anew; empty when it does not tell. Raises SinkDown."""
        ...

    def tidy(self, now_s: float) -> None:
        """A small step of housekeeping, about once a second; `now_s` is the wall time. Raises SinkDown."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...
