"""Writes the letters that are owed into the outbox, the latest in place of all before it that never left."""

from collections.abc import Callable, Iterable, Sequence
from email.message import EmailMessage
from typing import Final

from collector.alerting.decide import Notice
from collector.alerting.gathering import Part, part_of
from collector.alerting.incident import OWN, Incident
from collector.alerting.letter import RoomFacts, compose
from collector.alerting.told import Told
from collector.mail.mailer import ByHand
from collector.mail.outbox import DueLetter, Outbox
from collector.storage.cases import Cases

_PAST_LOOKED_AT: Final = 100


class Desk:
    """Step 12 of the line up to the outbox. One thread uses it; `facts_of` is what letters say of a room,
    `is_restless` whether letters about rooms near it are likely to follow, for which one waits `gather_s`.
    """

    def __init__(
        self,
        outbox: Outbox,
        cases: Cases,
        *,
        facts_of: Callable[[str], RoomFacts],
        sender: str,
        base_url: str,
        by_hand: ByHand | None = None,
        gather_s: float = 0.0,
        is_restless: Callable[[str, float], bool] = lambda _room, _now: False,
    ) -> None:
        self._outbox = outbox
        self._cases = cases
        self._facts_of = facts_of
        self._sender = sender
        self._base_url = base_url
        self._by_hand = by_hand or ByHand()
        self._gather_s = gather_s
        self._is_restless = is_restless
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
            if self._by_hand.is_underway(notice.key):
                continue
            earlier = self._unsent_before(notice)
            part = None if earlier else self._part(notice, now)
            is_held = part is not None and self._is_restless(notice.incident.room, now)
            self._outbox.put(
                notice,
                self._message(notice, told, now, earlier),
                now,
                instead_of=[one.incident for one in earlier],
                taken=self._by_hand.settle(notice.key),
                part=part,
                held_s=self._gather_s if is_held else 0.0,
            )
            del self._owed[known]
        return bool(owed)

    def hand_over_own(self, now: float) -> None:
        """Let what is owed to the operators be sent past an outbox that refuses: it may tell of just that."""
        for notice, told in self._owed.values():
            if notice.incident.room in OWN:
                raw = self._message(notice, told, now, ()).as_bytes()
                self._by_hand.give(DueLetter(0, notice.key, notice.recipient.address, now, 0, raw))

    def _message(self, notice: Notice, told: Told, now: float, earlier: Sequence[Incident]) -> EmailMessage:
        return compose(
            notice,
            self._facts_of(notice.incident.room),
            notice.recipient.language,
            sender=self._sender,
            now=now,
            base_url=self._base_url,
            is_first=all(one.sent_s is None for one in told.of(notice.incident.incident, notice.recipient.address)),
            earlier=earlier,
        )

    def _part(self, notice: Notice, now: float) -> Part | None:
        return part_of(notice, self._facts_of(notice.incident.room), now=now, base_url=self._base_url)

    def _unsent_before(self, notice: Notice) -> list[Incident]:
        """Incidents of the same room of which the person should know and does not, since no letter left."""
        if not self._outbox.waiting_count():
            return []
        past = self._cases.recent(notice.incident.room, _PAST_LOOKED_AT)
        others = [one for one in reversed(past) if one.opened_s < notice.incident.opened_s]
        untold = self._outbox.untold([one.incident for one in others], notice.recipient.address)
        return [one for one in others if one.incident in untold]
