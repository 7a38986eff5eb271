"""The database dies, refuses, lies and dawdles, and what is in it at the end is what the journal had, each once."""

import threading
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest

from agent.clock import SystemClock
from collector.inlet import BatchArrival
from collector.samples import SeriesLimit, samples_of
from collector.sinks.feeder import Feeder
from collector.sinks.influx import InfluxSink
from collector.storage.journal import Kept
from contract.batch import Batch
from contract.moment import Moment
from contract.reading import Reading, Record
from tests.support.hostile_database import HostileDatabase, StartHostileDatabase, moods
from tests.support.reliability import Seen
from tests.support.victoria_metrics import StartVictoriaMetrics, VictoriaMetrics
from tests.support.virtual_rooms import VirtualCentre, agent_of

REFUSED: Final = "camera-9"
"""The database takes nothing of this target, for a reason of its own."""
BEGAN_S: Final = 1_790_001_000.0
DAY_S: Final = 86400.0
REVIEWED_EVERY: Final = 5
FED_WITHIN_S: Final = 1200.0
PointsBy = Counter[tuple[str, int]]
"""Points by room and day."""


class Size(NamedTuple):
    """How much of it: so many rounds, one of the database's moods each, and a SIGKILL every so often."""

    rooms: int
    rounds: int
    round_s: float
    kill_every_s: float
    slow_s: float
    away_minutes: int


