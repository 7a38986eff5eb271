"""Forwarder and Reception against each other, by whatever sequence of events hypothesis finds."""

import random
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.forward import Forwarder, Pace
from collector.line.reception import Reception
from contract.batch import Batch, decode_batch, encode_batch
from contract.messages import Ack
from contract.moment import Moment
from contract.reading import Reading, Record
from contract.spool import SpoolLimits
from tests.simulation.agent_disk import MemoryDisk, MemoryEpoch

Number = tuple[str, int]
"""Epoch and number of a record."""


class Delivery(RuleBasedStateMachine):
    """One agent, one collector, and a wire that loses, doubles and mixes up what is on it."""

    def __init__(self) -> None:
        super().__init__()
        self.mono_s = 100.0
        self.boot_count = 0
        self.disk = MemoryDisk(SpoolLimits(max_bytes=20_000), random.Random(1), may_lie=False)
        self.batches: list[Batch] = []
        self.acks: list[Ack] = []
        self.stored: dict[Number, Record] = {}
        self.kept: dict[Number, Record] = {}
        self.lost: set[Number] = set()
        self.forgotten: set[Number] = set()
        self.backup: tuple[dict[Number, Record], set[Number], dict[str, int]] = ({}, set(), {})
        self.upto: dict[str, int] = {}
        self.receptions: dict[str, Reception] = {}
        self.generation_count = 0
        self.boot()

    @property
    def now(self) -> Moment:
        return Moment(boot=f"boot-{self.boot_count}", mono_s=self.mono_s, wall_s=1.8e9)

    # The agent.

    @rule()
    def boot(self) -> None:
        self.boot_count += 1
        self.restart_agent()

    @rule()
    def restart_agent(self) -> None:
        self.disk.kill()
        self._spool = self.disk.open(boot=self.now.boot, mono_s=self.mono_s)
        self.forwarder = Forwarder(self._spool.epochs, pace=Pace(backlog_bps=1e6), chance=random.Random(1))
        self.is_connected = False

    @rule()
    def freeze_disk(self) -> None:
        self.disk.freeze()

    @rule()
    def boot_with_the_disk_as_it_was(self) -> None:
        self.disk.thaw()
        self.boot()

    @rule(count=st.integers(1, 12))
    def store(self, count: int) -> None:
        for _ in range(count):
            readings = tuple(Reading(probe="ping", target=f"t-{place}") for place in range(1 + count % 3))
            record = Record(taken=self.now, readings=readings)
            seq = self._spool.put(record, mono_s=self.mono_s)
            number = (self._spool.epochs[-1].epoch, seq)
            assert number not in self.stored, "given out twice"
            self.stored[number] = record

    @rule()
    def connect(self) -> None:
        self.forwarder.connected(self.now)
        self.is_connected = True

    @rule()
    def disconnect(self) -> None:
        self.forwarder.disconnected()
        self.is_connected = False

    @rule(wait_s=st.sampled_from((0.05, 1.0, 25.0, 1000.0)))
    def send(self, wait_s: float) -> None:
        self.mono_s += wait_s
        for _ in range(100):
            batch = self.forwarder.next(self.now)
            if batch is None:
                break
            payload = encode_batch(batch)
            self.forwarder.sent(len(payload))
            self.batches.append(decode_batch(payload))
            self.mono_s += 0.01
        else:
            raise AssertionError("it sends without end")

    # The wire.

    @precondition(lambda self: self.batches)
    @rule(place=st.integers(0, 50), is_doubled=st.booleans())
    def carry_batch(self, place: int, is_doubled: bool) -> None:  # noqa: FBT001 - hypothesis hands it over by name
        batch = self.batches[place % len(self.batches)]
        if not is_doubled:
            self.batches.remove(batch)
        self.receive(batch)

    @precondition(lambda self: self.batches)
    @rule()
    def carry_all(self) -> None:
        batches, self.batches = self.batches, []
        for batch in batches:
            self.receive(batch)

    @rule()
    def lose_batches(self) -> None:
        self.batches.clear()

    @rule(rounds=st.integers(1, 6))
    def work(self, rounds: int) -> None:
        """All goes well for a while."""
        if not self.is_connected:
            self.connect()
        for _ in range(rounds):
            self.send(5.0)
            self.carry_all()
            while self.acks:
                self.forwarder.acked(self.acks.pop(0), self.now)

    @precondition(lambda self: self.acks)
    @rule(place=st.integers(0, 50))
    def carry_ack(self, place: int) -> None:
        self.forwarder.acked(self.acks.pop(place % len(self.acks)), self.now)

    @rule()
    def lose_acks(self) -> None:
        self.acks.clear()

    # The collector.

    def receive(self, batch: Batch) -> None:
        ahead = [seq for epoch, seq in self.kept if epoch == batch.epoch]
        upto = self.upto.get(batch.epoch, 0)
        reception = self.receptions.setdefault(batch.epoch, Reception(upto, [seq for seq in ahead if seq > upto]))
        received = reception.receive(batch)
        for seq, record in zip(range(batch.first, batch.last + 1), batch.records, strict=True):
            if seq in received.new:
                assert (batch.epoch, seq) not in self.kept
                self.kept[batch.epoch, seq] = record
        for first, last in received.lost:
            self.lost |= {(batch.epoch, seq) for seq in range(first, last + 1)}
        self.upto[batch.epoch] = reception.upto
        generation = f"gen{self.generation_count}"
        self.acks.append(Ack(epoch=batch.epoch, upto=reception.upto, generation=generation, collector_s=0.0))

    @rule()
    def restart_collector(self) -> None:
        self.receptions.clear()
        self.generation_count += 1

    @rule()
    def back_up(self) -> None:
        self.backup = (dict(self.kept), set(self.lost), dict(self.upto))

    @rule()
    def restore(self) -> None:
        self.forgotten |= self.kept.keys() | self.lost
        self.kept, self.lost, self.upto = dict(self.backup[0]), set(self.backup[1]), dict(self.backup[2])
        self.acks.clear()  # what an earlier collector said has long arrived
        self.restart_collector()

    # What must hold.

    @invariant()
    def what_is_acknowledged_is_there(self) -> None:
        for epoch in self._spool.epochs:
            for seq in range(epoch.low, epoch.acked_upto + 1):
                number = (epoch.epoch, seq)
                assert number in self.kept or number in self.lost or number in self.forgotten

    @invariant()
    def what_is_kept_is_what_was_stored(self) -> None:
        assert self.kept.keys() <= self.stored.keys()
        assert self.lost.isdisjoint(self.kept)
        assert all(self.stored[number].readings == record.readings for number, record in self.kept.items())

    def teardown(self) -> None:
        """From here on all goes well; then everything that the agent has must be there, in a bounded time."""
        self.batches.clear()
        self.acks.clear()
        self.store(1)
        unsent = self.held(lambda epoch: epoch.acked_upto + 1)
        self.work(600)
        assert all(epoch.acked_upto == epoch.next_seq - 1 for epoch in self._spool.epochs)
        missing = (unsent | self.held(lambda epoch: epoch.low)) - self.kept.keys() - self.lost
        assert missing == set(), "held by the agent, and never delivered"

    def held(self, first: Callable[[MemoryEpoch], int]) -> set[Number]:
        """What the spool has of each epoch, from a number on."""
        return {
            (epoch.epoch, seq)
            for epoch in self._spool.epochs
            for seq in range(max(first(epoch), epoch.low), epoch.next_seq)
        }


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
