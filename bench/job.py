"""The standard job of a room, as data: each minute one host, ten pings, five SNMP devices with twelve values each.

Numbers wander as measured ones do, from a seed: compressing constants would flatter us.
"""

import random
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

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

_HOST: Final = (
    "cpu_ratio", "memory_free_ratio", "memory_free_bytes", "disk_free_ratio", "disk_free_bytes", "uptime_s",
    "processes_count", "agent_cpu_s", "agent_rss_bytes", "nic_up_bool", "nic_speed_bps", "nic_full_duplex_bool",
    "nic_sent_bytes_total", "nic_received_bytes_total", "nic_errors_total", "nic_drops_total",
    "clock_synced_bool", "address_link_local_bool", "cpu_speed_ratio", "swap_used_ratio",
)  # fmt: skip
_SNMP: Final = (
    "response_ms", "uptime_s", "if_up_bool", "if_speed_bps", "if_received_bytes_total", "if_sent_bytes_total",
    "if_errors_total", "if_discards_total", "load_ratio", "battery_celsius", "battery_v", "sessions_count",
)  # fmt: skip
_FEW_OF_PING: Final = ("rtt_avg_ms", "rtt_p95_ms", "loss_ratio", "jitter_ms")
_ALL_OF_PING: Final = (
    "sent_count", "received_count", "loss_ratio", "rtt_min_ms", "rtt_avg_ms", "rtt_p50_ms", "rtt_p95_ms",
    "rtt_max_ms", "jitter_ms",
)  # fmt: skip

Breadth = Literal["120", "full"]
"""How many values a ping brings: four, which makes 120 samples a minute with the rest, or all that ours brings."""


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
        self._ping = _FEW_OF_PING if breadth == "120" else _ALL_OF_PING
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
        if name in ("sent_count", "received_count"):
            return 10
        if name in ("loss_ratio", "nic_errors_total", "if_errors_total", "nic_drops_total", "if_discards_total"):
            return 0 if name.endswith("total") else float(chance.random() < 0.03) / 10  # noqa: PLR2004 - a rare loss
        unit = unit_of(name)
        match unit.ending if unit else "":
            case "_bytes_total":
                key = (probe, target, name)
                self._counters[key] = self._counters.get(key, chance.randrange(1 << 34)) + chance.randrange(1 << 24)
                return self._counters[key]
            case "_bool":
                return 1
            case "_bps":
                return 1e9
            case "_ms":
                return (self._rtt_ms[target] if target in PINGED else 3.0) * chance.lognormvariate(0.0, 0.1)
            case "_ratio":
                return chance.random()
            case "_bytes":
                return chance.randrange(1 << 33)
            case "_count":
                return chance.randrange(100, 140)
            case _:
                return chance.uniform(20, 30)


def metrics_of(record: Record) -> list[Metric]:
    """A record's samples one by one."""
    return [
        Metric(one.probe, one.target, name, value, record.taken.wall_s - one.before_s)
        for one in record.readings
        for name, value in one.values.items()
    ]
