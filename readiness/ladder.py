"""The way from the room to its lesson, rung by rung: the first that is broken is the cause, and hides what follows.

network card -> address -> gateway -> provider -> national -> international -> names, pages, packets -> lesson

Two things tell: the targets of single probes, and what the `link` probe concluded from a walk of its own. The targets
come first, since they are the lesson's; the walk speaks where they say nothing, and of what only it can see.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from contract.parts import STATUS, State
from contract.rung import Rung
from readiness.codes import Code
from readiness.evidence import Evidence, Fate, Life, any_of, finding
from readiness.verdict import Finding, Level
from readiness.windows import CLEAR_COUNT

BEYOND: Final = ("isp", "national", "international", "lesson")
"""Rungs outside the school, nearest first."""
_WITNESSES: Final = (*BEYOND, "collector")
"""Roles whose answer proves that the Internet works."""
LOCAL_CAUSES: Final = frozenset({Code.NIC_DOWN, Code.NO_ADDRESS, Code.LAN_DOWN})
"""Causes that take the room's other devices with them."""
CUTS: Final = LOCAL_CAUSES | {Code.GATEWAY_DOWN, Code.ISP_DOWN, Code.NO_INTERNET}
"""Causes that leave nothing to say of the quality of the way."""
CODES: Final = {
    Rung.NIC: Code.NIC_DOWN,
    Rung.ADDRESS: Code.NO_ADDRESS,
    Rung.GATEWAY: Code.GATEWAY_DOWN,
    Rung.ISP: Code.ISP_DOWN,
    Rung.NATIONAL: Code.NO_INTERNET,
    Rung.INTERNATIONAL: Code.INTERNATIONAL_DOWN,
    Rung.DNS: Code.DNS_FAILS,
    Rung.DNS_LIES: Code.DNS_LIES,
    Rung.PORTAL: Code.CAPTIVE_PORTAL,
    Rung.MTU: Code.MTU_HOLE,
    Rung.LESSON: Code.LESSON_UNREACHABLE,
}
"""What a broken rung means for the room; the collector's own rungs mean nothing for a lesson."""
_TARGETS: Final = {
    Rung.NIC: "pc",
    Rung.ADDRESS: "pc",
    Rung.GATEWAY: "gateway",
    Rung.ISP: "isp",
    Rung.NATIONAL: "national",
    Rung.INTERNATIONAL: "international",
    Rung.DNS: "dns",
    Rung.DNS_LIES: "dns",
    Rung.PORTAL: "gateway",
    Rung.MTU: "gateway",
    Rung.LESSON: "lesson",
}
"""Where it is looked for."""
_ROUTERS: Final = ("router", "gateway")
_WAN: Final = f"wan{STATUS}"
_SPOILS: Final = frozenset({Rung.PORTAL, Rung.DNS_LIES, Rung.MTU})
"""What only a walk can see: something answers, and it is the wrong thing."""


def climb(evidence: Evidence) -> Iterator[Finding]:
    """What breaks the way: nothing, or the first broken rung, or the lesson's own faults."""
    passes = any_of(evidence.of_role(*_WITNESSES), Fate.ALIVE, Fate.REFUSES)
    walked = _walked(evidence)
    if not passes:
        cut = _inside(evidence) or _by_router(evidence) or _outside(evidence) or _cut_by(evidence, walked)
        if cut is not None:
            yield cut
            return
    if walked is not None and walked.rung in _SPOILS:
        yield _spoilt(evidence, walked)
        return
    found = list(_at_the_end(evidence))
    yield from found
    if walked is not None and not found:
        yield from _end_by(evidence, walked)


class _Walk(NamedTuple):
    """Which rung a walk found broken, and since when."""

    rung: Rung
    since_s: float


def _walked(evidence: Evidence) -> _Walk | None:
    """The rung that the latest walks agree on; None when they found nothing, or not for long enough."""
    for sight, windows in evidence.of_probe("link"):
        for rung in Rung:
            since_s = evidence.has_stood_since(sight, windows, "failed_rung_code", rung) if rung else None
            if since_s is not None:
                return _Walk(rung, since_s)
    return None


def _cut_by(evidence: Evidence, walked: _Walk | None) -> Finding | None:
    """A walk that ended before the lesson, where no target tells of it."""
    if walked is None or walked.rung > Rung.NATIONAL:
        return None
    is_lan = walked.rung is Rung.GATEWAY and not _lan_lives(evidence)
    return _of(walked, Level.UNFIT, Code.LAN_DOWN if is_lan else None)


def _spoilt(evidence: Evidence, walked: _Walk) -> Finding:
    """A portal stops every lesson; lies and holes stop those that they hit."""
    lessons = evidence.of_role("lesson")
    is_hit = walked.rung is Rung.PORTAL or any_of(lessons, Fate.LOST, Fate.NAMELESS, Fate.REFUSES)
    return _of(walked, Level.UNFIT if is_hit else Level.DEGRADED)


