"""The room's devices: which are lost, and whether something took all of them at once."""

from collections.abc import Iterator
from typing import Final

from readiness.codes import LOST_BY_ROLE, Code
from readiness.evidence import Evidence, Fate, Life, any_of, finding
from readiness.ladder import LOCAL_CAUSES
from readiness.verdict import Finding, Level
from readiness.windows import CLEAR_COUNT

AV_ROLES: Final = ("codec", "camera", "microphone", "dsp", "speaker", "screen", "projector", "device")
_NETWORK_ROLES: Final = ("router", "switch")
_GONE: Final = (Fate.LOST, Fate.NAMELESS)


def missing(evidence: Evidence, way: str) -> Iterator[Finding]:
    """Devices that do not work. `way` is the code of what breaks the way to the lesson, or empty.

    A device that is required makes the room UNFIT when nothing else of its role works, else it is DEGRADED.
    """
    networked = [life for life in evidence.of_role(*AV_ROLES) if life.over_network]
    gone = [life for life in networked if life.fate in _GONE]
    all_gone = len(gone) == len(networked) > 1
    if gone and len(gone) == len(networked) and way in LOCAL_CAUSES:
        pass  # the way to them is cut: nothing is known against the devices
    elif all_gone:
        levels = [_level(evidence, life) for life in gone]
        level = Level.UNFIT if Level.UNFIT in levels else Level.DEGRADED
        since_s = max(life.since_s for life in gone)
        on_battery = evidence.says("power", "on_battery_bool") is not None
        code = Code.POWER_CUT_DEVICES_OFF if on_battery else Code.AV_ALL_LOST
        yield finding(code, level, gone[0].target, since_s)
    else:
        for life in gone:
            yield finding(_code_of(life), _level(evidence, life), life.target, life.since_s)
    for life in evidence.of_role(*AV_ROLES):
        if life.fate is Fate.REFUSES:
            yield finding(Code.SERVICE_DOWN, _level(evidence, life), life.target, life.since_s)
        elif not life.over_network and life.fate in _GONE:
            yield finding(_code_of(life), _level(evidence, life), life.target, life.since_s)
    if way not in LOCAL_CAUSES:
        for life in evidence.of_role(*_NETWORK_ROLES):
            if life.fate is Fate.LOST:
                yield finding(Code.DEVICE_LOST, Level.DEGRADED, life.target, life.since_s)


def silent_to_snmp(evidence: Evidence) -> Iterator[Finding]:
    """Devices that answer, but not to SNMP: their faults cannot be seen. Never taken for lost."""
    for sight, windows in evidence.of_probe("snmp"):
        if (
            sight.role not in evidence.profile.devices
            or len(windows) < CLEAR_COUNT
            or not all(w.sign for w in windows[-CLEAR_COUNT:])
        ):
            continue
        if evidence.lives[sight.target].fate is Fate.ALIVE:
            yield finding(Code.SNMP_SILENT, Level.DEGRADED, sight.target, windows[-CLEAR_COUNT].measured_s)


def _code_of(life: Life) -> Code:
    return LOST_BY_ROLE.get(life.role, Code.DEVICE_LOST)


def _level(evidence: Evidence, life: Life) -> Level:
    if life.role not in evidence.profile.devices:
        return Level.DEGRADED
    return Level.DEGRADED if any_of(evidence.of_role(life.role), Fate.ALIVE) else Level.UNFIT
