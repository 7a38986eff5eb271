"""One measurement, and all measurements of one tick."""

from typing import Final

import msgspec

from contract.moment import Moment
from contract.outcome import Outcome

DETAIL_MAX_CHARS: Final = 200


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt to measure one target brought, whatever happened.

    `values` maps a value's name, which ends in its unit, to a finite number; what was not measured is absent, and
    values may accompany an outcome other than OK. `before_s` says how long before the record's moment the attempt
    began. `detail` is one sentence for the person who looks into a failure; it never becomes a tag.
    """

    probe: str
    target: str
    outcome: Outcome = Outcome.OK
    values: dict[str, int | float] = {}
    before_s: float = 0.0
    detail: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """All readings of one tick: the unit of the spool. No two of them share probe and target."""

    taken: Moment
    readings: tuple[Reading, ...]
