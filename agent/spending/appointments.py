"""Says when a probe that has hours of its own is taken: once in each, at a moment of chance. Pure but for that chance.

All rooms have the same night, and one reflector: the moments are spread over the first half of the hours, so that the
second half is left for who found it busy.
"""

import math
import random
from typing import Final, NamedTuple

from contract.hours import Hours

_AGAIN_S: Final = (300.0, 900.0)
"""When it is tried again in the same hours after it brought nothing."""


class _Appointment(NamedTuple):
    ends_s: float
    at_s: float


class Appointments:
    """Of one agent, kept in memory: an agent that starts anew in such hours may take a probe once more in them.

    Times are Unix seconds by the collector's reckoning. What is asked about is a probe's name and its target.
    """

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._next: dict[tuple[str, str], _Appointment] = {}

    def is_due(self, which: tuple[str, str], hours: Hours, now_s: float | None) -> bool:
        """Whether it is to be taken now; never while nobody knows the hour."""
        ends_s = None if now_s is None else hours.end_s(now_s)
        if now_s is None or ends_s is None:
            return False
        known = self._next.get(which)
        if known is None or known.ends_s != ends_s:
            at_s = now_s + self._chance.uniform(0.0, (ends_s - now_s) / 2)
            known = self._next[which] = _Appointment(ends_s, at_s)
        return now_s >= known.at_s

    def kept(self, which: tuple[str, str], now_s: float | None, *, went_well: bool) -> None:
        """It was taken. What went well is done for these hours."""
        known = self._next.get(which)
        if known is not None and now_s is not None:
            at_s = math.inf if went_well else now_s + self._chance.uniform(*_AGAIN_S)
            self._next[which] = known._replace(at_s=at_s)
