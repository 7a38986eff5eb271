"""Remembers who was told what: a ledger in memory, of which the outbox is the durable copy."""

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

import msgspec


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """One notice to one person, and what became of it (Unix seconds; all but one of the last three are None).

    `merged_s`: a later letter of the same incident took its place before it could be sent.
    """

    key: str
    incident: str
    address: str
    queued_s: float
    sent_s: float | None = None
    refused_s: float | None = None
    merged_s: float | None = None

    @property
    def waiting(self) -> bool:
        """Whether it has still to be sent."""
        return self.sent_s is None and self.refused_s is None and self.merged_s is None

    @property
    def last_s(self) -> float:
        """When the person was told, or was about to be."""
        return self.queued_s if self.sent_s is None else self.sent_s


class _Addressed(Protocol):
    """The recipient of a notice, as far as the ledger needs it."""

    @property
    def address(self) -> str: ...


class _Identified(Protocol):
    """The incident of a notice, as far as the ledger needs it."""

    @property
    def incident(self) -> str: ...


class Tellable(Protocol):
    """A notice, as far as the ledger needs it."""

    @property
    def key(self) -> str: ...  # noqa: D102 - as in Notice
    @property
    def incident(self) -> _Identified: ...  # noqa: D102
    @property
    def recipient(self) -> _Addressed: ...  # noqa: D102


class Told:
    """What has been queued, sent and refused, by the notice's key. One thread uses it."""

    def __init__(self, tellings: Iterable[Telling] = ()) -> None:
        self._by_incident: dict[str, dict[str, Telling]] = {}
        self.update(tellings)

    def __len__(self) -> int:
        return sum(map(len, self._by_incident.values()))

    def queue(self, notice: Tellable, now: float) -> None:
        """Note that a notice lies in the outbox; one that is known stays as it is."""
        one = Telling(key=notice.key, incident=notice.incident.incident, address=notice.recipient.address, queued_s=now)
        self._by_incident.setdefault(one.incident, {}).setdefault(one.key, one)

    def update(self, tellings: Iterable[Telling]) -> None:
        """Take over what has become of notices."""
        for one in tellings:
            self._by_incident.setdefault(one.incident, {})[one.key] = one

    def find(self, incident: str, key: str) -> Telling | None:
        """What became of one notice; None when it was never made."""
        return self._by_incident.get(incident, {}).get(key)

    def all(self) -> Iterator[Telling]:
        """Everything."""
        return (one for mine in self._by_incident.values() for one in mine.values())

    def about(self, incident: str) -> Iterator[Telling]:
        """Everything about one incident, to whomever."""
        return iter(self._by_incident.get(incident, {}).values())

    def of(self, incident: str, address: str) -> Iterator[Telling]:
        """Everything about one incident to one person."""
        return (one for one in self._by_incident.get(incident, {}).values() if one.address == address)

    def keep_only(self, incidents: Collection[str]) -> None:
        """Forget what concerns other incidents: nothing will ever be decided about them."""
        for gone in self._by_incident.keys() - set(incidents):
            del self._by_incident[gone]
