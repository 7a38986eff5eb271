"""A classroom PC: its clocks, which may be wrong, its sleep, its power, and the agent that runs on it."""

import random
from collections.abc import Callable

import msgspec

from agent.forward import Forwarder, Pace
from agent.link import Ended, Patience
from contract.batch import Batch, encode_batch
from contract.messages import decode_ack
from contract.moment import Moment
from contract.reading import Reading, Record
from contract.spool import SpoolFull
from tests.simulation.agent_disk import AgentDisk, AnySpool
from tests.simulation.engine import Engine, Killed
from tests.simulation.network import Connection, Line
from tests.simulation.truth import Truth

BIOS_WALL_S = 1_230_768_000.0  # 2009-01-01, where a clock without a battery begins
_RESTART_S = 5.0
_WATCH_EVERY_S = 60.0


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """What is peculiar to one PC, for the whole of a run."""

    tick_s: float
    backlog_bps: float
    readings_max_count: int
    is_bulky: bool
    is_frozen: bool
    has_battery: bool
    gets_time: bool
    goes_home: bool
    trims_on_puback: bool


class Pc:
    """Boots, sleeps, loses power. Its monotonic clock goes on while it sleeps, its wall clock while it is off."""

    def __init__(
        self,
        name: str,
        habits: Habits,
        *,
        engine: Engine,
        truth: Truth,
        line: Line,
        disk: AgentDisk,
        chance: random.Random,
        drift: float,
        wall_ahead_s: float,
    ) -> None:
        self.name = name
        self.habits = habits
        self.engine = engine
        self.truth = truth
        self.line = line
        self.disk = disk
        self.chance = chance
        self._rate = 1.0 + drift
        self._wall_ahead_s = wall_ahead_s
        self.is_on = False
        self.is_asleep = False
        self.agent: AgentProcess | None = None
        self.ticks_left: int | None = None
        """How often the agent still measures, once a plan took its probes away; None while there is one."""
        self._asleep_since_s = 0.0
        self._deferred: list[Callable[[], None]] = []
        self._boot = ""
        self._booted_s = 0.0
        self._mono_at_boot_s = 0.0

    def now(self) -> Moment:
        true_s = self.engine.now_s
        mono_s = self._mono_at_boot_s + (true_s - self._booted_s) * self._rate
        return Moment(boot=self._boot, mono_s=mono_s, wall_s=true_s + self._wall_ahead_s)

    def set_wall(self, ahead_s: float) -> None:
        """The wall clock is set, by hand or by a time server; nothing else notices."""
        self._wall_ahead_s = ahead_s

    def power_on(self) -> None:
        if self.is_on:
            return
        self.is_on, self.is_asleep = True, False
        self._booted_s = self.engine.now_s
        self._boot = f"{self.chance.getrandbits(128):032x}"
        self._mono_at_boot_s = self.chance.uniform(5.0, 40.0)
        self.truth.booted(self._boot, self._booted_s, self._mono_at_boot_s, self._rate)
        if not self.habits.has_battery:
            self._wall_ahead_s = BIOS_WALL_S - self.engine.now_s
        if self.habits.is_frozen:
            self.truth.rolled_back(self.name)
            self.disk.thaw()
        self.start_agent()

    def power_off(self, *, lies: bool = False) -> None:
        if not self.is_on:
            return
        self.stop_agent()
        self.is_on = self.is_asleep = False
        self._deferred.clear()
        if lies:
            self.truth.rolled_back(self.name)
            self.disk.lie()

    def sleep(self) -> None:
        if self.is_on and not self.is_asleep:
            self.is_asleep = True
            self._asleep_since_s = self.engine.now_s
            self.truth.disturb(self.name)
            self.line.fall_silent()

    def wake(self) -> None:
        if not self.is_asleep:
            return
        self.is_asleep = False
        self.truth.disturb(self.name)
        if self.habits.gets_time:
            self.set_wall(0.0)
        deferred, self._deferred = self._deferred, []
        for action in deferred:
            action()
        self.line.speak_again(self.engine.now_s - self._asleep_since_s)

    def do(self, agent: "AgentProcess", action: Callable[[], None]) -> None:
        """Let an agent's action happen now; later while the PC sleeps, and never when the process has gone."""
        if agent is not self.agent:
            return
        if self.is_asleep:
            self._deferred.append(lambda: self.do(agent, action))
            return
        try:
            action()
        except Killed:
            self.kill_agent()

    def start_agent(self) -> None:
        if self.is_on and self.agent is None:
            agent = self.agent = AgentProcess(self)
            self.do(agent, agent.start)

    def stop_agent(self) -> None:
        self.truth.disturb(self.name)
        self.agent = None
        self.line.break_off()
        self.disk.kill()

    def kill_agent(self) -> None:
        """Nobody stops it, it just ends, and is started again by its service manager."""
        self.stop_agent()
        booted_s = self._booted_s
        self.engine.after(_RESTART_S, lambda: self.start_agent() if booted_s == self._booted_s else None)

    def held_bytes(self) -> int:
        """At least what has still to be sent, as it would travel."""
        if self.agent is None:
            return 0
        spool = self.agent.spool
        count = sum(epoch.next_seq - 1 - epoch.acked_upto for epoch in spool.epochs)
        readings_bytes = 250 if self.habits.is_bulky else 60
        return count * (150 + readings_bytes * self.habits.readings_max_count) + 600 * len(spool.epochs)

    def get_time(self) -> None:
        """A time server answers."""
        if self.habits.gets_time:
            self.set_wall(self.chance.uniform(-0.05, 0.05))


