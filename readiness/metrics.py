"""The one table of what can be limited: where a figure comes from, how its windows are judged, what breaking it means.

A row here is all that a new metric needs; profiles name it, the judge finds it by probe and role.
"""

import enum
from typing import Final, Literal

import msgspec

from contract.parts import PARTS, STATUS, names_of
from readiness.codes import Code

Worse = Literal["above", "below"]
When = Literal["always", "mains", "battery", "call"]


class Rule(enum.Enum):
    """How the windows of one value make a judgement (`readiness/windows.py`)."""

    SERIES = "2 of 20 degrade, 4 of 20 or the last 3 make unfit, while one of the last 3 still breaks the limit"
    POOLED = "as SERIES, and the pooled share must be above the limit beyond chance"
    MEAN = "the mean of the last five"
    STEADY = "the last two"
    LATEST = "the last one: for what changes by the day"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that a profile may limit. `name` ends in the unit of the figure, which is also that of the limits.

    `roles` are the targets' roles that it is judged for; empty means all. `when` limits it to the mains, to the
    battery, or to a call that goes on; `beyond_lesson` says that the limit comes on top of the time that a lesson
    takes; `absolute`, that the sign of the figure does not matter. `probe` is the probe that brings `value`; an empty
    one marks a figure that no reading brings by itself, or none yet. `sharper` is one that brings the same by
    better means, and outranks it. `lasts_s` is how long a figure stands that is judged by its latest alone.
    """

    name: str
    probe: str
    value: str
    code: Code
    worse: Worse
    rule: Rule
    roles: frozenset[str] = frozenset()
    when: When = "always"
    beyond_lesson: bool = False
    absolute: bool = False
    sharper: str = ""
    lasts_s: float = 2 * 86400.0

    def is_of(self, probe: str) -> bool:
        """Whether the probe brings it."""
        return probe in (self.probe, self.sharper) and probe != ""

    def applies_to(self, role: str) -> bool:
        """Whether it is judged for targets of the role."""
        return not self.roles or role in self.roles


_LESSON: Final = frozenset({"lesson"})
_SERVERS: Final = frozenset({"lesson", "collector"})


def _path(name: str, probe: str, value: str, code: Code, worse: Worse = "above", *, rule: Rule = Rule.SERIES) -> Metric:
    return Metric(name=name, probe=probe, value=value, code=code, worse=worse, rule=rule, roles=_LESSON)


def _pinged(name: str, value: str, code: Code, *, rule: Rule = Rule.SERIES) -> Metric:
    """What pings tell, and test packets better: routers may put pings last, or answer few of them."""
    return Metric(
        name=name, probe="ping", sharper="stamp", value=value, code=code, worse="above", rule=rule, roles=_LESSON
    )


def _tried(name: str, value: str, code: Code, worse: Worse) -> Metric:
    """Of a test of the line's bitrate, run a few times a day: a figure of six hours ago is none any more."""
    return Metric(
        name=name, probe="sufficiency", value=value, code=code, worse=worse, rule=Rule.LATEST, roles=_LESSON,
        lasts_s=6 * 3600.0,
    )  # fmt: skip


def _state(name: str, probe: str, code: Code, worse: Worse) -> Metric:
    return Metric(name=name, probe=probe, value=name, code=code, worse=worse, rule=Rule.STEADY)


def _call(name: str) -> Metric:
    return Metric(
        name=name, probe="device", value=name, code=Code.CALL_POOR, worse="above", rule=Rule.STEADY, when="call"
    )


def _mains(name: str, value: str, code: Code, worse: Worse) -> Metric:
    return Metric(name=name, probe="power", value=value, code=code, worse=worse, rule=Rule.STEADY, when="mains")


def _runtime(name: str, when: When, *, beyond_lesson: bool) -> Metric:
    return Metric(
        name=name,
        probe="power",
        value="battery_runtime_s",
        code=Code.POWER_RUNTIME_SHORT,
        worse="below",
        rule=Rule.STEADY,
        when=when,
        beyond_lesson=beyond_lesson,
    )


