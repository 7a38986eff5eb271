"""Puts aside what breaks the contract or comes from strangers: some of each agent's in a minute, never a flood."""

import logging
from collections import Counter
from typing import Final

from collector.inlet import BadArrival
from collector.storage.journal import Journal

log = logging.getLogger(__name__)

_PER_MINUTE: Final = 20


class Quarantine:
    """Counts the suspects of this minute. Writes within the journal's open transaction."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._suspects: Counter[str] = Counter()
        self._minute = 0

    def put(self, arrival: BadArrival) -> None:
        """Put one message aside, and log the first of each agent in a minute."""
        minute = int(arrival.arrived_s // 60)
        if minute != self._minute:
            self._minute = minute
            self._suspects.clear()
        self._suspects[arrival.agent] += 1
        if self._suspects[arrival.agent] == 1:
            log.warning("put a message of %r aside: %s", arrival.agent or arrival.topic, arrival.why)
        if self._suspects[arrival.agent] <= _PER_MINUTE:
            self._journal.save_quarantined(arrival.arrived_s, arrival.agent, arrival.topic, arrival.why, arrival.body)