class AgentProcess:
    """What agent/app.py does around the Forwarder, in the same order."""

    def __init__(self, pc: Pc) -> None:
        self._pc = pc
        self._is_full = False
        self._connection: Connection | None = None
        self._patience = Patience()
        self._woken_s = float("inf")  # the earliest wake-up that is arranged
        self._crossings_left: int | None = None
        self._backlog: list[tuple[float, int]] = []

    def start(self) -> None:
        now = self._pc.now()
        self.spool: AnySpool = self._pc.disk.open(boot=now.boot, mono_s=now.mono_s)
        habits = self._pc.habits
        pace = Pace(backlog_bps=habits.backlog_bps)
        self.forwarder = Forwarder(self.spool.epochs, pace=pace, chance=self._pc.chance)
        self._pc.truth.opened(self._pc.name, self.spool)
        self._after(0.0, self._connect)
        self._after(self._pc.chance.uniform(0.1, 5.0), self._tick)
        self._after(_WATCH_EVERY_S, self._keep_watch)

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        self._pc.engine.after(delay_s, lambda: self._pc.do(self, action))

    def die_soon(self, crossings: int) -> None:
        """Be killed at one of the next crossings to disk or network."""
        self._crossings_left = crossings

    def _cross(self) -> None:
        if self._crossings_left is not None:
            self._crossings_left -= 1
            if self._crossings_left < 0:
                raise Killed

    # Ticks.

    def _tick(self) -> None:
        if self._pc.ticks_left == 0:
            return
        if self._pc.ticks_left is not None:
            self._pc.ticks_left -= 1
        self._after(self._pc.habits.tick_s, self._tick)
        now = self._pc.now()
        record = Record(taken=now, readings=self._measure())
        self._cross()
        try:
            seq = self.spool.put(record, mono_s=now.mono_s)
        except SpoolFull:
            return
        self._pc.truth.stored(self._pc.name, self.spool, seq, record)
        self._cross()
        self._stir()

    def _measure(self) -> tuple[Reading, ...]:
        chance, habits = self._pc.chance, self._pc.habits
        detail = f"{chance.getrandbits(600):x}" if habits.is_bulky else ""
        count = self._pc.truth.next_count()
        return tuple(
            Reading(
                probe="ping",
                target=f"device-{place}",
                values={"sent_count": count},
                before_s=round(chance.uniform(0.0, 10.0), 3),
                detail=detail,
            )
            for place in range(chance.randint(1, habits.readings_max_count))
        )

    # What goes out and comes in.

    def _stir(self) -> None:
        """Let the Forwarder look, as `_forward` of the shell does after every event."""
        while (batch := self.forwarder.next(self._pc.now())) is not None:
            payload = encode_batch(batch)
            if self._connection is None or not self._connection.publish(payload, self._on_puback(batch)):
                self.forwarder.disconnected()
                break
            self.forwarder.sent(len(payload))
            self._note_pace(batch, len(payload))
            self._cross()
        wake_mono_s = self.forwarder.wake_mono_s(self._pc.now())
        if wake_mono_s is not None:
            self._wake_in(max(0.05, wake_mono_s - self._pc.now().mono_s))

    def _wake_in(self, wait_s: float) -> None:
        when_s = self._pc.engine.now_s + wait_s
        if when_s >= self._woken_s > self._pc.engine.now_s:
            return
        self._woken_s = when_s
        self._after(wait_s, lambda: self._wake(when_s))

    def _wake(self, when_s: float) -> None:
        if when_s == self._woken_s:
            self._woken_s = float("inf")
            self._stir()

    def _on_puback(self, batch: Batch) -> Callable[[], None] | None:
        if not self._pc.habits.trims_on_puback:
            return None
        return lambda: self._pc.do(self, lambda: self._trim(batch))

    def _trim(self, batch: Batch) -> None:
        """What an agent does that believes a broker: the negative control of the simulation."""
        for epoch in self.spool.epochs:
            if epoch.epoch == batch.epoch and batch.last > epoch.acked_upto:
                epoch.acknowledge(batch.last, mono_s=self._pc.now().mono_s)
        self._pc.truth.changed(self._pc.name, self.spool)

    def _note_pace(self, batch: Batch, size_bytes: int) -> None:
        if self.forwarder._weighs:
            self._backlog.append((batch.now.mono_s, size_bytes + 250))
            self._backlog = self._pc.truth.check_pace(self._pc.name, self._backlog, self._pc.habits.backlog_bps)

    def _connect(self) -> None:
        self._pc.line.connect(self._on_connected, self._on_refused)

    def _on_connected(self, connection: Connection) -> None:
        def hear() -> None:
            self._connection = connection
            self.forwarder.connected(self._pc.now())
            self._stir()

        connection.on_ack = self._on_ack
        connection.on_end = self._on_end
        if self._pc.agent is not self:
            connection.break_off()
            return
        self._pc.do(self, hear)

    def _on_refused(self) -> None:
        self._retry(Ended("nobody there"))

    def _retry(self, ended: Ended) -> None:
        self._after(self._pc.chance.uniform(0.2, self._patience.ceiling_s(ended)), self._connect)

    def _on_end(self) -> None:
        def hear() -> None:
            self._connection = None
            self.forwarder.disconnected()
            self._stir()
            self._retry(Ended("lost", was_up=True))

        self._pc.do(self, hear)

    def _on_ack(self, payload: bytes) -> None:
        def hear() -> None:
            self._cross()
            self.forwarder.acked(decode_ack(payload), self._pc.now())
            self._pc.truth.changed(self._pc.name, self.spool)
            self._cross()
            self._stir()

        self._pc.do(self, hear)

    def _keep_watch(self) -> None:
        if self.forwarder.is_deaf(self._pc.now()):
            raise Killed
        self._after(_WATCH_EVERY_S, self._keep_watch)
