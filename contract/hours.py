"""Hours of the week in a time zone: those in which a line is left to its lessons, or in which something is measured."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MIN: Final = 24 * 60
_WEEK_MIN: Final = len(DAYS) * _DAY_MIN
_WRITTEN: Final = re.compile(
    rf"(?:({'|'.join(DAYS)})(?: ?- ?({'|'.join(DAYS)}))? +)?(\d{{1,2}}):(\d\d) ?- ?(\d{{1,2}}):(\d\d)", re.IGNORECASE
)


class Window(NamedTuple):
    """Some hours, on each of some days of the week (Monday is 0); minutes count from that day's midnight.

    `ends_min` lies beyond 1440 where the hours run on into the next day.
    """

    days: frozenset[int]
    begins_min: int
    ends_min: int


class Hours(NamedTuple):
    """Some windows; without any, no moment lies in them."""

    windows: tuple[Window, ...] = ()
    zone: ZoneInfo | None = None
    """Whose clock the windows go by; None is UTC."""

    def end_s(self, at_s: float) -> float | None:
        """When the window ends that a moment (Unix seconds) falls into; None when it falls into none.

        Where windows overlap or touch, the next question at that end finds the next one.
        """
        if not self.windows:
            return None
        zone = self.zone or UTC
        today = datetime.fromtimestamp(at_s, zone).date()
        for date in (today, today - timedelta(days=1)):
            midnight = datetime.combine(date, time(), zone)  # adding to it goes by the clock on the wall
            for window in self.windows:
                if date.weekday() not in window.days:
                    continue
                begins_s, ends_s = (
                    (midnight + timedelta(minutes=minutes)).timestamp()
                    for minutes in (window.begins_min, window.ends_min)
                )
                if begins_s <= at_s < ends_s:
                    return ends_s
        return None


def parse_window(text: str) -> Window | None:
    """`07:00-11:30`, or `mon-fri 07:00-11:30`, or `sat 22:00-05:00`; None for anything else.

    Hours that end before they begin run on into the next day, and 24:00 is a day's end.
    """
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        return None
    first, last, *clock = match.groups()
    hours_from, minutes_from, hours_to, minutes_to = map(int, clock)
    begins_min, ends_min = hours_from * 60 + minutes_from, hours_to * 60 + minutes_to
    is_possible = max(minutes_from, minutes_to) < 60 and begins_min < _DAY_MIN and ends_min <= _DAY_MIN  # noqa: PLR2004 - an hour's minutes
    if not is_possible or begins_min == ends_min:
        return None
    if ends_min < begins_min:
        ends_min += _DAY_MIN
    return Window(_days(first, last), begins_min, ends_min)


def find_zone(name: str) -> ZoneInfo | None:
    """The zone of the IANA database by its name; None when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Asia", which is a folder
        return None


def cover_the_week(windows: Iterable[Window]) -> bool:
    """Whether no minute of the week lies outside all windows."""
    quiet: set[int] = set()
    for window in windows:
        for day in window.days:
            begins_min = day * _DAY_MIN + window.begins_min
            length_min = window.ends_min - window.begins_min
            quiet.update(minute % _WEEK_MIN for minute in range(begins_min, begins_min + length_min))
    return len(quiet) == _WEEK_MIN


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(len(DAYS)))
    begins = DAYS.index(first.lower())
    count = (DAYS.index((last or first).lower()) - begins) % len(DAYS) + 1
    return frozenset((begins + day) % len(DAYS) for day in range(count))
