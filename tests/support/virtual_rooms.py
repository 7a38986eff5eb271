"""The collector's core over many rooms on a clock turned by hand; and agents of real spools and Forwarders.

The wire between them is a call. Incidents are on disk, as the program has them.
"""

import itertools
import queue
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from agent.forward import Forwarder, Pace
from bench.centre import enter_rooms
from collector.alerting.decide import Notice
from collector.alerting.incident import Change, Incidents, Policy
from collector.alerting.told import Told
from collector.inlet import Arrival, LinkArrival, read_arrival
from collector.line.waiting import Waiting
from collector.pipeline import Pipeline
from collector.rooms.registry import Registry
from collector.storage.cases import Cases
from collector.storage.database import open_database, sqlite_url
from collector.storage.recovery import open_journal
from collector.watch import Review, Watch
from contract.batch import encode_batch
from contract.messages import Ack
from contract.moment import Moment
from contract.names import Topic
from contract.reading import Reading, Record
from contract.spool import Spool, SpoolLimits
from readiness.profile import default_profiles

TICK_S: Final = 60.0
GRACE_S: Final = 120.0
POLICY: Final = Policy()
_GENERATIONS: Final = itertools.count(1)


def agent_of(number: int) -> str:
    """The name of a PC, and of the room in which it stands."""
    return f"pc-{number:02}"


class VirtualCentre:
    """The collector's core on a folder; another one on the same folder is the same collector started again."""

    def __init__(
        self,
        folder: Path,
        *,
        rooms: int,
        now: float,
        told: Told | None = None,
        keep_s: float = 2 * 86400.0,
        fed_id: Callable[[], int] = lambda: 0,
    ) -> None:
        """`told` is what the outbox knows, which outlives a restart."""
        if not (folder / "collector.db").exists():
            registry = enter_rooms(folder, [agent_of(number) for number in range(rooms)], now - 3600.0)
            for number in range(rooms):
                registry.set_contact(
                    agent_of(number), now - 3600.0, name="Lan", address="lan@example.vn", language="vi"
                )
        self._engine = open_database(sqlite_url(folder / "collector.db"))
        self.told = Told() if told is None else told
        self._cases = Cases(self._engine)
        self._acks: list[tuple[str, Ack]] = []
        self.changes: list[Change] = []
        self.notices: list[Notice] = []
        self.review: Review | None = None
        self.journal, self.damage = open_journal(folder / "journal.db", now)
        self._came: queue.Queue[Arrival] = queue.Queue()
        self._waiting = Waiting(self._came)
        self.pipeline = Pipeline(
            journal=self.journal,
            answers=self,
            view=Registry(self._engine).view,
            plan_of=lambda _room: None,
            watch=Watch(
                profiles=default_profiles(),
                policy=POLICY,
                incidents=Incidents(POLICY, self._cases.unfinished(now)),
                told=self.told,
                silent_after_s=180.0,
            ),
            on_review=self._on_review,
            generation=f"generation-{next(_GENERATIONS)}",
            grace_s=GRACE_S,
            keep_s=keep_s,
            fed_id=fed_id,
        )
        self.pipeline.recall(now)

    def acknowledge(self, agent: str, ack: Ack) -> None:
        """Note an ack, for whoever takes it to the agent."""
        self._acks.append((agent, ack))

    def take_acks(self) -> list[tuple[str, Ack]]:
        """The acks since the last call."""
        acks, self._acks = self._acks, []
        return acks

    def link(self, now: float, *, up: bool = True) -> None:
        """The broker is reachable, or lost."""
        self.pipeline.handle([LinkArrival(connected=up, reason="" if up else "gone", arrived_s=now)], now)

    def take(self, arrivals: Iterable[Arrival], now: float) -> None:
        """What has come goes the way that it goes in the program: by groups."""
        for one in arrivals:
            self._came.put(one)
        while group := self._waiting.gather(0.0):
            self.pipeline.handle(group, now)

    def _on_review(self, review: Review, now: float) -> None:
        self.review = review
        self.changes += review.changes
        self.notices += review.notices
        self._cases.save(review.changes)
        for notice in review.notices:
            self.told.queue(notice, now)

    def close(self) -> None:
        """Let go of the files."""
        self.journal.close()
        self._engine.dispose()


