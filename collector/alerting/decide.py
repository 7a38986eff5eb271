"""Decides who is told what, and when; sends nothing.

The answer follows from what is open or has ended and from what has been told or queued: asked twice, it is empty.
"""

import enum
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from collector.alerting.incident import Incident, Incidents, Policy
from collector.alerting.told import Telling, Told
from contract.catalogue import Language
from readiness.verdict import Level


class Reason(enum.StrEnum):
    """Why a person is told."""

    OPENED = "opened"
    WORSENED = "worsened"
    ENDED = "ended"
    REMINDER = "reminder"


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is told. `name` may be empty."""

    address: str
    name: str
    language: Language


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message about one incident to one person. `number` counts reminders from 1; otherwise it is 0.

    `level` is the incident's worst so far; what was told at that level is not told again.
    """

    incident: Incident
    reason: Reason
    level: Level
    recipient: Recipient
    number: int = 0

    @property
    def key(self) -> str:
        """What makes it this notice and no other: written to the outbox once, whoever asks how often."""
        return _key(self.incident, self.reason, self.level, self.recipient, self.number)


_FIRST: Final = (Reason.OPENED, Reason.WORSENED)


def decide(
    incidents: Incidents, told: Told, policy: Policy, now: float, recipients: Mapping[str, tuple[Recipient, ...]]
) -> list[Notice]:
    """What is to be told now. `recipients` by room; a room without any tells nobody."""
    notices: list[Notice] = []
    for incident in (*incidents.ended, *incidents.open.values()):
        for recipient in _each_once(recipients.get(incident.room, ())):
            if incident.ended_s is None:
                notice = _while_open(incident, recipient, told, policy, now)
            else:
                notice = _at_the_end(incident, recipient, told)
            if notice is not None:
                notices.append(notice)
    return notices


def _while_open(incident: Incident, recipient: Recipient, told: Told, policy: Policy, now: float) -> Notice | None:
    levels = _levels_told(incident, recipient, told)
    if not levels:
        return Notice(incident=incident, reason=Reason.OPENED, level=incident.worst, recipient=recipient)
    if incident.worst.severity > max(level.severity for level in levels):
        return Notice(incident=incident, reason=Reason.WORSENED, level=incident.worst, recipient=recipient)
    heard = list(told.of(incident.incident, recipient.address))
    if any(one.waiting for one in heard) or now - max(one.last_s for one in heard) < policy.reminder_s:
        return None
    number = 1
    while _found(incident, Reason.REMINDER, incident.worst, recipient, told, number=number) is not None:
        number += 1
    return Notice(incident=incident, reason=Reason.REMINDER, level=incident.worst, recipient=recipient, number=number)


def _at_the_end(incident: Incident, recipient: Recipient, told: Told) -> Notice | None:
    """The good news for those who had the bad one, or would have had it by now: the end then tells the whole story.

    Whose mail server refused every letter hears nothing more.
    """
    heard = list(told.of(incident.incident, recipient.address))
    if all(one.refused_s is not None for one in heard):
        return None
    if _found(incident, Reason.ENDED, incident.worst, recipient, told) is not None:
        return None
    return Notice(incident=incident, reason=Reason.ENDED, level=incident.worst, recipient=recipient)


def _levels_told(incident: Incident, recipient: Recipient, told: Told) -> list[Level]:
    return [
        level
        for level in Level
        if any(_found(incident, reason, level, recipient, told) is not None for reason in _FIRST)
    ]


def _found(
    incident: Incident, reason: Reason, level: Level, recipient: Recipient, told: Told, *, number: int = 0
) -> Telling | None:
    return told.find(incident.incident, _key(incident, reason, level, recipient, number))


def _key(incident: Incident, reason: Reason, level: Level, recipient: Recipient, number: int) -> str:
    which = f"{reason}-{number}" if number else f"{reason}"
    return f"{incident.incident}/{which}/{level.name}/{recipient.address}"


def _each_once(recipients: tuple[Recipient, ...]) -> Iterator[Recipient]:
    """One letter to one address, however often it stands in the registry."""
    seen: set[str] = set()
    for one in recipients:
        folded = one.address.casefold()
        if folded not in seen:
            seen.add(folded)
            yield one
