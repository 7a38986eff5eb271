"""Who was told what: the ledger that keeps anybody from being told twice, or of an end without a beginning. Pure.

Its lasting copy is the outbox; what is entered here was stored there first.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """One notice on its way or gone. `sent_s` None while it waits; `is_refused` when it can never go."""

    key: str
    incident: str
    address: str
    queued_s: float
    sent_s: float | None = None
    is_refused: bool = False


class _Thread(NamedTuple):
    incident: str
    address: str


class Told:
    """All tellings of the incidents that still matter, by key."""

    def __init__(self, tellings: Iterable[Telling] = ()) -> None:
        self._by_key: dict[str, Telling] = {}
        self._last_s: dict[_Thread, float] = {}
        self.update(tellings)

    def update(self, tellings: Iterable[Telling]) -> None:
        """Step 13 of the line: take in what was queued, sent or refused since."""
        for one in tellings:
            self._by_key[one.key] = one
            thread = _Thread(one.incident, one.address)
            self._last_s[thread] = max(one.sent_s or one.queued_s, self._last_s.get(thread, 0.0))

    def knows(self, key: str) -> bool:
        """Whether this very notice is queued, sent or refused already."""
        return key in self._by_key

    def last_s(self, incident: str, address: str) -> float | None:
        """When a person was last told anything of an incident; None for never."""
        return self._last_s.get(_Thread(incident, address))

    def forget(self, incidents: set[str]) -> None:
        """Drop all that is not of these incidents: they are over and told."""
        self._by_key = {key: one for key, one in self._by_key.items() if one.incident in incidents}
        self._last_s = {thread: at_s for thread, at_s in self._last_s.items() if thread.incident in incidents}
