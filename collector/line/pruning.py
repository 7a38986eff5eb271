"""Lets go of what is old in the journal, now and then, once every sink has it."""

import logging
import sqlite3
from collections.abc import Callable
from typing import Final

from collector.line.keeper import REFUSES
from collector.storage.journal import Journal

log = logging.getLogger(__name__)

_PRUNE_EVERY_S: Final = 60.0
_FORGET_S: Final = 200 * 86400.0
_FORGET_EVERY_S: Final = 3600.0


class Pruning:
    """Records stay at least `keep_s`, and until every sink has them; what is known of agents, 200 days."""

    def __init__(self, journal: Journal, *, keep_s: float, fed_id: Callable[[], int], problems: set[str]) -> None:
        """`fed_id` is the id up to which every sink has the journal; `problems` hears of a journal that refuses."""
        self._journal = journal
        self._keep_s = keep_s
        self._fed_id = fed_id
        self._problems = problems
        self._pruned_s = self._forgot_s = float("-inf")

    def clock_stepped(self) -> None:
        """Our own clock was set: it is due."""
        self._pruned_s = float("-inf")

    def look(self, now: float) -> None:
        """Prune if it is due."""
        if abs(now - self._pruned_s) < _PRUNE_EVERY_S:
            return
        self._pruned_s = now
        try:
            self._journal.prune(fed_id=self._fed_id(), before_s=now - self._keep_s)  # in small transactions of its own
            if abs(now - self._forgot_s) >= _FORGET_EVERY_S:
                with self._journal.transaction():
                    self._journal.forget(now - _FORGET_S)
                self._forgot_s = now
        except sqlite3.Error:
            log.exception("the journal refused to let go of what is old")
            self._problems.add(REFUSES)
