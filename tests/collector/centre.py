"""A pipeline with a real journal and registry, one room, and a clock turned by hand; agents are spoken for by tests."""

from collections.abc import Callable, Sequence
from pathlib import Path

from collector.alerting.incident import Incidents, Policy
from collector.alerting.told import Told
from collector.inlet import BadArrival, BatchArrival, LinkArrival, StateArrival
from collector.pipeline import Pipeline
from collector.rooms.registry import Registry
from collector.storage.database import open_database, sqlite_url
from collector.storage.journal import Journal, JournalReader, Kept
from collector.watch import Review, Watch
from contract.batch import Batch
from contract.messages import Ack, State
from contract.moment import Moment
from contract.reading import Reading, Record
from readiness.profile import default_profiles

START_S = 1_795_500_000.0
POLICY = Policy(hold_off_s=60.0, clear_after_s=30.0)
ROOM, AGENT, EPOCH = "dong-van-01", "pc-1", "e" * 16


class Answers:
    """What was acknowledged, and what lay on the disk in that moment: (agent, upto, records committed)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.acks: list[Ack] = []
        self.seen: list[tuple[str, int, int]] = []

    def acknowledge(self, agent: str, ack: Ack) -> None:
        reader = JournalReader(self._path)
        try:
            committed = [kept for kept in reader.after(0, 100_000) if kept.agent == agent and kept.epoch == ack.epoch]
        finally:
            reader.close()
        self.acks.append(ack)
        self.seen.append((agent, ack.upto, len(committed)))


def ping(target: str = "lesson-zoom", *, loss_ratio: float = 0.0) -> Reading:
    values = {"sent_count": 10, "received_count": round(10 * (1 - loss_ratio)), "loss_ratio": loss_ratio}
    return Reading(probe="ping", target=target, values=values | ({"rtt_p50_ms": 20.0} if loss_ratio < 1 else {}))


def dns() -> Reading:
    return Reading(probe="dns", target="dns", values={"answer_ms": 10.0})


class Centre:
    """The collector's core on a folder; another one on the same folder is the same collector started again."""

    def __init__(
        self,
        folder: Path,
        now: float = START_S + 1000,
        generation: str = "generation1",
        journal: Callable[[Path], Journal] = Journal,
    ) -> None:
        self.engine = open_database(sqlite_url(folder / "collector.db"))
        self.registry = Registry(self.engine)
        if not self.registry.rooms():
            self.registry.add_room(ROOM, name="Phòng 1", province="Hà Giang", school="THCS Đồng Văn")
            self.registry.set_contact(ROOM, START_S, name="Lan", address="lan@example.vn", language="vi")
            self.registry.add_agent(AGENT, ROOM, START_S)
        self.now = now
        self.mono_s = now - START_S
        self.seq = 0
        self.journal = journal(folder / "journal.db")
        self.answers = Answers(folder / "journal.db")
        self.reviews: list[Review] = []
        self.pipeline = Pipeline(
            journal=self.journal,
            answers=self.answers,
            view=self.registry.view,
            plan_of=lambda _room: None,
            watch=Watch(
                profiles=default_profiles(),
                policy=POLICY,
                incidents=Incidents(POLICY),
                told=Told(),
                silent_after_s=180.0,
            ),
            on_review=lambda review, _now: self.reviews.append(review),
            generation=generation,
            grace_s=120.0,
            keep_s=86400.0,
            fed_id=lambda: 0,
        )
        self.pipeline.recall(self.now)

    def close(self) -> None:
        self.journal.close()
        self.engine.dispose()

    # Time passes.

    def wait(self, for_s: float) -> None:
        self.now += for_s
        self.mono_s += for_s

    def moment(self, ago_s: float = 0.0, boot: str = "boot-1") -> Moment:
        """The PC's clocks, which are right."""
        return Moment(boot=boot, mono_s=self.mono_s - ago_s, wall_s=self.now - ago_s)

    # Agents speak.

    def record(self, *readings: Reading, ago_s: float = 0.0) -> Record:
        return Record(taken=self.moment(ago_s), readings=readings or (ping(), dns()))

    def batch(self, first: int, *records: Record, low: int = 1, epoch: str = EPOCH, dropped: int = 0) -> Batch:
        return Batch(
            epoch=epoch, low=low, first=first, now=self.moment(), made_count=2 * self.seq, dropped_count=dropped,
            records=records or (self.record(),),
        )  # fmt: skip

    def arrival(self, batch: Batch, agent: str = AGENT) -> BatchArrival:
        return BatchArrival(agent, batch, 500, self.now)

    def send(self, *batches: Batch, agent: str = AGENT) -> None:
        self.pipeline.handle([self.arrival(batch, agent) for batch in batches], self.now)

    def measure(self, *readings: Reading) -> None:
        self.seq += 1
        self.send(self.batch(self.seq, self.record(*readings)))

    def say(self, state: State, agent: str = AGENT, *, retained: bool = False) -> None:
        self.pipeline.handle([StateArrival(agent, state, retained, self.now)], self.now)

    def bad(self, agent: str = AGENT, count: int = 1) -> None:
        one = BadArrival(agent, "sansang/v1/x/up/batch", "an empty message", b"", self.now)
        self.pipeline.handle([one] * count, self.now)

    def link(self, *, up: bool = True) -> None:
        self.pipeline.handle([LinkArrival(connected=up, reason="" if up else "gone", arrived_s=self.now)], self.now)

    # The collector looks.

    def review(self) -> Review:
        self.pipeline.review(self.now)
        return self.reviews[-1]

    def run(self, for_s: float, *readings: Reading, step_s: float = 30.0, measuring: bool = True) -> list[Review]:
        reviews = []
        for _ in range(round(for_s / step_s)):
            self.wait(step_s)
            if measuring:
                self.measure(*readings)
            reviews.append(self.review())
        return reviews

    def codes(self, room: str = ROOM) -> list[str]:
        return [finding.code for finding in self.reviews[-1].verdicts[room].findings]

    def kept(self, agent: str = AGENT) -> Sequence[Kept]:
        return [one for one in self.journal.since(0.0) if one.agent == agent]

    def seqs(self, agent: str = AGENT) -> list[int]:
        return sorted(one.seq for one in self.kept(agent))
