"""Whether media get through at all: firewalls that let pages pass and drop UDP, on which picture and voice travel.

Test packets that nobody answers prove little: a reflector at rest, a wrong key and a firewall look alike. A firewall on
the room's side it is only when the same reflector answered another room meanwhile, and this room's way was alive.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from readiness.codes import Code
from readiness.evidence import Evidence, finding
from readiness.ladder import BEYOND, CUTS
from readiness.state import TO_REFLECTORS, WINDOW_LASTS_S, Sight
from readiness.verdict import Finding, Level
from readiness.windows import CLEAR_COUNT

_BLOCKED: Final = "udp_blocked_bool"
_LOW_LOSS_RATIO: Final = 0.2
"""From here on packets without an answer may simply be lost."""


def look_at_udp(evidence: Evidence, way: str) -> Iterator[Finding]:
    """UDP is blocked; nothing where that is not sure. `way` is the code of what breaks the way, or empty."""
    limit = next((one for one in evidence.profile.limits if one.metric == _BLOCKED), None)
    silent = [sight for sight in evidence.state.sights.values() if sight.probe in TO_REFLECTORS]
    silent = [sight for sight in silent if sight.unanswered_count]
    if limit is None or not silent or way in CUTS:
        return
    first = min(silent, key=lambda sight: sight.unanswered_since_s)
    if not any(_is_firewalled(evidence, sight) for sight in silent) or not _passes_else(evidence, first):
        return
    level = Level.DEGRADED if limit.unfit is None else Level.UNFIT
    found = finding(Code.UDP_BLOCKED, level, first.target, first.unanswered_since_s, value=_BLOCKED, measured=1)
    yield msgspec.structs.replace(found, note=evidence.profile.udp_ports)


def _is_firewalled(evidence: Evidence, sight: Sight) -> bool:
    """Several tests in a row brought nothing, the latest lately, and meanwhile the reflector answered another room."""
    if sight.unanswered_count < CLEAR_COUNT or evidence.now - sight.latest_s > WINDOW_LASTS_S:
        return False
    answered_s = evidence.state.answered_s.get((sight.probe, sight.target))
    if answered_s is None or answered_s < max(sight.unanswered_since_s, evidence.now - WINDOW_LASTS_S):
        return False
    # Any test packet of this room that was answered since, by whichever reflector, came by UDP.
    return not any(
        windows and windows[-1].measured_s >= sight.unanswered_since_s
        for other, windows in evidence.live
        if other.probe in TO_REFLECTORS
    )


def _passes_else(evidence: Evidence, silent: Sight) -> bool:
    """Whether what is no test packet went through meanwhile: something beyond the school answered, and most of it."""
    is_told = is_lossy = False
    for sight, windows in evidence.live:
        if sight.role not in (*BEYOND, "collector") or sight.probe in TO_REFLECTORS:
            continue
        since = [window for window in windows if window.measured_s >= silent.unanswered_since_s]
        answered_count = sum(not window.sign for window in since)
        if not answered_count:
            continue  # it may be filtered, or down
        is_told = True
        is_lossy |= 1 - answered_count / len(since) >= _LOW_LOSS_RATIO
        if sight.probe == "ping" and "loss_ratio" in sight.names:
            ratios = [ratio for window in since if (ratio := window.numbers[sight.column("loss_ratio")]) is not None]
            is_lossy |= bool(ratios) and sum(ratios) / len(ratios) >= _LOW_LOSS_RATIO
    return is_told and not is_lossy
