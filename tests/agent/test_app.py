"""The whole agent, with its real spool, link and loop, against a real broker."""

import asyncio
import contextlib
import datetime as dt
import logging
import os
import random
import signal
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

import dev
from agent.app import EXIT_STUCK, Agent
from agent.clock import SystemClock
from agent.link import Broker
from agent.orders import LoadProbe
from agent.probe import Value, Values
from agent.settings import AgentSettings
from agent.spending.budget import Spent
from collector.broker import EmbeddedBroker
from collector.line.reception import Reception
from collector.rooms.registry import COLLECTOR
from contract.batch import Batch, decode_batch
from contract.messages import Ack, Goodbye, State, decode_state, encode_small
from contract.moment import Clock, Moment
from contract.reading import Reading, Record
from contract.spool import Spool, SpoolLimits, SpoolReader
from tests.agent.made import MadeProbe, loads, plan_of
from tests.support.mqtt import Client, Connect
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Programs

AGENT = "dongvan-01"
UP = f"sansang/v1/{AGENT}/up"
DOWN = f"sansang/v1/{AGENT}/down"


def one_probe(**settings: Any) -> bytes:
    return plan({"name": "made", "target": "gateway"}, **settings)


def plan(*probes: dict[str, object], **settings: Any) -> bytes:
    return plan_of(*probes, **({"tick_s": 1} | settings))


