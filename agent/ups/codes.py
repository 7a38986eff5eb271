"""The numbers of `output_source_code`, which are RFC 1628's upsOutputSource for every kind of UPS."""

import enum


class Source(enum.IntEnum):
    """Where the load is fed from."""

    OTHER = 1
    NONE = 2
    NORMAL = 3
    BYPASS = 4
    BATTERY = 5
    BOOSTER = 6
    REDUCER = 7


ON_MAINS = frozenset({Source.NORMAL, Source.BYPASS, Source.BOOSTER, Source.REDUCER})
