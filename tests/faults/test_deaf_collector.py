"""The collector itself is what fails: started again and again, cut off, asleep, its clock set, its disk slow.

Rooms go on as ever, so nobody may be told of any room.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import msgspec
import pytest

from agent.forward import Pace
from agent.link import Broker
from bench.job import Room
from collector.inlet import Arrival
from contract.durable_file import read_only_uri
from contract.reading import Record
from tests.support.many_agents import Agent, ManyAgents
from tests.support.mosquitto import StartMosquitto
from tests.support.ports import LOOPBACK
from tests.support.processes import Programs
from tests.support.reliability import Seen
from tests.support.timed_collector import RunningTimedCollector, launch_timed_collector
from tests.support.virtual_rooms import VirtualAgent, VirtualCentre, agent_of, broken, healthy

BEGAN_S: Final = 1_795_500_000.0
STEP_S: Final = 15.0
TICK_STEPS: Final = 4
HOUR_S: Final = 3600.0
STALL_S: Final = 240.0
"""How long a disk may take over one transaction: longer than a room may be silent."""


class Size(NamedTuple):
    """How much of it."""

    rooms: int
    restarts: int
    outage_s: float


class World:
    """A centre, healthy rooms, and the hour: theirs, and the centre's own, which may be set."""

    def __init__(self, folder: Path, rooms: int) -> None:
        self.folder = folder
        self.now = BEGAN_S
        self.ahead_s = 0.0
        self.bad_room = ""
        self._steps_count = 0
        self.rooms = rooms
        self.centre = VirtualCentre(folder, rooms=rooms, now=self.now)
        self.agents = [VirtualAgent(agent_of(number), None, self.now, seed=number) for number in range(rooms)]
        self._by_name = {agent.agent: agent for agent in self.agents}
        for agent in self.agents:
            agent.connect(self.now)
        self.centre.link(self.now)
        self.earlier_changes_count = self.earlier_notices_count = 0

    @property
    def centre_s(self) -> float:
        """What the centre's clock says."""
        return self.now + self.ahead_s

    def pass_step(self) -> list[Arrival]:
        """The rooms go on for a step; what they send."""
        self.now += STEP_S
        self._steps_count += 1
        arrivals: list[Arrival] = []
        for place, agent in enumerate(self.agents):
            if (self._steps_count + place) % TICK_STEPS == 0:
                agent.measure(self.now, broken() if agent.agent == self.bad_room else healthy())
            arrivals += agent.send(self.now)
        return [one._replace(arrived_s=self.centre_s) for one in arrivals]

    def hear(self, arrivals: list[Arrival], at_s: float) -> None:
        """The centre takes what came, and the agents hear of it; until nothing more comes of that."""
        while arrivals:
            self.centre.take(arrivals, at_s)
            for agent, ack in self.centre.take_acks():
                self._by_name[agent].hear(ack, self.now)
            arrivals = [one._replace(arrived_s=self.centre_s) for agent in self.agents for one in agent.send(self.now)]

    def live(self, for_s: float) -> None:
        """All is well."""
        for _ in range(round(for_s / STEP_S)):
            self.hear(self.pass_step(), self.centre_s)
            self.centre.pipeline.review(self.centre_s)

    def pass_unheard(self, for_s: float, *, reviewing: bool) -> None:
        """Rooms speak, and the centre does not hear them."""
        for _ in range(round(for_s / STEP_S)):
            self.pass_step()
            if reviewing:
                self.centre.pipeline.review(self.centre_s)

    def restart(self, down_s: float) -> None:
        """The centre is down for a while."""
        self.earlier_changes_count += len(self.centre.changes)
        self.earlier_notices_count += len(self.centre.notices)
        told = self.centre.told
        self.centre.close()
        self.pass_unheard(down_s, reviewing=False)
        self.centre = VirtualCentre(self.folder, rooms=self.rooms, now=self.centre_s, told=told)
        self.centre.pipeline.review(self.centre_s)
        self.centre.link(self.centre_s)

    def changes_count(self) -> int:
        return self.earlier_changes_count + len(self.centre.changes)

    def notices_count(self) -> int:
        return self.earlier_notices_count + len(self.centre.notices)


def lose_the_broker(world: World, for_s: float) -> None:
    world.centre.link(world.centre_s, up=False)
    world.pass_unheard(for_s, reviewing=True)
    world.centre.link(world.centre_s)


def sleep(world: World, for_s: float) -> None:
    """Nobody tells it that the broker was away: that comes out after it woke."""
    world.pass_unheard(for_s, reviewing=False)
    world.centre.pipeline.review(world.centre_s)
    lose_the_broker(world, 2 * STEP_S)


def refuse(world: World, for_s: float) -> None:
    """The journal's disk takes nothing."""
    world.centre.journal._db.execute("PRAGMA query_only=ON")
    world.live(for_s)
    world.centre.journal._db.execute("PRAGMA query_only=OFF")


