"""A week of 86 simulated rooms with known faults, as the collector's samples: what the dashboards must then show."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from collector.derived import OWN_NAME
from collector.sample import Sample
from contract.names import role_of
from contract.outcome import Outcome
from grafana.provinces import PROVINCES
from readiness.codes import Code
from readiness.verdict import Level

END_S: Final = int(datetime(2025, 11, 21, 2, 30, tzinfo=UTC).timestamp())
"""Friday, 09:30 in Vietnam, in the middle of the lessons."""
DAYS: Final = 7
MINUTES: Final = DAYS * 24 * 60
ROOMS_COUNT: Final = 86
STEP_S: Final = 3600
"""Readings come every hour here, so that loading takes seconds; verdicts, which are counted, every minute."""

_TAGS: Final = sorted(PROVINCES)[:: len(PROVINCES) // 17][:17]
ROOMS: Final = {f"room-{number:03d}": _TAGS[number % len(_TAGS)] for number in range(1, ROOMS_COUNT + 1)}


class Fault(NamedTuple):
    """From `first` to `last` minutes before END_S (the greater comes first), in whole fives, a room was not fit."""

    room: str
    first: int
    last: int
    level: Level
    code: Code
    target: str = "room"

    def covers(self, minute: int) -> bool:
        """Whether it held in the minute that began so many minutes before END_S."""
        return self.last < minute <= self.first


FAULTS: Final = (
    Fault("room-001", 1410, 1290, Level.DEGRADED, Code.POWER_ON_BATTERY, "ups"),  # yesterday, 10:00 to 12:00
    Fault("room-002", 1230, 1140, Level.UNFIT, Code.ISP_DOWN, "isp"),  # yesterday, 13:00 to 14:30
    Fault("room-003", 90, 0, Level.UNFIT, Code.ISP_DOWN, "isp"),  # today, 08:00 until now
    Fault("room-004", 2370, 0, Level.UNKNOWN, Code.ROOM_SILENT),  # Wednesday, 18:00 until now
    Fault("room-005", 1200, 1180, Level.UNFIT, Code.CAMERA_LOST, "camera-1"),  # yesterday, for 20 minutes
    Fault("room-005", 60, 0, Level.UNFIT, Code.CAMERA_LOST, "camera-1"),  # and again, until now
    Fault("room-006", MINUTES, 0, Level.DEGRADED, Code.BATTERY_REPLACE, "ups"),  # all week
    Fault("room-007", 3570, 3540, Level.UNFIT, Code.POWER_CUT_DEVICES_OFF, "ups"),  # Tuesday, 22:00: no lessons
    Fault("room-008", 4500, 4320, Level.DEGRADED, Code.MAINS_VOLTAGE_LOW, "ups"),  # Tuesday, 06:30 to 09:30
)
LOSSY: Final = Fault("room-005", 60, 0, Level.DEGRADED, Code.LINK_LOSSY, "lesson-zoom")
"""A second finding beside a worse one."""
DROPPED_COUNT: Final = 7
BACKLOG_COUNT: Final = 12
CLOCK_OFFSET_S: Final = 400.5


_FAULTS_OF: Final = {room: [fault for fault in FAULTS if fault.room == room] for room in ROOMS}


def fault_of(room: str, minute: int) -> Fault | None:
    """What was wrong with a room in a minute before END_S."""
    for fault in _FAULTS_OF[room]:
        if fault.covers(minute):
            return fault
    return None


def in_teaching_hours(minute: int) -> bool:
    """Whether the minute that began so many minutes before END_S lies between 7 and 17 o'clock, Monday to Saturday."""
    there = datetime.fromtimestamp(END_S - 60 * minute, UTC) + timedelta(hours=7)
    return 7 <= there.hour < 17 and there.weekday() < 6


def minutes_by_cause(level: Level, *, teaching: bool, within: int = MINUTES) -> dict[str, int]:
    """Minutes of all rooms at a level by the worst reason, counted one by one."""
    return dict(
        Counter(
            fault.code.value
            for fault in FAULTS
            for minute in range(1, within + 1)
            if fault.level is level and fault.covers(minute) and (in_teaching_hours(minute) or not teaching)
        )
    )