class LeapingClock:
    """Real time, and what was leapt over."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.leapt_s = 0.0

    def now(self) -> Moment:
        was = self._clock.now()
        return Moment(boot=was.boot, mono_s=was.mono_s + self.leapt_s, wall_s=was.wall_s + self.leapt_s)


class Rooms:
    """Rooms that send a record a virtual minute; and what the journal had of them, told as samples."""

    def __init__(self, centre: VirtualCentre, count: int) -> None:
        self.centre = centre
        self.agents = [agent_of(number) for number in range(count)]
        self.minute = 0
        self.points: PointsBy = Counter()
        self.refused_count = 0
        self._limit = SeriesLimit()
        self._reader = centre.journal.reader()
        self._read_id = 0

    def pass_minute(self) -> None:
        self.minute += 1
        now_s = BEGAN_S + 60.0 * self.minute
        moment = Moment(boot="boot-1", mono_s=60.0 * self.minute, wall_s=now_s)
        arrivals = []
        for number, agent in enumerate(self.agents):
            values = {"rtt_avg_ms": 1.5 + (self.minute * 7 + number) % 11, "sent_count": 10}
            readings = [Reading(probe="ping", target=target, values=values) for target in ("gateway", "isp")]
            if self.minute % 10 == 0:
                readings.append(Reading(probe="ping", target=REFUSED, values=values))
            batch = Batch(
                epoch=f"epoch{number:04}", low=1, first=self.minute, now=moment, made_count=1, dropped_count=0,
                records=(Record(taken=moment, readings=tuple(readings)),),
            )  # fmt: skip
            arrivals.append(BatchArrival(agent, batch, 300, now_s))
        self.centre.pipeline.handle(arrivals, now_s)
        if self.minute % REVIEWED_EVERY == 0:
            self.centre.pipeline.review(now_s)
        self._count()

    def _count(self) -> None:
        """Look into the journal before it lets go of anything."""
        while found := self._reader.after(self._read_id, 1000):
            self._read_id = found[-1].id
            for kept in found:
                self._add(kept)

    def _add(self, kept: Kept) -> None:
        for sample in self._limit.sift(samples_of(kept)).samples:
            if sample.target == REFUSED:
                self.refused_count += 1
            else:
                self.points[sample.room, sample.measured_ms // round(DAY_S * 1000)] += len(sample.fields)

    def close(self) -> None:
        self._reader.close()


def points_in(database: VictoriaMetrics) -> tuple[PointsBy, int]:
    """What is stored by room and day, and how many points are there more than once."""
    points: PointsBy = Counter()
    doubled_count = 0
    for series in database.series('{__name__!=""}'):
        times = Counter(series.timestamps)
        doubled_count += sum(count - 1 for count in times.values())
        for measured_ms in times:
            points[series.metric["room"], measured_ms // round(DAY_S * 1000)] += 1
    return points, doubled_count


class Killer:
    """Kills the database every so often, and starts it again at once."""

    def __init__(self, database: VictoriaMetrics, every_s: float) -> None:
        self.kills_count = 0
        self._database = database
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            self._database.program.kill()
            self._database.program.start()
            self.kills_count += 1

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


def live_through(rooms: Rooms, proxy: HostileDatabase, size: Size) -> None:
    """A round in each mood, records coming all the time."""
    for _, mood in zip(range(size.rounds), moods(Random(1)), strict=False):
        proxy.mood = mood
        until_s = time.monotonic() + size.round_s
        while time.monotonic() < until_s:
            rooms.pass_minute()
            time.sleep(size.round_s / 20)
    proxy.mood = "good"


def await_fed(rooms: Rooms, feeder: Feeder, clock: LeapingClock, *, leap_s: float) -> None:
    """Until the feeder says that the database surely has everything; waits are leapt over, so this takes a moment."""
    until_s = time.monotonic() + FED_WITHIN_S
    last_id = rooms.centre.journal.last_id()
    while feeder.fed_id < last_id:
        assert time.monotonic() < until_s, feeder.view
        clock.leapt_s += leap_s
        feeder.wake()
        time.sleep(0.2)


@pytest.mark.bar("hostile database", load="VictoriaMetrics killed, 503, partial 400, lost and slow answers, a day away")
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(4, 5, round_s=1.0, kill_every_s=2.0, slow_s=0.5, away_minutes=200), id="seconds"),
        pytest.param(
            Size(86, 20, round_s=12.0, kill_every_s=20.0, slow_s=3.0, away_minutes=1440),
            id="minutes",
            marks=pytest.mark.long,
        ),
    ],
)
def test_the_database_has_what_the_journal_had_each_point_once(
    size: Size,
    tmp_path: Path,
    victoria_metrics: StartVictoriaMetrics,
    hostile_database: StartHostileDatabase,
    seen: Seen,
) -> None:
    database = victoria_metrics()
    proxy = hostile_database(database.url, refused=REFUSED, slow_s=size.slow_s)
    clock = LeapingClock()
    sink = InfluxSink(url=proxy.url, org="", bucket="sansang", token="")
    feeder: Feeder | None = None
    # Half an hour only: what the database does not have must stay however old it is.
    centre = VirtualCentre(
        tmp_path, rooms=size.rooms, now=BEGAN_S, keep_s=1800.0, fed_id=lambda: feeder.fed_id if feeder else 0
    )
    feeder = Feeder(sink, centre.journal.reader, folder=tmp_path, clock=clock)
    feeder.start()
    rooms = Rooms(centre, size.rooms)
    killer = Killer(database, size.kill_every_s)
    try:
        live_through(rooms, proxy, size)
    finally:
        killer.stop()
    proxy.mood = "away"
    for _ in range(size.away_minutes):
        rooms.pass_minute()
        clock.leapt_s += 60.0
    behind_count = feeder.view.behind_count
    proxy.mood = "good"
    await_fed(rooms, feeder, clock, leap_s=5.0)
    stored, doubled_count = points_in(database)
    assert feeder.stop(30.0)
    rooms.close()
    centre.close()
    seen(f"{killer.kills_count} kills, {proxy.counts['refused']} writes partly refused, {behind_count} records behind")
    seen(
        f"{sum((rooms.points - stored).values())} lost, {doubled_count} doubled of {sum(rooms.points.values())} points"
    )
    assert stored == rooms.points
    assert doubled_count == 0
    assert feeder.view.refused_total >= rooms.refused_count > 0  # what is fed again is refused again
    assert killer.kills_count > 0
    assert behind_count >= size.away_minutes
