"""The units that a value's name may end in, and the number type each fixes for ever.

A time-series database refuses a field whose type changes, so the type follows from the name alone.
"""

from typing import Final, NamedTuple


class Unit(NamedTuple):
    """One ending: what it means to a reader, and whether its numbers are whole."""

    ending: str
    meaning: str
    whole: bool


UNITS: Final = (
    Unit("_bytes_total", "bytes since the counter began", whole=True),
    Unit("_total", "events since the counter began", whole=True),
    Unit("_bytes", "bytes", whole=True),
    Unit("_count", "number of things", whole=True),
    Unit("_bool", "0 no, 1 yes", whole=True),
    Unit("_code", "integer with a published meaning", whole=True),
    Unit("_ratio", "share, 0 to 1", whole=False),
    Unit("_ms", "milliseconds", whole=False),
    Unit("_s", "seconds", whole=False),
    Unit("_h", "hours", whole=False),
    Unit("_days", "days", whole=False),
    Unit("_bps", "bits per second", whole=False),
    Unit("_v", "volts", whole=False),
    Unit("_hz", "hertz", whole=False),
    Unit("_w", "watts", whole=False),
    Unit("_celsius", "degrees Celsius", whole=False),
    Unit("_dbm", "decibel-milliwatts", whole=False),
    Unit("_r", "rating R of ITU-T G.107, at most 93.2", whole=False),
    Unit("_mos", "mean opinion score, 1 to 4.5", whole=False),
)


def unit_of(value_name: str) -> Unit | None:
    """The unit that a value's name ends in, or None when it carries none.

    >>> unit_of("rtt_avg_ms").meaning, unit_of("speed")
    ('milliseconds', None)
    """
    return next((unit for unit in UNITS if value_name.endswith(unit.ending)), None)
