"""Wires the agent and owns its clock: ticks, probes, spool, link, plan."""

import asyncio
import contextlib
import logging
import random
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, TypeVar

from agent.clock import SystemClock
from agent.devices.memory import Memory, remember_by
from agent.forward import Forwarder, Pace
from agent.keyring import keyring_of
from agent.link import Connected, Disconnected, Link, LinkEvent, Message
from agent.measuring import Measurer
from agent.orders import NO_ORDERS, LoadProbe, Orders, PlanFile, fingerprint_of, read_orders
from agent.probe import urgent_values
from agent.schedule import Schedule
from agent.settings import AgentSettings
from agent.spending.budget import Use
from agent.spending.traffic import CONNECTION_BYTES, Traffic
from agent.store import Store
from agent.taking import Taken, each_once
from agent.vigil import LOOK_EVERY_S, Vigil
from contract import service_manager
from contract.batch import ContractError, encode_batch
from contract.messages import Goodbye, State, decode_ack, encode_small
from contract.moment import Clock, Moment
from contract.reading import Record
from contract.rung import Rung
from contract.settings import SettingsError
from contract.spool import Spool

log = logging.getLogger(__name__)
T = TypeVar("T")

_WHILE_CUT_OFF: Final = ("link",)
"""Probes that measure at each tick while there is no connection: what they find tells later why the room was away."""
EXIT_STUCK: Final = 75
"""EX_TEMPFAIL of sysexits.h: the service manager starts the agent afresh."""


