"""Takes one reading of a plan's job when it may be taken now, and adds what only the agent itself knows.

What has hours of its own waits for them, a test of the line for the lesson's end, and whatever crosses the line for
tomorrow once the day's bytes for it are used.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from agent.network.ladder import completed
from agent.probe import Probe, ProbeFailed, cost_of, is_test
from agent.spending import lesson
from agent.spending.appointments import Appointments
from agent.spending.budget import Use
from agent.spending.circumstances import between, look, rates_bps
from agent.spending.meter import TELLS_TCP, counting
from agent.spending.traffic import Traffic
from agent.taking import Taken, take_reading
from agent.threads import in_thread
from contract.moment import Clock
from contract.names import role_of
from contract.outcome import Outcome
from contract.plan import Job, Plan
from contract.rung import Rung

_BEYOND: Final = frozenset({"isp", "national", "international", "dns", "lesson", "collector", "pc"})
"""Roles whose packets cross the line; `pc` for probes that walk along it. Others stay in the school, at no cost."""
_IN_CALL: Final = "call_active_bool"
_LISTED_WITHIN_S: Final = 10.0
_GLANCE_S: Final = 1.0
"""So long the card is watched before a test, to see whether people meet over it."""


async def _programs_in_meeting() -> Collection[str]:
    """Which programs run in which people meet; one is supposed where the system does not say in time."""
    try:
        async with asyncio.timeout(_LISTED_WITHIN_S):
            return await in_thread("programs", lambda _: lesson.programs_in_meeting())
    except (TimeoutError, ProbeFailed):
        return ("?",)


class Measurer:
    """Owned by the agent's loop. `true_s` gives the collector's time, None before it is known."""

    def __init__(self, clock: Clock, traffic: Traffic, true_s: Callable[[], float | None]) -> None:
        self._clock = clock
        self._traffic = traffic
        self._true_s = true_s
        self._appointments = Appointments()
        self._calls: dict[str, lesson.Call] = {}
        self.lost_at = Rung.NONE
        """The step at which the last try to connect ended; NONE while connected."""

    async def measure(self, job: Job, probe: Probe, plan: Plan) -> Taken | None:
        """One reading, whatever happens; None when it is not the time for it."""
        which = (job.probe, probe.target)
        if job.hours.windows and not self._appointments.is_due(which, job.hours, self._true_s()):
            return None
        use = self._use_of(probe)
        if use is not None and not self._traffic.budget.allows(use, self._true_s(), cost_bytes=cost_of(probe)):
            return None
        if is_test(probe):
            if not job.in_lessons and await self._is_lesson(plan):
                return None
            taken = await self._take_with_circumstances(job, probe)
        else:
            taken = await self._take(job, probe)
        if job.hours.windows:
            self._appointments.kept(which, self._true_s(), went_well=taken.reading.outcome is Outcome.OK)
        return self._completed(job, taken)

    def _use_of(self, probe: Probe) -> Use | None:
        """What its bytes are for; None where none cross the line."""
        if is_test(probe):
            return Use.TESTS
        return Use.PROBES if cost_of(probe) and role_of(probe.target) in _BEYOND else None

    async def _is_lesson(self, plan: Plan) -> bool:
        before = look()
        await asyncio.sleep(_GLANCE_S)
        sent_bps, received_bps = rates_bps(before, look())
        now_s = self._true_s()
        # While nobody knows the hour it may be one of those: a test can wait.
        in_hours = bool(plan.quiet_hours.windows) if now_s is None else plan.quiet_hours.end_s(now_s) is not None
        return lesson.is_on(
            in_hours=in_hours,
            calls=self._calls.values(),
            programs=await _programs_in_meeting(),
            sent_bps=sent_bps,
            received_bps=received_bps,
            now_mono_s=self._clock.now().mono_s,
        )

    async def _take(self, job: Job, probe: Probe) -> Taken:
        with counting() as tally:
            taken = await take_reading(job.probe, probe, self._clock)
        if (use := self._use_of(probe)) is not None:
            wire_bytes = tally.wire.total_bytes if TELLS_TCP else max(tally.wire.total_bytes, cost_of(probe))
            self._traffic.budget.count(use, wire_bytes, self._true_s())
        return taken

    async def _take_with_circumstances(self, job: Job, probe: Probe) -> Taken:
        before = look()
        with counting() as tally:
            taken = await take_reading(job.probe, probe, self._clock)
        wire = tally.wire
        self._traffic.budget.count(Use.TESTS, wire.total_bytes, self._true_s())
        around = between(before, look(), own_sent_bytes=wire.sent_bytes, own_received_bytes=wire.received_bytes)
        reading = msgspec.structs.replace(taken.reading, values=taken.reading.values | around)
        return msgspec.structs.replace(taken, reading=reading)

    def _completed(self, job: Job, taken: Taken) -> Taken:
        reading = taken.reading
        if _IN_CALL in reading.values:
            self._calls[reading.target] = lesson.Call(bool(reading.values[_IN_CALL]), taken.began_mono_s)
        if job.probe == "link":
            reading = completed(reading, self.lost_at)
        elif job.probe == "traffic":
            reading = self._traffic.completed(reading, self._true_s())
        return msgspec.structs.replace(taken, reading=reading)
