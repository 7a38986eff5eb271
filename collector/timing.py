"""Finds when something was truly measured, from the PC's monotonic clock and our own. Pure."""

from typing import Final, NamedTuple

from contract.moment import Moment

_PLAUSIBLE_FROM_S: Final = 1_735_689_600.0  # 2025-01-01: no agent is older than the project
_DELAY_AT_MOST_S: Final = 120.0


class Placed(NamedTuple):
    """True time in Unix seconds, never later than the arrival; `sure` is False when it had to be estimated."""

    taken_s: float
    sure: bool


def boot_began_s(now: Moment, arrived_s: float, known_began_s: float | None) -> float:
    """When the boot's monotonic clock read 0, in true time, judged by a batch written at `now`.

    The shortest delay seen tells best, so an earlier estimate stands while it is the earlier one by less than a slow
    link's delay; beyond that one of the two clocks was stepped or the estimate has drifted, and the newest counts.
    """
    began_s = arrived_s - now.mono_s
    if known_began_s is not None and 0 <= began_s - known_began_s <= _DELAY_AT_MOST_S:
        return known_began_s
    return began_s


def place(taken: Moment, now: Moment, arrived_s: float, began_s: float | None) -> Placed:
    """The true time of a record taken at `taken`, which came in a batch written at `now`.

    `began_s` is `boot_began_s` of the boot that the record is of, when that is known. Otherwise a plausible wall time
    is believed, if the PC's clock is right now; else the time is estimated, never after the arrival, and marked.
    """
    if began_s is not None:
        return Placed(min(arrived_s, began_s + taken.mono_s), sure=True)
    offset_s = arrived_s - now.wall_s
    if abs(offset_s) <= _DELAY_AT_MOST_S and _PLAUSIBLE_FROM_S <= taken.wall_s <= arrived_s:
        return Placed(taken.wall_s, sure=True)
    if _PLAUSIBLE_FROM_S <= taken.wall_s <= arrived_s:
        return Placed(taken.wall_s, sure=False)
    return Placed(arrived_s, sure=False)


def clock_offset_s(now: Moment, arrived_s: float) -> float:
    """How far the PC's wall clock is ahead of ours, in seconds; a slow link makes it look a little behind."""
    return now.wall_s - arrived_s
