"""Follows the open problem of each room: when it has lasted long enough to be one, got worse, or is over.

Sans-IO: verdicts go in, changes come out. What must outlive a restart is in the changes.
"""

import datetime as dt
import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from readiness.verdict import Finding, Level, Verdict

ENDED_KEPT_S: Final = 3600.0
"""How long an ended incident is remembered, for the letters that are still owed."""
COLLECTOR: Final = "_collector"
"""Stands in an incident where a room's id stands in others: it is the collector's own. No room can be called so."""
AGENTS: Final = "_agents"
"""The same, where it is about single agents, or people, with whom only an operator can do something."""
OWN: Final = (COLLECTOR, AGENTS)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """When a problem is one. All times in seconds.

    A room's level must be alerting for `hold_off_s` without a break to open an incident, and a worse level must last
    as long to make an open one worse. An incident ends after `clear_after_s` without an alerting verdict.
    `unseen_s`: after so long without any verdict both begin anew, since what nobody saw proves nothing; it must be
    longer than the pause between two reviews. A verdict whose reasons are all in `quiet_codes` neither opens nor ends
    anything: a PC that says goodbye every evening is not a problem.
    """

    hold_off_s: float = 300.0
    clear_after_s: float = 180.0
    reminder_s: float = 86400.0
    unseen_s: float = 330.0
    alert_levels: frozenset[Level] = frozenset({Level.UNFIT, Level.UNKNOWN})
    quiet_codes: frozenset[str] = frozenset(
        {
            "AGENT_CLONED",
            "AGENT_REVOKED",
            "AGENT_UPDATING",
            "COLLECTOR_BLIND",
            "NEVER_HEARD",
            "PC_ASLEEP",
            "PC_SWITCHED_OFF",
        }
    )

    def alerts(self, verdict: Verdict) -> bool:
        """Whether people must hear of it, if it lasts."""
        return verdict.level in self.alert_levels and not self.is_quiet(verdict)

    def is_quiet(self, verdict: Verdict) -> bool:
        """Whether it says only that the room was left as rooms are left."""
        reasons = [finding for finding in verdict.findings if finding.level is verdict.level]
        return (
            verdict.level in self.alert_levels
            and bool(reasons)
            and all(finding.code in self.quiet_codes for finding in reasons)
        )


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One problem of one room, open while `ended_s` is None.

    `incident` is its id, which sorts by time. `opened_s` is when the trouble was first seen, `confirmed_s` when it
    had lasted long enough, `ended_s` when the room became usable again. `level` and `findings` are those of the last
    alerting verdict, `worst` the worst level that lasted, `first_findings` what was wrong when it was confirmed.
    `end_level` and `end_findings` tell how the room was when it ended.
    """

    incident: str
    room: str
    level: Level
    worst: Level
    findings: tuple[Finding, ...]
    first_findings: tuple[Finding, ...]
    opened_s: float
    confirmed_s: float
    ended_s: float | None = None
    end_level: Level | None = None
    end_findings: tuple[Finding, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        """The reasons now, the worst first."""
        return tuple(finding.code for finding in self.findings)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an incident, and how it is now."""

    class Kind(enum.StrEnum):
        """CHANGED_CAUSE: other reasons, or another level that is not worse; worth storing, not worth a letter."""

        OPENED = "opened"
        WORSENED = "worsened"
        CHANGED_CAUSE = "changed_cause"
        ENDED = "ended"

    kind: "Change.Kind"
    incident: Incident
    at_s: float


class _Track:
    """What is known of a room besides its incident. Times are Unix seconds, None while it is not so."""

    __slots__ = ("bad_since_s", "good_since_s", "seen_s", "worse_since_s")

    def __init__(self, now: float) -> None:
        self.seen_s = now
        self.bad_since_s: float | None = None
        self.good_since_s: float | None = None
        self.worse_since_s: float | None = None

    def forget(self) -> None:
        """Begin every wait anew."""
        self.bad_since_s = self.good_since_s = self.worse_since_s = None


