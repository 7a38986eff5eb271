"""The collector: the shipping Pipeline over a journal in memory or the real one, killed, filled, and put back."""

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, cast

from collector.alerting.incident import Incidents, Policy
from collector.alerting.told import Told
from collector.derived import OWN_NAME
from collector.inlet import Arrival, BatchArrival, LinkArrival, read_arrival
from collector.ledger import Word
from collector.line.twins import Twin
from collector.pipeline import Pipeline
from collector.rooms.registry import Agent, RegistryView, Room, Standing
from collector.storage.journal import Boot, Gap, Journal, Kept, Stream
from collector.watch import Watch
from contract.messages import Ack, encode_small
from contract.names import Topic
from readiness.mains import Word as MainsWord
from readiness.profile import default_profiles
from tests.simulation.engine import Engine, Killed
from tests.simulation.network import Broker
from tests.simulation.truth import Key, Truth

_BACKUPS_KEPT = 4
_LOOP_S = 1.0
_WRITES_BETWEEN_REFUSALS = 8
_STEP_S = 2.0


class OnCommit(Protocol):
    """What a journal of the simulation tells, and asks, as it works."""

    def cross(self) -> None:
        """It is about to do something: the process may end here, or the disk refuse."""
        ...

    def committed(self, rows: list[Kept], gaps: list[Gap]) -> None:
        """A transaction is durable."""
        ...


class _State:
    """What a `MemoryJournal` has on disk."""

    def __init__(self) -> None:
        self.kept: dict[Key, Kept] = {}
        self.ahead: dict[tuple[str, str], set[int]] = {}
        self.streams: dict[tuple[str, str], Stream] = {}
        self.gaps: dict[tuple[str, str, int], Gap] = {}
        self.boots: dict[tuple[str, str], Boot] = {}
        self.mains: dict[tuple[str, str], tuple[str, list[MainsWord]]] = {}
        self.last_id = 0

    def copy(self) -> "_State":
        twin = _State()
        twin.kept = dict(self.kept)
        twin.ahead = {key: set(seqs) for key, seqs in self.ahead.items()}
        twin.streams, twin.gaps, twin.boots = dict(self.streams), dict(self.gaps), dict(self.boots)
        twin.mains = dict(self.mains)
        twin.last_id = self.last_id
        return twin


class MemoryJournal:
    """What the journal promises to the Pipeline, in memory. A transaction that ends early did not happen."""

    def __init__(self, state: _State, on_commit: OnCommit) -> None:
        self.state = state
        self._on_commit = on_commit
        self._undo: list[Callable[[], None]] = []
        self._rows: list[Kept] = []
        self._gaps: list[Gap] = []

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self._on_commit.cross()
        self._undo, self._rows, self._gaps = [], [], []
        try:
            yield
            self._on_commit.cross()
        except BaseException:
            for undo in reversed(self._undo):
                undo()
            raise
        self._on_commit.committed(self._rows, self._gaps)

    def keep(self, kept: Kept) -> bool:
        self._on_commit.cross()
        key = (kept.agent, kept.epoch, kept.seq)
        if kept.agent == OWN_NAME:
            return True
        seqs = self.state.ahead.setdefault(key[:2], set())
        if kept.seq in seqs:
            return False
        self.state.last_id += 1
        self.state.kept[key] = kept
        seqs.add(kept.seq)

        def undo() -> None:
            del self.state.kept[key]
            seqs.discard(kept.seq)

        self._undo.append(undo)
        self._rows.append(kept)
        return True

    def save_stream(self, stream: Stream) -> None:
        self._on_commit.cross()
        self._set(self.state.streams, (stream.agent, stream.epoch), stream)

    def save_gap(self, gap: Gap) -> None:
        if (gap.agent, gap.epoch, gap.first) not in self.state.gaps:
            self._set(self.state.gaps, (gap.agent, gap.epoch, gap.first), gap)
            self._gaps.append(gap)

    def save_boot(self, boot: Boot) -> None:
        self._set(self.state.boots, (boot.agent, boot.boot), boot)

    def _set(self, table: dict, key: tuple, value: object) -> None:  # type: ignore[type-arg]  # any table of the state
        before = table.get(key)

        def undo() -> None:
            if before is None:
                del table[key]
            else:
                table[key] = before

        table[key] = value
        self._undo.append(undo)

    def boot(self, agent: str, boot: str) -> Boot | None:
        return self.state.boots.get((agent, boot))

    def shift_boots(self, step_s: float) -> None:
        for key, boot in list(self.state.boots.items()):
            self._set(
                self.state.boots, key, boot._replace(began_s=boot.began_s + step_s, heard_s=boot.heard_s + step_s)
            )
        for whose, (room, words) in list(self.state.mains.items()):
            moved = [word._replace(at_s=word.at_s + step_s) for word in words]
            self._set(self.state.mains, whose, (room, moved))

    def save_mains(self, agent: str, target: str, room: str, words: Iterable[MainsWord]) -> None:
        self._set(self.state.mains, (agent, target), (room, list(words)))

    def mains(self) -> dict[tuple[str, str, str], list[MainsWord]]:
        return {(*whose, room): words for whose, (room, words) in self.state.mains.items()}

    def upto(self, agent: str, epoch: str) -> int:
        stream = self.state.streams.get((agent, epoch))
        return stream.upto if stream else 0

    def ahead(self, agent: str, epoch: str, upto: int) -> list[int]:
        return sorted(seq for seq in self.state.ahead.get((agent, epoch), ()) if seq > upto)

    def since(self, arrived_s: float) -> Iterator[Kept]:
        return iter([kept for kept in self.state.kept.values() if kept.arrived_s > arrived_s])

    def prune(self, *, fed_id: int, before_s: float) -> int:
        """The rows stay, for the truth to look at; what the Pipeline may still ask for is what `prune` leaves."""
        del fed_id
        for key, seqs in self.state.ahead.items():
            upto = self.upto(*key)
            old = [seq for seq in seqs if seq <= upto and self.state.kept[*key, seq].arrived_s < before_s]
            seqs.difference_update(old)
        return 0

    def forget(self, before_s: float) -> None:
        """A run is shorter than what is kept."""

    def save_word(self, word: Word) -> None:
        """Not looked at here."""

    def last_words(self) -> list[Word]:
        return []

    def save_twin(self, twin: Twin) -> None:
        raise AssertionError(f"there is one PC of each name, and yet a twin was seen: {twin}")

    def twins(self) -> list[Twin]:
        return []


