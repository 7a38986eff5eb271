"""The whole agent on a disk that fails it: what it measures now arrives all the same, and so does what can be saved."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

from agent.app import Agent
from agent.clock import SystemClock
from agent.link import Broker
from agent.settings import AgentSettings
from agent.store import TRY_AGAIN_S
from collector.line.reception import Reception
from contract.batch import decode_batch, pack_record
from contract.durable_file import PAGE_BYTES
from contract.messages import Ack, encode_small
from contract.moment import Moment
from contract.reading import Reading, Record
from contract.spool import Spool, SpoolLimits
from tests.agent.made import MadeProbe, loads
from tests.support.disks import MakeDisk
from tests.support.mosquitto import StartMosquitto
from tests.support.mqtt import Client
from tests.support.reliability import Seen

PLAN: Final = """
tick_s = "1s"
profile = "zoom-720p"
backlog_bps = 10000000
[[probe]]
name = "ping"
target = "gateway"
"""
OLD: Final = 200


def an_old_record(number: int) -> Record:
    reading = Reading(probe="ping", target="gateway", values={"a_ms": number}, detail=f"{number:050d}")
    return Record(taken=Moment(boot="before", mono_s=float(number), wall_s=1.8e9 + number), readings=(reading,))


class LeapingClock(SystemClock):
    """The PC's own clock, that can be set ahead, so that a minute passes at once."""

    ahead_s = 0.0

    def now(self) -> Moment:
        present = super().now()
        return msgspec.structs.replace(present, mono_s=present.mono_s + self.ahead_s)


class RunningAgent:
    """An agent in a thread of its own, that measures once a second and counts: 1,000,001, 1,000,002, ..."""

    def __init__(self, folder: Path, plan: Path, port: int) -> None:
        self.count = 1_000_000
        self.clock = LeapingClock()
        broker = Broker(host="127.0.0.1", port=port, tls=False)
        settings = AgentSettings(agent="pc-1", broker=broker, data_dir=folder, plan=plan)
        self.agent = Agent(
            settings, load_probe=loads(ping=MadeProbe(longest_s=0.5, does=self._measure)), clock=self.clock
        )
        self.exit_code: int | None = None
        self._thread = threading.Thread(target=self._run)

    def _measure(self) -> dict[str, int | float]:
        self.count += 1
        return {"a_ms": self.count}

    def _run(self) -> None:
        self.exit_code = asyncio.run(self.agent.run())

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.agent.stop_from_thread("service_stop")
        self._thread.join(20)
        assert self.exit_code == 0


class Centre:
    """Takes every batch and acknowledges it, as a collector does."""

    def __init__(self, port: int) -> None:
        self.client = Client("127.0.0.1", port)
        self.client.subscribe("sansang/v1/+/up/batch")
        self._answered_count = 0
        self._receptions: dict[str, Reception] = {}

    def dropped_count(self) -> int:
        """Readings that the agent has declared lost."""
        return max(decode_batch(one.payload).dropped_count for one in list(self.client.got))

    def values(self) -> set[int]:
        """All values that have come so far; what is new is acknowledged."""
        batches = [decode_batch(one.payload) for one in list(self.client.got)]
        for batch in batches[self._answered_count :]:
            reception = self._receptions.setdefault(batch.epoch, Reception())
            reception.receive(batch)
            ack = Ack(epoch=batch.epoch, upto=reception.upto, generation="0123456789abcdef", collector_s=time.time())
            self.client.publish("sansang/v1/pc-1/down/ack", encode_small(ack))
        self._answered_count = len(batches)
        readings = (reading for batch in batches for record in batch.records for reading in record.readings)
        return {int(reading.values["a_ms"]) for reading in readings}


