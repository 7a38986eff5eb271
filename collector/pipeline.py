"""Step 7 of the line and the thread that owns all state: keeps what arrived, acknowledges it, folds it, reviews rooms.

What is acknowledged is on disk. Whatever fails before the commit is simply not acknowledged, and comes again.
"""

import functools
import logging
import queue
import sqlite3
import statistics
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from collector.derived import OWN_NAME
from collector.inlet import Arrival, BadArrival, BatchArrival, FloodArrival, LinkArrival, StateArrival
from collector.journal import Boot, Gap, Journal, JournalFull, Kept, Stream
from collector.ledger import Word
from collector.outages import Outage
from collector.reception import Reception
from collector.registry import RegistryView, Room
from collector.timing import BootClock, clock_offset_s
from collector.twins import Twins
from collector.watch import Doubt, Review, Watch
from contract.batch import Batch
from contract.durable_file import is_full
from contract.messages import Ack
from contract.moment import Moment
from contract.plan import Plan
from contract.reading import Reading, Record

log = logging.getLogger(__name__)

T = TypeVar("T")
Values = dict[str, int | float]
REBUILD_S: Final = 3600.0
"""How far back the journal is read at a start to know again what was known."""
_DERIVE_EVERY_S: Final = 60.0
_GROUP_MAX_COUNT: Final = 200
"""As many agents as may speak in one transaction: each touches a page of every table, and on a full disk the
write-ahead log has room for little more than a thousand."""
_GROUP_MAX_READINGS: Final = 1000
"""How much backlog a transaction takes: some hundredths of a second, for which whatever is live may have to wait."""
_BACKLOG_MAX_COUNT: Final = 5000
_LIVE_WITHIN_S: Final = 180.0
_PARTS_MAX_COUNT: Final = 8
_STOOD_STILL_S: Final = 60.0
_OWN_CLOCK_S: Final = 30.0
"""What we are wrong by, by the word of most PCs, before we believe it; and within how much they must agree."""
_PCS_AGREE_S: Final = 5.0
_PCS_MIN_COUNT: Final = 3
_PCS_HEARD_S: Final = 600.0
_QUARANTINE_PER_MINUTE: Final = 20
_PRUNE_EVERY_S: Final = 60.0
_FLOOD_OVER_S: Final = 120.0
_SET_BACK_S: Final = 86400.0
_FLOODS_MAX_COUNT: Final = 1000
_REMEMBERED_MAX_COUNT: Final = 16
_BOOT_MOVED_S: Final = 0.05
_BOOT_NOTED_S: Final = 3600.0
_FORGET_S: Final = 200 * 86400.0
_FORGET_EVERY_S: Final = 3600.0


class Answers(Protocol):
    """The way back to agents."""

    def acknowledge(self, agent: str, ack: Ack) -> None:
        """Tell an agent what is on our disk."""
        ...


class AgentBook(msgspec.Struct, kw_only=True):
    """What is known of one agent, for its page and its series. Times are Unix seconds of our clock."""

    online: bool | None = None
    reason: str = ""
    version: str = ""
    trouble: str = ""
    heard_s: float | None = None
    offset_s: float | None = None
    backlog_count: int = 0
    made_count: int = 0
    dropped_count: int = 0
    batch_bytes: int = 0
    lag_ms: float = 0.0


class Counts(msgspec.Struct, kw_only=True):
    """Running totals since the start."""

    batches_total: int = 0
    records_total: int = 0
    duplicates_total: int = 0
    strangers_total: int = 0
    turned_away_total: int = 0


class _Known(msgspec.Struct, kw_only=True):
    """What is known of one boot, and what the journal has of it: since when, and when it was noted."""

    clock: BootClock
    noted_began_s: float = float("nan")
    noted_s: float = float("-inf")