class VirtualAgent:
    """One PC: its wall clock and its monotonic clock are right, and go on while it is off."""

    def __init__(self, agent: str, path: Path | None, now: float, *, seed: int) -> None:
        """`path` None keeps its spool in memory."""
        self.agent = agent
        self._path = path
        self._began_s = now - 1000.0
        self._boots = itertools.count(1)
        self._chance = random.Random(seed)
        self.made: set[tuple[str, int]] = set()
        self.readings_count = 0
        self._boot(now)

    def _boot(self, now: float) -> None:
        self._booted_s = now - 30.0
        self.boot = f"{self.agent}-{next(self._boots)}"
        self.spool = Spool(self._path, SpoolLimits(), boot=self.boot, mono_s=30.0)
        self._forwarder = Forwarder(self.spool.epochs, pace=Pace(backlog_bps=1e9), chance=self._chance)

    def reboot(self, now: float) -> None:
        """The PC is switched off and on."""
        self.spool.close()
        self._boot(now)
        self._forwarder.connected(self.moment(now))

    def moment(self, now: float) -> Moment:
        """Its two clocks."""
        return Moment(boot=self.boot, mono_s=now - self._booted_s, wall_s=now)

    def connect(self, now: float) -> None:
        """The broker takes it."""
        self._forwarder.connected(self.moment(now))

    def disconnect(self) -> None:
        """The broker has gone."""
        self._forwarder.disconnected()

    def measure(self, now: float, readings: Sequence[Reading]) -> None:
        """Keep one record."""
        moment = self.moment(now)
        seq = self.spool.put(Record(taken=moment, readings=tuple(readings)), mono_s=moment.mono_s)
        self.made.add((self.spool.present.epoch, seq))
        self.readings_count += len(readings)

    def send(self, now: float) -> list[Arrival]:
        """All that is due now, as it arrives."""
        arrivals = []
        while (batch := self._forwarder.next(self.moment(now))) is not None:
            payload = encode_batch(batch)
            self._forwarder.sent(len(payload))
            topic = str(Topic(self.agent, "up", "batch"))
            arrivals.append(read_arrival(topic, payload, retained=False, arrived_s=now))
        return arrivals

    def hear(self, ack: Ack, now: float) -> None:
        """An ack has come."""
        self._forwarder.acked(ack, self.moment(now))

    @property
    def is_drained(self) -> bool:
        """Whether all is acknowledged."""
        return all(epoch.acked_upto == epoch.next_seq - 1 for epoch in self.spool.epochs)


def exchange(centre: VirtualCentre, agents: Sequence[VirtualAgent], now: float) -> None:
    """Let everything due go to the centre, and its acks back, until both are silent."""
    by_name = {agent.agent: agent for agent in agents}
    while arrivals := [one for agent in agents for one in agent.send(now)]:
        centre.take(arrivals, now)
        for agent, ack in centre.take_acks():
            by_name[agent].hear(ack, now)


def healthy() -> list[Reading]:
    """What a room in which a lesson works has to say."""
    values = {"sent_count": 10, "received_count": 10, "loss_ratio": 0.0, "rtt_p50_ms": 20.0}
    return [
        Reading(probe="ping", target="lesson-zoom", values=dict(values)),
        Reading(probe="dns", target="dns", values={"answer_ms": 10.0}),
    ]


def broken() -> list[Reading]:
    """The same when the lesson server cannot be reached."""
    values = {"sent_count": 10, "received_count": 0, "loss_ratio": 1.0}
    return [msgspec.structs.replace(healthy()[0], values=dict(values)), healthy()[1]]
