"""Judges one room: what is wrong, the worst first, the cause instead of its consequences."""

from collections.abc import Iterator
from typing import Final

import msgspec

from readiness.codes import Code
from readiness.crowding import weigh_line
from readiness.devices import missing, parts, silent_to_snmp
from readiness.evidence import Evidence, Fate, finding
from readiness.hearing import half_silence, missing_evidence, ping_columns, silence, stuck_probes
from readiness.ladder import CUTS, climb
from readiness.media import look_at_udp
from readiness.metrics import IN_CALL, Rule
from readiness.power import look_at_power, on_battery_since, weigh_power
from readiness.profile import Check, Profile
from readiness.state import RoomState, Sight, Window
from readiness.verdict import Finding, Level, Verdict, worst
from readiness.windows import Breach, mean, pooled, series, steady

FINDINGS_MAX_COUNT: Final = 3
_RANKS: Final = {code.value: code.rank for code in Code}


def judge(
    profile: Profile, state: RoomState, session: None, now: float, previous: Verdict | None = None
) -> Verdict:  # fmt: skip
    """The verdict on a room at `now` (Unix seconds).

    `session` is the lesson at hand; timetables are not known yet, and None asks for the room in general. `previous`
    is the last verdict on the room: what it said already keeps its beginning, even where the windows no longer reach
    back so far.

    A room that cannot be heard is UNKNOWN, whatever its last readings said. Otherwise the worst finding decides, and
    a room without findings is FIT: the signals that the profile requires have been measured, or their want would be
    a finding.
    """
    del session
    silent = silence(state, now)
    if silent is not None:
        found = [silent]
    else:
        evidence = Evidence(profile, state, now)
        found = list(weigh_line(evidence, _findings(evidence), previous))
    found = [_carried(_begun(one, now), previous) for one in weigh_power(_once(found))]
    found.sort(key=lambda one: (-one.level.severity, _RANKS[one.code], one.since_s, one.target))
    level = worst(one.level for one in found) if found else Level.FIT
    if previous is not None:
        since_s = previous.since_s if previous.level is level else now
    else:
        since_s = found[0].since_s if found else now
    return Verdict(
        room=state.room,
        level=level,
        findings=tuple(found[:FINDINGS_MAX_COUNT]),
        since_s=since_s,
        judged_s=now,
        profile=profile.name,
    )


def _findings(evidence: Evidence) -> Iterator[Finding]:
    way = list(climb(evidence))
    yield from way
    cause = way[0].code if way else ""
    yield from missing(evidence, cause)
    yield from parts(evidence)
    yield from look_at_power(evidence)
    yield from look_at_udp(evidence, cause)
    yield from _beyond_limits(evidence, is_cut=cause in CUTS)
    yield from silent_to_snmp(evidence)
    yield from missing_evidence(evidence)
    yield from stuck_probes(evidence)
    yield from half_silence(evidence.state)


def _beyond_limits(evidence: Evidence, *, is_cut: bool) -> Iterator[Finding]:
    for sight, windows in evidence.live:
        if is_cut and (sight.role == "lesson" or sight.probe == "dns"):
            continue
        for check in evidence.profile.checks(sight.probe, sight.role):
            rule = check.metric.rule
            if rule is Rule.LATEST:
                is_live = sight.windows and evidence.now - sight.windows[-1].measured_s <= check.metric.lasts_s
                breach = _steady(sight, sight.windows[-1:], check, count=1) if is_live else None
            elif not windows or not _applies(evidence, sight, windows, check):
                continue
            elif rule is Rule.POOLED:
                breach = pooled(windows, ping_columns(sight), check.limit)
            elif rule is Rule.SERIES:
                breach = series(windows, sight.column(check.metric.value), check.limit)
            elif rule is Rule.MEAN:
                breach = mean(windows, sight.column(check.metric.value), check.limit)
            else:
                extra = evidence.profile.lesson_min * 60 if check.metric.beyond_lesson else 0.0
                breach = _steady(sight, windows, check, extra=extra)
            if breach is not None and check.metric.sharper not in ("", sight.probe):
                breach = _outranked(evidence, sight, check, breach)
            if breach is not None:
                yield _broken(evidence, sight, check, breach)


def _outranked(evidence: Evidence, sight: Sight, check: Check, breach: Breach) -> Breach | None:
    """A breach as it stands against the sharper probe of the same target, if that measured while it lasted.

    Hosts and routers put pings last: if pings are lost, and test packets are not, that is no loss.
    """
    for other, windows in evidence.of_probe(check.metric.sharper):
        if other.target != sight.target or not windows or windows[-1].measured_s < breach.since_s:
            continue
        number = windows[-1].numbers[other.column(check.metric.value)]
        if number is None or number >= breach.needed:
            continue
        soft = check.limit.degraded
        return None if soft is None or number < soft else Breach(Level.DEGRADED, breach.since_s, number, soft)
    return breach


def _applies(evidence: Evidence, sight: Sight, windows: list[Window], check: Check) -> bool:
    if sight.role == "lesson":
        # A server that is lost has its own finding; one that lives and never answers a ping says nothing of the way.
        life = evidence.lives[sight.target]
        return life.fate is not Fate.LOST and any(not window.sign for window in windows)
    if check.metric.when == "always":
        return True
    if check.metric.when == "call":
        return windows[-1].numbers[sight.column(IN_CALL)] == 1
    return (on_battery_since(evidence, sight, windows) is not None) is (check.metric.when == "battery")


def _steady(sight: Sight, windows: list[Window], check: Check, *, extra: float = 0.0, count: int = 2) -> Breach | None:
    column = sight.column(check.metric.value)
    if check.metric.absolute:
        windows = [
            window._replace(numbers=tuple(None if one is None else abs(one) for one in window.numbers))
            for window in windows
        ]
    return steady(windows, column, check.limit, extra=extra, count=count)


def _broken(evidence: Evidence, sight: Sight, check: Check, breach: Breach) -> Finding:
    code, target = check.metric.code, sight.target
    if check.metric.rule is Rule.SERIES and breach.measured is None:
        code = Code.LINK_DROPS if sight.role == "lesson" else Code.DNS_FAILS
    if code is Code.LINK_LOSSY:
        for gateway, windows in evidence.of_probe("ping"):
            if gateway.role != "gateway" or all(window.sign for window in windows):
                continue
            nearer = pooled(windows, ping_columns(gateway), check.limit)
            if nearer is not None and nearer.level.severity >= breach.level.severity:
                code, target = Code.LAN_LOSSY, gateway.target
    return finding(
        code,
        breach.level,
        target,
        breach.since_s,
        value="" if breach.measured is None else check.metric.value,
        measured=breach.measured,
        needed=breach.needed if breach.measured is not None else None,
    )


def _once(found: list[Finding]) -> Iterator[Finding]:
    """One finding for each code and target, the worst and then the first."""
    kept: dict[tuple[str, str], Finding] = {}
    for one in found:
        known = kept.get((one.code, one.target))
        if known is None or one.level.severity > known.level.severity:
            kept[one.code, one.target] = one
    return iter(kept.values())


def _begun(one: Finding, now: float) -> Finding:
    """Nothing begins in the future, also when a clock was set back since it did."""
    return one if one.since_s <= now else msgspec.structs.replace(one, since_s=now)


def _carried(one: Finding, previous: Verdict | None) -> Finding:
    if previous is None:
        return one
    for known in previous.findings:
        if known.code == one.code and known.target == one.target and known.since_s < one.since_s:
            return msgspec.structs.replace(one, since_s=known.since_s)
    return one
