"""One world from one seed: PCs, lines, a broker and a collector, and everything that goes wrong with them."""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from contract.spool import SpoolLimits
from tests.simulation.agent_disk import AgentDisk, MemoryDisk, SqliteDisk
from tests.simulation.centre import Centre, MemoryShelf, Shelf, SqliteShelf
from tests.simulation.engine import Engine
from tests.simulation.network import Broker, Line
from tests.simulation.pc import BIOS_WALL_S, Habits, Pc
from tests.simulation.truth import Figures, Truth

START_S: Final = 1_795_478_400.0  # 2026-11-24 00:00 UTC
_HOUR_S: Final = 3600.0
_DAY_S: Final = 86400.0
_LAST_TICKS: Final = 2
_DRAIN_STEP_S: Final = 317.0  # no multiple of a tick, whose record would always be under way
_DRAIN_LEAST_S: Final = 2700.0  # three times what resending may wait
_WALLS_S: Final = (1_136_073_600.0, BIOS_WALL_S, 1_767_225_600.0, 2_114_380_800.0)  # 2006, 2009, 2026, 2037


class Outcome(NamedTuple):
    """What a run showed."""

    simulated_s: float
    faults: Mapping[str, int]
    figures: Figures


class World:
    """Run it, and every promise was kept; else it raises Broken. The same seed always runs the same."""

    def __init__(
        self, seed: int, *, folder: Path | None = None, trims_on_puback: bool = False, keeps_epoch: bool = False
    ) -> None:
        """With `folder` the real spools and the real journal lie there; without, models of them are used.

        The other two are what an agent must not do: believe the broker's ack, and go on with its epoch in another boot.
        """
        self._keeps_epoch = keeps_epoch
        self._chance = random.Random(seed)
        self._folder = folder
        self._engine = Engine(START_S + self._chance.uniform(0.0, _DAY_S))
        self._faults: Counter[str] = Counter()
        self._is_calm = False
        self._disks: list[SqliteDisk] = []
        chance = self._chance
        agents = [f"room-{number}" for number in range(1, chance.choice((1, 1, 2, 2, 3, 4, 6)) + 1)]
        self._lasts_s = chance.choice((6 * _HOUR_S, 12 * _HOUR_S, _DAY_S, 2 * _DAY_S, 3 * _DAY_S))
        if folder is not None:
            agents, self._lasts_s = agents[:2], min(self._lasts_s, 12 * _HOUR_S)
        self._truth = Truth(self._engine, agents)
        self._broker = Broker(engine=self._engine, truth=self._truth, chance=self._twin())
        self._may_restore = chance.random() < 0.3
        self._may_step = chance.random() < 0.3
        self._is_always_noticed = chance.random() < 0.5
        shelf: Shelf = MemoryShelf() if folder is None else SqliteShelf(folder / "centre")
        self._centre = Centre(
            agents,
            engine=self._engine,
            truth=self._truth,
            broker=self._broker,
            shelf=shelf,
            chance=self._twin(),
            ahead_s=chance.choice((0.0, 0.0, chance.uniform(-1.0, 1.0), chance.uniform(-900.0, 900.0))),
        )
        self._may_be_unkind = chance.random() < 0.4
        self._pcs = [self._make_pc(agent, trims_on_puback=trims_on_puback) for agent in agents]
        self._truth.is_clear = self._is_clear

    def _is_clear(self, agent: str) -> bool:
        pc = next(pc for pc in self._pcs if pc.name == agent)
        is_joined = pc.line.connection is not None and pc.line.connection.is_open and self._broker.inlet is not None
        return is_joined and pc.line.is_up and self._broker.is_up

    def _twin(self) -> random.Random:
        """A source of chance of its own for each part, so that one does not disturb another."""
        return random.Random(self._chance.getrandbits(64))

    def _make_pc(self, agent: str, *, trims_on_puback: bool) -> Pc:
        chance = self._chance
        habits = Habits(
            tick_s=chance.choice((60.0, 120.0, 300.0, 300.0, 600.0, 900.0)),
            backlog_bps=chance.choice((1000.0, 8000.0, 64_000.0, 64_000.0, 1e6)),
            readings_max_count=chance.choice((1, 3, 8)),
            is_bulky=chance.random() < 0.2,
            is_frozen=chance.random() < 0.15,
            has_battery=chance.random() < 0.8,
            gets_time=chance.random() < 0.6,
            goes_home=chance.random() < 0.4,
            trims_on_puback=trims_on_puback,
        )
        ahead_s = chance.choice((0.0, 0.0, chance.uniform(-90.0, 90.0), 7 * _HOUR_S, -400.0 * _DAY_S))
        if chance.random() < 0.2:
            ahead_s = chance.choice(_WALLS_S) - self._engine.now_s
        line = Line(agent, self._broker, engine=self._engine, truth=self._truth, chance=self._twin())
        line.is_unordered = self._may_be_unkind and chance.random() < 0.5
        return Pc(
            agent,
            habits,
            engine=self._engine,
            truth=self._truth,
            line=line,
            disk=self._make_disk(agent),
            chance=self._twin(),
            drift=chance.uniform(-5e-5, 5e-5),
            wall_ahead_s=ahead_s,
        )

    def _make_disk(self, agent: str) -> AgentDisk:
        chance = self._chance
        if self._folder is not None:
            disk = SqliteDisk(self._folder / agent, SpoolLimits(max_bytes=chance.choice((100, 160, 512)) << 10))
            self._disks.append(disk)
            return disk
        limits = SpoolLimits(
            max_bytes=chance.choice((8_000, 30_000, 200_000, 10_000_000)),
            max_age_s=chance.choice((6 * _HOUR_S, 45 * _DAY_S)),
        )
        may_lie = chance.random() < 0.3
        return MemoryDisk(limits, self._twin(), may_lie=may_lie, keeps_epoch=self._keeps_epoch)

    # The run.

    def run(self) -> Outcome:
        began_s = self._engine.now_s
        self._centre.start()
        for pc in self._pcs:
            pc.power_on()
            if pc.habits.is_frozen:
                self._engine.after(self._chance.uniform(0.0, 2 * _HOUR_S), pc.disk.freeze)
            if pc.habits.goes_home:
                self._engine.after(self._chance.uniform(0.0, 8 * _HOUR_S), self._leave(pc))
            if pc.habits.gets_time:
                self._engine.after(self._chance.uniform(10.0, 7200.0), pc.get_time)
        self._engine.after(_HOUR_S, self._keep_house)
        for name, rate_a_day, fault in self._menu():
            if self._chance.random() < 0.5:
                self._repeat(name, rate_a_day * 10 ** self._chance.uniform(-0.7, 0.7), fault)
        self._engine.run_until(began_s + self._lasts_s)
        self._calm_down()
        self._drain()
        self._truth.check_end()
        for disk in self._disks:
            disk.close()
        return Outcome(self._engine.now_s - began_s, self._faults, self._truth.figures)

    def _keep_house(self) -> None:
        self._centre.back_up()
        self._centre.review()
        self._engine.after(self._chance.uniform(0.5, 6.0) * _HOUR_S, self._keep_house)

    def _leave(self, pc: Pc) -> Callable[[], None]:
        """At the end of a day the PC is shut down, and started the next morning."""

        def leave() -> None:
            if not self._is_calm:
                pc.power_off()
                self._engine.after(14 * _HOUR_S, pc.power_on)
                self._engine.after(_DAY_S, leave)

        return leave

    def _repeat(self, name: str, rate_a_day: float, fault: Callable[[], None]) -> None:
        def strike() -> None:
            if self._is_calm:
                return
            self._faults[name] += 1
            fault()
            self._engine.after(self._chance.expovariate(rate_a_day / _DAY_S), strike)

        self._engine.after(self._chance.expovariate(rate_a_day / _DAY_S), strike)

    # What goes wrong.

    def _menu(self) -> list[tuple[str, float, Callable[[], None]]]:
        """Name, how often a day, and what it is."""
        menu = [
            ("line cut", 6.0, self._cut_line),
            ("line slow", 4.0, self._slow_line),
            ("line lossy", 3.0, self._spoil_line),
            ("connection ended", 6.0, self._end_connection),
            ("power cut", 3.0, self._cut_power),
            ("agent killed", 6.0, lambda: self._any_pc().kill_agent()),
            ("agent killed at work", 6.0, self._kill_at_work),
            ("PC asleep", 3.0, self._put_to_sleep),
            ("PC clock set", 3.0, self._set_pc_clock),
            ("agent disk full", 2.0, self._fill_agent_disk),
            ("broker restarted", 3.0, self._restart_broker),
            ("broker forgets", 3.0, self._spoil_broker),
            ("collector killed", 6.0, self._kill_centre),
            ("collector killed at work", 6.0, self._kill_centre_at_work),
            ("collector slow", 3.0, self._slow_centre),
            ("journal refuses", 3.0, self._fill_journal),
        ]
        if self._may_restore:
            menu.append(("collector restored", 2.0, self._restore_centre))
        if self._may_step:
            menu.append(("collector clock set", 2.0, self._set_centre_clock))
        return menu

    def _any_pc(self) -> Pc:
        return self._chance.choice(self._pcs)

    def _duration_s(self, least_s: float, most_s: float) -> float:
        """Short ones are many, long ones few."""
        return least_s * math.pow(most_s / least_s, self._chance.random())

    def _end_connection(self) -> None:
        connection = self._any_pc().line.connection
        if connection is not None:
            connection.break_off()

    def _cut_line(self) -> None:
        line = self._any_pc().line
        if line.is_up:
            line.cut()
            self._engine.after(self._duration_s(2.0, 20 * _HOUR_S), line.mend)

    def _slow_line(self) -> None:
        line = self._any_pc().line
        line.delay_s = self._chance.choice(((0.3, 3.0), (2.0, 20.0), (5.0, 40.0)))
        line.truth.disturb(line.agent)

        def mend() -> None:
            line.delay_s = (0.02, 0.4)
            self._disturb_for(line.agent, 200.0, lambda: None)  # until the last slow message has arrived

        self._disturb_for(line.agent, self._duration_s(60.0, 6 * _HOUR_S), mend)

    def _disturb_for(self, agent: str, lasts_s: float, then: Callable[[], None]) -> None:
        """Note that nothing of an agent can be expected at once, for as long as something lasts."""
        until_s = self._engine.now_s + lasts_s

        def note() -> None:
            self._truth.disturb(agent)
            if self._engine.now_s >= until_s or self._is_calm:
                then()
            else:
                self._engine.after(min(30.0, until_s - self._engine.now_s), note)

        note()

    def _spoil_line(self) -> None:
        line = self._any_pc().line
        line.lost_ratio = self._chance.choice((0.02, 0.3, 0.8))
        line.doubled_ratio = self._chance.choice((0.0, 0.2))

        def mend() -> None:
            line.lost_ratio = line.doubled_ratio = 0.0

        self._engine.after(self._duration_s(60.0, 12 * _HOUR_S), mend)

    def _cut_power(self) -> None:
        pc = self._any_pc()
        pc.power_off(lies=self._chance.random() < 0.5)
        self._engine.after(self._duration_s(5.0, 12 * _HOUR_S), pc.power_on)

    def _kill_at_work(self) -> None:
        pc = self._any_pc()
        if pc.agent is not None:
            pc.agent.die_soon(self._chance.randrange(12))

    def _put_to_sleep(self) -> None:
        pc = self._any_pc()
        pc.sleep()
        self._engine.after(self._duration_s(10.0, 10 * _HOUR_S), pc.wake)

    def _set_pc_clock(self) -> None:
        chance = self._chance
        ahead_s = chance.choice(_WALLS_S) - self._engine.now_s
        self._any_pc().set_wall(chance.choice((0.0, chance.uniform(-600, 600), chance.uniform(-9e4, 9e4), ahead_s)))

    def _fill_agent_disk(self) -> None:
        disk = self._any_pc().disk
        disk.is_full = True

        def mend() -> None:
            disk.is_full = False

        self._engine.after(self._duration_s(60.0, 6 * _HOUR_S), mend)

    def _restart_broker(self) -> None:
        if self._broker.is_up:
            self._broker.stop()
            self._engine.after(self._duration_s(1.0, 3 * _HOUR_S), self._broker.start)

    def _spoil_broker(self) -> None:
        self._broker.dropped_ratio = self._chance.choice((0.05, 0.5, 1.0))
        self._broker.doubled_ratio = self._chance.choice((0.0, 0.3))

        def mend() -> None:
            self._broker.dropped_ratio = self._broker.doubled_ratio = 0.0

        self._engine.after(self._duration_s(60.0, 6 * _HOUR_S), mend)

    def _kill_centre(self) -> None:
        self._centre.kill()
        self._start_centre_later()

    def _start_centre_later(self) -> None:
        self._engine.after(self._duration_s(1.0, 8 * _HOUR_S), self._centre.start)

    def _kill_centre_at_work(self) -> None:
        self._centre.die_soon(self._chance.randrange(40))
        self._engine.after(self._duration_s(60.0, 2 * _HOUR_S), self._centre.start)

    def _slow_centre(self) -> None:
        self._centre.busy_s = self._chance.choice(((0.5, 5.0), (5.0, 60.0)))

        def mend() -> None:
            self._centre.busy_s = (0.002, 0.05)

        lasts_s = self._duration_s(60.0, 3 * _HOUR_S)
        for pc in self._pcs:
            self._disturb_for(pc.name, lasts_s, mend)

    def _fill_journal(self) -> None:
        self._centre.journal_refuses = True

        def mend() -> None:
            self._centre.journal_refuses = False

        self._engine.after(self._duration_s(30.0, 3 * _HOUR_S), mend)

    def _restore_centre(self) -> None:
        self._centre.restore(self._chance.randrange(4))
        self._start_centre_later()

    def _set_centre_clock(self) -> None:
        chance = self._chance
        if self._centre.is_up or not self._is_always_noticed:
            self._centre.set_clock(chance.choice((-1.0, 1.0)) * self._duration_s(0.5, 10 * _HOUR_S))

    # The end.

    def _calm_down(self) -> None:
        """Everything works from here on."""
        self._is_calm = True
        self._broker.dropped_ratio = self._broker.doubled_ratio = 0.0
        self._centre.busy_s = (0.002, 0.05)
        self._centre.journal_refuses = False
        if not self._broker.is_up:
            self._broker.start()
        self._centre.start()
        goes_on = self._chance.random() < 0.5
        for pc in self._pcs:
            # Else nothing that was missed may wait for the next record to bring it.
            pc.ticks_left = None if goes_on else _LAST_TICKS
            pc.line.delay_s = (0.02, 0.4)
            pc.line.lost_ratio = pc.line.doubled_ratio = 0.0
            pc.disk.is_full = False
            if not pc.line.is_up:
                pc.line.mend()
            pc.wake()
            pc.power_on()

    def _drain(self) -> None:
        """Let everything arrive, in a bounded time: that of the slowest pace, and of what resending may wait."""
        began_s = self._engine.now_s
        tick_s = max(pc.habits.tick_s for pc in self._pcs)
        bytes_s = max(pc.held_bytes() * 8 / pc.habits.backlog_bps for pc in self._pcs)
        most_s = _DRAIN_LEAST_S + 2 * tick_s + 1.5 * bytes_s
        while self._engine.now_s < began_s + most_s:
            self._engine.run_until(self._engine.now_s + _DRAIN_STEP_S)
            self._centre.start()  # a death that was due may have come only now
            # An agent hears of a collector that was put back with its next record.
            may_end = self._engine.now_s > began_s + 2 * tick_s
            if may_end and self._truth.undelivered() == 0:
                return
        self._truth.not_drained(most_s)
