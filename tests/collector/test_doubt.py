"""The collector doubts itself: what it cannot see alerts nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.alerting.incident import Incidents, Policy
from collector.alerting.told import Told
from collector.inlet import BatchArrival, LinkArrival, StateArrival
from collector.pipeline import Pipeline
from collector.rooms.registry import Registry
from collector.storage.database import open_database, sqlite_url
from collector.storage.journal import Journal
from collector.watch import Review, Watch
from contract.batch import Batch
from contract.messages import Ack, State
from contract.moment import Moment
from contract.reading import Reading, Record
from readiness.profile import default_profiles
from readiness.verdict import Level

START_S = 1_795_500_000.0
POLICY = Policy(hold_off_s=60.0, clear_after_s=30.0)


class Answers:
    def __init__(self) -> None:
        self.acks: list[tuple[str, Ack]] = []

    def acknowledge(self, agent: str, ack: Ack) -> None:
        self.acks.append((agent, ack))


class Centre:
    """A pipeline with one room, `room-1`, in which `pc-1` stands; its clock is turned by hand."""

    def __init__(self, folder: Path) -> None:
        engine = open_database(sqlite_url(folder / "collector.db"))
        registry = Registry(engine)
        registry.add_room("room-1", name="Room", province="Hà Giang", school="THCS")
        registry.set_contact("room-1", START_S, name="Lan", address="lan@example.vn", language="vi")
        registry.add_agent("pc-1", "room-1", START_S)
        self.engine = engine
        self.registry = registry
        self.answers = Answers()
        self.now = START_S + 1000
        self.mono_s = 100.0
        self.seq = 0
        self.journal = Journal(folder / "journal.db")
        self.reviews: list[Review] = []
        self.pipeline = Pipeline(
            journal=self.journal,
            answers=self.answers,
            view=registry.view,
            plan_of=lambda _room: None,
            watch=Watch(
                profiles=default_profiles(),
                policy=POLICY,
                incidents=Incidents(POLICY),
                told=Told(),
                silent_after_s=180.0,
            ),
            on_review=lambda review, _now: self.reviews.append(review),
            generation="0123456789abcdef",
            grace_s=120.0,
            keep_s=86400.0,
            fed_id=lambda: 0,
        )
        self.pipeline.recall(self.now)

    def link(self, *, up: bool) -> None:
        self.pipeline.handle([LinkArrival(connected=up, reason="", arrived_s=self.now)], self.now)

    def measure(self, *, loss_ratio: float = 0.0) -> None:
        self.seq += 1
        moment = Moment(boot="boot-1", mono_s=self.mono_s, wall_s=self.now)
        received = round(10 * (1 - loss_ratio))
        values = {"sent_count": 10, "received_count": received, "loss_ratio": loss_ratio, "rtt_p50_ms": 20.0}
        reading = Reading(probe="ping", target="lesson-zoom", values=dict(values))
        named = Reading(probe="dns", target="dns", values={"answer_ms": 10.0})
        batch = Batch(
            epoch="e" * 16, low=1, first=self.seq, now=moment, made_count=self.seq, dropped_count=0,
            records=(Record(taken=moment, readings=(reading, named)),),
        )  # fmt: skip
        self.pipeline.handle([BatchArrival("pc-1", batch, 500, self.now)], self.now)

    def lose(self) -> None:
        self.pipeline.handle([StateArrival("pc-1", State(state="lost"), False, self.now)], self.now)

    def review(self) -> Review:
        self.pipeline.review(self.now)
        return self.reviews[-1]

    def run(self, for_s: float, *, step_s: float = 30.0, measuring: bool = True) -> list[Review]:
        reviews = []
        for _ in range(round(for_s / step_s)):
            self.now += step_s
            self.mono_s += step_s
            if measuring:
                self.measure()
            reviews.append(self.review())
        return reviews


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    made = Centre(tmp_path)
    made.link(up=True)
    made.run(600)
    yield made
    made.journal.close()
    made.engine.dispose()


def test_a_room_seen_well_is_fit(centre: Centre) -> None:
    assert centre.review().verdicts["room-1"].level is Level.FIT


def test_a_lost_broker_makes_every_room_unknown_because_of_us_and_alerts_nobody(centre: Centre) -> None:
    centre.link(up=False)
    reviews = centre.run(3600, measuring=False)
    assert {review.verdicts["room-1"].findings[0].code for review in reviews} == {"COLLECTOR_BLIND"}
    assert {review.verdicts["room-1"].level for review in reviews} == {Level.UNKNOWN}
    assert not any(review.changes or review.notices for review in reviews)
    assert "broker_lost" in centre.pipeline.problems
    centre.link(up=True)
    reviews = centre.run(600)
    assert not any(review.changes or review.notices for review in reviews)
    assert reviews[-1].verdicts["room-1"].level is Level.FIT
    assert centre.pipeline.problems == set()


def test_a_room_that_stays_silent_after_the_broker_is_back_is_told_of(centre: Centre) -> None:
    centre.link(up=False)
    centre.run(600, measuring=False)
    centre.link(up=True)
    centre.lose()
    reviews = centre.run(600, measuring=False)
    assert [notice.reason for review in reviews for notice in review.notices][:1] == ["opened"]


@pytest.mark.parametrize("step_s", [-86400.0, -3600.0, -10.0, 10.0, 3600.0, 86400.0 * 365])
def test_a_step_of_our_own_clock_alerts_nobody_and_blinds_nobody(centre: Centre, step_s: float) -> None:
    centre.now += step_s
    centre.pipeline.clock_stepped(step_s, centre.now)
    reviews = centre.run(900)
    assert not any(review.changes or review.notices for review in reviews)
    assert reviews[-1].verdicts["room-1"].level is Level.FIT
    kept = list(centre.journal.since(0.0))[-1]
    assert kept.taken_s == pytest.approx(centre.now, abs=0.01)


def test_a_real_failure_after_a_step_of_our_clock_is_told_of(centre: Centre) -> None:
    centre.now -= 7200.0
    centre.pipeline.clock_stepped(-7200.0, centre.now)
    centre.run(300)
    reviews = []
    for _ in range(20):
        centre.now += 30.0
        centre.mono_s += 30.0
        centre.measure(loss_ratio=1.0)
        reviews.append(centre.review())
    assert reviews[-1].verdicts["room-1"].level is Level.UNFIT
    assert [notice.reason for review in reviews for notice in review.notices][:1] == ["opened"]
