"""Believes nobody who speaks as one identity from two PCs, until they have been told apart; the journal remembers.

What they send is neither kept nor acknowledged, so both keep it until then.
"""

import functools
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from collector.inlet import Arrival, BatchArrival, StateArrival
from collector.line.book import AgentBook
from collector.line.twins import Twins
from collector.rooms.registry import RegistryView
from collector.storage.journal import Journal

log = logging.getLogger(__name__)

_CLONED: Final = "agent_cloned"
_SET_BACK_S: Final = 86400.0


class Clones:
    """All identities in doubt."""

    def __init__(self, journal: Journal, books: dict[str, AgentBook], *, problems: set[str]) -> None:
        """`books` shows the doubt on the agent's page; `problems` has it while there is any."""
        self._journal = journal
        self._books = books
        self._problems = problems
        self._twins = Twins(journal.twins())

    @property
    def agents(self) -> frozenset[str]:
        """Agents as which two PCs speak."""
        return frozenset(twin.agent for twin in self._twins.doubted)

    def restored_agents(self, now: float) -> frozenset[str]:
        """Agents whose machine was lately set back to an earlier state of itself."""
        return self._twins.set_back(now, _SET_BACK_S)

    def believed(self, arrivals: Sequence[Arrival], view: RegistryView) -> list[Arrival]:
        """All but what comes from an identity that two PCs have."""
        believed: list[Arrival] = []
        for arrival in arrivals:
            if isinstance(arrival, BatchArrival) and view.is_welcome(arrival.agent):
                self._look_for_twin(arrival, view)
            if not (isinstance(arrival, BatchArrival | StateArrival) and self._is_doubted(arrival.agent, view)):
                believed.append(arrival)
        return believed

    def settle(self, view: RegistryView) -> dict[str, float]:
        """Believe again who has been enrolled anew, or is no more. Of the others the rooms in which nobody else
        stands, and since when.
        """
        rooms: dict[str, float] = {}
        for twin in self._twins.doubted:
            if not self._is_doubted(twin.agent, view):
                log.info("%s has been enrolled anew: it is believed again", twin.agent)
                self._twins.settle(twin.agent)
                self._books.setdefault(twin.agent, AgentBook()).trouble = ""
                self._write(functools.partial(self._journal.forget_twin, twin.agent))
                continue
            book = self._books.setdefault(twin.agent, AgentBook())
            book.trouble = f"2 x {twin.agent}: {twin.boots[0][:8]}, {twin.boots[1][:8]}"
            room = view.agents[twin.agent].room
            if room is not None and all(self._is_doubted(agent, view) for agent in view.agents_in(room)):
                rooms[room] = twin.noticed_s
        if self._twins.doubted:
            self._problems.add(_CLONED)
        else:
            self._problems.discard(_CLONED)
        return rooms

    def _look_for_twin(self, arrival: BatchArrival, view: RegistryView) -> None:
        credential = view.agents[arrival.agent].token_sha256
        twin = self._twins.heard(arrival.agent, arrival.batch.now.boot, credential, arrival.arrived_s)
        if twin is not None:
            log.error("two PCs speak as %s: boots %s and %s; enrol it anew", twin.agent, *twin.boots)
            self._write(functools.partial(self._journal.save_twin, twin))

    def _is_doubted(self, agent: str, view: RegistryView) -> bool:
        known = view.agents.get(agent)
        return known is not None and self._twins.is_doubted(agent, known.token_sha256)

    def _write(self, work: Callable[[], None]) -> None:
        try:
            with self._journal.transaction():
                work()
        except sqlite3.Error:
            log.exception("the journal refused to note that an identity is doubted, or is not any more")
