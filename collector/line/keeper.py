"""Keeps what arrived in one durable transaction, then acknowledges it: what is acknowledged is on disk.

Whatever fails before the commit is simply not acknowledged, and comes again.
"""

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from collector.inlet import Arrival, BadArrival, BatchArrival, StateArrival
from collector.ledger import Word
from collector.line.boots import Boots
from collector.line.quarantine import Quarantine
from collector.line.reception import Reception
from collector.line.remembered import Remembered
from collector.rooms.registry import RegistryView
from collector.storage.journal import Gap, Journal, JournalFull, Kept, Stream
from contract.durable_file import is_full
from contract.messages import Ack

log = logging.getLogger(__name__)

REFUSES: Final = "journal_refuses"
"""The problem of a journal that does not take what it is given."""
_PARTS_MAX_COUNT: Final = 8


class Answers(Protocol):
    """The way back to agents."""

    def acknowledge(self, agent: str, ack: Ack) -> None:
        """Tell an agent what is on our disk."""
        ...


class Counts(msgspec.Struct, kw_only=True):
    """Running totals since the start."""

    batches_total: int = 0
    records_total: int = 0
    duplicates_total: int = 0
    strangers_total: int = 0


class Taken(NamedTuple):
    """What became of a part of a group: records that are new on the disk, or batches that the journal refused."""

    kept: Sequence[Kept] = ()
    refused: Sequence[BatchArrival] = ()


class Keeper:
    """Owns the receptions of all agents, and is the only one that acknowledges."""

    def __init__(
        self, journal: Journal, boots: Boots, answers: Answers, *, generation: str, problems: set[str]
    ) -> None:
        """`problems` is where a journal that refuses is noted, until it has taken a record again."""
        self._journal = journal
        self._boots = boots
        self._answers = answers
        self._generation = generation
        self._problems = problems
        self._quarantine = Quarantine(journal)
        self._receptions: Remembered[Reception] = Remembered()
        self.counts = Counts()

    def take(self, arrivals: Sequence[Arrival], view: RegistryView, now: float) -> list[Taken]:
        """Keep all of it durably, and acknowledge what was kept.

        What is too much for one transaction on a full disk is kept in parts, an eighth of the group the smallest.
        """
        return self._take(arrivals, view, now, max(1, len(arrivals) // _PARTS_MAX_COUNT))

    def backlog_count(self, agent: str) -> int:
        """How many records of an agent are known to be still to come."""
        return sum(one.missing_count for one in self._receptions.of(agent))

    def _take(self, arrivals: Sequence[Arrival], view: RegistryView, now: float, least_count: int) -> list[Taken]:
        try:
            kept = self._store(arrivals, view)
        except sqlite3.Error as error:
            if len(arrivals) > least_count and _is_too_much(error):
                half = len(arrivals) // 2
                parts = (arrivals[:half], arrivals[half:])
                return [taken for part in parts for taken in self._take(part, view, now, least_count)]
            # Nothing of this group is acknowledged, so nothing is lost: the agents send it again.
            log.exception("the journal refused a group of %d arrivals", len(arrivals))
            self._problems.add(REFUSES)
            return [Taken(refused=[one for one in arrivals if isinstance(one, BatchArrival)])]
        self._boots.paid()
        if kept:  # what brings no record proves nothing
            self._problems.discard(REFUSES)
        self._acknowledge(arrivals, view, now)
        return [Taken(kept)]

    def _store(self, arrivals: Sequence[Arrival], view: RegistryView) -> list[Kept]:
        """Journal all of it in one durable transaction; the records that are new. Raises sqlite3.Error."""
        counts = msgspec.structs.replace(self.counts)
        try:
            with self._journal.transaction():
                self._boots.pay()
                for arrival in arrivals:
                    # All before any record is placed: of what was held up and came at once, the last tells best.
                    if isinstance(arrival, BatchArrival) and view.is_welcome(arrival.agent):
                        self._boots.learn(arrival)
                kept = [one for came in arrivals if isinstance(came, BatchArrival) for one in self._keep(came, view)]
                for arrival in arrivals:
                    if isinstance(arrival, BadArrival):
                        self._quarantine.put(arrival)
                    elif isinstance(arrival, StateArrival) and view.is_welcome(arrival.agent):
                        state = arrival.state
                        self._journal.save_word(Word(arrival.agent, arrival.arrived_s, state.state, state.reason))
        except sqlite3.Error:
            self.counts = counts
            self._receptions.clear()
            self._boots.refused()
            raise
        return kept

    def _keep(self, arrival: BatchArrival, view: RegistryView) -> list[Kept]:
        """The batch's records that are not repeats, journaled within the open transaction."""
        agent, batch, now = arrival.agent, arrival.batch, arrival.arrived_s
        if not view.is_welcome(agent):
            self.counts.strangers_total += 1
            self._quarantine.put(BadArrival(agent, "batch", "no agent of ours, or revoked", b"", now))
            return []
        reception = self._reception(agent, batch.epoch)
        received = reception.receive(batch)
        latest = {record.taken.boot: record.taken for record in batch.records}
        kept = []
        for seq, record in zip(range(batch.first, batch.last + 1), batch.records, strict=True):
            if seq not in received.new:
                continue
            placed = self._boots.clock_of(arrival, latest[record.taken.boot]).place(record.taken, now)
            room = view.room_of(agent, placed.taken_s)
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
        return kept

    def _reception(self, agent: str, epoch: str) -> Reception:
        reception = self._receptions.get(agent, epoch)
        if reception is None:
            upto = self._journal.upto(agent, epoch)
            reception = Reception(upto, self._journal.ahead(agent, epoch, upto))
            self._receptions.put(agent, epoch, reception)
        return reception

    def _acknowledge(self, arrivals: Iterable[Arrival], view: RegistryView, now: float) -> None:
        heard = {(one.agent, one.batch.epoch): None for one in arrivals if isinstance(one, BatchArrival)}
        for agent, epoch in heard:
            if view.is_welcome(agent):
                upto = self._reception(agent, epoch).upto
                self._answers.acknowledge(
                    agent, Ack(epoch=epoch, upto=upto, generation=self._generation, collector_s=now)
                )


def _is_too_much(error: sqlite3.Error) -> bool:
    """Whether the disk had no room for a transaction, and may have for a smaller one."""
    return isinstance(error, sqlite3.OperationalError) and is_full(error) and not isinstance(error, JournalFull)
