"""Judges the collector itself and decides what its operators are told, and when; sends nothing.

What is wrong goes through the same incidents and the same deciding as a room's trouble does. What only an operator can
mend about single agents and people is one incident, told once; what joins it stands in the daily mail. That mail is at
once the proof that mail leaves: one that was not taken is itself a trouble, seen on the pages.
"""

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

import msgspec

from collector.alerting.decide import Notice, Reason, Recipient, decide
from collector.alerting.incident import AGENTS, COLLECTOR, OWN, Change, Incident, Incidents, Policy
from collector.alerting.told import Told
from collector.alerting.words import ZONE
from readiness.verdict import Finding, Level, Verdict, worst

DAILY: Final = "daily"
"""Stands where an incident's id stands in other letters, so that tomorrow's takes the place of today's unsent one."""
PROVEN_WITHIN_S: Final = 1800.0
"""So long after its time the daily mail must have been taken."""
STUCK_AFTER_S: Final = 900.0
"""So long a letter may wait while none leaves."""
BEHIND_AFTER_S: Final = 900.0
"""So long a sink may refuse: a database that is restarted, or its machine, is back by then."""
_STEP_TOLD_S: Final = 900.0
"""So long a step of our own clock stays a trouble, to be long enough for one."""
FOUND_HERE: Final = frozenset({"clock_stepped", "sink_behind", "mail_stuck", "mail_unproven", "no_operators"})
"""Problems that nobody else notes."""
_AGENTS_POLICY: Final = Policy(
    hold_off_s=0.0,
    clear_after_s=3600.0,
    reminder_s=float("inf"),  # the daily mail reminds
    alert_levels=frozenset({Level.DEGRADED}),
    quiet_codes=frozenset(),
)
_STOPS_WORK: Final = frozenset({"broker_lost", "journal_refuses", "database_refuses", "mail_stuck", "mail_unproven"})
"""With these the collector sees nothing, keeps nothing, or tells nobody."""
_MAIL_ITSELF: Final = frozenset({"mail_stuck", "mail_unproven"})
"""No mail can tell of these while they last: one tells of all of it when it is over."""
_ABOUT_ONE: Final = frozenset({"agent_cloned", "agent_floods", "agent_restored", "plan_refused", "recipient_refused"})


