"""The centre was away for days: all that rooms measured meanwhile comes in, and what they measure now does not wait."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pytest

from agent.forward import Pace
from agent.link import Broker
from bench.job import TICK_S, Room
from contract.durable_file import read_only_uri
from contract.reading import Record
from tests.support.many_agents import Agent, ManyAgents
from tests.support.mosquitto import StartMosquitto
from tests.support.ports import LOOPBACK
from tests.support.processes import Programs
from tests.support.reliability import Seen
from tests.support.timed_collector import Done, launch_timed_collector

CATCH_UP_FACTOR: Final = 20.0


class Size(NamedTuple):
    """How much of it; `pace_bps` is what each room's line lets through of old records.

    `live_p99_s` is the bar on a machine that has nothing else to do, and generous where the test always runs.
    """

    rooms: int
    away_hours: float
    live_every_s: float
    pace_bps: float
    within_s: float
    live_p99_s: float


def stored_counts(journal: Path) -> dict[str, int]:
    """Records in the journal by agent."""
    with contextlib.closing(sqlite3.connect(read_only_uri(journal), uri=True)) as db:
        db.execute("PRAGMA busy_timeout=10000")
        return dict(db.execute("SELECT agent, count(*) FROM kept WHERE agent LIKE 'room-%' GROUP BY agent"))


def days_of(away_s: float) -> list[Record]:
    """What a room measured since the centre went away, the youngest a minute ago; every room has the same."""
    room = Room("room", breadth="lean")
    count = round(away_s / TICK_S)
    return [room.record(time.time() - (count - minute) * TICK_S, minute) for minute in range(count)]


def of_this_pc(records: Sequence[Record], agent: Agent) -> Iterator[Record]:
    """The records as this PC made them: in its boot, by its clock."""
    for record in records:
        yield msgspec.structs.replace(record, taken=agent.now(time.time() - record.taken.wall_s))


def percentile(waits_s: Sequence[float], share: float) -> float:
    return sorted(waits_s)[min(len(waits_s) - 1, int(share * len(waits_s)))]


@pytest.mark.bar("server away", load="rooms of 16 readings a minute, the backlog paced at 64 kbit/s a room")
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(
            Size(6, 2.0, live_every_s=0.5, pace_bps=512_000.0, within_s=120.0, live_p99_s=30.0), id="2 hours, 6 rooms"
        ),
        pytest.param(
            Size(86, 72.0, live_every_s=10.0, pace_bps=64_000.0, within_s=3600.0, live_p99_s=2.0),
            id="72 hours, 86 rooms",
            marks=pytest.mark.long,
        ),
    ],
)
def test_all_that_was_measured_while_the_centre_was_away_comes_in_and_delays_nothing_live(
    size: Size, tmp_path: Path, programs: Programs, mosquitto: StartMosquitto, seen: Seen
) -> None:
    broker = mosquitto()
    names = [f"room-{number:03d}" for number in range(size.rooms)]
    measuring = {name: Room(name, breadth="lean") for name in names}
    (tmp_path / "agents").mkdir()
    agents = [
        Agent(
            name,
            tmp_path / "agents",
            Broker(host=LOOPBACK, port=broker.port, tls=False),
            pace=Pace(backlog_bps=size.pace_bps),
            seed=number,
        )
        for number, name in enumerate(names)
    ]
    backlog = days_of(size.away_hours * 3600.0)
    for agent in agents:
        agent.fill(of_this_pc(backlog, agent))
    collector = launch_timed_collector(programs, tmp_path / "collector", names, broker_port=broker.port)

    def measure(agent: Agent) -> Record:
        return msgspec.structs.replace(measuring[agent.agent].record(time.time(), 0), taken=agent.now())

    def is_drained() -> bool:
        assert collector.program.running, collector.program.tail()
        return all(agent.spool.stat().waiting_count <= 1 for agent in agents)

    began_s = time.time()
    for agent in agents:
        agent.start()
    drained = ManyAgents(agents, measure=measure, live_every_s=size.live_every_s).run(
        is_drained, within_s=size.within_s
    )
    took_s = time.time() - began_s
    left = {agent.agent: agent.spool.stat().waiting_count for agent in agents}
    for agent in agents:
        agent.stop()
    collector.program.stop(60.0)
    waits_s = live_waits_s(collector.times(), began_s)
    stored = stored_counts(collector.folder / "journal.db")
    lost_count = sum(max(0, agent.records_count - left[agent.agent] - stored.get(agent.agent, 0)) for agent in agents)
    factor = size.away_hours * 3600.0 / took_s
    seen(f"{lost_count} lost of {sum(agent.records_count for agent in agents)} records")
    seen(f"{size.away_hours:.0f} hours of {size.rooms} rooms caught up at {factor:.0f} times real time")
    seen(f"meanwhile live p99 {percentile(waits_s, 0.99):.2f} s, the slowest {max(waits_s):.2f} s of {len(waits_s)}")
    assert drained, left
    assert lost_count == 0
    assert factor >= CATCH_UP_FACTOR
    assert percentile(waits_s, 0.99) < size.live_p99_s


def live_waits_s(times: Sequence[Done], began_s: float) -> list[float]:
    """How long each live record waited, from being measured to the collector being done with it for the first time."""
    waits_s: dict[tuple[str, int], float] = {}
    for done in times:
        if done.at_s - done.waited_s >= began_s:
            waits_s.setdefault((done.agent, done.last), done.waited_s)
    return list(waits_s.values())
