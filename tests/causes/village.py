"""A district and its neighbours whose every fault is known: rooms with mains, UPS, PC, router, provider and devices.

What happens is set by a script; what the collector hears follows from it, through the shipping Watch.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from collector.alerting.incident import Incidents, Policy
from collector.alerting.told import Told
from collector.outages import Outage, Outages
from collector.rooms.registry import Agent, RegistryView, Room, Standing
from collector.watch import Doubt, Review, Watch
from contract.outcome import Outcome
from contract.reading import Reading
from contract.rung import Rung
from readiness.causes import Cause, Stop
from readiness.profile import default_profiles

START_S: Final = 1_795_500_000.0
STEP_S: Final = 30.0
WILL_S: Final = 97.0
"""How long a broker believes a PC that has gone without a word."""
LIVE, LATE = 2.0, 20.0


@dataclass
class House:
    """One room and all that it hangs on; `True` is well. Times are Unix seconds of the true clock."""

    room: str
    place: tuple[str, ...]
    has_ups: bool = True
    has_devices: bool = True
    has_link_probe: bool = True
    remembers_stop: bool = True
    tells_boot: bool = True
    tells_boot_every_s: float = STEP_S
    sends: bool = True
    runtime_s: float = 1200.0
    network_on_ups: bool = True

    mains: bool = True
    charge_s: float = 1200.0
    pc: bool = True
    awake: bool = True
    agent: bool = True
    carrier: bool = True
    address: bool = True
    router: bool = True
    provider: bool = True
    names: bool = True
    portal: bool = True
    """No foreign page stands before the Internet."""
    welcome: bool = True
    """The broker takes the agent's credentials."""

    boot_s: float = START_S - 90_000.0
    agent_start_s: float = START_S - 80_000.0
    slept_s: float = 0.0
    stop: Stop = Stop.SHUT_DOWN
    device_boot_s: float = START_S - 400_000.0
    router_boot_s: float = START_S - 900_000.0
    spool: list[tuple[float, Reading]] = field(default_factory=list)
    unheard_s: float | None = None
    is_online: bool = False

    @property
    def measures(self) -> bool:
        return self.pc and self.awake and self.agent

    @property
    def way(self) -> bool:
        """Whether packets pass from the PC to the Internet."""
        return self.carrier and self.address and self.router_lives and self.provider

    @property
    def reaches(self) -> bool:
        """Whether it reaches the broker."""
        return self.way and self.names and self.portal

    def _rung(self) -> Rung:
        broken = (
            (self.carrier, Rung.NIC),
            (self.address, Rung.ADDRESS),
            (self.router_lives, Rung.GATEWAY),
            (self.provider, Rung.ISP),
            (self.names, Rung.DNS),
            (self.portal, Rung.PORTAL),
            (self.welcome, Rung.COLLECTOR_REFUSED),
        )
        return next((rung for is_well, rung in broken if not is_well), Rung.NONE)

    @property
    def router_lives(self) -> bool:
        return self.router and (self.mains or (self.has_ups and self.network_on_ups and self.charge_s > 0))

    def cut_pc(self, stop: Stop) -> None:
        """The PC stops running, in this way."""
        self.pc = False
        self.stop = stop

    def start_pc(self, now: float) -> None:
        self.pc = self.awake = self.agent = True
        self.boot_s = now
        self.agent_start_s = now + 20.0
        self.slept_s = 0.0

    def pass_time(self, now: float) -> None:
        """What follows by itself from the state of the mains."""
        if self.mains:
            self.charge_s = min(self.runtime_s, self.charge_s + STEP_S)
        elif self.has_ups:
            self.charge_s = max(0.0, self.charge_s - STEP_S)
        fed = self.mains or (self.has_ups and self.charge_s > 0)
        if not fed and self.pc:
            self.cut_pc(Stop.CUT)
        if not self.mains and not (self.has_ups and self.network_on_ups and fed):
            self.router_boot_s = now
        if not self.mains:
            self.device_boot_s = now  # devices are never on the UPS
        if not self.router:
            self.router_boot_s = now
        if self.pc and not self.awake:
            self.slept_s += STEP_S

    def measure(self, now: float) -> Iterator[Reading]:
        """What the agent measures now."""
        yield Reading(
            probe="host", target="pc",
            values={"uptime_s": now - self.boot_s, "nic_up_bool": int(self.carrier), "cpu_ratio": 0.2,
                    "address_link_local_bool": int(not self.address), "memory_free_ratio": 0.5},
        )  # fmt: skip
        boot: dict[str, int | float] = {
            "uptime_s": now - self.boot_s, "slept_s": self.slept_s,
            "agent_uptime_s": max(0.0, now - self.agent_start_s),
        }  # fmt: skip
        if self.remembers_stop:
            boot["previous_stop_code"] = self.stop.value
        if self.tells_boot and (now - START_S) % self.tells_boot_every_s < STEP_S:
            yield Reading(probe="boot", target="pc", values=boot)
        if self.has_ups:
            yield Reading(
                probe="power", target="ups",
                values={"on_battery_bool": int(not self.mains), "battery_runtime_s": self.charge_s},
            )  # fmt: skip
        lan = self.carrier and self.address
        if self.has_link_probe:
            yield Reading(probe="link", target="pc", values={"failed_rung_code": self._rung().value})
        yield _ping("gateway", alive=lan and self.router_lives)
        yield _ping("isp", alive=self.way)
        yield _ping("national", alive=self.way)
        yield _ping("lesson-zoom", alive=self.way)
        if self.way and not self.names:
            yield Reading(probe="dns", target="dns", outcome=Outcome.TIMEOUT)
            yield Reading(probe="tcp", target="lesson-zoom", outcome=Outcome.NO_NAME)
        elif self.way:
            yield Reading(probe="dns", target="dns", values={"answer_ms": 20.0})
            yield Reading(probe="tcp", target="lesson-zoom", values={"connect_ms": 30.0})
        if self.has_devices:
            alive = lan and self.mains
            values: dict[str, int | float] = {"uptime_s": now - self.device_boot_s} if alive else {}
            outcome = Outcome.OK if alive else Outcome.TIMEOUT
            yield Reading(probe="snmp", target="codec", outcome=outcome, values=values)