def stall(world: World, for_s: float) -> None:
    """The journal's disk takes minutes over each transaction; what comes meanwhile waits."""
    came: list[Arrival] = []
    until_s = world.now + for_s
    while world.now < until_s:
        began_s = world.centre_s
        group, came = came, []
        for _ in range(round(STALL_S / STEP_S)):
            came += world.pass_step()
        world.centre.take(group, began_s)
        for agent, ack in world.centre.take_acks():
            world._by_name[agent].hear(ack, world.now)
        world.centre.pipeline.review(world.centre_s)
    world.hear(came, world.centre_s)


def set_the_clock(world: World, by_s: float) -> None:
    world.ahead_s += by_s
    world.centre.pipeline.clock_stepped(by_s, world.centre_s)


FAULTS: Final[tuple[Callable[[World, float], None], ...]] = (
    lose_the_broker,
    sleep,
    refuse,
    stall,
    set_the_clock,
    lambda world, for_s: set_the_clock(world, -2 * for_s),
    lambda world, for_s: set_the_clock(world, 30 * 86400.0 + for_s),
)


@pytest.mark.bar(
    "deaf collector",
    load="20 restarts; broker lost, asleep, journal refusing and stalling for an hour each; own clock set",
)
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(4, 4, outage_s=1500.0), id="4 rooms"),
        pytest.param(Size(86, 20, outage_s=HOUR_S), id="86 rooms", marks=pytest.mark.long),
    ],
)
def test_a_collector_that_fails_tells_nobody_of_any_room(
    size: Size, tmp_path: Path, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    chance = Random(7)
    world = World(tmp_path, size.rooms)
    world.live(900.0)
    for number in range(max(size.restarts, len(FAULTS))):
        if number < len(FAULTS):
            FAULTS[number](world, size.outage_s)
            world.live(900.0)
        if number < size.restarts:
            world.restart(chance.choice((15.0, 60.0, 600.0)))
            world.live(chance.choice((30.0, 120.0, 600.0)))
    world.live(900.0)
    false_changes, false_notices = world.changes_count(), world.notices_count()
    world.bad_room = agent_of(1)
    world.live(900.0)
    told = [notice.incident.room for notice in world.centre.notices]
    seen(f"{false_notices} false notices of {size.rooms} rooms in {(world.now - BEGAN_S) / HOUR_S:.0f} virtual hours")
    assert (false_changes, false_notices) == (0, 0)
    assert told == [agent_of(1)], "a room that truly fails is told of, once"
    world.centre.close()
    for agent in world.agents:
        agent.spool.close()


QUICK: Final = """\
[alerts]
hold_off_s = 10
clear_after_s = 5
silent_after_s = 20
grace_s = 30
review_every_s = 1
"""


@pytest.mark.long
@pytest.mark.bar(
    "deaf collector", load="the real program killed 20 times, and paused for a minute, behind a real broker"
)
def test_the_real_program_killed_and_paused_writes_no_letter(
    tmp_path: Path, programs: Programs, mosquitto: StartMosquitto, seen: Seen
) -> None:
    broker = mosquitto()
    names = [f"room-{number:03d}" for number in range(20)]
    measuring = {name: Room(name, breadth="lean") for name in names}
    (tmp_path / "agents").mkdir()
    access = Broker(host=LOOPBACK, port=broker.port, tls=False)
    agents = [Agent(name, tmp_path / "agents", access, pace=Pace(), seed=number) for number, name in enumerate(names)]
    collector = launch_timed_collector(programs, tmp_path / "collector", names, broker_port=broker.port, alerts=QUICK)

    def measure(agent: Agent) -> Record:
        return msgspec.structs.replace(measuring[agent.agent].record(time.time(), 0), taken=agent.now())

    many = ManyAgents(agents, measure=measure, live_every_s=2.0)
    for agent in agents:
        agent.start()
    for number in range(20):
        many.run(lambda: False, within_s=6.0)
        collector.program.kill()
        many.run(lambda: False, within_s=35.0 if number % 10 == 9 else 1.0)
        collector.program.start()
    many.run(lambda: False, within_s=40.0)
    collector.program.pause()
    many.run(lambda: False, within_s=60.0)
    collector.program.resume()
    many.run(lambda: False, within_s=60.0)
    count = letters_count(collector)
    rooms = len({done.agent for done in collector.times()[-200:]})
    for agent in agents:
        agent.stop()
    seen(f"{count} letters of {len(names)} rooms from the real program")
    assert count == 0
    assert rooms == len(names), "it must have heard them all in the end"


def letters_count(collector: RunningTimedCollector) -> int:
    """Letters about rooms that were ever written."""
    with contextlib.closing(sqlite3.connect(read_only_uri(collector.folder / "collector.db"), uri=True)) as db:
        db.execute("PRAGMA busy_timeout=10000")
        count: int = db.execute("SELECT count(*) FROM letter WHERE incident LIKE '%-room-%'").fetchone()[0]
        return count
