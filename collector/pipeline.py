"""Step 7 of the line and the thread that owns all state: keeps what arrived, acknowledges it, folds it, reviews rooms.

Each job is a part of its own in `collector/line/`; here they are walked through in their order.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from collector.derived import OWN_NAME
from collector.inlet import Arrival, BatchArrival, FloodArrival, LinkArrival, StateArrival
from collector.line.book import AgentBook
from collector.line.boots import Boots
from collector.line.clones import Clones
from collector.line.floods import Floods
from collector.line.keeper import Answers, Counts, Keeper, Taken
from collector.line.mains import MainsMemory
from collector.line.own_series import OwnSeries
from collector.line.pruning import Pruning
from collector.line.self_doubt import SelfDoubt
from collector.line.unkept import Unkept
from collector.rooms.registry import RegistryView, Room
from collector.storage.journal import Journal, Kept
from collector.watch import Doubt, Review, Watch
from contract.plan import Plan
from contract.reading import Reading

log = logging.getLogger(__name__)

REBUILD_S: Final = 3600.0
"""How far back the journal is read at a start to know again what was known."""


class Pipeline:
    """Owns receptions, rooms' states and incidents. One thread calls it; `now` is the collector's wall time."""

    def __init__(
        self,
        *,
        journal: Journal,
        answers: Answers,
        view: Callable[[RegistryView | None], RegistryView],
        plan_of: Callable[[Room], Plan | None],
        watch: Watch,
        on_review: Callable[[Review, float], None],
        generation: str,
        grace_s: float,
        keep_s: float,
        fed_id: Callable[[], int],
    ) -> None:
        """`view` gives the registry, the last one when nothing changed; `plan_of` a room's plan; `on_review` stores and
        tells what a review found; `fed_id` is the id up to which every sink has the journal; records stay at least
        `keep_s`.
        """
        self._journal = journal
        self._view = view
        self.view = view(None)
        self._plan_of = plan_of
        self.watch = watch
        self._on_review = on_review
        self.generation = generation
        self.books: dict[str, AgentBook] = {}
        self.problems: set[str] = set()
        self._clones = Clones(journal, self.books, problems=self.problems)
        self._boots = Boots(journal)
        self._keeper = Keeper(journal, self._boots, answers, generation=generation, problems=self.problems)
        self._unkept = Unkept()
        self._floods = Floods(problems=self.problems)
        self._self_doubt = SelfDoubt(grace_s=grace_s, problems=self.problems)
        self._own_series = OwnSeries(journal, generation=generation, problems=self.problems)
        self._mains = MainsMemory(journal, watch, problems=self.problems)
        self._pruning = Pruning(journal, keep_s=keep_s, fed_id=fed_id, problems=self.problems)

    def recall(self, now: float) -> None:
        """Know again what was known before the start, from the journal."""
        self.watch.set_rooms(self.view, self._plan_of, now)
        self._mains.recall(now)
        said_s: dict[str, float] = {}
        for word in self._journal.last_words():
            said_s[word.agent] = word.at_s
            self.watch.hear(word.agent, word.state, word.reason, word.at_s)
        for kept in self._journal.since(now - REBUILD_S):
            if kept.agent != OWN_NAME:
                self._fold(kept)
                if kept.arrived_s > said_s.get(kept.agent, 0.0):
                    self.watch.hear(kept.agent, "online", "", kept.arrived_s)

    # Arrivals.

    def handle(self, arrivals: Sequence[Arrival], now: float) -> None:
        """Take everything that has come, in one durable transaction; then acknowledge; then understand it."""
        self.view = self._view(self.view)
        believed = self._clones.believed(arrivals, self.view)
        parts = self._keeper.take(believed, self.view, now)
        for arrival in believed:
            if isinstance(arrival, BatchArrival):
                self._hear_batch(arrival)
        for arrival in believed:
            if isinstance(arrival, LinkArrival):
                self._self_doubt.hear_link(arrival)
            elif isinstance(arrival, StateArrival):
                self._hear_state(arrival)
            elif isinstance(arrival, FloodArrival):
                self._floods.hear(arrival)
        for part in parts:
            self._judge_by(part)

    def _judge_by(self, part: Taken) -> None:
        """Fold what is new, on the disk or, while that is full, in memory alone: no room is silent because of it."""
        for kept in part.kept:
            if not self._unkept.is_judged(kept):
                self._fold(kept)
        for refused in part.refused:
            if self.view.is_welcome(refused.agent):
                for unkept in self._unkept.of(refused, self.view):
                    self._fold(unkept)

    def _hear_batch(self, arrival: BatchArrival) -> None:
        """That an agent sends at all, and what that tells of itself."""
        agent, now = arrival.agent, arrival.arrived_s
        if not self.view.is_welcome(agent):
            return
        offset_s = self._boots.offset_s(arrival)
        book = self.books.setdefault(agent, AgentBook())
        book.hear_batch(arrival, offset_s=offset_s, backlog_count=self._keeper.backlog_count(agent))
        self.watch.hear(agent, "online", "", now)
        room = self.view.room_of(agent, now)
        if room is not None:
            # A wrong clock is a finding about the room's PC, or about the one of several that it is.
            target = "pc" if len(self.view.agents_in(room.room)) == 1 else f"pc-{agent}"
            values = {"clock_offset_s": offset_s - self._self_doubt.own_clock_s}
            self.watch.fold(room.room, Reading(probe="agent", target=target, values=values), now, now)

    def _hear_state(self, arrival: StateArrival) -> None:
        if not self.view.is_welcome(arrival.agent):
            return
        state = arrival.state
        book = self.books.setdefault(arrival.agent, AgentBook())
        if state.refused and state.refused != book.trouble:
            log.error("%s refuses its plan, and goes on with the one it has: %s", arrival.agent, state.refused)
        book.hear_state(state)
        if arrival.retained and state.state == "online" and self.watch.is_lost(arrival.agent):
            return  # what the broker kept is no sign of life: it may not have noticed either
        self.watch.hear(arrival.agent, state.state, state.reason, arrival.arrived_s)

    def _fold(self, kept: Kept) -> None:
        book = self.books.setdefault(kept.agent, AgentBook())
        for reading in kept.record.readings:
            measured_s = kept.taken_s - reading.before_s
            book.lag_ms = max(0.0, (kept.arrived_s - kept.taken_s) * 1000)
            self.watch.fold(kept.room, reading, measured_s, kept.arrived_s, agent=kept.agent)

    # Reviews.

    @property
    def counts(self) -> Counts:
        """What was kept since the start."""
        return self._keeper.counts

    @property
    def broker_connected(self) -> bool:
        """Whether the broker is reachable."""
        return self._self_doubt.broker_connected

    @property
    def cloned_agents(self) -> frozenset[str]:
        """Agents as which two PCs speak."""
        return self._clones.agents

    def restored_agents(self, now: float) -> frozenset[str]:
        """Agents whose machine was lately set back to an earlier state of itself."""
        return self._clones.restored_agents(now)

    @property
    def flooding_agents(self) -> frozenset[str]:
        """Agents that send more than they may."""
        return self._floods.agents

    def doubt(self, now: float) -> Doubt:
        """Whether we could tell a silent room from our own deafness."""
        return self._self_doubt.doubt(now)

    def clock_stepped(self, step_s: float, now: float) -> None:
        """Our own wall clock was set forward (or back) by so many seconds: begin every wait anew, alert nobody yet."""
        log.warning("our own clock was set by %+.1f s; all waits begin anew", step_s)
        self._boots.shift(step_s)
        self._self_doubt.clock_stepped(now)
        self._pruning.clock_stepped()
        self._own_series.clock_stepped()
        self.watch.start_over(now)
        self._mains.recall(now)

    def review(self, now: float) -> None:
        """Judge every room, follow the incidents, tell people, keep the verdicts as series."""
        self.view = self._view(self.view)
        self.watch.set_rooms(self.view, self._plan_of, now)
        self.watch.cloned = self._clones.settle(self.view)
        self._self_doubt.look(self.books.values(), now)
        review = self.watch.review(now, doubt=self.doubt(now))
        self._own_series.keep(review, self.view, self.books, now)
        self._mains.keep()
        self._floods.forget(now)
        self._on_review(review, now)
        self._pruning.look(now)
