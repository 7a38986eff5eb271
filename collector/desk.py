"""Writes the letters that are owed into the outbox, the latest in place of all before it that never left."""

from collections.abc import Callable, Iterable
from typing import Final

from collector.alerting.decide import Notice
from collector.alerting.incident import Incident
from collector.alerting.letter import RoomFacts, compose
from collector.alerting.told import Told
from collector.cases import Cases
from collector.outbox import Outbox

_PAST_LOOKED_AT: Final = 100


class Desk:
    """Step 12 of the line up to the outbox. One thread uses it; `facts_of` is what letters say of a room."""

    def __init__(
        self, outbox: Outbox, cases: Cases, *, facts_of: Callable[[str], RoomFacts], sender: str, base_url: str
    ) -> None:
        self._outbox = outbox
        self._cases = cases
        self._facts_of = facts_of
        self._sender = sender
        self._base_url = base_url
        self._owed: dict[tuple[str, str], tuple[Notice, Told]] = {}  # by incident and person: the latest tells all

    def owe(self, notices: Iterable[Notice], told: Told, now: float) -> None:
        """What is decided is decided: also while the database takes no letter, the end of an incident follows from its
        beginning.
        """
        for notice in notices:
            self._owed[notice.incident.incident, notice.recipient.address] = (notice, told)
            told.queue(notice, now)

    def write(self, now: float) -> bool:
        """Put everything owed into the outbox; whether there was anything. DatabaseRefused: the rest is owed still."""
        owed = list(self._owed.items())
        for known, (notice, told) in owed:
            self._write(notice, told, now)
            del self._owed[known]
        return bool(owed)

    def _write(self, notice: Notice, told: Told, now: float) -> None:
        earlier = self._unsent_before(notice)
        message = compose(
            notice,
            self._facts_of(notice.incident.room),
            notice.recipient.language,
            sender=self._sender,
            now=now,
            base_url=self._base_url,
            is_first=all(one.sent_s is None for one in told.of(notice.incident.incident, notice.recipient.address)),
            earlier=earlier,
        )
        self._outbox.put(notice, message, now, instead_of=[one.incident for one in earlier])

    def _unsent_before(self, notice: Notice) -> list[Incident]:
        """Incidents of the same room of which the person should know and does not, since no letter left."""
        if not self._outbox.waiting_count():
            return []
        past = self._cases.recent(notice.incident.room, _PAST_LOOKED_AT)
        others = [one for one in reversed(past) if one.opened_s < notice.incident.opened_s]
        untold = self._outbox.untold([one.incident for one in others], notice.recipient.address)
        return [one for one in others if one.incident in untold]