class Remembered(Generic[T]):
    """By agent and name, the last few of each agent; the rest is in the journal."""

    def __init__(self) -> None:
        self._by_agent: dict[str, dict[str, T]] = {}

    def get(self, agent: str, name: str) -> T | None:
        """One, or None."""
        return self._by_agent.get(agent, {}).get(name)

    def put(self, agent: str, name: str, one: T) -> None:
        """Remember one, as the last of its agent."""
        mine = self._by_agent.setdefault(agent, {})
        mine[name] = one
        if len(mine) > _REMEMBERED_MAX_COUNT:
            del mine[next(iter(mine))]

    def of(self, agent: str) -> Iterable[T]:
        """Those of one agent."""
        return self._by_agent.get(agent, {}).values()

    def all(self) -> Iterator[T]:
        """Those of all agents."""
        for mine in self._by_agent.values():
            yield from mine.values()

    def clear(self) -> None:
        """Forget all: the journal knows."""
        self._by_agent.clear()


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
        self._answers = answers
        self._view = view
        self.view = view(None)
        self._plan_of = plan_of
        self.watch = watch
        self._on_review = on_review
        self.generation = generation
        self._grace_s = grace_s
        self._keep_s = keep_s
        self._fed_id = fed_id
        self._receptions: Remembered[Reception] = Remembered()
        self._boots: Remembered[_Known] = Remembered()
        self._owed_step_s = 0.0  # by how much our own clock was set, and the journal does not know yet
        self._twins = Twins(journal.twins())
        self._own_seq = 0
        self._pruned_s = self._forgot_s = float("-inf")
        self._derived_minute = float("-inf")
        self._suspects: Counter[str] = Counter()
        self._suspects_minute = 0
        self.books: dict[str, AgentBook] = {}
        self.counts = Counts()
        self.broker_connected = False
        self._link_since_s = 0.0
        """Since when the broker has been reachable, or lost."""
        self.problems: set[str] = set()
        self._judged_seqs: Remembered[int] = Remembered()
        """By agent and epoch, up to where rooms were judged by records while the journal refused them."""
        self._reviewed_s = self._stood_still_s = float("-inf")
        self._usual_pause_s = float("inf")
        """The shortest time between two reviews so far."""
        self._own_clock_s = 0.0
        """By how much our own clock is wrong, by the word of most PCs: their offset from us."""
        self._floods_s: dict[str, float] = {}
        """Agents that lately sent more than they may, and when."""

    def recall(self, now: float) -> None:
        """Know again what was known before the start, from the journal."""
        self.watch.set_rooms(self.view, self._plan_of, now)
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
        arrivals = self._believed(arrivals)
        self._understand(arrivals, self._take_in(arrivals, now, len(arrivals) // _PARTS_MAX_COUNT))

    def _take_in(self, arrivals: Sequence[Arrival], now: float, least_count: int) -> list[Kept]:
        """Keep and acknowledge; gives what rooms are to be judged by, which a journal that refuses does not change.

        What is too much for one transaction on a full disk is kept in parts, the smallest of `least_count` arrivals.
        """
        try:
            kept = self._store(arrivals)
        except sqlite3.Error as error:
            if len(arrivals) > max(1, least_count) and _is_too_much(error):
                half = len(arrivals) // 2
                parts = (arrivals[:half], arrivals[half:])
                return [one for part in parts for one in self._take_in(part, now, least_count)]
            # Nothing of this group is acknowledged, so nothing is lost: the agents send it again.
            log.exception("the journal refused a group of %d arrivals", len(arrivals))
            self.problems.add("journal_refuses")
            return [one for arrival in arrivals if isinstance(arrival, BatchArrival) for one in self._unkept(arrival)]
        self._owed_step_s = 0.0
        if kept:  # what brings no record proves nothing
            self.problems.discard("journal_refuses")
        self._acknowledge(arrivals, now)
        return [one for one in kept if one.seq > (self._judged_seqs.get(one.agent, one.epoch) or 0)]

    def _store(self, arrivals: Sequence[Arrival]) -> list[Kept]:
        """Journal all of it in one durable transaction; the records that are new. Raises sqlite3.Error."""
        counts = msgspec.structs.replace(self.counts)
        try:
            with self._journal.transaction():
                self._shift_boots()
                for arrival in arrivals:
                    # All before any record is placed: of what was held up and came at once, the last tells best.
                    if isinstance(arrival, BatchArrival) and self.view.is_welcome(arrival.agent):
                        self._learn_boot(arrival)
                kept = [one for arrival in arrivals if isinstance(arrival, BatchArrival) for one in self._keep(arrival)]
                for arrival in arrivals:
                    if isinstance(arrival, BadArrival):
                        self._put_aside(arrival)
                    elif isinstance(arrival, StateArrival) and self.view.is_welcome(arrival.agent):
                        state = arrival.state
                        self._journal.save_word(Word(arrival.agent, arrival.arrived_s, state.state, state.reason))
        except sqlite3.Error:
            self.counts = counts
            self._receptions.clear()
            for known in self._boots.all():
                known.noted_began_s = float("nan")  # what was learnt is still true, and not on the disk
            raise
        return kept

    def _understand(self, arrivals: Sequence[Arrival], records: Iterable[Kept]) -> None:
        for arrival in arrivals:
            if isinstance(arrival, LinkArrival):
                self._hear_link(arrival)
            elif isinstance(arrival, StateArrival):
                self._hear_state(arrival)
            elif isinstance(arrival, FloodArrival):
                self._hear_flood(arrival)
        for one in records:
            self._fold(one)

    def _unkept(self, arrival: BatchArrival) -> list[Kept]:
        """What a batch tells of the present though the journal refused it: rooms are judged by it all the same.

        It comes again, to be kept; it is not judged by twice, for its time would be another by a few milliseconds.
        """
        agent, batch, now = arrival.agent, arrival.batch, arrival.arrived_s
        if not self.view.is_welcome(agent):
            return []
        self._note(arrival)
        judged_seq = self._judged_seqs.get(agent, batch.epoch) or 0
        self._judged_seqs.put(agent, batch.epoch, max(judged_seq, batch.last))
        unkept = []
        for seq, record in zip(range(batch.first, batch.last + 1), batch.records, strict=True):
            if seq > judged_seq and record.taken.boot == batch.now.boot:
                taken_s = min(now, now - (batch.now.mono_s - record.taken.mono_s))
                room = self.view.room_of(agent, taken_s)
                name, province = (room.room, room.province) if room else ("", "")
                unkept.append(Kept(0, agent, batch.epoch, seq, name, province, now, taken_s, sure=True, record=record))
        return unkept

    def _believed(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """All but what comes from an identity that two PCs have: it is neither kept nor acknowledged, so both keep it
        until they have been told apart.
        """
        believed: list[Arrival] = []
        for arrival in arrivals:
            if isinstance(arrival, BatchArrival) and self.view.is_welcome(arrival.agent):
                self._look_for_twin(arrival)
            if not (isinstance(arrival, BatchArrival | StateArrival) and self._is_doubted(arrival.agent)):
                believed.append(arrival)
        return believed

    def _look_for_twin(self, arrival: BatchArrival) -> None:
        credential = self.view.agents[arrival.agent].token_sha256
        twin = self._twins.heard(arrival.agent, arrival.batch.now.boot, credential, arrival.arrived_s)
        if twin is not None:
            log.error("two PCs speak as %s: boots %s and %s; enrol it anew", twin.agent, *twin.boots)
            self._note_twin(lambda: self._journal.save_twin(twin))

    def _is_doubted(self, agent: str) -> bool:
        known = self.view.agents.get(agent)
        return known is not None and self._twins.is_doubted(agent, known.token_sha256)

    def _settle_twins(self) -> None:
        """Believe again who has been enrolled anew, or is no more; show the rooms of the others."""
        cloned: dict[str, float] = {}
        for twin in self._twins.doubted:
            if not self._is_doubted(twin.agent):
                log.info("%s has been enrolled anew: it is believed again", twin.agent)
                self._twins.settle(twin.agent)
                self.books.setdefault(twin.agent, AgentBook()).trouble = ""
                self._note_twin(functools.partial(self._journal.forget_twin, twin.agent))
                continue
            book = self.books.setdefault(twin.agent, AgentBook())
            book.trouble = f"2 x {twin.agent}: {twin.boots[0][:8]}, {twin.boots[1][:8]}"
            room = self.view.agents[twin.agent].room
            if room is not None and all(self._is_doubted(agent) for agent in self.view.agents_in(room)):
                cloned[room] = twin.noticed_s
        self.watch.cloned = cloned
        if self._twins.doubted:
            self.problems.add("agent_cloned")
        else:
            self.problems.discard("agent_cloned")

    def _note_twin(self, work: Callable[[], None]) -> None:
        try:
            with self._journal.transaction():
                work()
        except sqlite3.Error:
            log.exception("the journal refused to note that an identity is doubted, or is not any more")

    def _keep(self, arrival: BatchArrival) -> list[Kept]:
        """The batch's records that are not repeats, journaled within the open transaction."""
        agent, batch, now = arrival.agent, arrival.batch, arrival.arrived_s
        if not self.view.is_welcome(agent):
            self.counts.strangers_total += 1
            self._put_aside(BadArrival(agent, "batch", "no agent of ours, or revoked", b"", now))
            return []
        reception = self._reception(agent, batch.epoch)
        received = reception.receive(batch)
        latest = {record.taken.boot: record.taken for record in batch.records}
        kept = []
        for seq, record in zip(range(batch.first, batch.last + 1), batch.records, strict=True):
            if seq not in received.new:
                continue
            placed = self._boot_of(arrival, latest[record.taken.boot]).place(record.taken, now)
            room = self.view.room_of(agent, placed.taken_s)
            name, province = (room.room, room.province) if room else ("", "")
            one = Kept(0, agent, batch.epoch, seq, name, province, now, placed.taken_s, placed.sure, record)
            if self._journal.keep(one):
                kept.append(one)
        for first, last in received.lost:
            self._journal.save_gap(Gap(agent, batch.epoch, first, last, now))
            log.warning("%s gave up records %d to %d", agent, first, last)
        self._journal.save_stream(
            Stream(agent, batch.epoch, reception.upto, batch.made_count, batch.dropped_count, now)
        )
        self.counts.batches_total += 1
        self.counts.records_total += len(kept)
        self.counts.duplicates_total += len(batch.records) - len(kept)
        self._note(arrival)
        return kept

    def _reception(self, agent: str, epoch: str) -> Reception:
        reception = self._receptions.get(agent, epoch)
        if reception is None:
            upto = self._journal.upto(agent, epoch)
            reception = Reception(upto, self._journal.ahead(agent, epoch, upto))
            self._receptions.put(agent, epoch, reception)
        return reception

    def _learn_boot(self, arrival: BatchArrival) -> None:
        agent, written = arrival.agent, arrival.batch.now
        known = self._boot(agent, written.boot)
        if known is None:
            known = _Known(clock=BootClock.heard(written, arrival.arrived_s))
            self._boots.put(agent, written.boot, known)
        else:
            known.clock.hear(written, arrival.arrived_s)
        for record in arrival.batch.records:
            if record.taken.boot == written.boot:
                known.clock.look(record.taken)
                break  # those that follow are later
        self._note_boot(agent, written.boot, known, arrival.arrived_s)

    def _boot(self, agent: str, boot: str) -> _Known | None:
        known = self._boots.get(agent, boot)
        if known is None and (noted := self._journal.boot(agent, boot)) is not None:
            clock = BootClock(
                began_s=noted.began_s,
                wall_began_s=noted.wall_began_s,
                sure=noted.sure,
                told_mono_s=noted.heard_s - noted.began_s,
            )
            known = _Known(clock=clock, noted_began_s=noted.began_s, noted_s=noted.heard_s)
            self._boots.put(agent, boot, known)
        return known

    def _boot_of(self, arrival: BatchArrival, latest: Moment) -> BootClock:
        """The clock of a record's boot; `latest` is the batch's last moment in it."""
        known = self._boot(arrival.agent, latest.boot)
        if known is None:
            present = self._boot(arrival.agent, arrival.batch.now.boot)
            assert present is not None  # noqa: S101 - learnt a moment ago
            known = _Known(clock=BootClock.estimated(latest, present.clock))
            self._boots.put(arrival.agent, latest.boot, known)
            self._note_boot(arrival.agent, latest.boot, known, arrival.arrived_s)
        return known.clock

    def _note_boot(self, agent: str, boot: str, known: _Known, now: float) -> None:
        clock = known.clock
        is_still = abs(clock.began_s - known.noted_began_s) <= _BOOT_MOVED_S
        if not is_still or abs(now - known.noted_s) >= _BOOT_NOTED_S:
            told_s = clock.told_s if clock.sure else now  # what was only estimated is not forgotten before its time
            self._journal.save_boot(Boot(agent, boot, clock.began_s, clock.wall_began_s, clock.sure, told_s))
            known.noted_began_s, known.noted_s = clock.began_s, now

    def _note(self, arrival: BatchArrival) -> None:
        batch = arrival.batch
        book = self.books.setdefault(arrival.agent, AgentBook())
        book.heard_s = arrival.arrived_s
        # By the shortest delay seen in this boot: a slow link alone must not make a right clock look wrong.
        known = self._boots.get(arrival.agent, batch.now.boot)
        began_s = known.clock.began_s if known else arrival.arrived_s - batch.now.mono_s
        book.offset_s = clock_offset_s(batch.now, began_s + batch.now.mono_s)
        book.backlog_count = sum(one.missing_count for one in self._receptions.of(arrival.agent))
        if batch.records[-1].taken.boot == batch.now.boot:  # else it counts for an epoch of the past
            book.made_count, book.dropped_count = batch.made_count, batch.dropped_count
        book.batch_bytes = arrival.size_bytes
        if book.online is None:
            book.online = True
        self.watch.hear(arrival.agent, "online", "", arrival.arrived_s)
        self._judge_clock(arrival.agent, book.offset_s, arrival.arrived_s)

    def _judge_clock(self, agent: str, offset_s: float, now: float) -> None:
        """A wrong clock is a finding about the room's PC, or about the one of several that it is."""
        room = self.view.room_of(agent, now)
        if room is not None:
            target = "pc" if len(self.view.agents_in(room.room)) == 1 else f"pc-{agent}"
            reading = Reading(probe="agent", target=target, values={"clock_offset_s": offset_s - self._own_clock_s})
            self.watch.fold(room.room, reading, now, now)

    def _put_aside(self, arrival: BadArrival) -> None:
        minute = int(arrival.arrived_s // 60)
        if minute != self._suspects_minute:
            self._suspects_minute = minute
            self._suspects.clear()
        self._suspects[arrival.agent] += 1
        if self._suspects[arrival.agent] == 1:
            log.warning("put a message of %r aside: %s", arrival.agent or arrival.topic, arrival.why)
        if self._suspects[arrival.agent] <= _QUARANTINE_PER_MINUTE:
            self._journal.save_quarantined(arrival.arrived_s, arrival.agent, arrival.topic, arrival.why, arrival.body)

    def _acknowledge(self, arrivals: Iterable[Arrival], now: float) -> None:
        heard = {(one.agent, one.batch.epoch): None for one in arrivals if isinstance(one, BatchArrival)}
        for agent, epoch in heard:
            if self.view.is_welcome(agent):
                upto = self._reception(agent, epoch).upto
                ack = Ack(epoch=epoch, upto=upto, generation=self.generation, collector_s=now)
                self._answers.acknowledge(agent, ack)

    def _hear_link(self, arrival: LinkArrival) -> None:
        if arrival.connected != self.broker_connected or not self._link_since_s:
            log.info("the broker is reachable") if arrival.connected else log.error("no broker: %s", arrival.reason)
            self._link_since_s = arrival.arrived_s
        self.broker_connected = arrival.connected
        if arrival.connected:
            self.problems.discard("broker_lost")
        else:
            self.problems.add("broker_lost")

    def _hear_flood(self, arrival: FloodArrival) -> None:
        if arrival.agent not in self._floods_s:
            log.error("%s floods: turned away %d of its messages", arrival.agent or "nobody", arrival.refused_count)
        self.counts.turned_away_total += arrival.refused_count
        if len(self._floods_s) < _FLOODS_MAX_COUNT or arrival.agent in self._floods_s:
            self._floods_s[arrival.agent] = arrival.arrived_s
        self.problems.add("agent_floods")

    def _forget_floods(self, now: float) -> None:
        for agent, at_s in list(self._floods_s.items()):
            if abs(now - at_s) > _FLOOD_OVER_S:
                log.info("%s floods no more", agent or "nobody")
                del self._floods_s[agent]
        if not self._floods_s:
            self.problems.discard("agent_floods")

    def _hear_state(self, arrival: StateArrival) -> None:
        if not self.view.is_welcome(arrival.agent):
            return
        state = arrival.state
        book = self.books.setdefault(arrival.agent, AgentBook())
        book.online, book.reason = state.state == "online", state.reason
        book.version = state.version or book.version
        if state.refused and state.refused != book.trouble:
            log.error("%s refuses its plan, and goes on with the one it has: %s", arrival.agent, state.refused)
        book.trouble = state.refused
        if arrival.retained and state.state == "online" and self.watch.is_lost(arrival.agent):
            return  # what the broker kept is no sign of life: it may not have noticed either
        self.watch.hear(arrival.agent, state.state, state.reason, arrival.arrived_s)

    def _fold(self, kept: Kept) -> None:
        book = self.books.setdefault(kept.agent, AgentBook())
        for reading in kept.record.readings:
            measured_s = kept.taken_s - reading.before_s
            book.lag_ms = max(0.0, (kept.arrived_s - kept.taken_s) * 1000)
            self.watch.fold(kept.room, reading, measured_s, kept.arrived_s)

    # Reviews.

    @property
    def cloned_agents(self) -> frozenset[str]:
        """Agents as which two PCs speak."""
        return frozenset(twin.agent for twin in self._twins.doubted)

    def restored_agents(self, now: float) -> frozenset[str]:
        """Agents whose machine was lately set back to an earlier state of itself."""
        return self._twins.set_back(now, _SET_BACK_S)

    @property
    def flooding_agents(self) -> frozenset[str]:
        """Agents that send more than they may."""
        return frozenset(agent for agent in self._floods_s if agent)

    def doubt(self, now: float) -> Doubt:
        """Whether we could tell a silent room from our own deafness."""
        if not self.broker_connected:
            return Doubt(blind_since_s=self._link_since_s) if self._link_since_s else Doubt(is_settling=True)
        since_s = max(self._link_since_s, self._stood_still_s)
        return Doubt(is_settling=0 <= now - since_s < self._grace_s)

    def _look_at_ourselves(self, now: float) -> None:
        """Whether we stood still since the last review, and whether it is our clock that is wrong."""
        pause_s = now - self._reviewed_s
        self._reviewed_s = now
        if pause_s > _STOOD_STILL_S + 2 * self._usual_pause_s:
            # Asleep, or the disk took so long: what rooms said meanwhile is still waiting, or was never heard.
            log.warning("stood still for %.0f s; nobody is taken for silent for a while", pause_s)
            self._stood_still_s = now
        elif pause_s > 0:
            self._usual_pause_s = min(self._usual_pause_s, pause_s)
        self._look_at_own_clock(now)

    def _look_at_own_clock(self, now: float) -> None:
        """When most PCs agree that it is another time, we are wrong, and not all of them."""
        offsets_s = [
            book.offset_s
            for book in self.books.values()
            if book.offset_s is not None and book.heard_s is not None and abs(now - book.heard_s) <= _PCS_HEARD_S
        ]
        own_s = 0.0
        if len(offsets_s) >= _PCS_MIN_COUNT:
            middle_s = statistics.median_low(offsets_s)
            agreeing_count = sum(abs(one_s - middle_s) <= _PCS_AGREE_S for one_s in offsets_s)
            if abs(middle_s) > _OWN_CLOCK_S and 2 * agreeing_count > len(offsets_s):
                own_s = middle_s
        if bool(own_s) != bool(self._own_clock_s):
            if own_s:
                log.error(
                    "our own clock is wrong: %d of %d PCs are %+.0f s ahead", agreeing_count, len(offsets_s), own_s
                )
            else:
                log.info("our own clock is right again")
        self._own_clock_s = own_s

    def clock_stepped(self, step_s: float, now: float) -> None:
        """Our own wall clock was set forward (or back) by so many seconds: begin every wait anew, alert nobody yet."""
        log.warning("our own clock was set by %+.1f s; all waits begin anew", step_s)
        for known in self._boots.all():
            known.clock.shift(step_s)
            known.noted_began_s += step_s
            known.noted_s += step_s
        self._owed_step_s += step_s
        try:
            with self._journal.transaction():
                self._shift_boots()
        except sqlite3.Error:
            log.exception("the journal refused to take over the step of the clock; it is offered again")
        else:
            self._owed_step_s = 0.0
        self._link_since_s = now
        self._stood_still_s = float("-inf")
        self._pruned_s = float("-inf")
        self._derived_minute = float("-inf")
        self.watch.start_over(now)

    def _shift_boots(self) -> None:
        """Let the boots that only the journal knows follow the steps of our own clock."""
        if self._owed_step_s:
            self._journal.shift_boots(self._owed_step_s)

    def review(self, now: float) -> None:
        """Judge every room, follow the incidents, tell people, keep the verdicts as series."""
        self.view = self._view(self.view)
        self.watch.set_rooms(self.view, self._plan_of, now)
        self._settle_twins()
        self._look_at_ourselves(now)
        review = self.watch.review(now, doubt=self.doubt(now))
        minute = now // _DERIVE_EVERY_S  # by the clock's minutes, so that an hour has sixty verdicts
        due = minute != self._derived_minute
        self._derived_minute = minute
        self._derive(review, now, everything=due)
        self._forget_floods(now)
        self._on_review(review, now)
        if abs(now - self._pruned_s) >= _PRUNE_EVERY_S:
            self._pruned_s = now
            self._prune(now)

    def _prune(self, now: float) -> None:
        before_s = now - self._keep_s
        try:
            self._journal.prune(fed_id=self._fed_id(), before_s=before_s)  # in small transactions of its own
            if abs(now - self._forgot_s) >= _FORGET_EVERY_S:
                with self._journal.transaction():
                    self._journal.forget(now - _FORGET_S)
                self._forgot_s = now
        except sqlite3.Error:
            log.exception("the journal refused to let go of what is old")
            self.problems.add("journal_refuses")

    def _derive(self, review: Review, now: float, *, everything: bool) -> None:
        """Keep what we made of the readings the way readings are kept: once a minute, and whenever a level changes."""
        outages = {one.room: one for one in review.outages}
        rooms = review.verdicts if everything else {*review.changed, *outages}
        try:
            with self._journal.transaction():
                for name in rooms:
                    self._keep_derived(name, self._derived_readings(name, review, outages.get(name)), now)
        except sqlite3.Error:
            log.exception("the journal refused our own verdicts")
            self.problems.add("journal_refuses")

    def _derived_readings(self, room: str, review: Review, outage: Outage | None) -> list[Reading]:
        verdict = review.verdicts[room]
        top = verdict.findings[0].code if verdict.findings else ""
        level: Values = {"level_code": verdict.level.value, "findings_count": len(verdict.findings)}
        readings = [Reading(probe="verdict", target="room", values=level, detail=top)]
        for finding in verdict.findings:
            values: Values = {"level_code": finding.level.value}
            readings.append(
                Reading(probe="finding", target=finding.target or "room", values=values, detail=finding.code)
            )
        readings += [_outage_reading(outage)] if outage is not None else []
        for agent in self.view.agents_in(room):
            book = self.books.get(agent)
            readings += [Reading(probe="agent", target=agent, values=_book_values(book))] if book else []
        return readings

    def _keep_derived(self, room: str, readings: list[Reading], now: float) -> None:
        found = self.view.rooms.get(room)
        province = found.province if found else ""
        while readings:  # two findings of one target need two records: a record holds each probe and target once
            unique = {(reading.probe, reading.target): reading for reading in reversed(readings)}
            readings = [reading for reading in readings if reading not in unique.values()]
            self._own_seq += 1
            record = Record(taken=Moment(boot=self.generation, mono_s=0.0, wall_s=now), readings=tuple(unique.values()))
            own = Kept(0, OWN_NAME, self.generation, self._own_seq, room, province, now, now, sure=True, record=record)
            self._journal.keep(own)


def _outage_reading(outage: Outage) -> Reading:
    why = outage.explanation
    values: Values = {"cause_code": why.cause.number, "certainty_code": why.certainty.value}
    if (lasted_s := outage.silence.lasted_s) is not None:
        values["lasted_s"] = lasted_s
    return Reading(probe="outage", target="room", values=values, detail=why.cause)


def _book_values(book: AgentBook) -> Values:
    values: Values = {
        "backlog_count": book.backlog_count,
        "made_total": book.made_count,
        "dropped_total": book.dropped_count,
        "batch_bytes": book.batch_bytes,
        "lag_ms": book.lag_ms,
    }
    if book.online is not None:
        values["online_bool"] = int(book.online)
    if book.offset_s is not None:
        values["clock_offset_s"] = round(book.offset_s, 3)
    return values


def _is_too_much(error: sqlite3.Error) -> bool:
    """Whether the disk had no room for a transaction, and may have for a smaller one."""
    return isinstance(error, sqlite3.OperationalError) and is_full(error) and not isinstance(error, JournalFull)


class Waiting:
    """What has come and waits for the pipeline: gives it out in groups, what tells of the present before any backlog.

    What one agent sent stays in its order, except that live records overtake its own backlog of the same boot.
    """

    def __init__(self, arrivals: "queue.Queue[Arrival]") -> None:
        self._arrivals = arrivals
        self._backlog: deque[BatchArrival] = deque()

    def gather(self, wait_s: float) -> list[Arrival]:
        """What one transaction is to take, waiting for the first at most `wait_s`: all that is live, some backlog."""
        group: list[Arrival] = []
        try:
            self._sort(self._arrivals.get(timeout=0.0 if self._backlog else wait_s), group)
            while len(group) < _GROUP_MAX_COUNT:
                self._sort(self._arrivals.get_nowait(), group)
        except queue.Empty:
            pass
        readings_count = 0
        while self._backlog and len(group) < _GROUP_MAX_COUNT and readings_count < _GROUP_MAX_READINGS:
            readings_count += sum(len(record.readings) for record in self._backlog[0].batch.records)
            group.append(self._backlog.popleft())
        return group

    def _sort(self, arrival: Arrival, group: list[Arrival]) -> None:
        if isinstance(arrival, BatchArrival):
            if not _is_live(arrival.batch):
                # Beyond this it is passed over: unacknowledged, it comes again, and meanwhile what is live is found.
                if len(self._backlog) < _BACKLOG_MAX_COUNT:
                    self._backlog.append(arrival)
                return
            self._let_out(group, arrival.agent, but_of=arrival.batch.now.boot)
        elif isinstance(arrival, StateArrival):
            self._let_out(group, arrival.agent, but_of="")
        group.append(arrival)

    def _let_out(self, group: list[Arrival], agent: str, *, but_of: str) -> None:
        """Let an agent's backlog go first if what comes now would contradict it: a goodbye, or another boot."""
        out = [one for one in self._backlog if one.agent == agent]
        if any(one.batch.now.boot != but_of for one in out):
            group += out
            self._backlog = deque(one for one in self._backlog if one.agent != agent)


def _is_live(batch: Batch) -> bool:
    """Whether it tells of the present."""
    newest = batch.records[-1].taken
    return newest.boot == batch.now.boot and batch.now.mono_s - newest.mono_s <= _LIVE_WITHIN_S
