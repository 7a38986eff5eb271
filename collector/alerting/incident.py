"""Opens and closes incidents, one per room at a time, with patience at both ends. Sans-IO; `now` by argument."""

import datetime as dt
import enum
from collections.abc import Iterable
from typing import Final

import msgspec

from readiness.verdict import Finding, Level, Verdict

ALERTING: Final = frozenset({Level.UNFIT, Level.UNKNOWN})
QUIET_CODES: Final = frozenset({"PC_SWITCHED_OFF", "PC_ASLEEP", "NEVER_HEARD"})
"""Reasons that open nothing: a PC that was switched off properly, or a room where nobody has installed anything yet,
is no emergency as long as no timetable says that a lesson is near."""
_REMEMBER_ENDED_S: Final = 86400.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How long trouble must last before it is an incident, how long all must be well before it is over, and how often
    people are reminded of one that stays. Seconds.
    """

    hold_off_s: float = 300.0
    clear_after_s: float = 180.0
    reminder_s: float = 86400.0


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One open problem of one room, or a past one (`ended_s`). Times are Unix seconds.

    `opened_s` is when the trouble began, `confirmed_s` when it had lasted long enough. `first_level` is what the
    room was judged then, `worst` the worst since, `level` and `findings` what it is now, or was last.
    """

    incident: str
    room: str
    first_level: Level
    level: Level
    worst: Level
    findings: tuple[Finding, ...]
    opened_s: float
    confirmed_s: float
    ended_s: float | None = None

    @property
    def codes(self) -> tuple[str, ...]:
        """The reasons, worst first."""
        return tuple(finding.code for finding in self.findings)


class ChangeKind(enum.StrEnum):
    """What became of an incident."""

    OPENED = "opened"
    WORSENED = "worsened"
    CHANGED_CAUSE = "changed_cause"
    ENDED = "ended"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """An incident, as it is after something became of it."""

    kind: ChangeKind
    incident: Incident
    at_s: float


class Incidents:
    """All incidents that are open, and those that ended within a day. Starts from what was stored."""

    def __init__(self, policy: Policy, known: Iterable[Incident] = ()) -> None:
        self._policy = policy
        self._began_s: dict[str, float] = {}  # rooms in trouble not yet long enough
        self._well_since_s: dict[str, float] = {}  # rooms with an open incident that are well again
        self.open: dict[str, Incident] = {}
        self.ended: dict[str, Incident] = {}
        for one in known:
            if one.ended_s is None:
                self.open[one.room] = one
            else:
                self.ended[one.incident] = one

    def observe(self, verdict: Verdict, now: float) -> list[Change]:
        """Step 10 of the line: what a room's new verdict makes of its incident. At most one change."""
        is_alert = verdict.level in ALERTING and not (verdict.findings and verdict.findings[0].code in QUIET_CODES)
        incident = self.open.get(verdict.room)
        if incident is None:
            return self._without(verdict, now, is_alert=is_alert)
        if is_alert:
            self._well_since_s.pop(verdict.room, None)
            return self._go_on(incident, verdict, now)
        well_since_s = self._well_since_s.setdefault(verdict.room, now)
        if now - well_since_s < self._policy.clear_after_s:
            return []
        del self.open[verdict.room], self._well_since_s[verdict.room]
        over = msgspec.structs.replace(incident, ended_s=well_since_s)
        self.ended = {name: one for name, one in self.ended.items() if now - (one.ended_s or now) < _REMEMBER_ENDED_S}
        self.ended[over.incident] = over
        return [Change(kind=ChangeKind.ENDED, incident=over, at_s=now)]

    def _without(self, verdict: Verdict, now: float, *, is_alert: bool) -> list[Change]:
        if not is_alert:
            self._began_s.pop(verdict.room, None)
            return []
        began_s = self._began_s.setdefault(verdict.room, now)
        if now - began_s < self._policy.hold_off_s:
            return []
        del self._began_s[verdict.room]
        incident = Incident(
            incident=f"{verdict.room}.{dt.datetime.fromtimestamp(began_s, dt.UTC):%Y%m%dT%H%M%S}",
            room=verdict.room,
            first_level=verdict.level,
            level=verdict.level,
            worst=verdict.level,
            findings=verdict.findings,
            opened_s=began_s,
            confirmed_s=now,
        )
        self.open[verdict.room] = incident
        return [Change(kind=ChangeKind.OPENED, incident=incident, at_s=now)]

    def _go_on(self, incident: Incident, verdict: Verdict, now: float) -> list[Change]:
        is_worse = verdict.level.severity > incident.worst.severity
        is_other = verdict.level is not incident.level or tuple(one.code for one in verdict.findings) != incident.codes
        if not is_other:
            return []
        worst = verdict.level if is_worse else incident.worst
        after = msgspec.structs.replace(incident, level=verdict.level, worst=worst, findings=verdict.findings)
        self.open[verdict.room] = after
        kind = ChangeKind.WORSENED if is_worse else ChangeKind.CHANGED_CAUSE
        return [Change(kind=kind, incident=after, at_s=now)]
