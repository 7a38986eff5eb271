"""Holds what agents say that they measured against what is stored, and names the cause of every hole. Pure."""

import bisect
import math
import statistics
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal, NamedTuple

SLOT_S: Final = 600.0
"""The grain of the ledger: what was measured is counted by ten minutes of its true time."""
_THIN: Final = 0.5


class Tally(NamedTuple):
    """What is stored of one epoch of one agent, measured in the slot that begins at `slot * SLOT_S`.

    `unsure_count` are readings whose time had to be estimated.
    """

    agent: str
    epoch: str
    slot: int
    readings_count: int
    unsure_count: int


class Account(NamedTuple):
    """One epoch of one agent by its own running counters: readings made, and given up unsent; and what is stored."""

    agent: str
    epoch: str
    made_count: int
    dropped_count: int
    stored_count: int

    @property
    def open_count(self) -> int:
        """Made, and neither stored nor given up: still on the PC, on its way, or in quarantine."""
        return self.made_count - self.dropped_count - self.stored_count


class Word(NamedTuple):
    """What an agent said of itself, or was said of it: `state` online, offline (with a reason) or lost."""

    agent: str
    at_s: float
    state: Literal["online", "offline", "lost"]
    reason: str


class Lost(NamedTuple):
    """Records that an agent declared lost, and when that was noticed; `before_s` is the true time of the last record
    before them, None when there is none.
    """

    agent: str
    records_count: int
    before_s: float | None
    noticed_s: float


class Cause(StrEnum):
    """Why nothing is stored of a while."""

    NOT_BEFORE = "not_before"  # the agent had not been heard of yet
    SPOOL_OVERFLOW = "spool_overflow"  # it measured, and had to give readings up
    QUARANTINED = "quarantined"  # it sent what the contract does not allow
    AGENT_OFF = "agent_off"  # it said goodbye, or vanished and never sent anything of this while
    NOT_DELIVERED = "not_delivered"  # it says that it measured, and still holds readings
    CLOCK_UNKNOWN = "clock_unknown"  # readings were stored whose true time nobody knows: they may belong here
    UNKNOWN = "unknown"


class Hole(NamedTuple):
    """A while (Unix seconds) of which little or nothing is stored, and why."""

    from_s: float
    to_s: float
    cause: Cause
    reason: str = ""


class Ledger(NamedTuple):
    """Everything about one room between two times."""

    accounts: tuple[Account, ...]
    stored_count: int
    unsure_count: int
    holes: tuple[Hole, ...]


class Evidence(NamedTuple):
    """What the ledger is made from, of the agents of one room."""

    tallies: Sequence[Tally]
    accounts: Sequence[Account]
    words: Sequence[Word]
    lost: Sequence[Lost]
    quarantined_s: Sequence[float]


def make_ledger(evidence: Evidence, from_s: float, to_s: float, *, now_s: float = math.inf) -> Ledger:
    """The ledger of [from_s, to_s), by whole slots. A slot is a hole when less than half of the usual is stored.

    One that is not over by `now_s` is none yet: most of it has still to be measured.
    """
    first, last = int(from_s // SLOT_S), int(-(-to_s // SLOT_S))
    within = [tally for tally in evidence.tallies if first <= tally.slot < last]
    by_slot: dict[int, int] = {}
    for tally in within:
        by_slot[tally.slot] = by_slot.get(tally.slot, 0) + tally.readings_count
    over = math.inf if now_s == math.inf else now_s // SLOT_S
    usual = statistics.median([count for slot, count in by_slot.items() if slot < over] or [0])
    story = _Story(evidence)
    holes: list[Hole] = []
    for slot in range(first, last):
        if slot >= over or (by_slot and by_slot.get(slot, 0) >= usual * _THIN):
            continue
        cause, reason = story.cause_of(slot)
        begin_s, end_s = max(from_s, slot * SLOT_S), min(to_s, (slot + 1) * SLOT_S)
        if holes and holes[-1][1:] == (begin_s, cause, reason):
            holes[-1] = holes[-1]._replace(to_s=end_s)
        else:
            holes.append(Hole(begin_s, end_s, cause, reason))
    return Ledger(
        accounts=tuple(evidence.accounts),
        stored_count=sum(by_slot.values()),
        unsure_count=sum(tally.unsure_count for tally in within),
        holes=tuple(holes),
    )


class _Story:
    """The evidence in order of time, to be asked slot after slot: a month of a flapping line has thousands of words."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._known_from = min((tally.slot for tally in evidence.tallies), default=None)
        self._unsure = {tally.slot for tally in evidence.tallies if tally.unsure_count}
        self._quarantined_s = sorted(evidence.quarantined_s)
        self._words = sorted(evidence.words, key=lambda word: word.at_s)
        self._words_s = [word.at_s for word in self._words]
        self._said: dict[str, Word] = {}
        self._heard_count = 0
        self._holds_some = any(account.open_count > 0 for account in evidence.accounts)

    def cause_of(self, slot: int) -> tuple[Cause, str]:
        """Why little is stored of a slot; never ask of one before the last that was asked of."""
        begin_s, end_s = slot * SLOT_S, (slot + 1) * SLOT_S
        if any((one.before_s or 0.0) < end_s and begin_s < one.noticed_s for one in self._evidence.lost):
            return Cause.SPOOL_OVERFLOW, ""
        if _has_any(self._quarantined_s, begin_s, end_s):
            return Cause.QUARANTINED, ""
        said = self._last_words(end_s)
        if self._known_from is None or slot <= self._known_from:  # it may have begun at the end of its first slot
            return Cause.NOT_BEFORE, ""
        if not self._unsure.isdisjoint((slot - 1, slot, slot + 1)):
            return Cause.CLOCK_UNKNOWN, ""
        away = {agent: word for agent, word in said.items() if word.state != "online"}
        if self._holds_some:
            return Cause.NOT_DELIVERED, ""
        if away and len(away) == len(said):
            latest = max((word for word in away.values() if word.reason), key=lambda word: word.at_s, default=None)
            return Cause.AGENT_OFF, "lost" if latest is None else latest.reason
        # It came back within the slot, or before anything told us that it was gone.
        if _has_any(self._words_s, begin_s, end_s + SLOT_S):
            return Cause.AGENT_OFF, ""
        return Cause.UNKNOWN, ""

    def _last_words(self, before_s: float) -> Mapping[str, Word]:
        while self._heard_count < len(self._words) and self._words[self._heard_count].at_s < before_s:
            word = self._words[self._heard_count]
            self._said[word.agent] = word
            self._heard_count += 1
        return self._said


def _has_any(times_s: Sequence[float], from_s: float, to_s: float) -> bool:
    """Whether one of the sorted times lies in [from_s, to_s)."""
    return bisect.bisect_left(times_s, from_s) < bisect.bisect_left(times_s, to_s)