class Trouble(NamedTuple):
    """One thing that is wrong with the collector (`health.<code>` in the catalogue), or that only its operators can
    mend; `about` is the agent or the address that it concerns, if any. The rest is as in a Finding.
    """

    code: str
    about: str = ""
    value: str = ""
    measured: float | None = None
    note: str = ""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen of the collector from outside its pipeline.

    `is_fed`: every sink takes what it is given. `unheeded_since_s`: when the oldest letter was written that waits and
    after which none has left. `sends_mail`: letters go to a relay.
    """

    is_fed: bool
    unheeded_since_s: float | None
    sends_mail: bool


class _Series(NamedTuple):
    incident: str


class Daily(msgspec.Struct, frozen=True, kw_only=True):
    """The daily mail of one day (`2026-11-25`, in Vietnam) to one operator."""

    day: str
    recipient: Recipient

    @property
    def incident(self) -> _Series:
        """All daily mails are one series."""
        return _Series(DAILY)

    @property
    def key(self) -> str:
        """What makes it this mail and no other."""
        return f"{DAILY}/{self.day}/{self.recipient.address}"


class Proof(NamedTuple):
    """Whether mail is known to leave: when a daily mail was last taken, and whether one should have been since."""

    proved_s: float | None
    is_missing: bool


class Look(NamedTuple):
    """What one look at the collector itself found: incidents to keep, letters to write, what stands now."""

    changes: tuple[Change, ...]
    notices: tuple[Notice, ...]
    dailies: tuple[Daily, ...]
    findings: tuple[Finding, ...]


class Health:
    """The collector's own incidents. One thread calls it. `daily_at` is the time of day in Vietnam, as `06:30`."""

    def __init__(
        self,
        *,
        policy: Policy,
        operators: tuple[Recipient, ...],
        daily_at: str,
        known: Iterable[Incident],
        told: Told,
    ) -> None:
        """`policy` is that for rooms, whose times hold here too; `known` as for Incidents."""
        self._policies = {
            COLLECTOR: msgspec.structs.replace(
                policy, alert_levels=frozenset({Level.UNFIT, Level.DEGRADED}), quiet_codes=frozenset()
            ),
            AGENTS: _AGENTS_POLICY,
        }
        own = tuple(known)
        self._incidents = {
            name: Incidents(policy, [one for one in own if one.room == name]) for name, policy in self._policies.items()
        }
        self.operators = operators
        self._daily_at = dt.time.fromisoformat(daily_at)
        self.told = told
        self._since_s: dict[tuple[str, str], float] = {}
        self._stepped: tuple[float, float] | None = None  # by how much our own clock was last set, and when
        self._step_told_s = max(_STEP_TOLD_S, 2 * policy.hold_off_s)
        self._starved_s: float | None = None

    @property
    def missing_at(self) -> str:
        """The time of day from which on a daily mail is missing (`07:00`)."""
        missing = dt.datetime.combine(dt.date.min, self._daily_at) + dt.timedelta(seconds=PROVEN_WITHIN_S)
        return f"{missing:%H:%M}"

    def problems(self, sight: Sight, now: float) -> frozenset[str]:
        """Those of `FOUND_HERE` that there are now."""
        self._starved_s = None if sight.is_fed else now if self._starved_s is None else self._starved_s
        found = {
            "clock_stepped": self._stepped is not None and 0 <= now - self._stepped[1] < self._step_told_s,
            "sink_behind": self._starved_s is not None and now - self._starved_s > BEHIND_AFTER_S,
            "mail_stuck": sight.unheeded_since_s is not None and abs(now - sight.unheeded_since_s) > STUCK_AFTER_S,
            "mail_unproven": self.proof(now).is_missing,
            "no_operators": sight.sends_mail and not self.operators,
        }
        return frozenset(code for code, is_so in found.items() if is_so)

    def trouble(self, code: str) -> Trouble:
        """A problem, with what is known of it."""
        if code == "clock_stepped" and self._stepped is not None:
            return Trouble(code, value="clock_offset_s", measured=self._stepped[0])
        return Trouble(code)

    def look(self, troubles: Collection[Trouble], now: float) -> Look:
        """Take in everything that is wrong now."""
        before = self._since_s
        self._since_s = {(one.code, one.about): before.get((one.code, one.about), now) for one in troubles}
        changes: list[Change] = []
        notices: list[Notice] = []
        findings: list[Finding] = []
        for name in OWN:
            verdict = self._judge(name, troubles, now)
            findings += verdict.findings
            incidents = self._incidents[name]
            changes += incidents.observe(verdict, now)
            people = {name: self.operators}
            decided = decide(incidents, self.told, self._policies[name], now, people)
            notices += (one for one in decided if one.reason is Reason.ENDED or _can_be_told(one.incident))
            notices += self._ends_of_silence(incidents.ended)
        kept = {one.incident for each in self._incidents.values() for one in (*each.ended, *each.open.values())}
        self.told.keep_only(kept | {DAILY})
        return Look(
            changes=tuple(changes),
            notices=tuple(notices),
            dailies=tuple(self._dailies(now)),
            findings=tuple(findings),
        )

    def clock_stepped(self, step_s: float, now: float) -> None:
        """Our own clock was set, to now: what is wrong has been so since now."""
        self._stepped = (step_s, now)
        self._since_s = dict.fromkeys(self._since_s, now)
        self._starved_s = None

    def proof(self, now: float) -> Proof:
        """Whether mail is known to leave. What was proved by a clock that ran ahead is not."""
        tellings = tuple(self.told.about(DAILY))
        proved_s = max((one.sent_s for one in tellings if one.sent_s is not None and one.sent_s <= now), default=None)
        if not self.operators:
            return Proof(proved_s, is_missing=False)
        if proved_s is not None:
            return Proof(proved_s, is_missing=proved_s < self._slot_s(now - PROVEN_WITHIN_S))
        first_s = min((one.queued_s for one in tellings), default=now)
        return Proof(None, is_missing=now - first_s > PROVEN_WITHIN_S)

    def _judge(self, name: str, troubles: Collection[Trouble], now: float) -> Verdict:
        findings = [
            Finding(
                code=one.code,
                level=Level.UNFIT if one.code in _STOPS_WORK else Level.DEGRADED,
                target=one.about,
                since_s=self._since_s[one.code, one.about],
                value=one.value,
                measured=one.measured,
                note=one.note,
            )
            for one in troubles
            if (one.code in _ABOUT_ONE) == (name == AGENTS)
        ]
        findings.sort(key=lambda one: (-one.level.severity, one.since_s, one.code, one.target))
        level = worst(one.level for one in findings) if findings else Level.FIT
        return Verdict(room=name, level=level, findings=tuple(findings), since_s=now, judged_s=now, profile="")

    def _ends_of_silence(self, ended: Iterable[Incident]) -> Iterable[Notice]:
        """The only letters about what no letter could tell of while it lasted."""
        for incident in ended:
            for operator in () if _can_be_told(incident) else self.operators:
                if not any(self.told.of(incident.incident, operator.address)):
                    yield Notice(incident=incident, reason=Reason.ENDED, level=incident.worst, recipient=operator)

    def _dailies(self, now: float) -> Iterable[Daily]:
        """Those of the latest day that are not written yet; also at a first start, which proves mail at once."""
        day = dt.datetime.fromtimestamp(self._slot_s(now), ZONE).date().isoformat()
        for operator in self.operators:
            daily = Daily(day=day, recipient=operator)
            if self.told.find(DAILY, daily.key) is None:
                yield daily

    def _slot_s(self, now: float) -> float:
        """When the latest daily mail was due."""
        here = dt.datetime.fromtimestamp(now, ZONE)
        slot = dt.datetime.combine(here.date(), self._daily_at, ZONE)
        return (slot if slot <= here else slot - dt.timedelta(days=1)).timestamp()


def _can_be_told(incident: Incident) -> bool:
    return any(one.code not in _MAIL_ITSELF for one in incident.findings)