class WatchedJournal(Journal):
    """The real journal, which tells what it commits."""

    def __init__(self, path: Path, on_commit: OnCommit) -> None:
        super().__init__(path)
        self._on_commit = on_commit
        self._rows: list[Kept] = []
        self._declared: list[Gap] = []

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self._on_commit.cross()
        self._rows, self._declared = [], []
        with super().transaction():
            yield
            self._on_commit.cross()
        self._on_commit.committed(self._rows, self._declared)

    def keep(self, kept: Kept) -> bool:
        self._on_commit.cross()
        is_new = super().keep(kept)
        if is_new and kept.agent != OWN_NAME:
            self._rows.append(kept)
        return is_new

    def save_gap(self, gap: Gap) -> None:
        super().save_gap(gap)
        self._declared.append(gap)


class Shelf(Protocol):
    """Where the journal lies, and its backups."""

    def open(self, on_commit: OnCommit) -> "Journal | MemoryJournal": ...
    def kill(self) -> None:
        """The process is gone; what it was writing did not happen."""
        ...

    def back_up(self) -> None: ...
    def restore(self, age: int) -> bool:
        """Be as an earlier backup was, the newest having the age 0; False when there is none."""
        ...

    def contents(self) -> tuple[dict[Key, Kept], list[Gap]]:
        """What is durable."""
        ...


class MemoryShelf:
    """Keeps a `MemoryJournal`."""

    def __init__(self) -> None:
        self._state = _State()
        self._backups: list[_State] = []

    def open(self, on_commit: OnCommit) -> MemoryJournal:
        return MemoryJournal(self._state, on_commit)

    def kill(self) -> None:
        """Whatever was committed is in the state, and nothing else."""

    def back_up(self) -> None:
        self._backups = [self._state.copy(), *self._backups][:_BACKUPS_KEPT]

    def restore(self, age: int) -> bool:
        if age >= len(self._backups):
            return False
        self._state = self._backups[age].copy()
        self._backups = self._backups[age:]
        return True

    def contents(self) -> tuple[dict[Key, Kept], list[Gap]]:
        return dict(self._state.kept), list(self._state.gaps.values())


