"""One point of a time series, as a sink takes it."""

from typing import NamedTuple


class Sample(NamedTuple):
    """All fields that one reading brought, at its true time.

    `measurement` is the probe's name (or a derived one: `verdict`, `finding`, `agent`); a field's name ends in its
    unit, which fixes its number type (`contract.units`). All texts are tag-safe already (`contract.names.is_tag`);
    an empty one means that the tag is absent. Identity is (room, measurement, target, reason, measured_ms): the
    same sample written twice changes nothing.
    """

    room: str
    agent: str
    province: str
    measurement: str
    target: str
    role: str
    reason: str
    measured_ms: int
    fields: dict[str, int | float]