def _end_by(evidence: Evidence, walked: _Walk) -> Iterator[Finding]:
    """What a walk found behind the provider, where the lesson's own probes have nothing to say."""
    if any_of(evidence.of_role("lesson"), Fate.ALIVE):
        return
    if walked.rung is Rung.DNS:
        yield _of(walked, Level.UNFIT if evidence.profile.needs_dns else Level.DEGRADED)
    elif walked.rung is Rung.INTERNATIONAL:
        yield _of(walked, Level.DEGRADED)
    elif walked.rung is Rung.LESSON:
        yield _of(walked, Level.UNFIT)


def _of(walked: _Walk, level: Level, code: Code | None = None) -> Finding:
    return finding(code or CODES[walked.rung], level, _TARGETS[walked.rung], walked.since_s)


def _inside(evidence: Evidence) -> Finding | None:
    """The first broken rung inside the school, when nothing outside answers."""
    gateways = evidence.of_role("gateway")
    if any_of(gateways, Fate.ALIVE):
        return None
    if (carrier := evidence.denies("host", "nic_up_bool")) is not None:
        return finding(Code.NIC_DOWN, Level.UNFIT, carrier[0], carrier[1])
    if (address := evidence.says("host", "address_link_local_bool")) is not None:
        return finding(Code.NO_ADDRESS, Level.UNFIT, address[0], address[1])
    lost = _first_lost(gateways)
    if lost is None:
        return None
    code = Code.GATEWAY_DOWN if _lan_lives(evidence) else Code.LAN_DOWN
    return finding(code, Level.UNFIT, lost.target, lost.since_s)


def _lan_lives(evidence: Evidence) -> bool:
    """Whether anything in the school's own network answers."""
    neighbours = [life for life in evidence.lives.values() if life.role not in (*_WITNESSES, "gateway", "dns", "pc")]
    return any(life.over_network and life.fate in (Fate.ALIVE, Fate.REFUSES) for life in neighbours)


def _by_router(evidence: Evidence) -> Finding | None:
    """The word of the school's own router that its connection to the provider is down, when nothing outside answers."""
    for sight, windows in evidence.of_probe("device"):
        if sight.role in _ROUTERS:
            since_s = evidence.has_stood_since(sight, windows, _WAN, State.FAILED)
            if since_s is not None:
                return finding(Code.ISP_DOWN, Level.UNFIT, sight.target, since_s, value=_WAN)
    return None


def _outside(evidence: Evidence) -> Finding | None:
    """The first broken rung outside, when nothing there answers; None when only one lesson server is in question."""
    lost = [life for role in BEYOND for life in evidence.of_role(role) if life.fate is Fate.LOST]
    if not lost or (len(lost) == 1 and lost[0].role == "lesson"):
        return None
    first = lost[0]
    code = Code.ISP_DOWN if first.role == "isp" else Code.NO_INTERNET
    return finding(code, Level.UNFIT, first.target, min(life.since_s for life in lost))


def _at_the_end(evidence: Evidence) -> Iterator[Finding]:
    lessons = evidence.of_role("lesson")
    yield from _names(evidence, lessons)
    if (unreachable := _first_lost(lessons)) is not None:
        before = [lost for role in ("national", "international") if (lost := _lost_rung(evidence, role)) is not None]
        if not before:
            code, broken = Code.LESSON_UNREACHABLE, unreachable
        elif before[0].role == "international" and any_of(evidence.of_role("national"), Fate.ALIVE):
            code, broken = Code.INTERNATIONAL_DOWN, before[0]
        else:
            code, broken = Code.NO_INTERNET, before[0]
        yield finding(code, Level.UNFIT, broken.target, broken.since_s)
    for life in lessons:
        if life.fate is Fate.REFUSES:
            yield finding(Code.SERVICE_DOWN, Level.UNFIT, life.target, life.since_s)


def _names(evidence: Evidence, lessons: list[Life]) -> Iterator[Finding]:
    """Name resolution: without it there is no lesson, unless the lesson is dialled by address."""
    nameless = [life for life in lessons if life.fate is Fate.NAMELESS]
    silent = [
        (sight.target, windows[-CLEAR_COUNT].measured_s)
        for sight, windows in evidence.of_probe("dns")
        if len(windows) >= CLEAR_COUNT and all(window.sign for window in windows[-CLEAR_COUNT:])
    ]
    answers = any(windows and not windows[-1].sign for _, windows in evidence.of_probe("dns"))
    if nameless:
        target = silent[0][0] if silent else nameless[0].target
        yield finding(Code.DNS_FAILS, Level.UNFIT, target, min(life.since_s for life in nameless))
    elif silent:
        needed = evidence.profile.needs_dns and not answers
        target, since_s = min(silent, key=lambda one: one[1])
        yield finding(Code.DNS_FAILS, Level.UNFIT if needed else Level.DEGRADED, target, since_s)


def _lost_rung(evidence: Evidence, role: str) -> Life | None:
    lives = evidence.of_role(role)
    return None if any_of(lives, Fate.ALIVE) else _first_lost(lives)


def _first_lost(lives: list[Life]) -> Life | None:
    return min((life for life in lives if life.fate is Fate.LOST), key=lambda life: life.since_s, default=None)
