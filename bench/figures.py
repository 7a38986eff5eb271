"""What a benchmark found: rows of ours beside a peer's, each with least, median and most over its rounds."""

import statistics
from collections.abc import Sequence

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """Least, median and most of several rounds."""

    least: float
    median: float
    most: float

    def __str__(self) -> str:
        if plain(self.least) == plain(self.most):
            return plain(self.median)
        return f"{plain(self.median)} ({plain(self.least)} to {plain(self.most)})"


def spread(rounds: Sequence[float]) -> Spread:
    """The spread of at least one round."""
    return Spread(min(rounds), statistics.median(rounds), max(rounds))


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One thing measured, with its unit, in each round: ours, and a peer's if it has one.

    Rounds of the same place ran at the same time or in turn, so the ratio is taken round by round.
    """

    what: str
    unit: str
    ours: tuple[float, ...]
    peer: str = ""
    theirs: tuple[float, ...] = ()

    @property
    def ratio(self) -> Spread | None:
        """Ours by theirs: below 1 we need less."""
        pairs = list(zip(self.ours, self.theirs, strict=False))
        if not pairs or any(theirs <= 0 for _, theirs in pairs):
            return None
        return spread([ours / theirs for ours, theirs in pairs])


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one benchmark found, and sentences about how it was found."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much work a run does: `minutes` of real time where a benchmark needs it, `rounds` and `rooms` elsewhere."""

    rounds: int = 5
    minutes: int = 5
    rooms: int = 500


def plain(number: float) -> str:
    """A number with three digits, and commas in a large one.

    >>> plain(0.012345), plain(1.5), plain(33618.2)
    ('0.0123', '1.5', '33,618')
    """
    if number == 0:
        return "0"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{float(f'{number:.3g}'):g}"  # noqa: PLR2004 - three digits


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table that reads well on a terminal too."""
    head = ("measured", "unit", "ours", "peer", "theirs", "ours / theirs")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    drawn = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    drawn.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(drawn)


def _cells(row: Row) -> tuple[str, ...]:
    theirs = str(spread(row.theirs)) if row.theirs else ""
    ratio = str(row.ratio) if row.ratio else ""
    return (row.what, row.unit, str(spread(row.ours)), row.peer, theirs, ratio)
