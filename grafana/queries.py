"""Says what is asked of the databases, in both dialects.

PromQL means VictoriaMetrics' MetricsQL: nothing else takes the collector's line protocol and answers PromQL. Every
number is asked for with its own window, never by a database's look-back, so that both dialects see the same points:
(t - window, t] in PromQL is the bucket [t - window, t) of InfluxQL but for its edge. Counters are read with
`increase_prometheus`: plain `increase` counts the first value of a new series, such as that of a PC that moved.
"""

from typing import Final, Literal, NamedTuple

Shape = Literal["series", "now", "table"]


class Ask(NamedTuple):
    """One question in both dialects; an empty one cannot be put in that dialect.

    `series` gives a line for each label set over the range, `now` one number each, `table` a row each. A legend names
    tags in double braces.
    """

    promql: str
    influxql: str
    legend: str = ""
    shape: Shape = "series"


VERDICT_NOW: Final = "3m"
"""Verdicts come every minute; a sink may be half a minute behind, and the database hides the newest half minute."""
READING_NOW: Final = "15m"
"""A plan may measure as rarely as this; what is older is not now."""

PLACE_P: Final = 'province=~"$province"'
PLACE_I: Final = '"province" =~ /^$province$/'
ROOMS_P: Final = 'province=~"$province",room=~"$room"'
ROOMS_I: Final = '"province" =~ /^$province$/ AND "room" =~ /^$room$/'
ROOM_P: Final = 'room="$room"'
ROOM_I: Final = "\"room\" = '$room'"


def since(window: str) -> str:
    """InfluxQL for the window that ends where the dashboard's time range ends."""
    return f"time > ${{__to}}ms - {window} AND time <= ${{__to}}ms"


# Levels as indicators. InfluxQL knows no comparison in a SELECT, so a polynomial through 0, 1, 2, 3 says 0 or 1.


def is_fit(level: str) -> str:
    """InfluxQL: 1 for FIT."""
    return f"(1 - {level}) * (2 - {level}) * (3 - {level}) / 6"


def is_degraded(level: str) -> str:
    """InfluxQL: 1 for DEGRADED."""
    return f"{level} * (2 - {level}) * (3 - {level}) / 2"


def is_unfit(level: str) -> str:
    """InfluxQL: 1 for UNFIT."""
    return f"{level} * ({level} - 1) * (3 - {level}) / 2"


def is_unknown(level: str) -> str:
    """InfluxQL: 1 for UNKNOWN."""
    return f"{level} * ({level} - 1) * ({level} - 2) / 6"


def is_usable(level: str) -> str:
    """InfluxQL: 1 for FIT and DEGRADED, when a lesson can be held."""
    return f"(2 - {level}) * (3 - {level}) * (1 + {level}) / 6"


def severity_i(level: str) -> str:
    """InfluxQL: 0 FIT, 1 DEGRADED, 2 UNKNOWN, 3 UNFIT, so that the greatest is the worst."""
    return f"{level} + {level} * ({level} - 1) * (11 - 4 * {level}) / 6"


def severity_p(level: str) -> str:
    """PromQL: as above."""
    return f"{level} + ({level} == bool 2) - ({level} == bool 3)"


def verdict_now_p(where: str) -> str:
    """PromQL: each room's newest verdict.

    A room has one series for each reason that its verdict ever had; only the one with the newest point is the verdict.
    """
    verdict = f"verdict_level_code{{{where}}}[{VERDICT_NOW}]"
    return (
        f"(last_over_time({verdict}) and on (room, reason)"
        f" (tlast_over_time({verdict}) == on (room) group_left () max by (room) (tlast_over_time({verdict}))))"
    )


def verdict_now_i(where: str, by: str = '"room"', extra: str = "") -> str:
    """InfluxQL: each room's newest verdict as `l`, for a FROM."""
    return (
        f'(SELECT last("level_code") AS "l"{extra} FROM "verdict" WHERE {where} AND {since(VERDICT_NOW)} GROUP BY {by})'
    )


def minutes_p(condition: str, where: str, by: str, hours: str = "") -> str:
    """PromQL: minutes of the range whose verdict met a condition such as `== 2`: there is one for each minute."""
    minute = f"last_over_time(verdict_level_code{{{where}}}[1m]) {condition}".rstrip()
    kept = f"({minute})" + (f" and on () ({hours})" if hours else "")
    return f"sum by ({by}) (count_over_time(({kept})[$__range:1m]))"


def minutes_i(condition: str, where: str, by: str, name: str = "minutes") -> str:
    """InfluxQL: as above, for every hour of the day, which InfluxQL cannot choose among."""
    filtered = f'"level_code" {condition} AND {where}' if condition else where
    inner = f'SELECT last("level_code") AS "l" FROM "verdict" WHERE {filtered} AND $timeFilter'
    minutes = f'{inner} GROUP BY time(1m), "room", "province", "reason" fill(none)'
    return f'SELECT count("l") AS "{name}" FROM ({minutes}) GROUP BY {by}'


TEACHING_P: Final = (
    "(hour(vector(time() + 25140)) >= $hour_from < $hour_to) and on () (day_of_week(vector(time() + 25140)) > 0)"
)
"""Teaching hours, Monday to Saturday, in Vietnam (GMT+7, no summer time), of the minute that ends at `time()`."""
