"""The room's devices: which are lost, what took all of them at once, and what is wrong with the parts of the others."""

from collections.abc import Iterator, Mapping
from typing import Final

from contract.parts import STATUS, Admission, Recognition, State, part_of
from readiness.codes import LOST_BY_ROLE, Code
from readiness.evidence import Evidence, Fate, Life, any_of, finding
from readiness.ladder import LOCAL_CAUSES
from readiness.metrics import LOGIN, RECOGNITION
from readiness.profile import Profile
from readiness.state import Sight, Window
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


_ROLES: Final = {
    "camera": "camera",
    "video": "camera",
    "microphone": "microphone",
    "audio": "microphone",
    "speaker": "speaker",
    "screen": "screen",
    "lamp": "projector",
}
"""Roles that parts play for a lesson; any other part plays that of its device."""
_UNJUDGED: Final = frozenset({"storage", "cover", "wan"})
"""No lesson fails for want of a recording; and whether the way out is cut is judged where all of it is."""
_STACKS: Final = frozenset({"sip", "h323"})
_REGISTRATIONS: Final = {"sip_registration": "sip", "h323_registration": "h323"}
_SUM: Final = f"system{STATUS}"
_FAILED: Final = {"camera": Code.CAMERA_FAILED, "microphone": Code.MICROPHONE_FAILED, "projector": Code.LAMP_FAILED}


def parts(evidence: Evidence) -> Iterator[Finding]:
    """What devices say of their parts. Disabled, not configured and standby are no faults; unknown is never well.

    Of a device that is lost nothing is said but that.
    """
    for sight, windows in (found for probe in _SPEAKS for found in evidence.of_probe(probe)):
        told = _told(sight, windows)
        if not told or evidence.lives[sight.target].fate in _GONE:
            continue
        found: list[Finding] = []
        for value, state in told.items():
            named = part_of(value)
            if named is None or named[0] in _UNJUDGED or named[0] in _STACKS - evidence.profile.calls:
                continue
            part = named[0]
            if part in _REGISTRATIONS:
                verdict = _registration(evidence.profile, part, state)
            else:
                verdict = None if state in _WELL else _part(evidence, sight, told, part, state)
            since_s = None if verdict is None else evidence.has_stood_since(sight, windows, value, state)
            if verdict is not None and since_s is not None:
                code, level = verdict
                found.append(finding(code, level, sight.target, since_s, value=value))
        # A device that sums up says of itself what it says of the part.
        others = [one for one in found if one.value != _SUM]
        yield from others or found


_SPEAKS: Final = {"device": RECOGNITION, "peripherals": "cameras_count"}
"""Probes that tell of parts, each with the value that it brings whenever it could ask at all."""


def _told(sight: Sight, windows: list[Window]) -> dict[str, int]:
    """What the device said when it last said anything: value -> state."""
    column = sight.column(_SPEAKS[sight.probe])
    numbers = next((window.numbers for window in reversed(windows) if window.numbers[column] is not None), ())
    pairs = zip(sight.names, numbers, strict=False)  # nothing at all where it never spoke
    return {name: int(number) for name, number in pairs if number is not None and name.endswith(STATUS)}


def _part(
    evidence: Evidence, sight: Sight, told: Mapping[str, int], part: str, state: int
) -> tuple[Code, Level] | None:
    role = _ROLES.get(part, sight.role)
    if state in (State.FAILED, State.BLOCKED):
        failed = _FAILED.get(_ROLES.get(part, ""), Code.PART_FAILED)
        code = failed if state == State.FAILED else Code.PART_BLOCKED
        is_mild = part in _HARMLESS or _is_dispensable(evidence, sight, told, role)
        return code, Level.DEGRADED if is_mild else Level.UNFIT
    if state == State.UNKNOWN:
        return None if _is_dispensable(evidence, sight, told, role) else (Code.PART_UNKNOWN, Level.UNKNOWN)
    return (Code.PART_MUTED if state == State.MUTED else Code.PART_WARNING), Level.DEGRADED


_WELL: Final = (State.OK, State.DISABLED, State.STANDBY)
_HARMLESS: Final = frozenset({"system", "fan", "temperature", "filter", "power_supply", "network"})
"""Parts whose failure announces trouble: the device that says so still works."""


def _is_dispensable(evidence: Evidence, sight: Sight, told: Mapping[str, int], role: str) -> bool:
    """Whether the lesson does without a part of the role: it need not have one, or has another that works."""
    if role not in evidence.profile.devices:
        return True
    for value, state in told.items():
        named = part_of(value)
        if named is not None and _ROLES.get(named[0]) == role and state in (State.OK, State.DEGRADED):
            return True
    return any_of([life for life in evidence.of_role(role) if life.target != sight.target], Fate.ALIVE)


def _registration(profile: Profile, part: str, state: int) -> tuple[Code, Level] | None:
    """A codec that should be registered and is not; direct calls need no registration."""
    if _REGISTRATIONS[part] not in profile.calls:
        return None
    if profile.needs_registration and state in (State.FAILED, State.DISABLED):
        return Code.CODEC_UNREGISTERED, Level.UNFIT
    return (Code.CODEC_UNREGISTERED, Level.DEGRADED) if state == State.FAILED else None


def silent_to_snmp(evidence: Evidence) -> Iterator[Finding]:
    """Devices that are there, silent to what they are asked: their faults cannot be seen. Never taken for lost."""
    for sight, windows in evidence.of_probe("snmp"):
        if (
            sight.role not in evidence.profile.devices
            or len(windows) < CLEAR_COUNT
            or not all(w.sign for w in windows[-CLEAR_COUNT:])
        ):
            continue
        if evidence.lives[sight.target].fate is Fate.ALIVE:
            yield finding(Code.SNMP_SILENT, Level.DEGRADED, sight.target, windows[-CLEAR_COUNT].measured_s)
    for sight, windows in evidence.of_probe("device"):
        since_s = evidence.has_stood_since(sight, windows, RECOGNITION, Recognition.SILENT)
        if since_s is not None and sight.role in evidence.profile.devices:
            yield finding(Code.DEVICE_SILENT, Level.DEGRADED, sight.target, since_s)
        yield from _shut_out(evidence, sight, windows)


_SHUT_OUT: Final = {
    Admission.REFUSED: Code.LOGIN_REFUSED,
    Admission.UNSENT: Code.LOGIN_UNSENT,
    Admission.WANTED: Code.LOGIN_WANTED,
}


def _shut_out(evidence: Evidence, sight: Sight, windows: list[Window]) -> Iterator[Finding]:
    """What keeps us from seeing the faults of a device that is there."""
    for admission, code in _SHUT_OUT.items():
        since_s = evidence.has_stood_since(sight, windows, LOGIN, admission)
        if since_s is not None and sight.role in evidence.profile.devices:
            yield finding(code, Level.DEGRADED, sight.target, since_s)


def _code_of(life: Life) -> Code:
    return LOST_BY_ROLE.get(life.role, Code.DEVICE_LOST)


def _level(evidence: Evidence, life: Life) -> Level:
    if life.role not in evidence.profile.devices:
        return Level.DEGRADED
    return Level.DEGRADED if any_of(evidence.of_role(life.role), Fate.ALIVE) else Level.UNFIT
