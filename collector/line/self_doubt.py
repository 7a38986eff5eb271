"""Doubts what we see of the rooms: while the broker is lost, we have stood still, or our own clock is wrong. No I/O."""

import logging
import statistics
from collections.abc import Iterable
from typing import Final

from collector.inlet import LinkArrival
from collector.line.book import AgentBook
from collector.watch import Doubt

log = logging.getLogger(__name__)

_BROKER_LOST: Final = "broker_lost"
_STOOD_STILL_S: Final = 60.0
_OWN_CLOCK_S: Final = 30.0
"""What we are wrong by, by the word of most PCs, before we believe it; and within how much they must agree."""
_PCS_AGREE_S: Final = 5.0
_PCS_MIN_COUNT: Final = 3
_PCS_HEARD_S: Final = 600.0


class SelfDoubt:
    """Whether we could tell a silent room from our own deafness, and a PC's wrong clock from ours."""

    def __init__(self, *, grace_s: float, problems: set[str]) -> None:
        """For `grace_s` after each trouble of our own nobody is alerted; `problems` has it while the broker is lost."""
        self._grace_s = grace_s
        self._problems = problems
        self.broker_connected = False
        self._link_since_s = 0.0
        """Since when the broker has been reachable, or lost."""
        self._reviewed_s = self._stood_still_s = float("-inf")
        self._usual_pause_s = float("inf")
        """The shortest time between two reviews so far."""
        self.own_clock_s = 0.0
        """By how much our own clock is wrong, by the word of most PCs: their offset from us."""

    def hear_link(self, arrival: LinkArrival) -> None:
        """The broker became reachable, or was lost."""
        if arrival.connected != self.broker_connected or not self._link_since_s:
            log.info("the broker is reachable") if arrival.connected else log.error("no broker: %s", arrival.reason)
            self._link_since_s = arrival.arrived_s
        self.broker_connected = arrival.connected
        if arrival.connected:
            self._problems.discard(_BROKER_LOST)
        else:
            self._problems.add(_BROKER_LOST)

    def clock_stepped(self, now: float) -> None:
        """Our own clock was set, to now: begin every wait anew."""
        self._link_since_s = now
        self._stood_still_s = float("-inf")

    def look(self, books: Iterable[AgentBook], now: float) -> None:
        """Whether we stood still since the last look, and whether it is our clock that is wrong."""
        pause_s = now - self._reviewed_s
        self._reviewed_s = now
        if pause_s > _STOOD_STILL_S + 2 * self._usual_pause_s:
            # Asleep, or the disk took so long: what rooms said meanwhile is still waiting, or was never heard.
            log.warning("stood still for %.0f s; nobody is taken for silent for a while", pause_s)
            self._stood_still_s = now
        elif pause_s > 0:
            self._usual_pause_s = min(self._usual_pause_s, pause_s)
        self._look_at_own_clock(books, now)

    def doubt(self, now: float) -> Doubt:
        """What is to be doubted now."""
        if not self.broker_connected:
            return Doubt(blind_since_s=self._link_since_s) if self._link_since_s else Doubt(is_settling=True)
        since_s = max(self._link_since_s, self._stood_still_s)
        return Doubt(is_settling=0 <= now - since_s < self._grace_s)

    def _look_at_own_clock(self, books: Iterable[AgentBook], now: float) -> None:
        """When most PCs agree that it is another time, we are wrong, and not all of them."""
        offsets_s = [
            book.offset_s
            for book in books
            if book.offset_s is not None and book.heard_s is not None and abs(now - book.heard_s) <= _PCS_HEARD_S
        ]
        own_s = 0.0
        if len(offsets_s) >= _PCS_MIN_COUNT:
            middle_s = statistics.median_low(offsets_s)
            agreeing_count = sum(abs(one_s - middle_s) <= _PCS_AGREE_S for one_s in offsets_s)
            if abs(middle_s) > _OWN_CLOCK_S and 2 * agreeing_count > len(offsets_s):
                own_s = middle_s
        if bool(own_s) != bool(self.own_clock_s):
            if own_s:
                log.error(
                    "our own clock is wrong: %d of %d PCs are %+.0f s ahead", agreeing_count, len(offsets_s), own_s
                )
            else:
                log.info("our own clock is right again")
        self.own_clock_s = own_s