class Agent:
    """One agent, from start to stop, in one asyncio loop; disk and link have a thread each."""

    def __init__(
        self,
        settings: AgentSettings,
        *,
        load_probe: LoadProbe,
        clock: Clock | None = None,
        chance: random.Random | None = None,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._look_every_s = look_every_s
        self._settings = settings
        self._load_probe = load_probe
        self._clock = clock or SystemClock()
        self._chance = chance or random.Random()  # noqa: S311 - jitter, no secret
        self._folder = settings.folder
        self._plan_file = PlanFile(self._folder / "plan.json")
        self._orders = NO_ORDERS
        self._refused = ""
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._running: dict[tuple[str, int], asyncio.Task[None]] = {}  # by plan and place in it
        self._tray: list[Taken] = []
        self._vigil = Vigil()
        self._background: set[asyncio.Task[None]] = set()
        self._is_connected = False
        self._traffic = Traffic(self._folder / "traffic.json")
        self._measurer = Measurer(self._clock, self._traffic, self._true_s)

    async def run(self) -> int:
        """Measure and send until `stop`; the exit code for the service manager."""
        self._loop = asyncio.get_running_loop()
        self._stopping: asyncio.Future[Goodbye | None] = self._loop.create_future()
        self._stir = asyncio.Event()  # something happened that may let the Forwarder send
        self._replan = asyncio.Event()
        self._store = await self._on_disk(self._open_store)
        self._send_from(self._store.spool)
        remember_by(await self._on_disk(Memory, self._folder / "devices.json", self._clock.now))
        self._take_first_orders()
        self._link = Link(
            self._settings.agent,
            self._settings.broker,
            self._settings.identity,
            birth=self._state,
            on_event=self._hear_from_thread,
            chance=self._chance,
        )
        self._link.start()
        service_manager.notify("READY=1")
        tasks = [
            self._loop.create_task(work()) for work in (self._tick, self._watch_urgent, self._forward, self._keep_watch)
        ]
        ends: list[asyncio.Future[Any]] = [self._stopping, *tasks]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        broken = [task for task in tasks if task.done()]
        service_manager.notify("STOPPING=1")
        reason = self._stopping.result() if self._stopping.done() else None
        for task in (*tasks, *self._running.values()):
            task.cancel()
        farewell = State(state="offline", reason=reason, at=self._clock.now()) if reason else None
        await asyncio.to_thread(self._link.stop, farewell)
        await asyncio.gather(*tasks, *self._running.values(), return_exceptions=True)
        await self._on_disk(self._store.close, self._clock.now())
        self._disk.shutdown()
        for task in broken:
            task.result()  # raises what ended it, if it was a fault
        return 0 if self._stopping.done() else EXIT_STUCK

    def stop(self, reason: Goodbye | None) -> None:
        """End the run and say why; None dies without a word, as a power cut would. From the loop's own thread."""
        if not self._stopping.done():
            self._stopping.set_result(reason)

    def stop_from_thread(self, reason: Goodbye | None) -> None:
        """The same from any thread, as a service host calls it."""
        self._loop.call_soon_threadsafe(self.stop, reason)

    def _open_store(self) -> Store:
        return Store(self._folder / "spool.db", self._settings.spool.limits, self._clock.now(), self._send_from)

    def _send_from(self, spool: Spool) -> None:
        """Begin to send from another spool; in the disk's thread."""
        self._forwarder = Forwarder(spool.epochs, pace=_pace_of(self._orders), chance=self._chance)
        if self._is_connected:
            self._forwarder.connected(self._clock.now())

    # What to do: the plan.

    def _take_first_orders(self) -> None:
        payload = self._plan_file.load()
        if payload is not None and self._take_orders(payload, "cached plan"):
            return
        if self._settings.plan is not None:
            self._take_orders(self._settings.plan.read_bytes(), str(self._settings.plan), toml=True)

    def _take_orders(self, payload: bytes, source: str, *, toml: bool = False) -> bool:
        try:
            keyring = keyring_of(self._settings)
            orders = read_orders(payload, self._load_probe, source=source, toml=toml, keyring=keyring)
        except SettingsError as error:
            self._refused = str(error)[:500]
            log.error("refused a plan, going on with the one in force:\n%s", error)  # noqa: TRY400 - the plan's fault
            return False
        self._refused = ""
        self._follow(orders)
        return True

    def _follow(self, orders: Orders) -> None:
        self._orders = orders
        self._traffic.follow(orders.plan)
        self._forwarder.pace = _pace_of(orders)
        self._replan.set()
        log.info(
            "plan %s in force: %d probes, a tick each %g s", orders.fingerprint, len(orders.probes), orders.plan.tick_s
        )

    def _state(self) -> State:
        is_silenced = self._forwarder.is_silenced
        return State(
            state="offline" if is_silenced else "online",
            reason="budget_spent" if is_silenced else "",
            version=program_version(),
            plan=self._orders.fingerprint,
            refused=self._refused,
            at=self._clock.now(),
        )

    # What happens: ticks.

    async def _tick(self) -> None:
        while True:
            self._replan.clear()
            plan = self._orders.plan
            schedule = Schedule(tick_s=plan.tick_s, start_mono_s=self._clock.now().mono_s, jobs=plan.jobs)
            await self._follow_schedule(schedule)

    async def _follow_schedule(self, schedule: Schedule) -> None:
        tick = 0
        while not self._replan.is_set():
            await self._take_turn(schedule, tick)
            self._count_traffic()
            await self._on_disk(self._traffic.save, self._clock.now().mono_s)
            tick = max(tick, schedule.tick_at(self._clock.now().mono_s)) + 1
            wait_s = schedule.starts_mono_s(tick) - self._clock.now().mono_s
            await _within(max(0.0, wait_s), self._replan.wait())

    def _true_s(self) -> float | None:
        """Unix time by the collector's last word; None before there was one."""
        return self._forwarder.true_s(self._clock.now())

    def _count_traffic(self) -> None:
        """Count what the link has cost, and hold back what the day has no bytes for any more."""
        now_s = self._true_s()
        self._traffic.linked(self._link.wire, now_s)
        given_up = self._traffic.given_up(now_s)
        self._forwarder.holds_backlog = Use.BACKLOG in given_up
        is_silenced = Use.TELEMETRY in given_up
        if is_silenced is not self._forwarder.is_silenced:
            self._forwarder.is_silenced = is_silenced
            self._link.publish("state", encode_small(self._state()), retain=True)
            self._stir.set()

    async def _take_turn(self, schedule: Schedule, tick: int) -> None:
        """Start what is due, wait for it a while, and store what has come as one record."""
        started = []
        for place in schedule.due(tick, urgent=() if self._is_connected else _WHILE_CUT_OFF):
            key = (self._orders.fingerprint, place)
            if key not in self._running:  # else still at its last turn: this one is skipped, not queued
                task = self._running[key] = self._loop.create_task(self._measure(place, self._orders))
                started.append(task)
        if started:
            await asyncio.wait(started, timeout=schedule.gather_s)
        taken, self._tray = self._tray, []
        for group in each_once(taken):
            await self._keep(group)

    async def _keep(self, group: Sequence[Taken]) -> None:
        """Store readings as one record, and let it leave."""
        moment = self._clock.now()
        readings = tuple(one.before(moment.mono_s) for one in group)
        await self._on_disk(self._store.put, Record(taken=moment, readings=readings), moment)
        self._stir.set()

    async def _watch_urgent(self) -> None:
        """Between ticks, look at what must not wait for the next, and store it when it has changed."""
        while True:
            await asyncio.sleep(self._look_every_s)
            orders = self._orders
            for place, probe in enumerate(orders.probes):
                urgent = urgent_values(probe)
                if urgent and (orders.fingerprint, place) not in self._running and orders is self._orders:
                    await self._look_at_urgent(place, urgent, orders)

    async def _look_at_urgent(self, place: int, urgent: frozenset[str], orders: Orders) -> None:
        job = orders.plan.jobs[place]
        taken = await self._measurer.measure(job, orders.probes[place], orders.plan)
        if taken is None:
            return
        key, values = (job.probe, taken.reading.target), taken.reading.values
        if orders is self._orders and self._vigil.is_news(key, urgent, values, self._clock.now().mono_s):
            self._vigil.recorded(key, urgent, values, self._clock.now().mono_s)
            await self._keep([taken])

    async def _measure(self, place: int, orders: Orders) -> None:
        try:
            job, probe = orders.plan.jobs[place], orders.probes[place]
            taken = await self._measurer.measure(job, probe, orders.plan)
            # Else it was not the time for it, or the plan changed meanwhile and this answers an old question.
            if taken is not None and orders is self._orders:
                self._tray.append(taken)
                if urgent := urgent_values(probe):
                    key = (job.probe, taken.reading.target)
                    self._vigil.recorded(key, urgent, taken.reading.values, self._clock.now().mono_s)
        finally:
            self._running.pop((orders.fingerprint, place), None)

    # What goes out and comes in.

    async def _forward(self) -> None:
        while True:
            self._stir.clear()
            wake_mono_s = await self._on_disk(self._send_all)
            wait_s = None if wake_mono_s is None else max(0.05, wake_mono_s - self._clock.now().mono_s)
            await _within(wait_s, self._stir.wait())

    def _send_all(self) -> float | None:
        """Send what is due; the monotonic time at which there may be more."""
        try:
            return self._send_due()
        except sqlite3.DatabaseError as error:
            now = self._clock.now()
            self._store.mend(error, now)
            return now.mono_s

    def _send_due(self) -> float | None:
        while (batch := self._forwarder.next(self._clock.now())) is not None:
            payload = encode_batch(batch)
            if not self._link.publish("batch", payload):
                self._forwarder.disconnected()
                break
            self._forwarder.sent(len(payload))
            self._traffic.weighed(self._forwarder.pace.weigh(len(payload)))
        return self._forwarder.wake_mono_s(self._clock.now())

    def _hear_from_thread(self, event: LinkEvent) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is left to hear it
            self._loop.call_soon_threadsafe(self._hear, event)

    def _hear(self, event: LinkEvent) -> None:
        match event:
            case Connected():
                log.info("connected to %s:%d", self._settings.broker.host, self._settings.broker.port)
                self._measurer.lost_at = Rung.NONE
                self._traffic.weighed(CONNECTION_BYTES)
                self._do(self._on_disk(self._hear_link, self._clock.now()))
            case Disconnected(reason, rung):
                log.warning("not connected (%s): %s", rung.name, reason)
                self._measurer.lost_at = rung
                self._do(self._on_disk(self._hear_link, None))
            case Message("ack", payload):
                self._do(self._on_disk(self._hear_ack, payload))
            case Message("plan", payload) if payload:
                self._hear_plan(payload)
            case _:
                log.warning("ignored a message that is none of ours")

    def _hear_link(self, connected: Moment | None) -> None:
        self._is_connected = connected is not None
        if connected is not None:
            self._forwarder.connected(connected)
        else:
            self._forwarder.disconnected()

    def _hear_ack(self, payload: bytes) -> None:
        now = self._clock.now()
        try:
            self._forwarder.acked(decode_ack(payload), now)
        except ContractError as error:
            log.warning("ignored an ack: %s", error)
        except sqlite3.DatabaseError as error:
            self._store.mend(error, now)

    def _hear_plan(self, payload: bytes) -> None:
        before = (self._orders.fingerprint, self._refused)
        if fingerprint_of(payload) == self._orders.fingerprint:
            # It comes again with each connection: to begin it anew would measure everything out of turn.
            self._refused = ""
            self._keep_plan(payload)
        elif self._take_orders(payload, "plan from the collector"):
            self._keep_plan(payload)
        if before != (self._orders.fingerprint, self._refused):
            self._link.publish("state", encode_small(self._state()), retain=True)

    def _keep_plan(self, payload: bytes) -> None:
        if payload == self._plan_file.load():
            return
        try:
            self._plan_file.keep(payload)
        except OSError as error:
            log.warning("the plan could not be kept for the next start: %s", error)

    def _do(self, work: Awaitable[None]) -> None:
        """Let a short piece of work run, then let the Forwarder look again."""

        async def run() -> None:
            await work
            self._stir.set()

        task = self._loop.create_task(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _on_disk(self, work: Callable[..., T], *parts: object) -> T:
        return await self._loop.run_in_executor(self._disk, work, *parts)

    async def _keep_watch(self) -> None:
        """Ends when the program is stuck; until then tells the service manager that it is not."""
        every_s = min(60.0, service_manager.watchdog_every_s() or 60.0)
        while not self._forwarder.is_deaf(self._clock.now()):
            await self._on_disk(lambda: None)  # a disk that hangs for ever must show in the watchdog
            service_manager.notify("WATCHDOG=1")
            await asyncio.sleep(every_s)
        log.error("connected, yet deaf for half an hour: starting afresh")


def _pace_of(orders: Orders) -> Pace:
    return Pace(backlog_bps=orders.plan.backlog_bps, quiet_hours=orders.plan.quiet_hours)


async def _within(wait_s: float | None, awaitable: Awaitable[object]) -> None:
    """Wait for something, but no longer than so many seconds."""
    try:
        async with asyncio.timeout(wait_s):
            await awaitable
    except TimeoutError:
        pass


def program_version() -> str:
    """The version installed."""
    try:
        return version("sansang")
    except PackageNotFoundError:
        return "0"