class Running:
    """An agent in a thread of its own."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.code = asyncio.run(self.agent.run())

    def stop(self, reason: Goodbye | None = "service_stop") -> int | None:
        """Its exit code."""
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self.agent.stop_from_thread(reason)
        self._thread.join(20)
        return self.code

    def join(self) -> int | None:
        self._thread.join(20)
        return self.code


class Start:
    """Starts agents that end with the test, all of one folder and identity."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Running] = []

    def __call__(
        self, port: int, load: LoadProbe, first: bytes | None = None, clock: Clock | None = None, **parts: float
    ) -> Running:
        """Start one; `first` is the plan that lies in its folder, as it came at the last run."""
        self.folder.mkdir(exist_ok=True)
        if first is not None:
            (self.folder / "plan.json").write_bytes(first)
        broker = Broker(host=LOOPBACK, port=port, tls=False)
        settings = AgentSettings(agent=AGENT, broker=broker, data_dir=self.folder)
        self.started.append(Running(Agent(settings, load_probe=load, clock=clock, chance=random.Random(1), **parts)))
        return self.started[-1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made = Start(tmp_path / "agent")
    yield made
    for running in made.started:
        running.stop()


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    made = EmbeddedBroker(LOOPBACK, 0, authenticate=lambda _agent, _token: True)
    made.start()
    yield made
    made.stop()


class Desk:
    """The collector's side, by hand."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.receptions: dict[str, Reception] = {}
        self.answered_count = 0
        client.subscribe("sansang/v1/+/up/#")

    def batches(self) -> list[Batch]:
        return [decode_batch(one.payload) for one in list(self.client.got) if one.topic == f"{UP}/batch"]

    def readings(self) -> list[Reading]:
        return [reading for batch in self.batches() for record in batch.records for reading in record.readings]

    def states(self) -> list[State]:
        return [decode_state(one.payload) for one in list(self.client.got) if one.topic == f"{UP}/state"]

    def answer(self) -> None:
        """Acknowledge what has come, as a collector does; what has been answered once is not again."""
        batches = self.batches()
        for batch in batches[self.answered_count :]:
            self.receptions.setdefault(batch.epoch, Reception()).receive(batch)
            self.acknowledge(batch.epoch, self.receptions[batch.epoch].upto)
        self.answered_count = len(batches)

    def acknowledge(self, epoch: str, upto: int) -> None:
        ack = Ack(epoch=epoch, upto=upto, generation="gen1", collector_s=time.time())
        self.client.publish(f"{DOWN}/ack", encode_small(ack))

    def give(self, payload: bytes) -> None:
        self.client.publish(f"{DOWN}/plan", payload, retain=True)


@pytest.fixture
def desk(broker: EmbeddedBroker, connect: Connect) -> Desk:
    return Desk(connect(*broker.inside, user=COLLECTOR, token=broker.secret))


def wait_until(holds: Callable[[], object], within_s: float = 20.0) -> None:
    until_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until_s, "did not come true in time"
        time.sleep(0.02)


def measured(**values: float) -> MadeProbe:
    return MadeProbe(longest_s=0.5, does=lambda: dict(values))


# What it measures and when.


class Attempts:
    """A probe's attempts: when each began, on the clock of this test."""

    def __init__(self, takes_s: float) -> None:
        self.began_s: list[float] = []
        self.takes_s = takes_s

    async def measure(self) -> Values:
        self.began_s.append(time.monotonic())
        await asyncio.sleep(self.takes_s)
        return {"a_ms": float(len(self.began_s))}


class Stretched(msgspec.Struct, kw_only=True):
    """A probe that takes longer than it says."""

    attempts: Attempts
    target: str = "gateway"
    longest_s: float = 0.5

    values: ClassVar[tuple[Value, ...]] = MadeProbe.values
    rights: ClassVar[str] = "None."
    example: ClassVar[dict[str, object]] = MadeProbe.example

    async def measure(self) -> Values:
        return await self.attempts.measure()


class Seconds:
    """What an agent did in some seconds with a quick probe, one that takes two and a half ticks, and one that hangs."""

    def __init__(self, folder: Path) -> None:
        self.quick, self.slow, self.hanging = Attempts(0.4), Attempts(2.5), Attempts(60.0)
        load = loads(
            quick=Stretched(attempts=self.quick),
            slow=Stretched(attempts=self.slow, longest_s=1.6),  # by its border, 2.6 s
            hanging=Stretched(attempts=self.hanging, longest_s=59.0),
        )
        first = plan({"name": "quick"}, {"name": "slow", "every_s": 2}, {"name": "hanging", "every_s": 60})
        running = Start(folder)(free_port(), load, first)
        time.sleep(4.8)
        assert running.stop() == 0


@pytest.fixture(scope="module")
def seconds(tmp_path_factory: pytest.TempPathFactory) -> Seconds:
    return Seconds(tmp_path_factory.mktemp("seconds"))


def test_ticks_lie_on_a_grid_and_do_not_drift(seconds: Seconds) -> None:
    """Were the 0.4 s that a turn takes added to each tick, half of the ticks would lie 0.2 s or more beside it."""
    since_s = [began_s - seconds.quick.began_s[0] for began_s in seconds.quick.began_s]
    assert statistics.median(abs(one_s - round(one_s)) for one_s in since_s[1:]) < 0.1


def test_a_slow_probe_and_a_hanging_one_delay_no_other(seconds: Seconds) -> None:
    assert len(seconds.hanging.began_s) == 1
    assert len(seconds.quick.began_s) >= 4


def test_a_turn_that_comes_while_the_last_one_runs_is_skipped_and_not_queued(seconds: Seconds) -> None:
    """It is due at 0, 2 and 4 and takes 2.5 s: the turn at 2 is skipped, and the next does not begin at 2.5."""
    first_s, second_s = seconds.slow.began_s
    assert second_s - first_s > 3.5


class Mains(msgspec.Struct, kw_only=True):
    """A UPS that lives on battery or does not, as it is told."""

    target: str = "ups"
    longest_s: float = 0.5
    is_cut: threading.Event

    values: ClassVar[tuple[Value, ...]] = (Value("on_battery_bool", "Whether the mains have failed."),)
    urgent: ClassVar[frozenset[str]] = frozenset({"on_battery_bool"})
    rights: ClassVar[str] = "None."
    example: ClassVar[dict[str, object]] = {}

    async def measure(self) -> Values:
        return {"on_battery_bool": int(self.is_cut.is_set())}


def test_mains_that_fail_between_two_ticks_are_told_at_once_and_once(
    broker: EmbeddedBroker, desk: Desk, start: Start
) -> None:
    is_cut = threading.Event()
    start(broker.port, loads(power=Mains(is_cut=is_cut)), plan({"name": "power"}, tick_s=3600), look_every_s=0.1)
    wait_until(lambda: len(desk.readings()) == 1)
    is_cut.set()
    wait_until(lambda: len(desk.readings()) == 2)
    time.sleep(1.0)  # ten more looks, which bring nothing new
    assert [one.values for one in desk.readings()] == [{"on_battery_bool": 0}, {"on_battery_bool": 1}]
    is_cut.clear()
    wait_until(lambda: desk.readings()[-1].values == {"on_battery_bool": 0})


def test_an_answer_that_came_after_its_record_closed_is_kept_beside_the_next(
    broker: EmbeddedBroker, desk: Desk, start: Start
) -> None:
    """The first, slow attempt is the one that tells what is wrong: the second must not take its place."""

    class FirstSlow(Attempts):
        async def measure(self) -> Values:
            self.takes_s = 0.0 if self.began_s else 0.9
            return await super().measure()

    attempts = FirstSlow(0.9)
    running = start(broker.port, loads(made=Stretched(attempts=attempts)), one_probe())
    wait_until(lambda: len({reading.values["a_ms"] for reading in desk.readings()}) >= 3)
    assert sorted({reading.values["a_ms"] for reading in desk.readings()})[:3] == [1.0, 2.0, 3.0]
    running.stop()
    with contextlib.closing(SpoolReader(start.folder / "spool.db")) as spool:
        stored = [reading for _, record in spool.records() for reading in record.readings]
        assert spool.stat().made_count == len(stored) == len({reading.values["a_ms"] for reading in stored})


# The plan.


def test_a_plan_from_the_collector_is_followed_at_once_told_and_kept(
    broker: EmbeddedBroker, desk: Desk, start: Start
) -> None:
    running = start(broker.port, loads(made=measured(a_ms=1.0)))
    wait_until(desk.states)
    assert (desk.states()[0].state, desk.states()[0].plan) == ("online", "")
    desk.give(one_probe())
    wait_until(desk.readings)
    assert desk.readings()[0].target == "gateway"
    desk.give(plan({"name": "made", "target": "camera-2"}))
    wait_until(lambda: any(reading.target == "camera-2" for reading in desk.readings()))
    told = [state.plan for state in desk.states()]
    assert len(told) == len(set(told)) == 3
    assert (start.folder / "plan.json").read_bytes() == plan({"name": "made", "target": "camera-2"})
    assert running.code is None


def test_an_invalid_plan_is_refused_whole_told_and_the_old_one_goes_on(
    broker: EmbeddedBroker, desk: Desk, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    start(broker.port, loads(made=measured(a_ms=1.0)), one_probe())
    wait_until(desk.readings)
    in_force = desk.states()[0].plan
    desk.give(plan({"name": "made", "target": "camera-1"}, {"name": "pong", "target": "gateway"}))
    wait_until(lambda: desk.states()[-1].refused)
    refused = desk.states()[-1]
    assert refused.plan == in_force
    assert refused.refused == ("plan from the collector: probe[1].name: there is no probe pong; the probes are: made")
    count = len(desk.readings())
    wait_until(lambda: len(desk.readings()) > count)
    assert {reading.target for reading in desk.readings()} == {"gateway"}
    assert (start.folder / "plan.json").read_bytes() == one_probe()
    desk.give(one_probe())
    wait_until(lambda: not desk.states()[-1].refused)


def test_a_pc_without_a_link_measures_by_the_plan_of_its_last_run(start: Start) -> None:
    attempts = Attempts(0.0)
    start(free_port(), loads(made=Stretched(attempts=attempts)), one_probe())
    wait_until(lambda: attempts.began_s)


def test_the_plan_in_force_that_comes_again_begins_no_turn(broker: EmbeddedBroker, desk: Desk, start: Start) -> None:
    """It is retained, and so comes with every connection; also when the disk could not keep it."""
    attempts = Attempts(0.0)
    (start.folder / "plan.draft").mkdir(parents=True)
    start(broker.port, loads(made=Stretched(attempts=attempts)))
    slow = one_probe(tick_s=60)
    desk.give(slow)
    wait_until(lambda: attempts.began_s)
    assert not (start.folder / "plan.json").exists()
    count = len(desk.states())
    desk.give(slow)
    desk.give(b"{")  # refused, which is told: so what came before it has been heard
    wait_until(lambda: len(desk.states()) > count)
    assert len(attempts.began_s) == 1


# What it sends.


def test_what_is_acknowledged_is_not_sent_again_and_what_is_not_is(
    broker: EmbeddedBroker, desk: Desk, start: Start
) -> None:
    running = start(broker.port, loads(made=measured(a_ms=1.0)), one_probe())
    wait_until(lambda: len(desk.batches()) >= 3)
    epoch = desk.batches()[0].epoch
    desk.acknowledge(epoch, 1)
    desk.receptions[epoch] = Reception(upto=1)
    time.sleep(0.2)
    running.stop()
    desk.answered_count = len(desk.batches())
    start(broker.port, loads(made=measured(a_ms=1.0)))

    def sent_again() -> list[int]:
        desk.answer()
        again = [batch for batch in desk.batches()[3:] if batch.epoch == epoch]
        return [number for batch in again for number in range(batch.first, batch.last + 1)]

    wait_until(lambda: {2, 3} <= set(sent_again()))
    assert 1 not in sent_again()


def test_a_batch_carries_the_moment_of_its_writing(broker: EmbeddedBroker, desk: Desk, start: Start) -> None:
    before = SystemClock().now()
    start(broker.port, loads(made=measured(a_ms=1.0)), one_probe())
    wait_until(desk.batches)
    batch, after = desk.batches()[0], SystemClock().now()
    assert batch.now.boot == before.boot
    assert before.mono_s <= batch.records[0].taken.mono_s <= batch.now.mono_s <= after.mono_s
    assert before.wall_s - 0.01 <= batch.now.wall_s <= after.wall_s + 0.01


# What the day has no bytes for.

NOON_S = dt.datetime(2026, 11, 24, 5, tzinfo=dt.UTC).timestamp()
DAY_S = 86400.0


def spend(folder: Path, telemetry_bytes: int) -> None:
    """Leave what was spent of that day's five megabytes, as an earlier run would."""
    folder.mkdir(exist_ok=True)
    spent = Spent(day="2026-11-24", telemetry_bytes=telemetry_bytes)
    (folder / "traffic.json").write_bytes(msgspec.json.encode(spent))


def tell_time(desk: Desk, latest: Batch, collector_s: float) -> None:
    """Acknowledge a batch, and say what time it is."""
    ack = Ack(epoch=latest.epoch, upto=latest.last, generation="gen1", collector_s=collector_s)
    desk.client.publish(f"{DOWN}/ack", encode_small(ack))


def test_an_agent_whose_day_is_spent_says_so_falls_silent_and_speaks_again_the_next_day(
    broker: EmbeddedBroker, desk: Desk, start: Start
) -> None:
    spend(start.folder, 6_000_000)
    attempts = Attempts(0.0)
    start(broker.port, loads(made=Stretched(attempts=attempts)), one_probe(daily_bytes=5_000_000))
    wait_until(desk.batches)
    tell_time(desk, desk.batches()[-1], NOON_S)
    wait_until(lambda: desk.states()[-1].reason == "budget_spent")
    assert desk.states()[-1].state == "offline"
    measured_count, sent_count = len(attempts.began_s), len(desk.batches())
    wait_until(lambda: len(attempts.began_s) >= measured_count + 4)
    assert len(desk.batches()) <= sent_count + 1, "at most what was on its way"
    tell_time(desk, desk.batches()[-1], NOON_S + DAY_S)
    wait_until(lambda: desk.states()[-1].state == "online")
    wait_until(lambda: len(desk.batches()) > sent_count + 1)


def test_backlog_waits_for_the_next_day_when_the_day_has_bytes_for_live_records_only(
    broker: EmbeddedBroker, desk: Desk, start: Start
) -> None:
    spend(start.folder, 4_500_000)
    with contextlib.closing(Spool(start.folder / "spool.db", SpoolLimits(), boot="earlier", mono_s=0.0)) as spool:
        for number in range(100):
            spool.put(
                Record(taken=Moment(boot="earlier", mono_s=float(number), wall_s=NOON_S), readings=()),
                mono_s=float(number),
            )
        earlier = spool.epochs[-1].epoch

    def live() -> list[Batch]:
        return [batch for batch in desk.batches() if batch.epoch != earlier]

    def oldest_has_come() -> bool:
        return any(batch.epoch == earlier and batch.first == 1 for batch in desk.batches())

    start(broker.port, loads(made=measured(a_ms=1.0)), one_probe(daily_bytes=5_000_000))
    wait_until(live)
    tell_time(desk, live()[-1], NOON_S)
    sent_count = len(live())
    wait_until(lambda: len(live()) >= sent_count + 3)
    assert not oldest_has_come()
    tell_time(desk, live()[-1], NOON_S + DAY_S)
    wait_until(oldest_has_come)


# How it ends.


@pytest.mark.parametrize("reason", ["shutdown", "suspend", "update", "on_battery_low"])
def test_a_goodbye_says_why(broker: EmbeddedBroker, desk: Desk, start: Start, reason: Goodbye) -> None:
    running = start(broker.port, loads())
    wait_until(desk.states)
    assert running.stop(reason) == 0
    wait_until(lambda: len(desk.states()) >= 2)
    time.sleep(0.1)
    assert [(state.state, state.reason) for state in desk.states()] == [("online", ""), ("offline", reason)]


def test_who_dies_without_a_word_is_lost(broker: EmbeddedBroker, desk: Desk, start: Start) -> None:
    running = start(broker.port, loads())
    wait_until(desk.states)
    assert running.stop(None) == 0
    wait_until(lambda: desk.states()[-1] == State(state="lost"))


class LeapingClock(SystemClock):
    """The PC's own clock, that can be set ahead."""

    ahead_s = 0.0

    def now(self) -> Moment:
        present = super().now()
        return msgspec.structs.replace(present, mono_s=present.mono_s + self.ahead_s)


def test_an_agent_that_is_connected_and_deaf_for_half_an_hour_starts_afresh(
    broker: EmbeddedBroker, desk: Desk, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    clock = LeapingClock()
    running = start(broker.port, loads(made=measured(a_ms=1.0)), one_probe(tick_s=60), clock)
    wait_until(desk.batches)
    clock.ahead_s = 31 * 60.0
    assert running.join() == EXIT_STUCK


def test_the_service_manager_is_told_that_it_is_ready_alive_and_stopping(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        running = start(free_port(), loads())
        heard = [manager.recv(100) for _ in range(3)]
        running.stop()
        while heard[-1] == b"WATCHDOG=1":
            heard.append(manager.recv(100))
    assert heard[:3] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
    assert heard[-1] == b"STOPPING=1"


# As a program of its own.


def write_settings(folder: Path, port: int, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    config = folder / "agent.toml"
    config.write_text(
        f'agent = "{AGENT}"\ndata_dir = "."\nplan = "plan.toml"\n'
        f'[broker]\nhost = "{LOOPBACK}"\nport = {port}\ntls = false\n',
        encoding="utf-8",
    )
    return config


def test_a_killed_agent_is_lost_comes_back_sends_all_and_says_goodbye(
    broker: EmbeddedBroker, desk: Desk, programs: Programs, tmp_path: Path
) -> None:
    probe = f'[[probe]]\nname = "tcp"\ntarget = "collector"\naddress = "{LOOPBACK}"\nport = {broker.port}\n'
    config = write_settings(tmp_path / "agent", broker.port, f"tick_s = 6\n{probe}")
    program = programs.start(
        [sys.executable, "-m", "agent", "run", "--config", config], ready=lambda: bool(desk.batches()), folder=dev.ROOT
    )
    assert desk.readings()[0].probe == "tcp"
    epoch = desk.batches()[0].epoch
    program.kill()
    wait_until(lambda: desk.states()[-1] == State(state="lost"))
    count = desk.answered_count = len(desk.batches())  # the collector was killed too, before it could commit
    program.start()

    def has_come_again() -> bool:
        desk.answer()
        return any(batch.epoch == epoch and batch.first == 1 for batch in desk.batches()[count:])

    wait_until(has_come_again)
    assert desk.states()[-1].state == "online"
    assert program.stop() == 0
    wait_until(lambda: desk.states()[-1].state == "offline")
    assert desk.states()[-1].reason == "service_stop"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts wake-ups as Linux does")
def test_an_idle_agent_wakes_no_more_than_once_a_second(
    broker: EmbeddedBroker, desk: Desk, programs: Programs, tmp_path: Path
) -> None:
    probe = f'[[probe]]\nname = "tcp"\ntarget = "collector"\naddress = "{LOOPBACK}"\nport = {broker.port}\n'
    config = write_settings(tmp_path / "agent", broker.port, f"tick_s = 60\n{probe}")
    program = programs.start(
        [sys.executable, "-m", "agent", "run", "--config", config], ready=lambda: bool(desk.batches()), folder=dev.ROOT
    )
    desk.answer()
    time.sleep(0.5)
    before = wake_ups(program.pid)
    time.sleep(4.0)
    count = wake_ups(program.pid) - before
    assert count <= 4
    os.kill(program.pid, signal.SIGTERM)


def wake_ups(pid: int) -> int:
    """How often any of its threads began to run after having waited."""
    found = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                found += int(line.split()[1])
    return found
