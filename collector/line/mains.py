"""Keeps through restarts how often the mains failed in each room: what was said beside each change is journaled."""

import logging
import sqlite3

from collector.line.keeper import REFUSES
from collector.storage.journal import Journal
from collector.watch import MainsSaid, Watch

log = logging.getLogger(__name__)


class MainsMemory:
    """Between the watch and the journal; `problems` hears of a journal that refuses."""

    def __init__(self, journal: Journal, watch: Watch, *, problems: set[str]) -> None:
        self._journal = journal
        self._watch = watch
        self._problems = problems

    def recall(self, now: float) -> None:
        """Let the watch know again what the journal has."""
        said = self._journal.mains().items()
        self._watch.recall_mains((MainsSaid(*whose, tuple(words)) for whose, words in said), now)

    def keep(self) -> None:
        """Journal what is new. Until the next review it is in the journal's records only, of which the last hour is
        read at a start; what a journal refuses is offered again.
        """
        news = self._watch.mains_news()
        if not news:
            return
        try:
            with self._journal.transaction():
                for said in news:
                    self._journal.save_mains(*said)
        except sqlite3.Error:
            log.exception("the journal refused how often the mains failed; it is offered again")
            self._problems.add(REFUSES)
        else:
            self._watch.mains_stored()
