"""The mains and the battery: what a yes or no of the UPS means, beside the limits of its figures."""

import math
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from readiness.codes import Code
from readiness.evidence import Evidence, finding
from readiness.state import Sight, Sign, Window
from readiness.verdict import Finding, Level, worst
from readiness.windows import CLEAR_COUNT

_FAILURES: Final = "mains_failures_count"
_UNKNOWN_RUNTIME_S: Final = 120.0
"""So long on battery without knowing how long it lasts, and it must be taken for short."""
_OF_A_CUT: Final = frozenset({Code.POWER_BATTERY_LOW, Code.POWER_RUNTIME_SHORT, Code.POWER_RUNTIME_UNKNOWN})
"""What the battery says while the mains are away."""


def look_at_power(evidence: Evidence) -> Iterator[Finding]:
    """On battery, battery low, mains that fail often, battery to be replaced, UPS silent."""
    for sight, windows in evidence.of_probe("power"):
        if not windows:
            continue
        since_s = on_battery_since(evidence, sight, windows)
        if since_s is not None:
            yield from _on_battery(evidence, sight, windows, since_s)
        elif (low_s := evidence.confirmed_since(sight, windows, "low_battery_bool", 1)) is not None:
            yield finding(Code.POWER_BATTERY_LOW, Level.DEGRADED, sight.target, low_s)
        yield from _fails_often(evidence, sight)
        if (worn_s := evidence.confirmed_since(sight, windows, "battery_replace_bool", 1)) is not None:
            yield finding(Code.BATTERY_REPLACE, Level.DEGRADED, sight.target, worn_s)
        last = windows[-CLEAR_COUNT:]
        if len(last) == CLEAR_COUNT and all(window.sign is not Sign.ALIVE for window in last):
            yield finding(Code.UPS_SILENT, Level.DEGRADED, sight.target, last[0].measured_s)


def _fails_often(evidence: Evidence, sight: Sight) -> Iterator[Finding]:
    """How often the mains failed in the last day, told by the failure that was one too many."""
    limit = next((one for one in evidence.profile.limits if one.metric == _FAILURES), None)
    failures_s = evidence.state.failures_s(sight.target, evidence.now)
    if limit is None or not failures_s:
        return
    for level, bound in ((Level.UNFIT, limit.unfit), (Level.DEGRADED, limit.degraded)):
        if bound is not None and len(failures_s) >= bound:
            since_s = failures_s[max(0, math.ceil(bound) - 1)]
            yield finding(
                Code.MAINS_FAIL_OFTEN, level, sight.target, since_s,
                value=_FAILURES, measured=len(failures_s), needed=bound,
            )  # fmt: skip
            return


def on_battery_since(evidence: Evidence, sight: Sight, windows: list[Window]) -> float | None:
    """Since when the room has lived on the battery; None while it does not, or is not known to."""
    return evidence.confirmed_since(sight, windows, "on_battery_bool", 1)


def _on_battery(evidence: Evidence, sight: Sight, windows: list[Window], since_s: float) -> Iterator[Finding]:
    low_s = evidence.confirmed_since(sight, windows, "low_battery_bool", 1)
    if low_s is not None:
        yield finding(Code.POWER_BATTERY_LOW, Level.UNFIT, sight.target, max(low_s, since_s))
    column = sight.column("battery_runtime_s")
    told = any(window.numbers[column] is not None for window in windows if window.measured_s >= since_s)
    if not told and evidence.now - since_s >= _UNKNOWN_RUNTIME_S:
        yield finding(Code.POWER_RUNTIME_UNKNOWN, Level.UNFIT, sight.target, since_s)
    yield finding(Code.POWER_ON_BATTERY, Level.DEGRADED, sight.target, since_s)


def weigh_power(found: Iterable[Finding]) -> Iterator[Finding]:
    """A power cut is as bad as what the battery says of it, so that the cause stands before its consequences."""
    kept = list(found)
    for one in kept:
        if one.code == Code.POWER_ON_BATTERY:
            consequences = (other.level for other in kept if other.code in _OF_A_CUT and other.target == one.target)
            yield msgspec.structs.replace(one, level=worst((one.level, *consequences)))
        else:
            yield one