METRICS: Final = {
    metric.name: metric
    for metric in (
        # The way to the lesson.
        _pinged("loss_ratio", "loss_ratio", Code.LINK_LOSSY, rule=Rule.POOLED),
        _pinged("rtt_ms", "rtt_p50_ms", Code.LINK_SLOW),
        _pinged("jitter_ms", "jitter_ms", Code.LINK_JITTERY),
        _path("connect_ms", "tcp", "connect_ms", Code.LINK_SLOW),
        Metric(
            name="dns_answer_ms", probe="dns", value="answer_ms", code=Code.DNS_SLOW, worse="above", rule=Rule.SERIES
        ),
        _path("status_code", "http", "status_code", Code.SERVICE_ERROR, rule=Rule.STEADY),
        Metric(
            name="tls_expires_days",
            probe="http",
            value="tls_expires_days",
            code=Code.CERTIFICATE_EXPIRES,
            worse="below",
            rule=Rule.LATEST,
            roles=_SERVERS,
        ),
        # The same, as only test packets meet it.
        _tried("downlink_bps", "down_bps", Code.LINK_NARROW, "below"),
        _tried("uplink_bps", "up_bps", Code.LINK_NARROW, "below"),
        _tried("loaded_rtt_extra_ms", "loaded_rtt_extra_ms", Code.LINK_CONGESTED, "above"),
        Metric(  # concluded by `readiness/media.py`
            name="udp_blocked_bool",
            probe="",
            value="udp_blocked_bool",
            code=Code.UDP_BLOCKED,
            worse="above",
            rule=Rule.LATEST,
        ),
        _path("pdv_p95_ms", "stamp", "pdv_p95_ms", Code.LINK_JITTERY),
        _path("burst_ratio", "stamp", "burst_ratio", Code.LINK_LOSSY),
        _path("longest_gap_s", "stamp", "longest_gap_s", Code.LINK_DROPS),
        _path("reorder_ratio", "stamp", "reorder_ratio", Code.LINK_JITTERY),
        _path("audio_mos", "stamp", "audio_mos", Code.AUDIO_POOR, "below"),
        # What devices say.
        _call("call_loss_ratio"),
        _call("call_jitter_ms"),
        _call("call_latency_ms"),
        Metric(
            name="lamp_used_h",
            probe="device",
            value="lamp_used_h",
            code=Code.LAMP_WORN,
            worse="above",
            rule=Rule.LATEST,
        ),
        # The PC.
        Metric(name="cpu_ratio", probe="host", value="cpu_ratio", code=Code.PC_BUSY, worse="above", rule=Rule.MEAN),
        _state("memory_free_ratio", "host", Code.PC_MEMORY_LOW, "below"),
        _state("memory_free_bytes", "host", Code.PC_MEMORY_LOW, "below"),
        _state("disk_free_ratio", "host", Code.PC_DISK_LOW, "below"),
        _state("disk_free_bytes", "host", Code.PC_DISK_LOW, "below"),
        _state("nic_speed_bps", "host", Code.NIC_SLOW, "below"),
        _state("budget_used_ratio", "traffic", Code.BUDGET_SPENT, "above"),
        Metric(
            name="clock_offset_s",
            probe="agent",
            value="clock_offset_s",
            code=Code.CLOCK_WRONG,
            worse="above",
            rule=Rule.STEADY,
            absolute=True,
        ),
        # The mains and the battery.
        _mains("mains_low_v", "input_v", Code.MAINS_VOLTAGE_LOW, "below"),
        _mains("mains_high_v", "input_v", Code.MAINS_VOLTAGE_HIGH, "above"),
        _mains("battery_charge_ratio", "battery_charge_ratio", Code.BATTERY_CHARGE_LOW, "below"),
        Metric(  # counted over a day by `readiness/mains.py`
            name="mains_failures_count",
            probe="",
            value="mains_failures_count",
            code=Code.MAINS_FAIL_OFTEN,
            worse="above",
            rule=Rule.LATEST,
        ),
        _runtime("runtime_on_mains_s", "mains", beyond_lesson=False),
        _runtime("spare_on_mains_s", "mains", beyond_lesson=True),
        _runtime("runtime_on_battery_s", "battery", beyond_lesson=False),
        _runtime("spare_on_battery_s", "battery", beyond_lesson=True),
        _state("load_ratio", "power", Code.UPS_OVERLOAD, "above"),
        _state("battery_celsius", "power", Code.BATTERY_HOT, "above"),
    )
}
"""By name."""

RECOGNITION: Final = "recognition_code"
LOGIN: Final = "login_code"
IN_CALL: Final = "call_active_bool"
_AROUND: Final = ("competing_sent_bps", "competing_received_bps", "wifi_bool", "busy_cpu_ratio")
"""What went on around a test of the line."""
_SPECIAL_VALUES: Final = {
    "host": ("nic_up_bool", "address_link_local_bool"),
    "link": ("failed_rung_code", "wifi_rssi_dbm"),
    "stamp": ("sent_count", "received_count", *_AROUND),
    "sufficiency": ("took_s", *_AROUND),
    "throughput": ("down_bps", "up_bps"),
    "device": (RECOGNITION, LOGIN, IN_CALL, *(f"{name}{STATUS}" for part in PARTS for name in part.names())),
    "peripherals": (
        "cameras_count",
        *(f"{name}{STATUS}" for part in ("camera", "microphone", "speaker", "screen") for name in names_of(part)),
    ),
    "power": ("on_battery_bool", "low_battery_bool", "battery_replace_bool", "battery_runtime_s"),
}
"""Values that the judge reads by themselves, beside those that limits are about."""
_PINGED: Final = frozenset({"lesson", "gateway"})
"""The gateway's pings too: loss that begins there is not the provider's."""
_ROUTERS: Final = frozenset({"router", "gateway"})
_COUNTED: Final = ("wan_received_bytes_total", "wan_sent_bytes_total")
"""What everybody in the school sent and received: of routers only, which alone know."""
_kept: Final[dict[tuple[str, str], tuple[str, ...]]] = {}


def kept_values(probe: str, role: str) -> tuple[str, ...]:
    """The values of a reading that a judgement may need: all else is not worth its memory in each window."""
    found = _kept.get((probe, role))
    if found is None:
        if probe == "ping":
            names = ("sent_count", "received_count", "loss_ratio", "rtt_p50_ms", "jitter_ms")
            found = names if role in _PINGED else ()
        else:
            limited = [one.value for one in METRICS.values() if one.is_of(probe) and one.applies_to(role)]
            counted = _COUNTED if probe == "device" and role in _ROUTERS else ()
            found = tuple(dict.fromkeys([*_SPECIAL_VALUES.get(probe, ()), *counted, *limited]))
        if len(_kept) < _KEPT_MAX_COUNT:
            _kept[probe, role] = found
    return found


_KEPT_MAX_COUNT: Final = 1000