class SqliteShelf:
    """A folder that holds the real journal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._life = 0
        self._journal: WatchedJournal | None = None
        self._backups: list[Path] = []
        self._backups_count = 0
        self._now().mkdir(parents=True)

    def _now(self) -> Path:
        return self._folder / f"life-{self._life}"

    def open(self, on_commit: OnCommit) -> WatchedJournal:
        self._journal = WatchedJournal(self._now() / "journal.db", on_commit)
        return self._journal

    def kill(self) -> None:
        before, self._life = self._now(), self._life + 1
        self._now().mkdir()
        for file in before.iterdir():
            if not file.name.endswith("-shm"):
                shutil.copyfile(file, self._now() / file.name)
        if self._journal is not None:
            if self._journal._db.in_transaction:
                self._journal._db.execute("ROLLBACK")
            self._journal._file.close()
        self._journal = None
        shutil.rmtree(before)

    def back_up(self) -> None:
        self._backups_count += 1
        target = self._folder / f"backup-{self._backups_count}.db"
        with (
            contextlib.closing(sqlite3.connect(self._now() / "journal.db")) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
        self._backups = [target, *self._backups][:_BACKUPS_KEPT]

    def restore(self, age: int) -> bool:
        if age >= len(self._backups):
            return False
        shutil.rmtree(self._now())
        self._life += 1
        self._now().mkdir()
        shutil.copyfile(self._backups[age], self._now() / "journal.db")
        self._backups = self._backups[age:]
        return True

    def contents(self) -> tuple[dict[Key, Kept], list[Gap]]:
        with contextlib.closing(Journal(self._now() / "journal.db")) as journal:
            kept = {(one.agent, one.epoch, one.seq): one for one in journal.since(float("-inf"))}
            return {key: one for key, one in kept.items() if key[0] != OWN_NAME}, journal.gaps()


class Centre:
    """One collector after another, over the same journal."""

    def __init__(
        self,
        agents: list[str],
        *,
        engine: Engine,
        truth: Truth,
        broker: Broker,
        shelf: Shelf,
        chance: random.Random,
        ahead_s: float,
    ) -> None:
        self._engine = engine
        self._truth = truth
        self._broker = broker
        self._shelf = shelf
        self._chance = chance
        self.ahead_s = ahead_s
        """How far our own clock is ahead of the truth."""
        self.busy_s = (0.002, 0.05)
        self.journal_refuses = False
        self._writes_left = 0
        self._view = _registry_of(agents)
        self._pipeline: Pipeline | None = None
        self._life = 0
        self._crossings_left: int | None = None
        self._inbox: list[tuple[Arrival, float]] = []
        self._is_woken = False
        self._in_hand: list[tuple[Arrival, float]] = []
        self._stepped_s = 0.0

    @property
    def is_up(self) -> bool:
        return self._pipeline is not None

    def wall_s(self) -> float:
        return self._engine.now_s + self.ahead_s

    # Life and death.

    def start(self) -> None:
        if self._pipeline is not None:
            return
        self._crossings_left = None
        self._truth.disturb_all()
        self._truth.collector_started()
        policy = Policy()
        watch = Watch(
            profiles=default_profiles(),
            policy=policy,
            incidents=Incidents(policy),
            told=Told(),
            silent_after_s=300.0,
        )
        self._pipeline = Pipeline(
            journal=cast("Journal", self._shelf.open(self)),  # the model has what the Pipeline uses
            answers=self,
            view=lambda _: self._view,
            plan_of=lambda _: None,
            watch=watch,
            on_review=lambda _review, _now: None,
            generation=f"{self._chance.getrandbits(64):016x}",
            grace_s=60.0,
            keep_s=6 * 3600.0,
            fed_id=lambda: 0,
        )
        self._pipeline.recall(self.wall_s())
        self._life += 1
        life = self._life
        self._engine.after(self._chance.uniform(0.2, 10.0), lambda: self._connect(life))

    def _connect(self, life: int) -> None:
        if life != self._life or self._pipeline is None:
            return
        if self._broker.is_up and self._broker.inlet is not self:
            self._broker.inlet = self
            self._truth.disturb_all()
            self._inbox.append((LinkArrival(connected=True, reason="", arrived_s=self.wall_s()), self._engine.now_s))
            self._wake()
        self._engine.after(self._chance.uniform(1.0, 10.0), lambda: self._connect(life))

    def kill(self) -> None:
        """Everything in memory is gone, arrivals that wait too."""
        if self._pipeline is None:
            return
        self._truth.disturb_all()
        if self._pipeline._boots.owed_step_s:
            self._truth.clock_set(is_noticed=False)  # the journal would not take the step over, and nobody else knows
        self._pipeline = None
        self._life += 1
        self._inbox.clear()
        self._is_woken = False
        if self._broker.inlet is self:
            self._broker.inlet = None
        self._shelf.kill()
        self._truth.restarted(self._shelf.contents()[0].keys())

    def die_soon(self, crossings: int) -> None:
        """Be killed at one of the next crossings to disk or broker."""
        self._crossings_left = crossings

    def back_up(self) -> None:
        if self._pipeline is not None:
            self._shelf.back_up()

    def restore(self, age: int) -> None:
        """An operator puts an earlier backup back."""
        self.kill()
        if self._shelf.restore(age):
            self._truth.restored(*self._shelf.contents())

    def set_clock(self, step_s: float) -> None:
        """Our own wall clock is set. A collector that runs notices within a second, one that is down does not."""
        self.ahead_s += step_s
        self._truth.disturb_all()
        self._truth.clock_set(is_noticed=self.is_up)
        if self.is_up:
            self._stepped_s += step_s
            life = self._life
            self._engine.after(self._chance.uniform(0.0, _LOOP_S), lambda: self._notice_step(life))

    def _notice_step(self, life: int) -> None:
        step_s, self._stepped_s = self._stepped_s, 0.0
        if life == self._life and self._pipeline is not None and abs(step_s) > _STEP_S:
            self._guard(lambda pipeline: pipeline.clock_stepped(step_s, self.wall_s()))
        elif step_s:
            self._truth.clock_set(is_noticed=False)  # it was killed before it noticed

    def review(self) -> None:
        self._guard(lambda pipeline: pipeline.review(self.wall_s()))

    def _guard(self, work: Callable[[Pipeline], None]) -> None:
        if self._pipeline is None:
            return
        try:
            work(self._pipeline)
        except Killed:
            self.kill()

    # What comes.

    def arrive(self, agent: str, payload: bytes) -> None:
        topic = str(Topic(agent, "up", "batch"))
        arrival = read_arrival(topic, payload, retained=False, arrived_s=self.wall_s())
        assert isinstance(arrival, BatchArrival), arrival
        self._truth.arrived(arrival.batch.now.boot)
        self._inbox.append((arrival, self._engine.now_s))
        self._wake()

    def _wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            life = self._life
            self._engine.after(self._chance.uniform(*self.busy_s), lambda: self._take(life))

    def _take(self, life: int) -> None:
        if life != self._life:
            return
        self._is_woken = False
        inbox, self._inbox = self._inbox, []
        self._in_hand = inbox
        self._guard(lambda pipeline: pipeline.handle([arrival for arrival, _ in inbox], self.wall_s()))
        self._in_hand = []

    # What the journal tells.

    def cross(self) -> None:
        self._maybe_die()
        if self.journal_refuses:
            self._truth.disturb_all()
            self._writes_left -= 1
            if self._writes_left < 0:
                self._writes_left = self._chance.randrange(_WRITES_BETWEEN_REFUSALS)
                raise sqlite3.OperationalError("database or disk is full")

    def _maybe_die(self) -> None:
        if self._crossings_left is not None:
            self._crossings_left -= 1
            if self._crossings_left < 0:
                raise Killed

    def committed(self, rows: list[Kept], gaps: list[Gap]) -> None:
        at_s: dict[tuple[str, float], float] = {}
        for arrival, true_s in self._in_hand:
            if isinstance(arrival, BatchArrival):
                self._truth.heard(arrival, true_s)
                at_s[arrival.agent, arrival.arrived_s] = true_s
        self._in_hand = []
        self._truth.kept([(row, at_s[row.agent, row.arrived_s]) for row in rows])
        self._truth.declared(gaps)
        self._maybe_die()

    def acknowledge(self, agent: str, ack: Ack) -> None:
        self._maybe_die()
        if self._broker.inlet is self:
            self._broker.hand_down(agent, encode_small(ack))


def _registry_of(agents: list[str]) -> RegistryView:
    rooms = [f"room-{agent}" for agent in agents]
    return RegistryView(
        version=1,
        rooms={room: Room(room=room, name=room, place=("Hà Giang",), province="hagiang") for room in rooms},
        agents={
            agent: Agent(
                agent=agent,
                added_s=0.0,
                revoked_s=None,
                token_sha256="",
                certificate_serial="",
                standings=(Standing(agent=agent, room=room, from_s=0.0, until_s=None),),
            )
            for agent, room in zip(agents, rooms, strict=True)
        },
        contacts={},
    )
