"""Feeds readings from files, with their own clock, through the same judging and alerting; prints what comes of it."""

import statistics
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import msgspec

from collector.alerting.decide import Notice, Recipient
from collector.alerting.incident import Change, Incidents, Policy
from collector.alerting.told import Telling, Told
from collector.rooms.registry import RegistryView, Room
from collector.watch import Watch
from contract.outcome import Outcome
from contract.reading import DETAIL_MAX_CHARS, Reading
from readiness.profile import Profile
from readiness.state import WINDOW_LASTS_S
from readiness.verdict import Verdict

REVIEW_EVERY_S = 5.0
_EARLIEST_S = 946_684_800.0
_LATEST_S = 4_102_444_800.0
_USUAL_PAUSE_S = 300.0
_PAUSES_KEPT = 20
_SILENT_PAUSES = 3
_ROUND_SHARE = 0.1
_STRANGER = Recipient(address="replay@localhost", name="", language="vi")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a file: a reading with its room and time (docs/protocol.md, "Replay")."""

    room: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{2,31}\Z")]
    measured_at: float | str
    probe: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{1,31}\Z")]
    target: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.:-]{0,63}\Z")]
    outcome: Outcome = Outcome.OK
    values: dict[str, int | float] = {}
    detail: Annotated[str, msgspec.Meta(max_length=DETAIL_MAX_CHARS)] = ""


class Played(NamedTuple):
    """A reading at its time."""

    measured_s: float
    room: str
    reading: Reading


class BadLine(NamedTuple):
    """A line that is none, and why."""

    number: int
    why: str


class Happening(NamedTuple):
    """Something that came of the readings: a room's new verdict, a change of an incident, or a notice."""

    at_s: float
    what: Verdict | Change | Notice


_decode = msgspec.json.Decoder(Line).decode


def read_line(number: int, text: str) -> Played | BadLine:
    """One line of a file. Never raises."""
    try:
        line = _decode(text)
        measured_s = line.measured_at if isinstance(line.measured_at, float) else _unix_s(line.measured_at)
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        return BadLine(number, str(error))
    if not _EARLIEST_S <= measured_s <= _LATEST_S:
        return BadLine(number, f"measured_at {line.measured_at!r} lies not between 2000 and 2100 (seconds, not ms)")
    reading = Reading(
        probe=line.probe, target=line.target, outcome=line.outcome, values=line.values, detail=line.detail
    )
    return Played(measured_s, line.room, reading)


def _unix_s(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"measured_at {text!r} has no offset from UTC, such as +07:00 or Z")
    return moment.astimezone(UTC).timestamp()


def replay(
    played: Iterable[Played],
    profiles: Mapping[str, Profile],
    policy: Policy,
    *,
    profile: str,
    silent_after_s: float,
    view: RegistryView | None = None,
) -> Iterator[Happening]:
    """Everything that comes of the readings, in the order of their own clock, until every open incident is told.

    Rooms that no registry knows are judged by `profile`; their notices go to nobody in particular.
    """
    watch = Watch(
        profiles=profiles,
        policy=policy,
        incidents=Incidents(policy),
        told=Told(),
        silent_after_s=silent_after_s,
    )
    stage = _Stage(watch, profile, view, silent_after_s)
    reviewed_s: float | None = None
    last_s = 0.0
    settled_s = silent_after_s + WINDOW_LASTS_S + policy.hold_off_s + 2 * REVIEW_EVERY_S
    for one in played:
        reviewed_s = one.measured_s if reviewed_s is None else reviewed_s
        while reviewed_s + REVIEW_EVERY_S <= one.measured_s:
            reviewed_s += REVIEW_EVERY_S
            yield from stage.review(reviewed_s)
            if reviewed_s - last_s > settled_s:
                # A long silence has been noticed and told: nothing more comes of it until the next reading, but for a
                # reminder, for which a step an hour will do.
                reviewed_s = max(reviewed_s, min(one.measured_s - REVIEW_EVERY_S, reviewed_s + 3600.0))
        stage.take(one)
        last_s = one.measured_s
    if reviewed_s is not None:
        yield from stage.review(last_s)


class _Cadence:
    """How often a room of a replay is measured: there is no plan to tell, and silence is judged by it."""

    def __init__(self, measured_s: float) -> None:
        self._last_s = measured_s
        self._pauses_s: deque[float] = deque(maxlen=_PAUSES_KEPT)

    def heard(self, measured_s: float) -> None:
        if measured_s > self._last_s:
            self._pauses_s.append(measured_s - self._last_s)
            self._last_s = measured_s

    @property
    def pause_s(self) -> float:
        """From one round of measurements to the next: the pauses within a round do not count."""
        longest_s = max(self._pauses_s, default=_USUAL_PAUSE_S)
        return statistics.median([one for one in self._pauses_s if one >= _ROUND_SHARE * longest_s] or [longest_s])


class _Stage:
    """The rooms of a replay, which appear when they are first spoken of."""

    def __init__(self, watch: Watch, profile: str, view: RegistryView | None, silent_after_s: float) -> None:
        self._watch = watch
        self._profile = profile
        self._view = view
        self._silent_after_s = silent_after_s
        self._cadences: dict[str, _Cadence] = {}

    def take(self, one: Played) -> None:
        if one.room not in self._watch.rooms:
            self._watch.add_room(self._room(one.room), self._recipients(one))
        cadence = self._cadences.setdefault(one.room, _Cadence(one.measured_s))
        cadence.heard(one.measured_s)
        self._watch.rooms[one.room].silent_after_s = max(self._silent_after_s, _SILENT_PAUSES * cadence.pause_s)
        self._watch.hear_in(one.room, one.room, "online", "", one.measured_s)
        self._watch.fold(one.room, one.reading, one.measured_s, one.measured_s)

    def _room(self, name: str) -> Room:
        known = self._view.rooms.get(name) if self._view else None
        return known or Room(room=name, name=name, place=(), province="", profile=self._profile)

    def _recipients(self, one: Played) -> tuple[Recipient, ...]:
        contacts = self._view.contacts_of(one.room, one.measured_s) if self._view else ()
        people = tuple(Recipient(address=who.address, name=who.name, language=who.language) for who in contacts)
        return people or (_STRANGER,)

    def review(self, now: float) -> Iterator[Happening]:
        review = self._watch.review(now)
        for room in review.changed:
            yield Happening(now, review.verdicts[room])
        for change in review.changes:
            yield Happening(now, change)
        self._watch.told.update(
            Telling(
                key=one.key, incident=one.incident.incident, address=one.recipient.address, queued_s=now, sent_s=now
            )
            for one in review.notices
        )
        for notice in review.notices:
            yield Happening(now, notice)


def read_lines(lines: Iterable[str], on_bad: Callable[[BadLine], None]) -> Iterator[Played]:
    """The readings of a file; what is none is told and passed over, and so is an empty line."""
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        one = read_line(number, text)
        if isinstance(one, BadLine):
            on_bad(one)
        else:
            yield one