def samples() -> Iterator[Sample]:
    """Everything, series by series."""
    for room, province in ROOMS.items():
        yield from _verdicts(room, province)
        for tick in range(DAYS * 86400 // STEP_S):
            yield from _readings(room, province, tick)
            yield _agent(room, province, tick)


def _verdicts(room: str, province: str) -> Iterator[Sample]:
    fit: dict[str, int | float] = {"level_code": Level.FIT.value, "findings_count": 0}
    for minute in range(1, MINUTES + 1):
        at_ms = (END_S - 60 * minute + 5) * 1000
        fault = fault_of(room, minute)
        if fault is None:
            yield Sample(room, OWN_NAME, province, "verdict", "room", "", "", at_ms, fit)
            continue
        findings = [fault, LOSSY] if LOSSY.room == room and LOSSY.covers(minute) else [fault]
        numbers: dict[str, int | float] = {"level_code": fault.level.value, "findings_count": len(findings)}
        yield Sample(room, OWN_NAME, province, "verdict", "room", "", fault.code.value, at_ms, numbers)
        for one in findings:
            role = "" if one.target == "room" else role_of(one.target)
            finding: dict[str, int | float] = {"level_code": one.level.value}
            yield Sample(room, OWN_NAME, province, "finding", one.target, role, one.code.value, at_ms, finding)


def _agent(room: str, province: str, tick: int) -> Sample:
    at_s = END_S - STEP_S * tick - 55
    fault = fault_of(room, (END_S - at_s + 59) // 60)
    silent = fault is not None and fault.code is Code.ROOM_SILENT
    numbers: dict[str, int | float] = {
        "clock_offset_s": CLOCK_OFFSET_S if room == "room-012" else 0.25,
        "backlog_count": BACKLOG_COUNT if room == "room-010" else 0,
        "made_total": 100_000 - tick * 30,
        "dropped_total": DROPPED_COUNT if room == "room-011" and tick < 12 else 0,
        "batch_bytes": 400 + len(room) + tick % 7,
        "lag_ms": 1500.0 + tick % 5,
        "online_bool": 0 if silent else 1,
    }
    return Sample(room, OWN_NAME, province, "agent", _pc(room), "", "", at_s * 1000, numbers)


def _pc(room: str) -> str:
    return f"pc-{room[-3:]}"


def _readings(room: str, province: str, tick: int) -> Iterator[Sample]:
    at_s = END_S - STEP_S * tick - 30
    fault = fault_of(room, (END_S - at_s + 59) // 60)
    code = fault.code if fault else None
    if code is Code.ROOM_SILENT:
        return
    number = int(room[-3:])

    def sample(probe: str, target: str, outcome: Outcome, values: Mapping[str, int | float]) -> Sample:
        fields = {**values, "outcome_code": outcome.code}
        return Sample(room, _pc(room), province, probe, target, role_of(target), "", at_s * 1000, fields)

    cut_off = code is Code.ISP_DOWN
    for place, target in enumerate(("gateway", "isp", "national", "international", "lesson-zoom")):
        lost = 10 if cut_off and place else 1 if target == "lesson-zoom" and code is Code.CAMERA_LOST else 0
        yield sample("ping", target, Outcome.OK, _pings(10, lost, 2.0 + 20.0 * place + number / 10 + tick % 3))
    yield sample("ping", "camera-1", Outcome.OK, _pings(3, 3 if code is Code.CAMERA_LOST else 0, 0.5))
    silent = Outcome.TIMEOUT if code is Code.CAMERA_LOST else Outcome.OK
    yield sample("snmp", "camera-1", silent, {} if silent is Outcome.TIMEOUT else {"uptime_s": 86400.0})
    yield sample("tcp", "codec", Outcome.OK, {"connect_ms": 1.5})
    yield sample("http", "screen", Outcome.DENIED, {})
    if cut_off:
        for probe, target in (("tcp", "lesson-zoom"), ("http", "lesson-zoom"), ("dns", "dns")):
            yield sample(probe, target, Outcome.TIMEOUT, {})
    else:
        delay = 20.0 + number / 10
        phases = {"resolve_ms": 5.0, "connect_ms": delay, "tls_ms": 2 * delay, "first_byte_ms": 90.0}
        yield sample("tcp", "lesson-zoom", Outcome.OK, {"resolve_ms": 5.0, "connect_ms": delay})
        yield sample("http", "lesson-zoom", Outcome.OK, {**phases, "tls_expires_days": 40.0 + number % 9})
        yield sample("dns", "dns", Outcome.OK, {"answer_ms": 10.0 + tick % 4})
    yield sample("power", "ups", Outcome.OK, _power(room, code, number, tick))
    numbers = {"cpu_ratio": 0.2 + tick % 5 / 10, "memory_free_ratio": 0.5, "disk_free_ratio": 0.4, "nic_speed_bps": 1e9}
    yield sample("host", "pc", Outcome.OK, numbers)


def _pings(sent: int, lost: int, delay_ms: float) -> dict[str, int | float]:
    numbers: dict[str, int | float] = {"sent_count": sent, "received_count": sent - lost, "loss_ratio": lost / sent}
    if lost < sent:
        numbers |= {"rtt_min_ms": delay_ms, "rtt_p50_ms": delay_ms + 1, "rtt_p95_ms": delay_ms + 9}
        numbers["jitter_ms"] = 0.5 + delay_ms / 50
    return numbers


def _power(room: str, code: Code | None, number: int, tick: int) -> dict[str, int | float]:
    on_battery = code in (Code.POWER_ON_BATTERY, Code.POWER_CUT_DEVICES_OFF)
    volts = 190.0 if code is Code.MAINS_VOLTAGE_LOW else 3.4 if on_battery else 220.0 + number % 10 + tick % 3
    return {
        "on_battery_bool": int(on_battery),
        "battery_charge_ratio": 0.55 if on_battery else 1.0,
        "battery_runtime_s": 900.0 if on_battery else 3600.0 + number,
        "battery_replace_bool": int(room == "room-006"),
        "battery_celsius": 27.0,
        "load_ratio": 0.25,
        "input_v": volts,
    }
