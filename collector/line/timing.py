"""Finds when something was truly measured, from the PC's monotonic clock and our own. Pure."""

import math
from typing import Final, NamedTuple

from contract.moment import Moment

_PLAUSIBLE_FROM_S: Final = 1_735_689_600.0  # 2025-01-01: no agent is older than the project
_DRIFT: Final = 1e-4  # how far two quartz clocks may run apart, in seconds a second
_WINDOW_S: Final = 1800.0
_WINDOW_BATCHES: Final = 5
_STEP_S: Final = 120.0  # what comes later than this is held up, or a clock was stepped: three that agree tell which
_AGREE_COUNT: Final = 3
_AGREE_S: Final = 5.0
_APART_S: Final = 10.0
_BETWEEN_BOOTS_S: Final = 60.0
_RUNS_BACK_S: Final = 3600.0
_DOUBTED_AFTER_STEP: Final = 2


class Placed(NamedTuple):
    """True time in Unix seconds, never later than the arrival; `sure` is False when it had to be estimated."""

    taken_s: float
    sure: bool


class BootClock:
    """One boot of a PC: when its monotonic clock read 0, in true time.

    `sure` is True once a batch was heard that was written in this boot. The shortest delay tells best: of the last half
    hour, since the two clocks drift apart, and our own may have been stepped.
    """

    def __init__(self, *, began_s: float, wall_began_s: float, sure: bool, told_mono_s: float = 0.0) -> None:
        """`told_mono_s` is the boot's own time when `began_s` was told."""
        self.began_s = began_s
        self.wall_began_s = wall_began_s
        """What the PC's wall clock read then, as it went at the earliest moment known of the boot."""
        self.sure = sure
        self._first_mono_s = math.inf
        self._step_s = 0.0
        self._doubted_count = 0
        self._adopt(began_s, told_mono_s)

    @classmethod
    def heard(cls, written: Moment, arrived_s: float) -> "BootClock":
        """The clock of a boot of which a first batch arrived."""
        return cls(
            began_s=arrived_s - written.mono_s,
            wall_began_s=written.wall_s - written.mono_s,
            sure=True,
            told_mono_s=written.mono_s,
        )

    @classmethod
    def estimated(cls, last: Moment, present: "BootClock") -> "BootClock":
        """The clock of a boot that was never heard; `last` is its latest record known, `present` a boot after it.

        A PC's clock goes on while the PC is off, so it was as wrong then as it was when the present boot began. Where
        that cannot be, because its battery is dead, the boot is placed right before the present one.
        """
        wall_began_s = last.wall_s - last.mono_s
        began_s = wall_began_s - present.ahead_s
        late_s = began_s + last.mono_s - present.began_s
        if late_s > _STEP_S or began_s < _PLAUSIBLE_FROM_S:
            late_s += _BETWEEN_BOOTS_S  # however early it seemed, too
        else:
            late_s = max(0.0, late_s)
        return cls(began_s=began_s - late_s, wall_began_s=wall_began_s, sure=False)

    @property
    def told_s(self) -> float:
        """True time at which `began_s` was told: since then the clocks have drifted apart."""
        return self.began_s + self._told_mono_s

    @property
    def ahead_s(self) -> float:
        """How far the PC's wall clock was ahead of true time at the earliest moment known of the boot."""
        return self.wall_began_s - self.began_s

    def _adopt(self, began_s: float, mono_s: float) -> None:
        self.began_s, self._told_mono_s = began_s, mono_s
        self._later_count, self._later_since_mono_s = 0, mono_s
        self._least_s, self._least_mono_s = math.inf, mono_s
        self._agreeing: list[tuple[float, float]] = []  # monotonic time and began_s of batches that are far too late

    def hear(self, written: Moment, arrived_s: float) -> None:
        """Learn from a batch that was written in this boot."""
        began_s, mono_s = arrived_s - written.mono_s, written.mono_s
        # Some PCs name a boot by the second at which it began: two of a name are told apart by a clock that ran back.
        is_another = mono_s < self._told_mono_s - _RUNS_BACK_S
        later_s = began_s - self.began_s - _DRIFT * max(0.0, mono_s - self._told_mono_s)
        doubted_count, self._doubted_count = self._doubted_count, max(0, self._doubted_count - 1)
        if doubted_count and self.sure and self._is_from_before_the_step(began_s):
            return
        is_believed = doubted_count == _DOUBTED_AFTER_STEP and self._tells_of_the_step(began_s)
        if not self.sure or is_another or later_s <= 0 or is_believed:
            self.sure = True
            self._adopt(began_s, mono_s)
            return
        if not self._later_count:
            self._later_since_mono_s = mono_s
        self._later_count += 1
        if began_s < self._least_s:
            self._least_s, self._least_mono_s = began_s, mono_s
        if self._is_step(began_s, mono_s, later_s):
            self._adopt(began_s, mono_s)
        elif self._later_count >= _WINDOW_BATCHES and mono_s - self._later_since_mono_s >= _WINDOW_S:
            self._adopt(self._least_s, self._least_mono_s)

    def _is_from_before_the_step(self, began_s: float) -> bool:
        """Whether our clock was set forward, and this was stamped before that, and is heard only after it."""
        return 0 < self._step_s / 2 < self.began_s - began_s

    def _tells_of_the_step(self, began_s: float) -> bool:
        """Whether our clock was set back, and this batch, the first since, is late by about as much.

        The last one may have been stamped after the step and heard before we knew of it: it has moved what is known,
        and `shift` moved it again. (Had this one been stamped before the step, then the next will be early.)
        """
        return 0 < -self._step_s / 2 < began_s - self.began_s

    def _is_step(self, began_s: float, mono_s: float, later_s: float) -> bool:
        """Whether this is one of several batches in a row, not written at once, that agree on being far too late."""
        if later_s <= _STEP_S:
            self._agreeing.clear()
            return False
        if self._agreeing and mono_s - self._agreeing[-1][0] < _APART_S:
            return False
        self._agreeing = [one for one in self._agreeing if abs(one[1] - began_s) <= _AGREE_S] + [(mono_s, began_s)]
        return len(self._agreeing) >= _AGREE_COUNT

    def look(self, taken: Moment) -> None:
        """Learn from a record of this boot how its wall clock went, if none so early was seen before."""
        if taken.mono_s < self._first_mono_s:
            self._first_mono_s = taken.mono_s
            self.wall_began_s = taken.wall_s - taken.mono_s

    def shift(self, step_s: float) -> None:
        """Our own clock was set forward by so many seconds, and with it everything that we measured by it.

        The next two batches are looked at closely, since one may have been stamped on the other side of the step. None
        is simply believed: it may have been held up.
        """
        self._adopt(self.began_s + step_s, self._told_mono_s)
        self._step_s, self._doubted_count = step_s, _DOUBTED_AFTER_STEP

    def place(self, taken: Moment, arrived_s: float) -> Placed:
        """The true time of a record of this boot that came with a batch at `arrived_s`."""
        return Placed(min(arrived_s, self.began_s + taken.mono_s), self.sure)


def clock_offset_s(now: Moment, arrived_s: float) -> float:
    """How far the PC's wall clock is ahead of ours, in seconds; a slow link makes it look a little behind."""
    return now.wall_s - arrived_s
