"""Step 11 of the line: decides who is told what now, and why. Pure: asked twice, it says nothing new once told knows."""

import enum
from collections.abc import Iterator, Mapping

import msgspec

from collector.alerting.incident import Incident, Incidents, Policy
from collector.alerting.told import Told
from contract.catalogue import Language
from readiness.verdict import Level


class Reason(enum.StrEnum):
    """Why somebody is told now."""

    OPENED = "opened"
    WORSENED = "worsened"
    REMINDER = "reminder"
    ENDED = "ended"


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """A person who answers for a room."""

    address: str
    name: str
    language: Language


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one person about one incident. `key` is the same whenever the same is decided again."""

    incident: Incident
    reason: Reason
    level: Level
    recipient: Recipient
    key: str


def decide(
    incidents: Incidents, told: Told, policy: Policy, now: float, recipients: Mapping[str, tuple[Recipient, ...]]
) -> list[Notice]:
    """The notices to write now: one when an incident opens, when it gets worse, when it ends, and a reminder.

    `recipients` are the people of each room. Nobody is told of the end of what they never heard of.
    """
    notices: list[Notice] = []
    for incident in incidents.open.values():
        for person in recipients.get(incident.room, ()):
            notices += _of_open(incident, person, told, policy, now)
    for incident in incidents.ended.values():
        for person in recipients.get(incident.room, ()):
            notices += _of_ended(incident, person, told)
    return notices


def key_of(incident: Incident, reason: Reason, person: Recipient, detail: str = "") -> str:
    """What tells one notice from every other."""
    return "/".join(part for part in (incident.incident, reason.value, detail, person.address) if part)


def _of_open(incident: Incident, person: Recipient, told: Told, policy: Policy, now: float) -> Iterator[Notice]:
    opened = key_of(incident, Reason.OPENED, person)
    if not told.knows(opened):
        yield _notice(incident, Reason.OPENED, person, opened)
        return
    if incident.worst.severity > incident.first_level.severity:
        worsened = key_of(incident, Reason.WORSENED, person, incident.worst.name.lower())
        if not told.knows(worsened):
            yield _notice(incident, Reason.WORSENED, person, worsened)
            return
    last_s = told.last_s(incident.incident, person.address)
    if last_s is not None and now - last_s >= policy.reminder_s:
        count = int((now - incident.confirmed_s) // policy.reminder_s)
        reminder = key_of(incident, Reason.REMINDER, person, str(count))
        if not told.knows(reminder):
            yield _notice(incident, Reason.REMINDER, person, reminder)


def _of_ended(incident: Incident, person: Recipient, told: Told) -> Iterator[Notice]:
    ended = key_of(incident, Reason.ENDED, person)
    if told.knows(key_of(incident, Reason.OPENED, person)) and not told.knows(ended):
        yield _notice(incident, Reason.ENDED, person, ended)


def _notice(incident: Incident, reason: Reason, person: Recipient, key: str) -> Notice:
    return Notice(incident=incident, reason=reason, level=incident.worst, recipient=person, key=key)
