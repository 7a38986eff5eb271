"""The standard job of a room, as data: each minute one host, ten pings, five SNMP devices with twelve values each.

Numbers wander as measured ones do, from a seed: compressing constants would flatter us.
"""

import random
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from agent.probes.host import Host
from agent.probes.ping import Ping
from agent.probes.snmp import Snmp
from agent.taking import sound
from contract.batch import Batch
from contract.moment import Moment
from contract.reading import Reading, Record
from contract.units import unit_of

TICK_S: Final = 60.0
PINGED: Final = (
    "gateway", "isp", "international", "lesson-zoom", "codec",
    "camera-1", "microphone-1", "screen", "projector", "ups",
)  # fmt: skip
DEVICES: Final = ("ups", "switch", "router", "codec", "camera-1")

OIDS: Final = {
    "cpu_celsius": "1.3.6.1.2.1.2.2.1.11.1 / 10",
    "load_ratio": "1.3.6.1.2.1.2.2.1.17.1 / 100",
    "processes_count": "1.3.6.1.2.1.25.1.6.0",
    "memory_bytes": "1.3.6.1.2.1.25.2.2.0",
}
"""Four numbers more than the snmp probe's own eight; what stands behind the OIDs here does not matter."""

_HOST: Final = tuple(value.name for value in Host.values)
_SNMP: Final = (*(value.name for value in Snmp.values), *OIDS)
_ALL_OF_PING: Final = tuple(value.name for value in Ping.values)
_FEW_OF_PING: Final = ("rtt_avg_ms", "rtt_p95_ms", "loss_ratio", "jitter_ms")

_STEADY: Final = {
    "sent_count": 10, "received_count": 10, "nic_errors_total": 0, "nic_drops_total": 0, "if_errors_total": 0,
    "if_discards_total": 0, "nic_up_bool": 1, "nic_full_duplex_bool": 1, "address_link_local_bool": 0,
    "clock_synced_bool": 1, "if_up_bool": 1, "nic_speed_bps": 1e9, "if_speed_bps": 1e9,
}  # fmt: skip
"""What is the same in every minute of a healthy room."""

Breadth = Literal["lean", "full"]
"""How many values a ping brings: four, which makes 117 samples a minute with the rest, or all nine that ours brings."""


class Metric(NamedTuple):
    """One sample as a program sends it that has a topic for each: its three names, its value, its time."""

    probe: str
    target: str
    name: str
    value: float
    measured_s: float


class Room:
    """One room's measurements, minute after minute."""

    def __init__(self, agent: str, *, breadth: Breadth, seed: int = 1) -> None:
        self.agent = agent
        self._chance = random.Random(f"{agent}/{seed}")  # noqa: S311 - measurements, no secrets
        self._counters: dict[tuple[str, str, str], int] = {}
        self._ping = _FEW_OF_PING if breadth == "lean" else _ALL_OF_PING
        self._boot = f"{self._chance.getrandbits(128):032x}"
        self._epoch = f"{self._chance.getrandbits(64):016x}"
        self._booted_s = 86400.0 * self._chance.uniform(0.1, 9)
        self._rtt_ms = {target: self._chance.lognormvariate(1.5, 1.2) for target in PINGED}
        self._seq = 0

    def batch(self, now_s: float, minute: int) -> Batch:
        """The live batch of a minute: one record."""
        record = self.record(now_s, minute)
        self._seq += 1
        count = 16 * self._seq
        now = Moment(boot=self._boot, mono_s=record.taken.mono_s + 0.01, wall_s=record.taken.wall_s + 0.01)
        return Batch(
            epoch=self._epoch, low=1, first=self._seq, now=now, made_count=count, dropped_count=0, records=(record,)
        )

    def record(self, now_s: float, minute: int) -> Record:
        """All readings of one minute."""
        taken = Moment(boot=self._boot, mono_s=self._booted_s + minute * TICK_S + 2.1, wall_s=now_s)
        before_s = {"host": 2.098, "ping": 2.1, "snmp": 2.09}
        readings = [self._reading("host", "pc", _HOST)]
        readings += [self._reading("ping", target, self._ping) for target in PINGED]
        readings += [self._reading("snmp", target, _SNMP) for target in DEVICES]
        late = [
            Reading(
                probe=one.probe,
                target=one.target,
                values=one.values,
                before_s=round(before_s[one.probe] - self._chance.uniform(0, 0.005), 3),
            )
            for one in readings
        ]
        return Record(taken=taken, readings=tuple(late))

    def _reading(self, probe: str, target: str, names: Sequence[str]) -> Reading:
        return Reading(probe=probe, target=target, values=sound({n: self._value(probe, target, n) for n in names}))

    def _value(self, probe: str, target: str, name: str) -> float:
        chance = self._chance
        if name in _STEADY:
            return _STEADY[name]
        unit = unit_of(name)
        match unit.ending if unit else "":
            case "_bytes_total":
                key = (probe, target, name)
                self._counters[key] = self._counters.get(key, chance.randrange(1 << 34)) + chance.randrange(1 << 24)
                return self._counters[key]
            case "_ms":
                return (self._rtt_ms[target] if target in PINGED else 3.0) * chance.lognormvariate(0.0, 0.1)
            case "_ratio" if name == "loss_ratio":
                return chance.choices((0.0, 0.1), (97, 3))[0]
            case "_ratio" if name in ("cpu_ratio", "load_ratio"):
                return chance.randrange(200) / 200  # a few hundred ticks of a clock, or a device's per cent
            case "_ratio":
                return chance.uniform(0.3, 0.6)
            case "_bytes":
                return 4096 * chance.randrange(1 << 20)
            case "_count":
                return chance.randrange(100, 140)
            case "_celsius":
                return chance.randrange(400, 500) / 10
            case _ if name == "agent_cpu_s":
                return round(0.04 * self._seq + chance.random() / 50, 2)
            case _:
                key = (probe, target, name)
                return round(
                    self._booted_s + TICK_S * self._seq + self._counters.setdefault(key, chance.randrange(9**7)), 2
                )


def metrics_of(record: Record) -> list[Metric]:
    """A record's samples one by one."""
    return [
        Metric(one.probe, one.target, name, value, record.taken.wall_s - one.before_s)
        for one in record.readings
        for name, value in one.values.items()
    ]
