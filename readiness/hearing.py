"""Whether the room can be heard at all, and if not, what its last words were; whether what must be known is known."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from contract.outcome import Outcome
from readiness.codes import Code
from readiness.evidence import Evidence, Fate, finding
from readiness.profile import Signal
from readiness.state import WINDOW_LASTS_S, Presence, RoomState, Sight, Window
from readiness.verdict import Finding, Level
from readiness.windows import CLEAR_COUNT, Columns

OLD_S: Final = 600.0
"""From this age on a reading that a lesson depends on is old; after WINDOW_LASTS_S it is none."""
_LAST_WORDS_S: Final = 900.0
"""How long before its silence a room may have said that it lived on battery for that to be the likely cause."""
_GOODBYES: Final = {
    "shutdown": Code.PC_SWITCHED_OFF,
    "suspend": Code.PC_ASLEEP,
    "update": Code.AGENT_UPDATING,
    "on_battery_low": Code.ROOM_SILENT_ON_BATTERY,
    "budget_spent": Code.BUDGET_SILENT,
}


def silence(state: RoomState, now: float) -> Finding | None:
    """Why nothing is known now of the whole room; None when something is."""
    newest_s = max((sight.latest_s for sight in state.sights.values()), default=None)
    if not state.agents:
        if newest_s is None:
            return finding(Code.NEVER_HEARD, Level.UNKNOWN, "pc", now)
        return _silent(state, newest_s) if now - newest_s > WINDOW_LASTS_S else None
    if not any(presence.state == "online" for presence in state.agents.values()):
        return _gone(state, max(state.agents.values(), key=lambda presence: presence.since_s))
    if newest_s is None or now - newest_s > WINDOW_LASTS_S:
        since_s = max(presence.since_s for presence in state.agents.values() if presence.state == "online")
        return finding(Code.NO_READING, Level.UNKNOWN, "pc", since_s if newest_s is None else newest_s)
    return None


def _gone(state: RoomState, presence: Presence) -> Finding:
    if presence.state == "lost":
        return _silent(state, presence.since_s)
    code = _GOODBYES.get(presence.reason, Code.AGENT_STOPPED)
    return finding(code, Level.UNKNOWN, "pc", presence.since_s)


def _silent(state: RoomState, since_s: float) -> Finding:
    on_battery = any(_ended_on_battery(sight, since_s) for sight in state.sights.values() if sight.probe == "power")
    return finding(Code.ROOM_SILENT_ON_BATTERY if on_battery else Code.ROOM_SILENT, Level.UNKNOWN, "pc", since_s)


def _ended_on_battery(sight: Sight, since_s: float) -> bool:
    column = sight.column("on_battery_bool")
    for window in reversed(sight.windows):
        if (number := window.numbers[column]) is not None:
            return bool(number) and since_s - window.measured_s <= _LAST_WORDS_S
    return False


def half_silence(state: RoomState) -> Iterator[Finding]:
    """PCs of the room that fell silent while another still speaks."""
    if any(presence.state == "online" for presence in state.agents.values()):
        for presence in state.agents.values():
            if presence.state == "lost":
                yield finding(Code.ONE_PC_SILENT, Level.DEGRADED, "pc", presence.since_s)


_ALWAYS: Final = frozenset({"host", "power", "peripherals"})
"""Probes of what a verdict rests on that nothing holds back: they cost no bytes, and disturb no lesson."""
_MISSED_COUNT: Final = 3


def stuck_probes(evidence: Evidence) -> Iterator[Finding]:
    """Probes that hang, or break, while their agent goes on: what they would tell is not known any more.

    One that asks a server or a device that says nothing is not stuck; it tells of that.
    """
    stuck: dict[str, list[tuple[float, str]]] = {}
    for sight in evidence.state.sights.values():
        if sight.probe in _ALWAYS and (since_s := _stuck_since(evidence, sight)) is not None:
            stuck.setdefault(sight.target, []).append((since_s, sight.probe))
    for target, found in stuck.items():
        one = finding(Code.PROBE_STUCK, Level.UNKNOWN, target, min(found)[0])
        yield msgspec.structs.replace(one, note=", ".join(sorted(probe for _, probe in found)))


def _stuck_since(evidence: Evidence, sight: Sight) -> float | None:
    state, age_s = evidence.state, evidence.now - sight.latest_s
    is_broken = sight.latest is not None and sight.latest.outcome is Outcome.BROKEN
    if is_broken and sight.failing_count >= CLEAR_COUNT and age_s <= WINDOW_LASTS_S:
        return sight.failing_since_s
    if any(one.state != "online" or evidence.now - one.since_s < OLD_S for one in state.agents.values()):
        return None  # its PC may be the one that is off, or has only just come back
    every_s = state.every_s.get((sight.probe, sight.target)) or state.every_s.get((sight.probe, ""))
    return sight.latest_s if every_s and age_s > max(OLD_S, _MISSED_COUNT * every_s) else None


class _Age(NamedTuple):
    """Of the newest determined attempt: when it was, and on which target."""

    newest_s: float
    target: str


def missing_evidence(evidence: Evidence) -> Iterator[Finding]:
    """What the profile must know and does not, or not any more."""
    for signal in evidence.profile.signals:
        sights = [sight for sight, _ in evidence.live if sight.role == signal.role and sight.probe in signal.probes]
        yield from _judge_signal(evidence, signal, sights)
    for role in evidence.profile.devices:
        sights = [sight for sight, _ in evidence.live if sight.role == role]
        if sights:  # a device that no plan measures is not missed
            yield from _judge_sights(evidence, sights, sights[0].target)
    yield from _unmeasured_quality(evidence)


def _judge_signal(evidence: Evidence, signal: Signal, sights: list[Sight]) -> Iterator[Finding]:
    if sights:
        yield from _judge_sights(evidence, sights, sights[0].target)
    else:
        since_s = evidence.state.known_since_s
        yield finding(Code.NO_READING, Level.UNKNOWN, signal.role, evidence.now if since_s is None else since_s)


def _judge_sights(evidence: Evidence, sights: list[Sight], target: str) -> Iterator[Finding]:
    """One of these sights must be recent and determined."""
    newest = max(
        (_Age(sight.windows[-1].measured_s, sight.target) for sight in sights if sight.windows),
        default=None,
    )
    age_s = None if newest is None else evidence.now - newest.newest_s
    failing = [sight for sight in sights if sight.failing_count]
    is_missing = age_s is None or age_s > WINDOW_LASTS_S
    if failing and (
        is_missing or (len(failing) == len(sights) and all(one.failing_count >= CLEAR_COUNT for one in failing))
    ):
        first = min(failing, key=lambda sight: sight.failing_since_s)
        if evidence.now - max(sight.latest_s for sight in failing) <= WINDOW_LASTS_S:
            yield finding(Code.MEASUREMENT_FAILS, Level.UNKNOWN, first.target, first.failing_since_s)
            return
    if newest is None or age_s is None:
        since_s = evidence.state.known_since_s
        yield finding(Code.NO_READING, Level.UNKNOWN, target, evidence.now if since_s is None else since_s)
    elif age_s > WINDOW_LASTS_S:
        yield finding(Code.NO_READING, Level.UNKNOWN, newest.target, newest.newest_s)
    elif age_s > OLD_S:
        yield finding(
            Code.READING_OLD,
            Level.DEGRADED,
            newest.target,
            newest.newest_s,
            value="reading_age_s",
            measured=age_s,
            needed=OLD_S,
        )
    elif _is_undecided(evidence, sights):
        code = Code.SNMP_SILENT if all(sight.probe == "snmp" for sight in sights) else Code.NO_READING
        yield finding(code, Level.UNKNOWN, newest.target, newest.newest_s)


def _is_undecided(evidence: Evidence, sights: list[Sight]) -> bool:
    """Nothing has answered yet, and not for so long that it counts as lost."""
    fates = (evidence.lives[sight.target].fate for sight in sights if sight.target in evidence.lives)
    return all(fate is Fate.UNKNOWN for fate in fates)


def _unmeasured_quality(evidence: Evidence) -> Iterator[Finding]:
    """Lesson servers that live but let no ping through: delay and loss on the way to them are not known."""
    wanted = {role for signal in evidence.profile.signals if "ping" in signal.probes for role in [signal.role]}
    measured: set[str] = set()
    blocked: list[tuple[Sight, list[Window]]] = []
    for sight, windows in evidence.of_probe("ping"):
        if sight.role not in wanted or not windows:
            continue
        if all(window.sign for window in windows):
            if evidence.lives[sight.target].fate in (Fate.ALIVE, Fate.REFUSES):
                blocked.append((sight, windows))
        else:
            measured.add(sight.role)
    measured.update(sight.role for sight, windows in evidence.of_probe("stamp") if windows)
    for sight, windows in blocked:
        if sight.role not in measured:
            # One or two lost do not mean that pings are filtered; but nothing has been measured either.
            code = Code.QUALITY_UNKNOWN if len(windows) >= CLEAR_COUNT else Code.NO_READING
            yield finding(code, Level.UNKNOWN, sight.target, windows[0].measured_s)


def ping_columns(sight: Sight) -> Columns:
    """Where a ping's counts stand."""
    return Columns(sight.column("sent_count"), sight.column("received_count"), sight.column("loss_ratio"))
