"""Knows which agents send more than they may, until a while after they have stopped. No I/O."""

import logging
from typing import Final

from collector.inlet import FloodArrival

log = logging.getLogger(__name__)

_FLOODS: Final = "agent_floods"
_OVER_S: Final = 120.0
_AGENTS_MAX_COUNT: Final = 1000


class Floods:
    """All floods that last; `problems` has it while there is any."""

    def __init__(self, *, problems: set[str]) -> None:
        self._problems = problems
        self._heard_s: dict[str, float] = {}
        self.turned_away_total = 0

    @property
    def agents(self) -> frozenset[str]:
        """Agents that send more than they may."""
        return frozenset(agent for agent in self._heard_s if agent)

    def hear(self, arrival: FloodArrival) -> None:
        """Messages of somebody were turned away."""
        if arrival.agent not in self._heard_s:
            log.error("%s floods: turned away %d of its messages", arrival.agent or "nobody", arrival.refused_count)
        self.turned_away_total += arrival.refused_count
        if len(self._heard_s) < _AGENTS_MAX_COUNT or arrival.agent in self._heard_s:
            self._heard_s[arrival.agent] = arrival.arrived_s
        self._problems.add(_FLOODS)

    def forget(self, now: float) -> None:
        """Let go of those that have stopped."""
        for agent, at_s in list(self._heard_s.items()):
            if abs(now - at_s) > _OVER_S:
                log.info("%s floods no more", agent or "nobody")
                del self._heard_s[agent]
        if not self._heard_s:
            self._problems.discard(_FLOODS)
