"""Decides what may still cross the school's line today. Pure: counts by day, and gives up the least needful first.

Of the day's bytes, tests (bandwidth, bursts) may use what lies below 70 %, backlog below 85 %, probes of the world
outside below 95 %, and live telemetry all of it. What is given up is not measured and not sent until the day ends;
what the agent measures inside the school goes on, and waits in the spool.
"""

import datetime as dt
import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

import msgspec


class Use(enum.StrEnum):
    """What bytes are for, the first to be given up first."""

    TESTS = "tests"
    BACKLOG = "backlog"
    PROBES = "probes"
    TELEMETRY = "telemetry"


STOPS_AT: Final[Mapping[Use, float]] = MappingProxyType(
    {Use.TESTS: 0.70, Use.BACKLOG: 0.85, Use.PROBES: 0.95, Use.TELEMETRY: 1.0}
)
"""The share of the day's bytes at which each use ends."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What one day has cost so far, as it is kept on disk. Backlog travels with telemetry and counts there."""

    day: str = ""
    telemetry_bytes: int = 0
    probes_bytes: int = 0
    tests_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """Everything."""
        return self.telemetry_bytes + self.probes_bytes + self.tests_bytes


class Budget:
    """One agent's bytes of one day. Times are Unix seconds by the collector's reckoning, None before it is known.

    By the PC's own clock, which may fall back with each power cut, every start would be another day.
    """

    def __init__(self, spent: Spent = Spent()) -> None:  # noqa: B008 - frozen
        self.spent = spent
        self.limit_bytes: int | None = None
        """None while no plan sets one: then nothing is given up, and all is counted."""
        self.zone: ZoneInfo | None = None

    def count(self, use: Use, wire_bytes: int, now_s: float | None) -> None:
        """So many bytes have crossed the line."""
        self._turn_page(now_s)
        name = "telemetry_bytes" if use is Use.BACKLOG else f"{use}_bytes"
        self.spent = msgspec.structs.replace(self.spent, **{name: getattr(self.spent, name) + wire_bytes})

    def allows(self, use: Use, now_s: float | None, *, cost_bytes: int = 0) -> bool:
        """Whether something of about this cost may still be done today."""
        self._turn_page(now_s)
        if self.limit_bytes is None or (now_s is None and use is Use.TELEMETRY):
            return True  # an agent that said nothing would never learn that it is another day
        return self.spent.total_bytes + cost_bytes <= STOPS_AT[use] * self.limit_bytes

    def used_ratio(self, now_s: float | None) -> float | None:
        """The share of the day's bytes that is gone; None without a limit."""
        self._turn_page(now_s)
        return None if not self.limit_bytes else self.spent.total_bytes / self.limit_bytes

    def tomorrow_s(self, now_s: float) -> float:
        """When the day ends."""
        zone = self.zone or dt.UTC
        today = dt.datetime.fromtimestamp(now_s, zone).date()
        return dt.datetime.combine(today + dt.timedelta(days=1), dt.time(), zone).timestamp()

    def _turn_page(self, now_s: float | None) -> None:
        """A new day begins with nothing spent. One that lies before is a clock set right, and begins none; while
        nobody knows the day (None) it is the same one still.
        """
        if now_s is None:
            return
        day = dt.datetime.fromtimestamp(now_s, self.zone or dt.UTC).date().isoformat()
        if day > self.spent.day or _is_far(day, self.spent.day):
            self.spent = Spent(day=day)


def _is_far(day: str, other: str) -> bool:
    """Whether a clock was years ahead: the days that it counted will not come for long."""
    try:
        return abs((dt.date.fromisoformat(day) - dt.date.fromisoformat(other)).days) > 1
    except ValueError:
        return True