class Incidents:
    """All rooms' incidents. `known` are those from storage: open ones, and ended ones whose letters may be owed."""

    def __init__(self, policy: Policy, known: Iterable[Incident] = ()) -> None:
        self._policy = policy
        self._open: dict[str, Incident] = {}
        self._ended: dict[str, Incident] = {}
        self._tracks: dict[str, _Track] = {}
        for incident in sorted(known, key=lambda one: one.opened_s):
            if incident.ended_s is None:
                self._open[incident.room] = incident
            else:
                self._ended[incident.incident] = incident

    @property
    def open(self) -> Mapping[str, Incident]:
        """The open incident of each room that has one."""
        return MappingProxyType(self._open)

    @property
    def ended(self) -> tuple[Incident, ...]:
        """Those that ended lately, in the order in which they did."""
        return tuple(self._ended.values())

    def restless_count(self, rooms: Iterable[str], now: float, within_s: float) -> int:
        """In how many of these rooms a trouble is beginning or ending, or was confirmed so lately, or ended: of how
        many people are about to be told, or have just been.
        """
        return sum(self._is_restless(room, now, within_s) for room in rooms)

    def _is_restless(self, room: str, now: float, within_s: float) -> bool:
        track, incident = self._tracks.get(room), self._open.get(room)
        if track is not None and (track.bad_since_s is not None or track.good_since_s is not None):
            return True
        if incident is not None:
            return now - incident.confirmed_s <= within_s
        over_s = within_s + self._policy.clear_after_s  # it is told so long after it was over
        return any(one.room == room and now - (one.ended_s or 0.0) <= over_s for one in self._ended.values())

    def observe(self, verdict: Verdict, now: float) -> list[Change]:
        """Take in a room's verdict. `now` in Unix seconds; a clock set back only makes every wait begin anew.

        While the collector itself cannot see, call nothing: a room not observed neither opens nor ends an incident.
        """
        track = self._tracks.get(verdict.room)
        if track is None:
            track = self._tracks[verdict.room] = _Track(now)
        if not 0 <= now - track.seen_s <= self._policy.unseen_s:
            track.forget()
        track.seen_s = now
        incident = self._open.get(verdict.room)
        changes = (
            self._watch_for_opening(track, verdict, now)
            if incident is None
            else (self._follow(track, incident, verdict, now))
        )
        if changes and changes[-1].kind is Change.Kind.ENDED:
            self._expire(now)
        return changes

    def drop(self, room: str, now: float) -> list[Change]:
        """Forget a room that is no more; its open incident ends without a word about how the room is."""
        self._tracks.pop(room, None)
        incident = self._open.pop(room, None)
        if incident is None:
            return []
        return [Change(kind=Change.Kind.ENDED, incident=msgspec.structs.replace(incident, ended_s=now), at_s=now)]

    def _watch_for_opening(self, track: _Track, verdict: Verdict, now: float) -> list[Change]:
        if not self._policy.alerts(verdict):
            track.forget()
            return []
        if track.bad_since_s is None:
            track.bad_since_s = now
        if now - track.bad_since_s < self._policy.hold_off_s:
            return []
        incident = Incident(
            incident=_id_of(verdict.room, track.bad_since_s),
            room=verdict.room,
            level=verdict.level,
            worst=verdict.level,
            findings=verdict.findings,
            first_findings=verdict.findings,
            opened_s=track.bad_since_s,
            confirmed_s=now,
        )
        track.forget()
        self._open[verdict.room] = incident
        return [Change(kind=Change.Kind.OPENED, incident=incident, at_s=now)]

    def _follow(self, track: _Track, incident: Incident, verdict: Verdict, now: float) -> list[Change]:
        if self._policy.alerts(verdict):
            track.good_since_s = None
            return self._still_bad(track, incident, verdict, now)
        track.worse_since_s = None
        if self._policy.is_quiet(verdict):  # somebody switched off a room that was in trouble: nothing was mended
            track.good_since_s = None
            return []
        if track.good_since_s is None:
            track.good_since_s = now
        if now - track.good_since_s < self._policy.clear_after_s:
            return []
        ended = msgspec.structs.replace(
            incident, ended_s=track.good_since_s, end_level=verdict.level, end_findings=verdict.findings
        )
        track.forget()
        del self._open[verdict.room]
        self._ended[ended.incident] = ended
        return [Change(kind=Change.Kind.ENDED, incident=ended, at_s=now)]

    def _still_bad(self, track: _Track, incident: Incident, verdict: Verdict, now: float) -> list[Change]:
        worst = incident.worst
        if verdict.level.severity <= worst.severity:
            track.worse_since_s = None
        elif track.worse_since_s is None:
            track.worse_since_s = now
        if track.worse_since_s is not None and now - track.worse_since_s >= self._policy.hold_off_s:
            # Not at once: a room that is switched on is unfit for as long as its camera takes to start.
            track.worse_since_s = None
            worst = verdict.level
        present = msgspec.structs.replace(incident, level=verdict.level, worst=worst, findings=verdict.findings)
        self._open[verdict.room] = present
        if worst is not incident.worst:
            return [Change(kind=Change.Kind.WORSENED, incident=present, at_s=now)]
        if present.level is not incident.level or _reasons(present) != _reasons(incident):
            return [Change(kind=Change.Kind.CHANGED_CAUSE, incident=present, at_s=now)]
        return []

    def _expire(self, now: float) -> None:
        for incident in list(self._ended.values()):
            if incident.ended_s is not None and now - incident.ended_s > ENDED_KEPT_S + self._policy.clear_after_s:
                del self._ended[incident.incident]


def _reasons(incident: Incident) -> list[tuple[str, str, Level]]:
    return [(finding.code, finding.target, finding.level) for finding in incident.findings]


def room_of(incident: str) -> str:
    """The room in an incident's id."""
    return incident.partition("-")[2]


def _id_of(room: str, opened_s: float) -> str:
    """`20251124T001000123-phong-101` (UTC, to the millisecond): the same for the same trouble, whoever asks."""
    opened_ms = int(opened_s * 1000)
    moment = dt.datetime.fromtimestamp(opened_ms // 1000, dt.UTC)
    return f"{moment:%Y%m%dT%H%M%S}{opened_ms % 1000:03d}-{room}"
