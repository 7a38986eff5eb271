"""Knows the clock of every agent's boots, so that each record is placed in true time; what it learns is journaled."""

import logging
import sqlite3
from typing import Final

import msgspec

from collector.inlet import BatchArrival
from collector.line.remembered import Remembered
from collector.line.timing import BootClock, clock_offset_s
from collector.storage.journal import Boot, Journal
from contract.moment import Moment

log = logging.getLogger(__name__)

_MOVED_S: Final = 0.05
_NOTED_EVERY_S: Final = 3600.0


class _Known(msgspec.Struct, kw_only=True):
    """What is known of one boot, and what the journal has of it: since when, and when it was noted."""

    clock: BootClock
    noted_began_s: float = float("nan")
    noted_s: float = float("-inf")


class Boots:
    """The last boots of all agents. What writes to the journal is called within its open transaction, but `shift`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: Remembered[_Known] = Remembered()
        self.owed_step_s = 0.0
        """By how much our own clock was set, and the journal does not know yet."""

    def learn(self, arrival: BatchArrival) -> None:
        """Learn from a batch how the boot's clock goes in which it was written."""
        agent, written = arrival.agent, arrival.batch.now
        known = self._find(agent, written.boot)
        if known is None:
            known = _Known(clock=BootClock.heard(written, arrival.arrived_s))
            self._known.put(agent, written.boot, known)
        else:
            known.clock.hear(written, arrival.arrived_s)
        for record in arrival.batch.records:
            if record.taken.boot == written.boot:
                known.clock.look(record.taken)
                break  # those that follow are later
        self._note(agent, written.boot, known, arrival.arrived_s)

    def clock_of(self, arrival: BatchArrival, latest: Moment) -> BootClock:
        """The clock of a record's boot; `latest` is the last moment in it of a batch that was learnt from."""
        known = self._find(arrival.agent, latest.boot)
        if known is None:
            present = self._find(arrival.agent, arrival.batch.now.boot)
            assert present is not None  # noqa: S101 - learnt a moment ago
            known = _Known(clock=BootClock.estimated(latest, present.clock))
            self._known.put(arrival.agent, latest.boot, known)
            self._note(arrival.agent, latest.boot, known, arrival.arrived_s)
        return known.clock

    def offset_s(self, arrival: BatchArrival) -> float:
        """How far the PC's wall clock is ahead of ours.

        By the shortest delay seen in this boot: a slow link alone must not make a right clock look wrong.
        """
        now = arrival.batch.now
        known = self._known.get(arrival.agent, now.boot)
        began_s = known.clock.began_s if known else arrival.arrived_s - now.mono_s
        return clock_offset_s(now, began_s + now.mono_s)

    def shift(self, step_s: float) -> None:
        """Our own clock was set forward by so many seconds, and with it every boot that was measured by it."""
        for known in self._known.all():
            known.clock.shift(step_s)
            known.noted_began_s += step_s
            known.noted_s += step_s
        self.owed_step_s += step_s
        try:
            with self._journal.transaction():
                self.pay()
        except sqlite3.Error:
            log.exception("the journal refused to take over the step of the clock; it is offered again")
        else:
            self.paid()

    def pay(self) -> None:
        """Let the boots that only the journal knows follow the steps of our own clock."""
        if self.owed_step_s:
            self._journal.shift_boots(self.owed_step_s)

    def paid(self) -> None:
        """The transaction with `pay` in it is on the disk."""
        self.owed_step_s = 0.0

    def refused(self) -> None:
        """The transaction failed: what was learnt is still true, and not on the disk."""
        for known in self._known.all():
            known.noted_began_s = float("nan")

    def _find(self, agent: str, boot: str) -> _Known | None:
        known = self._known.get(agent, boot)
        if known is None and (noted := self._journal.boot(agent, boot)) is not None:
            clock = BootClock(
                began_s=noted.began_s,
                wall_began_s=noted.wall_began_s,
                sure=noted.sure,
                told_mono_s=noted.heard_s - noted.began_s,
            )
            known = _Known(clock=clock, noted_began_s=noted.began_s, noted_s=noted.heard_s)
            self._known.put(agent, boot, known)
        return known

    def _note(self, agent: str, boot: str, known: _Known, now: float) -> None:
        clock = known.clock
        is_still = abs(clock.began_s - known.noted_began_s) <= _MOVED_S
        if not is_still or abs(now - known.noted_s) >= _NOTED_EVERY_S:
            told_s = clock.told_s if clock.sure else now  # what was only estimated is not forgotten before its time
            self._journal.save_boot(Boot(agent, boot, clock.began_s, clock.wall_began_s, clock.sure, told_s))
            known.noted_began_s, known.noted_s = clock.began_s, now
