"""Whether a room is ready, and why not: the words of every judgement."""

import enum
from collections.abc import Iterable

import msgspec


class Level(enum.IntEnum):
    """Whether the next lesson will work. The numbers are published (time series, exit codes); they are not the order.

    From best to worst: FIT, DEGRADED, UNKNOWN, UNFIT. Unknown is never green, and a known failure outranks it.
    """

    FIT = 0
    DEGRADED = 1
    UNFIT = 2
    UNKNOWN = 3

    @property
    def severity(self) -> int:
        """Rank from best (0) to worst (3)."""
        return _FROM_BEST.index(self)


_FROM_BEST = (Level.FIT, Level.DEGRADED, Level.UNKNOWN, Level.UNFIT)


def worst(levels: Iterable[Level]) -> Level:
    """The worst of the levels; UNKNOWN when there are none, since no news is not good news."""
    return max(levels, key=lambda level: level.severity, default=Level.UNKNOWN)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One reason. `code` finds its sentence and its next action in the catalogue (`finding.<code>`, `action.<code>`).

    `value` names what was measured, with its unit; `measured` and `needed` are in that unit, and None when the
    reason is not a number (a device that does not answer). `note` is what was said of it, as it came, if anything.
    """

    code: str
    level: Level
    target: str
    since_s: float
    value: str = ""
    measured: float | None = None
    needed: float | None = None
    note: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of one room at `judged_s` (Unix seconds). At most three findings, the worst first."""

    room: str
    level: Level
    findings: tuple[Finding, ...]
    since_s: float
    judged_s: float
    profile: str