def _ping(target: str, *, alive: bool) -> Reading:
    received = 10 if alive else 0
    values: dict[str, int | float] = {"sent_count": 10, "received_count": received, "loss_ratio": 1 - received / 10}
    return Reading(probe="ping", target=target, values=values)


Script = Callable[["Village"], None]


class Village:
    """Rooms of a district, and as many of another of the same province. `house` is the one that is asked about."""

    def __init__(self, chance: random.Random, houses_count: int) -> None:
        self.chance = chance
        self.now = START_S
        self.step_s = STEP_S
        self.broker = True
        self.houses = [
            House(f"room-{district}-{number}", ("Hà Giang", f"huyện {district}", f"trường {number}"))
            for district in (1, 2)
            for number in range(1, houses_count + 1)
        ]
        self.house = self.houses[0]
        self.watch = self._watch()
        self.guesses: list[Outage] = []
        self.settled: list[Outage] = []
        self.broker_back_s = float("-inf")

    def _watch(self, known: tuple[Outage, ...] = ()) -> Watch:
        policy = Policy()
        watch = Watch(
            profiles=default_profiles(),
            policy=policy,
            incidents=Incidents(policy),
            told=Told(),
            silent_after_s=180.0,
            outages=Outages(known),
        )
        watch.set_rooms(self.registry(), lambda _: None, self.now)
        return watch

    def registry(self) -> RegistryView:
        """All rooms, each with its agent."""
        return _registry(self.houses)

    def on_review(self, review: Review) -> None:
        """Take what was found; nothing here."""

    def restart_collector(self) -> None:
        """A new watch, which knows only what was stored, and the agents' last words."""
        known = tuple(one for house in self.houses if (one := self.watch.outages.of(house.room)) is not None)
        self.watch = self._watch(tuple(one for one in known if not one.is_settled))
        for house in self.houses:
            self.watch.hear(f"pc-{house.room}", "online" if house.is_online else "lost", "", self.now)

    @property
    def district(self) -> list[House]:
        return [house for house in self.houses if house.place[:2] == self.house.place[:2]]

    def run(self, for_s: float) -> None:
        """Let time pass."""
        end_s = self.now + for_s
        while self.now < end_s:
            self.now += self.step_s
            for house in self.houses:
                house.pass_time(self.now)
                self._live(house)
            self._review()

    def say_goodbye(self, house: House, reason: str) -> None:
        """The agent goes, and says why, if that still gets out."""
        if house.is_online and house.reaches and self.broker:
            self.watch.hear(f"pc-{house.room}", "offline", reason, self.now)
            house.is_online, house.unheard_s = False, None

    def lose(self, house: House) -> None:
        """The operating system closes a dead program's connection: the broker tells at once."""
        if house.is_online and house.reaches:
            self.watch.hear(f"pc-{house.room}", "lost", "", self.now)
            house.is_online, house.unheard_s = False, None

    def _live(self, house: House) -> None:
        if house.measures:
            house.spool += [(self.now, reading) for reading in house.measure(self.now)]
        connected = house.measures and house.reaches and house.welcome and self.broker
        if connected and not house.sends:
            return
        if connected:
            house.unheard_s, house.is_online = None, True
            self.watch.hear(f"pc-{house.room}", "online", "", self.now)
            # The newest first, then what was kept.
            newest = [one for one in house.spool if one[0] == self.now]
            for measured_s, reading in (*newest, *(one for one in house.spool if one[0] != self.now)):
                arrived_s = self.now + (LIVE if measured_s == self.now else LATE)
                self.watch.fold(house.room, reading, measured_s, arrived_s)
            house.spool.clear()
        elif house.is_online and self.broker:
            house.unheard_s = self.now if house.unheard_s is None else house.unheard_s
            if self.now - house.unheard_s >= WILL_S:
                self.watch.hear(f"pc-{house.room}", "lost", "", self.now)
                house.is_online = False

    def _review(self) -> None:
        if not self.broker:
            self.broker_back_s = self.now
            doubt = Doubt(blind_since_s=self.now)
        else:
            doubt = Doubt(is_settling=self.now - self.broker_back_s <= 120.0)
        review = self.watch.review(self.now, doubt=doubt)
        self.on_review(review)
        mine = [one for one in review.outages if one.room == self.house.room]
        self.guesses += [one for one in mine if one.silence.until_s is None]
        self.settled += [one for one in mine if one.is_settled]

    @property
    def live_answer(self) -> Cause | None:
        """The last guess made while the room was silent; None when it never counted as silent."""
        return self.guesses[-1].explanation.cause if self.guesses else None

    @property
    def final_answer(self) -> Cause | None:
        return self.settled[-1].explanation.cause if self.settled else None


def _registry(houses: list[House]) -> RegistryView:
    return RegistryView(
        version=1,
        rooms={one.room: Room(room=one.room, name=one.room, place=one.place, province="ha-giang") for one in houses},
        agents={
            f"pc-{one.room}": Agent(
                agent=f"pc-{one.room}",
                added_s=START_S,
                revoked_s=None,
                token_sha256="",
                certificate_serial="",
                standings=(Standing(agent=f"pc-{one.room}", room=one.room, from_s=START_S, until_s=None),),
            )
            for one in houses
        },
        contacts={},
    )
