"""Readings as a room's agent sends them, minute by minute, and a room that is well in every way."""

from collections.abc import Callable, Iterable

from contract.outcome import Outcome
from contract.reading import Reading
from contract.rung import Rung
from readiness.judge import judge
from readiness.profile import Profile, default_profiles
from readiness.state import RoomState
from readiness.verdict import Finding, Verdict

PROFILES = default_profiles()
ZOOM = PROFILES["zoom-720p"]
CODEC = PROFILES["h323-720p"]
NOW_S = 1_763_951_400.0
STEP_S = 60.0


def ping(target: str, *, lost: int = 0, sent: int = 10, rtt_ms: float = 40.0, jitter_ms: float = 3.0) -> Reading:
    values: dict[str, int | float] = {"sent_count": sent, "received_count": sent - lost, "loss_ratio": lost / sent}
    if lost < sent:
        values |= {"rtt_p50_ms": rtt_ms, "jitter_ms": jitter_ms}
    return Reading(probe="ping", target=target, values=values)


def dead(target: str) -> Reading:
    return ping(target, lost=10)


def fails(probe: str, target: str, outcome: Outcome = Outcome.TIMEOUT) -> Reading:
    return Reading(probe=probe, target=target, outcome=outcome)


def tcp(target: str) -> Reading:
    return Reading(probe="tcp", target=target, values={"connect_ms": 45.0})


def dns() -> Reading:
    return Reading(probe="dns", target="dns", values={"answer_ms": 30.0})


def link(rung: Rung) -> Reading:
    return Reading(probe="link", target="pc", values={"failed_rung_code": rung.value})


def host(**changed: float) -> Reading:
    values: dict[str, int | float] = {
        "cpu_ratio": 0.2, "memory_free_ratio": 0.5, "memory_free_bytes": 4 << 30, "disk_free_ratio": 0.4,
        "disk_free_bytes": 80 << 30, "nic_up_bool": 1, "address_link_local_bool": 0, "nic_speed_bps": 1e9,
    }  # fmt: skip
    return Reading(probe="host", target="pc", values=values | changed)


def power(**changed: float) -> Reading:
    values: dict[str, int | float] = {
        "on_battery_bool": 0, "low_battery_bool": 0, "battery_charge_ratio": 1.0, "battery_runtime_s": 3600.0,
        "battery_replace_bool": 0, "battery_celsius": 25.0, "input_v": 221.0, "load_ratio": 0.3,
    }  # fmt: skip
    return Reading(probe="power", target="ups", values=values | changed)


DEVICES = ("camera", "microphone", "speaker", "screen")


def well() -> list[Reading]:
    pinged = ("gateway", "isp", "national", "international", "lesson-zoom", *DEVICES)
    return [*(ping(target) for target in pinged), dns(), host(), power()]


class Room:
    """A room whose clock moves with its readings; judged against a profile as the collector does, each minute."""

    def __init__(self, profile: Profile = ZOOM) -> None:
        self.profile = profile
        self.state = RoomState("phong-101")
        self.now = NOW_S
        self.verdict: Verdict | None = None
        self.state.hear("pc-101", "online", "", self.now)

    def minutes(
        self, count: int, readings: Callable[[], Iterable[Reading]] = well, *, step_s: float = STEP_S
    ) -> Verdict:
        for _ in range(count):
            self.now += step_s
            for reading in readings():
                self.state.fold(reading, self.now, self.now + 1)
        return self.judged()

    def but(self, count: int, *changed: Reading, step_s: float = STEP_S) -> Verdict:
        """Minutes in which these readings stand in the place of the good ones."""
        keys = {(reading.probe, reading.target) for reading in changed}
        rest = [reading for reading in well() if (reading.probe, reading.target) not in keys]
        return self.minutes(count, lambda: [*rest, *changed], step_s=step_s)

    def judged(self, after_s: float = 0.0) -> Verdict:
        self.now += after_s
        self.verdict = judge(self.profile, self.state, None, self.now, self.verdict)
        return self.verdict


def codes(verdict: Verdict) -> list[str]:
    return [finding.code for finding in verdict.findings]


def top(verdict: Verdict) -> Finding:
    return verdict.findings[0]
