"""What happens in the simulated rooms, and what their probes would answer at any moment. Pure: time comes in."""

import random
from collections.abc import Collection
from typing import Final, NamedTuple

from agent.probe import ProbeFailed, Values
from contract.names import role_of
from contract.outcome import Outcome

PERIOD_S: Final = 200.0
"""The story begins again, in other rooms, this often."""
_LOW_SHARE: Final = 0.2


class Event(NamedTuple):
    """Something that happens to one room, from and to in seconds since the story began."""

    kind: str  # camera_lost, link_cut, slow_link, power_cut, pc_dies, area_dark
    room: int
    from_s: float
    to_s: float


def events_of(rooms_count: int, period: int, area: Collection[int] = ()) -> tuple[Event, ...]:
    """The story of one period: each trouble in a room of its own, as far as there are rooms, and at last one in all
    rooms of an area.
    """
    first = period * 4

    def room(number: int) -> int:
        return (first + number * 3) % rooms_count

    return (
        Event("camera_lost", room(0), 15, 60),
        Event("link_cut", room(1), 20, 70),
        Event("power_cut", room(2), 25, 85),
        Event("pc_dies", room(2), 55, 85),
        Event("slow_link", room(3), 30, 95),
        *(Event("area_dark", number, 115, 155) for number in area),
    )


class RoomScript:
    """One room's answers. `elapsed_s` is since the demo began; the same moment always gets the same answer."""

    def __init__(self, room: int, rooms_count: int, area: Collection[int] = ()) -> None:
        self._room = room
        self._rooms_count = rooms_count
        self._area = area

    def troubles(self, elapsed_s: float) -> dict[str, float]:
        """The kinds of event now at work in the room, and how many seconds each has lasted."""
        period, within_s = divmod(elapsed_s, PERIOD_S)
        events = events_of(self._rooms_count, int(period), self._area)
        mine = [one for one in events if one.room == self._room and one.from_s <= within_s < one.to_s]
        return {one.kind: within_s - one.from_s for one in mine}

    def uptime_s(self, elapsed_s: float) -> float:
        """Since the PC's last start; before the story it had run for a good hour."""
        period, within_s = divmod(elapsed_s, PERIOD_S)
        for earlier in range(int(period) + 1):
            now_s = within_s + earlier * PERIOD_S
            for one in events_of(self._rooms_count, int(period) - earlier):
                if one.kind == "pc_dies" and one.room == self._room and one.to_s <= now_s:
                    return now_s - one.to_s
        return 4000.0 + elapsed_s

    def answer(self, probe: str, target: str, elapsed_s: float) -> Values:
        """What the probe would bring. Raises ProbeFailed where it would fail."""
        chance = random.Random(f"{self._room} {probe} {target} {elapsed_s:.0f}")  # noqa: S311 - a story, no secret
        troubles = self.troubles(elapsed_s)
        role = role_of(target)
        is_dark = "area_dark" in troubles  # the PC has a UPS, the router has none
        if role in ("isp", "international", "lesson", "dns") and ("link_cut" in troubles or is_dark):
            if probe == "ping":
                return _pings(chance, 0.0, lost=10)
            raise ProbeFailed(Outcome.TIMEOUT, f"{probe} {target}: no answer within 3 s")
        if probe == "ping":
            return self._ping(role, troubles, chance)
        slow_ms = 800.0 if "slow_link" in troubles else 0.0
        match probe:
            case "tcp":
                return {"connect_ms": chance.gauss(38, 3) + slow_ms}
            case "dns":
                return {"answer_ms": chance.gauss(14, 2) + slow_ms, "answers_count": 2, "rcode_code": 0}
            case "http":
                first_ms = chance.gauss(120, 10) + 3 * slow_ms
                return {"status_code": 200, "connect_ms": 40 + slow_ms, "first_byte_ms": first_ms,
                        "total_ms": first_ms + 20, "tls_expires_days": 61.0}  # fmt: skip
            case "host":
                return {"cpu_ratio": chance.uniform(0.1, 0.3), "memory_free_ratio": 0.55,
                        "memory_free_bytes": 4_400_000_000, "disk_free_ratio": 0.62,
                        "disk_free_bytes": 148_000_000_000, "uptime_s": self.uptime_s(elapsed_s),
                        "nic_up_bool": 1, "nic_speed_bps": 1e9, "nic_full_duplex_bool": 1}  # fmt: skip
            case "power":
                return _power(troubles.get("power_cut", troubles.get("area_dark")), chance)
        raise ProbeFailed(Outcome.ABSENT, f"the scenario has no answer for {probe} {target}")

    def _ping(self, role: str, troubles: dict[str, float], chance: random.Random) -> Values:
        if (role == "camera" and "camera_lost" in troubles) or "area_dark" in troubles:
            return _pings(chance, 0.0, lost=10)
        far_ms = {"gateway": 0.8, "isp": 9.0, "national": 21.0, "international": 58.0, "lesson": 44.0}.get(role)
        if far_ms is None:
            return _pings(chance, 0.9)
        if "slow_link" in troubles and role != "gateway":
            return _pings(chance, far_ms + 820.0, spread_ms=160.0, lost=chance.choice([1, 2, 3]))
        return _pings(chance, far_ms)


def _pings(chance: random.Random, around_ms: float, *, spread_ms: float = 0.0, lost: int = 0) -> Values:
    sent = 10
    values: Values = {"sent_count": sent, "received_count": sent - lost, "loss_ratio": lost / sent}
    if lost == sent:
        return values
    spread_ms = spread_ms or around_ms * 0.08
    times = sorted(max(0.1, chance.gauss(around_ms, spread_ms)) for _ in range(sent - lost))
    values |= {"rtt_min_ms": times[0], "rtt_avg_ms": sum(times) / len(times), "rtt_p50_ms": times[len(times) // 2]}
    return values | {"rtt_p95_ms": times[-1], "rtt_max_ms": times[-1], "jitter_ms": spread_ms * 0.8}


def _power(on_battery_s: float | None, chance: random.Random) -> Values:
    if on_battery_s is None:
        return {"on_battery_bool": 0, "low_battery_bool": 0, "battery_charge_ratio": 1.0,
                "battery_runtime_s": 3600.0, "input_v": chance.gauss(226, 2), "input_hz": 50.0,
                "load_ratio": 0.22, "battery_replace_bool": 0}  # fmt: skip
    left = max(0.05, 1 - on_battery_s / 32)
    return {"on_battery_bool": 1, "low_battery_bool": int(left < _LOW_SHARE), "battery_charge_ratio": left,
            "battery_runtime_s": 1500.0 * left, "input_v": 2.1, "load_ratio": 0.24,
            "battery_replace_bool": 0}  # fmt: skip