def wait_until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    until_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.1)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def make_spool(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "spool.db"
    with contextlib.closing(Spool(path, SpoolLimits(), boot="before", mono_s=0.0)) as spool:
        spool.take_over(map(an_old_record, range(1, OLD + 1)), mono_s=0.0)
    return path


@contextlib.contextmanager
def running(folder: Path, plan: Path, port: int) -> Iterator[RunningAgent]:
    agent = RunningAgent(folder, plan, port)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


def test_an_agent_that_finds_its_spool_damaged_sends_what_it_measures_and_all_that_was_saved(
    tmp_path: Path, plan: Path, mosquitto: StartMosquitto
) -> None:
    path = make_spool(tmp_path / "agent")
    with path.open("r+b") as file:
        file.write(b"\x5a" * 200)
    broker = mosquitto()
    centre = Centre(broker.port)
    with running(path.parent, plan, broker.port) as agent:
        wait_until(lambda: centre.values() >= {*range(1, OLD + 1), 1_000_001, 1_000_002} and agent.count > 1_000_002)
    assert list(path.parent.glob("spool-damaged-*.db"))


def test_an_agent_whose_disk_loses_a_page_under_it_sends_all_but_what_was_on_it(
    tmp_path: Path, plan: Path, mosquitto: StartMosquitto
) -> None:
    path = make_spool(tmp_path / "agent")
    broker = mosquitto()
    with running(path.parent, plan, broker.port) as agent:
        wait_until(lambda: agent.count > 1_000_002)
        content = path.read_bytes()
        at = content.index(pack_record(an_old_record(100))[10:40]) // PAGE_BYTES * PAGE_BYTES
        with path.open("r+b") as file:
            file.seek(at + 100)
            file.write(bytes(PAGE_BYTES - 100))
        # As after a while: the page is not in memory any more.
        agent.agent._disk.submit(lambda: agent.agent._store.spool._db.execute("PRAGMA shrink_memory")).result()
        centre = Centre(broker.port)  # backlog is read once somebody answers
        wait_until(lambda: centre.values() >= {1, OLD, agent.count - 1})
        missing = set(range(1, OLD + 1)) - centre.values()
        assert 100 in missing
        assert len(missing) <= PAGE_BYTES // 60
    assert list(path.parent.glob("spool-damaged-*.db"))


def test_an_agent_on_a_disk_that_is_read_only_sends_what_it_measures(
    make_disk: MakeDisk, plan: Path, mosquitto: StartMosquitto
) -> None:
    disk = make_disk(32 << 20)
    path = make_spool(disk.folder / "agent")
    disk.make_read_only()
    broker = mosquitto()
    centre = Centre(broker.port)
    with running(path.parent, plan, broker.port):
        wait_until(lambda: centre.values() >= {1_000_001, 1_000_002, 1_000_003})


@pytest.mark.bar("disk full", load="the whole agent on a disk that is full when it starts, or fills while it runs")
@pytest.mark.parametrize("is_full_at_start", [True, False], ids=["at the start", "while it runs"])
def test_an_agent_on_a_full_disk_sends_all_that_it_measures_and_is_back_on_it_within_a_minute_of_room(
    make_disk: MakeDisk,
    plan: Path,
    mosquitto: StartMosquitto,
    caplog: pytest.LogCaptureFixture,
    seen: Seen,
    *,
    is_full_at_start: bool,
) -> None:
    disk = make_disk(32 << 20)
    centre = Centre((broker := mosquitto()).port)
    if is_full_at_start:
        disk.fill()
    with running(disk.folder / "agent", plan, broker.port) as agent:
        wait_until(lambda: agent.count >= 1_000_002)
        disk.fill()
        measured = agent.count
        wait_until(lambda: agent.count >= measured + 2)
        # Only now does anybody acknowledge.
        wait_until(lambda: centre.values() >= set(range(1_000_001, measured + 3)))
        assert agent.agent._store.is_in_memory == is_full_at_start
        disk.clear()
        agent.clock.ahead_s += TRY_AGAIN_S
        measured = agent.count
        wait_until(lambda: centre.values() >= set(range(1_000_001, measured + 3)))
        assert not agent.agent._store.is_in_memory
    assert centre.dropped_count() == 0
    assert not any(entry.exc_info for entry in caplog.records)
    seen(f"agent: {len(centre.values())} of {len(centre.values())} readings came, 0 declared lost, 0 uncaught")
