"""Says which probes are due when. Pure: ticks lie on a grid of monotonic time, and a missed one is skipped."""

import math
from collections.abc import Collection
from typing import Final

import msgspec

from contract.plan import Job

GATHER_SHARE: Final = 0.8
LONGEST_GATHER_S: Final = 20.0


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Ticks at `start_mono_s + n * tick_s`; all jobs are due at tick 0, and then each after its own interval."""

    tick_s: float
    start_mono_s: float
    jobs: tuple[Job, ...]

    def tick_at(self, mono_s: float) -> int:
        """The number of the last tick at or before a moment."""
        return math.floor((mono_s - self.start_mono_s) / self.tick_s + 1e-6)

    def starts_mono_s(self, tick: int) -> float:
        """When a tick is."""
        return self.start_mono_s + tick * self.tick_s

    def due(self, tick: int, *, urgent: Collection[str] = ()) -> tuple[int, ...]:
        """Places in `jobs` of those to start at a tick; probes named urgent are due at each one, and so are those that
        have hours of their own: whether it is one of them is not told by a tick.
        """
        return tuple(
            place
            for place, job in enumerate(self.jobs)
            if job.probe in urgent or job.hours.windows or tick % max(1, round(job.every_s / self.tick_s)) == 0
        )

    @property
    def gather_s(self) -> float:
        """How long a tick waits for its readings before the record closes; what comes later goes into the next."""
        return min(LONGEST_GATHER_S, GATHER_SHARE * self.tick_s)
